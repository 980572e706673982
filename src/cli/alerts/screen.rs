//! The screen of `plimsoll alerts`, pure, so that a test can hold it against golden files.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::super::figures::Unit;
use super::{State, active, rules};
use crate::alert::view::{Activation, ActiveView, Presence, RuleView};
use crate::base::terminal::{Paint, Style, WIDTH, cut, left, right, wrap};
use crate::control::Alerts;
use crate::status::report::words::{age, clean};
use crate::store::Labels;
use crate::store::labels::NAME;

/// What is shown, and how.
pub(super) struct Screen<'a> {
    pub(super) alerts: &'a Alerts,
    pub(super) zone: TimeZone,
    pub(super) paint: Paint,
}

/// Columns before a section's content.
const INDENT: usize = 14;
/// Width of a rule's name, and of its severity.
const NAMES: usize = 32;
const SEVERITY: usize = 8;
/// Alerts of one rule that are shown one by one; a rule that went wild must not push the others off the screen.
const EACH: usize = 8;

impl Screen<'_> {
    /// Rules as they stand.
    pub(super) fn now(&self) -> String {
        let mut out = self.summary();
        if self.alerts.view.off {
            out.push_str(&self.below("switched off by `alerts: off`: no rule is evaluated on this box", Style::Warn));
        }
        out.push_str(&self.section(State::Firing, "FIRING", Style::Bad));
        out.push_str(&self.section(State::Pending, "PENDING", Style::Warn));
        out.push_str(&self.cannot_fire());
        out.push_str(&self.lists());
        out
    }

    /// What fired since `since`, newest first.
    pub(super) fn history(&self, since: i64) -> String {
        let span = age(nanos(self.alerts.now.saturating_sub(since)));
        let all = &self.alerts.history;
        if all.is_empty() {
            return format!("nothing fired in the last {span}\n");
        }
        let firing = all.iter().filter(|one| one.end.is_none()).count();
        let also = if firing > 0 { format!(", {firing} of them still") } else { String::new() };
        let times = if all.len() == 1 { "time" } else { "times" };
        let mut out = self.line("HISTORY", &format!("{} {times} in the last {span}{also}", all.len()));
        let head = ["  since", "for", "severity", "alert"];
        let row = format!("{}{}  {}  {}", left(head[0], 21), right(head[1], 12), left(head[2], SEVERITY), head[3]);
        out.push_str(&self.paint.text(Style::Heading, &row));
        out.push('\n');
        for one in all {
            out.push_str(&self.activation(one));
        }
        out
    }

    fn activation(&self, one: &Activation) -> String {
        let length = one.end.map_or_else(|| "fires".to_owned(), |end| age(nanos(end.saturating_sub(one.start))));
        let severity = left(&cut(&clean(one.labels.get("severity")), SEVERITY), SEVERITY);
        let start = left(&format!("  {}", self.date(one.start)), 21);
        let mut what = clean(&one.rule).into_owned();
        let own = own_labels(&one.labels);
        if !own.is_empty() {
            what.push_str(&format!("  {own}"));
        }
        let before = 21 + 12 + 2 + SEVERITY + 2;
        let row = format!("{start}{}  {severity}  {}", right(&cut(&length, 12), 12), cut(&what, WIDTH - before));
        let style = if one.end.is_none() { Style::Bad } else { Style::Plain };
        let mut out = self.paint.text(style, row.trim_end()) + "\n";
        let told =
            if one.told.is_empty() { "nobody was told".to_owned() } else { format!("told: {}", one.told.join(", ")) };
        let silenced = if one.silenced.is_empty() { String::new() } else { format!("; {}", one.silenced) };
        for line in wrap(&clean(&format!("{told}{silenced}")), WIDTH - before) {
            out.push_str(&format!("{}{line}\n", " ".repeat(before)));
        }
        out
    }

    /// `NAME` in front of the first line.
    fn line(&self, name: &str, rest: &str) -> String {
        let name = self.paint.text(Style::Heading, &left(name, INDENT));
        format!("{}\n", format!("{name}{rest}").trim_end())
    }

    /// Further lines of a section.
    fn below(&self, text: &str, style: Style) -> String {
        let lines = wrap(&clean(text), WIDTH - INDENT);
        lines.iter().map(|line| format!("{}{}\n", " ".repeat(INDENT), self.paint.text(style, line))).collect()
    }

    fn summary(&self) -> String {
        let mut parts = Vec::new();
        let firing: Vec<&ActiveView> = self.of(State::Firing).flat_map(active).filter(|alert| alert.firing).collect();
        let mut severities: Vec<&str> = firing.iter().map(|alert| alert.labels.get("severity")).collect();
        // Pages first, then tickets, then whatever else there is.
        severities.sort_by_key(|severity| (*severity != "page", *severity != "ticket", *severity));
        severities.dedup();
        for severity in severities {
            let count = firing.iter().filter(|alert| alert.labels.get("severity") == severity).count();
            let what = if severity.is_empty() { "alert".into() } else { clean(severity) };
            parts.push(format!("{count} {what}{}", if count == 1 { "" } else { "s" }));
        }
        let mut parts = match parts.len() {
            0 => vec!["nothing fires".to_owned()],
            _ => vec![format!("{} firing", parts.join(" and "))],
        };
        let pending = self.of(State::Pending).flat_map(active).count();
        let counts = [
            (pending, "pending"),
            (self.of(State::CannotFire).count(), "cannot fire"),
            (self.of(State::Waiting).count(), "not evaluated yet"),
            (self.of(State::Quiet).count(), "quiet"),
            (self.of(State::NotHere).count(), "not here"),
            (self.of(State::Fleet).count(), "for the fleet"),
        ];
        parts.extend(counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
        if rules(self.alerts).next().is_none() {
            parts = vec!["no rules (alerts.rules names their files)".to_owned()];
        }
        let lines = wrap(&parts.join(", "), WIDTH - INDENT);
        let name = |index| if index == 0 { "ALERTS" } else { "" };
        lines.iter().enumerate().map(|(index, line)| self.line(name(index), line)).collect()
    }

    fn of(&self, state: State) -> impl Iterator<Item = &RuleView> {
        let all = rules(self.alerts).map(|(_, rule)| rule);
        // A recording rule has no state that anyone waits for, but it can fail.
        all.filter(move |rule| State::of(rule) == state && (rule.alert.is_some() || state == State::CannotFire))
    }

    fn section(&self, state: State, title: &str, style: Style) -> String {
        let mut found: Vec<&RuleView> = self.of(state).collect();
        if found.is_empty() {
            return String::new();
        }
        found.sort_by_key(|rule| {
            let severity = active(rule).map(|alert| rank(alert.labels.get("severity"))).min().unwrap_or(9);
            (severity, active(rule).map(|alert| alert.active).min().unwrap_or(0))
        });
        let when = if state == State::Firing { "since" } else { "fires in, if it lasts" };
        let gap = " ".repeat((NAMES + 4).saturating_sub(INDENT));
        let mut out = self.line(title, &format!("{gap}{}  {}  {when}", left("severity", SEVERITY), right("value", 10)));
        for rule in found {
            out.push_str(&self.rule(rule, state == State::Firing, style));
        }
        out
    }

    /// Each alert in a row of its own; labels and summary below.
    fn rule(&self, rule: &RuleView, firing: bool, style: Style) -> String {
        let mut out = String::new();
        let all: Vec<&ActiveView> = active(rule).filter(|alert| alert.firing || !firing).collect();
        for alert in all.iter().take(EACH) {
            let name = left(&cut(&clean(&rule.name), NAMES), NAMES);
            let severity = left(&cut(&clean(alert.labels.get("severity")), SEVERITY), SEVERITY);
            let value = right(&figure(&rule.query, alert.value), 10);
            let when = if firing { self.since(alert) } else { self.fires_in(rule, alert) };
            let when = cut(&when, WIDTH - NAMES - SEVERITY - 18);
            out.push_str(&format!("  {}  {severity}  {value}  {when}\n", self.paint.text(style, &name)));
            let own = own_labels(&alert.labels);
            if !own.is_empty() {
                out.push_str(&self.below(&own, Style::Plain));
            }
            let summary = alert.annotations.iter().find(|(name, _)| name == "summary").or(alert.annotations.first());
            if let Some((_, text)) = summary {
                out.push_str(&self.below(text, Style::Plain));
            }
        }
        if let Some(more) = all.len().checked_sub(EACH).filter(|more| *more > 0) {
            out.push_str(&self.below(&format!("and {more} more of this rule (--json has them all)"), Style::Plain));
        }
        if let Presence::CannotFire { why, mend } = &rule.presence {
            out.push_str(&self.below(&format!("held as it was: {why}: {mend}"), Style::Warn));
        }
        out
    }

    fn since(&self, alert: &ActiveView) -> String {
        let kept = alert.kept_since.map(|since| format!("; over since {}, kept", self.clock(since)));
        format!("{} ({}){}", self.clock(alert.active), self.ago(alert.active), kept.unwrap_or_default())
    }

    fn fires_in(&self, rule: &RuleView, alert: &ActiveView) -> String {
        let hold = rule.alert.as_ref().map_or(0, |alert| i64::try_from(alert.hold.as_millis()).unwrap_or(i64::MAX));
        match alert.active.saturating_add(hold).saturating_sub(self.alerts.now) {
            ..=0 => "the next round".to_owned(),
            left => format!("{}; since {}, for {}", span(left), self.clock(alert.active), span(hold)),
        }
    }

    fn cannot_fire(&self) -> String {
        let mut out = String::new();
        for (index, rule) in self.of(State::CannotFire).enumerate() {
            if index == 0 {
                out.push_str(&self.line("CANNOT FIRE", ""));
            }
            let (why, mend) = match &rule.presence {
                Presence::CannotFire { why, mend } => (why.as_str(), mend.as_str()),
                _ => (rule.error.as_str(), "plimsoll check looks at the rule files"),
            };
            let name = self.paint.text(Style::Warn, &left(&cut(&clean(&rule.name), NAMES), NAMES));
            let mut lines = wrap(&clean(why), WIDTH - NAMES - 4).into_iter();
            out.push_str(&format!("  {name}  {}\n", lines.next().unwrap_or_default()));
            let mend = wrap(&clean(mend), WIDTH - NAMES - 4);
            for line in lines.chain(mend.into_iter().filter(|line| !line.is_empty())) {
                out.push_str(&format!("{}{line}\n", " ".repeat(NAMES + 4)));
            }
        }
        out
    }

    /// What nobody needs to look at, group by group.
    fn lists(&self) -> String {
        let mut out = String::new();
        for (state, title) in [
            (State::Waiting, "NOT YET"),
            (State::Heartbeat, "HEARTBEAT"),
            (State::Quiet, "QUIET"),
            (State::NotHere, "NOT HERE"),
            (State::Fleet, "FLEET"),
        ] {
            let groups = self.groups(state);
            if groups.is_empty() {
                continue;
            }
            let note = match state {
                State::Fleet => "for the stack's ruler, never evaluated here: ",
                State::Waiting => "waiting for their sources' first round: ",
                _ => "",
            };
            for (index, line) in wrap(&format!("{note}{}", groups.join(", ")), WIDTH - INDENT).iter().enumerate() {
                out.push_str(&self.line(if index == 0 { title } else { "" }, line));
            }
        }
        out
    }

    /// `disks 4`, or `redis 3 (no redis on this box)`.
    fn groups(&self, state: State) -> Vec<String> {
        let mut counts: Vec<(usize, &str, usize)> = Vec::new();
        for (group, rule) in rules(self.alerts) {
            if State::of(rule) != state || rule.alert.is_none() {
                continue;
            }
            let why = if let Presence::NotHere(why) = &rule.presence { why } else { "" };
            match counts.iter_mut().find(|(known, reason, _)| *known == group && *reason == why) {
                Some((_, _, count)) => *count += 1,
                None => counts.push((group, why, 1)),
            }
        }
        let text = |(group, why, count): (usize, &str, usize)| {
            let name = clean(&self.alerts.view.groups[group].name).into_owned();
            if why.is_empty() { format!("{name} {count}") } else { format!("{name} {count} ({})", clean(why)) }
        };
        counts.into_iter().map(text).collect()
    }

    fn ago(&self, millis: i64) -> String {
        age(nanos(self.alerts.now.saturating_sub(millis)))
    }

    /// The time of day, with the date when it was not in the last day.
    fn clock(&self, millis: i64) -> String {
        let long_ago = self.alerts.now.saturating_sub(millis) > 86_400_000;
        self.told(millis, if long_ago { "%Y-%m-%d %H:%M" } else { "%H:%M:%S" })
    }

    fn date(&self, millis: i64) -> String {
        self.told(millis, "%Y-%m-%d %H:%M:%S")
    }

    fn told(&self, millis: i64, format: &str) -> String {
        let Ok(time) = Timestamp::from_millisecond(millis) else { return "?".to_owned() };
        time.to_zoned_datetime(self.zone.clone()).strftime(format).to_string()
    }
}

/// The value in the unit that the expression measures before it compares.
fn figure(query: &str, value: f64) -> String {
    let measured = query.split(['<', '>']).next().and_then(|part| part.split("==").next()).unwrap_or(query);
    Unit::of(measured).text(value)
}

fn rank(severity: &str) -> usize {
    ["page", "ticket"].iter().position(|known| *known == severity).unwrap_or(2)
}

/// The labels that say which one it is.
fn own_labels(labels: &Labels) -> String {
    let known = [NAME, "alertname", "severity", "job", "instance"];
    let own = labels.iter().filter(|(name, _)| !known.contains(name));
    let text: Vec<String> = own.map(|(name, value)| format!("{}={}", clean(name), cut(&clean(value), 60))).collect();
    text.join(" ")
}

fn nanos(millis: i64) -> u64 {
    u64::try_from(millis).unwrap_or(0).saturating_mul(1_000_000)
}

/// With the seconds of a few minutes: `3 min 20 s`.
fn span(millis: i64) -> String {
    let seconds = millis.max(0).saturating_add(999) / 1000;
    match seconds {
        60..600 if seconds % 60 != 0 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => age(nanos(seconds.saturating_mul(1000))),
    }
}
