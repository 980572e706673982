//! Servers that are only large: statements, arguments and jobs of 5 MB, and more of them than anybody looks at.

use std::io::Write as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use plimsoll::collect::dial::Address;
use plimsoll::collect::mysql::{self, Settings, options};
use plimsoll::collect::postgres;
use plimsoll::collect::redis::Redis as RedisCollector;
use plimsoll::collect::redis::queues::{Queues, Wanted};

use super::breaker::is_plain;
use super::harness::wait_for;
use super::mysql_server::{Kind, Mysql};
use super::postgres::settings;
use super::postgres_server::Postgres;
use super::redis::target;
use super::redis_server::Redis;
use super::release::{RELEASES, Release};
use super::round::{Round, one, runtime};

const LIMIT: Duration = Duration::from_secs(10);
/// A lock that is waited for is told after five seconds.
const SOON: Duration = Duration::from_secs(40);

/// `begin`, five megabytes of a text that is a secret, `end`.
fn long(begin: &str, end: &str) -> String {
    format!("{begin}'marker-{}'{end}", "x".repeat(5 << 20))
}

/// Feeds `sql` to a client, which may wait long for its end.
fn feed(mut command: std::process::Command, sql: String) -> Child {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    std::thread::spawn(move || {
        // Whoever waits for a lock reads on; whoever was killed does not.
        let _gone = input.write_all(sql.as_bytes()).and_then(|()| input.write_all(b";\n")).is_err();
    });
    child
}

