//! The journal source against real journal files: written by `systemd-journal-remote`, read by `journalctl`.

mod bench;

use bench::{Bench, Line, T0, entry, is_here, lines, message};

use super::position::Place;
use crate::signal::record::Value;

/// `count` entries of one unit in one boot, a millisecond apart, from `first` on.
fn numbered(unit: &str, boot: char, first: u64, count: u64) -> Vec<u8> {
    let one =
        |number: u64| entry(boot, T0 + number * 1_000, &[("_SYSTEMD_UNIT", unit)], format!("line {number}").as_bytes());
    (first..first + count).flat_map(one).collect()
}

fn expected(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|number| format!("line {number}")).collect()
}

#[test]
fn every_entry_is_read_once_with_its_level_its_unit_and_its_time() {
    let bench = Bench::new();
    let entries = (0..8u64).flat_map(|priority| {
        let fields = [("_SYSTEMD_UNIT", "shop.service"), ("PRIORITY", &priority.to_string()), ("_PID", "42")];
        entry('1', T0 + priority, &fields, b"hello")
    });
    bench.write("a", &entries.collect::<Vec<_>>());
    bench.read_until(|spool| spool.lines.len() >= 8);
    let lines = bench.lines();
    assert_eq!(lines.iter().map(|line| line.severity).collect::<Vec<_>>(), [21, 19, 18, 17, 13, 10, 9, 5]);
    let times: Vec<_> = lines.iter().map(|line| line.nanos).collect();
    assert_eq!(times, (0..8).map(|priority| (T0 + priority) * 1_000).collect::<Vec<_>>());
    assert!(lines.iter().all(|line| line.has("systemd.unit", "shop.service") && line.has("process.pid", "42")));
    let source = bench.board.source("journald");
    assert_eq!((source.lines.get(), source.bytes.get(), source.kind.get().as_str()), (8, 40, "journald"));
    assert_eq!((source.detail.get().as_str(), source.fault.get().as_str()), ("1 unit", ""));
}

#[test]
fn ten_thousand_entries_are_read_once_and_in_order_over_crashes_of_the_agent() {
    let bench = Bench::new();
    bench.write("a", &numbered("shop.service", '1', 0, 10_000));
    let mut starts = 0;
    while bench.lines().len() < 10_000 {
        let frames = bench.frames();
        bench.read_until(|spool| spool.frames > frames && !spool.lines.is_empty());
        starts += 1;
    }
    assert!(starts > 1, "the crash is not tried with one frame");
    assert_eq!(lines(&bench), expected(0..10_000));
}

#[test]
fn after_a_restart_reading_goes_on_behind_the_recorded_entry() {
    let bench = Bench::new();
    bench.write("a", &numbered("shop.service", '1', 0, 5));
    bench.read_until(|spool| spool.lines.len() == 5);
    bench.write("a", &numbered("shop.service", '1', 5, 3));
    bench.read_until(|spool| spool.lines.len() >= 8);
    assert_eq!(lines(&bench), expected(0..8));
    assert_eq!(bench.gaps(), 0);
}

#[test]
fn entries_that_come_while_it_follows_are_read() {
    let bench = Bench::new();
    bench.write("a", &numbered("shop.service", '1', 0, 2));
    let mut journal = bench.journal();
    bench.step_until(&mut journal, |journal, spool| journal.is_following() && spool.lines.len() == 2);
    bench.write("a", &numbered("shop.service", '1', 2, 2));
    bench.step_until(&mut journal, |_, spool| spool.lines.len() >= 4);
    assert_eq!(lines(&bench), expected(0..4));
}

#[test]
fn the_rest_of_the_old_boot_and_the_first_entry_of_the_new_one_are_read_and_the_last_one_is_not_repeated() {
    let bench = Bench::new();
    bench.write("a", &numbered("shop.service", '1', 0, 3));
    bench.read_until(|spool| spool.lines.len() == 3);
    bench.write("a", &numbered("shop.service", '1', 3, 2));
    bench.write("b", &numbered("shop.service", '2', 5, 2));
    bench.read_until(|spool| spool.lines.len() >= 7);
    assert_eq!(lines(&bench), expected(0..7));
    // The recorded entry is now the last one of its boot, and the next boot has another clock.
    let early = entry('3', T0 + 6_500, &[("_SYSTEMD_UNIT", "shop.service")], b"line 7");
    bench.write("c", &early);
    bench.read_until(|spool| spool.lines.len() >= 8);
    assert_eq!(lines(&bench), expected(0..8));
    assert_eq!(bench.gaps(), 0);
}

