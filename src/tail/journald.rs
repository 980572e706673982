//! Reads the journal of systemd through a `journalctl` child.
//!
//! Synchronous, on a thread of its own ([`run`]), like the tailer of files: what is read goes to the same [`Sink`](super::Sink) in
//! frames that hold records and position together, and when the sink is full nothing is read: the journal is the
//! buffer. The position is that of the latest entry that was looked at, taken or not, so that a filter with rare
//! matches does not read the journal again at each start.
//!
//! `journalctl --follow` shows the current boot only, whatever cursor it is given. So each start has two parts: the
//! rest of all boots without `--follow`, then the current boot with it. Both ask for the recorded entry itself and
//! pass over it: that it is there shows that nothing was deleted in between.

mod child;
mod export;
mod position;
mod reader;
mod record;
mod taker;
mod units;

use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::parse::Choice;
use super::{Done, Intake, Now, config};
use crate::base::clock::unix_nanos;
use crate::base::stop::Stop;
use crate::signal::frame::Position;
use crate::status::Board;

pub use reader::Journal;

/// What is read of which journal.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The group that [`emit`](super::Sink::emit) is told.
    pub group: usize,
    /// Globs of units; empty: all.
    pub units: Vec<String>,
    /// Globs of units that are left alone.
    pub exclude: Vec<String>,
    /// How messages are read.
    pub choice: Choice,
    /// `journalctl`; `None`: looked for in `/usr/bin` and `/bin`.
    pub program: Option<PathBuf>,
    /// Journal files that are read instead of the box's own.
    pub directory: Option<PathBuf>,
    /// The agent's own unit, whose lines are never read.
    pub own_unit: String,
    /// The agent's own process, likewise.
    pub own_pid: u32,
    /// Delay before a child that ended is started again, and the longest such delay.
    pub retry: (Duration, Duration),
}

impl Settings {
    /// As configured, for the box's own journal.
    pub fn new(config: &config::Journald, group: usize) -> Self {
        Self {
            group,
            units: config.units.clone(),
            exclude: config.exclude.clone(),
            choice: config.format,
            program: None,
            directory: None,
            own_unit: "plimsoll.service".into(),
            own_pid: std::process::id(),
            retry: (Duration::from_secs(1), Duration::from_secs(60)),
        }
    }
}

/// Why the journal cannot be read at all. What may pass is a fault on the board instead.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A glob of units is none.
    #[error("bad pattern of units (logs.journald): {0}")]
    Pattern(#[from] globset::Error),
    /// The system gives no thread.
    #[error("cannot start the thread that reads the journal: {0}")]
    Thread(#[from] std::io::Error),
}

/// True when the box has a journal that can be read: `journalctl` and a folder of journal files.
pub fn is_here() -> bool {
    child::find().is_some() && child::FOLDERS.iter().any(|folder| std::path::Path::new(folder).is_dir())
}

/// Starts the thread; it ends soon after `stop` is set.
///
/// # Errors
/// A pattern of units is none, or no thread can be had.
pub fn start(
    settings: Settings,
    positions: &[Position],
    intake: Intake,
    board: &Board,
    stop: Stop,
) -> Result<JoinHandle<()>, StartError> {
    let now = Now { mono: 0, unix: unix_nanos() };
    let journal = Journal::new(settings, positions, Box::new(intake), board, now)?;
    Ok(std::thread::Builder::new().name("journald".into()).spawn(move || run(journal, &stop))?)
}

/// Reads until `stop` is set; then the child is ended and what was read is offered a last time.
pub fn run(mut journal: Journal, stop: &Stop) {
    let origin = Instant::now();
    let now = || Now { mono: origin.elapsed().as_nanos() as u64, unix: unix_nanos() };
    while !stop.is_set() {
        if let Done::Idle(_) | Done::Blocked = journal.step(now()) {
            std::thread::sleep(PAUSE);
        }
    }
    journal.finish(now());
}

/// Between two looks while there is no child, or no room.
const PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;
