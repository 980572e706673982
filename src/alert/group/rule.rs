//! One rule's expression, asked and turned into what the rule yields.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Write;

use super::Setting;
use crate::alert::rules::Rule;
use crate::alert::state::Found;
use crate::alert::template::{Data, Template};
use crate::query::{self, Element, Query, Value};
use crate::store::labels::NAME;
use crate::store::{Labels, Sample, Store};

/// What is asked, and when.
pub(super) struct Asked<'a> {
    pub(super) store: &'a Store,
    pub(super) setting: &'a Setting,
    /// The slot.
    pub(super) ts: i64,
    /// The slot less the group's `query_offset`: when the expression is evaluated.
    pub(super) at: i64,
}

impl Asked<'_> {
    /// The expression's elements; a scalar counts as one without labels.
    fn elements(&self, expr: &Query, at: i64) -> Result<Vec<Element>, String> {
        let answer = query::instant(self.store, expr, at, self.setting.limits).map_err(|error| error.to_string())?;
        match answer.value {
            Value::Vector(elements) => Ok(elements),
            Value::Scalar(Sample { v, .. }) => {
                Ok(vec![Element { labels: Labels::default(), sample: Sample { t: at, v } }])
            }
            Value::Text(_) | Value::Matrix(_) => Err("rule result is not a vector or scalar".into()),
        }
    }
}

/// The series that a recording rule yields.
pub(super) fn recorded(rule: &Rule, asked: &Asked<'_>, limit: usize) -> Result<Vec<(Labels, f64)>, String> {
    let mut rows = Vec::new();
    for element in asked.elements(&rule.expr, asked.at)? {
        let mut labels = element.labels.with(NAME, &rule.name);
        for (name, text) in &rule.labels {
            labels = labels.with(name, text.text());
        }
        rows.push((labels, element.sample.v));
    }
    // Mostly they come in the order of their labels; then a look at the neighbours is enough.
    let rising = rows.is_sorted_by(|(a, _), (b, _)| a < b);
    if !rising && rows.iter().map(|(labels, _)| labels).collect::<BTreeSet<_>>().len() < rows.len() {
        return Err("vector contains metrics with the same labelset after applying rule labels".into());
    }
    if limit > 0 && rows.len() > limit {
        return Err(format!("exceeded limit of {limit} with {} series", rows.len()));
    }
    Ok(rows)
}

/// The alerts that an expression yields, with their texts.
pub(super) fn found(rule: &Rule, annotations: &[(String, Template)], asked: &Asked<'_>) -> Result<Vec<Found>, String> {
    let mut ask = |text: &str| {
        let query = Query::parse(text).map_err(|error| error.to_string())?;
        asked.elements(&query, asked.ts)
    };
    let ask = RefCell::new(&mut ask as &mut dyn FnMut(&str) -> Result<Vec<Element>, String>);
    let one = |element: Element| {
        let data = Data {
            labels: &element.labels,
            value: element.sample.v,
            external_labels: &asked.setting.external_labels,
            external_url: &asked.setting.external_url,
            now: asked.ts,
        };
        let expand = |text: &Template| text.fill(&rule.name, &data, &ask);
        let mut labels = element.labels.without_name();
        for (name, text) in &rule.labels {
            labels = labels.with(name, &expand(text));
        }
        Found {
            labels: labels.with("alertname", &rule.name),
            annotations: annotations.iter().map(|(name, text)| (name.clone(), expand(text))).collect(),
            value: element.sample.v,
        }
    };
    Ok(asked.elements(&rule.expr, asked.at)?.into_iter().map(one).collect())
}

/// The page's address that shows the expression, as Prometheus' links do.
pub(super) fn link(url: &str, expr: &str) -> String {
    let mut out = format!("{}/graph?g0.expr=", url.trim_end_matches('/'));
    for byte in expr.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            // A text takes every write.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out.push_str("&g0.tab=1");
    out
}
