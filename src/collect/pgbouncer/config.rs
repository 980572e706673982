//! `collect.pgbouncer:` the admin console of one pgbouncer.

use super::Pgbouncer;
use crate::collect::Collector;
use crate::collect::address::Url;
use crate::collect::entry::{self, Entry, System};
use crate::collect::postgres::config::target;

/// An entry adds nothing to the shared settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config;

impl System for Config {
    const KIND: &'static str = "pgbouncer";
    const SERVICE: &'static str = "pgbouncer";
    const PORT: u16 = 6432;
    const SCHEMES: &'static [&'static str] = &["postgres", "postgresql"];
    const KEYS: &'static [&'static str] = &entry::keys::<0, 8>([]);

    fn build(&self, entry: &Entry, url: &Url) -> Result<Box<dyn Collector>, String> {
        let mut target = target(entry, url)?;
        if url.path.is_empty() {
            target.config.dbname("pgbouncer");
        }
        Ok(Box::new(Pgbouncer::new(target)))
    }
}
