//! Redaction: what must not reach the disk is replaced before the record is written.
//!
//! All patterns run in linear time (the `regex` crate has no backtracking) within a bound on their compiled size.

use std::borrow::Cow;
use std::io::Write;

use regex::Regex;

use super::config::Redact;
use crate::signal::record::{Record, Text, Value};

/// A built-in class: what it finds and what stands there instead.
const CLASSES: &[(&str, &str)] = &[
    ("email", r"[A-Za-z0-9._%+\-]{1,64}(?:@|\\+u0040)[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63})+"),
    // Every run of digits: a card may stand in the middle of one, behind an order's number.
    ("card", r"[0-9](?:[ \-]?[0-9]){12,}"),
    ("bearer", r"(?i)\b(?:bearer|basic)\s+[A-Za-z0-9._~+/\-]{8,}=*"),
    ("password", PASSWORD),
];

/// Only what the groups match goes. A text in SQL may be cut before its end, and hold quotes that are doubled or escaped.
/// All of it may stand in a line of JSON that is kept as it is: quotes and slashes behind backslashes, or as `\u0027`.
const PASSWORD: &str = concat!(
    r#"(?i)\b(?:password|identified(?:\s+with\s+\S+)?\s+(?:by|as))\s*=?\s*(?:e?'((?:[^'\\]|''|\\.)+)|"((?:[^"\\]|""|\\.)+)"#,
    r#"|\\+"(.+?)(?:\\+"|\z)|e?\\+'(.+?)(?:\\+'|\z)|\\+u0022(.+?)(?:\\+u0022|\z)|e?\\+u0027(.+?)(?:\\+u0027|\z))"#,
    r#"|:(?:\\*/){2}[^\s:/?\#@'"]*:([^\s/@'"]+?)(?:@|\\+u0040)"#,
    r#"|\bpassword=([^\s'"&;,]+)"#,
);

/// Compiled size of one pattern; the crate's default of 10 MB would be a fourth of the memory budget.
const MAX_PATTERN: usize = 1 << 20;

/// Characters of a number that is looked into; a longer one is no card's.
const LONGEST_NUMBER: usize = 32;

/// What one source replaces.
#[derive(Debug, Clone, Default)]
pub struct Redaction {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    pattern: Regex,
    /// Stands in the place of what was found.
    mark: String,
    /// Only digits that pass the Luhn check are a card.
    luhn: bool,
}

impl Redaction {
    /// What the config asks for; an error names the pattern that does not compile.
    pub fn new(items: &[Redact]) -> Result<Self, String> {
        let mut redaction = Self::default();
        for item in items {
            match item {
                Redact::Email => redaction.class("email")?,
                Redact::Card => redaction.class("card")?,
                Redact::Bearer => redaction.class("bearer")?,
                Redact::Password => redaction.class("password")?,
                Redact::Regex(pattern) => redaction.pattern(pattern)?,
            }
        }
        Ok(redaction)
    }

    fn class(&mut self, name: &str) -> Result<(), String> {
        let Some((_, pattern)) = CLASSES.iter().find(|(known, _)| *known == name) else {
            return Err(format!("no class {name:?}"));
        };
        let pattern = compile(pattern)?;
        self.rules.push(Rule { pattern, mark: format!("[{name}]"), luhn: name == "card" });
        Ok(())
    }

    fn pattern(&mut self, pattern: &str) -> Result<(), String> {
        self.rules.push(Rule { pattern: compile(pattern)?, mark: "[redacted]".to_owned(), luhn: false });
        Ok(())
    }

    /// Replaces in body, names and values. Texts that hold nothing stay spans of the line.
    pub fn apply(&self, record: &mut Record, line: &str) {
        if self.rules.is_empty() {
            return;
        }
        record.body = self.text(record, line, record.body);
        for index in 0..record.attributes.len() {
            let (name, value) = record.attributes[index];
            record.attributes[index].0 = self.text(record, line, name);
            match value {
                Value::Text(text) => record.attributes[index].1 = Value::Text(self.text(record, line, text)),
                Value::Int(number) => self.number(record, index, format_args!("{number}")),
                Value::Double(number) => self.number(record, index, format_args!("{number}")),
                Value::Bool(_) => {}
            }
        }
    }

    /// A number may be a card's as well, or what a pattern names.
    fn number(&self, record: &mut Record, index: usize, number: std::fmt::Arguments<'_>) {
        let mut digits = [0_u8; LONGEST_NUMBER];
        let mut rest = &mut digits[..];
        if rest.write_fmt(number).is_err() {
            return;
        }
        let len = LONGEST_NUMBER - rest.len();
        if let Ok(Cow::Owned(clean)) = std::str::from_utf8(&digits[..len]).map(|text| self.clean(text))
            && clean.as_bytes() != &digits[..len]
        {
            record.attributes[index].1 = Value::Text(record.keep(&clean));
        }
    }

