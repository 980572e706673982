//! Names against a table that Prometheus' own translator made, and series from rounds.

use super::*;
use crate::signal::metrics::{Desc, Samples};

/// `M name kind unit expected` and `L name expected`, `-` for an error: the answers of
/// github.com/prometheus/otlptranslator 1.0.0 with the defaults of Prometheus 3.
const TABLE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/prometheus/otlp-names-otlptranslator-1.0.0.tsv"));

#[test]
fn every_name_of_the_table_is_what_prometheus_makes_of_it() {
    let mut rows = 0;
    for line in TABLE.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let (made, expected) = match fields.as_slice() {
            ["M", name, kind, unit, expected] => (metric_name(name, kind_of(kind), unit), *expected),
            ["L", name, expected] => (label_name(name), *expected),
            other => panic!("unknown row {other:?}"),
        };
        assert_eq!(made.as_deref().unwrap_or("-"), expected, "{line:?}");
        rows += 1;
    }
    assert!(rows > 500, "only {rows} rows");
}

fn kind_of(name: &str) -> Kind {
    match name {
        "Gauge" => Kind::Gauge,
        "Counter" => Kind::Counter,
        "UpDown" => Kind::UpDown,
        "Histogram" => Kind::Histogram,
        other => panic!("unknown kind {other}"),
    }
}

fn owned(labels: &[(&str, &str)]) -> Labels {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn attributes_that_become_one_label_are_joined_in_the_order_of_their_names() {
    let resource = Resource::new("shop", "box", &[]);
    let made = labels(&resource, [("http.method", "GET"), ("http/method", "POST"), ("http_method", "PUT")]);
    assert_eq!(made, owned(&[("http_method", "GET;POST;PUT"), ("instance", "box"), ("job", "shop")]));
}

#[test]
fn no_attribute_can_set_job_instance_or_the_name() {
    let resource = Resource::new("shop", "box", &[("service.namespace", "eu")]);
    let made = labels(&resource, [("__name__", "evil"), ("instance", "evil"), ("job", "evil"), ("x", "1")]);
    assert_eq!(made, owned(&[("instance", "box"), ("job", "eu/shop"), ("x", "1")]));
}

#[test]
fn a_resource_without_names_has_no_job_and_no_instance() {
    let resource = Resource::new("", "", &[("service.namespace", "eu"), ("host.name", "box")]);
    assert!(labels(&resource, []).is_empty());
    assert_eq!(target_info(&resource), None, "nothing says whose attributes they are");
}

#[test]
fn target_info_holds_the_other_attributes_of_the_resource() {
    let resource = Resource::new("shop", "box", &[("host.name", "box"), ("os.type", "linux")]);
    let expected = [("host_name", "box"), ("instance", "box"), ("job", "shop"), ("os_type", "linux")];
    assert_eq!(target_info(&resource), Some(owned(&expected)));
    assert_eq!(target_info(&Resource::new("shop", "box", &[("service.namespace", "eu")])), None, "no others");
}

#[test]
fn metrics_of_one_prometheus_name_are_one_family() {
    const ONE: Desc = Desc::counter("http.requests", "1", "Requests.");
    const TWO: Desc = Desc::counter("http_requests_total", "", "The same.");
    let mut samples = Samples::default();
    samples.put_with(&ONE, &[("a", "1")], 3u64);
    samples.put_with(&TWO, &[("a", "2")], 4.5);
    let made = families(&Resource::new("shop", "box", &[]), samples.metrics(), samples.samples());
    assert_eq!((made.len(), made[0].name.as_str(), made[0].kind), (1, "http_requests_total", "counter"));
    assert_eq!(made[0].series.iter().map(|series| series.value).collect::<Vec<_>>(), [3.0, 4.5]);
}

#[test]
fn a_histogram_becomes_summed_up_buckets_a_sum_and_a_count() {
    let metric = Metric { name: "d".into(), kind: Kind::Histogram, unit: "s".into(), help: "".into() };
    let histogram = Histogram { bounds: vec![0.005, 1.0, 1e21], counts: vec![3, 2, 0, 1], sum: 4.5 };
    let mut samples = Samples::default();
    samples.put_metric(&metric, &[("zone", "a"), ("le", "evil")], Point::Histogram(histogram));
    let made = families(&Resource::new("shop", "", &[]), samples.metrics(), samples.samples());
    assert_eq!((made[0].name.as_str(), made[0].kind), ("d_seconds", "histogram"));
    let buckets: Vec<(&str, f64)> =
        made[0].series.iter().filter(|series| series.suffix == "_bucket").map(|s| (bound_of(s), s.value)).collect();
    assert_eq!(buckets, [("0.005", 3.0), ("1", 5.0), ("1000000000000000000000", 5.0), ("+Inf", 6.0)]);
    let names: Vec<&str> = made[0].series[0].labels.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["job", "le", "zone"]);
    assert_eq!(
        made[0].series[4..].iter().map(|s| (s.suffix, s.value)).collect::<Vec<_>>(),
        [("_sum", 4.5), ("_count", 6.0)]
    );
}

fn bound_of(series: &Series) -> &str {
    series.labels.iter().find(|(name, _)| name == "le").map_or("", |(_, value)| value)
}
