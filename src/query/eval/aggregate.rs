//! Aggregations over the elements of a vector.

use std::collections::HashMap;

use super::Eval;
use super::best::Best;
use super::block::{ABSENT, Block, Head, Steps, absent, of_name};
use crate::query::QueryError;
use crate::query::notes::{Note, general, quoted};
use crate::query::print::decimal;
use crate::query::sums::{kahan, quantile};
use crate::query::syntax::{Aggregate, Aggregator, Kind};
use crate::store::Labels;

impl Eval<'_> {
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate, steps: Steps) -> Result<Block, QueryError> {
        let param = match &aggregate.param {
            Some(param) if aggregate.op != Aggregator::CountValues => Some(self.eval(param, steps)?),
            _ => None,
        };
        let input = self.eval(&aggregate.expr, steps)?;
        self.spend(input.cells.len())?;
        match (aggregate.op, param) {
            (Aggregator::CountValues, _) => self.count_values(aggregate, &input),
            (Aggregator::Topk | Aggregator::Bottomk, Some(param)) => self.top(aggregate, input, &param.cells),
            (Aggregator::Quantile, Some(param)) => self.quantile(aggregate, &input, &param.cells),
            _ => self.fold(aggregate, &input),
        }
    }

    /// Those that need one pass and a few numbers for each group and step.
    fn fold(&mut self, aggregate: &Aggregate, input: &Block) -> Result<Block, QueryError> {
        let groups = Groups::of(aggregate, input);
        let mut out = self.grouped(&groups, input)?;
        self.budget.room(out.cells.len() * 4)?;
        let mut sums = vec![Running::default(); out.cells.len()];
        for (index, number) in groups.of.iter().enumerate() {
            let sums = &mut sums[number * input.steps..];
            for (sum, cell) in sums.iter_mut().zip(input.row(index)).filter(|(_, cell)| !absent(**cell)) {
                sum.add(aggregate.op, *cell);
            }
        }
        for (cell, sum) in out.cells.iter_mut().zip(&sums).filter(|(_, sum)| sum.count > 0.0) {
            *cell = sum.result(aggregate.op);
        }
        out.compact();
        Ok(out)
    }

    fn quantile(&mut self, aggregate: &Aggregate, input: &Block, q: &[f64]) -> Result<Block, QueryError> {
        let place = aggregate.param.as_ref().map_or(0, |param| param.bare().place);
        if q.iter().any(|q| q.is_nan()) {
            self.notes.at(place, Note::Quantile(f64::NAN));
        }
        let (low, high) = spread(aggregate, q);
        // Where none is a number both are still where they began.
        for q in [high, low].into_iter().filter(|_| low <= high).filter(|q| !(0.0..=1.0).contains(q)) {
            self.notes.at(place, Note::Quantile(q));
        }
        let groups = Groups::of(aggregate, input);
        let mut out = self.grouped(&groups, input)?;
        let members = groups.members();
        let mut values = Vec::new();
        for (group, members) in members.iter().enumerate() {
            for (step, q) in q.iter().enumerate() {
                self.spend(members.len())?;
                values.clear();
                values.extend(members.iter().map(|index| input.row(*index)[step]).filter(|cell| !absent(*cell)));
                if !values.is_empty() {
                    out.row_mut(group)[step] = quantile(*q, &mut values);
                }
            }
        }
        out.compact();
        Ok(out)
    }

    /// `topk` and `bottomk`: the elements themselves, the best first in an instant query.
    fn top(&mut self, aggregate: &Aggregate, mut input: Block, k: &[f64]) -> Result<Block, QueryError> {
        let (low, high) = spread(aggregate, k);
        let fault = |what: String| Err(QueryError::Execution(what));
        if k.iter().any(|k| k.is_nan()) {
            return fault("Parameter value is NaN".into());
        }
        if high < 1.0 {
            return Ok(Block::new(&self.budget, input.steps));
        }
        // The largest numbers that fit into 64 bits with a sign.
        if low <= -9_223_372_036_854_775_808.0 {
            return fault(format!("Scalar value {} underflows int64", general(low)));
        }
        if high >= 9_223_372_036_854_774_784.0 {
            return fault(format!("Scalar value {} overflows int64", general(high)));
        }
        let groups = Groups::of(aggregate, &input);
        let bottom = aggregate.op == Aggregator::Bottomk;
        let mut order = Vec::new();
        for members in groups.members() {
            for (step, k) in k.iter().enumerate() {
                self.spend(members.len() * 4)?;
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded above")]
                let k = k.max(0.0) as usize;
                let mut best = Best::new(k, bottom);
                for row in &members {
                    let cell = input.row(*row)[step];
                    if absent(cell) {
                        continue;
                    }
                    if let Some(gone) = best.offer(cell, *row) {
                        input.row_mut(gone)[step] = ABSENT;
                    }
                }
                order.extend(best.rows());
            }
        }
        if input.steps == 1 {
            let mut out = Block::new(&self.budget, 1);
            for row in order {
                out.grow(input.heads[row].clone())?.copy_from_slice(input.row(row));
            }
            return Ok(out);
        }
        input.compact();
        Ok(input)
    }

    fn count_values(&mut self, aggregate: &Aggregate, input: &Block) -> Result<Block, QueryError> {
        let label = aggregate.param.as_ref().map_or("", |param| param.literal());
        if label.is_empty() {
            return Err(QueryError::Execution(format!("invalid label name {}", quoted(label))));
        }
        let mut out = Block::new(&self.budget, input.steps);
        let mut rows: HashMap<Labels, usize> = HashMap::new();
        for index in 0..input.rows() {
            let labels = &input.heads[index].labels;
            for step in 0..input.steps {
                let cell = input.row(index)[step];
                if absent(cell) {
                    continue;
                }
                self.spend(64)?;
                let valued = labels.with(label, &decimal(cell));
                let key = valued.filter(|name| aggregate.keeps(name) || name == label && !aggregate.without);
                let row = if let Some(row) = rows.get(&key) {
                    *row
                } else {
                    out.grow(key.clone().into())?;
                    rows.insert(key, out.rows() - 1);
                    out.rows() - 1
                };
                let count = &mut out.row_mut(row)[step];
                *count = if absent(*count) { 1.0 } else { *count + 1.0 };
            }
        }
        Ok(out)
    }

    /// An empty row for each group.
    fn grouped(&self, groups: &Groups, input: &Block) -> Result<Block, QueryError> {
        let mut out = Block::new(&self.budget, input.steps);
        for head in &groups.heads {
            out.grow(head.clone())?;
        }
        Ok(out)
    }
}

