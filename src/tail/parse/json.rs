//! One JSON object per line, flattened: nested names joined by dots, arrays kept as their JSON text.
//!
//! An own scanner, because a general parser first builds what is then taken apart, and because this one needs only
//! where keys and values lie. It checks the syntax of the whole line, also of what it skips. Its bounds: objects
//! nested deeper than 64 and those whose dotted name is longer than 256 bytes stay JSON text; after 128 attributes
//! the rest of each open object becomes one JSON text named `json.rest`. Serde_json is its oracle in the tests.

use super::names;
use super::time::Clock;
use crate::signal::record::{Record, Text, Value};

/// Room that is kept from line to line.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// One bit per open array (0) or object (1) of a value that is skipped.
    kinds: Vec<u64>,
}

/// Reads a line as one JSON object. False when it is none; the record is then in disorder.
pub(super) fn parse(line: &str, record: &mut Record, clock: &mut Clock, room: &mut Room) -> bool {
    if scan(line, record, room).is_none() {
        return false;
    }
    names::assign(line, record, clock);
    true
}

/// Fills the attributes with all members under their dotted names.
pub(super) fn scan(line: &str, record: &mut Record, room: &mut Room) -> Option<()> {
    let mut scan = Scan { line, bytes: line.as_bytes(), at: 0, record, seen: Seen::default(), kinds: &mut room.kinds };
    scan.space();
    scan.expect(b'{')?;
    scan.members()?;
    scan.space();
    (scan.at == scan.bytes.len()).then_some(())
}

struct Scan<'a> {
    line: &'a str,
    bytes: &'a [u8],
    at: usize,
    record: &'a mut Record,
    seen: Seen,
    kinds: &'a mut Vec<u64>,
}

