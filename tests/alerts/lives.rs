//! Alerts over restarts and reloads: what fires stays what it is, and nothing ends because nobody looked.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::alertmanager::Alertmanager;
use super::harness::{Process, wait_for};
use super::rig::{Rig, SOON, millis};

const RULES: &str = "
groups:
  - name: lives
    interval: 1s
    rules:
      - { alert: Fires, expr: load > 5, labels: { severity: page } }
      - { alert: Waits, expr: load > 5, for: 1h, labels: { severity: page } }
      - { alert: Ranged, expr: 'count_over_time(load[30s]) > 8', labels: { severity: ticket } }
";
const MORE: &str = "
      - { alert: New, expr: load > 5, labels: { severity: page } }
";

/// Since when the alert of `rule` is active.
fn since(rig: &Rig, rule: &str, state: &str) -> i64 {
    millis(&rig.wait_rule(rule, state)["alerts"][0]["activeAt"])
}

/// Waits until nothing is on its way to anybody.
fn settled(rig: &Rig) {
    wait_for("an empty line of messages on disk", SOON, || {
        let text = std::fs::read_to_string(rig.site.state().join("alerts.json")).map_err(|error| error.to_string())?;
        let saved: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let all = saved["waiting"]["notifiers"].as_object().ok_or("nothing yet")?;
        let quiet = all.values().all(|one| one["alerts"].as_array().is_some_and(Vec::is_empty));
        let told = all.get("hook").is_some_and(|hook| hook["told"].as_array().is_some_and(|told| !told.is_empty()));
        if quiet && told { Ok(()) } else { Err(text) }
    });
}

fn stop(agent: &mut Process) {
    assert!(agent.terminate(Duration::from_secs(20)).success());
}

#[test]
fn over_restarts_and_crashes_a_firing_alert_is_not_new_and_nothing_ends_because_the_agent_was_away() {
    let rig = Rig::new();
    let alertmanager = Alertmanager::start();
    let endpoint =
        alertmanager.iter().map(|am| format!("    am: {{ alertmanager: {{ endpoints: [\"{}\"] }} }}\n", am.endpoint()));
    rig.rules("lives.yml", RULES);
    rig.config(&endpoint.collect::<String>(), "");
    rig.target.set("load", 6.0);
    let mut agent = rig.start();
    let told = rig.wait_told("Fires", 1)[0].clone();
    let waits = since(&rig, "Waits", "pending");
    let ranged = rig.wait_told("Ranged", 1)[0].clone();
    let ends: [fn(&mut Process); 3] = [stop, Process::kill, stop];
    for (turn, end) in ends.into_iter().enumerate() {
        settled(&rig);
        end(&mut agent);
        if turn > 0 {
            // The series are gone, as after a long time away: an alert over a range is held until the range is full.
            std::fs::remove_dir_all(rig.site.state().join("store")).unwrap();
            std::fs::remove_dir_all(rig.site.state().join("spool/metrics")).unwrap();
        }
        agent = rig.start();
        assert_eq!(since(&rig, "Fires", "firing"), told.starts_at, "turn {turn}");
        assert_eq!(since(&rig, "Ranged", "firing"), ranged.starts_at, "turn {turn}");
        assert_eq!(since(&rig, "Waits", "pending"), waits, "turn {turn}");
        rig.rounds("Ranged", 5);
        for rule in ["Fires", "Ranged"] {
            rig.wait_rule(rule, "firing");
            assert_eq!(rig.told(rule).len(), 1, "turn {turn}: {:?}", rig.told(rule));
        }
        if let Some(am) = &alertmanager {
            let known = am.alerts();
            let starts = |name: &str| {
                known.iter().find(|alert| alert["labels"]["alertname"] == name).map(|alert| millis(&alert["startsAt"]))
            };
            assert_eq!((starts("Fires"), starts("Ranged")), (Some(told.starts_at), Some(ranged.starts_at)), "{turn}");
        }
    }
    rig.target.set("load", 1.0);
    rig.wait_rule("Waits", "inactive");
    let ended = rig.wait_told("Fires", 2)[1].clone();
    assert!(ended.resolved && ended.starts_at == told.starts_at, "{ended:?}");
    assert!(rig.told("Waits").is_empty());
}