fn end(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Who waits, in a record of a bounded length without what the statement holds.
fn is_told(found: &Round, name: &str) -> Result<(), String> {
    found.result.as_ref().map_err(ToString::to_string)?;
    is_plain(found);
    let told = found.events.iter().find(|event| event.name == name).ok_or(format!("no {name}"))?;
    let all = format!("{:?}{:?}", found.samples.samples(), found.events);
    assert!(!all.contains("marker-") && !all.contains("xxxx"), "{all}");
    assert!(told.body.contains("UPDATE orders SET note = ?") && told.body.len() < 4500, "{}", told.body);
    Ok(())
}

#[test]
fn a_statement_of_five_megabytes_that_runs_waits_or_is_kept_is_told_in_bounded_texts_by_postgresql() {
    for release in RELEASES {
        // The most that the server keeps of what a session does, of each.
        let server = Postgres::start(release, "track_activity_query_size = 1MB");
        server.sql("postgres", "CREATE ROLE plimsoll LOGIN CONNECTION LIMIT 3; GRANT pg_monitor TO plimsoll");
        server.sql("postgres", "CREATE EXTENSION pg_stat_statements; CREATE TABLE orders (id int, note text)");
        server.sql("postgres", "INSERT INTO orders VALUES (1, 'a')");
        let _holder = server.hold("postgres", "BEGIN; UPDATE orders SET note = 'held' WHERE id = 1");
        server.until("postgres", "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'", "1");
        let mut clients: Vec<Child> =
            (0..8).map(|_| feed(server.psql("postgres"), long("UPDATE orders SET note = ", " WHERE id = 1"))).collect();
        server.until("postgres", "SELECT count(*) FROM pg_locks WHERE NOT granted", "8");
        let size = "SELECT max(length(query)) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        assert_eq!(server.sql("postgres", size), (1_048_576 - 1).to_string(), "the server keeps a MB of it");
        let runtime = runtime();
        let mut collector = postgres::Postgres::new(settings(&server, "plimsoll", "postgres"));
        wait_for("a session that is blocked", SOON, || {
            let found = runtime.block_on(one(&mut collector, LIMIT));
            is_told(&found, "postgresql.blocked_session")?;
            assert_eq!(found.value("postgresql.session.blocked", &[]), Some(8.0));
            Ok(())
        });
        clients.iter_mut().for_each(end);
        // It is kept too, with its text of 5 MB, once it has ended.
        let done = feed(server.psql("postgres"), long("SELECT count(*), ", " AS kept FROM orders")).wait().unwrap();
        assert!(done.success());
        let mut collector = postgres::Postgres::new(settings(&server, "plimsoll", "postgres"));
        let found = runtime.block_on(one(&mut collector, LIMIT));
        assert!(found.result.is_ok() && is_plain(&found) > 0, "{:?}", found.result);
        let told = found.events.iter().any(|event| event.body.starts_with("SELECT count(*), $1 AS kept"));
        assert!(told && !format!("{:?}", found.events).contains("marker-"), "{:?}", found.events);
    }
}

fn own(server: &Mysql) -> mysql::Mysql {
    let opts = options(&Address::Tcp("127.0.0.1".into(), server.port), Some("plimsoll"), Some("word"), None);
    mysql::Mysql::new(Settings { name: "test".into(), opts, top: 20 })
}

fn start(kind: Kind) -> Mysql {
    let options = [
        "--performance-schema=ON",
        "--performance-schema-digests-size=20000",
        "--max-digest-length=1048576",
        "--performance-schema-max-digest-length=65536",
        "--max-allowed-packet=64M",
        "--innodb-lock-wait-timeout=300",
    ];
    let server = Mysql::start(kind, &options);
    server.sql(
        "CREATE USER plimsoll@'%' IDENTIFIED BY 'word'; GRANT PROCESS ON *.* TO plimsoll@'%'; \
         GRANT SELECT ON performance_schema.* TO plimsoll@'%'; CREATE DATABASE shop; \
         CREATE TABLE shop.orders (id INT PRIMARY KEY, note LONGTEXT); INSERT INTO shop.orders VALUES (1, 'a')",
    );
    server
}

fn in_shop(server: &Mysql) -> std::process::Command {
    let mut client = server.client();
    client.args(["--max-allowed-packet=64M", "shop"]);
    client
}

#[test]
fn a_statement_of_five_megabytes_and_ten_thousand_digests_are_bounded_in_mysql_and_mariadb() {
    for kind in [Kind::Mariadb10, Kind::Mysql] {
        let server = start(kind);
        let sql = |number| format!("SELECT {number} AS a{number}, 'marker-{number}';\n");
        let many: String = (0..10_500).map(sql).collect();
        assert!(feed(in_shop(&server), many).wait().unwrap().success());
        // As long as it can be without a literal: names.
        let wide: Vec<String> = (0..9000).map(|number| format!("id AS a_name_of_some_length_{number}")).collect();
        for part in wide.chunks(4000) {
            assert!(
                feed(in_shop(&server), format!("SELECT {} FROM orders", part.join(", "))).wait().unwrap().success()
            );
        }
        let kept = "SELECT COUNT(*) FROM performance_schema.events_statements_summary_by_digest";
        assert!(server.sql(kept).parse::<f64>().unwrap() > 10_000.0, "{kind:?}");
        let update = |more: &str| long("BEGIN; UPDATE orders SET note = ", &format!(" WHERE id = 1; {more}"));
        let mut holder = feed(in_shop(&server), update("DO SLEEP(300)"));
        let holds = "DO SLEEP(0.2); SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_rows_modified = 1";
        wait_for("a transaction with its lock", SOON, || match server.sql(holds).as_str() {
            "1" => Ok(()),
            other => Err(other.to_owned()),
        });
        let mut waiter = feed(in_shop(&server), update("ROLLBACK"));
        let runtime = runtime();
        let mut collector = own(&server);
        let mut calls = 0;
        wait_for("a session that is blocked", SOON, || {
            server.sql("DO SLEEP(0.2)");
            let found = runtime.block_on(one(&mut collector, LIMIT));
            calls = found.all("mysql.statement.calls", &[]).len();
            is_told(&found, "mysql.blocked_session")
        });
        assert!((1..=40).contains(&calls), "{kind:?}: {calls} of more than 10,000");
        end(&mut holder);
        end(&mut waiter);
    }
}

#[test]
fn arguments_and_jobs_of_five_megabytes_take_nothing_from_a_round_of_redis() {
    let server = Redis::start(Release::Here, "redis-server", &["--slowlog-log-slower-than", "0"]);
    let runtime = runtime();
    let names = |prefix: &str| (0..10).map(|number| format!("{prefix}{number}")).collect::<Vec<_>>();
    let queues = Queues::new(Wanted::Named(names("mail")), Wanted::Auto, names("celery"), names("orders"));
    let mut collector = RedisCollector::new(target(server.port), queues);
    runtime.block_on(one(&mut collector, LIMIT)).result.unwrap();
    // Jobs of every kind as large as this, and their arguments in the slow log.
    let fill = "local job = '{\"class\":\"Mail\",\"enqueued_at\":1795470483.5,\"args\":[\"marker-' .. \
        string.rep('x', 5242880) .. '\"]}' \
        for i = 0, 9 do redis.call('SADD', 'queues', 's' .. i) redis.call('LPUSH', 'queue:s' .. i, job) \
        redis.call('LPUSH', 'celery' .. i, job) redis.call('XADD', 'orders' .. i, '*', 'job', job) \
        redis.call('XGROUP', 'CREATE', 'orders' .. i, 'billing', '0') \
        redis.call('HSET', 'bull:mail' .. i .. ':1', 'data', job, 'timestamp', '1795470483500') \
        redis.call('HSET', 'bull:mail' .. i .. ':meta', 'version', 'bullmq:6.7.0') \
        redis.call('LPUSH', 'bull:mail' .. i .. ':wait', '1') end";
    server.ask(&["EVAL", fill, "0"]);
    let text = std::env::temp_dir().join(format!("plimsoll-{}-argument", std::process::id()));
    std::fs::write(&text, format!("marker-{}", "x".repeat(5 << 20))).unwrap();
    let mut cli = std::process::Command::new("/usr/bin/redis-cli");
    cli.args(["-p", &server.port.to_string(), "-x", "SET", "one"]).stdin(std::fs::File::open(&text).unwrap());
    assert!(cli.stdout(Stdio::null()).status().unwrap().success());
    std::fs::remove_file(&text).unwrap();
    let found = runtime.block_on(one(&mut collector, LIMIT));
    found.result.as_ref().unwrap();
    is_plain(&found);
    let all = format!("{:?}{:?}", found.samples.samples(), found.events);
    assert!(!all.contains("marker-") && !all.contains("xxxx"), "{all}");
    assert!(found.events.iter().any(|event| event.body.starts_with("SET with 2 arguments")), "{:?}", found.events);
    for (system, queue) in [("bullmq", "mail9"), ("sidekiq", "s9"), ("celery", "celery9")] {
        let own = [("messaging.system", system), ("messaging.destination.name", queue), ("state", "ready")];
        assert_eq!(found.value("queue.messages", &own), Some(1.0), "{system}");
    }
    let stream = [("messaging.destination.name", "orders9")];
    assert_eq!(found.value("redis.stream.length", &stream), Some(1.0));
    let age = found.value("queue.oldest.age", &[("messaging.system", "sidekiq"), ("messaging.destination.name", "s9")]);
    assert!(age.is_some(), "the age stands in the job");
}
