//! The parts that a config started, and their orderly end.

use std::sync::Arc;
use std::thread::JoinHandle as Thread;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::Base;
use super::alerts::{self, Alerts, Prepared};
use super::finder::{self, Roster};
use super::plan::{OfLogs, Plan};
use crate::base::stop::Stop;
use crate::collect::event::Event;
use crate::collect::schedule::{self, Job, Sink};
use crate::pipeline::Pipeline;
use crate::signal::frame::Signal;
use crate::signal::logs::LogBatch;
use crate::signal::record::Record;
use crate::signal::resource::Resource;
use crate::spool::SpoolError;
use crate::status::Board;
use crate::tail::{self, Intake, journald};

/// What runs. The flow stops from its source: first the readers, then the senders.
pub(super) struct Running {
    sources: Stop,
    senders: Stop,
    threads: Vec<Thread<()>>,
    jobs: Vec<JoinHandle<()>>,
    sends: Vec<JoinHandle<()>>,
    /// The metrics made from log lines.
    derived: Vec<OfLogs>,
    /// Asks for another look for servers.
    again: Arc<Notify>,
    /// The rules; `None`: switched off.
    alerts: Option<Alerts>,
}

impl Running {
    /// Starts everything in `plan`. What `before` counted from the same log entries goes on: a reload resets no counter.
    ///
    /// # Errors
    /// A cursor cannot be written, or no thread can be had. What was started by then has ended.
    pub(super) async fn start(
        mut plan: Plan,
        base: &Base,
        before: Option<&Self>,
        time: Duration,
    ) -> anyhow::Result<Self> {
        let mut running = Self {
            sources: Stop::new(),
            senders: Stop::new(),
            threads: Vec::new(),
            jobs: Vec::new(),
            sends: Vec::new(),
            derived: std::mem::take(&mut plan.derived),
            again: Arc::new(Notify::new()),
            alerts: None,
        };
        for old in before.iter().flat_map(|before| &before.derived) {
            for new in running.derived.iter().filter(|new| new.service == old.service) {
                new.derived.inherit(&old.derived);
            }
        }
        match running.fill(plan, base, before) {
            Ok(()) => Ok(running),
            Err(error) => {
                // Left alone, its senders would keep the cursors.
                running.stop(time).await;
                Err(error)
            }
        }
    }

    fn fill(&mut self, plan: Plan, base: &Base, before: Option<&Self>) -> anyhow::Result<()> {
        let running = self;
        forget(&plan, base);
        running.send(&plan, base)?;
        let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for part in plan.tail.into_iter().flat_map(|tail| tail.apart(&mountinfo)) {
            let intake = Intake::new(base.pipeline.clone(), part.treatments);
            let positions = base.pipeline.log_positions();
            let started = tail::start(part.settings, &positions, intake, base.board.clone(), running.sources.clone());
            running.threads.push(started.context("logs.files")?);
        }
        if let Some((settings, treatment)) = plan.journal {
            let intake = Intake::new(base.pipeline.clone(), vec![treatment]);
            let positions = base.pipeline.log_positions();
            let started = journald::start(settings, &positions, intake, &base.board, running.sources.clone());
            running.threads.push(started.context("logs.journald")?);
        }
        let found = plan.finder.iter().flat_map(|(_, found)| found).filter_map(|found| found.job.as_ref());
        let waits = plan.jobs.iter().chain(found).map(|job| (job.name.clone(), job.timeout)).collect();
        for job in plan.jobs {
            let sink = sink(&job, &base.pipeline, &base.board);
            running.jobs.push(schedule::start(job, sink, base.board.clone(), running.sources.clone()));
        }
        if let Some((finder, found)) = plan.finder {
            let roster = Roster::new(base.board.clone(), base.pipeline.clone());
            let (again, stop) = (Arc::clone(&running.again), running.sources.clone());
            running.jobs.push(tokio::spawn(finder::watch(finder, found, roster, again, stop)));
        }
        let before = before.and_then(|before| before.alerts.as_ref());
        running.alerts = match plan.alerts {
            Some(prepared) => Some(Alerts::start(prepared, base, before, waits).context("alerts")?),
            None => {
                alerts::off(base, before);
                None
            }
        };
        Ok(())
    }

    /// True when nothing of it runs any more.
    pub(super) fn is_stopped(&self) -> bool {
        self.sources.is_set()
    }

    /// Makes the cursors that are new in `plan`, while everything goes on: most of what can fail in a start.
    ///
    /// # Errors
    /// A cursor cannot be written.
    pub(super) fn prepare(plan: &Plan, base: &Base) -> anyhow::Result<()> {
        let spools = [(Signal::Logs, &base.logs), (Signal::Metrics, &base.metrics)];
        let made = spools.iter().try_for_each(|(signal, spool)| {
            let takers = plan.destinations.iter().filter(|(_, prepared)| prepared.signals().contains(signal));
            takers.into_iter().try_for_each(|(name, prepared)| match spool.cursor(name, prepared.when_full()) {
                Ok(_) | Err(SpoolError::Taken { .. }) => Ok(()),
                Err(error) => Err(error).with_context(|| format!("destination {name}")),
            })
        });
        if made.is_err() {
            // Those that were made would hold up the others.
            for (signal, spool) in spools {
                let served: Vec<_> = base.board.destinations().into_iter().map(|(key, _)| key).collect();
                let names: Vec<&str> =
                    served.iter().filter(|(_, known)| *known == signal).map(|(name, _)| name.as_str()).collect();
                spool.keep_only(&names);
            }
        }
        made
    }

