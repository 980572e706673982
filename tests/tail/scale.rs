//! Many files, few handles, fairness, backpressure (30 to 33).

use plimsoll::tail::Done;

use crate::rig::{Rig, expect, text};

#[test]
fn thousands_of_files_are_all_read_with_few_handles_and_found_again_after_a_restart() {
    let mut rig = Rig::with(&["*/*.log"], |settings| settings.max_open = 50);
    for folder in 0..10 {
        std::fs::create_dir(rig.path(&folder.to_string())).unwrap();
    }
    let name = |number: u32| format!("{}/{number}.log", number % 10);
    for number in 0..2000 {
        rig.append(&name(number), text(&format!("{number:04}"), 0..2));
    }
    rig.settle();
    assert_eq!(rig.texts().len(), 4000);
    assert!(rig.tailer.as_ref().unwrap().open_files() <= 50);
    rig.restart();
    for number in 0..2000 {
        rig.append(&name(number), text(&format!("{number:04}"), 2..3));
    }
    rig.settle();
    let all: Vec<String> = (0..2000).flat_map(|n| expect(&[(&format!("{n:04}"), 0..3)])).collect();
    assert_eq!(rig.sorted(), all);
    assert!(rig.tailer.as_ref().unwrap().open_files() <= 50);
    assert_eq!(rig.board.sources()[0].1.detail.get(), "2000 files");
}

#[test]
fn a_file_with_a_large_backlog_does_not_keep_a_fresh_line_of_another_waiting() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("large.log", text("l", 0..300_000));
    rig.append("small.log", text("s", 0..1));
    let mut steps = 0;
    while !rig.texts().iter().any(|line| line.starts_with('s')) {
        assert_eq!(rig.step(), Done::More, "the small file was passed over");
        steps += 1;
    }
    let large = rig.texts().iter().filter(|line| line.starts_with('l')).count();
    assert!(large < 100_000, "{large} lines of the large file came first, in {steps} steps");
}

#[test]
fn a_full_sink_stops_the_reading_and_nothing_is_lost_or_repeated() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("app.log", text("a", 0..300_000));
    let mut answers = 0;
    while rig.texts().len() < 300_000 {
        rig.full(3);
        for _ in 0..4 {
            answers += u32::from(rig.step() == Done::Blocked);
        }
        rig.now.mono += 250_000_000;
        assert!(answers < 10_000);
    }
    assert!(answers >= 9);
    assert_eq!(rig.texts(), expect(&[("a", 0..300_000)]));
}

#[test]
fn positions_are_never_ahead_of_what_was_accepted() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("app.log", text("a", 0..200_000));
    for round in 0..40 {
        rig.step();
        if round % 4 == 3 {
            rig.full(2);
            rig.step();
            rig.restart();
        }
    }
    rig.full(0);
    rig.settle();
    assert_eq!(rig.texts(), expect(&[("a", 0..200_000)]));
}

#[test]
fn a_graceful_stop_takes_all_that_is_whole_and_the_next_start_repeats_nothing() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("app.log", text("a", 0..100));
    rig.step();
    let now = rig.now;
    assert!(rig.tailer.as_mut().unwrap().stop(now));
    assert_eq!(rig.texts().len(), 100);
    rig.restart();
    rig.settle();
    assert_eq!(rig.texts(), expect(&[("a", 0..100)]));
}

#[test]
fn quiet_files_are_not_sent_again_a_week_later() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("app.log", text("a", 0..100));
    rig.settle();
    for _ in 0..14 {
        rig.now.mono += 43_200_000_000_000;
        rig.now.unix += 43_200_000_000_000;
        rig.settle();
        rig.restart();
    }
    rig.settle();
    assert_eq!(rig.texts().len(), 100);
    assert!(rig.board.losses().is_empty());
}
