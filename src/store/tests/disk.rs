//! Blocks on a disk that fails, and blocks that are damaged.

use std::any::Any;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use super::*;
use crate::spool::disk::File;

fn fill(store: &Store, rounds: i64) {
    for n in 0..rounds {
        for a in ["x", "y"] {
            store.append(&Labels::new([("__name__", "m"), ("a", a)]), Sample { t: T0 + n * 60_000, v: n as f64 });
        }
    }
}

pub(super) fn files(dir: &Path, ending: &str) -> Vec<std::path::PathBuf> {
    let all = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = all.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    found.sort();
    found
}

/// Every answer is right or an error, and the store opens in any case.
fn check(dir: &Path, whole: &BTreeMap<Labels, Vec<(i64, u64)>>, what: &str) {
    let board = Board::new();
    let store = Store::open(dir, Limits::default(), board.clone()).unwrap();
    let mut failed = false;
    for series in store.select(&[], i64::MIN, i64::MAX).unwrap() {
        let mut samples = Vec::new();
        match series.read(i64::MIN, i64::MAX, &mut samples) {
            Ok(()) => assert_eq!(whole.get(series.labels()), Some(&bits(&samples)), "{what}"),
            Err(error) => {
                failed = true;
                assert!(error.to_string().contains(".blk"), "{error}");
            }
        }
    }
    assert!(lost(&board, "block_corrupt") > 0 || !failed, "{what}");
    assert!(lost(&board, "block_corrupt") > 0, "{what}: the damage was not found");
    assert_eq!(files(dir, ".corrupt").len(), 1, "{what}");
}

#[test]
fn each_flipped_byte_of_a_block_and_each_cut_is_found_and_the_block_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Limits::default(), Board::new()).unwrap();
    fill(&store, 30);
    let whole = all(&store);
    assert!(store.inner.cut(store.max_time().unwrap() + 1));
    assert_eq!(all(&store), whole);
    let path = files(dir.path(), ".blk").remove(0);
    let good = std::fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(path.file_name().unwrap()), bad).unwrap();
        check(dir.path(), &whole, &format!("byte {at} of {}", good.len()));
    }
    for len in 0..good.len() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(path.file_name().unwrap()), &good[..len]).unwrap();
        check(dir.path(), &whole, &format!("cut at {len} of {}", good.len()));
    }
}

#[test]
fn old_blocks_go_and_then_the_oldest_beyond_the_size() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { retention: Duration::from_secs(5 * 3600), ..Limits::default() };
    let store = Store::open(dir.path(), limits, Board::new()).unwrap();
    fill(&store, 20 * 60);
    let oldest = store.min_time().unwrap();
    assert!(oldest >= T0 + 12 * HOUR, "{}", oldest - T0);
    assert_eq!(store.stats().blocks as usize, files(dir.path(), ".blk").len());
    assert!(store.stats().blocks > 0);
    let block = store.stats().disk / store.stats().blocks;
    store.inner.blocks.as_ref().unwrap().expire(0, block + 10);
    assert_eq!(files(dir.path(), ".blk").len(), 1);
}

/// The real disk, with a switch for "no space left" and a count of operations after which it is thrown.
#[derive(Debug, Default)]
struct Full {
    full: AtomicBool,
    left: AtomicUsize,
}

#[derive(Debug)]
struct FullFile(Arc<dyn File>, Arc<Full>);

impl Full {
    fn step(&self) -> io::Result<()> {
        if self.left.load(Relaxed) == 0 {
            self.full.store(true, Relaxed);
        }
        self.left.fetch_sub(usize::from(!self.full.load(Relaxed)), Relaxed);
        if self.full.load(Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

#[derive(Debug)]
struct FullDisk(Arc<Full>);

impl Disk for FullDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        RealDisk.open(path)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.0.step()?;
        Ok(Arc::new(FullFile(RealDisk.create(path)?, Arc::clone(&self.0))))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.step()?;
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.step()?;
        RealDisk.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        RealDisk.lock(path)
    }
}

impl File for FullFile {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(into, offset)
    }
    fn write_at(&self, pieces: [&[u8]; 2], offset: u64) -> io::Result<usize> {
        self.1.step()?;
        // One byte at first, as a disk that is nearly full does.
        if pieces[0].len() > 1 {
            self.0.write_at([&pieces[0][..1], &[]], offset)
        } else {
            self.0.write_at(pieces, offset)
        }
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.1.step()?;
        self.0.sync()
    }
}

