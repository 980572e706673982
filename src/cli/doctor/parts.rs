//! The agent's own report, read as checks: how it is, what it reads, where that goes.

use super::check::Check;
use crate::collect::find::rules::keys;
use crate::status::report::words::age;
use crate::status::report::{DestinationReport, Report, SourceReport};

/// How the agent is. `version` is that of this program.
pub(super) fn agent(report: &Report, version: &str) -> Vec<Check> {
    let up = age(report.now.saturating_sub(report.started));
    let words = format!("{} on {}, up {up}: {}", report.version, report.host, report.health.name());
    let mut out = vec![if report.healthy && report.health.is_fine() {
        Check::ok("agent", "plimsoll", words)
    } else {
        let words = format!("{words}: {}", report.reasons.join("; "));
        // What it still copes with fails where it is told by itself, below.
        if report.healthy { Check::warn("agent", "plimsoll", words) } else { Check::fail("agent", "plimsoll", words) }
    }];
    if report.version != version {
        let words = format!("{} runs and {version} is installed: an upgrade is not in use yet", report.version);
        out.push(Check::warn("agent", "version", words).mended_by(vec!["systemctl restart plimsoll".into()]));
    }
    for note in &report.notes {
        out.push(Check::fail("agent", note.topic.as_str(), note.text.as_str()));
    }
    out
}

/// What is read, what is found and not read, and what is not here.
pub(super) fn sources(report: &Report) -> Vec<Check> {
    let mut out: Vec<Check> = report.sources.iter().map(source).collect();
    if out.is_empty() {
        out.push(Check::fail("sources", "sources", "nothing is read: see `discover` and `logs` in the config"));
    }
    let here = |key: &str| report.sources.iter().any(|source| source.kind == key);
    let absent: Vec<&str> = keys().filter(|key| !here(key)).collect();
    if !absent.is_empty() {
        let words = format!("{}: nothing of this kind was found or configured", absent.join(", "));
        out.push(Check::not_here("sources", "other systems", words));
    }
    out
}

fn source(source: &SourceReport) -> Check {
    let name = source.name.as_str();
    let mut hint = source.hint.lines();
    let found = hint.next().unwrap_or_default();
    let commands: Vec<String> = hint.map(|line| line.trim().to_owned()).collect();
    if !source.fault.is_empty() {
        return Check::fail("sources", name, source.fault.as_str()).mended_by(commands);
    }
    if !found.is_empty() {
        return Check::warn("sources", name, found).mended_by(commands);
    }
    let taken = match (source.points, source.lines) {
        (0, 0) if source.interval_seconds == 0 => "no line yet".to_owned(),
        (0, 0) => return Check::warn("sources", name, "no point yet: the first rounds may still be under way"),
        (0, lines) => format!("{lines} lines since the start"),
        (points, _) => format!("{points} points in the latest round"),
    };
    let detail = if source.detail.is_empty() { taken } else { format!("{}; {taken}", source.detail) };
    Check::ok("sources", name, detail)
}

/// Where it goes, and what was lost on the way.
pub(super) fn shipping(report: &Report) -> Vec<Check> {
    let mut out: Vec<Check> = report.destinations.iter().map(|to| destination(to, report.now)).collect();
    if out.is_empty() {
        let words = "everything stays on this box, in the agent's own store";
        let mend = vec!["plimsoll setup --prometheus URL --loki URL".into()];
        out.push(Check::not_here("shipping", "destinations", words).mended_by(mend));
    }
    for spool in report.spools.iter().filter(|spool| !spool.fault.is_empty()) {
        out.push(Check::fail("shipping", format!("spool of {}", spool.signal), spool.fault.as_str()));
    }
    for loss in &report.losses {
        let words = format!("{} lost since the start: {}. {}", loss.count, loss.reason, loss.hint);
        out.push(Check::warn("shipping", loss.part.as_str(), words));
    }
    for told in report.notifiers.iter().filter(|told| told.failing_since > 0) {
        let since = age(report.now.saturating_sub(told.failing_since));
        let words = format!("alerts do not get through for {since}: {}", told.answer);
        out.push(Check::fail("shipping", told.name.as_str(), words));
    }
    out
}

