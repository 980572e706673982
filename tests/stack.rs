//! The agent as a program against a real Loki and a real Prometheus: what is read on the box stands there, once.
//!
//! Each test has servers, ports and folders of its own. `tests/stack/README.md` says how the servers are built.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so and ends")]

#[path = "stack_tests/alerts.rs"]
mod alerts;
#[path = "stack_tests/differential.rs"]
mod differential;
#[path = "stack_tests/doctor.rs"]
mod doctor;
#[path = "stack_tests/faults.rs"]
mod faults;
#[path = "stack_tests/grpc.rs"]
mod grpc;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/harness.rs"]
mod harness;
#[path = "stack_tests/life.rs"]
mod life;
#[path = "stack_tests/logs.rs"]
mod logs;
#[path = "support/loki.rs"]
mod loki;
#[path = "stack_tests/metrics.rs"]
mod metrics;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/mysql.rs"]
mod mysql_server;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/nats.rs"]
mod nats_server;
#[path = "support/numbers.rs"]
mod numbers;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/pgbouncer.rs"]
mod pgbouncer_server;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/postgres.rs"]
mod postgres_server;
#[path = "support/prometheus.rs"]
mod prometheus;
#[path = "stack_tests/query.rs"]
mod query;
#[path = "stack_tests/queues.rs"]
mod queues;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/rabbitmq.rs"]
mod rabbitmq_server;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/redis.rs"]
mod redis_server;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/release.rs"]
mod release;
#[path = "stack_tests/scrape.rs"]
mod scrape;
#[path = "stack_tests/servers.rs"]
mod servers;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/worker.rs"]
mod worker;

use std::time::Duration;

use harness::Site;
use loki::Loki;
use prometheus::Prometheus;

/// For things that take a second or two: the machine may be busy.
const SOON: Duration = Duration::from_secs(40);

#[test]
fn a_line_of_a_file_reaches_loki_and_the_host_reaches_prometheus() {
    let (Some(loki), Some(prometheus)) = (Loki::start(), Prometheus::start()) else { return };
    let site = Site::new();
    let files = site.entry("shop.json", "service: shop");
    site.config(&format!(
        "host: {{ interval: 1s }}\nlogs:\n  files:\n{files}destinations:\n{}{}",
        loki.destination(""),
        prometheus.destination()
    ));
    site.log("shop.json", "{\"level\":\"warn\",\"msg\":\"paid\",\"order\":17}\n");
    let _agent = site.start();
    let entries = loki.wait("{service_name=\"shop\"}", 1, SOON);
    assert_eq!(entries[0].line, "paid");
    assert_eq!(entries[0].get("order"), "17");
    prometheus.wait("system_memory_limit_bytes{job=\"host\"}", SOON, |bytes| bytes > 1e6);
}