impl Scan<'_> {
    /// The members of the outermost object, from behind its `{` to behind its `}`.
    fn members(&mut self) -> Option<()> {
        let mut prefixes = [Text::EMPTY; MAX_DEPTH];
        let mut depth = 0;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Some(());
        }
        loop {
            if self.record.attributes.len() >= MAX_ATTRIBUTES {
                self.rest(prefixes.get(..=depth)?)?;
                if depth == 0 {
                    return Some(());
                }
                depth -= 1;
            } else {
                let key = self.key()?;
                let name = if depth == 0 { key } else { self.join(*prefixes.get(depth)?, key) };
                if self.peek()? == b'{' {
                    if let Some(slot) = prefixes.get_mut(depth + 1).filter(|_| name.len() <= MAX_NAME) {
                        self.at += 1;
                        self.space();
                        if self.peek()? != b'}' {
                            *slot = name;
                            depth += 1;
                            continue;
                        }
                        self.at += 1;
                    } else {
                        let text = self.skip(false)?;
                        self.put(name, Value::Text(text));
                    }
                } else {
                    self.leaf(name)?;
                }
            }
            loop {
                self.space();
                let byte = self.peek()?;
                self.at += 1;
                match byte {
                    b',' => break self.space(),
                    b'}' if depth == 0 => return Some(()),
                    b'}' => depth -= 1,
                    _ => return None,
                }
            }
        }
    }

    /// A key and its colon, up to the value.
    #[inline]
    fn key(&mut self) -> Option<Text> {
        self.expect(b'"')?;
        let key = self.string(true)?;
        self.space();
        self.expect(b':')?;
        self.space();
        // A nameless attribute is refused by Prometheus and Loki, with all that is sent along with it.
        Some(if key.is_empty() { Text::Fixed("json.empty") } else { key })
    }

    #[inline]
    fn leaf(&mut self, name: Text) -> Option<()> {
        let value = match self.peek()? {
            b'"' => {
                self.at += 1;
                Value::Text(self.string(true)?)
            }
            b'-' | b'0'..=b'9' => self.number()?,
            b'[' => Value::Text(self.skip(false)?),
            b't' => self.literal("true", Value::Bool(true))?,
            b'f' => self.literal("false", Value::Bool(false))?,
            _ => {
                self.literal("null", Value::Bool(false))?;
                self.forget(name);
                return Some(());
            }
        };
        self.put(name, value);
        Some(())
    }

    /// Adds an attribute; of two with the same name the later one wins.
    #[inline]
    fn put(&mut self, name: Text, value: Value) {
        let text = name.get(self.line, &self.record.scratch);
        if self.seen.note(text.as_bytes())
            && let Some(at) = self.find(text)
        {
            if let Some(earlier) = self.record.attributes.get_mut(at) {
                earlier.1 = value;
            }
            return;
        }
        self.record.put(name, value);
    }

    /// Takes back an attribute whose last value is null.
    fn forget(&mut self, name: Text) {
        let text = name.get(self.line, &self.record.scratch);
        if let Some(at) = self.find(text) {
            self.record.attributes.remove(at);
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        let scratch = &self.record.scratch;
        self.record.attributes.iter().position(|(known, _)| known.get(self.line, scratch) == name)
    }

    /// `prefix.key`
    fn join(&mut self, prefix: Text, key: Text) -> Text {
        let start = self.record.scratch.len();
        for (part, end) in [(prefix, "."), (key, "")] {
            match part {
                Text::Scratch(from, to) => self.record.scratch.extend_from_within(from as usize..to as usize),
                other => self.record.scratch.push_str(other.get(self.line, "")),
            }
            self.record.scratch.push_str(end);
        }
        Text::Scratch(start as u32, self.record.scratch.len() as u32)
    }

    /// Keeps all members from here to the object's end as one JSON text.
    #[cold]
    fn rest(&mut self, prefixes: &[Text]) -> Option<()> {
        let members = self.skip(true)?.get(self.line, "");
        let start = self.record.scratch.len();
        self.record.scratch.push('{');
        self.record.scratch.push_str(members);
        let text = Text::Scratch(start as u32, self.record.scratch.len() as u32);
        let name = match prefixes {
            [] | [_] => Text::Fixed("json.rest"),
            [.., prefix] => self.join(*prefix, Text::Fixed("json.rest")),
        };
        self.put(name, Value::Text(text));
        Some(())
    }

    /// Checks a value, or (`members`) the rest of an object from a key on, and goes behind it.
    fn skip(&mut self, members: bool) -> Option<Text> {
        let start = self.at;
        let mut bits = std::mem::take(self.kinds);
        bits.clear();
        let mut kinds = Kinds { bits: &mut bits, depth: 0 };
        if members {
            kinds.push(true);
        }
        let done = self.skip_open(&mut kinds, members);
        *self.kinds = bits;
        done?;
        Some(Text::Line(start as u32, self.at as u32))
    }

    fn skip_open(&mut self, kinds: &mut Kinds<'_>, mut at_key: bool) -> Option<()> {
        loop {
            if at_key {
                self.expect(b'"')?;
                self.string(false)?;
                self.space();
                self.expect(b':')?;
                self.space();
            }
            match self.peek()? {
                byte @ (b'{' | b'[') => {
                    self.at += 1;
                    self.space();
                    if self.peek()? == byte + 2 {
                        self.at += 1;
                    } else {
                        at_key = byte == b'{';
                        kinds.push(at_key);
                        continue;
                    }
                }
                b'"' => {
                    self.at += 1;
                    self.string(false)?;
                }
                b't' => drop(self.literal("true", Value::Bool(true))?),
                b'f' => drop(self.literal("false", Value::Bool(false))?),
                b'n' => drop(self.literal("null", Value::Bool(false))?),
                _ => drop(self.digits()?),
            }
            loop {
                let Some(object) = kinds.top() else { return Some(()) };
                self.space();
                let byte = self.peek()?;
                self.at += 1;
                match byte {
                    b',' => {
                        self.space();
                        at_key = object;
                        break;
                    }
                    b'}' if object => kinds.depth -= 1,
                    b']' if !object => kinds.depth -= 1,
                    _ => return None,
                }
            }
        }
    }

    #[inline]
    fn literal(&mut self, word: &str, value: Value) -> Option<Value> {
        let end = self.at + word.len();
        (self.bytes.get(self.at..end)? == word.as_bytes()).then(|| {
            self.at = end;
            value
        })
    }

    /// A number by JSON's grammar: an integer that fits in 64 bits, else a double, else its text.
    #[inline]
    fn number(&mut self) -> Option<Value> {
        let start = self.at;
        if let Some(small) = self.digits()? {
            return Some(Value::Int(small));
        }
        let text = self.line.get(start..self.at)?;
        if let Ok(int) = text.parse() {
            return Some(Value::Int(int));
        }
        let double: f64 = text.parse().ok()?;
        if double.is_finite() {
            return Some(Value::Double(double));
        }
        Some(Value::Text(Text::Line(start as u32, self.at as u32)))
    }

    /// Goes behind a number; its value when it is an integer of at most 18 digits.
    #[inline]
    fn digits(&mut self) -> Option<Option<i64>> {
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let start = self.at;
        let mut int: i64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            int = int.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
            self.at += 1;
        }
        let len = self.at - start;
        if len == 0 || (len > 1 && self.bytes.get(start) == Some(&b'0')) {
            return None;
        }
        let mut whole = len <= 18;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
            whole = false;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.some_digits()?;
            whole = false;
        }
        Some(whole.then(|| if negative { -int } else { int }))
    }

    #[inline]
    fn some_digits(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    /// A string from behind its first quote to behind its last. What has escapes is unescaped into the scratch
    /// space if it is to be kept.
    #[inline]
    fn string(&mut self, keep: bool) -> Option<Text> {
        let start = self.at;
        self.plain();
        match self.peek()? {
            b'"' => {
                let text = Text::Line(start as u32, self.at as u32);
                self.at += 1;
                Some(text)
            }
            b'\\' => self.escaped(start, keep),
            _ => None,
        }
    }

    /// Goes to the next quote, backslash or control character.
    #[inline]
    fn plain(&mut self) {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const HIGH: u64 = 0x8080_8080_8080_8080;
        // Eight bytes at a time; the lowest flagged byte is exact, those above it may be false.
        while let Some(chunk) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_le_bytes(*chunk);
            let quote = word ^ (ONES * 0x22);
            let slash = word ^ (ONES * 0x5c);
            let control = word.wrapping_sub(ONES * 0x20) & !word;
            let flags = (quote.wrapping_sub(ONES) & !quote | slash.wrapping_sub(ONES) & !slash | control) & HIGH;
            if flags != 0 {
                self.at += (flags.trailing_zeros() / 8) as usize;
                return;
            }
            self.at += 8;
        }
        while let Some(byte) = self.peek() {
            if byte < 0x20 || byte == b'"' || byte == b'\\' {
                return;
            }
            self.at += 1;
        }
    }

    fn escaped(&mut self, mut start: usize, keep: bool) -> Option<Text> {
        let kept = self.record.scratch.len();
        loop {
            if keep {
                self.record.scratch.push_str(self.line.get(start..self.at)?);
            }
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(Text::Scratch(kept as u32, self.record.scratch.len() as u32));
                }
                b'\\' => {
                    let char = self.escape()?;
                    if keep {
                        self.record.scratch.push(char);
                    }
                }
                _ => return None,
            }
            start = self.at;
            self.plain();
        }
    }

    /// One escape, or two that are a surrogate pair. A surrogate alone means U+FFFD.
    fn escape(&mut self) -> Option<char> {
        let letter = *self.bytes.get(self.at + 1)?;
        self.at += 2;
        Some(match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex4()?;
                if !(0xd800..0xdc00).contains(&first) {
                    return Some(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                let after_first = self.at;
                if self.bytes.get(self.at..self.at + 2) == Some(b"\\u") {
                    self.at += 2;
                    let second = self.hex4()?;
                    if (0xdc00..0xe000).contains(&second) {
                        let joined = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                        return char::from_u32(joined);
                    }
                    self.at = after_first;
                }
                char::REPLACEMENT_CHARACTER
            }
            _ => return None,
        })
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.bytes.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?))
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }
}

