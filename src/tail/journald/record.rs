//! From an entry's fields to a log record.
//!
//! Names follow OpenTelemetry's conventions (`process.*`, `code.*`) and, where it has none, the names that the syslog
//! format of files has here (`syslog.appname`) or the journal's own (`systemd.unit`, `journald.transport`).

use crate::signal::record::{Record, Text, Value};

use super::export::{Entry, Field};

/// systemd itself: what it says of a unit counts as that unit's.
const INIT: u64 = 1;
/// A source's own time is believed when it is at most this much before the arrival, in microseconds.
const MAX_LAG: u64 = 600_000_000;

/// Completes what was parsed from the message with what journald knows of it. Where the message tells a level of
/// its own, that holds: what is printed to stdout or comes from Docker has the same priority for every line.
pub(super) fn complete(entry: &Entry, cut: bool, line: &str, record: &mut Record) {
    if record.severity == 0
        && let Some((number, text)) = entry.number(Field::Priority).and_then(severity)
    {
        record.severity = number;
        record.severity_text = Text::Fixed(text);
    }
    for (name, field) in TEXTS {
        let value = if *name == "systemd.unit" { unit(entry) } else { entry.text(*field) };
        if let Some(value) = value {
            let value = Value::Text(record.keep(value));
            put(line, record, name, value);
        }
    }
    for (name, field) in NUMBERS {
        if let Some(value) = entry.number(*field).and_then(|number| i64::try_from(number).ok()) {
            put(line, record, name, Value::Int(value));
        }
    }
    if cut {
        put(line, record, "plimsoll.truncated", Value::Bool(true));
    }
}

const TEXTS: &[(&str, Field)] = &[
    ("systemd.unit", Field::Unit),
    ("systemd.user_unit", Field::UserUnit),
    ("syslog.appname", Field::Identifier),
    ("process.executable.name", Field::Command),
    ("journald.transport", Field::Transport),
    ("code.file.path", Field::CodeFile),
    ("code.function.name", Field::CodeFunction),
    ("container.name", Field::Container),
];
const NUMBERS: &[(&str, Field)] = &[("process.pid", Field::Pid), ("code.line.number", Field::CodeLine)];

/// The unit that the entry is about.
pub(super) fn unit(entry: &Entry) -> Option<&str> {
    let about = if entry.number(Field::Pid) == Some(INIT) { entry.text(Field::ObjectUnit) } else { None };
    about.or_else(|| entry.text(Field::Unit))
}

/// When it happened, Unix microseconds: as its source says within reason, else when it arrived.
pub(super) fn micros(entry: &Entry) -> Option<u64> {
    let arrival = entry.number(Field::Realtime)?;
    let source = entry.number(Field::SourceRealtime);
    Some(source.filter(|source| (arrival.saturating_sub(MAX_LAG)..=arrival).contains(source)).unwrap_or(arrival))
}

/// A time stamp that is not yet used in the stream whose latest is `last`: equal lines at equal times would be one
/// line for Loki. A clock that was set back by a second or more is followed.
pub(super) fn rising(last: u64, micros: u64) -> u64 {
    let nanos = micros.saturating_mul(1_000);
    let near = nanos <= last && last - nanos < 1_000_000_000;
    if near { last + 1 } else { nanos }
}

/// OTLP's number and the word of a syslog severity (log data model, appendix B).
fn severity(priority: u64) -> Option<(u8, &'static str)> {
    Some(match priority {
        0 => (21, "emerg"),
        1 => (19, "alert"),
        2 => (18, "crit"),
        3 => (17, "err"),
        4 => (13, "warning"),
        5 => (10, "notice"),
        6 => (9, "info"),
        7 => (5, "debug"),
        _ => return None,
    })
}

/// What journald vouches for replaces what the message says under the same name.
fn put(line: &str, record: &mut Record, name: &'static str, value: Value) {
    let scratch = &record.scratch;
    match record.attributes.iter_mut().find(|(known, _)| known.get(line, scratch) == name) {
        Some((_, old)) => *old = value,
        None => record.put(Text::Fixed(name), value),
    }
}

