//! The log in memory and its writing end: room, turnover, append, and what a failed write leaves.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::ops::{AddAssign, SubAssign};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::bookmark::Bookmark;
use super::damage::Damage;
use super::disk::{Disk, File, write_full};
use super::format::{
    Content, FIXED, FRAMES, FrameHead, MARKS, MAX_HEADER, MAX_PAYLOAD, Mark, Place, SegmentHead, encode_header,
};
use super::{AppendError, Limits, WhenFull};
use crate::base::clock::unix_nanos;
use crate::signal::frame::{Codec, Frame, Position, Signal};
use crate::status::{self, Board};

/// Newest value of each source's key.
pub(super) type Positions = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// What the lock of a spool guards.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) signal: Signal,
    pub(super) limits: Limits,
    /// A segment that would grow beyond this is sealed.
    pub(super) segment_size: u64,
    pub(super) board: Board,
    pub(super) entry: Arc<status::Spool>,
    pub(super) damage: Arc<Damage>,
    /// Oldest first; with a writer, the last one grows.
    pub(super) segments: VecDeque<Segment>,
    pub(super) writer: Option<Writer>,
    pub(super) positions: Positions,
    /// Number of the next frame.
    pub(super) next: u64,
    /// Number of the newest frame.
    pub(super) last: u64,
    /// Every frame up to this one survives a power cut.
    pub(super) synced: u64,
    /// Only numbers below this are used: it survives a power cut that loses the frames.
    pub(super) reserved: u64,
    /// The same as in the newest mark, which may not be synced.
    pub(super) reserving: u64,
    /// Cursors by file name.
    pub(super) readers: BTreeMap<String, Reader>,
    /// Segments with bytes that are not synced, oldest first.
    pub(super) unsynced: Vec<(u64, Arc<dyn File>)>,
    /// When the oldest byte that is not synced was written.
    pub(super) unsynced_since: Option<Instant>,
    pub(super) dir_dirty: bool,
    /// The newest segment as it was when it was last synced.
    pub(super) point: Option<Segment>,
    /// A sync failed: what was not synced must be copied, not synced again.
    pub(super) must_copy: bool,
    /// The disk has no room: what is delivered makes some, whatever may be retained.
    pub(super) tight: bool,
    pub(super) faults: Faults,
    /// Nothing is appended any more.
    pub(super) closed: bool,
    pub(super) scratch: Vec<u8>,
}

/// One file.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) first: u64,
    pub(super) salt: u32,
    /// When it was made, Unix nanoseconds; 0 when unknown.
    pub(super) opened: u64,
    /// Where the next frame goes, or would.
    pub(super) end: u64,
    /// Number of its newest frame.
    pub(super) last: u64,
    /// Number of its newest frame with a payload; 0 without.
    pub(super) last_record: u64,
    pub(super) totals: Totals,
}

/// Where frames are appended.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) file: Arc<dyn File>,
    /// Sync marks written to this segment.
    pub(super) turn: u64,
}

/// Frames with a payload, records in them, bytes of all frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) frames: u64,
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// One cursor.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) destination: String,
    /// Served up to this number.
    pub(super) at: u64,
    /// The same, as it stands in the file.
    pub(super) durable: u64,
    /// Segment and offset where the next frame is looked for.
    pub(super) place: (u64, u64),
    /// What lies before `place` in its segment.
    pub(super) done: Totals,
    /// `None` until a destination claims it.
    pub(super) when_full: Option<WhenFull>,
    /// A `Cursor` holds it.
    pub(super) taken: bool,
    /// Counts moves that its `Cursor` did not make.
    pub(super) moved: u64,
    /// `None`: the file is spoiled.
    pub(super) file: Option<Arc<Mutex<Bookmark>>>,
}

/// What is wrong now, empty when all is well: the latest write, the latest sync.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) write: String,
    pub(super) sync: String,
}

/// Numbers are reserved in steps of this, so that those of frames that a power cut takes are not used again.
pub(super) const RESERVE: u64 = 1 << 20;
/// Live positions together; far beyond 10,000 files.
const MAX_POSITIONS: usize = 16 << 20;

