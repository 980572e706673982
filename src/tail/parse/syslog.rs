//! Syslog: RFC 5424, RFC 3164 with and without its priority, and the files that rsyslog and syslog-ng write.
//!
//! The body is the whole line. The host of a line is an attribute, never the resource: it is whatever the sender
//! wrote. Files have no priority and so no severity.

use super::json::Seen;
use super::severity;
use super::time::{self, Clock, Stamp};
use crate::signal::record::{Record, Text, Value};

/// Reads a line as syslog.
pub(super) fn parse(line: &str, record: &mut Record, clock: &mut Clock) -> bool {
    record.body = Text::of(line, line);
    header(line, record, clock).is_some()
}

/// True for a line that is syslog beyond doubt: a time of RFC 3164, a priority, or a time of ISO with host and tag.
pub(super) fn is_certain(line: &str, record: &mut Record, clock: &mut Clock) -> bool {
    if header(line, record, clock).is_none() {
        return false;
    }
    let named = |name| record.attributes.iter().any(|(known, _)| *known == Text::Fixed(name));
    !line.starts_with(|first: char| first.is_ascii_digit()) || named("syslog.appname")
}

/// Reads a line's header into the record; the message that follows it.
pub(super) fn header<'a>(line: &'a str, record: &mut Record, clock: &mut Clock) -> Option<&'a str> {
    let mut rest = line;
    let mut told = false;
    if let Some((priority, after)) = line.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        let fits = priority.len() <= 3 && priority.bytes().all(|byte| byte.is_ascii_digit());
        let priority: u8 = priority.parse().ok().filter(|priority| fits && *priority < 192)?;
        record.severity = severity::syslog(priority & 7);
        let facility = FACILITIES.get(usize::from(priority >> 3)).copied().unwrap_or_default();
        record.put(Text::Fixed("syslog.facility.name"), Value::Text(Text::Fixed(facility)));
        rest = after;
        told = true;
    }
    match rest.strip_prefix("1 ") {
        Some(rest) if told => rfc5424(line, rest, record, clock),
        _ => traditional(line, rest, told, record, clock),
    }
}

/// `Nov 24 10:00:00 host app[12]: message`, or the same with an ISO time, as rsyslog writes since Debian 12.
fn traditional<'a>(
    line: &'a str,
    text: &'a str,
    told: bool,
    record: &mut Record,
    clock: &mut Clock,
) -> Option<&'a str> {
    let old = time::rfc3164(text, clock);
    let stamp = match old {
        Some(stamp) => stamp,
        None => time::iso(text, clock).filter(|stamp| stamp.zoned && text.as_bytes().get(10) == Some(&b'T'))?,
    };
    let rest = text.get(stamp.len..)?.strip_prefix(' ')?;
    let (first, after) = rest.split_once(' ')?;
    // A local sender leaves the host out: `<30>Nov 24 10:00:00 app[12]: message`.
    let (host, rest) = if first.ends_with(':') { (None, rest) } else { (Some(first), after) };
    let tag = tag(rest);
    let is_level = || host.is_none_or(|host| severity::word(host.trim_matches(['[', ']'])).is_some());
    if !told && old.is_none() && is_level() {
        return None;
    }
    record.time = stamp.time;
    if let Some(host) = host {
        record.put_str("syslog.hostname", line, host);
    }
    let Some((app, process, message)) = tag else { return Some(rest) };
    record.put_str("syslog.appname", line, app);
    if let Some(process) = process {
        record.put_str("syslog.procid", line, process);
    }
    Some(message)
}

/// `app[12]: message` or `app: message`
fn tag(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let len = memchr::memchr3(b'[', b':', b' ', text.as_bytes())?;
    let (app, rest) = text.split_at_checked(len)?;
    if app.is_empty() {
        return None;
    }
    if let Some(message) = rest.strip_prefix(':') {
        return Some((app, None, message.strip_prefix(' ').unwrap_or(message)));
    }
    let (process, message) = rest.strip_prefix('[')?.split_once("]:")?;
    if process.is_empty() || process.len() > 64 {
        return None;
    }
    Some((app, Some(process), message.strip_prefix(' ').unwrap_or(message)))
}

