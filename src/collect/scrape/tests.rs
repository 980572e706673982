//! The parser against both formats and hostile bodies, and what its lines become.

use super::put::Putter;
use super::text::{Fault, Line, parse};
use super::*;
use crate::signal::metrics::{Limits, Point};
use crate::signal::resource::Resource;
use crate::store::translate;

/// Every series as Prometheus would show it, with its value.
fn shown(body: &str, open_metrics: bool) -> Vec<String> {
    let mut out = Samples::new(Limits { series: 1000, value_bytes: 1024 });
    let mut putter = Putter::new(&mut out);
    parse(body.as_bytes(), open_metrics, &mut |line| putter.line(line)).unwrap();
    let mut made = Vec::new();
    for family in translate::families(&Resource::new("s", "i", &[]), out.metrics(), out.samples()) {
        for series in &family.series {
            let labels = series.labels.iter().filter(|(name, _)| !matches!(&**name, "job" | "instance"));
            let labels: Vec<_> = labels.map(|(name, value)| format!("{name}={value:?}")).collect();
            made.push(format!("{} {}{{{}}} {}", family.kind, family.name, labels.join(","), series.value));
        }
    }
    made.sort();
    made
}

fn fault(body: &[u8], open_metrics: bool) -> String {
    parse(body, open_metrics, &mut |_| {}).unwrap_err().to_string()
}

#[test]
fn names_and_labels_of_the_text_format_arrive_as_they_are() {
    let body = "# HELP http_requests_total All.\n# TYPE http_requests_total counter\n\
        http_requests_total{code=\"200\",job=\"x\",instance=\"y\"} 3 1395066363000\n\
        # TYPE a_total_b counter\na_total_b 1\n# TYPE plain counter\nplain 2\n\
        # TYPE share_ratio gauge\nshare_ratio 0.5\nnode:rate:5m{le=\"1.0\",} 4\n\
        # TYPE d histogram\nd_bucket{le=\"1\"} 1\nd_bucket{le=\"+Inf\"} 2\nd_sum 3\nd_count 2\n\
        # TYPE q summary\nq{quantile=\"0.5\"} NaN\nq_sum 1e3\nq_count 1\n  # a comment\n\n spaced \t -Inf\n\
        esc{path=\"C:\\\\D\\\"x\\ny\",empty=\"\"} +Inf";
    assert_eq!(
        shown(body, false),
        [
            "counter http_requests_total{code=\"200\",exported_instance=\"y\",exported_job=\"x\"} 3",
            "gauge a_total_b{} 1",
            "gauge d_bucket{le=\"+Inf\"} 2",
            "gauge d_bucket{le=\"1\"} 1",
            "gauge d_count{} 2",
            "gauge d_sum{} 3",
            "gauge esc{path=\"C:\\\\D\\\"x\\ny\"} inf",
            "gauge node:rate:5m{le=\"1.0\"} 4",
            "gauge plain{} 2",
            "gauge q_count{} 1",
            "gauge q_sum{} 1000",
            "gauge q{quantile=\"0.5\"} NaN",
            "gauge share_ratio{} 0.5",
            "gauge spaced{} -inf",
        ]
    );
}

#[test]
fn openmetrics_has_its_suffixes_exemplars_and_its_end() {
    let body = "# TYPE foo counter\n# UNIT foo seconds\nfoo_total 17.0 1520879607.789 # {trace_id=\"ab\"} 0.67 1\n\
        foo_created 1520430000.1\n# TYPE build info\nbuild_info{v=\"1\"} 1\n# TYPE s stateset\ns{s=\"a\"} 1\n\
        # TYPE g gaugehistogram\ng_bucket{le=\"1.0\"} 1\ng_gcount 2\n# EOF\nnever";
    assert_eq!(
        shown(body, true),
        [
            "counter foo_total{} 17",
            "gauge build_info{v=\"1\"} 1",
            "gauge foo_created{} 1520430000.1",
            "gauge g_bucket{le=\"1.0\"} 1",
            "gauge g_gcount{} 2",
            "gauge s{s=\"a\"} 1",
        ]
    );
    assert_eq!(parse(b"a 1\n", true, &mut |_| {}), Err(Fault::Unended));
}

