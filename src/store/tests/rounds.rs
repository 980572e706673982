//! Rounds of sources: names, ends, bounds.

use super::*;
use crate::signal::metrics::{Histogram, Kind, Limits as RoundLimits, Metric, Point};

const UP: Desc = Desc::gauge("thing.up", "1", "Whether it runs.");
const SENT: Desc = Desc::counter("thing.sent", "By", "Bytes.");

fn resource() -> Resource {
    Resource::new("thing", "box:1", &[("host.name", "box")])
}

fn nanos(t: i64) -> u64 {
    t as u64 * 1_000_000
}

fn samples() -> Samples {
    Samples::new(RoundLimits { series: 100_000, ..RoundLimits::default() })
}

fn read(store: &Store, text: &str) -> Vec<(i64, u64)> {
    all(store)
        .into_iter()
        .find(|(labels, _)| labels.to_string() == text)
        .map(|(_, samples)| samples)
        .unwrap_or_default()
}

#[test]
fn a_round_stands_under_the_names_that_prometheus_gives_it() {
    let store = Store::memory();
    let mut round = samples();
    round.put(&UP, 1_u64);
    round.put_with(&SENT, &[("a.b", "1"), ("a_b", "2")], 7_u64);
    let latency = Metric { name: "d".into(), kind: Kind::Histogram, unit: "s".into(), help: "".into() };
    let histogram = Histogram { bounds: vec![0.5, 2.0], counts: vec![3, 1, 2], sum: 9.5 };
    round.put_metric(&latency, &[], Point::Histogram(histogram));
    store.push("thing", &resource(), &round, 0, nanos(T0));
    let found: Vec<(String, f64)> =
        all(&store).into_iter().map(|(labels, samples)| (labels.to_string(), f64::from_bits(samples[0].1))).collect();
    let expected = [
        ("d_seconds_bucket{instance=\"box:1\", job=\"thing\", le=\"+Inf\"}", 6.0),
        ("d_seconds_bucket{instance=\"box:1\", job=\"thing\", le=\"0.5\"}", 3.0),
        ("d_seconds_bucket{instance=\"box:1\", job=\"thing\", le=\"2\"}", 4.0),
        ("d_seconds_count{instance=\"box:1\", job=\"thing\"}", 6.0),
        ("d_seconds_sum{instance=\"box:1\", job=\"thing\"}", 9.5),
        ("target_info{host_name=\"box\", instance=\"box:1\", job=\"thing\"}", 1.0),
        ("thing_sent_bytes_total{a_b=\"1;2\", instance=\"box:1\", job=\"thing\"}", 7.0),
        ("thing_up_ratio{instance=\"box:1\", job=\"thing\"}", 1.0),
    ];
    assert_eq!(found, expected.map(|(text, value)| (text.to_owned(), value)));
    let described: Vec<String> = store.metadata(10).into_iter().map(|f| format!("{} {}", f.name, f.kind)).collect();
    assert_eq!(
        described,
        ["d_seconds histogram", "target_info gauge", "thing_sent_bytes_total counter", "thing_up_ratio gauge"]
    );
    assert_eq!(store.label_names(&[], 0, i64::MAX, 3).unwrap(), ["__name__", "a_b", "host_name"]);
}

#[test]
fn what_a_round_does_not_bring_ends_and_what_comes_back_goes_on() {
    let store = Store::memory();
    let mut both = samples();
    both.put(&UP, 1_u64);
    both.put(&SENT, 5_u64);
    let mut one = samples();
    one.put(&UP, 1_u64);
    for (n, round) in [&both, &one, &one, &both].into_iter().enumerate() {
        store.push("thing", &resource(), round, 0, nanos(T0 + n as i64 * 1000));
    }
    let sent = "thing_sent_bytes_total{instance=\"box:1\", job=\"thing\"}";
    let five = 5.0_f64.to_bits();
    assert_eq!(read(&store, sent), [(T0, five), (T0 + 1000, STALE.to_bits()), (T0 + 3000, five)]);
    store.gone("thing", nanos(T0 + 9000));
    assert!(all(&store).values().all(|samples| samples.last() == Some(&(T0 + 9000, STALE.to_bits()))));
}

