//! `spool:` how much is kept until it is delivered, and how soon it is safe from a power cut.

use std::time::Duration;

use serde::Deserialize;

use crate::base::check;
use crate::base::fault::Fault;
use crate::base::units::{Dur, Size};

/// `spool:`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Most that lies undelivered, per signal. Default 1 GiB. At least 16 MiB. At 10 MB of logs a second, 1 GiB bridges
    /// about a quarter of an hour of outage (it is compressed): who wants longer, raises it.
    pub size: Size,
    /// After at most this long what was read survives a power cut. Default 1 s. From 10 ms to 1 min. Nothing is sent
    /// before it is safe, so this is also the shortest delay.
    pub fsync: Dur,
}

impl Default for Config {
    fn default() -> Self {
        Self { size: Size(1 << 30), fsync: Dur(Duration::from_secs(1)) }
    }
}

impl Config {
    /// What is wrong beyond the shape.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        check::size("size", self.size, Size(16 << 20), Size(1 << 40))
            .into_iter()
            .chain(check::between("fsync", self.fsync, Duration::from_millis(10), Duration::from_secs(60)))
            .collect()
    }
}
