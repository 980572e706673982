//! Functions that look at labels: `label_replace`, `label_join`, and those of classic histograms.

use std::collections::HashMap;

use super::Eval;
use super::block::{ABSENT, Block, Head, Steps, absent, unnamed};
use crate::query::QueryError;
use crate::query::functions::histogram::{self, Bucket};
use crate::query::functions::labels::{Replace, check_join, join};
use crate::query::notes::Note;
use crate::query::syntax::Node;
use crate::store::Labels;
use crate::store::labels::NAME;

/// The label that holds a bucket's upper bound.
const BOUND: &str = "le";

/// What happens to the labels of an element; none: they stay.
type Change<'a> = Box<dyn Fn(&Labels) -> Result<Option<Labels>, QueryError> + 'a>;

impl Eval<'_> {
    /// Changes each element's labels.
    pub(super) fn relabel(
        &mut self,
        name: &str,
        arg: &Node,
        texts: &[Node],
        steps: Steps,
    ) -> Result<Block, QueryError> {
        let texts: Vec<&str> = texts.iter().map(|text| text.bare().literal()).collect();
        let change: Change<'_> = match (name, texts.as_slice()) {
            ("label_replace", [to, text, from, regex]) => {
                let replace = Replace::new(to, text, from, regex)?;
                Box::new(move |labels| replace.apply(labels))
            }
            (_, [to, separator, from @ ..]) => {
                check_join(to, from)?;
                let (to, separator, from) = ((*to).to_owned(), (*separator).to_owned(), from.to_vec());
                Box::new(move |labels| join(labels, &to, &separator, &from).map(Some))
            }
            _ => return Err(QueryError::Execution(format!("{name} wants more texts"))),
        };
        let to = texts.first().copied().unwrap_or_default();
        let mut block = self.eval(arg, steps)?;
        for row in 0..block.rows() {
            self.spend(64)?;
            let head = &mut block.heads[row];
            if let Some(labels) = change(&head.labels)? {
                head.labels = labels;
                // A name that was given by hand stays.
                head.drop &= to != NAME;
            }
        }
        block.merge()?;
        Ok(block)
    }

    /// A quantile or a fraction of each group of buckets; `scalars` has one or two.
    pub(super) fn histogram(
        &mut self,
        args: &[Node],
        scalars: &[&Node],
        arg: &Node,
        steps: Steps,
    ) -> Result<Block, QueryError> {
        let scalars = scalars.iter().map(|scalar| self.eval(scalar, steps)).collect::<Result<Vec<_>, _>>()?;
        let input = self.eval(arg, steps)?;
        self.stand(args);
        let groups = self.groups(&input, scalars.len());
        let mut out = Block::new(&self.budget, steps.count);
        let mut buckets: Vec<Bucket> = Vec::new();
        for (head, members) in groups {
            let later = self.limits.delayed_name_removal;
            let metric = if later { head.labels.name().to_owned() } else { String::new() };
            let labels = if later { head.labels.clone() } else { unnamed(&head.labels) };
            let row = out.grow(Head { labels, drop: later })?;
            for (step, cell) in row.iter_mut().enumerate() {
                self.spend(members.len() * 4)?;
                buckets.clear();
                let counts = members.iter().map(|(bound, row)| (*bound, input.row(*row)[step]));
                buckets.extend(counts.filter(|(_, count)| !absent(*count)));
                if buckets.is_empty() {
                    *cell = ABSENT;
                    continue;
                }
                let [first, others @ ..] = scalars.as_slice() else { continue };
                let Some(upper) = others.first() else {
                    let (value, mended) = histogram::quantile(first.value(step), &mut buckets);
                    *cell = value;
                    if let Some(mended) = mended {
                        let (metric, at) = (metric.clone(), steps.at(step));
                        let note = Note::Monotonicity { metric, at, buckets: mended.buckets, most: mended.most };
                        self.notes.argument(1, note);
                    }
                    continue;
                };
                *cell = histogram::fraction(first.value(step), upper.value(step), &mut buckets);
            }
        }
        if let ([q], true) = (scalars.as_slice(), input.rows() > 0 || steps.count > 0) {
            self.remark_quantiles(q, steps);
        }
        out.compact();
        if !self.limits.delayed_name_removal {
            out.merge()?;
        }
        Ok(out)
    }

    /// Buckets with the same other labels, in the order in which they come.
    fn groups(&mut self, input: &Block, arg: usize) -> Vec<(Head, Vec<(f64, usize)>)> {
        let mut known: HashMap<Labels, usize> = HashMap::new();
        let mut groups: Vec<(Head, Vec<(f64, usize)>)> = Vec::new();
        for (row, head) in input.heads.iter().enumerate() {
            let text = head.labels.get(BOUND);
            let Some(bound) = bound(text) else {
                let metric = if self.limits.delayed_name_removal { head.labels.name() } else { "" };
                self.notes.argument(arg, Note::Bucket { metric: metric.to_owned(), label: text.to_owned() });
                continue;
            };
            let labels = head.labels.filter(|label| label != BOUND);
            let index = *known.entry(labels.clone()).or_insert_with(|| {
                groups.push((Head { labels, drop: head.drop }, Vec::new()));
                groups.len() - 1
            });
            groups[index].1.push((bound, row));
        }
        groups
    }

    fn remark_quantiles(&mut self, q: &Block, steps: Steps) {
        for step in 0..steps.count {
            let q = q.value(step);
            if !(0.0..=1.0).contains(&q) {
                self.notes.argument(0, Note::Quantile(q));
            }
        }
    }
}

/// As Go reads a number, which takes none that is too large; NaN is no bound.
fn bound(text: &str) -> Option<f64> {
    let bound: f64 = match text {
        "+Inf" | "Inf" | "inf" | "+inf" => f64::INFINITY,
        "-Inf" | "-inf" => f64::NEG_INFINITY,
        text => text.parse().ok()?,
    };
    let too_large = bound.is_infinite() && text.contains(|letter: char| letter.is_ascii_digit());
    (!bound.is_nan() && !too_large).then_some(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read_as_go_reads_them() {
        assert_eq!(
            ["0.5", "+Inf", "-inf", "1e300"].map(bound),
            [0.5, f64::INFINITY, f64::NEG_INFINITY, 1e300].map(Some)
        );
        assert_eq!(["1e400", "-1e400", "NaN", "", "0.5s"].map(bound), [None; 5]);
    }
}
