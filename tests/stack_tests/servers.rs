//! Watched servers through the config: what was done in them stands in a real Prometheus, under the server's own name.

use super::SOON;
use super::harness::{Site, host_name};
use super::loki::Loki;
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
