//! What a start finds on disk, and what it makes of it.
//!
//! Frames that were synced are taken by their headers alone; damage among them is set aside and what lies behind it
//! is kept. Frames that may not have been synced are read whole. There, a missing frame ends the log: a power cut
//! wrote what came after it, but its source positions would make the sources skip what is missing. So that is cut,
//! and the sources are read again from there.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::bookmark::{Bookmark, Found};
use super::damage::Damage;
use super::disk::{Disk, File, read_full, write_full};
use super::format::{FRAMES, FrameHead, HEAD, HeadError, MARKS, Mark, SegmentHead};
use super::log::{Faults, Log, Positions, RESERVE, Reader, Segment, Totals, Writer, apply};
use super::scan::Scan;
use super::{Limits, SEGMENT_BYTES};
use crate::signal::frame::Signal;
use crate::status::Board;

/// Where and how a spool is opened.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) signal: Signal,
    pub(super) limits: Limits,
    pub(super) board: Board,
    /// Instead of the size that follows from the limits.
    pub(super) segment_size: Option<u64>,
}

/// One segment's file as found.
#[derive(Debug)]
struct Piece {
    segment: Segment,
    file: Arc<dyn File>,
    len: u64,
    mark: Option<Mark>,
    /// Frames from this number on do not count: the next segment begins with it, or a later one holds copies.
    limit: u64,
    void_from: u64,
    /// Its opening holds, services and positions too.
    opening: Option<u64>,
    /// Its head was damaged and is known from a mark.
    repair: bool,
}

/// Opens the folder and answers the log, everything kept in it synced.
pub(super) fn recover(origin: &Origin, damage: Arc<Damage>) -> io::Result<Log> {
    let mut log = empty(origin, damage);
    let mut survey = Survey::default();
    survey.pieces(&mut log)?;
    survey.readers(&mut log)?;
    survey.synced(&log);
    survey.walk(&mut log)?;
    survey.finish(&mut log)?;
    Ok(log)
}

fn empty(origin: &Origin, damage: Arc<Damage>) -> Log {
    let derived = (origin.limits.undelivered / 8).clamp(*SEGMENT_BYTES.start(), *SEGMENT_BYTES.end());
    Log {
        disk: Arc::clone(&origin.disk),
        dir: origin.dir.clone(),
        signal: origin.signal,
        limits: origin.limits,
        segment_size: origin.segment_size.unwrap_or(derived),
        entry: origin.board.spool(origin.signal),
        board: origin.board.clone(),
        damage,
        segments: VecDeque::new(),
        writer: None,
        positions: Positions::new(),
        next: 1,
        last: 0,
        synced: 0,
        reserved: u64::MAX,
        reserving: 0,
        readers: BTreeMap::new(),
        unsynced: Vec::new(),
        unsynced_since: None,
        dir_dirty: false,
        point: None,
        must_copy: false,
        tight: false,
        faults: Faults::default(),
        closed: false,
        scratch: Vec::new(),
    }
}

/// What is known so far.
#[derive(Debug, Default)]
struct Survey {
    pieces: Vec<Piece>,
    /// No number up to this one is used again.
    highest: u64,
    /// From sync marks.
    marked: u64,
    /// From sync marks and cursors.
    synced: u64,
    /// Newest frame that was accepted.
    last: u64,
    /// A segment whose frames nobody can count was met.
    unknown: bool,
    /// Segments whose head is damaged: file, number, bytes lost.
    headless: Vec<(Arc<dyn File>, u64, u64)>,
    /// What lies behind the last accepted frame of a segment: loss if the next frame says that one is missing.
    tail: Option<(usize, Range<u64>)>,
}

