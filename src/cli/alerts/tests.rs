//! The screens against golden files, and what hostile names do to them.

use std::path::Path;
use std::time::Duration;

use super::screen::Screen;
use super::*;
use crate::alert::view::{Activation, ActiveView, AlertView, GroupView, View};
use crate::base::terminal::WIDTH;
use crate::store::Labels;

const NOW: i64 = 1_700_273_600_000;

fn alert(pairs: &[(&str, &str)], firing: bool, ago: i64, value: f64, summary: &str) -> ActiveView {
    let annotations = if summary.is_empty() { Vec::new() } else { vec![("summary".to_owned(), summary.to_owned())] };
    let labels = Labels::new(pairs.iter().copied().chain([("instance", "shop-db-1"), ("job", "host")]));
    ActiveView { labels, annotations, firing, active: NOW - ago * 1000, kept_since: None, value }
}

fn rule(name: &str, query: &str, hold: u64, active: Vec<ActiveView>) -> RuleView {
    let alert = AlertView { hold: Duration::from_secs(hold), active, ..AlertView::default() };
    RuleView {
        name: name.into(),
        query: query.into(),
        evaluated: NOW - 5000,
        alert: Some(alert),
        ..RuleView::default()
    }
}

fn group(name: &str, rules: Vec<RuleView>) -> GroupView {
    GroupView {
        name: name.into(),
        file: format!("/usr/share/plimsoll/alerts/{name}.yaml"),
        rules,
        ..GroupView::default()
    }
}

/// A box in trouble.
fn filled() -> Alerts {
    let disk = "system_filesystem_utilization_ratio > 0.9";
    let full = vec![
        alert(&[("severity", "page"), ("mountpoint", "/")], true, 754, 0.962, "/ of shop-db-1 is 96 % full"),
        alert(&[("severity", "page"), ("mountpoint", "/srv")], true, 90_000, 0.999, "/srv of shop-db-1 is 100 % full"),
    ];
    let mut kept = alert(&[("severity", "ticket")], true, 3600, 9.25, "the load of shop-db-1 is above 8");
    kept.kept_since = Some(NOW - 100_000);
    let late = alert(&[("severity", "ticket"), ("queue", "mail")], false, 100, 12_345.0, "12345 mails wait");
    let due = alert(&[("severity", "page")], false, 400, 0.5, "");
    let watchdog = alert(&[("severity", "none")], true, 273_600, 1.0, "");
    let lacks = RuleView {
        presence: Presence::CannotFire {
            why: "pg_stat_replication shows nothing to the user plimsoll".into(),
            mend: "GRANT pg_monitor TO plimsoll".into(),
        },
        ..rule("PostgresReplicaLate", "x", 60, Vec::new())
    };
    let fails = RuleView {
        error: "found duplicate series for the match group {} on the right hand-side of the operation".into(),
        alert: None,
        ..rule("job:errors:ratio5m", "x / y", 0, Vec::new())
    };
    let not_here = |name: &str| RuleView {
        presence: Presence::NotHere("no redis on this box".into()),
        ..rule(name, "x", 0, Vec::new())
    };
    let fleet = RuleView { presence: Presence::Fleet, evaluated: 0, ..rule("HalfDown", "x", 0, Vec::new()) };
    let waits = RuleView { evaluated: 0, ..rule("CertificateEnds", "x", 0, Vec::new()) };
    let quiet = |name: &str| rule(name, "x", 0, Vec::new());
    let groups = vec![
        group(
            "host",
            vec![rule("DiskFull", disk, 300, full), rule("LoadHigh", "load > 8", 60, vec![kept]), quiet("SwapIn")],
        ),
        group("queues", vec![rule("MailsWait", "depth > 1e4", 300, vec![late]), rule("Due", "x", 300, vec![due])]),
        group(
            "plimsoll",
            vec![rule("Watchdog", "vector(1)", 0, vec![watchdog]), quiet("RuleFails"), quiet("NotDelivering")],
        ),
        group("postgres", vec![lacks, fails, quiet("PostgresDown")]),
        group("redis", vec![not_here("RedisDown"), not_here("RedisMemory")]),
        group("fleet", vec![fleet]),
        group("certificates", vec![waits]),
    ];
    Alerts { now: NOW, view: View { off: false, groups }, history: history() }
}

fn history() -> Vec<Activation> {
    let fired = |rule: &str, pairs: &[(&str, &str)], ago: i64, long: Option<i64>, told: &[&str]| Activation {
        rule: rule.into(),
        labels: Labels::new(pairs.iter().copied()),
        start: NOW - ago * 1000,
        end: long.map(|long| NOW - (ago - long) * 1000),
        value: 1.0,
        told: told.iter().map(|name| (*name).to_owned()).collect(),
        silenced: String::new(),
    };
    let mut silenced = fired("LoadHigh", &[("severity", "ticket")], 200_000, Some(95), &[]);
    silenced.silenced = "silenced in Alertmanager by ops until 14:00".into();
    vec![
        fired("DiskFull", &[("severity", "page"), ("mountpoint", "/")], 454, None, &["pager", "chat"]),
        fired("DiskFull", &[("severity", "page"), ("mountpoint", "/srv")], 100_000, Some(7500), &["pager"]),
        silenced,
    ]
}

fn screen(alerts: &Alerts) -> Screen<'_> {
    Screen { alerts, zone: TimeZone::UTC, paint: Paint::NONE }
}

fn compare(name: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(known == made, "{name} differs; UPDATE_GOLDEN=1 cargo test rewrites it. Now it is:\n{made}");
}

