//! HAProxy before two processes of the application, which share the connections of a pgbouncer. A slow read takes them
//! all; then one of the two dies.

use std::net::SocketAddr;
use std::time::Duration;

use super::harness::{Site, free_port};
use super::live::Live;
use super::parts::{Users, app, haproxy, pgbouncer};
use super::postgres_server::Postgres;
use super::release::Release;
use super::{Shows, Stage};

pub(crate) const STAGE: Stage = Stage {
    number: 4,
    play,
    pages: &["HaproxyErrors", "HaproxyQueues", "PgbouncerClientsWait"],
    shows: &[
        Shows { panel: "Longest wait for the pool", holds: "", above: true, limit: 5.0 },
        Shows { panel: "Queue at the balancer", holds: "", above: true, limit: 1.0 },
        Shows { panel: "Failed at the balancer", holds: "", above: true, limit: 0.0144 },
        Shows { panel: "Servers that take requests", holds: "", above: false, limit: 0.9 },
    ],
    empty: &[("Connections of the database", "mysql", "no MySQL is here")],
};

fn play(live: Live) {
    let site = Site::new();
    let postgres = Postgres::start(Release::Here, "log_line_prefix = '%m [%p] %q%u@%d '");
    postgres.shop();
    let pool = free_port();
    let _pgbouncer = pgbouncer(&site, pool, postgres.port, 2);
    let [front, first, second] =
        [free_port(), free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let db = format!("host=127.0.0.1 port={pool} user=shop dbname=shop");
    let start = |name, at| {
        let variables = [("DB", db.clone()), ("POOL", "6".to_owned()), ("WORKERS", "8".to_owned())];
        app(&[], &site, name, at, &variables)
    };
    let (_first, second_app) = (start("shop-1", first), start("shop-2", second));
    let _haproxy = haproxy(&site, front, &[first, second], 8);
    let yaml = format!(
        "logs:\n  files:\n{}{}{}    - {{ path: {}/log, service: postgresql, format: postgres }}\nhost: {{ interval: \
         10s }}\ncollect:\n  postgres: [ {{ url: \"postgres://plimsoll@127.0.0.1:{}/shop\", interval: 10s }} ]\n  \
         pgbouncer: [ {{ url: \"postgres://plimsoll@127.0.0.1:{pool}/pgbouncer\", interval: 10s }} ]\n  scrape: [ {{ \
         url: \"http://{front}/metrics\", service: haproxy, interval: 10s }} ]\n",
        site.entry("shop-*.log", "service: shop, format: json"),
        site.entry("haproxy.log", "service: haproxy, format: haproxy"),
        site.entry("pgbouncer.log", "service: pgbouncer"),
        postgres.socket().display(),
        postgres.port,
    );
    let agent = live.agent("shop-lb-1", None, &site, &yaml);
    let users = Users::start(24, Duration::from_secs(4), front, "/orders");
    users.are_served(50, Duration::from_secs(60));
    live.healthy(Duration::from_secs(90));
    assert_eq!((users.failed(), live.pages().len()), (0, 0), "{:?}", live.pages());
    let slow = Users::start(24, Duration::from_millis(100), front, "/sleep?s=8");
    live.fires("PgbouncerClientsWait", Duration::from_secs(300));
    live.mark("one dies");
    drop(second_app);
    live.fires("HaproxyErrors", Duration::from_secs(300));
    live.fires("HaproxyQueues", Duration::from_secs(300));
    live.pass(Duration::from_secs(60));
    drop((users, slow));
    live.finish(vec![agent]);
}
