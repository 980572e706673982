//! Long runs of the agent: memory while the destination is down, and the cost of files in which nothing happens.
//!
//! ```text
//! cargo bench --profile release-dev --bench soak -- down [--minutes 10] [--rate 20]
//! cargo bench --profile release-dev --bench soak -- idle [--files 5] [--seconds 60]
//! ```
//!
//! `down`: lines of JSON are written at `rate` MB/s, rotated by name, while nobody answers at the destination. Prints
//! the resident memory every ten seconds and its slope after the first minute. Then the destination comes back, and
//! the time and memory of the catching up are printed. `idle`: CPU time of the agent beside quiet files, with the
//! host's metrics every 15 s.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench ends at the first fault and prints what it measures"
)]

#[path = "agent/usage.rs"]
mod usage;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use usage::Usage;

fn main() {
    // cargo adds --bench.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let number = |name: &str, default: u64| {
        let at = words.iter().position(|word| word == name);
        at.map_or(default, |at| words.get(at + 1).and_then(|text| text.parse().ok()).expect("a number behind it"))
    };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    match words.first().map(String::as_str) {
        Some("idle") => idle(folder.path(), number("--files", 5), number("--seconds", 60)),
        Some("down") => down(folder.path(), number("--minutes", 10) * 60, number("--rate", 20)),
        _ => panic!("down or idle"),
    }
}

fn down(folder: &Path, seconds: u64, rate: u64) {
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let logs = logs(folder);
    let mut agent = start(folder, "off", Some(address));
    let mut writer = Writer::new(&logs.join("shop.log"));
    let began = Instant::now();
    let mut points = Vec::new();
    for tick in 1..=seconds * 10 {
        writer.write(rate * 100_000);
        let next = began + Duration::from_millis(tick * 100);
        thread::sleep(next.saturating_duration_since(Instant::now()));
        if tick % 100 == 0 {
            alive(&mut agent);
            let usage = Usage::of(agent.id());
            let (at, mib) = (began.elapsed().as_secs_f64(), usage.bytes as f64 / f64::from(1 << 20));
            println!(
                "{at:>5.0} s  RSS {mib:>6.1} MiB  CPU {:>5.1} s  written {:>6} MB  spool {:>5} MiB",
                usage.cpu_seconds,
                writer.bytes / 1_000_000,
                size(&folder.join("state/spool/logs")) >> 20,
            );
            if at >= 60.0 {
                points.push((at, mib));
            }
        }
    }
    println!("slope after the first minute: {:.2} MiB per minute", slope(&points) * 60.0);
    catch_up(&mut agent, address);
}

fn catch_up(agent: &mut Child, address: SocketAddr) {
    let (began, took) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let listener = TcpListener::bind(address).expect("the port again");
    let counter = Arc::clone(&took);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let counter = Arc::clone(&counter);
            thread::spawn(move || swallow(&stream, &counter));
        }
    });
    let (mut before, mut latest) = (0, began);
    // The wait between two tries may have grown to a minute.
    while latest.elapsed() < Duration::from_secs(if before == 0 { 90 } else { 10 }) {
        thread::sleep(Duration::from_millis(100));
        alive(agent);
        let now = took.load(SeqCst);
        if now != before {
            (before, latest) = (now, Instant::now());
        }
    }
    println!(
        "caught up: {} MiB compressed, {:.0} s after the destination came back; peak RSS {} MiB",
        before >> 20,
        (latest - began).as_secs_f64(),
        Usage::of(agent.id()).peak_bytes >> 20
    );
    end(agent);
}

/// Answers each request with 200; `None` at the end of the connection.
fn swallow(stream: &TcpStream, took: &AtomicU64) -> Option<()> {
    let mut reader = BufReader::with_capacity(256 << 10, stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? <= 2 {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = value.trim().parse().ok()?;
            }
        }
        if length == 0 {
            return None;
        }
        std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink()).ok()?;
        took.fetch_add(length, SeqCst);
        (&mut &*stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}

