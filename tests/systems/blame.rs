//! A query that eats the memory of its cgroup until the kernel kills: it is named.

use std::process::Stdio;
use std::time::{Duration, Instant};

use plimsoll::collect::event::{Detail, Event};
use plimsoll::collect::postgres;
use tokio::runtime::Runtime;

use super::cgroup::Cgroup;
use super::postgres::settings;
use super::postgres_server::Postgres;
use super::release::{RELEASES, Release};
use super::round::{one, runtime};

const LIMIT: Duration = Duration::from_secs(10);
/// Grows by a megabyte every thirty milliseconds.
const HUNGRY: &str = "SELECT cardinality(array_agg(repeat('secret-word ', 87000) || pg_sleep(0.03)::text)) \
    FROM generate_series(1, 5000)";

/// The same at once: gone in less time than there is between two looks, or not.
const GREEDY: &str = "SELECT cardinality(array_agg(repeat('secret-word ', 87000))) FROM generate_series(1, 5000)";

/// A server in a cgroup with a limit, its collector after a first round.
fn limited(release: Release) -> (Cgroup, Postgres, Runtime, postgres::Postgres) {
    let cgroup = Cgroup::limited(400 << 20);
    let server = Postgres::start(release, "shared_buffers = 16MB");
    cgroup.take(server.pid());
    server.sql("postgres", "CREATE ROLE plimsoll LOGIN CONNECTION LIMIT 3; GRANT pg_monitor TO plimsoll");
    server.sql("postgres", "CREATE ROLE hungry LOGIN");
    server.sql("postgres", "CREATE DATABASE shop");
    let runtime = runtime();
    let mut collector = postgres::Postgres::new(settings(&server, "plimsoll", "postgres"));
    runtime.block_on(one(&mut collector, LIMIT)).result.unwrap();
    (cgroup, server, runtime, collector)
}

/// The record of the kill of `query`, and the most that the rounds before saw one process have.
fn killed(
    (cgroup, server): (&Cgroup, &Postgres),
    runtime: &Runtime,
    collector: &mut postgres::Postgres,
    query: &str,
) -> (Event, f64) {
    let mut eater = server.psql("shop");
    let mut eater = eater.args(["-U", "hungry", "-c", query]).stderr(Stdio::null()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    let (mut seen, mut told) = (0.0_f64, Vec::new());
    // A round's failures while the server recovers are no matter here.
    runtime.block_on(async {
        while told.is_empty() && Instant::now() < end {
            let found = one(collector, LIMIT).await;
            seen = seen.max(found.value("postgresql.backend.memory.max", &[]).unwrap_or(0.0));
            // The kernel tells of the kills of other tests too.
            let own = |event: &Event| event.name == "plimsoll.oom_kill" && of(event, cgroup);
            told.extend(found.events.into_iter().filter(own));
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });
    assert!(!eater.wait().unwrap().success(), "the query was not killed: {}", server.log());
    let event = told.pop().unwrap_or_else(|| panic!("no record; {seen} bytes seen; {}", server.log()));
    (event, seen)
}

fn of(event: &Event, cgroup: &Cgroup) -> bool {
    let is = |(name, value): &(&str, Detail)| {
        *name == "oom.cgroup" && matches!(value, Detail::Text(path) if path.ends_with(&cgroup.name()))
    };
    event.attributes.iter().any(is)
}

fn text(event: &Event, name: &str) -> String {
    match event.attributes.iter().find(|(known, _)| *known == name) {
        Some((_, Detail::Text(text))) => text.clone(),
        Some((_, Detail::Int(int))) => int.to_string(),
        other => panic!("{name}: {other:?} in {event:?}"),
    }
}

#[test]
fn when_the_kernel_kills_for_memory_the_record_names_the_query_that_grew() {
    for release in RELEASES {
        let (cgroup, server, runtime, mut collector) = limited(release);
        let (event, seen) = killed((&cgroup, &server), &runtime, &mut collector, HUNGRY);
        assert_eq!(text(&event, "oom.victim.name"), "postgres");
        assert_eq!(text(&event, "oom.constraint"), "cgroup");
        assert!(text(&event, "oom.cgroup").ends_with(&cgroup.name()), "{event:?}");
        assert_eq!(text(&event, "user.name"), "hungry");
        assert_eq!(text(&event, "db.namespace"), "shop");
        assert_eq!(text(&event, "postgresql.state"), "active");
        assert!(text(&event, "db.query.text").contains("array_agg(repeat(?, ?)"), "{event:?}");
        assert!(!format!("{event:?}").contains("secret-word"), "{event:?}");
        assert_eq!(text(&event, "process.pid"), text(&event, "oom.victim.pid"));
        assert!(text(&event, "postgresql.backend.growth").parse::<u64>().unwrap() > 200 << 20, "{event:?}");
        assert_eq!(text(&event, "postgresql.session.is_known"), "true");
        assert!(seen > 50e6, "the growth was seen in the rounds before: {seen}");
        eprintln!("{release:?}: {}", event.body);
    }
}

#[test]
fn a_query_that_is_killed_at_once_is_named_or_the_record_says_that_it_is_not_known() {
    let (cgroup, server, runtime, mut collector) = limited(Release::Here);
    let (event, _) = killed((&cgroup, &server), &runtime, &mut collector, GREEDY);
    assert_eq!(text(&event, "oom.victim.name"), "postgres");
    assert!(text(&event, "oom.cgroup").ends_with(&cgroup.name()), "{event:?}");
    let has = |name: &str| event.attributes.iter().any(|(known, _)| *known == name);
    // Whether a look came between is chance; what the record may never do is blame another one.
    if has("postgresql.session.is_known") && text(&event, "postgresql.session.is_known") == "true" {
        assert!(text(&event, "db.query.text").contains("array_agg(repeat(?, ?)"), "{event:?}");
        assert_eq!(text(&event, "process.pid"), text(&event, "oom.victim.pid"));
    } else {
        let honest = ["what it did is not known", "no process of this server was seen to grow"];
        assert!(honest.iter().any(|words| event.body.contains(words)) && !has("db.query.text"), "{event:?}");
    }
    assert!(!format!("{event:?}").contains("secret-word"), "{event:?}");
    eprintln!("{}", event.body);
}