impl Survey {
    fn pieces(&mut self, log: &mut Log) -> io::Result<()> {
        let mut removed = false;
        for name in log.disk.list(&log.dir)? {
            let Some(number) = name.strip_suffix(".seg").and_then(|digits| digits.parse::<u64>().ok()) else {
                continue;
            };
            self.highest = self.highest.max(number);
            removed |= self.piece(log, log.dir.join(&name), number)?;
        }
        self.pieces.sort_by_key(|piece| piece.segment.first);
        let dir = log.dir.clone();
        self.pieces.dedup_by(|later, earlier| {
            let same = later.segment.first == earlier.segment.first;
            if same {
                let paths = [&earlier.segment.path, &later.segment.path].map(|path| path.display().to_string());
                log.damage.note(
                    "copy",
                    format!("{} and {} are the same segment; the second is not read", paths[0], paths[1]),
                );
            }
            same
        });
        let mut limit = u64::MAX;
        for piece in self.pieces.iter_mut().rev() {
            piece.limit = limit;
            limit = limit.min(piece.segment.first);
            if piece.void_from > 0 {
                limit = limit.min(piece.void_from);
            }
        }
        if removed { log.disk.sync_dir(&dir) } else { Ok(()) }
    }

    /// Reads the front of one file; true when it was worthless and is removed.
    fn piece(&mut self, log: &Log, path: PathBuf, number: u64) -> io::Result<bool> {
        let file = log.disk.open(&path)?;
        let len = file.size()?;
        let mut front = vec![0; FRAMES as usize];
        let read = read_full(&*file, &mut front, 0).unwrap_or(0);
        front[read..].fill(0);
        let marks = MARKS.map(|at| Mark::decode(&front[at as usize..]));
        let mark = marks.into_iter().flatten().max_by_key(|mark| mark.turn);
        let mut repair = false;
        let head = match (SegmentHead::decode(&front), mark) {
            (Ok(head), _) => head,
            (Err(HeadError::Future(version)), _) => {
                self.unknown = true;
                let text = format!(
                    "{} has format {version}, which a later version of plimsoll wrote; it is left alone",
                    path.display()
                );
                log.damage.note("version", text);
                return Ok(false);
            }
            (Err(HeadError::Damaged), Some(mark)) => {
                self.headless.push((Arc::clone(&file), number, HEAD as u64));
                repair = true;
                mark.head
            }
            (Err(HeadError::Damaged), None) => {
                // A file that was made and not filled before the end came holds nothing.
                if front.iter().any(|byte| *byte != 0) || len > FRAMES {
                    self.unknown = true;
                    self.headless.push((file, number, len));
                }
                log.disk.remove(&path)?;
                return Ok(true);
            }
        };
        if head.signal != log.signal {
            let text = format!("{} belongs to the spool of {}; it is not read", path.display(), head.signal);
            log.damage.note("stray", text);
            return Ok(false);
        }
        let mut scan = Scan::new(Arc::clone(&file), head.salt, len);
        let opening = scan.find(FRAMES).filter(|(at, frame)| *at == FRAMES && frame.opening && frame.readable);
        let holds = opening.filter(|(at, frame)| scan.body(*at, frame).is_some());
        let segment = Segment {
            path,
            first: head.first,
            salt: head.salt,
            opened: opening.map_or(0, |(_, frame)| frame.written),
            end: len,
            last: 0,
            last_record: 0,
            totals: Totals::default(),
        };
        self.highest = self.highest.max(head.first);
        let void_from = opening.map_or(0, |(_, frame)| frame.void_from);
        let opening = holds.map(|(_, frame)| frame.number);
        self.pieces.push(Piece { segment, file, len, mark, limit: u64::MAX, void_from, opening, repair });
        Ok(false)
    }

    fn readers(&mut self, log: &mut Log) -> io::Result<()> {
        let dir = log.dir.join("cursors");
        let oldest = self.pieces.first().map_or(0, |piece| piece.segment.first.saturating_sub(1));
        for name in log.disk.list(&dir)? {
            let path = dir.join(&name);
            if name.ends_with(".tmp") {
                log.disk.remove(&path)?;
            }
            if !name.ends_with(".cur") {
                continue;
            }
            let mark = match Bookmark::open(&*log.disk, &path, log.signal)? {
                Found::Good(mark) => Some(mark),
                Found::Older(mark) => {
                    let text = format!(
                        "the cursor of {} was damaged; its generation before is used, one frame may be sent twice",
                        mark.name()
                    );
                    log.damage.note("cursor", text);
                    Some(mark)
                }
                Found::Spoiled => {
                    let text = format!(
                        "the cursor {} was unreadable; its destination gets everything again that is kept",
                        path.display()
                    );
                    log.damage.note("cursor", text);
                    None
                }
                Found::Later => {
                    let text = format!(
                        "the cursor {} was written by a later version of plimsoll; its destination gets everything \
                         again that is kept and can be read",
                        path.display()
                    );
                    log.damage.note("cursor version", text);
                    None
                }
            };
            let at = mark.as_ref().map_or(oldest, |mark| mark.at);
            self.highest = self.highest.max(at);
            let destination = mark.as_ref().map_or(&*name, Bookmark::name);
            let mut reader = Reader::new(destination, at, (0, FRAMES), Totals::default());
            reader.file = mark.map(|mark| Arc::new(Mutex::new(mark)));
            log.readers.insert(name, reader);
        }
        Ok(())
    }

