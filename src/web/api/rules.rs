//! `/api/v1/rules` and `alerts`: the rules of this box as Prometheus shows its own.

use axum::extract::{Request, State};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::params::Params;
use super::series::selectors;
use super::{Api, Refusal, answer, json, params, success};
use crate::alert::view::{ActiveView, GroupView, Presence, RuleView};
use crate::store::{Labels, Matcher};

pub(super) async fn rules(State(api): State<Api>, request: Request) -> Response {
    answer(groups(&api, request).await)
}

/// All that are pending or firing.
pub(super) async fn alerts(State(api): State<Api>) -> Response {
    let view = api.views.get();
    let rules = view.groups.iter().flat_map(|group| &group.rules);
    let active = rules.filter_map(|rule| rule.alert.as_ref()).flat_map(|alert| &alert.active);
    success(&json!({ "alerts": active.map(alert).collect::<Value>() }).to_string())
}

async fn groups(api: &Api, request: Request) -> Result<Response, Refusal> {
    let params = params(request).await?;
    if let Some(why) = &params.broken {
        return Err(Refusal::bad(format!("error parsing form values: {why}")));
    }
    let wanted = Wanted::new(&params)?;
    let page = Page::new(&params)?;
    let view = api.views.get();
    let mut shown: Vec<Value> = Vec::new();
    let mut next = None;
    let mut begun = page.token.is_none();
    for group in &view.groups {
        begun = begun || page.token.as_deref() == Some(token(group).as_str());
        if !begun || !wanted.group(group) {
            continue;
        }
        let rules: Vec<Value> =
            group.rules.iter().filter(|rule| wanted.rule(rule)).map(|one| rule(one, wanted.alerts)).collect();
        if rules.is_empty() {
            continue;
        }
        if page.groups.is_some_and(|groups| shown.len() >= groups) {
            next = Some(token(group));
            break;
        }
        shown.push(head(group, rules));
    }
    if !begun {
        let why = format!("invalid group_next_token '{}'. were rule groups changed?", page.token.unwrap_or_default());
        return Err(Refusal::parameter("group_next_token", &why));
    }
    let mut data = json!({ "groups": shown });
    if let Some(next) = next {
        data["groupNextToken"] = next.into();
    }
    Ok(success(&data.to_string()))
}

/// What a request wants to see.
struct Wanted {
    names: Vec<String>,
    groups: Vec<String>,
    files: Vec<String>,
    matchers: Vec<Vec<Matcher>>,
    kind: String,
    alerts: bool,
}

impl Wanted {
    fn new(params: &Params) -> Result<Self, Refusal> {
        let all = |name: &str| params.all(name).map(str::to_owned).collect();
        let matchers = selectors(params).map_err(Refusal::bad)?;
        let kind = params.get("type").to_ascii_lowercase();
        if !["", "alert", "record"].contains(&kind.as_str()) {
            return Err(Refusal::parameter("type", &format!("not supported value {kind:?}")));
        }
        let text = params.get("exclude_alerts").to_ascii_lowercase();
        let alerts = match text.as_str() {
            "" | "0" | "f" | "false" => true,
            "1" | "t" | "true" => false,
            _ => {
                let why =
                    format!("error converting exclude_alerts: strconv.ParseBool: parsing {text:?}: invalid syntax");
                return Err(Refusal::parameter("exclude_alerts", &why));
            }
        };
        Ok(Self {
            names: all("rule_name[]"),
            groups: all("rule_group[]"),
            files: all("file[]"),
            matchers,
            kind,
            alerts,
        })
    }

    fn group(&self, group: &GroupView) -> bool {
        let any = |wanted: &[String], name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
        any(&self.groups, &group.name) && any(&self.files, &group.file)
    }

    fn rule(&self, rule: &RuleView) -> bool {
        let kind = if rule.alert.is_some() { "alert" } else { "record" };
        let value = |name: &str| rule.labels.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value);
        let fits = |all: &Vec<Matcher>| all.iter().all(|matcher| matcher.matches(value(&matcher.name)));
        (self.kind.is_empty() || self.kind == kind)
            && (self.names.is_empty() || self.names.contains(&rule.name))
            && (self.matchers.is_empty() || self.matchers.iter().any(fits))
    }
}

/// Which part of the groups.
struct Page {
    groups: Option<usize>,
    token: Option<String>,
}

impl Page {
    fn new(params: &Params) -> Result<Self, Refusal> {
        let (limit, token) = (params.get("group_limit"), params.get("group_next_token"));
        if limit.is_empty() {
            if !token.is_empty() {
                let why = "group_limit needs to be present in order to paginate over the groups";
                return Err(Refusal::parameter("group_next_token", why));
            }
            return Ok(Self { groups: None, token: None });
        }
        let groups = limit.parse::<i32>().map_err(|_| {
            let why = format!("strconv.ParseInt: parsing {limit:?}: invalid syntax");
            Refusal::parameter("group_limit", &format!("group_limit needs to be a valid number: {why}"))
        })?;
        if groups <= 0 {
            return Err(Refusal::parameter("group_limit", "group_limit needs to be greater than 0"));
        }
        let token = (!token.is_empty()).then(|| token.to_owned());
        Ok(Self { groups: usize::try_from(groups).ok(), token })
    }
}

