//! The evaluator: each node of the tree over all steps at once.

use std::time::Instant;

use super::syntax::{At, Edges, Group, Kind, Node, Shift, Type};
use super::{Answer, Element, Limits, Notes, Query, QueryError, Row, Value};
use crate::store::{Sample, Store, StoreError};

mod aggregate;
mod best;
mod binary;
mod block;
mod call;
mod matching;
mod relabel;
mod select;

use block::{Block, Budget, Steps, absent};

/// The step of subqueries that name none: Prometheus' default `evaluation_interval`.
const DEFAULT_STEP: i64 = 60_000;
/// Cells of work between two looks at the clock.
const LOOK: usize = 1 << 14;

struct Eval<'a> {
    store: &'a Store,
    limits: Limits,
    /// Start and end of the query, for `@ start()` and `@ end()`.
    bounds: (i64, i64),
    notes: Notes,
    budget: Budget,
    began: Instant,
    work: usize,
    /// Reused for the samples of one series after the other.
    samples: Vec<Sample>,
}

/// The answer at one time.
pub(super) fn instant(store: &Store, query: &Query, at: i64, limits: Limits) -> Result<Answer, QueryError> {
    let mut eval = Eval::new(store, (at, at), limits);
    let steps = Steps { from: at, to: at, every: 1, count: 1 };
    let node = &*query.settled(0, 0)?;
    let value = match node.ty() {
        Type::Text => Value::Text(node.literal().to_owned()),
        Type::Matrix => Value::Matrix(eval.matrix(node.bare(), steps)?),
        Type::Scalar => Value::Scalar(Sample { t: at, v: eval.eval(node, steps)?.value(0) }),
        Type::Vector => {
            let block = eval.finished(node, steps)?;
            let heads = block.heads.iter().zip(&block.cells);
            let mut out: Vec<Element> = heads
                .map(|(head, cell)| Element { labels: head.labels.clone(), sample: Sample { t: at, v: *cell } })
                .collect();
            if !ordered(node) {
                out.sort_by(|a, b| a.labels.cmp(&b.labels));
            }
            Value::Vector(out)
        }
    };
    Ok(eval.answer(query, value))
}

/// The answers over a range.
pub(super) fn range(
    store: &Store,
    query: &Query,
    (from, to, step): (i64, i64, i64),
    limits: Limits,
) -> Result<Answer, QueryError> {
    let node = &query.node;
    if !matches!(node.ty(), Type::Scalar | Type::Vector) {
        let what = node.ty().words();
        return Err(QueryError::Execution(format!(
            "invalid expression type \"{what}\" for range query, must be Scalar or instant Vector"
        )));
    }
    if step <= 0 {
        let what = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(QueryError::Limit(what.into()));
    }
    let length = to.checked_sub(from).ok_or_else(|| QueryError::Limit("the range is too long".into()))?;
    if length < 0 {
        return Err(QueryError::Limit("end timestamp must not be before start time".into()));
    }
    let count = usize::try_from(length / step).unwrap_or(usize::MAX).saturating_add(1);
    if count > limits.steps.saturating_add(1) {
        return Err(QueryError::Limit(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"
                .replace("11,000", &thousands(limits.steps)),
        ));
    }
    let mut eval = Eval::new(store, (from, to), limits);
    let steps = Steps { from, to, every: step, count };
    let block = eval.finished(&*query.settled(step, length)?, steps)?;
    let mut rows: Vec<Row> = Vec::with_capacity(block.rows());
    for (index, head) in block.heads.iter().enumerate() {
        let cells = block.row(index).iter().enumerate().filter(|(_, cell)| !absent(**cell));
        let samples = cells.map(|(step, cell)| Sample { t: steps.at(step), v: *cell }).collect();
        rows.push(Row { labels: head.labels.clone(), samples });
    }
    rows.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(eval.answer(query, Value::Matrix(rows)))
}

/// With commas between thousands.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Whether the order of an instant vector says something: from `sort` or `topk` on.
fn ordered(node: &Node) -> bool {
    match &node.kind {
        Kind::Paren(inner) | Kind::Sign(_, inner) => ordered(inner),
        Kind::Call(function, args) => {
            matches!(function.name, "sort" | "sort_desc")
                || args.iter().find(|arg| arg.ty() == Type::Vector).is_some_and(ordered)
        }
        Kind::Aggregate(aggregate) => {
            matches!(aggregate.op, super::syntax::Aggregator::Topk | super::syntax::Aggregator::Bottomk)
        }
        // Of two vectors the order is that of the side whose elements are looked up in the other.
        Kind::Binary(binary) => match (binary.left.ty(), binary.right.ty()) {
            (Type::Scalar, _) => ordered(&binary.right),
            (Type::Vector, Type::Vector) if binary.matching.group == Group::Right => ordered(&binary.right),
            _ => ordered(&binary.left),
        },
        _ => false,
    }
}

