//! The words of a PromQL text with their places, as Prometheus' lexer cuts them.
//!
//! Written by hand, because remarks and errors name line and column, which the grammars on the registry do not give.

use super::notes::quoted;

/// What a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// The end of the text.
    End,
    /// Here the text cannot be cut.
    Fault,
    /// A name without a colon, keywords among them.
    Name,
    /// A name with a colon.
    Metric,
    /// Decimal, hexadecimal, octal or with an exponent.
    Number,
    /// Such as `1h30m`.
    Duration,
    /// With its quotes.
    Text,
    /// Operators, brackets and the rest, by their text.
    Sign(&'static str),
}

/// One word: bytes `start..end` of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) word: Word,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Why the text cannot be cut: the byte and the reason.
pub(super) type Fault = (usize, String);

/// Signs outside braces; longer ones first.
const SIGNS: &[&str] = &[
    "==", "!=", "<=", "</", ">=", ">/", "<", ">", "=", "+", "-", "*", "/", "%", "^", ",", "(", ")", "{", "[", "]", "@",
];
/// Signs inside braces.
const BRACED: &[&str] = &["=~", "!~", "!=", "=", ",", "}"];

/// Cuts a text into words, [`Word::End`] last; or up to what cannot be cut, [`Word::Fault`] last.
pub(super) fn cut(text: &str) -> (Vec<Token>, Option<Fault>) {
    let mut cutter = Cutter { text, at: 0, parens: 0, brace: false, bracket: false };
    let mut out = Vec::with_capacity(text.len() / 4 + 1);
    loop {
        match cutter.next() {
            Ok(token) => out.push(token),
            Err(fault) => {
                out.push(Token { word: Word::Fault, start: cutter.at, end: cutter.at });
                return (out, Some(fault));
            }
        }
        if out.last().is_some_and(|token| token.word == Word::End) {
            return (out, None);
        }
    }
}

struct Cutter<'a> {
    text: &'a str,
    at: usize,
    parens: usize,
    brace: bool,
    bracket: bool,
}

