//! `collect.rabbitmq:` the management plugin or the Prometheus plugin of one RabbitMQ: the first round finds out which.

use serde::de::MapAccess;

use super::Rabbitmq;
use crate::collect::Collector;
use crate::collect::address::Url;
use crate::collect::entry::{self, Entry, System};
use crate::collect::http::Http;

/// What an entry adds to the shared settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Queues that Celery works on. Default: none.
    pub celery: Vec<String>,
}

impl System for Config {
    const KIND: &'static str = "rabbitmq";
    const SERVICE: &'static str = "rabbitmq";
    const PORT: u16 = 15672;
    const SCHEMES: &'static [&'static str] = &["http", "https"];
    const KEYS: &'static [&'static str] = &entry::keys::<1, 9>(["celery"]);

    fn set<'de, A: MapAccess<'de>>(&mut self, _: &str, map: &mut A) -> Result<(), A::Error> {
        self.celery = map.next_value()?;
        Ok(())
    }

    fn build(&self, entry: &Entry, url: &Url) -> Result<Box<dyn Collector>, String> {
        Ok(Box::new(Rabbitmq::new(Http::of(entry, url, None)?, self.celery.clone())))
    }
}
