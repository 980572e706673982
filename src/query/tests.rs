//! Queries over a small store: answers, refusals, limits, hostile texts. `tests/promql.rs` tests the language.

use super::*;

mod lengths;

fn limits() -> Limits {
    Limits {
        samples: 1_000_000,
        steps: 11_000,
        time: Duration::from_secs(10),
        lookback: Duration::from_secs(300),
        delayed_name_removal: false,
    }
}

/// Labels and values.
type Given<'a> = (&'a [(&'a str, &'a str)], &'a [f64]);

/// Series with a sample each minute from 0 on.
fn store(series: &[Given]) -> Store {
    let store = Store::memory();
    for (labels, values) in series {
        let labels = Labels::new(labels.iter().copied());
        for (t, v) in (0..).step_by(60_000).zip(values.iter()) {
            assert_eq!(store.append(&labels, Sample { t, v: *v }), crate::store::Taken::Yes);
        }
    }
    store
}

fn shop() -> Store {
    store(&[
        (&[("__name__", "requests"), ("dc", "a"), ("host", "1")], &[1.0, 2.0, 3.0, 4.0]),
        (&[("__name__", "requests"), ("dc", "a"), ("host", "2")], &[10.0, 20.0, 30.0, 40.0]),
        (&[("__name__", "requests"), ("dc", "b"), ("host", "3")], &[5.0, 5.0, 5.0, 5.0]),
        (&[("__name__", "limit"), ("dc", "a")], &[100.0, 100.0, 100.0, 100.0]),
        (&[("__name__", "limit"), ("dc", "b")], &[50.0, 50.0, 50.0, 50.0]),
    ])
}

/// Answers as `labels value` lines.
fn ask(store: &Store, query: &str, at: i64) -> Result<Vec<String>, QueryError> {
    let answer = instant(store, &Query::parse(query)?, at, limits())?;
    Ok(match answer.value {
        Value::Scalar(sample) => vec![sample.v.to_string()],
        Value::Text(text) => vec![text],
        Value::Vector(elements) => elements.iter().map(|e| format!("{} {}", e.labels, e.sample.v)).collect(),
        Value::Matrix(rows) => rows.iter().map(|row| format!("{} {}", row.labels, row.samples.len())).collect(),
    })
}

#[test]
fn operators_and_aggregations_answer_as_prometheus_does() {
    let store = shop();
    let cases: &[(&str, &[&str])] = &[
        ("requests{host=\"1\"}", &["requests{dc=\"a\", host=\"1\"} 4"]),
        ("sum by (dc) (requests)", &["{dc=\"a\"} 44", "{dc=\"b\"} 5"]),
        ("requests > 4", &["requests{dc=\"a\", host=\"2\"} 40", "requests{dc=\"b\", host=\"3\"} 5"]),
        (
            "requests > bool 4 or vector(7)",
            &["{} 7", "{dc=\"a\", host=\"1\"} 0", "{dc=\"a\", host=\"2\"} 1", "{dc=\"b\", host=\"3\"} 1"],
        ),
        (
            "requests / on (dc) group_left limit * 100",
            &["{dc=\"a\", host=\"1\"} 4", "{dc=\"a\", host=\"2\"} 40", "{dc=\"b\", host=\"3\"} 10"],
        ),
        ("limit - on (dc) sum by (dc) (requests)", &["{dc=\"a\"} 56", "{dc=\"b\"} 45"]),
        ("topk(2, requests)", &["requests{dc=\"a\", host=\"2\"} 40", "requests{dc=\"b\", host=\"3\"} 5"]),
        ("-2 ^ 2 + 3 * -1", &["-7"]),
        ("count(requests offset 1m) - 1", &["{} 2"]),
        (
            "requests[2m:1m]",
            &[
                "requests{dc=\"a\", host=\"1\"} 2",
                "requests{dc=\"a\", host=\"2\"} 2",
                "requests{dc=\"b\", host=\"3\"} 2",
            ],
        ),
        ("absent(nothing{job=\"x\"})", &["{job=\"x\"} 1"]),
        ("quantile(0.5, requests)", &["{} 5"]),
        ("count_values(\"v\", limit)", &["{v=\"100\"} 1", "{v=\"50\"} 1"]),
        ("requests and on (dc) limit{dc=\"b\"}", &["requests{dc=\"b\", host=\"3\"} 5"]),
    ];
    for (query, want) in cases {
        assert_eq!(ask(&store, query, 180_000).unwrap(), *want, "{query}");
    }
}