    fn text(&self, record: &mut Record, line: &str, text: Text) -> Text {
        if matches!(text, Text::Fixed(_)) {
            return text;
        }
        let Cow::Owned(clean) = self.clean(text.get(line, &record.scratch)) else { return text };
        record.keep(&clean)
    }

    /// `text` with everything found replaced.
    pub fn clean<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut clean = Cow::Borrowed(text);
        for rule in &self.rules {
            if let Cow::Owned(changed) = rule.replace(&clean) {
                clean = Cow::Owned(changed);
            }
        }
        clean
    }
}

impl Rule {
    fn replace<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.pattern.replace_all(text, |found: &regex::Captures<'_>| {
            if self.luhn {
                self.replace_cards(text, found.get_match())
            } else if found.len() == 1 {
                self.mark.clone()
            } else {
                self.replace_groups(found)
            }
        })
    }

    /// Replaces each card in a run of digits: groups side by side that have a card's length and check digit.
    fn replace_cards(&self, text: &str, found: regex::Match<'_>) -> String {
        let joined = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let before = joined(text.as_bytes()[..found.start()].last());
        let after = joined(text.as_bytes().get(found.end()));
        let run = found.as_str();
        let mut out = String::with_capacity(run.len());
        let mut at = 0;
        while at < run.len() {
            let card = card(&run[at..], after).filter(|_| at > 0 || !before);
            let end = card.unwrap_or_else(|| group(&run[at..])) + at;
            out.push_str(if card.is_some() { &self.mark } else { &run[at..end] });
            // The separator, if one follows.
            let next = run.len().min(end + 1);
            out.push_str(&run[end..next]);
            at = next;
        }
        out
    }

    /// With groups, only what they matched is replaced: `token=(\S+)` keeps `token=`.
    fn replace_groups(&self, found: &regex::Captures<'_>) -> String {
        let whole = found.get_match();
        let mut out = String::with_capacity(whole.len());
        let mut done = whole.start();
        for group in found.iter().skip(1).flatten().filter(|group| !group.is_empty()) {
            if group.start() >= done {
                out.push_str(&whole.as_str()[done - whole.start()..group.start() - whole.start()]);
                out.push_str(&self.mark);
                done = group.end();
            }
        }
        out.push_str(&whole.as_str()[done - whole.start()..]);
        out
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    regex::RegexBuilder::new(pattern).size_limit(MAX_PATTERN).build().map_err(|error| error.to_string())
}

/// Bytes of the group of digits that `run` begins with.
fn group(run: &str) -> usize {
    run.find([' ', '-']).unwrap_or(run.len())
}

/// Bytes of the longest card that `run` begins with. `joined`: its end touches a letter.
fn card(run: &str, joined: bool) -> Option<usize> {
    let (mut end, mut digits, mut found) = (0, 0, None);
    while end < run.len() {
        let start = if end == 0 { 0 } else { end + 1 };
        let len = group(&run[start..]);
        (end, digits) = (start + len, digits + len);
        // Cards are written in groups of three to six digits, or digit by digit; dates and counts are not.
        if digits > 19 || !(len >= 3 || (len == 1 && digits == end.div_ceil(2))) {
            break;
        }
        if digits >= 13 && is_card(&run[..end]) && !(joined && end == run.len()) {
            found = Some(end);
        }
    }
    found
}

