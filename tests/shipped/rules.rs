//! The shipped rules ask for what there is, say what they must, and each has a test that fires and one that does not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use plimsoll::alert::rules::{Kind, Rule};
use regex::Regex;

use crate::catalogue::{Catalogue, Labels, differs, root, shipped_rules, table};

const DAY: i64 = 86_400_000;

/// Labels that a rule's query makes by itself, by the name of the rule.
const MADE: &[(&str, &[&str])] = &[
    ("PostgresMemoryOversold", &["host"]),
    ("PostgresQueryGrows", &["host"]),
    ("RedisDownHurts", &["host"]),
    ("CacheStampede", &["host"]),
    ("host:http_errors:ratio_rate5m", &["host"]),
    ("host:http_slow:ratio_rate5m", &["host"]),
];
/// They are about everything, so that there is no thing to name.
const ABOUT_ALL: &[&str] = &["Watchdog", "FleetSilent"];

fn made(rule: &Rule) -> &'static [&'static str] {
    MADE.iter().find(|(name, _)| *name == rule.name).map_or(&[], |(_, labels)| labels)
}

/// A label's or an annotation's template.
fn text<'a>(list: &'a [(String, plimsoll::alert::template::Template)], name: &str) -> &'a str {
    list.iter().find(|(known, _)| known == name).map_or("", |(_, template)| template.text())
}

fn alerts() -> Vec<(String, Rule, BTreeMap<String, String>)> {
    let annotations = |rule: &Rule| match &rule.kind {
        Kind::Record => None,
        Kind::Alert { annotations, .. } => {
            Some(annotations.iter().map(|(name, template)| (name.clone(), template.text().to_owned())).collect())
        }
    };
    let rules = shipped_rules().into_iter();
    rules.filter_map(|(file, rule)| annotations(&rule).map(|annotations| (file, rule, annotations))).collect()
}

