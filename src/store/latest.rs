//! The newest round of each source, for `/metrics`: bounded, and forgotten when its source is gone or silent.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::translate::{self, Labels, Series};
use crate::base::clock::SECOND;
use crate::signal::metrics::{Metric, Point, Sample, Samples};
use crate::signal::resource::Resource;

/// The newest rounds. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Latest {
    rounds: Arc<Mutex<BTreeMap<Key, Round>>>,
}

/// A source may speak for several resources, such as an application that sends for its workers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    source: String,
    service: String,
    instance: String,
}

#[derive(Debug)]
struct Round {
    resource: Arc<Resource>,
    metrics: Vec<Metric>,
    samples: Vec<Sample>,
    nanos: u64,
    bytes: usize,
}

/// Prometheus' own lookback: a series without a point for so long is gone.
const STALE: u64 = 300 * SECOND;
/// Over all rounds; 2,000 series take a tenth of it.
const MAX_BYTES: usize = 4 << 20;
/// A round without points costs its key.
const MAX_ROUNDS: usize = 1000;

impl Latest {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes `samples` of `source` at `nanos` (Unix) in place of its earlier round for the same resource. False when
    /// there is no room: then the earlier round is gone too, since old numbers would pass for new ones.
    pub fn put(&self, source: &str, resource: &Arc<Resource>, samples: &Samples, nanos: u64) -> bool {
        let key = Key {
            source: source.to_owned(),
            service: resource.service().to_owned(),
            instance: resource.instance().to_owned(),
        };
        let mut rounds = self.lock();
        rounds.remove(&key);
        rounds.retain(|_, round| nanos.saturating_sub(round.nanos) <= STALE);
        if samples.is_empty() {
            return true;
        }
        let bytes = size(samples);
        let taken: usize = rounds.values().map(|round| round.bytes).sum();
        if rounds.len() >= MAX_ROUNDS || taken.saturating_add(bytes) > MAX_BYTES {
            return false;
        }
        let (metrics, samples) = (samples.metrics().to_vec(), samples.samples().to_vec());
        rounds.insert(key, Round { resource: Arc::clone(resource), metrics, samples, nanos, bytes });
        true
    }

    /// Forgets all rounds of `source`.
    pub fn forget(&self, source: &str) {
        self.lock().retain(|key, _| key.source != source);
    }

    /// Everything that is not stale at `now` in Prometheus' text format 0.0.4, in the order of names and labels.
    pub fn render(&self, now: u64) -> String {
        let mut families: BTreeMap<String, Group> = BTreeMap::new();
        {
            let rounds = self.lock();
            for round in rounds.values().filter(|round| now.saturating_sub(round.nanos) <= STALE) {
                for family in translate::families(&round.resource, &round.metrics, &round.samples) {
                    let group = families.entry(family.name).or_insert_with(|| Group::new(family.kind, family.help));
                    group.series.extend(family.series);
                }
                if let Some(labels) = translate::target_info(&round.resource) {
                    let group = || Group::new("gauge", "Target metadata".to_owned());
                    let series = Series { suffix: "", labels, value: 1.0 };
                    families.entry("target_info".to_owned()).or_insert_with(group).series.push(series);
                }
            }
        }
        let mut out = String::new();
        for (name, group) in families {
            group.write(&mut out, &name);
        }
        out
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Round>> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn buckets(sample: &Sample) -> usize {
    match &sample.point {
        Point::Number(_) => 0,
        Point::Histogram(histogram) => 16 * (histogram.counts.len() + 1),
    }
}

/// About what a round takes in memory.
fn size(samples: &Samples) -> usize {
    let metrics: usize = samples.metrics().iter().map(|metric| 120 + metric.name.len() + metric.help.len()).sum();
    let text =
        |sample: &Sample| sample.attributes.iter().map(|(name, value)| 32 + name.len() + value.len()).sum::<usize>();
    let points: usize = samples.samples().iter().map(|sample| 96 + text(sample) + buckets(sample)).sum();
    metrics + points
}

/// The series of one name, of whatever source.
struct Group {
    kind: &'static str,
    help: String,
    series: Vec<Series>,
}

impl Group {
    fn new(kind: &'static str, help: String) -> Self {
        Self { kind, help, series: Vec::new() }
    }

    fn write(mut self, out: &mut String, name: &str) {
        if !self.help.is_empty() {
            out.push_str("# HELP ");
            out.push_str(name);
            out.push(' ');
            escape(out, &self.help, false);
            out.push('\n');
        }
        push_line(out, format_args!("# TYPE {name} {}", self.kind));
        // A histogram's lines stand together, its buckets in the order of their bounds: the sort is stable.
        self.series.sort_by(|a, b| identity(&a.labels).cmp(identity(&b.labels)));
        let mut seen: HashSet<(&str, &Labels)> = HashSet::with_capacity(self.series.len());
        for series in &self.series {
            // Two sources with one series: a scrape with a series twice is refused as a whole.
            if seen.insert((series.suffix, &series.labels)) {
                write_series(out, name, series);
            }
        }
    }
}

fn identity(labels: &Labels) -> impl Iterator<Item = &(String, String)> {
    labels.iter().filter(|(name, _)| name != "le")
}

fn write_series(out: &mut String, name: &str, series: &Series) {
    out.push_str(name);
    out.push_str(series.suffix);
    for (index, (label, value)) in series.labels.iter().enumerate() {
        out.push(if index == 0 { '{' } else { ',' });
        out.push_str(label);
        out.push_str("=\"");
        escape(out, value, true);
        out.push('"');
    }
    if !series.labels.is_empty() {
        out.push('}');
    }
    let value = series.value;
    let small = value == 0.0 || (1e-6..1e21).contains(&value.abs());
    match () {
        () if value.is_nan() => out.push_str(" NaN\n"),
        () if value.is_infinite() => out.push_str(if value > 0.0 { " +Inf\n" } else { " -Inf\n" }),
        () if small => push_line(out, format_args!(" {value}")),
        () => push_line(out, format_args!(" {value:e}")),
    }
}

fn push_line(out: &mut String, line: std::fmt::Arguments<'_>) {
    let _infallible = out.write_fmt(line).is_ok();
    out.push('\n');
}

/// Backslashes and line ends, and in a label's value quotes: nothing else has a meaning in the format.
fn escape(out: &mut String, text: &str, quotes: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            // A bare carriage return ends a line for some readers.
            '\r' => out.push(' '),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests;
