//! Journal files that are written for a test, and a spool that remembers.

use std::cell::Cell;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::super::position::Place;
use super::super::{Journal, Settings};
use crate::base::clock::unix_nanos;
use crate::signal::frame::{Codec, Frame, Position};
use crate::signal::logs::LogBatch;
use crate::signal::record::{Record, Value};
use crate::signal::resource::Resource;
use crate::status::Board;
use crate::tail::parse::Choice;
use crate::tail::{Now, Refused, Sink};

/// The time of the first entries, Unix microseconds.
pub(super) const T0: u64 = 1_700_000_000_000_000;
/// Writes journal files from the export format (Debian: systemd-journal-remote).
const REMOTE: &str = "/lib/systemd/systemd-journal-remote";

/// One record that the spool has taken.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub body: String,
    pub nanos: u64,
    pub severity: u8,
    pub attributes: Vec<(String, (Value, String))>,
}

impl Line {
    /// True with this attribute, once.
    pub(super) fn has(&self, name: &str, value: &str) -> bool {
        let found: Vec<_> = self.attributes.iter().filter(|(known, _)| known == name).collect();
        found.len() == 1 && found[0].1.1 == value
    }
}

/// What was accepted, and what waits for it.
#[derive(Default)]
pub(super) struct Spool {
    pub lines: Vec<Line>,
    pub frames: usize,
    pub refused: usize,
    positions: Vec<Position>,
    refuse: bool,
    open: Vec<Line>,
    sealed: Vec<Line>,
}

struct Door(Arc<Mutex<Spool>>, Arc<Resource>);

impl Sink for Door {
    fn emit(&mut self, group: usize, record: &mut Record, line: &str, nanos: u64, batch: &mut LogBatch) {
        assert_eq!(group, 3);
        let own = |value: &Value| match value {
            Value::Text(text) => record.text(line, *text).to_owned(),
            Value::Int(int) => int.to_string(),
            Value::Double(double) => double.to_string(),
            Value::Bool(flag) => flag.to_string(),
        };
        let attributes = record.attributes.iter();
        let attributes =
            attributes.map(|(name, value)| (record.text(line, *name).to_owned(), (*value, own(value)))).collect();
        let body = record.text(line, record.body).to_owned();
        self.0.lock().unwrap().open.push(Line { body, nanos, severity: record.severity, attributes });
        batch.push(&self.1, nanos, record, line);
    }

    fn seal(&mut self, batch: &mut LogBatch) -> io::Result<Frame> {
        let mut spool = self.0.lock().unwrap();
        spool.sealed = std::mem::take(&mut spool.open);
        batch.seal(Codec::Identity, |raw| Ok(raw.to_vec()))
    }

    fn push(&mut self, frame: &Frame) -> Result<(), Refused> {
        let mut spool = self.0.lock().unwrap();
        if spool.refuse {
            spool.refused += 1;
            return Err(Refused::Full);
        }
        assert_eq!(frame.records as usize, spool.sealed.len());
        let sealed = std::mem::take(&mut spool.sealed);
        spool.lines.extend(sealed);
        spool.positions = frame.positions.clone();
        spool.frames += 1;
        Ok(())
    }
}

/// A folder of journal files, a spool and the settings to read the one into the other.
pub(super) struct Bench {
    folder: tempfile::TempDir,
    spool: Arc<Mutex<Spool>>,
    origin: Instant,
    /// Added to the monotonic clock, nanoseconds.
    pub skew: Cell<u64>,
    pub board: Board,
    pub settings: Settings,
}

