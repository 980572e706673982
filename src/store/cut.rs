//! Moves what is older than two hours from the head into a block, and keeps the head within its memory.
//!
//! When memory is short the head gets shorter: at least ten minutes at once go into a block that ends early, which takes
//! in the one before it of the same two hours (`merge.rs`). Then no new series are taken; the samples of known ones
//! always are.

use std::collections::BTreeMap;
use std::sync::TryLockError;
use std::sync::atomic::Ordering::Relaxed;

use super::Inner;
use crate::base::units::Size;

/// Length of a block, and the grid it lies on.
pub(super) const BLOCK: i64 = 2 * 3_600_000;
/// What rules look at stays in memory so long beyond the end of a block.
const MARGIN: i64 = 10 * 60_000;
/// How much stays when memory is short, and how much goes at least.
const SHORT: i64 = 10 * 60_000;
/// How often the bounds are looked at.
const LOOK: i64 = 10_000;
/// A source known from before the start has at least so long to come back.
const GRACE: i64 = 60_000;

impl Inner {
    /// Looks at the bounds when it is time, at `t` (the newest round).
    pub(super) fn maintain(&self, t: i64) {
        if self.blocks.is_none() && self.limits.memory == usize::MAX {
            return;
        }
        {
            let mut state = self.lock();
            if t.saturating_sub(state.looked) < LOOK && t >= state.looked {
                return;
            }
            state.looked = t;
            state.blame = None;
            state.weigh();
        }
        let _one = match self.cutting.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Another caller is at it.
            Err(TryLockError::WouldBlock) => return,
        };
        self.end_silent();
        self.cut_due();
        self.fit();
    }

    /// Ends what sources wrote that have not come back after a restart.
    fn end_silent(&self) {
        let mut state = self.lock();
        let newest = state.newest;
        let silent = |round: &super::round::Round| {
            round.restored && newest.saturating_sub(round.t) > round.interval.saturating_mul(2).max(GRACE)
        };
        let keys: Vec<_> = state.rounds.iter().filter(|(_, round)| silent(round)).map(|(key, _)| key.clone()).collect();
        keys.iter().for_each(|key| state.end(key, newest));
    }

    fn cut_due(&self) {
        loop {
            let (oldest, newest) = {
                let state = self.lock();
                (state.oldest, state.newest)
            };
            let end = if self.blocks.is_some() {
                oldest.saturating_sub(oldest.rem_euclid(BLOCK)).saturating_add(BLOCK)
            } else {
                newest.saturating_sub(BLOCK)
            };
            let due = if self.blocks.is_some() { end.saturating_add(MARGIN) <= newest } else { oldest < end - MARGIN };
            if oldest > newest || !due || !self.cut(end) {
                return;
            }
        }
    }

    /// When memory is short: a block that ends early, then no new series, then the oldest samples go.
    fn fit(&self) {
        let limit = self.limits.memory;
        let (bytes, oldest, newest) = {
            let state = self.lock();
            (state.bytes, state.oldest, state.newest)
        };
        let end = newest.saturating_sub(SHORT);
        if bytes > limit && oldest < end.saturating_sub(SHORT) {
            if self.cut(end) {
                self.lock().shortened = Some(newest);
            } else if bytes > limit.saturating_mul(2) {
                self.drop_oldest(end);
            }
        }
        let state = self.lock();
        let full = state.bytes > limit;
        let short = state.shortened.is_some_and(|at| newest.saturating_sub(at) <= SHORT.saturating_mul(3));
        let held = newest.saturating_sub(state.oldest).max(0) / 60_000;
        drop(state);
        let older = if self.blocks.is_some() { "lies on disk, which makes queries slower" } else { "is gone" };
        let refused = if full { ", and new series are refused" } else { "" };
        let text = format!(
            "the {} of its head are full: it has the newest {held} min, what is older {older}{refused}; raise `memory:`, \
             or collect fewer series",
            Size(limit as u64)
        );
        self.board.note("store memory", (full || short).then_some(text));
    }

    /// Makes a block of what is before `end`; false when that failed, and the head is as it was.
    pub(super) fn cut(&self, end: i64) -> bool {
        let (from, mut members) = {
            let mut state = self.lock();
            // From here on nothing comes in before `end`.
            state.floor = state.floor.max(end);
            (state.oldest, state.index.members().to_vec())
        };
        members.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        let Some(blocks) = &self.blocks else {
            self.forget(end);
            return true;
        };
        let rows = || {
            members.iter().map(|member| {
                let mut chunks = Vec::new();
                member.data().before(end, &mut chunks);
                (member.labels.clone(), chunks)
            })
        };
        let mut taken = blocks.early(from, end);
        let mut written = blocks.write((from, end), &taken, rows());
        if written.is_err() && !taken.is_empty() {
            // Of what cannot be read, or where the disk has no room for both, the new part alone.
            taken.clear();
            written = blocks.write((from, end), &[], rows());
        }
        match written {
            Ok(block) => {
                self.board.note("store", None);
                let mut state = self.lock();
                // Before and after: a query between the two would find the samples in the block and in the head.
                self.cuts.fetch_add(1, Relaxed);
                blocks.add(Some(block), &taken);
                self.forget_locked(&mut state, end);
                drop(state);
                blocks.remove(&taken);
                let retention = i64::try_from(self.limits.retention.as_millis()).unwrap_or(i64::MAX);
                blocks.expire(end.saturating_sub(retention), self.limits.size);
                true
            }
            Err(error) => {
                let text = format!("cannot write a block: {error}; the newest hours are kept in memory until it can");
                self.board.note("store", Some(text));
                false
            }
        }
    }

    fn drop_oldest(&self, end: i64) {
        let before: usize = self.lock().index.members().iter().map(|member| member.data().size().0).sum();
        self.forget(end);
        let after: usize = self.lock().index.members().iter().map(|member| member.data().size().0).sum();
        let hint = "no block can be written and the memory is full: the oldest samples were dropped; make room on disk";
        self.board.lost("store", "no_block", before.saturating_sub(after) as u64, hint);
    }

    fn forget(&self, end: i64) {
        let mut state = self.lock();
        state.floor = state.floor.max(end);
        self.forget_locked(&mut state, end);
    }

    /// Lets go of what is before `end`, and of series that have nothing after it.
    fn forget_locked(&self, state: &mut super::round::State, end: i64) {
        for member in state.index.members() {
            member.data().forget(end);
        }
        state.index.retain(|member| member.data().range().is_some());
        state.recount();
        state.oldest =
            state.index.members().iter().filter_map(|m| m.data().range()).map(|r| r.0).min().unwrap_or(i64::MAX);
        state.weigh();
        if state.families.len() > state.index.members().len().saturating_mul(4).saturating_add(1000) {
            state.families = BTreeMap::new();
        }
        self.cuts.fetch_add(1, Relaxed);
    }
}
