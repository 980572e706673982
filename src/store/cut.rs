//! Moves what is older than two hours from the head into a block, and keeps the head within its memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::TryLockError;
use std::sync::atomic::Ordering::Relaxed;

use super::Inner;
use super::head::Member;

/// Length of a block, and the grid it lies on.
pub(super) const BLOCK: i64 = 2 * 3_600_000;
/// What rules look at stays in memory so long beyond the end of a block.
const MARGIN: i64 = 10 * 60_000;
/// How much stays when memory is short.
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
            let soon = t.saturating_sub(state.looked) < LOOK && t >= state.looked;
            if soon && state.bytes <= self.limits.memory {
                return;
            }
            state.looked = t;
            state.blame = None;
            state.bytes = state.index.members().iter().map(|member| bytes(member)).sum();
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

    /// When memory is short: a block that ends earlier, then no new series, then the oldest samples go.
    fn fit(&self) {
        let (bytes, oldest, newest) = {
            let state = self.lock();
            (state.bytes, state.oldest, state.newest)
        };
        let over = bytes > self.limits.memory;
        if over {
            let end = newest.saturating_sub(SHORT);
            if oldest < end && !self.cut(end) && bytes > self.limits.memory.saturating_mul(2) {
                self.drop_oldest(end);
            }
        }
        let still = self.lock().bytes > self.limits.memory;
        let text = if still {
            "its memory is full: new series are refused; collect fewer series"
        } else {
            "its memory is full: the newest hours are on disk already, which makes queries slower; collect fewer series"
        };
        self.board.note("store memory", over.then(|| text.to_owned()));
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
        let chunks = |member: Arc<Member>| {
            let mut chunks = Vec::new();
            member.data().before(end, &mut chunks);
            (member.labels.clone(), chunks)
        };
        match blocks.write((from, end), members.into_iter().map(chunks)) {
            Ok(block) => {
                self.board.note("store", None);
                let mut state = self.lock();
                blocks.add(block);
                self.forget_locked(&mut state, end);
                drop(state);
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
        state.bytes = state.index.members().iter().map(|member| bytes(member)).sum();
        if state.families.len() > state.index.members().len().saturating_mul(4).saturating_add(1000) {
            state.families = BTreeMap::new();
        }
        self.cuts.fetch_add(1, Relaxed);
    }
}

fn bytes(member: &Member) -> usize {
    member.data().size().2 + Member::overhead(&member.labels)
}
