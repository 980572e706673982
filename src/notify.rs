//! Telling people: the one line that groups, drops repeats, retries and records, and those who are told.
//!
//! The order in which the rules' loop calls it is what keeps a notification from being lost: after each evaluation
//! [`Line::offer`]; then [`Line::snapshot`] goes into the loop's state file, replaced atomically; only then
//! [`Line::release`] lets the senders have it. What was delivered is taken out, and [`Line::changed`] asks for the file
//! to be written again. So a crash may repeat a message that was just delivered, and loses none.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::store::Labels;

mod alertmanager;
pub mod config;
mod email;
mod heartbeat;
mod http;
pub mod ledger;
mod line;
mod pagerduty;
mod queue;
mod sender;
mod slack;
mod text;
pub mod waiting;
mod webhook;

pub use ledger::Ledger;
pub use line::{About, Line, Pace};
pub use waiting::Waiting;

/// An alert as it leaves the box.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// All labels, `alertname` among them; its identity.
    #[serde(with = "waiting::labels")]
    pub labels: Labels,
    /// Expanded annotations by name.
    pub annotations: Vec<(String, String)>,
    /// Since when it fires, Unix milliseconds; also in the message that it ended.
    pub starts_at: i64,
    /// Firing: when it ends unless it is sent again. Resolved: when it ended. Unix milliseconds.
    pub ends_at: i64,
    /// Whether it ended.
    pub resolved: bool,
    /// The value of its expression when it was evaluated last.
    #[serde(with = "waiting::number")]
    pub value: f64,
    /// Where the expression can be looked at.
    pub generator_url: String,
}

impl Alert {
    /// Whether it is the heartbeat, which goes to its own address only and counts nowhere: `Watchdog` of
    /// `severity: none`.
    pub fn is_heartbeat(&self) -> bool {
        self.labels.get("alertname") == "Watchdog" && self.labels.get("severity") == "none"
    }

    /// About how many bytes it takes.
    fn bytes(&self) -> usize {
        let labels = self.labels.iter().map(|(name, value)| name.len() + value.len() + 32);
        let annotations = self.annotations.iter().map(|(name, value)| name.len() + value.len() + 48);
        labels.chain(annotations).sum::<usize>() + self.generator_url.len() + 128
    }
}

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All were taken.
    Taken,
    /// Not now: why, and when again if the other side said so.
    Later(String, Option<Duration>),
    /// Not now, and why: the other side failed over it, which may be for what is in it.
    Failed(String),
    /// Never: why.
    Refused(String),
}

/// Someone who is told.
#[async_trait::async_trait]
pub trait Notifier: Send + Sync {
    /// Tells of `alerts`, which belong together; at most 256.
    async fn send(&self, alerts: &[Alert]) -> Outcome;

    /// How many requests that takes, one after the other.
    fn requests(&self, _alerts: &[Alert]) -> u32 {
        1
    }
}

/// The same 32 digits for the same labels, in every run and on every box.
pub fn fingerprint(labels: &Labels) -> String {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    for (name, value) in labels.iter() {
        // The lengths keep `a="bc"` and `ab="c"` apart.
        hash.update(&(name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        hash.update(&(value.len() as u64).to_le_bytes());
        hash.update(value.as_bytes());
    }
    format!("{:032x}", hash.digest128())
}
