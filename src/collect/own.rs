//! The agent's own telemetry, from its board: `plimsoll.*` on the same path as everything else.

use async_trait::async_trait;

use super::{CollectError, Collector};
use crate::base::clock;
use crate::signal::metrics::{Desc, Samples};
use crate::status::Board;
use crate::status::report::Usage;

/// Every metric that it can put.
pub const METRICS: &[Desc] = &[
    LINES,
    LINE_BYTES,
    BEHIND,
    PINNED,
    UNPARSED,
    INVALID_UTF8,
    CUT,
    SPOOL_BYTES,
    SPOOL_FRAMES,
    SPOOL_FULL,
    QUARANTINED,
    SENT_FRAMES,
    SENT_RECORDS,
    SENT_BYTES,
    RETRIES,
    REFUSED,
    DROPPED,
    BACKLOG_BYTES,
    BACKLOG_AGE,
    LOST,
    FAULTS,
    RULE_EVALUATIONS,
    RULE_FAILURES,
    RULE_MISSED,
    RULE_DURATION,
    RULES_FAILING,
    ALERTS,
    MEMORY,
    CPU,
];
const LINES: Desc = Desc::counter("plimsoll.source.lines", "{line}", "Log lines taken from a source.");
const LINE_BYTES: Desc = Desc::counter("plimsoll.source.io", "By", "Bytes of log lines taken from a source.");
const BEHIND: Desc =
    Desc::gauge("plimsoll.source.behind", "By", "Bytes that lie in a source's files and are not taken yet.");
const PINNED: Desc = Desc::gauge(
    "plimsoll.source.pinned",
    "By",
    "Bytes of deleted files that are kept on disk until they are read to their end.",
);
const UNPARSED: Desc = Desc::counter(
    "plimsoll.source.unparsed",
    "{line}",
    "Lines that did not parse in their file's format and went out as text.",
);
const INVALID_UTF8: Desc =
    Desc::counter("plimsoll.source.invalid_utf8", "{line}", "Lines with invalid UTF-8, which was replaced.");
const CUT: Desc = Desc::counter("plimsoll.source.cut", "{line}", "Lines that were cut at the size limit.");
const SPOOL_BYTES: Desc = Desc::gauge("plimsoll.spool.size", "By", "Bytes on disk in the spool of a signal.");
const SPOOL_FRAMES: Desc =
    Desc::counter("plimsoll.spool.frames", "{frame}", "Frames appended to the spool of a signal.");
const SPOOL_FULL: Desc =
    Desc::counter("plimsoll.spool.full", "{refusal}", "Pushes refused because the spool was full.");
const QUARANTINED: Desc = Desc::counter("plimsoll.spool.quarantined", "By", "Bytes of the spool set aside as damaged.");
const SENT_FRAMES: Desc =
    Desc::counter("plimsoll.export.frames", "{frame}", "Frames that a destination answered for good.");
const SENT_RECORDS: Desc =
    Desc::counter("plimsoll.export.records", "{record}", "Log records or metric points that a destination took.");
const SENT_BYTES: Desc = Desc::counter("plimsoll.export.io", "By", "Compressed bytes sent to a destination.");
const RETRIES: Desc =
    Desc::counter("plimsoll.export.retries", "{request}", "Requests that failed and were tried again.");
const REFUSED: Desc =
    Desc::counter("plimsoll.export.refused", "{record}", "Records or points that a destination refused for good.");
const DROPPED: Desc = Desc::counter(
    "plimsoll.export.dropped",
    "{record}",
    "Records or points that a full spool dropped before delivery.",
);
const BACKLOG_BYTES: Desc =
    Desc::gauge("plimsoll.export.backlog", "By", "Compressed bytes that wait for a destination.");
const BACKLOG_AGE: Desc =
    Desc::gauge("plimsoll.export.backlog.age", "s", "Age of the oldest frame that waits for a destination.");
const LOST: Desc = Desc::counter("plimsoll.lost", "{item}", "What was lost or spoiled, by part and reason.");
const FAULTS: Desc = Desc::gauge("plimsoll.faults", "{fault}", "Faults that stand now and need mending.");
const RULE_EVALUATIONS: Desc =
    Desc::counter("plimsoll.rule.evaluations", "{evaluation}", "Evaluations of alerting and recording rules.");
const RULE_FAILURES: Desc =
    Desc::counter("plimsoll.rule.failures", "{evaluation}", "Evaluations of rules that failed.");
const RULE_MISSED: Desc = Desc::counter(
    "plimsoll.rule.missed",
    "{round}",
    "Rounds of rule groups that were left out because one took too long.",
);
const RULE_DURATION: Desc = Desc::counter("plimsoll.rule.duration", "s", "Time that rounds of rule groups took.");
const RULES_FAILING: Desc = Desc::gauge("plimsoll.rule.failing", "{rule}", "Rules whose latest evaluation failed.");
const ALERTS: Desc = Desc::gauge(
    "plimsoll.alerts",
    "{alert}",
    "Alerts that are pending or firing, and rules that are quiet, wait for their first round, cannot fire or are not here, by \
     state.",
);
const MEMORY: Desc = Desc::gauge("plimsoll.memory.usage", "By", "Resident memory of the agent.");
const CPU: Desc = Desc::counter("plimsoll.cpu.time", "s", "Processor time of the agent.");

