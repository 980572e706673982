//! One round of the tailer: look, read in turn, seal, push.

use std::io;
use std::path::Path;

use crate::base::clock::SECOND;
use crate::signal::frame::{Frame, Position};
use crate::status::Board;

use super::follow::{Reader, Turn};
use super::gzip::Checked;
use super::packs::Job;
use super::table::Table;
use super::{GlobError, Refused, Settings, Sink};

/// Between two walks of the globs.
const SCAN: u64 = 5 * SECOND;
/// Between two looks at the known files.
const POLL: u64 = SECOND;
/// What looking at one file costs, with room.
const LOOK_COST: u64 = 3000;
/// What looking at one name in a folder costs, with room.
const NAME_COST: u64 = 10_000;
/// A frame is sealed this long after its first record.
const FRAME_AGE: u64 = SECOND;
/// A frame is sealed when nothing was read for this long.
const FRAME_IDLE: u64 = SECOND / 5;
/// Turns of one step.
const TURNS: usize = 16;
/// A rotated file whose last line has no end waits this long for the rest, beside a successor that has lines.
const JOIN_QUIET: u64 = SECOND;
/// And this long without a successor.
const TAIL_QUIET: u64 = 30 * SECOND;

/// The time of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic, nanoseconds from any origin.
    pub mono: u64,
    /// Unix nanoseconds.
    pub unix: u64,
}

/// What a step has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// There is more to do at once.
    More,
    /// Nothing to do before this long, in nanoseconds, unless a file changes.
    Idle(u64),
    /// The sink did not take the frame: nothing is read until it does.
    Blocked,
}

/// Follows the files of all groups.
pub struct Tailer {
    table: Table,
    reader: Reader,
    settings: Settings,
    scanned: Option<u64>,
    polled: u64,
    /// Sealed and not accepted yet.
    waiting: Option<Frame>,
    first: Option<u64>,
    read: u64,
    pinned: u64,
    nudged: bool,
}

impl Tailer {
    /// `positions` are those of the newest frames that the sink has accepted, also before this start.
    pub fn new(
        settings: Settings,
        positions: &[Position],
        sink: Box<dyn Sink>,
        board: &Board,
        now: Now,
    ) -> Result<Self, GlobError> {
        let max_line = settings.groups.iter().map(|group| group.max_line).max().unwrap_or(0);
        Ok(Self {
            table: Table::new(&settings, positions, board, now)?,
            reader: Reader::new(sink, max_line),
            settings,
            scanned: None,
            polled: 0,
            waiting: None,
            first: None,
            read: now.mono,
            pinned: 0,
            nudged: false,
        })
    }

    /// Does one round: at most a few pieces of a few files.
    pub fn step(&mut self, now: Now) -> Done {
        let blocked = self.offer().is_err() || self.reader.batch.is_full() && self.seal(now).is_err();
        self.look(now);
        if blocked {
            return Done::Blocked;
        }
        let mut busy = false;
        for _ in 0..TURNS {
            let Some(id) = self.table.queue.pop_front() else { break };
            let full = self.turn(id, now);
            busy = true;
            if full && self.seal(now).is_err() {
                return Done::Blocked;
            }
        }
        if self.reader.batch.records() > 0 {
            // While a large gzip file is checked, what living files brought grows old all the same.
            self.first.get_or_insert(now.mono);
        }
        if self.unpack(now) {
            return if self.waiting.is_some() { Done::Blocked } else { Done::More };
        }
        self.finish(now, busy)
    }

    fn finish(&mut self, now: Now, busy: bool) -> Done {
        if busy {
            self.read = now.mono;
        }
        let moved = !self.table.moved.is_empty() || !self.table.notes.is_empty();
        if (moved || self.reader.batch.records() > 0) && self.first.is_none() {
            self.first = Some(now.mono);
        }
        let old = self.first.is_some_and(|first| now.mono.saturating_sub(first) >= FRAME_AGE);
        let idle = self.first.is_some() && now.mono.saturating_sub(self.read) >= FRAME_IDLE;
        if (old || idle) && self.seal(now).is_err() {
            return Done::Blocked;
        }
        if !self.table.queue.is_empty() {
            return Done::More;
        }
        Done::Idle(if self.first.is_some() { FRAME_IDLE } else { POLL })
    }

