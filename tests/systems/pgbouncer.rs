//! pgbouncer, of both releases before this release's PostgreSQL: a known number of clients that wait.

use std::time::Duration;

use plimsoll::collect::pgbouncer::Pgbouncer;

use super::harness::{Process, Site, free_port, wait_for};
use super::postgres::settings;
use super::postgres_server::Postgres;
use super::release::{Folder, RELEASES, Release};
use super::round::{one, runtime};

const LIMIT: Duration = Duration::from_secs(10);
const SHOP: [(&str, &str); 1] = [("db.namespace", "shop")];

/// A psql through the pooler.
fn psql(server: &Postgres, port: u16, user: &str, database: &str, sql: &str) -> std::process::Command {
    let mut command = server.psql(database);
    command.args(["-p", &port.to_string(), "-U", user, "-Atc", sql]);
    command
}

/// A pgbouncer before `server`, with two server connections for the database `shop`, that has passed on one query.
fn start(release: Release, server: &Postgres) -> (Folder, Process, u16) {
    let folder = release.folder("postgres");
    let users = folder.write("users", "\"postgres\" \"\"\n\"plimsoll\" \"\"\n");
    let port = free_port();
    let ini = folder.write(
        "pgbouncer.ini",
        &format!(
            "[databases]\nshop = host=127.0.0.1 port={} dbname=shop user=postgres pool_size=2\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n\
             auth_file = {users}\nadmin_users = postgres\nstats_users = plimsoll\nmax_client_conn = 50\n\
             ignore_startup_parameters = extra_float_digits,options\n",
            server.port
        ),
    );
    let mut command = release.command("postgres", &release.program(&["/usr/sbin/pgbouncer"]));
    let mut process = Process::start(command.arg(&ini), &folder.path().join("log"));
    wait_for("a pgbouncer that answers", LIMIT, || {
        process.check();
        let output = psql(server, port, "postgres", "shop", "SELECT 1").output().unwrap();
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    });
    (folder, process, port)
}

#[test]
#[allow(clippy::too_many_lines, reason = "one story, told once for each version")]
fn an_exhausted_pool_and_a_paused_database_are_told() {
    let server = Postgres::start(Release::Here, "");
    server.sql("postgres", "CREATE DATABASE shop");
    for release in RELEASES {
        let (_folder, _pooler, port) = start(release, &server);
        for _ in 0..6 {
            assert!(psql(&server, port, "postgres", "shop", "SELECT 1").output().unwrap().status.success());
        }
        let mut target = settings(&server, "plimsoll", "pgbouncer").target;
        target.config = tokio_postgres::Config::new();
        target.config.host("127.0.0.1").port(port).user("plimsoll").dbname("pgbouncer");
        let runtime = runtime();
        let mut collector = Pgbouncer::new(target);
        let found = runtime.block_on(one(&mut collector, LIMIT));
        found.result.unwrap_or_else(|error| panic!("{release:?}: {error}"));
        assert!(psql(&server, port, "postgres", "pgbouncer", "PAUSE shop").output().unwrap().status.success());
        let found = runtime.block_on(one(&mut collector, LIMIT));
        assert_eq!(found.value("pgbouncer.database.paused", &SHOP), Some(1.0));
        assert!(psql(&server, port, "postgres", "pgbouncer", "RESUME shop").output().unwrap().status.success());
        let sleep = || psql(&server, port, "postgres", "shop", "SELECT pg_sleep(20)").spawn().unwrap();
        let mut clients: Vec<_> = (0..5).map(|_| sleep()).collect();
        let pool = [SHOP[0], ("user.name", "postgres")];
        wait_for("three clients that wait", LIMIT, || {
            let found = runtime.block_on(one(&mut collector, LIMIT));
            let waiting = found.value("pgbouncer.client.waiting", &pool);
            if waiting != Some(3.0) {
                return Err(format!("{waiting:?}"));
            }
            let with = |state| [pool[0], pool[1], ("state", state)];
            assert_eq!(found.value("pgbouncer.server.connections", &with("active")), Some(2.0));
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
