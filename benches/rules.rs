//! A round of 100 rules over 2,000 series, as the agent runs it, beside a real Prometheus with the same data and rules.
//!
//! `cargo bench --profile release-dev --bench rules`. It reports; nothing is asserted. Ours is a group of the engine
//! over a store on disk that the pipeline filled; theirs is `prometheus_rule_group_last_duration_seconds`, fed by OTLP
//! with the same requests. Medians, because both share the machine with others. Bar 20 ms, aim 5 ms.
//! `-- ours` leaves Prometheus out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on says so and ends"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll::alert::group::{Run, Setting};
use plimsoll::alert::rules;
use plimsoll::base::clock::unix_nanos;
use plimsoll::pipeline::Pipeline;
use plimsoll::query::Limits;
use plimsoll::signal::frame::Signal;
use plimsoll::signal::metrics::{Kind, Limits as RoundLimits, Metric, Number, Point, Samples};
use plimsoll::signal::resource::Resource;
use plimsoll::spool::disk::RealDisk;
use plimsoll::spool::{Limits as SpoolLimits, Spool};
use plimsoll::status::Board;
use plimsoll::store::latest::Latest;
use plimsoll::store::{Labels, Limits as StoreLimits, Store};

/// The agent's own.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const FAMILIES: usize = 20;
const SERIES: usize = 100;
const INTERVAL: u64 = 15_000;
/// A bit more than the longest range of the rules.
const HISTORY: u64 = 35 * 60_000;
const ROUNDS: usize = 31;
const UPPER: [&str; 10] = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"];
const LIMITS: Limits = Limits {
    samples: 2_000_000,
    steps: 11_000,
    time: Duration::from_secs(10),
    lookback: Duration::from_secs(300),
    delayed_name_removal: false,
};
/// Of each five: what is asked, and the name of the rule.
const SHAPES: [(&str, &str); 5] = [
    ("rate(METRIC[5m])", "rate"),
    ("sum by (dc) (rate(METRIC[2m]))", "sum"),
    ("histogram_quantile(0.9, sum by (le) (rate(METRIC[5m])))", "quantile"),
    ("avg_over_time(METRIC[10m])", "avg"),
    ("predict_linear(METRIC[30m], 3600)", "predict"),
];

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("rules.yaml");
    fs::write(&rules, groups()).unwrap();
    let newest = unix_nanos() / 1_000_000 / INTERVAL * INTERVAL;
    let ours = ours(dir.path(), &rules, newest);
    if std::env::args().any(|arg| arg == "ours") {
        return;
    }
    let Some(theirs) = Prometheus::start(dir.path(), &rules) else { return };
    let theirs = theirs.measure(newest);
    for (group, ours) in ours {
        let theirs = median(theirs[&group].clone());
        println!("{group:<10} ours {ours:>7.2} ms, Prometheus {theirs:>7.2} ms: {:.1} times as fast", theirs / ours);
    }
}

/// The group `records` as one has such rules: two shapes are alerts, three record. The group `alerts` asks the same and
/// keeps nothing, so that it is the queries alone.
fn groups() -> String {
    let mut out = "groups:\n".to_owned();
    for group in ["records", "alerts"] {
        out.push_str(&format!("  - name: {group}\n    interval: 2s\n    rules:\n"));
        for (index, (shape, name)) in SHAPES.iter().enumerate() {
            for family in 0..FAMILIES {
                let expr = shape.replace("METRIC", &format!("bench_{family}_total"));
                let rule = if group == "records" && index >= 2 {
                    format!("record: \"bench:{name}:{family}\", expr: \"{expr}\"")
                } else {
                    format!("alert: {name}{family}, expr: \"{expr} > 1e18\"")
                };
                out.push_str(&format!("      - {{ {rule} }}\n"));
            }
        }
    }
    out
}

