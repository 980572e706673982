//! Log lines in a real Loki: what they say, each one once.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::SOON;
use super::harness::{self, Site, host_name, wait_for};
use super::loki::{Entry, Loki};

/// Lines that are written a minute ago, one each second.
const LINES: u64 = 60;
const SECOND: u64 = 1_000_000_000;

#[test]
fn lines_of_four_formats_stand_in_loki_with_all_that_they_say_and_once() {
    let Some(loki) = Loki::start() else { return };
    let site = Site::new();
    let files = [
        site.entry("shop.json", "service: shop"),
        site.entry("access.log", "service: nginx, format: nginx"),
        site.entry("worker.log", "service: worker, format: logfmt"),
        site.entry("postgresql.log", "service: postgresql, format: postgres"),
    ];
    site.config(&format!(
        "host: off\nenvironment: test\nlogs:\n  files:\n{}destinations:\n{}",
        files.concat(),
        loki.destination("")
    ));
    let start = harness::now() / SECOND - 100;
    for number in 0..LINES {
        let time = Timestamp::from_second((start + number) as i64).unwrap();
        site.log("shop.json", &format!(
            "{{\"time\":\"{}\",\"level\":\"error\",\"msg\":\"order {number} failed\",\"http\":{{\"status\":502}},\"user.id\":\"u{number}\",\"ok\":false}}\n",
            time.strftime("%Y-%m-%dT%H:%M:%S.250Z")
        ));
        site.log(
            "access.log",
            &format!(
                "203.0.113.9 - ann [{}] \"GET /cart/{number}?id=7 HTTP/1.1\" 502 {number} \"-\" \"curl/8.5\"\n",
                time.strftime("%d/%b/%Y:%H:%M:%S +0000")
            ),
        );
        site.log(
            "worker.log",
            &format!(
                "time={} level=warn msg=\"job {number} is \\\"slow\\\"\" took=1.5 queue=mail\n",
                time.strftime("%Y-%m-%dT%H:%M:%SZ")
            ),
        );
        site.log(
            "postgresql.log",
            &format!("{} UTC [4711] ann@shop ERROR:  duplicate key {number}\n", time.strftime("%Y-%m-%d %H:%M:%S.750")),
        );
    }
    let _agent = site.start();
    let of = |service: &str| loki.wait(&format!("{{service_name=\"{service}\"}}"), LINES as usize, SOON);

    let check =
        |entry: &Entry, number: u64, millis: u64, line: &str, severity: (&str, &str), attributes: &[(&str, &str)]| {
            assert_eq!(entry.line, line);
            assert_eq!(entry.nanos / 1_000_000, (start + number) * 1000 + millis, "{entry:?}");
            assert_eq!((entry.get("severity_number"), entry.get("severity_text")), severity, "{entry:?}");
            for (name, value) in attributes {
                assert_eq!(entry.get(name), *value, "{name} of {entry:?}");
            }
            assert_eq!(entry.labels.get("service_instance_id"), Some(&host_name()));
            assert_eq!(entry.labels.get("deployment_environment_name").map(String::as_str), Some("test"));
            assert_eq!(entry.get("host_name"), host_name());
        };
    for (entry, number) in of("shop").iter().zip(0..) {
        let user = format!("u{number}");
        check(
            entry,
            number,
            250,
            &format!("order {number} failed"),
            ("17", "error"),
            &[("http_status", "502"), ("user_id", &user), ("ok", "false"), ("detected_level", "error")],
        );
        assert!(entry.get("log_file_path").ends_with("/log/shop.json"), "{entry:?}");
    }
    for (entry, number) in of("nginx").iter().zip(0..) {
        let line = format!("\"GET /cart/{number}?id=7 HTTP/1.1\" 502 {number} \"-\" \"curl/8.5\"");
        assert!(entry.line.starts_with("203.0.113.9 - ann [") && entry.line.ends_with(&line), "{entry:?}");
        assert_eq!(entry.nanos / SECOND, start + number);
        let path = format!("/cart/{number}");
        for (name, value) in [
            ("http_request_method", "GET"),
            ("http_response_status_code", "502"),
            ("url_path", path.as_str()),
            ("url_query", "id=7"),
            ("client_address", "203.0.113.9"),
            ("user_name", "ann"),
            ("user_agent_original", "curl/8.5"),
        ] {
            assert_eq!(entry.get(name), value, "{name} of {entry:?}");
        }
    }
    for (entry, number) in of("worker").iter().zip(0..) {
        let line = format!("job {number} is \"slow\"");
        assert_eq!((entry.line.as_str(), entry.nanos / SECOND), (line.as_str(), start + number));
        let found = ["severity_text", "severity_number", "took", "queue"].map(|name| entry.get(name));
        assert_eq!(found, ["warn", "13", "1.5", "mail"], "{entry:?}");
    }
    for (entry, number) in of("postgresql").iter().zip(0..) {
        assert!(entry.line.ends_with(&format!("duplicate key {number}")), "{entry:?}");
        assert_eq!(entry.nanos / 1_000_000, (start + number) * 1000 + 750);
        let found = ["severity_text", "severity_number", "process_pid", "user_name", "db_namespace"]
            .map(|name| entry.get(name));
        assert_eq!(found, ["ERROR", "17", "4711", "ann", "shop"], "{entry:?}");
    }
}

