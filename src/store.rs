//! Recent telemetry on the box: series to ask, names as Prometheus has them, and the newest round of each source.
//!
//! The newest hours are in memory (`head.rs`), what is older in blocks of two hours on disk (`blocks.rs`). Nothing is
//! written for the newest hours: after a crash they come back from the spool of metrics (`restore.rs`).
//!
//! Nothing here can refuse a round. What has no room, or comes in the wrong order, is left out, counted and named.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

mod ask;
mod block;
mod blocks;
mod chunk;
pub mod config;
mod cut;
pub mod decode;
mod head;
mod index;
mod index_file;
pub mod labels;
pub mod latest;
pub mod matcher;
mod merge;
mod restore;
mod round;
pub mod sample;
pub mod translate;

#[cfg(test)]
mod tests;

pub use ask::Family;
pub use head::Taken;
pub use labels::Labels;
pub use latest::Latest;
pub use matcher::Matcher;
pub use sample::Sample;

use crate::base::units::Size;
use crate::spool::disk::{Disk, RealDisk};
use crate::status::Board;
use block::{Block, Part};
use blocks::Blocks;
use head::Member;
use matcher::Op;
use round::{Refused, State};

/// Recent series. Clones share them.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    blocks: Option<Blocks>,
    limits: Limits,
    board: Board,
    /// Counts how often samples moved from the head to a block.
    cuts: AtomicU64,
    /// Held while a block is made.
    cutting: Mutex<()>,
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Age after which data goes.
    pub retention: Duration,
    /// Bytes of blocks beyond which the oldest goes.
    pub size: u64,
    /// Bytes that the head may take.
    pub memory: usize,
    /// Series of one source in the head, those that ended since the latest block among them.
    pub series: usize,
}

impl Limits {
    /// Of an agent that may take `budget` in all: the head's part is a quarter.
    pub fn within(budget: Size) -> Self {
        let memory = usize::try_from(budget.0 / 4).unwrap_or(usize::MAX);
        Self { retention: Duration::from_secs(7 * 86_400), size: 512 << 20, memory, series: 10_000 }
    }

    /// The same for what `store.metrics` says.
    pub fn of(config: &config::Metrics, budget: Size) -> Self {
        Self { retention: config.retention.0, size: config.size.0, ..Self::within(budget) }
    }
}

impl Default for Limits {
    /// 7 d, 512 MiB on disk; 10 MiB in memory, which are two hours of 2,000 series at 15 s and a shorter time of more.
    fn default() -> Self {
        Self::within(Size(40 << 20))
    }
}

/// Why the store has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// More series than a query may touch.
    #[error("the selector matches more than {0} series: narrow it")]
    TooMany(usize),
    /// A block cannot be read; names the file and the fault.
    #[error("{0}")]
    Disk(String),
}

/// How much the store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Series in the head.
    pub series: u64,
    /// Samples in the head and in blocks.
    pub samples: u64,
    /// Chunks in the head and in blocks.
    pub chunks: u64,
    /// About what the head takes in memory, bytes.
    pub memory: u64,
    /// Bytes of all blocks.
    pub disk: u64,
    /// Blocks.
    pub blocks: u64,
    /// Time of the oldest sample, Unix milliseconds.
    pub oldest: Option<i64>,
}

/// A series that a selector found; its samples are read when they are wanted.
#[derive(Debug, Clone)]
pub struct Series {
    labels: Labels,
    head: Option<Arc<Member>>,
    parts: Vec<(Arc<Block>, Part)>,
    cuts: u64,
    store: Store,
}

/// Series that one selector may find.
const MAX_SERIES: usize = 100_000;

impl Store {
    /// In memory only and without bounds, for tests of rules and queries.
    pub fn memory() -> Self {
        let limits = Limits { memory: usize::MAX, series: usize::MAX, ..Limits::default() };
        Self::new(None, limits, Board::new())
    }

    /// In memory only, the newest two hours within the limits: for an agent with `store: off`.
    pub fn bounded(limits: Limits, board: Board) -> Self {
        Self::new(None, limits, board)
    }

