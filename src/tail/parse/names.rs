//! What the names of fields mean: which are the record's time, severity, message and ids, and which have a name in
//! OpenTelemetry's semantic conventions. One table for all formats.
//!
//! A field is renamed only where its meaning is certain: by its name alone, or by its name and value, and for
//! names such as `path`, `host` and `bytes`, which may mean anything, only beside a request's method. All other
//! fields keep their own name. A value that cannot be used (a `level` of `gold`) stays an attribute.

mod table;

use self::table::TABLE;
pub(super) use self::table::convention;
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
    let mut places = [0; MOST];
    for (at, ((name, value), place)) in record.attributes.iter().zip(&mut places).enumerate() {
        *place = place_of(bytes_of(*name, line, &record.scratch));
        if *place != 0 {
            plan.look_ahead(at, *name, meaning_at(*place), *value, record);
        }
    }
    record.body = Text::of(line, line);
    let mut kept = 0;
    for at in 0..record.attributes.len() {
        let place = places.get(at).copied().unwrap_or_default();
        if place != 0 {
            let Some(&attribute) = record.attributes.get(at) else { break };
            let Some(attribute) = plan.take(at, attribute, meaning_at(place), record) else { continue };
            if let Some(slot) = record.attributes.get_mut(kept) {
                *slot = attribute;
            }
        } else if kept < at {
            record.attributes.copy_within(at..=at, kept);
        }
        kept += 1;
    }
    record.attributes.truncate(kept);
    for (known, value) in plan.added.into_iter().flatten() {
        record.put(Text::Fixed(known.name()), value);
    }
    if plan.request && record.severity == 0 {
        record.severity = of_status(record);
    }
}

/// An access record that tells no level has that of its status, as a line of an access log has.
fn of_status(record: &Record) -> u8 {
    let status = record.attributes.iter().find(|(name, _)| *name == Text::Fixed(Known::Status.name()));
    match status {
        Some((_, Value::Int(500..))) => 17,
        Some(_) => 9,
        None => 0,
    }
}

/// The bytes of a text, without a look at where characters begin and end.
#[inline]
pub(super) fn bytes_of<'a>(text: Text, line: &'a str, scratch: &'a str) -> &'a [u8] {
    match text {
        Text::Line(start, end) => line.as_bytes().get(start as usize..end as usize).unwrap_or_default(),
        Text::Scratch(start, end) => scratch.as_bytes().get(start as usize..end as usize).unwrap_or_default(),
        Text::Fixed(text) => text.as_bytes(),
    }
}

/// True when an attribute of this name is there: no two may share one.
pub(super) fn has(line: &str, record: &Record, name: &str) -> bool {
    record.attributes.iter().any(|(known, _)| known.get(line, &record.scratch) == name)
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
    fn look_ahead(&mut self, at: usize, name: Text, meaning: Meaning, value: Value, record: &Record) {
        match (meaning, value) {
            (Meaning::Body(rank), Value::Text(_)) if self.body.is_none_or(|(best, _)| rank < best) => {
                self.body = Some((rank, at));
            }
            (Meaning::Request, Value::Text(text)) => {
                self.request |= request::line(record.text(self.line, text)).is_some();
            }
            (Meaning::Known(known), value) => {
                if known.name() == record.text(self.line, name) {
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
    let mut wrong = 0;
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        let &[high, low] = pair else { return false };
        let (high, low) = (HEX[high as usize], HEX[low as usize]);
        wrong |= high | low;
        *byte = high << 4 | low & 15;
    }
    if wrong > 15 {
        return false;
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

/// Where a field's name, in any case, stands in the table, counted from 1; 0: nowhere.
#[inline]
fn place_of(name: &[u8]) -> u8 {
    let mut slot = slot_of(name);
    loop {
        let place = SLOTS[slot];
        if place == 0 {
            return 0;
        }
        if let Some((known, _)) = TABLE.get(usize::from(place) - 1)
            && known.len() == name.len()
            && (known.as_bytes() == name || known.as_bytes().eq_ignore_ascii_case(name))
        {
            return place;
        }
        slot = (slot + 1) % SLOTS.len();
    }
}

fn meaning_at(place: u8) -> Meaning {
    TABLE.get(usize::from(place) - 1).map_or(Meaning::Plain, |(_, meaning)| *meaning)
}

/// A name's first bytes with capitals and small letters made the same. Names that differ here differ.
#[inline]
pub(super) const fn head(name: &[u8]) -> u64 {
    let head = match (name.first_chunk::<8>(), name.first_chunk::<4>(), name.last_chunk::<4>()) {
        (Some(eight), _, _) => u64::from_le_bytes(*eight),
        (None, Some(first), Some(last)) => (u32::from_le_bytes(*last) as u64) << 32 | u32::from_le_bytes(*first) as u64,
        _ => match *name {
            [a] => a as u64,
            [a, b] => a as u64 | (b as u64) << 8,
            [a, b, c] => a as u64 | (b as u64) << 8 | (c as u64) << 16,
            _ => 0,
        },
    };
    head | 0x2020_2020_2020_2020
}

/// Where the search for a name begins.
#[inline]
const fn slot_of(name: &[u8]) -> usize {
    ((head(name) ^ (name.len() as u64)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 55) as usize
}

/// The table's places by the hashes of its names; 0: free. What is taken lies in the next slot that is free.
static SLOTS: [u8; 512] = {
    let mut slots = [0; 512];
    assert!(TABLE.len() < 256, "a place fits into a byte and half of the slots stay free");
    let mut at = 0;
    while at < TABLE.len() {
        let mut slot = slot_of(TABLE[at].0.as_bytes());
        while slots[slot] != 0 {
            slot = (slot + 1) % slots.len();
        }
        at += 1;
        slots[slot] = at as u8;
    }
    slots
};

type Attribute = (Text, Value);

/// The values of hexadecimal digits; 255 for other bytes.
static HEX: [u8; 256] = {
    let mut values = [255; 256];
    let mut digit = 0;
    while digit < 16 {
        values[b"0123456789abcdef"[digit] as usize] = digit as u8;
        values[b"0123456789ABCDEF"[digit] as usize] = digit as u8;
        digit += 1;
    }
    values
};

/// More attributes than a record of JSON or logfmt has.
const MOST: usize = 256;

#[cfg(test)]
mod tests;