/// Names a group in the next request.
fn token(group: &GroupView) -> String {
    let name = format!("{};{}", group.file, group.name);
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(name.as_bytes()))
}

fn head(group: &GroupView, rules: Vec<Value>) -> Value {
    json!({
        "name": group.name,
        "file": group.file,
        "interval": group.interval.as_secs_f64(),
        "limit": group.limit,
        "evaluationTime": group.took.as_secs_f64(),
        "lastEvaluation": rfc3339(group.evaluated),
        "rules": rules,
    })
}

/// A rule as Prometheus shows it; what only a box can say stands in `plimsoll`.
fn rule(rule: &RuleView, alerts: bool) -> Value {
    let health = match rule.evaluated {
        _ if !rule.error.is_empty() => "err",
        0 => "unknown",
        _ => "ok",
    };
    let mut out = json!({
        "name": rule.name,
        "query": rule.query,
        "labels": pairs(&rule.labels),
        "health": health,
        "evaluationTime": rule.took.as_secs_f64(),
        "lastEvaluation": rfc3339(rule.evaluated),
        "type": if rule.alert.is_some() { "alerting" } else { "recording" },
    });
    if !rule.error.is_empty() {
        out["lastError"] = rule.error.as_str().into();
    }
    if let Some(shown) = &rule.alert {
        out["state"] = rule.state().into();
        out["duration"] = shown.hold.as_secs_f64().into();
        out["keepFiringFor"] = shown.keep.as_secs_f64().into();
        out["annotations"] = pairs(&shown.annotations);
        out["alerts"] = if alerts { shown.active.iter().map(alert).collect() } else { Value::Null };
    }
    match &rule.presence {
        Presence::Here => {}
        Presence::CannotFire { why, mend } => {
            out["plimsoll"] = json!({ "presence": "cannot fire", "why": why, "mend": mend });
        }
        Presence::NotHere(why) => out["plimsoll"] = json!({ "presence": "not here", "why": why }),
        Presence::Fleet => out["plimsoll"] = json!({ "presence": "fleet" }),
    }
    out
}

fn alert(alert: &ActiveView) -> Value {
    let mut out = json!({
        "labels": labels(&alert.labels),
        "annotations": pairs(&alert.annotations),
        "state": if alert.firing { "firing" } else { "pending" },
        "activeAt": rfc3339(alert.active),
        "value": json::exponential(alert.value),
    });
    if let Some(since) = alert.kept_since {
        out["keepFiringSince"] = rfc3339(since).into();
    }
    out
}

fn labels(labels: &Labels) -> Value {
    Value::Object(labels.iter().map(|(name, value)| (name.to_owned(), value.into())).collect::<Map<_, _>>())
}

fn pairs(pairs: &[(String, String)]) -> Value {
    Value::Object(pairs.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect::<Map<_, _>>())
}

/// Go's zero time stands for never.
fn rfc3339(millis: i64) -> String {
    match Timestamp::from_millisecond(millis) {
        Ok(time) if millis != 0 => time.to_string(),
        _ => "0001-01-01T00:00:00Z".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::alert::view::AlertView;

    #[test]
    fn a_rule_has_prometheus_fields_and_what_a_box_can_say_besides() {
        let active = ActiveView {
            labels: Labels::new([("alertname", "Full"), ("device", "<sda>")]),
            annotations: vec![("summary".into(), "full".into())],
            firing: true,
            active: 1_700_000_000_123,
            kept_since: Some(1_700_000_060_000),
            value: 97.5,
        };
        let hold = Duration::from_secs(300);
        let full = RuleView {
            name: "Full".into(),
            query: "disk > 90".into(),
            evaluated: 1_700_000_060_000,
            alert: Some(AlertView { hold, active: vec![active], ..AlertView::default() }),
            ..RuleView::default()
        };
        let shown = rule(&full, true);
        let expected = json!({
            "labels": { "alertname": "Full", "device": "<sda>" }, "annotations": { "summary": "full" },
            "state": "firing", "activeAt": "2023-11-14T22:13:20.123Z", "keepFiringSince": "2023-11-14T22:14:20Z",
            "value": "9.75e+01",
        });
        assert_eq!(shown["alerts"][0], expected);
        assert_eq!(
            (&shown["state"], &shown["health"], &shown["duration"]),
            (&json!("firing"), &json!("ok"), &json!(300.0))
        );
        assert_eq!(rule(&full, false)["alerts"], Value::Null);
        let record = RuleView {
            error: "1:1: parse error".into(),
            presence: Presence::CannotFire { why: "no right".into(), mend: "GRANT it".into() },
            ..RuleView::default()
        };
        let shown = rule(&record, true);
        assert_eq!((&shown["type"], &shown["health"]), (&json!("recording"), &json!("err")));
        assert_eq!(shown["lastEvaluation"], "0001-01-01T00:00:00Z");
        assert_eq!(shown["plimsoll"]["mend"], "GRANT it");
        assert!(shown.get("state").is_none() && shown.get("alerts").is_none());
    }
}
