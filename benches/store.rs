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

/// The program's allocator; its settings come with the environment of the child.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
/// As `src/main.rs` compiles them in, but that pages go back at once and not after a second: between two rounds of a real
/// day there are fifteen, of this one none.
const ALLOCATION: &str = "narenas:2,background_thread:true,dirty_decay_ms:0,muzzy_decay_ms:0,tcache_max:4096";
const CHILD: &str = "PLIMSOLL_BENCH_STORE";

fn main() {
    if std::env::var_os(CHILD).is_some() {
        return memory();
    }
    append();
    rebuild();
    // In a process of its own, where nothing else is.
    let this = std::env::current_exe().unwrap();
    let child = std::process::Command::new(this).env(CHILD, "1").env("_RJEM_MALLOC_CONF", ALLOCATION).status();
    assert!(child.unwrap().success());
}

/// The numbers of a day: every other series wanders, the others grow.
struct Feed {
    state: u64,
    counters: Vec<u64>,
}

impl Feed {
    fn new() -> Self {
        Self { state: 7, counters: vec![0; SERIES as usize] }
    }

    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.state >> 40
    }

    fn samples(&mut self, series: std::ops::Range<u64>) -> Samples {
        let mut samples = Samples::new(RoundLimits { series: SERIES as usize, ..RoundLimits::default() });
        for n in series {
            let random = self.random();
            let name = (n / 2).to_string();
            if n % 2 == 0 {
                samples.put_with(&GAUGE, &[("device", &name), ("state", "used")], (random % 4096) * 4096);
            } else {
                self.counters[n as usize] += random % 300;
                samples.put_with(&COUNTER, &[("route", &name), ("method", "GET")], self.counters[n as usize]);
            }
        }
        samples
    }

    fn nanos(&mut self, round: u64) -> u64 {
        (1_699_999_200_000 + round * 15_000 + self.random() % 4) * 1_000_000
    }
}

/// What the store alone takes in a day: twenty sources of a hundred series each, of which one is made at a time.
fn memory() {
    let dir = tempfile::tempdir().unwrap();
    let resource = Resource::new("bench", "box:1", &[("host.name", "box")]);
    let mut feed = Feed::new();
    black_box(feed.samples(0..100));
    let before = resident("VmRSS:");
    let store = Store::open(dir.path(), Limits::default(), Board::new()).unwrap();
    let (mut most, mut counted) = (0, 0);
    for round in 0..ROUNDS {
        let nanos = feed.nanos(round);
        for source in 0..20 {
            let samples = feed.samples(source * 100..(source + 1) * 100);
            store.push(&format!("source {source}"), &resource, &samples, 0, nanos);
        }
        if round % 10 == 0 {
            most = most.max(resident("VmRSS:"));
            counted = counted.max(store.stats().memory);
        }
    }
    let more = |bytes: u64| bytes.saturating_sub(before) as f64 / 1e6;
    println!("head               {:.1} MB at most by its own count", counted as f64 / 1e6);
    println!("resident           {:.1} MB more at most between two rounds, the store alone", more(most));
    println!("resident           {:.1} MB more for the moment in which a block is made", more(resident("VmHWM:")));
}

fn append() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Limits::default(), Board::new()).unwrap();
    let resource = Resource::new("bench", "box:1", &[("host.name", "box")]);
    let (mut feed, mut spent) = (Feed::new(), 0);
    for round in 0..ROUNDS {
        let (samples, nanos) = (feed.samples(0..SERIES), feed.nanos(round));
        let begun = Instant::now();
        store.push("bench", &resource, &samples, 0, nanos);
        spent += begun.elapsed().as_nanos();
    }
    let stats = store.stats();
    let all = SERIES * ROUNDS;
    // Blocks hold what is before the oldest sample of the head; two hours each.
    let on_disk = SERIES * stats.blocks * 480;
    println!("append             {} ns a sample, blocks included", spent / u128::from(all));
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

fn resident(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
