//! Numbers and their course for people: short figures in the unit that a metric's name tells, and bars.

use crate::base::units::Size;

/// What a number counts, as far as a name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Unknown.
    Plain,
    /// `_bytes`.
    Bytes,
    /// `_seconds`.
    Seconds,
    /// `_ratio`.
    Ratio,
}

impl Unit {
    /// Of an expression that is a selector, or a function or sum that keeps its unit; anything else is plain.
    pub(super) fn of(expression: &str) -> Self {
        let keeps =
            ["sum", "avg", "min", "max", "topk", "bottomk", "sort", "avg_over_time", "max_over_time", "min_over_time"];
        let words: Vec<&str> = expression
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
            .filter(|word| !word.is_empty())
            .collect();
        let plain = expression.contains(['*', '/', '^', '%', '>', '<']) || expression.contains("==");
        let known = words.iter().any(|word| word.ends_with("_over_time") && !keeps.contains(word));
        let changed = [
            "rate",
            "irate",
            "increase",
            "delta",
            "idelta",
            "deriv",
            "count",
            "stddev",
            "stdvar",
            "changes",
            "resets",
            "histogram_quantile",
            "timestamp",
            "absent",
            "group",
        ];
        if plain || known || words.iter().any(|word| changed.contains(word)) {
            return Self::Plain;
        }
        let units = words.iter().filter_map(|word| match word.rsplit('_').next() {
            Some("bytes") if word.contains('_') => Some(Self::Bytes),
            Some("seconds") if word.contains('_') => Some(Self::Seconds),
            Some("ratio") if word.contains('_') => Some(Self::Ratio),
            _ => None,
        });
        let units: Vec<Self> = units.collect();
        match units.as_slice() {
            [first, rest @ ..] if rest.iter().all(|unit| unit == first) => *first,
            _ => Self::Plain,
        }
    }

    /// A short figure.
    pub(super) fn text(self, value: f64) -> String {
        if !value.is_finite() {
            return if value.is_nan() {
                "NaN".into()
            } else if value > 0.0 {
                "+Inf".into()
            } else {
                "-Inf".into()
            };
        }
        match self {
            Self::Bytes if (0.0..9e15).contains(&value) => Size(value.round() as u64).to_string(),
            Self::Ratio => format!("{} %", digits(value * 100.0)),
            Self::Seconds => seconds(value),
            Self::Plain | Self::Bytes => short(value),
        }
    }
}

fn seconds(value: f64) -> String {
    match value.abs() {
        0.0 => "0 s".into(),
        size if size < 1e-6 => format!("{} ns", digits(value * 1e9)),
        size if size < 1e-3 => format!("{} us", digits(value * 1e6)),
        size if size < 1.0 => format!("{} ms", digits(value * 1e3)),
        size if size < 120.0 => format!("{} s", digits(value)),
        size if size < 7200.0 => format!("{} min", digits(value / 60.0)),
        size if size < 172_800.0 => format!("{} h", digits(value / 3600.0)),
        _ => format!("{} d", digits(value / 86_400.0)),
    }
}