impl Log {
    /// Takes one frame: bytes in the file (not synced), its number.
    pub(super) fn append(&mut self, frame: &Frame) -> Result<u64, AppendError> {
        if frame.payload.is_empty() && frame.positions.is_empty() {
            return Ok(self.last);
        }
        if self.closed {
            return Err(AppendError::Disk(io::Error::other("the spool is closed")));
        }
        let len = self.check(frame)?;
        self.make_room(len)?;
        let result = self.write(frame, len);
        self.tight |= result.as_ref().is_err_and(is_full);
        self.faults.write = match &result {
            Ok(_) => String::new(),
            Err(error) => format!("cannot write to {}: {error}; nothing is taken until it can", self.dir.display()),
        };
        self.show_faults();
        result.map_err(AppendError::Disk)
    }

    /// The frame's length on disk, when it is within the bounds.
    fn check(&self, frame: &Frame) -> Result<u64, AppendError> {
        let refuse = |why: String| Err(AppendError::Disk(io::Error::new(io::ErrorKind::InvalidInput, why)));
        if frame.signal != self.signal {
            return refuse(format!("a frame of {} does not belong into the spool of {}", frame.signal, self.signal));
        }
        let services: usize = frame.services.iter().map(|service| 4 + service.len()).sum();
        let moved: usize = frame.positions.iter().map(|position| 8 + position.key.len() + position.value.len()).sum();
        let header = FIXED + services + moved;
        if header > MAX_HEADER || frame.payload.len() > MAX_PAYLOAD {
            return refuse(format!("a frame of {} bytes with a header of {header} is too large", frame.payload.len()));
        }
        if frame.positions.iter().any(|position| !self.positions.contains_key(&position.key)) {
            let live: usize = self.positions.iter().map(|(key, value)| 8 + key.len() + value.len()).sum();
            if live + moved > MAX_POSITIONS {
                return refuse("the positions of all sources together are over 16 MiB".to_owned());
            }
        }
        Ok((header + frame.payload.len()) as u64)
    }

    /// Refuses, or moves cursors that would rather lose, when a cursor is too far behind for `len` more bytes.
    fn make_room(&mut self, len: u64) -> Result<(), AppendError> {
        let mut droppers = Vec::new();
        for (key, reader) in &self.readers {
            if self.over(reader, len) {
                if self.blocks(reader) {
                    self.entry.full.add(1);
                    return Err(AppendError::Full);
                }
                droppers.push(key.clone());
            }
        }
        for key in droppers {
            while self.readers.get(&key).is_some_and(|reader| self.over(reader, len)) {
                self.drop_oldest(&key).map_err(AppendError::Disk)?;
            }
        }
        Ok(())
    }

    fn over(&self, reader: &Reader, len: u64) -> bool {
        let pending = self.pending(reader);
        pending.frames > 0 && pending.bytes + len > self.limits.undelivered
    }

    /// Rules must never go blind because a stack is down, so the spool of metrics blocks nobody.
    fn blocks(&self, reader: &Reader) -> bool {
        self.signal != Signal::Metrics && reader.when_full != Some(WhenFull::DropOldest)
    }

    /// What one cursor has not served.
    pub(super) fn pending(&self, reader: &Reader) -> Totals {
        let mut sum = Totals::default();
        for segment in self.segments.iter().rev().take_while(|segment| segment.first >= reader.place.0) {
            sum += segment.totals;
        }
        sum -= reader.done;
        // Frames that only move positions wait for nobody.
        if sum.frames == 0 { Totals::default() } else { sum }
    }

    fn drop_oldest(&mut self, key: &str) -> io::Result<()> {
        let Some(reader) = self.readers.get(key) else { return Ok(()) };
        let at = self.segments.iter().position(|segment| segment.first >= reader.place.0);
        let Some(at) = at else { return Ok(()) };
        if at + 1 == self.segments.len() {
            self.roll()?;
        }
        let (gone, next) = (&self.segments[at], &self.segments[at + 1]);
        let Some(reader) = self.readers.get_mut(key) else { return Ok(()) };
        let mut lost = gone.totals;
        if gone.first == reader.place.0 {
            lost -= reader.done;
        }
        reader.at = reader.at.max(gone.last);
        reader.place = (next.first, FRAMES);
        reader.done = Totals::default();
        reader.moved += 1;
        if lost.records > 0 {
            self.board.destination(&reader.destination, self.signal).dropped.add(lost.records);
            let hint = format!(
                "{} was too far behind: its oldest frames were dropped; raise spool.size, or mend the destination",
                reader.destination
            );
            self.damage.lost("dropped_oldest", lost.records, hint);
        }
        Ok(())
    }

