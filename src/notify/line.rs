//! The one line to people: what the rules offer goes into the queue of each who wants it, and leaves from there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::alertmanager::{self, Alertmanager};
use super::config::{Heartbeat, Notify};
use super::email::Email;
use super::heartbeat::Heart;
use super::pagerduty::Pagerduty;
use super::queue::Mode;
use super::sender::{Channel, Shared};
use super::slack::Slack;
use super::waiting::Waiting;
use super::webhook::Webhook;
use super::{Alert, Ledger, Notifier};
use crate::base::clock::unix_nanos;
use crate::base::stop::Stop;
use crate::status::Board;

/// How quick the line is. The default is what people want; tests want it quicker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// How long an alert waits for others of its name and severity, to go in one message. Default 5 s.
    pub group: Duration,
    /// Between two messages to people about an alert that goes on. Default 4 h, as Alertmanager's `repeat_interval`.
    pub repeat: Duration,
    /// The first wait after a failure. Default 1 s.
    pub first_retry: Duration,
    /// The longest wait after a failure, unless the other side asks for more. Default 1 min.
    pub last_retry: Duration,
    /// How long a request may take. Default 10 s.
    pub timeout: Duration,
    /// How often an Alertmanager is asked who was silenced, while something fires. Default 1 min.
    pub look: Duration,
    /// How long a stop waits for what can still be delivered. Default 10 s.
    pub drain: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            group: Duration::from_secs(5),
            repeat: Duration::from_secs(4 * 3600),
            first_retry: Duration::from_secs(1),
            last_retry: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
            look: Duration::from_secs(60),
            drain: Duration::from_secs(10),
        }
    }
}

/// The line. Clones share it.
#[derive(Clone)]
pub struct Line {
    channels: Arc<[Arc<Channel>]>,
    heart: Option<Arc<Heart>>,
    lookers: Arc<[alertmanager::Looker]>,
    shared: Arc<Shared>,
}

impl Line {
    /// Of those that `notify` names (`alerts.notify:`), and the heartbeat (`alerts.heartbeat:`); their state on
    /// `board`, what is delivered in `ledger`. Reads secrets and certificates now.
    ///
    /// # Errors
    /// A secret or certificate cannot be read; names the key.
    pub fn new(
        notify: &BTreeMap<String, Notify>,
        heartbeat: Option<&Heartbeat>,
        about: &About,
        board: &Board,
        ledger: Option<Arc<Ledger>>,
        pace: Pace,
    ) -> Result<Self, String> {
        let shared = Arc::new(Shared {
            board: board.clone(),
            ledger,
            pace,
            changed: watch::Sender::new(0),
            seed: seed(&about.host),
        });
        let (mut channels, mut lookers) = (Vec::new(), Vec::new());
        for (name, notify) in notify {
            let told = |error: String| format!("alerts.notify.{name}: {error}");
            let made = notifiers(name, notify, about, shared.pace.timeout).map_err(told)?;
            for (name, notifier) in made {
                let channel = Channel::new(&name, notifier, notify.severities(), mode(notify, &shared.pace), &shared);
                channels.push(Arc::new(channel));
            }
            if let (Some(alertmanager), Some(ledger)) = (&notify.alertmanager, &shared.ledger) {
                let looker = alertmanager::Looker::new(alertmanager, Arc::clone(ledger), shared.pace.timeout);
                lookers.push(looker.map_err(told)?);
            }
        }
        let heart = heartbeat.map(|config| Heart::new(config, board, shared.pace.timeout));
        let heart = heart.transpose().map_err(|error| format!("alerts.heartbeat: {error}"))?.map(Arc::new);
        Ok(Self { channels: channels.into(), heart, lookers: lookers.into(), shared })
    }

    /// Takes what the rules have to say after one evaluation of a group: those that fire for the first time, all that
    /// fire again after each resend delay, those that ended for a quarter of an hour. Also to be called with nothing
    /// to say: it is what keeps the heartbeat going. Never waits. Nothing leaves before [`Self::release`].
    pub fn offer(&self, alerts: &[Alert]) {
        self.offer_at(alerts, now());
    }

    /// The same at `now`, Unix milliseconds.
    pub fn offer_at(&self, alerts: &[Alert], now: i64) {
        if let Some(heart) = &self.heart {
            heart.evaluated();
        }
        for alert in alerts.iter().filter(|alert| !alert.is_heartbeat()) {
            let alert = Arc::new(alert.clone());
            for channel in self.channels.iter().filter(|channel| channel.wants(&alert)) {
                channel.offer(&alert, now);
            }
        }
    }

