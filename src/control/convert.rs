//! The report as messages of the control service and back, field by field.

use super::generated::{self as wire, StatusResponse};
use crate::status::report::{
    AlertsReport, DestinationReport, Health, LossReport, NoteReport, NotifierReport, Report, SourceReport, SpoolReport,
};

impl From<Report> for StatusResponse {
    fn from(report: Report) -> Self {
        Self {
            version: report.version,
            host: report.host,
            pid: report.pid,
            started: report.started,
            now: report.now,
            rss_bytes: report.rss_bytes,
            cpu_seconds: report.cpu_seconds,
            cpu_share: report.cpu_share,
            window_seconds: report.window_seconds,
            health: wire::Health::from(report.health).into(),
            healthy: report.healthy,
            reasons: report.reasons,
            sources: report.sources.into_iter().map(Into::into).collect(),
            spools: report.spools.into_iter().map(Into::into).collect(),
            destinations: report.destinations.into_iter().map(Into::into).collect(),
            notifiers: report.notifiers.into_iter().map(Into::into).collect(),
            losses: report.losses.into_iter().map(Into::into).collect(),
            notes: report.notes.into_iter().map(Into::into).collect(),
            rules: Some(report.alerts.into()),
        }
    }
}

impl From<StatusResponse> for Report {
    fn from(wire: StatusResponse) -> Self {
        Self {
            health: wire.health().into(),
            version: wire.version,
            host: wire.host,
            pid: wire.pid,
            started: wire.started,
            now: wire.now,
            rss_bytes: wire.rss_bytes,
            cpu_seconds: wire.cpu_seconds,
            cpu_share: wire.cpu_share,
            window_seconds: wire.window_seconds,
            healthy: wire.healthy,
            reasons: wire.reasons,
            sources: wire.sources.into_iter().map(Into::into).collect(),
            spools: wire.spools.into_iter().map(Into::into).collect(),
            destinations: wire.destinations.into_iter().map(Into::into).collect(),
            notifiers: wire.notifiers.into_iter().map(Into::into).collect(),
            losses: wire.losses.into_iter().map(Into::into).collect(),
            notes: wire.notes.into_iter().map(Into::into).collect(),
            alerts: wire.rules.map(Into::into).unwrap_or_default(),
        }
    }
}

impl From<Health> for wire::Health {
    fn from(health: Health) -> Self {
        match health {
            Health::Healthy => Self::Healthy,
            Health::Starting => Self::Starting,
            Health::Faulty => Self::Faulty,
            Health::ShippingLate => Self::ShippingLate,
            Health::WatchingNothing => Self::WatchingNothing,
            Health::NotDelivering => Self::NotDelivering,
            Health::SpoolFull => Self::SpoolFull,
            Health::SpoolBroken => Self::SpoolBroken,
        }
    }
}

impl From<wire::Health> for Health {
    fn from(health: wire::Health) -> Self {
        match health {
            wire::Health::Healthy => Self::Healthy,
            wire::Health::Starting => Self::Starting,
            // A state that a newer agent knows and this command does not is at least a fault.
            wire::Health::Unspecified | wire::Health::Faulty => Self::Faulty,
            wire::Health::ShippingLate => Self::ShippingLate,
            wire::Health::WatchingNothing => Self::WatchingNothing,
            wire::Health::NotDelivering => Self::NotDelivering,
            wire::Health::SpoolFull => Self::SpoolFull,
            wire::Health::SpoolBroken => Self::SpoolBroken,
        }
    }
}

impl From<SourceReport> for wire::Source {
    fn from(report: SourceReport) -> Self {
        Self {
            name: report.name,
            kind: report.kind,
            detail: report.detail,
            lines: report.lines,
            lines_per_second: report.lines_per_second,
            bytes: report.bytes,
            points: report.points,
            points_total: report.points_total,
            points_per_second: report.points_per_second,
            interval_seconds: report.interval_seconds,
            behind_bytes: report.behind_bytes,
            unparsed: report.unparsed,
            invalid_utf8: report.invalid_utf8,
            cut: report.cut,
            failures: report.failures,
            last_success: report.last_success,
            fault: report.fault,
            hint: report.hint,
        }
    }
}

impl From<wire::Source> for SourceReport {
    fn from(wire: wire::Source) -> Self {
        Self {
            name: wire.name,
            kind: wire.kind,
            detail: wire.detail,
            lines: wire.lines,
            lines_per_second: wire.lines_per_second,
            bytes: wire.bytes,
            points: wire.points,
            points_total: wire.points_total,
            points_per_second: wire.points_per_second,
            interval_seconds: wire.interval_seconds,
            behind_bytes: wire.behind_bytes,
            unparsed: wire.unparsed,
            invalid_utf8: wire.invalid_utf8,
            cut: wire.cut,
            failures: wire.failures,
            last_success: wire.last_success,
            fault: wire.fault,
            hint: wire.hint,
        }
    }
}

