//! A stage's board over what was recorded: every query is answered, and the ceiling is to be seen.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::harness::{self, escaped};
use super::loki::Loki;
use super::prometheus::Prometheus;
use super::replay::Replay;
use super::{Shows, Stage};

/// The range that boards show when they are opened.
const SHOWN: u64 = 3 * 3600;

/// The stack with a replay in it.
pub(crate) struct Shown<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) replay: &'a Replay,
    pub(crate) prometheus: &'a Prometheus,
    pub(crate) loki: &'a Loki,
}

/// One query of a panel.
struct Ask {
    panel: String,
    metrics: bool,
    instant: bool,
    expr: String,
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn board(stage: u8) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("dashboards/stage-{stage}.json"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The longest range that a query of the board names, or that it shows: so much health lies before a replay.
pub(crate) fn longest(stage: u8) -> Duration {
    let range = regex::Regex::new(r"\[(\d+[smhd])\]").unwrap();
    let asks = asks(&board(stage));
    let ranges = asks.iter().flat_map(|ask| range.captures_iter(&ask.expr)).map(|found| found[1].to_owned());
    let ranges = ranges.map(|text| humantime::parse_duration(&text).unwrap());
    ranges.chain([Duration::from_secs(SHOWN)]).max().unwrap()
}

fn asks(board: &Value) -> Vec<Ask> {
    let targets = list(&board["panels"])
        .flat_map(|panel| list(&panel["targets"]).map(move |target| (text(&panel["title"]), target)));
    let mut asks: Vec<Ask> = targets
        .map(|(panel, target)| Ask {
            panel,
            metrics: target["datasource"]["type"] == "prometheus",
            instant: target["instant"] == true,
            expr: text(&target["expr"]),
        })
        .collect();
    let alerts = &board["annotations"]["list"][0]["expr"];
    asks.push(Ask { panel: "annotations".into(), metrics: true, instant: false, expr: text(alerts) });
    asks
}

impl Shown<'_> {
    /// Every panel and every variable, with all boxes, each one, and one that there is not; and the ceiling.
    pub(crate) fn faults(&self) -> Vec<String> {
        let boxes = self.boxes();
        let several: Vec<&str> = boxes.iter().map(String::as_str).collect();
        let mut faults = Vec::new();
        let board = board(self.stage.number);
        assert_eq!(board["time"]["from"], format!("now-{}h", SHOWN / 3600), "what the board shows at first");
        for ask in asks(&board) {
            let found = self.answer(&ask, ".+", ".+");
            let named = self.answer(&ask, &several.join("|"), ".+");
            // Among equal ones topk chooses as it likes.
            if found.is_empty() != named.is_empty() || (!ask.expr.contains("topk") && found.len() != named.len()) {
                faults.push(format!("{}: all boxes and each by name differ: {}", ask.panel, ask.expr));
            }
            let each = boxes.iter().filter(|name| !self.answer(&ask, name, ".+").is_empty()).count();
            let nobody = self.answer(&ask, "nobody", ".+");
            if ask.panel != "Alerts that fire" && !nobody.is_empty() {
                faults.push(format!("{}: shows what is not of its box: {nobody:?}", ask.panel));
            }
            let known = |(panel, begins, _): &&(&str, &str, &str)| *panel == ask.panel && ask.expr.starts_with(begins);
            let excused = self.stage.empty.iter().find(known);
            if (found.is_empty() || each == 0) && excused.is_none() {
                faults.push(format!("{}: no data: {}", ask.panel, ask.expr));
            }
        }
        faults.extend(self.stage.shows.iter().filter_map(|shows| self.ceiling(&asks(&board), shows)));
        faults.extend(self.variables(&board, &boxes));
        faults
    }

    /// The boxes that there are.
    fn boxes(&self) -> BTreeSet<String> {
        let series = self.prometheus.series("system_memory_limit_bytes").unwrap();
        let boxes: BTreeSet<String> = series.into_iter().map(|mut labels| labels.remove("instance").unwrap()).collect();
        assert!(!boxes.is_empty(), "no box sent anything");
        boxes
    }

    fn answer(&self, ask: &Ask, instance: &str, service: &str) -> Vec<Value> {
        let expr = filled(&ask.expr, instance, service);
        let end = self.replay.end / 1_000_000_000;
        let (port, path) =
            if ask.metrics { (self.prometheus.port, "/api/v1") } else { (self.loki.port, "/loki/api/v1") };
        let what = if ask.instant {
            format!("query?query={expr}&time={end}")
        } else {
            format!("query_range?query={expr}&start={}&end={end}&step=60", end - SHOWN)
        };
        let answer = harness::get(port, &format!("{path}/{what}"), &[]);
        let answer = answer.unwrap_or_else(|error| panic!("{}: {error}\n{}", ask.panel, ask.expr));
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["status"], "success", "{}: {answer}", ask.panel);
        list(&answer["data"]["result"]).cloned().collect()
    }

