//! The rules of health, rates, and the shape of the JSON.

use super::*;
use crate::base::clock::SECOND;
use crate::signal::frame::Signal;

const START: u64 = 1_700_000_000 * SECOND;

fn at(seconds: u64) -> u64 {
    START + seconds * SECOND
}

fn reporter(board: &Board) -> Reporter {
    let identity = Identity { version: "1.2.3".into(), host: "box".into(), pid: 7, started: START };
    Reporter::new(identity, board.clone())
}

fn report(board: &Board, seconds: u64) -> Report {
    reporter(board).report_with(Usage { rss_bytes: 1, cpu_seconds: 0.5 }, at(seconds))
}

/// A board with one source that had a round just before `seconds`.
fn board(seconds: u64) -> Board {
    let board = Board::new();
    let host = board.source("host");
    host.interval.set(15);
    host.points.set(300);
    host.last_success.set(at(seconds));
    board
}

#[test]
fn an_agent_starts_until_a_source_had_its_first_round() {
    let board = Board::new();
    board.source("host").interval.set(15);
    assert_eq!(report(&board, 1).health, Health::Starting);
    assert!(report(&board, 1).healthy, "a start is no fault");
    board.source("host").last_success.set(at(2));
    assert_eq!(report(&board, 3).health, Health::Healthy);
    assert!(report(&board, 3).reasons.is_empty());
}

#[test]
fn an_agent_that_watches_nothing_after_its_start_is_unhealthy() {
    let report = report(&Board::new(), 61);
    assert_eq!((report.health, report.healthy), (Health::WatchingNothing, false));
}

#[test]
fn a_source_without_a_good_round_for_three_intervals_is_a_fault_with_its_reason() {
    let board = board(100);
    let postgres = board.source("postgres");
    postgres.interval.set(30);
    postgres.last_success.set(at(10));
    postgres.fault.set("password refused: set collect.postgres.password");
    assert_eq!(report(&board, 100).health, Health::Healthy, "90 s are three intervals");
    let late = report(&board, 101);
    assert_eq!((late.health, late.healthy), (Health::Faulty, true));
    assert_eq!(late.reasons, ["postgres had no good round for 1 min: password refused: set collect.postgres.password"]);
}

#[test]
fn a_fault_of_a_source_that_still_has_rounds_is_shown_but_does_not_spoil_the_health() {
    let board = board(1000);
    board.source("host").fault.set("no pg_stat_statements");
    assert_eq!(report(&board, 1000).health, Health::Healthy);
}

#[test]
fn what_was_found_and_lets_nobody_in_yet_does_not_spoil_the_health() {
    let board = board(1000);
    let found = board.source("redis box:6379");
    found.interval.set(15);
    found.hint.set("found, and asks for a login:\nredis-cli ACL SETUSER plimsoll");
    assert_eq!(report(&board, 1000).health, Health::Healthy);
}

#[test]
fn a_destination_without_backlog_may_be_silent_for_ever() {
    let board = board(100_000);
    board.destination("loki", Signal::Logs).last_success.set(at(1));
    assert_eq!(report(&board, 100_000).health, Health::Healthy);
}

#[test]
fn a_backlog_makes_late_then_not_delivering_then_unhealthy() {
    let board = board(1000);
    let loki = board.destination("loki", Signal::Logs);
    loki.last_success.set(at(1000));
    loki.backlog_frames.set(3);
    loki.oldest.set(at(1001));
    loki.answer.set("503");
    for (seconds, health, healthy) in [
        (1010, Health::Healthy, true),
        (1032, Health::ShippingLate, true),
        (1121, Health::ShippingLate, true),
        (1122, Health::NotDelivering, true),
        (1301, Health::NotDelivering, true),
        (1302, Health::NotDelivering, false),
    ] {
        board.source("host").last_success.set(at(seconds));
        let report = report(&board, seconds);
        assert_eq!((report.health, report.healthy), (health, healthy), "after {seconds} s: {:?}", report.reasons);
    }
    board.source("host").last_success.set(at(1302));
    assert_eq!(report(&board, 1302).reasons, ["loki (logs) took nothing for 5 min: 503"]);
}

#[test]
fn a_failing_destination_is_late_at_once() {
    let board = board(1000);
    let loki = board.destination("loki", Signal::Logs);
    loki.failing_since.set(at(998));
    loki.answer.set("connection refused");
    let report = report(&board, 1000);
    assert_eq!(report.health, Health::ShippingLate);
    assert_eq!(report.reasons, ["loki (logs) fails since 2 s: connection refused"]);
}

