//! The whole state of an agent at one moment: plain values made from the board, with the health that follows.
//!
//! Every face shows this one report (`plimsoll status`, the page, `/-/healthy`, the control service), so that no
//! two of them can disagree about whether the agent is well.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Serialize, Serializer};

use super::{Board, Destination, Notifier, Source, Spool};
use crate::base::clock::SECOND;
use crate::signal::frame::Signal;

pub mod health;
pub mod process;
pub mod words;

pub use health::Health;
pub use process::Usage;

/// Everything about an agent. In JSON, times are Unix seconds and `null` for never.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Version of the agent.
    pub version: String,
    /// Name of the host.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// When it started, Unix nanoseconds.
    #[serde(serialize_with = "seconds")]
    pub started: u64,
    /// When this report was made, Unix nanoseconds.
    #[serde(serialize_with = "seconds")]
    pub now: u64,
    /// Resident memory in bytes.
    pub rss_bytes: u64,
    /// Processor time since the start, in seconds.
    pub cpu_seconds: f64,
    /// Processor time per second over the window: 0.01 is one percent of a core.
    pub cpu_share: f64,
    /// Length of the window that rates are taken over: the time since the start, or the last 10 to 20 seconds.
    pub window_seconds: f64,
    /// How it is, in one word.
    pub health: Health,
    /// What `/-/healthy` answers.
    pub healthy: bool,
    /// Why, one sentence each; empty when all is well.
    pub reasons: Vec<String>,
    /// What is read.
    pub sources: Vec<SourceReport>,
    /// What waits on disk.
    pub spools: Vec<SpoolReport>,
    /// Where it goes.
    pub destinations: Vec<DestinationReport>,
    /// Who is told of alerts.
    pub notifiers: Vec<NotifierReport>,
    /// How the alert rules stand.
    pub alerts: AlertsReport,
    /// What was lost.
    pub losses: Vec<LossReport>,
    /// Faults that hold until they are mended.
    pub notes: Vec<NoteReport>,
}

/// One source. Counters since the start of the agent.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SourceReport {
    /// Its name on the board.
    pub name: String,
    /// What it is, such as `files`, `journald`, `host`.
    pub kind: String,
    /// Details for people.
    pub detail: String,
    /// Log lines taken.
    pub lines: u64,
    /// Log lines per second over the window.
    pub lines_per_second: f64,
    /// Bytes of log lines taken.
    pub bytes: u64,
    /// Metric points of the latest round.
    pub points: u64,
    /// Metric points taken.
    pub points_total: u64,
    /// Points of the latest round over the seconds between rounds.
    pub points_per_second: f64,
    /// Seconds between rounds; 0 for logs.
    pub interval_seconds: u64,
    /// Bytes that lie in the files and are not taken yet.
    pub behind_bytes: u64,
    /// Lines that did not parse and went out as text.
    pub unparsed: u64,
    /// Lines with invalid UTF-8.
    pub invalid_utf8: u64,
    /// Lines cut at the size limit.
    pub cut: u64,
    /// Rounds that failed.
    pub failures: u64,
    /// Latest success, Unix nanoseconds.
    #[serde(serialize_with = "seconds")]
    pub last_success: u64,
    /// The fault that stands now, with its mend; empty when all is well.
    pub fault: String,
    /// What it would take to read what was found and is not read yet: words, then a line for each command.
    pub hint: String,
}

/// One spool.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SpoolReport {
    /// `logs`, `metrics` or `traces`.
    pub signal: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// The bound on what is not delivered.
    pub limit_bytes: u64,
    /// Segments on disk.
    pub segments: u64,
    /// Frames appended since the start.
    pub appended: u64,
    /// Number of the newest frame.
    pub newest: u64,
    /// Refusals because it was full.
    pub full: u64,
    /// Bytes set aside as damaged.
    pub quarantined_bytes: u64,
    /// The fault that stands now; empty when all is well.
    pub fault: String,
}

/// One signal of a destination. Counters since the start of the agent; times are Unix nanoseconds, 0 for never.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DestinationReport {
    /// Its name in the config.
    pub name: String,
    /// `logs`, `metrics` or `traces`.
    pub signal: String,
    /// Frames answered for good.
    pub frames: u64,
    /// Records or points that were taken.
    pub records: u64,
    /// Bytes sent, compressed.
    pub bytes: u64,
    /// Requests that failed and will be tried again.
    pub retries: u64,
    /// Records or points refused for good.
    pub refused: u64,
    /// Records or points that a full spool dropped before they were delivered.
    pub dropped: u64,
    /// Frames that wait.
    pub backlog_frames: u64,
    /// Bytes that wait, compressed.
    pub backlog_bytes: u64,
    /// Time of the oldest frame that waits.
    #[serde(serialize_with = "seconds")]
    pub oldest: u64,
    /// When the latest frame was taken.
    #[serde(serialize_with = "seconds")]
    pub last_success: u64,
    /// When the latest try failed.
    #[serde(serialize_with = "seconds")]
    pub last_error: u64,
    /// When the running series of failures began.
    #[serde(serialize_with = "seconds")]
    pub failing_since: u64,
    /// When the next try is due.
    #[serde(serialize_with = "seconds")]
    pub next_try: u64,
    /// The latest answer in plain words.
    pub answer: String,
}

