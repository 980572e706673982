//! `alerts:` rules, and who is told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::base::check;
use crate::base::fault::Fault;
use crate::base::secret::Secret;
use crate::base::units::Dur;

/// `alerts:`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// Prometheus rule files, as globs; a file of the same name replaces the shipped one.
    /// Default `/etc/plimsoll/alerts/*.yaml`.
    pub rules: Vec<PathBuf>,
    /// Time between two rounds of the rules. Default 15 s. At least 1 s. A group's own `interval` goes before it.
    pub interval: Dur,
    /// Who is told, by name. Default: nobody.
    pub notify: BTreeMap<String, Notify>,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            rules: vec![PathBuf::from("/etc/plimsoll/alerts/*.yaml")],
            interval: Dur(Duration::from_secs(15)),
            notify: BTreeMap::new(),
        }
    }
}

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

impl Alerts {
    /// What is wrong beyond the shape. Rules and notifications are read strictly already, though nothing runs them yet.
    pub(super) fn faults(&self) -> Vec<Fault> {
        check::between("interval", self.interval, Duration::from_secs(1), Duration::from_secs(3600))
            .into_iter()
            .collect()
    }

    /// Keys that are named and that nothing serves yet.
    pub(super) fn unserved(&self) -> impl Iterator<Item = &'static str> {
        let rules = (self.rules != Self::default().rules).then_some("rules");
        rules.into_iter().chain((!self.notify.is_empty()).then_some("notify"))
    }
}
