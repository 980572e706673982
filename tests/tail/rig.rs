//! A folder of logs, a tailer that is stepped, and a sink that keeps what it accepted as a spool would.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use plimsoll::base::clock::SECOND;
use plimsoll::signal::frame::{Codec, Frame, Position};
use plimsoll::signal::logs::LogBatch;
use plimsoll::signal::record::Record;
use plimsoll::signal::resource::Resource;
use plimsoll::status::Board;
use plimsoll::tail::parse::{Choice, Format};
use plimsoll::tail::{Done, GroupSettings, Now, Refused, Settings, Sink, Tailer};
use prost::Message;

/// A record as the stack would get it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) path: String,
    pub(crate) nanos: u64,
    pub(crate) partial: bool,
    pub(crate) truncated: bool,
}

#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) lines: Vec<Line>,
    pub(crate) positions: BTreeMap<Box<[u8]>, Box<[u8]>>,
    /// Answer `Full` this many times, then accept one frame; `u32::MAX`: always.
    pub(crate) full: u32,
    pub(crate) frames: u32,
}

struct Store {
    kept: Arc<Mutex<Kept>>,
    resource: Arc<Resource>,
}

impl Sink for Store {
    fn emit(&mut self, _group: usize, record: &mut Record, line: &str, nanos: u64, batch: &mut LogBatch) {
        batch.push(&self.resource, nanos, record, line);
    }

    fn seal(&mut self, batch: &mut LogBatch) -> io::Result<Frame> {
        batch.seal(Codec::Identity, |raw| Ok(raw.to_vec()))
    }

    fn push(&mut self, frame: &Frame) -> Result<(), Refused> {
        let mut kept = self.kept.lock().unwrap();
        if kept.full > 0 {
            kept.full = if kept.full == u32::MAX { u32::MAX } else { kept.full - 1 };
            return Err(Refused::Full);
        }
        kept.frames += 1;
        for Position { key, value } in &frame.positions {
            if value.is_empty() {
                kept.positions.remove(key);
            } else {
                kept.positions.insert(key.clone(), value.clone());
            }
        }
        kept.lines.extend(lines(frame));
        Ok(())
    }
}

fn lines(frame: &Frame) -> Vec<Line> {
    let request = ExportLogsServiceRequest::decode(frame.payload.as_slice()).unwrap();
    let scopes = request.resource_logs.into_iter().flat_map(|logs| logs.scope_logs);
    let text = |value: Option<Value>| match value {
        Some(Value::StringValue(text)) => text,
        other => panic!("no text: {other:?}"),
    };
    let record = |record: opentelemetry_proto::tonic::logs::v1::LogRecord| {
        let attribute = |name: &str| {
            let found = record.attributes.iter().find(|attribute| attribute.key == name);
            found.and_then(|attribute| attribute.value.clone()).and_then(|value| value.value)
        };
        Line {
            path: text(attribute("log.file.path")),
            partial: attribute("plimsoll.partial").is_some(),
            truncated: attribute("plimsoll.truncated").is_some(),
            nanos: record.time_unix_nano,
            text: text(record.body.and_then(|body| body.value)),
        }
    };
    scopes.flat_map(|scope| scope.log_records).map(record).collect()
}

pub(crate) struct Rig {
    folder: tempfile::TempDir,
    pub(crate) settings: Settings,
    pub(crate) tailer: Option<Tailer>,
    kept: Arc<Mutex<Kept>>,
    pub(crate) board: Board,
    pub(crate) now: Now,
}

impl Rig {
    /// Follows `globs`, which are relative to the folder.
    pub(crate) fn new(globs: &[&str]) -> Self {
        Self::with(globs, |_| {})
    }

    pub(crate) fn with(globs: &[&str], change: impl FnOnce(&mut Settings)) -> Self {
        let mut rig = Self::stopped(globs);
        change(&mut rig.settings);
        rig.start();
        rig
    }

    /// With the agent not started yet.
    pub(crate) fn stopped(globs: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        fs::create_dir(&log).unwrap();
        let text = Choice::Fixed(Format::Text);
        let group = |glob: &&str| GroupSettings { format: text, ..GroupSettings::new(format!("{}/{glob}", log.display())) };
        let groups = globs.iter().map(group);
        let settings = Settings { groups: groups.collect(), ..Settings::default() };
        let now = Now { mono: 1_000_000 * SECOND, unix: 1_800_000_000 * SECOND };
        Self { folder, settings, tailer: None, kept: Arc::default(), board: Board::new(), now }
    }

    /// Starts from the positions of the accepted frames.
    pub(crate) fn start(&mut self) {
        let sink = Store { kept: Arc::clone(&self.kept), resource: Arc::new(Resource::new("test", "box", &[])) };
        let positions: Vec<_> =
            self.kept().positions.iter().map(|(k, v)| Position { key: k.clone(), value: v.clone() }).collect();
        self.tailer =
            Some(Tailer::new(self.settings.clone(), &positions, Box::new(sink), &self.board, self.now).unwrap());
    }

    /// Ends the agent as SIGKILL does.
    pub(crate) fn crash(&mut self) {
        self.tailer = None;
    }

    pub(crate) fn restart(&mut self) {
        self.crash();
        self.start();
    }

    pub(crate) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    pub(crate) fn full(&self, answers: u32) {
        self.kept().full = answers;
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("log").join(name)
    }

    pub(crate) fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        append(&self.path(name), text);
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(crate) fn copy(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
    }

    pub(crate) fn truncate(&self, name: &str) {
        OpenOptions::new().write(true).truncate(true).open(self.path(name)).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// One step at the present time.
    pub(crate) fn step(&mut self) -> Done {
        self.now.mono += 1000;
        self.now.unix += 1000;
        self.tailer.as_mut().unwrap().step(self.now)
    }

    /// Lets time pass in small parts, each with steps until nothing is left to do.
    pub(crate) fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds * 2 {
            self.now.mono += SECOND / 2;
            self.now.unix += SECOND / 2;
            let mut steps = 0;
            while self.step() == Done::More {
                steps += 1;
                assert!(steps < 100_000, "the tailer never comes to rest");
            }
        }
    }

    /// Time for a walk, all reading, and the frame.
    pub(crate) fn settle(&mut self) {
        self.pass(7);
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.kept().lines.iter().map(|line| line.text.clone()).collect()
    }

    /// The texts in the order of their values, to compare where files are read side by side.
    pub(crate) fn sorted(&self) -> Vec<String> {
        let mut texts = self.texts();
        texts.sort();
        texts
    }

    /// What the board says was lost for `reason`.
    pub(crate) fn lost(&self, reason: &str) -> u64 {
        self.board.losses().iter().filter(|((_, name), _)| *name == reason).map(|(_, loss)| loss.count).sum()
    }

    pub(crate) fn fault(&self) -> String {
        self.board.sources().iter().map(|(_, source)| source.fault.get()).collect()
    }
}

pub(crate) fn append(path: &Path, text: impl AsRef<[u8]>) {
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_ref()).unwrap();
}

/// Lines `name 000007 …` of a writer, and the same as the records they become.
pub(crate) fn text(name: &str, range: std::ops::Range<u32>) -> String {
    range.map(|number| format!("{name} {number:06} some text of a log line\n")).collect()
}

pub(crate) fn expect(parts: &[(&str, std::ops::Range<u32>)]) -> Vec<String> {
    parts
        .iter()
        .flat_map(|(name, range)| text(name, range.clone()).lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}