impl Cutter<'_> {
    fn next(&mut self) -> Result<Token, Fault> {
        self.skip();
        let start = self.at;
        let Some(c) = self.peek() else { return self.finish() };
        let word = match c {
            '0'..='9' if !self.brace => self.number()?,
            '.' if !self.brace && self.digit(1) => self.number()?,
            '"' | '\'' => self.string(c)?,
            '`' => self.raw()?,
            c if c.is_ascii_alphabetic() || c == '_' => self.name(),
            ':' if self.bracket => {
                self.at += 1;
                Word::Sign(":")
            }
            ':' if !self.brace => self.name(),
            _ => self.sign(c)?,
        };
        Ok(Token { word, start, end: self.at })
    }

    /// Spaces and comments.
    fn skip(&mut self) {
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\n' | '\r' => self.at += 1,
                '#' => {
                    let rest = &self.text[self.at..];
                    self.at += rest.find(['\n', '\r']).unwrap_or(rest.len());
                }
                _ => return,
            }
        }
    }

    fn finish(&self) -> Result<Token, Fault> {
        let fault = |what: &str| Err((self.at, what.to_owned()));
        if self.brace {
            return fault("unexpected end of input inside braces");
        }
        if self.parens > 0 {
            return fault("unclosed left parenthesis");
        }
        if self.bracket {
            return fault("unclosed left bracket");
        }
        Ok(Token { word: Word::End, start: self.at, end: self.at })
    }

    fn sign(&mut self, c: char) -> Result<Word, Fault> {
        let rest = &self.text[self.at..];
        let list = if self.brace { BRACED } else { SIGNS };
        let Some(sign) = list.iter().find(|sign| rest.starts_with(**sign)) else {
            return Err((self.at, self.stray(c)));
        };
        match *sign {
            "(" => self.parens += 1,
            ")" if self.parens == 0 => return Err((self.at + 1, "unexpected right parenthesis ')'".into())),
            ")" => self.parens -= 1,
            "{" => self.brace = true,
            "}" => self.brace = false,
            "[" if self.bracket => return Err((self.at, "unexpected left bracket '['".into())),
            "[" => self.bracket = true,
            "]" if !self.bracket => return Err((self.at, "unexpected right bracket ']'".into())),
            "]" => self.bracket = false,
            "=" if !self.brace && rest.starts_with("=~") => {
                return Err((self.at, "unexpected character after '=': '~'".into()));
            }
            _ => {}
        }
        self.at += sign.len();
        Ok(Word::Sign(sign))
    }

    fn stray(&self, c: char) -> String {
        let shown = rune(c);
        match c {
            '!' => {
                let place = if self.brace { " inside braces" } else { "" };
                let after = self.text[self.at + 1..].chars().next();
                format!("unexpected character after '!'{place}: {}", after.map_or_else(|| "end of input".into(), rune))
            }
            '{' if self.brace => format!("unexpected left brace {shown}"),
            _ if self.brace => format!("unexpected character inside braces: {shown}"),
            _ => format!("unexpected character: {shown}"),
        }
    }

    fn name(&mut self) -> Word {
        let colons = !self.brace && !self.bracket;
        let rest = &self.text[self.at..];
        let inside = |c: char| c.is_ascii_alphanumeric() || c == '_' || colons && c == ':';
        let len = rest.find(|c| !inside(c)).unwrap_or(rest.len());
        let word = &rest[..len];
        self.at += len;
        if self.brace {
            return Word::Name;
        }
        if word.eq_ignore_ascii_case("inf") || word.eq_ignore_ascii_case("nan") {
            return Word::Number;
        }
        if word.contains(':') { Word::Metric } else { Word::Name }
    }

    /// A number or a duration: both begin alike.
    fn number(&mut self) -> Result<Word, Fault> {
        let start = self.at;
        let rest = &self.text[start..];
        let number = number_len(rest);
        let follows = |len: usize| rest[len..].chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        if let Some(len) = number.filter(|len| !follows(*len)) {
            self.at += len;
            return Ok(Word::Number);
        }
        let len = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.').unwrap_or(rest.len());
        if like_duration(&rest[..len]) {
            self.at += len;
            return Ok(Word::Duration);
        }
        Err((start, format!("bad number or duration syntax: {}", quoted(&rest[..len]))))
    }

    fn string(&mut self, quote: char) -> Result<Word, Fault> {
        let start = self.at;
        let rest = &self.text[start + 1..];
        let mut chars = rest.char_indices();
        while let Some((index, c)) = chars.next() {
            match c {
                '\\' => {
                    chars.next();
                }
                '\n' => break,
                c if c == quote => {
                    self.at = start + 1 + index + 1;
                    return Ok(Word::Text);
                }
                _ => {}
            }
        }
        Err((start, "unterminated quoted string".into()))
    }

    fn raw(&mut self) -> Result<Word, Fault> {
        let rest = &self.text[self.at + 1..];
        let Some(end) = rest.find('`') else { return Err((self.at, "unterminated raw string".into())) };
        self.at += end + 2;
        Ok(Word::Text)
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn digit(&self, ahead: usize) -> bool {
        self.text.as_bytes().get(self.at + ahead).is_some_and(u8::is_ascii_digit)
    }
}

fn rune(c: char) -> String {
    match c {
        '\'' => "'\\''".into(),
        c if c.is_control() => format!("'\\x{:02x}'", u32::from(c)),
        c => format!("'{c}'"),
    }
}

/// How many bytes of `text` are a number, if any are; underscores may part digits.
fn number_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.len() > 2 && bytes[0] == b'0' && bytes[1].eq_ignore_ascii_case(&b'x') {
        let digits = bytes[2..].iter().take_while(|b| b.is_ascii_hexdigit() || **b == b'_').count();
        return (digits > 0).then_some(2 + digits);
    }
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit() || **b == b'_').count();
    let mut len = digits(0);
    if bytes.get(len) == Some(&b'.') {
        len += 1 + digits(len + 1);
    }
    if bytes.get(len).is_some_and(|b| b.eq_ignore_ascii_case(&b'e')) {
        let sign = usize::from(matches!(bytes.get(len + 1), Some(b'+' | b'-')));
        let exponent = digits(len + 1 + sign);
        if exponent == 0 {
            return None;
        }
        len += 1 + sign + exponent;
    }
    (len > 0 && bytes[..len].last() != Some(&b'_')).then_some(len)
}

