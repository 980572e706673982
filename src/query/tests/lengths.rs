//! Calculated lengths of time, and the edges of ranges: what is taken, how it is written, what it answers.

use super::*;

/// Queries and how Prometheus 3.16 writes them; empty: as they stand.
const WRITTEN: &[(&str, &str)] = &[
    ("foo[5m*2]", "foo[5m * 2]"),
    ("foo[((5m))]", "foo[(5m)]"),
    ("foo[+5m]", "foo[5m]"),
    ("foo[-5m+10m]", "foo[-5m + 10m]"),
    ("foo[-(5m)]", ""),
    ("foo[2^3^2]", "foo[2 ^ 3 ^ 2]"),
    ("foo[-2^2]", "foo[-2 ^ 2]"),
    ("foo[-2*-3]", "foo[-2 * -3]"),
    ("foo[10 / (5 - 5)]", ""),
    ("foo[MIN_OF(5m,Step())]", "foo[min_of(5m, step())]"),
    ("foo[max_of(5m, range()):step()]", ""),
    ("foo[5m:]", ""),
    ("foo offset (1m) * 2", ""),
    ("foo offset -(1m) * 2", ""),
    ("foo offset -(2)^2", "foo offset -(2) ^ 2"),
    ("foo offset +(2)", "foo offset (2)"),
    ("foo offset - -1m * 2", "foo offset 1m * 2"),
    ("foo offset - + 1m", "foo offset -1m"),
    ("foo offset -2^2", "foo offset -2s ^ 2"),
    ("foo offset - -2^2", "foo offset --2 ^ 2"),
    ("foo offset - -(2*3)+4", "foo offset --(2 * 3) + 4"),
    ("foo offset - step ( )", "foo offset -step()"),
    ("foo offset -min_of(step(), 5m) * 2", ""),
    ("foo[5m] offset (step()) @ start()", "foo[5m] @ start() offset (step())"),
    ("foo offset 0 offset 5m", "foo offset 5m"),
    ("foo[5m] anchored offset 5m @ 10", "foo[5m] anchored @ 10.000 offset 5m"),
    ("foo anchored[5m]", "foo[5m] anchored"),
    ("foo offset 5m smoothed @ 7", "foo @ 7.000 smoothed offset 5m"),
    ("foo anchored anchored", "foo anchored"),
    ("smoothed anchored", ""),
];

const REFUSED: &[(&str, &str)] = &[
    ("foo[-5m]", "1:5: parse error: duration must be greater than 0"),
    ("foo[10/0]", "1:7: parse error: division by zero"),
    ("foo[10%0]", "1:7: parse error: modulo by zero"),
    (
        "foo[max_of(5m)]",
        "1:14: parse error: unexpected \")\" in subquery or range selector, expected number, duration, step(), or range()",
    ),
    (
        "foo[5m+:]",
        "1:8: parse error: unexpected \":\" in subquery or range selector, expected number, duration, step(), or range()",
    ),
    ("foo[9e99]", "1:5: parse error: duration out of range"),
    ("foo offset -9e99", "1:12: parse error: duration out of range"),
    (
        "foo offset (1m) + bar",
        "1:19: parse error: unexpected identifier \"bar\" in offset, expected number, duration, step(), or range()",
    ),
    ("foo offset (1m) offset 2m", "1:1: parse error: offset may not be set multiple times"),
    ("foo offset (0) offset 2m", "1:1: parse error: offset may not be set multiple times"),
    ("foo offset (5m", "1:15: parse error: unclosed left parenthesis"),
    ("foo[5m] anchored smoothed", "1:1: parse error: anchored and smoothed modifiers cannot be used together"),
    ("foo[5m:1m] anchored", "1:1: parse error: anchored modifier is not supported for subqueries"),
    ("(foo) smoothed", "1:1: parse error: smoothed modifier not implemented"),
    ("foo * step()", "1:7: parse error: function \"step\" is not enabled"),
];

#[test]
fn calculated_lengths_and_edges_are_read_and_written_as_prometheus_does() {
    for (query, want) in WRITTEN {
        let want = if want.is_empty() { query } else { want };
        assert_eq!(Query::parse(query).unwrap().text(), *want, "{query}");
        let again = Query::parse(want).unwrap();
        assert_eq!(again.text(), *want, "what is written reads back");
    }
    for (query, want) in REFUSED {
        assert_eq!(Query::parse(query).unwrap_err().to_string(), *want, "{query}");
    }
}

