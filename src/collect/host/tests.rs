//! The host as a whole: recorded trees against golden lists, and this machine against other sources.

use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::signal::metrics::{Limits, Number, Point};

/// A state that reads a tree of `tests/fixtures/proc` as the machine it was recorded on would.
fn recorded(tree: &str) -> State {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/proc").join(tree);
    let roots = Roots { proc: root.join("proc"), sys: root.join("sys"), run: root.join("run") };
    let mut state = State::new(&Settings { roots, ..Settings::default() });
    (state.context.ticks, state.context.page) = (100.0, 4096);
    for group in &mut state.groups {
        if group.name() == "filesystem" {
            let space =
                filesystem::Space { block: 4096, blocks: 1000, free: 300, available: 250, files: 100, files_free: 90 };
            *group = Box::new(filesystem::Filesystem::new(Arc::new(move |_| Ok(space))));
        }
    }
    state
}

fn samples() -> Samples {
    Samples::new(Limits::default())
}

/// `name{attributes} value unit kind`, sorted.
fn lines(samples: &Samples) -> Vec<String> {
    let mut lines: Vec<String> = samples
        .samples()
        .iter()
        .map(|sample| {
            let metric = &samples.metrics()[sample.metric];
            let pairs: Vec<String> =
                sample.attributes.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
            let value = match &sample.point {
                Point::Number(Number::Int(int)) => int.to_string(),
                Point::Number(Number::Double(double)) => format!("{double:?}"),
                Point::Histogram(histogram) => format!("{histogram:?}"),
            };
            format!("{}{{{}}} {value} {} {}", metric.name, pairs.join(","), metric.unit, metric.kind.name())
        })
        .collect();
    lines.sort();
    lines
}

/// Compares a round of a tree with its golden list; `UPDATE_GOLDEN=1` writes it anew.
fn golden(tree: &str) -> Round {
    let round = recorded(tree).round(samples());
    let mut text = lines(&round.samples).join("\n") + "\n";
    if let Err(error) = &round.result {
        text += &format!("fault: {error}\n");
    }
    let text = text.replace(env!("CARGO_MANIFEST_DIR"), "");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/proc").join(format!("{tree}.golden"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap();
    let differing = text.lines().zip(known.lines()).find(|(now, then)| now != then);
    assert!(text == known, "{} differs, first: {differing:?}; UPDATE_GOLDEN=1 rewrites it", path.display());
    round
}

#[test]
fn a_recorded_host_with_both_versions_of_cgroups_gives_its_golden_points() {
    assert!(golden("linux-6.18-cgroup-hybrid").result.is_ok());
}

#[test]
fn a_host_with_units_containers_swap_and_odd_names_gives_its_golden_points() {
    assert!(golden("handmade-cgroup-v2").result.is_ok());
}

#[test]
fn an_old_kernel_gives_what_it_has_and_no_fault() {
    assert!(golden("handmade-old-kernel").result.is_ok());
}

#[test]
fn broken_files_are_a_fault_that_keeps_no_other_group_from_its_points() {
    let round = golden("handmade-broken");
    assert!(round.result.is_err() && !round.samples.is_empty());
}

#[test]
fn every_point_is_of_a_described_metric_and_every_description_is_complete() {
    let round = recorded("handmade-cgroup-v2").round(samples());
    for metric in round.samples.metrics() {
        assert!(METRICS.iter().any(|desc| desc.name == metric.name), "{} is not in METRICS", metric.name);
    }
    for (index, desc) in METRICS.iter().enumerate() {
        assert!(desc.help.ends_with('.') && !desc.unit.is_empty(), "{desc:?}");
        assert!(METRICS[index + 1..].iter().all(|other| other.name != desc.name), "{} is there twice", desc.name);
    }
}

#[test]
fn a_round_without_any_file_ends_without_points_and_without_a_panic() {
    let round = recorded("no-such-tree").round(samples());
    assert_eq!((round.alive, round.samples.is_empty()), (0, true));
}

fn value(samples: &Samples, name: &str, labels: &[&str]) -> f64 {
    let found = samples.samples().iter().find(|sample| {
        samples.metrics()[sample.metric].name == name
            && labels.iter().all(|label| sample.attributes.iter().any(|(_, value)| &**value == *label))
    });
    match found.map(|sample| &sample.point) {
        Some(Point::Number(number)) => number.as_f64(),
        other => panic!("{name} {labels:?}: {other:?}"),
    }
}

/// Equal within a share, for what moves between two readings.
fn close(left: f64, right: f64, share: f64) -> bool {
    (left - right).abs() <= share * left.abs().max(right.abs())
}

