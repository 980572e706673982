//! nginx and Apache access logs (common, combined, with a virtual host before or more fields behind), and nginx's
//! error log.
//!
//! Formats from nginx's `ngx_http_log_module` (`log_format combined`), Apache's `mod_log_config` and nginx's
//! `ngx_log.c`. Fields that only some sites add have no names in the line; told apart by their form are: times with
//! three decimals (first `request_time`, then `upstream_response_time`), a quoted list of addresses
//! (X-Forwarded-For) and `name=value` pairs.

use super::request::{self, Target};
use super::time::{self, Clock};
use super::{names, severity};
use crate::signal::record::{Record, Text, Value};

/// Reads a line of an access or error log.
pub(super) fn parse(line: &str, record: &mut Record, clock: &mut Clock) -> bool {
    record.body = Text::of(line, line);
    let year_first = line.as_bytes().get(4) == Some(&b'/');
    if year_first && error(line, record, clock).is_some() {
        return true;
    }
    access(line, record, clock).is_some()
}

fn access(line: &str, record: &mut Record, clock: &mut Clock) -> Option<()> {
    let rest = peer(line, record)?;
    let stamp = time::common_log(rest, clock)?;
    record.time = stamp.time;
    let rest = rest.get(stamp.len..)?.strip_prefix("] \"")?;
    let (request, rest) = quoted(rest)?;
    request_line(line, request, record);
    let rest = rest.strip_prefix(' ')?;
    let status: i64 = digits(rest.get(..3)?)?;
    record.put_int("http.response.status_code", status);
    record.severity = if status >= 500 { 17 } else { 9 };
    let rest = rest.get(3..)?.strip_prefix(' ')?;
    let (bytes, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    if bytes != "-" {
        record.put_int("http.response.body.size", digits(bytes)?);
    }
    if rest.is_empty() {
        return Some(());
    }
    let Some((referer, after)) = rest.strip_prefix('"').and_then(quoted) else {
        more(line, rest, record);
        return Some(());
    };
    let Some((agent, rest)) = after.strip_prefix(" \"").and_then(quoted) else {
        more(line, rest, record);
        return Some(());
    };
    put(line, "http.request.header.referer", referer, record);
    put(line, "user_agent.original", agent, record);
    more(line, rest, record);
    Some(())
}

/// Virtual host, address and user, up to the time.
fn peer<'a>(line: &'a str, record: &mut Record) -> Option<&'a str> {
    let (first, after) = line.split_once(' ')?;
    let (second, rest) = after.split_once(' ')?;
    let (host, address, rest) =
        if second == "-" { ("", first, rest) } else { (first, second, rest.strip_prefix("- ")?) };
    // The user is sent by the client: it may hold spaces and brackets. The time's bracket is the first one that is
    // followed by a digit and a slash two further on.
    let bytes = rest.as_bytes();
    let bracket = memchr::memchr_iter(b'[', bytes).find(|at| bytes.get(at + 3) == Some(&b'/'))?;
    let user = rest.get(..bracket)?.strip_suffix(' ')?;
    if !host.is_empty() {
        server(line, host, record);
    }
    if address != "-" && address != "unix:" {
        record.put_str("client.address", line, address);
    }
    put(line, "user.name", user, record);
    rest.get(bracket + 1..)
}

fn server(line: &str, host: &str, record: &mut Record) {
    match host.rsplit_once(':').map(|(name, port)| (name, digits(port))) {
        Some((name, Some(port))) if !name.is_empty() => {
            record.put_str("server.address", line, name);
            record.put_int("server.port", port);
        }
        _ => record.put_str("server.address", line, host),
    }
}

/// The parts of a request line; the whole of it when it is none.
pub(super) fn request_line(line: &str, request: &str, record: &mut Record) {
    let Some(parts) = request::line(request) else { return put(line, "request", request, record) };
    record.put_str("http.request.method", line, parts.method);
    match parts.target {
        Target::Path { path, query } => {
            record.put_str("url.path", line, path);
            if let Some(query) = query {
                record.put_str("url.query", line, query);
            }
        }
        Target::Full(url) => record.put_str("url.full", line, url),
        Target::Other => put(line, "request", request, record),
    }
    if let Some(version) = parts.version {
        record.put_str("network.protocol.version", line, version);
    }
}