    fn synced(&mut self, log: &Log) {
        self.marked = self.pieces.iter().filter_map(|piece| piece.mark).map(|mark| mark.synced).max().unwrap_or(0);
        self.highest = self.highest.max(self.marked);
        // Only synced frames are sent, so a cursor is evidence too.
        self.synced = log.readers.values().map(|reader| reader.at).fold(self.marked, u64::max);
        for (file, number, len) in self.headless.drain(..) {
            if number <= self.synced {
                log.damage.found(&*file, number, 0, len, "damaged");
            } else if len > HEAD as u64 {
                log.damage.found(&*file, number, 0, len, "not_synced");
            }
        }
        for piece in self.pieces.iter().filter(|piece| piece.repair) {
            let head = SegmentHead { signal: log.signal, first: piece.segment.first, salt: piece.segment.salt };
            // The mark serves as well; this is for the day when that breaks too.
            let _repaired = write_full(&*piece.file, [&head.encode(), &[]], 0).is_ok();
        }
    }

    /// The piece in which the frame after `number` is, or would be.
    fn piece_of(&self, number: u64) -> usize {
        self.pieces.partition_point(|piece| piece.segment.first <= number.saturating_add(1)).saturating_sub(1)
    }

    fn walk(&mut self, log: &mut Log) -> io::Result<()> {
        let opening = self.pieces.iter().rposition(|piece| piece.opening.is_some_and(|number| number <= self.synced));
        let oldest_at = log.readers.values().map(|reader| reader.at).min().unwrap_or(u64::MAX);
        let start = opening.unwrap_or(0).min(self.piece_of(oldest_at)).min(self.piece_of(self.synced));
        for index in 0..start {
            // Not read: delivered to everybody.
            let last = self.pieces[index + 1].segment.first - 1;
            let segment = &mut self.pieces[index].segment;
            (segment.last, segment.last_record) = (last, last);
        }
        for reader in log.readers.values_mut() {
            reader.place = (self.pieces.get(start).map_or(0, |piece| piece.segment.first), FRAMES);
        }
        for index in start..self.pieces.len() {
            if let Some(offset) = self.walk_piece(log, index) {
                self.cut(log, index, offset)?;
                break;
            }
        }
        if let Some((index, range)) = self.tail.take().filter(|_| self.last < self.marked) {
            let piece = &self.pieces[index];
            log.damage.found(&*piece.file, piece.segment.first, range.start, range.end, "damaged");
        }
        if self.last < self.marked && !self.unknown {
            let hint = format!("frames {} to {} were synced and are gone", self.last + 1, self.marked);
            log.damage.lost("missing", (self.marked - self.last).min(RESERVE), hint);
        }
        Ok(())
    }

