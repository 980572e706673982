//! Lines of each format to OTLP bytes: parse and [`LogBatch::push`], on one core, and JSON against `serde_json`.
//!
//! `cargo bench --profile release-dev --bench parse [-- FORMAT…]`. It reports; nothing is asserted. The best of several rounds
//! is taken, because the machines that run it are shared.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on says so and ends"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll::signal::logs::LogBatch;
use plimsoll::signal::record::Record;
use plimsoll::signal::resource::Resource;
use plimsoll::tail::parse::{Choice, Format, Parser};

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let mut sets = vec![
        (Format::Json, lines(json)),
        (Format::Nginx, lines(nginx)),
        (Format::Logfmt, lines(logfmt)),
        (Format::Postgres, lines(postgres)),
        (Format::Haproxy, lines(haproxy)),
        (Format::Syslog, lines(syslog)),
        (Format::Text, lines(text)),
    ];
    sets.retain(|(format, _)| wanted.is_empty() || wanted.iter().any(|name| name == format.name()));
    say(&format!("{:<10} {:>6} {:>22} {:>22}", "format", "bytes", "parse", "parse + OTLP"));
    for (format, lines) in &sets {
        let parse = best(lines, |lines| parse(*format, lines));
        let push = best(lines, |lines| parse_and_push(*format, lines));
        let mean = lines.iter().map(String::len).sum::<usize>() / lines.len();
        say(&format!("{:<10} {mean:>6} {} {}", format.name(), figures(lines, parse), figures(lines, push)));
    }
    if let Some((Format::Json, lines)) = sets.first() {
        compare(lines);
    }
}

fn compare(lines: &[String]) {
    let own = best(lines, |lines| parse(Format::Json, lines));
    let value = best(lines, |lines| {
        for line in lines {
            black_box(serde_json::from_str::<serde_json::Value>(line).is_ok());
        }
    });
    say(&format!("serde_json to Value {}", figures(lines, value)));
    say(&format!("json is {:.2} times as fast as serde_json to Value", value.as_secs_f64() / own.as_secs_f64()));
}

fn parse(format: Format, lines: &[String]) {
    let mut parser = Parser::new(Choice::Fixed(format));
    let mut record = Record::default();
    for line in lines {
        black_box(parser.parse(line, &mut record));
        black_box(&record);
    }
}

fn parse_and_push(format: Format, lines: &[String]) {
    let resource = Arc::new(Resource::new("shop", "box", &[]));
    let mut parser = Parser::new(Choice::Fixed(format));
    let mut record = Record::default();
    let mut batch = LogBatch::default();
    for line in lines {
        parser.parse(line, &mut record);
        batch.push(&resource, record.time.map_or(1, |time| time.nanos), &record, line);
        if batch.is_full() {
            batch.clear();
        }
    }
    black_box(batch.records());
}

/// The shortest of several rounds.
fn best(lines: &[String], mut work: impl FnMut(&[String])) -> Duration {
    let rounds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        work(black_box(lines));
        start.elapsed()
    });
    rounds.min().unwrap_or_default()
}

fn figures(lines: &[String], took: Duration) -> String {
    let bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
    let megabytes = bytes as f64 / 1e6 / took.as_secs_f64();
    let each = took.as_nanos() as f64 / lines.len() as f64;
    format!("{megabytes:>7.0} MB/s {each:>6.0} ns")
}

fn lines(make: fn(u64) -> String) -> Vec<String> {
    (0..LINES).map(|number| make(number.wrapping_mul(2_654_435_761) % 1_000_003)).collect()
}

fn json(n: u64) -> String {
    format!(
        r#"{{"time":"2026-11-24T10:{:02}:{:02}.{:03}Z","level":"info","msg":"order {n} has been paid","service":"shop","trace_id":"0af7651916cd43dd8448eb211c{n:06x}","http":{{"method":"GET","path":"/api/orders/{n}","status":200}},"user_id":{n},"ms":{}.{:03},"ok":true}}"#,
        n % 60,
        n % 59,
        n % 1000,
        n % 90,
        n % 1000,
    )
}

fn nginx(n: u64) -> String {
    format!(
        r#"192.168.{}.{} - - [24/Nov/2026:10:{:02}:{:02} +0000] "GET /api/orders/{n}?page=2 HTTP/1.1" 200 {} "https://shop.example/cart" "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0""#,
        n % 250,
        n % 251,
        n % 60,
        n % 59,
        n % 9000,
    )
}

fn logfmt(n: u64) -> String {
    format!(
        r#"time=2026-11-24T10:{:02}:{:02}.{:03}Z level=info msg="order {n} has been paid" service=shop method=GET path=/api/orders/{n} status=200 user_id={n} ms=12.5"#,
        n % 60,
        n % 59,
        n % 1000,
    )
}

fn postgres(n: u64) -> String {
    format!(
        "2026-11-24 10:{:02}:{:02}.{:03} UTC [{}] shop@orders LOG:  duration: {}.{:03} ms  statement: SELECT * FROM orders WHERE id = {n}",
        n % 60,
        n % 59,
        n % 1000,
        n % 30_000 + 1,
        n % 90,
        n % 1000,
    )
}

fn haproxy(n: u64) -> String {
    format!(
        r#"2026-11-24T10:00:00.123456+00:00 lb-1 haproxy[812]: 10.0.1.2:{} [24/Nov/2026:10:{:02}:{:02}.{:03}] http-in~ static/srv1 0/0/1/{}/{} 200 {n} - - ---- 12/10/3/1/0 0/0 "GET /api/orders/{n} HTTP/1.1""#,
        n % 60_000 + 1,
        n % 60,
        n % 59,
        n % 1000,
        n % 80,
        n % 80 + 1,
    )
}

fn syslog(n: u64) -> String {
    format!(
        "<30>Nov 24 10:{:02}:{:02} shop-1 shop[{}]: order {n} has been paid by its customer",
        n % 60,
        n % 59,
        n % 30_000 + 1
    )
}

fn text(n: u64) -> String {
    format!(
        "2026-11-24 10:{:02}:{:02},{:03} INFO [worker-{}] order {n} has been paid by its customer",
        n % 60,
        n % 59,
        n % 1000,
        n % 8
    )
}

#[expect(clippy::print_stdout, reason = "a bench talks on its standard output")]
fn say(line: &str) {
    println!("{line}");
}

const LINES: u64 = 20_000;
const ROUNDS: u32 = 25;
