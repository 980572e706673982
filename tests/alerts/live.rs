//! Asking a running agent, and what it knows after a restart: the newest hours come back from the spool.

use std::collections::BTreeSet;
use std::time::Duration;

use super::harness::{host_name, wait_for};
use super::rig::{Rig, SOON};

/// The samples of the host's memory, as the API writes them.
fn samples(rig: &Rig) -> Result<BTreeSet<String>, String> {
    let rows = rig.query("system_memory_limit_bytes[10m]")?;
    let [row] = rows.as_array().ok_or("no rows")?.as_slice() else { return Err(rows.to_string()) };
    Ok(row["values"].as_array().into_iter().flatten().map(ToString::to_string).collect())
}

fn at_least(rig: &Rig, count: usize) -> BTreeSet<String> {
    wait_for(&format!("{count} samples of the host"), SOON, || {
        let found = samples(rig)?;
        if found.len() >= count { Ok(found) } else { Err(format!("{found:?}")) }
    })
}

#[test]
fn a_running_agent_answers_over_its_host_also_about_what_came_before_a_crash_and_a_restart() {
    let rig = Rig::new();
    rig.site.config("host: { interval: 1s }\nalerts: off\n");
    let mut agent = rig.start();
    let first = at_least(&rig, 4);
    // A sample is shown before it is safe, and safe before the next one is shown.
    at_least(&rig, first.len() + 1);
    agent.kill();
    agent = rig.start();
    let second = at_least(&rig, first.len() + 3);
    assert!(first.is_subset(&second), "before the crash {first:?}, after it {second:?}");
    assert!(agent.terminate(Duration::from_secs(20)).success());
    let _agent = rig.start();
    let third = at_least(&rig, second.len() + 3);
    assert!(second.is_subset(&third), "before the restart {second:?}, after it {third:?}");

    let labels = rig.query("system_memory_limit_bytes").unwrap()[0]["metric"].clone();
    let expected =
        serde_json::json!({ "__name__": "system_memory_limit_bytes", "instance": host_name(), "job": "host" });
    assert_eq!(labels, expected);
    let output = rig.site.run(&["query", "system_memory_limit_bytes", "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &answer["result"][0]["metric"]), (Some(0), &expected), "{answer}");
    let range = ["query", "rate(system_cpu_time_seconds_total[30s])", "--range", "1m", "--step", "5s", "--json"];
    let output = rig.site.run(&range);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(answer["resultType"] == "matrix" && !answer["result"].as_array().unwrap().is_empty(), "{answer}");
    let screen = String::from_utf8(rig.site.run(&["query", "system_memory_limit_bytes"]).stdout).unwrap();
    assert!(screen.contains("iB") && screen.contains(&host_name()), "{screen}");
}

const RULES: &str = "
groups:
  - name: sources
    interval: 1s
    rules:
      - { alert: Scraped, expr: load > 5 }
      - { alert: Redis, expr: 'rate(redis_commands_processed_total[5m]) > 1' }
      - { alert: Host, expr: 'system_memory_limit_bytes < 0' }
";
const FLEET: &str = "
groups:
  - name: fleet
    rules:
      - { alert: Dead, expr: 'absent(system_uptime_seconds)' }
";

#[test]
fn a_rule_whose_target_is_down_cannot_fire_one_without_source_is_not_here_and_the_fleets_is_not_asked() {
    let rig = Rig::new();
    rig.rules("sources.yml", RULES);
    std::fs::create_dir(rig.site.path("none")).unwrap();
    std::fs::write(rig.site.path("none/fleet.yaml"), FLEET).unwrap();
    rig.config("", "");
    let config = std::fs::read_to_string(rig.site.path("plimsoll.yaml")).unwrap();
    std::fs::write(rig.site.path("plimsoll.yaml"), config.replace("host: off", "host: { interval: 1s }")).unwrap();
    rig.target.fail();
    let _agent = rig.start();
    let expected = ["Dead fleet", "Host quiet", "Redis not_here", "Scraped cannot_fire"];
    let states = || {
        let output = rig.site.run(&["alerts", "--json"]);
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        let rules = json["rules"].as_array().ok_or("no rules")?;
        let mut all: Vec<String> = rules
            .iter()
            .map(|rule| format!("{} {}", rule["name"].as_str().unwrap(), rule["state"].as_str().unwrap()))
            .collect();
        all.sort();
        Ok::<_, String>((all, output.status.code()))
    };
    wait_for("each rule as its source is", SOON, || match states()? {
        (states, Some(1)) if states == expected => Ok(()),
        other => Err(format!("{other:?}")),
    });
    let screen = String::from_utf8(rig.site.run(&["alerts"]).stdout).unwrap();
    let target = format!("scrape {}:{}", host_name(), rig.target.port);
    for words in ["Scraped", &target, "500"] {
        assert!(screen.contains(words), "no {words:?}: {screen}");
    }
    rig.target.set("load", 1.0);
    wait_for("a rule that is fine when its target is", SOON, || match states()? {
        (states, Some(0)) if states[3] == "Scraped quiet" => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn a_box_with_more_series_than_the_memory_it_was_given_says_so_and_what_to_do() {
    let rig = Rig::new();
    for number in 0..3000 {
        rig.target.set(&format!("visits_total{{visitor=\"{number}\"}}"), 1.0);
    }
    // Of 20 MiB the head gets five, which 3,000 series fill.
    let sources = rig.sources().replace("interval: 1s", "interval: 1s, series: 5000");
    rig.site.config(&format!("memory: 20MiB\nalerts: off\n{sources}"));
    let _agent = rig.start();
    let screen = wait_for("a word about memory in the status", SOON, || {
        let screen = String::from_utf8(rig.site.run(&["status"]).stdout).map_err(|error| error.to_string())?;
        if screen.contains("5 MiB of its head are full") { Ok(screen) } else { Err(screen) }
    });
    let words = ["new series are refused", "raise `memory:`", "visits_total alone has", "its label visitor"];
    for word in words {
        assert!(screen.contains(word), "no {word:?}: {screen}");
    }
}
