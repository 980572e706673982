//! The loop's step: start the child, read, seal, push; and what happens when one of these fails.

use std::sync::Arc;
use std::time::Duration;

use crate::base::backoff::Backoff;
use crate::base::clock::SECOND;
use crate::signal::frame::{Frame, Position};
use crate::status::{Board, Source};
use crate::tail::{Done, Now, Sink};

use super::child::{self, Ask, Got, Journalctl};
use super::export::Parser;
use super::position::Place;
use super::taker::Taker;
use super::units::{Filter, Units};
use super::{StartError, Settings};

/// A frame is sealed this long after its first record.
const FRAME_AGE: u64 = SECOND;
/// A frame is sealed when nothing was read for this long.
const FRAME_IDLE: u64 = SECOND / 5;
/// The position alone is written at most this often, to spare the disk.
const POSITION_AGE: u64 = 60 * SECOND;
/// A child that cannot be read from for this long is ended: it keeps deleted journal files open, and the next one
/// sees what was deleted.
const LET_GO: u64 = 30 * SECOND;
/// A child that lives this long is well, also when it is silent.
const SETTLED: u64 = 2 * SECOND;
/// Bytes of one read: what a pipe holds.
const READ: usize = 64 << 10;
/// What to do without the right to read.
const MEND: &str = "add the user of the agent to the group systemd-journal (`usermod -aG systemd-journal plimsoll`) \
    and restart it";

/// Reads the journal.
pub struct Journal {
    settings: Settings,
    taker: Taker,
    child: Option<Running>,
    ask: Ask,
    /// The recorded entry was there when the child before the next one ended.
    sure: bool,
    buffer: Vec<u8>,
    /// What is not yet parsed of it.
    rest: std::ops::Range<usize>,
    /// Sealed and not accepted yet.
    waiting: Option<Frame>,
    blocked: Option<u64>,
    /// When the first record came into the batch, and the latest bytes.
    first: Option<u64>,
    latest: u64,
    noted: Option<u64>,
    backoff: Backoff,
    retry: u64,
    faults: Faults,
    source: Arc<Source>,
}

struct Running {
    journalctl: Journalctl,
    parser: Parser,
    started: u64,
    scanned: u64,
}

/// What stands on the board, from two sides.
#[derive(Default)]
struct Faults {
    child: String,
    sink: String,
}

impl Journal {
    /// `positions` are those of the newest frames that the sink has accepted, also before this start. Without one
    /// of the journal reading starts with what is written from now on.
    pub fn new(
        settings: Settings,
        positions: &[Position],
        sink: Box<dyn Sink>,
        board: &Board,
        now: Now,
    ) -> Result<Self, StartError> {
        let filter = Filter::new(&settings.units, &settings.exclude, &settings.own_unit, settings.own_pid)?;
        let found = Place::find(positions);
        let fresh = found.is_none();
        let place = found.unwrap_or_else(|| Place { realtime: now.unix / 1_000, ..Place::default() });
        let units = Units::new(settings.choice, place.nanos);
        let source = board.source("journald");
        source.kind.set("journald");
        let mut taker = Taker::new((settings.group, filter, units), place, sink, board);
        taker.moved = fresh;
        let backoff = Backoff::new(settings.retry.0, settings.retry.1, u64::from(settings.own_pid));
        Ok(Self {
            settings,
            taker,
            child: None,
            ask: Ask::Rest,
            sure: false,
            buffer: vec![0; READ],
            rest: 0..0,
            waiting: None,
            blocked: None,
            first: None,
            latest: now.mono,
            noted: None,
            backoff,
            retry: 0,
            faults: Faults::default(),
            source,
        })
    }

    /// One round: reads what there is, waiting for it up to half a second.
    pub fn step(&mut self, now: Now) -> Done {
        if !self.offer(now) {
            return Done::Blocked;
        }
        if self.child.is_none() && now.mono >= self.retry {
            self.start(now);
        }
        self.read(now);
        self.digest(now);
        if !self.seal(now, false) {
            return Done::Blocked;
        }
        if self.child.is_some() { Done::More } else { Done::Idle(self.retry.saturating_sub(now.mono)) }
    }

    /// Ends the child and offers what was read a last time. What is refused is read again after the next start.
    pub fn finish(mut self, now: Now) {
        self.child = None;
        if self.offer(now) {
            self.seal(now, true);
        }
    }

    /// True when no frame is waiting any more.
    fn offer(&mut self, now: Now) -> bool {
        let Some(frame) = &self.waiting else { return true };
        match self.taker.sink.push(frame) {
            Ok(()) => {
                self.waiting = None;
                self.blocked = None;
                self.source.last_success.set(now.unix);
                self.faults.sink.clear();
                self.tell();
                true
            }
            Err(refused) => {
                let since = *self.blocked.get_or_insert(now.mono);
                if now.mono.saturating_sub(since) >= LET_GO {
                    self.let_go();
                }
                self.faults.sink = format!("{refused}: the journal is not read until there is room");
                self.tell();
                false
            }
        }
    }

    /// Ends the child; the next one starts behind the latest entry that was looked at.
    fn let_go(&mut self) {
        self.child = None;
        self.rest = 0..0;
        self.ask = Ask::Rest;
        self.sure = false;
    }

