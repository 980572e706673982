//! PostgreSQL: what was done in it is what is counted.

use std::process::Stdio;
use std::time::Duration;

use plimsoll::collect::postgres::session::Target;
use plimsoll::collect::postgres::{self, Settings};

use super::harness::wait_for;
use super::postgres_server::{Postgres, VERSIONS};
use super::release::Release;
use super::round::{Round, one, runtime};

const LIMIT: Duration = Duration::from_secs(40);

pub(crate) fn settings(server: &Postgres, user: &str, database: &str) -> Settings {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(server.port).user(user).dbname(database);
    config.application_name("plimsoll");
    let target = Target { name: "test".into(), config, password: None, tls: None }.bounded(Duration::from_secs(5));
    Settings { target, databases: None, top: 20 }
}

/// One round of a new collector.
pub(crate) fn look(server: &Postgres, database: &str) -> Round {
    let mut collector = postgres::Postgres::new(settings(server, "plimsoll", database));
    let found = runtime().block_on(one(&mut collector, LIMIT));
    found.result.as_ref().unwrap_or_else(|error| panic!("{error}: {}", server.log()));
    found
}

#[test]
fn what_is_done_is_what_is_counted_in_the_oldest_and_the_newest_version() {
    for release in VERSIONS {
        let server = Postgres::start(release, "");
        server.sql("postgres", "CREATE ROLE plimsoll LOGIN CONNECTION LIMIT 3; GRANT pg_monitor TO plimsoll");
        server.sql("postgres", "CREATE DATABASE shop");
        server.sql("shop", "CREATE EXTENSION pg_stat_statements");
        server.sql("shop", "CREATE TABLE orders (id int PRIMARY KEY, note text); INSERT INTO orders SELECT n, 'x' FROM generate_series(1, 1000) n; ANALYZE orders");
        server.sql("shop", "DELETE FROM orders WHERE id <= 100");
        for _ in 0..7 {
            server.sql("shop", "SELECT count(*) FROM orders WHERE note = 'secret-note'");
        }
        let mut lock = server.psql("shop");
        lock.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut holder = lock.spawn().unwrap();
        use std::io::Write as _;
        holder.stdin.as_mut().unwrap().write_all(b"BEGIN; LOCK TABLE orders;\n").unwrap();
        let locks = |wanted: &str| {
            let sql = format!("SELECT count(*) FROM pg_locks WHERE relation::regclass::text = 'orders' AND {wanted}");
            wait_for("a session with its lock", LIMIT, || match server.sql("shop", &sql).as_str() {
                "1" => Ok(()),
                other => Err(other.to_owned()),
            });
        };
        locks("mode = 'AccessExclusiveLock' AND granted");
        let mut waiter = server.psql("shop");
        let mut waiter = waiter.args(["-c", "UPDATE orders SET note = 'card 4111' WHERE id = 500"]).spawn().unwrap();
        locks("NOT granted");
        let runtime = runtime();
        let mut collector = postgres::Postgres::new(settings(&server, "plimsoll", "shop"));
        let found = runtime.block_on(one(&mut collector, LIMIT));
        found.result.as_ref().unwrap_or_else(|error| panic!("{release:?}: {error}"));
        let shop = ("db.namespace", "shop");
        assert_eq!(found.value("postgresql.connection.max", &[]), Some(20.0));
        assert_eq!(found.value("postgresql.session.blocked", &[]), Some(1.0));
        assert_eq!(found.value("postgresql.session.blocking", &[]), Some(1.0));
        assert_eq!(found.value("postgresql.connection.count", &[shop, ("state", "idle in transaction")]), Some(1.0));
        assert_eq!(found.value("postgresql.standby", &[]), Some(0.0));
        assert!(found.value("postgresql.commits", &[shop]).unwrap() >= 7.0, "{release:?}");
        assert!(found.all("postgresql.connection.count", &[("state", "unknown")]).is_empty(), "no background workers");
        assert!(found.value("postgresql.wal.records", &[]).unwrap() > 0.0, "{release:?}");
        assert!(!found.all("postgresql.block.io.time", &[]).is_empty(), "{release:?}: track_io_timing is on");
        // Of this view 16 has other columns than 18, and older versions nothing.
        let size = found.all("postgresql.io.size", &[]).iter().sum::<f64>();
        assert_eq!(size > 0.0, release == Release::Newest, "{release:?}: {size}");
        assert!(found.all("postgresql.wal.archived", &[]).is_empty(), "an archive that is off is none that works");
        eprintln!("{release:?} {} series {:?}", found.samples.samples().len(), found.names());
        holder.kill().unwrap();
        holder.wait().unwrap();
        waiter.wait().unwrap();
        // Nobody is left but ourselves, and we are no client that keeps anything open.
        wait_for("a server without clients", LIMIT, || {
            let found = runtime.block_on(one(&mut collector, LIMIT));
            let ages = ["transaction.age.max", "transaction.idle.max", "query.age.max"];
            let ages = ages.map(|name| found.value(&format!("postgresql.{name}"), &[]));
            let clients = found.all("postgresql.connection.count", &[]);
            if ages == [Some(0.0); 3] && clients.is_empty() { Ok(()) } else { Err(format!("{ages:?} {clients:?}")) }
        });
        let open = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'plimsoll' AND xact_start IS NOT NULL";
        assert_eq!(server.sql("postgres", open), "0", "{release:?}: between two rounds nothing is held back");
    }
}
