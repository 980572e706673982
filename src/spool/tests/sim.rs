//! A disk in memory that forgets what was not synced, in part and out of order, and fails where a test wants it to.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::spool::disk::{Disk, File};

/// The disk. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// The tree as the process sees it.
    names: BTreeMap<PathBuf, Arc<Mutex<Inode>>>,
    /// The tree as the platter has it, and what was done to it since.
    durable: BTreeMap<PathBuf, Arc<Mutex<Inode>>>,
    undone: Vec<(PathBuf, NameOp)>,
    locked: BTreeMap<PathBuf, Arc<AtomicBool>>,
    /// Changes so far: writes, truncations, syncs, creations, renames, removals.
    operations: u64,
    faults: Faults,
}

#[derive(Debug, Clone)]
enum NameOp {
    Put(PathBuf, Arc<Mutex<Inode>>),
    Remove(PathBuf),
}

/// What goes wrong. Operations count from 1.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    /// From this operation on the machine is off.
    pub(super) off_at: Option<u64>,
    /// From this to that operation the disk is full: writes are short, then fail.
    pub(super) full: Option<(u64, u64)>,
    /// From this to that operation nothing can be cut.
    pub(super) no_truncate: Option<(u64, u64)>,
    /// From this to that operation syncs fail; what was not synced is forgotten by the platter.
    pub(super) no_sync: Option<(u64, u64)>,
}

#[derive(Debug, Default, Clone)]
struct Inode {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: Arc<Mutex<Inode>>,
}

struct Guard(Arc<AtomicBool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(false, SeqCst);
    }
}

/// A small generator: the same seed gives the same faults.
#[derive(Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

impl SimDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn set(&self, faults: Faults) {
        self.state().faults = faults;
    }

    pub(super) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The disk after a power cut: synced bytes, and of the rest what the seed lets through.
    pub(super) fn cut_power(&self, seed: u64) -> Self {
        let state = self.state();
        let mut dice = Dice(seed);
        let mut names = state.durable.clone();
        // Some seeds keep all or nothing of the names, the others any part.
        let mode = dice.roll(4);
        for (_, op) in &state.undone {
            if mode == 0 || (mode != 1 && dice.roll(2) == 0) {
                continue;
            }
            match op {
                NameOp::Put(path, inode) => drop(names.insert(path.clone(), Arc::clone(inode))),
                NameOp::Remove(path) => drop(names.remove(path)),
            }
        }
        let after = names.into_iter().map(|(path, inode)| {
            let bytes = inode.lock().unwrap().after_cut(&mut dice);
            (path, Arc::new(Mutex::new(Inode { durable: bytes.clone(), bytes, pending: Vec::new() })))
        });
        let names: BTreeMap<_, _> = after.collect();
        Self { state: Arc::new(Mutex::new(State { durable: names.clone(), names, ..State::default() })) }
    }

    /// The disk after the process was killed: everything that was written.
    pub(super) fn kill(&self) -> Self {
        let copy = |inode: &Arc<Mutex<Inode>>| {
            let bytes = inode.lock().unwrap().bytes.clone();
            Arc::new(Mutex::new(Inode { durable: bytes.clone(), bytes, pending: Vec::new() }))
        };
        let names: BTreeMap<_, _> =
            self.state().names.iter().map(|(path, inode)| (path.clone(), copy(inode))).collect();
        Self { state: Arc::new(Mutex::new(State { durable: names.clone(), names, ..State::default() })) }
    }

    /// Paths with sizes.
    pub(super) fn files(&self) -> Vec<(PathBuf, u64)> {
        let state = self.state();
        state.names.iter().map(|(path, inode)| (path.clone(), inode.lock().unwrap().bytes.len() as u64)).collect()
    }

    /// Changes a file's bytes behind everybody's back.
    pub(super) fn spoil(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let inode = Arc::clone(&self.state().names[path]);
        let mut inode = inode.lock().unwrap();
        change(&mut inode.bytes);
        inode.durable = inode.bytes.clone();
        inode.pending.clear();
    }

    /// Exchanges two files' contents.
    pub(super) fn swap(&self, one: &Path, other: &Path) {
        let mut state = self.state();
        let (first, second) = (Arc::clone(&state.names[one]), Arc::clone(&state.names[other]));
        for (path, inode) in [(one, second), (other, first)] {
            state.names.insert(path.to_owned(), Arc::clone(&inode));
            state.durable.insert(path.to_owned(), inode);
        }
    }

    /// Counts an operation; an error when the machine is off.
    fn step(&self) -> io::Result<u64> {
        let mut state = self.state();
        state.operations += 1;
        match state.faults.off_at {
            Some(at) if state.operations >= at => Err(io::Error::other("the machine is off")),
            _ => Ok(state.operations),
        }
    }

    fn within(&self, now: u64, which: impl Fn(&Faults) -> Option<(u64, u64)>) -> bool {
        which(&self.state().faults).is_some_and(|(from, to)| now >= from && now < to)
    }
}

