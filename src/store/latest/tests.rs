//! The text format, and what is kept how long.

use super::*;
use crate::signal::metrics::{Desc, Histogram, Kind, Limits, Point};

const USED: Desc = Desc::updown("system.memory.usage", "By", "Bytes by state.");
const HITS: Desc = Desc::counter("redis.keyspace.hits", "{hit}", "Hits.");
const TIME: u64 = 1_000 * SECOND;

fn resource(service: &str) -> Arc<Resource> {
    Arc::new(Resource::new(service, "box", &[]))
}

fn one(desc: &'static Desc, attributes: &[(&str, &str)], value: f64) -> Samples {
    let mut samples = Samples::default();
    samples.put_with(desc, attributes, value);
    samples
}

#[test]
fn a_family_of_several_sources_stands_once_and_in_order() {
    let latest = Latest::new();
    latest.put("redis b", &resource("redis-b"), &one(&HITS, &[("db", "0")], 2.0), TIME);
    latest.put(
        "host",
        &Arc::new(Resource::new("host", "box", &[("os.type", "linux")])),
        &one(&USED, &[("state", "used")], 1.5),
        TIME,
    );
    latest.put("redis a", &resource("redis-a"), &one(&HITS, &[("db", "0")], 1.0), TIME);
    let expected = "\
# HELP redis_keyspace_hits_total Hits.
# TYPE redis_keyspace_hits_total counter
redis_keyspace_hits_total{db=\"0\",instance=\"box\",job=\"redis-a\"} 1
redis_keyspace_hits_total{db=\"0\",instance=\"box\",job=\"redis-b\"} 2
# HELP system_memory_usage_bytes Bytes by state.
# TYPE system_memory_usage_bytes gauge
system_memory_usage_bytes{instance=\"box\",job=\"host\",state=\"used\"} 1.5
# HELP target_info Target metadata
# TYPE target_info gauge
target_info{instance=\"box\",job=\"host\",os_type=\"linux\"} 1
";
    assert_eq!(latest.render(TIME), expected);
}

#[test]
fn hostile_values_and_helps_stay_inside_their_line() {
    let latest = Latest::new();
    let metric =
        Metric { name: "x\n# TYPE".into(), kind: Kind::Gauge, unit: "}\n".into(), help: "a\nb\\c\"d\re".into() };
    let mut samples = Samples::default();
    let attributes = [("k\"}\n", "v\"} 1\nevil 1\\\r")];
    samples.put_metric(&metric, &attributes, Point::Number(1i64.into()));
    latest.put("s", &Arc::new(Resource::new("", "", &[])), &samples, TIME);
    let expected = "\
# HELP x_TYPE a\\nb\\\\c\"d e
# TYPE x_TYPE gauge
x_TYPE{k___=\"v\\\"} 1\\nevil 1\\\\ \"} 1
";
    assert_eq!(latest.render(TIME), expected);
}

#[test]
fn numbers_read_back_as_they_were() {
    let latest = Latest::new();
    let values = [0.0, -1.5, 1e21, 1e-7, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 123_456_789_012.0];
    let mut samples = Samples::default();
    for (index, value) in values.iter().enumerate() {
        samples.put_with(&USED, &[("i", &index.to_string())], *value);
    }
    latest.put("s", &Arc::new(Resource::new("", "", &[])), &samples, TIME);
    let text = latest.render(TIME);
    let made: Vec<&str> =
        text.lines().filter(|line| !line.starts_with('#')).map(|l| l.rsplit_once(' ').unwrap().1).collect();
    assert_eq!(made, ["0", "-1.5", "1e21", "1e-7", "+Inf", "-Inf", "NaN", "123456789012"]);
}

#[test]
fn a_histogram_keeps_its_buckets_in_order_and_its_series_together() {
    let latest = Latest::new();
    let metric = Metric { name: "d".into(), kind: Kind::Histogram, unit: "s".into(), help: "".into() };
    let mut samples = Samples::default();
    for route in ["b", "a"] {
        let histogram = Histogram { bounds: vec![0.5, 10.0], counts: vec![1, 1, 1], sum: 3.0 };
        samples.put_metric(&metric, &[("route", route)], Point::Histogram(histogram));
    }
    latest.put("s", &Arc::new(Resource::new("", "", &[])), &samples, TIME);
    let expected = "\
# TYPE d_seconds histogram
d_seconds_bucket{le=\"0.5\",route=\"a\"} 1
d_seconds_bucket{le=\"10\",route=\"a\"} 2
d_seconds_bucket{le=\"+Inf\",route=\"a\"} 3
d_seconds_sum{route=\"a\"} 3
d_seconds_count{route=\"a\"} 3
d_seconds_bucket{le=\"0.5\",route=\"b\"} 1
d_seconds_bucket{le=\"10\",route=\"b\"} 2
d_seconds_bucket{le=\"+Inf\",route=\"b\"} 3
d_seconds_sum{route=\"b\"} 3
d_seconds_count{route=\"b\"} 3
";
    assert_eq!(latest.render(TIME), expected);
}

#[test]
fn a_newer_round_replaces_the_older_and_a_series_never_stands_twice() {
    let latest = Latest::new();
    latest.put("a", &resource("x"), &one(&USED, &[("state", "old")], 1.0), TIME);
    latest.put("a", &resource("x"), &one(&USED, &[("state", "new")], 2.0), TIME + SECOND);
    latest.put("b", &resource("x"), &one(&USED, &[("state", "new")], 3.0), TIME);
    let text = latest.render(TIME + SECOND);
    assert!(!text.contains("old"), "{text}");
    assert_eq!(text.matches("state=\"new\"").count(), 1, "{text}");
}

#[test]
fn a_source_that_is_gone_silent_or_empty_is_forgotten() {
    let latest = Latest::new();
    latest.put("silent", &resource("silent"), &one(&USED, &[], 1.0), TIME);
    assert!(!latest.render(TIME + STALE).is_empty());
    assert!(latest.render(TIME + STALE + 1).is_empty());
    latest.put("gone", &resource("gone"), &one(&USED, &[], 1.0), TIME + STALE);
    latest.forget("gone");
    latest.put("empty", &resource("empty"), &one(&USED, &[], 1.0), TIME + STALE);
    latest.put("empty", &resource("empty"), &Samples::default(), TIME + 2 * STALE);
    assert!(latest.rounds.lock().unwrap().is_empty(), "also from memory");
}

#[test]
fn rounds_over_the_bound_are_refused_and_the_rest_stays() {
    let latest = Latest::new();
    let mut large = Samples::new(Limits { series: 10_000, value_bytes: 1024 });
    for index in 0..2500 {
        large.put_with(&USED, &[("state", &format!("{index:01000}"))], 1.0);
    }
    assert!(latest.put("first", &resource("first"), &large, TIME));
    assert!(!latest.put("second", &resource("second"), &large, TIME), "5 MB are too much");
    assert!(latest.put("first", &resource("first"), &large, TIME + 1), "its own place is its own");
    for index in 0..2 * MAX_ROUNDS {
        latest.put(&format!("s{index}"), &resource("x"), &one(&USED, &[], 1.0), TIME);
    }
    assert_eq!(latest.rounds.lock().unwrap().len(), MAX_ROUNDS);
}

/// Reads a label's value back, as a scraper would.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(match chars.next() {
                Some('n') => '\n',
                Some(other) => other,
                None => panic!("a backslash at the end of {text:?}"),
            }),
            c => out.push(c),
        }
    }
    out
}

proptest::proptest! {
    #[test]
    fn any_value_and_help_stay_on_their_line_and_read_back(value in ".{1,40}", help in "(.|\n){0,40}") {
        let metric = Metric { name: "x".into(), kind: Kind::Gauge, unit: "".into(), help: help.into() };
        let mut samples = Samples::default();
        samples.put_metric(&metric, &[("k", &value), ("l", "a\nb")], Point::Number(1i64.into()));
        let latest = Latest::new();
        latest.put("s", &Arc::new(Resource::new("", "", &[])), &samples, TIME);
        let text = latest.render(TIME);
        let lines: Vec<&str> = text.split('\n').filter(|line| !line.is_empty() && !line.starts_with("# ")).collect();
        proptest::prop_assert_eq!(lines.len(), 1);
        let read = lines[0].strip_prefix("x{k=\"").and_then(|rest| rest.strip_suffix("\",l=\"a\\nb\"} 1")).unwrap();
        proptest::prop_assert_eq!(unescape(read), value.replace('\r', " "));
    }
}
