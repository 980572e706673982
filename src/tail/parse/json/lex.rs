//! The words of JSON: strings, numbers, literals, and whole values that are only checked.

use std::ops::Range;

use crate::signal::record::{Text, Value};

/// A place in the line, or in the scratch space: start and end in one word, the highest bit set for the scratch
/// space. Unlike a [`Text`] it is handed on in a register: what goes through memory in pieces stalls the processor
/// when it is read as a whole, which took a third of the time of a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span(u64);

impl Span {
    /// Bytes `start..end` of the line. Both are below 2^31, as [`Parser`](crate::tail::parse::Parser) sees to.
    #[inline]
    pub(super) fn line(start: usize, end: usize) -> Self {
        Self((start as u64) << 32 | end as u64)
    }

    /// Bytes `start..end` of the scratch space.
    #[inline]
    pub(super) fn scratch(start: usize, end: usize) -> Self {
        Self(1 << 63 | (start as u64) << 32 | end as u64)
    }

    #[inline]
    pub(super) fn is_scratch(self) -> bool {
        self.0 >> 63 == 1
    }

    #[inline]
    pub(super) fn range(self) -> Range<usize> {
        (self.0 << 1 >> 33) as usize..self.0 as u32 as usize
    }

    /// The same as a text of a record.
    #[inline(always)]
    pub(super) fn text(self) -> Text {
        let Range { start, end } = self.range();
        if self.is_scratch() { Text::Scratch(start as u32, end as u32) } else { Text::Line(start as u32, end as u32) }
    }
}

/// Goes through a line.
pub(super) struct Lexer<'a> {
    pub(super) line: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    /// Takes what had escapes.
    pub(super) scratch: &'a mut String,
    /// Room for [`Kinds`].
    pub(super) kinds: &'a mut Vec<u64>,
}

impl Lexer<'_> {
    /// The bytes of a span.
    #[inline]
    pub(super) fn get(&self, span: Span) -> &[u8] {
        let from = if span.is_scratch() { self.scratch.as_bytes() } else { self.bytes };
        from.get(span.range()).unwrap_or_default()
    }

    /// Copies a text to the scratch space.
    pub(super) fn keep(&mut self, text: &str) -> Span {
        let start = self.scratch.len();
        self.scratch.push_str(text);
        Span::scratch(start, self.scratch.len())
    }

    /// Checks a value, or (`members`) the rest of an object from a key on, and goes behind it.
    pub(super) fn skip(&mut self, members: bool) -> Option<Span> {
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
        Some(Span::line(start, self.at))
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
                b't' => self.literal("true")?,
                b'f' => self.literal("false")?,
                b'n' => self.literal("null")?,
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
    pub(super) fn literal(&mut self, word: &str) -> Option<()> {
        let end = self.at + word.len();
        (self.bytes.get(self.at..end)? == word.as_bytes()).then(|| self.at = end)
    }

    /// A number by JSON's grammar: an integer that fits in 64 bits, else a double, else its text.
    #[inline]
    pub(super) fn number(&mut self) -> Option<Value> {
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
    pub(super) fn string(&mut self, keep: bool) -> Option<Span> {
        let start = self.at;
        self.plain();
        match self.peek()? {
            b'"' => {
                let span = Span::line(start, self.at);
                self.at += 1;
                Some(span)
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

    #[cold]
    fn escaped(&mut self, mut start: usize, keep: bool) -> Option<Span> {
        let kept = self.scratch.len();
        loop {
            if keep {
                self.scratch.push_str(self.line.get(start..self.at)?);
            }
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(Span::scratch(kept, self.scratch.len()));
                }
                b'\\' => {
                    let char = self.escape()?;
                    if keep {
                        self.scratch.push(char);
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
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    #[inline]
    pub(super) fn space(&mut self) {
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
