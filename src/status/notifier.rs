//! The entry of one who is told of alerts.

use super::{Cell, Line};

/// What one notifier was told. Counters since the start of the agent; times are Unix nanoseconds, 0 for never.
#[derive(Debug, Default)]
pub struct Notifier {
    /// Messages that were taken.
    pub messages: Cell,
    /// Alerts in them.
    pub alerts: Cell,
    /// Tries that failed and are made again.
    pub retries: Cell,
    /// Alerts that were refused for good.
    pub refused: Cell,
    /// Alerts that wait.
    pub waiting: Cell,
    /// Bytes that wait.
    pub waiting_bytes: Cell,
    /// Since when the oldest waits; 0 when none does.
    pub oldest: Cell,
    /// When the latest message was taken.
    pub last_success: Cell,
    /// When the latest try failed.
    pub last_error: Cell,
    /// When the running series of failures began; 0 when the latest try was taken.
    pub failing_since: Cell,
    /// When the next try is due; 0 when none waits.
    pub next_try: Cell,
    /// The latest answer in plain words.
    pub answer: Line,
}
