//! OTLP names to Prometheus names, exactly as the OTLP receiver of Prometheus 3 makes them by default.
//!
//! Its strategy is `UnderscoreEscapingWithSuffixes`, described in OpenTelemetry's "Prometheus and OpenMetrics
//! compatibility". This is the only place that translates, so that a rule or a panel reads the same on the box
//! and on the stack. Label names keep repeated underscores, and one in front becomes `key_`: Prometheus' defaults.

use std::collections::BTreeMap;

use crate::signal::metrics::{Histogram, Kind, Metric, Point, Sample};
use crate::signal::resource::Resource;

/// Labels of a series without `__name__`, sorted by name, none with an empty value.
pub type Labels = Vec<(String, String)>;

/// A metric's series of one round.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Prometheus name; those of a histogram's series have `_bucket`, `_sum` or `_count` behind it.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// One sentence for people, as it came.
    pub help: String,
    /// The series.
    pub series: Vec<Series>,
}

/// One series and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What follows the family's name.
    pub suffix: &'static str,
    /// All labels but the name.
    pub labels: Labels,
    /// The value.
    pub value: f64,
}

/// The name of a metric; `None` when nothing of the name can stand (Prometheus refuses such a metric).
pub fn metric_name(name: &str, kind: Kind, unit: &str) -> Option<String> {
    let mut words: Vec<&str> = name.split(|c: char| !is_metric_char(c)).filter(|word| !word.is_empty()).collect();
    let (main, per) = unit_words(unit);
    let per = per.trim_end_matches('_');
    let per = if per == "per" || words.contains(&per) { "" } else { per };
    let main = if words.contains(&main.as_str()) { "" } else { main.as_str() };
    // An underscore at the end of the main unit stays only where nothing follows it.
    let main = if per.is_empty() { main } else { main.strip_suffix('_').unwrap_or(main) };
    words.extend([main, per].into_iter().filter(|word| !word.is_empty()));
    let suffix = match kind {
        Kind::Counter => Some("total"),
        Kind::Gauge if unit == "1" => Some("ratio"),
        _ => None,
    };
    if let Some(suffix) = suffix {
        words.retain(|word| *word != suffix);
        words.push(suffix);
    }
    let mut made = words.join("_");
    if made.starts_with(|c: char| c.is_ascii_digit()) {
        made.insert(0, '_');
    }
    made.contains(|c| c != '_').then_some(made)
}

/// The name of a label; `None` when nothing of the name can stand.
pub fn label_name(name: &str) -> Option<String> {
    let made: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let made = if made.starts_with(|c: char| c.is_ascii_digit()) {
        format!("key_{made}")
    } else if made.starts_with('_') && !made.starts_with("__") {
        format!("key{made}")
    } else {
        made
    };
    made.contains(|c| c != '_').then_some(made)
}

/// The type that Prometheus shows.
pub fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge | Kind::UpDown => "gauge",
        Kind::Histogram => "histogram",
    }
}

/// The labels of a series with `attributes` (sorted by name) of `resource`: values of attributes that become one
/// name are joined by `;`, and `job` and `instance` are the resource's.
pub fn labels<'a>(resource: &Resource, attributes: impl IntoIterator<Item = (&'a str, &'a str)>) -> Labels {
    let mut made: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in attributes {
        let Some(name) = label_name(name) else { continue };
        // The name of the metric is not an attribute's to give.
        if value.is_empty() || name == "__name__" {
            continue;
        }
        let known = made.entry(name).or_default();
        if !known.is_empty() {
            known.push(';');
        }
        known.push_str(value);
    }
    for (name, value) in [("job", job(resource)), ("instance", resource.instance().to_owned())] {
        if !value.is_empty() {
            made.insert(name.to_owned(), value);
        }
    }
    made.into_iter().collect()
}

/// `service.namespace/service.name`, or the name alone; empty without a name.
pub fn job(resource: &Resource) -> String {
    match attribute(resource, "service.namespace") {
        Some(namespace) if !resource.service().is_empty() => format!("{namespace}/{}", resource.service()),
        _ => resource.service().to_owned(),
    }
}

