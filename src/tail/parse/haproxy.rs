//! HAProxy's `option httplog`, `httpslog` and `tcplog`, with or without a syslog header, and its lines on failed
//! connections (sections 8.2 and 8.3 of its configuration manual).
//!
//! The record's time is the end of the request (acceptance and total time), which is when the line was written:
//! the acceptance of a long session may lie hours back, where no store takes it any more. Times of -1, for phases
//! that were not reached, are left out. Other lines of HAProxy are read as syslog.

use super::nginx::{put, quoted, request_line};
use super::time::{self, Clock};
use super::{request, syslog};
use crate::signal::record::{Record, Text, Time, Value};

/// Reads a line of HAProxy: traffic, or any with a syslog header.
pub(super) fn parse(line: &str, record: &mut Record, clock: &mut Clock) -> bool {
    record.body = Text::of(line, line);
    let message = syslog::header(line, record, clock);
    if message.is_none() {
        record.clear();
        record.body = Text::of(line, line);
    }
    traffic(line, message.unwrap_or_else(|| without_tag(line)), record, clock).is_some() || message.is_some()
}

/// True for a line about a connection or request.
pub(super) fn is_traffic(line: &str, record: &mut Record, clock: &mut Clock) -> bool {
    let message = syslog::header(line, record, clock).unwrap_or_else(|| without_tag(line));
    traffic(line, message, record, clock).is_some()
}

/// What follows `haproxy[12]: `.
fn without_tag(line: &str) -> &str {
    line.strip_prefix("haproxy[").and_then(|rest| rest.split_once("]: ")).map_or(line, |(_, message)| message)
}

/// `10.0.1.2:33317 [06/Feb/2009:12:14:14.655] frontend backend/server …`
fn traffic(line: &str, message: &str, record: &mut Record, clock: &mut Clock) -> Option<()> {
    let (peer, rest) = message.split_once(" [")?;
    let (client, port) = peer.rsplit_once(':')?;
    let port = number(port)?;
    let accepted = time::common_log(rest, clock)?;
    let rest = rest.get(accepted.len..)?.strip_prefix("] ")?;
    let (frontend, rest) = rest.split_once(' ')?;
    if request::is_address(client) {
        record.put_str("client.address", line, client);
        record.put_int("client.port", port);
    }
    if let Some(listener) = frontend.strip_suffix(':') {
        // `frontend/listener: SSL handshake failure`
        record.time = accepted.time;
        put(line, "haproxy.frontend", listener.split_once('/').map_or(listener, |(name, _)| name), record);
        return Some(());
    }
    let (name, tls) = frontend.strip_suffix('~').map_or((frontend, false), |name| (name, true));
    put(line, "haproxy.frontend", name, record);
    if tls {
        record.put(Text::Fixed("haproxy.tls"), Value::Bool(true));
    }
    let (target, rest) = rest.split_once(' ')?;
    let (backend, server) = target.split_once('/')?;
    put(line, "haproxy.backend", backend, record);
    put(line, "haproxy.server", server, record);
    let (timers, rest) = rest.split_once(' ')?;
    let total = times(timers, record)?;
    record.time = accepted.time.map(|time| Time { nanos: time.nanos.saturating_add(total * 1_000_000), ..time });
    if record.severity == 0 {
        record.severity = 9;
    }
    if timers.split('/').count() == TCP.len() { tcp(line, rest, record) } else { http(line, rest, record) }
}

/// `200 2750 - - ---- 1/1/1/1/0 0/0 {1wt.eu} {} "GET /index.html HTTP/1.1"`
fn http(line: &str, rest: &str, record: &mut Record) -> Option<()> {
    let (status, rest) = rest.split_once(' ')?;
    if let Some(status @ 100..600) = number(status) {
        record.put_int("http.response.status_code", status);
        record.severity = if status >= 500 { 17 } else { 9 };
    }
    let (bytes, rest) = rest.split_once(' ')?;
    let mut rest = bytes_read(bytes, rest, record)?;
    for name in ["haproxy.captured_request_cookie", "haproxy.captured_response_cookie"] {
        let (cookie, after) = rest.split_once(' ')?;
        put(line, name, cookie, record);
        rest = after;
    }
    let mut rest = ending(line, rest, 4, record)?;
    // HAProxy writes braces and quotes within captured headers and the request as `#7D` and `#22`.
    for name in ["haproxy.captured_request_headers", "haproxy.captured_response_headers"] {
        let Some((headers, after)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) else { break };
        put(line, name, headers, record);
        rest = after.strip_prefix(' ')?;
    }
    let inner = rest.strip_prefix('"')?;
    // A long request is cut together with its quote.
    let (request, _) = quoted(inner).unwrap_or((inner, ""));
    request_line(line, request, record);
    Some(())
}

/// `212 -- 0/0/0/0/3 0/0`
fn tcp(line: &str, rest: &str, record: &mut Record) -> Option<()> {
    let (bytes, rest) = rest.split_once(' ')?;
    let rest = bytes_read(bytes, rest, record)?;
    ending(line, rest, 2, record).map(|_| ())
}

fn bytes_read<'a>(bytes: &str, rest: &'a str, record: &mut Record) -> Option<&'a str> {
    record.put_int("haproxy.bytes_read", number(bytes)?);
    Some(rest)
}

/// Termination state, connections and queues; what follows.
fn ending<'a>(line: &str, rest: &'a str, states: usize, record: &mut Record) -> Option<&'a str> {
    let (state, rest) = rest.split_once(' ')?;
    if state.len() != states {
        return None;
    }
    record.put_str("haproxy.termination_state", line, state);
    let (connections, rest) = rest.split_once(' ')?;
    let (queues, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    counts(connections, &CONNECTIONS, record)?;
    counts(queues, &["haproxy.queue.server", "haproxy.queue.backend"], record)?;
    Some(rest)
}

fn counts(text: &str, names: &[&'static str], record: &mut Record) -> Option<()> {
    let mut parts = text.split('/');
    for name in names {
        record.put_int(name, number(parts.next()?)?);
    }
    parts.next().is_none().then_some(())
}

/// The timers in milliseconds; the last of them, the total.
fn times(text: &str, record: &mut Record) -> Option<u64> {
    let names: &[&'static str] = if text.split('/').count() == TCP.len() { &TCP } else { &HTTP };
    let mut parts = text.split('/');
    let mut last = 0;
    for name in names {
        let part = parts.next()?;
        last = if part == "-1" { -1 } else { number(part)? };
        if last >= 0 {
            record.put_int(name, last);
        }
    }
    // A day-long session is plausible, a year is forged.
    parts.next().is_none().then_some(u64::try_from(last).unwrap_or(0).min(366 * 86_400_000))
}

/// A number; `+` before it means that more was to come (`option logasap`, a redispatched retry).
fn number(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let fits = (1..=18).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| fits)
}

/// Tq (TR), Tw, Tc, Tr, Tt (Ta).
const HTTP: [&str; 5] = [
    "haproxy.time_request_ms",
    "haproxy.time_queue_ms",
    "haproxy.time_connect_ms",
    "haproxy.time_response_ms",
    "haproxy.time_total_ms",
];
/// Tw, Tc, Tt.
const TCP: [&str; 3] = ["haproxy.time_queue_ms", "haproxy.time_connect_ms", "haproxy.time_total_ms"];
/// actconn, feconn, beconn, srv_conn, retries.
const CONNECTIONS: [&str; 5] = [
    "haproxy.connections.process",
    "haproxy.connections.frontend",
    "haproxy.connections.backend",
    "haproxy.connections.server",
    "haproxy.retries",
];

#[cfg(test)]
mod tests;
