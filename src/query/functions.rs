//! The numbers behind PromQL's functions.

use super::Notes;
use crate::store::Sample;

/// The samples of one series that a step sees.
#[derive(Debug)]
pub(super) struct Window<'a> {
    pub(super) samples: &'a [Sample],
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) at: i64,
    pub(super) metric: &'a str,
}

pub(super) fn over_time(_name: &str) -> Option<fn(&Window<'_>, &[f64], &mut Notes) -> Option<f64>> {
    None
}

pub(super) fn simple(_name: &str) -> Option<fn(f64, &[f64]) -> f64> {
    None
}