/// The value of a number word.
pub(super) fn number(text: &str) -> Option<f64> {
    if text.eq_ignore_ascii_case("inf") {
        return Some(f64::INFINITY);
    }
    if text.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    if let Some(hex) = plain.strip_prefix("0x").or_else(|| plain.strip_prefix("0X")) {
        #[expect(clippy::cast_precision_loss, reason = "Prometheus converts in the same way")]
        return i64::from_str_radix(hex, 16).ok().map(|value| value as f64);
    }
    if plain.len() > 1 && plain.starts_with('0') && plain.bytes().all(|b| (b'0'..=b'7').contains(&b)) {
        #[expect(clippy::cast_precision_loss, reason = "Prometheus converts in the same way")]
        return i64::from_str_radix(&plain, 8).ok().map(|value| value as f64);
    }
    plain.parse().ok().filter(|value: &f64| value.is_finite())
}

/// Whether this is digits and units in turn, whatever the units are.
fn like_duration(text: &str) -> bool {
    let unit = |part: &str| matches!(part.strip_suffix('s').unwrap_or(part), "s" | "m" | "h" | "d" | "w" | "y" | "");
    let mut parts = text.split_inclusive(|c: char| c.is_ascii_digit()).skip(1).peekable();
    let ends = text.ends_with(|c: char| c.is_ascii_alphabetic());
    ends && parts.peek().is_some() && parts.all(|part| unit(part.trim_end_matches(|c: char| c.is_ascii_digit())))
}

/// The milliseconds of a duration word: units fall from years to milliseconds, each once.
pub(super) fn duration(text: &str) -> Option<i64> {
    const UNITS: &[(&str, i64)] = &[
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let (mut rest, mut total, mut largest) = (text, 0_i64, 0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let len = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = UNITS.iter().position(|(name, _)| *name == &rest[..len])?;
        if unit < largest {
            return None;
        }
        largest = unit + 1;
        total = total.checked_add(count.checked_mul(UNITS[unit].1)?)?;
        rest = &rest[len..];
    }
    // Prometheus keeps nanoseconds in 64 bits.
    (!text.is_empty() && total < i64::MAX / 1_000_000).then_some(total)
}

/// What a text word says, without quotes and escapes.
pub(super) fn unquoted(text: &str) -> Result<String, String> {
    let inner = &text[1..text.len() - 1];
    if text.starts_with('`') || !inner.contains('\\') {
        return Ok(inner.to_owned());
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escape = chars.next().ok_or("escape sequence not terminated")?;
        let simple = match escape {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' => b'\\',
            '\'' | '"' if text.starts_with(escape) => escape as u8,
            _ => {
                coded(escape, &mut chars, &mut bytes)?;
                continue;
            }
        };
        bytes.push(simple);
    }
    String::from_utf8(bytes).map_err(|_| "invalid UTF-8 rune".into())
}

/// `\x41`, `\101`, `\u0041` and `\U00000041`.
fn coded(escape: char, chars: &mut std::str::Chars<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    let (base, count, first) = match escape {
        'x' => (16, 2, None),
        'u' => (16, 4, None),
        'U' => (16, 8, None),
        '0'..='7' => (8, 3, Some(escape)),
        other => return Err(format!("unknown escape sequence U+{:04X} '{other}'", u32::from(other))),
    };
    let digits: String = first.into_iter().chain(chars.by_ref().take(count - usize::from(first.is_some()))).collect();
    let bad = || "illegal character in escape sequence".to_owned();
    if digits.len() != count {
        return Err("escape sequence not terminated".into());
    }
    let value = u32::from_str_radix(&digits, base).map_err(|_| bad())?;
    if base == 8 || count == 2 {
        out.push(u8::try_from(value).map_err(|_| bad())?);
        return Ok(());
    }
    let c = char::from_u32(value).ok_or("escape sequence is an invalid Unicode code point")?;
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(())
}
