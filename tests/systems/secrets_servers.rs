//! Watched servers full of secrets: in statements that ran, run, wait and hold, in slow commands, in jobs.

use std::process::Command;
use std::time::Duration;

use super::harness::{Process, wait_for};
use super::mysql_server::{Kind, Mysql};
use super::postgres_server::{Held, Postgres};
use super::redis_server::Redis;
use super::release::Release;
use super::secrets::Secrets;

const SOON: Duration = Duration::from_secs(90);

/// A client that does `sql` and then waits.
fn busy(mut client: Command, sql: &str) -> Process {
    client.arg(sql);
    begun(client)
}

/// What it says goes to a file without a name.
fn begun(mut command: Command) -> Process {
    let log = tempfile::NamedTempFile::new().unwrap();
    Process::start(&mut command, log.path())
}

/// PostgreSQL with secrets in statements that ran, run, wait and hold, and in every kind of command.
pub(crate) fn postgres(secrets: &mut Secrets, password: &str) -> (Postgres, Vec<Held>, Vec<Process>) {
    let server = Postgres::start(Release::Here, "track_activity_query_size = 16kB");
    server.sql("postgres", &format!("CREATE ROLE plimsoll LOGIN PASSWORD '{password}'; GRANT pg_monitor TO plimsoll"));
    let hba = server.socket().join("data/pg_hba.conf");
    std::fs::write(&hba, "host all postgres all trust\nhost all all all scram-sha-256\n").unwrap();
    server.sql("postgres", "SELECT pg_reload_conf()");
    server.sql("postgres", "CREATE EXTENSION pg_stat_statements; CREATE TABLE orders (id int, note text)");
    server.sql("postgres", "INSERT INTO orders VALUES (1, 'a'); CREATE EXTENSION IF NOT EXISTS plpgsql");
    for (place, sql) in [
        ("a literal", "SELECT count(*) FROM orders WHERE note = 'SECRET'"),
        ("a text with an escape", "SELECT E'it\\'s SECRET'"),
        ("a dollar quote", "SELECT $a$SECRET$a$"),
        ("a comment", "SELECT /* SECRET */ 1 -- SECRET"),
        ("CREATE ROLE", "CREATE ROLE app LOGIN PASSWORD 'SECRET'"),
        ("ALTER ROLE", "ALTER ROLE app PASSWORD 'SECRET'"),
        ("ALTER USER", "ALTER USER app WITH ENCRYPTED PASSWORD 'SECRET'"),
        ("COPY", "COPY orders (note) FROM PROGRAM 'echo SECRET'"),
        ("COPY TO", "COPY (SELECT 'SECRET') TO PROGRAM 'cat > /dev/null'"),
        ("SET", "SET my.token = 'SECRET'"),
        ("DO", "DO $$ BEGIN PERFORM 'SECRET'; END $$"),
        ("COMMENT", "COMMENT ON TABLE orders IS 'SECRET'"),
        ("NOTIFY", "NOTIFY shop, 'SECRET'"),
        ("PREPARE", "PREPARE p AS SELECT 'SECRET'::text; EXECUTE p"),
        ("EXECUTE", "PREPARE q (text) AS SELECT $1; EXECUTE q('SECRET')"),
        ("a cursor", "BEGIN; DECLARE c CURSOR FOR SELECT 'SECRET'; COMMIT"),
        ("CREATE FUNCTION", "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT ''SECRET'''"),
        ("a subscription", "CREATE SUBSCRIPTION s CONNECTION 'password=SECRET' PUBLICATION p WITH (connect = false)"),
        ("EXPLAIN", "EXPLAIN SELECT 1 FROM orders WHERE note = 'SECRET'"),
        ("ALTER DATABASE", "ALTER DATABASE postgres SET my.token TO 'SECRET'"),
    ] {
        server.sql("postgres", &sql.replace("SECRET", &secrets.make(&format!("PostgreSQL, {place}"))));
    }
    let held = server.hold("postgres", &format!("BEGIN; UPDATE orders SET note = '{}'", secrets.make("a holder")));
    server.until("postgres", "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'", "1");
    let mut client = |place, sql: &str| {
        let mut psql = server.psql("postgres");
        psql.arg("-c");
        busy(psql, &sql.replace("SECRET", &secrets.make(place)))
    };
    let clients = vec![
        client("a statement that runs", "SELECT pg_sleep(300), 'SECRET'"),
        client("a statement that waits", "UPDATE orders SET note = 'SECRET' WHERE id = 1"),
    ];
    server.until("postgres", "SELECT count(*) FROM pg_locks WHERE NOT granted", "1");
    (server, vec![held], clients)
}

