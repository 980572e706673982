//! BullMQ 5 and 6, and Bull 4: the keys of one queue.
//!
//! `ready` is what a worker can take (`wait`, `prioritized`, and `paused`, where versions before 6 keep the jobs of a
//! paused queue); `dead` are the failed ones that are kept. A job that waits for its next try is `delayed`, as the
//! library keeps it there. The sizes of `completed` and `failed` are no counters, as jobs are trimmed from them:
//! `completed` and `failed` are told only where the workers keep metrics, which Bull 4 cannot. `consumers` are the
//! workers' connections. Of the prioritised jobs only the age of the next one is known. A delayed job that is overdue
//! is one that nobody moves: no worker of the queue lives.
//!
//! The keys begin with `bull:` unless the application says otherwise: then `bullmq.prefix` tells such queues apart.
//!
//! Cost: 12 commands a queue in one round trip, up to 4 more in two for the age when jobs wait, and CLIENT LIST once a
//! minute. Only the time of a job is read, never its data.

use redis::Value;

use super::session::{Session, int, items, text};
use crate::base::clock;
use crate::collect::CollectError;
use crate::collect::queue::Queue;
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[OVERDUE];
const OVERDUE: Desc = Desc::gauge(
    "bullmq.delayed.overdue",
    "s",
    "For how long the first delayed job has been due: above a few seconds, no worker of the queue lives.",
);

/// The commands that a queue takes.
pub(super) const RIGHTS: &str = "+hget +hmget +llen +zcard +zrange +lindex +exists";

/// BullMQ's own prefix: of such queues none is told.
const PREFIX: &str = "bull";

/// What a marker begins with, and no id of a job: the time at which the next delayed job is due follows.
const MARKER: &str = "0:";

/// One queue.
pub(super) struct At<'a> {
    pub(super) prefix: &'a str,
    pub(super) name: &'a str,
    /// Those that the server's clients tell of.
    pub(super) workers: Option<u64>,
    /// Whether it is told as empty where it is not there.
    pub(super) tells_absent: bool,
}

/// Reads one queue; whether it was told.
pub(super) async fn read(session: &mut Session, at: &At<'_>, out: &mut Samples) -> Result<bool, CollectError> {
    let At { prefix, name, workers, tells_absent } = *at;
    let key = |suffix: &str| format!("{prefix}:{name}:{suffix}");
    let mut state = State::read(session, &key).await?;
    if !(tells_absent || state.is_there || workers.is_some_and(|workers| workers > 0)) {
        return Ok(false);
    }
    let oldest = state.oldest_age(session, &key).await?;
    let scope = (prefix != PREFIX).then_some(("bullmq.prefix", prefix));
    let mut own = vec![("messaging.system", "bullmq"), ("messaging.destination.name", name)];
    own.extend(scope);
    out.put_with(&OVERDUE, &own, state.overdue);
    let queue = Queue {
        system: "bullmq",
        name,
        scope,
        ready: Some(state.ready()),
        active: Some(state.active),
        delayed: Some(state.delayed),
        dead: Some(state.failed),
        oldest_age: if state.ready() == 0 { Some(0.0) } else { oldest },
        completed: state.counted.0,
        failed: state.counted.1,
        paused: Some(state.is_paused),
        consumers: workers,
        ..Queue::default()
    };
    queue.put(out);
    Ok(true)
}

#[derive(Debug)]
struct State {
    /// Whether any of its keys is there.
    is_there: bool,
    is_paused: bool,
    waiting: u64,
    held: u64,
    active: u64,
    /// Apart from the lists, as BullMQ keeps them.
    prioritized: u64,
    /// At the right end of the lists, as Bull keeps them.
    ranked: u64,
    delayed: u64,
    failed: u64,
    /// Completed and failed ones that the workers counted.
    counted: (Option<u64>, Option<u64>),
    /// Seconds since the first delayed one was due.
    overdue: f64,
}

