//! Group commit and retention: one thread per spool.
//!
//! It syncs at most every `fsync` while there is something to sync, at once when an idle cursor asks, and then
//! removes what every cursor has durably passed and the limits no longer keep.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::format::FRAMES;
use super::log::{Log, RESERVE, Segment, Totals};
use super::{Shared, lock};
use crate::base::clock::unix_nanos;

/// What the thread is asked to do.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// Sync now.
    pub(super) sync: bool,
    /// A cursor passed a segment, or was moved.
    pub(super) tidy: bool,
    /// The first byte behind the latest sync was written.
    pub(super) fresh: bool,
    pub(super) end: bool,
}

enum Work {
    Sync,
    Tidy,
    End,
}

/// The loop of the thread; ends when asked, without a last sync.
pub(super) fn run(shared: &Shared) {
    let mut not_before: Option<Instant> = None;
    loop {
        match wait(shared, not_before) {
            Work::End => return,
            Work::Tidy => shared.tidy(),
            // A disk that fails is asked again after a while, not in a loop. The board says what is wrong.
            Work::Sync => {
                not_before = shared.sync().is_err().then(|| Instant::now() + shared.fsync.max(RETRY));
                // What was delivered before it was known to be synced can go now.
                shared.tidy();
            }
        }
    }
}

/// Waits until there is something to do.
fn wait(shared: &Shared, not_before: Option<Instant>) -> Work {
    // Segments grow old without anything else to do.
    let look_again = Instant::now() + TIDY;
    loop {
        let since = lock(&shared.log).unsynced_since;
        let mut wishes = lock(&shared.wishes);
        let now = Instant::now();
        if wishes.end {
            return Work::End;
        }
        if wishes.tidy || now >= look_again {
            wishes.tidy = false;
            return Work::Tidy;
        }
        if wishes.fresh {
            // Written after `since` was read, perhaps.
            wishes.fresh = false;
            continue;
        }
        let due = if wishes.sync { Some(now) } else { since.map(|since| since + shared.fsync) };
        let due = due.map(|due| not_before.map_or(due, |earliest| due.max(earliest)));
        if due.is_some_and(|due| due <= now) {
            wishes.sync = false;
            return Work::Sync;
        }
        let until = due.map_or(look_again, |due| due.min(look_again));
        drop(shared.wake.wait_timeout(wishes, until - now));
    }
}

impl Shared {
    /// Makes everything appended so far survive a power cut, then lets the cursors see it.
    pub(super) fn sync(&self) -> io::Result<()> {
        let _one = lock(&self.syncing);
        // The second turn syncs what a failed first one copied.
        let result = self.sync_once().or_else(|_| self.sync_once());
        let mut log = lock(&self.log);
        log.faults.sync = match &result {
            Ok(()) => String::new(),
            Err(error) => format!("cannot sync {}: {error}; nothing is sent until it can", self.dir.display()),
        };
        log.show_faults();
        drop(log);
        self.changes.send_replace(());
        result
    }

    fn sync_once(&self) -> io::Result<()> {
        let (files, dir_dirty, target, point, reserving) = {
            let mut log = lock(&self.log);
            if log.must_copy {
                log.rescue()?;
            }
            if log.unsynced.is_empty() && !log.dir_dirty {
                if log.next + RESERVE / 2 < log.reserved {
                    return Ok(());
                }
                // A disk that failed for long has used up the numbers, and nothing is taken until there are more.
                log.reserve()?;
            }
            log.unsynced_since = None;
            (log.unsynced.clone(), log.dir_dirty, log.last, log.segments.back().cloned(), log.reserving)
        };
        // In order: a later frame is never durable without those before it being declared so first.
        for (_, file) in &files {
            if let Err(error) = file.sync() {
                let mut log = lock(&self.log);
                log.must_copy = true;
                log.unsynced_since.get_or_insert_with(Instant::now);
                return Err(error);
            }
        }
        if dir_dirty && let Err(error) = self.disk.sync_dir(&self.dir) {
            lock(&self.log).unsynced_since.get_or_insert_with(Instant::now);
            return Err(error);
        }
        let mut log = lock(&self.log);
        log.reserved = log.reserved.max(reserving);
        if dir_dirty && log.segments.back().map(|segment| segment.first) == point.as_ref().map(|point| point.first) {
            log.dir_dirty = false;
        }
        log.synced = log.synced.max(target);
        // The newest file of the snapshot may have grown meanwhile, older ones cannot.
        let newest = point.as_ref().map_or(0, |point| point.first);
        let grown = log.last > target;
        log.unsynced.retain(|(first, _)| *first > newest || (*first == newest && grown));
        log.point = point;
        log.mark(false);
        Ok(())
    }