    /// A hint that names changed in a watched folder: the next step looks which files there are.
    pub fn hint(&mut self) {
        self.table.urgent = true;
    }

    /// A hint that a file was written: the next step looks at those that are known.
    pub fn nudge(&mut self) {
        self.nudged = true;
    }

    /// Folders in which files appear, for a watch.
    pub fn folders(&self) -> &[std::path::PathBuf] {
        &self.table.folders
    }

    /// Bytes that deleted files hold on disk because they are not read to their end.
    pub fn pinned(&self) -> u64 {
        self.pinned
    }

    /// Files that are open.
    pub fn open_files(&self) -> usize {
        self.table.streams.values().filter(|stream| stream.file.is_some()).count()
    }

    /// Seals what is whole and offers it once more. True: all that was read is accepted.
    pub fn stop(&mut self, now: Now) -> bool {
        self.offer().is_ok() && self.seal(now).is_ok()
    }

    fn look(&mut self, now: Now) {
        let every = if self.table.suspects.is_empty() { SCAN } else { SECOND };
        // Renames may ask for a walk with each of them: it may cost a twentieth of the time at most.
        let every = if self.table.urgent { (self.table.listed * NAME_COST * 20).min(POLL) } else { every };
        if self.scanned.is_none_or(|at| now.mono.saturating_sub(at) >= every) {
            self.table.scan(now);
            self.scanned = Some(now.mono);
            self.polled = now.mono;
        } else if now.mono.saturating_sub(self.polled) >= if self.nudged { self.pause() } else { POLL } {
            self.nudged = false;
            self.table.poll(now, false);
            self.polled = now.mono;
        } else {
            return;
        }
        self.tails(now);
        let accepted = self.waiting.is_none();
        self.pinned = self.table.trim(self.settings.max_open, self.settings.max_pinned, accepted, now);
        self.show();
    }

    /// Between two looks that writers ask for: looking at the files may cost a twentieth of the time at most.
    fn pause(&self) -> u64 {
        (self.table.streams.len() as u64 * LOOK_COST * 20).min(POLL)
    }

    /// One turn of one stream; true when the batch is full.
    fn turn(&mut self, id: u64, now: Now) -> bool {
        let Some(stream) = self.table.streams.get_mut(&id) else { return false };
        stream.queued = false;
        if stream.after.is_some() && !self.may_begin(id, now) {
            return self.reader.batch.is_full();
        }
        let held = self.table.is_held(id);
        if self.table.reopen(id, now).is_none() {
            return false;
        }
        let Some(stream) = self.table.streams.get_mut(&id) else { return false };
        let group = &self.table.groups[stream.group];
        let turn = self.reader.turn(stream, group, now);
        if stream.touched {
            self.table.moved.push(id);
        }
        self.tally(id);
        if turn.is_ok() {
            self.table.heal(id);
        }
        match turn {
            Ok(Turn::More) => self.table.enqueue(id),
            Ok(Turn::Full) => {
                self.table.enqueue(id);
                return true;
            }
            Ok(Turn::End) => {
                if let Some(stream) = self.table.streams.get_mut(&id) {
                    stream.drained = true;
                }
            }
            Ok(Turn::Changed) => self.table.change(id, held, now),
            Ok(Turn::Shrunk) => {
                if let Err(error) = self.table.look(id, now) {
                    self.table.fail(id, &error, now);
                }
            }
            Err(error) => self.table.fail(id, &error, now),
        }
        self.reader.batch.is_full()
    }

