//! Follows log files: finds them, keeps apart what is rotated, cuts them to records, says how far it is.
//!
//! Synchronous, on a thread of its own ([`run`]); [`Tailer::step`] does one round and takes the time from its
//! caller, so that tests drive it without threads and clocks. What is read goes to a [`Sink`] in frames that hold
//! data and positions together: after a crash reading goes on exactly behind what the sink has accepted. When the
//! sink is full nothing more is read: the log files are the buffer.

mod adopt;
pub mod config;
mod discover;
mod follow;
mod group;
mod gzip;
mod identity;
mod intake;
pub mod journald;
mod kin;
mod lines;
mod open;
mod packs;
pub mod parse;
mod poll;
mod position;
mod run;
mod table;
mod tailer;

use std::io;
use std::path::PathBuf;

use crate::signal::frame::Frame;
use crate::signal::logs::LogBatch;
use crate::signal::record::Record;

pub use discover::{GlobError, MAX_FILES};
pub use intake::Intake;
pub use run::start;
pub use tailer::{Done, Now, Tailer};

/// Takes what the tailer reads.
pub trait Sink: Send {
    /// Writes `record`, which happened at `nanos` (Unix) and whose spans refer to `line`, into `batch` under the
    /// resource of entry `group` of [`Settings::groups`], redacted and enriched.
    fn emit(&mut self, group: usize, record: &mut Record, line: &str, nanos: u64, batch: &mut LogBatch);

    /// Seals the batch to a frame; the tailer clears the batch.
    fn seal(&mut self, batch: &mut LogBatch) -> io::Result<Frame>;

    /// Takes the frame. `Ok`: its records and positions survive a crash of the process, together.
    fn push(&mut self, frame: &Frame) -> Result<(), Refused>;
}

/// Why a sink did not take a frame. It is offered again later, unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No room now.
    #[error("the spool is full")]
    Full,
    /// It cannot be written, with the reason.
    #[error("cannot write to the spool: {0}")]
    Failed(String),
}

/// What is followed, and within which bounds.
#[derive(Debug, Clone)]
pub struct Settings {
    /// One for each entry of `logs.files`. A file that two match belongs to the first.
    pub groups: Vec<GroupSettings>,
    /// Globs that another reader follows at the same time: their positions are its own business.
    pub others: Vec<String>,
    /// Paths that are never read: the agent's own state and log.
    pub own: Vec<PathBuf>,
    /// Bytes of deleted files that are kept open to be read to their end; beyond, the oldest is dropped and counted.
    pub max_pinned: u64,
    /// Files that are open at once.
    pub max_open: usize,
    /// Bytes that a gzip file may unpack to per packed byte, beyond its first 64 MiB.
    pub max_ratio: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            groups: Vec::new(),
            others: Vec::new(),
            own: Vec::new(),
            max_pinned: 1 << 30,
            max_open: 512,
            max_ratio: 200,
        }
    }
}

/// The files of one glob.
#[derive(Debug, Clone)]
pub struct GroupSettings {
    /// Absolute glob.
    pub path: String,
    /// Globs that are left alone: of names, with a slash of paths.
    pub exclude: Vec<String>,
    /// Where files that are there at the first start of this glob are read from.
    pub start: Start,
    /// Longest line in bytes; what is beyond is cut and counted.
    pub max_line: usize,
    /// Joins lines to one record.
    pub multiline: Option<MultilineSettings>,
    /// How its lines are understood.
    pub format: parse::Choice,
    /// Nanoseconds after which the last line of a file is taken although its end is missing, marked; `None`: not
    /// while the file stands at its path.
    pub partial_after: Option<u64>,
}

impl GroupSettings {
    /// `path` with the defaults.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            exclude: Vec::new(),
            start: Start::Beginning,
            max_line: 256 << 10,
            multiline: None,
            format: parse::Choice::Auto,
            partial_after: None,
        }
    }
}

/// Where a file is read from that is there at the first start of its glob. Later ones are read from their beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With its first line.
    Beginning,
    /// With the next line that is written.
    End,
}

/// Which lines are one record.
#[derive(Debug, Clone)]
pub struct MultilineSettings {
    /// Matches a record's first line.
    pub start: regex::bytes::Regex,
    /// A record ends after this many lines.
    pub max_lines: usize,
    /// A record ends at this size.
    pub max_bytes: usize,
    /// A record ends when nothing follows for this many nanoseconds.
    pub timeout: u64,
}