    /// Makes moved cursors durable, then removes segments that nobody needs.
    pub(super) fn tidy(&self) {
        let moved: Vec<_> = {
            let log = lock(&self.log);
            let behind = log.readers.iter().filter(|(_, reader)| reader.at > reader.durable);
            behind
                .filter_map(|(key, reader)| Some((key.clone(), reader.at, Arc::clone(reader.file.as_ref()?))))
                .collect()
        };
        for (key, at, file) in moved {
            let written = lock(&file).write(at);
            let mut log = lock(&self.log);
            match written {
                Ok(()) => {
                    if let Some(reader) = log.readers.get_mut(&key) {
                        reader.durable = reader.durable.max(at);
                    }
                }
                Err(error) => {
                    log.faults.sync = format!("cannot write the cursor {}: {error}", lock(&file).path().display());
                    log.show_faults();
                }
            }
        }
        let gone = lock(&self.log).expire();
        let mut failed = None;
        for segment in &gone {
            if let Err(error) = self.disk.remove(&segment.path) {
                failed = Some(format!("cannot remove {}: {error}", segment.path.display()));
            }
        }
        if !gone.is_empty() {
            if let Err(error) = self.disk.sync_dir(&self.dir) {
                failed = Some(format!("cannot sync {}: {error}", self.dir.display()));
            }
            self.board.note(&format!("{} removal", self.damage.part), failed);
        }
    }
}

impl Log {
    /// Writes down that more numbers are used, for the next sync.
    fn reserve(&mut self) -> io::Result<()> {
        match (&self.writer, self.segments.back()) {
            (Some(writer), Some(segment)) => {
                self.unsynced.push((segment.first, Arc::clone(&writer.file)));
                self.mark(false);
                Ok(())
            }
            _ => self.roll(),
        }
    }

    /// Takes segments off the list that are delivered and beyond what is to be retained.
    fn expire(&mut self) -> Vec<Segment> {
        let passed = self.readers.values().map(|reader| reader.durable).min().unwrap_or(u64::MAX);
        // New lines are worth more than delivered ones: on a full disk the oldest of these goes.
        let mut tight = std::mem::take(&mut self.tight);
        let served = |only: &Segment| only.last_record > 0 && only.last_record <= passed;
        if tight && self.segments.len() == 1 && self.segments.back().is_some_and(served) {
            // Where not even a new segment's head has room, the next refused frame tries again.
            let _no_room = self.roll().is_err();
        }
        let sealed = self.segments.len().saturating_sub(1);
        let free = |segment: &&Segment| segment.last_record <= passed && segment.last <= self.synced;
        let delivered = self.segments.iter().take(sealed).take_while(free).count();
        let mut bytes: u64 = self.segments.iter().take(delivered).map(|segment| segment.end).sum();
        let age = u64::try_from(self.limits.retain_time.as_nanos()).unwrap_or(u64::MAX);
        let oldest = unix_nanos().saturating_sub(age);
        let mut gone = Vec::new();
        for _ in 0..delivered {
            // A segment is as old as its newest frame, and that is older than the segment after it.
            let old = self.segments.get(1).is_some_and(|next| next.opened > 0 && next.opened < oldest);
            if bytes <= self.limits.retain_bytes && !old && !std::mem::take(&mut tight) {
                break;
            }
            let Some(segment) = self.segments.pop_front() else { break };
            bytes = bytes.saturating_sub(segment.end);
            gone.push(segment);
        }
        let Some(first) = self.segments.front().map(|segment| segment.first) else { return gone };
        for reader in self.readers.values_mut().filter(|reader| reader.place.0 < first) {
            reader.place = (first, FRAMES);
            reader.done = Totals::default();
            reader.moved += 1;
        }
        if !gone.is_empty() {
            self.show_sizes();
        }
        gone
    }
}

/// Between two tries of a disk that fails, at least.
const RETRY: Duration = Duration::from_millis(200);
/// How often the age of segments is looked at when nothing else happens.
const TIDY: Duration = Duration::from_secs(60);
