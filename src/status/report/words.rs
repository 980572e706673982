//! Numbers in words for people, and strings from outside made safe to show on a terminal.

use std::borrow::Cow;

use super::AlertsReport;
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

/// How the alert rules stand, with the command that tells more:
/// `1 page and 1 ticket firing, 1 pending, 21 quiet, 1 cannot fire, 5 not here (plimsoll alerts)`.
pub fn alerts(alerts: &AlertsReport) -> String {
    if alerts.off {
        return "off: `alerts: off` stops the rules of this box".into();
    }
    let many = |count: u64, word: &str| match count {
        0 => None,
        1 => Some(format!("1 {word}")),
        count => Some(format!("{count} {word}s")),
    };
    let firing = [many(alerts.pages, "page"), many(alerts.tickets, "ticket"), many(alerts.others, "other")];
    let firing: Vec<String> = firing.into_iter().flatten().collect();
    let firing = if firing.is_empty() { "nothing fires".into() } else { format!("{} firing", firing.join(" and ")) };
    let mut parts = vec![firing];
    let levels = [
        (alerts.pending, "pending"),
        (alerts.waiting, "not evaluated yet"),
        (alerts.quiet, "quiet"),
        (alerts.failing, "failing"),
        (alerts.cannot_fire, "cannot fire"),
        (alerts.not_here, "not here"),
        (alerts.fleet, "for the stack's ruler"),
    ];
    parts.extend(levels.into_iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")));
    if parts.len() == 1 && firing_none(alerts) {
        return "no rules".into();
    }
    format!("{} (plimsoll alerts)", parts.join(", "))
}

fn firing_none(alerts: &AlertsReport) -> bool {
    alerts.pages + alerts.tickets + alerts.others == 0
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
    fn the_line_of_alerts_says_what_fires_first_and_what_cannot() {
        let mut report = AlertsReport::default();
        assert_eq!(alerts(&report), "no rules");
        report.quiet = 21;
        assert_eq!(alerts(&report), "nothing fires, 21 quiet (plimsoll alerts)");
        (report.pages, report.tickets, report.pending, report.cannot_fire, report.not_here) = (1, 2, 1, 1, 5);
        report.waiting = 3;
        let expected = "1 page and 2 tickets firing, 1 pending, 3 not evaluated yet, 21 quiet, 1 cannot fire, 5 not here \
                        (plimsoll alerts)";
        assert_eq!(alerts(&report), expected);
        report.off = true;
        assert!(alerts(&report).starts_with("off"));
    }

    #[test]
    fn escape_sequences_line_ends_and_direction_marks_do_not_reach_the_terminal() {
        assert_eq!(clean("plain ä"), "plain ä");
        assert_eq!(clean("\u{1b}]0;title\u{7}x"), "?]0;title?x");
        assert_eq!(clean("a\nb\rc\u{85}d\u{9b}31m"), "a?b?c?d?31m");
        assert_eq!(clean("exe\u{202e}gnp\u{2028}"), "exe?gnp?");
    }
}
