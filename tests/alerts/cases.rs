//! The cases of Prometheus' alert-generator specification: what is shown, what is told, and when.

use super::alertmanager::Alertmanager;
use super::harness::{host_name, wait_for};
use super::rig::{Rig, SOON, millis};

/// The `for` of the rule, milliseconds: long enough to be seen while it waits.
const FOR: i64 = 10_000;
const SPELL: &str = "
groups:
  - name: spells
    interval: 1s
    rules:
      - alert: Spell
        expr: load > 5
        for: 10s
        labels: { severity: page, team: '{{ $labels.service }}-team' }
        annotations: { summary: 'load of {{ $labels.job }} is {{ $value }}' }
";

#[test]
fn an_alert_waits_fires_and_ends_and_both_sides_are_told_its_own_times() {
    let rig = Rig::new();
    let alertmanager = Alertmanager::start();
    let endpoint =
        alertmanager.iter().map(|am| format!("    am: {{ alertmanager: {{ endpoints: [\"{}\"] }} }}\n", am.endpoint()));
    rig.rules("spells.yml", SPELL);
    rig.config(&endpoint.collect::<String>(), "");
    rig.target.set("load{service=\"web\"}", 1.0);
    let _agent = rig.start();
    rig.wait_rule("Spell", "inactive");
    rig.rounds("Spell", 2);
    assert!(rig.shown("").is_empty(), "a quiet rule has no series");

    rig.target.set("load{service=\"web\"}", 6.0);
    let pending = rig.wait_rule("Spell", "pending");
    let active_at = millis(&pending["alerts"][0]["activeAt"]);
    rig.target.set("load{service=\"web\"}", 7.0);
    let firing = rig.wait_rule("Spell", "firing");
    let alert = &firing["alerts"][0];
    assert_eq!(millis(&alert["activeAt"]), active_at, "since when does not change");
    let expected = serde_json::json!({
        "alertname": "Spell", "instance": format!("{}:{}", host_name(), rig.target.port), "job": "shop",
        "service": "web", "severity": "page", "team": "web-team",
    });
    assert_eq!(alert["labels"], expected, "the name of the metric is none of them");
    wait_for("the newest value in the text", SOON, || {
        let shown = rig.rule("Spell")?["alerts"][0]["annotations"]["summary"].clone();
        if shown == "load of shop is 7" { Ok(()) } else { Err(shown.to_string()) }
    });

    let told = rig.wait_told("Spell", 1)[0].clone();
    assert!(!told.resolved && told.starts_at >= active_at + FOR, "{told:?}");
    assert_eq!(serde_json::json!(told.labels), expected);
    if let Some(am) = &alertmanager {
        let known = am.wait_for_one();
        assert_eq!((millis(&known["startsAt"]), &known["labels"]), (told.starts_at, &expected));
        let four_minutes = millis(&known["endsAt"]) - 240_000;
        assert!(four_minutes >= told.starts_at && (four_minutes - told.starts_at) % 1000 == 0, "{known}");
        assert!(known["generatorURL"].as_str().unwrap().contains("g0.expr=load"), "{known}");
    }

    rig.target.set("load{service=\"web\"}", 2.0);
    rig.wait_rule("Spell", "inactive");
    let ended = rig.wait_told("Spell", 2)[1].clone();
    assert!(ended.resolved && ended.ends_at > told.starts_at, "{ended:?}");
    assert_eq!((ended.starts_at, &ended.labels), (told.starts_at, &told.labels));
    if let Some(am) = &alertmanager {
        wait_for("the end in Alertmanager", SOON, || {
            if am.alerts().is_empty() { Ok(()) } else { Err(format!("{:?}", am.alerts())) }
        });
    }
    rig.rounds("Spell", 2);
    assert_eq!(rig.wait_told("Spell", 2).len(), 2, "each once");

    let shown = rig.shown("alertname=\"Spell\"");
    let (waits, fires) = (&shown["pending"], &shown["firing"]);
    assert_eq!(waits[0], active_at);
    assert!(waits.iter().all(|t| t - active_at < FOR), "{shown:?}");
    assert_eq!(fires[0], told.starts_at, "fired in the first round that was long enough after");
    assert!(fires.iter().all(|t| t - active_at >= FOR && *t < ended.ends_at), "{shown:?}");
    assert_eq!(rig.query("ALERTS").unwrap(), serde_json::json!([]), "the series ended with the alert");
}

const KINDS: &str = "
groups:
  - name: kinds
    interval: 1s
    rules:
      - { alert: Never, expr: load > 100, labels: { severity: page } }
      - { alert: Short, expr: blip > 0, for: 1h, labels: { severity: page } }
      - { alert: AtOnce, expr: blip > 0, labels: { severity: page } }
      - { alert: Other, expr: blip > 0, labels: { severity: info } }
  - name: slow
    interval: 3s
    rules:
      - { alert: Less, expr: blip > 0, for: 500ms, labels: { severity: page } }
