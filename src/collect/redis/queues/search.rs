//! Where BullMQ's queues are: by the names of connections first, then by a paced walk through the keys.
//!
//! Both also find prefixes that nobody named, and each of these is believed only once the server holds what BullMQ 5
//! or 6 writes there: one HGET for each. Bull 4 writes no version, so its prefix has to be named.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use redis::Value;

use super::client_names::{client_of, is_name, split};
use super::{MAX_QUEUES, Wanted};
use crate::collect::CollectError;
use crate::collect::redis::Due;
use crate::collect::redis::session::{Session, int, is_forbidden, items, text};

/// A queue under its prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) prefix: String,
    pub(super) queue: String,
}

/// What is known of BullMQ's queues.
#[derive(Debug, Default)]
pub(super) struct Search {
    pub(super) wanted: Wanted,
    /// Those that are named, and those that were found.
    prefixes: Vec<String>,
    /// Whether prefixes are looked for too.
    open: bool,
    found: BTreeSet<Place>,
    /// Workers of each queue, by the names of their connections; `None` where these cannot be read.
    workers: Option<BTreeMap<Place, u64>>,
    /// Whether more queues were there than are read.
    more: bool,
    /// Places of prefixes that nobody named, to be asked about; whether a connection says so.
    doubtful: BTreeMap<Place, bool>,
    /// How often a prefix was asked about in vain in this hour.
    refused: BTreeMap<String, usize>,
    /// One of those that we may not read, although a connection says that it is one: keys of that form are common.
    closed: Option<String>,
    /// Whether the access list keeps the clients' names from us.
    without_clients: bool,
    /// Whether the server has more of them than it should list.
    has_many_clients: bool,
    scan: Scan,
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
    /// Why the server refused it, where it did.
    refused: Option<CollectError>,
    /// What this walk came by of those that are found, and of others for which there is no room.
    seen: BTreeSet<Place>,
    more: BTreeSet<Place>,
}

/// Clients of which the server makes a list, which it does in one piece: some 4 MB.
const MAX_CLIENTS: f64 = 10_000.0;
/// BullMQ's own.
pub(super) const PREFIX: &str = "bull";
/// Prefixes in one server, named or found.
pub(super) const MAX_PREFIXES: usize = 8;
/// Places that are asked about in a round, of all prefixes in an hour, and of one.
const MAX_DOUBTS: usize = 10;
const MAX_REFUSED: usize = 100;
const MAX_TRIES: usize = 3;
/// SCAN calls in an hour.
const MAX_CALLS: u32 = 1000;
/// SCAN calls in a round.
const CALLS: u32 = 20;
/// Keys that one call looks at.
const KEYS: &str = "100";
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

impl Search {
    /// `prefixes`: those of the config; `None`: BullMQ's own, and what is found with `auto`.
    pub(super) fn new(wanted: Wanted, prefixes: Option<Vec<String>>) -> Self {
        let open = prefixes.is_none() && wanted == Wanted::Auto;
        let mut prefixes = prefixes.unwrap_or_else(|| vec![PREFIX.to_owned()]);
        sort(&mut prefixes);
        Self { wanted, prefixes, open, ..Self::default() }
    }

    /// The queues to read, each with its workers where these can be counted.
    pub(super) fn places(&self) -> Vec<(Place, Option<u64>)> {
        let places: Vec<Place> = match &self.wanted {
            Wanted::None => Vec::new(),
            Wanted::Auto => self.found.iter().cloned().collect(),
            Wanted::Named(names) => {
                let place = |prefix: &String, queue: &String| Place { prefix: prefix.clone(), queue: queue.clone() };
                let all = names.iter().flat_map(|name| self.prefixes.iter().map(move |prefix| place(prefix, name)));
                all.take(MAX_QUEUES).collect()
            }
        };
        let workers = |place: &Place| self.workers.as_ref().map(|known| known.get(place).copied().unwrap_or(0));
        places.into_iter().map(|place| (place.clone(), workers(&place))).collect()
    }

    /// Whether a queue that is not there is told as empty: not where its name may stand under another prefix.
    pub(super) fn tells_absent(&self) -> bool {
        self.wanted == Wanted::Auto || self.prefixes.len() == 1
    }

