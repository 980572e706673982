//! Which queues are read: lists of names, or `auto`, which looks without walking through all keys.

use self::search::Search;
use super::session::{Session, is_elsewhere, is_forbidden};
use super::{bullmq, celery, sidekiq, streams};
use crate::collect::CollectError;
use crate::signal::metrics::Samples;

mod client_names;
mod search;

/// Queues of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Not read.
    #[default]
    None,
    /// Looked for.
    Auto,
    /// By name.
    Named(Vec<String>),
}

/// The queues of one server.
#[derive(Debug, Default)]
pub struct Queues {
    bullmq: Search,
    sidekiq: Wanted,
    large: sidekiq::Large,
    celery: Vec<String>,
    streams: Vec<String>,
    lacking: Vec<String>,
    read: usize,
    /// Whether the keys of one lie on another node of the cluster.
    elsewhere: bool,
}

/// Prefixes of BullMQ's keys in one server.
pub const MAX_PREFIXES: usize = search::MAX_PREFIXES;
/// Queues of one kind that are read.
const MAX_QUEUES: usize = 500;

impl Queues {
    /// What the config names.
    pub fn new(bullmq: Wanted, sidekiq: Wanted, celery: Vec<String>, streams: Vec<String>) -> Self {
        Self { bullmq: Search::new(bullmq, None), sidekiq, celery, streams, ..Self::default() }
    }

    /// The same with these prefixes of BullMQ's keys, and no others.
    #[must_use]
    pub fn with_prefixes(mut self, prefixes: Vec<String>) -> Self {
        self.bullmq = Search::new(self.bullmq.wanted, Some(prefixes));
        self
    }

    /// Queues that the last round read.
    pub fn count(&self) -> usize {
        self.read
    }

    /// What could not be read, with its mend.
    pub fn lacking(&self) -> &[String] {
        &self.lacking
    }

    /// Reads all; one kind that fails takes nothing from the others.
    /// `clients` are those of the server.
    pub(super) async fn read(
        &mut self,
        session: &mut Session,
        clients: f64,
        out: &mut Samples,
    ) -> Result<(), CollectError> {
        self.lacking.clear();
        (self.read, self.elsewhere) = (0, false);
        self.bullmq.look(session, clients).await?;
        self.bullmq.tell(&mut self.lacking);
        let mut failed = None;
        self.read_bullmq(session, &mut failed, out).await?;
        if !self.celery.is_empty() {
            let names = self.celery.get(..MAX_QUEUES).unwrap_or(&self.celery);
            let read = celery::read(session, names, &mut self.lacking, out).await;
            self.took(read, &mut failed)?;
        }
        let mut forbidden = false;
        for name in self.streams.clone().iter().take(MAX_QUEUES) {
            let read = streams::read(session, name, &mut forbidden, out).await;
            self.took(read.map(|()| 1), &mut failed)?;
        }
        if forbidden {
            self.lacking.push("how long the consumers of streams are idle needs +xinfo|consumers".into());
        }
        // The last, as its oldest jobs may be larger than what is taken.
        if self.sidekiq != Wanted::None {
            let only = match &self.sidekiq {
                Wanted::Named(names) => Some(names.as_slice()),
                _ => None,
            };
            let read = sidekiq::read(session, only, &mut self.large, &mut self.lacking, out).await;
            self.took(read, &mut failed)?;
        }
        if self.elsewhere {
            self.lacking
                .push("queues that lie on other nodes of the cluster are read there only: watch each node".into());
        }
        failed.map_or(Ok(()), Err)
    }

    /// Who named no queue asked for none: that those which were found may not be read is no fault.
    async fn read_bullmq(
        &mut self,
        session: &mut Session,
        failed: &mut Option<CollectError>,
        out: &mut Samples,
    ) -> Result<(), CollectError> {
        let (tells_absent, are_found) = (self.bullmq.tells_absent(), self.bullmq.wanted == Wanted::Auto);
        let mut closed: Vec<String> = Vec::new();
        for (place, workers) in self.bullmq.places() {
            if closed.contains(&place.prefix) {
                continue;
            }
            let at = bullmq::At { prefix: &place.prefix, name: &place.queue, workers, tells_absent };
            match bullmq::read(session, &at, out).await {
                Err(error) if are_found && is_forbidden(&error) => closed.push(place.prefix),
                read => self.took(read.map(usize::from), failed)?,
            }
        }
        let needs = |prefix| format!("BullMQ's queues may not be read without %R~{prefix}:* {}", bullmq::RIGHTS);
        self.lacking.extend(closed.iter().map(needs));
        Ok(())
    }

    fn took(
        &mut self,
        read: Result<usize, CollectError>,
        failed: &mut Option<CollectError>,
    ) -> Result<(), CollectError> {
        match read {
            Ok(count) => self.read += count,
            Err(error) if is_elsewhere(&error) => self.elsewhere = true,
            Err(CollectError::Query(why)) => {
                failed.get_or_insert(CollectError::Partly(why));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
