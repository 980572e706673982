//! `store:` how long and how much recent data is kept on the box to be asked.

use std::time::Duration;

use serde::Deserialize;

use crate::base::check;
use crate::base::fault::{Fault, join};
use crate::base::units::{Dur, Size};

/// `store:`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Metric series. Default 7 d, 512 MiB.
    pub metrics: Metrics,
    /// Log lines, in the spool's sealed segments. Default 7 d, 1 GiB.
    pub logs: Logs,
}

/// `store.metrics:` the first bound that is reached counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Age after which data goes. Default 7 d. At least 1 h.
    pub retention: Dur,
    /// Size beyond which the oldest goes. Default 512 MiB. At least 16 MiB.
    pub size: Size,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { retention: Dur(WEEK), size: Size(512 << 20) }
    }
}

/// `store.logs:` the first bound that is reached counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Logs {
    /// Age after which data goes. Default 7 d. At least 1 h.
    pub retention: Dur,
    /// Size beyond which the oldest goes; what is not delivered yet stays and belongs to `spool.size`. Default 1 GiB.
    /// At least 16 MiB.
    pub size: Size,
}

impl Default for Logs {
    fn default() -> Self {
        Self { retention: Dur(WEEK), size: Size(1 << 30) }
    }
}

const WEEK: Duration = Duration::from_secs(7 * 86_400);

impl Config {
    /// What is wrong beyond the shape.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let bounds =
            [("metrics", self.metrics.retention, self.metrics.size), ("logs", self.logs.retention, self.logs.size)];
        let mut out = Vec::new();
        for (key, retention, size) in bounds {
            out.extend(check::between(&join(key, "retention"), retention, Duration::from_secs(3600), DECADE));
            out.extend(check::size(&join(key, "size"), size, Size(16 << 20), Size(1 << 40)));
        }
        out
    }
}

const DECADE: Duration = Duration::from_secs(3650 * 86_400);
