//! The answer's screen against golden files, and what hostile labels do to it.

use std::path::Path;

use super::screen::Screen;
use super::*;
use crate::query::{Element, Row, Value};
use crate::store::{Labels, Sample};

const AT: i64 = 1_700_273_600_000;

fn screen(span: Option<(i64, i64, i64)>) -> Screen {
    Screen { zone: TimeZone::UTC, paint: Paint::NONE, at: AT, span }
}

fn vector(rows: &[(&[(&str, &str)], f64)]) -> Value {
    let element = |(labels, v): &(&[(&str, &str)], f64)| Element {
        labels: Labels::new(labels.iter().copied()),
        sample: Sample { t: AT, v: *v },
    };
    Value::Vector(rows.iter().map(element).collect())
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
fn answers_are_the_golden_tables() {
    let name = "system_memory_usage_bytes";
    let memory = |state, value| (vec![("__name__", name), ("job", "host"), ("state", state)], value);
    let rows = [memory("buffered", 1.2e9), memory("cached", 4.1e9), memory("used", 12_884_901_888.0)];
    let rows: Vec<(&[(&str, &str)], f64)> = rows.iter().map(|(labels, value)| (labels.as_slice(), *value)).collect();
    let mut made = String::new();
    let mut show = |expression: &str, span, value: &Value| {
        made.push_str(&format!("$ plimsoll query '{expression}'\n{}\n", screen(span).show(expression, value)));
    };
    show(name, None, &vector(&rows));
    show("up", None, &vector(&[(&[("__name__", "up"), ("job", "host")], 1.0)]));
    show("sum(x)", None, &vector(&[(&[], 0.012_345)]));
    show("1 + 1", None, &Value::Scalar(Sample { t: AT, v: 2.0 }));
    let (device, mount) = ("/dev/mapper/data-postgresql--17--main", "/var/lib/postgresql/17/main/with/a/long/name");
    let long = |device, kind, v| (vec![("device", device), ("mountpoint", mount), ("type", kind), ("x", "aaaaa")], v);
    let rows = [long(device, "ext4", 0.41), long("b", "", 0.8)];
    let rows: Vec<(&[(&str, &str)], f64)> = rows.iter().map(|(labels, value)| (labels.as_slice(), *value)).collect();
    show("system_filesystem_utilization_ratio", None, &vector(&rows));
    let row = |cpu: &str, course: fn(f64) -> f64| Row {
        labels: Labels::new([("cpu", cpu), ("job", "host")]),
        samples: (0..=60)
            .map(|at| Sample { t: AT - 3_600_000 + at * 60_000, v: course(at as f64) })
            .filter(|sample| cpu == "0" || sample.t < AT - 2_400_000 || sample.t > AT - 1_200_000)
            .collect(),
    };
    let rows = Value::Matrix(vec![row("0", |at| (at / 9.0).sin() / 2.0 + 0.5), row("1", |at| at * at / 3600.0)]);
    show("rate(x[5m])", Some((AT - 3_600_000, AT, 60_000)), &rows);
    let samples = vec![Sample { t: AT - 15_000, v: 3.0 }, Sample { t: AT, v: crate::store::sample::STALE }];
    show("up[1m]", None, &Value::Matrix(vec![Row { labels: Labels::new([("__name__", "up")]), samples }]));
    compare("query.txt", &made);
}

#[test]
fn hostile_labels_cannot_move_the_terminal() {
    let evil = format!("{}\u{1b}]52;c;ZXZpbA==\u{7}\n\r\u{202e}", "x".repeat(300));
    let labels: &[(&str, &str)] = &[("a", &evil), (&evil, "b"), ("__name__", &evil)];
    let values = [
        vector(&[(labels, 1.0)]),
        vector(&[(labels, 1.0), (&[("a", "y")], 2.0)]),
        Value::Text(evil.clone()),
        Value::Matrix(vec![Row {
            labels: Labels::new(labels.iter().copied()),
            samples: vec![Sample { t: AT, v: 1.0 }],
        }]),
    ];
    for value in values {
        for span in [None, Some((AT - 60_000, AT, 1000))] {
            let made = screen(span).show("x", &value);
            assert!(!made.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'), "{made:?}");
        }
    }
}

#[test]
fn nothing_found_is_an_empty_screen() {
    for value in [Value::Vector(Vec::new()), Value::Matrix(Vec::new())] {
        assert_eq!(screen(None).show("up", &value), "");
    }
}

#[test]
fn a_parse_error_points_at_its_place() {
    let error = |line, column| QueryError::Parse { line, column, what: "unexpected \u{1b}[31m\")\"".into() };
    assert_eq!(
        refusal("sum(up))", &error(1, 8), Paint::NONE),
        "plimsoll: 1:8: unexpected ?[31m\")\"\n    sum(up))\n           ^"
    );
    let long = format!("{}\n{}!", "up", "a".repeat(500));
    let told = refusal(&long, &error(2, 501), Paint::NONE);
    let (shown, caret) = told.split_once('\n').unwrap().1.split_once('\n').unwrap();
    assert_eq!(shown.chars().nth(caret.chars().count() - 1), Some('!'), "{told}");
    assert!(told.lines().all(|line| line.chars().count() < 100), "{told}");
    assert_eq!(refusal("up", &error(9, 9), Paint::NONE).lines().count(), 1, "a place that is not there");
    assert_eq!(refusal("up", &QueryError::Limit("too\nmany".into()), Paint::NONE), "plimsoll: too?many");
}

#[test]
fn the_arguments_are_understood_and_misuse_is_told() {
    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }
    use clap::Parser as _;
    let parse = |words: &[&str]| Command::try_parse_from([&["query"], words].concat()).map(|command| command.args);
    let args = parse(&["up", "--range", "1h", "--step", "15s", "--at", "1700000000"]).unwrap();
    assert_eq!((args.range, args.step, args.at), (Some(3_600_000), Some(15_000), Some(1_700_000_000_000)));
    assert_eq!(span(AT, 3_600_000, None), (AT - 3_600_000, AT, 60_000));
    assert_eq!(span(AT, 100_000, None).2, 1000);
    assert_eq!(span(AT, 10, None).2, 1);
    for wrong in [&["up", "--step", "15s"][..], &[], &["up", "--range", "soon"], &["up", "--at", "now"]] {
        assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
    }
}
