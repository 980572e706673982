//! Rule files made by chance, with tests that fail, so that both programs say what they got.

use crate::numbers::Numbers;

const EXPRS: &[&str] = &[
    "m_a > 5",
    "m_b",
    "rate(m_a[1m])",
    "m_a + on (job) group_left m_b",
    "sum by (job) (m_a) > 1",
    "absent(m_a)",
    "m_a > bool 1",
    "vector(1)",
    "changes(m_b[2m]) > 0",
    "r:one > 2",
    "avg_over_time(m_a[1m]) < 20",
    "m_a unless m_b",
    "count(m_a)",
    "m_a offset 30s > 0",
    "topk(1, sum(m_a))",
    "m_a / 0",
    "ALERTS{alertstate=\"firing\", alertname=\"A00\"}",
    "label_replace(m_a, \"job\", \"same\", \"job\", \".*\")",
    "ALERTS_FOR_STATE > 0",
];

const TEXTS: &[&str] = &[
    "plain",
    "{{ $value }}",
    "{{ $labels.job }}",
    "{{ $labels.nothing }}",
    "{{ $value | humanize }}",
    "{{ if gt $value 5.0 }}high{{ else }}low{{ end }}",
    "{{ range sortByLabel \"job\" (query \"m_a\") }}{{ .Labels.job }}={{ .Value }},{{ end }}",
    "{{ query \"sum(m_b)\" | first | value | printf \"%g\" }}",
    "{{ len $labels }} {{ $externalLabels.x }}",
    "{{ printf \"%[2]*[1]d|%+.2f\" 3 5 $value }}",
    "{{ .Foo }}",
    "{{ index (query \"none\") 0 }}",
];

/// What a group's time, a rule's hold and a test's step may be.
const TIMES: &[&str] = &["15s", "30s", "1m", "20s", "45s", "2m"];

fn values(numbers: &mut Numbers) -> String {
    let mut out = Vec::new();
    for _ in 0..=numbers.below(4) {
        let count = 1 + numbers.below(10);
        let (first, step) =
            (numbers.pick(&["0", "1", "5", "100", "-3", "0.5"]), numbers.pick(&["0", "1", "2.5", "10"]));
        out.push(match numbers.below(8) {
            0..=2 => format!("{first}+{step}x{count}"),
            3 => format!("{first}-{step}x{count}"),
            4 => format!("_x{count}"),
            5 => "stale".to_owned(),
            6 => format!("{first}x{count}"),
            _ => numbers.pick(&["NaN", "Inf", "-Inf", "3", "_", "0.1"]).to_owned(),
        });
    }
    out.join(" ")
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// A map of some of `names`.
fn texts(numbers: &mut Numbers, names: &[&str]) -> String {
    let mut out = Vec::new();
    for name in names {
        if numbers.below(2) == 0 {
            out.push(format!("{name}: {}", quoted(numbers.pick(TEXTS))));
        }
    }
    format!("{{{}}}", out.join(", "))
}

fn rule(numbers: &mut Numbers, name: &str) -> String {
    let expr = quoted(numbers.pick(EXPRS));
    if numbers.below(3) == 0 {
        let record = numbers.pick(&["r:one", "r:two"]);
        return format!("  - {{ record: {record}, expr: {expr} }}\n");
    }
    let (hold, keep) = (numbers.pick(TIMES), numbers.pick(TIMES));
    let hold = if numbers.below(2) == 0 { format!(", for: {hold}") } else { String::new() };
    let keep = if numbers.below(3) == 0 { format!(", keep_firing_for: {keep}") } else { String::new() };
    let (labels, notes) = (texts(numbers, &["severity", "job", "l"]), texts(numbers, &["summary", "look"]));
    format!("  - {{ alert: {name}, expr: {expr}{hold}{keep}, labels: {labels}, annotations: {notes} }}\n")
}

/// A rule file and its tests.
pub(crate) fn files(numbers: &mut Numbers) -> (String, String) {
    let (mut rules, mut order, mut names) = (String::from("groups:\n"), Vec::new(), Vec::new());
    for group in 0..=numbers.below(2) {
        order.push(format!("g{group}"));
        rules.push_str(&format!("- name: g{group}\n  interval: {}\n", numbers.pick(TIMES)));
        if numbers.below(5) == 0 {
            rules.push_str(&format!("  query_offset: {}\n", numbers.pick(TIMES)));
        }
        rules.push_str("  rules:\n");
        for index in 0..=numbers.below(3) {
            let name = format!("A{group}{index}");
            rules.push_str(&rule(numbers, &name));
            names.push(name);
        }
    }
    let (every, interval) = (numbers.pick(&TIMES[..4]), numbers.pick(&TIMES[..3]));
    let mut tests = format!(
        "rule_files: [rules.yml]\nevaluation_interval: {every}\ngroup_eval_order: [{}]\ntests:\n- interval: {interval}\n  \
         external_labels: {{ x: outside }}\n  input_series:\n",
        order.join(", ")
    );
    for metric in ["m_a", "m_b"] {
        for job in 0..=numbers.below(2) {
            let series = format!("{metric}{{job=\"a{job}\", inst=\"i{}\"}}", numbers.below(2));
            tests.push_str(&format!("  - {{ series: '{series}', values: '{}' }}\n", values(numbers)));
        }
    }
    let times: Vec<u64> = (0..5).map(|_| numbers.below(180) * 5).collect();
    tests.push_str("  alert_rule_test:\n");
    for (name, time) in names.iter().flat_map(|name| times.iter().map(move |time| (name, time))) {
        let none = "exp_alerts: [{ exp_labels: { no: such } }]";
        tests.push_str(&format!("  - {{ eval_time: {time}s, alertname: {name}, {none} }}\n"));
    }
    tests.push_str("  promql_expr_test:\n");
    for (expr, time) in ["r:one", "r:two", "ALERTS", "ALERTS_FOR_STATE"].iter().zip(&times) {
        let none = "exp_samples: [{ labels: no, value: 1 }]";
        tests.push_str(&format!("  - {{ expr: '{expr}', eval_time: {time}s, {none} }}\n"));
    }
    (rules, tests)
}

/// What a program says it got: its lines without the space around them, samples in any order and in one notation, of a
/// failing rule whatever makes it fail. Promtool's words about what it reads are left out.
pub(crate) fn got(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if ["Unit Testing", "Processing", "FAILED"].iter().any(|start| line.starts_with(start)) {
            continue;
        }
        if let Some(samples) = line.strip_prefix("got: ").or_else(|| line.strip_prefix("exp: ")) {
            // promtool writes a metric's name as a label.
            let mut words: Vec<String> = samples
                .replace(['{', '}'], " ")
                .replace("__name__=", "")
                .split([' ', ','])
                .map(|word| word.trim_matches('"').to_owned())
                .filter(|word| !word.is_empty())
                .collect();
            words.sort();
            out.push(words.join(" "));
        } else if let Some((start, error)) = line.split_once(", err: ") {
            let known = ["duplicate sample for timestamp", "out of order sample"]
                .iter()
                .find(|known| error.starts_with(**known));
            out.push(format!("{start} {}", known.unwrap_or(&error)));
        } else {
            out.push(line.to_owned());
        }
    }
    out
}
