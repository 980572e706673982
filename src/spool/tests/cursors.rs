//! Many destinations, drops, retention, removed destinations, positions over turnover; a model of all of it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::sim::{Faults, SimDisk};
use super::*;

fn open(disk: &SimDisk, limits: Limits, board: &Board) -> Spool {
    Spool::open_at(origin(disk.clone(), limits, 4096, board)).unwrap()
}

fn segments(disk: &SimDisk) -> usize {
    disk.files().iter().filter(|(path, _)| path.extension().is_some_and(|kind| kind == "seg")).count()
}

/// Waits until the thread has done what the test expects.
fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(std::time::Instant::now() < deadline, "{what} never came");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn drop_oldest_takes_every_frame_and_counts_exactly_what_it_drops() {
    let (disk, board) = (SimDisk::default(), Board::new());
    let spool = open(&disk, Limits { undelivered: 16_000, retain_bytes: 0, ..LIMITS }, &board);
    drop(spool.cursor("slow", WhenFull::DropOldest).unwrap());
    for count in 1..=100 {
        spool.append(&frame(count, 1000)).unwrap();
    }
    let got = drain(&spool, "slow");
    let dropped = board.destination("slow", Signal::Logs).dropped.get();
    assert_eq!(dropped + 3 * got.len() as u64, 300, "{got:?}");
    assert_eq!(got.last().unwrap().1, 100);
    assert!(dropped > 0 && got.len() > 5, "dropped {dropped}, got {got:?}");
    let losses = board.losses();
    assert_eq!(losses.len(), 1);
    assert_eq!((losses[0].0.1, losses[0].1.count), ("dropped_oldest", dropped));
    until("removal of what was dropped", || segments(&disk) <= 2);
    assert_eq!(spool.append(&frame(101, 10)).unwrap(), got.last().unwrap().0 + 1);
}

#[test]
fn a_dropped_frame_that_is_in_flight_is_not_held_and_its_done_moves_nothing_back() {
    let (disk, board) = (SimDisk::default(), Board::new());
    let spool = open(&disk, Limits { undelivered: 16_000, ..LIMITS }, &board);
    let mut cursor = spool.cursor("slow", WhenFull::DropOldest).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    spool.append(&frame(1, 1000)).unwrap();
    let first = runtime.block_on(cursor.next(&Stop::new())).unwrap().unwrap();
    for count in 2..=40 {
        spool.append(&frame(count, 1000)).unwrap();
    }
    runtime.block_on(cursor.done(first.number)).unwrap();
    let next = runtime.block_on(cursor.next(&Stop::new())).unwrap().unwrap();
    assert!(count_of(&next) > 20, "{}", count_of(&next));
    let backlog = cursor.backlog();
    assert_eq!(backlog.frames, 40 - count_of(&next) + 1);
    assert_eq!(backlog.oldest, next.written);
}

#[test]
fn metrics_never_block_whatever_the_destination_says() {
    let (disk, board) = (SimDisk::default(), Board::new());
    let limits = Limits { undelivered: 16_000, ..LIMITS };
    let spool = Spool::open_at(Origin { signal: Signal::Metrics, ..origin(disk, limits, 4096, &board) }).unwrap();
    let _cursor = spool.cursor("prometheus", WhenFull::Block).unwrap();
    for count in 1..=100 {
        spool.append(&Frame { signal: Signal::Metrics, ..frame(count, 1000) }).unwrap();
    }
    assert!(board.destination("prometheus", Signal::Metrics).dropped.get() > 0);
}

#[test]
fn positions_survive_turnover_and_retention_and_forgotten_ones_do_not() {
    let (disk, board) = (SimDisk::default(), Board::new());
    let limits = Limits { retain_bytes: 0, ..LIMITS };
    let spool = open(&disk, limits, &board);
    drop(spool.cursor("loki", WhenFull::Block).unwrap());
    spool.append(&Frame { positions: vec![position("quiet", 7), position("gone", 8)], ..moved(0) }).unwrap();
    let forgotten = Position { key: (*b"gone").into(), value: Box::default() };
    spool.append(&Frame { positions: vec![forgotten], ..frame(0, 10) }).unwrap();
    for count in 1..=60 {
        spool.append(&frame(count, 1000)).unwrap();
    }
    assert!(segments(&disk) > 15);
    assert_eq!(drain(&spool, "loki").len(), 61);
    until("retention", || segments(&disk) <= 2);
    spool.close();
    drop(spool);
    let spool = open(&disk, limits, &board);
    assert_eq!((at(&spool, "quiet"), at(&spool, "a"), at(&spool, "gone")), (Some(7), Some(60), None));
    assert_eq!(board.losses(), []);
}

