//! The rules of Grafana's dashboard-linter, each with what it found, and what is left out for a reason.

use plimsoll::query::Query;
use regex::Regex;
use serde_json::{Value, json};

/// A rule that does not hold for a panel (or for all), and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exception {
    rule: &'static str,
    /// A panel's title, or `*`.
    panel: &'static str,
    #[allow(dead_code, reason = "for the reader")]
    reason: &'static str,
}

pub(crate) const EXCEPTIONS: &[Exception] = &[
    Exception {
        rule: "template-job",
        panel: "*",
        reason: "the variable is called service: it filters job and Loki's service_name",
    },
    Exception {
        rule: "target-job",
        panel: "*",
        reason: "what is the host's has the job host whatever service is chosen; alerts and the agent too",
    },
    Exception { rule: "target-rate-interval", panel: "Kills for want of memory", reason: "how many in the time shown" },
    Exception { rule: "target-rate-interval", panel: "Lost in this time", reason: "how many in the time shown" },
];

/// The elements of a JSON list.
pub(crate) fn list(value: &Value) -> impl Iterator<Item = &Value> + Clone {
    value.as_array().into_iter().flatten()
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What stands for each of Grafana's variables, recognisable afterwards.
const VARIABLES: &[(&str, &str)] = &[
    ("$__rate_interval", "8869990787ms"),
    ("$__range", "7781188786ms"),
    ("$__auto", "4867856611ms"),
    ("$instance", "shop-db-1"),
    ("$service", "shop"),
];

/// A query with something in place of each variable.
pub(crate) fn filled(expr: &str) -> String {
    VARIABLES.iter().fold(expr.to_owned(), |expr, (name, value)| expr.replace(name, value))
}

/// What is wrong with a board.
pub(crate) fn faults(name: &str, board: &Value, exceptions: &[Exception]) -> Vec<String> {
    let mut found: Vec<(&'static str, String, String)> = Vec::new();
    for (rule, fault) in whole(board) {
        found.push((rule, "*".into(), fault));
    }
    for panel in list(&board["panels"]) {
        let title = text(&panel["title"]).to_owned();
        for (rule, fault) in of_panel(panel).into_iter().chain(of_targets(panel)) {
            found.push((rule, title.clone(), fault));
        }
    }
    let holds = |rule: &str, panel: &str| {
        !exceptions.iter().any(|known| known.rule == rule && (known.panel == "*" || known.panel == panel))
    };
    let left = found.into_iter().filter(|(rule, panel, _)| holds(rule, panel));
    left.map(|(rule, panel, fault)| format!("{name}, {panel}: {rule}: {fault}")).collect()
}

type Fault = (&'static str, String);

/// Rules over the board as a whole.
fn whole(board: &Value) -> Vec<Fault> {
    let mut found = Vec::new();
    let variables = || list(&board["templating"]["list"]);
    for (name, kind) in [("prometheus_datasource", "prometheus"), ("loki_datasource", "loki")] {
        let of_kind: Vec<_> = variables().filter(|v| v["type"] == "datasource" && v["query"] == kind).collect();
        let label = format!("{}{} data source", kind[..1].to_uppercase(), &kind[1..]);
        let right = of_kind.len() == 1 && of_kind[0]["name"] == name && of_kind[0]["label"] == label;
        if !right {
            found.push(("template-datasource", format!("no single variable {name} with the label {label}")));
        }
    }
    for (rule, name) in [("template-job", "job"), ("template-instance", "instance")] {
        let right = variables().any(|v| {
            v["name"] == name
                && v["label"] == name
                && v["type"] == "query"
                && v["multi"] == true
                && v["allValue"] == ".+"
                && v["datasource"]["uid"] == "$prometheus_datasource"
        });
        if !right {
            found.push((rule, format!("no variable {name} of several values over Prometheus")));
        }
    }
    for variable in variables().filter(|v| v["type"] == "query") {
        if variable["refresh"] != 2 {
            found.push((
                "template-on-time-change-reload",
                format!("{} has refresh {}", variable["name"], variable["refresh"]),
            ));
        }
        let query = filled(text(&variable["query"]["query"]));
        let inner = query.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(", "));
        let parsed = inner.map(|(selector, _)| Query::parse(selector).map_err(|error| error.to_string()));
        if !matches!(parsed, Some(Ok(_))) {
            found.push(("template-label-promql", format!("{query}: {parsed:?}")));
        }
    }
    if board["editable"] != false {
        found.push(("uneditable-dashboard", "it can be edited".into()));
    }
    found.extend(harmless(board));
    found
}

/// Nothing in a board may run or lead elsewhere.
fn harmless(board: &Value) -> Vec<Fault> {
    let mut found = Vec::new();
    if text(&board["uid"]).is_empty() || text(&board["uid"]).len() > 40 || !board["id"].is_null() {
        found.push(("provisioned", "no uid of at most 40 letters, or an id".into()));
    }
    if !board["__inputs"].is_null() || board.to_string().contains("${DS_") {
        found.push(("provisioned", "it wants an import".into()));
    }
    for link in list(&board["links"]) {
        if !text(&link["url"]).is_empty() && !text(&link["url"]).starts_with("/d/") {
            found.push(("harmless", format!("it leads to {}", link["url"])));
        }
    }
    for panel in list(&board["panels"]) {
        if !["stat", "timeseries", "table", "logs"].contains(&text(&panel["type"])) {
            found.push(("harmless", format!("a panel of the type {}", panel["type"])));
        }
    }
    found
}

/// Rules over a panel.
fn of_panel(panel: &Value) -> Vec<Fault> {
    let mut found = Vec::new();
    let uid = text(&panel["datasource"]["uid"]);
    if !["$prometheus_datasource", "$loki_datasource"].contains(&uid) {
        found.push(("panel-datasource", format!("{uid:?} is no variable")));
    }
    if list(&panel["targets"]).any(|target| target["datasource"] != panel["datasource"]) {
        found.push(("panel-datasource", "a target has another data source than its panel".into()));
    }
    if text(&panel["title"]).is_empty() || text(&panel["description"]).is_empty() {
        found.push(("panel-title-description", "title or description is missing".into()));
    }
    let unit = text(&panel["fieldConfig"]["defaults"]["unit"]);
    if panel["type"] != "logs" && !UNITS.contains(&unit) {
        found.push(("panel-units", format!("{unit:?} is no unit")));
    }
    if list(&panel["targets"]).next().is_none() {
        found.push(("panel-no-targets", "it asks nothing".into()));
    }
    found
}

/// Those of Grafana's units that the boards use.
const UNITS: &[&str] = &["short", "percentunit", "bytes", "Bps", "s", "ops", "reqps", "cps"];

/// Rules over what a panel asks.
fn of_targets(panel: &Value) -> Vec<Fault> {
    let mut found = Vec::new();
    for target in list(&panel["targets"]) {
        let expr = text(&target["expr"]);
        if target["datasource"]["type"] == "loki" {
            found.extend(of_logs(expr));
        } else {
            found.extend(of_metrics(expr));
        }
    }
    found
}

fn of_logs(expr: &str) -> Vec<Fault> {
    let mut found = Vec::new();
    if !expr.contains("service_instance_id=~\"($instance)(:[0-9]+)?\"") || !expr.contains("service_name=") {
        found.push(("target-logql", format!("{expr} does not take the variables")));
    }
    let range = Regex::new(r"\[[^\]]*[a-z$][^\]]*\]\)").unwrap();
    if range.find_iter(expr).any(|found| found.as_str() != "[$__auto])") {
        found.push(("target-logql-auto", format!("{expr} has a range of its own")));
    }
    found
}

fn of_metrics(expr: &str) -> Vec<Fault> {
    let mut found = Vec::new();
    let query = match Query::parse(&filled(expr)) {
        Ok(query) => query,
        Err(error) => return vec![("target-promql", format!("{expr}: {error}"))],
    };
    let call = Regex::new(r"\b(rate|irate|increase)\(([a-zA-Z_:]\w*)\{[^}]*\}\[([^\]]*)\]").unwrap();
    let calls: Vec<(String, String)> =
        call.captures_iter(expr).map(|found| (found[2].to_owned(), found[3].to_owned())).collect();
    found.extend(
        calls
            .iter()
            .filter(|(_, range)| range != "$__rate_interval")
            .map(|(name, range)| ("target-rate-interval", format!("{name} over {range}"))),
    );
    for (name, matchers) in query.demands() {
        let name = name.unwrap_or_default();
        let has = |label: &str| matchers.iter().any(|matcher| matcher.name == label);
        if !has("instance") {
            found.push(("target-instance", format!("{name} has no matcher of instance")));
        }
        if !has("job") {
            found.push(("target-job", format!("{name} has no matcher of job")));
        }
        if name.ends_with("_total") && !calls.iter().any(|(called, _)| called == name) {
            found.push(("target-counter-agg", format!("{name} is a counter and stands in no rate")));
        }
    }
    found
}

/// A way to break a board, and what is said then.
type Broken = (&'static str, fn(&mut Value));

pub(crate) const BROKEN: &[Broken] = &[
    ("template-datasource", |board| board["templating"]["list"][0]["name"] = "datasource".into()),
    ("template-instance", |board| board["templating"]["list"][2]["multi"] = false.into()),
    ("template-on-time-change-reload", |board| board["templating"]["list"][3]["refresh"] = 1.into()),
    ("template-label-promql", |board| {
        board["templating"]["list"][3]["query"]["query"] = "label_values({a=}, job)".into()
    }),
    ("uneditable-dashboard", |board| board["editable"] = true.into()),
    ("provisioned", |board| board["__inputs"] = json!([])),
    ("harmless", |board| board["links"][0]["url"] = "javascript:alert(1)".into()),
    ("harmless", |board| board["panels"][0]["type"] = "text".into()),
    ("panel-datasource", |board| board["panels"][0]["datasource"]["uid"] = "prometheus".into()),
    ("panel-datasource", |board| board["panels"][0]["targets"][0]["datasource"]["type"] = "loki".into()),
    ("panel-title-description", |board| board["panels"][1]["description"] = "".into()),
    ("panel-units", |board| board["panels"][1]["fieldConfig"]["defaults"]["unit"] = "parsec".into()),
    ("panel-no-targets", |board| board["panels"][1]["targets"] = json!([])),
    ("target-promql", |board| board["panels"][1]["targets"][0]["expr"] = "sum(".into()),
    ("target-instance", |board| board["panels"][1]["targets"][0]["expr"] = "up{job=~\"$service\"}".into()),
    ("target-counter-agg", |board| {
        board["panels"][1]["targets"][0]["expr"] = "plimsoll_lost_total{instance=~\"$instance\"}".into()
    }),
    ("target-rate-interval", |board| {
        board["panels"][1]["targets"][0]["expr"] = "rate(plimsoll_lost_total{instance=~\"$instance\"}[5m])".into()
    }),
    ("target-logql: ", |board| board["panels"][12]["targets"][0]["expr"] = "{job=\"a\"}".into()),
    ("target-logql-auto", |board| {
        board["panels"][12]["targets"][0]["expr"] =
            "rate({service_name=~\"$service\", service_instance_id=~\"($instance)(:[0-9]+)?\"}[5m])".into()
    }),
];
