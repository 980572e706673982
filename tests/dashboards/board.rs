//! A board in short form, and the classic Grafana JSON that it becomes.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

/// A file of `dashboards/boards`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Board {
    pub(crate) uid: String,
    pub(crate) title: String,
    /// Which stage it is for; `None`: all.
    pub(crate) stage: Option<u8>,
    pub(crate) about: String,
    pub(crate) panels: Vec<Panel>,
}

/// One panel; one of the kinds holds its title.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Panel {
    stat: Option<String>,
    graph: Option<String>,
    table: Option<String>,
    logrates: Option<String>,
    logs: Option<String>,
    unit: String,
    /// What to do.
    about: String,
    /// A value from which it is yellow, and one from which it is red.
    above: Option<[f64; 2]>,
    /// A value below which it is yellow, and one below which it is red.
    below: Option<[f64; 2]>,
    max: Option<f64>,
    stack: bool,
    ask: Asks,
    legend: String,
    /// It has no data while nothing is wrong.
    fault: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Asks {
    One(String),
    Many(Vec<Ask>),
}

impl Default for Asks {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    expr: String,
    legend: String,
}

/// What stands in a description of a panel that has no data while nothing is wrong; checks rely on it.
pub(crate) const EMPTY: &str = "Empty unless there is a fault.";

/// What the short forms in queries stand for.
const FORMS: &[(&str, &str)] = &[
    ("@h", "instance=~\"$instance\""),
    ("@s", "instance=~\"($instance)(:[0-9]+)?\", job=~\"$service\""),
    ("@a", "instance=~\"($instance)(:[0-9]+)?\""),
    // Alerts: those of the fleet are about several boxes, have no instance, and are for whoever looks at one of them.
    ("@f", "instance=~\"(($instance)(:[0-9]+)?)?\""),
    ("@l", "service_name=~\"$service\", service_instance_id=~\"($instance)(:[0-9]+)?\""),
];

const METRICS: &str = "$prometheus_datasource";
const LOGS: &str = "$loki_datasource";

impl Board {
    /// Reads the file at `path`.
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        plimsoll::base::yaml::parse(path, &text, |_| Vec::new()).unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// The whole dashboard, as text.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string_pretty(&self.json()).unwrap() + "\n"
    }

    fn json(&self) -> Value {
        let mut tags = vec!["plimsoll".to_owned()];
        tags.extend(self.stage.map(|stage| format!("stage-{stage}")));
        json!({
            "id": null,
            "uid": self.uid,
            "title": self.title,
            "description": self.about,
            "tags": tags,
            "schemaVersion": 41,
            "version": 1,
            "editable": false,
            "graphTooltip": 1,
            "fiscalYearStartMonth": 0,
            "refresh": "30s",
            "time": { "from": "now-3h", "to": "now" },
            "timepicker": {},
            "timezone": "browser",
            "annotations": { "list": [alerts()] },
            "links": self.links(),
            "templating": { "list": variables() },
            "panels": self.panels(),
        })
    }

    /// The neighbours among the stages, then all boards.
    fn links(&self) -> Vec<Value> {
        let one = |title: String, uid: String| {
            json!({
                "type": "link", "title": title, "url": format!("/d/{uid}"), "icon": "dashboard", "tooltip": "", "tags": [],
                "asDropdown": false, "includeVars": true, "keepTime": true, "targetBlank": false,
            })
        };
        let near = |stage: u8| one(format!("Stage {stage}"), format!("plimsoll-stage-{stage}"));
        let stages =
            self.stage.into_iter().flat_map(|stage| [stage - 1, stage + 1]).filter(|near| (1..=7).contains(near));
        let all = json!({
            "type": "dashboards", "title": "All boards", "url": "", "icon": "external link", "tooltip": "",
            "tags": ["plimsoll"], "asDropdown": true, "includeVars": true, "keepTime": true, "targetBlank": false,
        });
        stages.map(near).chain([all]).collect()
    }

    /// The panels in their places, from left to right and down.
    fn panels(&self) -> Vec<Value> {
        let stats = self.panels.iter().filter(|panel| panel.stat.is_some()).count().max(1) as u64;
        let (mut x, mut y, mut row) = (0, 0, 0);
        let mut made = Vec::new();
        for (number, panel) in self.panels.iter().enumerate() {
            let (kind, title) = panel.kind();
            let (width, height) = match kind {
                Kind::Stat => (24 / stats, 4),
                Kind::Graph | Kind::Logrates => (8, 8),
                Kind::Table => (12, 8),
                Kind::Logs => (24, 12),
            };
            if x + width > 24 {
                (x, y, row) = (0, y + row, 0);
            }
            let place = json!({ "x": x, "y": y, "w": width, "h": height });
            (x, row) = (x + width, row.max(height));
            made.push(panel.json(kind, title, number + 1, &place));
        }
        made
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stat,
    Graph,
    Table,
    Logrates,
    Logs,
}