/// Luhn's check over the digits of `text`.
fn is_card(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).rev().map(|byte| u32::from(byte - b'0'));
    let sum: u32 = digits
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => digit,
            (_, double) if double > 9 => double - 9,
            (_, double) => double,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Redaction {
        Redaction::new(&[Redact::Email, Redact::Card, Redact::Bearer]).unwrap()
    }

    #[test]
    fn each_class_replaces_what_it_names_and_leaves_the_rest() {
        let cases = [
            ("mail from jane.doe+x@example.co.uk now", "mail from [email] now"),
            (r#"{"to":["jane\u0040example.com"]}"#, r#"{"to":["[email]"]}"#),
            ("card 4111 1111 1111 1111 ok", "card [card] ok"),
            ("order 4111 1111 1111 1112 ok", "order 4111 1111 1111 1112 ok"),
            ("Authorization: Bearer abc.def-123456", "Authorization: [bearer]"),
            ("token=Basic dXNlcjpwYXNz ok", "token=[bearer] ok"),
            ("nothing to see", "nothing to see"),
        ];
        for (text, clean) in cases {
            assert_eq!(all().clean(text), clean);
        }
    }

    #[test]
    fn passwords_go_from_sql_and_addresses_and_the_rest_stays() {
        let redaction = Redaction::new(&[Redact::Password]).unwrap();
        let cases = [
            (
                "ALTER ROLE a PASSWORD 'it''s s3cret' VALID UNTIL 'x'",
                "ALTER ROLE a PASSWORD '[password]' VALID UNTIL 'x'",
            ),
            ("create user a identified by 's3cret', b", "create user a identified by '[password]', b"),
            (
                "IDENTIFIED WITH caching_sha2_password AS \"s3\\\"cret\"",
                "IDENTIFIED WITH caching_sha2_password AS \"[password]\"",
            ),
            ("ALTER USER a password E's3\\'cret' -- b", "ALTER USER a password E'[password]' -- b"),
            ("ALTER USER a PASSWORD 's3cret that is cut", "ALTER USER a PASSWORD '[password]"),
            ("to postgres://shop:s3cret@db:5432/shop now", "to postgres://shop:[password]@db:5432/shop now"),
            ("redis://:s3cret@cache", "redis://:[password]@cache"),
            ("host=db password=s3cret dbname=shop", "host=db password=[password] dbname=shop"),
            ("password = 's3cret'", "password = '[password]'"),
            // In a line of JSON that is kept as it is.
            (r#"{"sql":"IDENTIFIED BY \"s3cret\""}"#, r#"{"sql":"IDENTIFIED BY \"[password]\""}"#),
            (r#"{"dsn":"postgres:\/\/shop:s3cret@db\/shop"}"#, r#"{"dsn":"postgres:\/\/shop:[password]@db\/shop"}"#),
            (r#"{"dsn":"postgres://shop:s3cret\u0040db"}"#, r#"{"dsn":"postgres://shop:[password]\u0040db"}"#),
            (r#"{"q":"ROLE a PASSWORD \u0027s3cret\u0027"}"#, r#"{"q":"ROLE a PASSWORD \u0027[password]\u0027"}"#),
            (r#"password=\"s3cret\" b"#, r#"password=\"[password]\" b"#),
            (r#"PASSWORD \\\"s3cret\\\" b"#, r#"PASSWORD \\\"[password]\\\" b"#),
            (r#"PASSWORD \"s3cret that is cut"#, r#"PASSWORD \"[password]"#),
            ("password authentication failed for user \"a\"", "password authentication failed for user \"a\""),
            ("GET http://a:8080/b@c?password=", "GET http://a:8080/b@c?password="),
        ];
        for (text, clean) in cases {
            assert_eq!(redaction.clean(text), clean);
            assert!(!redaction.clean(text).contains("s3"), "{text}");
        }
    }

    #[test]
    fn a_card_is_found_among_other_digits_and_as_a_number() {
        let cases = [
            ("pin 987654 4111 1111 1111 1111 17", "pin 987654 [card] 17"),
            ("4111111111111111 5500005555555559", "[card] [card]"),
            ("id_4111-1111-1111-1111", "id_[card]"),
            ("a4111111111111111b", "a4111111111111111b"),
            ("41111111111111111111111", "41111111111111111111111"),
            ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "[card]"),
            ("2026 11 24 1 2 3 4 5 6 7 8 9", "2026 11 24 1 2 3 4 5 6 7 8 9"),
        ];
        for (text, clean) in cases {
            assert_eq!(all().clean(text), clean);
        }
        let mut record = Record::default();
        record.put_int("number", 4_111_111_111_111_111);
        record.put_int("other", 4_111_111_111_111_112);
        record.put(Text::Fixed("float"), Value::Double(4_111_111_111_111_111.0));
        all().apply(&mut record, "");
        let Value::Text(text) = record.attributes[0].1 else { panic!("a card's number stayed") };
        assert_eq!(record.text("", text), "[card]");
        assert_eq!(record.attributes[1].1, Value::Int(4_111_111_111_111_112));
        assert!(matches!(record.attributes[2].1, Value::Text(_)));
    }

    #[test]
    fn a_pattern_with_groups_replaces_what_the_groups_match() {
        let mut redaction = Redaction::default();
        redaction.pattern(r"user=(\w+) ip=(\S+)").unwrap();
        redaction.pattern("internal-[0-9]+").unwrap();
        let clean = redaction.clean("user=bob ip=10.0.0.1 at internal-7!");
        assert_eq!(clean, "user=[redacted] ip=[redacted] at [redacted]!");
    }

    #[test]
    fn body_and_attributes_are_cleaned_and_names_of_ours_are_not() {
        let line = "bob@example.com tried";
        let mut record = Record { body: Text::of(line, line), ..Record::default() };
        record.put_str("user", line, &line[..15]);
        all().apply(&mut record, line);
        assert_eq!(record.text(line, record.body), "[email] tried");
        let Value::Text(value) = record.attributes[0].1 else { panic!("no text") };
        assert_eq!(record.text(line, value), "[email]");
    }

    #[test]
    fn a_bad_or_huge_pattern_is_an_error() {
        for pattern in ["(", r"(\w{100}){1000}"] {
            assert!(Redaction::new(&[Redact::Regex(pattern.into())]).is_err(), "{pattern}");
        }
    }
}
