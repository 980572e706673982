//! Which queues are read: lists of names, or `auto`, which looks without walking through all keys.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use self::client_names::{client_of, is_name};

use super::session::{Session, int, is_forbidden, items, text};
use super::{Due, bullmq, celery, sidekiq, streams};
use crate::collect::CollectError;
use crate::signal::metrics::Samples;

mod client_names;

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
    /// Whether the access list keeps the clients' names from us.
    without_clients: bool,
    lacking: Vec<String>,
    read: usize,
}

#[derive(Debug, Default)]
struct Kind {
    wanted: Wanted,
    found: BTreeSet<String>,
    /// Workers of each queue, by the names of their connections; `None` where these cannot be read.
    workers: Option<BTreeMap<String, u64>>,
    /// Whether more queues were there than are read.
    more: bool,
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
    /// Whether the access list refused it.
    forbidden: bool,
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
        let bullmq = Kind { wanted: bullmq, ..Kind::default() };
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
        if self.bullmq.wanted != Wanted::None {
            self.look_at_clients(session).await?;
        }
        if self.bullmq.wanted == Wanted::Auto {
            self.find(session).await?;
        }
        let mut failed = None;
        let bullmq: Vec<String> = match &self.bullmq.wanted {
            Wanted::None => Vec::new(),
            Wanted::Auto => self.bullmq.found.iter().cloned().collect(),
            Wanted::Named(names) => names.iter().take(MAX_QUEUES).cloned().collect(),
        };
        for name in &bullmq {
            let workers = self.bullmq.workers.as_ref().map(|known| known.get(name).copied().unwrap_or(0));
            let read = bullmq::read(session, &self.prefix, name, workers, out).await;
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
        if !self.celery.is_empty() {
            let names = self.celery.get(..MAX_QUEUES).unwrap_or(&self.celery);
            let read = celery::read(session, names, out).await;
            self.took(read, &mut failed)?;
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

    /// A worker's connection tells its queue by its name: also before the queue has any key.
    async fn look_at_clients(&mut self, session: &mut Session) -> Result<(), CollectError> {
        if !self.scan.clients.is(MINUTE) {
            return Ok(());
        }
        self.bullmq.workers = None;
        match session.ask(&["CLIENT", "LIST"]).await {
            Ok(list) => {
                let list = text(&list).unwrap_or_default();
                let mut workers = BTreeMap::new();
                for client in list.lines().filter_map(|line| client_of(line, &self.prefix)) {
                    let known = self.bullmq.found.len() < MAX_QUEUES || self.bullmq.found.contains(&client.queue);
                    if known && self.bullmq.wanted == Wanted::Auto {
                        self.bullmq.found.insert(client.queue.clone());
                    }
                    if client.is_worker && (workers.len() < MAX_QUEUES || workers.contains_key(&client.queue)) {
                        *workers.entry(client.queue).or_default() += 1;
                    }
                }
                self.bullmq.workers = Some(workers);
            }
            Err(error) if is_forbidden(&error) => {
                self.without_clients = true;
                return Ok(());
            }
            Err(CollectError::Query(_)) => {}
            Err(error) => return Err(error),
        }
        self.without_clients = false;
        Ok(())
    }

    /// A paced walk, which ends early in a large server, and says so.
    async fn find(&mut self, session: &mut Session) -> Result<(), CollectError> {
        if self.scan.hour.is(HOUR) {
            self.scan.calls = 0;
            self.scan.cursor = "0".into();
            self.scan.whole = false;
            self.scan.forbidden = false;
            self.bullmq.more = false;
        }
        for _ in 0..CALLS {
            if self.scan.whole || self.scan.forbidden || self.scan.calls >= MAX_CALLS {
                break;
            }
            self.scan.calls += 1;
            if !self.step(session).await? {
                break;
            }
        }
        self.tell();
        Ok(())
    }

    /// What the search did not reach, in every round: the state's reader sees the last one only.
    fn tell(&mut self) {
        if self.without_clients {
            self.lacking.push("BullMQ's workers cannot be counted without +client|list".into());
        }
        if self.scan.forbidden {
            self.lacking.push("BullMQ's queues are looked for by workers' names only, without +scan".into());
        } else if !self.scan.whole && self.scan.calls >= MAX_CALLS {
            let why = "too many keys to find all of BullMQ's queues: name them under queues.bullmq";
            self.lacking.push(why.into());
        }
        if self.bullmq.more {
            self.lacking.push(format!("only {MAX_QUEUES} of BullMQ's queues are read: name them under queues.bullmq"));
        }
    }

    /// One SCAN. False: the access list does not allow it.
    async fn step(&mut self, session: &mut Session) -> Result<bool, CollectError> {
        let pattern = format!("{}:*:meta", self.prefix);
        let answer = match session.ask(&["SCAN", &self.scan.cursor, "MATCH", &pattern, "COUNT", KEYS]).await {
            Ok(answer) => answer,
            Err(error) if is_forbidden(&error) => {
                self.scan.forbidden = true;
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let [cursor, keys] = items(&answer) else { return Ok(false) };
        for key in items(keys).iter().filter_map(text) {
            let name = key.strip_prefix(&format!("{}:", self.prefix)).and_then(|rest| rest.strip_suffix(":meta"));
            let Some(name) = name.filter(|name| is_name(name)) else { continue };
            if self.bullmq.found.len() < MAX_QUEUES {
                self.bullmq.found.insert(name.to_owned());
            } else if !self.bullmq.found.contains(name) {
                self.bullmq.more = true;
            }
        }
        self.scan.cursor = text(cursor).unwrap_or_else(|| "0".into());
        self.scan.whole = int(cursor) == Some(0);
        Ok(!self.scan.whole)
    }
}