#[test]
fn a_reload_keeps_what_the_rules_know_ends_what_is_gone_and_refuses_what_is_bad() {
    let rig = Rig::new();
    rig.rules("lives.yml", &format!("{RULES}{MORE}"));
    rig.config("", "");
    rig.target.set("load", 6.0);
    let agent = rig.start();
    let told = rig.wait_told("Fires", 1)[0].clone();
    rig.wait_told("New", 1);
    let waits = since(&rig, "Waits", "pending");

    // Other rules: SIGHUP.
    rig.rules("lives.yml", RULES);
    agent.signal(Signal::HUP);
    wait_for("an end of the rule that is gone", SOON, || match rig.rule("New") {
        Err(_) => Ok(()),
        Ok(rule) => Err(rule.to_string()),
    });
    rig.rounds("Fires", 2);
    assert_eq!(since(&rig, "Fires", "firing"), told.starts_at);
    assert_eq!(since(&rig, "Waits", "pending"), waits);
    assert_eq!(rig.query("ALERTS{alertname=\"New\"}").unwrap(), serde_json::json!([]));

    // Another config and the rule back: it is new, the others are not.
    rig.rules("lives.yml", &format!("{RULES}{MORE}"));
    rig.config("", "environment: test\n");
    let reload = rig.site.run(&["reload"]);
    assert!(reload.status.success(), "{reload:?}");
    rig.wait_rule("New", "firing");
    assert_eq!(since(&rig, "Fires", "firing"), told.starts_at);
    assert_eq!(since(&rig, "Waits", "pending"), waits);
    assert_eq!(rig.told("Fires").len(), 1, "{:?}", rig.told("Fires"));

    // A bad file: the old rules go on, and everybody can read why.
    rig.rules("bad.yml", "groups:\n  - name: bad\n    rules:\n      - { alert: Bad, expr: 'sum(' }\n");
    let reload = rig.site.run(&["reload"]);
    let said = String::from_utf8(reload.stdout).unwrap();
    assert_eq!(reload.status.code(), Some(1), "{said}");
    assert!(said.contains("bad.yml:4") && said.contains("the old"), "{said}");
    rig.rounds("Fires", 2);
    assert_eq!(since(&rig, "Waits", "pending"), waits);
    let (_, report) = rig.site.status().unwrap();
    assert!(report["notes"].to_string().contains("bad.yml:4"), "{report}");
    std::fs::remove_file(rig.site.path("bad.yml")).unwrap();

    // Off: nothing is evaluated, shown or told any more.
    rig.site.config(&format!("{}alerts: off\n", rig.sources()));
    let reload = rig.site.run(&["reload"]);
    assert!(reload.status.success(), "{reload:?}");
    let off = String::from_utf8(rig.site.run(&["alerts"]).stdout).unwrap();
    assert!(off.contains("off"), "{off}");
    assert!(rig.rule("Fires").is_err());
    assert_eq!(rig.query("ALERTS").unwrap(), serde_json::json!([]), "its series end");
    let count = rig.hook.taken().len();

    // On again: it goes on where it stood.
    rig.config("", "");
    let reload = rig.site.run(&["reload"]);
    assert!(reload.status.success(), "{reload:?}");
    assert_eq!(since(&rig, "Fires", "firing"), told.starts_at);
    assert_eq!(since(&rig, "Waits", "pending"), waits);
    rig.rounds("Fires", 3);
    assert_eq!(rig.hook.taken().len(), count, "nobody is told again");
}

#[test]
fn a_bad_rule_file_at_the_start_is_left_out_loudly_and_the_others_hold() {
    let rig = Rig::new();
    rig.rules("lives.yml", RULES);
    rig.rules("bad.yml", "groups:\n  - name: bad\n    rules:\n      - { alert: Bad, expr: 'rate(x' }\n");
    rig.config("", "");
    rig.target.set("load", 6.0);
    let agent = rig.start();
    rig.wait_rule("Fires", "firing");
    let (code, report) = rig.site.status().unwrap();
    assert!(report["notes"].to_string().contains("bad.yml:4"), "{report}");
    assert_eq!(code, 1, "this is not fine");
    assert!(agent.log().contains("bad.yml:4"), "{}", agent.log());
    let mut check = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    let check = check.arg("check").arg("--config").arg(rig.site.path("plimsoll.yaml")).output().unwrap();
    assert_eq!(check.status.code(), Some(1), "{check:?}");
}
