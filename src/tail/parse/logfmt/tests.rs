//! logfmt as go-logfmt reads it.

use super::super::Format;
use super::super::tests::read;
use super::is_certain;

fn logfmt(line: &str) -> String {
    read(Format::Logfmt, line).replace("body: the line\n", "")
}

#[test]
fn pairs_quotes_and_keys_alone_are_read() {
    let line = r#"a=1 b="x y" c= d="" e f="\"\n\u0041\ud83d\ude00\q" g=é"#;
    assert_eq!(logfmt(line), "a: 1\nb: \"x y\"\nc: \"\"\nd: \"\"\ne: true\nf: \"\\\"\\nA😀\\\\q\"\ng: \"é\"\n");
}

#[test]
fn a_bare_value_becomes_a_number_only_when_nothing_is_lost() {
    let line = "a=200 b=-7 c=007 d=1.5 e=1.10 f=1.5s g=12345678901234567890 h=true i=- j=-0 k=0.25 l=1e5 m=1.2.3";
    let expected = "a: 200\nb: -7\nc: \"007\"\nd: 1.5\ne: \"1.10\"\nf: \"1.5s\"\ng: \"12345678901234567890\"\nh: true\ni: \"-\"\nj: \"-0\"\nk: 0.25\nl: \"1e5\"\nm: \"1.2.3\"\n";
    assert_eq!(logfmt(line), expected);
}

#[test]
fn the_last_of_equal_keys_wins() {
    assert_eq!(logfmt("a=1 b=2 a=3"), "a: 3\nb: 2\n");
}

#[test]
fn broken_lines_and_lines_without_a_pair_are_not_parsed() {
    for line in ["", "  ", "just words", "=x", "a=1 =2", "a=\"x", "a=\"x\\", "a=b\"c", "a=1 \"b\"", "a=\"\\u12\""] {
        assert!(logfmt(line).starts_with("NOT PARSED"), "{line:?}");
    }
}

#[test]
fn only_lines_of_nothing_but_pairs_are_logfmt_for_certain() {
    assert!(is_certain("level=info msg=\"a b\""));
    assert!(!is_certain("a=1"));
    assert!(!is_certain("2026-11-24 10:00:00 INFO id=1 ms=2"));
    assert!(!is_certain("user=1 logged in=2 now"));
}

#[test]
fn a_line_of_200_000_pairs_keeps_128_and_the_rest_as_text() {
    let line: String = (0..200_000).map(|number| format!("k{number}=1 ")).collect();
    let shown = logfmt(&line);
    assert_eq!(shown.lines().count(), 129);
    assert!(shown.contains("logfmt.rest: \"k128=1 k129=1"));
}
