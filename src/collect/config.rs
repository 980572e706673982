//! `host:` and `collect:` which systems are read in rounds.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use crate::base::certs::Tls;
use crate::base::check;
use crate::base::fault::Fault;
use crate::base::secret::Secret;
use crate::base::switch::Switch;
use crate::base::units::Dur;

/// `host:` the box itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Host {
    /// Time between two rounds. Default 15 s. At least 1 s. Shorter costs series on the stack, longer hides peaks.
    pub interval: Dur,
}

impl Default for Host {
    fn default() -> Self {
        Self { interval: INTERVAL }
    }
}

/// `collect:` lists by kind. A kind that is not named is discovered; `off`: never.
///
/// The settings that all kinds share stand in each struct: serde's `flatten` loses the positions of errors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Postgres servers.
    pub postgres: Option<Switch<Vec<Postgres>>>,
    /// Redis, Valkey and KeyDB servers.
    pub redis: Option<Switch<Vec<Redis>>>,
    /// pgbouncer's admin consoles.
    pub pgbouncer: Option<Switch<Vec<Pgbouncer>>>,
    /// MySQL and MariaDB servers.
    pub mysql: Option<Switch<Vec<Mysql>>>,
    /// RabbitMQ's management plugin.
    pub rabbitmq: Option<Switch<Vec<Rabbitmq>>>,
    /// NATS servers' monitoring.
    pub nats: Option<Switch<Vec<Nats>>>,
    /// Anything that speaks Prometheus' text format.
    pub scrape: Option<Switch<Vec<Scrape>>>,
}

impl Host {
    /// What is wrong beyond the shape.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        check::between("interval", self.interval, Duration::from_secs(1), Duration::from_secs(3600))
            .into_iter()
            .collect()
    }
}

impl Config {
    /// Kinds that are named and that this version does not read.
    pub(crate) fn unserved(&self) -> impl Iterator<Item = &'static str> {
        [
            ("postgres", named(&self.postgres)),
            ("redis", named(&self.redis)),
            ("pgbouncer", named(&self.pgbouncer)),
            ("mysql", named(&self.mysql)),
            ("rabbitmq", named(&self.rabbitmq)),
            ("nats", named(&self.nats)),
            ("scrape", named(&self.scrape)),
        ]
        .into_iter()
        .filter(|(_, named)| *named)
        .map(|(kind, _)| kind)
    }
}

fn named<T>(entries: &Option<Switch<Vec<T>>>) -> bool {
    entries.as_ref().and_then(Switch::on).is_some_and(|entries| !entries.is_empty())
}

/// One entry of `collect.postgres`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Postgres {
    /// `postgres://USER@HOST:PORT/DATABASE`, or `?host=/run/postgresql` for a socket. Required.
    pub url: String,
    /// `service.name` of what is read. Default `postgresql`.
    pub service: Option<String>,
    /// User, when the address names none. Default: none.
    pub username: Option<String>,
    /// Password. Default: none.
    pub password: Option<Secret>,
    /// Time between two rounds. Default 15 s. At least 1 s.
    pub interval: Dur,
    /// How long a round may take. Default 5 s. At most `interval`.
    pub timeout: Dur,
    /// Most series of one round; what is beyond is left out and counted. Default 1000. From 1 to 100,000.
    pub series: usize,
    /// Certificates. Default: what the system trusts.
    pub tls: Tls,
    /// Databases that are read. Default `auto`: all that the user may connect to.
    pub databases: Names,
    /// How many statements, tables and indexes are told apart. Default 20. From 0 to 500.
    pub top: usize,
}

impl Default for Postgres {
    fn default() -> Self {
        Self {
            url: String::new(),
            service: None,
            username: None,
            password: None,
            interval: INTERVAL,
            timeout: TIMEOUT,
            series: SERIES,
            tls: Tls::default(),
            databases: Names::Auto,
            top: 20,
        }
    }
}

