//! Which file is which (cases 11 to 14, 38, 40), and where a first start begins (49).

use std::fs;
use std::os::unix::fs::MetadataExt;

use plimsoll::tail::Start;

use crate::rig::{Rig, expect, text};

/// Removes `name` and writes `content` anew until the file system gives the same inode, if it ever does.
fn reuse(rig: &Rig, name: &str, content: &str) -> bool {
    let old = fs::metadata(rig.path(name)).unwrap().ino();
    rig.remove(name);
    for number in 0..1000 {
        let spare = format!("../spare{number}");
        rig.append(&spare, content);
        if fs::metadata(rig.path(&spare)).unwrap().ino() == old {
            rig.rename(&spare, name);
            return true;
        }
    }
    rig.append(name, content);
    false
}

#[test]
fn a_new_file_on_the_inode_of_a_deleted_one_is_read_from_its_beginning() {
    for lines in [10, 100, 500] {
        let mut rig = Rig::new(&["sub/app.log"]);
        fs::create_dir(rig.path("sub")).unwrap();
        rig.append("sub/app.log", text("a", 0..100));
        rig.settle();
        rig.crash();
        // Where the file system hands out other inodes the case is that of a plain new file.
        reuse(&rig, "sub/app.log", &text("b", 0..lines));
        rig.start();
        rig.settle();
        assert_eq!(rig.texts(), expect(&[("a", 0..100), ("b", 0..lines)]));
    }
}

#[test]
fn two_files_that_begin_alike_are_both_read_in_full() {
    let banner = "a banner that both programs write\n".repeat(128);
    let mut rig = Rig::new(&["*.log"]);
    rig.append("messages.log", &banner);
    rig.settle();
    rig.append("syslog.log", &banner);
    rig.settle();
    rig.append("messages.log", text("m", 0..10));
    rig.append("syslog.log", text("s", 0..10));
    rig.pass(20);
    rig.restart();
    rig.settle();
    let mut lines = rig.texts();
    lines.retain(|line| !line.starts_with("a banner"));
    lines.sort();
    assert_eq!(lines, expect(&[("m", 0..10), ("s", 0..10)]));
    assert_eq!(rig.texts().len(), 256 + 20);
}

#[test]
fn two_files_with_the_same_content_are_both_read_when_neither_is_truncated() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("one.log", "started\n");
    rig.settle();
    rig.append("two.log", "started\n");
    rig.pass(20);
    assert_eq!(rig.texts(), ["started", "started"]);
}

#[test]
fn empty_and_tiny_files_are_delivered_promptly_and_not_again_as_they_grow() {
    let mut rig = Rig::new(&["*.log"]);
    for name in ["a.log", "b.log", "c.log"] {
        rig.append(name, "");
    }
    rig.settle();
    rig.append("a.log", "x\n");
    rig.pass(2);
    assert_eq!(rig.texts(), ["x"], "within two seconds");
    for number in 0..200 {
        rig.append("b.log", text("b", number..number + 1));
        rig.pass(1);
        if number % 20 == 0 {
            rig.restart();
        }
    }
    rig.settle();
    assert_eq!(rig.texts()[1..], expect(&[("b", 0..200)]));
}

#[test]
fn entries_of_files_that_are_gone_or_of_another_glob_harm_nobody_and_stay() {
    let mut rig = Rig::new(&["a/*.log", "b/*.log"]);
    fs::create_dir(rig.path("a")).unwrap();
    fs::create_dir(rig.path("b")).unwrap();
    rig.append("a/x.log", text("a", 0..100));
    rig.append("b/x.log", text("b", 0..100));
    rig.settle();
    rig.crash();
    let glob = rig.settings.groups.pop().unwrap();
    rig.start();
    rig.pass(3600);
    rig.crash();
    rig.settings.groups.push(glob);
    rig.append("b/x.log", text("b", 100..110));
    rig.start();
    rig.settle();
    assert_eq!(rig.sorted(), expect(&[("a", 0..100), ("b", 0..110)]));
}

#[test]
fn positions_of_files_that_another_reader_follows_are_left_to_it() {
    let mut rig = Rig::new(&["a/*.log", "b/*.log"]);
    fs::create_dir(rig.path("a")).unwrap();
    fs::create_dir(rig.path("b")).unwrap();
    rig.append("a/x.log", text("a", 0..100));
    rig.append("b/x.log", text("b", 0..100));
    rig.append("b/x.log", "an unfinished line");
    rig.settle();
    rig.crash();
    let glob = rig.settings.groups.pop().unwrap();
    rig.settings.others = vec![glob.path.clone()];
    let before = rig.kept().positions.clone();
    rig.start();
    rig.append("a/x.log", text("a", 100..110));
    rig.settle();
    rig.pass(3600);
    let kept = rig.kept();
    let same = before.iter().filter(|(key, value)| kept.positions.get(*key) == Some(*value)).count();
    drop(kept);
    assert_eq!(same, 3, "both globs, and the file of the other reader");
    assert_eq!(rig.board.losses(), []);
}

