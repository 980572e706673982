//! What the spool costs: appends with group commit, delivery, and a start, each beside the plain file work of the same
//! bytes in the same run, because a disk is never the same twice.
//!
//! `cargo bench --profile release-dev --bench spool [-- folder]`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on says so and ends"
)]

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll::base::stop::Stop;
use plimsoll::signal::frame::{Codec, Frame, Position, Signal};
use plimsoll::spool::disk::RealDisk;
use plimsoll::spool::{Limits, Spool, WhenFull};
use plimsoll::status::Board;

const FSYNC: Duration = Duration::from_secs(1);
const LIMITS: Limits =
    Limits { undelivered: 8 << 30, fsync: FSYNC, retain_bytes: 8 << 30, retain_time: Duration::from_secs(86_400) };

fn main() {
    let folder = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).map(PathBuf::from);
    let place = match &folder {
        Some(path) => tempfile::tempdir_in(path),
        None => tempfile::tempdir(),
    };
    let place = place.expect("a folder to write to");
    println!("in {}, fsync every {FSYNC:?}", place.path().display());
    for (size, total) in [(2 << 10, 64 << 20), (200 << 10, 1 << 30), (2 << 20, 1 << 30)] {
        run(&place.path().join(size.to_string()), size, total);
    }
}

fn run(dir: &Path, size: usize, total: usize) {
    let payload = noise(size);
    let count = total / size;
    let plain = plain_write(dir, &payload, count);
    let board = Board::new();
    let open = || Spool::open(Arc::new(RealDisk), dir.to_owned(), Signal::Logs, LIMITS, &board).expect("an open spool");
    let spool = open();
    let cursor = spool.cursor("bench", WhenFull::Block).expect("a cursor");
    let mut frame = frame(payload);
    let start = Instant::now();
    let mut slowest = Duration::ZERO;
    for number in 0..count {
        frame.positions[0].value = number.to_le_bytes().into();
        let before = Instant::now();
        spool.append(&frame).expect("room");
        slowest = slowest.max(before.elapsed());
    }
    let appended = start.elapsed();
    spool.sync().expect("a disk that syncs");
    let synced = start.elapsed();
    drop(cursor);
    // No clean end: the newest frames are read whole.
    drop(spool);
    let bytes = (count * size) as f64;
    let (rate, frames) = (mega(bytes, appended), count as f64 / appended.as_secs_f64());
    println!("\n{count} frames of {} KiB", size >> 10);
    println!("  append       {rate:8.0} MB/s  {frames:8.0} frames/s  slowest {slowest:.1?}");
    println!(
        "  and synced   {:8.0} MB/s  {:.2} x the time of a plain write with fsync",
        mega(bytes, synced),
        synced.as_secs_f64() / plain.as_secs_f64()
    );
    let read = plain_read(dir);
    let start = Instant::now();
    let spool = open();
    let recovered = start.elapsed();
    let per_gib = recovered.as_secs_f64() * f64::from(1 << 30) / bytes;
    println!(
        "  start        {per_gib:8.3} s per GiB undelivered, {:.3} x the time of a plain read",
        recovered.as_secs_f64() / read.as_secs_f64()
    );
    let delivered = deliver(&spool, count.min(500));
    println!("  deliver      {:8.0} frames/s, each done and synced", count.min(500) as f64 / delivered.as_secs_f64());
    drop(spool);
    std::fs::remove_dir_all(dir).expect("a folder to remove");
}

fn frame(payload: Vec<u8>) -> Frame {
    Frame {
        signal: Signal::Logs,
        codec: Codec::Zstd,
        raw_len: 10 * payload.len() as u64,
        payload,
        records: 1000,
        times: (1, 2),
        charge: 1,
        services: vec!["shop".into()],
        positions: vec![Position { key: (*b"file").into(), value: Box::default() }],
    }
}

fn deliver(spool: &Spool, count: usize) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut cursor = spool.cursor("bench", WhenFull::Block).expect("a cursor");
    let (start, stop) = (Instant::now(), Stop::new());
    runtime.block_on(async {
        for _ in 0..count {
            let stored = cursor.next(&stop).await.expect("a disk that reads").expect("a frame");
            cursor.done(stored.number).await.expect("a disk that writes");
        }
    });
    start.elapsed()
}

fn plain_write(dir: &Path, payload: &[u8], count: usize) -> Duration {
    std::fs::create_dir_all(dir).expect("a folder");
    let path = dir.join("plain");
    let start = Instant::now();
    let mut file = OpenOptions::new().create_new(true).write(true).open(&path).expect("a new file");
    let mut since = Instant::now();
    for _ in 0..count {
        file.write_all(payload).expect("room");
        if since.elapsed() > FSYNC {
            file.sync_data().expect("a disk that syncs");
            since = Instant::now();
        }
    }
    file.sync_data().expect("a disk that syncs");
    let time = start.elapsed();
    std::fs::remove_file(path).expect("a file to remove");
    time
}

/// All segments from front to end, out of the cache as far as they lie there.
fn plain_read(dir: &Path) -> Duration {
    let start = Instant::now();
    let mut buffer = vec![0; 1 << 20];
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            let mut file = File::open(path).expect("a file");
            while file.read(&mut buffer).expect("a disk that reads") > 0 {}
        }
    }
    start.elapsed()
}

fn noise(size: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..size).map(|_| byte()).collect()
}

fn mega(bytes: f64, time: Duration) -> f64 {
    bytes / 1e6 / time.as_secs_f64()
}
