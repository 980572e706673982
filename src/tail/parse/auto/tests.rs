//! Decisions on a file's format.

use super::super::tests::clock;
use super::super::{Choice, Format, Parser};
use crate::signal::record::Record;

fn decide<'a>(lines: impl IntoIterator<Item = &'a str>) -> Option<Format> {
    let mut parser = Parser::with_clock(Choice::Auto, clock());
    let mut record = Record::default();
    for line in lines {
        assert!(parser.decided().is_some() || parser.parse(line, &mut record));
    }
    parser.decided()
}

const JSON: &str = r#"{"msg":"x"}"#;
const HAPROXY: &str =
    "Nov 24 10:00:00 lb haproxy[1]: 10.0.0.1:5 [24/Nov/2026:10:00:00.000] a b/c 0/0/1 9 -- 1/1/1/1/1 0/0";
const SYSLOG: &str = "Nov 24 10:00:00 lb cron[1]: x";

#[test]
fn three_lines_that_agree_suffice_and_two_do_not() {
    assert_eq!(decide([JSON; 2]), None);
    assert_eq!(decide([JSON; 3]), Some(Format::Json));
    assert_eq!(decide(["", "  ", JSON, "", JSON, JSON]), Some(Format::Json));
}

#[test]
fn the_special_format_wins_only_where_it_fits_as_often() {
    assert_eq!(decide([HAPROXY; 3]), Some(Format::Haproxy));
    let mixed = (0..20).map(|number| if number % 4 == 0 { HAPROXY } else { SYSLOG });
    assert_eq!(decide(mixed), Some(Format::Syslog));
}

#[test]
fn plain_text_is_decided_after_twenty_lines() {
    assert_eq!(decide(["hello"; 19]), None);
    assert_eq!(decide(["hello"; 20]), Some(Format::Text));
    assert_eq!(
        decide(["time to go=now", "x=1 y=2 and more", "a b c"].into_iter().cycle().take(20)),
        Some(Format::Text)
    );
}

#[test]
fn a_banner_before_json_does_not_hide_it() {
    let lines = ["   ____", "  / shop", "> start"].into_iter().cycle().take(12).chain([JSON; 10]);
    assert_eq!(decide(lines), Some(Format::Json));
}
