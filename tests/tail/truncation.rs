//! Truncation and copytruncate (cases 5 to 10, 42), with the copy in the glob and outside, alive and at a start.

use std::os::unix::fs::FileExt;

use crate::rig::{Rig, expect, text};

#[test]
fn after_copytruncate_the_copy_is_known_and_the_file_is_read_from_its_beginning() {
    for down in [false, true] {
        let mut rig = Rig::new(&["app.log*"]);
        rig.append("app.log", text("a", 0..1000));
        rig.settle();
        if down {
            rig.crash();
        }
        rig.copy("app.log", "app.log.1");
        rig.truncate("app.log");
        rig.append("app.log", text("b", 0..10));
        if down {
            rig.start();
        }
        rig.pass(60);
        assert_eq!(rig.texts(), expect(&[("a", 0..1000), ("b", 0..10)]), "down: {down}");
        assert!(rig.board.losses().is_empty(), "{:?}", rig.board.losses());
        rig.append("app.log.1", text("late", 0..1));
        rig.settle();
        assert_eq!(rig.texts().len(), 1011, "the copy is followed where it was known to end");
    }
}

#[test]
fn a_copy_that_is_seen_before_the_truncation_is_not_sent() {
    let mut rig = Rig::new(&["app.log*"]);
    rig.append("app.log", text("a", 0..5000));
    rig.settle();
    let whole = text("a", 0..5000);
    // A slow copy: three walks see it grow.
    for part in whole.as_bytes().chunks(whole.len() / 3 + 1) {
        rig.append("app.log.1", part);
        rig.pass(2);
    }
    rig.truncate("app.log");
    rig.append("app.log", text("b", 0..10));
    rig.pass(60);
    assert_eq!(rig.texts(), expect(&[("a", 0..5000), ("b", 0..10)]));
}

#[test]
fn a_copy_that_ends_before_the_last_lines_that_were_read_is_known_too() {
    let mut rig = Rig::new(&["app.log*"]);
    rig.append("app.log", text("a", 0..5000));
    rig.settle();
    rig.copy("app.log", "../copy");
    rig.append("app.log", text("a", 5000..5100));
    rig.settle();
    rig.rename("../copy", "app.log.1");
    rig.truncate("app.log");
    rig.append("app.log", text("b", 0..10));
    rig.pass(60);
    assert_eq!(rig.texts(), expect(&[("a", 0..5100), ("b", 0..10)]));
}

#[test]
fn what_copytruncate_takes_from_a_reader_that_is_behind_is_read_from_the_copy() {
    for down in [false, true] {
        let mut rig = Rig::new(&["app.log*"]);
        rig.append("app.log", text("a", 0..1000));
        rig.settle();
        rig.full(u32::MAX);
        rig.append("app.log", text("a", 1000..9000));
        rig.settle();
        if down {
            rig.crash();
        }
        rig.copy("app.log", "app.log.1");
        rig.truncate("app.log");
        rig.append("app.log", text("b", 0..10));
        rig.full(0);
        if down {
            rig.start();
        }
        rig.pass(60);
        assert_eq!(rig.sorted(), expect(&[("a", 0..9000), ("b", 0..10)]), "down: {down}");
        assert!(rig.board.losses().is_empty(), "{:?}", rig.board.losses());
    }
}

#[test]
fn what_copytruncate_takes_without_a_copy_in_the_glob_is_counted_to_the_byte() {
    let mut rig = Rig::new(&["app.log"]);
    rig.append("app.log", text("a", 0..1000));
    rig.settle();
    rig.full(u32::MAX);
    rig.append("app.log", text("a", 1000..90_000));
    rig.settle();
    rig.copy("app.log", "app.log.1");
    rig.truncate("app.log");
    rig.append("app.log", text("b", 0..10));
    rig.settle();
    rig.full(0);
    rig.pass(60);
    let taken: usize = rig.texts().iter().filter(|line| line.starts_with('a')).map(|line| line.len() + 1).sum();
    assert_eq!(rig.lost("truncated_unread") as usize, text("a", 0..90_000).len() - taken);
    assert_eq!(rig.sorted()[rig.texts().len() - 10..], expect(&[("b", 0..10)]));
}

#[test]
fn a_file_that_was_truncated_and_filled_past_the_offset_is_read_from_its_beginning() {
    for down in [false, true] {
        let banner = "the same banner of each start of the program\n".repeat(30);
        let mut rig = Rig::new(&["app.log"]);
        rig.append("app.log", format!("{banner}{}", text("a", 0..100)));
        rig.settle();
        if down {
            rig.crash();
        }
        rig.truncate("app.log");
        rig.append("app.log", format!("{banner}{}", text("b", 0..1000)));
        if down {
            rig.start();
        }
        rig.settle();
        let lines = rig.texts();
        assert_eq!(lines.iter().filter(|line| line.starts_with("the same")).count(), 60);
        assert_eq!(lines[30..130], expect(&[("a", 0..100)]));
        assert_eq!(lines[160..], expect(&[("b", 0..1000)]));
    }
}

