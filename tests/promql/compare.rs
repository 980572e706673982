//! Whether an answer is what was expected.

use std::collections::BTreeMap;

use plimsoll::query::{Answer, Value};
use plimsoll::store::{Labels, sample};

use super::script::{Eval, Remarks};

/// Prometheus' `almost.Equal` with its runner's tolerance.
pub(crate) fn same(a: f64, b: f64) -> bool {
    if sample::is_stale(a) || sample::is_stale(b) {
        return sample::is_stale(a) && sample::is_stale(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < 1e-6 * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < 1e-6
}

/// A vector, a scalar or a text.
pub(crate) fn vector(eval: &Eval, value: &Value) -> Result<(), String> {
    match value {
        Value::Text(text) => match &eval.text {
            Some(wanted) if wanted == text => Ok(()),
            wanted => Err(format!("the text {text:?}, not {wanted:?}")),
        },
        Value::Scalar(sample) => match eval.scalar {
            Some(wanted) if same(wanted, sample.v) => Ok(()),
            wanted => Err(format!("the scalar {}, not {wanted:?}", sample.v)),
        },
        Value::Vector(elements) => {
            if let Some(wanted) = eval.scalar {
                return Err(format!("a vector, not the scalar {wanted}"));
            }
            let mut wanted: BTreeMap<&Labels, (usize, f64)> = BTreeMap::new();
            for (index, series) in eval.series.iter().enumerate() {
                let value = series.points.first().copied().flatten().ok_or("an expectation without a value")?;
                wanted.insert(&series.labels, (index, value));
            }
            for (index, element) in elements.iter().enumerate() {
                let Some((place, value)) = wanted.remove(&element.labels) else {
                    return Err(format!("{} {} is not expected", element.labels, element.sample.v));
                };
                if !same(value, element.sample.v) {
                    return Err(format!("{} is {}, not {value}", element.labels, element.sample.v));
                }
                if eval.ordered && place != index {
                    return Err(format!("{} stands at {index}, not at {place}", element.labels));
                }
            }
            match wanted.first_key_value() {
                Some((labels, (_, value))) => Err(format!("{labels} {value} is missing")),
                None => Ok(()),
            }
        }
        Value::Matrix(_) => Err("a matrix, not a vector".into()),
    }
}

/// A matrix over the steps from `from` on.
pub(crate) fn matrix(eval: &Eval, value: &Value, (from, to, step): (i64, i64, i64)) -> Result<(), String> {
    let Value::Matrix(rows) = value else { return Err("no matrix".into()) };
    if rows.windows(2).any(|pair| pair[0].labels > pair[1].labels) {
        return Err("the rows are not sorted".into());
    }
    let mut wanted: BTreeMap<&Labels, Vec<(i64, f64)>> = BTreeMap::new();
    for series in &eval.series {
        let points = series.points.iter().enumerate();
        let points: Vec<(i64, f64)> =
            points.filter_map(|(index, point)| Some((from + step * index as i64, (*point)?))).collect();
        if points.iter().any(|(at, _)| *at > to) {
            return Err("the expectation is longer than the range".into());
        }
        wanted.insert(&series.labels, points);
    }
    for row in rows {
        let Some(points) = wanted.remove(&row.labels) else { return Err(format!("{} is not expected", row.labels)) };
        let found: Vec<(i64, f64)> = row.samples.iter().map(|sample| (sample.t, sample.v)).collect();
        let equal = found.len() == points.len() && found.iter().zip(&points).all(|(a, b)| a.0 == b.0 && same(a.1, b.1));
        if !equal {
            return Err(format!("{} is {found:?}, not {points:?}", row.labels));
        }
    }
    match wanted.first_key_value() {
        Some((labels, _)) => Err(format!("{labels} is missing")),
        None => Ok(()),
    }
}

/// Warnings and infos.
pub(crate) fn annotations(eval: &Eval, answer: &Answer) -> Result<(), String> {
    remarks("warning", &eval.warn, &answer.warnings)?;
    remarks("info", &eval.info, &answer.infos)
}

fn remarks(kind: &str, wanted: &Remarks, found: &[String]) -> Result<(), String> {
    if wanted.none && !found.is_empty() {
        return Err(format!("no {kind} is expected: {found:?}"));
    }
    if wanted.some.is_empty() {
        return Ok(());
    }
    if found.is_empty() {
        return Err(format!("a {kind} is expected: {:?}", wanted.some));
    }
    if let Some(missing) = wanted.some.iter().find(|texts| !found.iter().any(|text| texts.fits(text))) {
        return Err(format!("the {kind} {missing:?} is missing: {found:?}"));
    }
    match found.iter().find(|text| !wanted.some.iter().any(|texts| texts.fits(text))) {
        Some(text) => Err(format!("the {kind} {text:?} is not expected")),
        None => Ok(()),
    }
}