impl Aggregate {
    /// Whether the groups have this label.
    fn keeps(&self, name: &str) -> bool {
        let named = self.labels.iter().any(|label| label == name);
        if self.without { !named && !of_name(name) } else { named }
    }
}

/// The group of each row.
struct Groups {
    of: Vec<usize>,
    heads: Vec<Head>,
}

impl Groups {
    fn of(aggregate: &Aggregate, input: &Block) -> Self {
        let mut known: HashMap<Labels, usize> = HashMap::new();
        let (mut of, mut heads) = (Vec::with_capacity(input.rows()), Vec::<Head>::new());
        for head in &input.heads {
            let key = head.labels.filter(|name| aggregate.keeps(name));
            let next = known.len();
            let number = *known.entry(key).or_insert_with_key(|key| {
                heads.push(key.clone().into());
                next
            });
            heads[number].drop |= head.drop;
            of.push(number);
        }
        Self { of, heads }
    }

    /// The rows of each group.
    fn members(&self) -> Vec<Vec<usize>> {
        let mut out = vec![Vec::new(); self.heads.len()];
        for (row, group) in self.of.iter().enumerate() {
            out[*group].push(row);
        }
        out
    }
}

/// Smallest and largest of the parameter's values as Prometheus finds them: of one that is calculated it begins with the
/// finite bounds.
fn spread(aggregate: &Aggregate, values: &[f64]) -> (f64, f64) {
    if let Some(Kind::Number(number, _)) = aggregate.param.as_ref().map(|param| &param.bare().kind) {
        return (*number, *number);
    }
    values.iter().fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(*value), high.max(*value)))
}

/// What a group has seen of a step.
#[derive(Debug, Clone, Copy, Default)]
struct Running {
    count: f64,
    value: f64,
    /// What rounding took from the sum (Kahan and Neumaier).
    lost: f64,
    mean: f64,
    /// The sum would not fit: the mean is kept instead.
    running_mean: bool,
}

impl Running {
    fn add(&mut self, op: Aggregator, cell: f64) {
        self.count += 1.0;
        #[expect(clippy::float_cmp, reason = "it counts")]
        let first = self.count == 1.0;
        match op {
            Aggregator::Sum if first => self.value = cell,
            Aggregator::Sum => (self.value, self.lost) = kahan(cell, self.value, self.lost),
            Aggregator::Avg if first => (self.value, self.mean) = (cell, cell),
            Aggregator::Avg => self.average(cell),
            Aggregator::Min if first || self.value > cell || self.value.is_nan() => self.value = cell,
            Aggregator::Max if first || self.value < cell || self.value.is_nan() => self.value = cell,
            Aggregator::Stddev | Aggregator::Stdvar if first => {
                (self.value, self.mean) = (if cell.is_finite() { 0.0 } else { f64::NAN }, cell);
            }
            Aggregator::Stddev | Aggregator::Stdvar => {
                let delta = cell - self.mean;
                self.mean += delta / self.count;
                self.value += delta * (cell - self.mean);
            }
            _ => {}
        }
    }

    /// The sum as long as it fits, then the mean itself.
    fn average(&mut self, cell: f64) {
        if !self.running_mean {
            let (sum, lost) = kahan(cell, self.value, self.lost);
            if !sum.is_infinite() {
                (self.value, self.lost) = (sum, lost);
                return;
            }
            self.running_mean = true;
            self.mean = self.value / (self.count - 1.0);
            self.lost /= self.count - 1.0;
        }
        let share = (self.count - 1.0) / self.count;
        (self.mean, self.lost) = kahan(cell / self.count, share * self.mean, share * self.lost);
    }

    fn result(&self, op: Aggregator) -> f64 {
        match op {
            Aggregator::Sum => self.value + self.lost,
            Aggregator::Avg if self.running_mean => self.mean + self.lost,
            Aggregator::Avg => self.value / self.count + self.lost / self.count,
            Aggregator::Count => self.count,
            Aggregator::Group => 1.0,
            Aggregator::Stdvar => self.value / self.count,
            Aggregator::Stddev => (self.value / self.count).sqrt(),
            _ => self.value,
        }
    }
}
