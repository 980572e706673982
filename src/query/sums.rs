//! Sums and quantiles as Prometheus calculates them.

use std::cmp::Ordering;

/// The `q`-quantile, between two values in proportion.
pub(super) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    // NaN counts as the smallest.
    values.sort_by(|a, b| b.is_nan().cmp(&a.is_nan()).then_with(|| a.partial_cmp(b).unwrap_or(Ordering::Equal)));
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let rank = q * (values.len() - 1) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the length")]
    let lower = rank.floor() as usize;
    let weight = rank - rank.floor();
    if weight == 0.0 {
        return values[lower];
    }
    values[lower] * (1.0 - weight) + values[(lower + 1).min(values.len() - 1)] * weight
}

/// One step of a sum that keeps what rounding takes (Kahan, as Neumaier improved it).
pub(super) fn kahan(more: f64, sum: f64, lost: f64) -> (f64, f64) {
    let total = sum + more;
    let lost = if total.is_infinite() {
        0.0
    } else if sum.abs() >= more.abs() {
        lost + ((sum - total) + more)
    } else {
        lost + ((more - total) + sum)
    };
    (total, lost)
}
