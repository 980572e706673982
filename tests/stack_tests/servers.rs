//! Watched servers through the config: what was done in them stands in a real Prometheus, under the server's own name.

use super::SOON;
use super::harness::{Site, host_name, wait_for};
use super::loki::{Entry, Loki};
use super::mysql_server::{Kind, Mysql};
use super::pgbouncer_server::Pooler;
use super::postgres_server::Postgres;
use super::prometheus::Prometheus;
use super::redis_server::Redis;
use super::release::Release;

#[test]
fn postgres_and_redis_are_read_as_the_config_says_and_arrive_with_their_numbers() {
    let (Some(loki), Some(prometheus)) = (Loki::start(), Prometheus::start()) else { return };
    let postgres = Postgres::start(Release::Here, "");
    postgres.sql("postgres", "CREATE ROLE plimsoll LOGIN CONNECTION LIMIT 3; GRANT pg_monitor TO plimsoll");
    postgres.sql("postgres", "CREATE EXTENSION pg_stat_statements; CREATE TABLE t (id int)");
    postgres.sql("postgres", "INSERT INTO t SELECT generate_series(1, 1234)");
    postgres.sql("postgres", "SELECT count(*) FROM t WHERE id <> 41114111");
    let redis = Redis::start(Release::Here, "redis-server", &["--maxmemory", "64mb"]);
    for key in 0..17 {
        redis.ask(&["SET", &format!("key{key}"), "x"]);
    }
    let site = Site::new();
    site.config(&format!(
        "host: off\ncollect:\n  postgres: [ {{ url: \"postgres://plimsoll@127.0.0.1:{}/postgres\", interval: 1s }} ]\n  \
         redis: [ {{ url: \"redis://127.0.0.1:{}\", interval: 1s, service: cache }}, {{ url: \"redis://127.0.0.1:1\", \
         interval: 1s }} ]\ndestinations:\n{}{}",
        postgres.port,
        redis.port,
        loki.destination(""),
        prometheus.destination()
    ));
    let _agent = site.start();
    let host = host_name();
    let own = format!("{{job=\"postgresql\", instance=\"{host}:{}\"}}", postgres.port);
    prometheus.wait(&format!("postgresql_connection_max{own}"), SOON, |most| most == 20.0);
    prometheus.wait(&format!("sum(postgresql_tup_inserted_total{own})"), SOON, |rows| rows >= 1234.0);
    prometheus.wait(&format!("up{own}"), SOON, |up| up == 1.0);
    let cache = format!("{{job=\"cache\", instance=\"{host}:{}\"}}", redis.port);
    prometheus.wait(&format!("redis_db_keys{cache}"), SOON, |keys| keys == 17.0);
    prometheus.wait("up{job=\"redis\"}", SOON, |up| up == 0.0);
    // The text of a statement is a log record, without what people put into it.
    let texts = loki.wait("{service_name=\"postgresql\"} |= `FROM t WHERE id`", 1, SOON);
    assert!(texts[0].line.contains("FROM t WHERE id <> "), "{}", texts[0].line);
    assert!(!texts[0].line.contains("41114111"));
}

/// A MySQL or MariaDB with the user of the docs, in which 17 statements of one kind were done, and one waits for a row.
fn busy(kind: Kind) -> (Mysql, [std::process::Child; 2]) {
    let server = Mysql::start(kind, &["--performance-schema=ON", "--log-bin=bin", "--server-id=1"]);
    let grants =
        if kind.is_mariadb() { "PROCESS, BINLOG MONITOR, SLAVE MONITOR" } else { "PROCESS, REPLICATION CLIENT" };
    server.sql(&format!(
        "SET GLOBAL max_connections = 77; CREATE USER plimsoll@'%' IDENTIFIED BY 'word' WITH MAX_USER_CONNECTIONS 3; \
         GRANT {grants} ON *.* TO plimsoll@'%'; GRANT SELECT ON performance_schema.* TO plimsoll@'%'"
    ));
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY, note INT)");
    server.sql("INSERT INTO shop.orders VALUES (1, 1), (2, 2)");
    for _ in 0..17 {
        server.sql("SELECT COUNT(*) FROM shop.orders WHERE note = 41114111");
    }
    let update = |more: &str| {
        let sql = format!("BEGIN; UPDATE shop.orders SET note = 3 WHERE id = 1; {more}");
        let mut client = server.client();
        client.args(["-N", "-e", &sql]).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        client.spawn().unwrap()
    };
    server.sql("SET GLOBAL innodb_lock_wait_timeout = 300");
    let holder = update("SELECT SLEEP(300)");
    let holds = "DO SLEEP(0.2); SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_rows_modified = 1";
    wait_for("a transaction with its lock", SOON, || match server.sql(holds).as_str() {
        "1" => Ok(()),
        other => Err(other.to_owned()),
    });
    let waiter = update("ROLLBACK");
    (server, [holder, waiter])
}

