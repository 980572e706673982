//! `alerts.notify:` who is told, and how.

use serde::Deserialize;

use crate::base::secret::Secret;

/// One who is told. Exactly one of `alertmanager`, `slack`, `pagerduty` and `webhook` says how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notify {
    /// Prometheus' Alertmanager.
    pub alertmanager: Option<Alertmanager>,
    /// Slack, by an incoming webhook.
    pub slack: Option<Slack>,
    /// PagerDuty's Events API v2.
    pub pagerduty: Option<Pagerduty>,
    /// Alertmanager's webhook form, posted to any address.
    pub webhook: Option<Webhook>,
    /// Only alerts whose label `severity` is one of these. Default: all.
    pub severity: Vec<String>,
}

/// `alertmanager:`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alertmanager {
    /// Addresses of all members of the cluster. Required.
    pub endpoints: Vec<String>,
}

/// `slack:`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slack {
    /// The webhook's address, which is a secret. Required.
    pub webhook: Secret,
}

/// `pagerduty:`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pagerduty {
    /// The integration's key. Required.
    pub routing_key: Secret,
}

/// `webhook:`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where alerts are posted. Required.
    pub url: String,
}
