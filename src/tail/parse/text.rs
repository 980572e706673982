//! Lines of no known format: a leading time stamp and a level word, where they are unmistakable.
//!
//! What is found goes into the record; nothing is taken out of the line, which is the body. Any line is text.

use super::severity;
use super::time::{self, Clock};
use crate::signal::record::{Record, Text};

/// Reads a line as plain text.
pub(super) fn parse(line: &str, record: &mut Record, clock: &mut Clock) {
    record.body = Text::of(line, line);
    let mut rest = skip_color(line);
    rest = ruby(rest).strip_prefix(['[', '(']).unwrap_or(rest);
    let mut words = 1;
    if let Some(stamp) = leading_time(rest, clock) {
        record.time = stamp.time;
        rest = rest.get(stamp.len..).unwrap_or_default();
        words = WORDS;
    } else {
        rest = skip_color(line);
    }
    level(line, rest, words, record);
}

fn leading_time(text: &str, clock: &mut Clock) -> Option<time::Stamp> {
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    time::iso(text, clock).or_else(|| time::common_log(text, clock))
}

/// Goes past the letter of Ruby's logger: `I, [2026-11-24T10:00:00.123456 #12]  INFO -- : …`.
fn ruby(text: &str) -> &str {
    match text.as_bytes() {
        [b'D' | b'I' | b'W' | b'E' | b'F' | b'A', b',', b' ', b'[', ..] => text.get(3..).unwrap_or(text),
        _ => text,
    }
}

/// Looks for a level among the first words.
fn level(line: &str, text: &str, words: usize, record: &mut Record) {
    let mut rest = text;
    for number in 0..words {
        rest = skip_blank(rest);
        let end = memchr::memchr3(b' ', b'\t', b'|', rest.as_bytes()).unwrap_or(rest.len());
        let Some(word) = rest.get(..end).filter(|word| !word.is_empty()) else { return };
        if let Some((level, severity)) = level_of(word, number == 0) {
            record.severity = severity;
            record.severity_text = Text::of(line, level);
            return;
        }
        rest = rest.get(end..).unwrap_or_default();
    }
}

/// The level that a word is: in capitals, in brackets, before a colon (only as the first word, for it is a common
/// beginning of sentences), or behind `level=`.
fn level_of(word: &str, first: bool) -> Option<(&str, u8)> {
    for key in ["level=", "lvl=", "severity="] {
        if let Some(value) = word.strip_prefix(key) {
            let value = value.trim_matches('"');
            return severity::word(value).filter(|_| value.len() > 1).map(|severity| (value, severity));
        }
    }
    let word = word.split_once('\u{1b}').map_or(word, |(word, _)| word);
    let bare = word.trim_matches(['[', ']', '(', ')', '<', '>', ':', '-', ',']);
    if let Some(severity) = severity::capitals(bare) {
        return Some((bare, severity));
    }
    let bracketed = word.starts_with(['[', '<']) && word.trim_end_matches(':').ends_with([']', '>']);
    let labels = first && word.ends_with(':') && bare.len() > 3;
    if bare.len() >= 3 && (bracketed || labels) {
        return severity::word(bare).map(|severity| (bare, severity));
    }
    None
}

/// Goes past spaces, bars and colour codes.
fn skip_blank(mut text: &str) -> &str {
    loop {
        let rest = skip_color(text.trim_start_matches([' ', '\t', '|']));
        if rest.len() == text.len() {
            return rest;
        }
        text = rest;
    }
}

/// Goes past colour codes (`ESC [ … m`) at the start.
fn skip_color(mut text: &str) -> &str {
    while let Some(code) = text.strip_prefix("\u{1b}[") {
        let Some(end) = code.bytes().take(16).position(|byte| byte == b'm') else { return text };
        text = code.get(end + 1..).unwrap_or_default();
    }
    text
}

/// Words behind the time among which a level is looked for.
const WORDS: usize = 6;

#[cfg(test)]
mod tests;