    /// Takes the frames of one piece; `Some` is the offset where the log ends.
    fn walk_piece(&mut self, log: &mut Log, index: usize) -> Option<u64> {
        let piece = &self.pieces[index];
        let (file, first, len, limit) = (Arc::clone(&piece.file), piece.segment.first, piece.len, piece.limit);
        let mut scan = Scan::new(Arc::clone(&file), piece.segment.salt, len);
        let (mut offset, mut end) = (FRAMES, FRAMES);
        for reader in log.readers.values_mut().filter(|reader| reader.at >= first) {
            reader.place = (first, FRAMES);
            reader.done = Totals::default();
        }
        while let Some((at, head)) = scan.find(offset) {
            offset = at + head.len();
            if head.number >= limit {
                break;
            }
            self.highest = self.highest.max(head.number);
            let rising = head.number > self.last && head.number >= first;
            let synced = head.number <= self.synced;
            let moves = scan.body(at, &head);
            let sound = synced || (moves.is_some() && scan.payload_holds(at, &head));
            if !rising || !sound {
                continue;
            }
            if head.previous > self.last.max(self.synced) {
                return Some(end);
            }
            if head.previous > self.last {
                let gap = (index, end..at);
                for (index, range) in self.tail.take().into_iter().chain([gap]) {
                    let piece = &self.pieces[index];
                    log.damage.found(&*piece.file, piece.segment.first, range.start, range.end, "damaged");
                }
            }
            self.tail = None;
            self.last = head.number;
            self.account(log, index, at, &head);
            match moves {
                Some((_, moves)) => {
                    if head.opening {
                        log.positions.clear();
                    }
                    apply(&mut log.positions, &moves);
                }
                // It keeps its place, and the cursors skip it.
                None => log.damage.found(&*file, first, at, offset, "damaged"),
            }
            end = offset;
        }
        self.pieces[index].segment.end = end;
        if end < len {
            self.tail = Some((index, end..len));
        }
        None
    }

    fn account(&mut self, log: &mut Log, index: usize, at: u64, head: &FrameHead) {
        let segment = &mut self.pieces[index].segment;
        segment.add(head);
        for reader in log.readers.values_mut().filter(|reader| reader.at >= head.number) {
            reader.place = (segment.first, at + head.len());
            reader.done += Totals::of(head);
        }
    }

    /// Ends the log at `offset` of a piece: what follows was never synced.
    fn cut(&mut self, log: &Log, index: usize, offset: u64) -> io::Result<()> {
        self.tail = None;
        for piece in self.pieces.drain(index + 1..) {
            log.damage.found(&*piece.file, piece.segment.first, FRAMES, piece.len, "not_synced");
            log.disk.remove(&piece.segment.path)?;
        }
        let piece = &mut self.pieces[index];
        log.damage.found(&*piece.file, piece.segment.first, offset, piece.len, "not_synced");
        piece.file.truncate(offset)?;
        (piece.segment.end, piece.len) = (offset, offset);
        if offset == FRAMES && index > 0 {
            log.disk.remove(&piece.segment.path)?;
            self.pieces.pop();
        }
        log.disk.sync_dir(&log.dir)
    }

    /// Makes what was kept durable and opens the newest segment to append, or a first one.
    fn finish(self, log: &mut Log) -> io::Result<()> {
        let closed = self.pieces.last().and_then(|piece| piece.mark).filter(|mark| mark.closed);
        let clean = closed.filter(|mark| !self.unknown && mark.synced == self.last);
        log.last = self.last;
        // After an unclean end numbers may be known elsewhere whose frames are gone.
        let marks = self.pieces.iter().filter_map(|piece| piece.mark);
        let spent = clean.or(marks.max_by_key(|mark| mark.reserved)).map_or(0, |mark| mark.reserved);
        let unknown = if self.unknown { RESERVE } else { 1 };
        log.next = spent.max(self.highest + unknown);
        log.reserving = log.next + RESERVE;
        let newest = self.pieces.len().saturating_sub(1);
        for (index, piece) in self.pieces.into_iter().enumerate() {
            if index == newest && piece.segment.end < piece.len {
                // A torn frame must not stand behind the next one, nor be taken for a synced one later.
                piece.file.truncate(piece.segment.end)?;
            }
            if index == newest || piece.segment.last > self.synced {
                piece.file.sync()?;
            }
            if index == newest && piece.opening.is_some() && piece.segment.end > FRAMES {
                let turn = piece.mark.map_or(1, |mark| mark.turn);
                log.writer = Some(Writer { file: piece.file, turn });
            }
            log.segments.push_back(piece.segment);
        }
        log.synced = self.last;
        if log.writer.is_none() {
            log.roll()?;
            log.synced = log.last;
        }
        log.mark(false);
        if let Some(writer) = &log.writer {
            writer.file.sync()?;
        }
        log.disk.sync_dir(&log.dir)?;
        log.reserved = log.reserving;
        log.unsynced.clear();
        log.unsynced_since = None;
        log.dir_dirty = false;
        log.point = log.segments.back().cloned();
        log.show_sizes();
        Ok(())
    }
}
