//! Is the agent well? The rules, and the sentences that say why not.

use serde::Serialize;

use super::words::age;
use super::{DestinationReport, Report, SourceReport, SpoolReport};
use crate::base::clock::SECOND;

/// How an agent is; the later, the worse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Health {
    /// All is well.
    #[default]
    #[serde(rename = "healthy")]
    Healthy,
    /// No source had its first round yet.
    #[serde(rename = "starting")]
    Starting,
    /// It works, but a source fails or a fault stands.
    #[serde(rename = "working, with faults")]
    Faulty,
    /// What it reads is delivered late, or to some destinations only.
    #[serde(rename = "shipping late")]
    ShippingLate,
    /// It reads nothing.
    #[serde(rename = "watching nothing")]
    WatchingNothing,
    /// No destination takes anything.
    #[serde(rename = "not delivering")]
    NotDelivering,
    /// A full or broken spool stops the reading.
    #[serde(rename = "reading paused: spool full")]
    SpoolFull,
    /// The spool cannot write.
    #[serde(rename = "reading paused: spool cannot write")]
    SpoolBroken,
}

impl Health {
    /// In plain words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Starting => "starting",
            Self::Faulty => "working, with faults",
            Self::ShippingLate => "shipping late",
            Self::WatchingNothing => "watching nothing",
            Self::NotDelivering => "not delivering",
            Self::SpoolFull => "reading paused: spool full",
            Self::SpoolBroken => "reading paused: spool cannot write",
        }
    }

    /// True where nobody needs to do anything: the exit code of `plimsoll status`.
    pub fn is_fine(self) -> bool {
        matches!(self, Self::Healthy | Self::Starting)
    }
}

/// A frame waits at most about a second for its push and a few for its answer; half a minute is late.
const LATE: u64 = 30 * SECOND;
/// A destination that takes nothing for so long, though it should, does not deliver.
const STUCK: u64 = 120 * SECOND;
/// An agent with such a destination for so long is unhealthy.
const UNHEALTHY: u64 = 300 * SECOND;
/// First rounds come within the interval of their source; after that a start is over.
const STARTING: u64 = 60 * SECOND;
/// Room for the frame that was refused: frames are sealed at 2 MB.
const FRAME: u64 = 2 << 20;

/// The health of what `report` says, whether it counts as healthy, and the reasons.
pub(super) fn judge(report: &Report) -> (Health, bool, Vec<String>) {
    let mut finding = Finding { health: Health::Healthy, healthy: true, reasons: Vec::new() };
    judge_sources(report, &mut finding);
    judge_destinations(report, &mut finding);
    for spool in &report.spools {
        judge_spool(report, spool, &mut finding);
    }
    judge_notifiers(report, &mut finding);
    for note in &report.notes {
        finding.add(Health::Faulty, format!("{}: {}", note.topic, note.text));
    }
    (finding.health, finding.healthy, finding.reasons)
}

struct Finding {
    health: Health,
    healthy: bool,
    reasons: Vec<String>,
}

impl Finding {
    fn add(&mut self, health: Health, reason: String) {
        self.health = self.health.max(health);
        self.reasons.push(reason);
    }
}

fn judge_sources(report: &Report, finding: &mut Finding) {
    let up = report.now.saturating_sub(report.started);
    let begun = report.sources.iter().any(|source| source.last_success > 0 || source.lines > 0);
    if up < STARTING {
        if !begun {
            finding.add(Health::Starting, "no source had its first round yet".into());
        }
        return;
    }
    if report.sources.is_empty() {
        finding.add(Health::WatchingNothing, "no source was found on this box: name one in the config".into());
        finding.healthy = false;
    }
    for source in &report.sources {
        if let Some(silent) = silent_for(report, source) {
            let fault = if source.fault.is_empty() { "no fault was told" } else { &source.fault };
            finding.add(Health::Faulty, format!("{} had no good round for {}: {fault}", source.name, age(silent)));
        }
    }
}

/// How long a source that works in rounds has had none, when that is too long.
fn silent_for(report: &Report, source: &SourceReport) -> Option<u64> {
    // What was found and lets nobody in yet is a hint: nobody asked for it.
    if source.interval_seconds == 0 || !source.hint.is_empty() {
        return None;
    }
    let silent = report.now.saturating_sub(source.last_success.max(report.started));
    let patience = source.interval_seconds.saturating_mul(3 * SECOND).max(STARTING);
    (silent > patience).then_some(silent)
}

/// Whoever is not told will not ask: a page that does not get through is a fault from the start.
fn judge_notifiers(report: &Report, finding: &mut Finding) {
    for one in report.notifiers.iter().filter(|one| one.failing_since > 0) {
        let since = age(report.now.saturating_sub(one.failing_since));
        let waiting = if one.waiting > 0 { format!("; {} alerts wait", one.waiting) } else { String::new() };
        let text = format!("{} is not told of alerts since {since}: {}{waiting}", one.name, one.answer);
        finding.add(Health::Faulty, text);
    }
}

fn judge_destinations(report: &Report, finding: &mut Finding) {
    let stuck = report.destinations.iter().filter(|to| stuck_for(report, to).is_some()).count();
    for to in &report.destinations {
        let name = format!("{} ({})", to.name, to.signal);
        let answer = if to.answer.is_empty() { "no answer yet" } else { &to.answer };
        if let Some(time) = stuck_for(report, to) {
            // One that delivers while another waits is late as a whole; one that delivers nowhere is not delivering.
            let alone = stuck == report.destinations.len();
            let health = if alone { Health::NotDelivering } else { Health::ShippingLate };
            finding.add(health, format!("{name} took nothing for {}: {answer}", age(time)));
            finding.healthy &= time <= UNHEALTHY;
        } else if to.failing_since > 0 {
            let since = age(report.now.saturating_sub(to.failing_since));
            finding.add(Health::ShippingLate, format!("{name} fails since {since}: {answer}"));
        } else if to.backlog_frames > 0 && report.now.saturating_sub(to.oldest) > LATE {
            let behind = age(report.now.saturating_sub(to.oldest));
            finding.add(Health::ShippingLate, format!("{name} is {behind} behind: latest answer {answer}"));
        }
    }
}

/// How long a destination has taken nothing though something waits for it, when that is too long.
fn stuck_for(report: &Report, to: &DestinationReport) -> Option<u64> {
    if to.backlog_frames == 0 {
        return None;
    }
    // Not since before something waited: after a quiet night the first frame is not late at once. A backlog
    // from before the start counts from the start.
    let waiting_since = to.oldest.max(to.last_success).max(report.started);
    let time = report.now.saturating_sub(waiting_since);
    (time > STUCK).then_some(time)
}

fn judge_spool(report: &Report, spool: &SpoolReport, finding: &mut Finding) {
    if !spool.fault.is_empty() {
        finding.add(Health::SpoolBroken, format!("the {} spool: {}", spool.signal, spool.fault));
        finding.healthy = false;
    }
    // A metric spool drops its oldest frame instead, and counts it.
    if spool.signal == "metrics" || spool.full == 0 {
        return;
    }
    let slowest = report.destinations.iter().filter(|to| to.signal == spool.signal).max_by_key(|to| to.backlog_bytes);
    if let Some(to) = slowest.filter(|to| to.backlog_bytes.saturating_add(FRAME) > spool.limit_bytes) {
        let text = format!(
            "the {} spool is full of what {} has not taken: mend it, or raise spool.size",
            spool.signal, to.name
        );
        finding.add(Health::SpoolFull, text);
        finding.healthy = false;
    }
}
