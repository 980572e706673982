//! The words of a template, cut as Go's text/template cuts them.

/// What a word is; texts are without their signs.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    /// What stands outside of `{{ }}`.
    Text(String),
    Open,
    Close,
    Space,
    /// `.x`
    Field(String),
    Dot,
    /// `$x`, or `$`.
    Variable(String),
    /// A function, keyword, `true`, `false` or `nil`.
    Name(String),
    Number(String),
    /// As written, and what it means.
    Quoted(String, String),
    /// `'a'`
    Char(String, i64),
    Assign,
    Declare,
    Comma,
    Pipe,
    Left,
    Right,
    End,
}

/// A word and the byte that it begins at.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) word: Word,
    pub(super) at: usize,
}

/// Why a text is no template, and the byte where.
pub(super) type Fault = (usize, String);

/// Cuts `text` into words, [`Word::End`] last.
pub(super) fn cut(text: &str) -> Result<Vec<Token>, Fault> {
    let mut out = Vec::new();
    let mut at = 0;
    let mut trim = false;
    while at < text.len() {
        let open = text[at..].find("{{").map(|found| at + found);
        let mut part = &text[at..open.unwrap_or(text.len())];
        if trim {
            let kept = part.trim_start_matches(SPACES);
            at += part.len() - kept.len();
            part = kept;
        }
        let trims = open.is_some_and(|open| trims_left(&text[open + 2..]));
        let kept = if trims { part.trim_end_matches(SPACES) } else { part };
        if !kept.is_empty() {
            out.push(Token { word: Word::Text(kept.to_owned()), at });
        }
        let Some(open) = open else { break };
        let inside = open + 2 + if trims { 2 } else { 0 };
        (at, trim) = if text[inside..].starts_with("/*") {
            comment(text, inside)?
        } else {
            out.push(Token { word: Word::Open, at: open });
            let mut inner = Inside { text, at: inside, parens: 0, out: &mut out };
            inner.all()?
        };
    }
    out.push(Token { word: Word::End, at: text.len() });
    Ok(out)
}

const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

fn trims_left(text: &str) -> bool {
    text.starts_with('-') && text[1..].starts_with(SPACES)
}

/// Behind the closing sign, and whether it trims; `None` where none stands here.
fn close(text: &str, at: usize) -> Option<(usize, bool)> {
    let rest = &text[at..];
    if rest.starts_with("}}") {
        return Some((at + 2, false));
    }
    (rest.starts_with(SPACES) && rest[1..].starts_with("-}}")).then_some((at + 4, true))
}

fn comment(text: &str, at: usize) -> Result<(usize, bool), Fault> {
    let end = text[at..].find("*/").ok_or_else(|| (at, "unclosed comment".to_owned()))? + at + 2;
    close(text, end).ok_or_else(|| (at, "comment ends before closing delimiter".to_owned()))
}

struct Inside<'a> {
    text: &'a str,
    at: usize,
    parens: usize,
    out: &'a mut Vec<Token>,
}

