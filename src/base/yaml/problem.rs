//! One error of a file as people see it: place, what is wrong, the line, what is allowed.

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

use super::hide;
use super::outline::{Outline, Place};

/// Everything that is wrong with a file, in the order of its lines.
#[derive(Debug)]
pub struct Errors {
    /// The file.
    pub file: PathBuf,
    /// At least one, at most 100.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub more: usize,
}

/// One thing that is wrong. Text from the file is in it, but no secret and no control character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line and column, from 1, in characters; `None` when the file as a whole is meant.
    pub at: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
    /// What would be right; may be empty.
    pub help: String,
    /// The line with its carets.
    shown: Option<Shown>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    line: String,
    /// Characters before the first caret.
    before: usize,
    carets: usize,
}

const MAX_LINE: usize = 200;
const MAX_MESSAGE: usize = 600;

impl Errors {
    /// One error about the file as a whole.
    pub fn whole(file: &Path, message: &str, help: &str) -> Self {
        let problem = Problem { at: None, message: cut(message), help: cut(help), shown: None };
        Self { file: file.into(), problems: vec![problem], more: 0 }
    }
}

impl Problem {
    /// An error at a place of `text`.
    pub(super) fn new(text: &str, outline: &Outline, place: Place, message: &str, help: &str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        // An error at the end of the file points behind the last line that has something.
        let last = lines.iter().rposition(|line| !line.trim().is_empty()).map_or(0, |at| at + 1);
        let place = if place.line > lines.len() && last > 0 {
            Place { line: last, column: lines[last - 1].chars().count() + 1, length: 1 }
        } else {
            place
        };
        let shown = lines.get(place.line.wrapping_sub(1)).map(|_| show(&lines, outline, place));
        Self { at: Some((place.line, place.column)), message: cut(message), help: cut(help), shown }
    }
}

/// The line without secrets, at most [`MAX_LINE`] characters of it, around the caret.
fn show(lines: &[&str], outline: &Outline, place: Place) -> Shown {
    let text = hide::secrets(lines, place.line - 1, outline.before_secret(place.line));
    // The length of a secret is nobody's business either.
    let length = if text == lines[place.line - 1] { place.length } else { 1 };
    let line: Vec<char> = text.chars().map(visible).collect();
    let caret = (place.column - 1).min(line.len());
    let start = if caret < MAX_LINE - 20 { 0 } else { caret.saturating_sub(MAX_LINE / 2) };
    let end = line.len().min(start + MAX_LINE);
    let mut shown: String = line[start..end].iter().collect();
    if start > 0 {
        shown.insert(0, '…');
    }
    if end < line.len() {
        shown.push('…');
    }
    let room = end.saturating_sub(caret).max(1);
    Shown { line: shown, before: caret - start + usize::from(start > 0), carets: length.clamp(1, room) }
}

/// What would move the cursor, colour the terminal or hide is shown as a character of its own, one for one so that
/// columns stay right.
pub fn visible(letter: char) -> char {
    match letter {
        '\t' => '→',
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + u32::from(letter)).unwrap_or('�'),
        '\u{7f}' => '␡',
        '\u{80}'..='\u{9f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => '�',
        letter => letter,
    }
}

fn cut(text: &str) -> String {
    let mut out: String = text.chars().take(MAX_MESSAGE).map(visible).collect();
    if text.chars().nth(MAX_MESSAGE).is_some() {
        out.push('…');
    }
    out
}

impl fmt::Display for Errors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file: String = self.file.display().to_string().chars().map(visible).collect();
        for (number, problem) in self.problems.iter().enumerate() {
            if number > 0 {
                out.write_char('\n')?;
            }
            problem.write(&file, out)?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(out, "\n{file}: and {more} more"),
        }
    }
}

impl std::error::Error for Errors {}

impl Problem {
    fn write(&self, file: &str, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((line, column)) = self.at else {
            write!(out, "{file}: {}", self.message)?;
            return if self.help.is_empty() { Ok(()) } else { write!(out, ": {}", self.help) };
        };
        write!(out, "{file}:{line}:{column}: {}", self.message)?;
        let number = line.to_string();
        let width = number.len().max(4);
        let (before, carets) = match &self.shown {
            Some(shown) => {
                write!(out, "\n{number:>width$} | {}", shown.line)?;
                (shown.before, shown.carets)
            }
            None if self.help.is_empty() => return Ok(()),
            None => (0, 0),
        };
        write!(out, "\n{:>width$} | {:before$}{}", "", "", "^".repeat(carets))?;
        if self.help.is_empty() { Ok(()) } else { write!(out, " {}", self.help) }
    }
}
