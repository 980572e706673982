//! Rules beside Prometheus' own tool: the same verdicts over the shipped tests, over tests that must fail, and the same
//! texts from the same templates.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so and ends")]

#[path = "rules/chance.rs"]
mod chance;
#[path = "support/harness.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod harness;
#[path = "support/numbers.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod numbers;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use plimsoll::alert::template::{Data, Template};
use plimsoll::query::{self, Element, Limits, Query, Value};
use plimsoll::store::{Labels, Sample, Store};

/// Whether each program finds that all holds, and what it prints.
fn verdicts(promtool: &Path, file: &Path) -> [(bool, String); 2] {
    let plimsoll = Path::new(env!("CARGO_BIN_EXE_plimsoll"));
    [promtool, plimsoll].map(|program| {
        let output = Command::new(program).args(["test", "rules"]).arg(file).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    })
}

fn shipped(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect()
}

#[test]
fn every_shipped_rule_file_has_a_test_that_holds_here_and_for_promtool() {
    let Some(promtool) = harness::binary("promtool") else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for rules in shipped("alerts") {
        let test = root.join("tests/rules").join(rules.file_name().unwrap());
        assert!(test.exists(), "{} has no test", rules.display());
    }
    for test in shipped("tests/rules") {
        let [theirs, ours] = verdicts(&promtool, &test);
        assert!(theirs.0 && ours.0, "{}:\n{}\n{}", test.display(), theirs.1, ours.1);
    }
}

const RULES: &str = r#"
groups:
  - name: first
    rules:
      - { record: 'job:m:sum', expr: 'sum by (job) (m)' }
      - { alert: High, expr: 'm > 5', labels: { severity: page }, annotations: { summary: '{{ $labels.job }}: {{ $value }}' } }
      - { alert: Late, expr: 'm > 5', for: 3m }
      - { alert: Kept, expr: 'm > 5', keep_firing_for: 3m }
  - name: second
    rules:
      - { record: 'all:m:sum', expr: 'sum(job:m:sum)' }
"#;

const INPUT: &str = "input_series: [ { series: 'm{job=\"a\"}', values: '1x3 7x3 1x10' } ]";

