//! The books compared: what was written, what lies in the spool, what the sink took.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plimsoll::base::stop::Stop;
use plimsoll::signal::frame::{Codec, Signal};
use plimsoll::spool::disk::RealDisk;
use plimsoll::spool::{Limits, Spool, WhenFull};
use plimsoll::status::Board;
use xxhash_rust::xxh3::xxh3_128;

use crate::sink::{Book, read};
use crate::writer::Stamp;

/// All frames of a spool.
#[derive(Default)]
pub(crate) struct Frames {
    pub(crate) bodies: HashSet<u128>,
    pub(crate) stamps: Vec<Stamp>,
    pub(crate) malformed: u64,
}

/// Reads the spool in `dir` as the destination `archive` would, to which nothing was ever delivered.
pub(crate) fn frames(dir: &Path) -> Frames {
    let limits = Limits {
        undelivered: 1 << 30,
        fsync: Duration::from_secs(1),
        retain_bytes: 1 << 30,
        retain_time: Duration::from_secs(3600),
    };
    let board = Board::new();
    let spool = Spool::open(Arc::new(RealDisk), dir.to_owned(), Signal::Logs, limits, &board).unwrap();
    let mut cursor = spool.cursor("archive", WhenFull::Block).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut frames = Frames::default();
    while cursor.backlog().frames > 0 {
        let stored = runtime.block_on(cursor.next(&Stop::new())).unwrap().unwrap();
        assert_eq!(stored.header.codec, Codec::Zstd);
        let (stamps, malformed) = read(&zstd::decode_all(&*stored.payload).unwrap());
        assert_eq!(stamps.len() as u64 + malformed, u64::from(stored.header.records), "frame {}", stored.number);
        assert!(frames.bodies.insert(xxh3_128(&stored.payload)), "frame {} lies there twice", stored.number);
        frames.stamps.extend(stamps);
        frames.malformed += malformed;
        runtime.block_on(cursor.done(stored.number)).unwrap();
    }
    let losses = board.losses();
    assert!(losses.is_empty(), "the spool counts losses: {losses:?}");
    frames
}

/// What is wrong, and what a repeat cost.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) lost: usize,
    pub(crate) twice: usize,
    pub(crate) unknown: usize,
    pub(crate) malformed: u64,
}

/// Sets of numbers against each other; names the first of each kind.
pub(crate) fn compare(what: &str, written: &[(u8, u32)], stamps: &[Stamp], malformed: u64) -> Verdict {
    let mut verdict = Verdict { malformed, ..Verdict::default() };
    let mut seen: HashMap<Stamp, u32> = HashMap::new();
    for &stamp in stamps {
        *seen.entry(stamp).or_default() += 1;
    }
    let mut twice: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).map(|(stamp, _)| *stamp).collect();
    twice.sort_unstable();
    verdict.twice = twice.len();
    let mut lost = Vec::new();
    for &(writer, lines) in written {
        lost.extend((1..=lines).map(|number| (writer, number)).filter(|stamp| !seen.contains_key(stamp)));
    }
    verdict.lost = lost.len();
    let written: HashMap<u8, u32> = written.iter().copied().collect();
    verdict.unknown = seen.keys().filter(|(writer, number)| written.get(writer).is_none_or(|n| n < number)).count();
    for (kind, stamps) in [("lost", lost), ("twice", twice)] {
        if let (Some(first), Some(last)) = (stamps.first(), stamps.last()) {
            eprintln!("{what}: {} lines {kind}, from {first:?} to {last:?}", stamps.len());
        }
    }
    verdict
}

/// Requests that the sink took again, and their lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Repeats {
    pub(crate) requests: u64,
    pub(crate) lines: u64,
    /// Because the answer was lost on the way, the others because the agent died before it had noted it.
    pub(crate) answer_lost: u64,
}

/// Drops exact repeats that have an excuse: the answer was lost, or the agent was killed since. Each other request
/// taken again is a fault. What is left are the lines that the sink would show.
pub(crate) fn without_repeats(book: &Book, frames: &Frames) -> (Vec<Stamp>, Repeats) {
    let (mut stamps, mut repeats) = (Vec::new(), Repeats::default());
    let mut latest: Option<u128> = None;
    let mut seen = HashSet::new();
    for (number, taken) in book.taken.iter().enumerate() {
        assert!(frames.bodies.contains(&taken.body), "request {number} is no frame of the spool");
        if seen.insert(taken.body) {
            latest = Some(taken.body);
            stamps.extend(&taken.stamps);
            continue;
        }
        assert_eq!(latest, Some(taken.body), "request {number} was taken again after a younger one");
        let before = &book.taken[number - 1];
        // Each life ends with a kill.
        assert!(
            !before.answered || before.life != taken.life,
            "request {number} was answered, and sent again for no reason"
        );
        repeats.requests += 1;
        repeats.lines += taken.stamps.len() as u64;
        repeats.answer_lost += u64::from(!before.answered);
    }
    (stamps, repeats)
}
