//! Files that cannot be read for a while, by handles that refuse and paths that are closed.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::*;
use crate::signal::frame::Codec;
use crate::signal::logs::LogBatch;
use crate::signal::record::Record;
use crate::signal::resource::Resource;
use crate::tail::GroupSettings;
use crate::tail::parse::{Choice, Format};

/// Keeps the lines it is given; every frame is accepted.
struct Store(Arc<Mutex<Vec<String>>>, Arc<Resource>);

impl Sink for Store {
    fn emit(&mut self, _group: usize, record: &mut Record, line: &str, nanos: u64, batch: &mut LogBatch) {
        self.0.lock().unwrap().push(line.to_owned());
        batch.push(&self.1, nanos, record, line);
    }

    fn seal(&mut self, batch: &mut LogBatch) -> io::Result<Frame> {
        batch.seal(Codec::Identity, |raw| Ok(raw.to_vec()))
    }

    fn push(&mut self, _frame: &Frame) -> Result<(), Refused> {
        Ok(())
    }
}

struct Rig {
    folder: tempfile::TempDir,
    tailer: Tailer,
    lines: Arc<Mutex<Vec<String>>>,
    board: Board,
    now: Now,
}

impl Rig {
    fn new(glob: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("log")).unwrap();
        let path = format!("{}/log/{glob}", folder.path().display());
        let group = GroupSettings { format: Choice::Fixed(Format::Text), ..GroupSettings::new(path) };
        let settings = Settings { groups: vec![group], ..Settings::default() };
        let now = Now { mono: 1_000_000 * SECOND, unix: 1_800_000_000 * SECOND };
        let (lines, board) = (Arc::default(), Board::new());
        let sink = Store(Arc::clone(&lines), Arc::new(Resource::new("test", "box", &[])));
        let tailer = Tailer::new(settings, &[], Box::new(sink), &board, now).unwrap();
        Self { folder, tailer, lines, board, now }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("log").join(name)
    }

    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        let file = OpenOptions::new().create(true).append(true).open(self.path(name));
        file.unwrap().write_all(text.as_ref()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds * 2 {
            self.now.mono += SECOND / 2;
            self.now.unix += SECOND / 2;
            let mut steps = 0;
            while self.tailer.step(self.now) == Done::More {
                steps += 1;
                assert!(steps < 1000, "the tailer never comes to rest");
            }
        }
    }

    /// Gives the stream at `name` a handle of its file that tells everything and reads nothing.
    fn spoil(&mut self, name: &str) {
        let path = self.path(name);
        let streams = self.tailer.table.streams.values_mut();
        let stream = streams.into_iter().find(|stream| stream.path == path).unwrap();
        stream.file = Some(File::options().write(true).open(&path).unwrap());
    }

    /// Closes the handle at `name`, as one beyond the limit is, and makes that it cannot be opened again at `to`.
    fn deny(&mut self, name: &str, to: &str) {
        let path = self.path(name);
        let streams = self.tailer.table.streams.values_mut();
        streams.into_iter().find(|stream| stream.path == path).unwrap().file = None;
        if rustix::process::geteuid().is_root() {
            // Root opens everything, but follows no link that another user made.
            self.rename(name, "../hidden");
            symlink(self.path("../hidden"), self.path(to)).unwrap();
            lchown(self.path(to), Some(65534), Some(65534)).unwrap();
        } else {
            self.rename(name, to);
            fs::set_permissions(self.path(to), fs::Permissions::from_mode(0o000)).unwrap();
        }
    }

    fn permit(&self, name: &str) {
        if rustix::process::geteuid().is_root() {
            lchown(self.path(name), Some(0), Some(0)).unwrap();
        } else {
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o644)).unwrap();
        }
    }

    fn texts(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    fn fault(&self) -> String {
        self.board.sources().iter().map(|(_, source)| source.fault.get()).collect()
    }
}

fn text(name: &str, range: std::ops::Range<u32>) -> String {
    range.map(|number| format!("{name} {number:06} some text of a log line\n")).collect()
}

