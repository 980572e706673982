//! `collect.nats:` the monitoring endpoint of one NATS server.

use super::Nats;
use crate::collect::Collector;
use crate::collect::address::Url;
use crate::collect::entry::{self, Entry, System};
use crate::collect::http::Http;

/// An entry adds nothing to the shared settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config;

impl System for Config {
    const KIND: &'static str = "nats";
    const SERVICE: &'static str = "nats";
    const PORT: u16 = 8222;
    const SCHEMES: &'static [&'static str] = &["http", "https"];
    const KEYS: &'static [&'static str] = &entry::keys::<0, 8>([]);

    fn build(&self, entry: &Entry, url: &Url) -> Result<Box<dyn Collector>, String> {
        Ok(Box::new(Nats::new(Http::of(entry, url, None)?)))
    }
}
