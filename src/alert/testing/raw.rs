//! The shape of a file of rule tests, as promtool has it.

use std::collections::BTreeMap;

use serde::Deserialize;

type Texts = BTreeMap<String, String>;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub(super) rule_files: Option<Vec<String>>,
    pub(super) evaluation_interval: Option<String>,
    pub(super) group_eval_order: Option<Vec<String>>,
    pub(super) tests: Option<Vec<Test>>,
    pub(super) fuzzy_compare: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Test {
    pub(super) name: Option<String>,
    pub(super) interval: Option<String>,
    pub(super) start_timestamp: Option<String>,
    pub(super) input_series: Option<Vec<Series>>,
    pub(super) alert_rule_test: Option<Vec<AlertCase>>,
    pub(super) promql_expr_test: Option<Vec<ExprCase>>,
    pub(super) external_labels: Option<Texts>,
    pub(super) external_url: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Series {
    pub(super) series: String,
    pub(super) values: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AlertCase {
    pub(super) eval_time: Option<String>,
    pub(super) alertname: Option<String>,
    pub(super) exp_alerts: Option<Vec<ExpectedAlert>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ExpectedAlert {
    pub(super) exp_labels: Option<Texts>,
    pub(super) exp_annotations: Option<Texts>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ExprCase {
    pub(super) expr: String,
    pub(super) eval_time: Option<String>,
    pub(super) exp_samples: Option<Vec<ExpectedSample>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ExpectedSample {
    pub(super) labels: String,
    pub(super) value: f64,
    pub(super) histogram: Option<String>,
}
