//! The points of OTLP metrics, one by one, each with what its series is known by.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Text;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

/// Sorts by resource, scope and metric, so that neighbours share them.
pub(crate) type Key = Vec<u8>;

#[derive(Debug, Clone)]
pub(crate) enum Point {
    Gauge(NumberDataPoint),
    Count(NumberDataPoint),
    Buckets(HistogramDataPoint),
}

/// A series without its points.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) resource: Resource,
    pub(crate) scope: InstrumentationScope,
    /// Without points.
    pub(crate) metric: Metric,
}

impl Point {
    pub(crate) fn time(&self) -> u64 {
        match self {
            Self::Gauge(point) | Self::Count(point) => point.time_unix_nano,
            Self::Buckets(point) => point.time_unix_nano,
        }
    }

    pub(crate) fn set_time(&mut self, time: u64, start: u64) {
        match self {
            Self::Gauge(point) | Self::Count(point) => {
                (point.time_unix_nano, point.start_time_unix_nano) = (time, start);
            }
            Self::Buckets(point) => (point.time_unix_nano, point.start_time_unix_nano) = (time, start),
        }
    }

    /// What only grows while its source runs, as numbers: nothing of a gauge.
    pub(crate) fn counts(&self) -> Vec<f64> {
        match self {
            Self::Gauge(_) => Vec::new(),
            Self::Count(point) => vec![number(point)],
            Self::Buckets(point) => {
                let counts = point.bucket_counts.iter().map(|count| *count as f64);
                counts.chain(point.sum).collect()
            }
        }
    }

    pub(crate) fn set_counts(&mut self, counts: &[f64]) {
        match self {
            Self::Gauge(_) => {}
            Self::Count(point) => {
                point.value = match point.value {
                    Some(Value::AsInt(_)) => Some(Value::AsInt(counts[0].round() as i64)),
                    _ => Some(Value::AsDouble(counts[0])),
                };
            }
            Self::Buckets(point) => {
                let buckets = point.bucket_counts.len();
                point.bucket_counts = counts[..buckets].iter().map(|count| count.round() as u64).collect();
                point.count = point.bucket_counts.iter().sum();
                point.sum = counts.get(buckets).copied();
            }
        }
    }

    pub(crate) fn attributes(&self) -> &[KeyValue] {
        match self {
            Self::Gauge(point) | Self::Count(point) => &point.attributes,
            Self::Buckets(point) => &point.attributes,
        }
    }
}

fn number(point: &NumberDataPoint) -> f64 {
    match point.value {
        Some(Value::AsInt(int)) => int as f64,
        Some(Value::AsDouble(double)) => double,
        None => f64::NAN,
    }
}

fn points(data: &Data) -> Vec<Point> {
    match data {
        Data::Gauge(gauge) => gauge.data_points.iter().cloned().map(Point::Gauge).collect(),
        Data::Sum(sum) if sum.is_monotonic => sum.data_points.iter().cloned().map(Point::Count).collect(),
        Data::Sum(sum) => sum.data_points.iter().cloned().map(Point::Gauge).collect(),
        Data::Histogram(histogram) => histogram.data_points.iter().cloned().map(Point::Buckets).collect(),
        other => panic!("the agent sends no {other:?}"),
    }
}

fn emptied(data: &Data) -> Data {
    let mut data = data.clone();
    match &mut data {
        Data::Gauge(gauge) => gauge.data_points.clear(),
        Data::Sum(sum) => sum.data_points.clear(),
        Data::Histogram(histogram) => histogram.data_points.clear(),
        other => panic!("the agent sends no {other:?}"),
    }
    data
}

/// Every point of a request, in its order.
pub(crate) fn each(request: &ExportMetricsServiceRequest) -> Vec<(Key, Series, Point)> {
    let mut found = Vec::new();
    for resource_metrics in &request.resource_metrics {
        let resource = resource_metrics.resource.clone().unwrap_or_default();
        for scope_metrics in &resource_metrics.scope_metrics {
            let scope = scope_metrics.scope.clone().unwrap_or_default();
            for metric in &scope_metrics.metrics {
                let data = metric.data.as_ref().expect("a metric without data");
                let metric = Metric { data: Some(emptied(data)), ..metric.clone() };
                let mut shared = resource.encode_length_delimited_to_vec();
                shared.extend(scope.encode_length_delimited_to_vec());
                shared.extend(metric.encode_length_delimited_to_vec());
                for point in points(data) {
                    let own = point.attributes().iter().flat_map(Message::encode_length_delimited_to_vec);
                    let key = shared.iter().copied().chain(own).collect();
                    let series = Series { resource: resource.clone(), scope: scope.clone(), metric: metric.clone() };
                    found.push((key, series, point));
                }
            }
        }
    }
    found
}

/// One request of these points; neighbours that share resource, scope and metric share them there.
pub(crate) fn request<'a>(points: impl Iterator<Item = (&'a Series, Point)>) -> ExportMetricsServiceRequest {
    let mut all: Vec<ResourceMetrics> = Vec::new();
    for (series, point) in points {
        if all.last().is_none_or(|last| last.resource.as_ref() != Some(&series.resource)) {
            all.push(ResourceMetrics { resource: Some(series.resource.clone()), ..ResourceMetrics::default() });
        }
        let scopes = &mut all.last_mut().unwrap().scope_metrics;
        if scopes.last().is_none_or(|last| last.scope.as_ref() != Some(&series.scope)) {
            scopes.push(ScopeMetrics { scope: Some(series.scope.clone()), ..ScopeMetrics::default() });
        }
        let metrics = &mut scopes.last_mut().unwrap().metrics;
        if metrics.last().is_none_or(|last| last.name != series.metric.name || last.unit != series.metric.unit) {
            metrics.push(series.metric.clone());
        }
        match (metrics.last_mut().unwrap().data.as_mut().unwrap(), point) {
            (Data::Gauge(gauge), Point::Gauge(point)) => gauge.data_points.push(point),
            (Data::Sum(sum), Point::Gauge(point) | Point::Count(point)) => sum.data_points.push(point),
            (Data::Histogram(histogram), Point::Buckets(point)) => histogram.data_points.push(point),
            (data, point) => panic!("{point:?} in {data:?}"),
        }
    }
    ExportMetricsServiceRequest { resource_metrics: all }
}

/// The text of an attribute; nothing of another kind.
pub(crate) fn text(attribute: &KeyValue) -> &str {
    match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Text::StringValue(text)) => text,
        _ => "",
    }
}