/// One entry of `collect.redis`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// `redis://HOST:PORT`, `rediss://HOST:PORT` or `redis+unix:///run/redis.sock`. Required.
    pub url: String,
    /// `service.name` of what is read. Default `redis`.
    pub service: Option<String>,
    /// User, when the address names none. Default: none.
    pub username: Option<String>,
    /// Password. Default: none.
    pub password: Option<Secret>,
    /// Time between two rounds. Default 15 s. At least 1 s.
    pub interval: Dur,
    /// How long a round may take. Default 5 s. At most `interval`.
    pub timeout: Dur,
    /// Most series of one round; what is beyond is left out and counted. Default 1000. From 1 to 100,000.
    pub series: usize,
    /// Certificates. Default: what the system trusts.
    pub tls: Tls,
    /// Queues whose length and age are read.
    pub queues: Queues,
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            url: String::new(),
            service: None,
            username: None,
            password: None,
            interval: INTERVAL,
            timeout: TIMEOUT,
            series: SERIES,
            tls: Tls::default(),
            queues: Queues::default(),
        }
    }
}

/// One entry of `collect.pgbouncer`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pgbouncer {
    /// `postgres://USER@HOST:PORT/pgbouncer`. Required.
    pub url: String,
    /// `service.name` of what is read. Default `pgbouncer`.
    pub service: Option<String>,
    /// User, when the address names none. Default: none.
    pub username: Option<String>,
    /// Password. Default: none.
    pub password: Option<Secret>,
    /// Time between two rounds. Default 15 s. At least 1 s.
    pub interval: Dur,
    /// How long a round may take. Default 5 s. At most `interval`.
    pub timeout: Dur,
    /// Most series of one round; what is beyond is left out and counted. Default 1000. From 1 to 100,000.
    pub series: usize,
    /// Certificates. Default: what the system trusts.
    pub tls: Tls,
}

impl Default for Pgbouncer {
    fn default() -> Self {
        Self {
            url: String::new(),
            service: None,
            username: None,
            password: None,
            interval: INTERVAL,
            timeout: TIMEOUT,
            series: SERIES,
            tls: Tls::default(),
        }
    }
}

/// One entry of `collect.mysql`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mysql {
    /// `mysql://USER@HOST:PORT`. Required.
    pub url: String,
    /// `service.name` of what is read. Default `mysql`.
    pub service: Option<String>,
    /// User, when the address names none. Default: none.
    pub username: Option<String>,
    /// Password. Default: none.
    pub password: Option<Secret>,
    /// Time between two rounds. Default 15 s. At least 1 s.
    pub interval: Dur,
    /// How long a round may take. Default 5 s. At most `interval`.
    pub timeout: Dur,
    /// Most series of one round; what is beyond is left out and counted. Default 1000. From 1 to 100,000.
    pub series: usize,
    /// Certificates. Default: what the system trusts.
    pub tls: Tls,
}

impl Default for Mysql {
    fn default() -> Self {
        Self {
            url: String::new(),
            service: None,
            username: None,
            password: None,
            interval: INTERVAL,
            timeout: TIMEOUT,
            series: SERIES,
            tls: Tls::default(),
        }
    }
}

/// One entry of `collect.rabbitmq`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rabbitmq {
    /// Address of the management plugin: `http://HOST:15672`. Required.
    pub url: String,
    /// `service.name` of what is read. Default `rabbitmq`.
    pub service: Option<String>,
    /// User, when the address names none. Default: none.
    pub username: Option<String>,
    /// Password. Default: none.
    pub password: Option<Secret>,
    /// Time between two rounds. Default 15 s. At least 1 s.
    pub interval: Dur,
    /// How long a round may take. Default 5 s. At most `interval`.
    pub timeout: Dur,
    /// Most series of one round; what is beyond is left out and counted. Default 1000. From 1 to 100,000.
    pub series: usize,
    /// Certificates. Default: what the system trusts.
    pub tls: Tls,
    /// Queues that Celery works on. Default: none.
    pub celery: Vec<String>,
}

