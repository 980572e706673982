//! The shape of a rule file, and nothing else: what a file may hold, before anything is checked.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Texts by name; a name without a value is an empty text, as it is for Prometheus.
pub(super) type Texts = Option<BTreeMap<String, Option<String>>>;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub(super) groups: Option<Vec<Group>>,
}

/// `groups[]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Group {
    pub(super) name: Option<String>,
    pub(super) interval: Option<String>,
    pub(super) limit: Option<i64>,
    pub(super) query_offset: Option<String>,
    pub(super) labels: Texts,
    pub(super) rules: Option<Vec<Rule>>,
    /// Mimir and Cortex have it; here it does nothing.
    pub(super) source_tenants: Option<Vec<String>>,
    /// The same.
    pub(super) align_evaluation_time_on_interval: Option<bool>,
}

/// `groups[].rules[]`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) record: Option<String>,
    pub(super) alert: Option<String>,
    pub(super) expr: Option<String>,
    #[serde(rename = "for")]
    pub(super) hold: Option<String>,
    pub(super) keep_firing_for: Option<String>,
    pub(super) labels: Texts,
    pub(super) annotations: Texts,
}
