//! Servers that are down or refuse: everything arrives in the end, or is counted with a reason.

use std::time::Duration;

use jiff::Timestamp;

use super::SOON;
use super::harness::{self, Site, wait_for};
use super::loki::Loki;
use super::prometheus::Prometheus;

/// Backoff doubles from a second on up to a minute: the next try may be as far away.
const AFTER_OUTAGE: Duration = Duration::from_secs(120);

fn numbered(from: usize, to: usize) -> String {
    (from..to).map(|number| format!("line {number}\n")).collect()
}

fn retries(site: &Site, name: &str) -> u64 {
    site.destination(name)["retries"].as_u64().unwrap()
}

/// Waits until the destination `name` has failed three times since `before`, and looks at what is said about it.
fn fails_in_words(site: &Site, name: &str, before: u64) {
    let entry = wait_for(&format!("{name} to fail"), AFTER_OUTAGE, || {
        let entry = site.destination(name);
        let failed = entry["retries"].as_u64().unwrap() >= before + 3;
        if failed && entry["failing_since"].is_number() { Ok(entry) } else { Err(entry.to_string()) }
    });
    assert!(entry["answer"].as_str().unwrap().contains("connection refused"), "{entry}");
    let (code, report) = site.status().unwrap();
    assert_eq!(code, 1, "{report}");
    assert!(["shipping late", "not delivering"].contains(&report["health"].as_str().unwrap()), "{report}");
    let reasons = report["reasons"].as_array().unwrap();
    assert!(reasons.iter().any(|reason| reason.as_str().unwrap().starts_with(name)), "{reasons:?}");
    let screen = site.run(&["status"]);
    assert_eq!(screen.status.code(), Some(1));
    let screen = String::from_utf8(screen.stdout).unwrap();
    assert!(screen.contains("connection refused since") && screen.contains("next try in"), "{screen}");
}

fn is_well(site: &Site) {
    wait_for("an agent that is well", AFTER_OUTAGE, || match site.status()? {
        (0, report) if report["health"] == "healthy" => Ok(()),
        (code, report) => Err(format!("exit {code}: {}, {}", report["health"], report["reasons"])),
    });
}

#[test]
fn everything_arrives_in_order_after_servers_were_down_at_the_start_and_in_the_middle() {
    let (Some(mut loki), Some(mut prometheus)) = (Loki::stopped(), Prometheus::stopped()) else { return };
    let site = Site::new();
    let files = site.entry("shop.log", "service: shop, format: text");
    site.config(&format!(
        "host: {{ interval: 1s }}\nlogs:\n  files:\n{files}destinations:\n{}{}",
        loki.destination(""),
        prometheus.destination()
    ));
    site.log("shop.log", &numbered(0, 1000));
    let _agent = site.start();
    // Both counts at once: while one is waited for, the tries of the other get rarer.
    let before = ["loki", "prometheus"].map(|name| retries(&site, name));
    fails_in_words(&site, "loki", before[0]);
    fails_in_words(&site, "prometheus", before[1]);
    site.log("shop.log", &numbered(1000, 1500));
    loki.up();
    prometheus.up();
    loki.wait("{service_name=\"shop\"}", 1500, AFTER_OUTAGE);
    is_well(&site);

    loki.down();
    prometheus.down();
    site.log("shop.log", &numbered(1500, 2000));
    let before = ["loki", "prometheus"].map(|name| retries(&site, name));
    fails_in_words(&site, "loki", before[0]);
    site.log("shop.log", &numbered(2000, 2500));
    fails_in_words(&site, "prometheus", before[1]);
    loki.up();
    prometheus.up();
    let found = loki.wait("{service_name=\"shop\"}", 2500, AFTER_OUTAGE);
    for (number, entry) in found.iter().enumerate() {
        assert_eq!(entry.line, format!("line {number}"), "in the order of the file");
    }
    is_well(&site);
    // Each round became a frame of its own and a sample of its own.
    let frames = || site.destination("prometheus")["frames"].as_u64().unwrap() as f64;
    let before = frames();
    let rounds = prometheus
        .value("sum(count_over_time(plimsoll_collect_duration_seconds{source=~\"host|plimsoll\"}[1h]))")
        .unwrap();
    assert!((before..=frames() + 1.0).contains(&rounds), "{rounds} rounds of {before} frames stand in Prometheus");
    let (_, report) = site.status().unwrap();
    assert_eq!(report["losses"].as_array().unwrap().len(), 0, "{}", report["losses"]);
}

