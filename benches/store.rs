//! The store of metrics with 2,000 series: appending, reading the newest samples, memory, bytes on disk, rebuilding.
//!
//! A day at 15 s, half gauges that wander, half counters.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints, and fails loudly")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll::pipeline::Pipeline;
use plimsoll::signal::frame::Signal;
use plimsoll::signal::metrics::{Desc, Limits as RoundLimits, Samples};
use plimsoll::signal::resource::Resource;
use plimsoll::spool::disk::RealDisk;
use plimsoll::spool::{Limits as SpoolLimits, Spool};
use plimsoll::status::Board;
use plimsoll::store::{Latest, Limits, Store};

const GAUGE: Desc = Desc::gauge("bench.gauge", "By", "Wanders.");
const COUNTER: Desc = Desc::counter("bench.counter", "{request}", "Grows.");
const SERIES: u64 = 2000;
const ROUNDS: u64 = 24 * 240;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Limits::default(), Board::new()).unwrap();
    let before = resident();
    let resource = Resource::new("bench", "box:1", &[("host.name", "box")]);
    let (mut state, mut counters, mut spent, mut most) = (7_u64, vec![0_u64; SERIES as usize], 0, 0);
    for round in 0..ROUNDS {
        let mut samples = Samples::new(RoundLimits { series: SERIES as usize, ..RoundLimits::default() });
        for n in 0..SERIES {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let random = state >> 40;
            let name = (n / 2).to_string();
            if n % 2 == 0 {
                samples.put_with(&GAUGE, &[("device", &name), ("state", "used")], (random % 4096) * 4096);
            } else {
                counters[n as usize] += random % 300;
                samples.put_with(&COUNTER, &[("route", &name), ("method", "GET")], counters[n as usize]);
            }
        }
        let jitter = (state >> 50) % 4;
        let nanos = (1_699_999_200_000 + round * 15_000 + jitter) * 1_000_000;
        let begun = Instant::now();
        store.push("bench", &resource, &samples, 0, nanos);
        spent += begun.elapsed().as_nanos();
        if round % 60 == 0 {
            most = most.max(resident());
        }
    }
    let stats = store.stats();
    let all = SERIES * ROUNDS;
    // Blocks hold what is before the oldest sample of the head; two hours each.
    let on_disk = SERIES * stats.blocks * 480;
    println!("append             {} ns a sample, blocks included", spent / u128::from(all));
    println!("head               {:.1} MB by its own count", stats.memory as f64 / 1e6);
    println!("resident           {:.1} MB more at most", most.saturating_sub(before) as f64 / 1e6);
    println!(
        "disk               {:.2} bytes a sample ({} blocks)",
        stats.disk as f64 / on_disk.max(1) as f64,
        stats.blocks
    );
    for count in [20, 120] {
        let newest = store.max_time().unwrap();
        let begun = Instant::now();
        let mut out = Vec::new();
        for series in store.select(&[], newest - count * 15_000, newest).unwrap() {
            out.clear();
            series.read(newest - count * 15_000, newest, &mut out).unwrap();
            black_box(&out);
        }
        println!("newest {count:<11} {} us over {SERIES} series", begun.elapsed().as_micros());
    }
    rebuild();
}

/// Two hours of rounds through the pipeline, an end without a goodbye, and the way back from the spool.
fn rebuild() {
    let dir = tempfile::tempdir().unwrap();
    let limits = SpoolLimits {
        undelivered: 1 << 30,
        fsync: Duration::from_secs(1),
        retain_bytes: 64 << 20,
        retain_time: Duration::from_secs(3 * 3600),
    };
    let spool = |signal: Signal| {
        Spool::open(Arc::new(RealDisk), dir.path().join(signal.name()), signal, limits, &Board::new()).unwrap()
    };
    let open = || Store::open(&dir.path().join("store"), Limits::default(), Board::new()).unwrap();
    let own = Resource::new("plimsoll", "box", &[]);
    let (logs, metrics, store) = (spool(Signal::Logs), spool(Signal::Metrics), open());
    let latest = Latest::new();
    let pipeline = Pipeline::over(logs, metrics.clone(), latest, Some(store), own, Board::new()).unwrap();
    let resource = Arc::new(Resource::new("bench", "box:1", &[("host.name", "box")]));
    let mut state = 7_u64;
    for round in 0..480_u64 {
        let mut samples = Samples::new(RoundLimits { series: SERIES as usize, ..RoundLimits::default() });
        for n in 0..SERIES {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            samples.put_with(&GAUGE, &[("device", &n.to_string()), ("state", "used")], (state >> 40) % 4096);
        }
        // From a block's edge on: nothing of it lies in a block.
        let nanos = (1_699_999_200_000 + round * 15_000) * 1_000_000;
        pipeline.push_samples("bench", &resource, &samples, 0, nanos).unwrap();
    }
    metrics.sync().unwrap();
    drop((pipeline, metrics));
    let (metrics, store) = (spool(Signal::Metrics), open());
    let begun = Instant::now();
    let rounds = store.restore(&metrics);
    println!("rebuild            {} ms for {rounds} rounds of {SERIES} series", begun.elapsed().as_millis());
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
