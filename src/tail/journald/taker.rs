//! Takes entries one by one: finds where to go on, filters, makes records.

use std::io;
use std::sync::Arc;

use crate::signal::frame::Frame;
use crate::signal::logs::LogBatch;
use crate::signal::record::Record;
use crate::status::{Board, Source};
use crate::tail::Sink;

use super::export::{Entry, Field, MAX_MESSAGE};
use super::position::{self, Place};
use super::record;
use super::units::{Filter, Units};

/// From entries to the records of a batch.
pub(super) struct Taker {
    pub sink: Box<dyn Sink>,
    pub batch: LogBatch,
    /// The latest entry that was looked at.
    pub place: Place,
    /// The one of the latest frame.
    sealed: Place,
    /// It has moved since it was last put into a frame.
    pub moved: bool,
    /// Entries that were looked at.
    pub scanned: u64,
    head: Head,
    group: usize,
    filter: Filter,
    units: Units,
    record: Record,
    text: String,
    source: Arc<Source>,
    board: Board,
}

/// Where a child's output stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    /// Before the first entry that is new; entries older than this (Unix microseconds) are not.
    Before(u64),
    /// The same, and the recorded entry was seen: nothing was deleted.
    Found,
    /// Within new entries.
    Behind,
}

impl Taker {
    pub(super) fn new(
        (group, filter, units): (usize, Filter, Units),
        place: Place,
        sink: Box<dyn Sink>,
        board: &Board,
    ) -> Self {
        Self {
            sink,
            batch: LogBatch::default(),
            sealed: place.clone(),
            place,
            moved: false,
            scanned: 0,
            head: Head::Behind,
            group,
            filter,
            units,
            record: Record::default(),
            text: String::new(),
            source: board.source("journald"),
            board: board.clone(),
        }
    }

    /// The next entry comes from a new child, at `unix` microseconds. `sure`: the recorded entry was there when the
    /// child before it ended.
    pub(super) fn resume(&mut self, unix: u64, sure: bool) {
        // A clock that was set back must not hide what is written from now on.
        self.head = if sure { Head::Found } else { Head::Before(self.place.realtime.min(unix)) };
    }

    /// True when the recorded entry, or one behind it, was there.
    pub(super) fn is_sure(&self) -> bool {
        !matches!(self.head, Head::Before(_))
    }

    /// The recorded cursor leads nowhere: reading goes on at its time.
    pub(super) fn forget_cursor(&mut self) {
        self.place.cursor.clear();
        self.lost(1);
    }

    /// Takes one entry.
    pub(super) fn take(&mut self, entry: &Entry) {
        let cursor = entry.text(Field::Cursor).filter(|cursor| position::sane(cursor));
        let (Some(cursor), Some(realtime)) = (cursor, entry.number(Field::Realtime)) else {
            return self.board.lost("journald", "malformed", 1, "an entry of the journal has no cursor or time");
        };
        if !self.is_new(cursor, realtime) {
            return;
        }
        self.scanned += 1;
        self.moved = true;
        self.place.cursor.clear();
        self.place.cursor.push_str(cursor);
        self.place.realtime = realtime;
        if self.filter.takes(entry) {
            self.emit(entry, realtime);
        }
    }

    fn is_new(&mut self, cursor: &str, realtime: u64) -> bool {
        match self.head {
            Head::Behind => return true,
            _ if cursor == self.place.cursor => {
                self.head = Head::Found;
                return false;
            }
            Head::Found => {}
            Head::Before(floor) if self.place.cursor.is_empty() => {
                if realtime < floor {
                    return false;
                }
            }
            Head::Before(floor) => {
                if self.place.is_past(cursor, realtime, floor) {
                    return false;
                }
                match self.place.missing(cursor) {
                    Some(0) => {}
                    count => self.lost(count.unwrap_or(1)),
                }
            }
        }
        self.head = Head::Behind;
        true
    }

    fn lost(&self, count: u64) {
        let hint = "the journal was vacuumed or rotated before it was read to its end: raise SystemMaxUse in \
            /etc/systemd/journald.conf (a gap of unknown size counts as 1)";
        self.board.lost("journald", "gap", count, hint);
    }

    fn emit(&mut self, entry: &Entry, realtime: u64) {
        let message = entry.get(Field::Message).unwrap_or_default();
        let mut cut = entry.cut;
        let line = match str::from_utf8(message) {
            Ok(line) => line,
            Err(_) => {
                self.source.invalid_utf8.add(1);
                self.text.clear();
                for chunk in message.utf8_chunks() {
                    self.text.push_str(chunk.valid());
                    if !chunk.invalid().is_empty() {
                        self.text.push('\u{fffd}');
                    }
                }
                // Each replacement is longer than what it replaces.
                cut |= self.text.len() > MAX_MESSAGE;
                self.text.truncate(self.text.floor_char_boundary(MAX_MESSAGE));
                &self.text
            }
        };
        if cut {
            self.source.cut.add(1);
        }
        let names = [entry.text(Field::Container), entry.text(Field::UserUnit), record::unit(entry)];
        let name = names.into_iter().flatten().next().or_else(|| entry.text(Field::Identifier)).unwrap_or_default();
        let unit = self.units.of(name);
        if !unit.parser.parse(line, &mut self.record) {
            self.source.unparsed.add(1);
        }
        record::complete(entry, cut, line, &mut self.record);
        let nanos = unit.stamp(record::micros(entry).unwrap_or(realtime));
        self.place.nanos = nanos;
        self.source.lines.add(1);
        self.source.bytes.add(line.len() as u64);
        self.sink.emit(self.group, &mut self.record, line, nanos, &mut self.batch);
    }

    /// Ends the batch with its position. When that fails, its records are given back to the journal.
    pub(super) fn seal(&mut self) -> io::Result<Frame> {
        self.batch.position(self.place.position());
        let sealed = self.sink.seal(&mut self.batch);
        self.batch.clear();
        match &sealed {
            Ok(_) => {
                self.moved = false;
                self.sealed.clone_from(&self.place);
            }
            Err(_) => self.place.clone_from(&self.sealed),
        }
        sealed
    }

    /// Counts lines of the child that are no fields.
    pub(super) fn malformed(&self, count: u64, hint: &str) {
        self.board.lost("journald", "malformed", count, hint);
    }

    /// For people.
    pub(super) fn describe(&self) {
        let count = self.units.count();
        self.source.detail.set(format!("{count} unit{}", if count == 1 { "" } else { "s" }));
    }
}
