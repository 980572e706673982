//! `plimsoll.yaml`: composes the parts' own config structs and loads them; nothing else.
//!
//! What the loader wants of the shapes stands in [`crate::base::yaml`].

use std::path::PathBuf;

use serde::Deserialize;

use crate::base::check;
use crate::base::fault::Fault;
use crate::base::switch::Switch;
use crate::base::units::Size;
use crate::{alert, collect, export, spool, store, tail, web};

mod load;
#[cfg(test)]
mod tests;

pub use load::{DEFAULT_PATH, load, parse};

/// The whole file. Every key is optional.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `service.name` of logs that name none. Default: none; such logs are called by their file or unit.
    pub service: Option<String>,
    /// `deployment.environment.name` of everything that leaves the box. Default: none.
    pub environment: Option<String>,
    /// Folder of the spool, the store and the control socket. Default: `/var/lib/plimsoll`, without root
    /// `$XDG_STATE_HOME/plimsoll`. `--state` goes before it.
    pub state: Option<PathBuf>,
    /// Watch what is found on the box. Default true. `false`: only what is named here.
    pub discover: bool,
    /// The box itself.
    pub host: Switch<collect::config::Host>,
    /// Log files and the journal.
    pub logs: Switch<tail::config::Config>,
    /// Servers that are read in rounds.
    pub collect: Switch<collect::config::Config>,
    /// Where everything is sent. Default: none; everything stays on the box.
    pub destinations: export::config::Config,
    /// Rules, and who is told.
    pub alerts: Switch<alert::config::Config>,
    /// Recent data that is kept on the box.
    pub store: Switch<store::config::Config>,
    /// What is kept until it is delivered.
    pub spool: spool::config::Config,
    /// Resident memory that the agent should stay within; `plimsoll status` says when it does not. The
    /// newest hours of series take up to a quarter of it. Default 40 MiB. From 20 MiB to 4 GiB.
    pub memory: Size,
    /// Where others on this box reach the agent.
    pub listen: Switch<web::config::Config>,
    /// The agent's own telemetry.
    #[serde(rename = "self")]
    pub own: Own,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            service: None,
            environment: None,
            state: None,
            discover: true,
            host: Switch::default(),
            logs: Switch::default(),
            collect: Switch::default(),
            destinations: export::config::Config::new(),
            alerts: Switch::default(),
            store: Switch::default(),
            spool: spool::config::Config::default(),
            memory: Size(40 << 20),
            listen: Switch::default(),
            own: Own::default(),
        }
    }
}

impl Config {
    /// What is wrong beyond the shape, below the keys of the whole file.
    fn faults(&self) -> Vec<Fault> {
        let mut out = Vec::new();
        for (key, text) in [("service", &self.service), ("environment", &self.environment)] {
            out.extend(text.as_deref().and_then(|text| check::name(key, text)));
        }
        out.extend(self.state.as_deref().and_then(|path| check::path("state", path)));
        if !(Size(20 << 20)..=Size(4 << 30)).contains(&self.memory) {
            out.push(Fault::new("memory", format!("{} is no budget to work in", self.memory), "from 20MiB to 4GiB"));
        }
        let mut part = |name: &str, faults: Vec<Fault>| out.extend(faults.into_iter().map(|fault| fault.below(name)));
        part("host", self.host.on().map(collect::config::Host::faults).unwrap_or_default());
        part("logs", self.logs.on().map(tail::config::Config::faults).unwrap_or_default());
        part("collect", self.collect.on().map(collect::config::Config::faults).unwrap_or_default());
        part("destinations", export::config::faults(&self.destinations));
        part("alerts", self.alerts.on().map(alert::config::Config::faults).unwrap_or_default());
        part("store", self.store.on().map(store::config::Config::faults).unwrap_or_default());
        part("spool", self.spool.faults());
        part("listen", self.listen.on().map(web::config::Config::faults).unwrap_or_default());
        if let Some(otlp) = &self.own.otlp_grpc {
            out.extend(check::address("self.otlp_grpc.endpoint", &otlp.endpoint, check::Path::Forbidden));
        }
        out
    }
}

/// `self:` the agent's own telemetry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Own {
    /// Where its own logs, metrics and spans go, past its own pipeline. Default: nowhere but its own log and `status`.
    pub otlp_grpc: Option<OwnOtlp>,
}

/// `self.otlp_grpc:`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnOtlp {
    /// `http://HOST:PORT` of an OpenTelemetry collector. Required.
    pub endpoint: String,
}