/// The kinds of the open arrays and objects of a value that is skipped.
struct Kinds<'a> {
    bits: &'a mut Vec<u64>,
    depth: usize,
}

impl Kinds<'_> {
    fn push(&mut self, object: bool) {
        let (word, bit) = (self.depth / 64, self.depth % 64);
        if word == self.bits.len() {
            self.bits.push(0);
        }
        if let Some(bits) = self.bits.get_mut(word) {
            *bits = (*bits & !(1 << bit)) | (u64::from(object) << bit);
        }
        self.depth += 1;
    }

    fn top(&self) -> Option<bool> {
        let last = self.depth.checked_sub(1)?;
        Some(self.bits.get(last / 64)? >> (last % 64) & 1 == 1)
    }
}

/// Which names may have been seen: false alarms are looked up, so that most names need no comparison.
#[derive(Default)]
pub(super) struct Seen([u64; 4]);

impl Seen {
    /// Notes a name; true when it may have been noted before.
    #[inline]
    pub(super) fn note(&mut self, name: &[u8]) -> bool {
        let hash = (names::head(name) ^ (name.len() as u64) << 56).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
        let word = &mut self.0[(hash >> 6) as usize & 3];
        let bit = 1 << (hash & 63);
        let before = *word & bit != 0;
        *word |= bit;
        before
    }
}

const MAX_ATTRIBUTES: usize = 128;
const MAX_DEPTH: usize = 64;
const MAX_NAME: usize = 256;

#[cfg(test)]
mod tests;
