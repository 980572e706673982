//! What an entry of `logs:` asks the pipeline to do with its lines: black out, count, measure.

use serde::Deserialize;

use crate::base::check;
use crate::base::fault::Fault;

/// One item of `redact:`: a class by name, or `{ regex: … }`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Redact {
    /// Mail addresses.
    Email,
    /// Card numbers: 13 to 19 digits with a right check digit (Luhn).
    Card,
    /// `Bearer …` and `Basic …` of an Authorization header.
    Bearer,
    /// Passwords in SQL (`PASSWORD '…'`, `IDENTIFIED BY '…'`), in addresses (`://user:…@`) and behind `password=`.
    Password,
    /// What this regular expression matches; with groups, only what the groups match.
    Regex(String),
}

/// One metric that is made from log lines. Exactly one of `histogram`, `sum`, `gauge` and `count` names the
/// attribute that is measured.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogMetric {
    /// Name in OpenTelemetry's form, such as `http.server.request.duration`. Required.
    pub name: String,
    /// Attribute whose numbers go into a histogram.
    pub histogram: Option<String>,
    /// Attribute whose numbers are added up, such as bytes sent.
    pub sum: Option<String>,
    /// Attribute whose newest number is kept, such as a queue's length.
    pub gauge: Option<String>,
    /// Attribute that a line must have to be counted, such as `exception.type`.
    pub count: Option<String>,
    /// Unit of the number in the line (UCUM: `ms`, `s`, `By`). Default: none.
    pub unit: String,
    /// Attributes that tell the series apart. Default: none. Each one multiplies the series: take such with few values.
    pub by: Vec<String>,
    /// Upper bounds of a histogram's buckets, rising, in `unit`. Default: none named, which is OpenTelemetry's advice
    /// for the unit.
    pub buckets: Vec<f64>,
}

impl Redact {
    /// What is wrong beyond the shape.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        match self {
            Self::Email | Self::Card | Self::Bearer | Self::Password => Vec::new(),
            Self::Regex(pattern) => check::regex("regex", pattern).into_iter().collect(),
        }
    }
}

impl LogMetric {
    /// What is wrong beyond the shape.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let mut out = Vec::new();
        out.extend(self.name_fault());
        let kinds =
            [("histogram", &self.histogram), ("sum", &self.sum), ("gauge", &self.gauge), ("count", &self.count)];
        let named: Vec<_> = kinds.iter().filter_map(|(kind, name)| name.as_deref().map(|name| (*kind, name))).collect();
        match named.as_slice() {
            [] => out.push(Fault::new("", "what is measured is missing", KINDS)),
            [(kind, "")] => out.push(Fault::new(*kind, "the attribute's name is empty", "such as `latency_ms`")),
            [_] => {}
            [_, (second, _), ..] => out.push(Fault::new(*second, "a second kind of the same metric", KINDS)),
        }
        for (number, name) in self.by.iter().enumerate() {
            let key = format!("by[{number}]");
            if name.is_empty() {
                out.push(Fault::new(key, "the attribute's name is empty", "such as `http.request.method`"));
            } else if self.by[..number].contains(name) {
                out.push(Fault::new(key, format!("{name:?} stands here twice"), "take one of them away"));
            }
        }
        if self.by.len() > 8 {
            out.push(Fault::new("by", "more than 8 attributes tell more series apart than can be kept", "at most 8"));
        }
        out.extend(self.bucket_fault());
        if self.unit.len() > 63 || !self.unit.is_ascii() {
            out.push(Fault::new("unit", "no unit", "UCUM, such as ms, s or By"));
        }
        out
    }

    /// OpenTelemetry's rule for instruments' names.
    fn name_fault(&self) -> Option<Fault> {
        let good = |letter: char| letter.is_ascii_alphanumeric() || "_.-/".contains(letter);
        if self.name.is_empty() {
            return Some(Fault::new("name", "the metric's name is missing", "such as http.server.request.duration"));
        }
        let starts = self.name.starts_with(|letter: char| letter.is_ascii_alphabetic());
        (!starts || self.name.len() > 255 || !self.name.chars().all(good)).then(|| {
            let mend = "a letter, then up to 254 letters, digits and `_` `.` `-` `/`";
            Fault::new("name", format!("{:?} is no metric's name", self.name), mend)
        })
    }

    fn bucket_fault(&self) -> Option<Fault> {
        if self.buckets.is_empty() {
            return None;
        }
        let rising = self.buckets.windows(2).all(|pair| pair[0] < pair[1]);
        if self.histogram.is_none() {
            Some(Fault::new("buckets", "only a histogram has buckets", "take the key away"))
        } else if !rising || self.buckets.iter().any(|bound| !bound.is_finite()) {
            Some(Fault::new("buckets", "the bounds do not rise", "finite numbers, each larger than the one before"))
        } else if self.buckets.len() > 64 {
            Some(Fault::new("buckets", "more than 64 buckets", "at most 64"))
        } else {
            None
        }
    }
}

const KINDS: &str = "exactly one of `histogram`, `sum`, `gauge` and `count` names an attribute";
