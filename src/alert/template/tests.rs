//! Templates: what rules write, Go's numbers, errors, hostile texts.

use super::*;
use crate::base::go::{self, general};
use crate::store::Sample;

fn labels() -> Labels {
    Labels::new([("instance", "shop-db-1.example.org:5432"), ("job", "postgresql"), ("mode", "a<b")])
}

fn expand(text: &str, value: f64) -> Result<String, String> {
    let labels = labels();
    let external = Labels::new([("region", "eu")]);
    let data = Data { labels: &labels, value, external_labels: &external, external_url: "http://h:1/p", now: 60_000 };
    let mut answer = |query: &str| match query {
        "none" => Ok(Vec::new()),
        "bad" => Err("parse error".to_owned()),
        _ => {
            let element = |name: &str, v| Element { labels: Labels::new([("a", name)]), sample: Sample { t: 0, v } };
            Ok(vec![element("y", 1.0), element("x", 2.5)])
        }
    };
    let ask = RefCell::new(&mut answer as &mut dyn FnMut(&str) -> Result<Vec<Element>, String>);
    Template::parse(text).map_err(|error| error.what)?.expand_as("A", &data, &ask)
}

fn is(text: &str, value: f64, wanted: &str) {
    assert_eq!(expand(text, value).as_deref(), Ok(wanted), "{text}");
}

#[test]
fn what_public_rules_write_is_expanded() {
    is(
        "{{ $labels.instance }} of {{.Labels.job}}: {{ $value }}{{ $labels.none }}",
        1.5,
        "shop-db-1.example.org:5432 of postgresql: 1.5",
    );
    is("{{ $value | humanize }}", 1_234_567.0, "1.235M");
    is("{{ $value | humanize1024 }}B", 1536.0, "1.5kiB");
    is("{{ humanizePercentage $value }}", 0.12345, "12.35%");
    is("{{ $value | humanizeDuration }}", 93_784.0, "1d 2h 3m 4s");
    is(
        "{{ printf \"%.2f\" $value }}|{{ printf \"%5.1f|%-6s|%06d|%q|%x|%t|%v\" $value \"a\" 42 \"b\" 255 true nil }}",
        2.345,
        "2.35|  2.3|a     |000042|\"b\"|ff|true|<nil>",
    );
    is("{{ if gt $value 2.0 }}high{{ else if eq $value 1.0 }}one{{ else }}low{{ end }}", 1.0, "one");
    is(
        "{{ with $labels.none }}x{{ else }}nothing{{ end }}{{ with query \"q\" }}{{ . | first | value }}{{ end }}",
        1.0,
        "nothing1",
    );
    is("{{ range query \"q\" | sortByLabel \"a\" }}{{ .Labels.a }}={{ .Value }} {{ end }}", 0.0, "x=2.5 y=1 ");
    is(
        "{{ range $k, $v := $labels }}{{ if eq $k \"job\" }}{{ continue }}{{ end }}{{ $k }},{{ end }}",
        0.0,
        "instance,mode,",
    );
    is("{{ range $i, $s := query \"q\" }}{{ $i }}{{ $s.Labels.a }}{{ break }}{{ else }}-{{ end }}", 0.0, "0y");
    is("a  {{- /* no */ -}}  b {{- 1 -}} c", 0.0, "ab1c");
    is("{{ define \"t\" }}[{{ .arg0 }}{{ .arg1 }}]{{ end }}{{ template \"t\" (args 1 \"x\") }}", 0.0, "[1x]");
    is("{{ block \"b\" $value }}<{{ . }}>{{ end }}", 3.0, "<3>");
    is("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", 0.0, "2");
}

#[test]
fn the_functions_of_prometheus_and_go_do_as_there() {
    is(
        "{{ $labels.instance | stripDomain }} {{ stripPort $labels.instance }} {{ stripDomain \"10.0.0.1:9\" }}",
        0.0,
        "shop-db-1:5432 shop-db-1.example.org 10.0.0.1:9",
    );
    is(
        "{{ reReplaceAll \"(.*):.*\" \"$1\" $labels.instance }} {{ match \"^po\" $labels.job }}",
        0.0,
        "shop-db-1.example.org true",
    );
    is(
        "{{ title \"hello big world\" }} {{ toUpper \"a\" }} {{ len $labels }} {{ index $labels \"job\" }} {{ slice \"abcd\" 1 3 }}",
        0.0,
        "Hello Big World A 3 postgresql bc",
    );
    is(
        "{{ html $labels.mode }} {{ urlquery \"a b&c\" }} {{ js \"it's\" }} {{ print 1 2 \"x\" 3 }}",
        0.0,
        "a&lt;b a+b%26c it\\'s 1 2x3",
    );
    is("{{ and 1 0 }} {{ or \"\" \"x\" }} {{ not false }} {{ (query \"q\" | first).Labels.a }}", 0.0, "0 x true y");
    is(
        "{{ $externalLabels.region }} {{ externalURL }} {{ pathPrefix }} {{ $externalURL }} {{ now }}",
        0.0,
        "eu http://h:1/p /p http://h:1/p 60",
    );
    is(
        "{{ humanizeTimestamp 1700000000.5 }} {{ toTime 0 }} {{ toDuration 3661.5 }} {{ parseDuration \"1h30m\" }}",
        0.0,
        "2023-11-14 22:13:20.5 +0000 UTC 1970-01-01 00:00:00 +0000 UTC 1h1m1.5s 5400",
    );
    is(
        "{{ $value }} {{ printf \"%v %g %e\" $value $value $value }}",
        123_456_789.0,
        "1.23456789e+08 1.23456789e+08 1.23456789e+08 1.234568e+08",
    );
}