impl Inside<'_> {
    /// Up to the closing sign: behind it, and whether it trims.
    fn all(&mut self) -> Result<(usize, bool), Fault> {
        loop {
            if let Some(end) = close(self.text, self.at) {
                if self.parens > 0 {
                    return Err((self.at, "unclosed left paren".into()));
                }
                self.out.push(Token { word: Word::Close, at: self.at });
                return Ok(end);
            }
            let start = self.at;
            let word = self.word()?;
            self.out.push(Token { word, at: start });
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn word(&mut self) -> Result<Word, Fault> {
        let start = self.at;
        let Some(c) = self.peek() else { return Err((start, "unclosed action".into())) };
        let rest = &self.text[start..];
        if SPACES.contains(&c) {
            while self.peek().is_some_and(|c| SPACES.contains(&c)) && close(self.text, self.at).is_none() {
                self.at += 1;
            }
            return Ok(Word::Space);
        }
        let digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        if digit(rest) || (['+', '-', '.'].contains(&c) && digit(rest[1..].trim_start_matches('.'))) {
            return self.number();
        }
        match c {
            '"' | '`' | '\'' => self.quoted(c),
            '.' => {
                self.at += 1;
                let name = self.name();
                self.ends()?;
                Ok(if name.is_empty() { Word::Dot } else { Word::Field(name) })
            }
            '$' => {
                self.at += 1;
                let name = format!("${}", self.name());
                self.ends()?;
                Ok(Word::Variable(name))
            }
            c if is_letter(c) => {
                let name = self.name();
                self.ends()?;
                Ok(Word::Name(name))
            }
            _ => self.sign(c),
        }
    }

    fn sign(&mut self, c: char) -> Result<Word, Fault> {
        let rest = &self.text[self.at..];
        let (word, length) = match c {
            ':' if rest.starts_with(":=") => (Word::Declare, 2),
            ':' => return Err((self.at, "expected :=".into())),
            '=' => (Word::Assign, 1),
            ',' => (Word::Comma, 1),
            '|' => (Word::Pipe, 1),
            '(' => (Word::Left, 1),
            ')' => (Word::Right, 1),
            c => return Err((self.at, format!("unexpected {c:?} in a command"))),
        };
        match word {
            Word::Left => self.parens += 1,
            Word::Right if self.parens == 0 => return Err((self.at, "unexpected right paren".into())),
            Word::Right => self.parens -= 1,
            _ => {}
        }
        self.at += length;
        Ok(word)
    }

    fn name(&mut self) -> String {
        let start = self.at;
        while let Some(c) = self.peek().filter(|c| is_letter(*c) || c.is_numeric()) {
            self.at += c.len_utf8();
        }
        self.text[start..self.at].to_owned()
    }

    /// A name must end where a name can end.
    fn ends(&self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(c) if SPACES.contains(&c) || ".,|:)(".contains(c) => Ok(()),
            Some(_) if self.text[self.at..].starts_with("}}") => Ok(()),
            Some(c) => Err((self.at, format!("bad character {c:?}"))),
        }
    }

    fn number(&mut self) -> Result<Word, Fault> {
        let start = self.at;
        self.at += usize::from(self.text[start..].starts_with(['+', '-']));
        let hex = self.text[self.at..].starts_with("0x") || self.text[self.at..].starts_with("0X");
        while let Some(c) = self.peek() {
            let before = self.text[..self.at].chars().next_back();
            let sign = ['+', '-'].contains(&c)
                && before.is_some_and(|c| if hex { "pP".contains(c) } else { "eE".contains(c) });
            if !(c.is_ascii_alphanumeric() || c == '_' || c == '.' || sign) {
                break;
            }
            self.at += 1;
        }
        Ok(Word::Number(self.text[start..self.at].to_owned()))
    }

    fn quoted(&mut self, quote: char) -> Result<Word, Fault> {
        let start = self.at;
        let mut escaped = false;
        for (offset, c) in self.text[start + 1..].char_indices() {
            if escaped {
                escaped = false;
            } else if c == '\\' && quote != '`' {
                escaped = true;
            } else if c == '\n' && quote != '`' {
                break;
            } else if c == quote {
                let inner = &self.text[start + 1..start + 1 + offset];
                self.at = start + 2 + offset;
                let raw = self.text[start..self.at].to_owned();
                let text = if quote == '`' { Some(inner.to_owned()) } else { unquote(inner) };
                let text = text.ok_or_else(|| (start, "invalid syntax".to_owned()))?;
                if quote != '\'' {
                    return Ok(Word::Quoted(raw, text));
                }
                let mut chars = text.chars();
                return match (chars.next(), chars.next()) {
                    (Some(c), None) => Ok(Word::Char(raw, i64::from(u32::from(c)))),
                    _ => Err((start, format!("malformed character constant: {raw}"))),
                };
            }
        }
        let what = match quote {
            '"' => "unterminated quoted string",
            '`' => "unterminated raw quoted string",
            _ => "unterminated character constant",
        };
        Err((start, what.into()))
    }
}

fn is_letter(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

/// Go's escapes; `None` for one that there is not.
fn unquote(text: &str) -> Option<String> {
    let mut out: Vec<u8> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend(c.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        let kind = chars.next()?;
        let simple = match kind {
            'a' => Some(7),
            'b' => Some(8),
            'f' => Some(12),
            'n' => Some(10),
            'r' => Some(13),
            't' => Some(9),
            'v' => Some(11),
            '\\' | '"' | '\'' => u8::try_from(kind).ok(),
            _ => None,
        };
        if let Some(byte) = simple {
            out.push(byte);
            continue;
        }
        let (digits, radix) = match kind {
            'x' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='7' => (3, 8),
            _ => return None,
        };
        let mut number = if radix == 8 { kind.to_string() } else { String::new() };
        while number.len() < digits {
            number.push(chars.next()?);
        }
        let code = u32::from_str_radix(&number, radix).ok()?;
        if matches!(kind, 'u' | 'U') {
            out.extend(char::from_u32(code)?.encode_utf8(&mut [0; 4]).bytes());
        } else {
            out.push(u8::try_from(code).ok()?);
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}
