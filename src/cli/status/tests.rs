//! The screen against a golden file, and what hostile names do to it.

use std::path::Path;

use super::*;
use crate::base::clock::SECOND;
use crate::base::terminal::WIDTH;
use crate::signal::frame::Signal;
use crate::status::Board;
use crate::status::report::{Identity, Reporter, Usage};

const START: u64 = 1_700_000_000 * SECOND;
const NOW: u64 = START + 273_600 * SECOND;

fn report(board: &Board) -> Report {
    let identity = Identity { version: "0.3.0".into(), host: "shop-db-1".into(), pid: 4711, started: START };
    let usage = Usage { rss_bytes: 37 << 20, cpu_seconds: 1094.0 };
    Reporter::new(identity, board.clone()).report_with(usage, NOW)
}

fn ago(seconds: u64) -> u64 {
    NOW - seconds * SECOND
}

fn rounds(board: &Board, name: &str, kind: &str, detail: &str, points: u64) {
    let source = board.source(name);
    source.kind.set(kind);
    source.detail.set(detail);
    source.points.set(points);
    source.interval.set(15);
    source.last_success.set(ago(3));
}

fn lines(board: &Board, name: &str, kind: &str, detail: &str, per_second: u64) {
    let source = board.source(name);
    source.kind.set(kind);
    source.detail.set(detail);
    source.lines.set(per_second * 273_600);
}

/// The board of a box in stage 2 whose Prometheus is down.
fn filled() -> Board {
    let board = Board::new();
    rounds(&board, "host", "host", "11 groups", 465);
    lines(&board, "/srv/shop/log/*.json", "files", "3 files", 412);
    board.source("/srv/shop/log/*.json").unparsed.set(17);
    lines(&board, "journald", "journald", "4 units", 12);
    rounds(&board, "postgres", "postgres", "17.2, 2 databases", 1440);
    board.source("postgres").fault.set("no pg_stat_statements: CREATE EXTENSION pg_stat_statements");
    rounds(&board, "redis 127.0.0.1:6379", "redis", "8.0.2", 0);
    let redis = board.source("redis 127.0.0.1:6379");
    redis.last_success.set(ago(400));
    redis.failures.set(26);
    redis.fault.set("connection refused");
    for signal in [Signal::Logs, Signal::Metrics] {
        board.spool(signal).limit.set(1 << 30);
    }
    let rules = board.rules();
    for (cell, value) in [
        (&rules.pages, 1),
        (&rules.tickets, 1),
        (&rules.pending, 1),
        (&rules.quiet, 21),
        (&rules.cannot_fire, 1),
        (&rules.not_here, 12),
    ] {
        cell.set(value);
    }
    let loki = board.destination("loki", Signal::Logs);
    loki.bytes.set(4_482_341_478);
    loki.last_success.set(ago(3));
    loki.backlog_frames.set(2);
    loki.backlog_bytes.set(300_000);
    loki.oldest.set(ago(2));
    loki.answer.set("204");
    let prometheus = board.destination("prometheus", Signal::Metrics);
    prometheus.bytes.set(91 << 20);
    prometheus.backlog_frames.set(48);
    prometheus.backlog_bytes.set(224_395_264);
    prometheus.oldest.set(ago(754));
    prometheus.last_success.set(ago(760));
    prometheus.failing_since.set(ago(754));
    prometheus.next_try.set(NOW + 20 * SECOND);
    prometheus.answer.set("connection refused");
    board
}

fn compare(name: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(known == made, "{name} differs; UPDATE_GOLDEN=1 cargo test rewrites it. Now it is:\n{made}");
}

fn plain(board: &Board) -> String {
    screen(&report(board), &TimeZone::UTC, Paint::NONE)
}

#[test]
fn the_screen_of_a_box_whose_prometheus_is_down_is_the_golden_one() {
    compare("status-late.txt", &plain(&filled()));
}

