//! The review of a box whose rules are noisy in each way.

use super::*;
use crate::alert::view::{GroupView, View};
use crate::store::Labels;

const MINUTE: i64 = 60_000;

fn rule(name: &str, severity: &str, hold: u64, presence: Presence) -> RuleView {
    RuleView {
        name: name.into(),
        labels: vec![("severity".into(), severity.into())],
        presence,
        alert: Some(AlertView { hold: Duration::from_secs(hold), ..AlertView::default() }),
        ..RuleView::default()
    }
}

fn asking(name: &str, severity: &str, hold: u64, query: &str) -> RuleView {
    RuleView { query: query.into(), ..rule(name, severity, hold, Presence::Here) }
}

/// An activation from a minute to another; `0`: it fires still.
fn fired(rule: &str, severity: &str, from: i64, to: i64, silenced: &str) -> Activation {
    Activation {
        rule: rule.into(),
        labels: Labels::new([("alertname", rule), ("severity", severity)]),
        start: from * MINUTE,
        end: (to > 0).then_some(to * MINUTE),
        value: 1.0,
        told: Vec::new(),
        silenced: silenced.into(),
    }
}

fn alerts() -> Alerts {
    let broken = Presence::CannotFire { why: "redis: NOAUTH".into(), mend: String::new() };
    let rules = vec![
        rule("Quiet", "page", 0, Presence::Here),
        rule("Blips", "page", 300, Presence::Here),
        rule("Blips", "ticket", 300, Presence::Here),
        rule("Snoozed", "page", 0, Presence::Here),
        rule("Flaps", "ticket", 0, Presence::Here),
        rule("Useful", "page", 0, Presence::Here),
        asking("Kills", "page", 0, "increase(kills_total{kind=~\"[a-z]+\"}[5m]) > 0"),
        asking("DatabaseDown", "page", 120, "up == 0"),
        asking("DiskFull", "page", 300, "node_filesystem_avail_bytes < 1e9"),
        rule("CacheFull", "ticket", 0, broken),
        rule("QueueOld", "page", 0, Presence::NotHere("rabbitmq".into())),
        rule("TwoPrimaries", "page", 0, Presence::Fleet),
        rule("Watchdog", "none", 0, Presence::Here),
    ];
    let history = vec![
        fired("Blips", "page", 1000, 1002, ""),
        fired("Blips", "page", 3000, 3003, ""),
        fired("Blips", "page", 5000, 5001, ""),
        fired("Blips", "ticket", 5000, 5100, ""),
        fired("Snoozed", "page", 10, 100, "silenced by ops"),
        fired("Snoozed", "page", 1010, 1100, "silenced by ops"),
        fired("Snoozed", "page", 2010, 2100, "silenced by ops"),
        fired("Snoozed", "page", 3010, 0, ""),
        fired("Flaps", "ticket", 10, 20, ""),
        fired("Flaps", "ticket", 30, 40, ""),
        fired("Flaps", "ticket", 52, 62, ""),
        fired("Flaps", "ticket", 70, 80, ""),
        fired("Useful", "page", 10, 80, ""),
        fired("Kills", "page", 100, 104, ""),
        fired("Kills", "page", 300, 304, ""),
        fired("Kills", "page", 500, 504, ""),
        fired("DatabaseDown", "page", 100, 102, "silenced by ops"),
        fired("DatabaseDown", "page", 300, 302, "silenced by ops"),
        fired("DatabaseDown", "page", 500, 502, "silenced by ops"),
        fired("DiskFull", "page", 100, 102, ""),
        fired("DiskFull", "page", 300, 302, ""),
        fired("DiskFull", "page", 500, 502, ""),
        fired("Watchdog", "none", 1, 0, ""),
    ];
    let group =
        GroupView { name: "shop".into(), file: "/etc/plimsoll/alerts/shop.yaml".into(), rules, ..GroupView::default() };
    Alerts { now: 10_000 * MINUTE, view: View { off: false, groups: vec![group] }, history }
}

