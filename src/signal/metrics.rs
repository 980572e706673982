//! Metric descriptions, the writer that collectors fill, and the OTLP metric request it becomes.
//!
//! `ExportMetricsServiceRequest` of opentelemetry-proto 1.10, cumulative temporality only (Prometheus refuses
//! deltas). A request holds each series once, with one time stamp, so that its repeat is harmless.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::frame::{Codec, Frame, Signal};
use super::resource::Resource;
use super::wire::{self, Any};

/// What a number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A value that goes up and down and is not summed over instances.
    Gauge,
    /// A sum that only grows: OTLP's monotonic cumulative sum.
    Counter,
    /// A sum that goes up and down: OTLP's non-monotonic cumulative sum, a gauge to Prometheus.
    UpDown,
    /// A cumulative histogram with explicit bounds.
    Histogram,
}

impl Kind {
    /// As `plimsoll metrics` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::UpDown => "updowncounter",
            Self::Histogram => "histogram",
        }
    }
}

/// The description of a metric, beside the code that fills it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desc {
    /// OpenTelemetry name, such as `system.cpu.time`.
    pub name: &'static str,
    /// What its numbers mean.
    pub kind: Kind,
    /// UCUM unit, such as `s`, `By`, `1`, `{process}`.
    pub unit: &'static str,
    /// One sentence for people.
    pub help: &'static str,
}

impl Desc {
    /// A gauge.
    pub const fn gauge(name: &'static str, unit: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, unit, help }
    }

    /// A counter.
    pub const fn counter(name: &'static str, unit: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, unit, help }
    }

    /// A sum that goes up and down.
    pub const fn updown(name: &'static str, unit: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::UpDown, unit, help }
    }
}

/// A point's number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number.
    Int(i64),
    /// Any other.
    Double(f64),
}

impl Number {
    /// As Prometheus keeps it.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(int) => int as f64,
            Self::Double(double) => double,
        }
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Self::Double(value as f64), Self::Int)
    }
}

impl From<u32> for Number {
    fn from(value: u32) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Self::from(value as u64)
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}

/// A cumulative histogram: `counts` has one entry more than `bounds`.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Upper bounds, rising.
    pub bounds: Vec<f64>,
    /// Observations per bucket, not summed up.
    pub counts: Vec<u64>,
    /// Sum of the observations.
    pub sum: f64,
}

/// What a point carries.
#[derive(Debug, Clone, PartialEq)]
pub enum Point {
    /// Gauge, counter, up-down counter.
    Number(Number),
    /// Histogram.
    Histogram(Histogram),
}

/// A metric of a round: borrowed from the code for what we measure, owned for what others describe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// OpenTelemetry name.
    pub name: Cow<'static, str>,
    /// What its numbers mean.
    pub kind: Kind,
    /// UCUM unit.
    pub unit: Cow<'static, str>,
    /// One sentence for people.
    pub help: Cow<'static, str>,
}

impl From<&'static Desc> for Metric {
    fn from(desc: &'static Desc) -> Self {
        Self { name: desc.name.into(), kind: desc.kind, unit: desc.unit.into(), help: desc.help.into() }
    }
}

/// One series' point of a round.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Index into [`Samples::metrics`].
    pub metric: usize,
    /// Attributes, sorted by name.
    pub attributes: Vec<(Box<str>, Box<str>)>,
    /// The value.
    pub point: Point,
}

/// Bounds of a round, so that a hostile source cannot grow it.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Series in one round.
    pub series: usize,
    /// Bytes of an attribute's value; longer ones are cut.
    pub value_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { series: 1000, value_bytes: 1024 }
    }
}

/// The points of one round of one collector: each series once, one time stamp for all.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    metrics: Vec<Metric>,
    /// The index of each name.
    names: HashMap<Cow<'static, str>, usize>,
    samples: Vec<Sample>,
    seen: HashSet<u64>,
    limits: Limits,
    over: u64,
    repeated: u64,
}

impl Samples {
    /// Empty, with the source's bounds.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Adds the point of a series without attributes.
    pub fn put(&mut self, desc: &'static Desc, value: impl Into<Number>) {
        self.put_with(desc, &[], value);
    }