/// MySQL or MariaDB with the same.
pub(crate) fn mysql(kind: Kind, secrets: &mut Secrets, password: &str) -> (Mysql, Vec<Process>) {
    let server = Mysql::start(kind, &["--performance-schema=ON", "--log-bin=bin", "--server-id=1"]);
    server.sql(&format!(
        "CREATE USER plimsoll@'%' IDENTIFIED BY '{password}'; GRANT PROCESS ON *.* TO plimsoll@'%'; \
         GRANT SELECT ON performance_schema.* TO plimsoll@'%'; SET GLOBAL innodb_lock_wait_timeout = 300; \
         CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY, note VARCHAR(90)); \
         INSERT INTO shop.orders VALUES (1, 'a')"
    ));
    for (place, sql) in [
        ("a literal", "SELECT COUNT(*) FROM shop.orders WHERE note = 'SECRET'"),
        ("a double quote", "SELECT \"SECRET\""),
        ("a comment", "SELECT /* SECRET */ 1 # SECRET"),
        ("CREATE USER", "CREATE USER app@'%' IDENTIFIED BY 'SECRET'"),
        ("ALTER USER", "ALTER USER app@'%' IDENTIFIED BY 'SECRET'"),
        ("SET PASSWORD", "SET PASSWORD FOR app@'%' = 'SECRET'"),
        ("SET", "SET @token = 'SECRET'"),
        ("PREPARE", "PREPARE p FROM 'SELECT \"SECRET\"'; EXECUTE p"),
        ("a source", "CHANGE MASTER TO MASTER_PASSWORD = 'SECRET'"),
    ] {
        let old = "CHANGE MASTER TO MASTER_PASSWORD";
        let sql = if kind.is_mariadb() {
            sql.to_owned()
        } else {
            sql.replace(old, "CHANGE REPLICATION SOURCE TO SOURCE_PASSWORD")
        };
        let set = if kind.is_mariadb() { "= PASSWORD('SECRET')" } else { "= 'SECRET'" };
        let sql = if place == "SET PASSWORD" { sql.replace("= 'SECRET'", set) } else { sql };
        server.sql(&sql.replace("SECRET", &secrets.make(&format!("{kind:?}, {place}"))));
    }
    let mut client = |place: &str, sql: &str| {
        let mut client = server.client();
        client.args(["-N", "-e"]);
        busy(client, &sql.replace("SECRET", &secrets.make(&format!("{kind:?}, {place}"))))
    };
    let holder = client("a holder", "BEGIN; UPDATE shop.orders SET note = 'SECRET'; SELECT SLEEP(300), 'SECRET'");
    let holds = "DO SLEEP(0.2); SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_rows_modified = 1";
    wait_for("a transaction with its lock", SOON, || match server.sql(holds).as_str() {
        "1" => Ok(()),
        other => Err(other.to_owned()),
    });
    // A session for which a backslash is only a backslash.
    let update = "SET sql_mode = 'NO_BACKSLASH_ESCAPES'; UPDATE shop.orders SET note = CONCAT('a\\', 'SECRET')";
    let waiter = client("a statement that waits", update);
    (server, vec![holder, waiter])
}

/// Redis with secrets in its slow log, its keys and its jobs.
pub(crate) fn redis(secrets: &mut Secrets, password: &str) -> Redis {
    let server = Redis::start(Release::Here, "redis-server", &["--slowlog-log-slower-than", "0"]);
    server.ask(&["ACL", "SETUSER", "plimsoll", "on", &format!(">{password}"), "~*", "+@all"]);
    let job = |secrets: &mut Secrets, kind: &str| {
        format!("{{\"class\":\"Mail\",\"enqueued_at\":1795470483,\"args\":[\"{}\"]}}", secrets.make(kind))
    };
    server.ask(&["HSET", "bull:mail:meta", "version", "bullmq:6.7.0"]);
    server.ask(&["HSET", "bull:mail:1", "timestamp", "1795470483000", "data", &job(secrets, "a job of BullMQ")]);
    server.ask(&["LPUSH", "bull:mail:wait", "1"]);
    server.ask(&["SADD", "queues", "default"]);
    server.ask(&["LPUSH", "queue:default", &job(secrets, "a job of Sidekiq")]);
    server.ask(&["LPUSH", "celery", &job(secrets, "a task of Celery")]);
    server.ask(&["XADD", "orders", "*", "card", &job(secrets, "an entry of a stream")]);
    server.ask(&["XGROUP", "CREATE", "orders", "billing", "0"]);
    server
}

/// Commands whose arguments stand in the slow log; again and again, as only new ones are told.
pub(crate) fn slow_commands(server: &Redis, secrets: &[String; 4]) {
    let [token, login, user, script] = secrets;
    server.ask(&["SET", &format!("token:{token}"), token]);
    // It is refused, and says so.
    let _refused = server.try_ask(&["AUTH", "nobody", login]).is_err();
    server.ask(&["ACL", "SETUSER", "other", "on", &format!(">{user}")]);
    server.ask(&["EVAL", &format!("return '{script}'"), "0"]);
}

/// A process that is among the first in CPU time, with a secret on its command line and in its environment.
pub(crate) fn process(secrets: &mut Secrets) -> Process {
    let mut busy = Command::new("/usr/bin/perl");
    busy.args(["-e", "$0 = 'shopworker'; 1 while 1", "--"])
        .arg(format!("--password={}", secrets.make("a command line")));
    busy.env("DATABASE_PASSWORD", secrets.make("an environment"));
    let process = begun(busy);
    let id = rustix::process::Pid::from_raw(i32::try_from(process.id()).unwrap());
    rustix::process::setpriority_process(id, 19).unwrap();
    process
}