    /// Does a piece of the gzip file that is being unpacked; false when there is none.
    fn unpack(&mut self, now: Now) -> bool {
        if self.table.packs.active.is_none() {
            self.table.next_pack(self.settings.max_ratio);
        }
        let Some(mut job) = self.table.packs.active.take() else { return false };
        match self.unpack_piece(&mut job, now) {
            Ok(true) => self.table.packs.active = Some(job),
            Ok(false) => {}
            Err(error) => self.table.pack_later(&job.unpack, now, Some(&error)),
        }
        if self.reader.batch.is_full() || self.first.is_some_and(|first| now.mono.saturating_sub(first) >= FRAME_AGE) {
            self.first = self.first.or(Some(now.mono));
            // A refusal shows in `waiting`.
            let _refused = self.seal(now).is_err();
        }
        true
    }

    /// True when there is more to do for the file.
    fn unpack_piece(&mut self, job: &mut Job, now: Now) -> io::Result<bool> {
        let Some(stream) = &mut job.stream else {
            return Ok(match job.unpack.check(|head| self.table.wanted(head))? {
                Checked::More => true,
                Checked::Bomb => {
                    self.table.pack_bomb(&job.unpack);
                    false
                }
                Checked::All(total) => self.table.settle_pack(job, total, now)?,
            });
        };
        if !job.there {
            job.there = job.unpack.skip(stream.taken())?;
            return Ok(true);
        }
        let turn = self.reader.unpack(&mut job.unpack, stream, &self.table.groups[stream.group], now)?;
        let group = stream.group;
        self.count(group, &job.unpack.path);
        if turn == Turn::End {
            self.table.pack_read(stream, now);
        }
        if self.first.is_none() {
            self.first = Some(now.mono);
        }
        Ok(turn != Turn::End)
    }

    fn tally(&mut self, id: u64) {
        let Some(stream) = self.table.streams.get(&id) else { return };
        let (group, path) = (stream.group, stream.path.clone());
        self.count(group, &path);
    }

    fn count(&mut self, group: usize, path: &Path) {
        let tally = std::mem::take(&mut self.reader.tally);
        let source = &self.table.groups[group].source;
        source.lines.add(tally.lines);
        source.bytes.add(tally.bytes);
        source.cut.add(tally.cut);
        source.invalid_utf8.add(tally.invalid);
        if tally.nul > 0 {
            let hint = format!(
                "zero bytes in {}: its writer does not append after a truncation; let logrotate use create",
                super::discover::label(path)
            );
            self.table.board.lost("tail", "zero_bytes_skipped", tally.nul, hint);
        }
    }

    /// A file that took the path of a rotated one begins when that one is read to its end, and the record between
    /// the two is settled.
    fn may_begin(&mut self, id: u64, now: Now) -> bool {
        let Some(before) = self.table.streams.get(&id).and_then(|stream| stream.after) else { return true };
        let Some(old) = self.table.streams.get(&before) else {
            return self.begin(id);
        };
        if old.after.is_some() {
            return false;
        }
        if let Some(since) = old.failed {
            // It is tried with each look. A file that stays broken must not hold up the living one for ever.
            return now.mono.saturating_sub(since) >= TAIL_QUIET && self.begin(id);
        }
        if !old.drained && old.is_reachable() {
            // It is queued itself; this one comes again with the next look.
            self.table.enqueue(before);
            self.table.enqueue(id);
            return false;
        }
        if old.unread() > 0 && old.is_reachable() && !old.hole {
            if now.mono.saturating_sub(old.grown) < JOIN_QUIET {
                return false;
            }
            if !self.settle(before, Some(id), now) {
                return false;
            }
        }
        self.begin(id)
    }

    fn begin(&mut self, id: u64) -> bool {
        if let Some(stream) = self.table.streams.get_mut(&id) {
            stream.after = None;
        }
        true
    }

    /// Takes the unfinished last line of `old`, with the beginning of `young` where that is its rest. False while
    /// `young` has no line yet, or `old` cannot be read.
    fn settle(&mut self, old: u64, young: Option<u64>, now: Now) -> bool {
        if self.table.reopen(old, now).is_none() {
            return self.table.streams.get(&old).is_none_or(|stream| stream.failed.is_none());
        }
        let Some(mut stream) = self.table.streams.remove(&old) else { return true };
        let group = &self.table.groups[stream.group];
        let next = young.and_then(|id| self.table.streams.get_mut(&id));
        let result = self.reader.tail(&mut stream, next, group, now);
        self.table.streams.insert(old, stream);
        self.table.moved.extend([Some(old), young].into_iter().flatten());
        self.tally(old);
        result.unwrap_or_else(|error| {
            self.table.fail(old, &error, now);
            false
        })
    }