/// The round of the source at `t`: counters with an own slope each.
fn round(metrics: &[Metric], t: u64) -> Samples {
    let mut samples = Samples::new(RoundLimits { series: FAMILIES * SERIES, ..RoundLimits::default() });
    let turn = t / INTERVAL % 100_000;
    for metric in metrics {
        for series in 0..SERIES {
            let labels = [
                ("dc", format!("dc-{}", series % 4)),
                ("host", format!("shop-web-{}", series / UPPER.len())),
                ("le", UPPER[series % UPPER.len()].to_owned()),
            ];
            let labels: Vec<_> = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let value = (turn * 3 + turn % 7) as f64 * (series % UPPER.len() + 1) as f64 * 1.5;
            samples.put_metric(metric, &labels, Point::Number(Number::Double(value)));
        }
    }
    samples
}

fn metrics() -> Vec<Metric> {
    let metric = |family| Metric {
        name: format!("bench.{family}").into(),
        kind: Kind::Counter,
        unit: "{request}".into(),
        help: "Grows.".into(),
    };
    (0..FAMILIES).map(metric).collect()
}

fn resource() -> Arc<Resource> {
    Arc::new(Resource::new("shop", "shop-web-1", &[("host.name", "shop-web-1")]))
}

fn pipeline(dir: &Path, board: &Board) -> Pipeline {
    let store = Store::open(&dir.join("store"), StoreLimits::default(), board.clone()).unwrap();
    let limits = SpoolLimits {
        undelivered: 1 << 30,
        fsync: Duration::from_secs(1),
        retain_bytes: 64 << 20,
        retain_time: Duration::from_secs(10_800),
    };
    let spool =
        |signal: Signal| Spool::open(Arc::new(RealDisk), dir.join(signal.name()), signal, limits, board).unwrap();
    let (logs, metrics) = (spool(Signal::Logs), spool(Signal::Metrics));
    let own = Resource::new("plimsoll", "box", &[]);
    Pipeline::over(logs, metrics, Latest::new(), Some(store), own, board.clone()).unwrap()
}

/// Median milliseconds of a round of each group.
fn ours(dir: &Path, rules: &Path, newest: u64) -> Vec<(String, f64)> {
    let before = status("self", "VmRSS:");
    let board = Board::new();
    let pipeline = pipeline(dir, &board);
    let (metrics, resource) = (metrics(), resource());
    for t in (newest - HISTORY..=newest).step_by(INTERVAL as usize) {
        let nanos = t * 1_000_000;
        pipeline
            .push_samples("bench", &resource, &round(&metrics, t), nanos - nanos % 1_000_000_000_000, nanos)
            .unwrap();
    }
    let store = pipeline.store().unwrap();
    let setting = Setting {
        external_labels: Labels::default(),
        external_url: "http://box:1876".into(),
        host: "box".into(),
        limits: LIMITS,
        failing: true,
    };
    let (groups, warnings) = rules::read(rules).unwrap();
    assert!(warnings.is_empty());
    let mut out = Vec::new();
    for group in groups {
        let name = group.name.clone();
        let mut run = Run::new(group, Duration::from_secs(2));
        let (mut took, mut recorded) = (Vec::new(), 0);
        for turn in 0..ROUNDS {
            let ts = i64::try_from(newest + turn as u64).unwrap() + 1;
            let began = Instant::now();
            let round = run.evaluate(ts, store, &setting, &mut |rows| {
                recorded += rows.len();
                pipeline.push_recorded(rows).unwrap();
                None
            });
            took.push(began.elapsed().as_secs_f64() * 1e3);
            assert_eq!((round.evaluations, round.failures), (100, 0));
        }
        by_shape(&run, &name);
        println!("{name}: {} rows recorded a round", recorded / ROUNDS);
        out.push((name, median(took)));
    }
    let (peak, stats) = (status("self", "VmHWM:"), store.stats());
    println!(
        "ours: {} MB resident at most, {} MB of them before; the store {:.1} MB by its own count, {} series",
        peak / 1000,
        before / 1000,
        stats.memory as f64 / 1e6,
        stats.series
    );
    out
}

