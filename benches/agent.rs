//! The whole agent from a file to a sink on loopback: MB/s, MB per CPU-second, peak memory, lines delivered.
//!
//! ```text
//! cargo bench --profile release-dev --bench agent -- [--mib N] [--agents a,b] [--cases text,json,nginx]
//! ```
//!
//! Durable spool and compression are on. Each run starts a new agent on a file that lies in the page cache and ends
//! when nothing has come for [`QUIET`]; the sink throws away what it got, and what it kept of OTLP is decoded and
//! counted after the run. `benches/run` brings the other agents. MB is 10^6 bytes of the file.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench ends at the first fault and prints what it measures"
)]

#[path = "agent/data.rs"]
mod data;
#[path = "agent/peers.rs"]
mod peers;
#[path = "agent/sink.rs"]
mod sink;
#[path = "agent/usage.rs"]
mod usage;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use data::Case;
use peers::Peer;
use sink::Sink;
use usage::Usage;

/// A run has ended when nothing has come for this long.
const QUIET: Duration = Duration::from_secs(4);
/// And has failed when nothing comes at all for this long.
const SILENT: Duration = Duration::from_secs(60);

fn main() {
    let wishes = Wishes::read();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench");
    std::fs::create_dir_all(&folder).expect("a folder for the files");
    println!("{} MiB per case, {} cores", wishes.mib, thread::available_parallelism().map_or(0, usize::from));
    println!("| case | agent | MB/s | MB per CPU-second | peak RSS (at the end), MiB | delivered | lines |");
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: |");
    for case in &wishes.cases {
        let file = data::file(&folder, *case, wishes.mib << 20);
        for peer in &wishes.peers {
            if let Some(run) = run(peer, *case, &file.path, &folder) {
                println!(
                    "| {} | {} | {:.0} | {:.0} | {:.0} ({:.0}) | {} | {} |",
                    case.name(),
                    peer.name(),
                    file.bytes as f64 / 1e6 / run.seconds,
                    file.bytes as f64 / 1e6 / run.usage.cpu_seconds,
                    run.usage.peak_bytes as f64 / f64::from(1 << 20),
                    run.usage.bytes as f64 / f64::from(1 << 20),
                    if run.lines == file.lines { "all".to_owned() } else { run.lines.to_string() },
                    file.lines,
                );
            }
        }
    }
}

/// What one run gave.
struct Run {
    seconds: f64,
    usage: Usage,
    lines: u64,
}

/// `None` when this agent has no such case.
fn run(peer: &Peer, case: Case, file: &Path, folder: &Path) -> Option<Run> {
    let state = tempfile::tempdir_in(folder).expect("a folder for the state");
    let sink = Sink::start();
    let mut command = peer.command(case, file, state.path(), sink.http, sink.tcp)?;
    let began = Instant::now();
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let ended = loop {
        thread::sleep(Duration::from_millis(50));
        match sink.latest() {
            Some(latest) if latest.elapsed() >= QUIET => break latest,
            None if began.elapsed() >= SILENT => panic!("{} sends nothing: {command:?}", peer.name()),
            _ => {}
        }
        if let Some(status) = child.try_wait().expect("a child") {
            panic!("{} ended by itself: {status}: {command:?}", peer.name());
        }
    };
    let usage = Usage::of(child.id());
    child.kill().expect("a child to end");
    child.wait().expect("its end");
    Some(Run { seconds: (ended - began).as_secs_f64(), usage, lines: sink.lines() })
}

/// What the command line says.
struct Wishes {
    mib: u64,
    peers: Vec<Peer>,
    cases: Vec<Case>,
}

impl Wishes {
    fn read() -> Self {
        let mut wishes =
            Self { mib: 512, peers: vec![Peer::Plimsoll], cases: vec![Case::Text, Case::Json, Case::Nginx] };
        // cargo adds --bench.
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        while let Some(word) = words.next() {
            let value = words.next().unwrap_or_else(|| panic!("{word} wants a value"));
            let list = value.split(',');
            match word.as_str() {
                "--mib" => wishes.mib = value.parse().unwrap_or_else(|_| panic!("--mib {value}: no number")),
                "--agents" => wishes.peers = list.map(Peer::named).collect(),
                "--cases" => wishes.cases = list.map(Case::named).collect(),
                _ => panic!("{word}: --mib, --agents or --cases"),
            }
        }
        wishes
    }
}