/// The digest of the statement that was done 17 times.
const COUNTED: &str = "SELECT DIGEST FROM performance_schema.events_statements_summary_by_digest \
                       WHERE DIGEST_TEXT LIKE 'SELECT COUNT%orders%note%'";

/// Who waits is a log record of each server, once a minute, without what people put into it.
fn who_waits_is_told(loki: &Loki, instances: [String; 2]) {
    let of = |told: &[Entry], instance: &String| -> Vec<u64> {
        let own = told.iter().filter(|entry| entry.labels.get("service_instance_id") == Some(instance));
        own.map(|entry| entry.nanos).collect()
    };
    let told = wait_for("who waits in each server", SOON, || {
        let told = loki.entries("{service_name=\"mysql\"} | event_name=`mysql.blocked_session`")?;
        let all = instances.iter().all(|instance| !of(&told, instance).is_empty());
        if all { Ok(told) } else { Err(format!("{told:?}")) }
    });
    assert!(told.iter().all(|entry| entry.line.contains("UPDATE shop.orders SET note = ? WHERE id = ?")), "{told:?}");
    let times = instances.each_ref().map(|instance| of(&told, instance));
    assert_eq!(times.concat().len(), told.len(), "{told:?}");
    // The next record of a pair comes after a minute, and not with the next round.
    let seldom = |times: &Vec<u64>| times.windows(2).all(|pair| pair[1] - pair[0] > 30_000_000_000);
    assert!(times.iter().all(seldom), "{told:?}");
}

#[test]
fn mysql_and_mariadb_arrive_with_their_numbers() {
    let (Some(loki), Some(prometheus)) = (Loki::start(), Prometheus::start()) else { return };
    let site = Site::new();
    std::fs::write(site.path("password"), "word").unwrap();
    let mut servers = [Kind::Mariadb10, Kind::Mysql].map(busy);
    let entry = |server: &Mysql| {
        let password = site.path("password");
        format!(
            "    - {{ url: \"mysql://plimsoll@127.0.0.1:{}\", password: {{ file: {} }}, interval: 1s }}\n",
            server.port,
            password.display()
        )
    };
    let entries: String = servers.iter().map(|(server, _)| entry(server)).collect();
    site.config(&format!(
        "host: off\ncollect:\n  mysql:\n{entries}destinations:\n{}{}",
        loki.destination(""),
        prometheus.destination()
    ));
    let _agent = site.start();
    for (server, _) in &servers {
        let own = format!("job=\"mysql\", instance=\"{}:{}\"", host_name(), server.port);
        prometheus.wait(&format!("up{{{own}}}"), SOON, |up| up == 1.0);
        prometheus.wait(&format!("mysql_connection_limit{{{own}}}"), SOON, |most| most == 77.0);
        let digest = server.sql(COUNTED);
        let calls = format!("mysql_statement_calls_total{{{own}, mysql_digest=\"{digest}\"}}");
        prometheus.wait(&calls, SOON, |calls| calls == 17.0);
        prometheus.wait(&format!("mysql_session_blocked{{{own}}}"), SOON, |waits| waits == 1.0);
        prometheus.wait(&format!("mysql_session_blocking{{{own}}}"), SOON, |heads| heads == 1.0);
        prometheus.wait(&format!("mysql_lock_wait_max_seconds{{{own}}}"), SOON, |seconds| seconds >= 1.0);
        prometheus.wait(&format!("mysql_read_only{{{own}}}"), SOON, |only| only == 0.0);
    }
    who_waits_is_told(&loki, servers.each_ref().map(|(server, _)| format!("{}:{}", host_name(), server.port)));
    let texts = loki.entries("{service_name=\"mysql\"} |= `orders`").unwrap();
    assert!(texts.len() > 2 && !texts.iter().any(|entry| entry.line.contains("41114111")), "{texts:?}");
    for client in servers.iter_mut().flat_map(|(_, clients)| clients) {
        client.kill().unwrap();
        client.wait().unwrap();
    }
}