    /// The rules that run.
    pub(super) fn alerts(&self) -> Option<&Alerts> {
        self.alerts.as_ref()
    }

    /// Looks for servers again, and tries those that let nobody in.
    pub(super) fn look_again(&self) {
        self.again.notify_one();
    }

    /// Runs other rules; everything else goes on.
    ///
    /// # Errors
    /// A secret of a notifier went away since the check.
    pub(super) async fn swap_alerts(&mut self, prepared: Prepared, base: &Base, time: Duration) -> anyhow::Result<()> {
        if let Some(alerts) = &mut self.alerts {
            alerts.stop(time).await;
        }
        self.alerts = Some(Alerts::start(prepared, base, self.alerts.as_ref(), Vec::new())?);
        Ok(())
    }

    /// Cursors come before any source, so that a new destination gets what is read from now on.
    fn send(&mut self, plan: &Plan, base: &Base) -> anyhow::Result<()> {
        for (signal, spool) in [(Signal::Logs, &base.logs), (Signal::Metrics, &base.metrics)] {
            let takers = plan.destinations.iter().filter(|(_, prepared)| prepared.signals().contains(&signal));
            let names: Vec<&str> = takers.clone().map(|(name, _)| name.as_str()).collect();
            for ((name, known), _) in base.board.destinations() {
                if known == signal && !names.contains(&name.as_str()) {
                    base.board.forget_destination(&name, signal);
                }
            }
            for (name, prepared) in takers {
                let cursor = spool.cursor(name, prepared.when_full()).with_context(|| format!("destination {name}"))?;
                self.sends.push(prepared.clone().start(signal, cursor, &base.board, self.senders.clone()));
            }
            // After the cursors are claimed: one that nobody claims would hold up the others until then.
            spool.keep_only(&names);
        }
        Ok(())
    }

    /// Stops the sources, gives the senders a moment to deliver what that brought, and stops them.
    pub(super) async fn stop(&mut self, time: Duration) {
        self.sources.set();
        for thread in self.threads.drain(..) {
            let joined = tokio::time::timeout(time, tokio::task::spawn_blocking(move || thread.join())).await;
            match joined {
                Ok(Ok(Ok(()))) => {}
                Ok(_) => tracing::error!("a reading thread ended by a fault of its own"),
                Err(_) => tracing::error!("a reading thread does not end: a file system hangs"),
            }
        }
        end(std::mem::take(&mut self.jobs), time).await;
        if let Some(alerts) = &mut self.alerts {
            alerts.stop(time).await;
        }
        self.senders.set();
        end(std::mem::take(&mut self.sends), time).await;
    }
}

/// Takes sources off the board, and their numbers off `/metrics`, that the plan does not have.
fn forget(plan: &Plan, base: &Base) {
    let names = plan.names();
    for (name, _) in base.board.sources() {
        if !names.contains(&name) {
            base.board.forget_source(&name);
            base.pipeline.forget(&name);
        }
    }
}

pub(super) async fn end(tasks: Vec<JoinHandle<()>>, time: Duration) {
    for task in tasks {
        let abort = task.abort_handle();
        if tokio::time::timeout(time, task).await.is_err() {
            abort.abort();
        }
    }
}

/// The pipeline, as the schedule loop sees it.
pub(super) fn sink(job: &Job, pipeline: &Pipeline, board: &Board) -> Sink {
    let (pipeline, name, board) = (pipeline.clone(), job.name.clone(), board.clone());
    Arc::new(move |resource, samples, events, (start, nanos)| {
        // What is not taken is counted by the pipeline.
        let _counted = pipeline.push_samples(&name, resource, samples, start, nanos).is_err();
        if let Err(why) = push_events(&pipeline, resource, events, nanos) {
            let hint = format!("{name}: its log records were not taken: {why}");
            board.lost("collect", "events_not_taken", events.len() as u64, hint);
        }
    })
}

/// Log records of a collector, as one frame. There is no file to read them from again: a full spool drops them.
fn push_events(pipeline: &Pipeline, resource: &Arc<Resource>, events: &[Event], nanos: u64) -> Result<(), String> {
    if events.is_empty() {
        return Ok(());
    }
    let (mut batch, mut record) = (LogBatch::default(), Record::default());
    for (index, event) in events.iter().enumerate() {
        event.fill(&mut record);
        // Equal records of one moment stay apart.
        let at = if event.nanos == 0 { nanos } else { event.nanos } + index as u64;
        batch.push(resource, at, &record, &event.body);
    }
    let frame = pipeline.seal(&mut batch).map_err(|error| error.to_string())?;
    pipeline.push(&frame).map_err(|error| error.to_string())
}