/// Four digits and a letter for thousands; whole numbers up to five digits as they are.
pub(super) fn short(value: f64) -> String {
    const LARGE: [(f64, &str); 5] = [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    const SMALL: [(f64, &str); 3] = [(1e-3, "m"), (1e-6, "u"), (1e-9, "n")];
    let size = value.abs();
    if value == 0.0 {
        return "0".into();
    }
    if value.fract() == 0.0 && size < 100_000.0 || (0.01..1000.0).contains(&size) {
        return digits(value);
    }
    // A number that rounds up to the next letter takes it.
    let rounded = size * 1.000_05;
    let (factor, letter) = if size >= 1.0 {
        LARGE.into_iter().find(|(factor, _)| rounded >= *factor)
    } else {
        SMALL.into_iter().find(|(factor, _)| rounded >= *factor)
    }
    .unwrap_or((1.0, ""));
    let shown = value / factor;
    if shown.abs() >= 1e5 || shown.abs() < 1e-3 { format!("{value:.3e}") } else { format!("{}{letter}", digits(shown)) }
}

/// Up to four digits, without zeros at the end; a whole number is whole.
fn digits(value: f64) -> String {
    let size = value.abs();
    let decimals = match size {
        _ if size >= 1000.0 => 0,
        _ if size >= 100.0 => 1,
        _ if size >= 10.0 => 2,
        _ if size >= 1.0 => 3,
        _ if size >= 0.1 => 4,
        _ => 5,
    };
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
    if text == "-0" { "0".into() } else { text }
}

const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The course of `samples` (time, value) over `from..to` in `width` bars, the highest value of each; a gap is a space.
pub(super) fn bars(samples: impl Iterator<Item = (i64, f64)>, (from, to): (i64, i64), width: usize) -> String {
    let mut tops: Vec<Option<f64>> = vec![None; width.max(1)];
    let length = i128::from(to.saturating_sub(from).max(1));
    for (time, value) in samples {
        let place = i128::from(time.saturating_sub(from)) * tops.len() as i128 / length;
        let Some(top) = usize::try_from(place).ok().and_then(|place| tops.get_mut(place)) else { continue };
        if value.is_finite() {
            *top = Some(top.map_or(value, |known| known.max(value)));
        }
    }
    let (low, high) = tops
        .iter()
        .flatten()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
    let mut out = String::new();
    for top in &tops {
        out.push(match top {
            None => ' ',
            Some(_) if high <= low => LEVELS[3],
            Some(value) => {
                // Halves first: the whole span of two doubles may not fit into one.
                let share = (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0);
                LEVELS[((share * 7.0).round() as usize).min(7)]
            }
        });
    }
    out.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_lose_no_whole_number_that_people_read() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (99_999.0, "99999"),
            (123_456.0, "123.5k"),
            (999_999.0, "1M"),
            (12_884_901_888.0, "12.88G"),
            (-1_500_000.0, "-1.5M"),
            (0.25, "0.25"),
            (0.001_234, "1.234m"),
            (1.5e-8, "15n"),
            (1e30, "1.000e30"),
            (1e-30, "1.000e-30"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(Unit::Plain.text(value), text, "{value}");
        }
        assert_eq!(Unit::Bytes.text(12_884_901_888.0), "12 GiB");
        assert_eq!(Unit::Ratio.text(0.4167), "41.67 %");
        assert_eq!((Unit::Seconds.text(0.003_2), Unit::Seconds.text(5400.0)), ("3.2 ms".into(), "90 min".into()));
    }

    #[test]
    fn the_unit_is_taken_only_from_what_keeps_it() {
        for (expression, unit) in [
            ("system_memory_usage_bytes", Unit::Bytes),
            ("sum by (state) (system_memory_usage_bytes{job=\"host\"})", Unit::Bytes),
            ("system_memory_utilization_ratio", Unit::Ratio),
            ("max_over_time(request_duration_seconds[1h])", Unit::Seconds),
            ("rate(system_cpu_time_seconds_total[5m])", Unit::Plain),
            ("count(system_memory_usage_bytes)", Unit::Plain),
            ("count_over_time(system_memory_usage_bytes[1h])", Unit::Plain),
            ("system_memory_usage_bytes / 2", Unit::Plain),
            ("system_memory_usage_bytes > 5", Unit::Plain),
            ("up", Unit::Plain),
            ("bytes", Unit::Plain),
        ] {
            assert_eq!(Unit::of(expression), unit, "{expression}");
        }
    }

    #[test]
    fn bars_show_the_course_and_its_gaps() {
        let line = |values: &[f64]| {
            let samples = values.iter().enumerate().filter(|(_, value)| !value.is_nan());
            bars(samples.map(|(at, value)| (at as i64, *value)), (0, values.len() as i64), values.len())
        };
        assert_eq!(line(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]), "▁▂▃▄▅▆▇█");
        assert_eq!(line(&[1.0, f64::NAN, 2.0]), "▁ █");
        assert_eq!(line(&[5.0, 5.0]), "▄▄");
        assert_eq!(line(&[f64::MIN, f64::MAX, f64::INFINITY]), "▁█");
        assert_eq!(line(&[]), "");
        let many = (0..1000).map(|at| (at, if at == 500 { 9.0 } else { 0.0 }));
        assert_eq!(bars(many, (0, 1000), 4), "▁▁█▁", "the highest value of a bar is the one that shows");
    }
}
