//! Lengths of time in a query: ranges, steps of subqueries, offsets. They are known from the text, or calculated from
//! it and from the step and the range of the query; an instant query has neither, so both are 0.

use super::lex::Fault;
use super::syntax::{Kind, Node, Op, Selector};

/// Seconds up to which Prometheus holds a duration: it counts nanoseconds in 64 bits.
const MOST: f64 = 9_223_372_036.854_775;

/// A length of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Length {
    /// Milliseconds; of a calculated length those of an instant query, until [`settle`].
    pub(super) millis: i64,
    /// How it is calculated.
    pub(super) term: Option<Box<Term>>,
}

/// A part of a calculation, in seconds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Term {
    pub(super) sum: Sum,
    /// The byte where it begins.
    pub(super) place: usize,
    /// Levels below and with it.
    pub(super) height: usize,
    /// In parentheses.
    pub(super) wrapped: bool,
}

/// What a part is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Sum {
    /// Seconds; true: written as a duration.
    Number(f64, bool),
    /// `step()`
    Step,
    /// `range()`
    Range,
    /// With a minus before it.
    Minus(Box<Term>),
    Binary(Op, Box<Term>, Box<Term>),
    /// `min_of(a, b)`
    Least(Box<Term>, Box<Term>),
    /// `max_of(a, b)`
    Most(Box<Term>, Box<Term>),
}

/// Step and range of a query, in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    pub(super) step: f64,
    pub(super) range: f64,
}

impl Length {
    /// Known from the text: seconds, of which whole milliseconds count; none beyond what Prometheus holds.
    pub(super) fn known(seconds: f64) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, reason = "bounded by the range before it")]
        let millis = |seconds: f64| (seconds * 1e9).round() as i64 / 1_000_000;
        (seconds.abs() <= MOST).then(|| Self { millis: millis(seconds), term: None })
    }

    /// To be calculated.
    pub(super) fn calculated(term: Term) -> Self {
        let mut length = Self { millis: 0, term: Some(Box::new(term)) };
        // What cannot be calculated without step and range is told when the query is asked.
        if let Ok(millis) = length.calculate(Times::default(), true) {
            length.millis = millis;
        }
        length
    }

    /// Whether the query gives one, be it zero.
    pub(super) fn given(&self) -> bool {
        self.millis != 0 || self.term.is_some()
    }

    /// Its milliseconds with these times; `signed`: it may be zero or less.
    fn calculate(&self, times: Times, signed: bool) -> Result<i64, Fault> {
        let Some(term) = &self.term else { return Ok(self.millis) };
        let seconds = term.value(times)?;
        let fault = |what: &str| Err((term.place, what.to_owned()));
        if !seconds.is_finite() {
            return fault("duration is NaN or infinite");
        }
        if seconds.abs() > MOST {
            return fault("duration is out of range");
        }
        #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
        let millis = (seconds * 1000.0) as i64;
        if !signed && millis <= 0 {
            return fault("duration must be greater than 0");
        }
        Ok(millis)
    }

    fn settle(&mut self, times: Times, signed: bool) -> Result<(), Fault> {
        self.millis = self.calculate(times, signed)?;
        Ok(())
    }
}

impl Term {
    /// Its seconds.
    fn value(&self, times: Times) -> Result<f64, Fault> {
        Ok(match &self.sum {
            Sum::Number(seconds, _) => *seconds,
            Sum::Step => times.step,
            Sum::Range => times.range,
            Sum::Minus(term) => -term.value(times)?,
            Sum::Least(a, b) => extreme(a.value(times)?, b.value(times)?, f64::min),
            Sum::Most(a, b) => extreme(a.value(times)?, b.value(times)?, f64::max),
            Sum::Binary(op, left, right) => {
                let (left, right) = (left.value(times)?, right.value(times)?);
                match op {
                    Op::Add => left + right,
                    Op::Sub => left - right,
                    Op::Mul => left * right,
                    Op::Div if right == 0.0 => return Err((self.place, "division by zero".into())),
                    Op::Div => left / right,
                    Op::Mod if right == 0.0 => return Err((self.place, "modulo by zero".into())),
                    Op::Mod => left % right,
                    _ => left.powf(right),
                }
            }
        })
    }
}

/// The smaller or the larger; as in Go, NaN beside anything is NaN.
fn extreme(a: f64, b: f64, pick: fn(f64, f64) -> f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { pick(a, b) }
}

/// Calculates all lengths in `node`.
///
/// # Errors
/// The first that has no value, or one that a range cannot have, with its place.
pub(super) fn settle(node: &mut Node, times: Times) -> Result<(), Fault> {
    match &mut node.kind {
        Kind::Number(..) | Kind::Text(_) => Ok(()),
        Kind::Select(selector) => aim(selector, times),
        Kind::Range(selector, range) => {
            range.settle(times, false)?;
            aim(selector, times)
        }
        Kind::Subquery(subquery) => {
            subquery.shift.offset.settle(times, true)?;
            if let Some(step) = &mut subquery.step {
                step.settle(times, false)?;
            }
            subquery.range.settle(times, false)?;
            settle(&mut subquery.expr, times)
        }
        Kind::Sign(_, expr) | Kind::Paren(expr) => settle(expr, times),
        Kind::Binary(binary) => {
            settle(&mut binary.left, times)?;
            settle(&mut binary.right, times)
        }
        Kind::Aggregate(aggregate) => {
            settle(&mut aggregate.expr, times)?;
            aggregate.param.as_mut().map_or(Ok(()), |param| settle(param, times))
        }
        Kind::Call(_, args) => args.iter_mut().try_for_each(|arg| settle(arg, times)),
    }
}

fn aim(selector: &mut Selector, times: Times) -> Result<(), Fault> {
    selector.shift.offset.settle(times, true)
}
