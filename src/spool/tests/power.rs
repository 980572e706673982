//! Power cuts, kills, full and failing disks at every operation of a small run.

use super::sim::{Faults, SimDisk};
use super::*;

/// What a run was promised, and what it may find beyond that.
#[derive(Debug, Default)]
struct Ledger {
    /// The cursor was made.
    cursor: bool,
    /// Appended and synced.
    promised: u64,
    /// Appended.
    taken: u64,
    /// Served, as the cursor confirmed; and at most.
    done: u64,
    tried: u64,
    /// Highest number seen.
    number: u64,
}

const FRAMES: u64 = 16;

/// Every fourth frame only moves the position.
fn nth(count: u64) -> Frame {
    if count.is_multiple_of(4) { moved(count) } else { frame(count, 100 + 97 * (count as usize % 5)) }
}

fn loaded(counts: impl Iterator<Item = u64>) -> Vec<u64> {
    counts.filter(|count| !count.is_multiple_of(4)).collect()
}

/// Appends, syncs and serves until it is over or the disk stops.
fn run(disk: &SimDisk) -> Ledger {
    let mut ledger = Ledger::default();
    let limits = Limits { retain_bytes: 0, ..LIMITS };
    let Ok(spool) = Spool::open_at(origin(disk.clone(), limits, 3000, &Board::new())) else { return ledger };
    let Ok(mut cursor) = spool.cursor("loki", WhenFull::Block) else { return ledger };
    ledger.cursor = true;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for count in 1..=FRAMES {
        let Ok(number) = spool.append(&nth(count)) else { return ledger };
        (ledger.taken, ledger.number) = (count, number);
        if count % 3 != 0 {
            continue;
        }
        if spool.sync().is_err() {
            return ledger;
        }
        ledger.promised = count;
        let Ok(Some(stored)) = runtime.block_on(cursor.next(&Stop::new())) else { return ledger };
        ledger.tried = count_of(&stored);
        if runtime.block_on(cursor.done(stored.number)).is_err() {
            return ledger;
        }
        ledger.done = ledger.tried;
    }
    spool.close();
    ledger
}

/// Opens what is left and compares it with the ledger.
fn check(disk: SimDisk, ledger: &Ledger, what: &str) {
    let board = Board::new();
    let spool = Spool::open_at(origin(disk.clone(), LIMITS, 3000, &board)).expect(what);
    let stands = at(&spool, "a").unwrap_or(0);
    assert!(stands >= ledger.promised, "{what}: stands at {stands}, {ledger:?}");
    assert!(stands <= ledger.taken + 1, "{what}: stands at {stands}, {ledger:?}");
    let number = spool.append(&frame(FRAMES + 1, 10)).expect(what);
    assert!(number > ledger.number, "{what}: number {number} again, {ledger:?}");
    if !ledger.cursor {
        return;
    }
    let got = drain(&spool, "loki");
    assert!(got.is_sorted_by(|one, two| one.0 < two.0), "{what}: {got:?}");
    let counts: Vec<u64> = got.iter().map(|(_, count)| *count).collect();
    // Exactly what the position claims, from where the cursor stands: nothing twice, nothing left out.
    let expected = |done: u64| {
        let mut list = loaded(done + 1..=stands);
        list.push(FRAMES + 1);
        list
    };
    let right = counts == expected(ledger.done) || counts == expected(ledger.tried);
    assert!(right, "{what}: got {counts:?}, stands at {stands}, {ledger:?}, {:?}", board.losses());
    let missing = board.losses().into_iter().find(|((_, reason), _)| *reason == "damaged" || *reason == "missing");
    assert_eq!(missing, None, "{what}: a power cut is no damage");
}

#[test]
fn after_a_power_cut_at_any_operation_all_that_was_promised_is_there_once() {
    let whole = SimDisk::default();
    run(&whole);
    for cut in 1..=whole.operations() + 3 {
        let disk = SimDisk::default();
        disk.set(Faults { off_at: Some(cut), ..Faults::default() });
        let ledger = run(&disk);
        for seed in 0..8 {
            let left = disk.cut_power(seed * 1000 + cut);
            let what = format!("cut at operation {cut}, seed {seed}");
            // Once more before anything new is synced: what recovery did must be as safe.
            drop(Spool::open_at(origin(left.clone(), LIMITS, 3000, &Board::new())).expect(&what));
            check(left.cut_power(seed), &ledger, &what);
        }
    }
}

#[test]
fn after_a_kill_at_any_operation_all_that_was_taken_is_there_once() {
    let whole = SimDisk::default();
    run(&whole);
    for cut in 1..=whole.operations() + 3 {
        let disk = SimDisk::default();
        disk.set(Faults { off_at: Some(cut), ..Faults::default() });
        let mut ledger = run(&disk);
        ledger.promised = ledger.taken;
        check(disk.kill(), &ledger, &format!("killed at operation {cut}"));
    }
}

