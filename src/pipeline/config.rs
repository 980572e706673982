//! What an entry of `logs:` asks the pipeline to do with its lines: black out, count, measure.

use serde::Deserialize;

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
    /// Attribute that a line must have to be counted, such as `error.type`.
    pub count: Option<String>,
    /// Unit of the number in the line (UCUM: `ms`, `s`, `By`). Default: none.
    pub unit: String,
    /// Attributes that tell the series apart. Default: none. Each one multiplies the series: take such with few values.
    pub by: Vec<String>,
    /// Upper bounds of a histogram's buckets, rising, in `unit`. Default: none named, which is OpenTelemetry's advice
    /// for the unit.
    pub buckets: Vec<f64>,
}
