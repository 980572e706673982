//! Flipped bits, truncation, swapped files, files of a later version.

use std::ops::Range;
use std::path::Path;

use super::sim::SimDisk;
use super::*;
use crate::spool::format::{FRAMES, SegmentHead};
use crate::spool::scan::Scan;

const COUNT: u64 = 8;
const SEGMENT: u64 = 2300;

/// Three small segments, eight frames, nothing delivered, closed.
fn spool_on_disk() -> SimDisk {
    let disk = SimDisk::default();
    let spool = Spool::open_at(origin(disk.clone(), LIMITS, SEGMENT, &Board::new())).unwrap();
    drop(spool.cursor("loki", WhenFull::Block).unwrap());
    for count in 1..=COUNT {
        spool.append(&frame(count, 60)).unwrap();
    }
    spool.close();
    disk
}

fn segments(disk: &SimDisk) -> Vec<(PathBuf, u64)> {
    let files = disk.files().into_iter();
    files.filter(|(path, _)| path.extension().is_some_and(|kind| kind == "seg")).collect()
}

/// Where each frame with a payload lies, with its count.
fn layout(disk: &SimDisk, path: &Path, len: u64) -> Vec<(Range<u64>, u64)> {
    let file = disk.open(path).unwrap();
    let mut front = [0; 64];
    file.read_at(&mut front, 0).unwrap();
    let mut scan = Scan::new(file, SegmentHead::decode(&front).unwrap().salt, len);
    let (mut offset, mut list) = (FRAMES, Vec::new());
    while let Some((at, head)) = scan.find(offset) {
        offset = at + head.len();
        if head.payload_len > 0 {
            list.push((at..offset, head.times.0));
        }
    }
    list
}

fn reopen(disk: &SimDisk) -> (Spool, Board) {
    let board = Board::new();
    (Spool::open_at(origin(disk.clone(), LIMITS, SEGMENT, &board)).unwrap(), board)
}

fn counts(spool: &Spool) -> Vec<u64> {
    let got = drain(spool, "loki");
    assert!(got.is_sorted_by(|one, two| one.0 < two.0), "{got:?}");
    got.into_iter().map(|(_, count)| count).collect()
}

