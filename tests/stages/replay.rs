//! A fixture in other times: it ends now, and hours of health lie before it.
//!
//! The history is made of the stretch between the marks `healthy` and `fault`: gauges repeat its values, and what only
//! grows has grown at its pace all the time. So counters stand higher in the replay than where they were recorded,
//! until their source starts anew.

use std::collections::BTreeMap;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Text;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::fixture::{Entry, Fixture};
use super::harness;
use super::points::{self, Key, Point, Series};

/// Between two points of the last hour of the history: two of them are in each minute, the shortest range that boards
/// ask for. Before that hour two minutes are enough for the ranges of rules, and a quarter of the work.
const STEP: u64 = 30_000_000_000;
const EARLY: u64 = 4 * STEP;
const HOUR: u64 = 3_600_000_000_000;

/// Requests of both kinds by time, and when it broke.
pub(crate) struct Replay {
    pub(crate) metrics: Vec<(u64, ExportMetricsServiceRequest)>,
    pub(crate) logs: Vec<ExportLogsServiceRequest>,
    pub(crate) begin: u64,
    pub(crate) fault: u64,
    pub(crate) end: u64,
}

/// What the healthy stretch tells of a series.
struct Known {
    series: Series,
    points: Vec<Point>,
    /// By second, of each number that only grows.
    pace: Vec<f64>,
}

impl Replay {
    /// One that ends at `end`; with `twins` each box has one beside it that stays healthy.
    pub(crate) fn new(fixture: &Fixture, end: u64, history: Duration, twins: bool) -> Self {
        let shift = |time: u64| (time + end).saturating_sub(fixture.end());
        let (healthy, fault) = (shift(fixture.mark("healthy")), shift(fixture.mark("fault")));
        let begin = end - history.as_nanos() as u64;
        let mut recorded = Vec::new();
        let mut logs = Vec::new();
        for (at, entry) in &fixture.0 {
            match entry {
                Entry::Metrics(request) if shift(*at) >= healthy => {
                    let mut points = points::each(request);
                    for (_, _, point) in &mut points {
                        point.set_time(shift(point.time()), begin);
                    }
                    recorded.push((shift(*at), points));
                }
                Entry::Logs(request) => logs.push(moved(request, &shift)),
                _ => {}
            }
        }
        let known = known(recorded.iter().flat_map(|(_, points)| points), fault);
        let mut metrics: Vec<_> = times(begin, healthy).map(|at| (at, round(&known, begin, at))).collect();
        if twins {
            let twins = known.iter().map(|(key, known)| (key.clone(), known.twin())).collect();
            metrics.extend(times(begin, end).map(|at| (at, round(&twins, begin, at))));
        }
        metrics.extend(raised(recorded, &known, begin));
        metrics.sort_by_key(|(at, _)| *at);
        Self { metrics, logs, begin, fault, end }
    }

    /// Sends all of it.
    pub(crate) fn send(&self, prometheus: u16, loki: u16) {
        for (_, request) in &self.metrics {
            post(prometheus, "/api/v1/otlp/v1/metrics", &request.encode_to_vec());
        }
        for request in &self.logs {
            post(loki, "/otlp/v1/logs", &request.encode_to_vec());
        }
    }
}

fn post(port: u16, path: &str, body: &[u8]) {
    let (status, answer) =
        harness::http(port, "POST", path, &[("Content-Type", "application/x-protobuf")], body).unwrap();
    assert!(status == 200 || status == 204, "{path}: {status} {}", String::from_utf8_lossy(&answer));
}

fn moved(request: &ExportLogsServiceRequest, shift: &impl Fn(u64) -> u64) -> ExportLogsServiceRequest {
    let mut request = request.clone();
    let scopes = request.resource_logs.iter_mut().flat_map(|resource| &mut resource.scope_logs);
    for record in scopes.flat_map(|scope| &mut scope.log_records) {
        for time in [&mut record.time_unix_nano, &mut record.observed_time_unix_nano] {
            *time = if *time == 0 { 0 } else { shift(*time) };
        }
    }
    request
}