#[cfg(test)]
mod tests {
    use super::super::export::Parser;
    use super::*;

    fn complete_from(fields: &str, line: &str, record: &mut Record) -> (Option<String>, Option<u64>) {
        let input = format!("{fields}\n\n");
        let mut parser = Parser::new();
        let entry = parser.next(&mut input.as_bytes()).map(|entry| {
            complete(entry, false, line, record);
            (unit(entry).map(str::to_owned), micros(entry))
        });
        entry.unwrap()
    }

    fn attributes(record: &Record, line: &str) -> Vec<(String, String)> {
        let value = |value: &Value| match value {
            Value::Text(text) => record.text(line, *text).to_owned(),
            other => format!("{other:?}"),
        };
        record.attributes.iter().map(|(name, found)| (record.text(line, *name).to_owned(), value(found))).collect()
    }

    #[test]
    fn every_field_that_is_kept_becomes_an_attribute_and_what_journald_vouches_for_wins() {
        let mut record = Record::default();
        record.put_int("process.pid", 1234);
        let fields = "_SYSTEMD_UNIT=shop.service\nSYSLOG_IDENTIFIER=shop\n_PID=7\n_COMM=node\n_TRANSPORT=stdout\n\
            CODE_FILE=a.c\nCODE_LINE=12\nCODE_FUNC=main\nPRIORITY=4\nCONTAINER_NAME=c\n__REALTIME_TIMESTAMP=5";
        let (unit, micros) = complete_from(fields, "", &mut record);
        assert_eq!((unit.as_deref(), micros), (Some("shop.service"), Some(5)));
        assert_eq!((record.severity, record.text("", record.severity_text)), (13, "warning"));
        let expected = [
            ("process.pid", "Int(7)"),
            ("systemd.unit", "shop.service"),
            ("syslog.appname", "shop"),
            ("process.executable.name", "node"),
            ("journald.transport", "stdout"),
            ("code.file.path", "a.c"),
            ("code.function.name", "main"),
            ("container.name", "c"),
            ("code.line.number", "Int(12)"),
        ];
        assert_eq!(attributes(&record, ""), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn priorities_are_otel_severities_and_a_level_of_the_message_holds() {
        let numbers: Vec<_> = (0..9)
            .map(|priority| {
                let mut record = Record::default();
                complete_from(&format!("PRIORITY={priority}"), "", &mut record);
                record.severity
            })
            .collect();
        assert_eq!(numbers, [21, 19, 18, 17, 13, 10, 9, 5, 0]);
        let mut record = Record { severity: 17, ..Record::default() };
        complete_from("PRIORITY=6", "", &mut record);
        assert_eq!(record.severity, 17);
    }

    #[test]
    fn what_systemd_says_of_a_unit_counts_as_that_units_but_nobody_else_may_say_so() {
        let said = |pid| format!("_PID={pid}\nUNIT=shop.service\n_SYSTEMD_UNIT=init.scope");
        assert_eq!(complete_from(&said(1), "", &mut Record::default()).0.as_deref(), Some("shop.service"));
        assert_eq!(complete_from(&said(2), "", &mut Record::default()).0.as_deref(), Some("init.scope"));
    }

    #[test]
    fn a_source_time_is_believed_within_reason() {
        let time = |source: &str| {
            let fields = format!("__REALTIME_TIMESTAMP=1000000000\n_SOURCE_REALTIME_TIMESTAMP={source}");
            complete_from(&fields, "", &mut Record::default()).1
        };
        assert_eq!(time("999999000"), Some(999_999_000));
        for forged in ["1000000001", "1", "-5", "99999999999999999999999"] {
            assert_eq!(time(forged), Some(1_000_000_000), "{forged}");
        }
    }

    #[test]
    fn times_rise_within_a_stream_and_follow_a_clock_that_was_set_back() {
        assert_eq!(rising(0, 7), 7_000);
        assert_eq!(rising(7_000, 7), 7_001);
        assert_eq!(rising(7_001, 6), 7_002);
        assert_eq!(rising(9_000_000_000, 8_000_000), 8_000_000_000);
        assert_eq!(rising(0, u64::MAX), u64::MAX);
    }
}