impl State {
    async fn read(session: &mut Session, key: &impl Fn(&str) -> String) -> Result<Self, CollectError> {
        let plain = [
            ("LLEN", "wait"),
            ("LLEN", "paused"),
            ("LLEN", "active"),
            ("ZCARD", "prioritized"),
            ("ZCARD", "priority"),
            ("ZCARD", "delayed"),
            ("ZCARD", "failed"),
            ("EXISTS", "meta-paused"),
        ];
        let mut commands: Vec<Vec<String>> =
            plain.iter().map(|(command, suffix)| vec![(*command).to_owned(), key(suffix)]).collect();
        commands.push(vec!["HMGET".into(), key("meta"), "version".into(), "paused".into()]);
        for counted in ["metrics:completed", "metrics:failed"] {
            commands.push(vec!["HGET".into(), key(counted), "count".into()]);
        }
        commands.push(["ZRANGE", &key("delayed"), "0", "0", "WITHSCORES"].map(str::to_owned).to_vec());
        let answers = session.ask_all(&commands).await?;
        let count = |at: usize| answers.get(at).and_then(number).unwrap_or(0);
        let meta: Vec<Option<String>> = answers.get(8).map(items).into_iter().flatten().map(text).collect();
        let meta = |at: usize| meta.get(at).cloned().flatten();
        let is_bull = meta(0).is_none();
        let first = answers.get(11).map(items).unwrap_or_default();
        Ok(Self {
            is_there: !is_bull || (0..8).any(|at| count(at) > 0),
            is_paused: count(7) > 0 || meta(1).is_some_and(|paused| paused == "1"),
            waiting: count(0),
            held: count(1),
            active: count(2),
            prioritized: count(3),
            ranked: if is_bull { count(4) } else { 0 },
            delayed: count(5),
            failed: count(6),
            counted: (answers.get(9).and_then(number), answers.get(10).and_then(number)),
            overdue: first.get(1).and_then(text).and_then(|score| overdue(&score)).unwrap_or(0.0),
        })
    }

    fn ready(&self) -> u64 {
        self.waiting.saturating_add(self.held).saturating_add(self.prioritized)
    }

    /// Jobs are put in at the left and taken at the right; Bull's prioritised ones stand at the right of all others.
    /// BullMQ up to 4 also puts a marker into an empty `wait`, which is no job and is not counted.
    async fn oldest_age(
        &mut self,
        session: &mut Session,
        key: &impl Fn(&str) -> String,
    ) -> Result<Option<f64>, CollectError> {
        let mut ends = Vec::new();
        for (list, length) in [("wait", self.waiting), ("paused", self.held)] {
            if length > 0 {
                ends.push(vec!["LINDEX".into(), key(list), "-1".into()]);
            }
            if self.ranked > 0 && length > self.ranked {
                ends.push(vec!["LINDEX".into(), key(list), format!("-{}", self.ranked + 1)]);
            }
        }
        if self.prioritized > 0 {
            ends.push(vec!["ZRANGE".into(), key("prioritized"), "0".into(), "0".into()]);
        }
        let ends = session.ask_all(&ends).await?;
        let ids = ends.iter().filter_map(|end| text(end).or_else(|| text(items(end).first()?)));
        let (markers, ids): (Vec<String>, Vec<String>) = ids.partition(|id| id.starts_with(MARKER));
        if !markers.is_empty() {
            self.waiting = self.waiting.saturating_sub(1);
        }
        let times: Vec<Vec<String>> = ids.iter().map(|id| vec!["HGET".into(), key(id), "timestamp".into()]).collect();
        let times = session.ask_all(&times).await?;
        let now = clock::unix_nanos() as f64 / 1e9;
        let ages = times.iter().filter_map(int).map(|millis| now - millis as f64 / 1e3);
        Ok(ages.reduce(f64::max))
    }
}

/// The score of a delayed job is the millisecond in which it is due times 4096, and a number among those of that.
fn overdue(score: &str) -> Option<f64> {
    let due = score.parse::<f64>().ok()? / 4096.0 / 1e3;
    Some((clock::unix_nanos() as f64 / 1e9 - due).max(0.0))
}

fn number(value: &Value) -> Option<u64> {
    int(value).and_then(|count| u64::try_from(count).ok())
}
