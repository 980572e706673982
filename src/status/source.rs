//! A source's entry: a set of files, the journal, a collector.

use super::{Cell, Line};

/// What one source did. Counters since the start of the agent.
#[derive(Debug, Default)]
pub struct Source {
    /// What it is, such as `files`, `journald`, `host`.
    pub kind: Line,
    /// Details for people, such as `3 files` or `17.2, 2 databases`.
    pub detail: Line,
    /// Log lines taken.
    pub lines: Cell,
    /// Bytes of log lines taken.
    pub bytes: Cell,
    /// Metric points of the latest round.
    pub points: Cell,
    /// Metric points taken.
    pub points_total: Cell,
    /// Seconds between rounds, to tell points per second; 0 for logs.
    pub interval: Cell,
    /// Bytes that lie in the files and are not taken yet.
    pub behind: Cell,
    /// Bytes of deleted files that are kept on disk because they are open until they are read to their end.
    pub pinned: Cell,
    /// Lines that did not parse in their format and went out as text.
    pub unparsed: Cell,
    /// Lines with invalid UTF-8, replaced.
    pub invalid_utf8: Cell,
    /// Lines that were cut at the size limit.
    pub cut: Cell,
    /// Rounds that failed.
    pub failures: Cell,
    /// Time of the latest success, Unix nanoseconds.
    pub last_success: Cell,
    /// The fault that stands now, with its mend; empty when all is well.
    pub fault: Line,
    /// What it would take to read it, or to read more of it: no fault, as nobody asked for it. Each command has a line.
    pub hint: Line,
}
