//! `host:` and `collect:` which systems are read in rounds: only the lists; each system's settings stand with it.

use std::time::Duration;

use serde::Deserialize;

use super::entry::{Of, System, Watched};
use super::{mysql, nats, pgbouncer, postgres, rabbitmq, redis, scrape};
use crate::base::check;
use crate::base::fault::Fault;
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
        Self { interval: Dur(Duration::from_secs(15)) }
    }
}

impl Host {
    /// What is wrong beyond the shape.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        check::between("interval", self.interval, Duration::from_secs(1), Duration::from_secs(3600))
            .into_iter()
            .collect()
    }
}

/// The entries of one kind. Not named: the kind is discovered; `off`: never.
pub type Entries<S> = Option<Switch<Vec<Of<S>>>>;

/// `collect:` lists by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Postgres servers.
    pub postgres: Entries<postgres::config::Config>,
    /// Redis, Valkey and KeyDB servers.
    pub redis: Entries<redis::config::Config>,
    /// pgbouncer's admin consoles.
    pub pgbouncer: Entries<pgbouncer::config::Config>,
    /// MySQL and MariaDB servers.
    pub mysql: Entries<mysql::config::Config>,
    /// RabbitMQ's management plugin or Prometheus plugin.
    pub rabbitmq: Entries<rabbitmq::config::Config>,
    /// NATS servers' monitoring.
    pub nats: Entries<nats::config::Config>,
    /// Anything that speaks Prometheus' text format.
    pub scrape: Entries<scrape::Config>,
}

impl Config {
    /// All entries that are named, kind by kind.
    pub fn entries(&self) -> Vec<&dyn Watched> {
        self.lists().concat()
    }

    /// The kinds that are found by themselves: those that are not named here.
    pub fn unnamed(&self) -> Vec<&'static str> {
        let kinds = [
            unnamed(&self.postgres),
            unnamed(&self.redis),
            unnamed(&self.pgbouncer),
            unnamed(&self.mysql),
            unnamed(&self.rabbitmq),
            unnamed(&self.nats),
        ];
        kinds.into_iter().flatten().collect()
    }

    fn lists(&self) -> [Vec<&dyn Watched>; 7] {
        [
            list(&self.postgres),
            list(&self.redis),
            list(&self.pgbouncer),
            list(&self.mysql),
            list(&self.rabbitmq),
            list(&self.nats),
            list(&self.scrape),
        ]
    }

    /// What is wrong beyond the shape.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let mut out = Vec::new();
        for entries in self.lists() {
            for (index, entry) in entries.into_iter().enumerate() {
                let key = format!("{}[{index}]", entry.kind());
                out.extend(entry.faults().into_iter().map(|fault| fault.below(&key)));
            }
        }
        out
    }
}

fn list<S: System>(entries: &Entries<S>) -> Vec<&dyn Watched> {
    let entries = entries.as_ref().and_then(Switch::on).into_iter().flatten();
    entries.map(|entry| entry as &dyn Watched).collect()
}

fn unnamed<S: System>(entries: &Entries<S>) -> Option<&'static str> {
    entries.is_none().then_some(S::KIND)
}