#[test]
fn a_full_disk_at_any_step_loses_nothing_and_the_block_is_made_when_there_is_room() {
    for step in (0..2000).step_by(37).chain([0, 1, 2]) {
        let dir = tempfile::tempdir().unwrap();
        let (full, board) = (Arc::new(Full::default()), Board::new());
        full.left.store(step, Relaxed);
        let disk = Arc::new(FullDisk(Arc::clone(&full)));
        let store = Store::open_on(disk, dir.path(), Limits::default(), board.clone()).unwrap();
        fill(&store, 60);
        let whole = all(&store);
        let made = store.inner.cut(T0 + HOUR / 2);
        assert_eq!(made, !full.full.load(Relaxed), "{step}");
        assert_eq!(board.notes().iter().any(|(topic, _)| topic == "store"), !made);
        assert_eq!(all(&store), whole, "{step}");
        full.full.store(false, Relaxed);
        full.left.store(usize::MAX, Relaxed);
        assert!(store.inner.cut(T0 + HOUR / 2));
        assert_eq!(board.notes(), []);
        assert_eq!(all(&store), whole, "{step}");
        assert_eq!(files(dir.path(), ".tmp"), Vec::<std::path::PathBuf>::new());
    }
}

#[test]
fn a_full_disk_while_blocks_are_joined_loses_nothing() {
    for step in (0..3000).step_by(41).chain([0, 1, 2]) {
        let dir = tempfile::tempdir().unwrap();
        let (full, board) = (Arc::new(Full::default()), Board::new());
        full.left.store(usize::MAX, Relaxed);
        let disk = Arc::new(FullDisk(Arc::clone(&full)));
        let store = Store::open_on(disk, dir.path(), Limits::default(), board.clone()).unwrap();
        fill(&store, 60);
        let whole = all(&store);
        assert!(store.inner.cut(T0 + HOUR / 3));
        full.left.store(step, Relaxed);
        let made = store.inner.cut(T0 + HOUR / 2);
        assert_eq!(all(&store), whole, "{step}");
        full.full.store(false, Relaxed);
        full.left.store(usize::MAX, Relaxed);
        let again = Store::open(dir.path(), Limits::default(), Board::new()).unwrap();
        let floor = again.lock().floor;
        assert!(floor == T0 + if made { HOUR / 2 } else { HOUR / 3 } || floor == T0 + HOUR / 2, "{step}");
        let on_disk = whole.iter().map(|(labels, samples)| {
            (labels.clone(), samples.iter().copied().filter(|(t, _)| *t < floor).collect::<Vec<_>>())
        });
        assert_eq!(all(&again), on_disk.collect(), "{step}");
        assert!(store.inner.cut(T0 + HOUR / 2) && store.inner.cut(T0 + HOUR));
        assert_eq!(all(&store), whole, "{step}");
    }
}

#[test]
fn a_damaged_block_is_set_aside_when_the_next_one_would_take_it_in() {
    let dir = tempfile::tempdir().unwrap();
    let board = Board::new();
    let store = Store::open(dir.path(), Limits::default(), board.clone()).unwrap();
    fill(&store, 60);
    let whole = all(&store);
    assert!(store.inner.cut(T0 + HOUR / 3));
    let path = files(dir.path(), ".blk").remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(store.inner.cut(T0 + HOUR / 2));
    assert_eq!(lost(&board, "block_corrupt"), 1);
    assert_eq!((files(dir.path(), ".blk").len(), files(dir.path(), ".corrupt").len()), (1, 1));
    let rest = whole.into_iter().map(|(labels, samples)| {
        (labels, samples.into_iter().filter(|(t, _)| *t >= T0 + HOUR / 3).collect::<Vec<_>>())
    });
    assert_eq!(all(&store), rest.collect());
}
