//! PromQL over the store, with the answers that Prometheus 3 gives.
//!
//! What is outside the language as Prometheus has it by default (native histograms, experimental functions) is refused
//! with its place, never answered wrong.

use std::borrow::Cow;
use std::time::Duration;

use crate::store::{Labels, Matcher, Sample, Store};

mod calls;
mod eval;
mod functions;
mod length;
mod lex;
mod names;
pub mod notation;
pub mod notes;
mod parse;
mod print;
mod reach;
mod sums;
mod syntax;

pub use notes::Notes;

/// Bounds of one query.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Samples that may be held at once, as Prometheus' `--query.max-samples` counts.
    pub samples: usize,
    /// Steps of a range query. Prometheus: 11,000.
    pub steps: usize,
    /// How long it may run.
    pub time: Duration,
    /// How far back an instant selector looks. Prometheus: 5 min.
    pub lookback: Duration,
    /// Keep names until the end of the query, as Prometheus does behind its flag; its test data wants that.
    pub delayed_name_removal: bool,
}

/// One element of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Element {
    /// Its labels.
    pub labels: Labels,
    /// Its value, at the time of the query.
    pub sample: Sample,
}

/// One row of a range vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its labels.
    pub labels: Labels,
    /// Its values in the order of time.
    pub samples: Vec<Sample>,
}

/// What a query yields.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// One number.
    Scalar(Sample),
    /// A text.
    Text(String),
    /// An instant vector.
    Vector(Vec<Element>),
    /// A range vector, or the answer of a range query; sorted by labels.
    Matrix(Vec<Row>),
}

/// The answer with what Prometheus would remark.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The value.
    pub value: Value,
    /// Such as `PromQL warning: …`, without repeats.
    pub warnings: Vec<String>,
    /// Such as `PromQL info: …`, without repeats.
    pub infos: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The text is no query, or not one that is answered here; with its place (line and column from 1).
    #[error("{line}:{column}: parse error: {what}")]
    Parse {
        /// Line from 1.
        line: usize,
        /// Column from 1, in characters.
        column: usize,
        /// What is wrong.
        what: String,
    },
    /// It cannot be evaluated on this data, in Prometheus' words.
    #[error("{0}")]
    Execution(String),
    /// It would exceed a limit; says which.
    #[error("{0}")]
    Limit(String),
    /// It took too long.
    #[error("query timed out after {0:?}")]
    Timeout(Duration),
    /// The store cannot be read.
    #[error("{0}")]
    Store(String),
}

/// Milliseconds of a duration in Prometheus' notation, such as `1d12h`: units fall from years to milliseconds, each once.
/// `None` for what is none, and beyond 292 years.
pub fn duration(text: &str) -> Option<i64> {
    lex::duration(text)
}

/// A query that was read and checked.
#[derive(Debug, Clone)]
pub struct Query {
    source: String,
    text: String,
    node: syntax::Node,
    /// Lengths of time in it wait for the step and the range that it is asked with.
    calculates: bool,
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// [`QueryError::Parse`] with the place.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let (node, calculates) = parse::parse(text)?;
        Ok(Self { source: text.to_owned(), text: node.to_string(), node, calculates })
    }

    /// The tree with its lengths calculated for a query with this step and range, in milliseconds.
    fn settled(&self, step: i64, range: i64) -> Result<Cow<'_, syntax::Node>, QueryError> {
        if !self.calculates {
            return Ok(Cow::Borrowed(&self.node));
        }
        let mut node = self.node.clone();
        #[expect(clippy::cast_precision_loss, reason = "times are far below 2^53 milliseconds")]
        let times = length::Times { step: step as f64 / 1e3, range: range as f64 / 1e3 };
        length::settle(&mut node, times).map_err(|error| parse::fault(&self.source, error))?;
        Ok(Cow::Owned(node))
    }

    /// How many milliseconds its ranges reach back.
    pub fn reach(&self) -> i64 {
        reach::reach(&self.node)
    }

    /// Whether it may yield something though one of its selectors finds nothing.
    pub fn copes(&self) -> bool {
        reach::copes(&self.node)
    }

    /// The names of the metrics without each of which it yields nothing.
    pub fn needs(&self) -> Vec<&str> {
        reach::needs(&self.node)
    }

    /// What it demands of a series, where it is nothing but a selector of series.
    pub fn selector(&self) -> Option<&[Matcher]> {
        match &self.node.kind {
            syntax::Kind::Select(selector)
                if selector.shift == syntax::Shift::default() && selector.edges == syntax::Edges::Plain =>
            {
                Some(&selector.matchers)
            }
            _ => None,
        }
    }

    /// As Prometheus would write it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names of the metrics that it asks for, each once, as far as selectors name one.
    pub fn names(&self) -> Vec<&str> {
        names::names(&self.node)
    }

    /// What each of its selectors demands beside the name, with the name where there is one.
    pub fn demands(&self) -> Vec<(Option<&str>, Vec<&Matcher>)> {
        names::demands(&self.node)
    }

    /// The labels by which it groups and matches, each once.
    pub fn groups(&self) -> Vec<&str> {
        names::groups(&self.node)
    }
}

/// The answer at `at` (Unix milliseconds).
///
/// # Errors
/// Any; [`QueryError::Parse`] for a calculated duration that has no value or none above 0.
pub fn instant(store: &Store, query: &Query, at: i64, limits: Limits) -> Result<Answer, QueryError> {
    eval::instant(store, query, at, limits)
}

/// The answers from `from` to `to` (Unix milliseconds, both included) every `step` milliseconds, as a matrix.
///
/// # Errors
/// As [`instant`].
pub fn range(
    store: &Store,
    query: &Query,
    (from, to, step): (i64, i64, i64),
    limits: Limits,
) -> Result<Answer, QueryError> {
    eval::range(store, query, (from, to, step), limits)
}

#[cfg(test)]
mod tests;
