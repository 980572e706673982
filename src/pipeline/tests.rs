//! What goes through the pipeline stands in the store, also after a crash.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::signal::metrics::{Desc, Limits as RoundLimits};
use crate::spool::Limits;
use crate::spool::disk::RealDisk;
use crate::store;
use crate::store::sample::STALE;

const SENT: Desc = Desc::counter("thing.sent", "By", "Bytes.");
const UP: Desc = Desc::gauge("thing.up", "1", "Whether it runs.");

fn pipeline(dir: &Path) -> Pipeline {
    let board = Board::new();
    let limits = Limits {
        undelivered: 16 << 20,
        fsync: Duration::from_secs(1),
        retain_bytes: 64 << 20,
        retain_time: Duration::from_secs(3 * 3600),
    };
    let spool =
        |signal: Signal| Spool::open(Arc::new(RealDisk), dir.join(signal.name()), signal, limits, &board).unwrap();
    let metrics = spool(Signal::Metrics);
    let store = Store::open(&dir.join("store"), store::Limits::default(), board.clone()).unwrap();
    store.restore(&metrics);
    let own = Resource::new("plimsoll", "box", &[]);
    Pipeline::over(spool(Signal::Logs), metrics, Latest::new(), Some(store), own, board).unwrap()
}

fn all(pipeline: &Pipeline) -> BTreeMap<String, Vec<(i64, u64)>> {
    let mut found = BTreeMap::new();
    for series in pipeline.store().unwrap().select(&[], i64::MIN, i64::MAX).unwrap() {
        let mut samples = Vec::new();
        series.read(i64::MIN, i64::MAX, &mut samples).unwrap();
        found.insert(series.labels().to_string(), samples.iter().map(|s| (s.t, s.v.to_bits())).collect());
    }
    found
}

/// One of many rounds; series come and go, rules record.
fn step(pipeline: &Pipeline, n: u64) {
    let t = 1_699_999_200_000 + n * 60_000;
    let resource = Arc::new(Resource::new("thing", "box:1", &[("host.name", "box")]));
    let mut round = Samples::new(RoundLimits::default());
    round.put(&UP, 1_u64);
    for user in 0..n % 4 {
        round.put_with(&SENT, &[("user", &user.to_string())], n as f64 / 3.0);
    }
    pipeline.push_samples("thing", &resource, &round, t, t * 1_000_000).unwrap();
    let v = if n % 5 == 4 { STALE } else { n as f64 };
    let row = |pairs: &[(&str, &str)]| (Labels::new(pairs.iter().copied()), crate::store::Sample { t: t as i64, v });
    let rows = [
        row(&[("__name__", "ALERTS"), ("alertname", "Slow"), ("job", "thing"), ("instance", "box:1")]),
        row(&[("__name__", "a:b:rate5m"), ("le", "0.5")]),
    ];
    pipeline.push_recorded(&rows).unwrap();
    pipeline.push_recorded(&rows).unwrap();
}

/// Names the series that differs, and where.
fn same(found: &BTreeMap<String, Vec<(i64, u64)>>, expected: &BTreeMap<String, Vec<(i64, u64)>>, n: u64) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "after round {n}");
    for (name, samples) in found {
        let differs = samples.iter().zip(&expected[name]).find(|(a, b)| a != b);
        assert_eq!((differs, samples.len()), (None, expected[name].len()), "{name} after round {n}");
    }
}

#[test]
fn after_a_crash_at_any_moment_every_series_is_as_in_a_store_that_went_on() {
    let twin_dir = tempfile::tempdir().unwrap();
    let twin = pipeline(twin_dir.path());
    let dir = tempfile::tempdir().unwrap();
    let mut killed = pipeline(dir.path());
    for n in 0..200 {
        step(&twin, n);
        step(&killed, n);
        // At the first block, right before and after it, and in between.
        if [1, 57, 129, 130, 131, 150].contains(&n) {
            drop(killed);
            killed = pipeline(dir.path());
            same(&all(&killed), &all(&twin), n);
        }
    }
    let found = all(&killed);
    same(&found, &all(&twin), 200);
    assert_eq!(killed.store().unwrap().stats().blocks, 1);
    assert!(found.contains_key("a:b:rate5m{le=\"0.5\"}"), "{:?}", found.keys());
    assert!(killed.inner.board.losses().is_empty(), "{:?}", killed.inner.board.losses());
}

#[test]
fn a_source_that_does_not_come_back_after_a_restart_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let first = pipeline(dir.path());
    (0..4).for_each(|n| step(&first, n));
    drop(first);
    let second = pipeline(dir.path());
    let other = Arc::new(Resource::new("other", "box:2", &[]));
    let mut round = Samples::new(RoundLimits::default());
    round.put(&UP, 1_u64);
    let ended = |pipeline: &Pipeline| {
        let samples = all(pipeline).remove("thing_up_ratio{instance=\"box:1\", job=\"thing\"}").unwrap();
        samples.last().is_some_and(|(_, value)| *value == STALE.to_bits())
    };
    for (n, over) in [(4, false), (5, false), (6, true)] {
        let t = 1_699_999_200_000 + n * 60_000;
        second.push_samples("other", &other, &round, t, t * 1_000_000).unwrap();
        assert_eq!(ended(&second), over, "a round a minute: missed for good at {n}");
    }
}
