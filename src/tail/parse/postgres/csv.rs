//! Postgres' csvlog: 23 columns up to version 12, 24 in 13 (`backend_type`), 26 since 14 (`leader_pid`, `query_id`).

use super::{SUCCESS, duration, field, severity};
use crate::signal::record::{Record, Text, Value};
use crate::tail::parse::time::{self, Clock};

/// Reads a line of comma-separated values. Quoted ones may hold commas, doubled quotes and line ends.
pub(super) fn parse(line: &str, record: &mut Record, clock: &mut Clock) -> Option<()> {
    let stamp = time::iso(line, clock)?;
    line.as_bytes().get(stamp.len).filter(|byte| **byte == b',')?;
    record.time = stamp.time.filter(|_| stamp.zoned);
    let mut rest = Some(line);
    let mut column = 0;
    while let Some(text) = rest {
        let (value, after) = value(text)?;
        take(line, column, value, record)?;
        column += 1;
        rest = after;
    }
    (23..=MOST).contains(&column).then_some(())
}

fn take(line: &str, column: usize, value: &str, record: &mut Record) -> Option<()> {
    if value.is_empty() {
        return (column != SEVERITY).then_some(());
    }
    match column {
        1 => field(line, "user.name", value, record),
        2 => field(line, "db.namespace", value, record),
        3 => record.put_int("process.pid", i64::from(value.parse::<u32>().ok()?)),
        4 => field(line, "client.address", value, record),
        SEVERITY => {
            severity(line, value, record);
            (record.severity > 0).then_some(())?;
        }
        12 if value != SUCCESS => record.put_str("db.response.status_code", line, value),
        13 => duration(value, record),
        22 => unquoted(line, "postgresql.application_name", value, record),
        23 => field(line, "postgresql.backend_type", value, record),
        MOST => return None,
        _ => {}
    }
    Some(())
}

/// The first value and, when there is a comma, what follows it. Doubled quotes stay doubled.
fn value(text: &str) -> Option<(&str, Option<&str>)> {
    let Some(inner) = text.strip_prefix('"') else {
        return Some(text.split_once(',').map_or((text, None), |(value, rest)| (value, Some(rest))));
    };
    let bytes = inner.as_bytes();
    let mut from = 0;
    loop {
        let at = from + memchr::memchr(b'"', bytes.get(from..)?)?;
        match bytes.get(at + 1) {
            Some(b'"') => from = at + 2,
            Some(b',') => return Some((inner.get(..at)?, Some(inner.get(at + 2..)?))),
            None => return Some((inner.get(..at)?, None)),
            Some(_) => return None,
        }
    }
}

fn unquoted(line: &str, name: &'static str, value: &str, record: &mut Record) {
    if !value.contains("\"\"") {
        return field(line, name, value, record);
    }
    let start = record.scratch.len();
    for (number, part) in value.split("\"\"").enumerate() {
        if number > 0 {
            record.scratch.push('"');
        }
        record.scratch.push_str(part);
    }
    record.put(Text::Fixed(name), Value::Text(Text::Scratch(start as u32, record.scratch.len() as u32)));
}

/// `error_severity`.
const SEVERITY: usize = 11;
/// More columns than any version has.
const MOST: usize = 32;
