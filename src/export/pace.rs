//! The time of a send loop: real, or, in tests, one that passes at once when it is waited for.

use std::time::{Duration, Instant};

use crate::base::stop::Stop;

/// A clock and the waiting by it.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    #[cfg(test)]
    pub(super) skipped: Option<std::sync::Arc<std::sync::atomic::AtomicU64>>,
}

impl Pace {
    pub(super) fn now(&self) -> Instant {
        #[cfg(test)]
        if let Some(skipped) = &self.skipped {
            // The real time between two waits is none here.
            static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
            return *START + Duration::from_nanos(skipped.load(std::sync::atomic::Ordering::SeqCst));
        }
        Instant::now()
    }

    /// Waits, shorter when stopped; true when stopped.
    pub(super) async fn sleep(&self, time: Duration, stop: &Stop) -> bool {
        #[cfg(test)]
        if let Some(skipped) = &self.skipped {
            let nanos = time.as_nanos() as u64;
            skipped.fetch_add(nanos, std::sync::atomic::Ordering::SeqCst);
            // Others get their turn, as in a real wait.
            tokio::time::sleep(Duration::from_millis(1)).await;
            return stop.is_set();
        }
        stop.sleep(time).await
    }
}