#[test]
fn a_file_that_was_truncated_and_filled_to_the_same_size_is_read_again() {
    for down in [false, true] {
        let mut rig = Rig::new(&["app.log"]);
        rig.append("app.log", text("a", 0..500));
        rig.settle();
        if down {
            rig.crash();
        }
        rig.truncate("app.log");
        rig.append("app.log", text("b", 0..500));
        if down {
            rig.start();
        }
        rig.settle();
        assert_eq!(rig.texts(), expect(&[("a", 0..500), ("b", 0..500)]), "down: {down}");
    }
}

#[test]
fn a_program_that_truncates_its_own_log_and_writes_at_once_is_read_once() {
    let mut rig = Rig::new(&["app.log"]);
    rig.append("app.log", text("a", 0..1));
    rig.settle();
    for name in ["b", "c", "d"] {
        rig.truncate("app.log");
        rig.append("app.log", text(name, 0..50));
        rig.step();
        rig.append("app.log", text(name, 50..100));
        rig.settle();
    }
    assert_eq!(rig.texts(), expect(&[("a", 0..1), ("b", 0..100), ("c", 0..100), ("d", 0..100)]));
}

#[test]
fn the_hole_that_a_writer_without_append_leaves_is_skipped_and_counted() {
    let mut rig = Rig::new(&["app.log"]);
    rig.append("app.log", text("a", 0..10));
    rig.settle();
    rig.truncate("app.log");
    rig.settle();
    let hole = 3 << 30;
    let file = std::fs::OpenOptions::new().write(true).open(rig.path("app.log")).unwrap();
    file.write_all_at(text("b", 0..10).as_bytes(), hole + 77).unwrap();
    rig.settle();
    file.write_all_at(text("b", 10..20).as_bytes(), hole + 77 + text("b", 0..10).len() as u64).unwrap();
    rig.settle();
    assert_eq!(rig.texts(), expect(&[("a", 0..10), ("b", 0..20)]));
    assert_eq!(rig.lost("zero_bytes_skipped"), hole + 77);
    rig.restart();
    rig.settle();
    assert_eq!(rig.texts().len(), 30);
}

#[test]
fn zeros_at_the_end_of_a_file_are_room_that_its_writer_fills_later() {
    let mut rig = Rig::new(&["app.log"]);
    let file = std::fs::File::create(rig.path("app.log")).unwrap();
    file.set_len(8 << 50).or_else(|_| file.set_len(1 << 40)).unwrap();
    let text_a = text("a", 0..10);
    file.write_all_at(text_a.as_bytes(), 0).unwrap();
    rig.settle();
    assert_eq!(rig.texts(), expect(&[("a", 0..10)]));
    file.write_all_at(text("b", 0..10).as_bytes(), text_a.len() as u64).unwrap();
    rig.settle();
    assert_eq!(rig.texts(), expect(&[("a", 0..10), ("b", 0..10)]));
    assert_eq!(rig.board.sources()[0].1.behind.get(), 0);
}

#[test]
fn an_offset_beyond_the_size_is_a_new_generation() {
    let mut rig = Rig::new(&["app.log"]);
    rig.append("app.log", text("a", 0..1000));
    rig.settle();
    rig.crash();
    rig.truncate("app.log");
    rig.append("app.log", text("a", 0..1));
    rig.start();
    rig.settle();
    assert_eq!(rig.texts(), expect(&[("a", 0..1000), ("a", 0..1)]));
}

#[test]
fn bytes_that_are_cut_off_the_end_before_they_were_read_are_counted_and_reading_goes_on() {
    let mut rig = Rig::new(&["app.log"]);
    rig.append("app.log", text("a", 0..10));
    rig.settle();
    rig.append("app.log", "an unfinished line");
    rig.settle();
    let file = std::fs::OpenOptions::new().write(true).open(rig.path("app.log")).unwrap();
    file.set_len(text("a", 0..10).len() as u64).unwrap();
    rig.settle();
    rig.append("app.log", text("a", 10..20));
    rig.settle();
    assert_eq!(rig.texts(), expect(&[("a", 0..20)]));
    assert_eq!(rig.lost("truncated_unread"), 18);
}

#[test]
fn a_file_of_which_nothing_was_read_before_its_truncation_is_counted_whole() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("other.log", text("o", 0..1));
    rig.step();
    rig.full(u32::MAX);
    rig.settle();
    rig.append("app.log", text("a", 0..15));
    rig.settle();
    rig.truncate("app.log");
    // No look at the file between the truncation and the read.
    rig.full(0);
    rig.step();
    rig.pass(60);
    assert_eq!(rig.texts(), expect(&[("o", 0..1)]));
    assert_eq!(rig.lost("truncated_unread") as usize, text("a", 0..15).len());
}

#[test]
fn a_copy_is_known_although_its_original_was_filled_past_the_offset_before_anyone_looked() {
    let mut rig = Rig::new(&["app.log*"]);
    rig.append("app.log", text("a", 0..100));
    rig.settle();
    rig.copy("app.log", "app.log.1");
    rig.truncate("app.log");
    rig.append("app.log", text("b", 0..500));
    rig.pass(60);
    assert_eq!(rig.texts(), expect(&[("a", 0..100), ("b", 0..500)]));
}
