//! The one schedule loop: every collector is run by it, at its interval, within its time.
//!
//! It stands here once so that no collector has a timer, a retry or a log line of its own. Rounds are laid on a
//! grid from the start on (`start + n * interval`), so they do not drift; a grid point that passes while a round
//! still runs is left out, so slow rounds never pile up. A round that takes longer than its time is given up by
//! dropping its future. What a round says about itself (failures, duration) goes out with the round.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use super::event::Event;
use super::{CollectError, Collector};
use tracing::Instrument;

use crate::base::clock;
use crate::base::stop::Stop;
use crate::signal::metrics::{Desc, Limits, Samples};
use crate::signal::resource::Resource;
use crate::status::{Board, Source};

/// What the loop puts into each round.
pub const METRICS: &[Desc] = &[FAILURES, DURATION, UP];
const FAILURES: Desc =
    Desc::counter("plimsoll.collect.failures", "{round}", "Rounds of a source that failed, by the kind of error.");
const DURATION: Desc = Desc::gauge("plimsoll.collect.duration", "s", "Time that the source's latest round took.");

const UP: Desc = Desc::gauge("up", "", "1 while a watched server's latest round was read without a fault, else 0.");

/// After a refused login: so seldom that the server's log does not fill and no account is locked.
const DENIED: Duration = Duration::from_secs(600);

/// Takes a round: resource, points, log records, the time since which its sums count and the round's time (Unix
/// nanoseconds).
/// It may block: it is called where blocking is allowed.
pub type Sink = Arc<dyn Fn(&Arc<Resource>, &Samples, &[Event], (u64, u64)) + Send + Sync>;

/// A collector and how to run it.
pub struct Job {
    /// Its name on the board and in `source`, such as `host` or `postgres 127.0.0.1:5432`.
    pub name: String,
    /// Its kind on the board, such as `host`.
    pub kind: &'static str,
    /// What is run.
    pub collector: Box<dyn Collector>,
    /// Whom its points belong to.
    pub resource: Arc<Resource>,
    /// From one round to the next.
    pub interval: Duration,
    /// A round that takes longer is given up.
    pub timeout: Duration,
    /// Series in one round; the rest is refused and counted as lost.
    pub series: usize,
    /// A server of its own: each round says whether it is `up`.
    pub server: bool,
    /// Of a server that nobody named: the commands that let us in. Until it did so once, a refusal is a hint and no
    /// fault, and its rounds are not told.
    pub grant: Option<String>,
}

/// Runs `job` in a task of its own until `stop`. The task also ends, with a fault on the board, if the collector
/// panics: the other sources go on.
pub fn start(job: Job, sink: Sink, board: Board, stop: Stop) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let source = board.source(&job.name);
        let name = job.name.clone();
        if tokio::spawn(run(job, sink, board, stop)).await.is_err_and(|error| error.is_panic()) {
            source.fault.set("stopped by a fault of its own: restart plimsoll and report the panic in its log");
            tracing::error!(source = name, "collector panicked, it is not run again");
        }
    })
}