/// The labels of the resource's `target_info`, whose value is 1: its other attributes. `None` when there are no
/// others, or nothing says whose they are.
pub fn target_info(resource: &Resource) -> Option<Labels> {
    let mut others: Vec<(&str, &str)> = resource
        .attributes()
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| !IDENTIFYING.contains(name))
        .collect();
    others.sort_unstable();
    let named = !resource.service().is_empty() || !resource.instance().is_empty();
    (named && !others.is_empty()).then(|| labels(resource, others))
}

/// All series of a round, metrics that become one name together, in the order of the names.
pub fn families(resource: &Resource, metrics: &[Metric], samples: &[Sample]) -> Vec<Family> {
    let mut made: BTreeMap<String, Family> = BTreeMap::new();
    for sample in samples {
        let Some(metric) = metrics.get(sample.metric) else { continue };
        let Some(name) = metric_name(&metric.name, metric.kind, &metric.unit) else { continue };
        let family = made.entry(name.clone()).or_insert_with(|| Family {
            name,
            kind: type_name(metric.kind),
            help: metric.help.clone().into_owned(),
            series: Vec::new(),
        });
        let attributes = sample.attributes.iter().map(|(name, value)| (&**name, &**value));
        let labels = labels(resource, attributes);
        match &sample.point {
            Point::Number(number) => family.series.push(Series { suffix: "", labels, value: number.as_f64() }),
            Point::Histogram(histogram) => add_histogram(&mut family.series, &labels, histogram),
        }
    }
    made.into_values().collect()
}

/// Counts summed up per bound, then the sum and the count.
fn add_histogram(out: &mut Vec<Series>, labels: &Labels, histogram: &Histogram) {
    let all: u64 = histogram.counts.iter().sum();
    let mut below = 0;
    for (bound, count) in histogram.bounds.iter().zip(&histogram.counts) {
        below += count;
        out.push(Series { suffix: "_bucket", labels: with_bound(labels, &bound_text(*bound)), value: below as f64 });
    }
    out.push(Series { suffix: "_bucket", labels: with_bound(labels, "+Inf"), value: all as f64 });
    out.push(Series { suffix: "_sum", labels: labels.clone(), value: histogram.sum });
    out.push(Series { suffix: "_count", labels: labels.clone(), value: all as f64 });
}

fn with_bound(labels: &Labels, bound: &str) -> Labels {
    let mut labels = labels.clone();
    labels.retain(|(name, _)| name != "le");
    let at = labels.partition_point(|(name, _)| name.as_str() < "le");
    labels.insert(at, ("le".to_owned(), bound.to_owned()));
    labels
}

/// The shortest decimal text that reads back as the same number, never with an exponent.
fn bound_text(bound: f64) -> String {
    if bound.is_infinite() {
        return if bound > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    bound.to_string()
}

fn attribute<'a>(resource: &'a Resource, wanted: &str) -> Option<&'a str> {
    resource.attributes().iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
}

fn is_metric_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

/// `By/s` to `bytes` and `per_second`; either may be empty. A part in braces says what is counted and is no unit.
fn unit_words(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let word = |text: &str, table: &[(&str, &'static str)]| {
        let text = text.trim();
        if text.contains(['{', '}']) {
            return String::new();
        }
        table.iter().find(|(short, _)| *short == text).map_or_else(|| text.to_owned(), |(_, long)| (*long).to_owned())
    };
    let per = word(per, PER_UNITS);
    let per = if per.is_empty() { per } else { format!("per_{per}") };
    (clean_unit(&word(main, UNITS)), clean_unit(&per))
}

/// Other characters become underscores, several of them one, and none stands in front.
fn clean_unit(unit: &str) -> String {
    let mut made = String::with_capacity(unit.len());
    for c in unit.chars() {
        let c = if is_metric_char(c) { c } else { '_' };
        if c != '_' || !(made.is_empty() || made.ends_with('_')) {
            made.push(c);
        }
    }
    made
}

const IDENTIFYING: &[&str] = &["service.namespace", "service.name", "service.instance.id"];

/// UCUM's short forms as Prometheus writes them out; `TiBy` is misspelt there, and what counts is to be equal.
const UNITS: &[(&str, &str)] = &[
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
];

const PER_UNITS: &[(&str, &str)] =
    &[("s", "second"), ("m", "minute"), ("h", "hour"), ("d", "day"), ("w", "week"), ("mo", "month"), ("y", "year")];

#[cfg(test)]
mod tests;
