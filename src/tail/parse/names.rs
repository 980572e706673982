//! What the names of fields mean: which are the record's time, severity, message and ids, and which have a name in
//! OpenTelemetry's semantic conventions. One table for all formats.
//!
//! A field is renamed only where its meaning is certain: by its name alone, or by its name and value, and for
//! names such as `path`, `host` and `bytes`, which may mean anything, only beside a request's method. All other
//! fields keep their own name. A value that cannot be used (a `level` of `gold`) stays an attribute.

use super::request::{self, Target};
use super::severity;
use super::time::{self, Clock};
use crate::signal::record::{Record, Text, Value};

/// What a field's name promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// Nothing known.
    Plain,
    /// The message, by rank: 0 goes before 1.
    Body(u8),
    Time,
    Level,
    LevelNumber,
    Trace,
    Span,
    /// A whole request line such as `GET / HTTP/1.1`.
    Request,
    /// A target that is surely one of a request.
    Target,
    /// The same, but only beside a request's method.
    TargetBeside,
    /// An exception's text: a stack trace when it has several lines.
    Exception,
    /// A field with a known name.
    Known(Known),
    /// The same, but only beside a request's method.
    Beside(Known),
}

/// Names of the semantic conventions that fields are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Method,
    Status,
    Path,
    Query,
    Full,
    Protocol,
    Client,
    ClientPort,
    Agent,
    Referer,
    Server,
    BodySize,
    ResponseSize,
    ErrorMessage,
    ErrorStack,
    ErrorType,
    Pid,
    Thread,
    Database,
}

impl Known {
    const fn name(self) -> &'static str {
        match self {
            Self::Method => "http.request.method",
            Self::Status => "http.response.status_code",
            Self::Path => "url.path",
            Self::Query => "url.query",
            Self::Full => "url.full",
            Self::Protocol => "network.protocol.version",
            Self::Client => "client.address",
            Self::ClientPort => "client.port",
            Self::Agent => "user_agent.original",
            Self::Referer => "http.request.header.referer",
            Self::Server => "server.address",
            Self::BodySize => "http.response.body.size",
            Self::ResponseSize => "http.response.size",
            Self::ErrorMessage => "exception.message",
            Self::ErrorStack => "exception.stacktrace",
            Self::ErrorType => "exception.type",
            Self::Pid => "process.pid",
            Self::Thread => "thread.name",
            Self::Database => "db.namespace",
        }
    }
}

/// Takes time, severity, ids and message out of the attributes and gives known names to those that have one.
/// Without a message the body is the whole line.
pub(super) fn assign(line: &str, record: &mut Record, clock: &mut Clock) {
    let mut plan = Plan { line, clock, taken: 0, request: false, body: None, added: [None; 8], adds: 0 };
    let mut meanings = [Meaning::Plain; MOST];
    for (at, ((name, value), meaning)) in record.attributes.iter().zip(&mut meanings).enumerate() {
        let name = name.get(line, &record.scratch);
        *meaning = meaning_of(name);
        if *meaning != Meaning::Plain {
            plan.look_ahead(at, name, *meaning, *value, record);
        }
    }
    record.body = Text::of(line, line);
    let mut kept = 0;
    for at in 0..record.attributes.len() {
        let Some(&attribute) = record.attributes.get(at) else { break };
        let meaning = meanings.get(at).copied().unwrap_or(Meaning::Plain);
        let attribute =
            if meaning == Meaning::Plain { Some(attribute) } else { plan.take(at, attribute, meaning, record) };
        if let Some(attribute) = attribute {
            if let Some(slot) = record.attributes.get_mut(kept) {
                *slot = attribute;
            }
            kept += 1;
        }
    }
    record.attributes.truncate(kept);
    for (known, value) in plan.added.into_iter().flatten() {
        record.put(Text::Fixed(known.name()), value);
    }
}

struct Plan<'a> {
    line: &'a str,
    clock: &'a mut Clock,
    /// Known names that are in use, a bit each: no two attributes may share a name.
    taken: u32,
    /// The record tells of a request.
    request: bool,
    /// Rank and place of the message.
    body: Option<(u8, usize)>,
    /// Attributes that were split off others.
    added: [Option<(Known, Value)>; 8],
    adds: usize,
}

