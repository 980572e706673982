//! Reads the log for one destination, frame by frame, from where it was last served.

use std::sync::Arc;

use bytes::Bytes;

use super::disk::File;
use super::format::{FRAMES, FrameHead};
use super::log::{Segment, Totals};
use super::scan::Scan;
use super::{Backlog, Handle, Header, Shared, SpoolError, Stored, lock};
use crate::base::stop::Stop;
use crate::signal::frame::Signal;

/// One destination's place in a spool. Its file outlives it.
#[derive(Debug)]
pub struct Cursor {
    handle: Arc<Handle>,
    key: String,
    /// The segment read last, kept open.
    open: Option<(u64, Arc<dyn File>)>,
    held: Option<Held>,
    /// When the frame that was served last was written; what waits behind it is younger.
    served: u64,
}

/// A frame that was handed out and not done.
#[derive(Debug, Clone)]
struct Held {
    stored: Stored,
    /// Where it lies, and what is behind it.
    place: (u64, u64),
    after: u64,
    size: Totals,
}

/// What a segment is as long as the lock is not held.
struct View {
    segment: Segment,
    offset: u64,
    sealed: bool,
    at: u64,
    synced: u64,
    moved: u64,
}

enum Step {
    Deliver(Box<Held>),
    /// Nothing to hand out; true: there is something that is not synced.
    Wait(bool),
    /// The cursor was moved meanwhile, or goes on in the next segment.
    Again,
}

impl Cursor {
    pub(super) fn new(handle: Arc<Handle>, key: String) -> Self {
        Self { handle, key, open: None, held: None, served: 0 }
    }

    /// Waits for the next frame with records that survives a power cut; the same again until it is `done`. `None`
    /// when stopped.
    ///
    /// # Errors
    /// The destination was removed, or the disk cannot be read now (trying again is right). Damage is no error: it is
    /// skipped and counted.
    pub async fn next(&mut self, stop: &Stop) -> Result<Option<Stored>, SpoolError> {
        let mut changes = self.handle.shared.changes.subscribe();
        loop {
            changes.mark_unchanged();
            if stop.is_set() {
                return Ok(None);
            }
            if let Some(held) = self.still_held()? {
                return Ok(Some(held));
            }
            let (shared, key, open) = (Arc::clone(&self.handle.shared), self.key.clone(), self.open.take());
            let looked = tokio::task::spawn_blocking(move || {
                let mut open = open;
                let step = look(&shared, &key, &mut open);
                (step, open)
            });
            let (step, open) = looked.await.map_err(|error| SpoolError::Disk(std::io::Error::other(error)))?;
            self.open = open;
            match step? {
                Step::Deliver(held) => {
                    let stored = held.stored.clone();
                    self.held = Some(*held);
                    return Ok(Some(stored));
                }
                Step::Again => {}
                Step::Wait(unsynced) => {
                    if unsynced {
                        self.handle.shared.wish(|wishes| wishes.sync = true);
                    }
                    tokio::select! {
                        _ = changes.changed() => {}
                        () = stop.wait() => {}
                    }
                }
            }
        }
    }

    /// The frame `number`, and with it all before it, was served: written to the cursor's file and synced.
    ///
    /// # Errors
    /// The cursor's file cannot be written; the cursor has not moved then.
    pub async fn done(&mut self, number: u64) -> Result<(), SpoolError> {
        let Some(held) = self.held.clone().filter(|held| held.stored.number == number) else {
            return Ok(());
        };
        let held_at = held.stored.written;
        let (shared, key) = (Arc::clone(&self.handle.shared), self.key.clone());
        let written = tokio::task::spawn_blocking(move || finish(&shared, &key, &held));
        written.await.map_err(|error| SpoolError::Disk(std::io::Error::other(error)))??;
        self.served = self.served.max(held_at);
        self.held = None;
        Ok(())
    }

    /// What waits for this destination.
    pub fn backlog(&self) -> Backlog {
        let log = lock(&self.handle.shared.log);
        let Some(reader) = log.readers.get(&self.key) else { return Backlog::default() };
        let pending = log.pending(reader);
        let held = self.held.as_ref().filter(|held| held.stored.number > reader.at);
        let oldest = if pending.frames == 0 {
            0
        } else if let Some(held) = held {
            held.stored.written
        } else {
            // Not looked at yet: it is no older than its segment, and than what was served before it.
            let segment = log.segments.iter().find(|segment| segment.first >= reader.place.0);
            segment.map_or(0, |segment| segment.opened.max(self.served))
        };
        Backlog { frames: pending.frames, bytes: pending.bytes, oldest }
    }

    /// What was handed out, unless a full spool dropped it meanwhile.
    fn still_held(&mut self) -> Result<Option<Stored>, SpoolError> {
        let log = lock(&self.handle.shared.log);
        let reader = log.readers.get(&self.key).ok_or(SpoolError::Removed)?;
        self.held = self.held.take().filter(|held| held.stored.number > reader.at);
        Ok(self.held.as_ref().map(|held| held.stored.clone()))
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        if let Some(reader) = lock(&self.handle.shared.log).readers.get_mut(&self.key) {
            reader.taken = false;
        }
    }
}