    /// Streams whose last line will not be finished, and those that wait for another.
    fn tails(&mut self, now: Now) {
        let mut ends = Vec::new();
        let mut waits = Vec::new();
        for stream in self.table.streams.values() {
            let quiet = now.mono.saturating_sub(stream.grown);
            let multiline = self.table.groups[stream.group].rules.multiline.as_ref();
            let again = stream.after.is_some() || stream.failed.is_some();
            if again || multiline.is_some_and(|lines| stream.unread() > 0 && quiet >= lines.timeout) {
                waits.push(stream.id);
            }
            let lost = stream.state.rotated || stream.deleted && !stream.linked;
            let patience = self.table.groups[stream.group].partial_after;
            let patience = if lost { Some(TAIL_QUIET.min(patience.unwrap_or(TAIL_QUIET))) } else { patience };
            let stands = stream.drained && stream.failed.is_none() && !stream.queued && stream.unread() > 0;
            if stands && patience.is_some_and(|patience| quiet >= patience) {
                ends.push(stream.id);
            }
        }
        for id in waits {
            self.table.enqueue(id);
        }
        for id in ends {
            self.settle(id, None, now);
        }
    }

    /// Seals the batch, with all positions that moved, and offers it.
    fn seal(&mut self, now: Now) -> Result<(), Refused> {
        for position in self.table.notes.drain(..) {
            self.reader.batch.position(position);
        }
        for id in std::mem::take(&mut self.table.moved) {
            let Some(stream) = self.table.streams.get_mut(&id).filter(|stream| stream.touched) else { continue };
            stream.touched = false;
            if stream.noted != stream.print.mark {
                let mark = stream.print.mark;
                stream.print.mark = stream.noted;
                stream.print.advance(mark);
                stream.noted = mark;
            }
            let glob = self.table.groups[stream.group].glob.hash;
            self.reader.batch.position(stream.place(glob, now.unix).encode());
        }
        if let Some(stream) = self.table.packs.active.as_mut().and_then(|job| job.stream.as_mut()) {
            stream.noted = stream.print.mark;
            let glob = self.table.groups[stream.group].glob.hash;
            self.reader.batch.position(stream.place(glob, now.unix).encode());
        }
        if self.reader.batch.is_empty() {
            return Ok(());
        }
        match self.reader.sink.seal(&mut self.reader.batch) {
            Ok(frame) => self.waiting = Some(frame),
            // The batch keeps its content and is sealed again.
            Err(error) => return Err(self.refused(Refused::Failed(error.to_string()))),
        }
        self.reader.batch.clear();
        self.first = None;
        self.offer()
    }

    fn offer(&mut self) -> Result<(), Refused> {
        let Some(frame) = &self.waiting else { return Ok(()) };
        match self.reader.sink.push(frame) {
            Ok(()) => {
                self.waiting = None;
                self.table.board.note("tail", None);
                Ok(())
            }
            Err(refused) => Err(self.refused(refused)),
        }
    }

    fn refused(&self, refused: Refused) -> Refused {
        self.table.board.note("tail", Some(format!("no log is read: {refused}")));
        refused
    }

    fn show(&self) {
        let mut bytes = vec![(0, 0); self.table.groups.len()];
        for stream in self.table.streams.values() {
            let (behind, pinned) = &mut bytes[stream.group];
            *behind += if stream.has_news() { stream.unread() } else { 0 };
            *pinned += if stream.deleted && stream.file.is_some() { stream.size } else { 0 };
        }
        for (group, (behind, pinned)) in self.table.groups.iter().zip(bytes) {
            group.source.behind.set(behind);
            group.source.pinned.set(pinned);
        }
    }
}

/// An error of a clock or a disk that a test can tell apart from no error.
impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        Self::other(refused)
    }
}

#[cfg(test)]
mod tests;