impl Plan<'_> {
    /// What must be known before the first attribute is judged.
    fn look_ahead(&mut self, at: usize, name: &str, meaning: Meaning, value: Value, record: &Record) {
        match (meaning, value) {
            (Meaning::Body(rank), Value::Text(_)) if self.body.is_none_or(|(best, _)| rank < best) => {
                self.body = Some((rank, at));
            }
            (Meaning::Request, Value::Text(text)) => {
                self.request |= request::line(record.text(self.line, text)).is_some();
            }
            (Meaning::Known(known), value) => {
                if known.name() == name {
                    self.taken |= 1 << known as u32;
                }
                if let (Known::Method, Value::Text(text)) = (known, value) {
                    self.request |= request::is_method(record.text(self.line, text));
                }
            }
            _ => {}
        }
    }

    /// The attribute as it stays; none when the record has taken it.
    fn take(&mut self, at: usize, attribute: Attribute, meaning: Meaning, record: &mut Record) -> Option<Attribute> {
        let (_, value) = attribute;
        let used = match meaning {
            Meaning::Body(rank) => self.body == Some((rank, at)) && self.message(value, record),
            Meaning::Time => self.time(value, record),
            Meaning::Level => self.level(value, record),
            Meaning::LevelNumber => level_number(self.line, value, record),
            Meaning::Trace => id(self.line, value, record, |record, id| record.trace_id = Some(id)),
            Meaning::Span => id(self.line, value, record, |record, id| record.span_id = Some(id)),
            Meaning::Request => self.request_line(value, record),
            Meaning::Target => self.target(value, record),
            Meaning::TargetBeside => self.request && self.target(value, record),
            Meaning::Exception => return Some(self.exception(attribute, record)),
            Meaning::Known(known) => return Some(self.rename(attribute, known, record)),
            Meaning::Beside(known) if self.request => return Some(self.rename(attribute, known, record)),
            Meaning::Beside(_) | Meaning::Plain => false,
        };
        (!used).then_some(attribute)
    }

    fn message(&mut self, value: Value, record: &mut Record) -> bool {
        let Value::Text(text) = value else { return false };
        // Docker's own files keep the line's end in the message.
        let trimmed = record.text(self.line, text).trim_end_matches(['\n', '\r']).len() as u32;
        record.body = match text {
            Text::Line(start, _) => Text::Line(start, start + trimmed),
            Text::Scratch(start, _) => Text::Scratch(start, start + trimmed),
            Text::Fixed(_) => text,
        };
        true
    }

    fn time(&mut self, value: Value, record: &mut Record) -> bool {
        if record.time.is_some() {
            return false;
        }
        record.time = match value {
            Value::Int(int) => time::epoch(int),
            Value::Double(double) => time::epoch_double(double),
            Value::Text(text) => time::whole(record.text(self.line, text), self.clock),
            Value::Bool(_) => None,
        };
        record.time.is_some()
    }

    fn level(&mut self, value: Value, record: &mut Record) -> bool {
        if !record.severity_text.is_empty() {
            return false;
        }
        let (severity, exact) = match value {
            Value::Int(int) => (severity::pino(int), int % 10 == 0),
            Value::Text(text) => {
                let word = record.text(self.line, text).trim_ascii();
                match word.parse() {
                    Ok(int) => (severity::pino(int), int % 10 == 0),
                    Err(_) => (severity::word(word), true),
                }
            }
            _ => (None, false),
        };
        let Some(severity) = severity else { return false };
        if record.severity == 0 {
            record.severity = severity;
        }
        if let Value::Text(text) = value {
            record.severity_text = text;
        }
        exact
    }

    fn request_line(&mut self, value: Value, record: &mut Record) -> bool {
        let Value::Text(text) = value else { return false };
        let whole = record.text(self.line, text);
        let Some(parts) = request::line(whole) else { return false };
        if self.is_taken(&[Known::Method, Known::Path, Known::Full]) {
            return false;
        }
        self.add(Known::Method, Value::Text(part(text, whole, parts.method)));
        self.add_target(text, whole, parts.target);
        if let Some(version) = parts.version {
            self.add(Known::Protocol, Value::Text(part(text, whole, version)));
        }
        true
    }

    fn target(&mut self, value: Value, record: &Record) -> bool {
        let Value::Text(text) = value else { return false };
        let whole = record.text(self.line, text);
        if self.is_taken(&[Known::Path, Known::Full]) {
            return false;
        }
        match request::target(whole) {
            Target::Other => false,
            target => {
                self.add_target(text, whole, target);
                true
            }
        }
    }

    fn add_target(&mut self, text: Text, whole: &str, target: Target<'_>) {
        match target {
            Target::Path { path, query } => {
                self.add(Known::Path, Value::Text(part(text, whole, path)));
                if let Some(query) = query {
                    self.add(Known::Query, Value::Text(part(text, whole, query)));
                }
            }
            Target::Full(url) => self.add(Known::Full, Value::Text(part(text, whole, url))),
            Target::Other => {}
        }
    }

    fn exception(&mut self, attribute: Attribute, record: &Record) -> Attribute {
        let Value::Text(text) = attribute.1 else { return attribute };
        let lines = record.text(self.line, text).contains('\n');
        self.rename(attribute, if lines { Known::ErrorStack } else { Known::ErrorMessage }, record)
    }

    /// Gives the attribute its known name, if its value fits and the name is free.
    fn rename(&mut self, attribute: Attribute, known: Known, record: &Record) -> Attribute {
        if self.is_taken(&[known]) {
            return attribute;
        }
        let Some(value) = self.fit(attribute.1, known, record) else { return attribute };
        self.taken |= 1 << known as u32;
        (Text::Fixed(known.name()), value)
    }

    /// The value in the type that the known name asks for.
    fn fit(&mut self, value: Value, known: Known, record: &Record) -> Option<Value> {
        let text = match value {
            Value::Text(text) => Some(record.text(self.line, text)),
            _ => None,
        };
        let int = match value {
            Value::Int(int) => Some(int),
            _ => text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit())).and_then(|text| text.parse().ok()),
        };
        match known {
            Known::Method => text.filter(|text| request::is_method(text)).map(|_| value),
            Known::Status => int.filter(|status| (100..600).contains(status)).map(Value::Int),
            Known::BodySize | Known::ResponseSize => int.filter(|size| *size >= 0).map(Value::Int),
            Known::Pid | Known::ClientPort => int.filter(|number| *number > 0).map(Value::Int),
            Known::Client => self.client(value, text?),
            _ => text.filter(|text| !text.is_empty()).map(|_| value),
        }
    }

    /// An address; a port behind it becomes an attribute of its own.
    fn client(&mut self, value: Value, whole: &str) -> Option<Value> {
        let Value::Text(text) = value else { return None };
        let (address, port) = request::address(whole)?;
        if let Some(port) = port {
            if self.is_taken(&[Known::ClientPort]) {
                return None;
            }
            self.add(Known::ClientPort, Value::Int(i64::from(port)));
        }
        Some(Value::Text(part(text, whole, address)))
    }

    fn is_taken(&self, names: &[Known]) -> bool {
        names.iter().any(|known| self.taken & (1 << *known as u32) != 0)
    }

    fn add(&mut self, known: Known, value: Value) {
        if let Some(slot) = self.added.get_mut(self.adds)
            && self.taken & (1 << known as u32) == 0
        {
            self.taken |= 1 << known as u32;
            self.adds += 1;
            *slot = Some((known, value));
        }
    }
}