    fn write(&mut self, frame: &Frame, len: u64) -> io::Result<u64> {
        if self.must_copy {
            self.rescue()?;
        }
        if self.next + 1 >= self.reserved {
            // The next sync reserves more.
            self.unsynced_since.get_or_insert_with(Instant::now);
            return Err(io::Error::other("too many frames were written since the latest sync"));
        }
        let size = self.segment_size;
        let fits = |segment: &Segment| segment.end + len <= size || segment.last == segment.first;
        if self.writer.is_none() || !self.segments.back().is_some_and(fits) {
            self.roll()?;
        }
        let content = Content {
            codec: frame.codec,
            payload: &frame.payload,
            raw_len: frame.raw_len,
            records: frame.records,
            times: frame.times,
            charge: frame.charge,
            services: &frame.services,
        };
        let head = self.put(&content, &frame.positions)?;
        apply(&mut self.positions, &frame.positions);
        self.entry.appended.add(1);
        Ok(head.number)
    }

    /// Writes one frame behind the newest one. After a failure the file is as before, or sealed.
    pub(super) fn put(&mut self, content: &Content<'_>, positions: &[Position]) -> io::Result<FrameHead> {
        let (Some(writer), Some(segment)) = (&self.writer, self.segments.back_mut()) else {
            return Err(io::Error::other("no segment is open"));
        };
        let place =
            Place { number: self.next, previous: self.last, written: unix_nanos(), void_from: 0, opening: false };
        let moves = positions.iter().map(|position| (&*position.key, &*position.value));
        let head = encode_header(&mut self.scratch, segment.salt, place, content, moves)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the frame is too large"))?;
        if let Err(error) = write_full(&*writer.file, [&self.scratch, content.payload], segment.end) {
            // What was written of it must not stand before the next frame.
            if writer.file.truncate(segment.end).is_err() {
                self.writer = None;
            }
            return Err(error);
        }
        self.unsynced_since.get_or_insert_with(Instant::now);
        if self.unsynced.last().is_none_or(|(first, _)| *first != segment.first) {
            self.unsynced.push((segment.first, Arc::clone(&writer.file)));
        }
        segment.end += head.len();
        segment.add(&head);
        self.last = head.number;
        self.next = head.number + 1;
        self.entry.bytes.add(head.len());
        self.entry.newest.set(head.number);
        Ok(head)
    }

    /// Seals the newest segment and opens the next one with all live positions.
    pub(super) fn roll(&mut self) -> io::Result<()> {
        let positions = std::mem::take(&mut self.positions);
        let made = self.create_segment(&positions, self.last, 0);
        self.positions = positions;
        self.push_segment(made?);
        Ok(())
    }

    pub(super) fn push_segment(&mut self, (segment, file): (Segment, Arc<dyn File>)) {
        self.last = segment.first;
        self.next = segment.first + 1;
        self.entry.bytes.add(segment.end);
        self.entry.segments.add(1);
        self.entry.newest.set(segment.first);
        self.unsynced.push((segment.first, Arc::clone(&file)));
        self.unsynced_since.get_or_insert_with(Instant::now);
        self.dir_dirty = true;
        self.segments.push_back(segment);
        self.writer = Some(Writer { file, turn: 0 });
    }

    /// Makes a segment's file with head, first sync mark and opening. Its number is spent when that fails and the file
    /// may still be there: else a disk that is full for a day would use up all numbers that are reserved.
    pub(super) fn create_segment(
        &mut self,
        positions: &Positions,
        previous: u64,
        void_from: u64,
    ) -> io::Result<(Segment, Arc<dyn File>)> {
        let first = self.next;
        self.next += 1;
        let path = self.dir.join(format!("{first:020}.seg"));
        let head = SegmentHead { signal: self.signal, first, salt: random() };
        let reserved = self.reserving.max(first + RESERVE);
        let mark = Mark { head, turn: 0, synced: self.synced, reserved, closed: false };
        let mut front = [0; FRAMES as usize];
        front[..64].copy_from_slice(&head.encode());
        front[MARKS[0] as usize..][..64].copy_from_slice(&mark.encode());
        let place = Place { number: first, previous, written: unix_nanos(), void_from, opening: true };
        let content = Content {
            codec: Codec::Identity,
            payload: &[],
            raw_len: 0,
            records: 0,
            times: (0, 0),
            charge: 0,
            services: &[],
        };
        let moves = positions.iter().map(|(key, value)| (&**key, &**value));
        let opening = encode_header(&mut self.scratch, head.salt, place, &content, moves)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the positions of all sources are too large"))?;
        let made = self.disk.create(&path).and_then(|file| {
            write_full(&*file, [&front, &self.scratch], 0)?;
            Ok(file)
        });
        let file = match made {
            Ok(file) => file,
            Err(error) => {
                // An empty or torn segment is known at the next start for what it is; the first error says more.
                match self.disk.remove(&path) {
                    Ok(()) => self.next = first,
                    Err(removal) if removal.kind() == io::ErrorKind::NotFound => self.next = first,
                    Err(_) => {}
                }
                return Err(error);
            }
        };
        self.reserving = reserved;
        let mut segment = Segment {
            path,
            first,
            salt: head.salt,
            opened: place.written,
            end: FRAMES + opening.len(),
            last: first,
            last_record: 0,
            totals: Totals::default(),
        };
        segment.add(&opening);
        Ok((segment, file))
    }

