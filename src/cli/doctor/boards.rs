//! The panels of the shipped boards: which show something here, which are empty and why.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::check::Check;
use super::presence::Names;
use crate::alert::presence::Catalogue;
use crate::cli::dashboards::BOARDS;
use crate::control::Alerts;
use crate::query::Query;
use crate::status::report::{Report, SourceReport};

/// A panel and what it asks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Panel {
    /// The board: `stage 3`, `overview`.
    pub(super) board: String,
    pub(super) title: String,
    /// PromQL, or LogQL of a panel of `logs`.
    pub(super) asks: Vec<String>,
    /// Whether it asks Loki.
    pub(super) logs: bool,
}

/// The panels of all boards, with the variables filled in: each box, each service.
pub(super) fn panels() -> Vec<Panel> {
    let mut out = Vec::new();
    for (name, text) in BOARDS {
        let board: Json = serde_json::from_str(text).unwrap_or_default();
        for panel in board["panels"].as_array().into_iter().flatten() {
            let asks: Vec<String> = panel["targets"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|target| target["expr"].as_str())
                .map(filled)
                .collect();
            if !asks.is_empty() {
                let title = panel["title"].as_str().unwrap_or_default().to_owned();
                let logs = panel["datasource"]["type"] == "loki";
                out.push(Panel { board: name.replace('-', " "), title, asks, logs });
            }
        }
    }
    out
}

/// A query with its variables as Grafana fills them for the last hour.
fn filled(expr: &str) -> String {
    let mut out = expr.to_owned();
    for (variable, value) in [
        ("$instance", ".+"),
        ("$service", ".+"),
        ("$__rate_interval", "5m"),
        ("$__interval", "1m"),
        ("$__auto", "5m"),
        ("$__range", "1h"),
    ] {
        out = out.replace(variable, value);
    }
    out
}

/// Why a panel is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Empty {
    /// Its metrics come, or their sources are fine: there is nothing to show.
    NothingWrong,
    /// Kinds of source that are not on this box.
    NotHere(BTreeSet<String>),
    /// A source that is not read: its name, and whether it fails; else it only waits for a right.
    Unread(String, bool),
}

/// What the box has.
pub(super) struct Scene<'a> {
    pub(super) report: &'a Report,
    /// What recording rules yield, by name.
    recorded: BTreeMap<&'a str, &'a str>,
    pub(super) catalogue: &'a Catalogue,
    pub(super) local: &'a Names,
}

impl<'a> Scene<'a> {
    pub(super) fn new(report: &'a Report, alerts: &'a Alerts, catalogue: &'a Catalogue, local: &'a Names) -> Self {
        let rules = alerts.view.groups.iter().flat_map(|group| &group.rules);
        let recorded = rules.filter(|rule| rule.alert.is_none());
        let recorded = recorded.map(|rule| (rule.name.as_str(), rule.query.as_str())).collect();
        Self { report, recorded, catalogue, local }
    }

    /// Why a query yields nothing.
    fn why(&self, query: &str, depth: usize) -> Empty {
        let mut absent = BTreeSet::new();
        for name in names(query) {
            if self.local.contains(&name) {
                continue;
            }
            if let (Some(recorded), true) = (self.recorded.get(name.as_str()), depth > 0) {
                match self.why(recorded, depth - 1) {
                    Empty::NothingWrong => continue,
                    Empty::NotHere(kinds) => absent.extend(kinds),
                    unread @ Empty::Unread(..) => return unread,
                }
                continue;
            }
            let kinds = self.catalogue.kinds(&name);
            let sources: Vec<&SourceReport> =
                self.report.sources.iter().filter(|source| kinds.contains(&source.kind.as_str())).collect();
            if sources.is_empty() && !name.starts_with("ALERTS") {
                let kind = if kinds.is_empty() { "an exporter of it".to_owned() } else { kinds.join(" or ") };
                absent.insert(kind);
            } else if let Some(source) =
                sources.iter().find(|source| !source.fault.is_empty() || !source.hint.is_empty())
            {
                return Empty::Unread(source.name.clone(), !source.fault.is_empty());
            }
        }
        if absent.is_empty() { Empty::NothingWrong } else { Empty::NotHere(absent) }
    }
}

/// The metrics that a query asks for.
pub(super) fn names(query: &str) -> Vec<String> {
    Query::parse(query).map(|query| query.names().into_iter().map(str::to_owned).collect()).unwrap_or_default()
}

/// A line for each board, and one for each source whose fault empties panels; `filled` says which panels have data.
pub(super) fn check(panels: &[Panel], filled: &[bool], scene: &Scene<'_>) -> Vec<Check> {
    let mut out = Vec::new();
    let mut boards: Vec<&str> = panels.iter().map(|panel| panel.board.as_str()).collect();
    boards.dedup();
    for board in boards {
        let of_board = panels.iter().zip(filled).filter(|(panel, _)| panel.board == board && !panel.logs);
        out.extend(one(board, &of_board.collect::<Vec<_>>(), scene));
    }
    out
}

