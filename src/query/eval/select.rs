//! Selectors: the newest sample of each step, and the windows of ranges and subqueries.

use std::mem;

use super::block::{Block, Head, Steps, absent};
use super::{DEFAULT_STEP, Eval};
use crate::query::functions::{OverTime, Window, edges};
use crate::query::syntax::{Edges, Kind, Node, Selector, Shift, Subquery};
use crate::query::{QueryError, Row};
use crate::store::{self, Sample, sample};

/// Series whose samples are read one after the other.
enum Source {
    Stored(Vec<store::Series>),
    /// The steps of a subquery.
    Steps(Block, Steps),
}

/// A source and how its windows lie.
pub(super) struct Ranges {
    source: Source,
    shift: Shift,
    range: i64,
    edges: Edges,
    /// How far samples beside the range count, in milliseconds to both sides.
    around: (i64, i64),
}

impl Eval<'_> {
    /// An instant selector; `times` asks for the samples' times in seconds instead of their values.
    pub(super) fn select(&mut self, selector: &Selector, steps: Steps, times: bool) -> Result<Block, QueryError> {
        let lookback = self.lookback();
        self.steps(selector, steps, 0, |samples, next, at| {
            let found = samples[next.checked_sub(1)?];
            let fresh = found.t > at.saturating_sub(lookback) && !sample::is_stale(found.v);
            fresh.then(|| if times { seconds(found.t) } else { found.v })
        })
    }

    /// A smoothed instant selector: on the line between the samples on both sides of a step, and as long as none came
    /// after it, the last one.
    pub(super) fn smooth(&mut self, selector: &Selector, steps: Steps) -> Result<Block, QueryError> {
        let lookback = self.lookback();
        self.steps(selector, steps, lookback, |samples, next, at| {
            let (earliest, latest) = (at.saturating_sub(lookback), at.saturating_add(lookback));
            let near = |sample: &&Sample| sample.t > earliest && sample.t <= latest;
            let known = |sample: &&Sample| !sample::is_stale(sample.v);
            let before = samples[..next].iter().rev().find(known).filter(near)?;
            let after = samples[next..].iter().find(known).filter(near);
            Some(match after {
                Some(after) if before.t < at => edges::between(*before, *after, at, false),
                _ => before.v,
            })
        })
    }

    /// The value of each step, of samples from the lookback before it to `ahead` milliseconds after it. `pick` gets the
    /// samples, the number of those that are not after the step, and the step's time; none leaves the step empty.
    fn steps(
        &mut self,
        selector: &Selector,
        steps: Steps,
        ahead: i64,
        pick: impl Fn(&[Sample], usize, i64) -> Option<f64>,
    ) -> Result<Block, QueryError> {
        let from = self.reference(&selector.shift, steps.from).saturating_sub(self.lookback()).saturating_add(1);
        let to = self.reference(&selector.shift, steps.last()).saturating_add(ahead);
        let series = self.store.select(&selector.matchers, from, to)?;
        let mut out = Block::new(&self.budget, steps.count);
        let mut samples = mem::take(&mut self.samples);
        for series in series {
            samples.clear();
            series.read(from, to, &mut samples)?;
            self.budget.room(samples.len())?;
            self.spend(steps.count + samples.len())?;
            let row = out.grow(series.labels().clone().into())?;
            let (mut next, mut any) = (0, false);
            for (step, cell) in row.iter_mut().enumerate() {
                let at = self.reference(&selector.shift, steps.at(step));
                next += samples[next..].iter().take_while(|sample| sample.t <= at).count();
                if let Some(value) = pick(&samples, next, at) {
                    *cell = value;
                    any = true;
                }
            }
            if !any {
                out.pop();
            }
        }
        self.samples = samples;
        Ok(out)
    }

    /// What a range selector or a subquery covers.
    pub(super) fn ranges(&mut self, node: &Node, steps: Steps) -> Result<Ranges, QueryError> {
        match &node.bare().kind {
            Kind::Range(selector, range) => {
                let around = match selector.edges {
                    Edges::Plain => (0, 0),
                    Edges::Anchored => (self.lookback(), 0),
                    Edges::Smoothed => (self.lookback(), self.lookback()),
                };
                let mut ranges = Ranges {
                    source: Source::Stored(Vec::new()),
                    shift: selector.shift.clone(),
                    range: range.millis,
                    edges: selector.edges,
                    around,
                };
                let (from, to) = self.span(&ranges, steps);
                ranges.source = Source::Stored(self.store.select(&selector.matchers, from, to)?);
                Ok(ranges)
            }
            Kind::Subquery(subquery) => self.subquery(subquery, steps),
            _ => Ok(Ranges::within(Source::Stored(Vec::new()), Shift::default(), 0)),
        }
    }

    /// The first and the last millisecond that the windows of all steps hold.
    fn span(&self, ranges: &Ranges, steps: Steps) -> (i64, i64) {
        let from = self.reference(&ranges.shift, steps.from).saturating_sub(ranges.range);
        let to = self.reference(&ranges.shift, steps.last());
        (from.saturating_sub(ranges.around.0).saturating_add(1), to.saturating_add(ranges.around.1))
    }

    fn subquery(&mut self, subquery: &Subquery, steps: Steps) -> Result<Ranges, QueryError> {
        let every = subquery.step.as_ref().map_or(DEFAULT_STEP, |step| step.millis);
        let earliest = self.reference(&subquery.shift, steps.from).saturating_sub(subquery.range.millis);
        let latest = self.reference(&subquery.shift, steps.last());
        // The steps lie on multiples of their own interval; the first one is inside the range, which is open there.
        let mut from = every.saturating_mul(earliest / every);
        if from <= earliest {
            from = from.saturating_add(every);
        }
        let count = if from > latest {
            0
        } else {
            usize::try_from(latest.saturating_sub(from) / every).map_or(usize::MAX, |count| count.saturating_add(1))
        };
        self.budget.room(count)?;
        let inner = Steps { from, to: latest, every, count };
        let block = if count == 0 { Block::new(&self.budget, 0) } else { self.eval(&subquery.expr, inner)? };
        Ok(Ranges::within(Source::Steps(block, inner), subquery.shift.clone(), subquery.range.millis))
    }

    /// Calls `function` for each series and step; `args` are its scalars. Steps without an answer stay empty.
    pub(super) fn over(
        &mut self,
        ranges: &Ranges,
        steps: Steps,
        function: OverTime,
        args: &[Block],
    ) -> Result<Block, QueryError> {
        let mut out = Block::new(&self.budget, steps.count);
        let mut samples = mem::take(&mut self.samples);
        let mut values = vec![0.0; args.len()];
        for index in 0..ranges.source.rows() {
            let head = ranges.source.head(index);
            self.load(ranges, index, steps, &mut samples)?;
            let labels = head.labels.clone();
            let metric = labels.name();
            let row = out.grow(head)?;
            let (mut low, mut high, mut any) = (0, 0, false);
            for (step, cell) in row.iter_mut().enumerate() {
                let at = steps.at(step);
                let to = self.reference(&ranges.shift, at);
                let from = to.saturating_sub(ranges.range);
                let (earliest, latest) = (from.saturating_sub(ranges.around.0), to.saturating_add(ranges.around.1));
                high += samples[high..].iter().take_while(|sample| sample.t <= latest).count();
                low += samples[low..high].iter().take_while(|sample| sample.t <= earliest).count();
                if low == high {
                    continue;
                }
                self.spend(high - low)?;
                values.iter_mut().zip(args).for_each(|(value, arg)| *value = arg.value(step));
                let window = Window { samples: &samples[low..high], from, to, at, metric };
                if let Some(value) = function(&window, &values, &mut self.notes) {
                    *cell = value;
                    any = true;
                }
            }
            if !any {
                out.pop();
            }
        }
        self.samples = samples;
        Ok(out)
    }

    /// Reads all samples of a series that any step's window holds.
    fn load(&mut self, ranges: &Ranges, index: usize, steps: Steps, out: &mut Vec<Sample>) -> Result<(), QueryError> {
        out.clear();
        let (from, to) = self.span(ranges, steps);
        match &ranges.source {
            Source::Stored(series) => {
                series[index].read(from, to, out)?;
                out.retain(|sample| !sample::is_stale(sample.v));
            }
            Source::Steps(block, inner) => {
                let cells = block.row(index).iter().enumerate().filter(|(_, cell)| !absent(**cell));
                out.extend(cells.map(|(step, cell)| Sample { t: inner.at(step), v: *cell }));
            }
        }
        self.budget.room(out.len())?;
        self.spend(out.len())
    }

    /// A range vector as the answer of an instant query.
    pub(super) fn matrix(&mut self, node: &Node, steps: Steps) -> Result<Vec<Row>, QueryError> {
        let ranges = self.ranges(node, steps)?;
        let (mut out, mut held) = (Vec::<Row>::new(), 0);
        for index in 0..ranges.source.rows() {
            let mut samples = Vec::new();
            self.load(&ranges, index, steps, &mut samples)?;
            if ranges.edges != Edges::Plain {
                let to = self.reference(&ranges.shift, steps.from);
                let from = to.saturating_sub(ranges.range);
                let window = Window { samples: &samples, from, to, at: steps.from, metric: "" };
                samples = edges::extended(&window, ranges.edges == Edges::Smoothed);
            }
            held += samples.len();
            self.budget.room(held)?;
            let head = ranges.source.head(index);
            let labels = if head.drop { super::block::unnamed(&head.labels) } else { head.labels };
            if !samples.is_empty() {
                out.push(Row { labels, samples });
            }
        }
        out.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(out)
    }
}

impl Ranges {
    /// Windows that hold what is within the range and nothing else.
    fn within(source: Source, shift: Shift, range: i64) -> Self {
        Self { source, shift, range, edges: Edges::Plain, around: (0, 0) }
    }
}

impl Source {
    fn rows(&self) -> usize {
        match self {
            Self::Stored(series) => series.len(),
            Self::Steps(block, _) => block.rows(),
        }
    }

    fn head(&self, index: usize) -> Head {
        match self {
            Self::Stored(series) => series[index].labels().clone().into(),
            Self::Steps(block, _) => block.heads[index].clone(),
        }
    }
}

/// Unix seconds.
pub(super) fn seconds(millis: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "times are far below 2^53 milliseconds")]
    {
        millis as f64 / 1000.0
    }
}
