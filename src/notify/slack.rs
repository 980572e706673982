//! Slack, by an incoming webhook: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::http::Peer;
use super::line::About;
use super::text::{annotation, counts, escape, labels, line, link, rfc3339, summary, title};
use super::{Alert, Notifier, Outcome, config};

/// A channel.
pub(super) struct Slack {
    peer: Peer,
    about: About,
}

impl Slack {
    /// Reads the address. The error names the key.
    pub(super) fn new(config: &config::Slack, about: &About, timeout: Duration) -> Result<Self, String> {
        let url = config.webhook.read().map_err(|error| format!("webhook: {error}"))?;
        Ok(Self { peer: Peer::new(url, http::HeaderMap::new(), &config.tls, timeout)?, about: about.clone() })
    }
}

#[async_trait]
impl Notifier for Slack {
    async fn send(&self, alerts: &[Alert]) -> Outcome {
        match self.peer.post(&payload(alerts, &self.about)).await {
            Ok(reply) => reply.outcome(),
            Err(outcome) => outcome,
        }
    }
}

/// One attachment an alert, the first twenty; Slack cuts what is longer, or refuses it.
fn payload(alerts: &[Alert], about: &About) -> Value {
    let mut attachments: Vec<Value> = alerts.iter().take(MOST).map(attachment).collect();
    if alerts.len() > MOST {
        let rest = &alerts[MOST..];
        attachments.push(json!({ "color": GREY, "text": format!("and {} more: {}", rest.len(), counts(rest)) }));
    }
    let title = escape(&title(alerts, &about.host));
    let text = match link(&about.external_url) {
        Some(url) => format!("<{}|{title}>", escape(url)),
        None => title,
    };
    json!({ "text": text, "attachments": attachments })
}

fn attachment(alert: &Alert) -> Value {
    let color = match (alert.resolved, alert.labels.get("severity")) {
        (true, _) => "good",
        (false, "page" | "critical") => "danger",
        (false, _) => "warning",
    };
    let word = if alert.resolved { "Resolved" } else { "Firing" };
    let head = escape(&summary(alert, 500));
    let mut text = format!("*{word}* since {}", rfc3339(alert.starts_at));
    for part in [line(annotation(alert, "description"), 1500), labels(alert, 600)] {
        if !part.is_empty() {
            text.push('\n');
            text.push_str(&escape(&part));
        }
    }
    if let Some(url) = link(annotation(alert, "runbook_url")) {
        text.push_str(&format!("\n<{}|Runbook>", escape(url)));
    }
    let mut out = json!({ "color": color, "title": head, "text": text, "fallback": head, "mrkdwn_in": ["text"] });
    if let Some(url) = link(&alert.generator_url) {
        out["title_link"] = json!(url);
    }
    out
}

/// Beyond twenty attachments a message is refused or unreadable.
const MOST: usize = 20;
const GREY: &str = "#888888";
