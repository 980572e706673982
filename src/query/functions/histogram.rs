//! Classic histograms: quantiles and fractions of the buckets of one group.

/// A bucket: its upper bound, and how many values are not above it.
pub(in crate::query) type Bucket = (f64, f64);

/// What was mended so that counts grow with the bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::query) struct Mended {
    /// Lowest and highest bound that was mended.
    pub(in crate::query) buckets: (f64, f64),
    /// The largest mend.
    pub(in crate::query) most: f64,
}

/// Differences below this share of the counts come from rounding.
const ROUNDING: f64 = 1e-12;

/// The value that `q` of all values are not above, between two bounds in proportion; and what had to be mended.
pub(in crate::query) fn quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Mended>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if !order(buckets) {
        return (f64::NAN, None);
    }
    let mended = mend(buckets);
    let [first, .., (_, all)] = buckets.as_slice() else { return (f64::NAN, mended) };
    if *all == 0.0 {
        return (f64::NAN, mended);
    }
    let rank = q * all;
    let last = buckets.len() - 1;
    let at = search(&buckets[..last], rank);
    let value = if at == last {
        buckets[last - 1].0
    } else if at == 0 && first.0 <= 0.0 {
        first.0
    } else {
        let (start, below) = if at > 0 { buckets[at - 1] } else { (0.0, 0.0) };
        let (end, count) = buckets[at];
        start + (end - start) * ((rank - below) / (count - below))
    };
    (value, mended)
}

/// The first bucket that reaches `rank`, found by halving as Go's `sort.Search` does: with NaN among the counts, which
/// are not in order then, another search would find another bucket.
fn search(buckets: &[Bucket], rank: f64) -> usize {
    let (mut low, mut high) = (0, buckets.len());
    while low < high {
        let middle = low.midpoint(high);
        if buckets[middle].1 >= rank { high = middle } else { low = middle + 1 }
    }
    low
}

/// The share of values between two bounds.
pub(in crate::query) fn fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if !order(buckets) {
        return f64::NAN;
    }
    let all = buckets.last().map_or(0.0, |(_, count)| *count);
    if all == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank(upper, all, buckets) - rank(lower, all, buckets)) / all
}

/// How many values are not above `value`, `all` at most: counts that fall are not mended here.
fn rank(value: f64, all: f64, buckets: &[Bucket]) -> f64 {
    // With a first bound above zero all values are taken to be positive.
    let mut start = if buckets[0].0 <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let mut below = 0.0;
    // Not `min`: a count that is NaN stays NaN.
    let bounded = |count: f64| if count > all { all } else { count };
    for &(end, count) in buckets {
        if start >= value {
            return bounded(below);
        }
        if end > value {
            // Within a bucket without an end nothing can be said in proportion.
            let within = if start == f64::NEG_INFINITY {
                count
            } else {
                below + (count - below) * (value - start) / (end - start)
            };
            return bounded(within);
        }
        (start, below) = (end, count);
    }
    all
}

/// Sorts, and joins buckets with one bound. False: there is no bucket for everything.
fn order(buckets: &mut Vec<Bucket>) -> bool {
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    buckets.dedup_by(|next, kept| {
        #[expect(clippy::float_cmp, reason = "the same bound")]
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
    buckets.last().is_some_and(|(bound, _)| *bound == f64::INFINITY)
}

fn mend(buckets: &mut [Bucket]) -> Option<Mended> {
    let mut mended: Option<Mended> = None;
    let mut before = buckets.first()?.1;
    for (bound, count) in &mut buckets[1..] {
        if about_equal(before, *count) {
            *count = before;
        } else if *count < before {
            let known = mended.get_or_insert(Mended { buckets: (*bound, *bound), most: 0.0 });
            known.buckets = (known.buckets.0.min(*bound), known.buckets.1.max(*bound));
            known.most = known.most.max(before - *count);
            *count = before;
        } else {
            before = *count;
        }
    }
    mended
}

fn about_equal(a: f64, b: f64) -> bool {
    #[expect(clippy::float_cmp, reason = "equal is equal")]
    if a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < ROUNDING * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < ROUNDING
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_fall_are_mended_and_told() {
        let mut buckets = vec![(1.0, 5.0), (2.0, 3.0), (f64::INFINITY, 10.0)];
        let (value, mended) = quantile(0.5, &mut buckets);
        assert_eq!(value, 1.0);
        assert_eq!(mended, Some(Mended { buckets: (2.0, 2.0), most: 2.0 }));
    }

    #[test]
    fn without_a_bucket_for_everything_nothing_is_known() {
        assert!(quantile(0.5, &mut vec![(1.0, 5.0), (2.0, 6.0)]).0.is_nan());
        assert!(fraction(0.0, 1.0, &mut vec![]).is_nan());
        assert!(quantile(0.5, &mut vec![(f64::INFINITY, 5.0)]).0.is_nan());
    }

    #[test]
    fn a_count_that_is_nan_makes_the_answer_nan_or_the_last_bound() {
        let inf = f64::INFINITY;
        assert_eq!(quantile(0.5, &mut vec![(1.0, 5.0), (2.0, 6.0), (inf, f64::NAN)]).0, 2.0);
        assert_eq!(quantile(0.1, &mut vec![(1.0, 5.0), (2.0, f64::NAN), (inf, 10.0)]).0, 2.0);
        assert!(fraction(0.5, 1.5, &mut vec![(1.0, f64::NAN), (2.0, 6.0), (inf, 10.0)]).is_nan());
    }

    #[test]
    fn counts_that_fall_never_make_a_fraction_above_one() {
        let mut buckets = vec![(1.0, 5.0), (2.0, 20.0), (3.0, 8.0), (f64::INFINITY, 10.0)];
        assert_eq!(fraction(0.0, 2.0, &mut buckets), 1.0);
    }

    #[test]
    fn differences_from_rounding_are_mended_without_a_word() {
        let mut buckets = vec![(1.0, 5.0), (2.0, 5.0 - 1e-13), (f64::INFINITY, 10.0)];
        assert_eq!(quantile(0.5, &mut buckets), (1.0, None));
    }

    #[test]
    fn buckets_of_one_bound_are_joined_and_wild_quantiles_are_infinite() {
        let mut buckets = vec![(f64::INFINITY, 10.0), (1.0, 2.0), (1.0, 3.0)];
        assert_eq!(quantile(0.25, &mut buckets).0, 0.5);
        assert_eq!(quantile(-0.1, &mut buckets).0, f64::NEG_INFINITY);
        assert_eq!(quantile(1.1, &mut buckets).0, f64::INFINITY);
        assert!(quantile(f64::NAN, &mut buckets).0.is_nan());
        assert_eq!(quantile(0.1, &mut vec![(-1.0, 5.0), (f64::INFINITY, 10.0)]).0, -1.0, "no start to count from");
    }
}