fn level_number(line: &str, value: Value, record: &mut Record) -> bool {
    let number = match value {
        Value::Int(int) => u8::try_from(int).ok(),
        Value::Text(text) => record.text(line, text).parse().ok(),
        _ => None,
    };
    let Some(number @ 1..=24) = number else { return false };
    record.severity = number;
    true
}

/// An id of `N` bytes in hexadecimal. All zeros mean that there is none.
fn id<const N: usize>(line: &str, value: Value, record: &mut Record, set: impl FnOnce(&mut Record, [u8; N])) -> bool {
    let Value::Text(text) = value else { return false };
    let digits = record.text(line, text).as_bytes();
    if digits.is_empty() || digits.iter().all(|digit| *digit == b'0') {
        return true;
    }
    if digits.len() != 2 * N {
        return false;
    }
    let mut id = [0; N];
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        let value = pair.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?));
        let Some(value) = value else { return false };
        *byte = value as u8;
    }
    set(record, id);
    true
}

/// The span of `slice`, which lies in `whole`, the characters of `text`.
fn part(text: Text, whole: &str, slice: &str) -> Text {
    let Text::Line(start, end) = Text::of(whole, slice) else { return Text::EMPTY };
    match text {
        Text::Line(base, _) => Text::Line(base + start, base + end),
        Text::Scratch(base, _) => Text::Scratch(base + start, base + end),
        Text::Fixed(_) => text,
    }
}

/// What a field's name, in any case, promises.
fn meaning_of(name: &str) -> Meaning {
    let mut lower = [0; LONGEST];
    let Some(lower) = lower.get_mut(..name.len()) else { return Meaning::Plain };
    lower.copy_from_slice(name.as_bytes());
    lower.make_ascii_lowercase();
    match lower.len() {
        0..=3 => short(lower),
        4..=8 => medium(lower),
        _ => long(lower),
    }
}

fn short(name: &[u8]) -> Meaning {
    match name {
        b"msg" => Meaning::Body(1),
        b"log" => Meaning::Body(3),
        b"ts" | b"t" | b"@t" => Meaning::Time,
        b"lvl" | b"@l" => Meaning::Level,
        b"uri" | b"url" => Meaning::Target,
        b"err" => Meaning::Known(Known::ErrorMessage),
        b"pid" => Meaning::Known(Known::Pid),
        _ => Meaning::Plain,
    }
}

