//! Which queues are read: lists of names, or `auto`, which looks without walking through all keys.

use self::search::Search;
use super::session::Session;
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
    celery: Vec<String>,
    streams: Vec<String>,
    lacking: Vec<String>,
    read: usize,
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
    pub(super) async fn read(&mut self, session: &mut Session, out: &mut Samples) -> Result<(), CollectError> {
        self.lacking.clear();
        self.read = 0;
        self.bullmq.look(session).await?;
        self.bullmq.tell(&mut self.lacking);
        let mut failed = None;
        let tells_absent = self.bullmq.tells_absent();
        for (place, workers) in self.bullmq.places() {
            let at = bullmq::At { prefix: &place.prefix, name: &place.queue, workers, tells_absent };
            let read = bullmq::read(session, &at, out).await;
            self.took(read.map(usize::from), &mut failed)?;
        }
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
        // The last, as the jobs that run may be larger than what is taken.
        if self.sidekiq != Wanted::None {
            let only = match &self.sidekiq {
                Wanted::Named(names) => Some(names.as_slice()),
                _ => None,
            };
            let read = sidekiq::read(session, only, &mut self.lacking, out).await;
            self.took(read, &mut failed)?;
        }
        failed.map_or(Ok(()), Err)
    }

    fn took(
        &mut self,
        read: Result<usize, CollectError>,
        failed: &mut Option<CollectError>,
    ) -> Result<(), CollectError> {
        match read {
            Ok(count) => self.read += count,
            Err(error @ CollectError::Query(_)) => {
                failed.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
