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
    let new = rig.wait_told("New", 2);
    assert!(new[1].resolved && new[1].starts_at == new[0].starts_at, "{new:?}");
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
    assert!(off.contains("switched off by `alerts: off`"), "{off}");
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

const LEAVING: &str = "
groups:
  - name: leaving
    interval: 1s
    limit: 2
    rules:
      - { alert: Raised, expr: load > 5, labels: { severity: page } }
      - { alert: Removed, expr: load > 5, labels: { severity: page } }
      - { alert: Limited, expr: part > 5, labels: { severity: page } }
";

/// Alertmanager lets an alert expire that nobody sends again; a pager has to be told.
#[test]
fn whatever_takes_a_firing_alert_away_those_who_were_told_of_it_are_told_that_it_ended() {
    let rig = Rig::new();
    rig.rules("leaving.yml", LEAVING);
    rig.config("", "");
    rig.target.set("load", 6.0);
    rig.target.set("part{number=\"1\"}", 6.0);
    let mut agent = rig.start();
    for alert in ["Raised", "Removed", "Limited"] {
        assert!(!rig.wait_told(alert, 1)[0].resolved);
    }
    let ended = |alert: &str| {
        let told = rig.wait_told(alert, 2);
        assert!(told[1].resolved && told[1].starts_at == told[0].starts_at, "{told:?}");
        assert!(told[1].ends_at > told[1].starts_at, "{told:?}");
    };

    // More than the limit of the group.
    rig.target.set("part{number=\"2\"}", 6.0);
    rig.target.set("part{number=\"3\"}", 6.0);
    ended("Limited");

    // A longer `for`.
    let raised = LEAVING.replacen("load > 5,", "load > 5, for: 1h,", 1);
    rig.rules("leaving.yml", &raised);
    agent.signal(Signal::HUP);
    ended("Raised");

    // Its rule goes while the agent is away.
    settled(&rig);
    stop(&mut agent);
    rig.rules("leaving.yml", &raised.replace("Removed", "Renamed"));
    let _agent = rig.start();
    ended("Removed");
    assert!(!rig.wait_told("Renamed", 1)[0].resolved);
    rig.rounds("Renamed", 3);
    for (alert, count) in [("Raised", 2), ("Removed", 2), ("Renamed", 1)] {
        assert_eq!(rig.told(alert).len(), count, "{:?}", rig.told(alert));
    }
    let ledger = String::from_utf8(rig.site.run(&["alerts", "--history", "1h", "--json"]).stdout).unwrap();
    let ledger: serde_json::Value = serde_json::from_str(&ledger).unwrap();
    let open = |alert: &str| {
        let all = ledger["history"].as_array().unwrap().iter();
        all.filter(|one| one["labels"]["alertname"] == alert && one["end"].is_null()).count()
    };
    assert_eq!(["Limited", "Raised", "Removed", "Renamed"].map(open), [0, 0, 0, 1], "{ledger}");
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

const DOWN: &str = "
groups:
  - name: down
    interval: 1s
    rules:
      - { alert: Loaded, expr: load > 5, labels: { severity: page } }
      - { alert: Down, expr: 'up{job=\"shop\"} == 0', labels: { severity: page } }
";

/// Prometheus forgets over a restart which series a target had, and so lets those of a target that is down live for its
/// lookback of five minutes more. Here the first failed round ends them, as it does in a life without restarts.
#[test]
fn a_target_that_is_down_after_a_restart_ends_its_alerts_as_without_one_and_what_says_so_goes_on() {
    let rig = Rig::new();
    rig.rules("down.yml", DOWN);
    rig.config("", "");
    rig.target.set("load", 6.0);
    let mut agent = rig.start();
    rig.wait_told("Loaded", 1);

    // Without a restart: the target's series end, and with them what fires because of them.
    rig.target.fail();
    let down = rig.wait_told("Down", 1)[0].clone();
    let ended = rig.wait_told("Loaded", 2)[1].clone();
    assert!(!down.resolved && ended.resolved, "{down:?} {ended:?}");

    // It is still down after a restart and after a crash: nobody hears of it again.
    let ends: [fn(&mut Process); 2] = [stop, Process::kill];
    for end in ends {
        settled(&rig);
        end(&mut agent);
        agent = rig.start();
        assert_eq!(since(&rig, "Down", "firing"), down.starts_at);
        rig.wait_rule("Loaded", "inactive");
        rig.rounds("Down", 3);
        assert_eq!((rig.told("Down").len(), rig.told("Loaded").len()), (1, 2));
    }

    // It comes back, and goes down while the agent is away.
    rig.target.set("load", 6.0);
    assert!(rig.wait_told("Down", 2)[1].resolved);
    let again = rig.wait_told("Loaded", 3)[2].clone();
    assert!(!again.resolved && again.starts_at > ended.ends_at, "{again:?}");
    settled(&rig);
    stop(&mut agent);
    rig.target.fail();
    let _agent = rig.start();
    let ended = rig.wait_told("Loaded", 4)[3].clone();
    let down = rig.wait_told("Down", 3)[2].clone();
    assert!(ended.resolved && ended.starts_at == again.starts_at && !down.resolved, "{ended:?} {down:?}");
    // Both with the first round that failed; that one may come between the two rules.
    assert!((0..=1000).contains(&(ended.ends_at - down.starts_at)), "{ended:?} {down:?}");
    rig.rounds("Down", 3);
    assert_eq!((rig.told("Down").len(), rig.told("Loaded").len()), (3, 4));
}

const FAILING: &str = "
groups:
  - name: failing
    interval: 1s
    rules:
      - { alert: Same, expr: pair > 0, labels: { half: both, severity: page } }
";

#[test]
fn a_rule_that_fails_for_five_minutes_is_told_to_people_and_so_is_its_mend() {
    let rig = Rig::new();
    rig.rules("failing.yml", FAILING);
    rig.config("", "");
    rig.target.set("pair{half=\"a\"}", 1.0);
    rig.target.set("pair{half=\"b\"}", 1.0);
    let mut agent = rig.start();
    let active = since(&rig, "PlimsollRuleFailing", "pending");
    stop(&mut agent);

    // The five minutes pass in the state file.
    let path = rig.site.state().join("alerts.json");
    let mut saved: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let rules = saved["rules"].as_array_mut().unwrap();
    let own = rules.iter_mut().find(|rule| rule["rule"] == "").unwrap();
    assert_eq!(own["alerts"][0]["active_at"], active);
    own["alerts"][0]["active_at"] = (active - 300_000).into();
    std::fs::write(&path, saved.to_string()).unwrap();

    let _agent = rig.start();
    let told = rig.wait_told("PlimsollRuleFailing", 1)[0].clone();
    assert!(!told.resolved && told.starts_at >= active, "{told:?}");
    let labels = ["rule", "rule_group", "severity"].map(|name| told.labels[name].as_str());
    assert_eq!(labels, ["Same", "failing", "ticket"]);
    assert_eq!(told.summary, "The rule Same cannot be evaluated");
    assert!(rig.told("Same").is_empty());
    rig.target.remove("pair{half=\"b\"}");
    let ended = rig.wait_told("PlimsollRuleFailing", 2)[1].clone();
    assert!(ended.resolved && ended.starts_at == told.starts_at && ended.ends_at > told.starts_at, "{ended:?}");
    rig.wait_told("Same", 1);
}
