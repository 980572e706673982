//! The alerts of one rule as a machine without clock, store or network, after Prometheus' `rules/alerting.go`.
//!
//! A round gives it what the expression yielded; it answers with what is active, what is to be sent, and which rows
//! of `ALERTS` that makes. All times are Unix milliseconds. It differs from Prometheus in two things. An alert that
//! was restored after a start may be held for a while though its series is missing, so that nothing ends only because
//! the agent was away. And whatever takes a firing alert away ends it: Alertmanager lets one expire that is not sent
//! again, people and their pagers do not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::notify;
use crate::store::Labels;
use crate::store::labels::NAME;

/// How long an alert that ended is kept, to be sent again.
pub const RESOLVED_RETENTION: i64 = 15 * 60_000;
/// From one sending of an alert that goes on to the next. Prometheus: `--rules.alert.resend-delay`.
pub const RESEND_DELAY: i64 = 60_000;

/// What a rule demands of its alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// `for`, in milliseconds.
    pub hold: i64,
    /// `keep_firing_for`, in milliseconds.
    pub keep: i64,
    /// Most alerts that are pending or firing; 0: no bound.
    pub limit: usize,
}

impl Terms {
    /// Of a rule and its group's limit.
    pub fn new(hold: Duration, keep: Duration, limit: usize) -> Self {
        Self { hold: millis(hold), keep: millis(keep), limit }
    }
}

/// A duration in milliseconds.
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 8).min(i64::MAX / 8)
}

/// What the expression yielded for one alert.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The alert's labels, `alertname` among them; its identity.
    pub labels: Labels,
    /// Expanded texts.
    pub annotations: Vec<(String, String)>,
    /// The value.
    pub value: f64,
}

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its expression yields it, not yet for long enough.
    Pending,
    /// It fires.
    Firing,
    /// It fired and ended.
    Inactive,
}

impl State {
    /// As `alertstate` says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Inactive => "inactive",
        }
    }
}

/// One alert.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Its labels; its identity.
    pub labels: Labels,
    /// Expanded texts of the newest round that yielded it.
    pub annotations: Vec<(String, String)>,
    /// Where it stands.
    pub state: State,
    /// The newest value.
    pub value: f64,
    /// Since when the expression yields it.
    pub active_at: i64,
    /// Since when it fires.
    pub fired_at: Option<i64>,
    /// Since when it fires only because of `keep_firing_for`.
    pub kept_since: Option<i64>,
    /// When it ended.
    pub resolved_at: Option<i64>,
    /// When it was sent last.
    pub sent_at: Option<i64>,
    /// Until when it is held though its series is missing: only after a start.
    pub held_until: Option<i64>,
}

/// What changed in a round, for the ledger and for people.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Alerts that began to fire.
    pub fired: Vec<Alert>,
    /// Alerts that ended, each as it is told, also where it is not kept.
    pub resolved: Vec<Alert>,
    /// Whether anything that must outlive the process is different from the round before.
    pub kept: bool,
}

/// A round that failed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Failed {
    /// In Prometheus' words.
    pub why: String,
    /// What changed all the same.
    pub changes: Changes,
}

impl From<String> for Failed {
    fn from(why: String) -> Self {
        Self { why, changes: Changes::default() }
    }
}

/// All alerts of one rule.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Alerts {
    all: BTreeMap<Labels, Alert>,
}

impl Alerts {
    /// Those that were kept from an earlier life.
    pub fn restored(all: impl IntoIterator<Item = Alert>) -> Self {
        Self { all: all.into_iter().map(|alert| (alert.labels.clone(), alert)).collect() }
    }

    /// All, also those that ended lately, in the order of their labels.
    pub fn iter(&self) -> impl Iterator<Item = &Alert> {
        self.all.values()
    }

    /// Those that are pending or firing.
    pub fn active(&self) -> impl Iterator<Item = &Alert> {
        self.iter().filter(|alert| alert.state != State::Inactive)
    }