    /// With blocks in `dir`, which is made when it is missing. What the head held comes back by [`Store::restore`].
    ///
    /// # Errors
    /// The folder cannot be made or read. A damaged block is no error: it is set aside, counted.
    pub fn open(dir: &Path, limits: Limits, board: Board) -> Result<Self, StoreError> {
        Self::open_on(Arc::new(RealDisk), dir, limits, board)
    }

    fn open_on(disk: Arc<dyn Disk>, dir: &Path, limits: Limits, board: Board) -> Result<Self, StoreError> {
        let blocks = Blocks::open(disk, dir.to_owned(), &board)?;
        Ok(Self::new(Some(blocks), limits, board))
    }

    fn new(blocks: Option<Blocks>, limits: Limits, board: Board) -> Self {
        let floor = blocks.iter().flat_map(Blocks::all).map(|block| block.to).max().unwrap_or(i64::MIN);
        let state = Mutex::new(State::new(floor));
        Self {
            inner: Arc::new(Inner { state, blocks, limits, board, cuts: AtomicU64::new(0), cutting: Mutex::new(()) }),
        }
    }

    /// Takes one sample of a series that already has its Prometheus labels. What is not taken is counted.
    pub fn append(&self, labels: &Labels, sample: Sample) -> Taken {
        let mut state = self.lock();
        let Some(member) = self.inner.member(&mut state, labels, round::RECORDED) else { return Taken::NoRoom };
        let taken = match state.take(&member, sample) {
            // The end of a series that another rule goes on with is no loss.
            Taken::Duplicate | Taken::Old if sample::is_stale(sample.v) => Taken::Same,
            taken => taken,
        };
        drop(state);
        let mut refused = Refused::default();
        refused.count(taken, &member);
        refused.tell(&self.inner, "the rules");
        self.inner.maintain(sample.t);
        taken
    }

    /// [`Store::append`] of many. The first one that comes too late comes back.
    pub fn append_all(&self, rows: &[(Labels, Sample)]) -> Option<(Labels, Taken)> {
        let mut late = None;
        for (labels, sample) in rows {
            let taken = self.append(labels, *sample);
            if matches!(taken, Taken::Duplicate | Taken::Old) {
                late.get_or_insert_with(|| (labels.clone(), taken));
            }
        }
        late
    }

    /// The series that all `matchers` want and that have samples with `from <= t <= to` (Unix milliseconds; more than
    /// these may come, fewer not), in the order of their labels.
    ///
    /// # Errors
    /// Too many series, or a block that cannot be read.
    pub fn select(&self, matchers: &[Matcher], from: i64, to: i64) -> Result<Vec<Series>, StoreError> {
        loop {
            let cuts = self.cuts();
            let found = self.select_once(matchers, (from, to), cuts);
            // A block that was made meanwhile may have taken what was not found in the head any more, or another block.
            if cuts == self.inner.cuts.load(Relaxed) {
                return found;
            }
        }
    }

    /// How often samples moved so far; not in the middle of a move.
    fn cuts(&self) -> u64 {
        let _state = self.lock();
        self.inner.cuts.load(Relaxed)
    }

    fn select_once(&self, matchers: &[Matcher], (from, to): (i64, i64), cuts: u64) -> Result<Vec<Series>, StoreError> {
        let make = |labels: Labels| Series { labels, head: None, parts: Vec::new(), cuts, store: self.clone() };
        let mut found: Vec<Series> = {
            let mut state = self.lock();
            let inside = |member: &&Arc<Member>| {
                let range = member.data().range();
                range.is_some_and(|(oldest, newest)| oldest <= to && newest >= from)
            };
            let members = state.index.find(matchers).into_iter().filter(inside);
            members.map(|member| Series { head: Some(Arc::clone(member)), ..make(member.labels.clone()) }).collect()
        };
        let blocks = self.inner.blocks.iter().flat_map(|blocks| blocks.within(from, to));
        let mut known: Option<HashMap<Labels, usize>> = None;
        for block in blocks {
            let known = known.get_or_insert_with(|| {
                found.iter().enumerate().map(|(at, series)| (series.labels.clone(), at)).collect()
            });
            let Some(blocks) = &self.inner.blocks else { continue };
            blocks.find(&block, matchers, (from, to), |labels, part| {
                let at = *known.entry(labels.clone()).or_insert_with(|| {
                    found.push(make(labels));
                    found.len() - 1
                });
                found[at].parts.push((Arc::clone(&block), part));
            })?;
            if found.len() > MAX_SERIES {
                return Err(StoreError::TooMany(MAX_SERIES));
            }
        }
        if known.is_some() {
            found.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        }
        if found.len() > MAX_SERIES { Err(StoreError::TooMany(MAX_SERIES)) } else { Ok(found) }
    }

