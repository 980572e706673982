//! `plimsoll alerts --json`.

use serde_json::{Map, Value, json};

use super::{State, active, rules};
use crate::alert::view::{Activation, ActiveView, AlertView, Presence, RuleView};
use crate::control::Alerts;

/// The object that the help describes.
pub(super) fn facts(alerts: &Alerts, history: bool) -> Value {
    let all = rules(alerts).map(|(group, rule)| {
        let group = &alerts.view.groups[group];
        let mut out = fact(alerts.now, rule);
        out["group"] = group.name.as_str().into();
        out["file"] = group.file.as_str().into();
        out
    });
    let mut out = json!({ "now": seconds(alerts.now), "off": alerts.view.off, "rules": all.collect::<Value>() });
    if history {
        out["history"] = alerts.history.iter().map(activation).collect();
    }
    out
}

fn fact(now: i64, rule: &RuleView) -> Value {
    let (why, mend) = match &rule.presence {
        Presence::CannotFire { why, mend } => (why.as_str(), mend.as_str()),
        Presence::NotHere(why) => (why.as_str(), ""),
        Presence::Here | Presence::Fleet => ("", ""),
    };
    let text = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
    let none = AlertView::default();
    let alert = rule.alert.as_ref().unwrap_or(&none);
    let hold = i64::try_from(alert.hold.as_millis()).unwrap_or(i64::MAX);
    json!({
        "name": rule.name,
        "type": if rule.alert.is_some() { "alerting" } else { "recording" },
        "query": rule.query,
        "labels": pairs(rule.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()))),
        "annotations": pairs(alert.annotations.iter().map(|(name, value)| (name.as_str(), value.as_str()))),
        "for_seconds": alert.hold.as_secs_f64(),
        "keep_firing_for_seconds": alert.keep.as_secs_f64(),
        "state": State::of(rule).name(),
        "why": text(why),
        "mend": text(mend),
        "error": text(&rule.error),
        "last_evaluation": seconds(rule.evaluated),
        "alerts": active(rule).map(|alert| one(now, hold, alert)).collect::<Value>(),
    })
}

fn one(now: i64, hold: i64, alert: &ActiveView) -> Value {
    let left = alert.active.saturating_add(hold).saturating_sub(now).max(0);
    json!({
        "state": if alert.firing { "firing" } else { "pending" },
        "labels": pairs(alert.labels.iter()),
        "annotations": pairs(alert.annotations.iter().map(|(name, value)| (name.as_str(), value.as_str()))),
        "active_since": seconds(alert.active),
        "fires_in_seconds": if alert.firing { Value::Null } else { (left as f64 / 1000.0).into() },
        "kept_since": alert.kept_since.map_or(Value::Null, seconds),
        "value": number(alert.value),
    })
}

fn activation(one: &Activation) -> Value {
    json!({
        "rule": one.rule,
        "labels": pairs(one.labels.iter()),
        "start": seconds(one.start),
        "end": one.end.map_or(Value::Null, seconds),
        "value": number(one.value),
        "told": one.told,
        "silenced": if one.silenced.is_empty() { Value::Null } else { one.silenced.as_str().into() },
    })
}

fn pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    Value::Object(pairs.map(|(name, value)| (name.to_owned(), value.into())).collect::<Map<_, _>>())
}

fn seconds(millis: i64) -> Value {
    if millis == 0 { Value::Null } else { (millis as f64 / 1000.0).into() }
}

/// JSON has no infinities: those are texts, as in Prometheus' API.
fn number(value: f64) -> Value {
    if value.is_finite() { value.into() } else { crate::web::api::json::number(value, true).into() }
}