#[test]
fn numbers_are_written_as_go_writes_them() {
    for (value, shortest, four) in [
        (0.0, "0", "0"),
        (100_000.0, "100000", "1e+05"),
        (1_000_000.0, "1e+06", "1e+06"),
        (0.0001, "0.0001", "0.0001"),
        (0.00001, "1e-05", "1e-05"),
        (99_999.0, "99999", "1e+05"),
        (1234.5, "1234.5", "1234"),
        (-0.5, "-0.5", "-0.5"),
        (f64::INFINITY, "+Inf", "+Inf"),
        (f64::NAN, "NaN", "NaN"),
    ] {
        assert_eq!((general(value, None), general(value, Some(4))), (shortest.into(), four.into()));
    }
    assert_eq!((go::duration(1_500_000), go::duration(-90_000_000_000)), ("1.5ms".into(), "-1m30s".into()));
}

#[test]
fn errors_of_execution_have_prometheus_words() {
    let error = expand("{{ query \"none\" | first | value }}", 0.0).unwrap_err();
    let at = PREFIX.len() + 18;
    assert_eq!(
        error,
        format!(
            "error executing template __alert_A: template: __alert_A:1:{at}: executing \"__alert_A\" at <first>: \
             error calling first: first() called on vector with no elements"
        )
    );
    for (text, words) in [
        ("{{ eq $value 1 }}", "incompatible types for comparison: float64 and int"),
        ("{{ toUpper $value }}", "wrong type for value; expected string; got float64"),
        ("{{ $value.x }}", "can't evaluate field x"),
        ("{{ humanize \"x\" }}", "error calling humanize: strconv.ParseFloat: parsing \"x\": invalid syntax"),
        ("{{ template \"none\" }}", "template \"none\" not defined"),
        ("{{ query \"bad\" }}", "error calling query: parse error"),
        ("{{ slice \"a\" 2 }}", "index out of range: 2"),
        ("{{ first 1 }}", "can't handle 1 for arg of type template.queryResult"),
        ("{{ humanize }}", "wrong number of args for humanize: want 1 got 0"),
    ] {
        let error = expand(text, 1.0).unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn what_is_no_template_is_told_with_its_place() {
    for (text, at, words) in [
        ("a {{ nofunc }}", 5, "function \"nofunc\" not defined"),
        ("{{ $x }}", 3, "undefined variable \"$x\""),
        ("{{ if true }}", 13, "unexpected EOF"),
        ("{{ end }}", 3, "unexpected {{end}}"),
        ("{{ \"a }}", 3, "unterminated quoted string"),
        ("{{ break }}", 3, "outside {{range}}"),
        ("{{ (1 }}", 6, "unclosed left paren"),
        ("{{ }}", 3, "missing value for command"),
        ("{{ 1 | }}", 5, "missing value"),
        ("{{ if }}x{{ end }}", 6, "missing value for if"),
        ("{{/* x }}", 2, "unclosed comment"),
        ("{{ $labels.a$b }}", 12, "bad character"),
        ("{{ 1 | 2 }}", 7, "non executable command"),
    ] {
        let error = Template::parse(text).unwrap_err();
        assert!(error.what.contains(words), "{text}: {error}");
        assert!(error.at.abs_diff(at) <= 4, "{text}: {} is not near {at}", error.at);
    }
}

#[test]
fn hostile_templates_end_clearly() {
    let endless = "{{ define \"a\" }}{{ template \"a\" . }}{{ end }}{{ template \"a\" . }}";
    assert!(expand(endless, 0.0).unwrap_err().contains("exceeded maximum template depth"));
    let steps = "{{ range 1000000000 }}{{ range 1000000000 }}{{ end }}{{ end }}";
    assert!(expand(steps, 0.0).unwrap_err().contains("steps"));
    let output = "{{ range 10000 }}{{ printf \"%1000d\" 1 }}{{ end }}";
    assert!(expand(output, 0.0).unwrap_err().contains("64 KiB"));
    let queries = "{{ range 100 }}{{ query \"q\" | first | value }}{{ end }}";
    assert!(expand(queries, 0.0).unwrap_err().contains("more than 20 queries"));
    assert!(expand(&"{{ if true }}".repeat(10_000), 0.0).unwrap_err().contains("nested deeper"));
    assert!(expand(&format!("{{{{ {} }}}}", "(".repeat(10_000)), 0.0).is_err());
    let grow =
        "{{ reReplaceAll \"\" (printf \"%900d\" 1) (printf \"%900d\" 1) | reReplaceAll \"\" (printf \"%900d\" 1) }}";
    assert!(expand(grow, 0.0).is_err());
    assert!(expand("{{ match \"(a{1000}){1000}\" \"a\" }}", 0.0).unwrap_err().contains("regexp"));
    is("{{ $labels.mode }}", 0.0, "a<b");
}
