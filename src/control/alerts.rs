//! Rules and alerts as messages of the control service and back, field by field.

use std::time::Duration;

use super::generated::{self as wire, AlertsResponse};
use crate::alert::view::{Activation, ActiveView, AlertView, GroupView, Presence, RuleView, View};
use crate::store::Labels;

/// Rules and alerts at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Alerts {
    /// The agent's clock, Unix milliseconds.
    pub now: i64,
    /// The rules.
    pub view: View,
    /// What fired before, newest first.
    pub history: Vec<Activation>,
}

impl From<Alerts> for AlertsResponse {
    fn from(alerts: Alerts) -> Self {
        Self {
            now: alerts.now,
            off: alerts.view.off,
            groups: alerts.view.groups.into_iter().map(Into::into).collect(),
            history: alerts.history.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<AlertsResponse> for Alerts {
    fn from(wire: AlertsResponse) -> Self {
        let groups = wire.groups.into_iter().map(Into::into).collect();
        Self {
            now: wire.now,
            view: View { off: wire.off, groups },
            history: wire.history.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<GroupView> for wire::RuleGroup {
    fn from(group: GroupView) -> Self {
        Self {
            file: group.file,
            name: group.name,
            interval_seconds: group.interval.as_secs_f64(),
            limit: group.limit as u64,
            evaluated: group.evaluated,
            took_seconds: group.took.as_secs_f64(),
            missed: group.missed,
            rules: group.rules.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<wire::RuleGroup> for GroupView {
    fn from(wire: wire::RuleGroup) -> Self {
        Self {
            file: wire.file,
            name: wire.name,
            interval: seconds(wire.interval_seconds),
            limit: usize::try_from(wire.limit).unwrap_or(usize::MAX),
            evaluated: wire.evaluated,
            took: seconds(wire.took_seconds),
            missed: wire.missed,
            rules: wire.rules.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<RuleView> for wire::Rule {
    fn from(rule: RuleView) -> Self {
        let (presence, why, mend) = match rule.presence {
            Presence::Here => (wire::Presence::Here, String::new(), String::new()),
            Presence::CannotFire { why, mend } => (wire::Presence::CannotFire, why, mend),
            Presence::NotHere(why) => (wire::Presence::NotHere, why, String::new()),
            Presence::Fleet => (wire::Presence::Fleet, String::new(), String::new()),
        };
        Self {
            name: rule.name,
            query: rule.query,
            labels: pairs(rule.labels),
            error: rule.error,
            evaluated: rule.evaluated,
            took_seconds: rule.took.as_secs_f64(),
            presence: presence.into(),
            why,
            mend,
            alert: rule.alert.map(Into::into),
        }
    }
}

impl From<wire::Rule> for RuleView {
    fn from(wire: wire::Rule) -> Self {
        let presence = match wire.presence() {
            wire::Presence::CannotFire => Presence::CannotFire { why: wire.why, mend: wire.mend },
            wire::Presence::NotHere => Presence::NotHere(wire.why),
            wire::Presence::Fleet => Presence::Fleet,
            wire::Presence::Here | wire::Presence::Unspecified => Presence::Here,
        };
        Self {
            name: wire.name,
            query: wire.query,
            labels: read_pairs(wire.labels),
            error: wire.error,
            evaluated: wire.evaluated,
            took: seconds(wire.took_seconds),
            presence,
            alert: wire.alert.map(Into::into),
        }
    }
}

impl From<AlertView> for wire::AlertRule {
    fn from(alert: AlertView) -> Self {
        Self {
            for_seconds: alert.hold.as_secs_f64(),
            keep_seconds: alert.keep.as_secs_f64(),
            annotations: pairs(alert.annotations),
            active: alert.active.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<wire::AlertRule> for AlertView {
    fn from(wire: wire::AlertRule) -> Self {
        Self {
            hold: seconds(wire.for_seconds),
            keep: seconds(wire.keep_seconds),
            annotations: read_pairs(wire.annotations),
            active: wire.active.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<ActiveView> for wire::Alert {
    fn from(alert: ActiveView) -> Self {
        Self {
            labels: labels(&alert.labels),
            annotations: pairs(alert.annotations),
            firing: alert.firing,
            active: alert.active,
            kept_since: alert.kept_since.unwrap_or(0),
            value: alert.value,
        }
    }
}

impl From<wire::Alert> for ActiveView {
    fn from(wire: wire::Alert) -> Self {
        Self {
            labels: Labels::new(read_pairs(wire.labels)),
            annotations: read_pairs(wire.annotations),
            firing: wire.firing,
            active: wire.active,
            kept_since: (wire.kept_since != 0).then_some(wire.kept_since),
            value: wire.value,
        }
    }
}

impl From<Activation> for wire::Activation {
    fn from(activation: Activation) -> Self {
        Self {
            rule: activation.rule,
            labels: labels(&activation.labels),
            start: activation.start,
            end: activation.end.unwrap_or(0),
            value: activation.value,
            told: activation.told,
            silenced: activation.silenced,
        }
    }
}

impl From<wire::Activation> for Activation {
    fn from(wire: wire::Activation) -> Self {
        Self {
            rule: wire.rule,
            labels: Labels::new(read_pairs(wire.labels)),
            start: wire.start,
            end: (wire.end != 0).then_some(wire.end),
            value: wire.value,
            told: wire.told,
            silenced: wire.silenced,
        }
    }
}

fn labels(labels: &Labels) -> Vec<wire::Label> {
    labels.iter().map(|(name, value)| wire::Label { name: name.to_owned(), value: value.to_owned() }).collect()
}

fn pairs(pairs: Vec<(String, String)>) -> Vec<wire::Label> {
    pairs.into_iter().map(|(name, value)| wire::Label { name, value }).collect()
}

fn read_pairs(labels: Vec<wire::Label>) -> Vec<(String, String)> {
    labels.into_iter().map(|label| (label.name, label.value)).collect()
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_and_alerts_survive_the_way_through_the_messages() {
        let labels = Labels::new([("alertname", "Full"), ("device", "a\n")]);
        let text = |text: &str| vec![("summary".to_owned(), text.to_owned())];
        let active = |firing| ActiveView {
            labels: labels.clone(),
            annotations: text("full"),
            firing,
            active: 5,
            kept_since: firing.then_some(7),
            value: f64::INFINITY,
        };
        let rule = |presence, alert| RuleView {
            name: "Full".into(),
            query: "disk > 90".into(),
            labels: text("x"),
            error: "e".into(),
            evaluated: 9,
            took: Duration::from_millis(3),
            presence,
            alert,
        };
        let alert = AlertView {
            hold: Duration::from_secs(300),
            keep: Duration::from_secs(60),
            annotations: text("{{ $value }}"),
            active: vec![active(true), active(false)],
        };
        let rules = vec![
            rule(Presence::Here, Some(alert)),
            rule(Presence::CannotFire { why: "w".into(), mend: "m".into() }, None),
            rule(Presence::NotHere("redis".into()), None),
            rule(Presence::Fleet, None),
        ];
        let group = GroupView {
            file: "f".into(),
            name: "g".into(),
            interval: Duration::from_secs(15),
            limit: 3,
            evaluated: 11,
            took: Duration::from_millis(20),
            missed: 2,
            rules,
        };
        let fired = |end| Activation {
            rule: "Full".into(),
            labels: labels.clone(),
            start: 1,
            end,
            value: 2.5,
            told: vec!["chat".into()],
            silenced: "by ops".into(),
        };
        let view = View { off: true, groups: vec![group] };
        let alerts = Alerts { now: 12, view, history: vec![fired(None), fired(Some(4))] };
        assert_eq!(Alerts::from(AlertsResponse::from(alerts.clone())), alerts);
    }
}
