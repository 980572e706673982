//! PostgreSQL that is full, stopped, locked, restarted or hostile; secrets; and what the reading costs.

use std::process::Child;
use std::time::Duration;

use plimsoll::collect::CollectError;
use plimsoll::collect::event::Event;
use plimsoll::collect::postgres::{self, Settings};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;

use super::harness::wait_for;
use super::postgres::{look, settings};
use super::postgres_server::{Postgres, VERSIONS};
use super::release::{RELEASES, Release};
use super::round::{Round, one, runtime};

const LIMIT: Duration = Duration::from_secs(40);

pub(crate) fn start(release: Release, more: &str) -> Postgres {
    let server = Postgres::start(release, &format!("deadlock_timeout = 100ms\n{more}"));
    server.sql("postgres", "CREATE ROLE plimsoll LOGIN CONNECTION LIMIT 3; GRANT pg_monitor TO plimsoll");
    server.sql("postgres", "CREATE EXTENSION pg_stat_statements");
    server
}

#[test]
fn known_numbers_of_operations_are_counted() {
    for release in VERSIONS {
        let few = "pg_stat_statements.max = 100\npg_stat_statements.track = all\ntrack_io_timing = off";
        let server = start(release, &format!("checkpoint_timeout = 1h\n{few}"));
        let shop = [("db.namespace", "postgres")];
        let before = look(&server, "postgres");
        let at = |name: &str, with: &[(&str, &str)]| before.value(name, with).unwrap();
        let requested = [("type", "requested")];
        let (checkpoints, freeze) =
            (at("postgresql.bgwriter.checkpoint.count", &requested), at("postgresql.database.freeze.age", &shop));
        assert_eq!(at("postgresql.temp_files", &shop), 0.0);
        // What is not measured is absent, not 0.
        assert!(before.all("postgresql.block.io.time", &[]).is_empty(), "{release:?}");
        assert!(before.all("postgresql.io.time", &[]).is_empty(), "{release:?}");
        assert_eq!(at("postgresql.statement.deallocated", &[]), 0.0);
        server.sql("postgres", &MANY.replace("100000", "300"));
        assert!(look(&server, "postgres").value("postgresql.statement.deallocated", &[]).unwrap() > 0.0);
        for _ in 0..3 {
            server.sql("postgres", "CREATE TABLE IF NOT EXISTS c (n int)");
            server.sql("postgres", "INSERT INTO c VALUES (1)");
            server.sql("postgres", "CHECKPOINT");
        }
        let sort = "SELECT count(*) FROM (SELECT n FROM generate_series(1, 100000) n ORDER BY md5(n::text)) x";
        server.sql("postgres", &format!("SET max_parallel_workers_per_gather = 0; SET work_mem = '64kB'; {sort}"));
        let mut one = server.hold("postgres", "BEGIN; SELECT pg_advisory_xact_lock(1)");
        let mut two = server.hold("postgres", "BEGIN; SELECT pg_advisory_xact_lock(2)");
        server.until("postgres", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted", "2");
        two.then("SELECT pg_advisory_xact_lock(1)");
        server.until("postgres", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted", "1");
        one.then("SELECT pg_advisory_xact_lock(2)");
        wait_for("all that was done", LIMIT, || {
            let found = look(&server, "postgres");
            let files = found.value("postgresql.temp_files", &shop).unwrap();
            let deadlocks = found.value("postgresql.deadlocks", &shop).unwrap();
            let done = found.value("postgresql.bgwriter.checkpoint.count", &requested).unwrap() - checkpoints;
            let aged = found.value("postgresql.database.freeze.age", &shop).unwrap() - freeze;
            if deadlocks == 1.0 && files >= 1.0 && done == 3.0 && aged >= 4.0 {
                assert!(found.value("postgresql.temp.io", &shop).unwrap() > 1e5);
                return Ok(());
            }
            Err(format!("{release:?}: {deadlocks} deadlocks, {files} files, {done} checkpoints, {aged} transactions"))
        });
    }
}

#[test]
fn statements_are_counted_and_their_texts_tell_no_secret() {
    for release in VERSIONS {
        let server = start(release, "");
        server.sql("postgres", "CREATE TABLE orders (id int, note text)");
        server.sql("postgres", "SELECT pg_stat_statements_reset()");
        for _ in 0..7 {
            server.sql("postgres", "SELECT id FROM orders WHERE note = 'secret-word'");
        }
        server.sql("postgres", "CREATE ROLE app LOGIN PASSWORD 'secret-word'");
        server.sql("postgres", "ALTER ROLE app PASSWORD 'secret-word'");
        server.sql("postgres", "DO $$ BEGIN PERFORM 'secret-word'; END $$");
        // Five megabytes of text, of which the server keeps all.
        let long = format!("SELECT /* secret-word {} */ count(*) FROM orders", "x".repeat(5 << 20));
        let file = std::env::temp_dir().join(format!("plimsoll-{}-{}.sql", std::process::id(), server.port));
        std::fs::write(&file, long).unwrap();
        assert!(server.psql("postgres").arg("-qAt").arg("-f").arg(&file).output().unwrap().status.success());
        std::fs::remove_file(&file).unwrap();
        let runtime = runtime();
        let mut collector = postgres::Postgres::new(settings(&server, "plimsoll", "postgres"));
        let found = runtime.block_on(one(&mut collector, LIMIT));
        found.result.as_ref().unwrap();
        let all = format!("{:?}{:?}", found.samples.samples(), found.events);
        assert!(!all.contains("secret-word"), "{all}");
        assert!(found.events.iter().any(|event| event.body == "ALTER ROLE app PASSWORD ?"), "{:?}", found.events);
        let told = |event: &&Event| event.body == "SELECT id FROM orders WHERE note = $1";
        let text = found.events.iter().find(told).unwrap_or_else(|| panic!("{:?}", found.events));
        let id = format!("{:?}", text.attributes[0].1);
        let id = id.trim_matches(|c: char| !c.is_ascii_digit() && c != '-');
        assert_eq!(found.value("postgresql.statement.calls", &[("postgresql.query.id", id)]), Some(7.0));
        assert!(found.events.iter().all(|event| event.body.len() <= 4096));
        let again = runtime.block_on(one(&mut collector, LIMIT));
        assert!(again.events.is_empty(), "told once: {:?}", again.events);
        for n in 0..60 {
            server.sql("postgres", &format!("SELECT id AS a{n} FROM orders"));
        }
        let few = Settings { top: 3, ..settings(&server, "plimsoll", "postgres") };
        let found = runtime.block_on(one(&mut postgres::Postgres::new(few), LIMIT));
        let calls = found.all("postgresql.statement.calls", &[]).len();
        assert!((3..=9).contains(&calls), "{calls}");
        server.sql("postgres", "DROP EXTENSION pg_stat_statements");
        let found = runtime.block_on(one(&mut collector, LIMIT));
        found.result.unwrap();
    }
}

/// Each call of `EXECUTE` is a statement of its own: the types of nine constants, in base four.
const MANY: &str = "DO $$ DECLARE text text; BEGIN FOR i IN 1..100000 LOOP text := 'SELECT 1'; FOR d IN 0..8 LOOP \
    text := text || (ARRAY[', 1', ', true', ', 1.5', ', ''a''::text'])[1 + (i >> (2 * d)) % 4]; END LOOP; \
    EXECUTE text; END LOOP; END $$";

#[test]
fn a_hundred_thousand_statements_cost_a_bounded_time_and_memory() {
    for release in VERSIONS {
        let settings_of = "pg_stat_statements.max = 120000\npg_stat_statements.track = all";
        let server = start(release, settings_of);
        server.sql("postgres", MANY);
        // One that is called most, and is far from taking most time.
        server.sql(
            "postgres",
            "DO $$ BEGIN FOR i IN 1..3000 LOOP EXECUTE 'SELECT 1 AS often WHERE true'; END LOOP; END $$",
        );
        let kept: f64 = server.sql("postgres", "SELECT count(*) FROM pg_stat_statements(false)").parse().unwrap();
        assert!(kept >= 100_000.0, "{release:?}: {kept}");
        let spilled = "SELECT temp_bytes FROM pg_stat_database WHERE datname = 'postgres'";
        let before: f64 = server.sql("postgres", spilled).parse().unwrap();
        let runtime = runtime();
        let mut collector = postgres::Postgres::new(settings(&server, "plimsoll", "postgres"));
        let memory = resident();
        let begun = std::time::Instant::now();
        let found = runtime.block_on(one(&mut collector, LIMIT));
        let first = begun.elapsed();
        found.result.as_ref().unwrap_or_else(|error| panic!("{release:?}: {error}"));
        let known = found.value("postgresql.statement.known", &[]).unwrap();
        assert!(known >= 100_000.0, "all are counted, although few are read: {known}");
        let calls = found.all("postgresql.statement.calls", &[]);
        assert!(calls.len() <= 3 * 20, "{}", calls.len());
        assert!(calls.contains(&3000.0), "the one that is called most is told: {calls:?}");
        let begun = std::time::Instant::now();
        runtime.block_on(one(&mut collector, LIMIT)).result.unwrap();
        let second = begun.elapsed();
        let grown = (resident() - memory) >> 20;
        let own = "SELECT string_agg(round(max_exec_time::numeric, 1) || ' ms ' || rows || ' rows', '; ') FROM \
            pg_stat_statements WHERE query LIKE '%pg_stat_statements(%' AND userid = 'plimsoll'::regrole";
        let own = server.sql("postgres", own);
        wait_for("what was spilled", LIMIT, || {
            // What a session did is told when it is idle, or a second later.
            let spilled: f64 = server.sql("postgres", spilled).parse().unwrap();
            if spilled > before { Ok(()) } else { Err(format!("{spilled}")) }
        });
        let after: f64 = server.sql("postgres", spilled).parse().unwrap();
        let spilled = (after - before) / 1e6;
        eprintln!(
            "{release:?}: {first:?} the first round, {second:?} the next, {grown} MiB; {own}; {spilled:.1} MB spilled"
        );
    }
}

/// Bytes of memory that this process has.
fn resident() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_ascii_whitespace().next().unwrap().parse::<i64>().unwrap() * 1024
}

#[test]
fn a_server_that_is_full_stopped_locked_or_restarted_is_read_again() {
    for release in RELEASES {
        let mut server = start(release, "autovacuum = off");
        server.sql("postgres", "CREATE ROLE app LOGIN; CREATE ROLE bare LOGIN; CREATE TABLE orders (id int)");
        let runtime = runtime();
        let mut kept = postgres::Postgres::new(settings(&server, "plimsoll", "postgres"));
        runtime.block_on(one(&mut kept, LIMIT)).result.unwrap();
        let mut bare = postgres::Postgres::new(settings(&server, "bare", "postgres"));
        let found = runtime.block_on(one(&mut bare, LIMIT));
        found.result.unwrap();
        let said = plimsoll::collect::Collector::detail(&bare);
        assert!(said.contains("GRANT pg_monitor TO bare"), "{said}");
        drop(bare);
        {
            let _lock = server.hold("postgres", "BEGIN; LOCK TABLE orders");
            let granted = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted";
            server.until("postgres", granted, "1");
            let found = look(&server, "postgres");
            assert_eq!(found.value("postgresql.standby", &[]), Some(0.0));
        }
        full(&server, &runtime, &mut kept);
        stopped(&server, &runtime, &mut kept);
        crashed(&server, &runtime, &mut kept);
        server.down();
        let found = runtime.block_on(one(&mut kept, LIMIT));
        assert!(matches!(found.result, Err(CollectError::Connect(_))), "{:?}", found.result);
        server.up();
        let found = runtime.block_on(one(&mut kept, LIMIT));
        found.result.unwrap();
    }
}

/// No connection is left for ordinary users: who has one goes on, who has none is told.
fn full(server: &Postgres, runtime: &Runtime, kept: &mut postgres::Postgres) {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'";
    let mut held: Vec<Child> = Vec::new();
    // Sessions that are just ending have a place too: until we are refused ourselves, it is not full.
    let told = wait_for("a server that is full", Duration::from_secs(120), || {
        let mut new = postgres::Postgres::new(settings(server, "plimsoll", "postgres"));
        if let Err(told) = runtime.block_on(one(&mut new, LIMIT)).result {
            return Ok(told);
        }
        // Its session ends with the runtime's next turn, and would keep the next one from its place until then.
        drop(new);
        runtime.block_on(tokio::task::yield_now());
        server.until("postgres", "SELECT count(*) FROM pg_stat_activity WHERE usename = 'plimsoll'", "1");
        let mut session = server.psql("postgres");
        held.push(session.args(["-U", "app", "-c", "SELECT pg_sleep(300)"]).spawn().unwrap());
        while server.sql("postgres", count) != held.len().to_string() {
            if held.last_mut().unwrap().try_wait().unwrap().is_some() {
                held.pop();
            }
        }
        Err(format!("{} sessions", held.len()))
    });
    assert!(matches!(told, CollectError::Connect(_)) && told.to_string().contains("53300"), "{told}");
    let found = runtime.block_on(one(kept, LIMIT));
    // Whatever it says of its other databases: the numbers are there.
    let active = [("state", "active")];
    let connections: f64 = found.all("postgresql.connection.count", &active).iter().sum();
    assert_eq!(connections, held.len() as f64, "{:?}", found.result);
    assert_eq!(found.value("postgresql.connection.max", &[]), Some(20.0));
    server.sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'");
    for mut session in held {
        session.wait().unwrap();
    }
    server.until("postgres", count, "0");
}

/// A server that does not answer takes a round its time, and no more.
fn stopped(server: &Postgres, runtime: &Runtime, kept: &mut postgres::Postgres) {
    let pids = server.sql("postgres", "SELECT pid FROM pg_stat_activity WHERE application_name = 'plimsoll'");
    let pids: Vec<Pid> = pids.lines().map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap()).collect();
    assert!(!pids.is_empty());
    for pid in &pids {
        kill_process(*pid, Signal::STOP).unwrap();
    }
    server.signal(Signal::STOP);
    for _ in 0..2 {
        // The first has a connection, the second makes one.
        let found = runtime.block_on(one(kept, Duration::from_millis(700)));
        assert!(matches!(found.result, Err(CollectError::Timeout(_))), "{:?}", found.result);
    }
    server.signal(Signal::CONT);
    for pid in &pids {
        kill_process(*pid, Signal::CONT).unwrap();
    }
    wait_for("a round after the stop", LIMIT, || {
        runtime.block_on(one(kept, LIMIT)).result.map_err(|error| error.to_string())
    });
}