/// What the newest round took by the kind of rule.
fn by_shape(run: &Run, group: &str) {
    let view = run.view(|_| Default::default());
    for (index, (shape, _)) in SHAPES.iter().enumerate() {
        let took: Duration = view.rules[index * FAMILIES..(index + 1) * FAMILIES].iter().map(|rule| rule.took).sum();
        println!("  {group:<8} {shape:<60} {:>6.2} ms for 20", took.as_secs_f64() * 1e3);
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A line of a process' status, in thousands of bytes.
fn status(process: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024 / 1000
}

/// A real one, ended with the bench.
struct Prometheus {
    child: Child,
    port: u16,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already.
        let _gone = self.child.kill().is_err() || self.child.wait().is_err();
    }
}

impl Prometheus {
    fn start(dir: &Path, rules: &Path) -> Option<Self> {
        let cache = std::env::var_os("PLIMSOLL_CACHE").map(PathBuf::from);
        let cache = cache.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/stack"));
        let binary = cache.join("bin/prometheus");
        if !binary.exists() {
            println!("{} is missing: run tests/stack/build prometheus", binary.display());
            return None;
        }
        let config = dir.join("prometheus.yml");
        fs::write(&config, format!("rule_files: [\"{}\"]\n", rules.display())).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(binary)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--web.enable-otlp-receiver", "--log.level=warn"])
            .stdout(Stdio::null())
            .spawn();
        let prometheus = Self { child: child.unwrap(), port };
        let until = Instant::now() + Duration::from_secs(60);
        while prometheus.ask("GET", "/-/ready", b"").is_none_or(|(status, _)| status != 200) {
            assert!(Instant::now() < until, "Prometheus does not get ready");
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(prometheus)
    }

    /// Milliseconds of each group's rounds, once it has all that ours had.
    fn measure(&self, newest: u64) -> BTreeMap<String, Vec<f64>> {
        let (metrics, resource) = (metrics(), resource());
        let mut next = newest - HISTORY;
        let mut seen: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
        while seen.len() < 2 || seen.values().any(|rounds| rounds.len() < ROUNDS) {
            while next <= unix_nanos() / 1_000_000 {
                let nanos = next * 1_000_000;
                let body = round(&metrics, next).encode(&resource, nanos - nanos % 1_000_000_000_000, nanos);
                let (status, answer) = self.ask("POST", "/api/v1/otlp/v1/metrics", &body).unwrap();
                assert_eq!(status, 200, "{answer}");
                if next <= newest {
                    // What was evaluated over half of the data does not count.
                    seen.clear();
                }
                next += INTERVAL;
            }
            let (_, text) = self.ask("GET", "/metrics", b"").unwrap();
            let of = |name: &str| {
                let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.split_once("\"} "));
                let group = |(label, value): (&str, &str)| {
                    (label.rsplit(';').next().unwrap_or_default().to_owned(), value.to_owned())
                };
                lines.map(group).collect::<BTreeMap<String, String>>()
            };
            let at = of("prometheus_rule_group_last_evaluation_timestamp_seconds");
            for (group, took) in of("prometheus_rule_group_last_duration_seconds") {
                let rounds = seen.entry(group.clone()).or_default();
                rounds.insert(at[&group].clone(), took.parse::<f64>().unwrap() * 1e3);
            }
            std::thread::sleep(Duration::from_millis(300));
        }
        let peak = status(&self.child.id().to_string(), "VmHWM:");
        println!("Prometheus: {} MB resident at most", peak / 1000);
        seen.into_iter().map(|(group, rounds)| (group, rounds.into_values().collect())).collect()
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        let status = text.split(' ').nth(1)?.parse().ok()?;
        Some((status, text))
    }
}
