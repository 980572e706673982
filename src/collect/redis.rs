//! Redis, Valkey and KeyDB: INFO, slow log and latency in each round, and the queues that live on them.
//!
//! Rights, as small as each use needs (`ACL SETUSER plimsoll on >… -@all …`; before 7 `~` for `%R~`):
//! * the server: `+ping +info +slowlog|get +slowlog|len +latency|latest +client|list`
//! * BullMQ: `%R~bull:* +hget +hmget +llen +zcard +zrange +lindex +exists`, with `auto` also `+scan`; `%R~…:*` for each
//!   other prefix
//! * Sidekiq: `%R~queue* %R~retry %R~schedule %R~dead %R~processes %R~stat:* %R~*:* +llen +zcard +lindex +scard +smembers
//!   +hmget +get +hkeys +hstrlen`
//! * Celery: `%R~* +llen +hlen +zrange`; streams: `%R~… +xinfo|stream +xinfo|groups +xinfo|consumers +xpending +xrange`
//!
//! Cost: PING, INFO, SLOWLOG LEN, SLOWLOG GET and LATENCY LATEST in a round. BullMQ: 12 commands a queue, up to 4 more
//! for the age when jobs wait, and CLIENT LIST once a minute, of no more than 10,000 clients; `auto` also 20 SCAN a round
//! until all keys were seen, 1,000 an hour at most, and up to 10 HGET for prefixes that nobody named. Sidekiq: 9, up to 2
//! a queue, 3 a process and, where it works, 1 more and 1 a job. Celery: 2, 10 a queue. A stream: 2, and 4 a group. All
//! but INFO, CLIENT LIST, SCAN, HKEYS and XINFO CONSUMERS are of constant time. Never KEYS; a job's arguments are never
//! kept.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use redis::Value;

use self::info::Info;
use self::queues::Queues;
use self::session::{Session, Target, int, is_forbidden, items, refused, text};
use super::event::Event;
use super::{CollectError, Collector, queue};
use crate::base::clock;
use crate::base::http::shown;
use crate::signal::metrics::{Desc, Samples};

mod bullmq;
mod celery;
pub mod config;
mod info;
pub mod queues;
pub mod session;
mod sidekiq;
mod streams;

/// Every metric, in the order of the parts.
pub const METRICS: &[&[Desc]] =
    &[OWN, info::METRICS, streams::METRICS, queue::METRICS, bullmq::METRICS, sidekiq::METRICS, celery::METRICS];

const OWN: &[Desc] = &[SLOWLOG_LENGTH, LATENCY];
const SLOWLOG_LENGTH: Desc = Desc::gauge("redis.slowlog.length", "{command}", "Commands in the slow log.");
const LATENCY: Desc = Desc::gauge(
    "redis.latency.latest",
    "s",
    "Latest time of each kind of pause; absent while latency-monitor-threshold is 0.",
);

/// One server.
pub struct Redis {
    target: Target,
    session: Option<Session>,
    queues: Queues,
    flavour: String,
    lacking: Vec<String>,
    slow: Slow,
    events: Vec<Event>,
}

/// How far the slow log was read.
#[derive(Debug, Default)]
struct Slow {
    /// Ids rise; `None`: not read yet, and what is old is no news.
    last: Option<i64>,
}

/// Slow commands that are told in one round.
const MAX_SLOW: usize = 32;
/// The oldest version that is read.
const FLOOR: (u32, u32) = (6, 0);

impl Redis {
    /// Connects in its first round.
    pub fn new(target: Target, queues: Queues) -> Self {
        let (session, flavour) = (None, String::new());
        Self { target, session, queues, flavour, lacking: Vec::new(), slow: Slow::default(), events: Vec::new() }
    }

    async fn read(&mut self, session: &mut Session, out: &mut Samples) -> Result<(), CollectError> {
        let answer = session.ask(&["INFO", "ALL"]).await.map_err(refused)?;
        let answer = text(&answer).ok_or_else(|| CollectError::Parse("INFO is no text".into()))?;
        let info = info::parse(&answer);
        self.flavour = info.flavour();
        if info.version() < FLOOR {
            return Err(CollectError::Query(format!("{} is too old: 6.0 is the oldest that is read", self.flavour)));
        }
        info.put(clock::unix_nanos() as f64 / 1e9, out);
        self.read_slow(session, out).await?;
        self.read_latency(session, out).await?;
        let clients = info.number("connected_clients").unwrap_or(0.0);
        let queues = self.queues.read(session, clients, out).await;
        self.lacking.extend(self.queues.lacking().iter().cloned());
        self.check_policy(&info);
        queues
    }

    /// Jobs in a server that evicts are jobs that may vanish. A cache without queues is meant to evict.
    fn check_policy(&mut self, info: &Info<'_>) {
        let policy = info.text("maxmemory_policy").unwrap_or("noeviction");
        let bounded = info.number("maxmemory").is_some_and(|limit| limit > 0.0);
        if bounded && policy != "noeviction" && self.queues.count() > 0 {
            self.lacking.push(format!(
                "queues with maxmemory-policy {policy} lose jobs: CONFIG SET maxmemory-policy noeviction"
            ));
        }
    }

