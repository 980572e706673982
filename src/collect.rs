//! Collectors: one step each; the list of what exists; the one schedule loop (`schedule.rs`).

use async_trait::async_trait;

use self::event::Event;
use crate::signal::metrics::{Desc, Samples};

pub mod address;
pub mod config;
pub mod derived;
pub mod dial;
pub mod entry;
pub mod event;
pub mod find;
pub mod host;
pub mod http;
pub mod mysql;
pub mod nats;
pub mod own;
pub mod pgbouncer;
pub mod postgres;
pub mod queue;
pub mod rabbitmq;
pub mod ranking;
pub mod redis;
pub mod schedule;
pub mod scrape;
pub mod sql;

/// The metrics of every watched system, for `plimsoll metrics` and for checks.
pub const CATALOGUE: &[&[&[Desc]]] = &[
    postgres::METRICS,
    &[pgbouncer::METRICS],
    redis::METRICS,
    mysql::METRICS,
    rabbitmq::METRICS,
    nats::METRICS,
    &[scrape::METRICS],
];

/// One system that is read in rounds.
#[async_trait]
pub trait Collector: Send {
    /// Reads the system once and puts its points. It does no timing and no logging: the schedule loop does.
    ///
    /// Points that were put before an error are taken all the same. The future is dropped when its time is over:
    /// the next call must cope with what that left behind.
    async fn collect(&mut self, out: &mut Samples) -> Result<(), CollectError>;

    /// Log records that the round brought; the loop takes them after each.
    fn events(&mut self) -> Vec<Event> {
        Vec::new()
    }

    /// What it found, for people, such as `11 groups` or `17.2, 2 databases`; empty when there is nothing to say.
    fn detail(&self) -> String {
        String::new()
    }
}

/// Why a round failed. The loop counts it under `plimsoll.collect.failures{error.type}`.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The system has nothing to say: no fault.
    #[error("no data: {0}")]
    NoData(String),
    /// It cannot be reached or opened; names the file, host or socket.
    #[error("{0}")]
    Connect(String),
    /// It does not let us in; names the mend. Tried again only after a while, so that its log does not fill.
    #[error("{0}")]
    Denied(String),
    /// It answered with an error, or a right is missing; names the mend.
    #[error("{0}")]
    Query(String),
    /// It is up, and a part of what was asked could not be read: a view, a right, a queue. All else was read.
    #[error("{0}")]
    Partly(String),
    /// Its answer was not understood.
    #[error("{0}")]
    Parse(String),
    /// It took longer than its time.
    #[error("no answer within {0:?}")]
    Timeout(std::time::Duration),
}

impl CollectError {
    /// The value of `error.type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoData(_) => "no_data",
            Self::Connect(_) => "connect",
            Self::Denied(_) => "denied",
            Self::Query(_) | Self::Partly(_) => "query",
            Self::Parse(_) => "parse",
            Self::Timeout(_) => "timeout",
        }
    }
}
