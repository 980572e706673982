//! Telling people: the one line that groups, drops repeats, retries and records, and those who are told.

use std::time::Duration;

use crate::store::Labels;

pub mod config;

/// An alert as it leaves the box.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// All labels, `alertname` among them; its identity.
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
    pub value: f64,
    /// Where the expression can be looked at.
    pub generator_url: String,
}

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All were taken.
    Taken,
    /// Not now: why, and when again if the other side said so.
    Later(String, Option<Duration>),
    /// Never: why.
    Refused(String),
}

/// Someone who is told.
#[async_trait::async_trait]
pub trait Notifier: Send + Sync {
    /// Tells of `alerts`, which belong together; at most 256.
    async fn send(&self, alerts: &[Alert]) -> Outcome;
}
