//! A primary under write load, and a replica on another box whose replay is paused: what reads there gets old answers.

use std::net::SocketAddr;
use std::time::Duration;

use super::harness::{Site, free_port};
use super::live::Live;
use super::parts::{Users, app};
use super::postgres_server::Postgres;
use super::redis_server::Redis;
use super::release::Release;
use super::{Shows, Stage};

pub(crate) const STAGE: Stage = Stage {
    number: 7,
    play,
    pages: &["PostgresReplicaLate"],
    shows: &[
        Shows { panel: "Latest replica of Postgres", holds: "", above: true, limit: 30.0 },
        Shows { panel: "Lag as replicas tell it", holds: "postgresql", above: true, limit: 30.0 },
        Shows { panel: "Lag as primaries tell it", holds: "postgresql", above: true, limit: 4e6 },
    ],
    empty: &[
        ("Latest replica of MySQL", "", "no MySQL is here"),
        ("Lag as replicas tell it", "mysql", "no MySQL is here"),
        ("Shards by node", "", "no Citus is here"),
    ],
};

const PREFIX: &str = "log_line_prefix = '%m [%p] %q%u@%d '";

fn play(live: Live) {
    let primary = Postgres::start(Release::Here, PREFIX);
    primary.shop();
    primary.sql("postgres", "SELECT pg_create_physical_replication_slot('replica')");
    let standby = primary.standby(&format!("primary_slot_name = 'replica'\n{PREFIX}"));
    let cache = Redis::start(Release::Here, "redis-server", &[]);
    let other_cache =
        Redis::start(Release::Here, "redis-server", &["--replicaof", "127.0.0.1", &cache.port.to_string()]);
    let sites = [Site::new(), Site::new()];
    let back = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let db = format!("host=127.0.0.1 port={} user=shop dbname=shop", primary.port);
    let _app = app(&[], &sites[0], "shop", back, &[("DB", db)]);
    let watch = |postgres: &Postgres, redis: &Redis| {
        format!(
            "logs:\n  files:\n    - {{ path: {}/log, service: postgresql, format: postgres, start: beginning }}\nhost: {{ \
             interval: 10s }}\ncollect:\n  postgres: [ {{ url: \"postgres://plimsoll@127.0.0.1:{}/shop\", interval: 10s \
             }} ]\n  redis: [ {{ url: \"redis://127.0.0.1:{}\", interval: 10s }} ]\n",
            postgres.socket().display(),
            postgres.port,
            redis.port,
        )
    };
    let agents = vec![
        live.agent("shop-db-1", None, &sites[0], &watch(&primary, &cache)),
        live.agent("shop-db-2", None, &sites[1], &watch(&standby, &other_cache)),
    ];
    let users = Users::start(4, Duration::from_secs(1), back, "/import");
    users.are_served(40, Duration::from_secs(60));
    live.healthy(Duration::from_secs(90));
    assert_eq!((users.failed(), live.pages().len()), (0, 0), "{:?}", live.pages());
    standby.sql("postgres", "SELECT pg_wal_replay_pause()");
    standby.until("postgres", "SELECT pg_get_wal_replay_pause_state()", "paused");
    live.fires("PostgresReplicaLate", Duration::from_secs(400));
    let rows = |server: &Postgres| -> i64 { server.sql("shop", "SELECT count(*) FROM visits").parse().unwrap() };
    let (new, old) = (rows(&primary), rows(&standby));
    assert!(old < new, "the replica knows all of {new} rows: {old}");
    live.pass(Duration::from_secs(60));
    assert_eq!(users.failed(), 0);
    drop(users);
    live.finish(agents);
}
