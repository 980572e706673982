//! The program in bad company: servers of every kind that hang, drip, lie and never end, beside one that is well.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::breaker::{Breaker, Talk};
use super::faults::{bombs, dripping, hung, in_chunks, with_length};
use super::harness::{Site, escaped, get, wait_for};
use super::liar::{nonsense, postgres_rows, redis_list, redis_string};
use super::mysql_liar::{columns, rows};
use super::redis_server::Redis;
use super::release::Release;

const SOON: Duration = Duration::from_secs(120);
/// Rounds of each; far enough apart that a machine on which all tests run at once keeps up.
const ROUNDS: u64 = 6;
const EACH: &str = "interval: 4s";
/// The budget of the program is 40 MiB with a day of data. Of eight here answers are taken up to their bound of 8 to 32
/// MiB, all at once and each time anew, and the allocator keeps what was given back for a while.
const MEMORY: u64 = 384 << 20;

/// Kind, what such a server does, and a word of what is told of it.
const FAULTY: [(&str, &str, Talk, &str); 14] = [
    ("postgres", "postgres://plimsoll@127.0.0.1:PORT/postgres", hung, "no answer within 4s"),
    ("postgres", "postgres://plimsoll@127.0.0.1:PORT/postgres", postgres_rows, "larger than 16 MiB"),
    ("pgbouncer", "postgres://plimsoll@127.0.0.1:PORT/pgbouncer", postgres_rows, "larger than 16 MiB"),
    ("pgbouncer", "postgres://plimsoll@127.0.0.1:PORT/pgbouncer", dripping, "no answer within 4s"),
    ("mysql", "mysql://plimsoll@127.0.0.1:PORT", columns, "more than 4096 columns"),
    ("mysql", "mysql://plimsoll@127.0.0.1:PORT", rows, "larger than"),
    ("mysql", "mysql://plimsoll@127.0.0.1:PORT", nonsense, "127.0.0.1"),
    ("redis", "redis://127.0.0.1:PORT", redis_string, "more than 32 MiB"),
    ("redis", "redis://127.0.0.1:PORT", redis_list, "more than 32 MiB"),
    ("rabbitmq", "http://127.0.0.1:PORT", with_length, "larger than 8 MiB"),
    ("nats", "http://127.0.0.1:PORT", hung, "no answer within 4s"),
    ("nats", "http://127.0.0.1:PORT", nonsense, "127.0.0.1"),
    ("scrape", "http://127.0.0.1:PORT/metrics", in_chunks, "larger than 8 MiB"),
    ("scrape", "http://127.0.0.1:PORT/metrics", bombs, "unpacked"),
];

/// The most memory that a process had, in bytes.
fn most(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_ascii_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

fn source(report: &Value, port: u16) -> Value {
    let sources = report["sources"].as_array().unwrap();
    let found = sources.iter().find(|source| source["name"].as_str().unwrap().ends_with(&format!(":{port}")));
    found.unwrap_or_else(|| panic!("no source with the port {port}: {report}")).clone()
}

/// How often a series of the healthy ones has come.
fn rounds(site: &Site, series: &str) -> u64 {
    let query = escaped(&format!("count_over_time({series}[10m])"));
    let answer = get(site.port, &format!("/api/v1/query?query={query}"), &[]).unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer["data"]["result"][0]["value"][1].as_str().map_or(0, |count| count.parse().unwrap())
}

#[test]
fn a_healthy_server_and_the_host_arrive_every_round_in_the_worst_company_within_bounded_memory() {
    let faulty = FAULTY.map(|(kind, url, talk, told)| (kind, url, Breaker::start(talk), told));
    let well = Redis::start(Release::Here, "redis-server", &[]);
    let site = Site::new();
    let mut yaml = format!("host: {{ {EACH} }}\ncollect:\n");
    for kind in ["postgres", "pgbouncer", "mysql", "redis", "rabbitmq", "nats", "scrape"] {
        writeln!(yaml, "  {kind}:").unwrap();
        for (_, url, server, _) in faulty.iter().filter(|(own, ..)| *own == kind) {
            writeln!(yaml, "    - {{ url: \"{}\", {EACH} }}", url.replace("PORT", &server.port.to_string())).unwrap();
        }
        if kind == "redis" {
            writeln!(yaml, "    - {{ url: \"redis://127.0.0.1:{}\", {EACH} }}", well.port).unwrap();
        }
    }
    site.config(&yaml);
    let mut agent = site.start();
    let of_redis = format!("up{{instance=~\".*:{}\"}}", well.port);
    let mut named = [false; FAULTY.len()];
    let report = wait_for("rounds of all, and what is wrong with each", SOON, || {
        agent.check();
        let (_, report) = site.status()?;
        let mut seen = Vec::new();
        for ((_, _, server, told), named) in faulty.iter().zip(&mut named) {
            let source = source(&report, server.port);
            // On a machine that is busy a round may also run out of its time.
            *named |= source["fault"].as_str().unwrap().contains(told);
            seen.push((*told, *named, source["failures"].as_u64().unwrap()));
        }
        let enough = seen.iter().all(|(_, named, failures)| *named && *failures >= ROUNDS);
        if enough { Ok(report) } else { Err(format!("{seen:?}")) }
    });
    // As often as each of those whose every round failed.
    for series in [of_redis.as_str(), "system_memory_limit_bytes"] {
        let seen = rounds(&site, series);
        assert!(seen >= ROUNDS - 1, "{series} came {seen} times");
    }
    let own = source(&report, well.port);
    assert!(own["failures"] == 0 && own["fault"] == "", "{own}");
    let screen = String::from_utf8(site.run(&["status"]).stdout).unwrap();
    for (kind, _, server, _) in &faulty {
        let source = source(&report, server.port);
        let fault = source["fault"].as_str().unwrap();
        assert!(source["kind"] == *kind && !fault.is_empty() && fault.len() < 500, "{kind}: {source}");
        assert!(!fault.chars().any(char::is_control), "{fault:?}");
        assert!(screen.contains(&server.port.to_string()), "{screen}");
    }
    let most = most(agent.id());
    eprintln!("{} MiB at most", most >> 20);
    assert!(most < MEMORY, "{} MiB", most >> 20);
    faulty.iter().for_each(|(_, _, server, _)| server.is_rarely_asked());
}
