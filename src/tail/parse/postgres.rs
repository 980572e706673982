//! Postgres' own log: stderr behind a `log_line_prefix`, csvlog, and jsonlog (15 and later).
//!
//! The prefix is free text, so it is read by its parts: the time at its start, `[pid]`, `user@database`,
//! `user=…,db=…,app=…,client=…`, and the `host(port)` of Amazon's. The severity is the word before the first colon
//! with two spaces. Names: `user.name`, `db.namespace`, `client.address`, `client.port`, `process.pid`,
//! `db.response.status_code` (SQLSTATE), `postgresql.application_name`, `duration_ms`. Query texts stay in the body
//! only. Severities in other languages than English (`lc_messages`) are not recognised.

mod csv;

use super::time::{self, Clock};
use super::{json, names};
use crate::signal::record::{Record, Text, Value};

/// Reads a line of any of the three.
pub(super) fn parse(line: &str, record: &mut Record, clock: &mut Clock, room: &mut json::Room) -> bool {
    record.body = Text::of(line, line);
    if line.starts_with('{') {
        return jsonlog(line, record, clock, room).is_some();
    }
    stderr(line, record, clock).is_some() || {
        record.clear();
        record.body = Text::of(line, line);
        csv::parse(line, record, clock).is_some()
    }
}

/// True for a line that no other program writes.
pub(super) fn is_certain(line: &str, record: &mut Record, clock: &mut Clock) -> bool {
    if line.starts_with('{') {
        return ["\"error_severity\":", "\"backend_type\":", "\"pid\":"].iter().all(|key| line.contains(key));
    }
    stderr(line, record, clock).is_some() || {
        record.clear();
        csv::parse(line, record, clock).is_some()
    }
}

fn stderr(line: &str, record: &mut Record, clock: &mut Clock) -> Option<()> {
    let stamp = time::iso(line, clock)?;
    let rest = line.get(stamp.len..)?;
    let (prefix, level, message) = split(rest)?;
    // Postgres always writes a zone. One that is not known makes the time unknown, not local.
    record.time = stamp.time.filter(|_| stamp.zoned);
    severity(line, level, record);
    self::prefix(line, prefix, record);
    duration(message, record);
    Some(())
}

/// Prefix, severity and message.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    for (at, _) in text.match_indices(":  ").take(4) {
        let before = text.get(..at)?;
        let start = before.rfind(|char: char| !char.is_ascii_uppercase() && !char.is_ascii_digit());
        let start =
            start.map_or(0, |at| at + before.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8));
        let (prefix, level) = before.split_at_checked(start)?;
        if number_of(level).is_some() {
            return Some((prefix, level, text.get(at + 3..)?));
        }
    }
    None
}

fn severity(line: &str, level: &str, record: &mut Record) {
    record.severity = number_of(level).unwrap_or(0);
    record.severity_text = Text::of(line, level);
}

/// The severity number of a word of Postgres' own; 0 for lines that belong to another.
fn number_of(level: &str) -> Option<u8> {
    Some(match level {
        "DEBUG5" | "DEBUG4" | "DEBUG3" | "DEBUG2" | "DEBUG1" => 5,
        "LOG" | "INFO" => 9,
        "NOTICE" => 10,
        "WARNING" => 13,
        "ERROR" => 17,
        "FATAL" => 21,
        "PANIC" => 22,
        "DETAIL" | "HINT" | "STATEMENT" | "CONTEXT" | "QUERY" | "LOCATION" | "BACKTRACE" => 0,
        _ => return None,
    })
}

