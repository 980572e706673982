//! Plain lines: what is unmistakable, and what is not.

use super::super::Format;
use super::super::tests::read;

fn text(line: &str) -> String {
    read(Format::Text, line).replace("body: the line\n", "")
}

#[test]
fn levels_are_found_where_they_are_unmistakable() {
    for (line, severity) in [
        ("2026-11-24 10:00:00,123 ERROR x", "17 ERROR"),
        ("[2026-11-24T10:00:00Z] WARN: x", "13 WARN"),
        ("2026-11-24 10:00:00 [main] INFO  com.shop.App - x", "9 INFO"),
        ("2026-11-24 10:00:00 level=error x", "17 error"),
        ("2026/11/24 10:00:00 [warning] x", "13 warning"),
        ("ERROR: x", "17 ERROR"),
        ("INFO:     127.0.0.1:5000 - \"GET / HTTP/1.1\" 200 OK", "9 INFO"),
        ("[error] x", "17 error"),
        ("level=\"warn\" x", "13 warn"),
        ("error: x", "17 error"),
        ("FATAL x", "21 FATAL"),
        ("\u{1b}[31mERROR\u{1b}[0m x", "17 ERROR"),
    ] {
        let shown = text(line);
        let found = shown.lines().find_map(|line| line.strip_prefix("severity: "));
        assert_eq!(found, Some(severity), "{line}");
    }
}

#[test]
fn words_of_a_sentence_are_no_levels() {
    for line in [
        "an ERROR occurred",
        "information about x",
        "error handling is fine",
        "2026-11-24 10:00:00 the error was: x",
        "",
        " ",
        "Errors: 5",
        "I am fine",
        "[info",
        "W 5",
        "2026-11-24 10:00:00 one two three four five six ERROR",
    ] {
        assert!(!text(line).contains("severity:"), "{line}");
    }
}
