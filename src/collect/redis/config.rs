//! `collect.redis:` one Redis, Valkey or KeyDB server.

use serde::Deserialize;
use serde::de::MapAccess;

use super::Redis;
use super::queues::{MAX_PREFIXES, Queues, Wanted};
use super::session::Target;
use crate::base::check;
use crate::base::fault::Fault;
use crate::collect::Collector;
use crate::collect::address::Url;
use crate::collect::entry::{self, Entry, Names, System};

/// What an entry adds to the shared settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Queues whose length and age are read.
    pub queues: Wishes,
}

/// Which queues are read, by the library that made them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wishes {
    /// BullMQ's. Default `auto`: found by their `meta` keys.
    pub bullmq: Names,
    /// What BullMQ's keys begin with. Default: `bull`, and with `bullmq: auto` those of BullMQ 5 and 6 that are found.
    /// From 1 to 8.
    pub prefixes: Option<Vec<String>>,
    /// Sidekiq's. Default `auto`: the set `queues`.
    pub sidekiq: Names,
    /// Lists that Celery works on. Default: none; they cannot be told from other lists.
    pub celery: Vec<String>,
    /// Redis streams. Default: none.
    pub streams: Vec<String>,
}

impl System for Config {
    const KIND: &'static str = "redis";
    const SERVICE: &'static str = "redis";
    const PORT: u16 = 6379;
    const SCHEMES: &'static [&'static str] = &["redis", "rediss", "redis+unix"];
    const KEYS: &'static [&'static str] = &entry::keys::<1, 9>(["queues"]);

    fn set<'de, A: MapAccess<'de>>(&mut self, _: &str, map: &mut A) -> Result<(), A::Error> {
        self.queues = map.next_value()?;
        Ok(())
    }

    fn faults(&self) -> Vec<Fault> {
        self.queues.prefixes.as_deref().map(faults_of).unwrap_or_default()
    }

    fn build(&self, entry: &Entry, url: &Url) -> Result<Box<dyn Collector>, String> {
        let database = url.get("db").unwrap_or(&url.path);
        let database = if database.is_empty() { Ok(0) } else { database.parse() };
        let target = Target {
            name: url.shown(),
            address: url.address.clone(),
            database: database.map_err(|_| "url: the database behind the host is a number".to_owned())?,
            username: entry.user(url),
            password: entry.password()?,
            tls: if url.scheme == "rediss" { Some(entry.tls()?) } else { None },
        };
        let wanted = |names: &Names| match names {
            Names::Auto => Wanted::Auto,
            Names::Named(names) if names.is_empty() => Wanted::None,
            Names::Named(names) => Wanted::Named(names.clone()),
        };
        let wishes = &self.queues;
        let (celery, streams) = (wishes.celery.clone(), wishes.streams.clone());
        let mut queues = Queues::new(wanted(&wishes.bullmq), wanted(&wishes.sidekiq), celery, streams);
        if let Some(prefixes) = &wishes.prefixes {
            queues = queues.with_prefixes(prefixes.clone());
        }
        Ok(Box::new(Redis::new(target, queues)))
    }
}

/// What is wrong with the prefixes.
fn faults_of(prefixes: &[String]) -> Vec<Fault> {
    const KEY: &str = "queues.prefixes";
    const MEND: &str = "such as `[bull, shop]`; or leave the key out";
    if !(1..=MAX_PREFIXES).contains(&prefixes.len()) {
        let what = format!("{} prefixes", prefixes.len());
        return vec![Fault::new(KEY, what, format!("from 1 to {MAX_PREFIXES}, {MEND}"))];
    }
    let mut out = Vec::new();
    for (index, prefix) in prefixes.iter().enumerate() {
        let key = format!("{KEY}[{index}]");
        if let Some(fault) = check::name(&key, prefix) {
            out.push(Fault::new(key, fault.what, MEND));
        } else if prefix.ends_with(':') {
            out.push(Fault::new(key, "the colon behind a prefix is BullMQ's own", MEND));
        } else if prefixes.get(..index).is_some_and(|before| before.contains(prefix)) {
            out.push(Fault::new(key, format!("`{prefix}` stands here a second time"), "name each prefix once"));
        }
    }
    out
}