    async fn read_slow(&mut self, session: &mut Session, out: &mut Samples) -> Result<(), CollectError> {
        let Some(length) = self.allowed(session.ask(&["SLOWLOG", "LEN"]).await, "slowlog|len")? else { return Ok(()) };
        out.put(&SLOWLOG_LENGTH, int(&length).unwrap_or(0));
        if int(&length) == Some(0) && self.slow.last.is_none() {
            self.slow.last = Some(-1);
        }
        let count = MAX_SLOW.to_string();
        let newest = self.allowed(session.ask(&["SLOWLOG", "GET", &count]).await, "slowlog|get")?;
        self.events.extend(newest.iter().flat_map(|entries| self.slow.news(entries)));
        Ok(())
    }

    async fn read_latency(&mut self, session: &mut Session, out: &mut Samples) -> Result<(), CollectError> {
        let Some(latest) = self.allowed(session.ask(&["LATENCY", "LATEST"]).await, "latency|latest")? else {
            return Ok(());
        };
        for entry in items(&latest) {
            if let [name, _, millis, ..] = items(entry)
                && let (Some(name), Some(millis)) = (text(name), int(millis))
            {
                out.put_with(&LATENCY, &[("event", &name)], millis as f64 / 1e3);
            }
        }
        Ok(())
    }

    /// What the access list refuses is told with its mend, and takes nothing from the rest.
    fn allowed(&mut self, answer: Result<Value, CollectError>, rule: &str) -> Result<Option<Value>, CollectError> {
        match answer {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_forbidden(&error) => {
                let user = self.target.username.as_deref().unwrap_or("default");
                self.lacking.push(format!("a right is missing: ACL SETUSER {user} +{rule}"));
                Ok(None)
            }
            // A server that does not have the command.
            Err(CollectError::Query(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Slow {
    /// The entries that are new, oldest first, without the commands' arguments: these hold what users wrote.
    fn news(&mut self, entries: &Value) -> Vec<Event> {
        let newest = items(entries).iter().filter_map(|entry| int(items(entry).first()?)).max();
        let known = self.last;
        self.last = newest.or(known);
        let Some(known) = known else { return Vec::new() };
        // A restart begins to count anew.
        let known = if newest.is_some_and(|newest| newest < known) { -1 } else { known };
        let fresh =
            items(entries).iter().rev().filter(|entry| items(entry).first().and_then(int).is_some_and(|id| id > known));
        fresh.filter_map(slow_command).collect()
    }
}

fn slow_command(entry: &Value) -> Option<Event> {
    let [_, at, micros, command, rest @ ..] = items(entry) else { return None };
    let (at, micros) = (int(at)?, int(micros)?);
    let words = items(command);
    let name = text(words.first()?)?.to_uppercase();
    let client = rest.get(1).and_then(text).unwrap_or_default();
    Some(Event {
        name: "redis.slow_command",
        nanos: u64::try_from(at).ok()?.saturating_mul(1_000_000_000),
        severity: 13,
        body: format!("{name} with {} arguments took {:.3} s", words.len().saturating_sub(1), micros as f64 / 1e6),
        attributes: vec![
            ("db.operation.name", name.into()),
            ("redis.command.duration", (micros as f64 / 1e6).into()),
            ("redis.client.name", shown(&client).into()),
        ],
    })
}

#[async_trait]
impl Collector for Redis {
    async fn collect(&mut self, out: &mut Samples) -> Result<(), CollectError> {
        // Taken out: a round that is given up leaves no connection that still has an answer to come.
        let kept = match self.session.take() {
            Some(mut session) => session.is_there().await.then_some(session),
            None => None,
        };
        let mut session = match kept {
            Some(session) => session,
            None => self.target.connect().await?,
        };
        session.renew();
        self.lacking.clear();
        let read = self.read(&mut session, out).await;
        if !(session.is_spent() || matches!(read, Err(CollectError::Connect(_) | CollectError::Parse(_)))) {
            self.session = Some(session);
        }
        read
    }

    fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn detail(&self) -> String {
        let mut out = self.flavour.clone();
        let queues = self.queues.count();
        if queues > 0 {
            out.push_str(&format!(", {queues} queues"));
        }
        for lacking in &self.lacking {
            out.push_str("; ");
            out.push_str(lacking);
        }
        out
    }
}

/// A pace for what is looked for seldom.
#[derive(Debug, Default)]
struct Due(Option<Instant>);

impl Due {
    /// Whether `every` has passed since this last said yes.
    fn is(&mut self, every: Duration) -> bool {
        let due = self.0.is_none_or(|last| last.elapsed() >= every);
        if due {
            self.0 = Some(Instant::now());
        }
        due
    }
}
