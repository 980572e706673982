//! Ranges whose bounds get values of their own: `anchored` takes the sample before a bound, `smoothed` the line between
//! the samples on both sides of it. The window then holds samples of the lookback beside those of the range.

use super::{OverTime, Window, rates};
use crate::query::Notes;
use crate::store::Sample;

/// The function over an anchored range with this name.
pub(super) fn anchored(name: &str) -> Option<OverTime> {
    Some(match name {
        "rate" => |window, _, notes| per_second(window, false, notes),
        "increase" => |window, _, notes| grown(window, false, notes),
        "delta" => |window, _, _| difference(window, false, false),
        "changes" => |window, _, notes| rates::changes(&since_before(window)?, &[], notes),
        "resets" => |window, _, notes| rates::resets(&since_before(window)?, &[], notes),
        _ => return None,
    })
}

/// The function over a smoothed range with this name.
pub(super) fn smoothed(name: &str) -> Option<OverTime> {
    Some(match name {
        "rate" => |window, _, notes| per_second(window, true, notes),
        "increase" => |window, _, notes| grown(window, true, notes),
        "delta" => |window, _, _| difference(window, true, false),
        _ => return None,
    })
}

fn per_second(window: &Window<'_>, smoothed: bool, notes: &mut Notes) -> Option<f64> {
    let value = difference(window, smoothed, true)? / ((window.to - window.from) as f64 / 1e3);
    rates::remark(window, notes);
    Some(value)
}

fn grown(window: &Window<'_>, smoothed: bool, notes: &mut Notes) -> Option<f64> {
    let value = difference(window, smoothed, true)?;
    rates::remark(window, notes);
    Some(value)
}

/// What lies between the bounds of a range: the values at both and the samples inside.
struct Cut<'a> {
    left: f64,
    right: f64,
    inside: &'a [Sample],
}

/// Cuts the range out of a window; `None` where it holds nothing after its left bound. A smoothed range needs a sample
/// up to its right bound too, unless `outside` lets it do with one behind.
fn cut<'a>(window: &Window<'a>, smoothed: bool, counter: bool, outside: bool) -> Option<Cut<'a>> {
    let (samples, from, to) = (window.samples, window.from, window.to);
    let mut last = samples.len().checked_sub(1)?;
    let mut first = samples[..last].partition_point(|sample| sample.t <= from).saturating_sub(1);
    if smoothed {
        last = samples[..last].partition_point(|sample| sample.t < to);
    }
    if samples[last].t <= from || smoothed && !outside && samples[first].t > to {
        return None;
    }
    let left = match (samples[first], samples.get(first + 1)) {
        (before, Some(next)) if smoothed && before.t < from => between(before, *next, from, counter),
        (before, _) => before.v,
    };
    let right = match (samples[last], last.checked_sub(1).map(|before| samples[before])) {
        (next, Some(before)) if smoothed && next.t > to => between(before, next, to, counter),
        (next, _) => next.v,
    };
    if samples[first].t <= from {
        first += 1;
    }
    let end = if samples[last].t >= to { last } else { last + 1 };
    Some(Cut { left, right, inside: samples.get(first..end).unwrap_or_default() })
}

/// The difference between the values at the bounds; in a counter each fall is a reset.
fn difference(window: &Window<'_>, smoothed: bool, counter: bool) -> Option<f64> {
    let Cut { left, right, inside } = cut(window, smoothed, counter, false)?;
    let mut difference = right - left;
    if counter {
        let (mut lost, mut before) = (0.0, left);
        for value in inside.iter().map(|sample| sample.v).chain([right]) {
            if value < before {
                lost += before;
            }
            before = value;
        }
        difference += lost;
    }
    Some(difference)
}

/// The samples from the last one up to the left bound on; `None` where none lies behind the bound.
fn since_before<'a>(window: &Window<'a>) -> Option<Window<'a>> {
    let after = window.samples.partition_point(|sample| sample.t <= window.from);
    if after == window.samples.len() {
        return None;
    }
    Some(Window { samples: &window.samples[after.saturating_sub(1)..], ..*window })
}

