//! `collect.redis:` one Redis, Valkey or KeyDB server.

use serde::Deserialize;
use serde::de::MapAccess;

use super::Redis;
use super::queues::{Queues, Wanted};
use super::session::Target;
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
        let queues = Queues::new(wanted(&wishes.bullmq), wanted(&wishes.sidekiq), celery, streams);
        Ok(Box::new(Redis::new(target, queues)))
    }
}