#[test]
fn a_length_without_a_value_is_told_when_the_query_is_asked() {
    let store = shop();
    let cases = [
        ("sum(\n  rate(requests[10/(5-5)]))", "2:17: parse error: division by zero"),
        ("requests[10 % (0)]", "1:10: parse error: modulo by zero"),
        ("requests[(1m - 2m)]", "1:11: parse error: duration must be greater than 0"),
        ("requests[step()]", "1:10: parse error: duration must be greater than 0"),
        ("requests[1e-4 * 1]", "1:10: parse error: duration must be greater than 0"),
        ("requests offset (9e9 * 2)", "1:18: parse error: duration is out of range"),
        ("requests offset ((0-1) ^ 0.5)", "1:19: parse error: duration is NaN or infinite"),
        ("sum_over_time(requests[5m:(1m - 1m)])", "1:28: parse error: duration must be greater than 0"),
    ];
    for (query, want) in cases {
        let got = ask(&store, query, 120_000).unwrap_err();
        assert_eq!(got.to_string(), want, "{query}");
    }
}

#[test]
fn a_length_may_depend_on_the_step_and_the_range_of_the_query() {
    let store = shop();
    let same = [
        ("count_over_time(requests[step() * 2])", "count_over_time(requests[2m])"),
        ("count_over_time(requests[range()])", "count_over_time(requests[3m])"),
        ("requests offset -step()", "requests offset -1m"),
        ("requests offset (range() - step())", "requests offset 2m"),
        ("max_over_time(requests[max_of(2m, step()):min_of(30, step())])", "max_over_time(requests[2m:30s])"),
        (
            "sum_over_time(sum_over_time(requests[step()])[2m:step() / 2])",
            "sum_over_time(sum_over_time(requests[1m])[2m:30s])",
        ),
    ];
    for (query, plain) in same {
        let rows = |query: &str| {
            let query = Query::parse(query).unwrap();
            range(&store, &query, (0, 180_000, 60_000), limits()).unwrap().value
        };
        assert_eq!(rows(query), rows(plain), "{query}");
    }
    let reach = |query: &str| Query::parse(query).unwrap().reach();
    assert_eq!(reach("rate(requests[5m * 2] offset (1m + 1m))"), 720_000, "rules look back that far");
    assert_eq!(reach("rate(requests[step()])"), 0, "an instant query has no step");
}

#[test]
fn hostile_lengths_are_refused_quickly_without_eating_the_stack() {
    for (open, part) in
        [("a[", "("), ("a[", "-"), ("a[", "1+"), ("a[", "min_of("), ("a offset ", "("), ("a offset (", "1^")]
    {
        let text = format!("{open}{}", part.repeat(50_000 / part.len()));
        assert!(matches!(Query::parse(&text), Err(QueryError::Parse { .. })), "{open}{part}");
    }
    let many = format!("a[{}1m]", "1m+".repeat(1_000));
    let error = Query::parse(&many).unwrap_err().to_string();
    assert!(error.ends_with("nested deeper than 100 levels"), "{error}");
}

#[test]
fn a_smoothed_selector_stands_on_the_line_between_two_samples() {
    let store = shop();
    let of = |query: &str, at: i64| ask(&store, query, at).unwrap();
    assert_eq!(of("requests{host=\"2\"} smoothed", 90_000), ["requests{dc=\"a\", host=\"2\"} 25"]);
    assert_eq!(of("requests{host=\"2\"} smoothed", 60_000), ["requests{dc=\"a\", host=\"2\"} 20"]);
    assert_eq!(of("requests{host=\"2\"} smoothed", 200_000), ["requests{dc=\"a\", host=\"2\"} 40"]);
    assert_eq!(of("requests{host=\"2\"} smoothed offset 1m", 90_000), ["requests{dc=\"a\", host=\"2\"} 15"]);
    assert!(of("requests{host=\"2\"} smoothed", -1).is_empty(), "nothing came before");
    assert!(of("requests{host=\"2\"} smoothed", 480_000).is_empty(), "the last one is too old");
    assert_eq!(of("requests{host=\"2\"}[1m] anchored", 90_000), ["requests{dc=\"a\", host=\"2\"} 3"]);
    assert!(Query::parse("requests smoothed").unwrap().selector().is_none(), "it is more than a selector of series");
}

#[test]
fn edges_are_for_functions_that_know_them() {
    let store = shop();
    let cases = [
        (
            "deriv(requests[1m] smoothed)",
            "smoothed modifier can only be used with: delta, increase, rate - not with deriv",
        ),
        (
            "absent_over_time(requests[1m] anchored)",
            "anchored modifier can only be used with: changes, delta, increase, rate, resets - not with absent_over_time",
        ),
        (
            "quantile_over_time(0.5, (requests[1m] anchored))",
            "anchored modifier can only be used with: changes, delta, increase, rate, resets - not with quantile_over_time",
        ),
    ];
    for (query, want) in cases {
        assert_eq!(ask(&store, query, 60_000).unwrap_err().to_string(), want, "{query}");
    }
}