#[test]
fn an_exhausted_pool_and_a_blocked_session_arrive_with_their_numbers() {
    let Some(prometheus) = Prometheus::start() else { return };
    let server = Postgres::start(Release::Here, "");
    server.sql("postgres", "CREATE ROLE plimsoll LOGIN CONNECTION LIMIT 3; GRANT pg_monitor TO plimsoll");
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql("shop", "CREATE TABLE orders (id int)");
    let pooler = Pooler::start(Release::Here, &server);
    let site = Site::new();
    site.config(&format!(
        "host: off\ncollect:\n  pgbouncer: [ {{ url: \"postgres://plimsoll@127.0.0.1:{}\", interval: 1s }} ]\n  \
         postgres: [ {{ url: \"postgres://plimsoll@127.0.0.1:{}/postgres\", interval: 1s }} ]\ndestinations:\n{}",
        pooler.port,
        server.port,
        prometheus.destination()
    ));
    let _agent = site.start();
    // Two have the two connections of the pool, and one of them waits for the other; three wait for a connection.
    let lock = "BEGIN; LOCK TABLE orders; SELECT pg_sleep(300)";
    let client = |sql: &str| {
        let mut psql = pooler.psql(&server, "shop", sql);
        psql.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
    };
    let mut clients = vec![client(lock)];
    let granted =
        "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND locktype = 'relation'";
    server.until("shop", granted, "1");
    clients.extend((0..4).map(|_| client(lock)));
    let shop = "job=\"pgbouncer\", db_namespace=\"shop\"";
    prometheus.wait(&format!("pgbouncer_client_waiting{{{shop}}}"), SOON, |waiting| waiting == 3.0);
    prometheus.wait(&format!("pgbouncer_pool_size{{{shop}}}"), SOON, |size| size == 2.0);
    let active = format!("pgbouncer_server_connections{{{shop}, state=\"active\"}}");
    prometheus.wait(&active, SOON, |connections| connections == 2.0);
    prometheus.wait(&format!("pgbouncer_client_wait_max_seconds{{{shop}}}"), SOON, |seconds| seconds >= 1.0);
    prometheus.wait("pgbouncer_clients_limit{job=\"pgbouncer\"}", SOON, |most| most == 50.0);
    prometheus.wait("postgresql_session_blocked{job=\"postgresql\"}", SOON, |blocked| blocked == 1.0);
    prometheus.wait("postgresql_session_blocking{job=\"postgresql\"}", SOON, |heads| heads == 1.0);
    for client in &mut clients {
        client.kill().unwrap();
        client.wait().unwrap();
    }
}

#[test]
fn a_cache_that_evicts_and_a_replica_that_stands_arrive_with_their_numbers() {
    let Some(prometheus) = Prometheus::start() else { return };
    let cache =
        Redis::start(Release::Here, "redis-server", &["--maxmemory", "3mb", "--maxmemory-policy", "allkeys-random"]);
    let value = "x".repeat(50_000);
    for key in 0..100 {
        cache.ask(&["SET", &format!("key{key}"), &value]);
    }
    let primary = Redis::start(Release::Here, "redis-server", &["--repl-diskless-sync-delay", "0"]);
    let mut replica =
        Redis::start(Release::Here, "redis-server", &["--replicaof", "127.0.0.1", &primary.port.to_string()]);
    wait_for("a replica that is in step", SOON, || {
        let info = primary.ask(&["INFO", "replication"]);
        if info.contains("state=online") { Ok(()) } else { Err(info) }
    });
    let site = Site::new();
    site.config(&format!(
        "host: off\ncollect:\n  redis:\n    - {{ url: \"redis://127.0.0.1:{}\", interval: 1s, service: cache }}\n    - \
         {{ url: \"redis://127.0.0.1:{}\", interval: 1s, service: primary }}\n    - {{ url: \
         \"redis://127.0.0.1:{}\", interval: 1s, service: replica }}\ndestinations:\n{}",
        cache.port,
        primary.port,
        replica.port,
        prometheus.destination()
    ));
    let _agent = site.start();
    let of = |name: &str| format!("sum({name}{{job=\"cache\"}})");
    let all = format!("{} + {}", of("redis_keys_evicted_total"), of("redis_db_keys"));
    prometheus.wait(&all, SOON, |keys| keys == 100.0);
    prometheus.wait(&of("redis_keys_evicted_total"), SOON, |evicted| evicted >= 40.0);
    prometheus.wait(&of("redis_maxmemory_bytes"), SOON, |bytes| bytes == 3_145_728.0);
    let behind = "redis_replication_replica_behind_bytes{job=\"primary\"}";
    prometheus.wait(behind, SOON, |bytes| bytes < 100_000.0);
    let up = "up{job=\"replica\"}";
    prometheus.wait(up, SOON, |up| up == 1.0);
    // A replica that hangs: 2,000,000 bytes are written that it has not. It is told as down, and the others go on.
    replica.process().signal(rustix::process::Signal::STOP);
    for key in 0..40 {
        primary.ask(&["SET", &format!("key{key}"), &value]);
    }
    prometheus.wait(behind, SOON, |bytes| (2_000_000.0..2_200_000.0).contains(&bytes));
    prometheus.wait("redis_slaves_connected{job=\"primary\"}", SOON, |replicas| replicas == 1.0);
    prometheus.wait(up, SOON, |up| up == 0.0);
    let source = format!("redis {}:{}", host_name(), replica.port);
    let timeouts = format!("plimsoll_collect_failures_total{{error_type=\"timeout\", source=\"{source}\"}}");
    prometheus.wait(&timeouts, SOON, |rounds| rounds > 0.0);
    prometheus.wait("up{job=\"cache\"}", SOON, |up| up == 1.0);
    replica.process().signal(rustix::process::Signal::CONT);
    prometheus.wait(behind, SOON, |bytes| bytes < 100_000.0);
    prometheus.wait(up, SOON, |up| up == 1.0);
}