/// Fields behind the combined format.
fn more(line: &str, mut rest: &str, record: &mut Record) {
    let mut times = ["request_time", "upstream_response_time"].iter();
    let mut forwarded = false;
    while record.attributes.len() < MAX_ATTRIBUTES {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return;
        }
        let (name, after) = name(rest);
        let (value, after) = match after.strip_prefix('"').and_then(quoted) {
            Some(quoted) => quoted,
            None => after.split_once(' ').unwrap_or((after, "")),
        };
        rest = after;
        let seconds = seconds(value);
        let name = match (name, seconds) {
            (Some(name), _) => Text::of(line, name),
            (None, Some(_)) => match times.next() {
                Some(name) => Text::Fixed(name),
                None => continue,
            },
            (None, None) if !forwarded && is_addresses(value) => {
                forwarded = true;
                Text::Fixed("http.request.header.x-forwarded-for")
            }
            // `-` holds the place of an upstream's time when there was no upstream.
            (None, None) => continue,
        };
        if names::has(line, record, name.get(line, "")) {
            continue;
        }
        match seconds {
            Some(seconds) => record.put(name, Value::Double(seconds)),
            None if value.is_empty() || value == "-" => {}
            None => record.put(name, Value::Text(Text::of(line, value))),
        }
    }
}

/// `name=`, if the text begins with one.
fn name(text: &str) -> (Option<&str>, &str) {
    let len =
        text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')).count();
    match (text.get(..len), text.get(len..).and_then(|rest| rest.strip_prefix('='))) {
        (Some(name), Some(rest)) if !name.is_empty() => (Some(name), rest),
        _ => (None, text),
    }
}

/// nginx writes times with three decimals.
fn seconds(text: &str) -> Option<f64> {
    let (whole, decimals) = text.split_once('.')?;
    let fits = decimals.len() == 3 && !whole.is_empty() && whole.len() < 10;
    digits(whole).and(digits(decimals)).filter(|_| fits)?;
    text.parse().ok()
}

fn is_addresses(text: &str) -> bool {
    !text.is_empty() && text.split(',').all(|part| request::address(part.trim_ascii()).is_some())
}

/// The text up to the closing quote and what follows. nginx writes a quote within as `\x22`, Apache as `\"`.
pub(super) fn quoted(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let mut from = 0;
    loop {
        let at = from + memchr::memchr(b'"', bytes.get(from..)?)?;
        let slashes = bytes.get(..at)?.iter().rev().take_while(|byte| **byte == b'\\').count();
        if slashes % 2 == 0 {
            return Some((text.get(..at)?, text.get(at + 1..)?));
        }
        from = at + 1;
    }
}

/// A string attribute, unless there is nothing in it. Bytes that nginx has escaped (`\xD0`) are undone where they
/// are readable text.
pub(super) fn put(line: &str, name: &'static str, value: &str, record: &mut Record) {
    if value.is_empty() || value == "-" {
        return;
    }
    if memchr::memchr(b'\\', value.as_bytes()).is_some_and(|_| value.contains("\\x"))
        && let Some(text) = unescape(value, record)
    {
        return record.put(Text::Fixed(name), Value::Text(text));
    }
    record.put_str(name, line, value);
}

#[cold]
fn unescape(value: &str, record: &mut Record) -> Option<Text> {
    let start = record.scratch.len();
    if readable(value, &mut record.scratch).is_none() {
        record.scratch.truncate(start);
        return None;
    }
    Some(Text::Scratch(start as u32, record.scratch.len() as u32))
}

fn readable(value: &str, out: &mut String) -> Option<()> {
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("\\x") {
        let (char, len) = escaped(after)?;
        out.push_str(before);
        out.push(char);
        rest = after.get(len..)?;
    }
    out.push_str(rest);
    Some(())
}