#[test]
fn delivered_segments_are_kept_up_to_the_size_and_age_asked_for() {
    let (disk, board) = (SimDisk::default(), Board::new());
    let spool = open(&disk, Limits { retain_bytes: 20_000, ..LIMITS }, &board);
    drop(spool.cursor("loki", WhenFull::Block).unwrap());
    for count in 1..=60 {
        spool.append(&frame(count, 1000)).unwrap();
    }
    drain(&spool, "loki");
    until("retention", || (4..=6).contains(&segments(&disk)));
    spool.close();
    drop(spool);
    let spool = open(&disk, Limits { retain_time: Duration::ZERO, ..LIMITS }, &board);
    spool.handle.shared.tidy();
    assert_eq!(segments(&disk), 1);
}

#[test]
fn on_a_full_disk_delivered_segments_make_room_for_new_frames() {
    let disk = SimDisk::default();
    let spool = Spool::open_at(origin(disk.clone(), LIMITS, 3000, &Board::new())).unwrap();
    spool.cursor("loki", WhenFull::Block).unwrap();
    for count in 1..=12 {
        spool.append(&frame(count, 1000)).unwrap();
    }
    spool.sync().unwrap();
    assert_eq!(drain(&spool, "loki").len(), 12);
    let segments = || disk.files().iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "seg")).count();
    let before = segments();
    assert!(before >= 4, "{before}");
    disk.set(Faults { full: Some((0, u64::MAX)), ..Faults::default() });
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while segments() > before - 2 {
        assert!(matches!(spool.append(&frame(13, 1000)), Err(AppendError::Disk(_))));
        assert!(std::time::Instant::now() < deadline, "{} of {before} segments", segments());
        std::thread::yield_now();
    }
    disk.set(Faults::default());
    spool.append(&frame(13, 1000)).unwrap();
    spool.sync().unwrap();
    assert_eq!(drain(&spool, "loki").iter().map(|(_, count)| *count).collect::<Vec<_>>(), [13]);
}

#[test]
fn a_new_destination_starts_now_and_a_removed_one_is_counted() {
    let (disk, board) = (SimDisk::default(), Board::new());
    let spool = open(&disk, Limits { retain_bytes: 0, ..LIMITS }, &board);
    spool.append(&frame(1, 10)).unwrap();
    drop(spool.cursor("old", WhenFull::Block).unwrap());
    for count in 2..=20 {
        spool.append(&frame(count, 1000)).unwrap();
    }
    let mut new = spool.cursor("new", WhenFull::Block).unwrap();
    assert!(matches!(spool.cursor("new", WhenFull::Block), Err(SpoolError::Taken { .. })));
    assert_eq!(new.backlog(), super::super::Backlog::default());
    spool.append(&frame(21, 10)).unwrap();
    spool.keep_only(&["new"]);
    let losses = board.losses();
    assert_eq!((losses[0].0.1, losses[0].1.count), ("destination_removed", 60));
    assert!(losses[0].1.hint.contains("old"), "{losses:?}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(count_of(&runtime.block_on(new.next(&Stop::new())).unwrap().unwrap()), 21);
    until("removal of what only the old one needed", || segments(&disk) <= 2);
    spool.keep_only(&[]);
    assert!(matches!(runtime.block_on(new.next(&Stop::new())), Err(SpoolError::Removed)));
    assert!(!disk.files().iter().any(|(path, _)| path.extension().is_some_and(|kind| kind == "cur")));
}

#[test]
fn numbering_resumes_above_a_cursor_whose_segments_are_gone() {
    let (disk, board) = (SimDisk::default(), Board::new());
    let spool = open(&disk, LIMITS, &board);
    drop(spool.cursor("loki", WhenFull::Block).unwrap());
    for count in 1..=20 {
        spool.append(&frame(count, 1000)).unwrap();
    }
    let last = drain(&spool, "loki").last().unwrap().0;
    drop(spool);
    for (path, _) in disk.files() {
        if path.extension().is_some_and(|kind| kind == "seg") {
            disk.remove(&path).unwrap();
        }
    }
    let spool = open(&disk, LIMITS, &board);
    let number = spool.append(&frame(21, 10)).unwrap();
    assert!(number > last, "{number} after {last}");
    assert_eq!(drain(&spool, "loki"), [(number, 21)]);
}

#[derive(Debug, Clone)]
enum Act {
    Append { size: usize, loaded: bool },
    Serve { destination: usize, frames: usize },
    Sync,
    Close,
    Kill,
    Cut { seed: u64 },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (0..1500_usize, prop::bool::weighted(0.8)).prop_map(|(size, loaded)| Act::Append { size, loaded }),
        3 => (0..2_usize, 1..6_usize).prop_map(|(destination, frames)| Act::Serve { destination, frames }),
        2 => Just(Act::Sync),
        1 => Just(Act::Close),
        1 => Just(Act::Kill),
        1 => any::<u64>().prop_map(|seed| Act::Cut { seed }),
    ]
}

