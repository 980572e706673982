//! PagerDuty, Events API v2: <https://developer.pagerduty.com/docs/send-alert-event>.
//!
//! One event an alert: its fingerprint is the `dedup_key`, so that a repeat joins the open incident and its end
//! resolves it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::http::{Peer, Reply};
use super::line::{About, lock};
use super::text::{line, link, rfc3339, summary};
use super::{Alert, Notifier, Outcome, config, fingerprint};
use crate::base::secret::{ExposeSecret, SecretString};

/// A service at PagerDuty.
pub(super) struct Pagerduty {
    peer: Peer,
    key: SecretString,
    about: About,
    /// What of a batch that failed in its middle was taken: it is not sent again with the rest.
    taken: Mutex<BTreeMap<String, bool>>,
}

impl Pagerduty {
    /// Reads the key. The error names the setting.
    pub(super) fn new(config: &config::Pagerduty, about: &About, timeout: Duration) -> Result<Self, String> {
        let key = config.routing_key.read().map_err(|error| format!("routing_key: {error}"))?;
        let peer = Peer::new(config.url.as_str().into(), http::HeaderMap::new(), &config.tls, timeout)?;
        Ok(Self { peer, key, about: about.clone(), taken: Mutex::default() })
    }
}

#[async_trait]
impl Notifier for Pagerduty {
    async fn send(&self, alerts: &[Alert]) -> Outcome {
        for alert in alerts {
            let name = format!("{}-{}", fingerprint(&alert.labels), alert.starts_at);
            if lock(&self.taken).get(&name) == Some(&alert.resolved) {
                continue;
            }
            let outcome = match self.peer.post(&event(alert, self.key.expose_secret(), &self.about)).await {
                Ok(reply) => outcome(reply),
                Err(outcome) => outcome,
            };
            if outcome != Outcome::Taken {
                return outcome;
            }
            lock(&self.taken).insert(name, alert.resolved);
        }
        lock(&self.taken).clear();
        Outcome::Taken
    }

    fn requests(&self, alerts: &[Alert]) -> u32 {
        u32::try_from(alerts.len()).unwrap_or(u32::MAX)
    }
}

/// PagerDuty refuses an event for its key as it does one for its form. The key is ours: somebody mends it, and
/// meanwhile the alerts wait.
fn outcome(reply: Reply) -> Outcome {
    let key = reply.body.contains("routing_key");
    match reply.outcome() {
        Outcome::Refused(why) if key => Outcome::Later(format!("{why}; see routing_key"), None),
        other => other,
    }
}

fn event(alert: &Alert, key: &str, about: &About) -> Value {
    let action = if alert.resolved { "resolve" } else { "trigger" };
    let host = line(&about.host, 200);
    let instance = line(alert.labels.get("instance"), 200);
    let source = if instance.is_empty() { host } else { instance };
    let mut out = json!({
        "routing_key": key,
        "event_action": action,
        "dedup_key": format!("plimsoll/{}", fingerprint(&alert.labels)),
        "client": "Plimsoll",
        "payload": {
            "summary": summary(alert, 1000),
            "source": if source.is_empty() { "plimsoll".to_owned() } else { source },
            "severity": severity(alert.labels.get("severity")),
            "timestamp": rfc3339(alert.starts_at),
            "component": line(alert.labels.get("job"), 200),
            "class": line(alert.labels.get("alertname"), 200),
            "custom_details": details(alert),
        },
    });
    if let Some(url) = link(&about.external_url) {
        out["client_url"] = json!(url);
    }
    let runbook =
        link(super::text::annotation(alert, "runbook_url")).map(|url| json!({ "href": url, "text": "Runbook" }));
    let source = link(&alert.generator_url).map(|url| json!({ "href": url, "text": "Expression" }));
    out["links"] = runbook.into_iter().chain(source).collect();
    out
}

/// Within the 512 KB that an event may have.
fn details(alert: &Alert) -> BTreeMap<String, String> {
    let labels = alert.labels.iter();
    let annotations = alert.annotations.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let mut out: BTreeMap<String, String> =
        labels.chain(annotations).take(100).map(|(name, text)| (line(name, 100), line(text, 1000))).collect();
    out.insert("value".into(), alert.value.to_string());
    out
}

/// PagerDuty's four.
fn severity(severity: &str) -> &'static str {
    match severity.to_ascii_lowercase().as_str() {
        "page" | "critical" | "fatal" => "critical",
        "error" => "error",
        "info" | "none" => "info",
        _ => "warning",
    }
}
