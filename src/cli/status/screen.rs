//! The screen of `plimsoll status`, made from a report: pure, so that a test can hold it against a golden file.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::base::clock::SECOND;
use crate::base::terminal::{Paint, Style, WIDTH, cut, left, right, wrap};
use crate::base::units::Size;
use crate::status::report::words::{self, age, clean};
use crate::status::report::{DestinationReport, Health, LossReport, NotifierReport, Report, SourceReport, SpoolReport};

/// The whole screen, at most 100 columns wide, times of day in `zone`.
pub fn screen(report: &Report, zone: &TimeZone, paint: Paint) -> String {
    let mut screen = Screen { report, zone, paint, out: String::new() };
    screen.title();
    screen.reasons();
    screen.sources();
    screen.spools();
    screen.destinations();
    screen.notifiers();
    screen.alerts();
    screen.losses();
    screen.out
}

struct Screen<'a> {
    report: &'a Report,
    zone: &'a TimeZone,
    paint: Paint,
    out: String,
}

/// Columns before a section's content.
const INDENT: usize = 14;
/// Width of the "per second" column, and of "behind".
const NUMBER: usize = 10;
/// Width of a destination's "sent" and "behind".
const SENT: usize = 10;
const LATE: usize = 12;

impl Screen<'_> {
    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    /// `NAME` and its first line of content.
    fn heading(&mut self, name: &str, rest: &str) {
        let name = self.paint.text(Style::Heading, &left(name, INDENT));
        self.line(&format!("{name}{rest}"));
    }

    /// A text below a row, wrapped and indented.
    fn below(&mut self, text: &str, style: Style) {
        for line in wrap(&clean(text), WIDTH - INDENT) {
            let line = self.paint.text(style, &line);
            self.line(&format!("{}{line}", " ".repeat(INDENT)));
        }
    }

    fn title(&mut self) {
        let report = self.report;
        let up = age(report.now.saturating_sub(report.started));
        let start = format!("plimsoll {} on {}, up {up}: ", clean(&report.version), clean(&report.host));
        let health = report.health.name();
        let use_ = format!("{}, {} % of a core", Size(report.rss_bytes), percent(report.cpu_share));
        let length = start.chars().count() + health.chars().count();
        let gap = WIDTH.saturating_sub(length + use_.chars().count()).max(2);
        let style = match report.health {
            Health::Healthy | Health::Starting => Style::Good,
            Health::Faulty | Health::ShippingLate => Style::Warn,
            Health::WatchingNothing | Health::NotDelivering | Health::SpoolFull | Health::SpoolBroken => Style::Bad,
        };
        let health = self.paint.text(style, health);
        self.line(&format!("{start}{health}{}{use_}", " ".repeat(gap)));
    }

    fn reasons(&mut self) {
        for (index, reason) in self.report.reasons.iter().enumerate() {
            let lines = wrap(&clean(reason), WIDTH - INDENT);
            for (number, line) in lines.iter().enumerate() {
                self.heading(if index == 0 && number == 0 { "WHY" } else { "" }, line);
            }
        }
    }

    fn sources(&mut self) {
        let report = self.report;
        let rows: Vec<(String, String, &SourceReport)> =
            report.sources.iter().map(|source| (kind(source), detail(source), source)).collect();
        let widest = rows.iter().map(|(_, detail, _)| detail.chars().count()).max().unwrap_or(0);
        let width = widest.clamp(28, 44);
        let kind_width = rows.iter().map(|(kind, _, _)| kind.chars().count()).max().unwrap_or(0).clamp(10, 16);
        let numbers = format!("{}{}", right("per second", NUMBER), right("behind", NUMBER));
        let gap = (kind_width + 4 + width).saturating_sub(INDENT);
        self.heading("SOURCES", &format!("{}{numbers}", " ".repeat(gap)));
        if rows.is_empty() {
            self.line("  none");
        }
        for (kind, detail, source) in rows {
            let kind = left(&cut(&kind, kind_width), kind_width);
            let detail = left(&cut(&detail, width), width);
            let row = format!("  {kind}  {detail}{}{}", right(&rate(source), NUMBER), right(&behind(source), NUMBER));
            self.row_with_fault(&row, &source.fault, Style::Warn);
            for text in trouble(source) {
                self.below(&text, Style::Warn);
            }
            self.hint(&source.hint);
        }
    }

    /// Its words, and below them its commands, unbroken so that they can be copied.
    fn hint(&mut self, hint: &str) {
        let mut lines = hint.lines();
        if let Some(words) = lines.next() {
            self.below(words, Style::Plain);
        }
        for command in lines {
            let command = self.paint.text(Style::Heading, &clean(command));
            self.line(&format!("{}{command}", " ".repeat(INDENT + 2)));
        }
    }

    /// The fault stands beside its row where there is room, else below it.
    fn row_with_fault(&mut self, row: &str, fault: &str, style: Style) {
        let fault = clean(fault);
        if fault.is_empty() {
            self.line(row);
        } else if row.chars().count() + 3 + fault.chars().count() <= WIDTH {
            let fault = self.paint.text(style, &fault);
            self.line(&format!("{row}   {fault}"));
        } else {
            self.line(row);
            self.below(&fault, style);
        }
    }

    /// A spool's fault stands among the reasons already.
    fn spools(&mut self) {
        for (index, spool) in self.report.spools.iter().enumerate() {
            let text = spool_line(self.report, spool);
            self.heading(if index == 0 { "SPOOL" } else { "" }, &text);
        }
    }

    fn destinations(&mut self) {
        let report = self.report;
        if report.destinations.is_empty() {
            let text = "nowhere: everything stays on the box (name some under `destinations:`)";
            self.heading("SHIPPING", text);
            return;
        }
        let names = report.destinations.iter().map(|to| clean(&to.name).chars().count()).max().unwrap_or(0);
        let width = names.clamp(10, 24);
        let header = format!("{}{}   last answer", right("sent", SENT), right("behind", LATE));
        let to = format!("{}{}", " ".repeat((width + 4).saturating_sub(INDENT)), left("what", 9));
        self.heading("SHIPPING", &format!("{to}{header}"));
        for to in &report.destinations {
            let name = left(&cut(&clean(&to.name), width), width);
            let sent = right(&Size(to.bytes).to_string(), SENT);
            let late = right(&lateness(report, to), LATE);
            let row = format!("  {name}  {}{sent}{late}", left(&to.signal, 9));
            let style = if to.failing_since > 0 { Style::Bad } else { Style::Plain };
            self.row_with_fault(&row, &self.answer(to), style);
        }
    }

    fn answer(&self, to: &DestinationReport) -> String {
        let now = self.report.now;
        let answer = if to.answer.is_empty() { "no answer" } else { &to.answer };
        if to.failing_since > 0 {
            let next = match to.next_try.saturating_sub(now) {
                0 => "trying now".to_owned(),
                wait => format!("next try in {}", age(wait)),
            };
            return format!("{answer} since {}, {next}", self.clock(to.failing_since));
        }
        match to.last_success {
            0 => "nothing sent yet".to_owned(),
            time => format!("{answer}, {} ago", age(now.saturating_sub(time))),
        }
    }

    fn notifiers(&mut self) {
        let report = self.report;
        let names = report.notifiers.iter().map(|one| clean(&one.name).chars().count()).max().unwrap_or(0);
        let width = names.clamp(10, 40);
        for (index, one) in report.notifiers.iter().enumerate() {
            if index == 0 {
                let gap = " ".repeat((width + 4).saturating_sub(INDENT));
                self.heading(
                    "TELLING",
                    &format!("{gap}{}{}   last answer", right("alerts", SENT), right("waiting", SENT)),
                );
            }
            let name = left(&cut(&clean(&one.name), width), width);
            let (told, waiting) = (right(&one.alerts.to_string(), SENT), right(&one.waiting.to_string(), SENT));
            let style = if one.failing_since > 0 { Style::Bad } else { Style::Plain };
            self.row_with_fault(&format!("  {name}{told}{waiting}"), &self.told(one), style);
        }
    }

    fn told(&self, one: &NotifierReport) -> String {
        let now = self.report.now;
        match (one.failing_since, one.last_success) {
            (0, 0) => "nothing to tell yet".to_owned(),
            (0, time) => format!("{}, {} ago", one.answer, age(now.saturating_sub(time))),
            (since, _) => format!("{} since {}", one.answer, self.clock(since)),
        }
    }

    /// The time of day, with the date when it was not in the last day.
    fn clock(&self, nanos: u64) -> String {
        let Ok(time) = Timestamp::from_nanosecond(i128::from(nanos)) else { return age(nanos) };
        let long_ago = self.report.now.saturating_sub(nanos) > 86_400 * SECOND;
        let format = if long_ago { "%Y-%m-%d %H:%M" } else { "%H:%M:%S" };
        time.to_zoned_datetime(self.zone.clone()).strftime(format).to_string()
    }

    fn alerts(&mut self) {
        let alerts = &self.report.alerts;
        let style = if alerts.pages > 0 {
            Style::Bad
        } else if alerts.tickets + alerts.cannot_fire + alerts.failing > 0 {
            Style::Warn
        } else {
            Style::Good
        };
        let rows = wrap(&words::alerts(alerts), WIDTH - INDENT);
        for (index, row) in rows.iter().enumerate() {
            let row = self.paint.text(style, row);
            self.heading(if index == 0 { "ALERTS" } else { "" }, &row);
        }
    }

    fn losses(&mut self) {
        if self.report.losses.is_empty() {
            self.heading("LOST", "nothing since start");
            return;
        }
        let width = self.report.losses.iter().map(|loss| loss.count.to_string().len()).max().unwrap_or(0);
        for (index, loss) in self.report.losses.iter().enumerate() {
            let LossReport { part, reason, count, hint } = loss;
            let text = format!("{count:>width$}  {part}: {}", reason.replace('_', " "));
            let text = self.paint.text(Style::Warn, &cut(&clean(&text), WIDTH - INDENT));
            self.heading(if index == 0 { "LOST" } else { "" }, &text);
            if !hint.is_empty() {
                self.below(hint, Style::Plain);
            }
        }
    }
}