    /// Adds the point of a series. Attributes with an empty value are left out, as Prometheus would.
    pub fn put_with(&mut self, desc: &'static Desc, attributes: &[(&str, &str)], value: impl Into<Number>) {
        if self.takes_more() {
            let metric = self.metric(desc.name, || Metric::from(desc));
            self.add(metric, attributes, Point::Number(value.into()));
        }
    }

    /// Adds a point of a metric that the code does not know (scraped, or derived from logs).
    pub fn put_metric(&mut self, metric: &Metric, attributes: &[(&str, &str)], point: Point) {
        if self.takes_more() {
            let metric = self.metric(&metric.name, || metric.clone());
            self.add(metric, attributes, point);
        }
    }

    /// Whether there is room, asked before a name is kept: names without end would take as much as series do.
    fn takes_more(&mut self) -> bool {
        let room = self.room() > 0;
        self.over += u64::from(!room);
        room
    }

    fn metric(&mut self, name: &str, make: impl FnOnce() -> Metric) -> usize {
        // Collectors put a metric's series one after the other: the last one is the likeliest.
        if self.metrics.last().is_some_and(|last| last.name == name) {
            return self.metrics.len() - 1;
        }
        if let Some(index) = self.names.get(name) {
            return *index;
        }
        let made = make();
        self.names.insert(made.name.clone(), self.metrics.len());
        self.metrics.push(made);
        self.metrics.len() - 1
    }

    fn add(&mut self, metric: usize, attributes: &[(&str, &str)], point: Point) {
        let mut sorted: Vec<(&str, &str)> = Vec::with_capacity(attributes.len());
        for (name, value) in attributes {
            if !value.is_empty() && !sorted.iter().any(|(known, _)| known == name) {
                sorted.push((name, cut(value, self.limits.value_bytes)));
            }
        }
        sorted.sort_unstable();
        let mut hasher = DefaultHasher::new();
        (metric, &sorted).hash(&mut hasher);
        if self.seen.insert(hasher.finish()) {
            let attributes = sorted.iter().map(|(name, value)| (Box::from(*name), Box::from(*value))).collect();
            self.samples.push(Sample { metric, attributes, point });
        } else {
            self.repeated += 1;
        }
    }

    /// The metrics that have points.
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// The points.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// True without points.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Points refused because the round had its number of series already.
    pub fn over_limit(&self) -> u64 {
        self.over
    }

    /// Points refused because their series had a point already.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Makes room for `more` series, for what the schedule loop itself has to say about a round that is full.
    pub fn allow(&mut self, more: usize) {
        self.limits.series += more;
    }

    /// Series for which there is still room.
    pub fn room(&self) -> usize {
        self.limits.series.saturating_sub(self.samples.len())
    }

    /// Empties the round and keeps its limits.
    pub fn clear(&mut self) {
        self.metrics.clear();
        self.names.clear();
        self.samples.clear();
        self.seen.clear();
        self.over = 0;
        self.repeated = 0;
    }

    /// The OTLP request of the round at `nanos`, its sums counted since `start` (both Unix).
    pub fn encode(&self, resource: &Resource, start: u64, nanos: u64) -> Vec<u8> {
        self.encode_of("", resource, start, nanos)
    }

