//! One group of rules: its slots, its rounds, what it shows. Pure but for the store it reads.
//!
//! Rules run one after the other at the slot's time; what a rule yields is handed to `record` before the next rule
//! runs, so that it sees it. A rule that fails raises an alert of the agent's own, [`FAILING`], because a rule in
//! error is silent otherwise; it is made here and not by a shipped rule, so that no rule file can take it away.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::rules::{Group, Kind, Rule};
use super::state::{Alert, Alerts, Changes, Failed, Found, Terms, millis};
use super::view::{ActiveView, AlertView, GroupView, Presence, RuleView};
use crate::notify;
use crate::query::Limits;
use crate::store::sample::STALE;
use crate::store::{Labels, Sample, Store, Taken};

mod rule;

/// The alert that says that a rule failed for [`FAILING_HOLD`].
pub const FAILING: &str = "PlimsollRuleFailing";
/// How long a rule must fail before anyone is told.
pub const FAILING_HOLD: Duration = Duration::from_secs(300);

/// What all groups have in common.
#[derive(Debug, Clone)]
pub struct Setting {
    /// `$externalLabels`.
    pub external_labels: Labels,
    /// `$externalURL`, and where the links of alerts lead.
    pub external_url: String,
    /// The name of this box, for alerts of the agent's own.
    pub host: String,
    /// Bounds of each rule's query.
    pub limits: Limits,
    /// Whether a failing rule raises [`FAILING`].
    pub failing: bool,
}

/// Takes rows that a rule yields, before the next rule runs. What comes back makes the rule fail: [`refused`].
pub type Record<'a> = dyn FnMut(&[(Labels, Sample)]) -> Option<String> + 'a;

/// Why a row of a rule was not taken: another rule records the same series.
pub fn refused((labels, taken): (Labels, Taken)) -> String {
    let what = if taken == Taken::Old { "out of order sample" } else { "duplicate sample for timestamp" };
    format!("{what}: {labels} comes from another rule too")
}

/// What a round brought.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Round {
    /// Alerts to be sent now.
    pub send: Vec<notify::Alert>,
    /// Alerts that began to fire, with their rule's name.
    pub fired: Vec<(String, Alert)>,
    /// Alerts that ended, with their rule's name.
    pub resolved: Vec<(String, Alert)>,
    /// Whether anything that must outlive the process changed.
    pub kept: bool,
    /// Rules that were evaluated.
    pub evaluations: u64,
    /// Rules that failed.
    pub failures: u64,
}

/// A group as it runs.
#[derive(Debug)]
pub struct Run {
    group: Group,
    interval: i64,
    rules: Vec<RuleRun>,
    failing: RuleRun,
    evaluated: i64,
    took: Duration,
    /// Slots that were left out.
    pub missed: u64,
}

/// A rule as it runs.
#[derive(Debug, Default)]
struct RuleRun {
    alerts: Alerts,
    previous: BTreeSet<Labels>,
    error: String,
    evaluated: i64,
    took: Duration,
}

impl RuleRun {
    /// Whether nothing came to it yet, neither by a round nor from before.
    fn is_new(&self) -> bool {
        self.evaluated == 0 && self.previous.is_empty() && self.alerts.iter().next().is_none()
    }

    /// `rows` with the marker for each series that the round before had and this one has not.
    fn with_ended(&mut self, rows: Vec<(Labels, f64)>, t: i64) -> Vec<(Labels, Sample)> {
        if self.previous.iter().eq(rows.iter().map(|(labels, _)| labels)) {
            return rows.into_iter().map(|(labels, v)| (labels, Sample { t, v })).collect();
        }
        let now: BTreeSet<Labels> = rows.iter().map(|(labels, _)| labels.clone()).collect();
        let ended = self.previous.difference(&now).map(|labels| (labels.clone(), Sample { t, v: STALE }));
        let mut out: Vec<_> = ended.collect();
        out.extend(rows.into_iter().map(|(labels, v)| (labels, Sample { t, v })));
        self.previous = now;
        out
    }
}

impl Run {
    /// A group that has not run yet, every `interval` where it names none.
    pub fn new(group: Group, interval: Duration) -> Self {
        let interval = millis(group.interval.unwrap_or(interval)).max(1);
        let rules = group.rules.iter().map(|_| RuleRun::default()).collect();
        let failing = RuleRun::default();
        Self { group, interval, rules, failing, evaluated: 0, took: Duration::ZERO, missed: 0 }
    }

    /// What it was read from.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Milliseconds between two rounds.
    pub fn interval(&self) -> i64 {
        self.interval
    }

    /// The latest slot that is not after `now`. Slots are multiples of the interval, moved by a part of it that file
    /// and name decide, so that groups do not run all at once.
    pub fn slot(&self, now: i64) -> i64 {
        let key = format!("{}\0{}", self.group.file.display(), self.group.name);
        let hash = xxhash_rust::xxh3::xxh3_64(key.as_bytes());
        let offset = (hash % self.interval.unsigned_abs()).cast_signed();
        let moved = now - offset;
        moved - moved.rem_euclid(self.interval) + offset
    }