#[test]
fn another_device_number_after_a_remount_is_no_reason_to_read_again() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("app.log", text("a", 0..100));
    rig.settle();
    rig.crash();
    // Version and flags, then the device.
    for (key, value) in &mut rig.kept().positions {
        if key.starts_with(b"file") {
            value[2] ^= 0x55;
        }
    }
    rig.append("app.log", text("a", 100..110));
    rig.start();
    rig.settle();
    assert_eq!(rig.texts(), expect(&[("a", 0..110)]));
}

#[test]
fn a_file_that_is_replaced_by_a_longer_one_with_the_same_beginning_goes_on_at_the_offset() {
    for down in [false, true] {
        let mut rig = Rig::new(&["app.log"]);
        rig.append("app.log", text("a", 0..100));
        rig.settle();
        if down {
            rig.crash();
        }
        rig.append("tmp", text("a", 0..150));
        rig.rename("tmp", "app.log");
        if down {
            rig.start();
        }
        rig.pass(20);
        assert_eq!(rig.texts(), expect(&[("a", 0..150)]), "down: {down}");
        rig.append("app.log", text("a", 150..160));
        rig.pass(60);
        assert_eq!(rig.texts(), expect(&[("a", 0..160)]), "down: {down}");
    }
}

#[test]
fn start_end_skips_what_is_there_at_the_first_start_and_nothing_that_comes_later() {
    let mut rig = Rig::stopped(&["*.log"]);
    rig.settings.groups[0].start = Start::End;
    rig.append("old.log", format!("{}half", text("old", 0..1000)));
    rig.start();
    rig.settle();
    rig.append("old.log", " a line\n");
    rig.append("new.log", text("new", 0..10));
    rig.settle();
    rig.crash();
    rig.append("down.log", text("down", 0..10));
    rig.start();
    rig.settle();
    let mut expected = expect(&[("down", 0..10)]);
    expected.push("half a line".into());
    expected.extend(expect(&[("new", 0..10)]));
    assert_eq!(rig.sorted(), expected);
}

#[test]
fn broken_positions_do_not_stop_the_start() {
    let mut rig = Rig::new(&["*.log"]);
    rig.append("app.log", text("a", 0..100));
    rig.settle();
    rig.crash();
    for value in rig.kept().positions.values_mut() {
        value.fill(0);
    }
    rig.start();
    rig.settle();
    assert_eq!(rig.texts(), expect(&[("a", 0..100), ("a", 0..100)]), "read again rather than not at all");
}

#[test]
fn the_unfinished_line_of_a_file_that_was_replaced_is_held_as_in_any_living_file() {
    let mut rig = Rig::new(&["app.log"]);
    rig.append("app.log", text("a", 0..100));
    rig.settle();
    rig.append("tmp", format!("{}half", text("a", 0..150)));
    rig.rename("tmp", "app.log");
    rig.pass(90);
    rig.append("app.log", " a line\n");
    rig.settle();
    let mut expected = expect(&[("a", 0..150)]);
    expected.push("half a line".into());
    assert_eq!(rig.texts(), expected);
}

/// What is in a folder while it is away: nothing, or something that cannot be listed.
fn away(rig: &Rig, listed: bool) {
    rig.rename("sub", "../away");
    if listed {
        fs::create_dir(rig.path("sub")).unwrap();
    } else {
        rig.append("sub", "no folder");
    }
}

fn back(rig: &Rig, listed: bool) {
    if listed {
        fs::remove_dir(rig.path("sub")).unwrap();
    } else {
        rig.remove("sub");
    }
    rig.rename("../away", "sub");
}

#[test]
fn files_in_a_folder_that_is_away_for_long_go_on_where_they_were() {
    for listed in [false, true] {
        let mut rig = Rig::with(&["sub/*.log"], |settings| settings.max_open = 1);
        fs::create_dir(rig.path("sub")).unwrap();
        rig.append("sub/one.log", text("a", 0..100));
        rig.append("sub/two.log", text("b", 0..100));
        rig.settle();
        away(&rig, listed);
        rig.pass(1800);
        assert_eq!(rig.fault().is_empty(), listed, "{}", rig.fault());
        back(&rig, listed);
        rig.append("sub/one.log", text("a", 100..110) + "half");
        rig.pass(60);
        rig.append("sub/one.log", " a line\n");
        rig.settle();
        let mut expected = expect(&[("a", 0..110), ("b", 0..100)]);
        expected.push("half a line".into());
        assert_eq!(rig.sorted(), expected, "listed: {listed}");
        assert_eq!(rig.board.losses(), [], "listed: {listed}");
    }
}

#[test]
fn start_end_holds_for_a_folder_that_could_not_be_listed_at_the_first_start() {
    let mut rig = Rig::stopped(&["sub/*.log"]);
    rig.settings.groups[0].start = Start::End;
    fs::create_dir(rig.path("sub")).unwrap();
    rig.append("sub/old.log", text("old", 0..1000));
    away(&rig, false);
    rig.start();
    rig.pass(60);
    back(&rig, false);
    rig.settle();
    rig.append("sub/old.log", text("old", 1000..1010));
    rig.append("sub/new.log", text("new", 0..10));
    rig.settle();
    assert_eq!(rig.sorted(), expect(&[("new", 0..10), ("old", 1000..1010)]));
}
