//! Compressed rotations (cases 24 to 26), bombs and broken files.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use plimsoll::base::clock::SECOND;

use crate::rig::{Rig, expect, text};

fn pack(content: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// As logrotate does: the packed file appears beside the plain one, which then goes.
fn compress(rig: &Rig, name: &str) {
    let content = std::fs::read_to_string(rig.path(name)).unwrap();
    rig.append(&format!("{name}.gz"), pack(&content));
    rig.remove(name);
}

#[test]
fn a_rotated_file_that_is_compressed_is_not_sent_again() {
    for (down, restart) in [(false, false), (true, false), (false, true)] {
        let mut rig = Rig::new(&["app.log*"]);
        rig.append("app.log", text("a", 0..20_000));
        rig.settle();
        if down {
            rig.crash();
        }
        rig.rename("app.log", "app.log.1");
        rig.append("app.log", text("b", 0..10));
        compress(&rig, "app.log.1");
        if down {
            rig.start();
        }
        rig.pass(60);
        if restart {
            rig.restart();
            rig.pass(3600);
            rig.restart();
            rig.rename("app.log.1.gz", "app.log.2.gz");
            rig.pass(60);
        }
        assert_eq!(rig.texts(), expect(&[("a", 0..20_000), ("b", 0..10)]), "down: {down}, restart: {restart}");
        assert!(rig.board.losses().is_empty(), "{:?}", rig.board.losses());
    }
}

#[test]
fn what_was_not_read_before_the_compression_is_read_from_the_packed_file_exactly_once() {
    let mut rig = Rig::new(&["app.log*"]);
    rig.append("app.log", text("a", 0..1000));
    rig.settle();
    rig.crash();
    rig.append("app.log", text("a", 1000..90_000));
    rig.rename("app.log", "app.log.1");
    compress(&rig, "app.log.1");
    rig.append("app.log", text("b", 0..10));
    rig.start();
    // Killed again and again on the way.
    for round in 0..30 {
        rig.full(if round % 3 == 0 { 1 } else { 0 });
        for _ in 0..20 {
            rig.step();
        }
        rig.restart();
    }
    rig.full(0);
    rig.pass(60);
    assert_eq!(rig.sorted(), expect(&[("a", 0..90_000), ("b", 0..10)]));
    assert!(rig.board.losses().is_empty(), "{:?}", rig.board.losses());
}

#[test]
fn what_a_full_sink_held_back_is_read_once_from_the_handle_or_the_packed_file() {
    let mut rig = Rig::new(&["app.log*"]);
    rig.append("app.log", text("a", 0..1000));
    rig.settle();
    rig.full(u32::MAX);
    rig.append("app.log", text("a", 1000..90_000));
    rig.settle();
    rig.rename("app.log", "app.log.1");
    compress(&rig, "app.log.1");
    rig.append("app.log", text("b", 0..10));
    rig.pass(60);
    rig.full(0);
    rig.pass(120);
    assert_eq!(rig.sorted(), expect(&[("a", 0..90_000), ("b", 0..10)]));
}

#[test]
fn a_packed_file_nobody_knows_is_read_with_all_its_members_and_once() {
    let mut rig = Rig::new(&["*.gz"]);
    rig.append("old.gz", [pack(&text("a", 0..5000)), pack(&text("b", 0..5000)), pack("no end")].concat());
    rig.pass(20);
    rig.restart();
    rig.pass(20);
    let mut lines = rig.texts();
    assert_eq!(lines.pop().as_deref(), Some("no end"));
    assert!(rig.kept().lines.last().unwrap().partial);
    assert_eq!(lines, expect(&[("a", 0..5000), ("b", 0..5000)]));
}

#[test]
fn a_packed_file_that_is_still_written_waits_for_its_end() {
    let mut rig = Rig::new(&["app.log*"]);
    rig.append("app.log", text("a", 0..50_000));
    rig.settle();
    let packed = pack(&text("a", 0..50_000));
    for part in packed.chunks(packed.len() / 5 + 1) {
        rig.append("app.log.1.gz", part);
        rig.pass(6);
    }
    rig.pass(30);
    assert_eq!(rig.texts(), expect(&[("a", 0..50_000)]));
    rig.remove("app.log");
    rig.pass(120);
    rig.restart();
    rig.pass(120);
    assert_eq!(rig.texts(), expect(&[("a", 0..50_000)]));
    assert!(rig.board.losses().is_empty(), "{:?}", rig.board.losses());
}

#[test]
fn a_broken_file_is_counted_and_a_bomb_is_not_read() {
    let mut rig = Rig::with(&["*.gz"], |settings| settings.max_ratio = 20);
    let whole = pack(&text("a", 0..1000));
    rig.append("torn.gz", &whole[..whole.len() - 9]);
    let mut bent = whole.clone();
    let middle = bent.len() / 2;
    bent[middle] ^= 0xff;
    rig.append("bent.gz", bent);
    rig.append("bomb.gz", pack(&"\0".repeat(80 << 20)));
    rig.append("good.gz", pack(&text("g", 0..10)));
    rig.pass(120);
    assert_eq!(rig.texts(), expect(&[("g", 0..10)]));
    assert_eq!((rig.lost("broken_gzip_files"), rig.lost("gzip_bombs")), (2, 1));
}

#[test]
fn living_files_go_on_while_a_large_packed_file_is_checked() {
    let mut rig = Rig::new(&["*.log", "*.gz"]);
    rig.append("old.gz", pack(&text("a", 0..2_000_000)));
    rig.append("app.log", text("b", 0..10));
    let mut steps = 0;
    while rig.texts().is_empty() {
        rig.now.mono += SECOND / 2;
        rig.step();
        steps += 1;
        assert!(steps < 10, "the lines of the living file wait for the packed one");
    }
    assert_eq!(rig.texts(), expect(&[("b", 0..10)]));
}
