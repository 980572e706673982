//! Regular expressions as Go reads them, which is how Prometheus' matchers, `label_replace` and templates mean them.
//!
//! The `regex` crate and Go agree on most of the syntax of RE2 and on what it means, but not on all of it: in Go `\d`,
//! `\w`, `\s` and `\b` know only ASCII; a `[` within a class, `\<`, and a `{` that counts nothing stand for themselves;
//! `\Q…\E` and octal numbers exist; `(?x)`, `a**` and operators on classes do not. So a pattern is written anew in the
//! crate's words, or refused in Go's.
//! <https://pkg.go.dev/regexp/syntax>

use regex::{Regex, RegexBuilder};

/// Bytes of a compiled pattern; a larger one is refused.
const MOST: usize = 1 << 20;
/// Go repeats nothing more often.
const MOST_REPEATS: u32 = 1000;

/// A pattern that is looked for anywhere in a text.
///
/// # Errors
/// It is no pattern in Go, or too large.
pub fn anywhere(pattern: &str) -> Result<Regex, String> {
    build(&translated(pattern)?)
}

/// A pattern that must match a whole text, and whose `.` matches line ends, as in Prometheus.
///
/// # Errors
/// It is no pattern in Go, or too large.
pub fn whole(pattern: &str) -> Result<Regex, String> {
    build(&format!("^(?s:{})$", translated(pattern)?))
}

