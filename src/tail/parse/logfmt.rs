//! `key=value` pairs, as go-logfmt, logrus, Lograge and Grafana's programs write them.
//!
//! Grammar and escapes are go-logfmt's: a key ends at `=`, a quote or a space; a value is bare or a JSON string. A
//! key alone means `true`, as in Heroku's description of the format. A bare value becomes a number only when that
//! loses nothing: `200` does, `1.10` and `007` stay text.

use super::json::Seen;
use super::names;
use super::time::Clock;
use crate::signal::record::{Record, Text, Value};

/// Reads a line as logfmt; false without a single pair or with a broken one.
pub(super) fn parse(line: &str, record: &mut Record, clock: &mut Clock) -> bool {
    match scan(line, record) {
        Some(pairs) if pairs > 0 => {
            names::assign(line, record, clock);
            true
        }
        _ => false,
    }
}

/// True when a line is logfmt beyond doubt: nothing but pairs, at least two, under plain keys.
pub(super) fn is_certain(line: &str) -> bool {
    let mut pairs = Pairs { line, at: 0 };
    let mut count = 0;
    while let Some(pair) = pairs.next() {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'@');
        match pair {
            Ok((key, Raw::Bare(_) | Raw::Quoted(..))) if key.bytes().all(plain) => count += 1,
            _ => return false,
        }
    }
    count >= 2
}

fn scan(line: &str, record: &mut Record) -> Option<u32> {
    let mut pairs = Pairs { line, at: 0 };
    let mut seen = Seen::default();
    let mut count = 0;
    loop {
        if record.attributes.len() >= MAX_ATTRIBUTES {
            let rest = line.get(pairs.at..)?.trim_ascii();
            if !rest.is_empty() && !names::has(line, record, "logfmt.rest") {
                record.put_str("logfmt.rest", line, rest);
            }
            break;
        }
        let Some(pair) = pairs.next() else { break };
        let (key, raw) = pair.ok()?;
        let value = match raw {
            Raw::None => Value::Bool(true),
            Raw::Bare(text) => bare(line, text),
            Raw::Quoted(text, false) => Value::Text(Text::of(line, text)),
            Raw::Quoted(text, true) => Value::Text(unescape(text, record)?),
        };
        count += u32::from(!matches!(raw, Raw::None));
        let again = seen
            .note(key.as_bytes())
            .then(|| record.attributes.iter().position(|(name, _)| name.get(line, &record.scratch) == key));
        match again.flatten().and_then(|at| record.attributes.get_mut(at)) {
            Some(earlier) => earlier.1 = value,
            None => record.put(Text::of(line, key), value),
        }
    }
    Some(count)
}

/// A value as it stands.
enum Raw<'a> {
    /// A key alone.
    None,
    Bare(&'a str),
    /// The text between quotes, and whether it has escapes.
    Quoted(&'a str, bool),
}

struct Pairs<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Pairs<'a> {
    /// The next pair; an error when the line breaks the grammar there.
    fn next(&mut self) -> Option<Result<(&'a str, Raw<'a>), ()>> {
        let bytes = self.line.as_bytes();
        while bytes.get(self.at).is_some_and(|byte| *byte <= b' ') {
            self.at += 1;
        }
        let start = self.at;
        while bytes.get(self.at).is_some_and(|byte| *byte > b' ' && !matches!(byte, b'=' | b'"')) {
            self.at += 1;
        }
        let key = self.line.get(start..self.at)?;
        match bytes.get(self.at) {
            None if key.is_empty() => None,
            Some(b'=') if !key.is_empty() => {
                self.at += 1;
                Some(self.value().map(|value| (key, value)).ok_or(()))
            }
            Some(b'=' | b'"') => Some(Err(())),
            _ => Some(Ok((key, Raw::None))),
        }
    }

    fn value(&mut self) -> Option<Raw<'a>> {
        let bytes = self.line.as_bytes();
        let start = self.at;
        if bytes.get(start) != Some(&b'"') {
            while bytes.get(self.at).is_some_and(|byte| *byte > b' ' && *byte != b'"') {
                self.at += 1;
            }
            // go-logfmt refuses a quote within a bare value.
            return if bytes.get(self.at) == Some(&b'"') { None } else { self.line.get(start..self.at).map(Raw::Bare) };
        }
        self.at += 1;
        let mut escapes = false;
        loop {
            self.at += memchr::memchr2(b'"', b'\\', bytes.get(self.at..)?)?;
            if bytes.get(self.at) == Some(&b'"') {
                break;
            }
            escapes = true;
            self.at += 2;
        }
        let text = self.line.get(start + 1..self.at)?;
        self.at += 1;
        Some(Raw::Quoted(text, escapes))
    }
}

fn bare(line: &str, text: &str) -> Value {
    let text_value = Value::Text(Text::of(line, text));
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return match text {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => text_value,
        };
    }
    let exact_start = digits == "0" || !digits.starts_with('0') || digits.starts_with("0.");
    if !exact_start || text.len() > 17 || text == "-0" {
        return text_value;
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_or(text_value, Value::Int);
    }
    let decimal = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && !text.ends_with(['0', '.']);
    match text.parse() {
        Ok(double) if decimal => Value::Double(double),
        _ => text_value,
    }
}

/// A quoted value without its escapes, which are JSON's.
fn unescape(text: &str, record: &mut Record) -> Option<Text> {
    let start = record.scratch.len();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        record.scratch.push_str(before);
        let letter = after.chars().next()?;
        rest = after.get(letter.len_utf8()..)?;
        match letter {
            'n' => record.scratch.push('\n'),
            'r' => record.scratch.push('\r'),
            't' => record.scratch.push('\t'),
            'b' => record.scratch.push('\u{8}'),
            'f' => record.scratch.push('\u{c}'),
            'u' => {
                let (char, len) = unicode(rest)?;
                record.scratch.push(char);
                rest = rest.get(len..)?;
            }
            // Go's %q, which many writers use, also knows \x, \a, \v, \': these stay as they are.
            '"' | '\\' | '/' | '\'' => record.scratch.push(letter),
            _ => {
                record.scratch.push('\\');
                record.scratch.push(letter);
            }
        }
    }
    record.scratch.push_str(rest);
    Some(Text::Scratch(start as u32, record.scratch.len() as u32))
}

/// The character behind `\u`, which may be a surrogate pair, and how many bytes its digits take.
fn unicode(text: &str) -> Option<(char, usize)> {
    let hex = |text: &str| -> Option<u32> {
        let digits = text.get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        u32::from_str_radix(digits, 16).ok()
    };
    let first = hex(text)?;
    if (0xd800..0xdc00).contains(&first)
        && let Some(second) = text.get(4..).and_then(|rest| rest.strip_prefix("\\u")).and_then(hex)
        && (0xdc00..0xe000).contains(&second)
    {
        let joined = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return Some((char::from_u32(joined)?, 10));
    }
    Some((char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 4))
}

const MAX_ATTRIBUTES: usize = 128;

#[cfg(test)]
mod tests;
