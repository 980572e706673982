//! The rules of the box, a line for each stage: which have data, which cannot fire and why, which are not here.

use std::collections::{BTreeMap, BTreeSet};

use super::check::Check;
use super::presence::Names;
use crate::alert::view::{Presence, RuleView};
use crate::control::Alerts;
use crate::query::Query;

/// The metrics that rules of this box ask for.
pub(super) fn names(alerts: &Alerts) -> BTreeSet<String> {
    each(alerts).filter(|rule| !matches!(rule.presence, Presence::Fleet)).flat_map(asks).collect()
}

/// Names and expressions of all rules, those for the stack's ruler among them.
pub(super) fn queries(alerts: &Alerts) -> Vec<(&str, &str)> {
    each(alerts).map(|rule| (rule.name.as_str(), rule.query.as_str())).collect()
}

/// Names of metrics that are told of one stage.
const TOLD: usize = 4;

/// The verdicts: a line for each stage, and one for each rule that cannot fire. `awaited` says of a metric without data
/// whether it should come: its source is here and is read.
pub(super) fn check(alerts: &Alerts, local: &Names, awaited: &dyn Fn(&str) -> bool) -> Vec<Check> {
    if alerts.view.off {
        return vec![Check::warn("rules", "rules", "switched off by `alerts: off`: no rule is evaluated on this box")];
    }
    let mut stages: BTreeMap<String, Vec<&RuleView>> = BTreeMap::new();
    for rule in each(alerts).filter(|rule| rule.alert.is_some()) {
        stages.entry(stage(rule)).or_default().push(rule);
    }
    let mut out = Vec::new();
    for (stage, rules) in &stages {
        out.push(of_stage(stage, rules, local, awaited));
        out.extend(rules.iter().filter_map(|rule| trouble(rule)));
    }
    out.extend(each(alerts).filter(|rule| rule.alert.is_none()).filter_map(trouble));
    if out.is_empty() {
        out.push(Check::warn("rules", "rules", "there are none: nothing would tell of a fault"));
    }
    out
}

fn each(alerts: &Alerts) -> impl Iterator<Item = &RuleView> {
    alerts.view.groups.iter().flat_map(|group| &group.rules)
}

fn asks(rule: &RuleView) -> Vec<String> {
    Query::parse(&rule.query).map(|query| query.names().into_iter().map(str::to_owned).collect()).unwrap_or_default()
}

/// As the line is named: `stage 3`, `agent`; what users wrote without the label stands by itself.
fn stage(rule: &RuleView) -> String {
    if matches!(rule.presence, Presence::Fleet) {
        return "fleet".into();
    }
    match rule.labels.iter().find(|(name, _)| name == "stage") {
        Some((_, stage)) if stage.len() == 1 => format!("stage {stage}"),
        Some((_, stage)) => stage.clone(),
        None => "your own".into(),
    }
}

fn of_stage(stage: &str, rules: &[&RuleView], local: &Names, awaited: &dyn Fn(&str) -> bool) -> Check {
    let here: Vec<&&RuleView> = rules.iter().filter(|rule| matches!(rule.presence, Presence::Here)).collect();
    let absent: BTreeSet<&str> = rules
        .iter()
        .filter_map(|rule| match &rule.presence {
            Presence::NotHere(kind) => Some(kind.as_str()),
            _ => None,
        })
        .collect();
    if stage == "fleet" {
        let words = format!("{} rules need several boxes: they are for the stack's ruler", rules.len());
        return Check::not_here("rules", stage, words);
    }
    let count = rules.len();
    let kinds = absent.into_iter().collect::<Vec<_>>().join(", ");
    if here.is_empty() && !rules.iter().any(|rule| matches!(rule.presence, Presence::CannotFire { .. })) {
        return Check::not_here("rules", stage, format!("{count} rules: no {kinds} on this box"));
    }
    // A metric of a source that is fine may come only with the first event that it counts.
    let quiet: BTreeSet<String> =
        here.iter().flat_map(|rule| asks(rule)).filter(|name| !local.contains(name) && awaited(name)).collect();
    let mut words = format!("{} of {count} rules watch", here.len());
    if !kinds.is_empty() {
        words.push_str(&format!("; not here: {kinds}"));
    }
    if !quiet.is_empty() {
        let more = quiet.len().saturating_sub(TOLD);
        let names = quiet.into_iter().take(TOLD).collect::<Vec<_>>().join(", ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        words.push_str(&format!("; no data yet of {names}{more}"));
    }
    Check::ok("rules", stage, words)
}

fn trouble(rule: &RuleView) -> Option<Check> {
    if !rule.error.is_empty() {
        return Some(Check::fail("rules", rule.name.as_str(), format!("its evaluation fails: {}", rule.error)));
    }
    let Presence::CannotFire { why, .. } = &rule.presence else { return None };
    Some(Check::fail("rules", rule.name.as_str(), format!("cannot fire: {why}")))
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;
    use crate::alert::view::{AlertView, GroupView, View};

    fn rule(name: &str, stage: &str, query: &str, presence: Presence) -> RuleView {
        let labels = if stage.is_empty() { Vec::new() } else { vec![("stage".to_owned(), stage.to_owned())] };
        let alert = Some(AlertView::default());
        RuleView { name: name.into(), query: query.into(), labels, presence, alert, ..RuleView::default() }
    }

    #[test]
    fn each_stage_has_a_line_and_each_rule_that_cannot_fire_one_of_its_own() {
        let broken = Presence::CannotFire { why: "redis: NOAUTH".into(), mend: String::new() };
        let rules = vec![
            rule("MemoryLow", "1", "memory_ratio > 0.9", Presence::Here),
            rule("Killed", "1", "oom_kills_total > 0", Presence::Here),
            rule("CacheFull", "5", "redis_memory > 1", broken),
            rule("QueueOld", "6", "queue_age > 1", Presence::NotHere("rabbitmq".into())),
            rule("TwoPrimaries", "7", "primaries > 1", Presence::Fleet),
            RuleView { error: "many-to-many".into(), ..rule("Mine", "", "shop > 1", Presence::Here) },
        ];
        let view = View { groups: vec![GroupView { rules, ..GroupView::default() }], ..View::default() };
        let alerts = Alerts { now: 0, view, history: Vec::new() };
        let want = ["memory_ratio", "oom_kills_total", "queue_age", "redis_memory", "shop"].map(str::to_owned);
        assert_eq!(names(&alerts), want.into());
        let local: Names = ["memory_ratio".to_owned(), "shop".to_owned()].into();
        let lines: Vec<(String, Verdict, String)> = check(&alerts, &local, &|_| true)
            .into_iter()
            .map(|check| (check.name, check.verdict, check.words))
            .collect();
        let line = |name: &str, verdict, words: &str| (name.to_owned(), verdict, words.to_owned());
        let want = [
            line("fleet", Verdict::NotHere, "1 rules need several boxes: they are for the stack's ruler"),
            line("stage 1", Verdict::Ok, "2 of 2 rules watch; no data yet of oom_kills_total"),
            line("stage 5", Verdict::Ok, "0 of 1 rules watch"),
            line("CacheFull", Verdict::Fail, "cannot fire: redis: NOAUTH"),
            line("stage 6", Verdict::NotHere, "1 rules: no rabbitmq on this box"),
            line("your own", Verdict::Ok, "1 of 1 rules watch"),
            line("Mine", Verdict::Fail, "its evaluation fails: many-to-many"),
        ];
        assert_eq!(lines, want);
    }
}
