//! Numbers in words for people, and strings from outside made safe to show on a terminal.

use std::borrow::Cow;

use crate::base::clock::SECOND;

/// A span of time in its two largest units: `3 d 4 h`, `12 min`, `2 s`.
pub fn age(nanos: u64) -> String {
    let seconds = nanos / SECOND;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => with_rest(hours, "h", minutes % 60, "min"),
        (days, hours, _) => with_rest(days, "d", hours % 24, "h"),
    }
}

fn with_rest(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 { format!("{large} {large_unit}") } else { format!("{large} {large_unit} {small} {small_unit}") }
}

/// `text` on one line and without characters that move a cursor, change colours or turn the direction of
/// writing: names and answers come from log files and servers, and a terminal obeys what it is shown.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_unsafe) {
        Cow::Owned(text.chars().map(|c| if is_unsafe(c) { '?' } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_of_time_is_told_in_its_largest_units() {
        for (seconds, words) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (754, "12 min"),
            (3600, "1 h"),
            (7260, "2 h 1 min"),
            (86_400, "1 d"),
            (273_600, "3 d 4 h"),
        ] {
            assert_eq!(age(seconds * SECOND), words);
        }
    }

    #[test]
    fn escape_sequences_line_ends_and_direction_marks_do_not_reach_the_terminal() {
        assert_eq!(clean("plain ä"), "plain ä");
        assert_eq!(clean("\u{1b}]0;title\u{7}x"), "?]0;title?x");
        assert_eq!(clean("a\nb\rc\u{85}d\u{9b}31m"), "a?b?c?d?31m");
        assert_eq!(clean("exe\u{202e}gnp\u{2028}"), "exe?gnp?");
    }
}