/// `2026-11-24T10:00:00.123Z host app procid msgid [id name="value"] message` behind the version.
fn rfc5424<'a>(line: &'a str, text: &'a str, record: &mut Record, clock: &mut Clock) -> Option<&'a str> {
    let (stamp, mut rest) = text.split_once(' ')?;
    if stamp != "-" {
        let whole = |found: &Stamp| found.len == stamp.len();
        record.time = time::iso(stamp, clock).filter(whole)?.time;
    }
    for name in ["syslog.hostname", "syslog.appname", "syslog.procid", "syslog.msgid"] {
        let (value, after) = rest.split_once(' ')?;
        if value.is_empty() {
            return None;
        }
        if value != "-" {
            record.put_str(name, line, value);
        }
        rest = after;
    }
    rest = match rest.strip_prefix('-') {
        Some(rest) => rest,
        None => structured(line, rest, record)?,
    };
    if rest.is_empty() {
        return Some(rest);
    }
    let message = rest.strip_prefix(' ')?;
    Some(message.strip_prefix('\u{feff}').unwrap_or(message))
}

/// `[id name="value" …][id …]`; what follows.
fn structured<'a>(line: &'a str, mut rest: &'a str, record: &mut Record) -> Option<&'a str> {
    let mut seen = Seen::default();
    rest.starts_with('[').then_some(())?;
    while let Some(element) = rest.strip_prefix('[') {
        let end = memchr::memchr2(b' ', b']', element.as_bytes())?;
        let (id, after) = element.split_at_checked(end).filter(|(id, _)| (1..=MAX_NAME).contains(&id.len()))?;
        rest = after;
        while let Some(parameter) = rest.strip_prefix(' ') {
            let (name, after) = parameter.split_once("=\"").filter(|(name, _)| (1..=MAX_NAME).contains(&name.len()))?;
            if name.contains([' ', ']', '"']) {
                return None;
            }
            let (value, after) = value(line, after, record)?;
            add(line, id, name, value, &mut seen, record);
            rest = after;
        }
        rest = rest.strip_prefix(']')?;
    }
    Some(rest)
}

/// A value up to its quote, without its escapes (`\"`, `\\`, `\]`), and what follows.
fn value<'a>(line: &str, text: &'a str, record: &mut Record) -> Option<(Text, &'a str)> {
    let end = memchr::memchr2(b'"', b'\\', text.as_bytes())?;
    if text.as_bytes().get(end) == Some(&b'"') {
        return Some((Text::of(line, text.get(..end)?), text.get(end + 1..)?));
    }
    let start = record.scratch.len();
    let mut rest = text;
    loop {
        let end = memchr::memchr2(b'"', b'\\', rest.as_bytes())?;
        record.scratch.push_str(rest.get(..end)?);
        let after = rest.get(end + 1..)?;
        if rest.as_bytes().get(end) == Some(&b'"') {
            return Some((Text::Scratch(start as u32, record.scratch.len() as u32), after));
        }
        let escaped = after.chars().next()?;
        if !matches!(escaped, '"' | '\\' | ']') {
            record.scratch.push('\\');
        }
        record.scratch.push(escaped);
        rest = after.get(escaped.len_utf8()..)?;
    }
}

/// Adds a parameter; the last one of those with the same name holds.
fn add(line: &str, id: &str, name: &str, value: Text, seen: &mut Seen, record: &mut Record) {
    let start = record.scratch.len();
    for part in ["syslog.structured_data.", id, ".", name] {
        record.scratch.push_str(part);
    }
    let whole = Text::Scratch(start as u32, record.scratch.len() as u32);
    let text = whole.get(line, &record.scratch);
    if seen.note(text.as_bytes()) {
        let again = record.attributes.iter().position(|(name, _)| name.get(line, &record.scratch) == text);
        if let Some(earlier) = again.and_then(|at| record.attributes.get_mut(at)) {
            earlier.1 = Value::Text(value);
            return;
        }
    }
    if record.attributes.len() < MAX_ATTRIBUTES {
        record.put(whole, Value::Text(value));
    } else {
        record.scratch.truncate(start);
    }
}

/// RFC 5424, 6.2.1, by the names that syslog(3) and rsyslog use.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
/// RFC 5424 allows 32 characters; some senders write more.
const MAX_NAME: usize = 128;
const MAX_ATTRIBUTES: usize = 128;

#[cfg(test)]
mod tests;