#[test]
fn a_flipped_bit_anywhere_in_a_segment_costs_at_most_the_frame_it_hits_and_is_counted() {
    let whole = spool_on_disk();
    let files = segments(&whole);
    assert!(files.len() >= 3, "{files:?}");
    for (path, len) in files {
        let frames = layout(&whole, &path, len);
        for byte in 0..len {
            let disk = whole.kill();
            disk.spoil(&path, |bytes| bytes[byte as usize] ^= 1 << (byte % 8));
            let hit = frames.iter().find(|(range, _)| range.contains(&byte)).map(|(_, count)| *count);
            let what = format!("byte {byte} of {}", path.display());
            let (spool, board) = reopen(&disk);
            spool.append(&frame(COUNT + 1, 10)).unwrap();
            let expected: Vec<u64> = (1..=COUNT + 1).filter(|count| Some(*count) != hit).collect();
            assert_eq!(counts(&spool), expected, "{what}");
            if hit.is_some() {
                let entry = board.spool(Signal::Logs);
                assert!(entry.quarantined.get() > 0, "{what}");
                assert!(board.losses().iter().any(|((_, reason), _)| *reason == "damaged"), "{what}");
                assert!(disk.files().iter().any(|(path, _)| path.starts_with("/spool/quarantine")), "{what}");
            }
            // A position may fall back when its newest frame was hit, never forward.
            assert!(at(&spool, "a").unwrap() <= COUNT + 1, "{what}");
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_in_a_cursor_repeats_at_most_and_loses_nothing() {
    let whole = spool_on_disk();
    let (spool, _) = reopen(&whole);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut cursor = spool.cursor("loki", WhenFull::Block).unwrap();
    for _ in 0..3 {
        let stored = runtime.block_on(cursor.next(&Stop::new())).unwrap().unwrap();
        runtime.block_on(cursor.done(stored.number)).unwrap();
    }
    drop(cursor);
    spool.close();
    drop(spool);
    let files = whole.files();
    let (path, len) = files.iter().find(|(path, _)| path.extension().is_some_and(|kind| kind == "cur")).unwrap();
    for byte in (0..*len as usize).step_by(7) {
        let disk = whole.kill();
        disk.spoil(path, |bytes| bytes[byte] ^= 4);
        let (spool, board) = reopen(&disk);
        let got = counts(&spool);
        assert!(got == (4..=COUNT).collect::<Vec<_>>() || got == (3..=COUNT).collect::<Vec<_>>(), "{byte}: {got:?}");
        assert!(board.notes().iter().any(|(topic, _)| topic == "spool logs cursor"), "byte {byte}");
    }
    for len in [0, 1, 4096, 5000] {
        let disk = whole.kill();
        disk.spoil(path, |bytes| bytes.truncate(len));
        let (spool, _) = reopen(&disk);
        assert_eq!(counts(&spool).last(), Some(&COUNT), "cut at {len}");
    }
    let disk = whole.kill();
    disk.spoil(path, |bytes| bytes.fill(0));
    let (spool, board) = reopen(&disk);
    assert_eq!(counts(&spool), (1..=COUNT).collect::<Vec<_>>(), "everything that is kept comes again");
    assert!(board.notes().iter().any(|(topic, _)| topic == "spool logs cursor"));
}

#[test]
fn a_segment_cut_at_any_length_costs_only_what_was_cut_off() {
    let whole = spool_on_disk();
    for (path, len) in segments(&whole) {
        let frames = layout(&whole, &path, len);
        let others: Vec<u64> = (1..=COUNT).filter(|count| !frames.iter().any(|(_, inside)| inside == count)).collect();
        for cut in 0..len {
            let disk = whole.kill();
            disk.spoil(&path, |bytes| bytes.truncate(cut as usize));
            let what = format!("{} cut at {cut}", path.display());
            let (spool, _) = reopen(&disk);
            spool.append(&frame(COUNT + 1, 10)).unwrap();
            let left = frames.iter().filter(|(range, _)| range.end <= cut && cut >= 64).map(|(_, count)| *count);
            let mut expected: Vec<u64> = others.iter().copied().chain(left).chain([COUNT + 1]).collect();
            expected.sort_unstable();
            assert_eq!(counts(&spool), expected, "{what}");
        }
    }
}

#[test]
fn two_segments_whose_names_were_exchanged_are_read_in_order() {
    let disk = spool_on_disk();
    let files = segments(&disk);
    disk.swap(&files[0].0, &files[1].0);
    let (spool, board) = reopen(&disk);
    assert_eq!(counts(&spool), (1..=COUNT).collect::<Vec<_>>());
    assert_eq!(board.losses(), []);
    assert_eq!(at(&spool, "a"), Some(COUNT));
}

#[test]
fn a_segment_of_a_later_version_is_left_alone_and_named() {
    for index in 0..3 {
        let disk = spool_on_disk();
        let files = segments(&disk);
        let (path, len) = &files[index];
        let inside: Vec<u64> = layout(&disk, path, *len).iter().map(|(_, count)| *count).collect();
        let mut later = Vec::new();
        disk.spoil(path, |bytes| {
            bytes[8] = 2;
            let crc = crc32fast::hash(&bytes[..60]);
            bytes[60..64].copy_from_slice(&crc.to_le_bytes());
            later = bytes.clone();
        });
        let (spool, board) = reopen(&disk);
        let number = spool.append(&frame(COUNT + 1, 10)).unwrap();
        assert!(number > 1 << 20, "{number} could be one of the later version's");
        let expected: Vec<u64> = (1..=COUNT + 1).filter(|count| !inside.contains(count)).collect();
        assert_eq!(counts(&spool), expected);
        disk.spoil(path, |bytes| assert_eq!(*bytes, later));
        let notes = board.notes();
        assert!(notes.iter().any(|(_, text)| text.contains(path.to_str().unwrap())), "{notes:?}");
    }
}

#[test]
fn a_line_that_looks_like_a_frame_is_none_even_when_the_frame_around_it_is_damaged() {
    let disk = SimDisk::default();
    let spool = Spool::open_at(origin(disk.clone(), LIMITS, 1 << 20, &Board::new())).unwrap();
    drop(spool.cursor("loki", WhenFull::Block).unwrap());
    spool.append(&frame(1, 60)).unwrap();
    spool.close();
    drop(spool);
    let (path, len) = segments(&disk).remove(0);
    let place = layout(&disk, &path, len).remove(0).0;
    let mut forged = Vec::new();
    disk.spoil(&path, |bytes| forged = bytes[place.start as usize..place.end as usize].to_vec());
    // The same bytes in another spool, whose segments have other salts, inside a frame whose header breaks.
    let disk = SimDisk::default();
    let spool = Spool::open_at(origin(disk.clone(), LIMITS, 1 << 20, &Board::new())).unwrap();
    drop(spool.cursor("loki", WhenFull::Block).unwrap());
    spool.append(&Frame { payload: forged, ..frame(2, 0) }).unwrap();
    spool.append(&frame(3, 10)).unwrap();
    spool.close();
    drop(spool);
    let (path, len) = segments(&disk).remove(0);
    let place = layout(&disk, &path, len).remove(0).0;
    disk.spoil(&path, |bytes| bytes[place.start as usize + 20] ^= 1);
    let (spool, _) = reopen(&disk);
    assert_eq!(counts(&spool), [3]);
}