    /// Writes into the newest segment that everything up to `synced` is. Only a help for the next start, so a failure
    /// of the disk is left to the writes that matter.
    pub(super) fn mark(&mut self, closed: bool) {
        let (Some(writer), Some(segment)) = (&mut self.writer, self.segments.back()) else { return };
        writer.turn += 1;
        let reserved = if closed { self.next } else { self.next + RESERVE };
        let head = SegmentHead { signal: self.signal, first: segment.first, salt: segment.salt };
        let mark = Mark { head, turn: writer.turn, synced: self.synced, reserved, closed };
        if write_full(&*writer.file, [&mark.encode(), &[]], MARKS[(writer.turn % 2) as usize]).is_ok() {
            self.reserving = reserved;
        }
    }

    /// Says that the end was clean: the next start goes on with the next number.
    pub(super) fn mark_closed(&mut self) {
        if self.synced == self.last {
            self.mark(true);
            if let Some(writer) = &self.writer {
                // Without it the next start takes the end for unclean, which costs nothing.
                let _synced = writer.file.sync().is_ok();
            }
        }
    }

    pub(super) fn show_faults(&self) {
        let fault = if self.faults.write.is_empty() { &self.faults.sync } else { &self.faults.write };
        if self.entry.fault.get() != *fault {
            self.entry.fault.set(fault.clone());
        }
    }

    /// Puts sizes on the board, from the list itself.
    pub(super) fn show_sizes(&self) {
        self.entry.bytes.set(self.segments.iter().map(|segment| segment.end).sum());
        self.entry.segments.set(self.segments.len() as u64);
        self.entry.newest.set(self.last);
        self.entry.limit.set(self.limits.undelivered);
    }
}

impl Segment {
    /// Takes a frame into the account.
    pub(super) fn add(&mut self, head: &FrameHead) {
        self.totals += Totals::of(head);
        self.last = head.number;
        if head.payload_len > 0 {
            self.last_record = head.number;
        }
    }
}

impl Reader {
    /// One that has served everything up to `at`, which lies before `place`.
    pub(super) fn new(destination: &str, at: u64, place: (u64, u64), done: Totals) -> Self {
        Self {
            destination: destination.to_owned(),
            at,
            durable: at,
            place,
            done,
            when_full: None,
            taken: false,
            moved: 0,
            file: None,
        }
    }
}

impl Totals {
    pub(super) fn of(head: &FrameHead) -> Self {
        let loaded = head.payload_len > 0;
        Self { frames: u64::from(loaded), records: if loaded { head.records.into() } else { 0 }, bytes: head.len() }
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.frames += other.frames;
        self.records += other.records;
        self.bytes += other.bytes;
    }
}

impl SubAssign for Totals {
    fn sub_assign(&mut self, other: Self) {
        self.frames = self.frames.saturating_sub(other.frames);
        self.records = self.records.saturating_sub(other.records);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// Keeps the newest value of each key; an empty one forgets.
pub(super) fn apply(positions: &mut Positions, moves: &[Position]) {
    for position in moves {
        if position.value.is_empty() {
            positions.remove(&position.key);
        } else {
            positions.insert(position.key.clone(), position.value.clone());
        }
    }
}

/// The standard library seeds its hash maps from the system's random numbers.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn random() -> u32 {
    RandomState::new().hash_one(0_u8) as u32
}