#[test]
fn the_order_of_a_ranking_lasts_through_what_is_joined_to_it() {
    let store = shop();
    let (second, third, first) = ("dc=\"a\", host=\"2\"", "dc=\"b\", host=\"3\"", "dc=\"a\", host=\"1\"");
    let product = [format!("{{{second}}} 4000"), format!("{{{third}}} 250"), format!("{{{first}}} 400")];
    for query in ["topk(3, requests) * on (dc) group_left limit", "limit * on (dc) group_right topk(3, requests)"] {
        assert_eq!(ask(&store, query, 180_000).unwrap(), product, "{query}");
    }
    let both = ask(&store, "topk(3, requests) and on (dc) limit{dc=\"a\"}", 180_000).unwrap();
    assert_eq!(both, [format!("requests{{{second}}} 40"), format!("requests{{{first}}} 4")]);
}

#[test]
fn a_refusal_names_its_place_in_the_words_of_prometheus() {
    let cases = [
        ("", "1:1: parse error: no expression found in input"),
        ("up +", "1:5: parse error: unexpected end of input"),
        ("sum(up", "1:7: parse error: unclosed left parenthesis"),
        ("rate(up)", "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector"),
        ("sum(\n  rate(up[5m]) by (job)\n)", "2:16: parse error: unexpected <by>"),
        ("1 > 2", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("up and 1", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"),
        ("{job=~\".*\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("up{job=~\"(\"}", "1:4: parse error: error parsing regexp: missing closing ): `(`"),
        ("up[5m] + 1", "1:1: parse error: binary expression must contain only scalar and instant vector types"),
        ("nope(up)", "1:1: parse error: unknown function with name \"nope\""),
        ("clamp(up, 1)", "1:1: parse error: expected 3 argument(s) in call to \"clamp\", got 2"),
        ("up offset 5m offset 1m", "1:1: parse error: offset may not be set multiple times"),
        ("up @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times"),
        ("up @ 1e20", "1:1: parse error: timestamp out of bounds for @ modifier: 100000000000000000000.000000"),
        ("é", "1:1: parse error: unexpected character: 'é'"),
        ("\"é\" !", "1:5: parse error: unexpected character after '!': end of input"),
        ("up\0", "1:3: parse error: unexpected character: '\\x00'"),
        // What Prometheus has only behind its flags, or what needs native histograms.
        ("sort_by_label(up, \"job\")", "1:1: parse error: function \"sort_by_label\" is not enabled"),
        ("info(up)", "1:1: parse error: function \"info\" is not enabled"),
        ("a + fill(0) b", "1:1: parse error: binop fill modifiers are experimental and not enabled"),
        ("up </ 1", "1:4: parse error: trim operators need native histograms, which are not kept here"),
        (
            "limitk(1, up)",
            "1:1: parse error: limitk() is experimental and must be enabled with \
             --enable-feature=promql-experimental-functions",
        ),
    ];
    for (query, want) in cases {
        assert_eq!(Query::parse(query).unwrap_err().to_string(), want, "{query}");
    }
}

#[test]
fn a_query_is_written_as_prometheus_writes_it() {
    let cases = [
        ("sum  (up) by(job,\"a.b\")", "sum by (job, \"a.b\") (up)"),
        ("up{b!=\"2\",a='1'} offset 90m", "up{a=\"1\",b!=\"2\"} offset 1h30m"),
        ("{\"up\"}[1w:30] @ end()", "{__name__=\"up\"}[1w:30s] @ end()"),
        ("a*ON(x)GROUP_LEFT(y)b ^ -1e3", "a * on (x) group_left (y) b ^ -1000"),
        ("topk(3,up==BOOL 1)>5m", "topk(3, up == bool 1) > 5m"),
        ("-(rate(up[8d])) @ 1.5", ""),
    ];
    for (query, want) in cases {
        match Query::parse(query) {
            Ok(query) => assert_eq!(query.text(), want),
            Err(error) => assert!(want.is_empty(), "{query}: {error}"),
        }
    }
}

#[test]
fn hostile_texts_are_refused_quickly_without_eating_the_stack() {
    let long = |part: &str| part.repeat(100_000 / part.len());
    for part in ["(", "-", "a+", "a or ", "sum(", "a[5m:1m]", "{", "\"", "[", "a^", "abs(", "\0", "+1 "] {
        for text in [long(part), part.repeat(20_000 / part.len()), format!("{}a", part.repeat(5_000 / part.len()))] {
            assert!(matches!(Query::parse(&text), Err(QueryError::Parse { .. })), "{part}");
        }
    }
    let text = format!("\"{}\"", "x".repeat(60_000));
    assert_eq!(ask(&Store::memory(), &text, 0).unwrap(), ["x".repeat(60_000)], "a long text is no nesting");
    let chain = format!("a{}", " + a".repeat(90));
    assert!(Query::parse(&chain).is_ok(), "what people write is far below the bound");
}

#[test]
fn a_query_beyond_its_limits_ends_with_the_limit() {
    let store = shop();
    let asked = |query: &str, span: (i64, i64, i64), limits: Limits| {
        range(&store, &Query::parse(query).unwrap(), span, limits).unwrap_err().to_string()
    };
    assert_eq!(
        asked("requests", (0, 11_001_000, 1_000), limits()),
        "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"
    );
    let few = Limits { samples: 100, ..limits() };
    let many = "query processing would load too many samples into memory in query execution";
    assert_eq!(asked("requests", (0, 600_000, 1_000), few), many);
    let query = Query::parse("requests[1h:1ms]").unwrap();
    assert_eq!(instant(&store, &query, 0, few).unwrap_err().to_string(), many);
}

#[test]
fn elements_that_match_ambiguously_are_named() {
    let store = shop();
    let cases = [
        (
            "limit / on (dc) requests",
            "found duplicate series for the match group {dc=\"a\"} on the right hand-side of the operation: \
             [{__name__=\"requests\", dc=\"a\", host=\"1\"}, {__name__=\"requests\", dc=\"a\", host=\"2\"}];many-to-many \
             matching not allowed: matching labels must be unique on one side",
        ),
        (
            "requests / on (dc) limit",
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
        ),
        (
            "requests{dc=\"a\"} * on () group_left (host) vector(1)",
            "multiple matches for labels: grouping labels must ensure unique matches",
        ),
        ("abs({dc=~\"a|b\"} or on (__name__) label_replace(limit, \"__name__\", \"other\", \"\", \"\"))", SAME),
        ("topk(NaN, requests)", "Parameter value is NaN"),
        ("topk(1e30, requests)", "Scalar value 1e+30 overflows int64"),
    ];
    for (query, want) in cases {
        let got = ask(&store, query, 0).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(got, want, "{query}");
    }
}

const SAME: &str = "vector cannot contain metrics with the same labelset";

#[test]
fn a_query_that_takes_too_long_is_ended() {
    let slow = Limits { time: Duration::ZERO, samples: 10_000_000, ..limits() };
    let store = shop();
    let query = Query::parse("sum_over_time(max_over_time(requests[1h:10s])[1d:1m])").unwrap();
    let got = instant(&store, &query, 0, slow);
    assert_eq!(got, Err(QueryError::Timeout(Duration::ZERO)));
}

#[test]
fn a_range_answers_as_instants_do_at_each_step() {
    let store = shop();
    let queries = [
        "requests offset 1m",
        "rate(requests[2m])",
        "sum by (dc) (requests) / on (dc) limit",
        "topk(1, requests)",
        "max_over_time(sum(requests)[3m:1m])",
        "requests > 3 or limit",
        "absent(requests offset 3m)",
        "requests @ 60",
        "quantile(0.5, requests) * scalar(limit{dc=\"b\"}) + time()",
    ];
    for text in queries {
        let query = Query::parse(text).unwrap();
        let Value::Matrix(rows) = range(&store, &query, (0, 480_000, 60_000), limits()).unwrap().value else {
            panic!("{text} is no matrix")
        };
        for t in (0..=480_000).step_by(60_000) {
            let at =
                |row: &Row| row.samples.iter().find(|sample| sample.t == t).map(|sample| (row.labels.clone(), *sample));
            let got: Vec<_> = rows.iter().filter_map(at).collect();
            let Value::Vector(want) = instant(&store, &query, t, limits()).unwrap().value else {
                panic!("{text} is no vector")
            };
            let mut want: Vec<_> = want.into_iter().map(|element| (element.labels, element.sample)).collect();
            want.sort_by(|a, b| a.0.cmp(&b.0));
            assert_eq!(got, want, "{text} at {t}");
        }
    }
}

#[test]
fn extreme_times_and_growing_labels_end_without_a_crash() {
    let store = shop();
    let texts = [
        "requests",
        "rate(requests[100y])",
        "max_over_time(requests[100y:1y] offset -200y)",
        "requests @ -9e15",
        "time()",
    ];
    for text in texts {
        let query = Query::parse(text).unwrap();
        for at in [i64::MIN, i64::MIN / 1000, -1, 0, i64::MAX / 1000, i64::MAX] {
            let answered = instant(&store, &query, at, limits());
            assert!(!matches!(answered, Err(QueryError::Store(_))), "{text} at {at}");
            let spanned = range(&store, &query, (at, at.saturating_add(10), 5), limits());
            assert!(!matches!(spanned, Err(QueryError::Store(_))), "{text} from {at}");
        }
    }
    let mut text = "limit{dc=\"a\"}".to_owned();
    for _ in 0..40 {
        text = format!("label_replace({text}, \"dc\", \"$1$1$1$1\", \"dc\", \"(.*)\")");
    }
    let grown = ask(&store, &text, 0);
    assert!(matches!(grown, Err(QueryError::Limit(_))), "{grown:?}");
}
