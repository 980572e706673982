//! Rebuilds the head after the end of the process, clean or not, from the spool of metrics.
//!
//! Every round that the store took lies there as the frame that the destinations get, under the name of its source; so
//! it is taken once more, and what it ends ends again.

use super::{Store, decode, round};
use crate::signal::pack;
use crate::spool::Spool;

/// No source is read less often than in this time, milliseconds.
const BEFORE: i64 = 10 * 60_000;

impl Store {
    /// Takes all rounds since the newest block once more; answers how many. What cannot be read is left out, and said on
    /// the board.
    pub fn restore(&self, spool: &Spool) -> u64 {
        // The rounds right before the newest block's end say what may have ended right after it.
        let floor = self.lock().floor.saturating_sub(BEFORE).max(0);
        self.lock().restoring = true;
        let since = u64::try_from(floor).unwrap_or(0).saturating_mul(1_000_000);
        let (mut rounds, mut spoiled) = (0, 0);
        let read = spool.retained(since, &mut |stored| {
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
        rounds
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
}