    /// The same with `source` as the name of the instrumentation scope: the store knows by it whose round it was.
    fn encode_of(&self, source: &str, resource: &Resource, start: u64, nanos: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 * self.samples.len() + 256);
        if self.samples.is_empty() {
            return out;
        }
        let resource_metrics = wire::open(&mut out, 0x0a);
        wire::bytes(&mut out, 0x0a, resource.encoded());
        let scope_metrics = wire::open(&mut out, 0x12);
        if !source.is_empty() {
            let scope = wire::open(&mut out, 0x0a);
            wire::bytes(&mut out, 0x0a, source.as_bytes());
            wire::close(&mut out, scope);
        }
        let mut order: Vec<&Sample> = self.samples.iter().collect();
        order.sort_by_key(|sample| sample.metric);
        for group in order.chunk_by(|a, b| a.metric == b.metric) {
            if let Some(metric) = self.metrics.get(group[0].metric) {
                encode_metric(&mut out, metric, group, start, nanos);
            }
        }
        wire::close(&mut out, scope_metrics);
        wire::close(&mut out, resource_metrics);
        out
    }

    /// The round of `source` as a frame, compressed with `compress`; `None` without points (an empty metric or request
    /// is an error to Prometheus and Loki).
    pub fn seal(
        &self,
        source: &str,
        resource: &Resource,
        (start, nanos): (u64, u64),
        codec: Codec,
        compress: impl FnOnce(&[u8]) -> std::io::Result<Vec<u8>>,
    ) -> std::io::Result<Option<Frame>> {
        if self.samples.is_empty() {
            return Ok(None);
        }
        let request = self.encode_of(source, resource, start, nanos);
        Ok(Some(Frame {
            signal: Signal::Metrics,
            codec,
            payload: compress(&request)?,
            raw_len: request.len() as u64,
            records: u32::try_from(self.samples.len()).unwrap_or(u32::MAX),
            times: (nanos, nanos),
            charge: 0,
            services: vec![resource.service().to_owned()],
            positions: Vec::new(),
        }))
    }
}

/// The longest beginning of `text` within `bytes` that ends at a character.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

const CUMULATIVE: u64 = 2;

fn encode_metric(out: &mut Vec<u8>, metric: &Metric, points: &[&Sample], start: u64, nanos: u64) {
    let mark = wire::open(out, 0x12);
    wire::bytes(out, 0x0a, metric.name.as_bytes());
    wire::bytes(out, 0x12, metric.help.as_bytes());
    wire::bytes(out, 0x1a, metric.unit.as_bytes());
    let data = match metric.kind {
        Kind::Gauge => 0x2a,
        Kind::Counter | Kind::UpDown => 0x3a,
        Kind::Histogram => 0x4a,
    };
    let data = wire::open(out, data);
    for sample in points {
        let point = wire::open(out, 0x0a);
        match &sample.point {
            Point::Number(number) => encode_number(out, metric.kind, sample, *number, start, nanos),
            Point::Histogram(histogram) => encode_histogram(out, sample, histogram, start, nanos),
        }
        wire::close(out, point);
    }
    if metric.kind != Kind::Gauge {
        wire::number(out, 0x10, CUMULATIVE);
    }
    if metric.kind == Kind::Counter {
        wire::number(out, 0x18, 1);
    }
    wire::close(out, data);
    wire::close(out, mark);
}

fn encode_number(out: &mut Vec<u8>, kind: Kind, sample: &Sample, number: Number, start: u64, nanos: u64) {
    if kind != Kind::Gauge {
        wire::fixed64(out, 0x11, start);
    }
    wire::fixed64(out, 0x19, nanos);
    match number {
        Number::Double(double) => wire::fixed64(out, 0x21, double.to_bits()),
        Number::Int(int) => wire::fixed64(out, 0x31, int as u64),
    }
    for (name, value) in &sample.attributes {
        wire::key_value(out, 0x3a, name, Any::Str(value));
    }
}

fn encode_histogram(out: &mut Vec<u8>, sample: &Sample, histogram: &Histogram, start: u64, nanos: u64) {
    wire::fixed64(out, 0x11, start);
    wire::fixed64(out, 0x19, nanos);
    wire::fixed64(out, 0x21, histogram.counts.iter().sum());
    wire::fixed64(out, 0x29, histogram.sum.to_bits());
    let counts = wire::open(out, 0x32);
    histogram.counts.iter().for_each(|count| out.extend_from_slice(&count.to_le_bytes()));
    wire::close(out, counts);
    let bounds = wire::open(out, 0x3a);
    histogram.bounds.iter().for_each(|bound| out.extend_from_slice(&bound.to_le_bytes()));
    wire::close(out, bounds);
    for (name, value) in &sample.attributes {
        wire::key_value(out, 0x4a, name, Any::Str(value));
    }
}

#[cfg(test)]
mod tests;
