//! A scraped exposition in Prometheus: what comes through the agent is what Prometheus itself reads from the target.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;

use super::SOON;
use super::harness::{Site, host_name, wait_for};
use super::prometheus::{Labels, Prometheus};

/// All types, escapes, numbers, names in the middle of which a suffix stands.
const TEXT: &str = include_str!("../fixtures/scrape/types.prom");

/// Answers every request with `body`.
fn serve(body: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut request = [0; 4096];
            let _asked = stream.read(&mut request).is_ok();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_ok();
        }
    });
    port
}

/// What a job has, without what tells the two ways apart: the job, the instance, what the scraper itself adds.
fn of_job(prometheus: &Prometheus, job: &str) -> BTreeMap<Labels, f64> {
    let all = prometheus.query(&format!("{{job=\"{job}\"}}")).unwrap_or_default();
    let own = |name: &str| {
        name == "up" || name == "target_info" || name.starts_with("scrape_") || name.starts_with("plimsoll_")
    };
    all.into_iter()
        .filter(|(labels, _)| !own(&labels["__name__"]))
        .map(|(mut labels, value)| {
            labels.retain(|name, _| name != "job" && name != "instance");
            // Prometheus 3 writes these as floats when it scrapes; the agent keeps them as they are.
            for name in ["le", "quantile"] {
                if let Some(number) = labels.get(name).and_then(|text| text.parse::<f64>().ok()) {
                    labels.insert(name.into(), number.to_string());
                }
            }
            (labels, value)
        })
        .collect()
}

fn same(a: f64, b: f64) -> bool {
    a == b || a.is_nan() && b.is_nan()
}

#[test]
fn every_series_arrives_as_prometheus_itself_scrapes_it() {
    let Some(mut prometheus) = Prometheus::stopped() else { return };
    let port = serve(TEXT.to_owned());
    prometheus.scrape(port);
    prometheus.up();
    let site = Site::new();
    site.config(&format!(
        "host: off\ncollect:\n  scrape: [{{ url: \"http://127.0.0.1:{port}/metrics\", service: ours, interval: 1s }}]\ndestinations:\n{}",
        prometheus.destination()
    ));
    let _agent = site.start();
    prometheus.wait("up{job=\"ours\"}", SOON, |up| up == 1.0);
    wait_for("the same series both ways", SOON, || {
        let (ours, direct) = (of_job(&prometheus, "ours"), of_job(&prometheus, "direct"));
        if direct.len() < 20 {
            return Err(format!("only {} series", direct.len()));
        }
        let missing: Vec<_> =
            direct.iter().filter(|(key, value)| !ours.get(key).is_some_and(|v| same(*v, **value))).collect();
        let more: Vec<_> = ours.keys().filter(|key| !direct.contains_key(*key)).collect();
        if missing.is_empty() && more.is_empty() { Ok(()) } else { Err(format!("missing {missing:?}; more {more:?}")) }
    });
    let up = prometheus.query("up{job=\"ours\"}").unwrap();
    assert_eq!(up[0].0["instance"], format!("{}:{port}", host_name()));
    let bounds = prometheus.query("request_seconds_bucket{job=\"ours\",le=\"1\"}").unwrap();
    assert_eq!(bounds.len(), 1, "`le` stays as it is written");
}

#[test]
fn what_prometheus_exposes_of_itself_arrives_by_name_and_labels() {
    let Some(mut prometheus) = Prometheus::stopped() else { return };
    prometheus.scrape(prometheus.port);
    prometheus.up();
    let site = Site::new();
    site.config(&format!(
        "host: off\ncollect:\n  scrape: [{{ url: \"http://127.0.0.1:{}/metrics\", service: ours, interval: 1s, series: 20000 }}]\ndestinations:\n{}",
        prometheus.port,
        prometheus.destination()
    ));
    let _agent = site.start();
    wait_for("the same series both ways", SOON, || {
        let (ours, direct) = (of_job(&prometheus, "ours"), of_job(&prometheus, "direct"));
        let missing: Vec<_> = direct.keys().filter(|key| !ours.contains_key(*key)).take(5).collect();
        let more: Vec<_> = ours.keys().filter(|key| !direct.contains_key(*key)).take(5).collect();
        let all = direct.len() > 200 && missing.is_empty() && more.is_empty();
        if all { Ok(()) } else { Err(format!("{} series; missing {missing:?}; more {more:?}", direct.len())) }
    });
}

#[test]
fn a_target_that_talks_nonsense_is_down_and_says_why() {
    let port = serve("<html>no metrics</html>\n".to_owned());
    let site = Site::new();
    site.config(&format!("host: off\ncollect:\n  scrape: [{{ url: \"http://127.0.0.1:{port}\", interval: 1s }}]\n"));
    let _agent = site.start();
    wait_for("up 0 on the box", SOON, || {
        let text = site.metrics()?;
        let down = text.lines().any(|line| line.starts_with("up{") && line.ends_with(" 0"));
        if down { Ok(()) } else { Err(text) }
    });
}