#[test]
fn every_shipped_rule_asks_for_metrics_and_labels_that_there_are() {
    let catalogue = Catalogue::read();
    let mut faults = Vec::new();
    for (file, rule) in shipped_rules() {
        for fault in catalogue.faults(&rule.expr, made(&rule)) {
            faults.push(format!("{file}.yaml, {}: {fault}", rule.name));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_rule_that_asks_for_what_there_is_not_is_found() {
    let catalogue = Catalogue::read();
    for (expr, fault) in [
        ("postgresql_commits", "postgresql_commits is neither"),
        ("postgresql_commits_total{database=\"a\"}", "no series of postgresql_commits_total"),
        ("sum by (database) (postgresql_commits_total)", "groups by database"),
        ("{job=\"a\"}", "without a name"),
        ("up * on (host) up", "groups by host"),
    ] {
        let query = plimsoll::query::Query::parse(expr).unwrap();
        let faults = catalogue.faults(&query, &[]).join("\n");
        assert!(faults.contains(fault), "{expr}: {faults}");
    }
    let good =
        plimsoll::query::Query::parse("sum by (job, db_namespace) (postgresql_commits_total{job=\"a\"})").unwrap();
    assert_eq!(catalogue.faults(&good, &[]), [""; 0]);
}

#[test]
fn every_shipped_alert_says_whom_it_wakes_what_it_costs_and_where_to_look() {
    let catalogue = Catalogue::read();
    let label = Regex::new(r"\$labels\.(\w+)").unwrap();
    let mut faults = Vec::new();
    for (file, rule, annotations) in alerts() {
        let mut wrong = |what: String| faults.push(format!("{file}.yaml, {}: {what}", rule.name));
        let (severity, stage) = (text(&rule.labels, "severity"), text(&rule.labels, "stage"));
        if !matches!(severity, "page" | "ticket") && rule.name != "Watchdog" {
            wrong(format!("severity {severity:?}"));
        }
        let own_stage = file.strip_prefix("stage-").unwrap_or(&file);
        let fits = if file == "fleet" { ("1"..="7").contains(&stage) } else { stage == own_stage };
        if !fits {
            wrong(format!("stage {stage:?}"));
        }
        for name in ["summary", "impact", "look", "dashboard"] {
            if annotations.get(name).is_none_or(|text| text.trim().is_empty()) {
                wrong(format!("no {name}"));
            }
        }
        if annotations.len() > 4 {
            wrong(format!("annotations {:?}", annotations.keys()));
        }
        if !["1. ", " 2. ", " 3. "].iter().all(|number| annotations["look"].contains(number)) {
            wrong("look is not three things".into());
        }
        let board = if stage == "agent" { "plimsoll-agent".to_owned() } else { format!("plimsoll-stage-{stage}") };
        if annotations["dashboard"] != board {
            wrong(format!("dashboard {:?}, not {board}", annotations["dashboard"]));
        }
        if !annotations["summary"].contains("$labels") && !ABOUT_ALL.contains(&rule.name.as_str()) {
            wrong("the summary names no thing".into());
        }
        let has = catalogue.labels(&rule.expr);
        for found in annotations.values().flat_map(|text| label.captures_iter(text)) {
            if !has.contains(&found[1]) {
                wrong(format!("no series has a label {}", &found[1]));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn rules_on_a_box_look_back_six_days_at_most_and_each_stage_has_a_few_pages() {
    let mut pages: BTreeMap<String, usize> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for (file, rule, _) in alerts() {
        assert!(names.insert(rule.name.clone()), "{} is there twice", rule.name);
        assert!(file == "fleet" || rule.expr.reach() <= 6 * DAY, "{} looks back {} ms", rule.name, rule.expr.reach());
        if text(&rule.labels, "severity") == "page" {
            *pages.entry(file).or_default() += 1;
        }
    }
    let stages: Vec<String> = (1..=7).map(|stage| format!("stage-{stage}")).collect();
    for stage in &stages {
        assert!((3..=7).contains(&pages[stage]), "{stage}: {} pages", pages[stage]);
    }
    assert_eq!(pages.get("agent"), None, "nobody is woken for the agent itself");
}

/// What Prometheus 2.42 (Debian 12) knows of what rules may call and say.
const KNOWN_IN_2_42: &[&str] = &[
    "abs",
    "absent",
    "absent_over_time",
    "and",
    "avg",
    "avg_over_time",
    "bottomk",
    "by",
    "ceil",
    "changes",
    "clamp",
    "clamp_max",
    "clamp_min",
    "count",
    "count_over_time",
    "delta",
    "deriv",
    "exp",
    "floor",
    "group_left",
    "group_right",
    "histogram_quantile",
    "holt_winters",
    "idelta",
    "ignoring",
    "increase",
    "irate",
    "label_join",
    "label_replace",
    "last_over_time",
    "ln",
    "log10",
    "log2",
    "max",
    "max_over_time",
    "min",
    "min_over_time",
    "on",
    "or",
    "predict_linear",
    "present_over_time",
    "quantile",
    "quantile_over_time",
    "rate",
    "resets",
    "round",
    "scalar",
    "sgn",
    "sort",
    "sort_desc",
    "sqrt",
    "stddev",
    "stddev_over_time",
    "stdvar",
    "sum",
    "sum_over_time",
    "time",
    "timestamp",
    "topk",
    "unless",
    "vector",
    "without",
];
const KEYS_IN_2_42: &[&str] = &[
    "groups",
    "name",
    "interval",
    "limit",
    "rules",
    "alert",
    "record",
    "expr",
    "for",
    "keep_firing_for",
    "labels",
    "annotations",
    "summary",
    "impact",
    "look",
    "dashboard",
];

/// Its promtool has read the files by hand; this keeps later ones from asking for more.
#[test]
fn the_shipped_rules_ask_nothing_that_debian_12s_prometheus_does_not_know() {
    let call = Regex::new(r"([a-z_0-9]+) ?\(").unwrap();
    let key = Regex::new(r"(?m)^ *(?:- )?([a-z_]+):(?: |$)").unwrap();
    let quoted = Regex::new(r#""[^"]*""#).unwrap();
    for (file, rule) in shipped_rules() {
        // Without what stands in quotes: patterns of matchers have brackets too.
        let bare = quoted.replace_all(rule.expr.text(), "").into_owned();
        for found in call.captures_iter(&bare) {
            assert!(KNOWN_IN_2_42.contains(&&found[1]), "{file}, {}: {}", rule.name, &found[1]);
        }
        assert!(!rule.expr.text().contains("{\""), "{file}, {}: a quoted name", rule.name);
    }
    for entry in fs::read_dir(root().join("alerts")).unwrap() {
        let path = entry.unwrap().path();
        for found in key.captures_iter(&fs::read_to_string(&path).unwrap()) {
            assert!(KEYS_IN_2_42.contains(&&found[1]), "{}: {}", path.display(), &found[1]);
        }
    }
}

#[test]
fn every_shipped_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() {
    let fired = Regex::new(r#"alertname="(\w+)""#).unwrap();
    let expected = Regex::new(r"alertname: (\w+)\s+exp_alerts:\s+- exp_labels").unwrap();
    let silent = Regex::new(r"\{ eval_time: \w+, alertname: (\w+) \}").unwrap();
    let mut missing = Vec::new();
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for (file, rule, _) in alerts() {
        let path = root().join("tests/rules").join(format!("{file}.yaml"));
        let text = texts.entry(file.clone()).or_insert_with(|| fs::read_to_string(path).unwrap());
        let named = |pattern: &Regex| pattern.captures_iter(text).any(|found| found[1] == rule.name);
        if !named(&fired) && !named(&expected) {
            missing.push(format!("{file}: {} fires in no test", rule.name));
        }
        if !named(&silent) && rule.name != "Watchdog" && rule.name != "FleetSilent" {
            missing.push(format!("{file}: {} is silent in no test", rule.name));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// `name{a="b"} 1 unit kind` of a recorded host's points.
fn point(line: &str) -> Option<(String, Labels)> {
    let (name, rest) = line.split_once('{')?;
    let attribute = Regex::new(r#"([a-z0-9_.]+)=""#).unwrap();
    let (attributes, unit_and_kind) = rest.rsplit_once("} ")?;
    let mut words = unit_and_kind.split(' ').rev();
    let (kind, unit) = (words.next()?, words.next()?);
    let desc = plimsoll::cli::catalogue().into_iter().flatten().find(|desc| desc.name == name)?;
    assert_eq!((desc.kind.name(), desc.unit), (kind, unit), "{line}");
    let labels = attribute.captures_iter(attributes).map(|found| found[1].replace('.', "_")).collect();
    Some((plimsoll::store::translate::metric_name(name, desc.kind, desc.unit)?, labels))
}

#[test]
fn the_table_of_labels_is_that_of_the_recorded_hosts() {
    let table = table();
    let mut seen = 0;
    let mut faults = Vec::new();
    for entry in fs::read_dir(root().join("tests/fixtures/proc")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "golden") {
            let text = fs::read_to_string(&path).unwrap();
            for (name, labels) in text.lines().filter_map(point) {
                seen += usize::from(table.contains_key(&name));
                faults.extend(differs(&table, &name, &labels));
            }
        }
    }
    assert!(seen > 100, "only {seen} points");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