/// What must be true of the spool: all frames by count (true: with a payload), how far each destination was served.
#[derive(Debug, Default)]
struct Model {
    frames: BTreeMap<u64, bool>,
    synced: u64,
    number: u64,
    served: [u64; 2],
    next: u64,
}

const NAMES: [&str; 2] = ["loki", "other"];

impl Model {
    fn waiting(&self, destination: usize) -> Vec<u64> {
        let after = self.frames.range(self.served[destination] + 1..);
        after.filter(|(_, loaded)| **loaded).map(|(count, _)| *count).collect()
    }

    fn append(&mut self, spool: &Spool, size: usize, loaded: bool) {
        self.next += 1;
        let made = if loaded { frame(self.next, size) } else { moved(self.next) };
        let number = spool.append(&made).unwrap();
        assert!(number > self.number, "{number} after {}", self.number);
        self.number = number;
        self.frames.insert(self.next, loaded);
    }

    fn serve(&mut self, spool: &Spool, destination: usize, frames: usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut cursor = spool.cursor(NAMES[destination], WhenFull::Block).unwrap();
        let waiting = self.waiting(destination);
        assert_eq!(cursor.backlog().frames, waiting.len() as u64);
        for count in waiting.into_iter().take(frames) {
            let stored = runtime.block_on(cursor.next(&Stop::new())).unwrap().unwrap();
            assert_eq!(count_of(&stored), count, "destination {destination}");
            runtime.block_on(cursor.done(stored.number)).unwrap();
            self.served[destination] = count;
            // Only what is synced is handed out, and a sync takes all.
            self.synced = self.synced.max(count);
        }
    }

    /// After a power cut: some prefix that holds at least what was synced.
    fn cut(&mut self, spool: &Spool) {
        let stands = at(spool, "a").unwrap_or(0);
        assert!(stands >= self.synced, "stands at {stands}, synced {}", self.synced);
        self.frames.retain(|count, _| *count <= stands);
        self.next = stands;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_run_of_appends_serves_and_ends_agrees_with_a_plain_list(acts in prop::collection::vec(act(), 1..60)) {
        let board = Board::new();
        let limits = Limits { retain_bytes: 5000, ..LIMITS };
        let mut disk = SimDisk::default();
        let mut spool = open(&disk, limits, &board);
        for name in NAMES {
            drop(spool.cursor(name, WhenFull::Block).unwrap());
        }
        let mut model = Model::default();
        for act in acts {
            match act {
                Act::Append { size, loaded } => model.append(&spool, size, loaded),
                Act::Serve { destination, frames } => model.serve(&spool, destination, frames),
                Act::Sync => {
                    spool.sync().unwrap();
                    model.synced = model.next;
                }
                Act::Close => {
                    spool.close();
                    drop(spool);
                    spool = open(&disk, limits, &board);
                    model.synced = model.next;
                }
                Act::Kill => {
                    drop(spool);
                    disk = disk.kill();
                    spool = open(&disk, limits, &board);
                    model.synced = model.next;
                }
                Act::Cut { seed } => {
                    drop(spool);
                    disk = disk.cut_power(seed);
                    spool = open(&disk, limits, &board);
                    model.cut(&spool);
                }
            }
            prop_assert_eq!(at(&spool, "a").unwrap_or(0), model.next);
        }
        for destination in 0..NAMES.len() {
            model.serve(&spool, destination, usize::MAX);
        }
        let damaged = board.losses().into_iter().find(|((_, reason), _)| *reason != "not_synced");
        prop_assert_eq!(damaged, None);
    }
}

#[tokio::test]
async fn what_waits_behind_a_frame_that_was_served_is_no_older_than_it() {
    let disk = SimDisk::default();
    let spool = open(&disk, LIMITS, &Board::new());
    let mut cursor = spool.cursor("loki", WhenFull::Block).unwrap();
    for count in 1..=2 {
        spool.append(&frame(count, 10)).unwrap();
    }
    spool.sync().unwrap();
    let served = cursor.next(&Stop::new()).await.unwrap().unwrap();
    cursor.done(served.number).await.unwrap();
    let waits = cursor.backlog();
    assert_eq!(waits.frames, 1);
    assert!(waits.oldest >= served.written, "{} is before {}", waits.oldest, served.written);
}