impl Default for Rabbitmq {
    fn default() -> Self {
        Self {
            url: String::new(),
            service: None,
            username: None,
            password: None,
            interval: INTERVAL,
            timeout: TIMEOUT,
            series: SERIES,
            tls: Tls::default(),
            celery: Vec::new(),
        }
    }
}

/// One entry of `collect.nats`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Nats {
    /// Address of the monitoring port: `http://HOST:8222`. Required.
    pub url: String,
    /// `service.name` of what is read. Default `nats`.
    pub service: Option<String>,
    /// User, when the address names none. Default: none.
    pub username: Option<String>,
    /// Password. Default: none.
    pub password: Option<Secret>,
    /// Time between two rounds. Default 15 s. At least 1 s.
    pub interval: Dur,
    /// How long a round may take. Default 5 s. At most `interval`.
    pub timeout: Dur,
    /// Most series of one round; what is beyond is left out and counted. Default 1000. From 1 to 100,000.
    pub series: usize,
    /// Certificates. Default: what the system trusts.
    pub tls: Tls,
}

impl Default for Nats {
    fn default() -> Self {
        Self {
            url: String::new(),
            service: None,
            username: None,
            password: None,
            interval: INTERVAL,
            timeout: TIMEOUT,
            series: SERIES,
            tls: Tls::default(),
        }
    }
}

/// One entry of `collect.scrape`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scrape {
    /// Whatever answers in Prometheus' text format: `http://HOST:PORT/metrics`. Required.
    pub url: String,
    /// `service.name` of what is read. Default `scrape`.
    pub service: Option<String>,
    /// User, when the address names none. Default: none.
    pub username: Option<String>,
    /// Password. Default: none.
    pub password: Option<Secret>,
    /// Time between two rounds. Default 15 s. At least 1 s.
    pub interval: Dur,
    /// How long a round may take. Default 5 s. At most `interval`.
    pub timeout: Dur,
    /// Most series of one round; what is beyond is left out and counted. Default 1000. From 1 to 100,000.
    pub series: usize,
    /// Certificates. Default: what the system trusts.
    pub tls: Tls,
}

impl Default for Scrape {
    fn default() -> Self {
        Self {
            url: String::new(),
            service: None,
            username: None,
            password: None,
            interval: INTERVAL,
            timeout: TIMEOUT,
            series: SERIES,
            tls: Tls::default(),
        }
    }
}

/// Which queues in Redis are read, by the library that made them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Queues {
    /// BullMQ's. Default `auto`: found by their `meta` keys.
    pub bullmq: Names,
    /// Sidekiq's. Default `auto`: the set `queues`.
    pub sidekiq: Names,
    /// Lists that Celery works on. Default: none; they cannot be told from other lists.
    pub celery: Vec<String>,
    /// Redis streams. Default: none.
    pub streams: Vec<String>,
}

impl Default for Queues {
    fn default() -> Self {
        Self { bullmq: Names::Auto, sidekiq: Names::Auto, celery: Vec::new(), streams: Vec::new() }
    }
}

/// `auto`, or a list of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// What is found.
    Auto,
    /// Only these; an empty list is none.
    Named(Vec<String>),
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct AutoOrList;
        impl<'de> Visitor<'de> for AutoOrList {
            type Value = Names;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("`auto` or a list of names")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Names, E> {
                if text == "auto" { Ok(Names::Auto) } else { Err(E::invalid_value(de::Unexpected::Str(text), &self)) }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Names, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Names::Named)
            }
        }
        from.deserialize_any(AutoOrList)
    }
}

const INTERVAL: Dur = Dur(Duration::from_secs(15));
const TIMEOUT: Dur = Dur(Duration::from_secs(5));
const SERIES: usize = 1000;