#[test]
fn noise_is_counted_for_each_rule_and_what_would_help_is_proposed() {
    let alerts = alerts();
    let reviewed = review(&alerts);
    let row = |one: &Reviewed<'_>| {
        let change = one.change.as_ref().map(|change| change.fact().to_string()).unwrap_or_default();
        format!(
            "{} {} {}/{}/{}/{}/{} {change}",
            one.rule.name, one.severity, one.fired, one.firing, one.short, one.silenced, one.repeated
        )
    };
    let got: Vec<String> = reviewed.iter().map(row).collect();
    let want = [
        "Snoozed page 4/1/0/3/0 {\"severity\":\"ticket\"}",
        "Flaps ticket 4/0/0/0/3 {\"keep_firing_for\":\"15m\"}",
        "Blips page 3/0/3/0/0 {\"for\":\"10m\"}",
        "Kills page 3/0/3/0/0 ",
        "DatabaseDown page 3/0/3/3/0 ",
        "DiskFull page 3/0/3/0/0 ",
        "Blips ticket 1/0/0/0/0 ",
        "Useful page 1/0/0/0/0 ",
        "Quiet page 0/0/0/0/0 ",
        "CacheFull ticket 0/0/0/0/0 ",
        "QueueOld page 0/0/0/0/0 ",
    ];
    assert_eq!(got, want);
    assert_eq!(reviewed[9].never_could().as_deref(), Some("redis: NOAUTH"));
    let facts = facts(0, &reviewed, &change::Diff::default());
    assert_eq!(facts["rules"][10]["never_could"], "no rabbitmq on this box");
}

#[test]
fn the_screen_has_the_noise_first_and_the_proposal_last() {
    let alerts = alerts();
    let reviewed = review(&alerts);
    let file = "groups:\n  - name: shop\n    rules:\n      - alert: Blips\n        labels: { severity: page }\n        for: 5m\n";
    let diff = change::diff(&edits(&reviewed), |_| Ok(file.to_owned()));
    let got = screen::screen(&reviewed, &diff, Dur(Duration::from_secs(30 * 86_400)), Paint::NONE);
    let want = "\
REVIEW        8 rules fired 22 times in the last 30 d
  rule                              severity     fired   < 5 min  silenced     again
  Snoozed                           page             4         0         3         0  1 still
  Flaps                             ticket           4         0         0         3
  Blips                             page             3         3         0         0
  Kills                             page             3         3         0         0
  DatabaseDown                      page             3         3         3         0
  DiskFull                          page             3         3         0         0
  Blips                             ticket           1         0         0         0
  Useful                            page             1         0         0         0
NEVER FIRED   Quiet
NEVER COULD   1 with no rabbitmq on this box
              CacheFull: redis: NOAUTH (plimsoll doctor)
PROPOSED      nothing is changed; put what you agree with into the file, then: plimsoll check &&
              plimsoll reload
--- /etc/plimsoll/alerts/shop.yaml
+++ /etc/plimsoll/alerts/shop.yaml
@@ -3,4 +3,4 @@
     rules:
       - alert: Blips
         labels: { severity: page }
-        for: 5m
+        for: 10m
LEFT OUT      /etc/plimsoll/alerts/shop.yaml: Snoozed: its `severity` was not found; set it to
              ticket
LEFT OUT      /etc/plimsoll/alerts/shop.yaml: Flaps: its `keep_firing_for` was not found; set it to
              15m
";
    assert_eq!(got, want);
}

#[test]
fn the_range_of_a_rule_is_its_shortest_whatever_its_patterns_hold() {
    let minutes = |minutes: u64| Some(Duration::from_secs(60 * minutes));
    assert_eq!(shortest_range("x > 5"), None);
    assert_eq!(shortest_range("rate(x{a=~\"[Ll]ow|'[1m]\"}[10m]) < rate(x[1h] offset 5m)"), minutes(10));
    assert_eq!(shortest_range("sum_over_time(x[6h:1m]) and x{a='[2m]'}"), minutes(360));
}

#[test]
fn who_is_shown_a_change_of_a_shipped_rule_is_told_to_copy_the_whole_file_first() {
    let mut alerts = alerts();
    alerts.view.groups[0].file = "/usr/share/plimsoll/alerts/shop.yaml".into();
    let reviewed = review(&alerts);
    let file = "groups:\n  - name: shop\n    rules:\n      - alert: Blips\n        labels: { severity: page }\n        for: 5m\n";
    let diff = change::diff(&edits(&reviewed), |_| Ok(file.to_owned()));
    let got = screen::screen(&reviewed, &diff, Dur(Duration::from_secs(30 * 86_400)), Paint::NONE);
    let words = got.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("cp /usr/share/plimsoll/alerts/shop.yaml /etc/plimsoll/alerts/; put what"), "{got}");
}
