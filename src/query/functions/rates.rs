//! How series change: rates, differences, slopes.

use wide::f64x2;

use super::Window;
use crate::query::Notes;
use crate::query::notes::Note;
use crate::query::sums::kahan_sums;
use crate::store::Sample;

/// Increase per second of a counter.
pub(super) fn rate(window: &Window<'_>, _: &[f64], notes: &mut Notes) -> Option<f64> {
    let value = extrapolated(window, true, Some((window.to - window.from) as f64 / 1e3))?;
    remark(window, notes);
    Some(value)
}

/// Increase of a counter over the range.
pub(super) fn increase(window: &Window<'_>, _: &[f64], notes: &mut Notes) -> Option<f64> {
    let value = extrapolated(window, true, None)?;
    remark(window, notes);
    Some(value)
}

/// Difference of a gauge over the range.
pub(super) fn delta(window: &Window<'_>, _: &[f64], _: &mut Notes) -> Option<f64> {
    extrapolated(window, false, None)
}

/// Prometheus tells by the name whether a metric is a counter.
pub(super) fn remark(window: &Window<'_>, notes: &mut Notes) {
    let counter = ["_total", "_sum", "_count", "_bucket"].iter().any(|end| window.metric.ends_with(end));
    if !counter && !window.metric.is_empty() {
        notes.argument(0, Note::NotCounter { metric: window.metric.to_owned() });
    }
}

/// The difference between the ends of the range, drawn out to its bounds where the samples come close to them: up to
/// 1.1 times their distance; else by half of it. A counter is not drawn out below zero, and each fall is a reset.
/// `per` so many seconds; the order of the operations is Prometheus', so that the last bit is too.
fn extrapolated(window: &Window<'_>, counter: bool, per: Option<f64>) -> Option<f64> {
    let [first, .., last] = window.samples else { return None };
    let mut difference = last.v - first.v;
    if counter {
        let mut before = first.v;
        for sample in &window.samples[1..] {
            if sample.v < before {
                difference += before;
            }
            before = sample.v;
        }
    }
    let mut to_start = (first.t - window.from) as f64 / 1e3;
    let mut to_end = (window.to - last.t) as f64 / 1e3;
    let sampled = (last.t - first.t) as f64 / 1e3;
    let distance = sampled / (window.samples.len() - 1) as f64;
    let near = distance * 1.1;
    if to_start >= near {
        to_start = distance / 2.0;
    }
    if counter && difference > 0.0 && first.v >= 0.0 {
        let to_zero = sampled * (first.v / difference);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    if to_end >= near {
        to_end = distance / 2.0;
    }
    let factor = if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled };
    Some(difference * per.map_or(factor, |seconds| factor / seconds))
}

/// Increase per second between the last two samples.
pub(super) fn irate(window: &Window<'_>, _: &[f64], _: &mut Notes) -> Option<f64> {
    let (before, last) = last_two(window)?;
    // After a reset the counter began at zero.
    let difference = if last.v < before.v { last.v } else { last.v - before.v };
    Some(difference / ((last.t - before.t) as f64 / 1e3))
}

/// Difference between the last two samples.
pub(super) fn idelta(window: &Window<'_>, _: &[f64], _: &mut Notes) -> Option<f64> {
    let (before, last) = last_two(window)?;
    Some(last.v - before.v)
}

fn last_two<'a>(window: &Window<'a>) -> Option<(&'a Sample, &'a Sample)> {
    let [.., before, last] = window.samples else { return None };
    (last.t > before.t).then_some((before, last))
}

/// Slope per second of the line through all samples.
pub(super) fn deriv(window: &Window<'_>, _: &[f64], _: &mut Notes) -> Option<f64> {
    let [first, _, ..] = window.samples else { return None };
    Some(line(window.samples, first.t).0)
}

/// Where the line through all samples stands some seconds after the step.
pub(super) fn predict_linear(window: &Window<'_>, args: &[f64], _: &mut Notes) -> Option<f64> {
    let [_, _, ..] = window.samples else { return None };
    let (slope, here) = line(window.samples, window.at);
    Some(slope * args.first()? + here)
}