#[test]
fn one_stuck_destination_beside_one_that_takes_is_late_but_in_the_end_unhealthy() {
    let board = board(1000);
    board.destination("loki", Signal::Logs).last_success.set(at(999));
    let prometheus = board.destination("prometheus", Signal::Metrics);
    prometheus.backlog_frames.set(40);
    prometheus.oldest.set(at(200));
    let report = report(&board, 1000);
    assert_eq!((report.health, report.healthy), (Health::ShippingLate, false));
}

#[test]
fn a_backlog_from_before_the_start_counts_from_the_start() {
    let board = board(60);
    let loki = board.destination("loki", Signal::Logs);
    loki.backlog_frames.set(40);
    loki.oldest.set(at(0) - 86_400 * SECOND);
    let report = report(&board, 60);
    assert_eq!((report.health, report.healthy), (Health::ShippingLate, true));
}

#[test]
fn a_full_spool_pauses_reading_only_while_its_slowest_destination_fills_it() {
    let board = board(1000);
    let spool = board.spool(Signal::Logs);
    spool.limit.set(1 << 30);
    spool.full.add(1);
    let loki = board.destination("loki", Signal::Logs);
    loki.last_success.set(at(999));
    loki.backlog_bytes.set((1 << 30) - 4096);
    let full = report(&board, 1000);
    assert_eq!((full.health, full.healthy), (Health::SpoolFull, false));
    assert!(full.reasons[0].contains("loki") && full.reasons[0].contains("spool.size"), "{:?}", full.reasons);
    loki.backlog_bytes.set(1 << 20);
    assert_eq!(report(&board, 1000).health, Health::Healthy);
}

#[test]
fn a_full_metric_spool_pauses_nothing() {
    let board = board(1000);
    board.spool(Signal::Metrics).full.add(1);
    board.destination("prometheus", Signal::Metrics).backlog_bytes.set(1 << 30);
    assert_eq!(report(&board, 1000).health, Health::Healthy);
}

#[test]
fn a_spool_that_cannot_write_and_a_standing_note_are_told() {
    let board = board(1000);
    board.spool(Signal::Logs).fault.set("no space left on /var/lib/plimsoll");
    board.note("config", Some("line 3: unknown key".into()));
    let report = report(&board, 1000);
    assert_eq!((report.health, report.healthy), (Health::SpoolBroken, false));
    assert_eq!(report.reasons, ["the logs spool: no space left on /var/lib/plimsoll", "config: line 3: unknown key"]);
}

#[test]
fn rates_are_taken_since_the_start_and_then_over_the_last_marks() {
    let board = board(0);
    let files = board.source("files");
    let reporter = reporter(&board);
    files.lines.set(100);
    assert_eq!(reporter.report_with(Usage::default(), at(50)).sources[0].lines_per_second, 2.0);
    reporter.tick(at(50));
    files.lines.set(400);
    let report = reporter.report_with(Usage::default(), at(60));
    assert_eq!((report.window_seconds, report.sources[0].lines_per_second), (10.0, 30.0));
    assert_eq!(report.sources[1].points_per_second, 20.0);
    reporter.tick(at(60));
    reporter.tick(at(70));
    files.lines.set(420);
    assert_eq!(reporter.report_with(Usage::default(), at(80)).sources[0].lines_per_second, 1.0);
}

#[test]
fn a_clock_that_steps_back_makes_no_nonsense_of_rates() {
    let board = board(0);
    let reporter = reporter(&board);
    reporter.tick(at(100));
    let report = reporter.report_with(Usage::default(), at(50));
    assert_eq!(report.window_seconds, 50.0);
    reporter.tick(at(50));
    assert_eq!(reporter.report_with(Usage::default(), START - SECOND).window_seconds, 0.0);
}

#[test]
fn json_tells_times_in_seconds_and_never_as_null() {
    let board = board(1000);
    board.destination("loki", Signal::Logs).last_success.set(at(1000) + SECOND / 2);
    let json = serde_json::to_value(report(&board, 1001)).unwrap();
    assert_eq!(json["started"], 1_700_000_000.0);
    assert_eq!(json["destinations"][0]["last_success"], 1_700_001_000.5);
    assert_eq!(json["destinations"][0]["failing_since"], serde_json::Value::Null);
    assert_eq!((&json["health"], &json["healthy"]), (&"healthy".into(), &true.into()));
}