/// One step towards the next frame; reads without the lock.
fn look(shared: &Shared, key: &str, open: &mut Option<(u64, Arc<dyn File>)>) -> Result<Step, SpoolError> {
    let Some(view) = View::new(shared, key)? else { return Ok(Step::Wait(false)) };
    let first = view.segment.first;
    let file = match open {
        Some((number, file)) if *number == first => Arc::clone(file),
        _ => match shared.disk.open(&view.segment.path) {
            Ok(file) => file,
            // Somebody removed it by hand: the rest of it is gone.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && view.sealed => {
                let hint = format!("{} is gone", view.segment.path.display());
                shared.damage.lost("missing", view.segment.totals.frames, hint);
                return view.pass(shared, key);
            }
            Err(error) => return Err(SpoolError::Disk(error)),
        },
    };
    *open = Some((first, Arc::clone(&file)));
    let mut scan = Scan::new(Arc::clone(&file), view.segment.salt, view.segment.end);
    let (mut offset, mut done) = (view.offset, Totals::default());
    loop {
        let found = scan.find(offset);
        let gap = found.map_or(view.segment.end, |(at, _)| at);
        shared.damage.found(&*file, first, offset, gap, "damaged");
        let Some((at, head)) = found else {
            // The end: go on in the next segment, or wait for this one to grow.
            return if view.sealed { view.pass(shared, key) } else { view.settle(shared, key, gap, done) };
        };
        if head.number > view.synced {
            return view.settle(shared, key, at, done);
        }
        let after = at + head.len();
        if head.payload_len > 0 && head.number > view.at {
            if let Some(stored) = read(shared.signal, &mut scan, at, &head)? {
                let held = Held { stored, place: (first, at), after, size: Totals::of(&head) };
                return Ok(match view.settle(shared, key, at, done)? {
                    Step::Again => Step::Again,
                    _ => Step::Deliver(Box::new(held)),
                });
            }
            shared.damage.found(&*file, first, at, after, "damaged");
        }
        done += Totals::of(&head);
        offset = after;
    }
}

/// `None` when the frame is damaged.
pub(super) fn read(signal: Signal, scan: &mut Scan, at: u64, head: &FrameHead) -> Result<Option<Stored>, SpoolError> {
    let Some((services, _)) = scan.body(at, head) else { return Ok(None) };
    let Some(payload) = scan.payload(at, head).map_err(SpoolError::Disk)? else { return Ok(None) };
    let header = Header {
        signal,
        codec: head.codec,
        raw_len: head.raw_len,
        records: head.records,
        times: head.times,
        charge: head.charge,
        services,
    };
    Ok(Some(Stored { number: head.number, written: head.written, header, payload: Bytes::from(payload) }))
}

/// Moves the cursor behind a frame that was served: first its file, then memory, so that a failure moves neither.
fn finish(shared: &Shared, key: &str, held: &Held) -> Result<(), SpoolError> {
    let number = held.stored.number;
    let file = {
        let log = lock(&shared.log);
        let reader = log.readers.get(key).ok_or(SpoolError::Removed)?;
        reader.file.clone().ok_or(SpoolError::Removed)?
    };
    lock(&file).write(number).map_err(SpoolError::Disk)?;
    let mut log = lock(&shared.log);
    let reader = log.readers.get_mut(key).ok_or(SpoolError::Removed)?;
    reader.durable = reader.durable.max(number);
    reader.at = reader.at.max(number);
    if reader.place == held.place {
        reader.place.1 = held.after;
        reader.done += held.size;
    }
    let newest = log.segments.len().saturating_sub(1);
    let passed = log.segments.iter().take(newest).rfind(|segment| segment.first == held.place.0);
    if passed.is_some_and(|segment| segment.last_record <= number) {
        drop(log);
        shared.wish(|wishes| wishes.tidy = true);
    }
    Ok(())
}

impl View {
    /// `None` when there is no segment at all.
    fn new(shared: &Shared, key: &str) -> Result<Option<Self>, SpoolError> {
        let log = lock(&shared.log);
        let reader = log.readers.get(key).ok_or(SpoolError::Removed)?;
        let index = log.segments.partition_point(|segment| segment.first < reader.place.0);
        let Some(segment) = log.segments.get(index) else { return Ok(None) };
        Ok(Some(Self {
            offset: if segment.first == reader.place.0 { reader.place.1 } else { FRAMES },
            segment: segment.clone(),
            sealed: index + 1 < log.segments.len(),
            at: reader.at,
            synced: log.synced,
            moved: reader.moved,
        }))
    }

    /// Remembers what was skipped, unless the cursor was moved meanwhile.
    fn settle(&self, shared: &Shared, key: &str, offset: u64, skipped: Totals) -> Result<Step, SpoolError> {
        let mut log = lock(&shared.log);
        let end = log.segments.back().filter(|last| last.first == self.segment.first && last.end == offset);
        let end = end.map(|last| last.totals);
        let waits = log.segments.iter().rev().any(|segment| segment.last_record > log.synced);
        let reader = log.readers.get_mut(key).ok_or(SpoolError::Removed)?;
        if reader.moved != self.moved {
            return Ok(Step::Again);
        }
        if reader.place.0 != self.segment.first {
            reader.done = Totals::default();
        }
        reader.place = (self.segment.first, offset);
        reader.done += skipped;
        if let Some(totals) = end {
            // Damage since the start may have hidden a frame that is in the account.
            reader.done = totals;
        }
        Ok(Step::Wait(waits))
    }

    /// Goes on in the next segment.
    fn pass(&self, shared: &Shared, key: &str) -> Result<Step, SpoolError> {
        let mut log = lock(&shared.log);
        let next = log.segments.iter().map(|segment| segment.first).find(|first| *first > self.segment.first);
        let reader = log.readers.get_mut(key).ok_or(SpoolError::Removed)?;
        if reader.moved == self.moved
            && let Some(next) = next
        {
            reader.place = (next, FRAMES);
            reader.done = Totals::default();
        }
        Ok(Step::Again)
    }
}