    /// Evaluates all rules at `ts`.
    pub fn evaluate(&mut self, ts: i64, store: &Store, setting: &Setting, record: &mut Record<'_>) -> Round {
        let began = Instant::now();
        let mut round = Round::default();
        for index in 0..self.rules.len() {
            self.evaluate_rule(index, (ts, store, setting), record, &mut round);
        }
        if setting.failing {
            self.tell_failing((ts, &setting.host), record, &mut round);
        }
        self.evaluated = ts;
        self.took = began.elapsed();
        round
    }

    fn evaluate_rule(
        &mut self,
        index: usize,
        (ts, store, setting): (i64, &Store, &Setting),
        record: &mut Record<'_>,
        round: &mut Round,
    ) {
        let began = Instant::now();
        let (rule, run) = (&self.group.rules[index], &mut self.rules[index]);
        let asked = rule::Asked { store, setting, ts, at: ts.saturating_sub(millis(self.group.query_offset)) };
        let rows = match &rule.kind {
            Kind::Record => rule::recorded(rule, &asked, self.group.limit),
            Kind::Alert { hold, keep, annotations } => {
                let terms = Terms::new(*hold, *keep, self.group.limit);
                let found = rule::found(rule, annotations, &asked).map_err(Failed::from);
                let stepped = found.and_then(|found| run.alerts.step(ts, found, terms));
                let (changes, rows) = match stepped {
                    Ok(changes) => (changes, Ok(run.alerts.rows(&written(rule)))),
                    Err(failed) => (failed.changes, Err(failed.why)),
                };
                let link = rule::link(&setting.external_url, rule.expr.text());
                round.take((&rule.name, &link), changes, &run.alerts);
                if rows.is_ok() {
                    round.send.extend(run.alerts.send(ts, self.interval, &link));
                }
                rows
            }
        };
        round.evaluations += 1;
        let error = match rows {
            Ok(rows) => record(&run.with_ended(rows, asked.at)).unwrap_or_default(),
            Err(error) => error,
        };
        if !error.is_empty() {
            if run.error != error {
                tracing::warn!(group = self.group.name, rule = rule.name, error, "rule failed");
            }
            round.failures += 1;
        }
        run.error = error;
        run.evaluated = ts;
        run.took = began.elapsed();
    }

    /// Alerts for the rules that fail.
    fn tell_failing(&mut self, (ts, host): (i64, &str), record: &mut Record<'_>, round: &mut Round) {
        let failing = self.group.rules.iter().zip(&self.rules).enumerate();
        let found = failing.filter(|(_, (_, run))| !run.error.is_empty()).map(|(index, (rule, run))| Found {
            labels: Labels::new([
                ("alertname", FAILING.to_owned()),
                ("instance", host.to_owned()),
                ("rule", rule.name.clone()),
                ("rule_group", self.group.name.clone()),
                ("rule_index", index.to_string()),
                ("severity", "ticket".to_owned()),
            ]),
            annotations: vec![
                ("summary".into(), format!("The rule {} cannot be evaluated", rule.name)),
                ("description".into(), format!("{}: {}", self.group.file.display(), run.error)),
            ],
            value: 1.0,
        });
        let terms = Terms::new(FAILING_HOLD, Duration::ZERO, 0);
        // Each has its index, so no two are the same.
        if let Ok(changes) = self.failing.alerts.step(ts, found.collect(), terms) {
            round.take((FAILING, ""), changes, &self.failing.alerts);
        }
        let rows = self.failing.alerts.rows(&[]);
        let rows = self.failing.with_ended(rows, ts);
        if !rows.is_empty() {
            record(&rows);
        }
        round.send.extend(self.failing.alerts.send(ts, self.interval, ""));
    }

    /// The alerts of each rule, for what must outlive the process; last those of [`FAILING`].
    pub fn alerts(&self) -> impl Iterator<Item = (Option<&Rule>, &Alerts)> {
        let own = (None, &self.failing.alerts);
        self.group.rules.iter().map(Some).zip(self.rules.iter().map(|run| &run.alerts)).chain([own])
    }

    /// Goes on with `alerts` of the rule at `index`; past the last rule, of [`FAILING`].
    pub fn set_alerts(&mut self, index: usize, alerts: Alerts) {
        let run = self.rules.get_mut(index).unwrap_or(&mut self.failing);
        let written = self.group.rules.get(index).map(written).unwrap_or_default();
        run.previous = alerts.rows(&written).into_iter().map(|(labels, _)| labels).collect();
        run.alerts = alerts;
    }

    /// After a start: [`Alerts::resume`] for the rule at `index`.
    pub fn resume(&mut self, index: usize, now: i64, until: i64, away: i64) {
        self.rules.get_mut(index).unwrap_or(&mut self.failing).alerts.resume(now, until, away);
    }