/// One who is told of alerts. Counters since the start of the agent; times are Unix nanoseconds, 0 for never.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NotifierReport {
    /// Its name in the config; one that sends to several servers has an entry for each, with the address.
    pub name: String,
    /// Messages that were taken.
    pub messages: u64,
    /// Alerts in them.
    pub alerts: u64,
    /// Tries that failed and are made again.
    pub retries: u64,
    /// Alerts refused for good.
    pub refused: u64,
    /// Alerts that wait.
    pub waiting: u64,
    /// Bytes that wait.
    pub waiting_bytes: u64,
    /// Since when the oldest waits.
    #[serde(serialize_with = "seconds")]
    pub oldest: u64,
    /// When the latest message was taken.
    #[serde(serialize_with = "seconds")]
    pub last_success: u64,
    /// When the latest try failed.
    #[serde(serialize_with = "seconds")]
    pub last_error: u64,
    /// When the running series of failures began.
    #[serde(serialize_with = "seconds")]
    pub failing_since: u64,
    /// When the next try is due.
    #[serde(serialize_with = "seconds")]
    pub next_try: u64,
    /// The latest answer in plain words.
    pub answer: String,
}

/// How the alert rules of the box stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AlertsReport {
    /// Whether `alerts: off` stops the rules of this box.
    pub off: bool,
    /// Alerts of `severity: page` that fire.
    pub pages: u64,
    /// Alerts of `severity: ticket` that fire.
    pub tickets: u64,
    /// Other alerts that fire.
    pub others: u64,
    /// Alerts that wait for their time.
    pub pending: u64,
    /// Rules without an alert.
    pub quiet: u64,
    /// Rules that were not evaluated yet.
    pub waiting: u64,
    /// Rules whose source is here and fails.
    pub cannot_fire: u64,
    /// Rules whose source is not on this box.
    pub not_here: u64,
    /// Rules for the stack's ruler.
    pub fleet: u64,
    /// Rules whose latest round failed.
    pub failing: u64,
    /// Rounds of groups that were left out since the start.
    pub missed: u64,
}

/// Something that was lost.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LossReport {
    /// The part that lost it.
    pub part: String,
    /// Why, as a short word.
    pub reason: String,
    /// How much.
    pub count: u64,
    /// The latest case and the mend.
    pub hint: String,
}

/// A fault that holds until it is mended.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NoteReport {
    /// The part at fault.
    pub topic: String,
    /// What is wrong and how to mend it.
    pub text: String,
}

/// Who the agent is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Version of the agent.
    pub version: String,
    /// Name of the host.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// When it started, Unix nanoseconds.
    pub started: u64,
}

/// Makes reports of one agent, and remembers enough to tell rates.
#[derive(Debug)]
pub struct Reporter {
    identity: Identity,
    board: Board,
    marks: Mutex<Vec<Mark>>,
}

/// Counters at an earlier moment.
#[derive(Debug, Clone, Default)]
struct Mark {
    nanos: u64,
    cpu_seconds: f64,
    lines: BTreeMap<String, u64>,
}

/// The shortest window for a rate.
const WINDOW: u64 = 10 * SECOND;

impl Reporter {
    /// Reports on `board`.
    pub fn new(identity: Identity, board: Board) -> Self {
        Self { identity, board, marks: Mutex::new(Vec::new()) }
    }

    /// Remembers the counters at `now`, at most once in ten seconds; the control service calls it now and then.
    pub fn tick(&self, now: u64) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        // After a step of the clock backwards old marks would make rates of nonsense.
        marks.retain(|mark| mark.nanos <= now);
        if marks.last().is_some_and(|mark| now - mark.nanos < WINDOW) {
            return;
        }
        if marks.len() > 1 {
            marks.remove(0);
        }
        let lines = self.board.sources().into_iter().map(|(name, source)| (name, source.lines.get())).collect();
        marks.push(Mark { nanos: now, cpu_seconds: Usage::of_self().cpu_seconds, lines });
    }

    /// The report at `now`.
    pub fn report(&self, now: u64) -> Report {
        self.report_with(Usage::of_self(), now)
    }

    /// The report at `now` of a process that used `usage`.
    pub fn report_with(&self, usage: Usage, now: u64) -> Report {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let start = Mark { nanos: self.identity.started, ..Mark::default() };
        let mark = marks.first().filter(|mark| now.saturating_sub(mark.nanos) >= WINDOW).unwrap_or(&start);
        let window = now.saturating_sub(mark.nanos) as f64 / SECOND as f64;
        let sources = self.board.sources();
        let mut report = Report {
            version: self.identity.version.clone(),
            host: self.identity.host.clone(),
            pid: self.identity.pid,
            started: self.identity.started,
            now,
            rss_bytes: usage.rss_bytes,
            cpu_seconds: usage.cpu_seconds,
            cpu_share: per_second(usage.cpu_seconds - mark.cpu_seconds, window),
            window_seconds: window,
            sources: sources.iter().map(|(name, source)| source_report(name, source, mark, window)).collect(),
            spools: self.board.spools().iter().map(|(signal, spool)| spool_report(*signal, spool)).collect(),
            destinations: self.board.destinations().iter().map(|(key, to)| destination_report(key, to)).collect(),
            notifiers: self.board.notifiers().iter().map(|(name, one)| notifier_report(name, one)).collect(),
            alerts: alerts_report(&self.board.rules()),
            losses: self.board.losses().into_iter().map(|(key, loss)| loss_report(key, loss)).collect(),
            notes: self.board.notes().into_iter().map(|(topic, text)| NoteReport { topic, text }).collect(),
            ..Report::default()
        };
        (report.health, report.healthy, report.reasons) = health::judge(&report);
        report
    }
}