#[test]
fn the_screen_of_a_box_in_trouble_is_the_golden_one() {
    compare("alerts.txt", &screen(&filled()).now());
}

#[test]
fn the_history_is_the_golden_one() {
    compare("alerts-history.txt", &screen(&filled()).history(NOW - 7 * 86_400_000));
}

#[test]
fn a_quiet_box_says_so_in_two_lines() {
    let quiet = group("host", vec![rule("DiskFull", "x", 0, Vec::new()), rule("LoadHigh", "x", 0, Vec::new())]);
    let mut alerts = Alerts { now: NOW, view: View { off: false, groups: vec![quiet] }, history: Vec::new() };
    assert_eq!(screen(&alerts).now(), "ALERTS        nothing fires, 2 quiet\nQUIET         host 2\n");
    assert_eq!(screen(&alerts).history(NOW - 86_400_000), "nothing fired in the last 1 d\n");
    assert_eq!(exit_code(&alerts), ExitCode::SUCCESS);
    alerts.view = View { off: true, groups: Vec::new() };
    assert!(screen(&alerts).now().contains("`alerts: off`"));
    alerts.view.off = false;
    assert!(screen(&alerts).now().contains("no rules"));
}

#[test]
fn no_line_is_wider_than_the_screen_and_no_escape_gets_through() {
    let evil = format!("{}\u{1b}]52;c;ZXZpbA==\u{7}\n\u{202e}", "x".repeat(300));
    let mut alerts = filled();
    let labels: &[(&str, &str)] = &[("severity", &evil), (&evil, &evil), ("alertname", &evil)];
    let bad = alert(labels, true, i64::MAX / 2000, f64::MAX, &evil);
    let pending = alert(labels, false, -1_000_000, f64::NAN, &evil);
    let cannot = Presence::CannotFire { why: evil.clone(), mend: evil.clone() };
    let rules = vec![
        rule(&evil, &evil, u64::MAX / 2, vec![bad; 20]),
        rule(&evil, &evil, u64::MAX / 2, vec![pending]),
        RuleView { presence: cannot, ..rule(&evil, &evil, 0, Vec::new()) },
        RuleView { presence: Presence::NotHere(evil.clone()), ..rule(&evil, &evil, 0, Vec::new()) },
        RuleView { error: evil.clone(), ..rule(&evil, &evil, 0, Vec::new()) },
    ];
    alerts.view.groups.push(group(&evil, rules));
    let labels = Labels::new(labels.iter().copied());
    let told = vec![evil.clone()];
    let (start, end) = (i64::MIN / 2, Some(i64::MAX / 2));
    alerts.history.push(Activation { rule: evil.clone(), labels, start, end, value: 0.0, told, silenced: evil });
    for made in [screen(&alerts).now(), screen(&alerts).history(1)] {
        for line in made.lines() {
            assert!(line.chars().count() <= WIDTH, "{} columns: {line}", line.chars().count());
        }
        assert!(!made.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'), "{made:?}");
    }
    assert!(screen(&alerts).now().contains("and 12 more of this rule"));
    assert!(!facts::facts(&alerts, true).to_string().contains('\u{1b}'), "JSON escapes control characters");
}

#[test]
fn the_exit_code_is_1_only_when_somebody_has_to_look() {
    let one = |rule: RuleView| {
        let view = View { off: false, groups: vec![group("g", vec![rule])] };
        exit_code(&Alerts { now: NOW, view, history: Vec::new() })
    };
    let with = |severity, firing| rule("A", "x", 0, vec![alert(&[("severity", severity)], firing, 5, 1.0, "")]);
    assert_eq!(one(with("page", true)), ExitCode::FAILURE);
    assert_eq!(one(with("none", true)), ExitCode::SUCCESS, "the heartbeat always fires");
    assert_eq!(one(with("page", false)), ExitCode::SUCCESS);
    assert_eq!(one(RuleView { error: "e".into(), ..with("page", false) }), ExitCode::FAILURE);
    assert_eq!(
        one(RuleView { presence: Presence::NotHere("x".into()), ..rule("A", "x", 0, Vec::new()) }),
        ExitCode::SUCCESS
    );
}

#[test]
fn json_has_the_fields_that_the_help_names() {
    let alerts = filled();
    let json = facts::facts(&alerts, true);
    let mut objects = vec![&json, &json["rules"][0], &json["rules"][0]["alerts"][0], &json["history"][0]];
    for object in objects.drain(..) {
        let missing: Vec<&String> =
            object.as_object().unwrap().keys().filter(|key| !HELP.contains(key.as_str())).collect();
        assert!(missing.is_empty(), "the help does not name {missing:?}");
    }
    let states: Vec<&str> =
        json["rules"].as_array().unwrap().iter().map(|rule| rule["state"].as_str().unwrap()).collect();
    for state in states {
        assert!(HELP.contains(state), "{state}");
    }
    assert_eq!(json["rules"][3]["alerts"][0]["fires_in_seconds"], 200.0);
    assert!(facts::facts(&alerts, false).get("history").is_none());
}

#[test]
fn the_arguments_are_understood() {
    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }
    use clap::Parser as _;
    let history = |words: &[&str]| Command::try_parse_from(words).unwrap().args.history.map(|span| span.0.as_secs());
    assert_eq!(history(&["alerts"]), None);
    assert_eq!(history(&["alerts", "--history"]), Some(7 * 86_400));
    assert_eq!(history(&["alerts", "--history", "1h", "--json"]), Some(3600));
    assert_eq!(Command::try_parse_from(["alerts", "--history", "x"]).unwrap_err().exit_code(), 2);
}
