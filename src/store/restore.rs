//! Rebuilds the head after the end of the process, clean or not, from the spool of metrics.
//!
//! Every round that the store took lies there as the frame that the destinations get, under the name of its source; so
//! it is taken once more, and what it ends ends again.
//!
//! What a clock that was ahead has stamped is left out: time stamps never go back, so with it in the head nothing would
//! be taken, and rules would see nothing, before the clock has come there. But a clock may also be behind, on a box that
//! keeps no time while it is off: so only what lies behind a leap in time is taken for wrong, and what lies before a
//! frame that says that the clock was set back: one that was written long before its own time.

use std::path::Path;
use std::sync::Arc;

use super::block::Block;
use super::cut::BLOCK;
use super::{Store, StoreError, decode, round};
use crate::base::clock::unix_nanos;
use crate::signal::pack;
use crate::spool::Spool;

/// No source is read less often than in this time, milliseconds.
const BEFORE: i64 = 10 * 60_000;
/// So far from the clock a time stamp may be, milliseconds.
const AHEAD: i64 = 60_000;
/// Frames that say that the clock was set back; the first ones say it of all before them.
const MOST_FRAMES: usize = 10_000;
/// A leap, milliseconds. The smallest that a wrong time zone makes is half an hour.
const LEAP: i64 = 5 * 60_000;

impl Store {
    /// Takes all rounds since the newest block once more; answers how many. What cannot be read is left out, and said on
    /// the board.
    pub fn restore(&self, spool: &Spool) -> u64 {
        self.restore_at(spool, round::millis(unix_nanos()))
    }

    /// The same at `now`, Unix milliseconds.
    pub fn restore_at(&self, spool: &Spool, now: i64) -> u64 {
        let mut times = Times { limit: now.saturating_add(AHEAD), newest: None, leaps: None };
        let set_back = SetBack::of(spool, self.since());
        if self.lock().floor > times.limit
            && let Err(error) = self.reach_back(spool, now, set_back.seen())
        {
            self.inner.board.lost("store", "not_restored", 1, format!("what ends after the clock: {error}"));
        }
        self.lock().restoring = true;
        let (mut rounds, mut spoiled, mut ahead) = (0, 0, 0);
        let read = spool.retained(self.since(), &mut |stored| {
            let t = round::millis(stored.header.times.1);
            if set_back.wrong(stored.number, t) || times.leap(t, || self.newest_on_disk(now)) {
                ahead += 1;
                return;
            }
            let Ok(request) = pack::unpack(stored.header.codec, &stored.payload) else {
                spoiled += 1;
                return;
            };
            for decoded in decode::decode(&request) {
                self.again(&decoded);
                rounds += 1;
            }
        });
        self.lock().restoring = false;
        let why = match read {
            Err(error) => Some(format!("the newest hours could not be read back from the spool: {error}")),
            Ok(()) if spoiled > 0 => Some(format!("{spoiled} frames of the spool could not be read back")),
            Ok(()) => None,
        };
        if let Some(why) = why {
            self.inner.board.lost("store", "not_restored", 1, why);
        }
        self.tell_ahead("rounds", ahead);
        rounds
    }

    /// From which time on the spool is read, in nanoseconds: the rounds right before the newest block's end say what may
    /// have ended right after it.
    fn since(&self) -> u64 {
        nanos(self.lock().floor.saturating_sub(BEFORE))
    }

    fn again(&self, decoded: &decode::Decoded) {
        let t = round::millis(decoded.nanos);
        if decoded.source == decode::RULES {
            for (labels, sample) in &decoded.recorded {
                // Twice in the spool, or in the newest block already.
                let _known = self.append(labels, *sample);
            }
        } else {
            self.inner.take_round(&decoded.source, &decoded.resource, &decoded.samples, t, true);
            self.inner.maintain(t);
        }
    }