    /// The round at `ts`. A round whose query failed does not come here: it leaves everything as it is.
    ///
    /// # Errors
    /// Two alerts have the same labels (nothing changed), or there are more than the limit (all are gone, and those
    /// that fired have ended).
    pub fn step(&mut self, ts: i64, found: Vec<Found>, terms: Terms) -> Result<Changes, Failed> {
        let mut present = BTreeSet::new();
        for one in &found {
            if !present.insert(one.labels.clone()) {
                let why = "vector contains metrics with the same labelset after applying alert labels";
                return Err(why.to_owned().into());
            }
        }
        let any = !self.all.is_empty();
        self.all.values_mut().for_each(|alert| alert.not_after(ts));
        let mut changes = Changes { kept: self.take(ts, found), ..Changes::default() };
        for (labels, alert) in &mut self.all {
            let before = kept(alert);
            if present.contains(labels) {
                alert.kept_since = None;
                alert.held_until = None;
                alert.advance(ts, terms, &mut changes);
            } else if alert.missing(ts, terms) {
                alert.advance(ts, Terms { hold: alert.patience(ts, terms), ..terms }, &mut changes);
            } else if alert.state == State::Firing {
                *alert = alert.ended(ts);
                changes.resolved.push(alert.clone());
            }
            changes.kept |= before != kept(alert);
        }
        let count = self.all.len();
        self.all.retain(|labels, alert| match alert.state {
            State::Pending => present.contains(labels) || alert.held_until.is_some(),
            State::Firing => true,
            State::Inactive => alert.resolved_at.is_none_or(|at| ts - at <= RESOLVED_RETENTION),
        });
        changes.kept |= count != self.all.len();
        let active = self.active().count();
        if terms.limit > 0 && active > terms.limit {
            let why = format!("exceeded limit of {} with {active} alerts", terms.limit);
            return Err(Failed { why, changes: Changes { kept: any, ..self.clear(ts, changes) } });
        }
        Ok(changes)
    }

    /// Takes all away in the round at `ts` that made `changes`: what fired ended, and what had only just begun to fire
    /// never did.
    fn clear(&mut self, ts: i64, mut changes: Changes) -> Changes {
        let began = std::mem::take(&mut changes.fired);
        for (labels, alert) in std::mem::take(&mut self.all) {
            if alert.state == State::Firing && !began.iter().any(|one| one.labels == labels) {
                changes.resolved.push(alert.ended(ts));
            }
        }
        changes
    }

    /// Whether it is known that the alert with these labels ended, so that [`Alerts::send`] tells it.
    pub fn knows_end(&self, labels: &Labels) -> bool {
        self.all.get(labels).is_some_and(|alert| alert.state == State::Inactive)
    }

    /// Takes what was found: new alerts, or the newest value of known ones. Whether any is new.
    fn take(&mut self, ts: i64, found: Vec<Found>) -> bool {
        let mut new = false;
        for Found { labels, annotations, value } in found {
            if let Some(known) = self.all.get_mut(&labels).filter(|known| known.state != State::Inactive) {
                known.annotations = annotations;
                known.value = value;
                continue;
            }
            new = true;
            let alert = Alert {
                labels: labels.clone(),
                annotations,
                state: State::Pending,
                value,
                active_at: ts,
                fired_at: None,
                kept_since: None,
                resolved_at: None,
                sent_at: None,
                held_until: None,
            };
            self.all.insert(labels, alert);
        }
        new
    }

    /// Whether [`Alerts::send`] would give any at `ts`.
    pub fn must_send(&self, ts: i64) -> bool {
        self.iter().any(|alert| alert.must_send(ts))
    }

    /// The alerts that are to be sent after the round at `ts` of a group that runs every `interval` milliseconds:
    /// those that began to fire, those that ended, and those that were sent more than the resend delay ago.
    pub fn send(&mut self, ts: i64, interval: i64, generator_url: &str) -> Vec<notify::Alert> {
        let mut out = Vec::new();
        for alert in self.all.values_mut().filter(|alert| alert.must_send(ts)) {
            alert.sent_at = Some(ts);
            // Two rounds or two sendings may fail before the other side takes it for ended.
            let valid = ts.saturating_add(interval.max(RESEND_DELAY).saturating_mul(4));
            out.push(alert.message(valid, generator_url));
        }
        out
    }