fn build(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(MOST).build().map_err(|error| {
        // The last line of a syntax error is its gist; the lines before draw a pattern that nobody wrote.
        let text = error.to_string();
        text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}

fn translated(pattern: &str) -> Result<String, String> {
    let mut parser = Parser { rest: pattern, out: String::with_capacity(pattern.len() + 8), depth: 0 };
    parser.pattern()?;
    if parser.depth > 0 {
        return Err(format!("missing closing ): `{pattern}`"));
    }
    Ok(parser.out)
}

struct Parser<'a> {
    rest: &'a str,
    out: String,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn pattern(&mut self) -> Result<(), String> {
        let whole = self.rest;
        // Where a repetition stands that nothing may follow to repeat it once more.
        let mut repeated: Option<&str> = None;
        while let Some(c) = self.rest.chars().next() {
            let before = self.rest;
            match c {
                '*' | '+' | '?' | '{' => {
                    let Some(length) = repetition(self.rest)? else {
                        self.literal(c);
                        repeated = None;
                        continue;
                    };
                    if let Some(start) = repeated {
                        let both = &start[..start.len() - self.rest.len() + length];
                        return Err(format!("invalid nested repetition operator: `{both}`"));
                    }
                    self.pass(length);
                    repeated = Some(before);
                    continue;
                }
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.open()?,
                ')' => {
                    self.depth = self.depth.checked_sub(1).ok_or_else(|| format!("unexpected ): `{whole}`"))?;
                    self.pass(1);
                }
                '|' | '^' | '$' | '.' => self.pass(1),
                c => self.literal(c),
            }
            repeated = None;
        }
        Ok(())
    }

    /// Takes over `length` bytes as they are.
    fn pass(&mut self, length: usize) {
        let (taken, rest) = self.rest.split_at(length);
        self.out.push_str(taken);
        self.rest = rest;
    }

    /// Takes the next character, `c`, for itself.
    fn literal(&mut self, c: char) {
        self.rest = &self.rest[c.len_utf8()..];
        push(&mut self.out, c);
    }

    fn open(&mut self) -> Result<(), String> {
        self.depth += 1;
        let Some(inner) = self.rest.strip_prefix("(?") else {
            self.pass(1);
            return Ok(());
        };
        if inner.starts_with("P<") || inner.starts_with('<') {
            // The crate checks the name.
            let length = inner.find('>').map_or(self.rest.len(), |at| at + 3);
            self.pass(length);
            return Ok(());
        }
        let length = inner.find(|c| !"imsU-".contains(c)).unwrap_or(inner.len());
        match inner[length..].chars().next() {
            Some(':') => {}
            Some(')') => {
                self.depth -= 1;
                if length == 0 {
                    // It sets nothing.
                    self.rest = &self.rest[3..];
                    return Ok(());
                }
            }
            other => {
                let end = 2 + length + other.map_or(0, char::len_utf8);
                return Err(format!("invalid or unsupported Perl syntax: `{}`", &self.rest[..end]));
            }
        }
        self.pass(length + 3);
        Ok(())
    }

    /// What begins with a backslash outside of a class.
    fn escape(&mut self) -> Result<(), String> {
        if let Some(text) = self.rest.strip_prefix("\\Q") {
            let (text, rest) = text.split_once("\\E").unwrap_or((text, ""));
            text.chars().for_each(|c| push(&mut self.out, c));
            self.rest = rest;
            return Ok(());
        }
        let end = if self.rest.starts_with("\\b") || self.rest.starts_with("\\B") {
            let ascii = if self.rest.starts_with("\\b") { "(?-u:\\b)" } else { "(?-u:\\B)" };
            self.out.push_str(ascii);
            Some(2)
        } else if self.rest.starts_with("\\A") || self.rest.starts_with("\\z") {
            self.out.push_str(&self.rest[..2]);
            Some(2)
        } else {
            None
        };
        let Some(end) = end else {
            let (text, rest) = atom(self.rest)?;
            self.out.push_str(&text);
            self.rest = rest;
            return Ok(());
        };
        self.rest = &self.rest[end..];
        Ok(())
    }

    fn class(&mut self) -> Result<(), String> {
        let whole = self.rest;
        let missing = || format!("missing closing ]: `{whole}`");
        self.pass(1);
        if self.rest.starts_with('^') {
            self.pass(1);
        }
        let mut first = true;
        loop {
            match self.rest.chars().next().ok_or_else(missing)? {
                ']' if !first => {
                    self.pass(1);
                    return Ok(());
                }
                '[' if self.rest.starts_with("[:") && self.rest[2..].contains(":]") => {
                    let length = 4 + self.rest[2..].find(":]").unwrap_or_default();
                    let name = &self.rest[..length];
                    if !POSIX.contains(&name[2..length - 2].trim_start_matches('^')) {
                        return Err(format!("invalid character class range: `{name}`"));
                    }
                    self.pass(length);
                }
                _ => self.range(whole)?,
            }
            first = false;
        }
    }

    /// A character of a class, a range of them, or a class within it.
    fn range(&mut self, whole: &str) -> Result<(), String> {
        let before = self.rest;
        let (low, rest) = member(self.rest, whole)?;
        self.rest = rest;
        self.out.push_str(&low);
        let set = low.starts_with('[') || low.starts_with("\\p") || low.starts_with("\\P");
        let Some(behind) = self.rest.strip_prefix('-').filter(|behind| !set && !behind.starts_with(']')) else {
            return Ok(());
        };
        if behind.is_empty() {
            return Ok(());
        }
        let (high, rest) = member(behind, whole)?;
        if high.starts_with('[') || high.starts_with("\\p") || high.starts_with("\\P") {
            return Err(format!("invalid character class range: `{}`", &before[..before.len() - rest.len()]));
        }
        self.out.push('-');
        self.out.push_str(&high);
        self.rest = rest;
        Ok(())
    }
}

/// The next member of a class in the crate's words, and what follows it.
fn member<'a>(text: &'a str, whole: &str) -> Result<(String, &'a str), String> {
    match text.chars().next() {
        None => Err(format!("missing closing ]: `{whole}`")),
        Some('\\') => atom(text),
        Some(c) => {
            let mut out = String::new();
            push(&mut out, c);
            Ok((out, &text[c.len_utf8()..]))
        }
    }
}