#[tokio::test]
async fn this_machine_is_read_as_other_readers_read_it() {
    let mut host = Host::new(Settings::default());
    let mut out = samples();
    host.collect(&mut out).await.unwrap();
    let begun = Instant::now();
    // CPU shares need time to have passed: some clock ticks.
    while begun.elapsed() < Duration::from_millis(50) {
        std::hint::black_box(std::fs::read("/proc/stat").unwrap());
    }
    let networks = || sysinfo::Networks::new_with_refreshed_list().unwrap();
    let before = networks();
    out = samples();
    host.collect(&mut out).await.unwrap();
    let after = networks();
    let mut system = sysinfo::System::new().unwrap();
    system.refresh_memory();
    assert_eq!(value(&out, "system.memory.limit", &[]), system.total_memory() as f64);
    assert!(close(value(&out, "system.memory.linux.available", &[]), system.available_memory() as f64, 0.2));
    let cpus = std::thread::available_parallelism().unwrap().get();
    assert!(value(&out, "system.cpu.logical.count", &[]) >= cpus as f64);
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let processes = processes.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok()).count();
    let threads = value(&out, "system.thread.count", &[]);
    assert!(threads >= 0.5 * processes as f64 && threads < value(&out, "system.process.limit", &[]), "{threads}");
    assert!((value(&out, "system.uptime", &[]) - sysinfo::System::uptime().unwrap() as f64).abs() < 60.0);
    let shares = ["user", "nice", "system", "idle", "iowait", "interrupt", "steal"];
    let whole: f64 = shares.iter().map(|mode| value(&out, "system.cpu.utilization", &[mode])).sum();
    assert!(close(whole, 1.0, 1e-9), "{whole}");
    let root = rustix::fs::statvfs("/").unwrap();
    let size: f64 =
        ["used", "free", "reserved"].iter().map(|state| value(&out, "system.filesystem.usage", &["/", state])).sum();
    assert!(close(size, (root.f_blocks * root.f_frsize) as f64, 1e-9), "{size}");
    assert!(value(&out, "system.process.created", &[]) > 1.0);
    for (name, first) in before.iter().filter(|(_, data)| data.total_packets_received() > 0) {
        // One that has gone meanwhile tells nothing.
        let Some(last) = after.get(name) else { continue };
        let name = name.to_str().unwrap();
        if ["veth", "cali", "lxc"].iter().any(|kind| name.starts_with(kind)) {
            continue;
        }
        let ours = value(&out, "system.network.io", &[name, "receive"]);
        let between = first.total_received() as f64..=last.total_received() as f64;
        assert!(between.contains(&ours), "{name}: {ours} is not in {between:?}");
    }
    let alive: usize = host.detail().split(' ').next().unwrap().parse().unwrap();
    assert!(alive >= 8, "{}", host.detail());
}

#[tokio::test]
async fn our_own_process_is_found_with_its_memory() {
    let held = vec![1_u8; 64 << 20];
    let settings = Settings { top: 1000, ..Settings::default() };
    let mut out = samples();
    Host::new(settings).collect(&mut out).await.unwrap();
    let cgroups = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let unit = cgroups.lines().filter_map(|line| line.rsplit_once(':')).find_map(|(_, path)| names::unit(path));
    let program = std::fs::read_to_string("/proc/self/comm").unwrap();
    let name = unit.as_deref().unwrap_or(program.trim());
    assert!(value(&out, "process.memory.private", &[name]) >= held.len() as f64);
}

/// Collects nothing until it is told to.
struct Stuck(std::sync::mpsc::Receiver<()>);

impl Group for Stuck {
    fn name(&self) -> &'static str {
        "stuck"
    }

    fn read(&mut self, _: &mut Context, out: &mut Samples) -> Result<(), CollectError> {
        let _closed = self.0.recv();
        out.put(&METRICS[0], 1.0);
        Ok(())
    }
}

#[tokio::test]
async fn a_round_that_hangs_is_waited_for_and_never_doubled() {
    let (release, held) = std::sync::mpsc::channel();
    let mut host = Host::new(Settings::default());
    let context = Context::new(Roots::default());
    host.idle = Some(State { context, groups: vec![Box::new(Stuck(held))] });
    for _ in 0..3 {
        let given_up = tokio::time::timeout(Duration::from_millis(20), host.collect(&mut samples())).await;
        assert!(given_up.is_err());
    }
    drop(release);
    let mut out = samples();
    host.collect(&mut out).await.unwrap();
    assert_eq!(out.samples().len(), 1);
    assert_eq!(host.idle.unwrap().groups.len(), 1, "the first thread's state went on");
}

/// `cargo test --lib cost_of_a_round -- --ignored --nocapture` prints what a round costs on this machine.
#[test]
#[ignore = "a measurement, it asserts nothing"]
fn cost_of_a_round() {
    const ROUNDS: u32 = 10;
    let mut state = State::new(&Settings::default());
    let mut groups: Vec<(&str, Duration)> = state.groups.iter().map(|group| (group.name(), Duration::ZERO)).collect();
    let mut series = 0;
    // The first round reads what is kept; between the others is time enough for every budget.
    for round in 0..=ROUNDS {
        let mut out = samples();
        for (group, (_, sum)) in state.groups.iter_mut().zip(&mut groups) {
            let begun = Instant::now();
            let _absent = group.read(&mut state.context, &mut out).is_err();
            *sum += if round > 0 { begun.elapsed() } else { Duration::ZERO };
        }
        series = out.samples().len();
        std::thread::sleep(Duration::from_millis(1500));
    }
    let mean = |sum: Duration| sum.as_micros() as f64 / f64::from(ROUNDS);
    for (name, sum) in &groups {
        println!("{name:12} {:>8.0} us", mean(*sum));
    }
    let processes = std::fs::read_dir("/proc").unwrap().flatten().filter(|e| e.path().join("stat").exists()).count();
    let whole = groups.iter().map(|(_, sum)| *sum).sum();
    println!("round        {:>8.0} us for {series} series, {processes} processes", mean(whole));
}
