//! The numbers behind PromQL's functions.

use super::Notes;
use super::syntax::Edges;
use crate::store::Sample;

mod dates;
pub(super) mod edges;
pub(super) mod histogram;
pub(super) mod labels;
mod math;
mod rates;
mod windows;

/// The samples of one series that a step sees.
#[derive(Debug)]
pub(super) struct Window<'a> {
    /// In the order of time, at least one, stale markers taken out; with those around an anchored or smoothed range.
    pub(super) samples: &'a [Sample],
    /// The range's bounds after offsets, Unix milliseconds; the left one is open.
    pub(super) from: i64,
    pub(super) to: i64,
    /// The step, Unix milliseconds.
    pub(super) at: i64,
    /// The metric's name, for remarks.
    pub(super) metric: &'a str,
}

/// A function of a range; the numbers are its scalar arguments. `None`: the series has no answer.
pub(super) type OverTime = fn(&Window<'_>, &[f64], &mut Notes) -> Option<f64>;

/// The function of a range with this name and such edges.
///
/// # Errors
/// There is one, but not for such edges: those there are.
pub(super) fn over_time(name: &str, edges: Edges) -> Result<Option<OverTime>, &'static str> {
    let (found, those) = match edges {
        Edges::Plain => return Ok(plain(name)),
        Edges::Anchored => (edges::anchored(name), "changes, delta, increase, rate, resets"),
        Edges::Smoothed => (edges::smoothed(name), "delta, increase, rate"),
    };
    found.map(Some).ok_or(those)
}

fn plain(name: &str) -> Option<OverTime> {
    Some(match name {
        "rate" => rates::rate,
        "increase" => rates::increase,
        "delta" => rates::delta,
        "irate" => rates::irate,
        "idelta" => rates::idelta,
        "deriv" => rates::deriv,
        "predict_linear" => rates::predict_linear,
        "changes" => rates::changes,
        "resets" => rates::resets,
        "avg_over_time" => windows::avg,
        "count_over_time" => windows::count,
        "first_over_time" => windows::first,
        "last_over_time" => windows::last,
        "max_over_time" => windows::max,
        "min_over_time" => windows::min,
        "present_over_time" => windows::present,
        "quantile_over_time" => windows::quantile,
        "stddev_over_time" => windows::stddev,
        "stdvar_over_time" => windows::stdvar,
        "sum_over_time" => windows::sum,
        _ => return None,
    })
}

/// The function of one element's value with this name; the numbers are its scalar arguments.
pub(super) fn simple(name: &str) -> Option<fn(f64, &[f64]) -> f64> {
    math::find(name).or_else(|| dates::find(name))
}
