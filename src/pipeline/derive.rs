//! Metrics made from log lines: counters, gauges and histograms over attributes, with bounded labels.
//!
//! They are cumulative since the start of the agent; a start is a counter reset, as with any process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::config::LogMetric;
use crate::signal::metrics::{Histogram, Kind, Metric, Number, Point, Samples};
use crate::signal::record::{Record, Text, Value};

/// Series of one metric; label values beyond are counted under `other`.
pub const MAX_SERIES: usize = 500;
/// Bytes of one label value.
const MAX_LABEL: usize = 128;
/// Parts the label values of a series' key. A value that holds it only merges series of its own metric.
const PART: char = '\u{1f}';

/// One metric, fed by every source whose config has it: sources of one service share it, since to Prometheus their
/// series are the same.
#[derive(Debug)]
pub struct Derived {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    metric: Metric,
    measure: Measure,
    attribute: Name,
    by: Vec<Name>,
    bounds: Vec<f64>,
    series: HashMap<Box<str>, Point>,
    /// Reused for each line.
    key: String,
}

/// An attribute as the config names it, and as the parser may have renamed it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    told: String,
    given: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    Count,
    Sum,
    Gauge,
    Histogram,
}

impl Derived {
    /// What the config asks for; it has been checked there. `convention` tells which name the parser gives a field.
    pub fn new(config: &LogMetric, convention: fn(&str) -> Option<&'static str>) -> Option<Self> {
        State::new(config, convention).map(|state| Self { state: Mutex::new(state) })
    }

    /// Takes a record into account.
    pub fn observe(&self, record: &Record, line: &str) {
        self.lock().observe(record, line);
    }

    /// Puts every series.
    pub fn put(&self, out: &mut Samples) {
        let state = self.lock();
        for (key, point) in &state.series {
            let names = state.by.iter().map(|name| name.told.as_str());
            let labels: Vec<(&str, &str)> = names.zip(key.split(PART)).collect();
            out.put_metric(&state.metric, &labels, point.clone());
        }
    }

