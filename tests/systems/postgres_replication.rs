//! A primary, its standby and a subscription: who is behind, by how much, and who holds what back.

use std::time::Duration;

use plimsoll::collect::postgres;
use rustix::process::Signal;

use super::harness::wait_for;
use super::postgres::{look, settings};
use super::postgres_server::{Postgres, VERSIONS};
use super::release::{RELEASES, Release};
use super::round::{one, runtime};

const LIMIT: Duration = Duration::from_secs(20);
const BURN: &str = "DO $$ BEGIN FOR i IN 1..60 LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$";
const SLOT: &[(&str, &str)] = &[("slot", "s1")];

fn primary(release: Release) -> Postgres {
    let server = Postgres::start(
        release,
        "wal_level = logical\nmax_prepared_transactions = 5\narchive_mode = on\narchive_command = 'false'\n\
         wal_keep_size = 64MB\nautovacuum = off\nwal_receiver_status_interval = 1s\nhot_standby_feedback = off",
    );
    server.sql("postgres", "CREATE ROLE plimsoll LOGIN CONNECTION LIMIT 3; GRANT pg_monitor TO plimsoll");
    server.sql("postgres", "CREATE TABLE t (id int, note text); INSERT INTO t VALUES (1, 'a')");
    server
}

const STANDBY: &str = "recovery_min_apply_delay = 250ms\nwal_level = logical\nmax_prepared_transactions = 5\nwal_receiver_status_interval = 1s\n\
    max_standby_streaming_delay = 100ms\nwal_retrieve_retry_interval = 200ms";