impl Panel {
    fn kind(&self) -> (Kind, &str) {
        let kinds = [
            (Kind::Stat, &self.stat),
            (Kind::Graph, &self.graph),
            (Kind::Table, &self.table),
            (Kind::Logrates, &self.logrates),
            (Kind::Logs, &self.logs),
        ];
        let mut named = kinds.into_iter().filter_map(|(kind, title)| Some((kind, title.as_deref()?)));
        let first = named.next().unwrap_or_else(|| panic!("a panel without a kind: {self:?}"));
        assert!(named.next().is_none(), "a panel of two kinds: {self:?}");
        first
    }

    fn json(&self, kind: Kind, title: &str, id: usize, place: &Value) -> Value {
        let about = if self.fault { format!("{} {EMPTY}", self.about) } else { self.about.clone() };
        let (name, options) = match kind {
            Kind::Stat => ("stat", stat()),
            Kind::Graph | Kind::Logrates => ("timeseries", lines()),
            Kind::Table => ("table", json!({ "showHeader": true, "cellHeight": "sm", "frameIndex": 0 })),
            Kind::Logs => ("logs", records()),
        };
        let mut panel = json!({
            "id": id, "type": name, "title": title, "description": about, "gridPos": place,
            "datasource": source(kind), "targets": self.targets(kind), "options": options,
            "fieldConfig": { "defaults": self.field(kind), "overrides": [] },
        });
        if kind == Kind::Table {
            let hidden = json!({ "excludeByName": { "Time": true } });
            panel["transformations"] = json!([{ "id": "organize", "options": hidden }]);
        }
        panel
    }

    fn targets(&self, kind: Kind) -> Vec<Value> {
        let one;
        let asks: Vec<(&str, &str)> = match &self.ask {
            Asks::One(expr) => {
                one = expr.clone();
                vec![(&one, &self.legend)]
            }
            Asks::Many(asks) => asks.iter().map(|ask| (ask.expr.as_str(), ask.legend.as_str())).collect(),
        };
        let target = |(number, (expr, legend)): (usize, (&str, &str))| {
            let expr = FORMS.iter().fold(expr.to_owned(), |expr, (short, long)| expr.replace(short, long));
            let id = char::from(b'A' + number as u8).to_string();
            let mut target = json!({ "refId": id, "datasource": source(kind), "expr": expr, "editorMode": "code" });
            match kind {
                Kind::Logs => {
                    target["queryType"] = "range".into();
                    target["maxLines"] = 200.into();
                }
                Kind::Logrates => {
                    target["queryType"] = "range".into();
                    target["legendFormat"] = legend.into();
                }
                Kind::Graph => {
                    target["range"] = true.into();
                    target["legendFormat"] = legend.into();
                }
                Kind::Stat | Kind::Table => {
                    target["instant"] = true.into();
                    target["range"] = false.into();
                    target["format"] = if kind == Kind::Table { "table" } else { "time_series" }.into();
                }
            }
            target
        };
        asks.into_iter().enumerate().map(target).collect()
    }

    fn field(&self, kind: Kind) -> Value {
        if kind == Kind::Logs {
            return json!({});
        }
        let mut field = json!({
            "unit": self.unit,
            "color": { "mode": if kind == Kind::Stat { "thresholds" } else { "palette-classic" } },
            "thresholds": { "mode": "absolute", "steps": self.steps() },
        });
        match kind {
            Kind::Stat => field["noValue"] = "not here".into(),
            Kind::Graph | Kind::Logrates => {
                field["min"] = 0.into();
                field["custom"] = self.drawing();
            }
            Kind::Table | Kind::Logs => {}
        }
        if let Some(max) = self.max {
            field["max"] = max.into();
        }
        field
    }

