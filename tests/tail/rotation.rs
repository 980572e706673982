//! Rotation by rename (cases 1 to 4), deleted files (15), a record across the rotation (18).

use crate::rig::{Rig, expect, text};

#[test]
fn lines_are_delivered_in_order_with_rising_times_and_the_path_of_their_file() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("app.log", text("a", 0..100));
    rig.settle();
    rig.append("app.log", text("a", 100..200));
    rig.settle();
    assert_eq!(rig.texts(), expect(&[("a", 0..200)]));
    let kept = rig.kept();
    assert!(kept.lines.windows(2).all(|pair| pair[0].nanos < pair[1].nanos), "equal times");
    assert!(kept.lines.iter().all(|line| line.path == rig.path("app.log").to_str().unwrap()));
}

#[test]
fn a_renamed_file_is_read_to_its_end_and_then_the_new_one() {
    for glob in ["app.log", "app.log*"] {
        let mut rig = Rig::new(&[glob]);
        rig.append("app.log", text("a", 0..20_000));
        rig.step();
        rig.full(u32::MAX);
        rig.append("app.log", text("a", 20_000..40_000));
        rig.pass(2);
        rig.rename("app.log", "app.log.1");
        rig.append("app.log.1", text("a", 40_000..40_100));
        rig.append("app.log", text("b", 0..100));
        rig.pass(10);
        rig.full(0);
        rig.settle();
        assert_eq!(rig.texts(), expect(&[("a", 0..40_100), ("b", 0..100)]), "{glob}");
    }
}

#[test]
fn every_generation_of_a_fast_rotation_is_read() {
    let mut rig = Rig::new(&["app.log*"]);
    rig.append("app.log", text("g0", 0..50));
    rig.settle();
    for generation in 1..7 {
        for number in (1..generation).rev() {
            rig.rename(&format!("app.log.{number}"), &format!("app.log.{}", number + 1));
        }
        rig.rename("app.log", "app.log.1");
        rig.append("app.log", text(&format!("g{generation}"), 0..50));
    }
    rig.settle();
    let names: Vec<String> = (0..7).map(|generation| format!("g{generation}")).collect();
    let parts: Vec<_> = names.iter().map(|name| (name.as_str(), 0..50)).collect();
    assert_eq!(rig.sorted(), expect(&parts));
}

#[test]
fn files_rotated_twice_while_the_agent_is_down_are_finished_and_the_new_ones_read() {
    for glob in ["app.log", "app.log*"] {
        let mut rig = Rig::new(&[glob]);
        rig.append("app.log", text("a", 0..100));
        rig.settle();
        rig.crash();
        rig.append("app.log", text("a", 100..200));
        rig.rename("app.log", "app.log.1");
        rig.append("app.log", text("b", 0..100));
        if glob == "app.log*" {
            rig.rename("app.log.1", "app.log.2");
            rig.rename("app.log", "app.log.1");
            rig.append("app.log", text("c", 0..100));
        }
        rig.start();
        rig.settle();
        let last = if glob == "app.log*" { 100 } else { 0 };
        assert_eq!(rig.sorted(), expect(&[("a", 0..200), ("b", 0..100), ("c", 0..last)]), "{glob}");
    }
}

#[test]
fn a_deleted_file_is_read_to_its_end_although_the_sink_is_full_for_long() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("app.log", text("a", 0..10));
    rig.settle();
    rig.full(u32::MAX);
    rig.append("app.log", text("a", 10..50_000));
    rig.settle();
    rig.remove("app.log");
    rig.append("app.log", text("b", 0..10));
    rig.pass(600);
    assert!(rig.tailer.as_ref().unwrap().pinned() > 1_000_000);
    rig.full(0);
    rig.pass(60);
    assert_eq!(rig.sorted(), expect(&[("a", 0..50_000), ("b", 0..10)]));
    rig.pass(60);
    assert_eq!(rig.tailer.as_ref().unwrap().pinned(), 0);
}

#[test]
fn deleted_files_beyond_the_pinned_maximum_are_dropped_and_counted() {
    let mut rig = Rig::with(&["*.log"], |settings| settings.max_pinned = 100_000);
    rig.append("app.log", text("a", 0..10));
    rig.settle();
    rig.full(u32::MAX);
    let unread = text("a", 10..10_000);
    rig.append("app.log", &unread);
    rig.settle();
    rig.remove("app.log");
    rig.settle();
    assert_eq!(rig.tailer.as_ref().unwrap().pinned(), 0);
    rig.full(0);
    rig.settle();
    let taken: usize = rig.texts().iter().map(|line| line.len() + 1).sum();
    assert_eq!(rig.lost("deleted_unread") as usize, text("a", 0..10_000).len() - taken);
}

#[test]
fn a_record_that_the_writer_splits_across_the_rotation_is_joined() {
    for restart in [false, true] {
        let mut rig = Rig::new(&["app.log"]);
        rig.append("app.log", "{\"n\":1,\"msg\":\"one\"}\n{\"n\":2,\"msg\":\"tw");
        rig.settle();
        rig.rename("app.log", "app.log.1");
        rig.append("app.log", "o\"}\n{\"n\":3,\"msg\":\"three\"}\n");
        if restart {
            rig.restart();
        }
        rig.settle();
        let whole = ["{\"n\":1,\"msg\":\"one\"}", "{\"n\":2,\"msg\":\"two\"}", "{\"n\":3,\"msg\":\"three\"}"];
        assert_eq!(rig.texts(), whole);
        assert!(rig.kept().lines.iter().all(|line| !line.partial));
    }
}

#[test]
fn an_unfinished_last_line_is_not_joined_with_a_line_that_begins_like_a_record() {
    let mut rig = Rig::new(&["app.log"]);
    rig.append("app.log", "2026-01-01 one\n2026-01-02 tw");
    rig.settle();
    rig.rename("app.log", "app.log.1");
    rig.append("app.log", "2026-01-03 three\n");
    rig.settle();
    assert_eq!(rig.texts(), ["2026-01-01 one", "2026-01-02 tw", "2026-01-03 three"]);
    let partial: Vec<bool> = rig.kept().lines.iter().map(|line| line.partial).collect();
    assert_eq!(partial, [false, true, false]);
}