impl<'a> Eval<'a> {
    fn new(store: &'a Store, bounds: (i64, i64), limits: Limits) -> Self {
        Self {
            store,
            limits,
            bounds,
            notes: Notes::new(),
            budget: Budget::new(limits.samples),
            began: Instant::now(),
            work: 0,
            samples: Vec::new(),
        }
    }

    fn answer(&self, query: &Query, value: Value) -> Answer {
        let (warnings, infos) = self.notes.texts(&query.source);
        Answer { value, warnings, infos }
    }

    /// The value at the end of the query: without the names that were to go later.
    fn finished(&mut self, node: &Node, steps: Steps) -> Result<Block, QueryError> {
        let mut block = self.eval(node, steps)?;
        if self.limits.delayed_name_removal {
            for head in block.heads.iter_mut().filter(|head| head.drop) {
                head.labels = block::unnamed(&head.labels);
            }
            block.merge()?;
        }
        Ok(block)
    }

    /// Evaluates a scalar or an instant vector.
    fn eval(&mut self, node: &Node, steps: Steps) -> Result<Block, QueryError> {
        self.spend(steps.count)?;
        if !node.fixed {
            return self.walk(node, steps);
        }
        let first = self.walk(node, Steps { to: steps.from, count: steps.count.min(1), ..steps })?;
        if steps.count <= 1 {
            return Ok(first);
        }
        let mut out = Block::new(&self.budget, steps.count);
        for (head, cell) in first.heads.iter().zip(&first.cells) {
            out.grow(head.clone())?.fill(*cell);
        }
        Ok(out)
    }

    fn walk(&mut self, node: &Node, steps: Steps) -> Result<Block, QueryError> {
        match &node.kind {
            Kind::Number(value, _) => Block::scalar(&self.budget, (0..steps.count).map(|_| *value)),
            Kind::Select(selector) if selector.edges == Edges::Smoothed => self.smooth(selector, steps),
            Kind::Select(selector) => self.select(selector, steps, false),
            Kind::Paren(inner) => self.eval(inner, steps),
            Kind::Sign(minus, inner) => self.signed(*minus, inner, steps),
            Kind::Binary(binary) => self.binary(binary, steps),
            Kind::Aggregate(aggregate) => self.aggregate(aggregate, steps),
            Kind::Call(function, args) => self.call(node, function.name, args, steps),
            Kind::Text(_) | Kind::Range(..) | Kind::Subquery(_) => Ok(Block::new(&self.budget, steps.count)),
        }
    }

    fn signed(&mut self, minus: bool, inner: &Node, steps: Steps) -> Result<Block, QueryError> {
        let mut block = self.eval(inner, steps)?;
        if minus {
            for cell in block.cells.iter_mut().filter(|cell| !absent(**cell)) {
                *cell = -*cell;
            }
            self.unname(&mut block)?;
        }
        Ok(block)
    }

    /// Takes names away as the query wants it, and joins what is alike then.
    fn unname(&self, block: &mut Block) -> Result<(), QueryError> {
        if block.unname(self.limits.delayed_name_removal) { block.merge() } else { Ok(()) }
    }

    /// The time that a selector looks at in a step.
    fn reference(&self, shift: &Shift, step: i64) -> i64 {
        let at = match shift.at {
            None => step,
            Some(At::Start) => self.bounds.0,
            Some(At::End) => self.bounds.1,
            Some(At::Time(at)) => at,
        };
        at.saturating_sub(shift.offset.millis)
    }

    /// How far back selectors look, in milliseconds.
    fn lookback(&self) -> i64 {
        i64::try_from(self.limits.lookback.as_millis()).unwrap_or(i64::MAX)
    }

    /// Counts work, and looks at the clock now and then.
    fn spend(&mut self, cells: usize) -> Result<(), QueryError> {
        self.work += cells + 16;
        if self.work < LOOK {
            return Ok(());
        }
        self.work = 0;
        if self.began.elapsed() > self.limits.time {
            return Err(QueryError::Timeout(self.limits.time));
        }
        Ok(())
    }
}

impl From<StoreError> for QueryError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::TooMany(_) => Self::Limit(error.to_string()),
            StoreError::Disk(_) => Self::Store(error.to_string()),
        }
    }
}
