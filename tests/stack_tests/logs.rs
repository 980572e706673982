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

/// One line a second in each of four formats.
fn write_four_formats(site: &Site, start: u64) {
    for number in 0..LINES {
        let time = Timestamp::from_second((start + number) as i64).unwrap();
        let json = format!(
            "{{\"time\":\"{}\",\"level\":\"error\",\"msg\":\"order {number} failed\",\"http\":{{\"status\":502}},\
             \"user.id\":\"u{number}\",\"ok\":false}}\n",
            time.strftime("%Y-%m-%dT%H:%M:%S.250Z")
        );
        let nginx = format!(
            "203.0.113.9 - ann [{}] \"GET /cart/{number}?id=7 HTTP/1.1\" 502 {number} \"-\" \"curl/8.5\"\n",
            time.strftime("%d/%b/%Y:%H:%M:%S +0000")
        );
        let logfmt = format!("time={time} level=warn msg=\"job {number} is \\\"slow\\\"\" took=1.5 queue=mail\n");
        let postgres =
            format!("{} UTC [4711] ann@shop ERROR:  duplicate key {number}\n", time.strftime("%Y-%m-%d %H:%M:%S.750"));
        let files = [("shop.json", json), ("access.log", nginx), ("worker.log", logfmt), ("postgresql.log", postgres)];
        files.iter().for_each(|(name, line)| site.log(name, line));
    }
}

/// Looks at the entries of one format: the end of each line, its time, and some of what it says besides.
fn check(entries: &[Entry], start: u64, digits: (u64, u64), end: impl Fn(u64) -> String, says: &[(&str, &str)]) {
    let (unit, below) = digits;
    for (entry, number) in entries.iter().zip(0..) {
        assert!(entry.line.ends_with(&end(number)), "{entry:?}");
        assert_eq!(entry.nanos / unit, (start + number) * (SECOND / unit) + below, "{entry:?}");
        for (name, value) in says {
            assert_eq!(entry.get(name), value.replace('N', &number.to_string()), "{name} of {entry:?}");
        }
        assert_eq!(entry.labels.get("service_instance_id"), Some(&host_name()));
        assert_eq!(entry.labels.get("deployment_environment_name").map(String::as_str), Some("test"));
        assert_eq!(entry.get("host_name"), host_name());
        assert!(entry.get("log_file_path").contains("/log/"), "{entry:?}");
    }
}

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
    let (files, to) = (files.concat(), loki.destination(""));
    site.config(&format!("host: off\nenvironment: test\nlogs:\n  files:\n{files}destinations:\n{to}"));
    let start = harness::now() / SECOND - 100;
    write_four_formats(&site, start);
    let _agent = site.start();
    let of = |service: &str| loki.wait(&format!("{{service_name=\"{service}\"}}"), LINES as usize, SOON);
    let (seconds, millis) = ((SECOND, 0), |below| (SECOND / 1000, below));

    let says = [("severity_text", "error"), ("severity_number", "17"), ("http_status", "502"), ("user_id", "uN")];
    check(&of("shop"), start, millis(250), |number| format!("order {number} failed"), &says);
    let end = |number| format!("] \"GET /cart/{number}?id=7 HTTP/1.1\" 502 {number} \"-\" \"curl/8.5\"");
    let request = [("http_request_method", "GET"), ("http_response_status_code", "502"), ("url_path", "/cart/N")];
    check(&of("nginx"), start, seconds, end, &request);
    let client = [("client_address", "203.0.113.9"), ("user_name", "ann"), ("user_agent_original", "curl/8.5")];
    check(&of("nginx"), start, seconds, end, &client);
    let says = [("severity_text", "warn"), ("severity_number", "13"), ("took", "1.5"), ("queue", "mail")];
    check(&of("worker"), start, seconds, |number| format!("job {number} is \"slow\""), &says);
    let says = [("severity_text", "ERROR"), ("process_pid", "4711"), ("user_name", "ann"), ("db_namespace", "shop")];
    check(&of("postgresql"), start, millis(750), |number| format!("duplicate key {number}"), &says);
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