fn kind(source: &SourceReport) -> String {
    clean(if source.kind.is_empty() { &source.name } else { &source.kind }).into_owned()
}

/// The name, as far as it says more than the kind, and the details.
fn detail(source: &SourceReport) -> String {
    let name = source.name.strip_prefix(source.kind.as_str()).unwrap_or(&source.name).trim();
    let name = if source.kind.is_empty() { "" } else { name };
    let text = match (name, source.detail.as_str()) {
        (name, "") => name.to_owned(),
        ("", detail) => detail.to_owned(),
        (name, detail) => format!("{name} ({detail})"),
    };
    clean(&text).into_owned()
}

/// Lines per second for logs, points per second for rounds.
fn rate(source: &SourceReport) -> String {
    number(if source.interval_seconds > 0 { source.points_per_second } else { source.lines_per_second })
}

fn behind(source: &SourceReport) -> String {
    let files = source.interval_seconds == 0 && source.kind == "files";
    if files || source.behind_bytes > 0 { Size(source.behind_bytes).to_string() } else { String::new() }
}

/// What is spoiled but not lost.
fn trouble(source: &SourceReport) -> Vec<String> {
    [
        (source.unparsed, "lines did not parse and went out as text: is their format right?"),
        (source.invalid_utf8, "lines had bytes that are no UTF-8, replaced"),
        (source.cut, "lines were cut at the size limit"),
        (source.failures, "rounds failed since start"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, text)| format!("{count} {text}"))
    .collect()
}