    /// Gives what it knows of the rules that `new` has too to `new`; what is left here has no successor.
    pub fn hand_over(&mut self, new: &mut Self) {
        new.missed = self.missed;
        (new.evaluated, new.took) = (self.evaluated, self.took);
        for (rule, run) in self.group.rules.iter().zip(&mut self.rules) {
            let mut same = (0..new.rules.len()).filter(|index| same_rule(&new.group.rules[*index], rule));
            if let Some(index) = same.find(|index| new.rules[*index].is_new()) {
                new.rules[index] = std::mem::take(run);
            }
        }
        new.failing = std::mem::take(&mut self.failing);
    }

    /// Each rule whose latest evaluation failed, with what it said.
    pub fn errors(&self) -> impl Iterator<Item = (&str, &str)> {
        let rules = self.group.rules.iter().zip(&self.rules);
        rules.filter(|(_, run)| !run.error.is_empty()).map(|(rule, run)| (rule.name.as_str(), run.error.as_str()))
    }

    /// Markers that end at `now` the series that it yielded last: where its results stand, which `query_offset` moves.
    pub fn ends(&self, now: i64) -> Vec<(Labels, Sample)> {
        let moved = now.saturating_sub(millis(self.group.query_offset));
        let own = self.failing.previous.iter().map(|labels| (labels, now));
        let all = self.rules.iter().flat_map(|run| &run.previous).map(|labels| (labels, moved)).chain(own);
        all.map(|(labels, t)| (labels.clone(), Sample { t, v: STALE })).collect()
    }

    /// For the faces; `presence` of each rule.
    pub fn view(&self, presence: impl Fn(&Rule) -> Presence) -> GroupView {
        let shown = |(rule, run): (&Rule, &RuleRun)| rule_view(rule, run, presence(rule));
        let mut rules: Vec<RuleView> = self.group.rules.iter().zip(&self.rules).map(shown).collect();
        let own = active(&self.failing.alerts);
        if !own.is_empty() {
            let alert = AlertView { hold: FAILING_HOLD, active: own, ..AlertView::default() };
            let evaluated = self.evaluated;
            rules.push(RuleView { name: FAILING.into(), alert: Some(alert), evaluated, ..RuleView::default() });
        }
        GroupView {
            file: self.group.file.display().to_string(),
            name: self.group.name.clone(),
            interval: Duration::from_millis(self.interval.unsigned_abs()),
            limit: self.group.limit,
            evaluated: self.evaluated,
            took: self.took,
            missed: self.missed,
            rules,
        }
    }
}

impl Round {
    /// Takes what changed among the `alerts` of `rule`. An end that `alerts` does not keep is told here, once.
    fn take(&mut self, (rule, link): (&str, &str), changes: Changes, alerts: &Alerts) {
        let gone = changes.resolved.iter().filter(|alert| !alerts.knows_end(&alert.labels));
        self.send.extend(gone.map(|alert| alert.message(0, link)));
        self.fired.extend(changes.fired.into_iter().map(|alert| (rule.to_owned(), alert)));
        self.resolved.extend(changes.resolved.into_iter().map(|alert| (rule.to_owned(), alert)));
        self.kept |= changes.kept;
    }
}

/// Whether state may go from one to the other: as in Prometheus by name and labels, whatever the expression.
pub fn same_rule(a: &Rule, b: &Rule) -> bool {
    a.name == b.name
        && std::mem::discriminant(&a.kind) == std::mem::discriminant(&b.kind)
        && texts(&a.labels).eq(texts(&b.labels))
}

fn texts(labels: &[(String, super::template::Template)]) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().map(|(name, text)| (name.as_str(), text.text()))
}

/// The rule's labels before templates are filled.
fn written(rule: &Rule) -> Vec<(&str, &str)> {
    texts(&rule.labels).collect()
}

fn rule_view(rule: &Rule, run: &RuleRun, presence: Presence) -> RuleView {
    let owned = |pairs: &[(String, super::template::Template)]| {
        texts(pairs).map(|(name, text)| (name.to_owned(), text.to_owned())).collect::<Vec<_>>()
    };
    let alert = match &rule.kind {
        Kind::Record => None,
        Kind::Alert { hold, keep, annotations } => {
            Some(AlertView { hold: *hold, keep: *keep, annotations: owned(annotations), active: active(&run.alerts) })
        }
    };
    RuleView {
        name: rule.name.clone(),
        query: rule.expr.text().to_owned(),
        labels: owned(&rule.labels),
        error: run.error.clone(),
        evaluated: run.evaluated,
        took: run.took,
        presence,
        alert,
    }
}

fn active(alerts: &Alerts) -> Vec<ActiveView> {
    let shown = alerts.active().map(|alert| ActiveView {
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        firing: alert.state == super::state::State::Firing,
        active: alert.active_at,
        kept_since: alert.kept_since,
        value: alert.value,
    });
    shown.collect()
}

#[cfg(test)]
mod tests;
