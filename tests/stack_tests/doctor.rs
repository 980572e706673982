//! `plimsoll doctor` beside a real Loki and a real Prometheus: what is well, what fails, and what is not here.

use std::time::Duration;

use serde_json::Value;

use super::SOON;
use super::harness::{Site, free_port, wait_for};
use super::loki::Loki;
use super::prometheus::Prometheus;

/// Exit code and what `plimsoll doctor --json` says.
fn doctor(site: &Site, more: &[&str]) -> (i32, Value) {
    let output = site.run(&[&["doctor", "--json"], more].concat());
    let facts = serde_json::from_slice(&output.stdout);
    let facts = facts.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), facts)
}

/// The check with this name in a part: verdict, words and commands.
fn check<'a>(facts: &'a Value, part: &str, name: &str) -> (&'a str, &'a str, &'a Value) {
    let mut all = facts["checks"].as_array().unwrap().iter();
    let found = all.find(|check| check["part"] == part && check["name"].as_str().unwrap().starts_with(name));
    let found = found.unwrap_or_else(|| panic!("no {name} in {part}: {facts:#}"));
    (found["verdict"].as_str().unwrap(), found["words"].as_str().unwrap(), &found["mend"])
}

/// Whether the first round of the host and the line are wherever the doctor looks. It asks the agent first and the stack
/// last: what comes between is in the answers of one and not of the other.
fn arrived(facts: &Value) -> bool {
    let well = [("sources", "host"), ("boards", "stage 1"), ("prometheus", "boards"), ("loki", "boards")];
    well.iter().all(|(part, name)| check(facts, part, name).0 == "ok")
        && check(facts, "prometheus", "metrics").1.starts_with("all ")
        && check(facts, "loki", "lines").1.starts_with("1 of ")
}

/// What fails without Prometheus and with a Redis that is not there: a part, how a name in it begins, and words.
const FAILING: [(&str, &str, &str); 3] = [
    ("sources", "redis", "refused"),
    ("shipping", "prometheus metrics", "fails for "),
    ("prometheus", "answers", "connection refused"),
];

#[test]
fn the_doctor_finds_all_well_and_then_what_fails() {
    let Some(loki) = Loki::start() else { return };
    let mut prometheus = Prometheus::start().unwrap();
    let site = Site::new();
    site.log("shop.log", "a line\n");
    let destinations = format!("destinations:\n{}{}", loki.destination(""), prometheus.destination());
    let redis = free_port();
    let entry = site.entry("shop.log", "service: shop, format: text");
    let host = format!("host: {{ interval: 1s }}\nlogs:\n  files:\n{entry}");
    site.config(&format!("{host}{destinations}"));
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/alerts");
    let agent = site.start_with(&[("PLIMSOLL_SHIPPED_ALERTS", rules)]);
    let (at_prometheus, at_loki) =
        (format!("http://127.0.0.1:{}", prometheus.port), format!("http://127.0.0.1:{}/", loki.port));
    let stack = ["--prometheus", &at_prometheus, "--loki", &at_loki];
    let facts = wait_for("a box on which all is well", Duration::from_secs(60), || {
        let (code, facts) = doctor(&site, &stack);
        if code == 0 && arrived(&facts) { Ok(facts) } else { Err(format!("exit {code}: {facts:#}")) }
    });
    assert_eq!(facts["ok"], true);
    assert_eq!(check(&facts, "rules", "fleet").0, "not_here");
    assert_eq!(check(&facts, "prometheus", "OTLP receiver"), ("ok", "on", &Value::Array(Vec::new())));
    let (verdict, words, _) = check(&facts, "prometheus", "late samples");
    assert!(verdict == "warn" && words.contains("out_of_order_time_window"), "the servers' default: {words}");
    let (verdict, words, _) = check(&facts, "loki", "long lines");
    assert!(verdict == "ok" && words.contains("256KB"), "{words}");

    let (verdict, words, _) = check(&facts, "boards", "stage 1");
    assert!(verdict == "ok" && words.contains("not here: postgres"), "{words}");
    assert_eq!(check(&facts, "boards", "stage 7").0, "not_here", "{facts:#}");
    let (verdict, words, _) = check(&facts, "prometheus", "rules");
    assert!(verdict == "ok" && words.contains(" rules are evaluated there"), "{words}");
    let (verdict, words, _) = check(&facts, "prometheus", "boards");
    assert!(verdict == "ok" && words.starts_with("all "), "{words}");
    let (verdict, words, _) = check(&facts, "loki", "boards");
    assert!(verdict == "ok" && words.contains("panels of logs are answered"), "{words}");

    prometheus.down();
    let collect = format!("collect:\n  redis: [ {{ url: \"redis://127.0.0.1:{redis}\", interval: 1s }} ]\n");
    site.config(&format!("{host}{collect}{destinations}"));
    agent.signal(rustix::process::Signal::HUP);
    let facts = wait_for("what fails", SOON, || {
        let (code, facts) = doctor(&site, &["--prometheus", &at_prometheus]);
        let fails = |&(part, name, words): &(&str, &str, &str)| {
            let mut all = facts["checks"].as_array().unwrap().iter();
            all.any(|check| {
                let named = check["name"].as_str().unwrap().starts_with(name);
                let told = check["words"].as_str().unwrap().contains(words);
                check["part"] == part && named && told && check["verdict"] == "fail"
            })
        };
        if code == 1 && FAILING.iter().all(fails) { Ok(facts) } else { Err(format!("exit {code}: {facts:#}")) }
    });
    assert_eq!(facts["ok"], false);
    let screen = String::from_utf8(site.run(&["doctor"]).stdout).unwrap();
    assert!(screen.contains("\n  fail      prometheus metrics  fails for "), "{screen}");
    assert!(screen.lines().last().unwrap().contains(" to mend"), "{screen}");
}

#[test]
fn without_an_agent_the_doctor_says_how_to_start_one_and_misuse_is_told() {
    let site = Site::new();
    let (code, facts) = doctor(&site, &[]);
    assert_eq!(code, 1);
    let (verdict, words, mend) = check(&facts, "agent", "plimsoll");
    assert!(verdict == "fail" && words.contains("no agent answers"), "{words}");
    assert_eq!(mend[0], "systemctl start plimsoll");
    check(&facts, "network", "listeners");
    for (words, told) in [
        (["--prometheus", "prometheus:9090"], "begins with neither http:// nor https://"),
        (["--loki", "http://user:secret@loki"], "without login and query"),
    ] {
        let output = site.run(&[&["doctor"], &words[..]].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(told), "{output:?}");
    }
    std::fs::write(site.path("token"), "two words\n").unwrap();
    let token = site.path("token").display().to_string();
    let output = site.run(&["doctor", "--token-file", &token]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&token) && !said.contains("two words"), "{said}");
}