fn prefix(line: &str, prefix: &str, record: &mut Record) {
    if let Some(pid) = pid(prefix) {
        record.put_int("process.pid", pid);
    }
    if prefix.contains("user=") || prefix.contains("db=") {
        for part in prefix.split(',') {
            for (key, name) in KEYS {
                if let Some((_, value)) = part.split_once(key) {
                    field(line, name, value.trim_end_matches([' ', ':']), record);
                    break;
                }
            }
        }
        return;
    }
    for part in prefix.split([' ', ':', ',']) {
        if let Some((user, database)) = part.split_once('@') {
            field(line, "user.name", user, record);
            field(line, "db.namespace", database, record);
        } else if part.ends_with(')') {
            field(line, "client.address", part, record);
        }
    }
}

/// The first number that stands in brackets by itself.
fn pid(prefix: &str) -> Option<i64> {
    prefix.split('[').skip(1).find_map(|part| {
        let (digits, _) = part.split_once(']')?;
        (digits.len() <= 10 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
    })
}

/// A field, unless Postgres does not know it (yet).
fn field(line: &str, name: &'static str, value: &str, record: &mut Record) {
    if value.is_empty() || matches!(value, "[unknown]" | "[local]") || names::has(line, record, name) {
        return;
    }
    if name != "client.address" {
        return record.put_str(name, line, value);
    }
    let (address, port) = match value.strip_suffix(')').and_then(|value| value.split_once('(')) {
        Some((address, port)) => (address, port.parse::<u16>().ok()),
        None => super::request::address(value).unwrap_or((value, None)),
    };
    record.put_str(name, line, address);
    if let Some(port) = port {
        record.put_int("client.port", i64::from(port));
    }
}

/// `duration: 12.345 ms  statement: …`
fn duration(message: &str, record: &mut Record) {
    let digits = message.strip_prefix("duration: ").and_then(|rest| rest.split_once(" ms")).map(|(digits, _)| digits);
    let Some(digits) = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')) else {
        return;
    };
    if let Ok(milliseconds) = digits.parse() {
        record.put(Text::Fixed("duration_ms"), Value::Double(milliseconds));
    }
}

fn jsonlog(line: &str, record: &mut Record, clock: &mut Clock, room: &mut json::Room) -> Option<()> {
    json::scan(line, record, room)?;
    let mut kept = 0;
    for at in 0..record.attributes.len() {
        let Some((name, value)) = record.attributes.get(at).copied() else { break };
        let known = match name.get(line, &record.scratch) {
            "user" => Text::Fixed("user.name"),
            "application_name" => Text::Fixed("postgresql.application_name"),
            "backend_type" => Text::Fixed("postgresql.backend_type"),
            "state_code" => match value {
                Value::Text(code) if code.get(line, &record.scratch) == SUCCESS => continue,
                _ => Text::Fixed("db.response.status_code"),
            },
            _ => name,
        };
        let known = if known != name && names::has(line, record, known.get(line, "")) { name } else { known };
        if let Some(slot) = record.attributes.get_mut(kept) {
            *slot = (known, value);
            kept += 1;
        }
    }
    record.attributes.truncate(kept);
    names::assign(line, record, clock);
    if let Some(level) = number_of(record.text(line, record.severity_text)) {
        record.severity = level;
    }
    let digits = record.body;
    let message = digits.get(line, &record.scratch).get(..48).unwrap_or(digits.get(line, &record.scratch));
    if message.starts_with("duration: ") {
        let mut head = [0; 64];
        if let Some(head) = head.get_mut(..message.len()) {
            head.copy_from_slice(message.as_bytes());
            duration(std::str::from_utf8(head).unwrap_or_default(), record);
        }
    }
    Some(())
}

/// Keys of `user=%u,db=%d,app=%a,client=%h`.
const KEYS: [(&str, &str); 8] = [
    ("user=", "user.name"),
    ("db=", "db.namespace"),
    ("database=", "db.namespace"),
    ("app=", "postgresql.application_name"),
    ("application=", "postgresql.application_name"),
    ("client=", "client.address"),
    ("host=", "client.address"),
    ("sqlstate=", "db.response.status_code"),
];
/// The SQLSTATE of everything that is no error.
const SUCCESS: &str = "00000";

#[cfg(test)]
mod tests;