#[test]
fn two_sources_of_one_resource_do_not_end_each_other() {
    let store = Store::memory();
    let (mut a, mut b) = (samples(), samples());
    a.put(&UP, 1_u64);
    b.put(&SENT, 1_u64);
    for n in 0..3 {
        store.push("a", &resource(), &a, 0, nanos(T0 + n * 1000));
        store.push("b", &resource(), &b, 0, nanos(T0 + n * 1000 + 1));
    }
    store.gone("a", nanos(T0 + 5000));
    let info = read(&store, "target_info{host_name=\"box\", instance=\"box:1\", job=\"thing\"}");
    assert!(info.iter().all(|(_, value)| *value == 1.0_f64.to_bits()), "b goes on: {info:?}");
    assert!(
        read(&store, "thing_sent_bytes_total{instance=\"box:1\", job=\"thing\"}")
            .iter()
            .all(|s| s.1 != STALE.to_bits())
    );
    assert_eq!(
        read(&store, "thing_up_ratio{instance=\"box:1\", job=\"thing\"}").last(),
        Some(&(T0 + 5000, STALE.to_bits()))
    );
}

#[test]
fn old_and_contradicting_samples_are_counted_and_repeats_are_not() {
    let board = Board::new();
    let store = Store::bounded(Limits::default(), board.clone());
    let mut round = samples();
    round.put(&UP, 1_u64);
    store.push("thing", &resource(), &round, 0, nanos(T0));
    store.push("thing", &resource(), &round, 0, nanos(T0));
    assert!(board.losses().is_empty());
    let mut other = samples();
    other.put(&UP, 2_u64);
    store.push("thing", &resource(), &other, 0, nanos(T0));
    store.push("thing", &resource(), &other, 0, nanos(T0 - 5000));
    assert_eq!((lost(&board, "duplicate"), lost(&board, "out_of_order")), (1, 1));
    // The same of what rules record; the end of a series that another rule goes on with is no loss.
    let (labels, t) = (Labels::new([("__name__", "recorded")]), T0 + 9000);
    let samples = [(t, 1.0), (t, 1.0), (t, 2.0), (t - 1, 1.0), (t, STALE), (t - 1, STALE)];
    let taken = samples.map(|(t, v)| store.append(&labels, Sample { t, v }));
    assert_eq!(taken, [Taken::Yes, Taken::Same, Taken::Duplicate, Taken::Old, Taken::Same, Taken::Same]);
    assert_eq!((lost(&board, "duplicate"), lost(&board, "out_of_order")), (2, 2));
}

#[test]
fn a_source_with_too_many_series_is_bounded_and_the_label_at_fault_is_named() {
    let board = Board::new();
    let store = Store::bounded(Limits { series: 50, ..Limits::default() }, board.clone());
    let mut round = samples();
    round.put(&UP, 1_u64);
    for n in 0..100 {
        round.put_with(&SENT, &[("user.id", &n.to_string()), ("zone", "a")], 1_u64);
    }
    store.push("thing", &resource(), &round, 0, nanos(T0));
    let hint = &board.losses()[0].1.hint;
    assert!(hint.contains("thing_sent_bytes_total alone has 49 series"), "{hint}");
    assert!(hint.contains("user_id 49 values"), "{hint}");
    assert_eq!(store.stats().series, 50);
    assert_eq!(read(&store, "thing_up_ratio{instance=\"box:1\", job=\"thing\"}").len(), 1);
}

#[test]
fn series_that_ended_make_room_when_a_block_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let board = Board::new();
    let limits = Limits { series: 160, ..Limits::default() };
    let store = Store::open(dir.path(), limits, board.clone()).unwrap();
    // Fifty series that are replaced by others every two hours; their end still lies in the block after theirs.
    for n in 0..24_i64 {
        let mut round = samples();
        for user in 0..50 {
            round.put_with(&SENT, &[("user.id", &format!("{} {user}", n / 8))], 1_u64);
        }
        store.push("thing", &resource(), &round, 0, nanos(T0 + n * HOUR / 4));
    }
    assert_eq!(board.losses(), []);
    assert_eq!(all(&store).len(), 151);
    assert!(store.stats().series <= 101, "{:?}", store.stats());
}

