//! Sums and quantiles as Prometheus calculates them.

use std::cmp::Ordering;

use wide::f64x2;

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

/// Several such sums at once, of each pair of columns in one go. What rounding takes is exact, so that it can be found
/// without asking which number is larger (Knuth). Where something is infinite or comes close to it, the steps are gone
/// one by one.
pub(super) fn kahan_sums<const N: usize>(rows: impl Iterator<Item = [f64x2; N]> + Clone) -> [[(f64, f64); 2]; N] {
    let (mut sums, mut lost) = ([f64x2::ZERO; N], [f64x2::ZERO; N]);
    for row in rows.clone() {
        for index in 0..N {
            let total = sums[index] + row[index];
            let back = total - sums[index];
            lost[index] += (sums[index] - (total - back)) + (row[index] - back);
            sums[index] = total;
        }
    }
    let pair = |sum: f64x2, lost: f64x2| {
        let ([a, b], [x, y]) = (sum.to_array(), lost.to_array());
        [(a, x), (b, y)]
    };
    let held = std::array::from_fn(|index| pair(sums[index], lost[index]));
    if held.as_flattened().iter().all(|(sum, lost)| sum.is_finite() && lost.is_finite()) {
        return held;
    }
    rows.fold([[(0.0, 0.0); 2]; N], |held, row| {
        let step = |[a, b]: [(f64, f64); 2], more: f64x2| {
            let [x, y] = more.to_array();
            [kahan(x, a.0, a.1), kahan(y, b.0, b.1)]
        };
        std::array::from_fn(|index| step(held[index], row[index]))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers() -> impl Strategy<Value = f64> {
        let odd = [0.0, -0.0, 1e308, -1e308, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 5e-324];
        prop_oneof![6 => -1e6..1e6, 2 => any::<u64>().prop_map(f64::from_bits), 1 => prop::sample::select(odd.to_vec())]
    }

    proptest! {
        #[test]
        fn sums_of_several_columns_are_those_of_each(values in prop::collection::vec((numbers(), numbers()), 0..60)) {
            let bits = |(sum, lost): (f64, f64)| {
                [sum, lost].map(|value| if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() })
            };
            let step = |(a, b): ((f64, f64), (f64, f64)), (x, y): &(f64, f64)| (kahan(*x, a.0, a.1), kahan(*y, b.0, b.1));
            let wanted = values.iter().fold(((0.0, 0.0), (0.0, 0.0)), step);
            let turned = values.iter().map(|(x, y)| [f64x2::new([*x, *y]), f64x2::new([*y, *x])]);
            let wanted = [bits(wanted.0), bits(wanted.1)];
            prop_assert_eq!(kahan_sums(turned).map(|both| both.map(bits)), [wanted, [wanted[1], wanted[0]]]);
        }
    }
}
