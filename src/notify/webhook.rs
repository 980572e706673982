//! Alertmanager's webhook form, version 4, to any address:
//! <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use super::http::{self, Peer};
use super::line::{About, map};
use super::text::rfc3339;
use super::{Alert, Notifier, Outcome, config, fingerprint};

/// Someone who understands what Alertmanager posts.
pub(super) struct Webhook {
    peer: Peer,
    receiver: String,
    external_url: String,
}

impl Webhook {
    /// Reads secrets. The error names the key.
    pub(super) fn new(
        receiver: &str,
        config: &config::Webhook,
        about: &About,
        timeout: Duration,
    ) -> Result<Self, String> {
        let headers = http::headers(&config.headers, config.token.as_ref())?;
        Ok(Self {
            peer: Peer::new(config.url.as_str().into(), headers, &config.tls, timeout)?,
            receiver: receiver.to_owned(),
            external_url: about.external_url.clone(),
        })
    }
}

#[async_trait]
impl Notifier for Webhook {
    async fn send(&self, alerts: &[Alert]) -> Outcome {
        match self.peer.post(&payload(alerts, &self.receiver, &self.external_url)).await {
            Ok(reply) => reply.outcome(),
            Err(outcome) => outcome,
        }
    }
}

type Pairs<'a> = BTreeMap<&'a str, &'a str>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    version: &'static str,
    group_key: String,
    truncated_alerts: u64,
    status: &'static str,
    receiver: &'a str,
    group_labels: Pairs<'a>,
    common_labels: Pairs<'a>,
    common_annotations: Pairs<'a>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    alerts: Vec<One<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct One<'a> {
    status: &'static str,
    labels: Pairs<'a>,
    annotations: Pairs<'a>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: String,
}

fn payload<'a>(alerts: &'a [Alert], receiver: &'a str, external_url: &'a str) -> Payload<'a> {
    let group = |name: &'static str| {
        let value = alerts.first().map_or("", |alert| alert.labels.get(name));
        (!value.is_empty()).then_some((name, value))
    };
    let group_labels: Pairs = ["alertname", "severity"].into_iter().filter_map(group).collect();
    let shown: Vec<String> = group_labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    Payload {
        version: "4",
        group_key: format!("{{}}:{{{}}}", shown.join(", ")),
        truncated_alerts: 0,
        status: status(alerts.iter().all(|alert| alert.resolved)),
        receiver,
        group_labels,
        common_labels: common(alerts, |alert| map(alert.labels.iter())),
        common_annotations: common(alerts, annotations),
        external_url,
        alerts: alerts.iter().map(one).collect(),
    }
}

fn one(alert: &Alert) -> One<'_> {
    One {
        status: status(alert.resolved),
        labels: map(alert.labels.iter()),
        annotations: annotations(alert),
        starts_at: rfc3339(alert.starts_at),
        // Alertmanager's word for an end that is not known.
        ends_at: if alert.resolved { rfc3339(alert.ends_at) } else { "0001-01-01T00:00:00Z".into() },
        generator_url: &alert.generator_url,
        // As long as Alertmanager's own.
        fingerprint: fingerprint(&alert.labels)[..16].to_owned(),
    }
}

fn annotations(alert: &Alert) -> Pairs<'_> {
    map(alert.annotations.iter().map(|(name, text)| (name.as_str(), text.as_str())))
}

/// The pairs that all have.
fn common<'a>(alerts: &'a [Alert], pairs: impl Fn(&'a Alert) -> Pairs<'a>) -> Pairs<'a> {
    let mut all = alerts.iter().map(pairs);
    let Some(mut out) = all.next() else { return Pairs::new() };
    for other in all {
        out.retain(|name, value| other.get(name) == Some(value));
    }
    out
}

fn status(resolved: bool) -> &'static str {
    if resolved { "resolved" } else { "firing" }
}