/// Runs `job` until `stop`: the first round at once.
pub async fn run(mut job: Job, sink: Sink, board: Board, stop: Stop) {
    let mut report = Report::new(&job, board);
    // A zero interval would panic; nothing that is read in rounds is read more often than this.
    let mut ticks = tokio::time::interval(job.interval.max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut stamps = Stamps::default();
    let mut denied: Option<Denied> = None;
    loop {
        tokio::select! {
            () = stop.wait() => return,
            _ = ticks.tick() => {}
        }
        let mut samples = Samples::new(Limits { series: job.series, ..Limits::default() });
        let begun = Instant::now();
        let round = tracing::info_span!("collect", source = job.name);
        denied = denied.filter(|denied| begun < denied.until);
        let result = if let Some(denied) = &denied {
            Err(CollectError::Denied(denied.why.clone()))
        } else {
            let result = tokio::select! {
                () = stop.wait() => return,
                result = tokio::time::timeout(job.timeout, job.collector.collect(&mut samples).instrument(round)) => result,
            };
            report.source.detail.set(job.collector.detail());
            result.unwrap_or(Err(CollectError::Timeout(job.timeout)))
        };
        denied = denied.or_else(|| Denied::of(&result, begun));
        if report.is_hint(&result) {
            continue;
        }
        report.round(&result, begun.elapsed(), &mut samples);
        let events = job.collector.events();
        let times = stamps.next(clock::unix_nanos());
        let (sink, resource) = (Arc::clone(&sink), Arc::clone(&job.resource));
        let handed = tokio::task::spawn_blocking(move || sink(&resource, &samples, &events, times)).await;
        if let Err(error) = handed {
            tracing::error!(source = job.name, %error, "round could not be handed on");
        }
    }
}

/// The server refused the login: it is left alone until then, and each round until then counts as refused.
struct Denied {
    until: Instant,
    why: String,
}

impl Denied {
    fn of(result: &Result<(), CollectError>, begun: Instant) -> Option<Self> {
        match result {
            Err(CollectError::Denied(why)) => Some(Self { until: begun + DENIED, why: why.clone() }),
            _ => None,
        }
    }
}

/// The times of one source's rounds.
#[derive(Debug, Default)]
struct Stamps {
    start: u64,
    last: u64,
}

impl Stamps {
    /// (start, time) of a round at `now`. Time never goes back when the clock is set back: Prometheus takes no
    /// sample older than the last, and keeps milliseconds. The start is the first round's own time: OTLP's way
    /// to say that a sum is older than who reports it.
    fn next(&mut self, now: u64) -> (u64, u64) {
        self.last = now.max(self.last + 1_000_000);
        if self.start == 0 {
            self.start = self.last;
        }
        (self.start, self.last)
    }
}

/// What is said about the rounds of one source: on the board, in the log, in the round.
struct Report {
    name: String,
    board: Board,
    source: Arc<Source>,
    server: bool,
    /// The commands that let us in, until the server did so once.
    grant: Option<String>,
    failures: [(&'static str, u64); 5],
}

impl Report {
    fn new(job: &Job, board: Board) -> Self {
        let source = board.source(&job.name);
        source.kind.set(job.kind);
        source.interval.set(job.interval.as_secs().max(1));
        source.hint.set("");
        let failures = [("connect", 0), ("denied", 0), ("query", 0), ("parse", 0), ("timeout", 0)];
        Self { name: job.name.clone(), board, source, server: job.server, grant: job.grant.clone(), failures }
    }

    /// Tells the end of a round and adds the loop's own points to it.
    fn round(&mut self, result: &Result<(), CollectError>, took: Duration, samples: &mut Samples) {
        match result {
            Ok(()) | Err(CollectError::NoData(_)) => self.well(),
            Err(error) => self.failed(error),
        }
        self.over_limit(samples);
        // Each kind has a point from the first round on: a counter that appears at 1 shows no increase to a rule.
        samples.allow(self.failures.len() + 2);
        if self.server {
            let answers = matches!(result, Ok(()) | Err(CollectError::NoData(_) | CollectError::Partly(_)));
            samples.put(&UP, u64::from(answers));
        }
        for (kind, count) in self.failures {
            samples.put_with(&FAILURES, &[("source", &self.name), ("error.type", kind)], count);
        }
        samples.put_with(&DURATION, &[("source", &self.name)], took.as_secs_f64());
        let points = samples.samples().len() as u64;
        self.source.points.set(points);
        self.source.points_total.add(points);
    }

    /// A found server that refuses us, or is of no version that is read, is no fault before it let us in once.
    fn is_hint(&mut self, result: &Result<(), CollectError>) -> bool {
        let Some(grant) = &self.grant else { return false };
        let text = match result {
            Ok(()) | Err(CollectError::NoData(_)) => {
                self.grant = None;
                self.source.hint.set("");
                return false;
            }
            Err(CollectError::Denied(why)) if !grant.is_empty() => {
                format!("{why}; this lets plimsoll in, and `plimsoll reload` tries again at once:\n{grant}")
            }
            Err(CollectError::Denied(why) | CollectError::Query(why)) => format!("found, and not read: {why}"),
            Err(_) => return false,
        };
        if self.source.hint.get() != text {
            tracing::info!(source = self.name, "found, and not read yet: `plimsoll status` says what it takes");
            self.source.hint.set(text);
            self.source.fault.set("");
        }
        true
    }

    fn well(&self) {
        if !self.source.fault.get().is_empty() {
            tracing::info!(source = self.name, "is read again");
            self.source.fault.set("");
        }
        self.source.last_success.set(clock::unix_nanos());
    }

    fn failed(&mut self, error: &CollectError) {
        let text = error.to_string();
        if self.source.fault.get() != text {
            tracing::warn!(source = self.name, error = text, "round failed");
            self.source.fault.set(text);
        }
        self.source.failures.add(1);
        for (kind, count) in &mut self.failures {
            *count += u64::from(*kind == error.kind());
        }
    }

    /// Counts refused series and names the metric that has the most, for that is the one to bound.
    fn over_limit(&self, samples: &Samples) {
        if samples.over_limit() > 0 {
            let mut counts = vec![0_usize; samples.metrics().len()];
            for sample in samples.samples() {
                counts[sample.metric] += 1;
            }
            let most = counts.iter().enumerate().max_by_key(|(_, count)| **count);
            let (name, count) = most.map_or(("", 0), |(index, count)| (&*samples.metrics()[index].name, *count));
            let hint = format!("{name} alone has {count} series: raise `series` of {} or collect less", self.name);
            self.board.lost(&format!("collect {}", self.name), "over_series_limit", samples.over_limit(), hint);
        }
    }
}

#[cfg(test)]
mod tests;