impl Inode {
    fn apply(bytes: &mut Vec<u8>, change: &Change) {
        match change {
            Change::Truncate(len) => bytes.resize(*len as usize, 0),
            Change::Write(at, new) => {
                let end = *at as usize + new.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*at as usize..end].copy_from_slice(new);
            }
        }
    }

    /// What a power cut leaves: sectors of what was not synced come through or not, in any combination.
    fn after_cut(&self, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let mode = dice.roll(4);
        for change in &self.pending {
            match (mode, change) {
                (0, _) => {}
                (1, _) => Self::apply(&mut bytes, change),
                (_, Change::Truncate(_)) => {
                    if dice.roll(2) == 0 {
                        Self::apply(&mut bytes, change);
                    }
                }
                (_, Change::Write(at, new)) => {
                    let lost = mode == 2 && dice.roll(3) == 0;
                    let mut from = 0;
                    while from < new.len() {
                        let sector = 512 - (*at as usize + from) % 512;
                        let to = new.len().min(from + sector);
                        if !lost && (mode == 2 || dice.roll(3) > 0) {
                            Self::apply(&mut bytes, &Change::Write(*at + from as u64, new[from..to].to_vec()));
                        }
                        from = to;
                    }
                }
            }
        }
        bytes
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let inode = self.state().names.get(path).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let now = self.step()?;
        if self.within(now, |faults| faults.full) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut state = self.state();
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = Arc::new(Mutex::new(Inode::default()));
        state.names.insert(path.to_owned(), Arc::clone(&inode));
        state.undone.push((path.parent().unwrap().to_owned(), NameOp::Put(path.to_owned(), Arc::clone(&inode))));
        drop(state);
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        let mut state = self.state();
        let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), Arc::clone(&inode));
        let dir = to.parent().unwrap().to_owned();
        state.undone.push((dir.clone(), NameOp::Put(to.to_owned(), inode)));
        state.undone.push((dir, NameOp::Remove(from.to_owned())));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        let mut state = self.state();
        state.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        state.undone.push((path.parent().unwrap().to_owned(), NameOp::Remove(path.to_owned())));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.step()?;
        let mut state = self.state();
        let (now, later) = std::mem::take(&mut state.undone).into_iter().partition(|(of, _)| of == dir);
        state.undone = later;
        let now: Vec<(PathBuf, NameOp)> = now;
        for (_, op) in now {
            match op {
                NameOp::Put(path, inode) => drop(state.durable.insert(path, inode)),
                NameOp::Remove(path) => drop(state.durable.remove(&path)),
            }
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let flag = Arc::clone(self.state().locked.entry(path.to_owned()).or_default());
        if flag.swap(true, SeqCst) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Guard(flag)))
    }
}

impl File for SimFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.inode.lock().unwrap().bytes.len() as u64)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let inode = self.inode.lock().unwrap();
        let rest = inode.bytes.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(into.len());
        into[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, pieces: [&[u8]; 2], offset: u64) -> io::Result<usize> {
        let now = self.step()?;
        let mut bytes = pieces.concat();
        let mut inode = self.inode.lock().unwrap();
        // A full disk takes what was allocated before.
        if self.disk_full(now) && offset as usize + bytes.len() > inode.bytes.len() {
            if now % 2 == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            bytes.truncate(bytes.len().div_ceil(2));
        }
        let change = Change::Write(offset, bytes);
        Inode::apply(&mut inode.bytes, &change);
        let Change::Write(_, bytes) = &change else { unreachable!() };
        let len = bytes.len();
        inode.pending.push(change);
        Ok(len)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let now = self.step()?;
        if self.disk.within(now, |faults| faults.no_truncate) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let mut inode = self.inode.lock().unwrap();
        Inode::apply(&mut inode.bytes, &Change::Truncate(len));
        inode.pending.push(Change::Truncate(len));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let now = self.step()?;
        let mut inode = self.inode.lock().unwrap();
        if self.disk.within(now, |faults| faults.no_sync) {
            // As Linux does: the pages are clean now, and nowhere but in memory.
            inode.pending.clear();
            return Err(io::Error::from_raw_os_error(5));
        }
        for change in std::mem::take(&mut inode.pending) {
            Inode::apply(&mut inode.durable, &change);
        }
        Ok(())
    }
}

impl SimFile {
    fn step(&self) -> io::Result<u64> {
        self.disk.step()
    }

    fn disk_full(&self, now: u64) -> bool {
        self.disk.within(now, |faults| faults.full)
    }
}