/// Least squares: slope per second, and the line's value at `at`.
fn line(samples: &[Sample], at: i64) -> (f64, f64) {
    let first = samples.first().map_or(0.0, |sample| sample.v);
    let sums = kahan_sums(samples.iter().map(|sample| {
        let x = (sample.t - at) as f64 / 1e3;
        let row = f64x2::new([x, sample.v]);
        [row, row * f64x2::splat(x)]
    }));
    #[expect(clippy::float_cmp, reason = "a line is flat only when all values are the same")]
    if samples.iter().all(|sample| sample.v == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let n = samples.len() as f64;
    let [[x, y], [xx, xy]] = sums.map(|both| both.map(|(sum, lost)| sum + lost));
    let slope = (xy - x * y / n) / (xx - x * x / n);
    (slope, y / n - slope * x / n)
}

/// How often the value differed from the one before.
pub(super) fn changes(window: &Window<'_>, _: &[f64], _: &mut Notes) -> Option<f64> {
    #[expect(clippy::float_cmp, reason = "any difference is a change")]
    let changed = |pair: &&[Sample]| pair[0].v != pair[1].v && !(pair[0].v.is_nan() && pair[1].v.is_nan());
    Some(window.samples.windows(2).filter(changed).count() as f64)
}

/// How often the value fell.
pub(super) fn resets(window: &Window<'_>, _: &[f64], _: &mut Notes) -> Option<f64> {
    Some(window.samples.windows(2).filter(|pair| pair[1].v < pair[0].v).count() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(samples: &[Sample]) -> Window<'_> {
        Window { samples, from: 0, to: 60_000, at: 60_000, metric: "m_total" }
    }

    fn samples(values: &[(i64, f64)]) -> Vec<Sample> {
        values.iter().map(|(t, v)| Sample { t: *t, v: *v }).collect()
    }

    #[test]
    fn one_sample_has_no_rate() {
        let one = samples(&[(30_000, 5.0)]);
        let mut notes = Notes::new();
        assert_eq!(rate(&window(&one), &[], &mut notes), None);
        assert_eq!(irate(&window(&one), &[], &mut notes), None);
        assert_eq!(deriv(&window(&one), &[], &mut notes), None);
        assert_eq!(changes(&window(&one), &[], &mut notes), Some(0.0));
    }

    #[test]
    fn a_reset_at_the_edge_counts_and_nothing_goes_below_zero() {
        let reset = samples(&[(15_000, 10.0), (30_000, 20.0), (45_000, 0.0), (60_000, 10.0)]);
        // 10 + 0 (from the reset on) + 10 over 45 s, drawn out by 15 s to the left.
        assert_eq!(increase(&window(&reset), &[], &mut Notes::new()), Some(20.0 * (60.0 / 45.0)));
        let young = samples(&[(30_000, 0.0), (45_000, 10.0), (60_000, 20.0)]);
        assert_eq!(increase(&window(&young), &[], &mut Notes::new()), Some(20.0), "a counter at zero began there");
    }

    #[test]
    fn a_gauge_is_drawn_out_below_zero_and_no_further_than_half_a_distance() {
        // Every 10 s from 25 s on: 25 s to the left bound are more than 1.1 times that, so half of it.
        let falling = samples(&[(25_000, 2.0), (35_000, 1.0), (45_000, 0.0), (55_000, -1.0)]);
        let wanted = -3.0 * ((30.0 + 5.0 + 5.0) / 30.0);
        assert_eq!(delta(&window(&falling), &[], &mut Notes::new()), Some(wanted));
    }

    #[test]
    fn the_instant_rate_after_a_reset_counts_from_zero() {
        let reset = samples(&[(30_000, 50.0), (40_000, 100.0), (50_000, 20.0)]);
        assert_eq!(irate(&window(&reset), &[], &mut Notes::new()), Some(2.0));
        assert_eq!(idelta(&window(&reset), &[], &mut Notes::new()), Some(-80.0));
        assert_eq!(resets(&window(&reset), &[], &mut Notes::new()), Some(1.0));
    }

    #[test]
    fn nan_after_nan_is_no_change() {
        let nan = samples(&[(1, f64::NAN), (2, f64::NAN), (3, 1.0), (4, f64::NAN)]);
        assert_eq!(changes(&window(&nan), &[], &mut Notes::new()), Some(2.0));
    }

    #[test]
    fn a_flat_line_stays_flat_and_an_infinite_one_is_unknown() {
        let flat = samples(&[(10_000, 0.1), (20_000, 0.1), (30_000, 0.1)]);
        assert_eq!(deriv(&window(&flat), &[], &mut Notes::new()), Some(0.0));
        assert_eq!(predict_linear(&window(&flat), &[3600.0], &mut Notes::new()), Some(0.1));
        let infinite = samples(&[(10_000, f64::INFINITY), (20_000, f64::INFINITY)]);
        assert!(deriv(&window(&infinite), &[], &mut Notes::new()).unwrap().is_nan());
    }

    #[test]
    fn only_what_a_name_does_not_call_a_counter_is_told() {
        let two = samples(&[(10_000, 1.0), (20_000, 2.0)]);
        for (metric, told) in [("m_total", 0), ("m_bucket", 0), ("", 0), ("m", 1)] {
            let mut notes = Notes::new();
            rate(&Window { metric, ..window(&two) }, &[], &mut notes);
            assert_eq!(notes.texts("rate(m[1m])").1.len(), told, "{metric}");
        }
    }
}