/// What a backslash and what belongs to it mean inside and outside of classes, and what follows.
fn atom(text: &str) -> Result<(String, &str), String> {
    let mut chars = text.chars();
    chars.next();
    let c = chars.next().ok_or("trailing backslash at end of expression")?;
    let rest = chars.as_str();
    let ours = match c {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        's' => "[\\t\\n\\x0c\\r ]",
        'S' => "[^\\t\\n\\x0c\\r ]",
        'a' => "\\x07",
        'f' => "\\x0c",
        'n' => "\\n",
        'r' => "\\r",
        't' => "\\t",
        'v' => "\\x0b",
        'p' | 'P' => return Ok(property(text)),
        'x' => return hexadecimal(text),
        '0'..='7' => return octal(text),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => {
            let mut out = String::new();
            push(&mut out, c);
            return Ok((out, rest));
        }
        c => return Err(format!("invalid escape sequence: `\\{c}`")),
    };
    Ok((ours.to_owned(), rest))
}

/// `\pN`, `\p{Greek}`: the crate knows whether it exists.
fn property(text: &str) -> (String, &str) {
    let name = &text[2..];
    let length = if name.starts_with('{') {
        name.find('}').map_or(name.len(), |at| at + 1)
    } else {
        name.chars().next().map_or(0, char::len_utf8)
    };
    (text[..2 + length].to_owned(), &name[length..])
}

/// `\x7f`, `\x{10ffff}`.
fn hexadecimal(text: &str) -> Result<(String, &str), String> {
    let digits = &text[2..];
    let (number, length) = match digits.strip_prefix('{') {
        Some(inner) => {
            let end = inner.find('}').unwrap_or(0);
            (&inner[..end], end + 2)
        }
        None => (digits.get(..2).unwrap_or_default(), 2),
    };
    let hexadecimal = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_hexdigit());
    let c = u32::from_str_radix(number, 16).ok().filter(|_| hexadecimal).and_then(char::from_u32);
    let c = c.ok_or_else(|| format!("invalid escape sequence: `{}`", &text[..text.floor_char_boundary(4)]))?;
    Ok((format!("\\x{{{:x}}}", u32::from(c)), &digits[length..]))
}

/// `\0`, `\07`, `\101`; a single other digit would be a reference back, which there is none.
fn octal(text: &str) -> Result<(String, &str), String> {
    let digits = text[1..].bytes().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
    if digits == 1 && !text.starts_with("\\0") {
        return Err(format!("invalid escape sequence: `{}`", &text[..2]));
    }
    let number = u32::from_str_radix(&text[1..=digits], 8).unwrap_or_default();
    Ok((format!("\\x{{{number:x}}}"), &text[1 + digits..]))
}

/// Bytes of the repetition that `text` begins with, with the `?` that makes it take little; `None` where a `{` counts
/// nothing.
fn repetition(text: &str) -> Result<Option<usize>, String> {
    let mut length = 1;
    if let Some(inner) = text.strip_prefix('{') {
        let Some((counts, _)) = inner.split_once('}') else { return Ok(None) };
        let (low, high) = counts.split_once(',').unwrap_or((counts, counts));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // Go takes a number with a zero before it for none.
        let number = |text: &str| digits(text) && (text == "0" || !text.starts_with('0'));
        if !number(low) || !(high.is_empty() || number(high)) {
            return Ok(None);
        }
        let count = |text: &str| text.parse::<u32>().unwrap_or(u32::MAX);
        let (low, high) = (count(low), if high.is_empty() { MOST_REPEATS } else { count(high) });
        length = counts.len() + 2;
        if low > high || high > MOST_REPEATS {
            return Err(format!("invalid repeat count: `{}`", &text[..length]));
        }
    }
    Ok(Some(length + usize::from(text[length..].starts_with('?'))))
}

/// A character that stands for itself, in a class too.
fn push(out: &mut String, c: char) {
    if c.is_ascii() && !c.is_ascii_alphanumeric() {
        out.push_str(&format!("\\x{:02x}", u32::from(c)));
    } else {
        out.push(c);
    }
}

/// The classes `[:…:]` that Go knows.
const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

#[cfg(test)]
mod tests;