#[test]
fn the_screen_of_a_box_that_loses_and_cannot_write_is_the_golden_one() {
    let board = Board::new();
    board.lost(
        "tail",
        "truncated_unread",
        10_240,
        "/srv/shop/log/app.json was truncated before it was read: let logrotate use create, or rotate less often",
    );
    board.lost("export loki", "too_old", 12, "");
    board.spool(Signal::Logs).limit.set(1 << 30);
    board
        .spool(Signal::Logs)
        .fault
        .set("no space left on device in /var/lib/plimsoll: free some, or move it with --state");
    board.note("config", Some("line 3: unknown key `serivce`, did you mean `service`?".into()));
    compare("status-broken.txt", &plain(&board));
}

#[test]
fn no_line_is_wider_than_the_screen_and_no_escape_gets_through() {
    let board = filled();
    let evil = format!("{}\u{1b}]52;c;ZXZpbA==\u{7}\n\u{202e}", "x".repeat(300));
    lines(&board, &evil, &evil, &evil, 1_000_000_000_000);
    board.source(&evil).fault.set(evil.clone());
    board.source(&evil).behind.set(u64::MAX);
    board.destination(&evil, Signal::Traces).answer.set(evil.clone());
    board.destination(&evil, Signal::Traces).failing_since.set(1);
    board.lost(&evil, "x", u64::MAX, evil.clone());
    board.note(&evil, Some(evil.clone()));
    let made = plain(&board);
    for line in made.lines() {
        assert!(line.chars().count() <= WIDTH, "{} columns: {line}", line.chars().count());
    }
    assert!(!made.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'), "{made:?}");
}

#[test]
fn an_agent_that_ships_nowhere_says_how_to_ship() {
    let board = Board::new();
    rounds(&board, "host", "host", "11 groups", 465);
    let made = plain(&board);
    assert!(made.contains("name some under `destinations:`") && made.contains(": healthy"), "{made}");
}

#[test]
fn whoever_is_not_told_of_alerts_stands_on_the_screen_and_makes_a_fault() {
    let board = Board::new();
    rounds(&board, "host", "host", "11 groups", 465);
    let (pager, chat) = (board.notifier("pager"), board.notifier("chat"));
    pager.alerts.add(3);
    pager.last_success.set(NOW - 5 * SECOND);
    pager.answer.set("taken");
    chat.waiting.set(2);
    chat.failing_since.set(NOW - 90 * SECOND);
    chat.answer.set("403: invalid_token\u{1b}[2J");
    let made = plain(&board);
    assert!(made.contains("working, with faults") && made.contains("chat is not told of alerts since"), "{made}");
    let row = |name: &str| made.lines().find(|line| line.trim_start().starts_with(name)).unwrap().to_owned();
    assert!(row("pager").contains('3') && row("pager").ends_with("taken, 5 s ago"), "{made}");
    assert!(row("chat").contains('2') && !made.contains('\u{1b}'), "{made}");
    assert_eq!(exit_code(&report(&board)), ExitCode::FAILURE);
}

#[test]
fn the_exit_code_is_0_only_when_nobody_needs_to_do_anything() {
    assert_eq!(exit_code(&report(&filled())), ExitCode::FAILURE);
    let board = Board::new();
    rounds(&board, "host", "host", "11 groups", 465);
    assert_eq!(exit_code(&report(&board)), ExitCode::SUCCESS);
    board.note("config", Some("refused".into()));
    assert_eq!(exit_code(&report(&board)), ExitCode::FAILURE);
}

#[test]
fn json_has_the_fields_that_the_help_names() {
    let json = serde_json::to_value(report(&filled())).unwrap();
    let object = json.as_object().unwrap();
    let missing: Vec<&String> = object.keys().filter(|key| !HELP.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "the help does not name {missing:?}");
    assert_eq!(json["health"], "shipping late");
    assert_eq!(json["sources"][0]["name"], "/srv/shop/log/*.json");
}

#[test]
fn the_arguments_are_understood_and_misuse_is_told() {
    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }
    use clap::Parser as _;
    assert!(Command::try_parse_from(["status", "--json", "--state", "/x"]).unwrap().args.json);
    let error = Command::try_parse_from(["status", "--state", "/x", "--socket", "/y"]).unwrap_err();
    assert_eq!(error.exit_code(), 2);
}
