//! Waiting between tries: exponential, with jitter, bounded.

use std::time::Duration;

/// Delays that double from `first` up to `most`, each spread over its upper half so that a fleet that
/// lost its server together does not come back together.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    tries: u32,
    seed: u64,
}

impl Backoff {
    /// Starts at `first`, never waits longer than `most`. `seed` sets the jitter (any value that differs by host).
    pub fn new(first: Duration, most: Duration, seed: u64) -> Self {
        Self { first, most, tries: 0, seed: seed | 1 }
    }

    /// The next delay, between half of and the whole exponential step.
    pub fn next_delay(&mut self) -> Duration {
        let step = self.first.saturating_mul(1 << self.tries.min(20)).min(self.most);
        self.tries = self.tries.saturating_add(1);
        // xorshift64: good enough to spread retries, needs no dependency.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        let share = (self.seed % 1000) as u32;
        step / 2 + (step / 2) * share / 1000
    }

    /// Tries since the last success.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// Success: the next delay is the first again.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_stay_within_their_step_and_start_again_after_success() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(8), 7);
        for step in [1, 2, 4, 8, 8, 8] {
            let delay = backoff.next_delay();
            let step = Duration::from_secs(step);
            assert!(delay >= step / 2 && delay <= step, "{delay:?} is outside the step {step:?}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_secs(1));
    }
}