#[test]
fn lag_slots_and_conflicts_are_told_by_both_sides() {
    for release in VERSIONS {
        let mut primary = primary(release);
        primary.sql("postgres", "SELECT pg_create_physical_replication_slot('s1', true)");
        let mut standby = primary.standby(&format!("{STANDBY}\nprimary_slot_name = 's1'\nhot_standby_feedback = on"));
        let level = "SELECT pg_last_wal_replay_lsn() IS NOT NULL AND status = 'streaming' FROM pg_stat_wal_receiver";
        standby.until("postgres", level, "t");
        primary.sql("postgres", "INSERT INTO t VALUES (2, 'b')");
        standby.until("postgres", "SELECT count(*) FROM t", "2");
        let own = [("application", "standby")];
        wait_for("a standby that is level", LIMIT, || {
            let found = look(&primary, "postgres");
            let nobody = [("db.namespace", "unknown")];
            assert!(found.all("postgresql.connection.count", &nobody).is_empty(), "a WAL sender is no client");
            assert_eq!(found.value("postgresql.replication.slot.safe", SLOT), None, "without a limit");
            assert_eq!(found.value("postgresql.standby", &[]), Some(0.0));
            assert_eq!(found.value("postgresql.timeline", &[]), Some(1.0));
            assert_eq!(found.value("postgresql.replication.slot.inactive", SLOT), None, "it is in use");
            assert_eq!(found.value("postgresql.replication.state", &[own[0], ("state", "streaming")]), Some(1.0));
            assert_eq!(found.value("postgresql.replication.slot.active", SLOT), Some(1.0));
            let behind = found.value("postgresql.replication.data_delay", &own).unwrap();
            if behind == 0.0 { Ok(()) } else { Err(format!("{behind} bytes")) }
        });
        wait_for("a delay of 0", LIMIT, || {
            let found = look(&standby, "postgres");
            assert_eq!(found.value("postgresql.standby", &[]), Some(1.0));
            assert_eq!(found.value("postgresql.wal.receiver.streaming", &[]), Some(1.0));
            assert_eq!(found.value("postgresql.recovery.min_apply_delay", &[]), Some(0.25));
            assert_eq!(found.value("postgresql.timeline", &[]), Some(1.0));
            match found.value("postgresql.replay.delay", &[]) {
                Some(0.0) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        paused(&primary, &standby);
        conflict(&primary, &standby);
        feedback(&primary, &standby, "slot");
        standby.down();
        abandoned(&primary, release);
        lost(&primary);
        standby.configure(&format!(
            "{STANDBY}\nhot_standby_feedback = on\n\
             primary_conninfo = 'host=127.0.0.1 port={} user=postgres application_name=standby'",
            primary.port
        ));
        primary.sql("postgres", "SELECT pg_drop_replication_slot('s1')");
        standby.up();
        standby.until("postgres", level, "t");
        feedback(&primary, &standby, "standby");
        failover(&mut primary, &standby);
    }
}

/// Nobody is left: no row at all, and a slot that keeps WAL.
fn abandoned(primary: &Postgres, release: Release) {
    primary.sql("postgres", "INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series(1, 20000) n");
    wait_for("a slot that nobody uses", LIMIT, || {
        let found = look(primary, "postgres");
        match found.value("postgresql.replication.slot.active", SLOT) {
            Some(0.0) => {
                assert_eq!(found.value("postgresql.replication.data_delay", &[("application", "standby")]), None);
                assert!(found.value("postgresql.replication.slot.retained", SLOT).unwrap() > 2e6);
                // 17 and later tell it.
                let inactive = found.value("postgresql.replication.slot.inactive", SLOT);
                assert_eq!(inactive.is_some_and(|seconds| seconds < 600.0), release == Release::Newest);
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    });
}

/// With a limit it is told what is left, and that it was too little.
fn lost(primary: &Postgres) {
    let set = |setting: &str| {
        primary.sql("postgres", &format!("ALTER SYSTEM SET {setting}"));
        primary.sql("postgres", "SELECT pg_reload_conf()");
    };
    set("max_slot_wal_keep_size = '1GB'");
    wait_for("what is left for the slot", LIMIT, || {
        let found = look(primary, "postgres");
        assert_eq!(found.value("postgresql.replication.slot.lost", SLOT), Some(0.0));
        match found.value("postgresql.replication.slot.safe", SLOT) {
            Some(safe) if safe > 5e8 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    set("max_slot_wal_keep_size = '1MB'");
    set("wal_keep_size = 0");
    wait_for("a slot that is lost", LIMIT, || {
        primary.sql("postgres", "INSERT INTO t VALUES (0, 'z'); SELECT pg_switch_wal()");
        primary.sql("postgres", "CHECKPOINT");
        match look(primary, "postgres").value("postgresql.replication.slot.lost", SLOT) {
            Some(1.0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

/// A standby without its primary is not level, whatever it has replayed; promoted, it is read as what it is now.
fn failover(primary: &mut Postgres, standby: &Postgres) {
    primary.down();
    let runtime = runtime();
    let mut collector = postgres::Postgres::new(settings(standby, "plimsoll", "postgres"));
    let mut read = || {
        let found = runtime.block_on(one(&mut collector, LIMIT));
        found.result.as_ref().unwrap_or_else(|error| panic!("{error}"));
        found
    };
    wait_for("a standby that receives nothing", LIMIT, || {
        let found = read();
        assert_eq!(found.value("postgresql.standby", &[]), Some(1.0));
        let streams = found.value("postgresql.wal.receiver.streaming", &[]);
        let delay = found.value("postgresql.replay.delay", &[]).unwrap();
        if streams == Some(0.0) && delay > 0.0 { Ok(()) } else { Err(format!("{streams:?} {delay}")) }
    });
    standby.sql("postgres", "SELECT pg_promote()");
    let found = read();
    assert_eq!(found.value("postgresql.standby", &[]), Some(0.0));
    assert_eq!(found.value("postgresql.replay.delay", &[]), None);
    assert_eq!(found.value("postgresql.timeline", &[]), Some(2.0));
    assert!(found.value("postgresql.wal.records", &[]).is_some(), "what only a primary tells");
}

/// With replay paused the bytes tell the truth.
fn paused(primary: &Postgres, standby: &Postgres) {
    standby.sql("postgres", "SELECT pg_wal_replay_pause()");
    standby.until("postgres", "SELECT pg_get_wal_replay_pause_state()", "paused");
    primary.sql("postgres", "INSERT INTO t SELECT n, repeat('y', 100) FROM generate_series(1, 10000) n");
    let own = [("application", "standby")];
    wait_for("bytes behind", LIMIT, || {
        let behind = look(primary, "postgres").value("postgresql.replication.data_delay", &own).unwrap();
        if behind > 1e6 { Ok(()) } else { Err(format!("{behind} bytes")) }
    });
    wait_for("bytes behind on the standby", LIMIT, || {
        let found = look(standby, "postgres");
        let behind = found.value("postgresql.replay.behind", &[]).unwrap();
        let delay = found.value("postgresql.replay.delay", &[]).unwrap();
        if behind > 1e6 && delay > 0.0 { Ok(()) } else { Err(format!("{behind} bytes, {delay} s")) }
    });
    standby.sql("postgres", "SELECT pg_wal_replay_resume()");
    wait_for("a delay of 0 again", LIMIT, || match look(standby, "postgres").value("postgresql.replay.delay", &[]) {
        Some(0.0) => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// A query that stands in the way of the replay is cancelled and counted.
fn conflict(primary: &Postgres, standby: &Postgres) {
    primary.sql("postgres", "CREATE TABLE doomed (id int)");
    standby.until("postgres", "SELECT count(*) FROM pg_class WHERE relname = 'doomed'", "1");
    let _reader = standby.hold("postgres", "BEGIN; SELECT * FROM doomed");
    standby.until("postgres", "SELECT count(*) FROM pg_locks WHERE relation = 'doomed'::regclass AND granted", "1");
    primary.sql("postgres", "DROP TABLE doomed");
    wait_for("a conflict", LIMIT, || {
        let kind = [("db.namespace", "postgres"), ("type", "lock")];
        match look(standby, "postgres").value("postgresql.conflicts", &kind) {
            Some(1.0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

/// A snapshot on the standby holds the horizon of the primary, under the name of its holder.
fn feedback(primary: &Postgres, standby: &Postgres, holder: &str) {
    let _reader = standby.hold("postgres", "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t");
    let held = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND backend_xmin IS NOT NULL";
    standby.until("postgres", held, "1");
    let age = || look(primary, "postgres").value("postgresql.xmin.age", &[("holder", holder)]).unwrap();
    let holds = "SELECT (SELECT count(*) FROM pg_replication_slots WHERE xmin IS NOT NULL) \
        + (SELECT count(*) FROM pg_stat_replication WHERE backend_xmin IS NOT NULL)";
    primary.until("postgres", holds, "1");
    primary.sql("postgres", BURN);
    wait_for("an old horizon", LIMIT, || if age() >= 60.0 { Ok(()) } else { Err(format!("{holder} {}", age())) });
}

#[test]
fn a_subscription_that_fails_and_every_holder_of_the_horizon_are_told() {
    for release in RELEASES {
        let server = primary(release);
        for database in ["source", "target"] {
            server.sql("postgres", &format!("CREATE DATABASE {database}"));
            server.sql(database, "CREATE TABLE item (id int PRIMARY KEY)");
        }
        server.sql("target", "INSERT INTO item VALUES (1)");
        server.sql("source", "CREATE PUBLICATION p FOR TABLE item");
        server.sql("source", "SELECT pg_create_logical_replication_slot('sub', 'pgoutput')");
        let from = format!("host=127.0.0.1 port={} user=postgres dbname=source password=secret-word", server.port);
        server.sql("target", &format!("CREATE SUBSCRIPTION sub CONNECTION '{from}' PUBLICATION p WITH (create_slot = false, copy_data = false)"));
        server.sql("source", "INSERT INTO item VALUES (1)");
        let mut all = String::new();
        wait_for("errors of the subscription", LIMIT, || {
            let found = look(&server, "postgres");
            all = format!("{:?}{:?}", found.samples.samples(), found.events);
            match found.value("postgresql.subscription.errors", &[("subscription", "sub"), ("type", "apply")]) {
                Some(errors) if errors >= 1.0 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        assert!(!all.contains("secret-word"));
        server.sql("target", "DELETE FROM item");
        server.until("target", "SELECT count(*) FROM item", "1");
        wait_for("a worker", LIMIT, || {
            match look(&server, "postgres").value("postgresql.subscription.workers", &[("subscription", "sub")]) {
                Some(1.0) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        let held = server.hold("postgres", "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t");
        server.until("postgres", "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'", "1");
        server.sql("postgres", BURN);
        let age = |holder| look(&server, "postgres").value("postgresql.xmin.age", &[("holder", holder)]);
        assert!(age("transaction").unwrap() >= 60.0);
        assert_eq!(age("prepared"), Some(0.0));
        drop(held);
        server.hold("postgres", "SELECT 1").then("BEGIN; INSERT INTO t VALUES (9, 'z'); PREPARE TRANSACTION 'two'");
        server.sql("postgres", "BEGIN; INSERT INTO t VALUES (9, 'z'); PREPARE TRANSACTION 'three'");
        server.sql("postgres", BURN);
        let found = look(&server, "postgres");
        assert!(found.value("postgresql.transaction.prepared", &[]).unwrap() >= 1.0);
        assert!(found.value("postgresql.xmin.age", &[("holder", "prepared")]).unwrap() >= 60.0);
        archive(&server);
        server.signal(Signal::INT);
    }
}

/// An archive command that fails, and the files that wait for it.
fn archive(server: &Postgres) {
    server.sql("postgres", "CREATE TABLE wal AS SELECT 1; SELECT pg_switch_wal()");
    wait_for("archiving that fails", LIMIT, || {
        let found = look(server, "postgres");
        let failed = found.value("postgresql.wal.archived", &[("result", "failed")]);
        let waiting = found.value("postgresql.wal.unarchived", &[]);
        assert_eq!(found.value("postgresql.wal.archived", &[("result", "archived")]), Some(0.0));
        match (failed, waiting) {
            (Some(failed), Some(waiting)) if failed >= 1.0 && waiting >= 1.0 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}