#[test]
fn a_vacuumed_journal_goes_on_with_its_oldest_entry_and_the_gap_is_counted_once() {
    let bench = Bench::new();
    bench.write("a", &numbered("shop.service", '1', 0, 3));
    bench.read_until(|spool| spool.lines.len() == 3);
    bench.write("a", &numbered("shop.service", '1', 3, 3));
    bench.write("b", &numbered("shop.service", '1', 6, 3));
    bench.remove("a");
    bench.read_until(|spool| spool.lines.len() >= 6);
    assert_eq!(lines(&bench), [expected(0..3), expected(6..9)].concat());
    assert_eq!(bench.gaps(), 1);
    bench.write("b", &numbered("shop.service", '1', 9, 1));
    bench.read_until(|spool| spool.lines.len() >= 7);
    assert_eq!((lines(&bench).len(), bench.gaps()), (7, 1));
}

#[test]
fn a_cursor_that_means_nothing_costs_a_counted_gap_and_reading_goes_on_at_its_time() {
    let bench = Bench::new();
    bench.write("a", &numbered("shop.service", '1', 0, 5));
    bench.start_at(&Place { cursor: "nonsense".into(), realtime: T0 + 2_000, nanos: 0 });
    bench.read_until(|spool| spool.lines.len() >= 3);
    assert_eq!(lines(&bench), expected(2..5));
    assert_eq!(bench.gaps(), 1);
}

#[test]
fn a_filter_with_rare_matches_records_what_it_has_looked_at() {
    let mut bench = Bench::new();
    bench.settings.units = vec!["shop-*.service".into()];
    let rare = entry('1', T0 + 10, &[("_SYSTEMD_UNIT", "shop-1.service")], b"rare");
    bench.write("a", &[rare, numbered("noise.service", '1', 1, 500)].concat());
    let mut journal = bench.journal();
    bench.step_until(&mut journal, |journal, spool| journal.is_following() && spool.lines.len() == 1);
    journal.finish(bench.now());
    assert_eq!(lines(&bench), ["rare"]);
    assert_eq!(bench.place().realtime, T0 + 500_000, "the last entry that was looked at");
    let source = bench.board.source("journald");
    assert_eq!(source.lines.get(), 1);
}

#[test]
fn a_position_that_moves_without_a_match_is_written_once_a_minute() {
    let mut bench = Bench::new();
    bench.settings.units = vec!["shop-*.service".into()];
    bench.write("a", &numbered("noise.service", '1', 0, 10));
    let mut journal = bench.journal();
    bench.step_until(&mut journal, |journal, spool| journal.is_following() && spool.frames == 1);
    bench.write("a", &numbered("noise.service", '1', 10, 1));
    // Far from a minute, as real time passes too.
    bench.skew.set(30_000_000_000);
    let before = bench.frames();
    bench.step_until(&mut journal, |journal, _| journal.scanned() == 11);
    assert_eq!(bench.frames(), before);
    bench.skew.set(61_000_000_000);
    bench.step_until(&mut journal, |_, spool| spool.frames > before);
    assert_eq!(bench.place().realtime, T0 + 10_000);
}