/// Cases of one test each, and whether they hold.
const CASES: &[(bool, &str)] = &[
    (true, "alert_rule_test: [ { eval_time: 2m, alertname: High } ]"),
    (false, "alert_rule_test: [ { eval_time: 4m, alertname: High } ]"),
    (
        true,
        "alert_rule_test: [ { eval_time: 4m, alertname: High, exp_alerts: [ { exp_labels: { job: a, severity: page }, exp_annotations: { summary: 'a: 7' } } ] } ]",
    ),
    (
        false,
        "alert_rule_test: [ { eval_time: 4m, alertname: High, exp_alerts: [ { exp_labels: { job: a }, exp_annotations: { summary: 'a: 7' } } ] } ]",
    ),
    (
        false,
        "alert_rule_test: [ { eval_time: 4m, alertname: High, exp_alerts: [ { exp_labels: { job: a, severity: page } } ] } ]",
    ),
    (
        true,
        "alert_rule_test: [ { eval_time: 4m59s, alertname: High, exp_alerts: [ { exp_labels: { job: a, severity: page }, exp_annotations: { summary: 'a: 7' } } ] } ]",
    ),
    (true, "alert_rule_test: [ { eval_time: 6m, alertname: Late } ]"),
    (true, "alert_rule_test: [ { eval_time: 7m, alertname: Late, exp_alerts: [ { exp_labels: { job: a } } ] } ]"),
    (false, "alert_rule_test: [ { eval_time: 6m, alertname: Late, exp_alerts: [ { exp_labels: { job: a } } ] } ]"),
    (true, "alert_rule_test: [ { eval_time: 10m, alertname: Kept, exp_alerts: [ { exp_labels: { job: a } } ] } ]"),
    (false, "alert_rule_test: [ { eval_time: 12m, alertname: Kept, exp_alerts: [ { exp_labels: { job: a } } ] } ]"),
    (true, "alert_rule_test: [ { eval_time: 12m, alertname: Kept } ]"),
    (true, "alert_rule_test: [ { eval_time: 4m, alertname: Unknown } ]"),
    (false, "alert_rule_test: [ { eval_time: 4m } ]"),
    (
        true,
        "promql_expr_test: [ { expr: 'job:m:sum', eval_time: 4m, exp_samples: [ { labels: 'job:m:sum{job=\"a\"}', value: 7 } ] } ]",
    ),
    (
        false,
        "promql_expr_test: [ { expr: 'job:m:sum', eval_time: 4m, exp_samples: [ { labels: '{job=\"a\"}', value: 7 } ] } ]",
    ),
    (false, "promql_expr_test: [ { expr: 'job:m:sum', eval_time: 4m } ]"),
    (true, "promql_expr_test: [ { expr: 'none', eval_time: 4m } ]"),
    (
        false,
        "promql_expr_test: [ { expr: 'm / 0 * 0', eval_time: 4m, exp_samples: [ { labels: '{job=\"a\"}', value: .nan } ] } ]",
    ),
    (
        true,
        "promql_expr_test: [ { expr: 'm / 0', eval_time: 4m, exp_samples: [ { labels: '{job=\"a\"}', value: .inf } ] } ]",
    ),
    (
        false,
        "promql_expr_test: [ { expr: 'm * 0.1 * 3', eval_time: 0m, exp_samples: [ { labels: '{job=\"a\"}', value: 0.3 } ] } ]",
    ),
    (
        false,
        "promql_expr_test: [ { expr: 'm @ 600', eval_time: 4m, exp_samples: [ { labels: 'm{job=\"a\"}', value: 7 } ] } ]",
    ),
    (true, "promql_expr_test: [ { expr: 'time()', eval_time: 90s, exp_samples: [ { labels: '{}', value: 90 } ] } ]"),
    (false, "promql_expr_test: [ { expr: 'm +', eval_time: 4m } ]"),
    (false, "promql_expr_test: [ { expr: 'm[5m]', eval_time: 4m } ]"),
    (
        true,
        "promql_expr_test: [ { expr: 'ALERTS{alertstate=\"pending\"}', eval_time: 4m, exp_samples: [ { labels: 'ALERTS{alertname=\"Late\", alertstate=\"pending\", job=\"a\"}', value: 1 } ] } ]",
    ),
    (
        true,
        "start_timestamp: 1000\n    promql_expr_test: [ { expr: 'time()', eval_time: 1m, exp_samples: [ { labels: '{}', value: 1060 } ] } ]",
    ),
    (
        true,
        "start_timestamp: '1970-01-01T01:00:00Z'\n    promql_expr_test: [ { expr: 'time()', eval_time: 1m, exp_samples: [ { labels: '{}', value: 3660 } ] } ]",
    ),
    (
        true,
        "interval: 30s\n    promql_expr_test: [ { expr: 'm', eval_time: 2m, exp_samples: [ { labels: 'm{job=\"a\"}', value: 7 } ] } ]",
    ),
    (false, "promql_expr_tests: []"),
    (false, "promql_expr_test: [ { expr: 'm', eval_time: 4 minutes } ]"),
];

#[test]
fn promtool_gives_the_same_verdict_on_tests_that_hold_and_on_tests_that_do_not() {
    let Some(promtool) = harness::binary("promtool") else { return };
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("rules.yml"), RULES).unwrap();
    let file = dir.path().join("test.yml");
    let mut wrong = Vec::new();
    let heads = ["", "fuzzy_compare: true\n", "group_eval_order: [first, second]\n"];
    for (number, (holds, case)) in CASES.iter().enumerate() {
        let head = heads[number % 2 * 2];
        fs::write(&file, format!("rule_files: ['rul*.yml']\n{head}tests:\n  - {INPUT}\n    {case}\n")).unwrap();
        let [theirs, ours] = verdicts(&promtool, &file);
        if (theirs.0, ours.0) != (*holds, *holds) {
            wrong.push(format!("{case}\npromtool: {}\nours: {}", theirs.1, ours.1));
        }
    }
    let fuzzy = "promql_expr_test: [ { expr: 'm * 0.1 * 3', eval_time: 0m, exp_samples: [ { labels: '{job=\"a\"}', value: 0.3 } ] } ]";
    fs::write(&file, format!("{}tests:\n  - {INPUT}\n    {fuzzy}\n", heads[1])).unwrap();
    let [theirs, ours] = verdicts(&promtool, &file);
    if !(theirs.0 && ours.0) {
        wrong.push(format!("{fuzzy}\npromtool: {}\nours: {}", theirs.1, ours.1));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n---\n"));
}