/// Lines of one second and one text: only their offset in the file tells them apart.
fn equal_lines(count: usize) -> String {
    let time = Timestamp::from_second((harness::now() / SECOND - 30) as i64).unwrap();
    format!("time={} level=info msg=tick\n", time.strftime("%Y-%m-%dT%H:%M:%SZ")).repeat(count)
}

#[test]
fn ten_thousand_equal_lines_of_one_second_are_ten_thousand_entries_through_kills_and_an_outage() {
    let Some(mut loki) = Loki::start() else { return };
    let site = Site::new();
    let files = site.entry("tick.log", "service: tick, format: logfmt");
    site.config(&format!("host: off\nlogs:\n  files:\n{files}destinations:\n{}", loki.destination("")));
    let lines = equal_lines(10_000);
    // Parts of different sizes, cut inside lines.
    let mut parts = lines.as_bytes().chunks(lines.len() / 7 + 1).map(|part| std::str::from_utf8(part).unwrap());
    let mut agent = site.start();
    let mut write = || site.log("tick.log", parts.next().unwrap());
    let count = || loki.entries("{service_name=\"tick\"}").map_or(0, |found| found.len());

    write();
    wait_for("first entries", SOON, || if count() > 0 { Ok(()) } else { Err("none".into()) });
    write();
    agent.kill();
    write();
    agent = site.start();
    write();
    // Killed while it may be sending.
    wait_for("entries after the kill", SOON, || if count() > 2900 { Ok(()) } else { Err(count().to_string()) });
    agent.kill();
    agent = site.start();
    loki.down();
    write();
    std::thread::sleep(Duration::from_secs(2));
    agent.kill();
    agent = site.start();
    write();
    write();
    loki.up();
    let found = loki.wait("{service_name=\"tick\"}", 10_000, Duration::from_secs(60));
    let times: BTreeSet<u64> = found.iter().map(|entry| entry.nanos).collect();
    assert_eq!(times.len(), 10_000, "each line has a time of its own");
    assert!(times.iter().all(|nanos| nanos / SECOND == found[0].nanos / SECOND), "all inside the same second");
    drop(agent);
}

