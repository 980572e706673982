//! The newest hours of each series in memory: sealed chunks, and the newest samples unpacked, since rules read them.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::chunk::{Backward, Chunk, FULL};
use super::sample::is_stale;
use super::{Labels, Sample};

/// One series. Who holds it while the store forgets it sees `dead`.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) labels: Labels,
    /// The round's source that wrote it last; only that one may end it.
    pub(super) owner: AtomicU64,
    /// The store has forgotten it.
    pub(super) dead: AtomicBool,
    data: Mutex<Data>,
}

/// Bytes of the open samples of a series that goes on.
pub(super) const OPEN: usize = FULL * 12;

/// Its samples.
#[derive(Debug, Default)]
pub(super) struct Data {
    sealed: Vec<Backward>,
    /// Time of the first open sample.
    start: i64,
    /// Milliseconds behind `start` and the value's bits, low half first: 12 bytes a sample.
    open: Vec<[u32; 3]>,
    last: Option<Sample>,
}

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is the series' newest.
    Yes,
    /// It stands there already.
    Same,
    /// Its time has another value.
    Duplicate,
    /// It is older than the newest.
    Old,
    /// The store is full, or its source has as many series as it may.
    NoRoom,
}

impl Member {
    pub(super) fn new(labels: Labels, owner: u64) -> Self {
        Self { labels, owner: AtomicU64::new(owner), dead: AtomicBool::new(false), data: Mutex::default() }
    }

    pub(super) fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that it takes beside its samples: itself, its labels, its places in the maps.
    pub(super) fn overhead(labels: &Labels) -> usize {
        300 + labels.as_slice().len() * 48
    }
}

impl Data {
    /// Takes a sample.
    pub(super) fn append(&mut self, sample: Sample) -> Taken {
        if let Some(last) = self.last {
            if sample.t == last.t {
                let same = sample.v.to_bits() == last.v.to_bits();
                return if same { Taken::Same } else { Taken::Duplicate };
            }
            if sample.t < last.t {
                return Taken::Old;
            }
        }
        let far = sample.t.wrapping_sub(self.start);
        if self.open.len() >= FULL || (!self.open.is_empty() && !(0..=i64::from(u32::MAX)).contains(&far)) {
            self.seal();
        }
        if self.open.is_empty() {
            self.start = sample.t;
        }
        let bits = sample.v.to_bits();
        if self.open.capacity() == self.open.len() {
            // Doubled, but no more than a full chunk.
            let len = self.open.len();
            self.open.reserve_exact(len.max(4).min(FULL - len));
        }
        self.open.push([sample.t.wrapping_sub(self.start) as u32, bits as u32, (bits >> 32) as u32]);
        self.last = Some(sample);
        Taken::Yes
    }

    /// Remembers what went into a block already, so that the series can be ended.
    pub(super) fn remember(&mut self, sample: Sample) {
        if self.last.is_none_or(|last| last.t < sample.t) {
            self.last = Some(sample);
        }
    }

    fn seal(&mut self) {
        let samples: Vec<Sample> = self.open.iter().map(|packed| self.sample(*packed)).collect();
        self.sealed.extend(Backward::pack(&samples));
        // Its room goes too: it would stand empty for half an hour in which the new chunk needs as much.
        self.open = Vec::new();
    }

    fn sample(&self, [far, low, high]: [u32; 3]) -> Sample {
        let bits = u64::from(low) | (u64::from(high) << 32);
        Sample { t: self.start + i64::from(far), v: f64::from_bits(bits) }
    }

    /// Appends the samples within the bounds.
    pub(super) fn read(&self, from: i64, to: i64, out: &mut Vec<Sample>) {
        let first = self.whole_before(from);
        for chunk in self.sealed[first..].iter().take_while(|sealed| sealed.chunk().min <= to) {
            // Packed here a moment ago: it cannot be torn.
            let _whole = chunk.unpack(from, to, out);
        }
        let far = |t: i64| t.saturating_sub(self.start);
        let (low, high) = (far(from), far(to));
        let begin = self.open.partition_point(|packed| i64::from(packed[0]) < low);
        let end = self.open.partition_point(|packed| i64::from(packed[0]) <= high);
        if begin < end {
            out.extend(self.open[begin..end].iter().map(|packed| self.sample(*packed)));
        }
    }

    /// How many of the sealed chunks end before `t`.
    fn whole_before(&self, t: i64) -> usize {
        self.sealed.partition_point(|sealed| sealed.chunk().max < t)
    }

    /// Times of the oldest and the newest sample held.
    pub(super) fn range(&self) -> Option<(i64, i64)> {
        let newest = if self.open.is_empty() { self.sealed.last()?.chunk().max } else { self.last?.t };
        let oldest = self.sealed.first().map_or(self.start, |sealed| sealed.chunk().min);
        Some((oldest, newest))
    }

    /// Whether it ended, or has nothing.
    pub(super) fn ended(&self) -> bool {
        self.last.is_none_or(|last| is_stale(last.v))
    }

    /// All samples before `end` as chunks, for a block.
    pub(super) fn before(&self, end: i64, out: &mut Vec<Chunk>) {
        let mut samples = Vec::new();
        if let Some(last) = end.checked_sub(1) {
            self.read(i64::MIN, last, &mut samples);
        }
        out.extend(samples.chunks(FULL).filter_map(Chunk::pack));
    }

    /// Lets go of all samples before `end`.
    pub(super) fn forget(&mut self, end: i64) {
        self.sealed.drain(..self.whole_before(end));
        if let Some(first) = self.sealed.first_mut().filter(|sealed| sealed.chunk().min < end) {
            let mut rest = Vec::new();
            let _whole = first.unpack(end, i64::MAX, &mut rest);
            match Backward::pack(&rest) {
                Some(sealed) => *first = sealed,
                None => drop(self.sealed.remove(0)),
            }
        }
        if self.sealed.is_empty() {
            let gone = self.open.partition_point(|packed| self.start + i64::from(packed[0]) < end);
            if let Some(next) = self.open.get(gone).copied() {
                self.open.drain(..gone);
                for packed in &mut self.open {
                    packed[0] -= next[0];
                }
                self.start += i64::from(next[0]);
            } else {
                self.open.clear();
            }
        }
        self.sealed.shrink_to_fit();
        if self.open.capacity() > 2 * self.open.len() {
            self.open.shrink_to_fit();
        }
    }

    /// Bytes that it takes, or will soon: a series that goes on fills its open samples, so that what is admitted today
    /// is still within the bound in half an hour.
    pub(super) fn weight(&self) -> usize {
        let (_, _, bytes) = self.size();
        let open = self.open.capacity() * 12;
        if self.ended() { bytes } else { bytes - open + open.max(OPEN) }
    }

    /// Samples and chunks held, and the bytes that they take.
    pub(super) fn size(&self) -> (usize, usize, usize) {
        let sealed = || self.sealed.iter().map(Backward::chunk);
        let packed: usize = sealed().map(|chunk| chunk.bytes.len() + size_of::<Chunk>() + 8).sum();
        let samples: usize = sealed().map(|chunk| usize::from(chunk.count)).sum();
        let chunks = self.sealed.len() + usize::from(!self.open.is_empty());
        (samples + self.open.len(), chunks, packed + self.open.capacity() * 12)
    }
}