fn known<'a>(points: impl Iterator<Item = &'a (Key, Series, Point)>, fault: u64) -> BTreeMap<Key, Known> {
    let mut all: BTreeMap<Key, Known> = BTreeMap::new();
    for (key, series, point) in points.filter(|(_, _, point)| point.time() < fault) {
        let new = || Known { series: series.clone(), points: Vec::new(), pace: Vec::new() };
        all.entry(key.clone()).or_insert_with(new).points.push(point.clone());
    }
    for known in all.values_mut() {
        let (first, last) = (&known.points[0], known.points.last().unwrap());
        let seconds = last.time().saturating_sub(first.time()) as f64 / 1e9;
        let grown = first.counts().into_iter().zip(last.counts()).map(|(first, last)| last - first);
        known.pace = grown.map(|grown| if seconds > 0.0 { (grown / seconds).max(0.0) } else { 0.0 }).collect();
    }
    all
}

impl Known {
    /// The numbers that only grow, as they were at `at` had they begun at `begin` with what they have.
    fn counts(&self, begin: u64, at: u64) -> Vec<f64> {
        let first = self.points[0].counts();
        let seconds = (at - begin) as f64 / 1e9;
        first.iter().zip(&self.pace).map(|(first, pace)| first + pace * seconds).collect()
    }

    /// How much more than recorded the numbers are that only grow.
    fn raise(&self, begin: u64) -> Vec<f64> {
        let seconds = (self.points[0].time() - begin) as f64 / 1e9;
        self.pace.iter().map(|pace| pace * seconds).collect()
    }

    fn twin(&self) -> Self {
        let mut series = self.series.clone();
        rename(&mut series.resource);
        Self { series, points: self.points.clone(), pace: self.pace.clone() }
    }
}

/// The name of a box becomes another one's: `shop-1` is `shop-1-twin`, and `shop-1:5432` is `shop-1-twin:5432`.
fn rename(resource: &mut Resource) {
    for attribute in &mut resource.attributes {
        if ["host.name", "service.instance.id"].contains(&attribute.key.as_str())
            && let Some(Text::StringValue(text)) = attribute.value.as_mut().and_then(|value| value.value.as_mut())
        {
            let (name, port) =
                text.split_once(':').map_or((text.as_str(), String::new()), |(name, port)| (name, format!(":{port}")));
            *text = format!("{name}-twin{port}");
        }
    }
}

/// The times of the rounds of a history that ends before `end`.
fn times(begin: u64, end: u64) -> impl Iterator<Item = u64> {
    let late = begin.max(end.saturating_sub(HOUR));
    (begin..late).step_by(EARLY as usize).chain((late..end).step_by(STEP as usize))
}

/// All series at one time of the history.
fn round(known: &BTreeMap<Key, Known>, begin: u64, at: u64) -> ExportMetricsServiceRequest {
    let number = ((at - begin) / STEP) as usize;
    points::request(known.values().map(|known| {
        let mut point = known.points[number % known.points.len()].clone();
        point.set_counts(&known.counts(begin, at));
        point.set_time(at, begin);
        (&known.series, point)
    }))
}

/// When a round was taken (Unix nanoseconds), and its points.
type Round = (u64, Vec<(Key, Series, Point)>);

/// What was recorded, with its counters as high as the history has made them.
fn raised(recorded: Vec<Round>, known: &BTreeMap<Key, Known>, begin: u64) -> Vec<(u64, ExportMetricsServiceRequest)> {
    // Of each series the numbers that it had, and by how much they are raised.
    let mut state: BTreeMap<Key, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    let mut requests = Vec::new();
    for (at, mut points) in recorded {
        for (key, _, point) in &mut points {
            let counts = point.counts();
            if counts.is_empty() {
                continue;
            }
            let raise = || known.get(key).map_or_else(|| vec![0.0; counts.len()], |known| known.raise(begin));
            let (before, raise) = state.entry(key.clone()).or_insert_with(|| (counts.clone(), raise()));
            if before.iter().zip(&counts).any(|(before, now)| now < before) {
                raise.fill(0.0);
            }
            *before = counts.clone();
            let higher: Vec<f64> = counts.iter().zip(raise.iter()).map(|(count, raise)| count + raise).collect();
            point.set_counts(&higher);
        }
        requests.push((at, points::request(points.iter().map(|(_, series, point)| (series, point.clone())))));
    }
    requests
}
