//! systemd's notification protocol: ready, reloading, stopping, and the watchdog.
//!
//! The watchdog is fed while every loop turns. A send loop turns when a try ends or its next one is set, so that an
//! outage of the stack never restarts the agent; a loop that hangs does. <https://www.freedesktop.org/software/systemd/man/sd_notify.html>

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::task::JoinHandle;

use crate::base::clock;
use crate::base::stop::Stop;
use crate::status::Board;

/// A send loop that has not turned for so long hangs: a request's time limit and the longest wait lie far below.
const HUNG: u64 = 15 * 60 * clock::SECOND;

/// Says that the agent is ready and keeps feeding the watchdog. Without systemd it does nothing.
pub(super) fn ready(board: Board, stop: Stop) -> JoinHandle<()> {
    tell(&[NotifyState::Ready]);
    let every = sd_notify::watchdog_enabled().map(|limit| limit / 3);
    tokio::spawn(async move {
        let Some(every) = every else { return };
        while !stop.sleep(every.max(Duration::from_millis(100))).await {
            match hung(&board, clock::unix_nanos()) {
                None => tell(&[NotifyState::Watchdog]),
                Some(loops) => tracing::error!("{loops} has not turned for 15 minutes: the watchdog is not fed"),
            }
        }
    })
}

/// The send loop that hangs, if one does.
fn hung(board: &Board, now: u64) -> Option<String> {
    board.destinations().into_iter().find_map(|((name, signal), destination)| {
        let turned = destination.turned.get();
        // A wait that is set counts as turning until it is over.
        let due = destination.next_try.get().max(turned);
        let waits = destination.backlog_frames.get() > 0;
        (waits && turned > 0 && now.saturating_sub(due) > HUNG).then(|| format!("the send loop of {signal} to {name}"))
    })
}

/// A reload begins.
pub(super) fn reloading() {
    let state: Vec<_> = NotifyState::monotonic_usec_now().ok().into_iter().chain([NotifyState::Reloading]).collect();
    tell(&state);
}

/// A reload has ended.
pub(super) fn reloaded() {
    tell(&[NotifyState::Ready]);
}

/// The agent ends.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("systemd cannot be notified: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::frame::Signal;

    #[test]
    fn an_outage_is_no_hang_and_a_loop_that_stands_still_is() {
        let board = Board::new();
        let entry = board.destination("loki", Signal::Logs);
        let now = 10 * HUNG;
        assert_eq!(hung(&board, now), None, "never started");
        entry.turned.set(now - 2 * HUNG);
        assert_eq!(hung(&board, now), None, "idle: nothing waits");
        entry.backlog_frames.set(3);
        entry.next_try.set(now - HUNG / 2);
        assert_eq!(hung(&board, now), None, "the next try was due lately");
        entry.next_try.set(0);
        assert_eq!(hung(&board, now), Some("the send loop of logs to loki".into()));
    }
}