#[test]
fn names_that_otlp_cannot_carry_are_counted_and_named() {
    let mut out = Samples::default();
    let mut putter = Putter::new(&mut out);
    let body = b"foo__bar 1\n_foo 1\nfoo_ 1\nfine{_label=\"x\"} 1\nfine{__x=\"y\"} 2\n{\"a.b\",\"c.d\"=\"e\"} 1\n";
    parse(body, false, &mut |line| putter.line(line)).unwrap();
    assert_eq!(putter.end(), (6, Some((6, "foo__bar".into()))));
}

#[test]
fn what_is_no_exposition_is_refused_with_its_line() {
    for (body, told) in [
        ("a 1\n<html>\n", "line 2: "),
        ("a\n", "line 1: a value is missing"),
        ("a one\n", "line 1: the value is no number"),
        ("a 1 2 3\n", "line 1: what follows"),
        ("a -1e400\n", "line 1: the value is no number"),
        ("1a 1\n", "line 1: no name of a metric"),
        ("a{b} 1\n", "line 1: a label without a value"),
        ("a{b=\"c} 1\n", "line 1: a quote is not closed"),
        ("a{b=\"c\\", "line 1: a quote is not closed"),
        ("a{b=\"c\" d=\"e\"} 1\n", "line 1: labels without"),
        ("a{b=\"c\",b=\"d\"} 1\n", "line 1: a label stands twice"),
        ("# TYPE a thing\n", "line 1: unknown type"),
        ("{} 1\n", "line 1: no name"),
    ] {
        assert!(fault(body.as_bytes(), false).starts_with(told), "{body:?}: {}", fault(body.as_bytes(), false));
    }
    assert_eq!(parse(b"a{b=\"\xff\"} 1\n", false, &mut |_| {}), Err(Fault::Utf8));
    let many: String = (0..100).map(|n| format!("l{n}=\"\",")).collect();
    assert!(fault(format!("a{{{many}}} 1\n").as_bytes(), false).contains("more than 64 labels"));
    assert!(fault(format!("{} 1\n", "a".repeat(1000)).as_bytes(), false).contains("512 bytes"));
}

#[test]
fn a_series_that_stands_twice_is_taken_once_and_counted() {
    let mut out = Samples::default();
    let mut putter = Putter::new(&mut out);
    parse(b"a{b=\"c\"} 1\na{b=\"c\"} 2\nup 1\n", false, &mut |line| putter.line(line)).unwrap();
    assert_eq!((out.samples().len(), out.repeated()), (1, 1));
    assert_eq!(out.samples()[0].point, Point::Number(1.0.into()));
}

#[test]
fn a_bomb_is_refused_before_it_unfolds() {
    use std::io::Write;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let zeros = vec![b'a'; 1 << 20];
    (0..64).for_each(|_| packed.write_all(&zeros).unwrap());
    let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static("gzip"))]);
    let answer = |body| Answer { headers: headers.clone(), body };
    assert!(plain(answer(packed.finish().unwrap())).unwrap_err().contains("larger than 8 MiB"));
    assert!(plain(answer(b"no gzip".to_vec())).unwrap_err().contains("no gzip"));
}

proptest::proptest! {
    #[test]
    fn no_body_makes_it_panic(body in proptest::collection::vec(proptest::sample::select(
        b"ab_:{}\"\\=, \t\n#1e+-.NITYPEHLPO\xc3\xa4\xff".to_vec()), 0..200), open_metrics: bool) {
        let _answer = parse(&body, open_metrics, &mut |line| if let Line::Sample { name, .. } = line {
            assert!(!name.is_empty());
        });
    }
}