/// A crash takes the server's statistics with it: its counters begin anew, also the dead rows of a table.
fn crashed(server: &Postgres, runtime: &Runtime, kept: &mut postgres::Postgres) {
    let orders = [("db.collection.name", "orders"), ("state", "dead")];
    server.sql("postgres", "INSERT INTO orders SELECT * FROM generate_series(1, 1000); DELETE FROM orders");
    wait_for("dead rows", LIMIT, || match look(server, "postgres").value("postgresql.rows", &orders) {
        Some(1000.0) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let deleted = |found: &Round| found.value("postgresql.tup_deleted", &[("db.namespace", "postgres")]).unwrap();
    let before = deleted(&look(server, "postgres"));
    let session = server.hold("postgres", "SELECT 1");
    let pid = "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT 1;' AND state = 'idle'";
    let pid = wait_for("a session", LIMIT, || server.sql("postgres", pid).parse::<i32>().map_err(|e| e.to_string()));
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    drop(session);
    let found = wait_for("a round after the crash", Duration::from_secs(30), || {
        let found = runtime.block_on(one(kept, LIMIT));
        found.result.as_ref().map_err(ToString::to_string)?;
        if deleted(&found) < before { Ok(found) } else { Err(deleted(&found).to_string()) }
    });
    assert!(before >= 1000.0 && deleted(&found) < 1000.0, "{before}");
    assert_eq!(look(server, "postgres").value("postgresql.rows", &orders), Some(0.0));
}

#[test]
fn the_cost_of_the_reading_is_known() {
    for release in VERSIONS {
        let server = start(release, "pg_stat_statements.track_utility = off");
        server.sql("postgres", "CREATE DATABASE shop");
        let runtime = runtime();
        let mut collector = postgres::Postgres::new(settings(&server, "plimsoll", "postgres"));
        let cost = "SELECT count(*), sum(calls), round(sum(total_exec_time)::numeric, 1), sum(rows) \
            FROM pg_stat_statements WHERE userid = 'plimsoll'::regrole";
        server.sql("postgres", "SELECT pg_stat_statements_reset()");
        runtime.block_on(one(&mut collector, LIMIT)).result.unwrap();
        let first = server.sql("postgres", cost);
        server.sql("postgres", "SELECT pg_stat_statements_reset()");
        for _ in 0..10 {
            runtime.block_on(one(&mut collector, LIMIT)).result.unwrap();
        }
        let ten = server.sql("postgres", cost);
        let each = "SELECT left(query, 90), calls, round(mean_exec_time::numeric, 2), rows / calls FROM pg_stat_statements \
            WHERE userid = 'plimsoll'::regrole ORDER BY total_exec_time DESC";
        // What costs more is asked for once a minute or in five, and the texts never with the numbers.
        let seldom = "SELECT count(*) FROM pg_stat_statements WHERE userid = 'plimsoll'::regrole AND query ~ \
            'pg_database_size|pg_total_relation_size|pg_ls_|pg_stat_statements'";
        assert_eq!(server.sql("postgres", seldom), "0", "{release:?}");
        eprintln!("{release:?}: first {first}, ten more {ten}\n{}", server.sql("postgres", each));
        let calls: f64 = ten.split('|').nth(1).unwrap().parse().unwrap();
        assert!(calls <= 10.0 * 22.0, "an ordinary round asks {} times", calls / 10.0);
        let calls: f64 = first.split('|').nth(1).unwrap().parse().unwrap();
        assert!(calls <= 40.0, "a first round asks {calls} times");
    }
}