    /// Moves the series of `older` here where both measure the same, so that a reload resets no counter.
    pub fn inherit(&self, older: &Self) {
        let mut older = older.lock();
        let mut state = self.lock();
        if older.same(&state) {
            state.series = std::mem::take(&mut older.series);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(config: &LogMetric, convention: fn(&str) -> Option<&'static str>) -> Option<Self> {
        let name = |told: &String| Name { told: told.clone(), given: convention(told) };
        let (measure, attribute) = [
            (Measure::Histogram, &config.histogram),
            (Measure::Sum, &config.sum),
            (Measure::Gauge, &config.gauge),
            (Measure::Count, &config.count),
        ]
        .into_iter()
        .find_map(|(measure, attribute)| Some((measure, attribute.clone()?)))?;
        let kind = match measure {
            Measure::Count | Measure::Sum => Kind::Counter,
            Measure::Gauge => Kind::Gauge,
            Measure::Histogram => Kind::Histogram,
        };
        let help = format!("From log lines, by their attribute {attribute}.");
        let unit = if measure == Measure::Count { String::new() } else { config.unit.clone() };
        let bounds = if config.buckets.is_empty() { default_bounds(&config.unit) } else { config.buckets.clone() };
        let metric = Metric { name: config.name.clone().into(), kind, unit: unit.into(), help: help.into() };
        let by = config.by.iter().map(name).collect();
        let attribute = name(&attribute);
        Some(Self { metric, measure, attribute, by, bounds, series: HashMap::new(), key: String::new() })
    }

    fn same(&self, other: &Self) -> bool {
        self.metric == other.metric
            && self.measure == other.measure
            && self.by == other.by
            && self.bounds == other.bounds
    }

    fn observe(&mut self, record: &Record, line: &str) {
        let Some(value) = find(record, line, &self.attribute) else { return };
        let number = match (self.measure, value) {
            (Measure::Count, _) => 1.0,
            (_, Value::Int(int)) => int as f64,
            (_, Value::Double(double)) => double,
            (_, Value::Text(text)) => record.text(line, text).trim().parse().unwrap_or(f64::NAN),
            (_, Value::Bool(_)) => f64::NAN,
        };
        // A sum that went down would read as a restart, and NaN would spoil it for good.
        if !number.is_finite() || (number < 0.0 && self.measure != Measure::Gauge) {
            return;
        }
        self.key.clear();
        for (index, name) in self.by.iter().enumerate() {
            if index > 0 {
                self.key.push(PART);
            }
            push_label(&mut self.key, record, line, name);
        }
        if !self.series.contains_key(self.key.as_str()) {
            if self.series.len() >= MAX_SERIES {
                self.key.clear();
                let parts = vec!["other"; self.by.len()];
                self.key.push_str(&parts.join(PART.encode_utf8(&mut [0; 4])));
            }
            let empty = self.empty();
            self.series.entry(Box::from(self.key.as_str())).or_insert(empty);
        }
        if let Some(point) = self.series.get_mut(self.key.as_str()) {
            add(point, self.measure, number);
        }
    }

    fn empty(&self) -> Point {
        match self.measure {
            Measure::Count => Point::Number(Number::Int(0)),
            Measure::Sum | Measure::Gauge => Point::Number(Number::Double(0.0)),
            Measure::Histogram => Point::Histogram(Histogram {
                bounds: self.bounds.clone(),
                counts: vec![0; self.bounds.len() + 1],
                sum: 0.0,
            }),
        }
    }
}

fn add(point: &mut Point, measure: Measure, number: f64) {
    match point {
        Point::Number(Number::Int(count)) => *count += 1,
        Point::Number(Number::Double(value)) if measure == Measure::Gauge => *value = number,
        Point::Number(Number::Double(value)) => *value += number,
        Point::Histogram(histogram) => {
            let bucket = histogram.bounds.partition_point(|bound| *bound < number);
            histogram.counts[bucket] += 1;
            histogram.sum += number;
        }
    }
}

fn find(record: &Record, line: &str, name: &Name) -> Option<Value> {
    let is = |known: &str| known == name.told || name.given == Some(known);
    record.attributes.iter().find(|(known, _)| is(record.text(line, *known))).map(|(_, value)| *value)
}

fn push_label(key: &mut String, record: &Record, line: &str, name: &Name) {
    use std::fmt::Write;
    let written = match find(record, line, name) {
        Some(Value::Text(Text::Fixed(text))) => write!(key, "{text}"),
        Some(Value::Text(text)) => {
            let text = record.text(line, text);
            write!(key, "{}", &text[..text.floor_char_boundary(MAX_LABEL)])
        }
        Some(Value::Int(int)) => write!(key, "{int}"),
        Some(Value::Double(double)) => write!(key, "{double}"),
        Some(Value::Bool(flag)) => write!(key, "{flag}"),
        None => Ok(()),
    };
    debug_assert!(written.is_ok(), "a string takes all");
}

/// OpenTelemetry's advice for durations (in the metric's unit), and its default for all else.
fn default_bounds(unit: &str) -> Vec<f64> {
    const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
    const MILLISECONDS: [f64; 14] =
        [5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10_000.0];
    const ANY: [f64; 15] =
        [0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10_000.0];
    match unit {
        "s" => SECONDS.to_vec(),
        "ms" => MILLISECONDS.to_vec(),
        _ => ANY.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str) -> LogMetric {
        LogMetric { name: name.into(), by: vec!["http.request.method".into(), "route".into()], ..LogMetric::default() }
    }

    fn one(config: &LogMetric) -> Derived {
        Derived::new(config, |name| (name == "method").then_some("http.request.method")).unwrap()
    }

    fn line(derived: &Derived, method: &'static str, route: &str, latency: Value) {
        let mut record = Record::default();
        record.put(Text::Fixed("http.request.method"), Value::Text(Text::Fixed(method)));
        record.put(Text::Fixed("route"), Value::Text(Text::of(route, route)));
        record.put(Text::Fixed("latency_ms"), latency);
        derived.observe(&record, route);
    }

    fn points(derived: &Derived) -> Vec<(Vec<String>, Point)> {
        let mut samples = Samples::default();
        derived.put(&mut samples);
        let labels = |sample: &crate::signal::metrics::Sample| -> Vec<String> {
            sample.attributes.iter().map(|(_, value)| value.to_string()).collect()
        };
        let mut points: Vec<_> =
            samples.samples().iter().map(|sample| (labels(sample), sample.point.clone())).collect();
        points.sort_by(|a, b| a.0.cmp(&b.0));
        points
    }

    #[test]
    fn a_histogram_sorts_numbers_into_buckets_by_its_labels() {
        let config = LogMetric {
            histogram: Some("latency_ms".into()),
            unit: "ms".into(),
            buckets: vec![10.0, 100.0],
            ..config("d")
        };
        let derived = one(&config);
        line(&derived, "GET", "/a", Value::Int(10));
        line(&derived, "GET", "/a", Value::Double(10.5));
        line(&derived, "GET", "/a", Value::Int(5000));
        line(&derived, "POST", "/a", Value::Int(1));
        line(&derived, "POST", "/a", Value::Bool(true));
        let points = points(&derived);
        assert_eq!(points.len(), 2);
        assert_eq!(
            points[0].1,
            Point::Histogram(Histogram { bounds: vec![10.0, 100.0], counts: vec![1, 1, 1], sum: 5020.5 })
        );
    }

    #[test]
    fn counts_and_sums_add_up_and_gauges_keep_the_newest() {
        let of = |name: &str| LogMetric { by: Vec::new(), ..config(name) };
        let cases = [
            (LogMetric { count: Some("latency_ms".into()), ..of("c") }, Number::Int(3)),
            (LogMetric { sum: Some("latency_ms".into()), ..of("s") }, Number::Double(7.0)),
            (LogMetric { gauge: Some("latency_ms".into()), ..of("g") }, Number::Double(-2.0)),
        ];
        for (config, expected) in cases {
            let derived = one(&config);
            for number in [3, 4, -2] {
                line(&derived, "GET", "/", Value::Int(number));
            }
            assert_eq!(points(&derived), [(vec![], Point::Number(expected))], "{}", config.name);
        }
    }

    #[test]
    fn label_values_without_end_are_counted_under_other() {
        let derived = one(&LogMetric { count: Some("latency_ms".into()), ..config("c") });
        for number in 0..MAX_SERIES + 50 {
            line(&derived, "GET", &format!("/{number}"), Value::Int(1));
        }
        let points = points(&derived);
        assert_eq!(points.len(), MAX_SERIES + 1);
        let other = points.iter().find(|(labels, _)| labels == &["other", "other"]).unwrap();
        assert_eq!(other.1, Point::Number(Number::Int(50)));
    }

    #[test]
    fn a_field_is_found_by_the_name_in_the_line_and_by_the_one_it_was_given() {
        let by = vec!["method".into()];
        let derived = one(&LogMetric { count: Some("latency_ms".into()), by, ..config("c") });
        line(&derived, "GET", "/", Value::Int(1));
        assert_eq!(points(&derived)[0].0, ["GET"]);
    }

    #[test]
    fn a_reload_keeps_what_is_measured_as_before() {
        let config = LogMetric { count: Some("latency_ms".into()), ..config("c") };
        let old = one(&config);
        line(&old, "GET", "/", Value::Int(1));
        let new = one(&config);
        new.inherit(&old);
        line(&new, "GET", "/", Value::Int(1));
        assert_eq!(points(&new)[0].1, Point::Number(Number::Int(2)));
    }
}
