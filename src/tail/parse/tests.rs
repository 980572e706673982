//! Tests of the parser as a whole: recorded lines against golden files, and what a hostile line must not do.
//!
//! `tests/fixtures/logs/NAME.log` holds lines that the named version wrote (the nginx, HAProxy, Postgres and rsyslog
//! ones and those of the libraries were recorded from running programs; `rails`, `lograge`, `caddy`, `ecs`, `spring`,
//! `docker`, `tracing` and `apache` are from their documentation). `UPDATE_GOLDEN=1 cargo test` rewrites the goldens.

mod fuzz;

use std::fmt::Write;
use std::path::PathBuf;

use jiff::tz::TimeZone;

use super::{Choice, Clock, Format, Parser};
use crate::signal::record::{Record, Value};

/// 2026-11-25 00:00:00 UTC.
pub(super) const NOW: u64 = 1_795_564_800_000_000_000;

pub(super) fn clock() -> Clock {
    Clock::fixed(NOW, TimeZone::UTC)
}

/// A line in a given format, as text that a person can check.
pub(super) fn read(format: Format, line: &str) -> String {
    let mut record = Record::default();
    let parsed = Parser::with_clock(Choice::Fixed(format), clock()).parse(line, &mut record);
    if parsed { show(line, &record) } else { format!("NOT PARSED\n{}", show(line, &record)) }
}

/// A record as lines of `name: value`.
pub(super) fn show(line: &str, record: &Record) -> String {
    let mut out = String::new();
    if let Some(time) = record.time {
        let stamp = jiff::Timestamp::from_nanosecond(i128::from(time.nanos)).unwrap();
        writeln!(out, "time: {stamp} ± {}", time.resolution).unwrap();
    }
    if record.severity > 0 || !record.severity_text.is_empty() {
        writeln!(out, "severity: {} {}", record.severity, record.text(line, record.severity_text)).unwrap();
    }
    let body = record.text(line, record.body);
    writeln!(out, "body: {}", if body == line { "the line".to_owned() } else { format!("{body:?}") }).unwrap();
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    if let Some(id) = &record.trace_id {
        writeln!(out, "trace: {}", hex(id)).unwrap();
    }
    if let Some(id) = &record.span_id {
        writeln!(out, "span: {}", hex(id)).unwrap();
    }
    for (name, value) in &record.attributes {
        let name = record.text(line, *name);
        match *value {
            Value::Text(text) => writeln!(out, "{name}: {:?}", record.text(line, text)),
            Value::Int(int) => writeln!(out, "{name}: {int}"),
            Value::Double(double) => writeln!(out, "{name}: {double:?}"),
            Value::Bool(flag) => writeln!(out, "{name}: {flag}"),
        }
        .unwrap();
    }
    out
}

/// nginx escapes nothing beyond ASCII in its JSON: bytes that are no UTF-8 arrive as the tailer hands them on.
fn text(path: &std::path::Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

fn fixtures() -> Vec<(String, PathBuf, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/logs");
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path.clone(), text(&path)))
        .collect();
    found.sort();
    found
}

#[test]
fn recorded_lines_become_their_golden_records() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    for (name, path, text) in fixtures() {
        let mut parser = Parser::with_clock(Choice::Auto, clock());
        let mut record = Record::default();
        // Again and again until the format is decided, as it is for nearly all lines of a file.
        (0..20).flat_map(|_| text.lines()).for_each(|line| {
            parser.parse(line, &mut record);
        });
        let format = parser.decided().unwrap();
        let mut found = format!("format: {}\n", format.name());
        for line in text.lines() {
            let parsed = parser.parse(line, &mut record);
            let mark = if parsed { "" } else { "NOT PARSED\n" };
            write!(found, "\n{}\n{mark}{}", line.escape_debug(), show(line, &record)).unwrap();
        }
        let golden = path.with_extension("golden");
        if update {
            std::fs::write(golden, found).unwrap();
        } else if std::fs::read_to_string(golden).unwrap_or_default() != found {
            wrong.push((name, found));
        }
    }
    for (name, found) in &wrong {
        eprintln!("--- {name} is now\n{found}");
    }
    assert!(wrong.is_empty(), "{} files differ from their goldens", wrong.len());
}

#[test]
fn the_first_lines_of_a_recorded_file_are_read_as_the_later_ones_are() {
    for (name, _, text) in fixtures() {
        let mut parser = Parser::with_clock(Choice::Auto, clock());
        let mut record = Record::default();
        let mut early = Vec::new();
        for line in text.lines() {
            assert!(parser.parse(line, &mut record), "{name}: {line}");
            early.push(show(line, &record));
        }
        text.lines().for_each(|line| {
            parser.parse(line, &mut record);
        });
        let Some(format) = parser.decided() else { continue };
        let late: Vec<_> = text.lines().map(|line| read(format, line)).collect();
        assert_eq!(early, late, "{name}");
    }
}

#[test]
fn an_odd_line_in_a_json_file_goes_out_as_text_and_is_told_apart() {
    let mut parser = Parser::with_clock(Choice::Auto, clock());
    let mut record = Record::default();
    assert!(parser.parse("> shop@1.0.0 start", &mut record), "nothing is decided, so nothing is wrong");
    for number in 0..12 {
        let line = format!(r#"{{"n":{number}}}"#);
        assert!(parser.parse(&line, &mut record));
    }
    assert_eq!(parser.decided(), Some(Format::Json));
    let line = "2026-11-24 10:00:00,123 ERROR out of memory";
    assert!(!parser.parse(line, &mut record));
    assert_eq!(show(line, &record), "time: 2026-11-24T10:00:00.123Z ± 1000000\nseverity: 17 ERROR\nbody: the line\n");
    for _ in 0..50 {
        parser.parse(line, &mut record);
    }
    assert_eq!(parser.decided(), Some(Format::Json), "a decision stands");
}

#[test]
fn every_format_has_its_name_in_the_config() {
    for name in ["json", "logfmt", "nginx", "postgres", "haproxy", "syslog", "text"] {
        let choice: Choice = serde_json::from_str(&format!("{name:?}")).unwrap();
        assert!(matches!(choice, Choice::Fixed(format) if format.name() == name));
    }
    assert_eq!(serde_json::from_str::<Choice>("\"auto\"").unwrap(), Choice::Auto);
    assert!(serde_json::from_str::<Choice>("\"grok\"").is_err());
}

#[test]
fn a_warm_record_takes_a_line_without_growing() {
    let line = r#"{"time":"2026-11-24T10:00:00Z","msg":"a \"b\"","req":{"method":"GET","url":"/x?y=1"},"n":1}"#;
    let mut parser = Parser::with_clock(Choice::Fixed(Format::Json), clock());
    let mut record = Record::default();
    parser.parse(line, &mut record);
    let room = (record.scratch.as_ptr(), record.attributes.as_ptr());
    for _ in 0..100 {
        parser.parse(line, &mut record);
    }
    assert_eq!(room, (record.scratch.as_ptr(), record.attributes.as_ptr()));
}
