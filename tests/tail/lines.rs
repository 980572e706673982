//! Unfinished lines (16, 17), long ones (21), encodings (22, 23), multi-line records (19, 20), equal lines.

use plimsoll::base::clock::SECOND;
use plimsoll::tail::MultilineSettings;
use regex::bytes::Regex;

use crate::rig::{Rig, expect, text};

#[test]
fn an_unfinished_line_is_held_while_its_file_lives_and_delivered_whole_after_any_end_of_the_agent() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("app.log", "whole\nthe first ha");
    rig.pass(120);
    assert_eq!(rig.texts(), ["whole"]);
    rig.restart();
    rig.settle();
    rig.append("app.log", "lf and the oth");
    rig.pass(60);
    let now = rig.now;
    assert!(rig.tailer.as_mut().unwrap().stop(now));
    rig.restart();
    rig.append("app.log", "er half\n");
    rig.settle();
    assert_eq!(rig.texts(), ["whole", "the first half and the other half"]);
    assert!(rig.kept().lines.iter().all(|line| !line.partial));
}

#[test]
fn an_unfinished_line_of_a_deleted_file_goes_out_marked() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("app.log", "whole\nno end");
    rig.settle();
    rig.remove("app.log");
    rig.pass(60);
    assert_eq!(rig.texts(), ["whole", "no end"]);
    assert_eq!(rig.kept().lines.iter().map(|line| line.partial).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn with_a_time_set_an_unfinished_line_goes_out_and_both_parts_are_marked() {
    let mut rig = Rig::with(&["*.log"], |settings| settings.groups[0].partial_after = Some(5_000_000_000));
    rig.append("app.log", "no end");
    rig.pass(10);
    assert_eq!(rig.texts(), ["no end"]);
    rig.restart();
    rig.append("app.log", " yet\nnext\n");
    rig.settle();
    assert_eq!(rig.texts(), ["no end", " yet", "next"]);
    assert_eq!(rig.kept().lines.iter().map(|line| line.partial).collect::<Vec<_>>(), [true, true, false]);
}

#[test]
fn a_line_written_byte_by_byte_over_many_polls_and_restarts_is_one_line() {
    let mut rig = Rig::new(&["*.log"]);
    for (number, byte) in text("a", 0..3).bytes().enumerate() {
        rig.append("app.log", [byte]);
        rig.pass(1);
        if number % 13 == 0 {
            rig.restart();
        }
    }
    rig.settle();
    assert_eq!(rig.texts(), expect(&[("a", 0..3)]));
}

#[test]
fn lines_that_are_too_long_are_cut_and_marked_and_the_next_ones_are_whole() {
    let long = |letter: &str, size: usize| format!("{}\n", letter.repeat(size));
    let mut rig = Rig::with(&["*.log"], |settings| settings.groups[0].max_line = 1000);
    rig.append(
        "app.log",
        [text("a", 0..2), long("x", 1001), text("a", 2..4), long("é", 5 << 20), text("a", 4..6)].concat(),
    );
    rig.append("app.log", "z".repeat(300_000));
    rig.settle();
    rig.restart();
    rig.settle();
    rig.append("app.log", "z".repeat(300_000));
    rig.settle();
    rig.append("app.log", format!("zz\n{}", text("a", 6..8)));
    rig.settle();
    let (cut, whole): (Vec<_>, Vec<_>) = rig.kept().lines.clone().into_iter().partition(|line| line.truncated);
    assert_eq!(whole.into_iter().map(|line| line.text).collect::<Vec<_>>(), expect(&[("a", 0..8)]));
    let cut: Vec<_> = cut.into_iter().map(|line| line.text).collect();
    assert_eq!(cut, ["x".repeat(1000), "é".repeat(500), "z".repeat(1000)]);
    assert_eq!(rig.board.sources()[0].1.cut.get(), 3);
}

#[test]
fn invalid_utf_8_is_replaced_and_counted_and_harms_no_other_line() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("app.log", b"before\nbad \xff\xfe here \xc3\nafter \xe2\x9a\x93\n");
    rig.settle();
    assert_eq!(rig.texts(), ["before", "bad \u{fffd}\u{fffd} here \u{fffd}", "after ⚓"]);
    assert_eq!(rig.board.sources()[0].1.invalid_utf8.get(), 1);
}