#[test]
fn every_compression_reaches_loki() {
    let Some(loki) = Loki::start() else { return };
    for codec in ["auto", "zstd", "gzip", "none"] {
        let site = Site::new();
        let files = site.entry("a.log", &format!("service: {codec}"));
        let to = loki.destination(&format!("compression: {codec}"));
        site.config(&format!("host: off\nlogs:\n  files:\n{files}destinations:\n{to}"));
        site.log("a.log", &"the same words again and again\n".repeat(1000));
        let _agent = site.start();
        loki.wait(&format!("{{service_name=\"{codec}\"}}"), 1000, SOON);
    }
}

#[test]
fn what_is_redacted_stands_neither_in_loki_nor_on_the_disk() {
    let Some(loki) = Loki::start() else { return };
    let site = Site::new();
    let files = [
        site.entry("shop.json", "service: shop, redact: [email, card, bearer, { regex: 'pin=(\\d+)' }]"),
        site.entry("shop.log", "service: shop, redact: [email, card, bearer, { regex: 'pin=(\\d+)' }]"),
    ];
    site.config(&format!("host: off\nlogs:\n  files:\n{}destinations:\n{}", files.concat(), loki.destination("")));
    let secrets = ["ann.secret@shop.example", "4111111111111111", "4111 1111 1111 1111", "eyJhbGciOi.secret", "987654"];
    for secret in secrets {
        let text = format!("seen {secret} Authorization: Bearer eyJhbGciOi.secret pin=987654 {secret}");
        site.log("shop.log", &format!("{text}\n"));
        site.log("shop.json", &format!("{{\"msg\":\"{text}\",\"who\":{{\"is\":\"{secret}\",\"also\":[\"{secret}\",1]}},\"note\":\"pin=987654\",\"h\":\"Bearer eyJhbGciOi.secret\"}}\n"));
    }
    site.log("shop.json", "{\"msg\":\"a number\",\"pan\":4111111111111111}\n");
    site.log("shop.log", "kept: 4111111111111112\n");
    let mut agent = site.start();
    let found = loki.wait("{service_name=\"shop\"}", 12, SOON);
    assert!(found.iter().any(|entry| entry.line == "kept: 4111111111111112"), "no card: its check digit is wrong");
    agent.terminate(SOON);
    let shown = format!("{found:?}");
    let disk = harness::unpacked(&site.state());
    assert!(disk.contains("kept: 411"), "the frames were unpacked");
    // The bare words of the last two stand in no other class here.
    for secret in &secrets[..3] {
        assert!(!shown.contains(secret), "{secret} is in Loki: {shown}");
        assert!(!disk.contains(secret), "{secret} is on the disk");
    }
    for secret in ["Bearer eyJ", "pin=9"] {
        assert!(!shown.contains(secret), "{secret} is in Loki: {shown}");
        assert!(!disk.contains(secret), "{secret} is on the disk");
    }
}

#[test]
fn several_agents_on_one_box_do_not_meet() {
    let Some(loki) = Loki::start() else { return };
    let sites = [Site::new(), Site::new(), Site::new()];
    let mut agents = Vec::new();
    for (number, site) in sites.iter().enumerate() {
        let files = site.entry("a.log", &format!("service: agent{number}"));
        site.config(&format!(
            "host: {{ interval: 1s }}\nlogs:\n  files:\n{files}destinations:\n{}",
            loki.destination("")
        ));
        site.log("a.log", &"line\n".repeat(100 + number));
        agents.push(site.start());
    }
    let mut pids = BTreeSet::new();
    for (number, site) in sites.iter().enumerate() {
        loki.wait(&format!("{{service_name=\"agent{number}\"}}"), 100 + number, SOON);
        let (_, report) = site.status().unwrap();
        pids.insert(report["pid"].as_u64().unwrap());
        assert_eq!(report["sources"].as_array().unwrap().iter().filter(|source| source["kind"] == "files").count(), 1);
    }
    assert_eq!(pids.len(), 3, "each state folder leads to its own agent");
    // A second agent on a state that is in use says so.
    let second = sites[0].run(&["run"]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains(sites[0].state().to_str().unwrap()), "{said}");
}
