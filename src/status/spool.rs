//! A spool's entry, one for each signal.

use super::{Cell, Line};

/// What lies in one spool. Times are Unix nanoseconds.
#[derive(Debug, Default)]
pub struct Spool {
    /// Bytes on disk.
    pub bytes: Cell,
    /// The bound on what is not delivered.
    pub limit: Cell,
    /// Segments on disk.
    pub segments: Cell,
    /// Frames appended since the start.
    pub appended: Cell,
    /// Number of the newest frame.
    pub newest: Cell,
    /// Refusals because the spool was full, since the start.
    pub full: Cell,
    /// Bytes set aside as damaged at the start or while reading.
    pub quarantined: Cell,
    /// The fault that stands now, such as a full disk; empty when all is well.
    pub fault: Line,
}
