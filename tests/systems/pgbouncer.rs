//! pgbouncer, of both releases before this release's PostgreSQL: a known number of clients that wait.

use std::time::Duration;

use plimsoll::collect::CollectError;
use plimsoll::collect::pgbouncer::Pgbouncer;
use rustix::process::Signal;

use super::harness::{Site, wait_for};
use super::pgbouncer_server::Pooler;
use super::postgres::settings;
use super::postgres_server::Postgres;
use super::release::{RELEASES, Release};
use super::round::{one, runtime};

const LIMIT: Duration = Duration::from_secs(40);
const SHOP: [(&str, &str); 1] = [("db.namespace", "shop")];

fn collector(server: &Postgres, port: u16) -> Pgbouncer {
    let mut target = settings(server, "plimsoll", "pgbouncer").target;
    target.config = tokio_postgres::Config::new();
    target.config.host("127.0.0.1").port(port).user("plimsoll").dbname("pgbouncer");
    Pgbouncer::new(target)
}

#[test]
fn a_pgbouncer_that_hangs_costs_one_round_and_a_restarted_one_is_read_again() {
    let server = Postgres::start(Release::Here, "");
    server.sql("postgres", "CREATE DATABASE shop");
    let mut pooler = Pooler::start(Release::Here, &server);
    let runtime = runtime();
    let mut collector = collector(&server, pooler.port);
    runtime.block_on(one(&mut collector, LIMIT)).result.unwrap();
    pooler.process().signal(Signal::STOP);
    let hung = runtime.block_on(one(&mut collector, Duration::from_millis(300))).result;
    assert!(matches!(hung, Err(CollectError::Timeout(_))), "{hung:?}");
    pooler.process().signal(Signal::CONT);
    runtime.block_on(one(&mut collector, LIMIT)).result.unwrap();
    pooler.process().kill();
    let gone = runtime.block_on(one(&mut collector, LIMIT)).result;
    assert!(matches!(gone, Err(CollectError::Connect(_))), "{gone:?}");
    pooler.up(&server);
    let found = runtime.block_on(one(&mut collector, LIMIT));
    found.result.as_ref().unwrap();
    assert_eq!(found.value("pgbouncer.pool.size", &SHOP), Some(2.0));
}

/// Who may log in and may not look is told what it takes, and does not come again in seconds.
#[test]
fn a_console_that_is_closed_says_what_opens_it() {
    let server = Postgres::start(Release::Here, "");
    server.sql("postgres", "CREATE DATABASE shop");
    for release in RELEASES {
        let pooler = Pooler::start(release, &server);
        let mut target = settings(&server, "plimsoll", "pgbouncer").target;
        target.config = tokio_postgres::Config::new();
        target.config.host("127.0.0.1").port(pooler.port).user("stranger").dbname("pgbouncer");
        let told = runtime().block_on(one(&mut Pgbouncer::new(target), LIMIT)).result;
        let named = matches!(&told, Err(CollectError::Denied(why)) if why.contains("stats_users"));
        assert!(named, "{release:?}: {told:?}");
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "one story, told once for each version")]
fn an_exhausted_pool_and_a_paused_database_are_told() {
    let server = Postgres::start(Release::Here, "");
    server.sql("postgres", "CREATE DATABASE shop");
    for release in RELEASES {
        let pooler = Pooler::start(release, &server);
        let port = pooler.port;
        for _ in 0..6 {
            assert!(pooler.psql(&server, "shop", "SELECT 1").output().unwrap().status.success());
        }
        assert!(pooler.psql(&server, "shop", "SELECT pg_sleep(0.2)").output().unwrap().status.success());
        let runtime = runtime();
        let mut collector = collector(&server, port);
        let found = runtime.block_on(one(&mut collector, LIMIT));
        found.result.as_ref().unwrap_or_else(|error| panic!("{release:?}: {error}"));
        // Microseconds, and since the start: an average of a minute would still be 0.
        for name in ["pgbouncer.query.time", "pgbouncer.transaction.time"] {
            let time = found.value(name, &SHOP).unwrap();
            assert!((0.2..60.0).contains(&time), "{release:?}: {name} {time}");
        }
        let assigned = found.value("pgbouncer.server.assignments", &SHOP);
        assert_eq!(assigned.is_some_and(|count| count >= 7.0), release == Release::Newest, "{release:?}: {assigned:?}");
        assert_eq!(found.value("pgbouncer.pool.reserve", &SHOP), Some(3.0), "{release:?}: its column has two names");
        assert!(pooler.psql(&server, "pgbouncer", "PAUSE shop").output().unwrap().status.success());
        let found = runtime.block_on(one(&mut collector, LIMIT));
        assert_eq!(found.value("pgbouncer.database.paused", &SHOP), Some(1.0));
        assert!(pooler.psql(&server, "pgbouncer", "RESUME shop").output().unwrap().status.success());
        let sleep = || pooler.psql(&server, "shop", "SELECT pg_sleep(300)").spawn().unwrap();
        let mut clients: Vec<_> = (0..5).map(|_| sleep()).collect();
        let pool = [SHOP[0], ("user.name", "postgres")];
        wait_for("three clients that wait", LIMIT, || {
            let found = runtime.block_on(one(&mut collector, LIMIT));
            let waiting = found.value("pgbouncer.client.waiting", &pool);
            let with = |state| [pool[0], pool[1], ("state", state)];
            let active = found.value("pgbouncer.server.connections", &with("active"));
            // Three may wait before the others have come and both connections are open.
            if [waiting, active] != [Some(3.0), Some(2.0)] {
                return Err(format!("{waiting:?} {active:?}"));
            }
            assert_eq!(found.value("pgbouncer.client.connections", &with("active")), Some(2.0));
            assert!(found.value("pgbouncer.client.wait.max", &pool).unwrap() > 0.0);
            assert_eq!(found.value("pgbouncer.pool.size", &SHOP), Some(2.0));
            assert_eq!(found.value("pgbouncer.clients.limit", &[]), Some(50.0));
            assert_eq!(found.value("pgbouncer.database.paused", &SHOP), Some(0.0));
            assert!(found.value("pgbouncer.queries", &SHOP).unwrap() >= 7.0);
            assert!(found.value("pgbouncer.clients", &[]).unwrap() >= 5.0);
            assert!(found.all("pgbouncer.pool.size", &[("db.namespace", "pgbouncer")]).is_empty(), "its own console");
            Ok(())
        });
        agent(port);
        for client in &mut clients {
            client.kill().unwrap();
            client.wait().unwrap();
        }
        server.sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shop'");
    }
}

/// The same by a config file.
fn agent(port: u16) {
    let site = Site::new();
    site.config(&format!("collect:\n  pgbouncer:\n    - url: postgres://plimsoll@127.0.0.1:{port}\n"));
    let _agent = site.start();
    wait_for("the clients that wait on the agent's page", LIMIT, || {
        let page = site.metrics()?;
        let found = page
            .lines()
            .any(|line| line.starts_with("pgbouncer_client_waiting") && line.contains("shop") && line.ends_with(" 3"));
        if found { Ok(()) } else { Err(page) }
    });
}
