//! Keeps frames on disk until they are delivered: a log in segments, one per signal, safe from crashes.
//!
//! # What survives
//!
//! * A crash of the process: every frame that `append` answered `Ok` for. It is in the file, unbuffered.
//! * A power cut: every frame up to the latest sync, which comes at most `fsync` after the append. What was not
//!   synced is lost together with its source positions, so that the sources are read again from there.
//! * A failed sync: the segment is sealed where it was last synced, what came after is copied from the kernel's
//!   cache into a new segment. A frame that cannot be read back is counted as lost (`sync_failed`).
//! * Damage: everything but the damaged frames. The damaged range is counted and copied to `quarantine/`.
//!
//! Nothing is sent before it is synced, so what a destination has seen is never lost here and seen again.
//! Frame numbers rise and are never used twice; after an unclean end they go on far above.
//!
//! # On disk
//!
//! ```text
//! lock                       held exclusively while open
//! 00000000000000000001.seg   a segment, named after its first frame
//! cursors/<hash>.cur         how far a destination has been served: two generations, each with a checksum
//! quarantine/                copies of damaged ranges, 64 MiB in all
//!
//! segment = head, two sync marks (512 bytes apart), frames from byte 1536
//! frame   = header (version, lengths, number, number before, times, counts, checksums; services; positions), payload
//! ```
//!
//! The first frame of a segment, its opening, has no payload but all live source positions: a start needs those of
//! the newest segment only, and retention loses none. A sync mark says up to which number frames were synced when it
//! was written: damage below it is damage, above it the work of a power cut. Each frame names the one before it, so
//! that a hole is seen. `format.rs` has the bytes.
//!
//! # Who does what
//!
//! `append` writes, under one lock. One thread syncs and removes what is delivered and beyond the limits. Cursors
//! read by themselves. A segment is removed only after the cursors that passed it are durable.

use std::any::Any;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::signal::frame::{Codec, Frame, Position, Signal};
use crate::status::Board;
use bookmark::Bookmark;
use damage::Damage;
use disk::Disk;
use format::FRAMES;
use log::{Log, Reader, Totals};
use recover::Origin;
use sync::Wishes;

mod bookmark;
pub mod config;
pub mod cursor;
mod damage;
pub mod disk;
mod format;
mod log;
mod recover;
mod rescue;
mod scan;
mod sync;

#[cfg(test)]
mod tests;

pub use cursor::Cursor;

/// How much is kept, and how soon it is safe.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most bytes that lie undelivered for one destination.
    pub undelivered: u64,
    /// At most this long after an append it survives a power cut.
    pub fsync: Duration,
    /// Delivered segments are kept up to this many bytes together (0: none) …
    pub retain_bytes: u64,
    /// … and for this long.
    pub retain_time: Duration,
}

/// What happens when a destination is too far behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// `append` answers `Full`. Metrics are dropped all the same.
    Block,
    /// The destination's oldest frames are dropped, counted.
    DropOldest,
}

/// A frame as a cursor hands it out.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its number.
    pub number: u64,
    /// When it was appended, Unix nanoseconds.
    pub written: u64,
    /// What is known of it.
    pub header: Header,
    /// The compressed export request.
    pub payload: Bytes,
}

/// What is known of a frame without its payload; see [`Frame`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Whose spool it lies in.
    pub signal: Signal,
    /// How the payload is compressed.
    pub codec: Codec,
    /// Bytes of the request before compression.
    pub raw_len: u64,
    /// Log records or metric points in it.
    pub records: u32,
    /// Earliest and latest time in it, Unix nanoseconds.
    pub times: (u64, u64),
    /// What Loki charges for it, bytes.
    pub charge: u64,
    /// `service.name`s in it.
    pub services: Vec<String>,
}

/// What waits for one destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Frames with records.
    pub frames: u64,
    /// Their bytes on disk.
    pub bytes: u64,
    /// When the oldest was appended, Unix nanoseconds (before it is read: when its segment began); 0 when none waits.
    pub oldest: u64,
}

/// An open spool. Clones share it; the last one to go ends its thread and frees the folder.
#[derive(Debug, Clone)]
pub struct Spool {
    handle: Arc<Handle>,
}

/// Ends the thread when the last user goes.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    _lock: Box<dyn Any + Send + Sync>,
}

/// What the callers, the cursors and the thread share. Locks are taken in the order of their fields.
#[derive(Debug)]
struct Shared {
    /// Held for a whole sync.
    syncing: Mutex<()>,
    log: Mutex<Log>,
    wishes: Mutex<Wishes>,
    wake: Condvar,
    /// Changes when something was appended or synced.
    changes: watch::Sender<()>,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    signal: Signal,
    fsync: Duration,
    board: Board,
    damage: Arc<Damage>,
}