";

#[test]
fn what_is_quiet_or_ends_while_it_waits_is_told_to_nobody_and_without_for_nothing_waits() {
    let rig = Rig::new();
    rig.rules("kinds.yml", KINDS);
    rig.config("", "");
    rig.target.set("load", 1.0);
    rig.target.set("blip", 1.0);
    let _agent = rig.start();
    rig.wait_rule("Short", "pending");
    rig.wait_rule("Other", "firing");
    let (at_once, less) = (rig.wait_told("AtOnce", 1), rig.wait_told("Less", 1));
    rig.target.set("blip", 0.0);
    for rule in ["Short", "AtOnce", "Less", "Other"] {
        rig.wait_rule(rule, "inactive");
    }
    assert!(rig.wait_told("AtOnce", 2)[1].resolved && rig.wait_told("Less", 2)[1].resolved);
    for quiet in ["Never", "Short", "Other"] {
        assert!(rig.told(quiet).is_empty(), "{quiet}: {:?}", rig.told(quiet));
    }
    assert!(rig.shown("alertname=\"Never\"").is_empty());
    assert_eq!(rig.shown("alertname=\"Short\"").keys().collect::<Vec<_>>(), ["pending"]);
    let shown = rig.shown("alertname=\"AtOnce\"");
    assert_eq!(
        (shown.keys().map(String::as_str).collect(), shown["firing"][0]),
        (vec!["firing"], at_once[0].starts_at)
    );
    let shown = rig.shown("alertname=\"Less\"");
    assert_eq!((shown["pending"].len(), shown["firing"][0]), (1, less[0].starts_at), "not between two rounds");
    assert_eq!((shown["firing"][0] - shown["pending"][0]) % 3000, 0, "but in the next one");
}

const SEVERAL: &str = "
groups:
  - name: several
    interval: 1s
    rules:
      - { record: 'shop:depth', expr: depth * 2, labels: { by: rule } }
      - { alert: Deep, expr: 'shop:depth > 10', for: 2s, labels: { severity: ticket } }
      - { alert: Same, expr: pair > 0, labels: { half: both, severity: page } }
      - { alert: After, expr: 'count(ALERTS{alertname=\"Deep\"}) > 2', labels: { severity: page } }
";

#[test]
fn alerts_of_one_rule_are_told_in_their_order_each_by_itself() {
    let rig = Rig::new();
    rig.rules("several.yml", SEVERAL);
    rig.config("", "");
    rig.target.set("depth{queue=\"none\"}", 0.0);
    rig.target.set("pair{half=\"a\"}", 1.0);
    rig.target.set("pair{half=\"b\"}", 1.0);
    let _agent = rig.start();
    let mut starts = Vec::new();
    for (index, queue) in ["c", "a", "b"].into_iter().enumerate() {
        rig.target.set(&format!("depth{{queue={queue:?}}}"), 6.0);
        let told = rig.wait_told("Deep", index + 1);
        assert_eq!((told.len(), told[index].labels["queue"].as_str()), (index + 1, queue));
        assert_eq!(told[index].labels["by"], "rule", "a rule sees what the one before recorded");
        starts.push(told[index].starts_at);
    }
    assert!(starts.is_sorted() && starts[0] < starts[2], "{starts:?}");
    rig.wait_told("After", 1);

    rig.target.remove("depth{queue=\"a\"}");
    let told = rig.wait_told("Deep", 4);
    assert!(told[3].resolved && told[3].labels["queue"] == "a" && told[3].starts_at == starts[1], "{told:?}");
    rig.target.set("depth{queue=\"a\"}", 7.0);
    let told = rig.wait_told("Deep", 5);
    assert!(!told[4].resolved && told[4].labels["queue"] == "a", "{told:?}");
    assert!(told[4].starts_at > told[3].ends_at, "the same labels again are a new alert");

    // Two elements that become one alert are an error of the whole rule.
    let same = rig.rule("Same").unwrap();
    assert_eq!((&same["health"], &same["state"]), (&"err".into(), &"inactive".into()), "{same}");
    let error = same["lastError"].as_str().unwrap();
    assert!(error.contains("same labelset after applying alert labels"), "{error}");
    assert!(rig.told("Same").is_empty());
    assert!(rig.shown("alertname=\"Same\"").is_empty(), "a rule in error has no series");
    let failing = rig.wait_rule("PlimsollRuleFailing", "pending");
    let labels = &failing["alerts"][0]["labels"];
    assert_eq!((&labels["rule"], &labels["rule_group"]), (&"Same".into(), &"several".into()), "{failing}");
    let screen = String::from_utf8(rig.site.run(&["alerts"]).stdout).unwrap();
    assert!(screen.contains("same labelset"), "{screen}");
}
