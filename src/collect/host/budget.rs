//! Keeps a reading whose cost grows with the host (50,000 processes, 500,000 sockets) at half a percent of a core.
//!
//! A reading that took `t` is due again after `200 t`. At the usual interval of 15 s this leaves out nothing up to
//! 75 ms; beyond that rounds are left out, and the series have gaps. Old values with new time stamps would be
//! a lie, and a rule that looks five minutes back does not mind the gap.

use std::time::{Duration, Instant};

/// When a reading is due.
#[derive(Debug, Default)]
pub(super) struct Budget {
    next: Option<Instant>,
}

const SHARE: u32 = 200;

impl Budget {
    /// True if enough time has passed since the last reading, at `now`.
    pub(super) fn due(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| now >= next)
    }

    /// Notes a reading that began at `begun` and took `took`.
    pub(super) fn spent(&mut self, begun: Instant, took: Duration) {
        self.next = begun.checked_add(took.saturating_mul(SHARE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dear_reading_is_repeated_only_after_two_hundred_times_its_cost() {
        let mut budget = Budget::default();
        let begun = Instant::now();
        assert!(budget.due(begun));
        budget.spent(begun, Duration::from_millis(500));
        assert!(!budget.due(begun + Duration::from_secs(99)));
        assert!(budget.due(begun + Duration::from_secs(100)));
        budget.spent(begun, Duration::from_millis(2));
        assert!(budget.due(begun + Duration::from_secs(15)));
    }
}