/// Reads the board.
pub struct Own {
    board: Board,
}

impl Own {
    /// Of `board`.
    pub fn new(board: Board) -> Self {
        Self { board }
    }

    fn sources(&self, out: &mut Samples) {
        for (name, source) in self.board.sources() {
            if source.interval.get() > 0 {
                continue;
            }
            let labels = [("source", name.as_str())];
            let cells = [
                (&LINES, &source.lines),
                (&LINE_BYTES, &source.bytes),
                (&BEHIND, &source.behind),
                (&PINNED, &source.pinned),
                (&UNPARSED, &source.unparsed),
                (&INVALID_UTF8, &source.invalid_utf8),
                (&CUT, &source.cut),
            ];
            cells.into_iter().for_each(|(desc, cell)| out.put_with(desc, &labels, cell.get()));
        }
    }

    fn spools(&self, out: &mut Samples) {
        for (signal, spool) in self.board.spools() {
            let labels = [("signal", signal.name())];
            let cells = [
                (&SPOOL_BYTES, &spool.bytes),
                (&SPOOL_FRAMES, &spool.appended),
                (&SPOOL_FULL, &spool.full),
                (&QUARANTINED, &spool.quarantined),
            ];
            cells.into_iter().for_each(|(desc, cell)| out.put_with(desc, &labels, cell.get()));
        }
    }

    fn destinations(&self, out: &mut Samples) {
        for ((name, signal), destination) in self.board.destinations() {
            let labels = [("destination", name.as_str()), ("signal", signal.name())];
            let cells = [
                (&SENT_FRAMES, &destination.frames),
                (&SENT_RECORDS, &destination.records),
                (&SENT_BYTES, &destination.bytes),
                (&RETRIES, &destination.retries),
                (&REFUSED, &destination.refused),
                (&DROPPED, &destination.dropped),
                (&BACKLOG_BYTES, &destination.backlog_bytes),
            ];
            cells.into_iter().for_each(|(desc, cell)| out.put_with(desc, &labels, cell.get()));
            let oldest = destination.oldest.get();
            let age = if oldest == 0 { 0 } else { clock::unix_nanos().saturating_sub(oldest) };
            out.put_with(&BACKLOG_AGE, &labels, age as f64 / clock::SECOND as f64);
        }
    }
}

impl Own {
    fn rules(&self, out: &mut Samples) {
        let rules = self.board.rules();
        out.put(&RULE_EVALUATIONS, rules.evaluations.get());
        out.put(&RULE_FAILURES, rules.failures.get());
        out.put(&RULE_MISSED, rules.missed.get());
        out.put(&RULE_DURATION, rules.micros.get() as f64 / 1e6);
        out.put(&RULES_FAILING, rules.failing.get());
        let firing = rules.pages.get() + rules.tickets.get() + rules.others.get();
        let states = [
            ("firing", firing),
            ("pending", rules.pending.get()),
            ("quiet", rules.quiet.get()),
            ("waiting", rules.waiting.get()),
            ("cannot_fire", rules.cannot_fire.get()),
            ("not_here", rules.not_here.get()),
        ];
        states.into_iter().for_each(|(state, count)| out.put_with(&ALERTS, &[("state", state)], count));
    }
}

#[async_trait]
impl Collector for Own {
    async fn collect(&mut self, out: &mut Samples) -> Result<(), CollectError> {
        self.sources(out);
        self.spools(out);
        self.destinations(out);
        self.rules(out);
        for ((part, reason), loss) in self.board.losses() {
            out.put_with(&LOST, &[("part", part.as_str()), ("reason", reason)], loss.count);
        }
        out.put(&FAULTS, self.board.notes().len());
        let usage = Usage::of_self();
        out.put(&MEMORY, usage.rss_bytes);
        out.put(&CPU, usage.cpu_seconds);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::frame::Signal;

    #[tokio::test]
    async fn what_stands_on_the_board_is_told_as_metrics() {
        let board = Board::new();
        board.source("files /srv/*.log").lines.add(7);
        board.source("host").interval.set(15);
        board.destination("loki", Signal::Logs).retries.add(2);
        board.spool(Signal::Logs).bytes.set(4096);
        board.lost("tail", "truncated", 10, "a.log");
        let mut out = Samples::default();
        Own::new(board).collect(&mut out).await.unwrap();
        let value = |name: &str, label: &str| {
            let found = out.samples().iter().find(|sample| {
                out.metrics()[sample.metric].name == name
                    && (label.is_empty() || sample.attributes.iter().any(|(_, value)| &**value == label))
            });
            found.map(|sample| sample.point.clone())
        };
        let number =
            |number: i64| Some(crate::signal::metrics::Point::Number(crate::signal::metrics::Number::Int(number)));
        assert_eq!(value("plimsoll.source.lines", "files /srv/*.log"), number(7));
        assert_eq!(value("plimsoll.source.lines", "host"), None, "the host has no lines");
        assert_eq!(value("plimsoll.export.retries", "loki"), number(2));
        assert_eq!(value("plimsoll.spool.size", "logs"), number(4096));
        assert_eq!(value("plimsoll.lost", "truncated"), number(10));
        assert!(value("plimsoll.memory.usage", "").is_some());
    }
}
