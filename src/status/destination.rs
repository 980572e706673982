//! A destination's entry, one for each of its signals.

use super::{Cell, Line};

/// What was delivered to one destination. Counters since the start of the agent; times are Unix nanoseconds.
#[derive(Debug, Default)]
pub struct Destination {
    /// Frames answered for good.
    pub frames: Cell,
    /// Records or points that were taken.
    pub records: Cell,
    /// Bytes sent, compressed.
    pub bytes: Cell,
    /// Requests that failed and will be tried again.
    pub retries: Cell,
    /// Records or points that the destination refused for good.
    pub refused: Cell,
    /// Records or points that a full spool dropped before they were delivered.
    pub dropped: Cell,
    /// Frames that wait.
    pub backlog_frames: Cell,
    /// Bytes that wait, compressed.
    pub backlog_bytes: Cell,
    /// Time of the oldest frame that waits; 0 when none does.
    pub oldest: Cell,
    /// When the latest frame was taken; 0 for never.
    pub last_success: Cell,
    /// When the latest try failed; 0 for never.
    pub last_error: Cell,
    /// When the running series of failures began; 0 when the latest try was taken.
    pub failing_since: Cell,
    /// When the next try is due; 0 when none waits.
    pub next_try: Cell,
    /// The latest answer in plain words, such as `204` or `connection refused`.
    pub answer: Line,
    /// When the send loop last turned (a try ended, or the next one was set).
    pub turned: Cell,
}