    /// What must stand in the state file before anything leaves.
    pub fn snapshot(&self) -> Waiting {
        let queued = |channel: &Arc<Channel>| (channel.name.clone(), lock(&channel.queue).snapshot());
        Waiting { notifiers: self.channels.iter().map(queued).collect() }
    }

    /// Lets leave what was in the latest [`Self::snapshot`]. Also to be called when the file could not be written:
    /// a page that may be repeated is better than none.
    pub fn release(&self) {
        for channel in self.channels.iter() {
            lock(&channel.queue).release();
            channel.wake.notify_one();
        }
    }

    /// Takes over what an earlier run, or the line before a reload, left; what waits may leave at once.
    pub fn restore(&self, mut waiting: Waiting) {
        for channel in self.channels.iter() {
            if let Some(queued) = waiting.notifiers.remove(&channel.name) {
                channel.restore(queued);
            }
        }
        for (name, queued) in waiting.notifiers.into_iter().filter(|(_, queued)| !queued.alerts.is_empty()) {
            let count = queued.alerts.len() as u64;
            self.shared.board.lost(
                &format!("notify {name}"),
                "removed",
                count,
                "alerts waited for a notifier that the config names no more",
            );
        }
    }

    /// Changes when something was delivered or given up: the state file is to be written again.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Whether anyone would be told.
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.heart.is_none()
    }

    /// Sends, until `stop`; then what can be delivered within `Pace::drain` still goes, and the rest waits for the
    /// next start. Call [`Self::snapshot`] afterwards.
    pub async fn run(&self, stop: Stop) {
        let mut tasks = JoinSet::new();
        for channel in self.channels.iter() {
            let (channel, shared, stop) = (Arc::clone(channel), Arc::clone(&self.shared), stop.clone());
            tasks.spawn(async move { channel.run(&shared, &stop).await });
        }
        for looker in self.lookers.iter() {
            let (looker, every, stop) = (looker.clone(), self.shared.pace.look, stop.clone());
            tasks.spawn(async move { looker.run(every, &stop).await });
        }
        if let Some(heart) = self.heart.clone() {
            let stop = stop.clone();
            tasks.spawn(async move { heart.run(&stop).await });
        }
        stop.wait().await;
        let all = async { while tasks.join_next().await.is_some() {} };
        // What is cut off here waits on disk.
        let _all_went = tokio::time::timeout(self.shared.pace.drain, all).await.is_ok();
    }

    /// Takes its notifiers off the board; to be called before the next line is made.
    pub fn forget(&self) {
        for channel in self.channels.iter() {
            channel.forget();
        }
    }
}

/// Who speaks, for the messages.
#[derive(Debug, Clone)]
pub struct About {
    /// The name of this box.
    pub host: String,
    /// Its page, such as `http://shop-db-1:1876`.
    pub external_url: String,
}

type Named = (String, Arc<dyn Notifier>);

fn notifiers(name: &str, notify: &Notify, about: &About, timeout: Duration) -> Result<Vec<Named>, String> {
    let one = |notifier: Arc<dyn Notifier>| vec![(name.to_owned(), notifier)];
    if let Some(config) = &notify.alertmanager {
        let many = config.endpoints.len() > 1;
        let made = config.endpoints.iter().map(|endpoint| {
            // Each server has its own queue: one that is down does not hold the others.
            let name = if many { format!("{name} {endpoint}") } else { name.to_owned() };
            Ok((name, Arc::new(Alertmanager::new(config, endpoint, timeout)?) as Arc<dyn Notifier>))
        });
        made.collect()
    } else if let Some(config) = &notify.slack {
        Ok(one(Arc::new(Slack::new(config, about, timeout)?)))
    } else if let Some(config) = &notify.pagerduty {
        Ok(one(Arc::new(Pagerduty::new(config, about, timeout)?)))
    } else if let Some(config) = &notify.webhook {
        Ok(one(Arc::new(Webhook::new(name, config, about, timeout)?)))
    } else if let Some(config) = &notify.email {
        Ok(one(Arc::new(Email::new(config, about, timeout)?)))
    } else {
        Err("nothing says how: one of alertmanager, slack, pagerduty, webhook and email".into())
    }
}

fn mode(notify: &Notify, pace: &Pace) -> Mode {
    if notify.alertmanager.is_some() { Mode::Every } else { Mode::Once { repeat: millis(pace.repeat) } }
}

/// Spreads the retries of a fleet.
fn seed(host: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(host.as_bytes())
}

/// The wall clock, Unix milliseconds.
pub(super) fn now() -> i64 {
    (unix_nanos() / 1_000_000) as i64
}

pub(super) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// A poisoned lock still guards plain data.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Annotations and labels as a JSON object wants them.
pub(super) fn map<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<&'a str, &'a str> {
    pairs.collect()
}