impl Bench {
    pub(super) fn new() -> Self {
        let there = PathBuf::from(REMOTE).exists() && super::super::child::find().is_some();
        assert!(there, "needs journalctl and {REMOTE}: apt-get install systemd-journal-remote, as tests/run does");
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            group: 3,
            units: Vec::new(),
            exclude: Vec::new(),
            choice: Choice::Auto,
            program: None,
            directory: Some(folder.path().to_owned()),
            own_unit: "plimsoll.service".into(),
            own_pid: std::process::id(),
            retry: (Duration::from_millis(20), Duration::from_millis(200)),
        };
        let (spool, board, skew) = (Arc::default(), Board::new(), Cell::new(0));
        let bench = Self { folder, spool, origin: Instant::now(), skew, board, settings };
        bench.start_at(&Place { cursor: String::new(), realtime: T0, nanos: 0 });
        bench
    }

    pub(super) fn start_at(&self, place: &Place) {
        self.spool.lock().unwrap().positions = vec![place.position()];
    }

    pub(super) fn forget(&self) {
        self.spool.lock().unwrap().positions.clear();
    }

    /// Appends to a journal file, which is made when it is new.
    pub(super) fn write(&self, name: &str, entries: &[u8]) {
        let mut child = Command::new(REMOTE)
            .args(["-o", self.file(name).to_str().unwrap(), "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(entries).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// A program in place of `journalctl`.
    pub(super) fn script(&self, words: &str) -> PathBuf {
        let path = self.folder.path().join("program");
        std::fs::write(&path, format!("#!/bin/sh\n{words}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    pub(super) fn remove(&self, name: &str) {
        std::fs::remove_file(self.file(name)).unwrap();
    }

    /// Overwrites the middle of what is used of a journal file.
    pub(super) fn damage(&self, name: &str) {
        let mut bytes = std::fs::read(self.file(name)).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        bytes[used / 2..used / 2 + 20_000.min(used / 4)].fill(0xa5);
        std::fs::write(self.file(name), bytes).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.journal"))
    }

    pub(super) fn now(&self) -> Now {
        Now { mono: self.origin.elapsed().as_nanos() as u64 + self.skew.get(), unix: unix_nanos() }
    }

    pub(super) fn journal(&self) -> Journal {
        let door = Door(Arc::clone(&self.spool), Arc::new(Resource::new("shop", "box", &[])));
        let positions = self.spool.lock().unwrap().positions.clone();
        Journal::new(self.settings.clone(), &positions, Box::new(door), &self.board, self.now()).unwrap()
    }

    pub(super) fn step_until(&self, journal: &mut Journal, done: impl Fn(&Journal, &Spool) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !done(journal, &self.spool.lock().unwrap()) {
            assert!(Instant::now() < deadline, "{:?}", self.board.source("journald"));
            if !matches!(journal.step(self.now()), crate::tail::Done::More) {
                std::thread::yield_now();
            }
        }
    }

    /// A start of the agent, which crashes as soon as this is reached.
    pub(super) fn read_until(&self, done: impl Fn(&Spool) -> bool) {
        // What is open belongs to the crashed one.
        self.spool.lock().unwrap().open.clear();
        self.step_until(&mut self.journal(), |_, spool| done(spool));
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        self.spool.lock().unwrap().lines.clone()
    }

    pub(super) fn frames(&self) -> usize {
        self.spool.lock().unwrap().frames
    }

    pub(super) fn refuse(&self, refuse: bool) {
        self.spool.lock().unwrap().refuse = refuse;
    }

    pub(super) fn place(&self) -> Place {
        Place::find(&self.spool.lock().unwrap().positions).unwrap()
    }

    pub(super) fn gaps(&self) -> u64 {
        let gap = |((part, reason), _): &((String, &str), _)| part == "journald" && *reason == "gap";
        self.board.losses().into_iter().find(gap).map_or(0, |(_, loss)| loss.count)
    }
}

/// The messages in the order of the spool.
pub(super) fn lines(bench: &Bench) -> Vec<String> {
    bench.lines().into_iter().map(|line| line.body).collect()
}

/// An entry in the export format.
pub(super) fn entry(boot: char, micros: u64, fields: &[(&str, &str)], text: &[u8]) -> Vec<u8> {
    message(boot, micros, fields, Some(text))
}

/// The same, perhaps without a message.
pub(super) fn message(boot: char, micros: u64, fields: &[(&str, &str)], text: Option<&[u8]>) -> Vec<u8> {
    let boot: String = std::iter::repeat_n(boot, 32).collect();
    let monotonic = micros - T0 + 1;
    let mut out =
        format!("__REALTIME_TIMESTAMP={micros}\n__MONOTONIC_TIMESTAMP={monotonic}\n_BOOT_ID={boot}\n").into_bytes();
    for (name, value) in fields {
        out.extend(format!("{name}={value}\n").into_bytes());
    }
    if let Some(text) = text {
        out.extend(b"MESSAGE\n");
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text);
        out.push(b'\n');
    }
    out.push(b'\n');
    out
}

/// True while the process is there, also as a zombie.
pub(super) fn is_here(pid: u32) -> bool {
    PathBuf::from(format!("/proc/{pid}")).exists()
}