/// Rule files that are made by chance and read.
const MADE: u64 = 60;

/// `FUZZ=SEED COUNT=N` tries others than always.
#[test]
fn rule_files_made_by_chance_give_the_alerts_and_samples_that_promtool_gets() {
    let Some(promtool) = harness::binary("promtool") else { return };
    let variable = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let mut numbers = numbers::Numbers(variable("FUZZ").unwrap_or(1));
    let (mut wrong, mut lines) = (Vec::new(), 0);
    for _ in 0..variable("COUNT").unwrap_or(MADE) {
        let dir = tempfile::tempdir().unwrap();
        let (rules, test) = chance::files(&mut numbers);
        fs::write(dir.path().join("rules.yml"), &rules).unwrap();
        fs::write(dir.path().join("test.yml"), &test).unwrap();
        let [theirs, ours] = verdicts(&promtool, &dir.path().join("test.yml"));
        assert!(!theirs.0, "nothing of it may hold:\n{rules}\n{test}");
        let (got, expected) = (chance::got(&ours.1), chance::got(&theirs.1));
        lines += expected.len();
        if let Some((ours, theirs)) = got.iter().zip(&expected).find(|(a, b)| a != b) {
            wrong.push(format!("promtool: {theirs}\nours: {ours}\n{rules}\n{test}"));
        } else if got.len() != expected.len() {
            wrong.push(format!("{} lines, promtool {}\n{rules}\n{test}", got.len(), expected.len()));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n---\n"));
    assert!(lines > 5_000, "{lines} lines were compared");
}

/// Texts that are expanded here and by promtool, each for several values.
const TEMPLATES: &[&str] = &[
    "{{ $value }}|{{ .Value }}|{{ printf \"%v %s %d %f %.2f %g %e %t %q\" $value $value $value $value $value $value $value $value $value }}",
    "{{ humanize $value }}|{{ humanize1024 $value }}|{{ humanizeDuration $value }}|{{ humanizePercentage $value }}|{{ humanizeTimestamp $value }}",
    "{{ $value | printf \"%8.3f|\" }}{{ printf \"%-8.1f|%+g|%08.2f|%5d|%-5d|%05d|%x|%X|%o|%b|%c\" $value $value $value 42 42 42 255 255 8 5 65 }}",
    "{{ printf \"%s|%q|%10s|%-10s|%.2s|%x|%v|%T\" \"a\\\"b\" \"a\\n\\\"\" \"ab\" \"ab\" \"abc\" \"ab\" \"ab\" \"ab\" }}",
    "{{ printf \"%d %s %!\" }}|{{ printf \"%d\" \"a\" }}|{{ printf \"%s\" 1 }}|{{ printf \"a\" 1 \"b\" }}|{{ printf \"%t\" true }}|{{ printf \"%z\" 1 }}",
    "{{ range $k, $v := $labels }}{{ $k }}={{ $v }},{{ end }}{{ $labels }}|{{ $labels.none }}|{{ .Labels.job }}|{{ .Nope }}",
    "{{ $externalLabels.region }}|{{ $externalURL }}|{{ .ExternalLabels }}",
    "{{ if gt $value 1.0 }}high{{ else if eq $value 0.5 }}half{{ else }}low{{ end }}|{{ with $labels.none }}x{{ else with $labels.job }}{{ . }}{{ end }}",
    "{{ if gt $value 1 }}x{{ end }}",
    "{{ $x := 1 }}{{ range $i, $s := query \"m\" }}{{ $x = $i }}{{ $s.Value }}{{ $s.Labels.job }}{{ break }}{{ end }}{{ $x }}",
    "{{ query \"none\" | first | value }}",
    "{{ with query \"m\" }}{{ . | first | label \"instance\" }}={{ . | first | value | humanize }}{{ end }}|{{ (query \"m\" | first).Labels.job }}|{{ len (query \"m\") }}",
    "{{ range query \"m\" | sortByLabel \"job\" }}{{ .Labels.job }}{{ . }}{{ end }}|{{ range query \"none\" }}x{{ else }}none{{ end }}",
    "{{ define \"t\" }}[{{ .arg0 }} {{ .arg1 }} {{ .arg2 }}]{{ end }}{{ template \"t\" (args 1 \"x\") }}{{ block \"b\" $value }}<{{ . }}>{{ end }}",
    "{{ and 1 0 }}|{{ or \"\" \"x\" }}|{{ not false }}|{{ and true \"y\" }}|{{ eq 1 2 1 }}|{{ ne \"a\" \"b\" }}|{{ lt 1 2 }}|{{ le 2 2 }}|{{ ge 1.5 2.5 }}",
    "{{ eq $value 1 }}",
    "{{ lt true false }}",
    "{{ toUpper $labels.job }}|{{ toLower \"ABC\" }}|{{ title \"hello big-world it's\" }}|{{ match \"^p\" $labels.job }}|{{ reReplaceAll \"(.*):(.*)\" \"$2-$1\" $labels.instance }}",
    "{{ stripPort $labels.instance }}|{{ stripDomain $labels.instance }}|{{ stripDomain \"10.0.0.1:80\" }}|{{ stripPort \"[::1]:80\" }}|{{ stripDomain \"[::1]:80\" }}|{{ stripPort \"a\" }}|{{ stripDomain \"x.y\" }}",
    "{{ graphLink \"m > 1\" }}|{{ tableLink \"m\" }}|{{ urlQueryEscape \"a b&c/ü\" }}|{{ safeHtml \"<b>\" }}",
    "{{ html \"<a href='x'>&\\\"\" }}|{{ js \"it's <b> & \\\\ =\" }}|{{ urlquery \"a b\" \"c\" }}|{{ print 1 2 \"x\" 3 4.5 true nil }}|{{ println \"a\" 1 }}",
    "{{ index $labels \"job\" }}|{{ index \"abc\" 1 }}|{{ slice \"abcdef\" 1 3 }}|{{ slice \"abc\" 1 }}|{{ len \"äb\" }}|{{ index (query \"m\") 0 | value }}",
    "{{ index \"abc\" 7 }}",
    "{{ slice \"abc\" 3 1 }}",
    "{{ toTime $value }}|{{ toDuration 3661.5 }}|{{ parseDuration \"1h30m\" }}|{{ parseDuration \"-5m\" }}|{{ now }}|{{ (toTime 1700000000).Unix }}",
    "{{ parseDuration \"5 minutes\" }}",
    "{{ humanize \"abc\" }}",
    "{{ humanize \"1234567\" }}|{{ humanize 12 }}|{{ humanizeDuration \"93784\" }}|{{ humanizeDuration 0.012 }}|{{ humanizePercentage 0.1 }}",
    "{{ toUpper $value }}",
    "{{ $value.x }}",
    "{{ template \"none\" . }}",
    "{{ query \"m +\" }}",
    "{{ strvalue (query \"m\" | first) }}|{{ value (query \"m\" | first) | humanize }}",
    "a  {{- /* no */ -}}  b {{- 1 -}} c\n{{- \" x \" }} {{ `raw\\n` }} {{ 'a' }} {{ 0x1F }} {{ 1e3 }} {{ 1_000 }} {{ -5 }} {{ 1.50 }}",
    "{{ range $i, $e := slice (query \"m\") 0 1 }}{{ if eq $i 0 }}{{ continue }}{{ end }}never{{ end }}|{{ range 3 }}{{ . }}{{ end }}",
    "{{ with $x := 5 }}{{ $x }}{{ end }}|{{ if $y := $labels.job }}{{ $y }}{{ end }}|{{ ($labels.job | toUpper) }}|{{ (index $labels \"job\" | len) }}",
    "{{ .Labels.job.x }}",
    "{{ range $value }}{{ end }}",
    "{{ len $value }}",
    "{{ nil | print }}",
];

const VALUES: &[f64] = &[
    0.0,
    1.0,
    0.5,
    -2.25,
    1e-7,
    0.00012345,
    1234.5,
    99_999.0,
    123_456_789.0,
    1e21,
    93_784.0,
    1_700_000_000.123,
    f64::INFINITY,
];

/// What is expanded here goes into a test as what is wanted; promtool says whether it would write the same.
#[test]
fn templates_are_expanded_as_promtool_expands_them() {
    let Some(promtool) = harness::binary("promtool") else { return };
    let dir = tempfile::tempdir().unwrap();
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let (mut rules, mut tests) = (String::from("groups:\n- name: g\n  rules:\n"), String::new());
    for (number, text) in TEMPLATES.iter().enumerate() {
        rules.push_str(&format!("  - {{ alert: A{number}, expr: m, annotations: {{ a: {} }} }}\n", quoted(text)));
    }
    fs::write(dir.path().join("rules.yml"), rules).unwrap();
    for value in VALUES {
        let mut cases = String::new();
        for (number, text) in TEMPLATES.iter().enumerate() {
            let wanted = quoted(&expanded(text, number, *value));
            cases.push_str(&format!(
                "    - {{ eval_time: 1m, alertname: A{number}, exp_alerts: [ {{ exp_labels: {{ job: postgresql, instance: \
                 'shop-db-1.example.org:5432' }}, exp_annotations: {{ a: {wanted} }} }} ] }}\n"
            ));
        }
        let shown = if value.is_infinite() { "Inf Inf Inf".into() } else { format!("{value}x3") };
        tests.push_str(&format!(
            "  - external_labels: {{ region: eu }}\n    external_url: 'http://h:9090/p'\n    input_series: [ {{ series: \
             'm{{job=\"postgresql\",instance=\"shop-db-1.example.org:5432\"}}', values: '{shown}' }} ]\n    \
             alert_rule_test:\n{cases}"
        ));
    }
    let file = dir.path().join("test.yml");
    fs::write(&file, format!("rule_files: [rules.yml]\ntests:\n{tests}")).unwrap();
    let [theirs, ours] = verdicts(&promtool, &file);
    assert!(ours.0, "{}", ours.1);
    assert!(theirs.0, "{}", theirs.1);
}

fn expanded(text: &str, number: usize, value: f64) -> String {
    let labels = Labels::new([("__name__", "m"), ("job", "postgresql"), ("instance", "shop-db-1.example.org:5432")]);
    let store = Store::memory();
    store.append(&labels, Sample { t: 60_000, v: value });
    let external_labels = Labels::new([("region", "eu")]);
    let limits = Limits {
        samples: 10_000,
        steps: 100,
        time: Duration::from_secs(10),
        lookback: Duration::from_secs(300),
        delayed_name_removal: false,
    };
    let mut answer = |text: &str| {
        let query = Query::parse(text).map_err(|error| error.to_string())?;
        match query::instant(&store, &query, 60_000, limits).map_err(|error| error.to_string())?.value {
            Value::Vector(all) => Ok(all),
            other => Err(format!("{other:?}")),
        }
    };
    let data = Data {
        labels: &labels,
        value,
        external_labels: &external_labels,
        external_url: "http://h:9090/p",
        now: 60_000,
    };
    let ask = RefCell::new(&mut answer as &mut dyn FnMut(&str) -> Result<Vec<Element>, String>);
    Template::parse(text).unwrap().fill(&format!("A{number}"), &data, &ask)
}
