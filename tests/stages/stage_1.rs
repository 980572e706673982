//! A single box: nginx, the application and Postgres in a memory that is limited. One report eats it, and the kernel
//! kills.

use std::time::Duration;

use super::cgroup::Cgroup;
use super::harness::{Site, free_port};
use super::live::Live;
use super::parts::{Users, access_log, app, nginx};
use super::postgres_server::Postgres;
use super::release::Release;
use super::{Shows, Stage, http};

pub(crate) const STAGE: Stage = Stage {
    number: 1,
    play,
    pages: &["HostOutOfMemoryKill", "PostgresCrashed"],
    shows: &[
        Shows { panel: "Kills for want of memory", holds: "", above: true, limit: 0.9 },
        Shows { panel: "Memory of Postgres", holds: "memory_max", above: true, limit: 100e6 },
    ],
    empty: &[],
};

fn play(live: Live) {
    let site = Site::new();
    let cgroup = Cgroup::limited(400 << 20);
    let postgres = Postgres::start(Release::Here, "shared_buffers = 16MB\nlog_line_prefix = '%m [%p] %q%u@%d '");
    cgroup.take(postgres.pid());
    postgres.shop();
    let [front, back] = [free_port(), free_port()].map(|port| ([127, 0, 0, 1], port).into());
    let db = format!("host=127.0.0.1 port={} user=shop dbname=shop", postgres.port);
    let _app = app(&[], &site, "shop", back, &[("DB", db)]);
    let _nginx = nginx(&[], &site, front, &[back], "");
    let yaml = format!(
        "logs:\n  files:\n{}{}{}host: {{ interval: 10s }}\ncollect:\n  postgres: [ {{ url: \
         \"postgres://plimsoll@127.0.0.1:{}/shop\", interval: 10s }} ]\n",
        access_log(&site, "shop"),
        site.entry("shop.log", "service: shop, format: json"),
        format_args!("    - {{ path: {}/log, service: postgresql, format: postgres }}\n", postgres.socket().display()),
        postgres.port,
    );
    let agent = live.agent("shop-1", None, &site, &yaml);
    let users = Users::start(4, Duration::from_millis(400), front, "/orders");
    users.are_served(50, Duration::from_secs(60));
    live.healthy(Duration::from_secs(90));
    assert_eq!((users.failed(), live.pages().len()), (0, 0), "{:?}", live.pages());
    let report = http(front, "/report", Duration::from_secs(60));
    assert!(matches!(report, Ok(status) if status >= 500), "the report was made: {report:?}");
    live.fires("HostOutOfMemoryKill", Duration::from_secs(60));
    live.fires("PostgresCrashed", Duration::from_secs(120));
    let kill = live.record("{service_name=\"postgresql\"} | event_name=\"plimsoll.oom_kill\"", Duration::from_secs(60));
    assert_eq!((kill.get("oom_victim_name"), kill.get("user_name")), ("postgres", "shop"), "{kill:?}");
    assert!(kill.get("db_query_text").contains("array_agg(repeat(?, ?)"), "{kill:?}");
    assert!(kill.get("postgresql_backend_growth").parse::<u64>().unwrap() > 100 << 20, "{kill:?}");
    users.are_served(50, Duration::from_secs(60));
    live.pass(Duration::from_secs(60));
    drop(users);
    live.finish(vec![agent]);
}