/// A segment is at least and at most this large; between them an eighth of what may lie undelivered.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=64 << 20;

impl Spool {
    /// Opens the spool in `dir`, which is made when it is missing; keeps whatever can be read.
    ///
    /// # Errors
    /// Another process has it open, or the folder cannot be read or written. Damage is no error.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        signal: Signal,
        limits: Limits,
        board: &Board,
    ) -> Result<Self, SpoolError> {
        Self::open_at(Origin { disk, dir, signal, limits, board: board.clone(), segment_size: None })
    }

    fn open_at(origin: Origin) -> Result<Self, SpoolError> {
        let fail = |source| SpoolError::Open { dir: origin.dir.clone(), source };
        let quarantine = origin.dir.join("quarantine");
        for dir in [&origin.dir, &origin.dir.join("cursors"), &quarantine] {
            origin.disk.create_dir(dir).map_err(fail)?;
        }
        let guard = origin.disk.lock(&origin.dir.join("lock")).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => SpoolError::Locked { dir: origin.dir.clone() },
            _ => fail(error),
        })?;
        let damage = Damage::new(Arc::clone(&origin.disk), quarantine, origin.board.clone(), origin.signal);
        let damage = Arc::new(damage);
        let log = recover::recover(&origin, Arc::clone(&damage)).map_err(fail)?;
        let shared = Arc::new(Shared {
            syncing: Mutex::new(()),
            log: Mutex::new(log),
            wishes: Mutex::new(Wishes::default()),
            wake: Condvar::new(),
            changes: watch::Sender::new(()),
            disk: Arc::clone(&origin.disk),
            dir: origin.dir.clone(),
            signal: origin.signal,
            fsync: origin.limits.fsync,
            board: origin.board.clone(),
            damage,
        });
        let worker = Arc::clone(&shared);
        let name = format!("spool-{}", origin.signal);
        let thread = std::thread::Builder::new().name(name).spawn(move || sync::run(&worker)).map_err(fail)?;
        Ok(Self { handle: Arc::new(Handle { shared, thread: Mutex::new(Some(thread)), _lock: guard }) })
    }

    /// Appends a frame and answers its number; from then on it survives a crash of the process. Does not sync.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing was taken then, and the same frame can be tried again.
    pub fn append(&self, frame: &Frame) -> Result<u64, AppendError> {
        let shared = &self.handle.shared;
        let mut log = lock(&shared.log);
        let first = log.unsynced_since.is_none();
        let moved: u64 = log.readers.values().map(|reader| reader.moved).sum();
        let result = log.append(frame);
        let first = first && log.unsynced_since.is_some();
        let dropped = log.readers.values().map(|reader| reader.moved).sum::<u64>() != moved;
        let tight = log.tight;
        drop(log);
        if first || dropped || tight {
            shared.wish(|wishes| {
                wishes.fresh |= first;
                wishes.tidy |= dropped || tight;
            });
        }
        shared.changes.send_replace(());
        result
    }

    /// The newest position of each source that was not forgotten.
    pub fn positions(&self) -> Vec<Position> {
        let log = lock(&self.handle.shared.log);
        log.positions.iter().map(|(key, value)| Position { key: key.clone(), value: value.clone() }).collect()
    }

    /// Hands over all frames with records that are kept, delivered or not, oldest first, whose newest time is not before
    /// `since` (Unix nanoseconds). Damaged ones are left out: the cursors count them.
    ///
    /// # Errors
    /// A segment cannot be read.
    pub fn retained(&self, since: u64, each: &mut dyn FnMut(Stored)) -> io::Result<()> {
        let shared = &self.handle.shared;
        let segments: Vec<_> = lock(&shared.log).segments.iter().cloned().collect();
        for segment in segments {
            let file = match shared.disk.open(&segment.path) {
                Ok(file) => file,
                // Retention was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let mut scan = scan::Scan::new(file, segment.salt, segment.end);
            let mut offset = FRAMES;
            while let Some((at, head)) = scan.find(offset) {
                offset = at + head.len();
                if head.payload_len > 0
                    && head.times.1 >= since
                    && let Ok(Some(stored)) = cursor::read(shared.signal, &mut scan, at, &head)
                {
                    each(stored);
                }
            }
        }
        Ok(())
    }

    /// Makes everything appended so far survive a power cut.
    ///
    /// # Errors
    /// The disk failed; the thread goes on trying.
    pub fn sync(&self) -> io::Result<()> {
        self.handle.shared.sync()
    }

    /// Syncs a last time and ends the thread. Cursors can still be moved, but nothing is appended any more.
    pub fn close(&self) {
        let shared = &self.handle.shared;
        lock(&shared.log).closed = true;
        if shared.sync().is_ok() {
            shared.tidy();
            lock(&shared.log).mark_closed();
        }
        self.handle.end();
    }

    /// The cursor of a destination. A new destination starts behind the newest frame.
    ///
    /// # Errors
    /// The destination has a cursor already, or its file cannot be written.
    pub fn cursor(&self, destination: &str, when_full: WhenFull) -> Result<Cursor, SpoolError> {
        if destination.len() > bookmark::MAX_NAME {
            return Err(SpoolError::Name { name: destination.chars().take(40).collect() });
        }
        let shared = &self.handle.shared;
        let key = bookmark::file_name(destination);
        let mut log = lock(&shared.log);
        let known = log.readers.get(&key).map(|reader| (reader.taken, reader.at, reader.file.is_some()));
        if let Some((true, ..)) = known {
            return Err(SpoolError::Taken { name: destination.to_owned() });
        }
        if !matches!(known, Some((_, _, true))) {
            // New, or its file is spoiled: then everything that is kept is sent (again).
            let at = known.map_or(log.last, |(_, at, _)| at);
            let mark = Bookmark::create(&*shared.disk, &shared.dir.join("cursors"), shared.signal, destination, at)
                .map_err(SpoolError::Disk)?;
            let place = log.segments.back().map_or((0, FRAMES), |segment| (segment.first, segment.end));
            let done = log.segments.back().map_or_else(Totals::default, |segment| segment.totals);
            let reader = log.readers.entry(key.clone()).or_insert_with(|| Reader::new(destination, at, place, done));
            reader.destination = destination.to_owned();
            reader.file = Some(Arc::new(Mutex::new(mark)));
        }
        if let Some(reader) = log.readers.get_mut(&key) {
            reader.taken = true;
            reader.when_full = Some(when_full);
        }
        drop(log);
        Ok(Cursor::new(Arc::clone(&self.handle), key))
    }

    /// Removes the cursors of all other destinations and counts what they had not been sent.
    pub fn keep_only(&self, destinations: &[&str]) {
        let shared = &self.handle.shared;
        let keep: Vec<String> = destinations.iter().map(|name| bookmark::file_name(name)).collect();
        let mut log = lock(&shared.log);
        let gone: Vec<String> = log.readers.keys().filter(|key| !keep.contains(key)).cloned().collect();
        let dir = shared.dir.join("cursors");
        for key in &gone {
            let Some(reader) = log.readers.get(key) else { continue };
            let records = log.pending(reader).records;
            let hint = format!("{} was removed from the config before it had everything", reader.destination);
            log.damage.lost("destination_removed", records, hint);
            log.readers.remove(key);
            // A cursor that stays is counted again at the next start; nothing else comes of it.
            if let Err(error) = shared.disk.remove(&dir.join(key)) {
                log.damage.note("cursor", format!("cannot remove {}: {error}", dir.join(key).display()));
            }
        }
        drop(log);
        if !gone.is_empty() {
            let _later = shared.disk.sync_dir(&dir).is_ok();
            shared.wish(|wishes| wishes.tidy = true);
            shared.changes.send_replace(());
        }
    }
}

