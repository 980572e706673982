//! Servers that are found on the box and that the config does not name: looked for at the start and every two minutes,
//! each watched by a job of its own that comes and goes without the others.
//!
//! One that is gone stays for a quarter of an hour, so that its `up` says 0 for long enough to be heard.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::plan::Naming;
use super::running;
use crate::base::stop::Stop;
use crate::collect::address::instance;
use crate::collect::find::{self, rules};
use crate::collect::schedule::{self, Job};
use crate::config::Config;
use crate::pipeline::Pipeline;
use crate::status::Board;

/// From one look to the next.
const EVERY: Duration = Duration::from_secs(120);
/// How long a server that was read and is gone stays: it is down, and its page must not end by itself. What came and
/// went within the hour was somebody's trial.
const KEPT: Duration = Duration::from_secs(86_400);
const TRIAL: Duration = Duration::from_secs(3600);
const KEPT_OF_A_TRIAL: Duration = Duration::from_secs(900);
/// How long a job has to end.
const END: Duration = Duration::from_secs(10);

/// What is looked for.
#[derive(Debug, Clone)]
pub(super) struct Finder {
    kinds: Vec<&'static str>,
    naming: Naming,
}

/// A server that was found.
pub(super) struct Found {
    /// Its name on the board.
    pub(super) name: String,
    pub(super) kind: &'static str,
    /// `service.name` and `service.instance.id`.
    pub(super) service: String,
    pub(super) instance: String,
    /// How it is reached.
    url: String,
    /// What lets us in.
    grant: String,
    /// What reads it; `None` where it needs a login that nobody can guess.
    pub(super) job: Option<Job>,
}

impl Finder {
    /// Looks for the kinds that `config` does not name; `None` where it wants nothing found.
    pub(super) fn of(config: &Config, naming: &Naming) -> Option<Self> {
        let kinds = config.collect.on().filter(|_| config.discover)?.unnamed();
        (!kinds.is_empty()).then(|| Self { kinds, naming: naming.clone() })
    }

    /// What is there now. Blocks for some milliseconds.
    pub(super) fn look(&self) -> Vec<Found> {
        let begun = Instant::now();
        let seen = find::look(Path::new("/proc"), &rules::is_known);
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let user = rules::user_name(&passwd, rustix::process::geteuid().as_raw());
        let servers = rules::servers(&seen, &self.kinds, user.as_deref());
        let found: Vec<Found> = servers.into_iter().filter_map(|server| self.found(server)).collect();
        tracing::debug!(sockets = seen.listening.len(), found = found.len(), took = ?begun.elapsed(), "looked for servers");
        found
    }

    fn found(&self, server: rules::Server) -> Option<Found> {
        let rules::Server { entry, tried, grant } = server;
        let instance = instance(&entry.url().ok()?, &self.naming.host);
        let (kind, name) = (entry.kind(), format!("{} {instance}", entry.kind()));
        let job = if tried {
            let made = self.naming.job(&*entry, name.clone(), &instance, Some(grant.clone()));
            Some(made.inspect_err(|error| tracing::error!("{name} was found and cannot be watched: {error:#}")).ok()?)
        } else {
            None
        };
        let (service, url) = (entry.service().to_owned(), entry.entry().url.clone());
        Some(Found { name, kind, service, instance, url, grant, job })
    }
}

/// What is watched.
struct Watching {
    url: String,
    job: Option<(Stop, JoinHandle<()>)>,
    since: Instant,
    gone: Option<Instant>,
}

/// The servers that were found, and the jobs that read them.
pub(super) struct Roster {
    board: Board,
    pipeline: Pipeline,
    watching: BTreeMap<String, Watching>,
}

/// Watches `found` and what later looks bring, until `stop`. `again` asks for a look at once, for another try
/// with those that let nobody in, and to forget those that are gone.
pub(super) async fn watch(finder: Finder, found: Vec<Found>, mut roster: Roster, again: Arc<Notify>, stop: Stop) {
    let mut found = Some(found);
    loop {
        if let Some(found) = found {
            roster.take(found, Instant::now()).await;
        }
        tokio::select! {
            () = stop.wait() => break,
            () = again.notified() => roster.retry().await,
            () = tokio::time::sleep(EVERY) => {}
        }
        let finder = finder.clone();
        found = tokio::task::spawn_blocking(move || finder.look()).await.ok();
    }
    roster.end().await;
}

impl Roster {
    pub(super) fn new(board: Board, pipeline: Pipeline) -> Self {
        Self { board, pipeline, watching: BTreeMap::new() }
    }

    /// Starts what is new in `found`, and forgets what is gone for long.
    async fn take(&mut self, found: Vec<Found>, now: Instant) {
        let names: Vec<String> = found.iter().map(|found| found.name.clone()).collect();
        let absent: Vec<String> = self.watching.keys().filter(|name| !names.contains(name)).cloned().collect();
        for name in absent {
            let was_read = self.board.source(&name).last_success.get() > 0;
            let Some(watching) = self.watching.get_mut(&name) else { continue };
            let gone = *watching.gone.get_or_insert(now);
            let kept = if gone.duration_since(watching.since) < TRIAL { KEPT_OF_A_TRIAL } else { KEPT };
            if !was_read || now.duration_since(gone) >= kept {
                tracing::info!(source = name, "is gone");
                self.forget(&name).await;
            }
        }
        for found in found {
            if let Some(known) = self.watching.get_mut(&found.name) {
                known.gone = None;
                if known.url == found.url && known.job.is_some() == found.job.is_some() {
                    continue;
                }
                self.forget(&found.name).await;
            }
            self.start(found, now);
        }
    }

    fn start(&mut self, found: Found, now: Instant) {
        let Found { name, kind, url, grant, job, .. } = found;
        tracing::info!(source = name, "found");
        let job = match job {
            None => {
                let source = self.board.source(&name);
                source.kind.set(kind);
                source.hint.set(format!("found, and not read: it needs what nobody can guess:\n{grant}"));
                None
            }
            Some(job) => {
                let stop = Stop::new();
                let sink = running::sink(&job, &self.pipeline, &self.board);
                Some((stop.clone(), schedule::start(job, sink, self.board.clone(), stop)))
            }
        };
        self.watching.insert(name, Watching { url, job, since: now, gone: None });
    }

    /// Ends the jobs that were never let in, so that the next look tries them anew, and forgets what is gone.
    async fn retry(&mut self) {
        let is_refused = |name: &String| !self.board.source(name).hint.get().is_empty();
        let over = self.watching.iter().filter(|(name, watching)| watching.gone.is_some() || is_refused(name));
        let names: Vec<String> = over.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.forget(&name).await;
        }
    }

    async fn forget(&mut self, name: &str) {
        if let Some((stop, task)) = self.watching.remove(name).and_then(|watching| watching.job) {
            stop.set();
            let abort = task.abort_handle();
            if tokio::time::timeout(END, task).await.is_err() {
                abort.abort();
            }
        }
        self.board.forget_source(name);
        self.pipeline.latest().forget(name);
    }

    /// Ends all jobs; what they said stays for the next plan to keep or forget.
    async fn end(self) {
        let jobs: Vec<(Stop, JoinHandle<()>)> =
            self.watching.into_values().filter_map(|watching| watching.job).collect();
        jobs.iter().for_each(|(stop, _)| stop.set());
        for (_, task) in jobs {
            let abort = task.abort_handle();
            if tokio::time::timeout(END, task).await.is_err() {
                abort.abort();
            }
        }
    }
}

#[cfg(test)]
mod tests;
