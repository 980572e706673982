//! The metric request against opentelemetry-proto, and the bounds of a round.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point::Value};
use prost::Message;

use super::*;

const TIME: Desc = Desc::counter("system.cpu.time", "s", "Seconds by state.");
const LOAD: Desc = Desc::gauge("system.cpu.load_average.1m", "{thread}", "Load average over one minute.");
const USED: Desc = Desc::updown("system.memory.usage", "By", "Bytes by state.");

fn decode(bytes: &[u8]) -> Vec<opentelemetry_proto::tonic::metrics::v1::Metric> {
    let mut request = ExportMetricsServiceRequest::decode(bytes).unwrap();
    assert_eq!(request.resource_metrics.len(), 1);
    request.resource_metrics.remove(0).scope_metrics.remove(0).metrics
}

#[test]
fn each_kind_decodes_with_its_points_temporality_and_times() {
    let mut samples = Samples::default();
    samples.put_with(&TIME, &[("cpu.mode", "user")], 12.5);
    samples.put(&LOAD, 0.25);
    samples.put_with(&TIME, &[("cpu.mode", "idle"), ("empty", "")], 90u64);
    samples.put(&USED, -3i64);
    let metrics = decode(&samples.encode(&Resource::new("host", "box", &[]), 100, 200));
    assert_eq!(
        metrics.iter().map(|metric| metric.name.as_str()).collect::<Vec<_>>(),
        [TIME.name, LOAD.name, USED.name]
    );
    let Some(Data::Sum(time)) = &metrics[0].data else { panic!("no sum") };
    assert!(time.is_monotonic);
    assert_eq!(time.aggregation_temporality, 2);
    assert_eq!((time.data_points[0].start_time_unix_nano, time.data_points[0].time_unix_nano), (100, 200));
    assert_eq!(time.data_points[0].value, Some(Value::AsDouble(12.5)));
    assert_eq!(time.data_points[1].value, Some(Value::AsInt(90)));
    assert_eq!(time.data_points[1].attributes.len(), 1, "an empty value is no attribute");
    let Some(Data::Gauge(load)) = &metrics[1].data else { panic!("no gauge") };
    assert_eq!(load.data_points[0].value, Some(Value::AsDouble(0.25)));
    let Some(Data::Sum(used)) = &metrics[2].data else { panic!("no sum") };
    assert!(!used.is_monotonic);
}

#[test]
fn a_histogram_decodes_with_its_buckets() {
    let metric = Metric { name: "d".into(), kind: Kind::Histogram, unit: "s".into(), help: "".into() };
    let mut samples = Samples::default();
    let histogram = Histogram { bounds: vec![0.1, 1.0], counts: vec![3, 2, 1], sum: 4.5 };
    samples.put_metric(&metric, &[("route", "/")], Point::Histogram(histogram));
    let metrics = decode(&samples.encode(&Resource::new("shop", "box", &[]), 1, 2));
    let Some(Data::Histogram(data)) = &metrics[0].data else { panic!("no histogram") };
    let point = &data.data_points[0];
    assert_eq!((point.count, point.sum), (6, Some(4.5)));
    assert_eq!((point.bucket_counts.as_slice(), point.explicit_bounds.as_slice()), (&[3, 2, 1][..], &[0.1, 1.0][..]));
    assert_eq!(point.attributes[0].key, "route");
}

#[test]
fn a_series_stands_once_in_a_round_whatever_the_order_of_its_attributes() {
    let mut samples = Samples::default();
    samples.put_with(&TIME, &[("a", "1"), ("b", "2")], 1u64);
    samples.put_with(&TIME, &[("b", "2"), ("a", "1")], 2u64);
    assert_eq!((samples.samples().len(), samples.repeated()), (1, 1));
}

#[test]
fn a_round_stops_at_its_series_and_cuts_values_at_a_character() {
    let mut samples = Samples::new(Limits { series: 2, value_bytes: 3 });
    for name in ["äää", "b", "c", "d"] {
        samples.put_with(&TIME, &[("name", name)], 1u64);
    }
    assert_eq!((samples.samples().len(), samples.over_limit()), (2, 2));
    assert_eq!(&*samples.samples()[0].attributes[0].1, "ä");
}

#[test]
fn names_without_end_are_bounded_as_series_are() {
    const NAMES: usize = 1_000_000;
    // Were each name compared with all that came before, this would take hours.
    let mut samples = Samples::new(Limits { series: NAMES / 2, value_bytes: 3 });
    let put = |samples: &mut Samples, number: usize| {
        let metric = Metric { name: format!("n{number}").into(), kind: Kind::Gauge, unit: "".into(), help: "".into() };
        samples.put_metric(&metric, &[], Point::Number(Number::Int(1)));
    };
    (0..NAMES).for_each(|number| put(&mut samples, number));
    assert_eq!((samples.metrics().len(), samples.samples().len()), (NAMES / 2, NAMES / 2));
    assert_eq!(samples.over_limit(), NAMES as u64 / 2);
    samples.allow(1);
    samples.put_with(&TIME, &[], 1u64);
    assert_eq!(samples.metrics().len(), NAMES / 2 + 1);
    // A name that stood earlier is the same metric.
    samples.clear();
    for number in [1, 2, 1] {
        put(&mut samples, number);
    }
    assert_eq!((samples.metrics().len(), samples.repeated()), (2, 1));
}

#[test]
fn an_empty_round_is_no_frame() {
    let resource = Resource::new("host", "box", &[]);
    let frame = Samples::default().seal("", &resource, (1, 2), Codec::Identity, |raw| Ok(raw.to_vec())).unwrap();
    assert!(frame.is_none());
}
