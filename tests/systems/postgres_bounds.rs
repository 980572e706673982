//! What the agent may cost and hold up in a PostgreSQL, and what it says where the server will not have it.

use std::time::Duration;

use plimsoll::collect::postgres::Postgres as Collector;
use plimsoll::collect::{CollectError, Collector as _};
use rustix::process::Signal;

use super::harness::{Site, wait_for};
use super::postgres::{look, settings};
use super::postgres_server::{Postgres, VERSIONS};
use super::postgres_trouble::start;
use super::release::Release;
use super::round::{one, runtime};

const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn a_question_is_bounded_by_the_server_and_writes_nothing() {
    let server = start(Release::Here, "");
    server.sql("postgres", "CREATE TABLE orders (id int); GRANT ALL ON orders TO plimsoll");
    let _lock = server.hold("postgres", "BEGIN; LOCK TABLE orders");
    let granted = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted";
    server.until("postgres", granted, "1");
    let target = settings(&server, "plimsoll", "postgres").target.bounded(Duration::from_secs(1));
    let asked = |sql: &'static str| {
        runtime().block_on(async { target.connect(None).await.unwrap().ask(sql).await.unwrap_err().to_string() })
    };
    // A read that takes long, one that waits for a lock, and what would write.
    for (sql, code) in [
        ("SELECT pg_sleep(60)", "57014"),
        ("SELECT * FROM public.orders", "55P03"),
        ("CREATE TABLE public.more (id int)", "25006"),
    ] {
        let told = asked(sql);
        assert!(told.contains(code), "{sql}: {told}");
    }
}

/// By the config alone, as people have it.
#[test]
fn the_agents_questions_are_bounded_and_tell_the_servers_own_settings() {
    let server = start(Release::Here, "work_mem = 9MB\nlog_statement = all");
    let site = Site::new();
    let url = format!("postgres://plimsoll@127.0.0.1:{}/postgres", server.port);
    site.config(&format!("host: off\ncollect:\n  postgres: [ {{ url: \"{url}\", interval: 1s }} ]\n"));
    let _agent = site.start();
    wait_for("a round", LIMIT, || {
        let page = site.metrics()?;
        let found = page.lines().find(|line| line.starts_with("postgresql_work_mem_limit_bytes"));
        if found.is_some_and(|line| line.ends_with(" 9437184")) { Ok(()) } else { Err(format!("{found:?}")) }
    });
    assert!(server.log().contains("statement: SET work_mem = '4MB'"), "{}", server.log());
    let _lock = server.hold("postgres", "BEGIN; LOCK TABLE pg_extension");
    wait_for("a question that the server gives up", LIMIT, || {
        let (_, report) = site.status()?;
        let mut sources = report["sources"].as_array().unwrap().iter();
        let fault = sources.find(|source| source["kind"] == "postgres").map(|source| source["fault"].to_string());
        if fault.is_some_and(|fault| fault.contains("(55P03)")) { Ok(()) } else { Err(report.to_string()) }
    });
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'plimsoll' AND wait_event_type = 'Lock'";
    server.until("postgres", waiting, "0");
}

/// An index is built anew under a lock of its own, which its table does not show.
#[test]
fn a_table_whose_index_is_built_anew_has_no_size_and_holds_up_nothing() {
    for release in VERSIONS {
        let server = start(release, "");
        let tables = "CREATE TABLE orders (id int PRIMARY KEY, note text); CREATE TABLE visits (id int)";
        server.sql("postgres", tables);
        let rebuild = server.hold("postgres", "BEGIN; REINDEX INDEX orders_pkey");
        let granted = "SELECT count(*) FROM pg_locks WHERE relation = 'orders_pkey'::regclass AND granted \
                       AND mode = 'AccessExclusiveLock'";
        server.until("postgres", granted, "1");
        let found = look(&server, "postgres");
        let own = |name| [("db.collection.name", name), ("postgresql.schema.name", "public")];
        assert!(found.all("postgresql.table.size", &own("orders")).is_empty(), "{release:?}");
        assert_eq!(found.all("postgresql.rows", &own("orders")).len(), 2, "{release:?}");
        assert_eq!(found.all("postgresql.table.size", &own("visits")).len(), 1, "{release:?}");
        drop(rebuild);
        server.until("postgres", granted, "0");
        assert_eq!(look(&server, "postgres").all("postgresql.table.size", &own("orders")).len(), 1, "{release:?}");
    }
}

/// Made in the database and not loaded by the server, or left at an old version by pg_upgrade: rounds go on, and the
/// status says what mends it.
#[test]
fn statements_that_are_not_counted_are_a_note_and_fail_no_round() {
    let look = |server: &Postgres| {
        let mut collector = Collector::new(settings(server, "plimsoll", "postgres"));
        let found = runtime().block_on(one(&mut collector, LIMIT));
        found.result.as_ref().unwrap();
        (collector.detail(), found)
    };
    let (told, found) = look(&start(Release::Here, "shared_preload_libraries = ''"));
    assert!(told.contains("shared_preload_libraries = 'pg_stat_statements'"), "{told}");
    assert_eq!(found.value("postgresql.statement.known", &[]), None);
    let server = start(Release::Here, "");
    server.sql("postgres", "DROP EXTENSION pg_stat_statements; CREATE EXTENSION pg_stat_statements VERSION '1.8'");
    let (told, found) = look(&server);
    assert!(told.contains("ALTER EXTENSION pg_stat_statements UPDATE"), "{told}");
    assert!(!found.all("postgresql.statement.calls", &[("db.namespace", "postgres")]).is_empty());
}

/// Nobody is asked again in seconds for what he refused, and the words say what is missing.
#[test]
fn a_server_that_wants_a_password_or_a_right_says_so_in_every_round() {
    let server = start(Release::Here, "");
    server.sql("postgres", "REVOKE pg_monitor FROM plimsoll");
    let runtime = runtime();
    let mut collector = Collector::new(settings(&server, "plimsoll", "postgres"));
    for _ in 0..2 {
        runtime.block_on(one(&mut collector, LIMIT)).result.unwrap();
        assert!(collector.detail().contains("GRANT pg_monitor TO plimsoll"), "{}", collector.detail());
    }
    let hba = server.socket().join("data/pg_hba.conf");
    std::fs::write(&hba, "host all postgres all trust\nhost all all all scram-sha-256\n").unwrap();
    server.signal(Signal::HUP);
    let denied = wait_for("a refusal", LIMIT, || {
        let mut collector = Collector::new(settings(&server, "plimsoll", "postgres"));
        match runtime.block_on(one(&mut collector, LIMIT)).result {
            Err(CollectError::Denied(why)) => Ok(why),
            other => Err(format!("{other:?}")),
        }
    });
    assert!(denied.contains("asks for a password, and none is given"), "{denied}");
}

/// Instances that wait to become the leader are idle by their own plan.
#[test]
fn who_waits_for_an_advisory_lock_is_not_held_up() {
    let server = start(Release::Here, "");
    let _leader = server.hold("postgres", "SELECT pg_advisory_lock(1)");
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted = ";
    server.until("postgres", &format!("{held} true"), "1");
    let _follower = server.hold("postgres", "SELECT pg_advisory_lock(1)");
    server.until("postgres", &format!("{held} false"), "1");
    let found = look(&server, "postgres");
    assert_eq!(found.value("postgresql.session.blocked", &[]), Some(0.0));
    let wanted = [("lock_type", "advisory"), ("mode", "ExclusiveLock")];
    assert_eq!(found.value("postgresql.database.locks", &wanted), Some(2.0), "they are still told as locks");
}
