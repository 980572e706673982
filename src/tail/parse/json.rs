//! One JSON object per line, flattened: nested names joined by dots, arrays kept as their JSON text.
//!
//! An own scanner, because a general parser first builds what is then taken apart, and because this one needs only
//! where keys and values lie. It checks the syntax of the whole line, also of what it skips. Its bounds: objects
//! nested deeper than 64 and those whose dotted name is longer than 256 bytes stay JSON text; after 128 attributes
//! the rest of each open object becomes one JSON text named `json.rest`. Serde_json is its oracle in the tests.

mod lex;

use self::lex::{Lexer, Span};
use super::names;
use super::time::Clock;
use crate::signal::record::{Record, Text, Value};

/// Room that is kept from line to line.
#[derive(Debug, Default)]
pub(super) struct Room {
    kinds: Vec<u64>,
    prefixes: Vec<Span>,
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
    let lex = Lexer { line, bytes: line.as_bytes(), at: 0, scratch: &mut record.scratch, kinds: &mut room.kinds };
    room.prefixes.clear();
    let attributes = &mut record.attributes;
    let mut scan = Scan { lex, attributes, seen: Seen::default(), prefixes: &mut room.prefixes };
    scan.lex.space();
    scan.lex.expect(b'{')?;
    scan.members()?;
    scan.lex.space();
    (scan.lex.at == scan.lex.bytes.len()).then_some(())
}

struct Scan<'a> {
    lex: Lexer<'a>,
    attributes: &'a mut Vec<(Text, Value)>,
    seen: Seen,
    /// The dotted names of the open objects but the outermost.
    prefixes: &'a mut Vec<Span>,
}

impl Scan<'_> {
    /// The members of the outermost object, from behind its `{` to behind its `}`.
    fn members(&mut self) -> Option<()> {
        self.lex.space();
        if self.lex.peek() == Some(b'}') {
            self.lex.at += 1;
            return Some(());
        }
        loop {
            if self.attributes.len() >= MAX_ATTRIBUTES {
                self.rest()?;
                if self.prefixes.pop().is_none() {
                    return Some(());
                }
            } else if self.member()? {
                continue;
            }
            loop {
                self.lex.space();
                let byte = self.lex.peek()?;
                self.lex.at += 1;
                match byte {
                    b',' => break self.lex.space(),
                    b'}' if self.prefixes.pop().is_none() => return Some(()),
                    b'}' => {}
                    _ => return None,
                }
            }
        }
    }

    /// A member; true when it is an object that has been opened.
    #[inline]
    fn member(&mut self) -> Option<bool> {
        let key = self.key()?;
        let name = match self.prefixes.last() {
            None => key,
            Some(prefix) => self.join(*prefix, key),
        };
        if self.lex.peek()? != b'{' {
            self.leaf(name)?;
            return Some(false);
        }
        if self.prefixes.len() + 1 >= MAX_DEPTH || name.range().len() > MAX_NAME {
            let span = self.lex.skip(false)?;
            self.put(name, span);
            return Some(false);
        }
        self.lex.at += 1;
        self.lex.space();
        if self.lex.peek()? == b'}' {
            self.lex.at += 1;
            return Some(false);
        }
        self.prefixes.push(name);
        Some(true)
    }

    /// A key and its colon, up to the value.
    #[inline]
    fn key(&mut self) -> Option<Span> {
        self.lex.expect(b'"')?;
        let key = self.lex.string(true)?;
        self.lex.space();
        self.lex.expect(b':')?;
        self.lex.space();
        // A nameless attribute is refused by Prometheus and Loki, with all that is sent along with it.
        Some(if key.range().is_empty() { self.lex.keep("json.empty") } else { key })
    }

    #[inline]
    fn leaf(&mut self, name: Span) -> Option<()> {
        let earlier = self.earlier(name);
        match self.lex.peek()? {
            b'"' => {
                self.lex.at += 1;
                let span = self.lex.string(true)?;
                self.set(earlier, name, Value::Text(span.text()));
            }
            b'-' | b'0'..=b'9' => {
                let number = self.lex.number()?;
                self.set(earlier, name, number);
            }
            b'[' => {
                let span = self.lex.skip(false)?;
                self.set(earlier, name, Value::Text(span.text()));
            }
            b't' => {
                self.lex.literal("true")?;
                self.set(earlier, name, Value::Bool(true));
            }
            b'f' => {
                self.lex.literal("false")?;
                self.set(earlier, name, Value::Bool(false));
            }
            _ => {
                self.lex.literal("null")?;
                if let Some(at) = earlier {
                    self.attributes.remove(at);
                }
            }
        }
        Some(())
    }

    /// The place of an attribute with the same name: of two the later one wins.
    #[inline]
    fn earlier(&mut self, name: Span) -> Option<usize> {
        if self.seen.note(self.lex.get(name)) { self.find(name) } else { None }
    }

    fn find(&self, name: Span) -> Option<usize> {
        let name = self.lex.get(name);
        let same = |known: &(Text, Value)| names::bytes_of(known.0, self.lex.line, self.lex.scratch) == name;
        self.attributes.iter().position(same)
    }

    /// Written out in each arm of its caller, so that the value is made where it stays.
    #[inline(always)]
    fn set(&mut self, earlier: Option<usize>, name: Span, value: Value) {
        match earlier.and_then(|at| self.attributes.get_mut(at)) {
            Some(earlier) => earlier.1 = value,
            None => self.attributes.push((name.text(), value)),
        }
    }

    #[cold]
    fn put(&mut self, name: Span, text: Span) {
        let earlier = self.earlier(name);
        self.set(earlier, name, Value::Text(text.text()));
    }

    /// `prefix.key`
    fn join(&mut self, prefix: Span, key: Span) -> Span {
        let start = self.lex.scratch.len();
        for (part, end) in [(prefix, "."), (key, "")] {
            if part.is_scratch() {
                self.lex.scratch.extend_from_within(part.range());
            } else {
                self.lex.scratch.push_str(self.lex.line.get(part.range()).unwrap_or_default());
            }
            self.lex.scratch.push_str(end);
        }
        Span::scratch(start, self.lex.scratch.len())
    }

    /// Keeps all members from here to the object's end as one JSON text.
    #[cold]
    fn rest(&mut self) -> Option<()> {
        let members = self.lex.skip(true)?;
        let start = self.lex.scratch.len();
        self.lex.scratch.push('{');
        self.lex.scratch.push_str(self.lex.line.get(members.range())?);
        let text = Span::scratch(start, self.lex.scratch.len());
        let mut name = self.lex.keep("json.rest");
        if let Some(prefix) = self.prefixes.last() {
            name = self.join(*prefix, name);
        }
        self.put(name, text);
        Some(())
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