/// Appends all frames, each until it is taken; the disk heals after a while.
fn insist(disk: &SimDisk, faults: Faults, what: &str) -> (bool, Vec<u64>, SimDisk) {
    let board = Board::new();
    let spool = Spool::open_at(origin(disk.clone(), LIMITS, 3000, &board)).expect(what);
    drop(spool.cursor("loki", WhenFull::Block).expect(what));
    let from = disk.operations();
    let shift = |range: Option<(u64, u64)>| range.map(|(first, last)| (from + first, from + last));
    disk.set(Faults {
        full: shift(faults.full),
        no_truncate: shift(faults.no_truncate),
        no_sync: shift(faults.no_sync),
        off_at: None,
    });
    let mut failed = false;
    for count in 1..=FRAMES {
        let mut tries = 0;
        while let Err(error) = spool.append(&nth(count)) {
            assert!(matches!(error, AppendError::Disk(_)), "{what}: {error}");
            assert!(board.spool(Signal::Logs).fault.get().contains("cannot write to /spool"), "{what}");
            failed = true;
            tries += 1;
            assert!(tries < 40, "{what}: {error} again and again");
        }
        if count % 5 == 0 {
            failed |= spool.sync().is_err();
        }
    }
    for _ in 0..20 {
        if spool.sync().is_ok() {
            break;
        }
    }
    spool.sync().expect(what);
    assert_eq!(board.spool(Signal::Logs).fault.get(), "", "{what}");
    disk.set(Faults::default());
    let left = disk.cut_power(1);
    let counts = drain(&spool, "loki").iter().map(|(_, count)| *count).collect();
    assert_eq!(board.losses(), [], "{what}");
    (failed, counts, left)
}

#[test]
fn a_disk_that_is_full_or_breaks_at_any_operation_costs_nothing_once_it_has_healed() {
    let mut failures = 0;
    for start in 1..60 {
        let range = Some((start, start + 7));
        let cases = [
            Faults { full: range, ..Faults::default() },
            Faults { full: range, no_truncate: range, ..Faults::default() },
            Faults { no_sync: Some((start, start + 1)), ..Faults::default() },
            Faults { no_sync: range, ..Faults::default() },
            Faults { no_sync: range, full: Some((start, start + 3)), no_truncate: range, ..Faults::default() },
        ];
        for (case, faults) in cases.into_iter().enumerate() {
            let what = format!("case {case} at operation {start}");
            let (failed, counts, left) = insist(&SimDisk::default(), faults, &what);
            failures += u64::from(failed);
            assert_eq!(counts, loaded(1..=FRAMES), "{what}");
            let spool = Spool::open_at(origin(left, LIMITS, 3000, &Board::new())).expect(&what);
            let again: Vec<u64> = drain(&spool, "loki").iter().map(|(_, count)| *count).collect();
            assert_eq!(again, loaded(1..=FRAMES), "{what}: after a power cut");
            assert_eq!(at(&spool, "a"), Some(FRAMES), "{what}: after a power cut");
        }
    }
    assert!(failures > 50, "the faults were met {failures} times only");
}

#[test]
fn numbers_do_not_run_out_on_a_disk_that_is_full_for_long() {
    let disk = SimDisk::default();
    let spool = Spool::open_at(origin(disk.clone(), LIMITS, 3000, &Board::new())).unwrap();
    let before = spool.append(&frame(1, 2500)).unwrap();
    spool.sync().unwrap();
    disk.set(Faults { full: Some((0, u64::MAX)), ..Faults::default() });
    for _ in 0..1000 {
        assert!(spool.append(&frame(2, 2500)).is_err());
    }
    disk.set(Faults::default());
    let after = spool.append(&frame(2, 2500)).unwrap();
    assert!(after - before < 10, "numbers {before} to {after}");
}

#[test]
fn numbers_that_failed_syncs_have_used_up_are_reserved_again_once_the_disk_has_healed() {
    let disk = SimDisk::default();
    let spool = Spool::open_at(origin(disk.clone(), LIMITS, 3000, &Board::new())).unwrap();
    let first = spool.append(&frame(1, 10)).unwrap();
    spool.sync().unwrap();
    // As a thousand hours of failed syncs leave it.
    let log = || crate::spool::lock(&spool.handle.shared.log);
    let reserved = log().reserved;
    log().next = reserved + 5;
    assert!(matches!(spool.append(&frame(2, 10)), Err(AppendError::Disk(_))));
    spool.sync().unwrap();
    let second = spool.append(&frame(2, 10)).unwrap();
    assert!(second > reserved && first < reserved, "{first}, {second}, {reserved}");
    spool.sync().unwrap();
    for seed in 0..8 {
        let board = Board::new();
        let spool = Spool::open_at(origin(disk.cut_power(seed), LIMITS, 3000, &board)).unwrap();
        assert!(spool.append(&frame(3, 10)).unwrap() > second, "a number is used again");
    }
}

#[test]
fn a_full_disk_makes_no_segments_for_frames_that_it_refuses() {
    let disk = SimDisk::default();
    let spool = Spool::open_at(origin(disk.clone(), LIMITS, 3000, &Board::new())).unwrap();
    spool.sync().unwrap();
    disk.set(Faults { full: Some((0, u64::MAX)), ..Faults::default() });
    assert!(spool.append(&frame(1, 2500)).is_err());
    spool.handle.shared.tidy();
    let before = disk.operations();
    crate::spool::lock(&spool.handle.shared.log).tight = true;
    spool.handle.shared.tidy();
    assert_eq!(disk.operations(), before, "segments that only say where the sources stand are left alone");
}
