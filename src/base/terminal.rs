//! Text on a terminal: colours where they are wanted, columns, and line breaks.

use std::io::{self, IsTerminal, Write};

/// The widest line of a screen.
pub const WIDTH: usize = 100;

/// Colours, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    on: bool,
}

/// What a text stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As it is.
    Plain,
    /// A heading.
    Heading,
    /// All is well.
    Good,
    /// Needs a look.
    Warn,
    /// Needs a hand.
    Bad,
}

impl Paint {
    /// No colours.
    pub const NONE: Self = Self { on: false };

    /// Colours on a terminal, unless `NO_COLOR` is set to anything (https://no-color.org) or the terminal is dumb.
    pub fn for_stdout() -> Self {
        Self::on_terminal(io::stdout().is_terminal())
    }

    /// The same for standard error.
    pub fn for_stderr() -> Self {
        Self::on_terminal(io::stderr().is_terminal())
    }

    fn on_terminal(terminal: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { on: terminal && !set("NO_COLOR") && !dumb }
    }

    /// `text` in the colour of `style`.
    pub fn text(self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Plain => "",
            Style::Heading => "1",
            Style::Good => "32",
            Style::Warn => "33",
            Style::Bad => "31",
        };
        if self.on && !code.is_empty() && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Prints to standard output; a reader that has seen enough (`| head`) is no error.
///
/// # Errors
/// Any other failure to write.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Prints a line to standard error.
pub fn complain(text: &str) {
    // There is no better place left to say that standard error cannot be written.
    let _lost = writeln!(io::stderr().lock(), "{text}").is_err();
}

/// `text` in at least `width` characters, at the left.
pub fn left(text: &str, width: usize) -> String {
    format!("{text:<width$}")
}

/// `text` in at least `width` characters, at the right.
pub fn right(text: &str, width: usize) -> String {
    format!("{text:>width$}")
}

/// `text` cut to `width` characters; of a path the end is kept, since that is where paths differ.
pub fn cut(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    if text.starts_with('/') {
        let tail: String = text.chars().skip(length - room).collect();
        return format!("…{tail}");
    }
    let head: String = text.chars().take(room).collect();
    format!("{head}…")
}

/// `text` in lines of at most `width` characters, broken at spaces; a longer word is broken where it must be.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = vec![String::new()];
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let mut rest: Vec<char> = word.chars().collect();
        while !rest.is_empty() {
            let Some(line) = lines.last_mut() else { break };
            let used = line.chars().count();
            let space = usize::from(used > 0);
            if used + space + rest.len() <= width {
                line.push_str(&" ".repeat(space));
                line.extend(rest.drain(..));
            } else if used == 0 {
                line.extend(rest.drain(..width));
            } else {
                lines.push(String::new());
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_and_paths_keep_their_end() {
        assert_eq!(cut("short", 10), "short");
        assert_eq!(cut("a longer text", 8), "a longe…");
        assert_eq!(cut("/srv/shop/log/*.json", 10), "…og/*.json");
        assert_eq!(cut("äöüäöü", 4), "äöü…");
    }

    #[test]
    fn lines_break_at_spaces_and_within_words_that_are_too_long() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(wrap("", 4), [""]);
    }

    #[test]
    fn colours_are_only_there_when_they_are_wanted() {
        assert_eq!(Paint::NONE.text(Style::Bad, "x"), "x");
        assert_eq!(Paint { on: true }.text(Style::Bad, "x"), "\u{1b}[31mx\u{1b}[0m");
        assert_eq!(Paint { on: true }.text(Style::Plain, "x"), "x");
    }
}
