//! The signal to stop, for threads and for tasks.

use std::time::Duration;

use tokio::sync::watch;

/// Says to every holder when to stop. Clones share one state; a set stop stays set.
#[derive(Debug, Clone)]
pub struct Stop {
    sender: std::sync::Arc<watch::Sender<bool>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl Stop {
    /// Not set.
    pub fn new() -> Self {
        Self { sender: std::sync::Arc::new(watch::Sender::new(false)) }
    }

    /// Tells every holder to stop.
    pub fn set(&self) {
        self.sender.send_replace(true);
    }

    /// True once `set` was called.
    pub fn is_set(&self) -> bool {
        *self.sender.borrow()
    }

    /// Returns when `set` is called, at once if it was.
    pub async fn wait(&self) {
        let mut receiver = self.sender.subscribe();
        // The sender lives in `self`, so the wait cannot end by its loss.
        let _closed = receiver.wait_for(|set| *set).await.is_err();
    }

    /// Waits for `time`, shorter when stopped; true when stopped.
    pub async fn sleep(&self, time: Duration) -> bool {
        tokio::time::timeout(time, self.wait()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sleeping_task_is_woken_by_the_stop_and_later_waits_return_at_once() {
        let stop = Stop::new();
        let other = stop.clone();
        let sleeper = tokio::spawn(async move { other.sleep(Duration::from_secs(3600)).await });
        assert!(!stop.is_set());
        stop.set();
        assert!(sleeper.await.unwrap());
        assert!(stop.sleep(Duration::from_secs(3600)).await);
    }
}