    /// Time of the oldest sample, Unix milliseconds.
    pub fn min_time(&self) -> Option<i64> {
        let on_disk = self.inner.blocks.iter().flat_map(Blocks::all).map(|block| block.from).min();
        on_disk.or_else(|| Some(self.lock().oldest).filter(|t| *t < i64::MAX))
    }

    /// Time of the newest sample, Unix milliseconds.
    pub fn max_time(&self) -> Option<i64> {
        let newest = self.lock().newest;
        let on_disk = self.inner.blocks.iter().flat_map(Blocks::all).map(|block| block.to - 1).max();
        Some(newest).filter(|t| *t > i64::MIN).or(on_disk)
    }

    /// How much is held.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats { oldest: self.min_time(), ..Stats::default() };
        {
            let state = self.lock();
            stats.series = state.index.members().len() as u64;
            for member in state.index.members() {
                let (samples, chunks, bytes) = member.data().size();
                stats.samples += samples as u64;
                stats.chunks += chunks as u64;
                stats.memory += (bytes + Member::overhead(&member.labels)) as u64;
            }
        }
        for block in self.inner.blocks.iter().flat_map(Blocks::all) {
            stats.samples += block.samples;
            stats.chunks += u64::from(block.chunks);
            stats.disk += block.size;
            stats.blocks += 1;
        }
        stats
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.lock()
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::memory()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Series {
    /// All labels, the name among them.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Appends the samples with `from <= t <= to` (Unix milliseconds) to `out` in the order of time, stale markers
    /// among them.
    ///
    /// # Errors
    /// A block cannot be read.
    pub fn read(&self, from: i64, to: i64, out: &mut Vec<Sample>) -> Result<(), StoreError> {
        let start = out.len();
        loop {
            let cuts = self.store.cuts();
            let read = if cuts == self.cuts {
                self.read_parts(&self.parts, (from, to), out)
            } else {
                self.parts_now(from, to).and_then(|parts| self.read_parts(&parts, (from, to), out))
            };
            if let Some(head) = &self.head {
                head.data().read(from, to, out);
            }
            // What moved from the head to a block, or from one block to another, while it was read may be missing.
            if cuts == self.store.inner.cuts.load(Relaxed) {
                return read;
            }
            out.truncate(start);
        }
    }

    fn read_parts(
        &self,
        parts: &[(Arc<Block>, Part)],
        (from, to): (i64, i64),
        out: &mut Vec<Sample>,
    ) -> Result<(), StoreError> {
        let Some(blocks) = &self.store.inner.blocks else { return Ok(()) };
        for (block, part) in parts.iter().filter(|(_, part)| part.first <= to && part.last >= from) {
            block.read(&*blocks.disk, part, from, to, out).or_else(|error| blocks.failed(block, &error))?;
        }
        Ok(())
    }

    /// Where its samples lie since a block was made after it was found.
    fn parts_now(&self, from: i64, to: i64) -> Result<Vec<(Arc<Block>, Part)>, StoreError> {
        let Some(blocks) = &self.store.inner.blocks else { return Ok(Vec::new()) };
        let equal = |(name, value)| Matcher::new(name, Op::Equal, value).ok();
        let matchers: Vec<Matcher> = self.labels.iter().filter_map(equal).collect();
        let mut parts = Vec::new();
        for block in blocks.within(from, to) {
            blocks.find(&block, &matchers, (from, to), |labels, part| {
                if labels == self.labels {
                    parts.push((Arc::clone(&block), part));
                }
            })?;
        }
        Ok(parts)
    }
}