    /// Lets the store take samples from the newest one before `now` on, where a clock that was ahead has made blocks:
    /// the one that it ended too late ends with its newest sample, those behind it are set aside.
    fn reach_back(&self, spool: &Spool, now: i64, seen: bool) -> Result<(), StoreError> {
        let Some(blocks) = &self.inner.blocks else { return Ok(()) };
        let mut times = Times { limit: now.saturating_add(AHEAD), newest: None, leaps: seen.then_some(true) };
        let (mut all, mut leaps) = (blocks.all(), seen);
        let wrong = all.split_off(all.partition_point(|block| block.from <= times.limit));
        let since = nanos(now.max(self.lock().floor.saturating_sub(BLOCK)).saturating_sub(BEFORE));
        // A spool that cannot be read is told right after.
        let _told = spool.retained(since, &mut |stored| {
            leaps |= times.leap(round::millis(stored.header.times.1), || self.newest_on_disk(now));
        });
        leaps |= wrong.first().is_some_and(|block| times.leap(block.from, || self.newest_on_disk(now)));
        let last = all.pop();
        if !leaps || last.is_none() && !seen {
            return Ok(());
        }
        let taken: Vec<Arc<Block>> = last.into_iter().collect();
        let mut kept = None;
        if let Some(last) = taken.first() {
            let newest = self.newest_of(last)?;
            if newest > times.limit {
                return Ok(());
            }
            let fail = |error: std::io::Error| StoreError::Disk(format!("cannot write a block: {error}"));
            kept = Some(if last.to <= times.limit {
                Arc::clone(last)
            } else {
                blocks.write((last.from, newest.saturating_add(1)), &taken, std::iter::empty()).map_err(fail)?
            });
        }
        {
            let mut state = self.lock();
            state.floor = kept.as_ref().map_or(i64::MIN, |kept| kept.to);
            blocks.add(kept.clone(), &[taken.as_slice(), &wrong].concat());
        }
        if kept.is_some_and(|kept| taken.iter().all(|old| old.path != kept.path)) {
            blocks.remove(&taken);
        }
        // Whether the clock was ahead or is behind is known to people only, so nothing of it is destroyed.
        for block in &wrong {
            let mut aside = block.path.as_os_str().to_owned();
            aside.push(".ahead");
            let _moved = blocks.disk.rename(&block.path, Path::new(&aside)).is_ok();
        }
        self.tell_ahead("blocks, which lie beside the others as .ahead,", wrong.len() as u64);
        Ok(())
    }

    /// Time of the newest sample on disk before the clock, if those after it, where there are any, lie in other blocks.
    fn newest_on_disk(&self, now: i64) -> Option<i64> {
        let all = self.inner.blocks.as_ref()?.all();
        let last = all.iter().rfind(|block| block.from <= now)?;
        self.newest_of(last).ok().filter(|newest| *newest <= now)
    }

    fn newest_of(&self, block: &Arc<Block>) -> Result<i64, StoreError> {
        let mut newest = block.from;
        if let Some(blocks) = &self.inner.blocks {
            blocks.find(block, &[], (i64::MIN, i64::MAX), |_, part| newest = newest.max(part.last))?;
        }
        Ok(newest)
    }

    fn tell_ahead(&self, what: &str, count: u64) {
        if count > 0 {
            let hint =
                format!("the clock was ahead when these {what} were made; the store goes on at the clock's time");
            self.inner.board.lost("store", "ahead_of_clock", count, hint);
        }
    }
}

/// Frames that were written long before their own time: the clock was set back in the life of the process that wrote
/// them, and whatever that life and those before it have stamped with a later time is wrong.
struct SetBack {
    /// Number of each, and the earliest moment at which it or one after it was written, Unix milliseconds.
    frames: Vec<(u64, i64)>,
}

impl SetBack {
    /// Among the frames since `since`, which are those that the store would take, and no others of a long backlog.
    fn of(spool: &Spool, since: u64) -> Self {
        let mut frames = Vec::new();
        // A spool that cannot be read is told right after.
        let _told = spool.retained(since, &mut |stored| {
            let written = round::millis(stored.written);
            if round::millis(stored.header.times.1).saturating_sub(written) >= LEAP && frames.len() < MOST_FRAMES {
                frames.push((stored.number, written));
            }
        });
        let mut earliest = i64::MAX;
        for (_, written) in frames.iter_mut().rev() {
            earliest = earliest.min(*written);
            *written = earliest;
        }
        Self { frames }
    }

    /// Whether the clock was ever set back.
    fn seen(&self) -> bool {
        !self.frames.is_empty()
    }

    /// Whether the frame with this number was stamped with a time that had not come when the clock was set back.
    fn wrong(&self, number: u64, t: i64) -> bool {
        let behind = self.frames.get(self.frames.partition_point(|(frame, _)| *frame < number));
        behind.is_some_and(|(_, written)| t > written.saturating_add(AHEAD))
    }
}

/// Time stamps in the order in which they were made, beside the clock.
struct Times {
    /// What is after it is ahead.
    limit: i64,
    /// The newest that is not.
    newest: Option<i64>,
    /// Whether those that are ahead lie behind a leap.
    leaps: Option<bool>,
}

impl Times {
    /// Whether `t` is ahead of the clock because of a leap. `before`: the newest time that is known from elsewhere.
    fn leap(&mut self, t: i64, before: impl Fn() -> Option<i64>) -> bool {
        if t <= self.limit {
            self.newest = self.newest.max(Some(t));
            return false;
        }
        let newest = self.newest;
        *self.leaps.get_or_insert_with(|| newest.max(before()).is_some_and(|newest| t.saturating_sub(newest) >= LEAP))
    }
}

fn nanos(t: i64) -> u64 {
    u64::try_from(t).unwrap_or(0).saturating_mul(1_000_000)
}