fn medium(name: &[u8]) -> Meaning {
    match name {
        b"message" | b"@message" => Meaning::Body(0),
        b"body" => Meaning::Body(2),
        b"event" => Meaning::Body(4),
        b"time" | b"datetime" | b"date" | b"asctime" => Meaning::Time,
        b"level" | b"severity" | b"loglevel" | b"@level" => Meaning::Level,
        b"trace_id" | b"traceid" | b"trace.id" => Meaning::Trace,
        b"span_id" | b"spanid" | b"span.id" => Meaning::Span,
        b"request" => Meaning::Request,
        b"url.path" => Meaning::Known(Known::Path),
        b"url.full" => Meaning::Known(Known::Full),
        b"req.url" => Meaning::Target,
        b"path" => Meaning::TargetBeside,
        b"method" => Meaning::Known(Known::Method),
        b"status" => Meaning::Known(Known::Status),
        b"clientip" => Meaning::Known(Known::Client),
        b"client" => Meaning::Beside(Known::Client),
        b"host" => Meaning::Beside(Known::Server),
        b"bytes" => Meaning::Beside(Known::BodySize),
        b"referer" | b"referrer" => Meaning::Known(Known::Referer),
        b"error" => Meaning::Known(Known::ErrorMessage),
        b"err.type" => Meaning::Known(Known::ErrorType),
        b"stack" => Meaning::Known(Known::ErrorStack),
        b"exc_info" => Meaning::Exception,
        b"thread" => Meaning::Known(Known::Thread),
        b"dbname" => Meaning::Known(Known::Database),
        _ => Meaning::Plain,
    }
}

fn long(name: &[u8]) -> Meaning {
    let known = match name {
        b"timestamp" | b"@timestamp" | b"time_local" | b"time_iso8601" => return Meaning::Time,
        b"log.level" | b"log_level" | b"levelname" | b"severity_text" | b"severitytext" | b"error_severity" => {
            return Meaning::Level;
        }
        b"severity_number" | b"severitynumber" => return Meaning::LevelNumber,
        b"oteltraceid" => return Meaning::Trace,
        b"otelspanid" => return Meaning::Span,
        b"request_uri" | b"request_url" | b"request_path" | b"http_path" | b"http_url" | b"http_uri" => {
            return Meaning::Target;
        }
        b"exception" => return Meaning::Exception,
        b"http_method" | b"request_method" | b"http.method" | b"req.method" | b"http.request.method" => Known::Method,
        b"status_code"
        | b"statuscode"
        | b"http_status"
        | b"http_status_code"
        | b"http.status_code"
        | b"res.statuscode"
        | b"http.response.status_code" => Known::Status,
        b"remote_addr" | b"client_ip" | b"remote_ip" | b"client_addr" | b"remoteaddr" | b"remote_host"
        | b"req.remoteaddress" | b"client.address" => Known::Client,
        b"remote_port" | b"req.remoteport" | b"client_port" | b"client.port" => Known::ClientPort,
        b"user_agent" | b"http_user_agent" | b"useragent" | b"user_agent.original" => Known::Agent,
        b"http_referer" | b"http_referrer" | b"req.headers.referer" | b"http.request.header.referer" => Known::Referer,
        b"http_host" => return Meaning::Beside(Known::Server),
        b"server.address" => Known::Server,
        b"body_bytes_sent" | b"http.response.body.size" => Known::BodySize,
        b"bytes_sent" => return Meaning::Beside(Known::ResponseSize),
        b"http.response.size" => Known::ResponseSize,
        b"url.query" => Known::Query,
        b"network.protocol.version" => Known::Protocol,
        b"error.message" | b"err.message" | b"exception.message" => Known::ErrorMessage,
        b"error.stack"
        | b"err.stack"
        | b"error.stack_trace"
        | b"stack_trace"
        | b"stacktrace"
        | b"exception.stacktrace" => Known::ErrorStack,
        b"error.type" | b"error.kind" | b"exception.type" | b"exception_class" => Known::ErrorType,
        b"process.pid" => Known::Pid,
        b"thread_name" | b"threadname" | b"thread.name" | b"process.thread.name" => Known::Thread,
        b"db.namespace" => Known::Database,
        _ => return Meaning::Plain,
    };
    Meaning::Known(known)
}

type Attribute = (Text, Value);

/// The longest name of the table.
const LONGEST: usize = 27;
/// More attributes than a record of JSON or logfmt has.
const MOST: usize = 256;

#[cfg(test)]
mod tests;