    fn drawing(&self) -> Value {
        let levels = self.above.is_some() || self.below.is_some();
        json!({
            "drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1,
            "fillOpacity": if self.stack { 40 } else { 5 }, "gradientMode": "none",
            "showPoints": "auto", "pointSize": 4, "spanNulls": false,
            "stacking": { "mode": if self.stack { "normal" } else { "none" }, "group": "A" },
            "thresholdsStyle": { "mode": if levels { "dashed" } else { "off" } },
            "axisPlacement": "auto", "axisLabel": "", "scaleDistribution": { "type": "linear" },
        })
    }

    fn steps(&self) -> Value {
        let step = |color: &str, value: Option<f64>| json!({ "color": color, "value": value });
        match (self.above, self.below) {
            (Some([warn, bad]), _) if warn == bad => json!([step("green", None), step("red", Some(bad))]),
            (Some([warn, bad]), _) => {
                json!([step("green", None), step("yellow", Some(warn)), step("red", Some(bad))])
            }
            (None, Some([warn, bad])) => {
                json!([step("red", None), step("yellow", Some(bad)), step("green", Some(warn))])
            }
            (None, None) => json!([step("green", None)]),
        }
    }
}

fn source(kind: Kind) -> Value {
    match kind {
        Kind::Logrates | Kind::Logs => json!({ "type": "loki", "uid": LOGS }),
        _ => json!({ "type": "prometheus", "uid": METRICS }),
    }
}

fn stat() -> Value {
    json!({
        "colorMode": "background", "graphMode": "none", "justifyMode": "auto", "orientation": "auto",
        "textMode": "value", "wideLayout": true, "showPercentChange": false, "percentChangeColorMode": "standard",
        "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
    })
}

fn lines() -> Value {
    json!({
        "legend": { "displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": [] },
        "tooltip": { "mode": "multi", "sort": "desc" },
    })
}

fn records() -> Value {
    json!({
        "showTime": true, "showLabels": false, "showCommonLabels": false, "wrapLogMessage": true,
        "prettifyLogMessage": false, "enableLogDetails": true, "showLogContextToggle": true, "dedupStrategy": "none", "sortOrder": "Descending",
    })
}

fn alerts() -> Value {
    json!({
        "name": "Alerts that fire", "enable": true, "hide": false, "iconColor": "red",
        "datasource": { "type": "prometheus", "uid": METRICS },
        "expr": "ALERTS{alertstate=\"firing\", severity=~\"page|ticket\", instance=~\"(($instance)(:[0-9]+)?)?\"}",
        "step": "60s", "titleFormat": "{{alertname}}", "textFormat": "{{severity}} {{instance}}", "tagKeys": "severity",
    })
}

fn variables() -> Value {
    let source = |name: &str, label: &str, kind: &str| {
        json!({
            "type": "datasource", "name": name, "label": label, "query": kind, "regex": "", "refresh": 1, "hide": 0,
            "multi": false, "includeAll": false, "options": [], "skipUrlSync": false,
            "current": { "selected": false, "text": "default", "value": "default" },
        })
    };
    let values = |name: &str, query: &str| {
        json!({
            "type": "query", "name": name, "label": name, "datasource": { "type": "prometheus", "uid": METRICS },
            "query": { "query": query, "refId": "variable" }, "definition": query, "regex": "", "refresh": 2, "sort": 1,
            "hide": 0, "multi": true, "includeAll": true, "allValue": ".+", "options": [], "skipUrlSync": false,
            "current": { "selected": true, "text": ["All"], "value": ["$__all"] },
        })
    };
    json!([
        source("prometheus_datasource", "Prometheus data source", "prometheus"),
        source("loki_datasource", "Loki data source", "loki"),
        values("instance", "label_values(system_uptime_seconds, instance)"),
        values("service", "label_values({instance=~\"($instance)(:[0-9]+)?\"}, job)"),
    ])
}