fn one(board: &str, panels: &[(&Panel, &bool)], scene: &Scene<'_>) -> Vec<Check> {
    let (mut quiet, mut absent) = (Vec::new(), BTreeSet::new());
    let mut unread: BTreeMap<String, (usize, bool)> = BTreeMap::new();
    let full = panels.iter().filter(|(_, filled)| **filled).count();
    for (panel, _) in panels.iter().filter(|(_, filled)| !**filled) {
        let reasons: Vec<Empty> = panel.asks.iter().map(|ask| scene.why(ask, 4)).collect();
        if let Some(Empty::Unread(source, fails)) = reasons.iter().find(|why| matches!(why, Empty::Unread(..))) {
            unread.entry(source.clone()).or_insert((0, *fails)).0 += 1;
        } else if reasons.contains(&Empty::NothingWrong) {
            quiet.push(panel.title.as_str());
        } else {
            let kinds =
                reasons.into_iter().filter_map(|why| if let Empty::NotHere(kinds) = why { Some(kinds) } else { None });
            absent.extend(kinds.flatten());
        }
    }
    let absent: Vec<String> = absent.into_iter().collect();
    let mut out = Vec::new();
    if full == 0 && unread.is_empty() && quiet.is_empty() {
        out.push(Check::not_here("boards", board, format!("not here: {}", absent.join(", "))));
        return out;
    }
    let mut words = format!("{full} of {} panels show data", panels.len());
    if !quiet.is_empty() {
        words.push_str(&format!("; empty because nothing is wrong: {}", quiet.join(", ")));
    }
    if !absent.is_empty() {
        words.push_str(&format!("; not here: {}", absent.join(", ")));
    }
    out.push(Check::ok("boards", board, words));
    for (source, (count, fails)) in unread {
        let panels = if count == 1 { "1 panel is".to_owned() } else { format!("{count} panels are") };
        let words = format!("{panels} empty because {source} is not read: SOURCES has the command");
        // What only waits for a right is no fault.
        out.push(if fails { Check::fail("boards", board, words) } else { Check::warn("boards", board, words) });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;
    use crate::alert::view::View;
    use crate::signal::metrics::Desc;

    const HOST: &[Desc] = &[Desc::gauge("system.load", "1", "")];
    const REDIS: &[Desc] = &[Desc::gauge("redis.memory", "By", "")];
    const NATS: &[Desc] = &[Desc::gauge("nats.memory", "By", "")];

    fn panel(title: &str, ask: &str) -> Panel {
        Panel { board: "stage 5".into(), title: title.into(), asks: vec![ask.into()], logs: false }
    }

    #[test]
    fn an_empty_panel_says_why() {
        let of = |kind: &str| SourceReport { name: kind.into(), kind: kind.into(), ..Default::default() };
        let redis = SourceReport { fault: "NOAUTH".into(), ..of("redis") };
        let report = Report { sources: vec![of("host"), redis], ..Report::default() };
        let alerts = Alerts { now: 0, view: View::default(), history: Vec::new() };
        let catalogue = Catalogue::new([("host", HOST), ("redis", REDIS), ("nats", NATS)]);
        let local: Names = ["system_load_ratio".to_owned()].into();
        let scene = Scene::new(&report, &alerts, &catalogue, &local);
        let panels = [
            panel("Load", "system_load_ratio"),
            panel("High load", "system_load_ratio > 9"),
            panel("Memory", "redis_memory_bytes"),
            panel("Queue", "nats_memory_bytes"),
            panel("Balancer", "haproxy_up"),
        ];
        let checks = check(&panels, &[true, false, false, false, false], &scene);
        assert_eq!(
            checks[0].words,
            "1 of 5 panels show data; empty because nothing is wrong: High load; not here: an exporter of it, nats"
        );
        let want = "1 panel is empty because redis is not read: SOURCES has the command";
        assert_eq!((checks[1].verdict, checks[1].words.as_str()), (Verdict::Fail, want));
        let none = check(&panels[3..], &[false, false], &scene);
        assert_eq!((none.len(), none[0].verdict), (1, Verdict::NotHere));
    }

    #[test]
    fn every_panel_of_the_shipped_boards_asks_what_can_be_read() {
        let panels = panels();
        assert!(panels.len() > 90, "{}", panels.len());
        for panel in panels.iter().filter(|panel| !panel.logs) {
            for ask in &panel.asks {
                assert!(!ask.contains('$') || ask.contains("\"$"), "{}: {ask}", panel.title);
                Query::parse(ask).unwrap_or_else(|error| panic!("{}: {ask}: {error}", panel.title));
            }
        }
        assert!(panels.iter().any(|panel| panel.logs));
    }
}