impl From<SpoolReport> for wire::Spool {
    fn from(report: SpoolReport) -> Self {
        Self {
            signal: report.signal,
            bytes: report.bytes,
            limit_bytes: report.limit_bytes,
            segments: report.segments,
            appended: report.appended,
            newest: report.newest,
            full: report.full,
            quarantined_bytes: report.quarantined_bytes,
            fault: report.fault,
        }
    }
}

impl From<wire::Spool> for SpoolReport {
    fn from(wire: wire::Spool) -> Self {
        Self {
            signal: wire.signal,
            bytes: wire.bytes,
            limit_bytes: wire.limit_bytes,
            segments: wire.segments,
            appended: wire.appended,
            newest: wire.newest,
            full: wire.full,
            quarantined_bytes: wire.quarantined_bytes,
            fault: wire.fault,
        }
    }
}

impl From<DestinationReport> for wire::Destination {
    fn from(report: DestinationReport) -> Self {
        Self {
            name: report.name,
            signal: report.signal,
            frames: report.frames,
            records: report.records,
            bytes: report.bytes,
            retries: report.retries,
            refused: report.refused,
            dropped: report.dropped,
            backlog_frames: report.backlog_frames,
            backlog_bytes: report.backlog_bytes,
            oldest: report.oldest,
            last_success: report.last_success,
            last_error: report.last_error,
            failing_since: report.failing_since,
            next_try: report.next_try,
            answer: report.answer,
        }
    }
}

impl From<wire::Destination> for DestinationReport {
    fn from(wire: wire::Destination) -> Self {
        Self {
            name: wire.name,
            signal: wire.signal,
            frames: wire.frames,
            records: wire.records,
            bytes: wire.bytes,
            retries: wire.retries,
            refused: wire.refused,
            dropped: wire.dropped,
            backlog_frames: wire.backlog_frames,
            backlog_bytes: wire.backlog_bytes,
            oldest: wire.oldest,
            last_success: wire.last_success,
            last_error: wire.last_error,
            failing_since: wire.failing_since,
            next_try: wire.next_try,
            answer: wire.answer,
        }
    }
}

impl From<NotifierReport> for wire::Notifier {
    fn from(report: NotifierReport) -> Self {
        Self {
            name: report.name,
            messages: report.messages,
            alerts: report.alerts,
            retries: report.retries,
            refused: report.refused,
            waiting: report.waiting,
            waiting_bytes: report.waiting_bytes,
            oldest: report.oldest,
            last_success: report.last_success,
            last_error: report.last_error,
            failing_since: report.failing_since,
            next_try: report.next_try,
            answer: report.answer,
        }
    }
}

impl From<AlertsReport> for wire::Rules {
    fn from(report: AlertsReport) -> Self {
        Self {
            off: report.off,
            pages: report.pages,
            tickets: report.tickets,
            others: report.others,
            pending: report.pending,
            quiet: report.quiet,
            waiting: report.waiting,
            cannot_fire: report.cannot_fire,
            not_here: report.not_here,
            fleet: report.fleet,
            failing: report.failing,
            missed: report.missed,
        }
    }
}

impl From<wire::Notifier> for NotifierReport {
    fn from(wire: wire::Notifier) -> Self {
        Self {
            name: wire.name,
            messages: wire.messages,
            alerts: wire.alerts,
            retries: wire.retries,
            refused: wire.refused,
            waiting: wire.waiting,
            waiting_bytes: wire.waiting_bytes,
            oldest: wire.oldest,
            last_success: wire.last_success,
            last_error: wire.last_error,
            failing_since: wire.failing_since,
            next_try: wire.next_try,
            answer: wire.answer,
        }
    }
}

impl From<wire::Rules> for AlertsReport {
    fn from(wire: wire::Rules) -> Self {
        Self {
            off: wire.off,
            pages: wire.pages,
            tickets: wire.tickets,
            others: wire.others,
            pending: wire.pending,
            quiet: wire.quiet,
            waiting: wire.waiting,
            cannot_fire: wire.cannot_fire,
            not_here: wire.not_here,
            fleet: wire.fleet,
            failing: wire.failing,
            missed: wire.missed,
        }
    }
}

impl From<LossReport> for wire::Loss {
    fn from(report: LossReport) -> Self {
        Self { part: report.part, reason: report.reason, count: report.count, hint: report.hint }
    }
}

impl From<wire::Loss> for LossReport {
    fn from(wire: wire::Loss) -> Self {
        Self { part: wire.part, reason: wire.reason, count: wire.count, hint: wire.hint }
    }
}

impl From<NoteReport> for wire::Note {
    fn from(report: NoteReport) -> Self {
        Self { topic: report.topic, text: report.text }
    }
}

impl From<wire::Note> for NoteReport {
    fn from(wire: wire::Note) -> Self {
        Self { topic: wire.topic, text: wire.text }
    }
}