    fn start(&mut self, now: Now) {
        let Some(program) = self.settings.program.clone().or_else(child::find) else {
            let text = "journalctl is neither in /usr/bin nor in /bin: install systemd, or set `logs.journald: off`";
            return self.failed(now, text.into());
        };
        let directory = self.settings.directory.as_deref();
        match Journalctl::start(&program, self.ask, &self.taker.place, directory) {
            Ok(journalctl) => {
                self.taker.resume(now.unix / 1_000, self.sure);
                let scanned = self.taker.scanned;
                self.child = Some(Running { journalctl, parser: Parser::new(), started: now.mono, scanned });
            }
            Err(error) => self.failed(now, format!("cannot start {}: {error}", program.display())),
        }
    }

    fn read(&mut self, now: Now) {
        let Some(running) = &mut self.child else { return };
        if !self.rest.is_empty() {
            return;
        }
        let wait = if self.taker.batch.records() > 0 { FRAME_IDLE } else { SECOND / 2 };
        match running.journalctl.read(&mut self.buffer, Duration::from_nanos(wait)) {
            Ok(Got::Bytes(count)) => {
                self.rest = 0..count;
                self.latest = now.mono;
            }
            Ok(Got::Nothing) => {}
            Ok(Got::End) => return self.ended(now),
            Err(error) => {
                self.let_go();
                return self.failed(now, format!("cannot read from journalctl: {error}"));
            }
        }
        if self.taker.scanned > running.scanned {
            self.backoff.reset();
        }
        if now.mono.saturating_sub(running.started) >= SETTLED && self.ask == Ask::Follow {
            let closed = self.settings.directory.is_none() && !self.faults.child.is_empty() && child::is_closed();
            if !closed {
                self.faults.child.clear();
                self.tell();
            }
        }
    }

    /// The child has closed its output.
    fn ended(&mut self, now: Now) {
        let Some(running) = self.child.take() else { return };
        let (well, said) = running.journalctl.end();
        if running.parser.malformed > 0 {
            let hint = "journalctl wrote lines that are no fields; they were passed over";
            self.taker.malformed(running.parser.malformed, hint);
        }
        if well && self.ask == Ask::Rest {
            self.sure = self.taker.is_sure();
            self.ask = Ask::Follow;
            if self.settings.directory.is_none() && child::is_closed() {
                self.faults.child = format!("the journal of the box may not be read: {MEND}");
                self.tell();
            }
            return;
        }
        self.let_go();
        if said.contains("seek to cursor") {
            self.taker.forget_cursor();
        } else if said.contains("specified boot") {
            // Nothing was written since the boot.
            self.retry = now.mono + self.backoff.next_delay().as_nanos() as u64;
            return;
        }
        let mend = if said.contains("permission") { format!(": {MEND}") } else { String::new() };
        self.failed(now, format!("journalctl ended ({said}) and is started again{mend}"));
    }

    fn failed(&mut self, now: Now, text: String) {
        self.source.failures.add(1);
        self.retry = now.mono + self.backoff.next_delay().as_nanos() as u64;
        if self.faults.child != text {
            tracing::warn!("{text}");
            self.faults.child = text;
        }
        self.tell();
    }

    fn tell(&self) {
        let text = if self.faults.child.is_empty() { &self.faults.sink } else { &self.faults.child };
        self.source.fault.set(text.as_str());
    }

    /// Parses what was read, as far as the frame has room.
    fn digest(&mut self, now: Now) {
        let Some(running) = &mut self.child else { return };
        let mut input = self.buffer.get(self.rest.clone()).unwrap_or_default();
        while !self.taker.batch.is_full() {
            match running.parser.next(&mut input) {
                Some(entry) => self.taker.take(entry),
                None => break,
            }
        }
        self.rest.start = self.rest.end - input.len();
        if self.taker.batch.records() > 0 {
            self.first.get_or_insert(now.mono);
        }
    }

    /// Seals what is due, or all when `last`, and offers it; false when it was refused.
    fn seal(&mut self, now: Now, last: bool) -> bool {
        let since = |time: u64| now.mono.saturating_sub(time);
        let records = self.first.is_some_and(|first| since(first) >= FRAME_AGE || since(self.latest) >= FRAME_IDLE);
        let position = self.taker.moved && self.noted.is_none_or(|noted| since(noted) >= POSITION_AGE);
        if !(records || position || self.taker.batch.is_full() || last && self.taker.moved) {
            return true;
        }
        self.taker.describe();
        let sealed = self.taker.seal();
        self.first = None;
        self.noted = Some(now.mono);
        match sealed {
            Ok(frame) => {
                self.waiting = Some(frame);
                self.offer(now)
            }
            Err(error) => {
                // Nothing is lost: the child is asked again for what comes behind the last frame.
                self.let_go();
                self.failed(now, format!("cannot compress what was read of the journal: {error}"));
                true
            }
        }
    }

    /// The child's process, for tests that kill it.
    #[cfg(test)]
    pub(super) fn child(&self) -> Option<u32> {
        self.child.as_ref().map(|running| running.journalctl.id())
    }

    /// Entries that were looked at.
    #[cfg(test)]
    pub(super) fn scanned(&self) -> u64 {
        self.taker.scanned
    }

    /// True when it waits for what is written from now on.
    #[cfg(test)]
    pub(super) fn is_following(&self) -> bool {
        self.child.is_some() && self.ask == Ask::Follow
    }
}
