//! Collectors against the real servers, of this release and of the newest: what was done there is what is counted.
//!
//! `tests/run` installs the servers and makes the newest release; `tests/README.md` says what is tested where.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so and ends")]

#[path = "systems/blame.rs"]
mod blame;
#[path = "systems/breaker.rs"]
mod breaker;
#[path = "systems/bullmq.rs"]
mod bullmq;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/catalogue.rs"]
mod catalogue;
#[path = "systems/celery.rs"]
mod celery;
#[path = "support/cgroup.rs"]
mod cgroup;
#[path = "systems/company.rs"]
mod company;
#[path = "systems/fake.rs"]
mod fake;
#[path = "systems/faults.rs"]
mod faults;
#[path = "systems/find.rs"]
mod find;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/harness.rs"]
mod harness;
#[path = "systems/huge.rs"]
mod huge;
#[path = "systems/liar.rs"]
mod liar;
#[path = "support/mariadb.rs"]
mod mariadb_server;
#[path = "systems/mysql.rs"]
mod mysql;
#[path = "systems/mysql_liar.rs"]
mod mysql_liar;
#[path = "support/mysql.rs"]
mod mysql_server;
#[path = "systems/nats.rs"]
mod nats;
#[path = "systems/nats_cluster.rs"]
mod nats_cluster;
#[path = "support/nats.rs"]
mod nats_server;
#[path = "systems/older.rs"]
mod older;
#[path = "systems/pgbouncer.rs"]
mod pgbouncer;
#[path = "support/pgbouncer.rs"]
mod pgbouncer_server;
#[path = "systems/postgres.rs"]
mod postgres;
#[path = "systems/postgres_replication.rs"]
mod postgres_replication;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/postgres.rs"]
mod postgres_server;
#[path = "systems/postgres_trouble.rs"]
mod postgres_trouble;
#[path = "systems/rabbitmq.rs"]
mod rabbitmq;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/rabbitmq.rs"]
mod rabbitmq_server;
#[path = "systems/redis.rs"]
mod redis;
#[path = "systems/redis_cluster.rs"]
mod redis_cluster;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/redis.rs"]
mod redis_server;
#[path = "systems/redis_trouble.rs"]
mod redis_trouble;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/release.rs"]
mod release;
#[path = "systems/round.rs"]
mod round;
#[path = "systems/scrape.rs"]
mod scrape;
#[path = "systems/secrets.rs"]
mod secrets;
#[path = "systems/secrets_config.rs"]
mod secrets_config;
#[path = "systems/secrets_servers.rs"]
mod secrets_servers;
#[path = "systems/secure.rs"]
mod secure;
#[path = "systems/sidekiq.rs"]
mod sidekiq;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/worker.rs"]
mod worker;