/// The samples of a range with its bounds as samples of their own.
pub(in crate::query) fn extended(window: &Window<'_>, smoothed: bool) -> Vec<Sample> {
    let Some(Cut { left, right, inside }) = cut(window, smoothed, false, true) else { return Vec::new() };
    let mut out = Vec::with_capacity(inside.len() + 2);
    out.push(Sample { t: window.from, v: left });
    out.extend_from_slice(inside);
    out.push(Sample { t: window.to, v: right });
    out
}

/// The value at `at` on the line between two samples; a counter that fell between them began at zero.
pub(in crate::query) fn between(before: Sample, next: Sample, at: i64, counter: bool) -> f64 {
    let start = if counter && next.v < before.v { 0.0 } else { before.v };
    start + (next.v - start) * ((at - before.t) as f64) / ((next.t - before.t) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLES: [Sample; 4] = [
        Sample { t: 0, v: 100.0 },
        Sample { t: 20_000, v: 120.0 },
        Sample { t: 40_000, v: 10.0 },
        Sample { t: 60_000, v: 30.0 },
    ];

    fn window(samples: &[Sample], from: i64, to: i64) -> Window<'_> {
        Window { samples, from, to, at: to, metric: "m_total" }
    }

    fn ask(function: Option<OverTime>, window: &Window<'_>) -> Option<f64> {
        function.unwrap()(window, &[], &mut Notes::new())
    }

    #[test]
    fn an_anchored_range_counts_from_the_sample_before_it_without_drawing_out() {
        let window = window(&SAMPLES, 10_000, 65_000);
        // 100 to 120, a reset, 10 to 30.
        assert_eq!(ask(anchored("increase"), &window), Some(50.0));
        assert_eq!(ask(anchored("rate"), &window), Some(50.0 / 55.0));
        assert_eq!(ask(anchored("delta"), &window), Some(-70.0));
        assert_eq!(ask(anchored("changes"), &window), Some(3.0));
        assert_eq!(ask(anchored("resets"), &window), Some(1.0));
    }

    #[test]
    fn a_smoothed_range_takes_the_line_at_both_bounds() {
        // At 10 s the line is at 110, at 50 s at 20; between them the counter began again.
        let window = window(&SAMPLES, 10_000, 50_000);
        assert_eq!(ask(smoothed("increase"), &window), Some(30.0));
        assert_eq!(ask(smoothed("delta"), &window), Some(-90.0));
        // Inside of the fall a counter stands on the line from zero: 5 at 30 s.
        let fallen = Window { from: 30_000, to: 50_000, ..window };
        assert_eq!(ask(smoothed("increase"), &fallen), Some(15.0));
    }

    #[test]
    fn nothing_after_the_left_bound_is_no_answer() {
        let old = window(&SAMPLES[..2], 20_000, 40_000);
        for name in ["rate", "increase", "delta", "changes", "resets"] {
            assert_eq!(ask(anchored(name), &old), None, "{name}");
        }
        assert_eq!(ask(smoothed("rate"), &old), None);
        let later = window(&SAMPLES[3..], 0, 20_000);
        assert_eq!(ask(smoothed("rate"), &later), None, "all lies behind the right bound");
    }

    #[test]
    fn one_sample_inside_is_enough_for_an_anchored_range() {
        let one = window(&SAMPLES[1..2], 10_000, 30_000);
        assert_eq!(ask(anchored("increase"), &one), Some(0.0));
        assert_eq!(ask(anchored("changes"), &one), Some(0.0));
    }

    #[test]
    fn the_bounds_become_samples() {
        let out = extended(&window(&SAMPLES, 10_000, 60_000), true);
        let want = [(10_000, 110.0), (20_000, 120.0), (40_000, 10.0), (60_000, 30.0)];
        assert_eq!(out.iter().map(|sample| (sample.t, sample.v)).collect::<Vec<_>>(), want);
        let out = extended(&window(&SAMPLES[..2], 10_000, 60_000), false);
        let want = [(10_000, 100.0), (20_000, 120.0), (60_000, 120.0)];
        assert_eq!(out.iter().map(|sample| (sample.t, sample.v)).collect::<Vec<_>>(), want);
    }
}
