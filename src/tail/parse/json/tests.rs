//! JSON lines: what they become, and what a hostile one costs.

use super::super::Format;
use super::super::tests::read;
use super::{Room, scan};
use crate::signal::record::Record;

fn json(line: &str) -> String {
    read(Format::Json, line)
}

/// The attributes alone.
fn attributes(line: &str) -> String {
    json(line).replace("body: the line\n", "")
}

#[test]
fn nested_names_are_joined_and_arrays_stay_text() {
    let line = r#" { "a" : {"b":{"c":1}, "d": [1, {"e": "]"} ,null]}, "f":{} , "g":null,"h":[] } "#;
    assert_eq!(attributes(line), "a.b.c: 1\na.d: \"[1, {\\\"e\\\": \\\"]\\\"} ,null]\"\nh: \"[]\"\n");
}

#[test]
fn escapes_are_undone_in_names_and_values() {
    let line =
        r#"{"k\u00e9\"":"\"\\\/\b\f\n\r\t\u0041\ud83d\ude00\u2028\u0000","n":"\ud83dx\ude00\ud83d\ud83d\ude00"}"#;
    let expected = "ké\": \"\\\"\\\\/\\u{8}\\u{c}\\n\\r\\tA😀\\u{2028}\\0\"\nn: \"\u{fffd}x\u{fffd}\u{fffd}😀\"\n";
    assert_eq!(attributes(line), expected);
}

#[test]
fn numbers_are_integers_then_doubles_then_text() {
    let big = "9".repeat(300);
    let line = format!(
        r#"{{"a":-9223372036854775808,"b":9223372036854775807,"c":9223372036854775808,"d":1e400000,"e":-0,"f":1.50,"g":2E-3,"h":{big},"i":123456789012345678}}"#
    );
    let double: f64 = big.parse().unwrap();
    let expected = format!(
        "a: -9223372036854775808\nb: 9223372036854775807\nc: 9.223372036854776e18\nd: \"1e400000\"\ne: 0\nf: 1.5\ng: 0.002\nh: {double:?}\ni: 123456789012345678\n"
    );
    assert_eq!(attributes(&line), expected);
}

#[test]
fn of_members_with_one_name_the_last_wins() {
    assert_eq!(attributes(r#"{"a":1,"b":2,"a":"x"}"#), "a: \"x\"\nb: 2\n");
    assert_eq!(attributes(r#"{"a":1,"b":2,"a":null}"#), "b: 2\n");
    assert_eq!(attributes(r#"{"a.b":1,"a":{"b":2}}"#), "a.b: 2\n");
    assert_eq!(json(r#"{"msg":"x","msg":"y"}"#), "body: \"y\"\n");
    assert_eq!(json(r#"{"level":"info","level":"error"}"#), "severity: 17 error\nbody: the line\n");
}

#[test]
fn what_is_not_one_json_object_is_not_parsed() {
    for line in [
        "",
        "{",
        "[]",
        "1",
        "{}x",
        "{} {}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":+1}",
        "{\"a\":1e}",
        "{\"a\":-}",
        "{\"a\":tru}",
        "{\"a\":nul}",
        "{\"a\":\"\u{1}\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\",
        "{\"a\":\"\\u12",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":[1,]}",
        "{\"a\":[1}",
        "{\"a\":[}",
        "{\"a\":[{\"b\":1]}",
        "{'a':1}",
        "{\"a\":1 \"b\":2}",
        "\u{feff}{}",
        "{\"a\":NaN}",
        "{\"a\":\"\\ud83d\\u\"}",
    ] {
        let mut record = Record::default();
        assert!(scan(line, &mut record, &mut Room::default()).is_none(), "{line:?}");
        assert!(json(line).starts_with("NOT PARSED\n"), "{line:?}");
    }
}

#[test]
fn deep_objects_stay_text_from_the_64th_level_on() {
    let line = format!("{}1{}", r#"{"a":"#.repeat(70), "}".repeat(70));
    let name = vec!["a"; 64].join(".");
    let inner = format!("{}1{}", r#"{\"a\":"#.repeat(6), "}".repeat(6));
    assert_eq!(attributes(&line), format!("{name}: \"{inner}\"\n"));
}

#[test]
fn a_hundred_thousand_levels_are_checked_without_recursion() {
    for (open, close) in [(r#"{"a":"#, "}"), ("[", "]")] {
        let line = format!(r#"{{"k":{}1{}}}"#, open.repeat(100_000), close.repeat(100_000));
        let mut record = Record::default();
        assert!(scan(&line, &mut record, &mut Room::default()).is_some());
        assert_eq!(record.attributes.len(), 1);
        assert!(scan(&line[..line.len() - 2], &mut Record::default(), &mut Room::default()).is_none());
        let mixed = line.replacen(']', "}", 1);
        assert!(open == r#"{"a":"# || scan(&mixed, &mut record, &mut Room::default()).is_none());
    }
}

#[test]
fn of_a_million_members_the_first_128_are_attributes_and_the_rest_one_text() {
    let members: Vec<String> = (0..1_000_000).map(|number| format!("\"k{number}\":{number}")).collect();
    let line = format!("{{{}}}", members.join(","));
    let mut record = Record::default();
    scan(&line, &mut record, &mut Room::default()).unwrap();
    assert_eq!(record.attributes.len(), 129);
    let (name, value) = record.attributes[128];
    assert_eq!(record.text(&line, name), "json.rest");
    let crate::signal::record::Value::Text(rest) = value else { panic!("{value:?}") };
    let rest: serde_json::Map<String, serde_json::Value> = serde_json::from_str(record.text(&line, rest)).unwrap();
    assert_eq!(rest.len(), 1_000_000 - 128);
    assert!(scan(&line[..line.len() - 1], &mut record, &mut Room::default()).is_none());
}

#[test]
fn a_long_name_of_nested_objects_costs_no_more_than_the_line() {
    let name = "n".repeat(100_000);
    let inner: Vec<String> = (0..100).map(|number| format!("\"k{number}\":1")).collect();
    let line = format!(r#"{{"{name}":{{{}}}}}"#, inner.join(","));
    let mut record = Record::default();
    scan(&line, &mut record, &mut Room::default()).unwrap();
    assert_eq!(record.attributes.len(), 1);
    assert!(record.scratch.len() < line.len());
}

#[test]
fn the_message_is_the_first_of_its_names_in_order_of_rank() {
    assert_eq!(json(r#"{"event":"e","msg":"m","log":"l"}"#), "body: \"m\"\nevent: \"e\"\nlog: \"l\"\n");
    assert_eq!(json(r#"{"message":{"a":1},"body":"b"}"#), "body: \"b\"\nmessage.a: 1\n");
    assert_eq!(json(r#"{"message":7}"#), "body: the line\nmessage: 7\n");
    assert_eq!(json(r#"{"a":{"msg":"deep"}}"#), "body: the line\na.msg: \"deep\"\n");
}

#[test]
fn a_duration_is_no_time_and_stays_an_attribute() {
    assert!(attributes(r#"{"msg":"done","time":250000000}"#).contains("250000000"));
    assert!(!attributes(r#"{"msg":"done","time":1760000000}"#).contains("1760000000"));
}
