//! Alerts in words, for people.

use jiff::Timestamp;

use super::Alert;

/// The time as RFC 3339, in UTC. What no calendar has is the beginning of time.
pub(super) fn rfc3339(millis: i64) -> String {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// `text` in one line of at most `most` characters, without control characters and marks that turn the direction.
pub(super) fn line(text: &str, most: usize) -> String {
    let turns =
        |letter: char| matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut out = String::new();
    let (mut count, mut gap) = (0, false);
    // Of a megabyte only the beginning is looked at.
    for letter in text.chars().take(most * 4) {
        if letter.is_control() || letter.is_whitespace() || turns(letter) {
            gap = !out.is_empty();
            continue;
        }
        if gap {
            out.push(' ');
            count += 1;
            gap = false;
        }
        if count >= most {
            out.push('…');
            return out;
        }
        out.push(letter);
        count += 1;
    }
    if text.chars().nth(most * 4).is_some() {
        out.push('…');
    }
    out
}

/// How many fire and how many ended: `2 firing, 1 resolved`.
pub(super) fn counts(alerts: &[Alert]) -> String {
    let resolved = alerts.iter().filter(|alert| alert.resolved).count();
    match (alerts.len() - resolved, resolved) {
        (firing, 0) => format!("{firing} firing"),
        (0, resolved) => format!("{resolved} resolved"),
        (firing, resolved) => format!("{firing} firing, {resolved} resolved"),
    }
}

/// What a message is about: `[page] HostDown on shop-db-1: 2 firing`.
pub(super) fn title(alerts: &[Alert], host: &str) -> String {
    let Some(first) = alerts.first() else { return String::new() };
    let severity = line(first.labels.get("severity"), 40);
    let severity = if severity.is_empty() { String::new() } else { format!("[{severity}] ") };
    let name = line(first.labels.get("alertname"), 120);
    format!("{severity}{name} on {}: {}", line(host, 80), counts(alerts))
}

/// The annotation `name`, empty where there is none.
pub(super) fn annotation<'a>(alert: &'a Alert, name: &str) -> &'a str {
    alert.annotations.iter().find(|(own, _)| own == name).map_or("", |(_, text)| text)
}

/// What an alert says, in a line: its summary, else its description, else its name.
pub(super) fn summary(alert: &Alert, most: usize) -> String {
    let found = ["summary", "description", "message"].into_iter().map(|name| annotation(alert, name));
    let text = found.chain([alert.labels.get("alertname")]).find(|text| !text.trim().is_empty());
    line(text.unwrap_or("an alert without a name"), most)
}

/// The labels but name and severity, in a line.
pub(super) fn labels(alert: &Alert, most: usize) -> String {
    let mut out = String::new();
    for (name, value) in alert.labels.iter().filter(|(name, _)| !matches!(*name, "alertname" | "severity")) {
        if !out.is_empty() {
            out.push_str(", ");
        }
        out.push_str(&line(name, 80));
        out.push('=');
        out.push_str(&line(value, 200));
        if out.len() > most * 4 {
            break;
        }
    }
    line(&out, most)
}

/// `text` fit to stand in HTML and in Slack's own markup, which escapes the same three.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            letter => out.push(letter),
        }
    }
    out
}

/// An address that may stand behind a link: http or https, nothing that ends a link or starts another one.
pub(super) fn link(url: &str) -> Option<&str> {
    let good = (url.starts_with("http://") || url.starts_with("https://"))
        && url.len() <= 2000
        && !url.chars().any(|letter| letter.is_control() || letter.is_whitespace() || "<>|\"'`\\".contains(letter));
    good.then_some(url)
}

#[cfg(test)]
mod tests;
