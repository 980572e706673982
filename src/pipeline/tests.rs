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
/// The beginning of a block.
const T0: u64 = 1_699_999_200_000;
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const UP: Desc = Desc::gauge("thing.up", "1", "Whether it runs.");

fn pipeline(dir: &Path) -> Pipeline {
    pipeline_at(dir, unix_nanos() / 1_000_000)
}

/// The same when the clock says `now`, Unix milliseconds.
fn pipeline_at(dir: &Path, now: u64) -> Pipeline {
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
    store.restore_at(&metrics, now as i64);
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
    let t = T0 + n * MINUTE;
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
        let t = T0 + n * MINUTE;
        second.push_samples("other", &other, &round, t, t * 1_000_000).unwrap();
        assert_eq!(ended(&second), over, "a round a minute: missed for good at {n}");
    }
}

fn round_at(pipeline: &Pipeline, t: u64) {
    let resource = Arc::new(Resource::new("thing", "box:1", &[]));
    let mut round = Samples::new(RoundLimits::default());
    round.put(&UP, 1_u64);
    pipeline.push_samples("thing", &resource, &round, t, t * 1_000_000).unwrap();
}

/// The times of the one series, in minutes after [`T0`].
fn minutes(pipeline: &Pipeline) -> Vec<u64> {
    let samples = all(pipeline).remove("thing_up_ratio{instance=\"box:1\", job=\"thing\"}").unwrap();
    samples.into_iter().map(|(t, _)| (t as u64 - T0) / MINUTE).collect()
}

#[test]
fn a_restart_mends_what_a_clock_that_was_ahead_has_done() {
    // The second time it is wrong for so long that whole blocks are.
    for wrong in [3, 300] {
        let dir = tempfile::tempdir().unwrap();
        let first = pipeline(dir.path());
        (0..=30).for_each(|n| round_at(&first, T0 + n * MINUTE));
        (0..wrong).for_each(|n| round_at(&first, T0 + 8 * HOUR + n * MINUTE));
        // Set right while it runs: it goes on by milliseconds.
        round_at(&first, T0 + 31 * MINUTE);
        assert_eq!(minutes(&first).len() as u64, 32 + wrong);
        drop(first);
        let mut second = pipeline_at(dir.path(), T0 + 32 * MINUTE);
        let losses = second.inner.board.losses();
        assert!(losses.iter().all(|((part, reason), _)| (part.as_str(), *reason) == ("store", "ahead_of_clock")));
        assert_eq!(losses.len(), 1, "{losses:?}");
        let mut expected: Vec<u64> = (0..=30).collect();
        assert_eq!(minutes(&second), expected, "{wrong} rounds were wrong");
        for n in 32..180 {
            round_at(&second, T0 + n * MINUTE);
            expected.push(n);
            if n == 40 || n == 135 {
                assert_eq!(minutes(&second), expected);
                drop(second);
                second = pipeline_at(dir.path(), T0 + n * MINUTE + 1);
            }
        }
        assert_eq!(minutes(&second), expected);
        let names = std::fs::read_dir(dir.path().join("store")).unwrap().map(|entry| entry.unwrap().file_name());
        let aside = names.filter(|name| name.to_string_lossy().ends_with(".ahead")).count();
        assert_eq!(aside, if wrong > 120 { 2 } else { 0 });
        assert_eq!(second.store().unwrap().stats().blocks, 1, "that which ended early and the next one are one");
    }
}

#[test]
fn a_frame_that_was_written_before_its_own_time_says_that_the_clock_was_ahead() {
    // A box that was never right before: minutes, and whole blocks. Frames are written now.
    for wrong in [3, 300] {
        let dir = tempfile::tempdir().unwrap();
        let first = pipeline(dir.path());
        let now = unix_nanos() / 1_000_000;
        (0..wrong).for_each(|n| round_at(&first, now + 8 * HOUR + n * MINUTE));
        drop(first);
        let right = pipeline_at(dir.path(), now);
        assert!(all(&right).is_empty(), "{wrong}: {:?}", all(&right));
        (0..3).for_each(|n| round_at(&right, now + n));
        let expected = all(&right);
        assert_eq!(expected.values().map(Vec::len).collect::<Vec<_>>(), [3]);
        drop(right);
        // Also when the wrong times have come.
        for later in [1, 20 * HOUR] {
            assert_eq!(all(&pipeline_at(dir.path(), now + later)), expected, "{later} ms later");
        }
    }
}

#[test]
fn a_clock_that_is_behind_takes_nothing_from_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let first = pipeline(dir.path());
    // Off for a while in between, as any box may be.
    let rounds: Vec<u64> = (0..50).chain(80..200).collect();
    rounds.iter().for_each(|n| round_at(&first, T0 + n * MINUTE));
    drop(first);
    for now in [0, T0 - 30 * 24 * HOUR, T0 + 20 * MINUTE, T0 + 100 * MINUTE, T0 + 150 * MINUTE] {
        let again = pipeline_at(dir.path(), now);
        assert_eq!((minutes(&again), again.inner.board.losses()), (rounds.clone(), Vec::new()), "at {now}");
    }
}

#[test]
fn time_stamps_that_are_ahead_of_a_clock_that_was_set_back_are_told_with_what_mends_it() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = pipeline(dir.path());
    let now = unix_nanos() / 1_000_000;
    round_at(&pipeline, now);
    assert_eq!(pipeline.inner.board.notes(), []);
    round_at(&pipeline, now + 8 * HOUR);
    round_at(&pipeline, now);
    let notes = pipeline.inner.board.notes();
    let [(topic, note)] = notes.as_slice() else { panic!("{notes:?}") };
    assert_eq!(topic, "clock");
    assert!(note.contains("time stamps 7h 59m") && note.contains("starts again"), "{note}");
    assert!(pipeline.ahead_of(now * 1_000_000).is_some());
    // The clock comes there.
    let newest = pipeline.inner.newest.load(Relaxed);
    assert_eq!(pipeline.ahead_of(newest), None);
    pipeline.tell_clock(newest, newest);
    assert_eq!(pipeline.inner.board.notes(), []);
}
