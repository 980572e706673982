//! `collect.postgres:` one Postgres server.

use serde::de::MapAccess;
use tokio_postgres::config::SslMode;

use super::session::Target;
use super::{Postgres, Settings};
use crate::base::certs::Tls;
use crate::base::check;
use crate::base::fault::Fault;
use crate::collect::Collector;
use crate::collect::address::Url;
use crate::collect::dial::Address;
use crate::collect::entry::{self, Entry, Names, System};

/// What an entry adds to the shared settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Databases that are read. Default `auto`: all that the user may connect to.
    pub databases: Names,
    /// How many statements, tables and indexes are told apart. Default 20. From 0 to 500.
    pub top: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { databases: Names::Auto, top: 20 }
    }
}

impl System for Config {
    const KIND: &'static str = "postgres";
    const SERVICE: &'static str = "postgresql";
    const PORT: u16 = 5432;
    const SCHEMES: &'static [&'static str] = &["postgres", "postgresql"];
    const KEYS: &'static [&'static str] = &entry::keys::<2, 10>(["databases", "top"]);

    fn set<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "databases" => self.databases = map.next_value()?,
            _ => self.top = map.next_value()?,
        }
        Ok(())
    }

    fn faults(&self) -> Vec<Fault> {
        let mut out = Vec::new();
        if self.top > 500 {
            out.push(Fault::new("top", format!("{} is too many", self.top), "from 0 to 500"));
        }
        for (index, name) in self.databases.named().iter().flatten().enumerate() {
            out.extend(check::name(&format!("databases[{index}]"), name));
        }
        out
    }

    fn build(&self, entry: &Entry, url: &Url) -> Result<Box<dyn Collector>, String> {
        let target = target(entry, url)?.bounded(entry.time());
        Ok(Box::new(Postgres::new(Settings { target, databases: self.databases.named(), top: self.top })))
    }
}

/// How to connect to a server that speaks Postgres' protocol. Without certificates, TLS is used where the server has
/// it, and not on this box; `?sslmode=require` insists on it, `?sslmode=disable` does without.
///
/// # Errors
/// A secret or certificate cannot be read.
pub(in crate::collect) fn target(entry: &Entry, url: &Url) -> Result<Target, String> {
    let mut config = tokio_postgres::Config::new();
    config.application_name("plimsoll").user(entry.user(url).unwrap_or_else(|| "plimsoll".into()));
    config.dbname(if url.path.is_empty() { "postgres" } else { &url.path }).port(url.port);
    match &url.address {
        Address::Unix(folder) => config.host_path(folder),
        Address::Tcp(host, _) => config.host(host),
    };
    let mode = match url.get("sslmode") {
        _ if entry.tls != Tls::default() => SslMode::Require,
        Some("require" | "verify-ca" | "verify-full") => SslMode::Require,
        Some("disable") => SslMode::Disable,
        _ if url.is_local() => SslMode::Disable,
        _ => SslMode::Prefer,
    };
    config.ssl_mode(mode);
    let tls = if mode == SslMode::Disable { None } else { Some(entry.tls()?) };
    Ok(Target { name: url.shown(), config, password: entry.password()?, tls })
}
