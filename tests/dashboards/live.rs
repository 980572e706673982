//! Every panel's query, answered by a real Prometheus and a real Loki over what a real agent sends.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::catalogue::{differs, root, table};
use super::harness::{self, Process, Site, escaped, host_name, wait_for};
use super::loki::Loki;
use super::postgres_server::{Held, Postgres};
use super::prometheus::Prometheus;
use super::redis_server::Redis;
use super::release::Release;
use super::{Ask, asks, boards, lint};

/// For the first rounds and the rules over them: the machine may be busy.
const SOON: Duration = Duration::from_secs(90);

/// What may have no data here: a panel, how its query begins, and why.
const EMPTY: &[(&str, &str, &str)] = &[
    ("annotations", "ALERTS", "nothing fires"),
    ("What fires", "", "nothing fires"),
    ("Sources that fail", "", "none does"),
    ("What the agents say", "", "the agent of a test writes to a file"),
    ("WAL not archived", "", "archiving is off"),
    ("What sessions wait for", "", "they wait for nothing, but now and then"),
    ("Memory of the application", "", "no unit has memory accounting where systemd does not run"),
    ("Clients of the pool", "", "no pgbouncer is here"),
    ("Longest wait for the pool", "", "no pgbouncer is here"),
    ("Timeouts and errors", "", "none"),
    ("WAL kept for slots", "", "no slot"),
    ("What slots keep", "", "no slot"),
    ("Which part lags", "", "absent while nothing is written"),
    ("Shards by node", "", "no Citus is here"),
    ("Latest replica of MySQL", "", "no MySQL is here"),
    ("Transactions", "sum by (instance) (rate(mysql", "no MySQL is here"),
    ("Connections of the database", "mysql", "no MySQL is here"),
    ("Lag as replicas tell it", "mysql", "no MySQL is here"),
    ("Lag as primaries tell it", "redis", "the Redis here has no replica"),
];

/// An agent over a host, Postgres, Redis and an access log, with the shipped rules, and the stack that it ships to.
struct Scene {
    prometheus: Prometheus,
    loki: Loki,
    site: Site,
    _servers: ([Postgres; 2], Held, Redis),
    _agent: Process,
}

impl Scene {
    fn start() -> Option<Self> {
        let (loki, prometheus) = (Loki::start()?, Prometheus::start()?);
        let postgres = Postgres::start(Release::Here, "");
        postgres.sql("postgres", "CREATE ROLE plimsoll LOGIN; GRANT pg_monitor TO plimsoll");
        postgres.sql("postgres", "CREATE EXTENSION pg_stat_statements");
        let standby = postgres.standby("");
        let held = postgres.hold("postgres", "SELECT 1");
        let redis = Redis::start(Release::Here, "redis-server", &["--maxmemory", "64mb"]);
        redis.ask(&["SET", "key", "x"]);
        redis.ask(&["GET", "key"]);
        redis.ask(&["XADD", "orders", "*", "order", "7"]);
        redis.ask(&["XGROUP", "CREATE", "orders", "workers", "0"]);
        redis.ask(&["SADD", "queues", "mail"]);
        redis.ask(&["ZADD", "dead", "1700000000", "{}"]);
        let site = Site::new();
        let metric = "name: http.server.request.duration, histogram: request_time, unit: s, by: [http.request.method, \
                      http.response.status_code]";
        site.config(&format!(
            "logs:\n  files:\n{}host: {{ interval: 1s }}\nalerts: {{ interval: 1s }}\n\
             collect:\n  postgres: [ {{ url: \"postgres://plimsoll@127.0.0.1:{}/postgres\", interval: 1s }}, {{ url: \
             \"postgres://plimsoll@127.0.0.1:{}/postgres\", interval: 1s }} ]\n  redis: [ {{ url: \
             \"redis://127.0.0.1:{}\", interval: 1s, queues: {{ streams: [orders] }} }} ]\n  scrape: [ {{ url: \
             \"http://127.0.0.1:{}/metrics\", interval: 1s, series: 5000 }} ]\ndestinations:\n{}{}",
            site.entry(
                "access.log",
                &format!("service: shop, format: nginx, start: beginning, metrics: [ {{ {metric} }} ]")
            ),
            postgres.port,
            standby.port,
            redis.port,
            recorded(),
            loki.destination(""),
            prometheus.destination()
        ));
        let agent = site.start_with(&[("PLIMSOLL_SHIPPED_ALERTS", root().join("alerts").to_str().unwrap())]);
        Some(Self { prometheus, loki, site, _servers: ([postgres, standby], held, redis), _agent: agent })
    }

    /// One request that was served and one that failed.
    fn request(&self) {
        let stamp = jiff::Timestamp::now().strftime("%d/%b/%Y:%H:%M:%S +0000");
        for (status, time) in [(200, "0.012"), (503, "1.500")] {
            let line =
                format!("10.0.0.9 - - [{stamp}] \"GET /orders HTTP/1.1\" {status} 7 \"-\" \"curl/8\" {time} {time}\n");
            self.site.log("access.log", &line);
        }
    }