fn expect(parts: &[(&str, std::ops::Range<u32>)]) -> Vec<String> {
    let text: String = parts.iter().map(|(name, range)| text(name, range.clone())).collect();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_rotated_file_that_fails_once_is_read_to_its_end_before_the_new_one() {
    for (end, rest) in [("", ""), ("an unfinished line", " and its rest\n")] {
        let mut rig = Rig::new("app.log*");
        rig.append("app.log", text("a", 0..10));
        rig.pass(7);
        // Found under its new name before it fails: no rename makes it be looked at again.
        rig.rename("app.log", "app.log.1");
        rig.pass(7);
        rig.append("app.log.1", text("a", 10..20_000) + end);
        rig.spoil("app.log.1");
        rig.append("app.log", format!("{rest}{}", text("b", 0..10)));
        rig.pass(60);
        let whole = format!("{}{end}{rest}{}", text("a", 0..20_000), text("b", 0..10));
        assert!(rig.texts().iter().eq(whole.lines()), "{} lines", rig.texts().len());
        assert_eq!((rig.board.losses(), rig.fault()), (vec![], String::new()));
    }
}

#[test]
fn a_living_file_that_failed_and_grows_no_more_is_read_to_its_end() {
    let mut rig = Rig::new("app.log");
    rig.append("app.log", text("a", 0..10));
    rig.pass(7);
    rig.append("app.log", text("a", 10..20));
    rig.spoil("app.log");
    rig.pass(10);
    assert_eq!(rig.texts(), expect(&[("a", 0..20)]));
}

#[test]
fn a_deleted_file_that_fails_for_long_is_kept_and_read_when_it_can_be() {
    let mut rig = Rig::new("app.log");
    rig.append("app.log", text("a", 0..10));
    rig.pass(7);
    rig.append("app.log", text("a", 10..20_000));
    let handle = File::open(rig.path("app.log")).unwrap();
    rig.spoil("app.log");
    fs::remove_file(rig.path("app.log")).unwrap();
    rig.pass(120);
    assert_eq!(rig.texts(), expect(&[("a", 0..10)]));
    assert!(rig.fault().contains("cannot read"), "{}", rig.fault());
    rig.tailer.table.streams.values_mut().next().unwrap().file = Some(handle);
    rig.pass(10);
    assert_eq!(rig.texts(), expect(&[("a", 0..20_000)]));
    assert_eq!(rig.board.losses(), []);
}

#[test]
fn a_rotated_file_that_cannot_be_opened_costs_no_spinning_and_holds_up_the_new_one_for_a_while_only() {
    let mut rig = Rig::new("app.log*");
    rig.append("app.log", text("a", 0..10));
    rig.pass(7);
    rig.append("app.log", text("a", 10..20));
    rig.deny("app.log", "app.log.1");
    rig.append("app.log", text("b", 0..10));
    rig.pass(20);
    assert_eq!(rig.texts(), expect(&[("a", 0..10)]), "the old one first");
    assert!(rig.fault().contains("cannot read"), "{}", rig.fault());
    rig.pass(60);
    assert_eq!(rig.texts(), expect(&[("a", 0..10), ("b", 0..10)]));
    rig.permit("app.log.1");
    rig.pass(10);
    assert_eq!(rig.texts(), expect(&[("a", 0..10), ("b", 0..10), ("a", 10..20)]));
    assert_eq!((rig.board.losses(), rig.fault()), (vec![], String::new()));
}

#[test]
fn walks_that_renames_ask_for_leave_time_for_the_reading() {
    let mut rig = Rig::new("*.log");
    for number in 0..2000 {
        rig.append(&format!("{number}.log"), "one\n");
    }
    rig.pass(7);
    let mut walks = 0;
    let before = rig.now.mono;
    while rig.now.mono - before < 4 * SECOND {
        rig.now.mono += SECOND / 100;
        rig.tailer.hint();
        rig.tailer.step(rig.now);
        walks += usize::from(rig.tailer.scanned == Some(rig.now.mono));
    }
    assert!((4..=20).contains(&walks), "{walks} walks in four seconds");
}
