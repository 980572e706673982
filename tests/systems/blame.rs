//! A query that eats the memory of its cgroup until the kernel kills: it is named.

use std::process::Stdio;
use std::time::{Duration, Instant};

use plimsoll::collect::event::{Detail, Event};
use plimsoll::collect::postgres;

use super::cgroup::Cgroup;
use super::postgres::settings;
use super::postgres_server::Postgres;
use super::release::RELEASES;
use super::round::{one, runtime};

const LIMIT: Duration = Duration::from_secs(10);
/// Grows by a megabyte every thirty milliseconds.
const HUNGRY: &str = "SELECT cardinality(array_agg(repeat('secret-word ', 87000) || pg_sleep(0.03)::text)) \
    FROM generate_series(1, 5000)";

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
        let cgroup = Cgroup::limited(400 << 20);
        let server = Postgres::start(release, "shared_buffers = 16MB");
        cgroup.take(server.pid());
        server.sql("postgres", "CREATE ROLE plimsoll LOGIN CONNECTION LIMIT 3; GRANT pg_monitor TO plimsoll");
        server.sql("postgres", "CREATE ROLE hungry LOGIN");
        server.sql("postgres", "CREATE DATABASE shop");
        let runtime = runtime();
        let mut collector = postgres::Postgres::new(settings(&server, "plimsoll", "postgres"));
        let first = runtime.block_on(one(&mut collector, LIMIT));
        first.result.unwrap();
        let mut eater = server.psql("shop");
        let mut eater = eater.args(["-U", "hungry", "-c", HUNGRY]).stderr(Stdio::null()).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        let (mut seen, mut told) = (0.0_f64, Vec::new());
        // A round's failures while the server recovers are no matter here.
        runtime.block_on(async {
            while told.is_empty() && Instant::now() < end {
                let found = one(&mut collector, LIMIT).await;
                seen = seen.max(found.value("postgresql.backend.memory.max", &[]).unwrap_or(0.0));
                told.extend(found.events.into_iter().filter(|event| event.name == "plimsoll.oom_kill"));
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        });
        assert!(!eater.wait().unwrap().success(), "the query was not killed: {}", server.log());
        let event = told.pop().unwrap_or_else(|| panic!("{release:?}: no record; {seen} bytes seen; {}", server.log()));
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
        assert!(seen > 50e6, "the growth was seen in the rounds before: {seen}");
        eprintln!("{release:?}: {}", event.body);
    }
}
