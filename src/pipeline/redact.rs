//! Redaction: what must not reach the disk is replaced before the record is written.
//!
//! All patterns run in linear time (the `regex` crate has no backtracking) within a bound on their compiled size.

use std::borrow::Cow;

use regex::Regex;

use super::config::Redact;
use crate::signal::record::{Record, Text, Value};

/// A built-in class: what it finds and what stands there instead.
const CLASSES: &[(&str, &str)] = &[
    ("email", r"[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63})+"),
    ("card", r"\b[0-9](?:[ \-]?[0-9]){12,18}\b"),
    ("bearer", r"(?i)\b(?:bearer|basic)\s+[A-Za-z0-9._~+/\-]{8,}=*"),
];

/// Compiled size of one pattern; the crate's default of 10 MB would be a fourth of the memory budget.
const MAX_PATTERN: usize = 1 << 20;

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
            if let Value::Text(text) = value {
                record.attributes[index].1 = Value::Text(self.text(record, line, text));
            }
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
            let whole = &found[0];
            if self.luhn && !is_card(whole) {
                whole.to_owned()
            } else if found.len() == 1 {
                self.mark.clone()
            } else {
                self.replace_groups(found)
            }
        })
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
