//! The agent's share of a box with all collectors on: the host, PostgreSQL, pgbouncer, MariaDB, Redis with the queues of
//! BullMQ, Sidekiq and Celery, RabbitMQ and NATS, every 15 s, found or named as on any box.
//!
//!     cargo build --profile release-dev && cargo bench --profile dev --bench share -- --agent target/release-dev/plimsoll
//!
//! `--few` leaves it at the host, PostgreSQL, Redis and NATS, to see what the others add.
//!
//! The servers are those of the tests (`tests/run` installs them). After a minute to settle, CPU and memory of two.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on says so and ends"
)]

#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/harness.rs"]
mod harness;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/mysql.rs"]
mod mysql_server;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/nats.rs"]
mod nats_server;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/pgbouncer.rs"]
mod pgbouncer_server;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/postgres.rs"]
mod postgres_server;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/rabbitmq.rs"]
mod rabbitmq_server;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/redis.rs"]
mod redis_server;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/release.rs"]
mod release;
#[path = "agent/usage.rs"]
mod usage;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/worker.rs"]
mod worker;

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use harness::{Process, Site, wait_for};
use mysql_server::{Kind, Mysql};
use nats_server::Nats;
use pgbouncer_server::Pooler;
use postgres_server::Postgres;
use rabbitmq_server::Rabbitmq;
use redis_server::Redis;
use release::{Folder, Release};
use usage::Usage;
use worker::Worker;

const SETTLE: Duration = Duration::from_secs(60);
const MEASURED: Duration = Duration::from_secs(120);

/// A worker of Sidekiq and its jobs.
fn sidekiq(url: &str) -> (Folder, Process) {
    let folder = Release::Here.folder("redis");
    let script = folder.write("sidekiq.rb", include_str!("../tests/systems/workers/sidekiq.rb"));
    let mut produce = Release::Here.command("redis", "/usr/bin/ruby");
    assert!(produce.args([&script, "produce"]).env("REDIS_URL", url).output().unwrap().status.success());
    let mut work = Release::Here.command("redis", "/usr/bin/sidekiq");
    work.args(["-r", &script, "-q", "mail", "-c", "2"]).env("REDIS_URL", url);
    let process = Process::start(&mut work, &folder.path().join("log"));
    (folder, process)
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let agent = arguments.iter().position(|word| word == "--agent").and_then(|at| arguments.get(at + 1));
    let agent = agent.map_or(env!("CARGO_BIN_EXE_plimsoll"), String::as_str);

    let mut rabbitmq = Rabbitmq::start(Release::Here);
    let postgres = Postgres::start(Release::Here, "");
    postgres.sql("postgres", "CREATE ROLE plimsoll LOGIN CONNECTION LIMIT 3; GRANT pg_monitor TO plimsoll");
    postgres.sql("postgres", "CREATE DATABASE shop");
    postgres.sql("postgres", "CREATE EXTENSION pg_stat_statements; CREATE TABLE t (id int)");
    let pooler = Pooler::start(Release::Here, &postgres);
    let mysql = Mysql::start(Kind::Mariadb10, &["--performance-schema=ON", "--log-bin=bin", "--server-id=1"]);
    let grants = "PROCESS, BINLOG MONITOR, SLAVE MONITOR";
    mysql.sql(&format!(
        "CREATE USER plimsoll@'%' IDENTIFIED BY 'pw'; GRANT {grants} ON *.* TO plimsoll@'%'; \
         GRANT SELECT ON performance_schema.* TO plimsoll@'%'"
    ));
    let redis = Redis::start(Release::Here, "redis-server", &[]);
    let url = format!("redis://127.0.0.1:{}/0", redis.port);
    let nats = Nats::start(Release::Here);
    let mut jetstream = nats.client();
    jetstream.orders();
    let _workers =
        [Worker::node("bull.js", &["bullmq6", &redis.port.to_string()]), Worker::python("celery_work.py", &[&url])];
    let _sidekiq = sidekiq(&url);
    rabbitmq.ready();
    let _rabbit = Worker::python("rabbit.py", &[&rabbitmq.port.to_string()]);

    let site = Site::new();
    let password = site.path("password");
    std::fs::write(&password, "pw").unwrap();
    let password = password.display();
    let few = format!(
        "collect:\n  postgres: [ {{ url: \"postgres://plimsoll@127.0.0.1:{}/postgres\" }} ]\n  redis: [ {{ url: \
         \"{url}\", queues: {{ bullmq: [], sidekiq: [] }} }} ]\n  nats: [ {{ url: \"http://127.0.0.1:{}\" }} ]\n",
        postgres.port, nats.web
    );
    let all = format!(
        "collect:\n  postgres: [ {{ url: \"postgres://plimsoll@127.0.0.1:{}/postgres\" }} ]\n  \
         pgbouncer: [ {{ url: \"postgres://plimsoll@127.0.0.1:{}\" }} ]\n  \
         mysql: [ {{ url: \"mysql://plimsoll@127.0.0.1:{}\", password: {{ file: {password} }} }} ]\n  \
         redis: [ {{ url: \"{url}\", queues: {{ celery: [work, celery] }} }} ]\n  \
         rabbitmq: [ {{ url: \"http://127.0.0.1:{}\", username: plimsoll, password: {{ file: {password} }} }} ]\n  \
         nats: [ {{ url: \"http://127.0.0.1:{}\" }} ]\n",
        postgres.port, pooler.port, mysql.port, rabbitmq.web, nats.web
    );
    let (config, servers) = if arguments.iter().any(|word| word == "--few") { (few, 3) } else { (all, 6) };
    site.config(&config);
    let mut command = Command::new(agent);
    command.arg("run").arg("--config").arg(site.path("plimsoll.yaml")).arg("--state").arg(site.state());
    let mut running = Process::start(&mut command, &site.path("agent.log"));
    wait_for("all collectors", Duration::from_secs(60), || {
        running.check();
        let page = site.metrics()?;
        let up = page.lines().filter(|line| line.starts_with("up{") && line.ends_with(" 1")).count();
        if up == servers { Ok(()) } else { Err(page) }
    });
    sleep(SETTLE);
    report(agent, &site, &mut running);
}

fn report(agent: &str, site: &Site, running: &mut Process) {
    let before = Usage::of(running.id());
    sleep(MEASURED);
    running.check();
    let after = Usage::of(running.id());
    let share = (after.cpu_seconds - before.cpu_seconds) / MEASURED.as_secs_f64();
    let page = site.metrics().unwrap();
    let series = page.lines().filter(|line| !line.starts_with('#')).count();
    println!("{agent}: {series} series on the page");
    println!("resident {:.1} MiB, most {:.1} MiB", mib(after.bytes), mib(after.peak_bytes));
    println!("{:.2} ms of CPU a second: {:.2} % of a core", share * 1e3, share * 100.0);
    for line in page.lines().filter(|line| line.starts_with("plimsoll_collect_duration_seconds{")) {
        println!("  {line}");
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
