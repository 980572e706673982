//! Hostile texts stay texts.

use super::*;

#[test]
fn a_text_becomes_one_line_of_print_of_a_bounded_length() {
    assert_eq!(line("a\r\nSubject: b\u{1b}[31m\u{202e}c", 100), "a Subject: b [31m c");
    assert_eq!(line("  a  ", 100), "a");
    assert_eq!(line("abcdef", 3), "abc…");
    assert!(line(&"x".repeat(1 << 20), 100).chars().count() <= 101);
    assert!(line(&"\n".repeat(1 << 20), 100).chars().count() <= 101);
}

#[test]
fn a_link_is_an_address_that_ends_no_markup() {
    assert_eq!(link("https://example.com/a?b=c"), Some("https://example.com/a?b=c"));
    for bad in ["javascript:alert(1)", "http://a|b", "http://a>b", "http://a b", "http://a\nb", "", "ftp://a"] {
        assert_eq!(link(bad), None, "{bad}");
    }
}

#[test]
fn times_are_rfc_3339_and_nonsense_is_the_beginning_of_time() {
    assert_eq!(rfc3339(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
    assert_eq!(rfc3339(i64::MAX), "1970-01-01T00:00:00Z");
}
