//! The boards: made from their short form, clean under the rules of Grafana's linter, asking for what there is, and
//! answered by a real Prometheus and a real Loki.
//!
//! `UPDATE_GOLDEN=1` writes `dashboards/*.json` anew from `dashboards/boards`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so and ends")]

#[path = "dashboards/board.rs"]
mod board;
#[path = "support/catalogue.rs"]
mod catalogue;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/harness.rs"]
mod harness;
#[path = "dashboards/lint.rs"]
mod lint;
#[path = "dashboards/live.rs"]
mod live;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/loki.rs"]
mod loki;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/postgres.rs"]
mod postgres_server;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/prometheus.rs"]
mod prometheus;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/redis.rs"]
mod redis_server;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/release.rs"]
mod release;
#[path = "dashboards/values.rs"]
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use plimsoll::query::Query;
use serde_json::Value;

use board::Board;
use catalogue::{Catalogue, root};

/// The boards that are shipped, by the names of their files.
const BOARDS: &[&str] =
    &["overview", "plimsoll", "stage-1", "stage-2", "stage-3", "stage-4", "stage-5", "stage-6", "stage-7"];

fn path(name: &str) -> PathBuf {
    root().join("dashboards").join(format!("{name}.json"))
}

/// Every shipped board as Grafana reads it.
fn boards() -> Vec<(&'static str, Value)> {
    let read = |name: &&'static str| (*name, serde_json::from_str(&fs::read_to_string(path(name)).unwrap()).unwrap());
    BOARDS.iter().map(read).collect()
}

/// One query of a board.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) board: &'static str,
    pub(crate) panel: String,
    /// Of a Prometheus, else of a Loki.
    pub(crate) metrics: bool,
    /// At one time, not over a range.
    pub(crate) instant: bool,
    pub(crate) expr: String,
}

/// What the panels of all boards ask.
fn asks() -> Vec<Ask> {
    let mut asks = Vec::new();
    for (name, board) in boards() {
        for panel in lint::list(&board["panels"]) {
            for target in lint::list(&panel["targets"]) {
                asks.push(Ask {
                    board: name,
                    panel: lint::text(&panel["title"]).to_owned(),
                    metrics: target["datasource"]["type"] == "prometheus",
                    instant: target["instant"] == true,
                    expr: lint::text(&target["expr"]).to_owned(),
                });
            }
        }
        let alerts = &board["annotations"]["list"][0];
        let expr = lint::text(&alerts["expr"]).to_owned();
        let panel = "annotations".to_owned();
        asks.push(Ask { board: name, panel, metrics: true, instant: false, expr });
    }
    asks
}