fn per_second(amount: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { (amount / seconds).max(0.0) } else { 0.0 }
}

fn source_report(name: &str, source: &Source, mark: &Mark, window: f64) -> SourceReport {
    let lines = source.lines.get();
    let earlier = mark.lines.get(name).copied().unwrap_or(0);
    let points = source.points.get();
    SourceReport {
        name: name.to_owned(),
        kind: source.kind.get(),
        detail: source.detail.get(),
        lines,
        lines_per_second: per_second(lines.saturating_sub(earlier) as f64, window),
        bytes: source.bytes.get(),
        points,
        points_total: source.points_total.get(),
        points_per_second: per_second(points as f64, source.interval.get() as f64),
        interval_seconds: source.interval.get(),
        behind_bytes: source.behind.get(),
        unparsed: source.unparsed.get(),
        invalid_utf8: source.invalid_utf8.get(),
        cut: source.cut.get(),
        failures: source.failures.get(),
        last_success: source.last_success.get(),
        fault: source.fault.get(),
        hint: source.hint.get(),
    }
}

fn spool_report(signal: Signal, spool: &Spool) -> SpoolReport {
    SpoolReport {
        signal: signal.name().to_owned(),
        bytes: spool.bytes.get(),
        limit_bytes: spool.limit.get(),
        segments: spool.segments.get(),
        appended: spool.appended.get(),
        newest: spool.newest.get(),
        full: spool.full.get(),
        quarantined_bytes: spool.quarantined.get(),
        fault: spool.fault.get(),
    }
}

fn destination_report((name, signal): &(String, Signal), to: &Destination) -> DestinationReport {
    DestinationReport {
        name: name.clone(),
        signal: signal.name().to_owned(),
        frames: to.frames.get(),
        records: to.records.get(),
        bytes: to.bytes.get(),
        retries: to.retries.get(),
        refused: to.refused.get(),
        dropped: to.dropped.get(),
        backlog_frames: to.backlog_frames.get(),
        backlog_bytes: to.backlog_bytes.get(),
        oldest: to.oldest.get(),
        last_success: to.last_success.get(),
        last_error: to.last_error.get(),
        failing_since: to.failing_since.get(),
        next_try: to.next_try.get(),
        answer: to.answer.get(),
    }
}

fn notifier_report(name: &str, one: &Notifier) -> NotifierReport {
    NotifierReport {
        name: name.to_owned(),
        messages: one.messages.get(),
        alerts: one.alerts.get(),
        retries: one.retries.get(),
        refused: one.refused.get(),
        waiting: one.waiting.get(),
        waiting_bytes: one.waiting_bytes.get(),
        oldest: one.oldest.get(),
        last_success: one.last_success.get(),
        last_error: one.last_error.get(),
        failing_since: one.failing_since.get(),
        next_try: one.next_try.get(),
        answer: one.answer.get(),
    }
}

fn alerts_report(rules: &super::Rules) -> AlertsReport {
    AlertsReport {
        off: rules.off.get() > 0,
        pages: rules.pages.get(),
        tickets: rules.tickets.get(),
        others: rules.others.get(),
        pending: rules.pending.get(),
        quiet: rules.quiet.get(),
        waiting: rules.waiting.get(),
        cannot_fire: rules.cannot_fire.get(),
        not_here: rules.not_here.get(),
        fleet: rules.fleet.get(),
        failing: rules.failing.get(),
        missed: rules.missed.get(),
    }
}

fn loss_report((part, reason): (String, &'static str), loss: super::Loss) -> LossReport {
    LossReport { part, reason: reason.to_owned(), count: loss.count, hint: loss.hint }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn seconds<S: Serializer>(nanos: &u64, out: S) -> Result<S::Ok, S::Error> {
    // Milliseconds are exact in a double until the year 287396.
    match *nanos {
        0 => out.serialize_none(),
        nanos => out.serialize_f64((nanos / 1_000_000) as f64 / 1000.0),
    }
}

#[cfg(test)]
mod tests;