    /// The series `ALERTS` and `ALERTS_FOR_STATE` with their values: of each active alert two. As in Prometheus, a label
    /// of `written`, the rule's labels before templates are filled, stands in them as it is written where the alert has
    /// it not, because it came out empty.
    pub fn rows(&self, written: &[(&str, &str)]) -> Vec<(Labels, f64)> {
        let rows = self.active().flat_map(|alert| {
            let missing = written.iter().filter(|(name, _)| alert.labels.get(name).is_empty());
            let labels = missing.fold(alert.labels.clone(), |labels, (name, text)| labels.with(name, text));
            let series = labels.with(NAME, "ALERTS").with("alertstate", alert.state.name());
            let since = labels.with(NAME, "ALERTS_FOR_STATE");
            [(series, 1.0), (since, alert.active_at.div_euclid(1000) as f64)]
        });
        rows.collect()
    }

    /// After a start: every active alert is held until `until` though its series may be missing, and `away`
    /// milliseconds do not count for those that wait.
    pub fn resume(&mut self, now: i64, until: i64, away: i64) {
        for alert in self.all.values_mut().filter(|alert| alert.state != State::Inactive) {
            alert.held_until = (until > now).then_some(until);
            if alert.state == State::Pending {
                alert.active_at = alert.active_at.saturating_add(away).min(now);
            }
            alert.kept_since = alert.kept_since.map(|since| since.saturating_add(away).min(now));
        }
    }
}

impl Alert {
    /// As it leaves the box; while it fires it holds until `valid`.
    pub fn message(&self, valid: i64, generator_url: &str) -> notify::Alert {
        notify::Alert {
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
            starts_at: self.fired_at.unwrap_or(self.active_at),
            ends_at: self.resolved_at.unwrap_or(valid),
            resolved: self.state == State::Inactive,
            value: self.value,
            generator_url: generator_url.to_owned(),
        }
    }

    /// The same after it ended at `ts`.
    pub fn ended(&self, ts: i64) -> Self {
        Self { state: State::Inactive, resolved_at: Some(ts), ..self.clone() }
    }

    /// A clock that was set back to `ts`: times that are still to come would keep a message, and the wait for one, until
    /// they have come. Since when it fires stays, for that is its name to those who were told.
    fn not_after(&mut self, ts: i64) {
        self.sent_at = self.sent_at.filter(|at| *at <= ts);
        self.resolved_at = self.resolved_at.map(|at| at.min(ts));
        self.kept_since = self.kept_since.map(|at| at.min(ts));
        if self.state == State::Pending {
            self.active_at = self.active_at.min(ts);
        }
    }

    /// What an alert that goes on becomes at `ts`.
    fn advance(&mut self, ts: i64, terms: Terms, changes: &mut Changes) {
        let long_enough = ts.saturating_sub(self.active_at) >= terms.hold;
        // It had waited long enough when it began, whatever the clock says since.
        let set_back = self.fired_at.is_some_and(|at| ts < at);
        match self.state {
            State::Pending if long_enough => {
                self.state = State::Firing;
                self.fired_at = Some(ts);
                changes.fired.push(self.clone());
            }
            // A reload raised `for`.
            State::Firing if !long_enough && !set_back => {
                changes.resolved.push(self.ended(ts));
                self.state = State::Pending;
                self.fired_at = None;
                self.sent_at = None;
                self.kept_since = None;
            }
            _ => {}
        }
    }

    /// Whether an alert whose series is missing goes on all the same.
    fn missing(&mut self, ts: i64, terms: Terms) -> bool {
        if self.held_until.is_some_and(|until| ts < until) {
            return self.state != State::Inactive;
        }
        self.held_until = None;
        if self.state != State::Firing || terms.keep == 0 {
            return false;
        }
        ts.saturating_sub(*self.kept_since.get_or_insert(ts)) < terms.keep
    }

    /// The `for` of an alert whose series is missing: one that waits and is only held does not begin to fire, for
    /// nothing says that it should.
    fn patience(&self, ts: i64, terms: Terms) -> i64 {
        if self.state == State::Pending { ts.saturating_sub(self.active_at).saturating_add(1) } else { terms.hold }
    }

    fn must_send(&self, ts: i64) -> bool {
        if self.state == State::Pending {
            return false;
        }
        let Some(sent) = self.sent_at else { return true };
        self.resolved_at.is_some_and(|at| at > sent) || sent.saturating_add(RESEND_DELAY) < ts
    }
}

/// The times that must outlive the process; `sent_at` changes only where something is sent, which saves anyway.
fn kept(alert: &Alert) -> (State, i64, Option<i64>, Option<i64>) {
    (alert.state, alert.active_at, alert.kept_since, alert.resolved_at)
}

#[cfg(test)]
mod tests;
