//! What callers rely on, on a real disk.

use super::*;

fn real(dir: &tempfile::TempDir, limits: Limits, segment: u64, board: &Board) -> Spool {
    Spool::open_at(Origin { dir: dir.path().to_owned(), ..origin(RealDisk, limits, segment, board) }).unwrap()
}

#[test]
fn what_was_appended_is_delivered_in_order_with_its_header_and_not_again_after_done() {
    let dir = tempfile::tempdir().unwrap();
    let board = Board::new();
    let spool = real(&dir, LIMITS, 4096, &board);
    drop(spool.cursor("loki", WhenFull::Block).unwrap());
    for count in 1..=20 {
        spool.append(&frame(count, 1000)).unwrap();
    }
    let got = drain(&spool, "loki");
    assert_eq!(got.iter().map(|(_, count)| *count).collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>());
    assert!(got.is_sorted_by(|one, two| one.0 < two.0));
    spool.append(&frame(21, 1000)).unwrap();
    spool.close();
    drop(spool);
    let spool = real(&dir, LIMITS, 4096, &board);
    assert_eq!(at(&spool, "a"), Some(21));
    assert_eq!(drain(&spool, "loki").iter().map(|(_, count)| *count).collect::<Vec<_>>(), [21]);
    assert_eq!(board.losses(), []);
}

#[test]
fn a_second_opener_is_told_which_folder_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let board = Board::new();
    let first = real(&dir, LIMITS, 4096, &board);
    let second = Spool::open(Arc::new(RealDisk), dir.path().to_owned(), Signal::Logs, LIMITS, &board);
    let error = second.unwrap_err();
    assert!(matches!(error, SpoolError::Locked { .. }), "{error}");
    assert!(error.to_string().contains(dir.path().to_str().unwrap()), "{error}");
    drop(first);
    Spool::open(Arc::new(RealDisk), dir.path().to_owned(), Signal::Logs, LIMITS, &board).unwrap();
}

#[tokio::test]
async fn an_idle_cursor_gets_a_frame_long_before_the_interval_and_none_when_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let spool = real(&dir, LIMITS, 4096, &Board::new());
    let mut cursor = spool.cursor("loki", WhenFull::Block).unwrap();
    let stop = Stop::new();
    let waiting = {
        let stop = stop.clone();
        tokio::spawn(async move {
            let first = cursor.next(&stop).await.unwrap().unwrap();
            let again = cursor.next(&stop).await.unwrap().unwrap();
            cursor.done(first.number).await.unwrap();
            (first, again, cursor.next(&stop).await.unwrap().is_none())
        })
    };
    tokio::task::yield_now().await;
    spool.append(&moved(1)).unwrap();
    let number = spool.append(&frame(2, 10)).unwrap();
    // The interval is an hour: the test ends only because the cursor asked.
    while spool.handle.shared.log.lock().unwrap().readers.values().next().unwrap().at < number {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.set();
    let (first, again, ended) = waiting.await.unwrap();
    assert_eq!((first.number, count_of(&first)), (again.number, 2));
    assert_eq!(first.header.services, ["shop"]);
    assert_eq!((first.header.records, first.header.codec, first.header.charge), (3, Codec::Zstd, 7));
    assert!(ended);
}

#[test]
fn a_full_spool_refuses_and_takes_again_after_done() {
    let dir = tempfile::tempdir().unwrap();
    let board = Board::new();
    let spool = real(&dir, Limits { undelivered: 20_000, ..LIMITS }, 4096, &board);
    drop(spool.cursor("loki", WhenFull::Block).unwrap());
    let mut taken = 0;
    while spool.append(&frame(taken + 1, 1000)).is_ok() {
        taken += 1;
    }
    assert!((10..20).contains(&taken), "{taken}");
    assert!(matches!(spool.append(&frame(99, 1000)), Err(AppendError::Full)));
    assert!(matches!(spool.append(&moved(99)), Ok(_) | Err(AppendError::Full)));
    assert_eq!(board.spool(Signal::Logs).full.get(), 2);
    spool.sync().unwrap();
    assert_eq!(drain(&spool, "loki").len() as u64, taken);
    spool.append(&frame(100, 1000)).unwrap();
}
