//! Jobs in BullMQ, which the application does. Those whom it asks become slow: mail waits, what times out is tried again
//! and then given up, and invoices hold a row of the primary meanwhile.

use std::net::SocketAddr;
use std::time::Duration;

use super::harness::{Site, free_port, wait_for};
use super::live::Live;
use super::parts::{Part, app};
use super::postgres_server::Postgres;
use super::redis_server::Redis;
use super::release::Release;
use super::{Shows, Stage, http, worker};

pub(crate) const STAGE: Stage = Stage {
    number: 6,
    play,
    pages: &["PostgresLocked", "QueueOldestJob"],
    shows: &[
        Shows { panel: "Oldest job", holds: "", above: true, limit: 300.0 },
        Shows { panel: "Failed for good", holds: "", above: true, limit: 0.9 },
        Shows { panel: "Waiting for a lock", holds: "", above: true, limit: 5.5 },
        Shows { panel: "Longest wait for a lock", holds: "", above: true, limit: 10.0 },
        Shows { panel: "Jobs that wait", holds: "", above: true, limit: 200.0 },
        Shows { panel: "Jobs done and failed", holds: "failed", above: true, limit: 0.5 },
        Shows { panel: "Locks and idle transactions", holds: "idle", above: true, limit: 10.0 },
    ],
    empty: &[("Workers and consumers", "sum by (messaging_system, state)", "BullMQ tells no places of its workers")],
};

fn play(live: Live) {
    let site = Site::new();
    let postgres = Postgres::start(Release::Here, "log_line_prefix = '%m [%p] %q%u@%d '");
    postgres.shop();
    let redis = Redis::start(Release::Here, "redis-server", &["--maxmemory-policy", "noeviction"]);
    let [back, others] = [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let _others = app(&[], &site, "prices", others, &[("WORKERS", "1000".to_owned())]);
    let db = format!("host=127.0.0.1 port={} user=shop dbname=shop", postgres.port);
    let variables = [("DB", db), ("PRICES", others.to_string()), ("WORKERS", "64".to_owned())];
    let _app = app(&[], &site, "shop", back, &variables);
    let yaml = format!(
        "logs:\n  files:\n{}{}    - {{ path: {}/log, service: postgresql, format: postgres }}\nhost: {{ interval: 10s \
         }}\ncollect:\n  postgres: [ {{ url: \"postgres://plimsoll@127.0.0.1:{}/shop\", interval: 10s }} ]\n  redis: [ \
         {{ url: \"redis://127.0.0.1:{}\", interval: 10s, queues: {{ bullmq: auto }} }} ]\n",
        site.entry("shop.log", "service: shop, format: json"),
        site.entry("worker.log", "service: shop-worker, format: json"),
        postgres.socket().display(),
        postgres.port,
        redis.port,
    );
    let agent = live.agent("shop-db-1", None, &site, &yaml);
    let (script, modules) = (concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stages/jobs.js"), worker::node_modules());
    let environment = [("NODE_PATH", modules.display().to_string())];
    let words = ["node", script, &redis.port.to_string(), &back.to_string()];
    let _worker = Part::start(&[], &words, &environment, &site.path("log").join("worker.log"));
    wait_for("invoices that are written", Duration::from_secs(120), || {
        let written: i64 = postgres.sql("shop", "SELECT total FROM orders WHERE id = 1").parse().unwrap();
        if written > 20 { Ok(()) } else { Err(format!("{written}")) }
    });
    live.healthy(Duration::from_secs(90));
    assert_eq!(live.pages().len(), 0, "{:?}", live.pages());
    assert_eq!(http(others, "/slower?s=20", Duration::from_secs(10)).unwrap(), 200);
    live.fires("PostgresLocked", Duration::from_secs(600));
    let blocked = "{service_name=\"postgresql\"} | event_name=\"postgresql.blocked_session\"";
    let blocked = live.record(blocked, Duration::from_secs(60));
    assert!(format!("{blocked:?}").contains("UPDATE orders"), "{blocked:?}");
    live.fires("QueueOldestJob", Duration::from_secs(900));
    live.pass(Duration::from_secs(30));
    live.finish(vec![agent]);
}
