//! The database on a box of its own: the network between the two becomes slow, and is then cut.

use std::net::SocketAddr;
use std::time::Duration;

use super::harness::{Site, free_port};
use super::live::Live;
use super::network::Net;
use super::parts::{Users, access_log, app, nginx};
use super::postgres_server::Postgres;
use super::release::Release;
use super::{Shows, Stage};

pub(crate) const STAGE: Stage = Stage {
    number: 2,
    play,
    // Too short for the pages on requests: what an hour of health has earned is not spent yet.
    pages: &["PostgresDown"],
    shows: &[
        Shows { panel: "Databases that answer", holds: "", above: false, limit: 0.9 },
        Shows { panel: "Sent again", holds: "", above: true, limit: 0.01 },
    ],
    empty: &[
        ("WAL not archived", "", "archiving is off"),
        ("What sessions wait for", "", "they wait for nothing, but now and then"),
        ("Transactions", "sum by (instance) (rate(mysql", "no MySQL is here"),
    ],
};

fn play(live: Live) {
    let (front_box, db_box) = (Net::new("app"), Net::new("db"));
    front_box.wire(&db_box);
    front_box.knows(&[("shop-db-1", db_box.address())]);
    let mut postgres = Postgres::start(Release::Here, "log_line_prefix = '%m [%p] %q%u@%d '");
    postgres.shop();
    postgres.down();
    postgres.up_inside(&db_box.enter());
    let (front_site, db_site) = (Site::new(), Site::new());
    let at = |port| SocketAddr::new(front_box.reached(), port);
    let (front, back) = (at(free_port()), at(free_port()));
    // A connection over a cut network ends by itself, as it should be set everywhere.
    let db = format!("host={} port={} user=shop dbname=shop tcp_user_timeout=5000", db_box.address(), postgres.port);
    let _app = app(&front_box.enter(), &front_site, "shop", back, &[("DB", db)]);
    let _nginx = nginx(&front_box.enter(), &front_site, front, &[back], "");
    // The application's box watches the database over the network, as the application sees it.
    let front_yaml = format!(
        "logs:\n  files:\n{}{}host: {{ interval: 10s }}\ncollect:\n  postgres: [ {{ url: \
         \"postgres://plimsoll@shop-db-1:{}/shop\", interval: 10s }} ]\n",
        access_log(&front_site, "shop"),
        front_site.entry("shop.log", "service: shop, format: json"),
        postgres.port
    );
    let db_yaml = format!(
        "logs:\n  files:\n    - {{ path: {}/log, service: postgresql, format: postgres }}\nhost: {{ interval: 10s }}\n",
        postgres.socket().display(),
    );
    let agents = vec![
        live.agent("shop-app-1", Some(&front_box), &front_site, &front_yaml),
        live.agent("shop-db-1", Some(&db_box), &db_site, &db_yaml),
    ];
    let users = Users::start(48, Duration::from_secs(6), front, "/orders");
    users.are_served(60, Duration::from_secs(60));
    live.healthy(Duration::from_secs(90));
    assert_eq!((users.failed(), live.pages().len()), (0, 0), "{:?}", live.pages());
    // Two and a half kilobytes a second, and a queue that is too short: segments are dropped and sent again.
    for net in [&front_box, &db_box] {
        net.inside(&[
            "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "20kbit", "burst", "1600", "limit", "3000",
        ]);
    }
    live.pass(Duration::from_secs(100));
    live.mark("cut");
    db_box.inside(&["ip", "link", "set", "eth0", "down"]);
    live.fires("PostgresDown", Duration::from_secs(300));
    live.pass(Duration::from_secs(150));
    drop(users);
    live.finish(agents);
}
