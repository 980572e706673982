//! The loop that empties one queue: one message at a time, again after a failure, each result on the board.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify as Wake, watch};

use super::line::{Pace, lock, millis, now};
use super::queue::{Batch, Lost, Mode, Next, Queue};
use super::waiting::Queued;
use super::{Alert, Ledger, Notifier, Outcome};
use crate::base::backoff::Backoff;
use crate::base::stop::Stop;
use crate::status::{self, Board};

/// What all channels of a line have in common.
pub(super) struct Shared {
    pub(super) board: Board,
    pub(super) ledger: Option<Arc<Ledger>>,
    pub(super) pace: Pace,
    pub(super) changed: watch::Sender<u64>,
    pub(super) seed: u64,
}

/// One who is told: queue, sender and entry on the board.
pub(super) struct Channel {
    pub(super) name: String,
    pub(super) queue: Mutex<Queue>,
    pub(super) wake: Wake,
    notifier: Arc<dyn Notifier>,
    severities: Vec<String>,
    mode: Mode,
    board: Board,
    entry: Arc<status::Notifier>,
}

impl Channel {
    pub(super) fn new(
        name: &str,
        notifier: Arc<dyn Notifier>,
        severities: Vec<String>,
        mode: Mode,
        shared: &Shared,
    ) -> Self {
        Self {
            name: name.to_owned(),
            queue: Mutex::new(Queue::new(mode)),
            wake: Wake::new(),
            notifier,
            severities,
            mode,
            board: shared.board.clone(),
            entry: shared.board.notifier(name),
        }
    }

    pub(super) fn wants(&self, alert: &Alert) -> bool {
        let severity = alert.labels.get("severity");
        self.severities.is_empty() || self.severities.iter().any(|wanted| wanted == severity)
    }

    pub(super) fn offer(&self, alert: &Arc<Alert>, now: i64) {
        let lost = lock(&self.queue).offer(alert, now);
        self.count(lost);
        self.show_backlog();
    }

    pub(super) fn restore(&self, queued: Queued) {
        let lost = lock(&self.queue).restore(queued);
        self.count(lost);
        self.show_backlog();
        self.wake.notify_one();
    }

    /// Sends until `stop`; then what goes at the first try.
    pub(super) async fn run(&self, shared: &Shared, stop: &Stop) {
        let mut backoff = Backoff::new(shared.pace.first_retry, shared.pace.last_retry, shared.seed);
        loop {
            let wait = if stop.is_set() { 0 } else { millis(shared.pace.group) };
            let next = lock(&self.queue).next(now(), wait);
            match next {
                Next::Idle if stop.is_set() => return,
                Next::Idle => tokio::select! { () = self.wake.notified() => {}, () = stop.wait() => {} },
                Next::At(when) => {
                    let pause = Duration::from_millis(when.saturating_sub(now()).clamp(1, 60_000) as u64);
                    stop.sleep(pause).await;
                }
                Next::Send(batch) => match self.attempt(&batch, shared).await {
                    None => backoff.reset(),
                    Some(after) => {
                        let pause = backoff.next_delay().max(after.unwrap_or_default());
                        self.entry.next_try.set((now() + millis(pause)) as u64 * 1_000_000);
                        if stop.is_set() || stop.sleep(pause).await {
                            return;
                        }
                    }
                },
            }
        }
    }

    /// One try. `Some` when it must be tried again, with the wait that the other side asked for.
    async fn attempt(&self, batch: &Batch, shared: &Shared) -> Option<Option<Duration>> {
        let alerts: Vec<Alert> = batch.iter().map(|(_, alert)| self.as_sent(alert)).collect();
        let sent = tokio::time::timeout(shared.pace.timeout + GRACE, self.notifier.send(&alerts)).await;
        let late = || Outcome::Later(format!("no answer within {} s", shared.pace.timeout.as_secs()), None);
        let again = match sent.unwrap_or_else(|_| late()) {
            Outcome::Taken => {
                self.taken(batch, shared);
                None
            }
            Outcome::Later(why, after) => {
                self.failed(&why);
                self.entry.retries.add(1);
                Some(after)
            }
            Outcome::Refused(why) => {
                self.failed(&why);
                if lock(&self.queue).refused(batch, now()) {
                    self.entry.refused.add(1);
                    let hint = format!("{}: {why}", name_of(&alerts));
                    self.board.lost(&self.part(), "refused", 1, hint);
                    // It answers, and is told of the others: the loss says what there is to say.
                    self.entry.failing_since.set(0);
                    self.entry.next_try.set(0);
                }
                None
            }
        };
        self.show_backlog();
        if again.is_none() {
            shared.changed.send_modify(|count| *count = count.wrapping_add(1));
        }
        again
    }

    /// What waited so long that it would count as ended by now says that it fires still: what the rules think of it
    /// follows with their next word.
    fn as_sent(&self, alert: &Alert) -> Alert {
        let mut alert = alert.clone();
        let now = now();
        if self.mode == Mode::Every && !alert.resolved && alert.ends_at <= now {
            alert.ends_at = now + FRESH;
        }
        alert
    }

    fn taken(&self, batch: &Batch, shared: &Shared) {
        let now = now();
        lock(&self.queue).delivered(batch, now);
        if let Some(ledger) = &shared.ledger {
            for (_, alert) in batch {
                ledger.delivered(alert, &self.name, now);
            }
        }
        self.entry.messages.add(1);
        self.entry.alerts.add(batch.len() as u64);
        self.entry.last_success.set(now as u64 * 1_000_000);
        self.entry.failing_since.set(0);
        self.entry.next_try.set(0);
        self.entry.answer.set("taken");
    }

    fn failed(&self, why: &str) {
        let now = now() as u64 * 1_000_000;
        self.entry.last_error.set(now);
        if self.entry.failing_since.get() == 0 {
            self.entry.failing_since.set(now);
        }
        self.entry.answer.set(why);
    }

    fn count(&self, lost: Lost) {
        for (reason, count) in lost {
            let hint = match reason {
                "queue_full" => "more waited than the queue holds: the oldest were dropped",
                _ => "an alert of more than 2 MiB: shorten its labels and annotations",
            };
            self.board.lost(&self.part(), reason, count, hint);
        }
    }

    fn show_backlog(&self) {
        let (alerts, bytes, oldest) = lock(&self.queue).backlog();
        self.entry.waiting.set(alerts as u64);
        self.entry.waiting_bytes.set(bytes as u64);
        self.entry.oldest.set(oldest.max(0) as u64 * 1_000_000);
    }

    fn part(&self) -> String {
        format!("notify {}", self.name)
    }
}

fn name_of(alerts: &[Alert]) -> String {
    crate::base::http::shown(alerts.first().map_or("", |alert| alert.labels.get("alertname")))
}

/// A request has its own timeout; this one is for a notifier that breaks it.
const GRACE: Duration = Duration::from_secs(5);
/// What a firing alert is good for at Alertmanager, when the rules' own time has passed: four resends, milliseconds.
const FRESH: i64 = 4 * 60_000;
