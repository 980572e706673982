//! What Prometheus would remark on a query beside its answer: warnings and infos, in its words, without repeats.

use std::sync::Arc;

use crate::base::go;
pub(crate) use crate::base::go::quoted;

/// Remarks that are kept; a hostile query could make one for each label value.
const MOST: usize = 256;

/// One kind of remark with what it names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Note {
    /// Warning: a quantile outside 0 to 1.
    Quantile(f64),
    /// Warning: a series without a usable `le`.
    Bucket {
        /// The metric's name, empty where it is gone already.
        metric: String,
        /// The value of `le`.
        label: String,
    },
    /// Warning: `sort` in a range query.
    Sort,
    /// Info: a function for counters on a metric whose name says that it is none.
    NotCounter {
        /// The metric's name.
        metric: String,
    },
    /// Info: buckets that do not grow had to be mended before `histogram_quantile`.
    Monotonicity {
        /// The metric's name, empty where it is gone already.
        metric: String,
        /// The step, in Unix milliseconds.
        at: i64,
        /// The lowest and the highest upper bound that was mended.
        buckets: (f64, f64),
        /// The largest mend.
        most: f64,
    },
}

/// A kept remark: where, and for merged ones how often and when.
#[derive(Debug, Clone)]
struct Kept {
    note: Note,
    place: usize,
    times: (i64, i64),
    count: usize,
}

/// The remarks of one query.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    kept: Vec<Kept>,
    places: Arc<[usize]>,
}

impl Notes {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets where the arguments of the call that is evaluated next begin, as byte offsets into the query.
    pub(crate) fn stand(&mut self, places: Arc<[usize]>) {
        self.places = places;
    }

    /// Remarks `note` on the argument with this index of the present call.
    pub(crate) fn argument(&mut self, index: usize, note: Note) {
        let place = self.places.get(index).copied().unwrap_or_default();
        self.at(place, note);
    }

    /// Remarks `note` on the expression that begins at byte `place` of the query.
    pub(crate) fn at(&mut self, place: usize, note: Note) {
        let times = if let Note::Monotonicity { at, .. } = note { (at, at) } else { (0, 0) };
        // The newest is the likeliest to come again: the same metric has many series.
        if let Some(kept) = self.kept.iter_mut().rev().find(|kept| same(&kept.note, &note)) {
            kept.merge(&note, place, times);
        } else if self.kept.len() < MOST {
            self.kept.push(Kept { note, place, times, count: 1 });
        }
    }

    /// Warnings and infos as Prometheus writes them, in the order in which they came up; `query` is the text that the
    /// places point into.
    pub fn texts(&self, query: &str) -> (Vec<String>, Vec<String>) {
        let (mut warnings, mut infos) = (Vec::new(), Vec::new());
        for kept in &self.kept {
            let (line, column) = position(query, kept.place);
            let text = format!("{} ({line}:{column})", kept.text());
            let list = match kept.note {
                Note::Quantile(_) | Note::Bucket { .. } | Note::Sort => &mut warnings,
                Note::NotCounter { .. } | Note::Monotonicity { .. } => &mut infos,
            };
            list.push(text);
        }
        (warnings, infos)
    }
}

impl Kept {
    /// Takes a repeat in: Prometheus names the place of the last one, and gathers what was mended in buckets.
    fn merge(&mut self, other: &Note, place: usize, times: (i64, i64)) {
        self.times = (self.times.0.min(times.0), self.times.1.max(times.1));
        self.count += 1;
        let Note::Monotonicity { buckets, most, .. } = &mut self.note else {
            self.place = place;
            return;
        };
        if let Note::Monotonicity { buckets: new, most: mend, .. } = other {
            *buckets = (buckets.0.min(new.0), buckets.1.max(new.1));
            *most = most.max(*mend);
        }
    }

    fn text(&self) -> String {
        match &self.note {
            Note::Quantile(q) => {
                format!("PromQL warning: quantile value should be between 0 and 1, got {}", general(*q))
            }
            Note::Bucket { metric, label } => {
                let name = named(metric);
                format!(
                    "PromQL warning: bucket label \"le\" is missing or has a malformed value of {}{name}",
                    quoted(label)
                )
            }
            Note::Sort => {
                "PromQL warning: sort is ineffective for range queries since results are always ordered by labels"
                    .to_owned()
            }
            Note::NotCounter { metric } => format!(
                "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
                quoted(metric)
            ),
            Note::Monotonicity { metric, buckets, most, .. } => format!(
                "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see \
                 https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){}, from buckets \
                 {} to {}, with a max diff of {}, over {} samples from {} to {}",
                named(metric),
                general(buckets.0),
                general(buckets.1),
                go::general(*most, Some(2)),
                self.count,
                second(self.times.0),
                second(self.times.1),
            ),
        }
    }
}

/// Whether Prometheus counts both as the same remark: it compares the text without place and amounts.
fn same(a: &Note, b: &Note) -> bool {
    match (a, b) {
        (Note::Monotonicity { metric: a, .. }, Note::Monotonicity { metric: b, .. }) => a == b,
        (Note::Quantile(a), Note::Quantile(b)) => a == b || a.is_nan() && b.is_nan(),
        _ => a == b,
    }
}

fn named(metric: &str) -> String {
    if metric.is_empty() { String::new() } else { format!(" for metric name {}", quoted(metric)) }
}

/// Line and column, both from 1, of a byte offset; columns count characters.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// As Go's `%g`.
pub(crate) fn general(value: f64) -> String {
    go::general(value, None)
}

/// RFC 3339 in UTC, whole seconds.
fn second(millis: i64) -> String {
    jiff::Timestamp::from_second(millis.div_euclid(1000)).map(|at| at.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remark_comes_once_with_its_place() {
        let mut notes = Notes::new();
        notes.stand(Arc::from([5]));
        for _ in 0..3 {
            notes.argument(0, Note::NotCounter { metric: "load".into() });
        }
        notes.at(12, Note::Quantile(1.5));
        let (warnings, infos) = notes.texts("rate(\nload[5m])");
        assert_eq!(warnings, ["PromQL warning: quantile value should be between 0 and 1, got 1.5 (2:7)"]);
        assert_eq!(
            infos,
            ["PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \
              \"load\" (1:6)"]
        );
    }

    #[test]
    fn mended_buckets_are_gathered_over_the_steps() {
        let mut notes = Notes::new();
        for (at, bucket) in [(60_000, 5.0), (0, 2.0)] {
            let note = Note::Monotonicity { metric: String::new(), at, buckets: (bucket, bucket), most: 0.123 };
            notes.at(0, note);
        }
        let (_, infos) = notes.texts("x");
        assert!(
            infos[0].ends_with(
                ", from buckets 2 to 5, with a max diff of 0.12, over 2 samples from 1970-01-01T00:00:00Z to \
                 1970-01-01T00:01:00Z (1:1)"
            ),
            "{infos:?}"
        );
    }
}
