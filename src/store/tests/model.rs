//! Random appends and selects against a map of vectors.

use super::*;

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (0_u32..50).prop_map(f64::from),
        Just(STALE),
        Just(f64::INFINITY),
        Just(-0.0),
        Just(f64::from_bits(0x7ff8_0000_0000_1234)),
    ]
}

fn step() -> impl Strategy<Value = i64> {
    prop_oneof![6 => Just(15_000_i64), 3 => 14_900_i64..15_100, 1 => 0_i64..2, 1 => -40_000_i64..0, 1 => 60_000_i64..9_000_000]
}

fn matchers() -> impl Strategy<Value = Vec<Matcher>> {
    let one = (
        prop_oneof![Just("__name__"), Just("a"), Just("none")],
        prop_oneof![Just(Op::Equal), Just(Op::NotEqual), Just(Op::Match), Just(Op::NotMatch)],
        prop_oneof![Just(""), Just("m1"), Just("m.*"), Just("x|"), Just("x"), Just(".+")],
    );
    prop::collection::vec(one.prop_map(|(name, op, value)| Matcher::new(name, op, value).unwrap()), 0..3)
}

fn label_sets() -> Vec<Labels> {
    let pairs = [("m1", ""), ("m1", "x"), ("m2", "x"), ("m2", "y"), ("n", "")];
    pairs.iter().map(|(name, a)| Labels::new([("__name__", *name), ("a", *a)])).collect()
}

/// Same time and value: nothing; anything else not newer: refused.
fn append(model: &mut BTreeMap<Labels, Vec<Sample>>, floor: i64, labels: &Labels, sample: Sample) -> bool {
    let samples = model.entry(labels.clone()).or_default();
    let newer = samples.last().is_none_or(|last| last.t < sample.t) && sample.t >= floor;
    if newer {
        samples.push(sample);
    }
    newer
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_was_appended_is_read_whether_it_lies_in_memory_or_in_blocks(
        steps in prop::collection::vec((step(), 0_usize..5, value()), 1..900),
        asked in prop::collection::vec((matchers(), -HOUR..40 * HOUR, 0_i64..8 * HOUR), 4),
        restart in any::<prop::sample::Index>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), Limits::default(), Board::new()).unwrap();
        let mut model = BTreeMap::new();
        let sets = label_sets();
        let mut t = T0;
        let restart = restart.index(steps.len());
        for (index, (step, which, v)) in steps.into_iter().enumerate() {
            t += step;
            let floor = store.lock().floor;
            let sample = Sample { t, v };
            prop_assert_eq!(store.append(&sets[which], sample), append(&mut model, floor, &sets[which], sample));
            if index == restart {
                // Everything goes to disk, and the store is opened again from there.
                let end = store.max_time().unwrap() + 1;
                prop_assert!(store.inner.cut(end));
                store = Store::open(dir.path(), Limits::default(), Board::new()).unwrap();
                prop_assert_eq!(store.lock().floor, end);
            }
        }
        for (matchers, from, len) in asked {
            let (from, to) = (T0 + from, T0 + from + len);
            let wanted = |labels: &Labels| matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name)));
            let mut expected = BTreeMap::new();
            for (labels, samples) in &model {
                let inside: Vec<Sample> =
                    samples.iter().copied().filter(|sample| (from..=to).contains(&sample.t)).collect();
                if wanted(labels) && !inside.is_empty() {
                    expected.insert(labels.clone(), bits(&inside));
                }
            }
            let mut found = BTreeMap::new();
            let selected = store.select(&matchers, from, to).unwrap();
            prop_assert!(selected.is_sorted_by(|a, b| a.labels() < b.labels()));
            for series in selected {
                let mut samples = Vec::new();
                series.read(from, to, &mut samples).unwrap();
                if !samples.is_empty() {
                    found.insert(series.labels().clone(), bits(&samples));
                }
            }
            prop_assert_eq!(&found, &expected);
            let listed = store.series(std::slice::from_ref(&matchers), from, to, usize::MAX).unwrap();
            prop_assert!(expected.keys().all(|labels| listed.contains(labels)));
            let names = store.label_values("__name__", &[matchers], from, to, usize::MAX).unwrap();
            prop_assert!(expected.keys().all(|labels| names.iter().any(|name| name == labels.name())));
        }
    }
}

#[test]
fn a_series_that_was_found_before_a_block_was_made_is_read_whole_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Limits::default(), Board::new()).unwrap();
    let labels = Labels::new([("__name__", "m")]);
    for n in 0..400 {
        store.append(&labels, Sample { t: T0 + n * 15_000, v: n as f64 });
    }
    let series = store.select(&[], T0, i64::MAX).unwrap().remove(0);
    assert!(store.inner.cut(T0 + HOUR));
    let mut samples = Vec::new();
    series.read(i64::MIN, i64::MAX, &mut samples).unwrap();
    assert_eq!(samples.iter().map(|sample| sample.v as i64).collect::<Vec<_>>(), (0..400).collect::<Vec<_>>());
    assert_eq!((store.min_time(), store.max_time()), (Some(T0), Some(T0 + 399 * 15_000)));
}
