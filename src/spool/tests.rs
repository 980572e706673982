//! Tests of the spool. What most of them share: frames that carry their count, and one reader that takes all.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::disk::{Disk, RealDisk};
use super::recover::Origin;
use super::{AppendError, Limits, Spool, SpoolError, Stored, WhenFull};
use crate::base::stop::Stop;
use crate::signal::frame::{Codec, Frame, Position, Signal};
use crate::status::Board;

mod basics;
mod cursors;
mod damage;
mod power;
mod sim;

const LIMITS: Limits = Limits {
    undelivered: 1 << 30,
    fsync: Duration::from_secs(3600),
    retain_bytes: u64::MAX,
    retain_time: Duration::from_secs(1 << 32),
};

/// Frame `count`: its payload names it, its position says that the source was read up to it.
fn frame(count: u64, size: usize) -> Frame {
    let mut payload = format!("{count}:").into_bytes();
    payload.resize(payload.len().max(size), b'x');
    Frame {
        signal: Signal::Logs,
        codec: Codec::Zstd,
        payload,
        raw_len: 10 * size as u64,
        records: 3,
        times: (count, count + 1),
        charge: 7,
        services: vec!["shop".into()],
        positions: vec![position("a", count)],
    }
}

fn moved(count: u64) -> Frame {
    Frame { payload: Vec::new(), records: 0, services: Vec::new(), ..frame(count, 0) }
}

fn position(key: &str, count: u64) -> Position {
    Position { key: key.as_bytes().into(), value: count.to_string().into_bytes().into() }
}

fn count_of(stored: &Stored) -> u64 {
    let text = String::from_utf8_lossy(&stored.payload).into_owned();
    text.split(':').next().unwrap().parse().unwrap()
}

/// Where source `key` stands.
fn at(spool: &Spool, key: &str) -> Option<u64> {
    let positions = spool.positions();
    let found = positions.iter().find(|position| &*position.key == key.as_bytes())?;
    Some(String::from_utf8_lossy(&found.value).parse().unwrap())
}

fn origin(disk: impl Disk + 'static, limits: Limits, segment: u64, board: &Board) -> Origin {
    Origin {
        disk: Arc::new(disk),
        dir: PathBuf::from("/spool"),
        signal: Signal::Logs,
        limits,
        board: board.clone(),
        segment_size: Some(segment),
    }
}

/// Everything that a destination gets now, each frame done: numbers and counts.
fn drain(spool: &Spool, destination: &str) -> Vec<(u64, u64)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut cursor = spool.cursor(destination, WhenFull::Block).unwrap();
    let stop = Stop::new();
    let mut got = Vec::new();
    runtime.block_on(async {
        while cursor.backlog().frames > 0 {
            let next = tokio::time::timeout(Duration::from_secs(30), cursor.next(&stop)).await;
            let stored = next.expect("a frame of the backlog never came").unwrap().unwrap();
            got.push((stored.number, count_of(&stored)));
            cursor.done(stored.number).await.unwrap();
        }
    });
    got
}