#[test]
fn a_child_that_is_killed_is_started_again_and_nothing_is_lost_or_repeated() {
    let bench = Bench::new();
    bench.write("a", &numbered("shop.service", '1', 0, 3));
    let mut journal = bench.journal();
    bench.step_until(&mut journal, |journal, spool| journal.is_following() && spool.lines.len() == 3);
    let child = journal.child().unwrap();
    let pid = rustix::process::Pid::from_raw(child as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    bench.step_until(&mut journal, |journal, _| journal.child().is_none());
    let source = bench.board.source("journald");
    assert!(source.fault.get().contains("journalctl ended (signal: 9"), "{}", source.fault.get());
    bench.write("a", &numbered("shop.service", '1', 3, 2));
    bench.step_until(&mut journal, |journal, spool| journal.is_following() && spool.lines.len() >= 5);
    bench.step_until(&mut journal, |_, _| source.fault.get().is_empty());
    assert_eq!(lines(&bench), expected(0..5));
    assert_eq!((bench.gaps(), source.failures.get()), (0, 1));
}

#[test]
fn a_full_spool_stops_the_reading_and_then_the_child_and_nothing_is_lost() {
    let bench = Bench::new();
    bench.write("a", &numbered("shop.service", '1', 0, 9_000));
    bench.refuse(true);
    let mut journal = bench.journal();
    bench.step_until(&mut journal, |_, spool| spool.refused > 3);
    let scanned = journal.scanned();
    assert!(scanned < 9_000 && journal.child().is_some(), "{scanned}");
    let source = bench.board.source("journald");
    assert!(source.fault.get().contains("the spool is full"));
    bench.skew.set(31_000_000_000);
    bench.step_until(&mut journal, |journal, _| journal.child().is_none());
    assert_eq!(journal.scanned(), scanned);
    bench.refuse(false);
    bench.step_until(&mut journal, |_, spool| spool.lines.len() >= 9_000);
    assert_eq!(lines(&bench), expected(0..9_000));
    assert_eq!((bench.gaps(), source.fault.get().as_str()), (0, ""));
}

#[test]
fn what_is_vacuumed_while_the_spool_is_full_is_counted() {
    let bench = Bench::new();
    bench.write("a", &numbered("shop.service", '1', 0, 9_000));
    bench.refuse(true);
    let mut journal = bench.journal();
    bench.step_until(&mut journal, |_, spool| spool.refused > 0);
    bench.skew.set(31_000_000_000);
    bench.step_until(&mut journal, |journal, _| journal.child().is_none());
    let scanned = journal.scanned();
    bench.remove("a");
    bench.write("b", &numbered("shop.service", '1', 9_000, 3));
    bench.refuse(false);
    bench.step_until(&mut journal, |_, spool| spool.lines.last().is_some_and(|line| line.body == "line 9002"));
    assert_eq!(lines(&bench), [expected(0..scanned), expected(9_000..9_003)].concat());
    assert_eq!(bench.gaps(), 1);
}

#[test]
fn binary_broken_huge_and_structured_messages_are_records() {
    let bench = Bench::new();
    let huge = vec![b'x'; 300 << 10];
    let json = br#"{"level":"error","msg":"no stock","sku":7}"#;
    let texts: [&[u8]; 5] = [b"two\nlines", b"bad \xff byte", &huge, b"plain", json];
    let fields = |at: usize| [("_SYSTEMD_UNIT", if at == 4 { "json.service" } else { "a.service" }), ("PRIORITY", "6")];
    let entries = texts.iter().enumerate().flat_map(|(at, text)| entry('1', T0 + at as u64, &fields(at), text));
    bench.write("a", &entries.collect::<Vec<_>>());
    bench.read_until(|spool| spool.lines.len() >= 5);
    let found = bench.lines();
    let bodies: Vec<_> = found.iter().map(|line| line.body.as_str()).collect();
    assert_eq!((bodies[0], bodies[1], bodies[2].len()), ("two\nlines", "bad \u{fffd} byte", 256 << 10));
    assert!(found[2].has("plimsoll.truncated", "true") && !found[3].has("plimsoll.truncated", "true"));
    assert_eq!((bodies[4], found[4].severity, found[3].severity), ("no stock", 17, 9));
    assert!(found[4].has("sku", "7") && found[4].has("systemd.unit", "json.service"));
    let source = bench.board.source("journald");
    assert_eq!((source.invalid_utf8.get(), source.cut.get()), (1, 1));
}

#[test]
fn equal_lines_at_equal_times_stay_apart_also_over_a_restart() {
    let bench = Bench::new();
    let same = |count: usize, pid: &str| {
        let one = entry('1', T0, &[("_SYSTEMD_UNIT", "a.service"), ("X_NUMBER", pid)], b"same");
        vec![one; count].concat()
    };
    bench.write("a", &same(3, "1"));
    bench.read_until(|spool| spool.lines.len() == 3);
    bench.write("a", &same(2, "2"));
    bench.read_until(|spool| spool.lines.len() >= 5);
    let times: Vec<_> = bench.lines().iter().map(|line| line.nanos - T0 * 1_000).collect();
    assert_eq!(times, [0, 1, 2, 3, 4]);
}

#[test]
fn the_first_start_reads_what_is_written_from_then_on() {
    let bench = Bench::new();
    bench.write("a", &numbered("shop.service", '1', 0, 3));
    bench.forget();
    let now = bench.now().unix / 1_000;
    let mut journal = bench.journal();
    bench.step_until(&mut journal, |journal, spool| journal.is_following() && spool.frames == 1);
    bench.write("a", &entry('1', now + 1_000_000, &[], b"new"));
    bench.step_until(&mut journal, |_, spool| !spool.lines.is_empty());
    assert_eq!((lines(&bench), bench.gaps()), (vec!["new".to_owned()], 0));
}

#[test]
fn a_damaged_journal_file_does_not_stop_the_others() {
    let bench = Bench::new();
    bench.write("a", &numbered("shop.service", '1', 0, 200));
    bench.write("b", &numbered("shop.service", '1', 200, 3));
    bench.damage("a");
    bench.read_until(|spool| spool.lines.iter().any(|line| line.body == "line 202"));
    let mut found = lines(&bench);
    assert_eq!(found.split_off(found.len() - 3), expected(200..203));
    let mut once = found.clone();
    once.dedup();
    assert_eq!(found, once);
}

#[test]
fn without_journalctl_there_is_a_fault_and_no_spinning() {
    let mut bench = Bench::new();
    bench.settings.program = Some("/nonexistent/journalctl".into());
    bench.settings.retry = (std::time::Duration::from_secs(3_600), std::time::Duration::from_secs(3_600));
    let mut journal = bench.journal();
    let source = bench.board.source("journald");
    bench.step_until(&mut journal, |_, _| source.failures.get() == 1);
    assert!(source.fault.get().contains("cannot start /nonexistent/journalctl"), "{}", source.fault.get());
    assert!(matches!(journal.step(bench.now()), crate::tail::Done::Idle(_)));
}

#[test]
fn without_the_right_to_read_the_fault_names_the_group() {
    let mut bench = Bench::new();
    let words = "echo 'No journal files were opened due to insufficient permissions.' >&2; exit 1";
    bench.settings.program = Some(bench.script(words));
    let mut journal = bench.journal();
    let source = bench.board.source("journald");
    bench.step_until(&mut journal, |_, _| source.fault.get().contains("to the group systemd-journal"));
    assert!(source.fault.get().contains("insufficient permissions"), "{}", source.fault.get());
}

#[test]
fn a_hostile_child_that_never_ends_an_entry_or_its_complaints_takes_no_memory_and_is_ended() {
    let mut bench = Bench::new();
    let words = "while :; do echo X=yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; echo complaint >&2; done";
    bench.settings.program = Some(bench.script(words));
    let mut journal = bench.journal();
    bench.step_until(&mut journal, |journal, _| journal.child().is_some());
    let child = journal.child().unwrap();
    for _ in 0..200 {
        assert!(matches!(journal.step(bench.now()), crate::tail::Done::More));
    }
    assert_eq!((journal.scanned(), journal.child()), (0, Some(child)));
    journal.finish(bench.now());
    assert!(!is_here(child));
}

#[test]
fn a_stop_ends_the_child_and_keeps_what_was_read() {
    let bench = Bench::new();
    bench.write("a", &numbered("shop.service", '1', 0, 3));
    let mut journal = bench.journal();
    bench.step_until(&mut journal, |journal, _| journal.is_following());
    let child = journal.child().unwrap();
    assert!(is_here(child));
    let stop = crate::base::stop::Stop::new();
    stop.set();
    super::run(journal, &stop);
    assert!(!is_here(child), "neither running nor a zombie");
    assert_eq!(lines(&bench), expected(0..3));
}

#[test]
fn a_message_without_text_is_an_empty_line() {
    let bench = Bench::new();
    bench.write("a", &[message('1', T0, &[("PRIORITY", "3")], None), entry('1', T0 + 1, &[], b"next")].concat());
    bench.read_until(|spool| spool.lines.len() >= 2);
    let found: Vec<Line> = bench.lines();
    assert_eq!((found[0].body.as_str(), found[0].severity, found[1].body.as_str()), ("", 17, "next"));
    assert!(found[0].attributes.iter().all(|(_, value)| !matches!(value, (Value::Double(_), _))));
}
