//! One application box at its limit: more users than its processor serves, so that requests queue, and then a release
//! that fails.

use std::net::SocketAddr;
use std::time::Duration;

use super::cgroup::Cgroup;
use super::harness::{Site, free_port};
use super::live::Live;
use super::parts::{Users, access_log, app, nginx};
use super::{Shows, Stage};

pub(crate) const STAGE: Stage = Stage {
    number: 3,
    play,
    pages: &["HttpErrorsFast", "HttpSlowFast"],
    shows: &[
        Shows { panel: "Failed requests", holds: "", above: true, limit: 0.0144 },
        Shows { panel: "Slow requests", holds: "", above: true, limit: 0.144 },
        Shows { panel: "Time of a request", holds: "0.95", above: true, limit: 1.0 },
        Shows { panel: "Processors by group of processes", holds: "", above: true, limit: 0.35 },
    ],
    empty: &[("Memory of the application", "", "no unit has memory accounting where systemd does not run")],
};

/// Milliseconds of a processor for each request: with two fifths of one, sixteen a second are served.
const WORK: &str = "25";

fn play(live: Live) {
    let site = Site::new();
    let cgroup = Cgroup::slowed(40);
    let [front, back] = [free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let release = |fail: &str| {
        let app = app(&[], &site, "shop", back, &[("WORK", WORK.to_owned()), ("FAIL", fail.to_owned())]);
        cgroup.take(app.id());
        app
    };
    let good = release("0");
    let _nginx = nginx(&[], &site, front, &[back], "");
    let yaml = format!(
        "logs:\n  files:\n{}{}host: {{ interval: 10s }}\n",
        access_log(&site, "shop"),
        site.entry("shop.log", "service: shop, format: json"),
    );
    let agent = live.agent("shop-app-1", None, &site, &yaml);
    let users = Users::start(2, Duration::from_secs(1), front, "/");
    users.are_served(20, Duration::from_secs(60));
    live.healthy(Duration::from_secs(90));
    assert_eq!((users.failed(), live.pages().len()), (0, 0), "{:?}", live.pages());
    let crowd = Users::start(40, Duration::from_millis(200), front, "/");
    live.fires("HttpSlowFast", Duration::from_secs(300));
    live.pass(Duration::from_secs(60));
    live.mark("deploy");
    drop(good);
    let _bad = release("0.4");
    live.fires("HttpErrorsFast", Duration::from_secs(300));
    live.pass(Duration::from_secs(60));
    drop((users, crowd));
    live.finish(vec![agent]);
}