    /// The series or streams that a query gives; an error is one that no panel may have.
    fn answer(&self, ask: &Ask, instance: &str, service: &str) -> Vec<Value> {
        let expr = ask.expr.replace("$__rate_interval", "1m").replace("$__range", "10m").replace("$__auto", "1m");
        let expr = escaped(&expr.replace("$instance", instance).replace("$service", service));
        let end = harness::now() / 1_000_000_000;
        let span = format!("query_range?query={expr}&start={}&end={end}&step=15", end - 600);
        let what = if ask.instant { format!("query?query={expr}") } else { span };
        let (port, path) =
            if ask.metrics { (self.prometheus.port, "/api/v1/") } else { (self.loki.port, "/loki/api/v1/") };
        let answer = harness::get(port, &format!("{path}{what}"), &[]);
        let answer = answer.unwrap_or_else(|error| panic!("{}, {}: {error}\n{}", ask.board, ask.panel, ask.expr));
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["status"], "success", "{}, {}: {answer}", ask.board, ask.panel);
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }
}

/// Serves what was recorded of balancers, caches and applications, all in one, and says at which port.
fn recorded() -> u16 {
    let names = ["haproxy-2.6", "varnish-7.1-exporter-1.6", "opentelemetry-http-1"];
    let read = |name: &str| {
        let text = fs::read_to_string(root().join(format!("tests/fixtures/scrape/{name}.prom"))).unwrap();
        // The requests are those of the access log.
        text.lines()
            .filter(|line| !line.contains("http_server_request"))
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    let body: String = names.into_iter().map(read).collect();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = [0; 4096];
            let head_came = stream.read(&mut head).is_ok();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            // The other side may have gone.
            let _sent = head_came && stream.write_all(answer.as_bytes()).is_ok();
        }
    });
    port
}

/// The two halves of the claim in one scene, as starting it takes long: every query is answered, and has data where the
/// system that it is about is here.
#[test]
fn every_panel_is_answered_by_a_real_prometheus_and_a_real_loki_and_has_data_where_there_is_something_to_show() {
    let Some(scene) = Scene::start() else { return };
    wait_for("requests that the shipped rules have counted", SOON, || {
        scene.request();
        let rate = scene.prometheus.value("sum(instance:http_errors:rate5m)")?;
        if rate > 0.0 { Ok(()) } else { Err(format!("{rate}")) }
    });
    wait_for("the lines of the requests in Loki", SOON, || {
        let lines = scene.loki.entries("{service_name=\"shop\"}")?;
        if lines.is_empty() { Err("none".to_owned()) } else { Ok(()) }
    });
    let (host, all) = (host_name(), ".+");
    let excused =
        |panel: &str, expr: &str| EMPTY.iter().any(|(known, begins, _)| *known == panel && expr.starts_with(begins));
    for ask in asks() {
        // With everything chosen, with this box alone, with more, and with a box that there is not.
        let place = format!("{}, {}: {}", ask.board, ask.panel, ask.expr);
        if excused(&ask.panel, &ask.expr) {
            scene.answer(&ask, all, all);
        } else {
            for instance in [all, &host] {
                wait_for(&format!("data for {place} of {instance}"), SOON, || {
                    if scene.answer(&ask, instance, all).is_empty() { Err("none".to_owned()) } else { Ok(()) }
                });
            }
        }
        scene.answer(&ask, &format!("{host}|other"), "(shop|postgresql)");
        let none = scene.answer(&ask, "none", all);
        assert!(none.is_empty() || ask.expr.ends_with("or vector(0)"), "{place}: the box none has {none:?}");
    }
    variables_have_values(&scene);
    labels_are_those_of_the_table(&scene);
}

/// What Grafana asks to fill its lists: the values of a label among the series of a selector.
fn variables_have_values(scene: &Scene) {
    let values = |label: &str, selector: &str| {
        let path = format!("/api/v1/label/{label}/values?match[]={}", escaped(selector));
        let answer: Value = serde_json::from_str(&harness::get(scene.prometheus.port, &path, &[]).unwrap()).unwrap();
        let values = answer["data"].as_array().unwrap().iter();
        values.map(|value| value.as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    for (name, board) in boards() {
        for variable in lint::list(&board["templating"]["list"]).filter(|variable| variable["type"] == "query") {
            let query = lint::text(&variable["query"]["query"]).replace("$instance", ".+");
            let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
            let (selector, label) = inner.and_then(|inner| inner.rsplit_once(", ")).unwrap();
            let found = values(label, selector);
            let wanted = if label == "instance" {
                vec![host_name()]
            } else {
                ["host", "shop", "postgresql", "redis"].map(str::to_owned).into()
            };
            assert!(wanted.iter().all(|wanted| found.contains(wanted)), "{name}, {query}: {found:?}");
            assert!(label != "instance" || found.len() == 1, "{name}: only boxes: {found:?}");
        }
    }
}

fn labels_are_those_of_the_table(scene: &Scene) {
    let table = table();
    let series = scene.prometheus.series("{job=~\".+\", job!=\"scrape\"}").unwrap();
    assert!(series.len() > 300, "only {} series", series.len());
    let mut seen = BTreeSet::new();
    for mut labels in series {
        let name = labels.remove("__name__").unwrap();
        let own = labels.into_keys().filter(|label| label != "job" && label != "instance").collect();
        assert_eq!(differs(&table, &name, &own), None);
        if table.contains_key(&name) {
            seen.insert(name);
        }
    }
    assert!(seen.iter().any(|name| name == "plimsoll_export_io_bytes_total"), "{seen:?}");
}
