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
        let lost = lock(&self.queue).restore(queued, now());
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
                        if stop.is_set() || self.pause(pause, stop).await {
                            return;
                        }
                    }
                },
            }
        }
    }

    /// Waits for `time` before the next try, shorter when stopped; true when stopped. What the other side fails over
    /// keeps nobody else from leaving.
    async fn pause(&self, time: Duration, stop: &Stop) -> bool {
        let end = tokio::time::Instant::now() + time;
        let alone = matches!(lock(&self.queue).aside(), (aside, false) if !aside.is_empty());
        loop {
            tokio::select! {
                () = stop.wait() => return true,
                () = tokio::time::sleep_until(end) => return false,
                () = self.wake.notified(), if alone => if lock(&self.queue).aside().1 { return false },
            }
        }
    }

    /// One try. `Some` when it must be tried again, with the wait that the other side asked for.
    async fn attempt(&self, batch: &Batch, shared: &Shared) -> Option<Option<Duration>> {
        let alerts: Vec<Alert> = batch.iter().map(|(_, alert)| self.as_sent(alert)).collect();
        let sent = tokio::time::timeout(self.time(&alerts, &shared.pace), self.notifier.send(&alerts)).await;
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
            Outcome::Failed(why) => {
                self.failed(&why);
                self.entry.retries.add(1);
                lock(&self.queue).failed(batch);
                Some(None)
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
        self.show_aside();
        if again.is_none() {
            shared.changed.send_modify(|count| *count = count.wrapping_add(1));
        }
        again
    }

    /// How long a try may take. A request has its own timeout; this one is for a notifier that breaks it.
    fn time(&self, alerts: &[Alert], pace: &Pace) -> Duration {
        pace.timeout.saturating_mul(self.notifier.requests(alerts).max(1)) + GRACE
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

    /// Takes it off the board.
    pub(super) fn forget(&self) {
        self.board.forget_notifier(&self.name);
        self.board.note(&self.part(), None);
    }

    /// Says what the other side fails over.
    fn show_aside(&self) {
        let queue = lock(&self.queue);
        let names: Vec<String> = queue.aside().0.into_iter().take(MOST_NAMED).map(crate::base::http::shown).collect();
        drop(queue);
        let text = format!(
            "{} fails over {} each time: it is tried again behind all others; see what that server says of it",
            self.name,
            names.join(", ")
        );
        self.board.note(&self.part(), (!names.is_empty()).then_some(text));
    }

    fn part(&self) -> String {
        format!("notify {}", self.name)
    }
}

fn name_of(alerts: &[Alert]) -> String {
    crate::base::http::shown(alerts.first().map_or("", |alert| alert.labels.get("alertname")))
}

/// Alerts that are named in one breath.
const MOST_NAMED: usize = 3;
const GRACE: Duration = Duration::from_secs(5);
/// What a firing alert is good for at Alertmanager, when the rules' own time has passed: four resends, milliseconds.
const FRESH: i64 = 4 * 60_000;

#[cfg(test)]
mod tests {
    use super::super::{config, line::About, pagerduty::Pagerduty};
    use super::*;
    use crate::store::Labels;

    #[test]
    fn each_event_of_a_storm_to_pagerduty_has_its_time() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key"), "k").unwrap();
        let key = dir.path().join("key");
        let config: config::Pagerduty =
            serde_json::from_value(serde_json::json!({ "routing_key": { "file": key } })).unwrap();
        let about = About { host: "box".into(), external_url: "http://box".into() };
        let pace = Pace::default();
        let pager = Arc::new(Pagerduty::new(&config, &about, pace.timeout).unwrap());
        let (board, changed) = (Board::new(), watch::Sender::new(0));
        let shared = Shared { board, ledger: None, pace: pace.clone(), changed, seed: 0 };
        let channel = Channel::new("pager", pager, Vec::new(), Mode::Every, &shared);
        let alert = Alert {
            labels: Labels::default(),
            annotations: Vec::new(),
            starts_at: 0,
            ends_at: 0,
            resolved: false,
            value: 0.0,
            generator_url: String::new(),
        };
        for count in [1, 256] {
            let time = channel.time(&vec![alert.clone(); count as usize], &pace);
            assert_eq!(time, pace.timeout * count + GRACE);
        }
    }
}