#[test]
fn a_full_memory_refuses_new_series_and_keeps_the_old_ones_going() {
    let dir = tempfile::tempdir().unwrap();
    let board = Board::new();
    let store = Store::open(dir.path(), Limits { memory: 200_000, ..Limits::default() }, board.clone()).unwrap();
    for n in 0..60_i64 {
        let mut round = samples();
        for user in 0..n * 20 {
            round.put_with(&SENT, &[("user.id", &user.to_string())], n as u64);
        }
        store.push("thing", &resource(), &round, 0, nanos(T0 + n * 15_000));
    }
    assert!(lost(&board, "memory_full") > 0);
    assert!(board.notes().iter().any(|(topic, _)| topic == "store memory"), "{:?}", board.notes());
    assert!(store.stats().memory < 300_000, "{:?}", store.stats());
    assert!(store.stats().series > 80, "{:?}", store.stats());
    let first = all(&store).into_iter().find(|(labels, _)| labels.get("user_id") == "0").unwrap().1;
    assert_eq!(first.len(), 59, "each round from the second on");
}

#[test]
fn the_head_has_a_quarter_of_the_memory_that_the_config_gives() {
    let of = |budget| Limits::of(&config::Metrics::default(), Size(budget)).memory;
    assert_eq!((of(40 << 20), of(20 << 20), of(1 << 30)), (10 << 20, 5 << 20, 256 << 20));
    assert_eq!(Limits::default().memory, 10 << 20);
}

#[test]
fn a_head_with_too_little_memory_gets_shorter_says_so_and_leaves_one_block_of_two_hours() {
    let fed = |memory| {
        let dir = tempfile::tempdir().unwrap();
        let board = Board::new();
        let store = Store::open(dir.path(), Limits { memory, ..Limits::default() }, board.clone()).unwrap();
        let mut most = 0;
        // Six hours and nine minutes of 151 series.
        for n in 0..(6 * 240 + 36_i64) {
            let mut round = samples();
            for user in 0..150_u64 {
                round.put_with(&SENT, &[("user.id", &user.to_string())], n as u64 * (user + 1));
            }
            store.push("thing", &resource(), &round, 0, nanos(T0 + n * 15_000));
            most = most.max(store.stats().memory);
        }
        (dir, board, store, most)
    };
    let (_wide_dir, wide_board, wide, _) = fed(10 << 20);
    let (_dir, board, narrow, most) = fed(310_000);
    assert_eq!(all(&wide), all(&narrow), "nothing is lost for it");
    assert_eq!((wide_board.notes(), board.losses()), (Vec::new(), Vec::new()));
    let notes = board.notes();
    let (_, note) = notes.iter().find(|(topic, _)| topic == "store memory").unwrap();
    assert!(note.contains("the 302.7 KiB of its head") && note.contains("`memory:`"), "{note}");
    let head = {
        let state = narrow.lock();
        state.newest - state.oldest
    };
    assert!(head < HOUR && most < 350_000, "{most}");
    // The third two hours ended nine minutes ago: the wide head has them still.
    assert_eq!((wide.stats().blocks, narrow.stats().blocks), (2, 3));
    assert_eq!(lost(&board, "memory_full"), 0);
}

#[test]
fn a_step_of_the_clock_moves_time_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let board = Board::new();
    let store = Store::open(dir.path(), Limits::default(), board.clone()).unwrap();
    let mut round = samples();
    round.put(&UP, 1_u64);
    // A day ahead, and then by a millisecond each round, as the pipeline does when the clock is set back.
    for t in [T0, T0 + 15_000, T0 + 24 * HOUR, T0 + 24 * HOUR + 1, T0 + 24 * HOUR + 2] {
        store.push("thing", &resource(), &round, 0, nanos(t));
    }
    assert_eq!(read(&store, "thing_up_ratio{instance=\"box:1\", job=\"thing\"}").len(), 5);
    assert_eq!(store.stats().blocks, 1);
    assert_eq!(board.losses(), []);
}