#[test]
fn utf_16_stays_aligned_over_restarts_and_a_byte_order_mark_is_no_text() {
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let mut rig = Rig::new(&["*.log"]);
    rig.append("wide.log", [b"\xff\xfe".to_vec(), wide("one ⚓\r\ntwo\nthr")].concat());
    rig.append("mark.log", "\u{feff}marked\n");
    rig.settle();
    rig.restart();
    let rest = wide("ee\nfour\n");
    rig.append("wide.log", &rest[..3]);
    rig.settle();
    rig.restart();
    rig.append("wide.log", &rest[3..]);
    rig.settle();
    assert_eq!(rig.sorted(), ["four", "marked", "one ⚓", "three", "two"]);
}

fn traces(rig: &mut Rig) {
    let start = Regex::new(r"^\d{4}-").unwrap();
    rig.settings.groups[0].multiline =
        Some(MultilineSettings { start, max_lines: 500, max_bytes: 200_000, timeout: 1_000_000_000 });
    rig.start();
}

#[test]
fn a_trace_that_straddles_reads_polls_and_a_restart_is_one_record() {
    let mut rig = Rig::stopped(&["*.log"]);
    traces(&mut rig);
    // Records of about 900 bytes: the read boundary falls into many of them.
    let trace = |number: u32| format!("2026-{number:06}\n{}", "  at some.place(File.java:12)\n".repeat(30));
    let all: Vec<String> = (0..1000).map(trace).collect();
    rig.append("app.log", all.concat());
    rig.append("app.log", "2026-last\n  at one\n");
    rig.step();
    rig.restart();
    rig.append("app.log", "  at two\n");
    rig.settle();
    let mut expected: Vec<String> = all.iter().map(|trace| trace.trim_end().to_owned()).collect();
    expected.push("2026-last\n  at one\n  at two".into());
    assert_eq!(rig.texts(), expected);
}

#[test]
fn a_start_that_never_matches_keeps_to_its_limits() {
    let mut rig = Rig::stopped(&["*.log"]);
    traces(&mut rig);
    rig.append("app.log", text("a", 0..100_000));
    rig.settle();
    let kept = rig.kept();
    assert!(kept.lines.iter().all(|line| line.text.lines().count() <= 500));
    let lines: Vec<String> = kept.lines.iter().flat_map(|line| line.text.lines().map(str::to_owned)).collect();
    assert_eq!(lines, expect(&[("a", 0..100_000)]));
}

#[test]
fn equal_lines_without_a_time_get_times_of_their_own() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("app.log", "same\n".repeat(1000));
    rig.settle();
    rig.append("app.log", "same\n".repeat(10));
    rig.settle();
    let times: std::collections::BTreeSet<u64> = rig.kept().lines.iter().map(|line| line.nanos).collect();
    assert_eq!(times.len(), 1010);
}

#[test]
fn lines_without_a_time_follow_a_clock_that_was_set_back() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("app.log", "one\ntwo\n");
    rig.settle();
    rig.now.unix -= 3600 * SECOND;
    rig.append("app.log", "three\nfour\n");
    rig.settle();
    let times: Vec<u64> = rig.kept().lines.iter().map(|line| line.nanos).collect();
    assert!(times[0] < times[1] && times[2] < times[3], "{times:?}");
    assert!(times[3] <= rig.now.unix, "{times:?} in the future of {}", rig.now.unix);
}

#[test]
fn what_stands_for_invalid_bytes_and_the_halves_of_a_line_make_no_line_longer_than_the_longest() {
    let mut rig = Rig::with(&["*.log"], |settings| settings.groups[0].max_line = 100);
    rig.append("app.log", [[0xe9; 90].as_slice(), b"\nnext\n", &[b'x'; 90]].concat());
    rig.settle();
    rig.rename("app.log", "app.1");
    rig.append("app.log", format!("{}\n", "-".repeat(90)));
    rig.settle();
    let lines: Vec<_> = rig.kept().lines.iter().map(|line| (line.text.clone(), line.truncated)).collect();
    let joined = format!("{}{}", "x".repeat(90), "-".repeat(10));
    assert_eq!(lines, [("\u{fffd}".repeat(33), true), ("next".to_owned(), false), (joined, true)]);
    assert_eq!(rig.board.sources()[0].1.cut.get(), 2);
}
