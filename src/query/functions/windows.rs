//! Aggregations of one series over a range.

use super::Window;
use crate::query::Notes;
use crate::query::notes::Note;
use crate::query::sums::{self, kahan};

/// The mean; of a sum that would not fit, the mean itself is carried.
pub(super) fn avg(window: &Window<'_>, _: &[f64], _: &mut Notes) -> Option<f64> {
    let (first, others) = window.samples.split_first()?;
    let (mut sum, mut lost, mut count) = (first.v, 0.0, 1.0);
    let mut mean = None;
    for sample in others {
        count += 1.0;
        let carried = match mean {
            Some(mean) => mean,
            None => {
                let (total, rest) = kahan(sample.v, sum, lost);
                if !total.is_infinite() {
                    (sum, lost) = (total, rest);
                    continue;
                }
                lost /= count - 1.0;
                sum / (count - 1.0)
            }
        };
        let share = (count - 1.0) / count;
        let (next, rest) = kahan(sample.v / count, share * carried, share * lost);
        (mean, lost) = (Some(next), rest);
    }
    Some(mean.map_or_else(|| sum / count + lost / count, |mean| mean + lost))
}

pub(super) fn count(window: &Window<'_>, _: &[f64], _: &mut Notes) -> Option<f64> {
    Some(window.samples.len() as f64)
}

pub(super) fn first(window: &Window<'_>, _: &[f64], _: &mut Notes) -> Option<f64> {
    window.samples.first().map(|sample| sample.v)
}

pub(super) fn last(window: &Window<'_>, _: &[f64], _: &mut Notes) -> Option<f64> {
    window.samples.last().map(|sample| sample.v)
}

pub(super) fn present(window: &Window<'_>, _: &[f64], _: &mut Notes) -> Option<f64> {
    (!window.samples.is_empty()).then_some(1.0)
}

/// A NaN gives way to any number.
pub(super) fn max(window: &Window<'_>, _: &[f64], _: &mut Notes) -> Option<f64> {
    let values = window.samples.iter().map(|sample| sample.v);
    values.reduce(|most, value| if value > most || most.is_nan() { value } else { most })
}

pub(super) fn min(window: &Window<'_>, _: &[f64], _: &mut Notes) -> Option<f64> {
    let values = window.samples.iter().map(|sample| sample.v);
    values.reduce(|least, value| if value < least || least.is_nan() { value } else { least })
}

pub(super) fn sum(window: &Window<'_>, _: &[f64], _: &mut Notes) -> Option<f64> {
    let (sum, lost) = window.samples.iter().fold((0.0, 0.0), |(sum, lost), sample| kahan(sample.v, sum, lost));
    Some(if sum.is_infinite() { sum } else { sum + lost })
}

pub(super) fn quantile(window: &Window<'_>, args: &[f64], notes: &mut Notes) -> Option<f64> {
    let q = *args.first()?;
    if !(0.0..=1.0).contains(&q) {
        notes.argument(0, Note::Quantile(q));
    }
    let mut values: Vec<f64> = window.samples.iter().map(|sample| sample.v).collect();
    Some(sums::quantile(q, &mut values))
}

pub(super) fn stddev(window: &Window<'_>, args: &[f64], notes: &mut Notes) -> Option<f64> {
    stdvar(window, args, notes).map(f64::sqrt)
}

/// The variance of all values (Welford), with what rounding takes kept.
pub(super) fn stdvar(window: &Window<'_>, _: &[f64], _: &mut Notes) -> Option<f64> {
    let (mut count, mut mean, mut aux) = (0.0, (0.0, 0.0), (0.0, 0.0));
    for sample in window.samples {
        count += 1.0;
        let delta = sample.v - (mean.0 + mean.1);
        mean = kahan(delta / count, mean.0, mean.1);
        aux = kahan(delta * (sample.v - (mean.0 + mean.1)), aux.0, aux.1);
    }
    Some((aux.0 + aux.1) / count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Sample;

    fn over(values: &[f64], function: super::super::OverTime, args: &[f64]) -> Option<f64> {
        let samples: Vec<Sample> =
            values.iter().enumerate().map(|(at, v)| Sample { t: at as i64 * 1000 + 1, v: *v }).collect();
        let window = Window { samples: &samples, from: 0, to: 60_000, at: 60_000, metric: "m" };
        function(&window, args, &mut Notes::new())
    }

    #[test]
    fn sums_and_means_keep_what_rounding_takes() {
        let values = [1.0, 1e100, 1.0, -1e100];
        assert_eq!(over(&values, sum, &[]), Some(2.0));
        assert_eq!(over(&values, avg, &[]), Some(0.5));
    }

    #[test]
    fn a_mean_exists_where_the_sum_would_not_fit() {
        assert_eq!(over(&[f64::MAX, f64::MAX], avg, &[]), Some(f64::MAX));
        assert_eq!(over(&[f64::MAX, f64::MAX], sum, &[]), Some(f64::INFINITY));
        assert_eq!(over(&[f64::INFINITY, 1.0], avg, &[]), Some(f64::INFINITY));
        assert!(over(&[f64::INFINITY, f64::NEG_INFINITY], avg, &[]).unwrap().is_nan());
    }

    #[test]
    fn nan_gives_way_in_minima_and_is_the_smallest_in_quantiles() {
        let values = [f64::NAN, 3.0, 1.0, f64::NAN];
        assert_eq!(over(&values, max, &[]), Some(3.0));
        assert_eq!(over(&values, min, &[]), Some(1.0));
        assert!(over(&[f64::NAN], max, &[]).unwrap().is_nan());
        assert!(over(&values, quantile, &[0.0]).unwrap().is_nan());
        assert_eq!(over(&values, quantile, &[1.0]), Some(3.0));
    }

    #[test]
    fn a_quantile_outside_of_its_bounds_is_infinite_and_told() {
        assert_eq!(over(&[1.0], quantile, &[-1.0]), Some(f64::NEG_INFINITY));
        assert_eq!(over(&[1.0], quantile, &[2.0]), Some(f64::INFINITY));
        let samples = [Sample { t: 1, v: 1.0 }];
        let window = Window { samples: &samples, from: 0, to: 2, at: 2, metric: "m" };
        let mut notes = Notes::new();
        quantile(&window, &[f64::NAN], &mut notes);
        let (warnings, _) = notes.texts("q");
        assert_eq!(warnings, ["PromQL warning: quantile value should be between 0 and 1, got NaN (1:1)"]);
    }

    #[test]
    fn a_window_without_samples_has_no_answer() {
        for name in ["avg", "max", "min", "last", "first", "present"] {
            let function = super::super::plain(&format!("{name}_over_time")).unwrap();
            assert_eq!(over(&[], function, &[]), None, "{name}");
        }
    }
}