fn spool_line(report: &Report, spool: &SpoolReport) -> String {
    let waiting: Vec<&DestinationReport> =
        report.destinations.iter().filter(|to| to.signal == spool.signal && to.backlog_frames > 0).collect();
    let bytes = waiting.iter().map(|to| to.backlog_bytes).max().unwrap_or(0);
    let oldest = waiting.iter().map(|to| to.oldest).filter(|time| *time > 0).min();
    let mut text = format!("{}{} of {}", left(&spool.signal, 9), Size(bytes), Size(spool.limit_bytes));
    match oldest {
        Some(time) => text.push_str(&format!("; oldest not delivered {}", age(report.now.saturating_sub(time)))),
        None => text.push_str("; nothing waits"),
    }
    if spool.full > 0 {
        text.push_str(&format!("; was full {} times", spool.full));
    }
    if spool.quarantined_bytes > 0 {
        text.push_str(&format!("; {} damaged, set aside", Size(spool.quarantined_bytes)));
    }
    text
}

fn lateness(report: &Report, to: &DestinationReport) -> String {
    match (to.backlog_frames, to.oldest) {
        (0, _) | (_, 0) => "0 s".to_owned(),
        (_, oldest) => age(report.now.saturating_sub(oldest)),
    }
}

/// Whole from ten on, one decimal below; the tail of a small number is noise.
fn number(value: f64) -> String {
    if value >= 9.95 || value == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 0.05 { "under 0.1".to_owned() } else { number(percent) }
}
