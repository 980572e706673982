//! Splitting, compared with what `opentelemetry-proto` makes of the same bytes.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, metric::Data,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use proptest::prelude::*;
use prost::Message;

use super::*;

fn resource(name: &str) -> Option<Resource> {
    let value = Some(AnyValue { value: Some(Value::StringValue(name.into())) });
    Some(Resource {
        attributes: vec![KeyValue { key: "service.name".into(), value, ..Default::default() }],
        ..Default::default()
    })
}

/// `shape`: records of each scope of each resource.
fn logs(shape: &[Vec<u8>]) -> ExportLogsServiceRequest {
    let mut time = 0;
    let resource_logs = shape.iter().enumerate().map(|(number, scopes)| ResourceLogs {
        resource: resource(&format!("service {number}")),
        scope_logs: scopes
            .iter()
            .map(|records| ScopeLogs {
                scope: Some(InstrumentationScope { name: "a scope".into(), ..Default::default() }),
                log_records: (0..*records)
                    .map(|_| {
                        time += 1;
                        LogRecord { time_unix_nano: time, ..Default::default() }
                    })
                    .collect(),
                schema_url: "scope schema".into(),
            })
            .collect(),
        schema_url: "resource schema".into(),
    });
    ExportLogsServiceRequest { resource_logs: resource_logs.collect() }
}

/// Who made each record, and its time, in order.
fn times(request: &ExportLogsServiceRequest) -> Vec<(String, u64)> {
    let mut out = Vec::new();
    for resource in &request.resource_logs {
        assert_eq!(resource.schema_url, "resource schema");
        for scope in &resource.scope_logs {
            assert_eq!(
                (scope.scope.as_ref().unwrap().name.as_str(), scope.schema_url.as_str()),
                ("a scope", "scope schema")
            );
            let from = format!("{:?}", resource.resource);
            out.extend(scope.log_records.iter().map(|record| (from.clone(), record.time_unix_nano)));
        }
    }
    out
}

/// One metric of each kind, two points each, except an empty one.
fn metrics() -> ExportMetricsServiceRequest {
    let at = |time| NumberDataPoint { time_unix_nano: time, ..Default::default() };
    let data = [
        Data::Gauge(Gauge { data_points: vec![at(1), at(2)] }),
        Data::Sum(Sum { data_points: vec![at(3), at(4)], aggregation_temporality: 2, is_monotonic: true }),
        Data::Gauge(Gauge::default()),
        Data::Histogram(Histogram { data_points: vec![HistogramDataPoint::default(); 2], aggregation_temporality: 2 }),
        Data::ExponentialHistogram(ExponentialHistogram {
            data_points: vec![ExponentialHistogramDataPoint::default(); 2],
            aggregation_temporality: 2,
        }),
        Data::Summary(Summary { data_points: vec![SummaryDataPoint::default(); 2] }),
    ];
    let metrics = data.into_iter().enumerate().map(|(number, data)| Metric {
        name: format!("metric.{number}"),
        unit: "s".into(),
        data: Some(data),
        ..Default::default()
    });
    let scope = ScopeMetrics { metrics: metrics.collect(), ..Default::default() };
    let resource = ResourceMetrics { resource: resource("x"), scope_metrics: vec![scope], ..Default::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource] }
}

#[test]
fn a_metric_request_splits_inside_a_metric_and_keeps_what_its_points_mean() {
    let raw = metrics().encode_to_vec();
    assert_eq!(count(Signal::Metrics, &raw), Ok(10));
    let halves = halve(Signal::Metrics, &raw).unwrap().unwrap();
    assert_eq!((halves.first_records, halves.second_records), (5, 5));
    let first = ExportMetricsServiceRequest::decode(&halves.first[..]).unwrap();
    let second = ExportMetricsServiceRequest::decode(&halves.second[..]).unwrap();
    let names = |request: &ExportMetricsServiceRequest| -> Vec<String> {
        request.resource_metrics[0].scope_metrics[0].metrics.iter().map(|metric| metric.name.clone()).collect()
    };
    // The empty gauge is in neither half.
    assert_eq!(names(&first), ["metric.0", "metric.1", "metric.3"]);
    assert_eq!(names(&second), ["metric.3", "metric.4", "metric.5"]);
    let Some(Data::Sum(sum)) = &first.resource_metrics[0].scope_metrics[0].metrics[1].data else { panic!("no sum") };
    assert!(sum.is_monotonic && sum.aggregation_temporality == 2 && sum.data_points.len() == 2);
    assert_eq!(first.resource_metrics[0].resource, resource("x"));
    assert_eq!(second.resource_metrics[0].resource, resource("x"));
}

#[test]
fn spans_are_split_like_records() {
    let scope = ScopeSpans { spans: vec![Span::default(); 3], ..Default::default() };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans: vec![scope], ..Default::default() }],
    };
    let halves = halve(Signal::Traces, &request.encode_to_vec()).unwrap().unwrap();
    let spans =
        |raw: &[u8]| ExportTraceServiceRequest::decode(raw).unwrap().resource_spans[0].scope_spans[0].spans.len();
    assert_eq!((spans(&halves.first), spans(&halves.second)), (1, 2));
}

#[test]
fn a_single_record_and_an_empty_request_have_no_halves() {
    for shape in [vec![], vec![vec![]], vec![vec![0, 0]], vec![vec![1]], vec![vec![0], vec![1, 0]]] {
        assert_eq!(halve(Signal::Logs, &logs(&shape).encode_to_vec()), Ok(None), "{shape:?}");
    }
}

#[test]
fn torn_and_foreign_bytes_are_an_error() {
    let raw = logs(&[vec![3]]).encode_to_vec();
    for cut in 1..raw.len() {
        assert!(count(Signal::Logs, &raw[..cut]).is_err(), "cut at {cut}");
    }
    let wide = [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for bytes in [&b"\x0b"[..], b"\x00\x00", b"plain text", &wide, &[0xff; 11]] {
        assert_eq!(count(Signal::Logs, bytes), Err(Malformed), "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn the_halves_have_all_records_once_and_in_order(
        shape in proptest::collection::vec(proptest::collection::vec(0..6_u8, 0..4), 0..4),
    ) {
        let request = logs(&shape);
        let raw = request.encode_to_vec();
        let all = times(&request);
        prop_assert_eq!(count(Signal::Logs, &raw), Ok(all.len() as u64));
        match halve(Signal::Logs, &raw).unwrap() {
            None => prop_assert!(all.len() < 2),
            Some(halves) => {
                let mut both = times(&ExportLogsServiceRequest::decode(&halves.first[..]).unwrap());
                prop_assert_eq!(both.len() as u64, halves.first_records);
                both.extend(times(&ExportLogsServiceRequest::decode(&halves.second[..]).unwrap()));
                prop_assert_eq!(both, all);
            }
        }
    }

    #[test]
    fn whatever_the_bytes_nothing_panics_and_the_counts_agree(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut spoiled = metrics().encode_to_vec();
        for (at, byte) in flips {
            let at = at.index(spoiled.len());
            spoiled[at] = byte;
        }
        for raw in [bytes, spoiled] {
            for signal in [Signal::Logs, Signal::Metrics, Signal::Traces] {
                if let Ok(Some(halves)) = halve(signal, &raw) {
                    prop_assert_eq!(count(signal, &halves.first), Ok(halves.first_records));
                    prop_assert_eq!(count(signal, &halves.second), Ok(halves.second_records));
                }
            }
        }
    }
}
