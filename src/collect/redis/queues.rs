//! Which queues are read: lists of names, or `auto`, which looks without walking through all keys.

use std::collections::BTreeSet;
use std::time::Duration;

use base64_names::queue_of_client;

use super::session::{Session, int, is_forbidden, items, text};
use super::{Due, bullmq, celery, sidekiq, streams};
use crate::collect::CollectError;
use crate::signal::metrics::Samples;

mod base64_names;

/// Queues of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Not read.
    #[default]
    None,
    /// Looked for.
    Auto,
    /// By name.
    Named(Vec<String>),
}

/// The queues of one server.
#[derive(Debug, Default)]
pub struct Queues {
    bullmq: Kind,
    sidekiq: Wanted,
    celery: Vec<String>,
    streams: Vec<String>,
    prefix: String,
    scan: Scan,
    lacking: Vec<String>,
    read: usize,
}

#[derive(Debug, Default)]
struct Kind {
    wanted: Wanted,
    found: BTreeSet<String>,
}

/// The walk for `auto`: a bounded number of calls in an hour, a few in each round.
#[derive(Debug, Default)]
struct Scan {
    hour: Due,
    clients: Due,
    cursor: String,
    calls: u32,
    /// Whether the last walk came to its end.
    whole: bool,
}

/// SCAN calls in an hour.
const MAX_CALLS: u32 = 1000;
/// SCAN calls in a round.
const CALLS: u32 = 20;
/// Keys that one call looks at.
const KEYS: &str = "100";
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
/// Queues of one kind that are read.
const MAX_QUEUES: usize = 500;

impl Queues {
    /// What the config names. `prefix` is BullMQ's, `bull` by default.
    pub fn new(bullmq: Wanted, sidekiq: Wanted, celery: Vec<String>, streams: Vec<String>) -> Self {
        let bullmq = Kind { wanted: bullmq, found: BTreeSet::new() };
        Self { bullmq, sidekiq, celery, streams, prefix: "bull".into(), ..Self::default() }
    }

    /// Whether none is wanted.
    pub fn is_empty(&self) -> bool {
        self.bullmq.wanted == Wanted::None
            && self.sidekiq == Wanted::None
            && self.celery.is_empty()
            && self.streams.is_empty()
    }

    /// Queues that the last round read.
    pub fn count(&self) -> usize {
        self.read
    }

    /// What could not be read, with its mend.
    pub fn lacking(&self) -> &[String] {
        &self.lacking
    }

    /// Reads all; one kind that fails takes nothing from the others.
    pub(super) async fn read(&mut self, session: &mut Session, out: &mut Samples) -> Result<(), CollectError> {
        self.lacking.clear();
        self.read = 0;
        if self.bullmq.wanted == Wanted::Auto {
            self.find(session).await?;
        }
        let mut failed = None;
        let bullmq: Vec<String> = match &self.bullmq.wanted {
            Wanted::None => Vec::new(),
            Wanted::Auto => self.bullmq.found.iter().cloned().collect(),
            Wanted::Named(names) => names.clone(),
        };
        for name in bullmq.iter().take(MAX_QUEUES) {
            let read = bullmq::read(session, &self.prefix, name, out).await;
            self.took(read.map(|()| 1), &mut failed)?;
        }
        if self.sidekiq != Wanted::None {
            let only = match &self.sidekiq {
                Wanted::Named(names) => Some(names.as_slice()),
                _ => None,
            };
            let read = sidekiq::read(session, only, out).await;
            self.took(read, &mut failed)?;
        }
        for name in self.celery.clone().iter().take(MAX_QUEUES) {
            let read = celery::read(session, name, out).await;
            self.took(read.map(|()| 1), &mut failed)?;
        }
        for name in self.streams.clone().iter().take(MAX_QUEUES) {
            let read = streams::read(session, name, out).await;
            self.took(read.map(|()| 1), &mut failed)?;
        }
        failed.map_or(Ok(()), Err)
    }

    fn took(
        &mut self,
        read: Result<usize, CollectError>,
        failed: &mut Option<CollectError>,
    ) -> Result<(), CollectError> {
        match read {
            Ok(count) => self.read += count,
            Err(error @ CollectError::Query(_)) => {
                failed.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Looks at the clients' names first: a worker's tells its queue. Then a paced walk, which ends early in a large
    /// server, and says so.
    async fn find(&mut self, session: &mut Session) -> Result<(), CollectError> {
        if self.scan.clients.is(MINUTE) {
            match session.ask(&["CLIENT", "LIST"]).await {
                Ok(list) => {
                    let list = text(&list).unwrap_or_default();
                    let names = list.lines().filter_map(|line| queue_of_client(line, &self.prefix));
                    self.bullmq.found.extend(names.take(MAX_QUEUES));
                }
                Err(error) if is_forbidden(&error) => {
                    self.lacking.push("BullMQ's queues are looked for without +client|list".into());
                }
                Err(CollectError::Query(_)) => {}
                Err(error) => return Err(error),
            }
        }
        if self.scan.hour.is(HOUR) {
            self.scan.calls = 0;
            self.scan.cursor = "0".into();
            self.scan.whole = false;
        }
        for _ in 0..CALLS {
            if self.scan.whole || self.scan.calls >= MAX_CALLS {
                break;
            }
            self.scan.calls += 1;
            if !self.step(session).await? {
                break;
            }
        }
        if !self.scan.whole && self.scan.calls >= MAX_CALLS {
            let why = "too many keys to find all of BullMQ's queues: name them under queues.bullmq";
            self.lacking.push(why.into());
        }
        Ok(())
    }

    /// One SCAN. False: the access list does not allow it.
    async fn step(&mut self, session: &mut Session) -> Result<bool, CollectError> {
        let pattern = format!("{}:*:meta", self.prefix);
        let answer = match session.ask(&["SCAN", &self.scan.cursor, "MATCH", &pattern, "COUNT", KEYS]).await {
            Ok(answer) => answer,
            Err(error) if is_forbidden(&error) => {
                self.scan.whole = true;
                self.lacking.push("BullMQ's queues are looked for by workers' names only, without +scan".into());
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let [cursor, keys] = items(&answer) else { return Ok(false) };
        for key in items(keys).iter().filter_map(text) {
            let name = key.strip_prefix(&format!("{}:", self.prefix)).and_then(|rest| rest.strip_suffix(":meta"));
            if let Some(name) = name.filter(|_| self.bullmq.found.len() < MAX_QUEUES) {
                self.bullmq.found.insert(name.to_owned());
            }
        }
        self.scan.cursor = text(cursor).unwrap_or_else(|| "0".into());
        self.scan.whole = int(cursor) == Some(0);
        Ok(!self.scan.whole)
    }
}