    /// Looks at the clients, and further along the keys.
    pub(super) async fn look(&mut self, session: &mut Session, clients: f64) -> Result<(), CollectError> {
        if self.wanted == Wanted::None {
            return Ok(());
        }
        self.has_many_clients = clients > MAX_CLIENTS;
        if self.has_many_clients {
            self.workers = None;
        } else {
            self.look_at_clients(session).await?;
        }
        if self.wanted == Wanted::Auto {
            self.walk(session).await?;
            self.ask_about_doubtful(session).await?;
        }
        Ok(())
    }

    /// A worker's connection tells its queue by its name: also before the queue has any key.
    async fn look_at_clients(&mut self, session: &mut Session) -> Result<(), CollectError> {
        if !self.scan.clients.is(MINUTE) {
            return Ok(());
        }
        self.workers = None;
        match session.ask(&["CLIENT", "LIST"]).await {
            Ok(list) => self.take_clients(&text(&list).unwrap_or_default()),
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

    fn take_clients(&mut self, list: &str) {
        let mut workers = BTreeMap::new();
        for line in list.lines() {
            let Some(client) = client_of(line, &self.prefixes) else { continue };
            if !self.prefixes.contains(&client.place.prefix) {
                self.doubt(client.place, true);
                continue;
            }
            if self.wanted == Wanted::Auto {
                self.add(client.place.clone());
            }
            if client.is_worker && (workers.len() < MAX_QUEUES || workers.contains_key(&client.place)) {
                *workers.entry(client.place).or_default() += 1;
            }
        }
        self.workers = Some(workers);
    }

    fn add(&mut self, place: Place) {
        if self.found.len() < MAX_QUEUES || self.found.contains(&place) {
            self.scan.seen.insert(place.clone());
            self.found.insert(place);
        } else {
            self.more = true;
            if self.scan.more.len() < MAX_QUEUES {
                self.scan.more.insert(place);
            }
        }
    }

    /// At the end of a walk: what it did not come by is gone, unless somebody works there, and makes room for others.
    fn forget(&mut self) {
        let (seen, more) = (std::mem::take(&mut self.scan.seen), std::mem::take(&mut self.scan.more));
        let works = |place: &Place| self.workers.as_ref().is_some_and(|known| known.contains_key(place));
        self.found.retain(|place| seen.contains(place) || works(place));
        let room = MAX_QUEUES.saturating_sub(self.found.len());
        self.more = more.len() > room;
        self.found.extend(more.into_iter().take(room));
    }

    /// A place under a prefix that nobody named: a few of them are asked about.
    fn doubt(&mut self, place: Place, is_client: bool) {
        let room = self.prefixes.len() < MAX_PREFIXES && self.doubtful.len() + self.refused.len() < MAX_REFUSED;
        let waiting = self.doubtful.keys().filter(|known| known.prefix == place.prefix).count();
        let tried = self.refused.get(&place.prefix).copied().unwrap_or(0);
        if self.open && room && waiting + tried < MAX_TRIES {
            *self.doubtful.entry(place).or_default() |= is_client;
        }
    }

    /// A paced walk, which ends early in a large server, and says so.
    async fn walk(&mut self, session: &mut Session) -> Result<(), CollectError> {
        if self.scan.hour.is(HOUR) {
            let (hour, clients) = (std::mem::take(&mut self.scan.hour), std::mem::take(&mut self.scan.clients));
            self.scan = Scan { hour, clients, cursor: "0".into(), ..Scan::default() };
            self.more = false;
            self.refused.clear();
            self.closed = None;
        }
        for _ in 0..CALLS {
            if self.scan.whole || self.scan.refused.is_some() || self.scan.calls >= MAX_CALLS {
                break;
            }
            self.scan.calls += 1;
            self.step(session).await?;
        }
        Ok(())
    }

    /// One SCAN, for all prefixes at once: the server looks at each key in any case.
    async fn step(&mut self, session: &mut Session) -> Result<(), CollectError> {
        let answer = match session.ask(&["SCAN", &self.scan.cursor, "MATCH", "*:meta", "COUNT", KEYS]).await {
            Ok(answer) => answer,
            // By its access list, or as it goes by another name there: what is named can be read all the same.
            Err(error @ CollectError::Query(_)) => {
                self.scan.refused = Some(error);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.take_keys(&answer);
        Ok(())
    }

    fn take_keys(&mut self, answer: &Value) {
        let [cursor, keys] = items(answer) else { return };
        for key in items(keys).iter().filter_map(text) {
            if let Some(place) = place_of(&key, &self.prefixes) {
                if self.prefixes.contains(&place.prefix) {
                    self.add(place);
                } else {
                    self.doubt(place, false);
                }
            }
        }
        self.scan.cursor = text(cursor).unwrap_or_else(|| "0".into());
        self.scan.whole = int(cursor) == Some(0);
        if self.scan.whole {
            self.forget();
        }
    }

    /// Whether BullMQ itself wrote there.
    async fn ask_about_doubtful(&mut self, session: &mut Session) -> Result<(), CollectError> {
        for _ in 0..MAX_DOUBTS {
            let Some((place, is_client)) = self.doubtful.pop_first() else { break };
            if self.prefixes.contains(&place.prefix) {
                self.add(place);
                continue;
            }
            let key = format!("{}:{}:meta", place.prefix, place.queue);
            let version = match session.ask(&["HGET", &key, "version"]).await {
                Ok(version) => text(&version),
                Err(error) if is_client && is_forbidden(&error) => {
                    self.closed.get_or_insert_with(|| place.prefix.clone());
                    None
                }
                Err(CollectError::Query(_)) => None,
                Err(error) => return Err(error),
            };
            if version.is_some_and(|version| version.starts_with("bullmq:")) && self.prefixes.len() < MAX_PREFIXES {
                self.take_prefix(place);
            } else {
                *self.refused.entry(place.prefix).or_default() += 1;
            }
        }
        Ok(())
    }

    /// The others under it are found by another walk, and its workers by another look at the clients: at once.
    fn take_prefix(&mut self, place: Place) {
        self.prefixes.push(place.prefix.clone());
        sort(&mut self.prefixes);
        self.add(place);
        self.workers = None;
        self.scan.clients = Due::default();
        self.scan.cursor = "0".into();
        self.scan.whole = false;
    }

    /// What the search did not reach, in every round: the state's reader sees the last one only.
    pub(super) fn tell(&self, lacking: &mut Vec<String>) {
        if self.wanted == Wanted::None {
            return;
        }
        if self.without_clients {
            lacking.push("BullMQ's workers cannot be counted without +client|list".into());
        }
        if self.has_many_clients {
            lacking.push(format!("BullMQ's workers are not counted: the server has more than {MAX_CLIENTS} clients"));
        }
        const BY_NAME: &str = "BullMQ's queues are looked for by workers' names only";
        if let Some(error) = &self.scan.refused {
            lacking.push(if is_forbidden(error) {
                format!("{BY_NAME}, without +scan")
            } else {
                format!("{BY_NAME}: {error}")
            });
        } else if !self.scan.whole && self.scan.calls >= MAX_CALLS {
            lacking.push("too many keys to find all of BullMQ's queues: name them under queues.bullmq".into());
        }
        if self.more {
            lacking.push(format!("only {MAX_QUEUES} of BullMQ's queues are read: name them under queues.bullmq"));
        }
        if let Some(prefix) = &self.closed {
            lacking.push(format!("BullMQ may have queues under {prefix:?}, which may not be read: %R~{prefix}:*"));
        }
    }
}

/// One prefix may begin with another: the longest comes first.
fn sort(prefixes: &mut [String]) {
    prefixes.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
}

/// The queue of a key `prefix:queue:meta`. Only Bull 4 allows a colon in a queue's name.
fn place_of(key: &str, known: &[String]) -> Option<Place> {
    let name = key.strip_suffix(":meta")?;
    let (prefix, queue) = split(name, known)?;
    (is_name(prefix) && is_name(queue)).then(|| Place { prefix: prefix.to_owned(), queue: queue.to_owned() })
}

#[cfg(test)]
mod tests;