#[test]
fn a_line_that_is_too_old_for_loki_is_counted_and_the_fresh_ones_are_there() {
    let Some(loki) = Loki::start() else { return };
    let site = Site::new();
    let files = site.entry("shop.log", "service: shop, format: logfmt");
    site.config(&format!("host: off\nlogs:\n  files:\n{files}destinations:\n{}", loki.destination("")));
    let now = (harness::now() / 1_000_000_000) as i64;
    for number in 0..10 {
        let age = if number == 4 { 8 * 86_400 } else { 20 - number };
        let time = Timestamp::from_second(now - age).unwrap();
        site.log("shop.log", &format!("time={time} msg=\"line {number}\"\n"));
    }
    let _agent = site.start();
    let found = loki.wait("{service_name=\"shop\"}", 9, SOON);
    assert!(found.iter().all(|entry| entry.line != "line 4"));
    let report = wait_for("a counted loss", SOON, || {
        let (_, report) = site.status()?;
        if report["losses"].as_array().unwrap().is_empty() { Err(report.to_string()) } else { Ok(report) }
    });
    let losses = report["losses"].as_array().unwrap();
    assert_eq!(losses.len(), 1, "{losses:?}");
    let loss = &losses[0];
    assert_eq!(
        (loss["part"].as_str(), loss["reason"].as_str(), loss["count"].as_u64()),
        (Some("export loki"), Some("too_old"), Some(1)),
        "{loss}"
    );
    assert!(loss["hint"].as_str().unwrap().contains("reject_old_samples_max_age"), "{loss}");
    let entry = wait_for("a cursor that moved on", SOON, || {
        let entry = site.destination("loki");
        if entry["backlog_frames"] == 0 && entry["frames"] != 0 { Ok(entry) } else { Err(entry.to_string()) }
    });
    assert_eq!((entry["records"].as_u64(), entry["refused"].as_u64()), (Some(9), Some(1)), "{entry}");
    site.log("shop.log", &format!("time={} msg=last\n", Timestamp::now()));
    loki.wait("{service_name=\"shop\"}", 10, SOON);
}

#[test]
fn a_thousand_old_lines_of_a_thousand_seconds_are_all_counted() {
    let Some(loki) = Loki::start() else { return };
    let site = Site::new();
    let files = site.entry("shop.log", "service: shop, format: logfmt");
    site.config(&format!("host: off\nlogs:\n  files:\n{files}destinations:\n{}", loki.destination("")));
    let old = (harness::now() / 1_000_000_000) as i64 - 8 * 86_400;
    // Loki tells each second apart: its answer has a sentence for each line.
    let lines = |number| format!("time={} msg=\"line {number}\"\n", Timestamp::from_second(old + number).unwrap());
    site.log("shop.log", &(0..1000).map(lines).collect::<String>());
    site.log("shop.log", &format!("time={} msg=fresh\n", Timestamp::now()));
    let _agent = site.start();
    loki.wait("{service_name=\"shop\"}", 1, SOON);
    let entry = wait_for("an answered backlog", SOON, || {
        let entry = site.destination("loki");
        if entry["backlog_frames"] == 0 && entry["frames"] != 0 { Ok(entry) } else { Err(entry.to_string()) }
    });
    assert_eq!((entry["records"].as_u64(), entry["refused"].as_u64()), (Some(1), Some(1000)), "{entry}");
}