    /// What is wrong with how a panel shows the ceiling: it must cross the limit with the fault, and not before.
    fn ceiling(&self, asks: &[Ask], shows: &Shows) -> Option<String> {
        let ask = asks.iter().find(|ask| ask.panel == shows.panel && ask.expr.contains(shows.holds));
        let ask = ask.unwrap_or_else(|| panic!("no panel {} with {:?}", shows.panel, shows.holds));
        let (fault, end) = (self.replay.fault / 1_000_000_000, self.replay.end / 1_000_000_000);
        // The minute before the fault is left out: the first range that reaches behind it may see it.
        let before = self.crosses(ask, shows, fault - 1800, fault - 10);
        let after = self.crosses(ask, shows, fault, end);
        let wrong = match (before, after) {
            (Some(value), _) => format!("{value} before the fault already"),
            (None, None) => "not reached in the fault".to_owned(),
            (None, Some(_)) => return None,
        };
        let side = if shows.above { "above" } else { "below" };
        Some(format!("{}: {side} {} is {wrong}: {}", shows.panel, shows.limit, self.extremes(ask, fault - 300, end)))
    }

    fn values(&self, ask: &Ask, start: u64, end: u64) -> Vec<f64> {
        let expr = filled(&ask.expr, ".+", ".+");
        let path = format!("/api/v1/query_range?query={expr}&start={start}&end={end}&step=5");
        let answer: Value = serde_json::from_str(&harness::get(self.prometheus.port, &path, &[]).unwrap()).unwrap();
        let values = list(&answer["data"]["result"]).flat_map(|series| list(&series["values"]));
        values.filter_map(|value| value[1].as_str()?.parse().ok()).filter(|value: &f64| !value.is_nan()).collect()
    }

    fn crosses(&self, ask: &Ask, shows: &Shows, start: u64, end: u64) -> Option<f64> {
        let crosses = |value: &f64| if shows.above { *value >= shows.limit } else { *value <= shows.limit };
        self.values(ask, start, end).into_iter().find(crosses)
    }

    fn extremes(&self, ask: &Ask, start: u64, end: u64) -> String {
        let values = self.values(ask, start, end);
        let (low, high) = (values.iter().copied().reduce(f64::min), values.iter().copied().reduce(f64::max));
        format!("{} values from {low:?} to {high:?}", values.len())
    }

    /// What Grafana asks to fill its lists.
    fn variables(&self, board: &Value, boxes: &BTreeSet<String>) -> Vec<String> {
        let mut faults = Vec::new();
        for variable in list(&board["templating"]["list"]).filter(|variable| variable["type"] == "query") {
            let query = text(&variable["query"]["query"]).replace("$instance", ".+");
            let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
            let (selector, label) = inner.and_then(|inner| inner.rsplit_once(", ")).unwrap();
            let path = format!("/api/v1/label/{label}/values?match[]={}", escaped(selector));
            let answer: Value = serde_json::from_str(&harness::get(self.prometheus.port, &path, &[]).unwrap()).unwrap();
            let found: BTreeSet<String> = list(&answer["data"]).map(text).collect();
            let good = if label == "instance" { found == *boxes } else { !found.is_empty() };
            if !good {
                faults.push(format!("the variable {label}: {found:?}"));
            }
        }
        faults
    }
}

/// For a query string, with everything in place of Grafana's variables.
fn filled(expr: &str, instance: &str, service: &str) -> String {
    let expr = expr.replace("$__rate_interval", "1m").replace("$__range", "3h").replace("$__auto", "1m");
    escaped(&expr.replace("$instance", instance).replace("$service", service))
}