fn idle(folder: &Path, files: u64, seconds: u64) {
    let logs = logs(folder);
    for number in 0..files {
        let line = format!("{{\"level\":\"info\",\"msg\":\"file {number}\"}}\n");
        fs::write(logs.join(format!("{number}.log")), line.repeat(20)).expect("a file");
    }
    let mut agent = start(folder, "{ interval: 15s }", None);
    // What the first reading costs is another matter.
    thread::sleep(Duration::from_secs(15));
    let (before, began) = (Usage::of(agent.id()), Instant::now());
    thread::sleep(Duration::from_secs(seconds));
    let after = Usage::of(agent.id());
    println!(
        "{files} quiet files, host every 15 s: {:.2} ms of CPU per second, RSS {:.1} MiB",
        (after.cpu_seconds - before.cpu_seconds) * 1000.0 / began.elapsed().as_secs_f64(),
        after.bytes as f64 / f64::from(1 << 20)
    );
    end(&mut agent);
}

fn logs(folder: &Path) -> std::path::PathBuf {
    let logs = folder.join("logs");
    fs::create_dir(&logs).expect("a folder");
    logs
}

fn start(folder: &Path, host: &str, sink: Option<SocketAddr>) -> Child {
    let destinations = sink.map_or_else(String::new, |address| {
        format!("destinations: {{ sink: {{ otlp_http: {{ endpoint: \"http://{address}\", signals: [logs] }} }} }}\n")
    });
    let settings = format!(
        "service: bench\ndiscover: false\nhost: {host}\nlisten: off\nspool: {{ size: 8GiB }}\n{destinations}\
         logs: {{ journald: off, files: [{{ path: \"{}/*.log*\" }}] }}\n",
        folder.join("logs").display()
    );
    let config = folder.join("plimsoll.yaml");
    fs::write(&config, settings).expect("a config");
    let said = File::create(folder.join("said")).expect("a file");
    Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .arg("run")
        .arg("--config")
        .arg(config)
        .arg("--state")
        .arg(folder.join("state"))
        .stdin(Stdio::null())
        .stdout(said.try_clone().expect("a handle"))
        .stderr(said)
        .spawn()
        .expect("the agent")
}

fn alive(agent: &mut Child) {
    if let Some(status) = agent.try_wait().expect("a child") {
        panic!("the agent ended by itself: {status}");
    }
}

fn end(agent: &mut Child) {
    agent.kill().expect("the agent to end");
    agent.wait().expect("its end");
}

/// Writes lines of JSON that differ as real ones do, and rotates by name at 256 MB.
struct Writer {
    path: std::path::PathBuf,
    file: File,
    room: u64,
    number: u64,
    bytes: u64,
}

impl Writer {
    fn new(path: &Path) -> Self {
        let file = File::create(path).expect("a file");
        Self { path: path.to_owned(), file, room: ROTATED, number: 0, bytes: 0 }
    }

    fn write(&mut self, bytes: u64) {
        let mut text = String::with_capacity(bytes as usize + 400);
        while (text.len() as u64) < bytes {
            self.number += 1;
            let dice = self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let (user, wait, id) = (dice >> 48, (dice >> 30) % 900, dice ^ (dice >> 23));
            text.push_str(&format!(
                r#"{{"level":"info","msg":"order {} placed","path":"/api/v1/orders/{user}","status":200,"latency_ms":{wait},"request_id":"{id:016x}","user_id":{user}}}"#,
                self.number
            ));
            text.push('\n');
        }
        self.file.write_all(text.as_bytes()).expect("room on the disk");
        self.bytes += text.len() as u64;
        self.room = self.room.saturating_sub(text.len() as u64);
        if self.room == 0 {
            let old = |number: u8| self.path.with_extension(format!("log.{number}"));
            for number in (1..KEPT).rev().filter(|number| old(*number).exists()) {
                fs::rename(old(number), old(number + 1)).expect("a rotated file");
            }
            fs::rename(&self.path, old(1)).expect("the file");
            self.file = File::create(&self.path).expect("a file");
            self.room = ROTATED;
        }
    }
}

const ROTATED: u64 = 256_000_000;
/// Rotated files that are kept.
const KEPT: u8 = 4;

/// Bytes of the files in `folder`.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).filter(fs::Metadata::is_file).map(|meta| meta.len()).sum()
}

/// Least squares; MiB per second.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |pick: fn(&(f64, f64)) -> f64| points.iter().map(pick).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let over: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let under: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    over / under
}
