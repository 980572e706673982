//! Values of PromQL as Prometheus writes them in JSON, in pieces, so that a large answer is never whole in memory.

use std::fmt::Write;

use bytes::Bytes;

use crate::query::Value;
use crate::store::{Labels, Sample};

/// A piece of an answer has about this size.
const PIECE: usize = 64 * 1024;

/// `text` as a JSON string.
pub fn text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Line ends to JavaScript; Prometheus escapes them too.
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c if c < ' ' => write_to(out, format_args!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A list of strings.
pub fn texts<'a>(out: &mut String, all: impl IntoIterator<Item = &'a str>) {
    out.push('[');
    for (index, one) in all.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        text(out, one);
    }
    out.push(']');
}

/// An object of the labels.
pub fn labels<'a>(out: &mut String, labels: impl IntoIterator<Item = (&'a str, &'a str)>) {
    out.push('{');
    for (index, (name, value)) in labels.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        text(out, name);
        out.push(':');
        text(out, value);
    }
    out.push('}');
}

/// Seconds, with milliseconds where there are any.
pub fn time(out: &mut String, millis: i64) {
    let sign = if millis < 0 { "-" } else { "" };
    let (seconds, rest) = (millis.unsigned_abs() / 1000, millis.unsigned_abs() % 1000);
    match rest {
        0 => write_to(out, format_args!("{sign}{seconds}")),
        rest => write_to(out, format_args!("{sign}{seconds}.{rest:03}")),
    }
}

/// The shortest text that reads back as `value`, as Go's `strconv` writes it: with an exponent only where asked for
/// and the number is very large or small.
pub fn number(value: f64, exponents: bool) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    if exponents && value != 0.0 && !(1e-6..1e21).contains(&value.abs()) {
        return exponential(value);
    }
    value.to_string()
}