impl Handle {
    fn end(&self) {
        self.shared.wish(|wishes| wishes.end = true);
        if let Some(thread) = lock(&self.thread).take() {
            // A panic of the thread was told by the panic hook.
            let _ended = thread.join().is_ok();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn wish(&self, wish: impl FnOnce(&mut Wishes)) {
        wish(&mut lock(&self.wishes));
        self.wake.notify_all();
    }
}

/// Panics are caught nowhere here, so a poisoned lock guards what the next start would find as well.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a frame was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// A destination is too far behind: try again when it has caught up.
    #[error("the spool is full: a destination is too far behind")]
    Full,
    /// The disk did not take it.
    #[error("cannot write to the spool: {0}")]
    Disk(io::Error),
}

/// Why a spool or a cursor did not work.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process has it open.
    #[error("the spool {} is in use by another process: only one plimsoll can run on a data folder", .dir.display())]
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder cannot be used.
    #[error("cannot open the spool {}: {source}", .dir.display())]
    Open {
        /// The folder.
        dir: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Two cursors for one destination.
    #[error("destination {name} has a cursor already")]
    Taken {
        /// The destination.
        name: String,
    },
    /// A name that no file can hold.
    #[error("the destination name {name}… is longer than 1024 bytes")]
    Name {
        /// Its beginning.
        name: String,
    },
    /// The destination was removed while it waited.
    #[error("the destination was removed")]
    Removed,
    /// The disk did not do it.
    #[error("cannot read or write the spool: {0}")]
    Disk(io::Error),
}
