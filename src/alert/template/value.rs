//! What a template computes with, and how Go would print it.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::number;
use crate::base::go::{duration, general};
use crate::store::Labels;

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Nothing: `nil`, or a key that is not there.
    Nothing,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    /// Labels by name.
    Labels(Labels),
    /// What `args` makes.
    Map(Rc<BTreeMap<String, Value>>),
    /// What `query` answers.
    Vector(Rc<[Sample]>),
    Sample(Sample),
    /// Unix milliseconds.
    Time(i64),
    /// Nanoseconds.
    Span(i64),
    /// All that the template may speak of.
    Root,
}

/// One element of a query's answer.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) labels: Labels,
    pub(super) value: f64,
}

impl Value {
    pub(super) fn text(text: impl Into<Rc<str>>) -> Self {
        Self::Text(text.into())
    }

    /// Whether `if` goes into it.
    pub(super) fn truth(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Bool(truth) => *truth,
            Self::Int(number) | Self::Span(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::Labels(labels) => !labels.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Vector(all) => !all.is_empty(),
            Self::Sample(_) | Self::Time(_) | Self::Root => true,
        }
    }

    /// Go's name of its type.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Nothing => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Labels(_) => "map[string]string",
            Self::Map(_) => "map[string]interface {}",
            Self::Vector(_) => "template.queryResult",
            Self::Sample(_) => "*template.sample",
            Self::Time(_) => "*time.Time",
            Self::Span(_) => "*time.Duration",
            Self::Root => ROOT,
        }
    }

    /// As `%v` prints it.
    pub(super) fn print(&self) -> String {
        match self {
            Self::Nothing => "<nil>".into(),
            Self::Bool(truth) => truth.to_string(),
            Self::Int(number) => number.to_string(),
            Self::Float(float) => general(*float, None),
            Self::Text(text) => text.to_string(),
            Self::Labels(labels) => map(labels.iter().map(|(name, value)| (name, value.to_owned()))),
            Self::Map(all) => map(all.iter().map(|(name, value)| (name.as_str(), value.print()))),
            Self::Vector(all) => {
                let each: Vec<String> = all.iter().map(|_| "0xc000000000".to_owned()).collect();
                format!("[{}]", each.join(" "))
            }
            Self::Sample(sample) => {
                let labels = Self::Labels(sample.labels.clone()).print();
                format!("&{{{labels} {}}}", general(sample.value, None))
            }
            Self::Time(millis) => number::time(*millis),
            Self::Span(nanos) => duration(*nanos),
            Self::Root => "{…}".into(),
        }
    }
}

const ROOT: &str =
    "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }";

fn map<'a>(pairs: impl Iterator<Item = (&'a str, String)>) -> String {
    let each: Vec<String> = pairs.map(|(name, value)| format!("{name}:{value}")).collect();
    format!("map[{}]", each.join(" "))
}
