//! `alerts:` rules, and who is told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::base::check;
use crate::base::fault::Fault;
use crate::base::units::Dur;
use crate::notify::config::{self as notify, Heartbeat, Notify};

/// `alerts:`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Prometheus rule files, as globs; a file of the same name replaces the shipped one.
    /// Default `/etc/plimsoll/alerts/*.yaml`.
    pub rules: Vec<PathBuf>,
    /// Time between two rounds of the rules. Default 15 s. At least 1 s. A group's own `interval` goes before it.
    pub interval: Dur,
    /// Who is told, by name. Default: nobody.
    pub notify: BTreeMap<String, Notify>,
    /// An outside service that notices when this box is dead. Default: none.
    pub heartbeat: Option<Heartbeat>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rules: vec![PathBuf::from("/etc/plimsoll/alerts/*.yaml")],
            interval: Dur(Duration::from_secs(15)),
            notify: BTreeMap::new(),
            heartbeat: None,
        }
    }
}

impl Config {
    /// What is wrong beyond the shape; rule files are checked where they are read.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let mut out = notify::faults(&self.notify);
        out = out.into_iter().map(|fault| fault.below("notify")).collect();
        let heartbeat = self.heartbeat.iter().flat_map(Heartbeat::faults);
        out.extend(heartbeat.map(|fault| fault.below("heartbeat")));
        out.extend(check::between("interval", self.interval, Duration::from_secs(1), Duration::from_secs(3600)));
        out
    }
}