fn destination(to: &DestinationReport, now: u64) -> Check {
    let name = format!("{} {}", to.name, to.signal);
    if to.failing_since > 0 {
        let since = age(now.saturating_sub(to.failing_since));
        return Check::fail("shipping", name, format!("fails for {since}: {}", to.answer));
    }
    let lost = to.refused + to.dropped;
    if lost > 0 {
        let words = format!("{} refused and {} dropped since the start: {}", to.refused, to.dropped, to.answer);
        return Check::warn("shipping", name, words);
    }
    if to.last_success == 0 {
        return Check::warn("shipping", name, "nothing was sent yet");
    }
    let ago = age(now.saturating_sub(to.last_success));
    Check::ok("shipping", name, format!("{}, {ago} ago", to.answer))
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn verdicts(checks: &[Check]) -> Vec<(&str, Verdict)> {
        checks.iter().map(|check| (check.name.as_str(), check.verdict)).collect()
    }

    #[test]
    fn a_source_is_fine_found_only_at_fault_or_not_here() {
        let of = |name: &str, kind: &str| SourceReport { name: name.into(), kind: kind.into(), ..Default::default() };
        let report = Report {
            sources: vec![
                SourceReport { points: 31, interval_seconds: 15, ..of("host", "host") },
                SourceReport { fault: "connection refused".into(), ..of("redis 127.0.0.1:6379", "redis") },
                SourceReport { hint: "found; it wants a role\n  psql -c 'GRANT'".into(), ..of("postgres", "postgres") },
                SourceReport { interval_seconds: 15, ..of("nats", "nats") },
                of("journald", "journald"),
            ],
            ..Report::default()
        };
        let checks = sources(&report);
        let want = [
            ("host", Verdict::Ok),
            ("redis 127.0.0.1:6379", Verdict::Fail),
            ("postgres", Verdict::Warn),
            ("nats", Verdict::Warn),
            ("journald", Verdict::Ok),
            ("other systems", Verdict::NotHere),
        ];
        assert_eq!(verdicts(&checks), want);
        assert_eq!(checks[2].mend, ["psql -c 'GRANT'"]);
        assert!(checks[5].words.starts_with("mysql, pgbouncer, rabbitmq: "), "{}", checks[5].words);
        assert_eq!(verdicts(&sources(&Report::default()))[0], ("sources", Verdict::Fail));
    }

    #[test]
    fn a_destination_that_fails_or_lost_something_is_no_ok() {
        let to = |name: &str| DestinationReport { name: name.into(), signal: "logs".into(), ..Default::default() };
        let now = 1_000 * SECOND;
        let cases = [
            (DestinationReport { failing_since: now - SECOND, answer: "refused".into(), ..to("a") }, Verdict::Fail),
            (DestinationReport { refused: 1, last_success: now, ..to("b") }, Verdict::Warn),
            (to("c"), Verdict::Warn),
            (DestinationReport { last_success: now - SECOND, answer: "204".into(), ..to("d") }, Verdict::Ok),
        ];
        for (report, want) in cases {
            assert_eq!(destination(&report, now).verdict, want, "{}", report.name);
        }
        assert_eq!(verdicts(&shipping(&Report::default())), [("destinations", Verdict::NotHere)]);
    }

    #[test]
    fn an_upgrade_that_does_not_run_yet_is_told() {
        let report = Report { version: "0.1.0".into(), healthy: true, ..Report::default() };
        assert_eq!(verdicts(&agent(&report, "0.1.0")).len(), 1);
        assert_eq!(verdicts(&agent(&report, "0.2.0"))[1], ("version", Verdict::Warn));
    }
}
