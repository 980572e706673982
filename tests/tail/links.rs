//! Links, rings of names, odd names and things that are no files (35 to 37, 41, 47, 50; hostile inputs 10, 13).

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::rig::{Rig, append, expect, text};

#[test]
fn a_link_that_is_bent_to_another_file_brings_the_rest_of_the_old_and_all_of_the_new() {
    let mut rig = Rig::new(&["current"]);
    rig.append("v1", text("one", 0..100));
    rig.append("v2", text("two", 0..100));
    symlink(rig.path("v1"), rig.path("current")).unwrap();
    rig.settle();
    rig.append("v1", text("one", 100..110));
    rig.remove("current");
    symlink(rig.path("v2"), rig.path("current")).unwrap();
    rig.settle();
    rig.append("v1", text("one", 110..120));
    rig.settle();
    assert_eq!(rig.sorted(), expect(&[("one", 0..120), ("two", 0..100)]));
}

#[test]
fn a_file_that_is_matched_twice_is_read_once_also_after_a_restart() {
    let mut rig = Rig::new(&["*.log", "a*"]);
    rig.append("app.log", text("a", 0..100));
    symlink(rig.path("app.log"), rig.path("link.log")).unwrap();
    fs::hard_link(rig.path("app.log"), rig.path("hard.log")).unwrap();
    rig.settle();
    rig.restart();
    rig.settle();
    rig.remove("app.log");
    rig.append("hard.log", text("a", 100..110));
    rig.settle();
    assert_eq!(rig.texts(), expect(&[("a", 0..110)]));
}

#[test]
fn a_ring_of_renames_mixes_up_no_offsets() {
    let mut rig = Rig::new(&["out.lo*"]);
    for (name, lines) in [("out.log", "a"), ("out.lo1", "b"), ("out.lo2", "c"), ("out.lo3", "d")] {
        rig.append(name, text(lines, 0..10));
    }
    rig.settle();
    for round in 1..9 {
        rig.rename("out.log", "spare");
        rig.rename("out.lo1", "out.log");
        rig.rename("out.lo2", "out.lo1");
        rig.rename("out.lo3", "out.lo2");
        rig.rename("spare", "out.lo3");
        rig.append("out.log", text("w", round * 10..round * 10 + 10));
        if round % 3 == 0 {
            rig.restart();
        }
        rig.pass(if round % 2 == 0 { 1 } else { 6 });
    }
    rig.settle();
    assert_eq!(rig.sorted(), expect(&[("a", 0..10), ("b", 0..10), ("c", 0..10), ("d", 0..10), ("w", 10..90)]));
}

#[test]
fn odd_names_are_read_and_shown_escaped() {
    let mut rig = Rig::new(&["*"]);
    let names: [&[u8]; 3] = [b"new\nline.log", b"not\xffutf8.log", &[b'x'; 255]];
    for name in names {
        append(&rig.path("").join(OsStr::from_bytes(name)), "here\n");
    }
    rig.settle();
    let mut paths: Vec<_> =
        rig.kept().lines.iter().map(|line| line.path.rsplit('/').next().unwrap().to_owned()).collect();
    paths.sort();
    assert_eq!(paths, ["new\\nline.log".to_owned(), "not\\xffutf8.log".to_owned(), "x".repeat(255)]);
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting_and_told() {
    let mut rig = Rig::new(&["*.log"]);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        rig.path("fifo.log"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(rig.path("socket.log")).unwrap();
    symlink("/dev/zero", rig.path("zero.log")).unwrap();
    fs::create_dir(rig.path("folder.log")).unwrap();
    rig.append("app.log", text("a", 0..10));
    rig.settle();
    assert_eq!(rig.texts(), expect(&[("a", 0..10)]));
    assert!(rig.fault().contains("no regular file"), "{}", rig.fault());
    for name in ["fifo.log", "socket.log", "zero.log"] {
        rig.remove(name);
    }
    rig.settle();
    assert_eq!(rig.fault(), "");
}

#[test]
fn a_folder_that_becomes_readable_later_is_read_then() {
    let mut rig = Rig::new(&["closed/*.log"]);
    fs::create_dir(rig.path("closed")).unwrap();
    rig.append("closed/app.log", text("a", 0..10));
    fs::set_permissions(rig.path("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    rig.settle();
    // Root reads everything: then there is nothing to refuse, only the second half holds.
    if !rustix::process::geteuid().is_root() {
        assert!(rig.fault().contains("closed"), "{}", rig.fault());
        assert!(rig.texts().is_empty());
    }
    fs::set_permissions(rig.path("closed"), fs::Permissions::from_mode(0o755)).unwrap();
    rig.settle();
    assert_eq!(rig.texts(), expect(&[("a", 0..10)]));
    assert_eq!(rig.fault(), "");
}

#[test]
fn the_agents_own_files_are_never_read() {
    let mut rig = Rig::stopped(&["**/*.log"]);
    fs::create_dir(rig.path("state")).unwrap();
    rig.settings.own = vec![rig.path("state"), rig.path("plimsoll.log")];
    rig.append("state/own.log", text("x", 0..10));
    rig.append("plimsoll.log", text("x", 0..10));
    rig.append("app.log", text("a", 0..10));
    rig.start();
    rig.settle();
    assert_eq!(rig.texts(), expect(&[("a", 0..10)]));
}

#[test]
fn a_link_that_another_user_made_to_a_file_that_is_not_his_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root can make the link of another user.
    }
    let mut rig = Rig::new(&["*.log"]);
    rig.append("../secret", "secret\n");
    symlink(rig.path("../secret"), rig.path("evil.log")).unwrap();
    std::os::unix::fs::lchown(rig.path("evil.log"), Some(65534), Some(65534)).unwrap();
    rig.settle();
    assert!(rig.texts().is_empty());
    assert!(rig.fault().contains("someone else"), "{}", rig.fault());
    std::os::unix::fs::lchown(rig.path("evil.log"), Some(0), Some(0)).unwrap();
    rig.settle();
    assert_eq!(rig.texts(), ["secret"]);
}
