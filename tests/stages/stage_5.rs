//! nginx, the application and Redis before others who know the prices. They become slow and park the workers; then the
//! cache is emptied.

use std::net::SocketAddr;
use std::time::Duration;

use super::harness::{Site, free_port};
use super::live::Live;
use super::parts::{Users, access_log, app, nginx};
use super::redis_server::Redis;
use super::release::Release;
use super::{Shows, Stage, http};

pub(crate) const STAGE: Stage = Stage {
    number: 5,
    play,
    pages: &["CacheStampede", "HttpErrors", "HttpErrorsFast"],
    shows: &[
        Shows { panel: "Hit ratio of Redis", holds: "", above: false, limit: 0.5 },
        Shows { panel: "Slow calls to upstreams", holds: "", above: true, limit: 0.2 },
        Shows { panel: "Slow requests of users", holds: "", above: true, limit: 0.144 },
        Shows { panel: "Upstreams by time", holds: "", above: true, limit: 2.0 },
    ],
    empty: &[
        ("Hit ratio of Varnish", "", "no Varnish is here"),
        ("Varnish and its backends", "", "no Varnish is here"),
    ],
};

fn play(live: Live) {
    let site = Site::new();
    let cache =
        Redis::start(Release::Here, "redis-server", &["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"]);
    let [front, back, others] =
        [free_port(), free_port(), free_port()].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let _others = app(&[], &site, "prices", others, &[("WORKERS", "100".to_owned())]);
    let variables = [("CACHE", cache.port.to_string()), ("PRICES", others.to_string())];
    let _app = app(&[], &site, "shop", back, &variables);
    let _nginx = nginx(&[], &site, front, &[back], "");
    let calls =
        "metrics: [ { name: http.client.request.duration, histogram: seconds, unit: s, by: [server.address] } ]";
    let yaml = format!(
        "logs:\n  files:\n{}{}{}host: {{ interval: 10s }}\ncollect:\n  redis: [ {{ url: \"redis://127.0.0.1:{}\", \
         interval: 10s }} ]\n",
        access_log(&site, "shop"),
        site.entry("shop.log", &format!("service: shop, format: json, start: beginning, {calls}")),
        site.entry("error.log", "service: nginx, format: nginx"),
        cache.port,
    );
    let agent = live.agent("shop-app-1", None, &site, &yaml);
    let users = Users::start(48, Duration::from_secs(4), front, "/price");
    users.are_served(300, Duration::from_secs(120));
    live.healthy(Duration::from_secs(90));
    assert_eq!((users.failed(), live.pages().len()), (0, 0), "{:?}", live.pages());
    assert_eq!(http(others, "/slower?s=20", Duration::from_secs(10)).unwrap(), 200);
    live.pass(Duration::from_secs(60));
    live.mark("emptied");
    assert_eq!(cache.ask(&["FLUSHALL"]), "OK");
    live.fires("HttpErrorsFast", Duration::from_secs(300));
    // As long as the page about the cache takes, which compares with what was ten minutes ago.
    live.pass(Duration::from_secs(400));
    drop(users);
    live.finish(vec![agent]);
}
