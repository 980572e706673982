//! Random appends and selects against a map of vectors.

use super::cut::BLOCK;
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

/// What happens to a store between two samples.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// Memory is short: what is older than so many milliseconds goes to disk.
    Early(i64),
    /// Everything goes to disk, and the store is opened again from there.
    Restart,
    /// The same, but the end comes when a new block is there and those that it took in are still there too.
    Crash,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![3 => (0_i64..1_200_000).prop_map(Event::Early), 1 => Just(Event::Restart), 1 => Just(Event::Crash)]
}

fn happen(store: Store, dir: &Path, event: Event) -> Store {
    let newest = store.max_time().unwrap();
    let end = if let Event::Early(age) = event { newest - age } else { newest + 1 };
    let before: Vec<_> =
        disk::files(dir, ".blk").into_iter().map(|path| (std::fs::read(&path).unwrap(), path)).collect();
    if store.lock().oldest < end {
        assert!(store.inner.cut(end));
    }
    match event {
        Event::Early(_) => return store,
        Event::Restart => {}
        Event::Crash => before.iter().for_each(|(bytes, path)| std::fs::write(path, bytes).unwrap()),
    }
    let whole = all(&store);
    drop(store);
    let store = Store::open(dir, Limits::default(), Board::new()).unwrap();
    assert_eq!(all(&store), whole);
    assert_eq!(disk::files(dir, ".blk").len(), store.stats().blocks as usize, "nothing is left that no one reads");
    store
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_was_appended_is_read_whether_it_lies_in_memory_or_in_blocks(
        steps in prop::collection::vec((step(), 0_usize..5, value()), 1..900),
        asked in prop::collection::vec((matchers(), -HOUR..40 * HOUR, 0_i64..8 * HOUR), 4),
        events in prop::collection::vec((any::<prop::sample::Index>(), event()), 1..8),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), Limits::default(), Board::new()).unwrap();
        let mut model = BTreeMap::new();
        let sets = label_sets();
        let mut t = T0;
        let events: Vec<_> = events.into_iter().map(|(at, event)| (at.index(steps.len()), event)).collect();
        for (index, (step, which, v)) in steps.into_iter().enumerate() {
            t += step;
            let floor = store.lock().floor;
            let sample = Sample { t, v };
            let taken = store.append(&sets[which], sample) == Taken::Yes;
            prop_assert_eq!(taken, append(&mut model, floor, &sets[which], sample));
            for (_, event) in events.iter().filter(|(at, _)| *at == index) {
                store = happen(store, dir.path(), *event);
            }
        }
        let hours = |block: &Arc<Block>| (block.from.div_euclid(BLOCK), (block.to - 1).div_euclid(BLOCK));
        let mut within: Vec<_> = store.inner.blocks.iter().flat_map(Blocks::all).map(|block| hours(&block)).collect();
        within.retain(|(from, to)| from == to);
        prop_assert!(within.is_sorted_by(|a, b| a < b), "several blocks of the same two hours are left: {within:?}");
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
    for minutes in [20, 40, 60] {
        assert!(store.inner.cut(T0 + minutes * 60_000));
        let mut samples = Vec::new();
        series.read(i64::MIN, i64::MAX, &mut samples).unwrap();
        assert_eq!(samples.iter().map(|sample| sample.v as i64).collect::<Vec<_>>(), (0..400).collect::<Vec<_>>());
        assert_eq!(store.stats().blocks, 1, "the next block took the one before it in");
    }
    assert_eq!((store.min_time(), store.max_time()), (Some(T0), Some(T0 + 399 * 15_000)));
}