/// A character whose bytes are written as `D0\xBF`, and how long that is; none for control characters.
fn escaped(text: &str) -> Option<(char, usize)> {
    let mut bytes = [0; 4];
    for count in 0..bytes.len() {
        let at = 4 * count;
        if count > 0 && text.get(at - 2..at) != Some("\\x") {
            return None;
        }
        let digits = text.get(at..at + 2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        *bytes.get_mut(count)? = u8::from_str_radix(digits, 16).ok()?;
        if let Ok(char) = std::str::from_utf8(bytes.get(..=count)?) {
            return char.chars().next().filter(|char| !char.is_control()).map(|char| (char, at + 2));
        }
    }
    None
}

/// `2026/11/24 10:00:00 [error] 12#34: *56 message, client: …, server: …, request: "…", upstream: "…", host: "…"`
fn error(line: &str, record: &mut Record, clock: &mut Clock) -> Option<()> {
    let stamp = time::iso(line, clock)?;
    let rest = line.get(stamp.len..)?.strip_prefix(" [")?;
    let (level, rest) = rest.split_once("] ")?;
    let severity = severity::word(level)?;
    let (pid, rest) = rest.split_once('#')?;
    let (thread, rest) = rest.split_once(": ")?;
    let (pid, thread) = (digits(pid)?, digits(thread)?);
    record.time = stamp.time;
    record.severity = severity;
    record.severity_text = Text::of(line, level);
    record.put_int("process.pid", pid);
    record.put_int("thread.id", thread);
    let connection = rest.strip_prefix('*').and_then(|rest| rest.split_once(' '));
    let Some((Some(connection), message)) = connection.map(|(number, message)| (digits(number), message)) else {
        return Some(());
    };
    record.put_int("nginx.connection", connection);
    let Some(at) = context(message) else { return Some(()) };
    let mut rest = message.get(at..).unwrap_or_default();
    let mut seen = [false; ERROR_FIELDS.len()];
    while let Some((name, after)) = rest.strip_prefix(", ").and_then(|rest| rest.split_once(": ")) {
        let (value, after) = match after.strip_prefix('"') {
            Some(inner) => inner.split_once('"').unwrap_or((inner, "")),
            None => after.find(", ").and_then(|at| after.split_at_checked(at)).unwrap_or((after, "")),
        };
        rest = after;
        let known = ERROR_FIELDS.iter().zip(&mut seen).find(|(known, _)| **known == name);
        if let Some((_, seen)) = known.filter(|(_, seen)| !**seen) {
            *seen = true;
            error_field(line, name, value, record);
        }
    }
    Some(())
}

/// Where the fields begin: at the first `, client: ` that is not within quotes, for file names are quoted and are
/// what the client asks for.
fn context(message: &str) -> Option<usize> {
    let bytes = message.as_bytes();
    let mut within = false;
    memchr::memchr2_iter(b'"', b',', bytes).find(|at| {
        if bytes.get(*at) == Some(&b'"') {
            within = !within;
            return false;
        }
        !within && message.get(*at..).is_some_and(|rest| rest.starts_with(", client: "))
    })
}

fn error_field(line: &str, name: &str, value: &str, record: &mut Record) {
    match name {
        "client" => put(line, "client.address", value, record),
        "server" => put(line, "nginx.server", value, record),
        "request" => request_line(line, value, record),
        "upstream" => put(line, "nginx.upstream", value, record),
        "host" => server(line, value, record),
        _ => put(line, "http.request.header.referer", value, record),
    }
}

#[inline]
fn digits(text: &str) -> Option<i64> {
    let fits = (1..=18).contains(&text.len());
    let number = text.bytes().try_fold(0, |sum: i64, byte| {
        byte.is_ascii_digit().then(|| sum.wrapping_mul(10).wrapping_add(i64::from(byte - b'0')))
    });
    number.filter(|_| fits)
}

/// What nginx tells of a request in its error log.
const ERROR_FIELDS: [&str; 6] = ["client", "server", "request", "upstream", "host", "referrer"];
const MAX_ATTRIBUTES: usize = 128;

#[cfg(test)]
mod tests;
