//! Collectors: one step each; the list of what exists; the one schedule loop (`schedule.rs`).

use async_trait::async_trait;

use crate::signal::metrics::{Desc, Samples};

pub mod config;
pub mod derived;
pub mod host;
pub mod own;
pub mod queue;
pub mod schedule;

/// One system that is read in rounds.
#[async_trait]
pub trait Collector: Send {
    /// Every metric that it can put, for documentation and checks.
    fn metrics(&self) -> &'static [Desc];

    /// Reads the system once and puts its points. It does no timing and no logging: the schedule loop does.
    ///
    /// Points that were put before an error are taken all the same. The future is dropped when its time is over:
    /// the next call must cope with what that left behind.
    async fn collect(&mut self, out: &mut Samples) -> Result<(), CollectError>;

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
    /// It answered with an error, or a right is missing; names the mend.
    #[error("{0}")]
    Query(String),
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
            Self::Query(_) => "query",
            Self::Parse(_) => "parse",
            Self::Timeout(_) => "timeout",
        }
    }
}
