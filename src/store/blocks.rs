//! The blocks of a folder: found at the start, searched, made, and removed when they are old or too many.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::block::{Block, Part, Writer};
use super::cut::BLOCK;
use super::index_file::Index;
use super::matcher::Matcher;
use super::merge::{AT_ONCE, Joined, OfBlock, Row};
use super::{Labels, StoreError};
use crate::spool::disk::Disk;
use crate::status::Board;

/// All blocks, oldest first; their ranges do not overlap.
#[derive(Debug)]
pub(super) struct Blocks {
    pub(super) disk: Arc<dyn Disk>,
    dir: PathBuf,
    board: Board,
    all: Mutex<Vec<Arc<Block>>>,
    cache: Mutex<Vec<(PathBuf, Arc<Index>)>>,
    /// Retention removed blocks up to this time.
    expired: AtomicI64,
}

/// Bytes of opened indexes that are kept; an index of 2,000 series takes about 200 KB.
const CACHE: usize = 1 << 20;

impl Blocks {
    /// Opens all blocks of `dir`, which is made when it is missing. Damaged ones are set aside.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub(super) fn open(disk: Arc<dyn Disk>, dir: PathBuf, board: &Board) -> Result<Self, StoreError> {
        let fail = |error: io::Error| StoreError::Disk(format!("cannot open the store {}: {error}", dir.display()));
        disk.create_dir(&dir).map_err(fail)?;
        let names = disk.list(&dir).map_err(fail)?;
        let blocks = Self {
            disk,
            dir,
            board: board.clone(),
            all: Mutex::default(),
            cache: Mutex::default(),
            expired: AtomicI64::new(i64::MIN),
        };
        let (mut found, mut later) = (Vec::new(), 0);
        for name in names {
            let path = blocks.dir.join(&name);
            if name.ends_with(".tmp") {
                // Not finished when the last run ended; the spool still has what is in it.
                let _left = blocks.disk.remove(&path).is_ok();
            } else if name.ends_with(".blk") {
                match Block::open(&*blocks.disk, &path) {
                    Ok(block) => found.push(Arc::new(block)),
                    Err(error) if error.kind() == io::ErrorKind::Unsupported => later += 1,
                    Err(error) => blocks.set_aside(&path, &error),
                }
            }
        }
        *blocks.lock() = found;
        blocks.drop_taken_in();
        // Left alone: the version that wrote them reads them again.
        board.note("store version", (later > 0).then(|| {
            let dir = blocks.dir.display();
            format!("{later} blocks in {dir} were written by a later version of plimsoll; they are left alone and not read")
        }));
        Ok(blocks)
    }

    /// Removes what lies within another block: that one took it in, and the end of the process came between.
    fn drop_taken_in(&self) {
        let mut all = self.lock();
        all.sort_by_key(|block| (block.from, std::cmp::Reverse(block.to)));
        let mut end = i64::MIN;
        all.retain(|block| {
            let keep = block.to > end;
            end = end.max(block.to);
            if !keep {
                // One that stays is met again at the next start.
                let _gone = self.disk.remove(&block.path).is_ok();
            }
            keep
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Block>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn all(&self) -> Vec<Arc<Block>> {
        self.lock().clone()
    }

    /// Takes a damaged block out of the way. A disk that cannot be read leaves it where it is.
    fn set_aside(&self, path: &Path, error: &io::Error) {
        self.lock().retain(|block| block.path != path);
        let mut aside = path.as_os_str().to_owned();
        aside.push(".corrupt");
        let moved = error.kind() == io::ErrorKind::InvalidData && self.disk.rename(path, Path::new(&aside)).is_ok();
        let now = if moved { "set aside as .corrupt: remove it when nobody needs it" } else { "left out" };
        self.board.lost("store", "block_corrupt", 1, format!("{}: {error}; it is {now}", path.display()));
    }

    /// What a query says of a block that cannot be read: nothing when retention was faster than the query. A damaged
    /// one is not met again.
    pub(super) fn failed(&self, block: &Block, error: &io::Error) -> Result<(), StoreError> {
        if error.kind() == io::ErrorKind::NotFound && block.to <= self.expired.load(Relaxed) {
            return Ok(());
        }
        self.damaged(block, error);
        Err(StoreError::Disk(format!("cannot read {}: {error}", block.path.display())))
    }

    /// Sets a block aside if that is what `error` says.
    pub(super) fn damaged(&self, block: &Block, error: &io::Error) {
        if error.kind() == io::ErrorKind::InvalidData {
            self.set_aside(&block.path, error);
        }
    }

    /// The newest blocks that ended early in the two hours that `from..to` lies in, oldest first.
    pub(super) fn early(&self, from: i64, to: i64) -> Vec<Arc<Block>> {
        let hours = from.div_euclid(BLOCK);
        let within = |from: i64, to: i64| from.div_euclid(BLOCK) == hours && (to - 1).div_euclid(BLOCK) == hours;
        let mut found = self.all();
        found.retain(|block| block.to <= from && within(block.from, block.to) && from < to && within(from, to));
        found.split_off(found.len().saturating_sub(AT_ONCE))
    }

    /// Blocks that may have samples within the bounds.
    pub(super) fn within(&self, from: i64, to: i64) -> Vec<Arc<Block>> {
        self.lock().iter().filter(|block| block.to > from && block.from <= to).cloned().collect()
    }

    /// Hands over what the matchers want of one block.
    pub(super) fn find(
        &self,
        block: &Arc<Block>,
        matchers: &[Matcher],
        (from, to): (i64, i64),
        found: impl FnMut(Labels, Part),
    ) -> Result<(), StoreError> {
        match self.index(block) {
            Ok(index) => index.find(matchers, from, to, found),
            Err(error) => self.failed(block, &error)?,
        }
        Ok(())
    }

    fn index(&self, block: &Block) -> io::Result<Arc<Index>> {
        let lock = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cache = lock();
        if let Some(at) = cache.iter().position(|(path, _)| *path == block.path) {
            let entry = cache.remove(at);
            let index = Arc::clone(&entry.1);
            cache.push(entry);
            return Ok(index);
        }
        drop(cache);
        let index = Arc::new(block.index(&*self.disk)?);
        let mut cache = lock();
        cache.push((block.path.clone(), Arc::clone(&index)));
        while cache.len() > 1 && cache.iter().map(|(_, index)| index.bytes()).sum::<usize>() > CACHE {
            cache.remove(0);
        }
        if index.bytes() > CACHE {
            cache.clear();
        }
        Ok(index)
    }

    /// Writes a block of what the blocks `taken` have and `series` hands out, which is newer and in the order of its
    /// labels, in a way that it is there whole or not at all. Does not list it.
    pub(super) fn write(
        &self,
        (from, to): (i64, i64),
        taken: &[Arc<Block>],
        series: impl Iterator<Item = Row>,
    ) -> io::Result<Arc<Block>> {
        let from = taken.first().map_or(from, |oldest| oldest.from);
        let path = self.dir.join(format!("{from:020}-{to:020}.blk"));
        let temporary = path.with_extension("tmp");
        let made = self.write_file(&temporary, (from, to), taken, series).and_then(|()| {
            self.disk.rename(&temporary, &path)?;
            self.disk.sync_dir(&self.dir)?;
            Block::open(&*self.disk, &path)
        });
        if made.is_err() {
            // The next try makes it anew; the first error says more.
            let _removed = self.disk.remove(&temporary).is_ok();
        }
        made.map(Arc::new)
    }

    fn write_file(
        &self,
        path: &Path,
        (from, to): (i64, i64),
        taken: &[Arc<Block>],
        series: impl Iterator<Item = Row>,
    ) -> io::Result<()> {
        // Left by a try that failed.
        let _left = self.disk.remove(path).is_ok();
        let mut older: Box<dyn Iterator<Item = io::Result<Row>> + '_> = Box::new(std::iter::empty());
        for block in taken {
            older = Box::new(Joined::new(older, OfBlock::new(self, block)?));
        }
        let mut writer = Writer::new(self.disk.create(path)?);
        for row in Joined::new(older, series.map(Ok)) {
            let (labels, chunks) = row?;
            writer.add(&labels, &chunks)?;
        }
        writer.end(from, to)
    }

    /// Lists a block that was written, in place of those that it took in.
    pub(super) fn add(&self, block: Option<Arc<Block>>, taken: &[Arc<Block>]) {
        let mut all = self.lock();
        all.retain(|old| !taken.iter().any(|taken| taken.path == old.path));
        all.extend(block);
        all.sort_by_key(|block| block.from);
    }

    /// Removes the files of blocks that are listed no more; nobody may be sent there any more.
    pub(super) fn remove(&self, gone: &[Arc<Block>]) {
        if gone.is_empty() {
            return;
        }
        let mut failed = None;
        for block in gone {
            if let Err(error) = self.disk.remove(&block.path) {
                failed = Some(format!("cannot remove {}: {error}", block.path.display()));
            }
        }
        self.board.note("store removal", failed);
        // A block that comes back after a power cut is removed again.
        let _later = self.disk.sync_dir(&self.dir).is_ok();
    }

    /// Removes blocks whose newest sample may be older than `oldest`, then the oldest ones beyond `size` bytes.
    pub(super) fn expire(&self, oldest: i64, size: u64) {
        let mut gone = Vec::new();
        {
            let mut all = self.lock();
            let mut bytes: u64 = all.iter().map(|block| block.size).sum();
            all.retain(|block| {
                let keep = block.to > oldest && bytes <= size;
                if !keep {
                    bytes -= block.size;
                    self.expired.fetch_max(block.to, Relaxed);
                    gone.push(Arc::clone(block));
                }
                keep
            });
        }
        self.remove(&gone);
    }
}
