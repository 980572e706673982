//! Prometheus' Alertmanager, API v2: <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>.
//!
//! Every member of the cluster gets every alert and each repeat, as Prometheus sends them: it groups, drops repeats and
//! routes by itself. It is also asked which alerts are silenced or inhibited, for the ledger.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::http::{self, Peer};
use super::ledger::INHIBITED;
use super::line::{map, now};
use super::text::rfc3339;
use super::{Alert, Ledger, Notifier, Outcome, config};
use crate::base::stop::Stop;
use crate::store::Labels;

/// One member.
pub(super) struct Alertmanager {
    peer: Peer,
}

impl Alertmanager {
    pub(super) fn new(config: &config::Alertmanager, endpoint: &str, timeout: Duration) -> Result<Self, String> {
        Ok(Self { peer: peer(config, endpoint, "", timeout)? })
    }
}

#[async_trait]
impl Notifier for Alertmanager {
    async fn send(&self, alerts: &[Alert]) -> Outcome {
        let body: Vec<Posted> = alerts.iter().map(Posted::new).collect();
        match self.peer.post(&body).await {
            Ok(reply) => reply.outcome(),
            Err(outcome) => outcome,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Posted<'a> {
    labels: BTreeMap<&'a str, &'a str>,
    annotations: BTreeMap<&'a str, &'a str>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "str::is_empty")]
    generator_url: &'a str,
}

impl<'a> Posted<'a> {
    fn new(alert: &'a Alert) -> Self {
        Self {
            labels: map(alert.labels.iter()),
            annotations: map(alert.annotations.iter().map(|(name, text)| (name.as_str(), text.as_str()))),
            starts_at: rfc3339(alert.starts_at),
            ends_at: rfc3339(alert.ends_at),
            generator_url: &alert.generator_url,
        }
    }
}

/// Asks the members who is silenced, while something fires.
#[derive(Clone)]
pub(super) struct Looker {
    peers: Arc<[Peer]>,
    ledger: Arc<Ledger>,
}

impl Looker {
    pub(super) fn new(config: &config::Alertmanager, ledger: Arc<Ledger>, timeout: Duration) -> Result<Self, String> {
        let peers = config.endpoints.iter().map(|endpoint| peer(config, endpoint, "?active=true", timeout));
        Ok(Self { peers: peers.collect::<Result<_, _>>()?, ledger })
    }

    pub(super) async fn run(&self, every: Duration, stop: &Stop) {
        while !stop.sleep(every).await {
            if self.ledger.fires() {
                self.look().await;
            }
        }
    }

    /// The first member that answers speaks for all. That none does, the senders tell.
    async fn look(&self) {
        for peer in self.peers.iter() {
            let Ok(body) = peer.get(MOST_READ).await else { continue };
            let Ok(alerts) = serde_json::from_str::<Vec<Known>>(&body) else { continue };
            let named = |alert: &Known| Some((alert.fingerprint.clone(), alert.labels.get("alertname")?.clone()));
            let names: BTreeMap<String, String> = alerts.iter().filter_map(named).collect();
            let name = |print: &String| names.get(print).unwrap_or(print).clone();
            for alert in &alerts {
                let mut by = alert.status.silenced_by.clone();
                by.extend(alert.status.inhibited_by.iter().map(|other| format!("{INHIBITED}{}", name(other))));
                self.ledger.seen(&Labels::new(alert.labels.clone()), &by, now());
            }
            return;
        }
    }
}

#[derive(Deserialize)]
struct Known {
    #[serde(default)]
    fingerprint: String,
    labels: BTreeMap<String, String>,
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Status {
    silenced_by: Vec<String>,
    inhibited_by: Vec<String>,
}

fn peer(config: &config::Alertmanager, endpoint: &str, query: &str, timeout: Duration) -> Result<Peer, String> {
    let url = format!("{}/api/v2/alerts{query}", endpoint.trim_end_matches('/'));
    Peer::new(url.into(), http::headers(&config.headers, config.token.as_ref())?, &config.tls, timeout)
}

/// Ten thousand alerts of a usual size.
const MOST_READ: usize = 8 << 20;