#[test]
fn each_board_is_what_its_short_form_makes() {
    let shipped: BTreeSet<String> = fs::read_dir(root().join("dashboards"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    for name in BOARDS {
        let made = Board::read(&root().join("dashboards/boards").join(format!("{name}.yaml"))).text();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(path(name), &made).unwrap();
        }
        let known = fs::read_to_string(path(name)).unwrap_or_default();
        assert!(made == known, "dashboards/{name}.json is not what its short form makes; UPDATE_GOLDEN=1 writes it");
    }
    let known: BTreeSet<String> = BOARDS.iter().map(|name| (*name).to_owned()).collect();
    assert!(shipped.is_subset(&known), "{shipped:?}");
    let embedded: Vec<&str> = plimsoll::cli::dashboards::BOARDS.iter().map(|(name, _)| *name).collect();
    assert_eq!(embedded, BOARDS, "the program carries the same");
}

#[test]
fn every_board_is_clean_under_the_rules_of_grafanas_linter() {
    let faults: Vec<String> =
        boards().iter().flat_map(|(name, board)| lint::faults(name, board, lint::EXCEPTIONS)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_exception_from_the_linter_is_left_that_nothing_needs() {
    for exception in lint::EXCEPTIONS {
        let others: Vec<_> = lint::EXCEPTIONS.iter().filter(|other| other != &exception).copied().collect();
        let needed = boards().iter().any(|(name, board)| !lint::faults(name, board, &others).is_empty());
        assert!(needed, "{exception:?}");
    }
}

#[test]
fn each_rule_of_the_linter_finds_what_is_wrong() {
    for (what, change) in lint::BROKEN {
        let (name, mut board) = boards().swap_remove(2);
        change(&mut board);
        let faults = lint::faults(name, &board, lint::EXCEPTIONS);
        assert!(faults.iter().any(|fault| fault.contains(what)), "{what}: {faults:?}");
    }
}

#[test]
fn every_query_of_every_panel_is_read_and_asks_for_what_there_is() {
    let catalogue = Catalogue::read();
    let made: BTreeMap<&str, &[&str]> = BTreeMap::from([("Largest query, of all memory", ["host"].as_slice())]);
    let mut faults = Vec::new();
    for ask in asks().into_iter().filter(|ask| ask.metrics) {
        let place = format!("{}, {}", ask.board, ask.panel);
        match Query::parse(&lint::filled(&ask.expr)) {
            Err(error) => faults.push(format!("{place}: {error}")),
            Ok(query) => {
                let made = made.get(ask.panel.as_str()).copied().unwrap_or_default();
                faults.extend(catalogue.faults(&query, made).into_iter().map(|fault| format!("{place}: {fault}")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_legends_of_panels_name_labels_that_their_series_have() {
    let catalogue = Catalogue::read();
    let label = regex::Regex::new(r"\{\{(\w+)\}\}").unwrap();
    let mut faults = Vec::new();
    for (name, board) in boards() {
        for panel in lint::list(&board["panels"]) {
            for target in lint::list(&panel["targets"]).filter(|target| target["datasource"]["type"] == "prometheus") {
                let query = Query::parse(&lint::filled(lint::text(&target["expr"]))).unwrap();
                let has = catalogue.labels(&query);
                let strange = label.captures_iter(lint::text(&target["legendFormat"]));
                let strange = strange.map(|found| found[1].to_owned()).filter(|label| !has.contains(label));
                faults.extend(strange.map(|label| format!("{name}, {}: {label}", panel["title"])));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_board_has_ten_to_fourteen_panels_that_begin_with_whether_it_is_fine_and_end_with_logs() {
    for (name, board) in boards() {
        let panels: Vec<&Value> = lint::list(&board["panels"]).collect();
        assert!((10..=14).contains(&panels.len()), "{name} has {} panels", panels.len());
        let kinds: Vec<&str> = panels.iter().map(|panel| lint::text(&panel["type"])).collect();
        assert!(kinds[..4].iter().all(|kind| *kind == "stat"), "{name}: {kinds:?}");
        assert_eq!(kinds.last(), Some(&"logs"), "{name}");
        let first_row = panels.iter().filter(|panel| panel["gridPos"]["y"] == 0);
        assert!(first_row.clone().all(|panel| panel["type"] == "stat"), "{name}");
        let limits =
            first_row.filter(|panel| lint::list(&panel["fieldConfig"]["defaults"]["thresholds"]["steps"]).count() > 1);
        assert!(limits.count() >= 3, "{name}: too few values of the first row say when they are bad");
    }
}

#[test]
fn no_panel_covers_another_or_stands_outside() {
    for (name, board) in boards() {
        let mut taken = BTreeSet::new();
        for panel in lint::list(&board["panels"]) {
            let place = |side: &str| panel["gridPos"][side].as_u64().unwrap();
            assert!(place("x") + place("w") <= 24, "{name}: {}", panel["title"]);
            for x in place("x")..place("x") + place("w") {
                for y in place("y")..place("y") + place("h") {
                    assert!(taken.insert((x, y)), "{name}: {} covers another", panel["title"]);
                }
            }
        }
    }
}

#[test]
fn every_alert_leads_to_a_board_and_stages_lead_to_their_neighbours() {
    let boards = boards();
    let uids: BTreeSet<&str> = boards.iter().map(|(_, board)| lint::text(&board["uid"])).collect();
    assert_eq!(uids.len(), BOARDS.len(), "{uids:?}");
    for (file, rule) in catalogue::shipped_rules() {
        if let plimsoll::alert::rules::Kind::Alert { annotations, .. } = &rule.kind {
            let board = annotations.iter().find(|(name, _)| name == "dashboard").map(|(_, board)| board.text());
            assert!(board.is_some_and(|board| uids.contains(board)), "{file}, {}: {board:?}", rule.name);
        }
    }
    for (name, board) in &boards {
        for link in lint::list(&board["links"]).filter(|link| link["type"] == "link") {
            let url = lint::text(&link["url"]);
            assert!(url.strip_prefix("/d/").is_some_and(|uid| uids.contains(uid)), "{name}: {url}");
        }
        let near = lint::list(&board["links"]).filter(|link| link["type"] == "link").count();
        let stage = name.strip_prefix("stage-");
        assert_eq!(near, stage.map_or(0, |stage| if matches!(stage, "1" | "7") { 1 } else { 2 }), "{name}");
    }
}

#[test]
fn the_provisioning_files_are_for_the_folder_that_the_package_fills() {
    let text = fs::read_to_string(root().join("dashboards/provisioning/plimsoll.yaml")).unwrap();
    for line in ["apiVersion: 1", "folder: Plimsoll", "path: /usr/share/plimsoll/dashboards", "allowUiUpdates: false"] {
        assert!(text.contains(line), "{line}");
    }
}

#[test]
fn every_board_is_what_grafanas_published_schema_wants() {
    let Some(reader) = harness::binary("boards") else { return };
    let output = Command::new(&reader).args(BOARDS.iter().map(|name| path(name))).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    // That it would say so: a field that no panel has, a value of another kind, and one that is missing.
    let dir = tempfile::tempdir().unwrap();
    for (broken, said) in [("\"graphTooltipp\": 1", "graphTooltipp"), ("\"graphTooltip\": \"x\"", "graphTooltip")] {
        let text = fs::read_to_string(path("stage-1")).unwrap().replace("\"graphTooltip\": 1", broken);
        let file = dir.path().join("broken.json");
        fs::write(&file, text).unwrap();
        let output = Command::new(&reader).arg(&file).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!output.status.success() && told.contains(said), "{broken}: {told}");
    }
}