/// Go's `strconv.FormatFloat(value, 'e', -1, 64)`: two digits of exponent at least, with its sign.
pub fn exponential(value: f64) -> String {
    if !value.is_finite() {
        return number(value, false);
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

fn sample(out: &mut String, sample: Sample) {
    out.push('[');
    time(out, sample.t);
    write_to(out, format_args!(",\"{}\"]", number(sample.v, true)));
}

fn write_to(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _infallible = out.write_fmt(text).is_ok();
}

/// About how many bytes an answer holds in memory while it is sent.
pub fn held(value: &Value) -> usize {
    let labels = |labels: &Labels| 48 * labels.iter().len() + 64;
    match value {
        Value::Scalar(_) => 64,
        Value::Text(text) => text.len() + 64,
        Value::Vector(elements) => elements.iter().map(|element| labels(&element.labels) + 16).sum(),
        Value::Matrix(rows) => rows.iter().map(|row| labels(&row.labels) + 16 * row.samples.len()).sum(),
    }
}

/// The text of `{"resultType":…,"result":…}`, piece by piece.
#[derive(Debug)]
pub struct Pieces {
    value: Value,
    at: i64,
    row: usize,
    sample: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Rows,
    Done,
}

impl Pieces {
    /// Of a value that was asked for at `at` (Unix milliseconds), which is the time of a text.
    pub fn new(value: Value, at: i64) -> Self {
        Self { value, at, row: 0, sample: 0, state: State::Head }
    }

    /// Everything at once.
    pub fn whole(self) -> String {
        self.fold(String::new(), |mut out, piece| {
            out.push_str(&String::from_utf8_lossy(&piece));
            out
        })
    }

    /// Adds the next part; the value's last one sets [`State::Done`].
    fn part(&mut self, out: &mut String) {
        match self.state {
            State::Head => self.head(out),
            State::Rows => self.rows(out),
            State::Done => {}
        }
    }

    fn head(&mut self, out: &mut String) {
        let simple = |kind: &str, t: i64, value: &str| {
            let mut out = format!("{{\"resultType\":\"{kind}\",\"result\":[");
            time(&mut out, t);
            out.push(',');
            text(&mut out, value);
            out + "]}"
        };
        self.state = State::Done;
        match &self.value {
            Value::Scalar(sample) => out.push_str(&simple("scalar", sample.t, &number(sample.v, false))),
            Value::Text(value) => out.push_str(&simple("string", self.at, value)),
            Value::Vector(_) => {
                out.push_str("{\"resultType\":\"vector\",\"result\":[");
                self.state = State::Rows;
            }
            Value::Matrix(_) => {
                out.push_str("{\"resultType\":\"matrix\",\"result\":[");
                self.state = State::Rows;
            }
        }
    }

    fn rows(&mut self, out: &mut String) {
        let comma = if self.row > 0 { "," } else { "" };
        match &self.value {
            Value::Vector(elements) if self.row < elements.len() => {
                let element = &elements[self.row];
                out.push_str(comma);
                out.push_str("{\"metric\":");
                labels(out, element.labels.iter());
                out.push_str(",\"value\":");
                sample(out, element.sample);
                out.push('}');
                self.row += 1;
            }
            Value::Matrix(rows) if self.row < rows.len() => {
                let row = &rows[self.row];
                if self.sample == 0 {
                    out.push_str(comma);
                    out.push_str("{\"metric\":");
                    labels(out, row.labels.iter());
                    out.push_str(if row.samples.is_empty() { "}" } else { ",\"values\":[" });
                }
                for one in row.samples.iter().skip(self.sample) {
                    if self.sample > 0 {
                        out.push(',');
                    }
                    sample(out, *one);
                    self.sample += 1;
                    if out.len() >= PIECE && self.sample < row.samples.len() {
                        return;
                    }
                }
                if !row.samples.is_empty() {
                    out.push_str("]}");
                }
                self.row += 1;
                self.sample = 0;
            }
            _ => {
                out.push_str("]}");
                self.state = State::Done;
            }
        }
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut out = String::new();
        while self.state != State::Done && out.len() < PIECE {
            self.part(&mut out);
        }
        (!out.is_empty()).then(|| Bytes::from(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Element, Row};

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (1e-6, "0.000001"),
            (1.25e-7, "1.25e-07"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number(value, true), text);
        }
        assert_eq!(number(1e21, false), "1000000000000000000000", "a scalar has no exponent");
        assert_eq!((exponential(1.0), exponential(123.0)), ("1e+00".into(), "1.23e+02".into()));
    }

    #[test]
    fn times_have_milliseconds_only_where_there_are_some() {
        let written = |millis| {
            let mut out = String::new();
            time(&mut out, millis);
            out
        };
        assert_eq!(written(1_435_781_451_781), "1435781451.781");
        assert_eq!((written(1000), written(1005), written(-1500)), ("1".into(), "1.005".into(), "-1.500".into()));
    }

    #[test]
    fn every_kind_of_value_has_prometheus_shape() {
        let at = Sample { t: 1500, v: 2.5 };
        let labels = Labels::new([("__name__", "up"), ("job", "a\"\n\u{1}")]);
        let whole = |value| Pieces::new(value, 2000).whole();
        assert_eq!(whole(Value::Scalar(at)), r#"{"resultType":"scalar","result":[1.500,"2.5"]}"#);
        assert_eq!(whole(Value::Text("a".into())), r#"{"resultType":"string","result":[2,"a"]}"#);
        let vector = Value::Vector(vec![Element { labels: labels.clone(), sample: at }; 2]);
        let one = r#"{"metric":{"__name__":"up","job":"a\"\n\u0001"},"value":[1.500,"2.5"]}"#;
        assert_eq!(whole(vector), format!(r#"{{"resultType":"vector","result":[{one},{one}]}}"#));
        assert_eq!(whole(Value::Matrix(Vec::new())), r#"{"resultType":"matrix","result":[]}"#);
        let rows = vec![Row { labels: Labels::default(), samples: vec![at, at] }];
        let expected = r#"{"resultType":"matrix","result":[{"metric":{},"values":[[1.500,"2.5"],[1.500,"2.5"]]}]}"#;
        assert_eq!(whole(Value::Matrix(rows)), expected);
    }

    #[test]
    fn a_large_answer_comes_in_pieces_that_are_one_document() {
        let samples: Vec<Sample> = (0..20_000).map(|t| Sample { t, v: t as f64 / 7.0 }).collect();
        let rows: Vec<Row> = (0..3).map(|_| Row { labels: Labels::default(), samples: samples.clone() }).collect();
        let value = Value::Matrix(rows);
        let sizes: Vec<usize> = Pieces::new(value.clone(), 0).map(|piece| piece.len()).collect();
        assert!(sizes.len() > 10 && sizes.iter().all(|size| *size < PIECE + 100), "{sizes:?}");
        let read: serde_json::Value = serde_json::from_str(&Pieces::new(value, 0).whole()).unwrap();
        assert_eq!(read["result"][2]["values"].as_array().unwrap().len(), 20_000);
    }
}
