//! The send loop over a real spool, with a destination that answers from a list; waiting takes no time.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::super::plan::tests::{logs, members};
use super::*;
use crate::export::answer::Reached;
use crate::signal::frame::Frame;
use crate::spool::disk::RealDisk;
use crate::spool::{Limits, Spool, WhenFull};

/// Answers from its list, then takes everything. Remembers what came, and when.
#[derive(Default)]
struct Fake {
    pace: Pace,
    answers: Mutex<VecDeque<Answer>>,
    requests: Mutex<Vec<(Instant, Vec<u64>)>>,
}

#[async_trait]
impl Transport for Fake {
    fn codec(&self, _: Signal) -> Codec {
        Codec::Gzip
    }

    async fn send(&self, request: &Request) -> Answer {
        let records = members(request.signal, request.codec, &request.body);
        self.requests.lock().unwrap().push((self.pace.now(), records));
        let next = self.answers.lock().unwrap().pop_front();
        next.unwrap_or(Answer::Taken { refused: 0, message: "200".into() })
    }
}

impl Fake {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Arc<Self> {
        let pace = Pace { skipped: Some(Arc::default()) };
        Arc::new(Self { pace, answers: Mutex::new(answers.into_iter().collect()), ..Self::default() })
    }

    fn requests(&self) -> Vec<Vec<u64>> {
        self.requests.lock().unwrap().iter().map(|(_, records)| records.clone()).collect()
    }

    /// Seconds between a request and the one before.
    fn pauses(&self) -> Vec<u64> {
        let requests = self.requests.lock().unwrap();
        requests.windows(2).map(|pair| pair[1].0.duration_since(pair[0].0).as_secs()).collect()
    }
}

struct Bench {
    spool: Spool,
    board: Board,
    stop: Stop,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits {
            undelivered: 1 << 30,
            fsync: Duration::from_secs(3600),
            retain_bytes: 0,
            retain_time: Duration::ZERO,
        };
        let board = Board::new();
        let spool = Spool::open(Arc::new(RealDisk), dir.path().join("logs"), Signal::Logs, limits, &board).unwrap();
        Self { spool, board, stop: Stop::new(), _dir: dir }
    }

    fn start(&self, name: &str, fake: &Arc<Fake>) -> tokio::task::JoinHandle<()> {
        let cursor = self.spool.cursor(name, WhenFull::Block).unwrap();
        let transport = Arc::clone(fake) as Arc<dyn Transport>;
        let mut sender = Sender::new(name, Signal::Logs, transport, &self.board, self.stop.clone());
        sender.pace = fake.pace.clone();
        tokio::spawn(sender.run(cursor))
    }

    fn push(&self, records: u64) {
        let mut packer = Packer::new().unwrap();
        let raw = logs(records);
        self.spool
            .append(&Frame {
                signal: Signal::Logs,
                codec: Codec::Zstd,
                payload: packer.pack(Codec::Zstd, &raw).unwrap(),
                raw_len: raw.len() as u64,
                records: u32::try_from(records).unwrap(),
                times: (1, 2),
                charge: 1,
                services: Vec::new(),
                positions: Vec::new(),
            })
            .unwrap();
    }

    fn entry(&self, name: &str) -> Arc<Destination> {
        self.board.destination(name, Signal::Logs)
    }

    /// Polls until it holds.
    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < deadline, "never: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn frames(&self, name: &str, frames: u64) {
        let entry = self.entry(name);
        self.until(&format!("{frames} frames at {name}"), || entry.frames.get() == frames).await;
    }
}

fn retry(after: Option<u64>) -> Answer {
    Answer::Retry { why: "503".into(), after: after.map(Duration::from_secs), reached: Reached::No }
}

#[tokio::test]
async fn frames_arrive_in_order_once_and_transcoded_and_the_board_says_so() {
    let bench = Bench::new();
    let fake = Fake::new([]);
    let task = bench.start("loki", &fake);
    for records in 1..=3 {
        bench.push(records);
    }
    bench.frames("loki", 3).await;
    assert_eq!(fake.requests(), [vec![0], vec![0, 1], vec![0, 1, 2]]);
    let entry = bench.entry("loki");
    assert_eq!((entry.records.get(), entry.refused.get(), entry.retries.get()), (6, 0, 0));
    assert_eq!((entry.backlog_frames.get(), entry.failing_since.get(), entry.answer.get()), (0, 0, "200".into()));
    assert!(entry.last_success.get() > 0 && entry.turned.get() > 0 && entry.bytes.get() > 0);
    bench.stop.set();
    task.await.unwrap();
}

#[tokio::test]
async fn faults_are_tried_again_with_backoff_and_as_the_destination_asks_and_nothing_overtakes() {
    let bench = Bench::new();
    let hold = Answer::Hold { why: "401: who are you".into() };
    let fake = Fake::new([retry(None), retry(None), retry(Some(300)), hold, retry(Some(600))]);
    let _task = bench.start("loki", &fake);
    bench.push(1);
    bench.push(2);
    bench.frames("loki", 2).await;
    assert_eq!(fake.requests(), [vec![0], vec![0], vec![0], vec![0], vec![0], vec![0], vec![0, 1]]);
    let pauses = fake.pauses();
    assert!(pauses[0] <= 1 && (1..=2).contains(&pauses[1]), "{pauses:?}");
    assert_eq!(pauses[2..5], [300, 60, 600]);
    let entry = bench.entry("loki");
    assert_eq!((entry.retries.get(), entry.records.get(), entry.failing_since.get()), (5, 3, 0));
}

#[tokio::test]
async fn a_failing_destination_shows_since_when_why_and_until_when_and_delays_no_other() {
    let bench = Bench::new();
    let refused = || Answer::Retry { why: "connection refused".into(), after: None, reached: Reached::No };
    let down = Fake::new((0..1000).map(|_| refused()));
    let up = Fake::new([]);
    let _tasks = [bench.start("down", &down), bench.start("up", &up)];
    for _ in 0..5 {
        bench.push(2);
    }
    bench.frames("up", 5).await;
    let entry = bench.entry("down");
    bench.until("some tries", || entry.retries.get() > 12).await;
    assert_eq!(entry.answer.get(), "connection refused");
    assert!(entry.failing_since.get() > 0 && entry.last_error.get() > 0 && entry.next_try.get() > 0);
    assert_eq!((entry.backlog_frames.get(), entry.frames.get(), entry.last_success.get()), (5, 0, 0));
    assert!(entry.oldest.get() > 0);
    assert!(down.pauses().iter().all(|pause| *pause <= 60), "{:?}", down.pauses());
    assert!(down.pauses().iter().any(|pause| *pause >= 30), "{:?}", down.pauses());
}

#[tokio::test]
async fn what_is_refused_is_counted_with_its_reason_and_the_next_frame_goes() {
    let bench = Bench::new();
    let why = "400: entry too far behind, total ignored: 2 out of 3 for stream: {}".to_owned();
    let fake = Fake::new([Answer::Refused { why }]);
    let _task = bench.start("loki", &fake);
    bench.push(3);
    bench.push(1);
    bench.frames("loki", 2).await;
    let entry = bench.entry("loki");
    assert_eq!((entry.records.get(), entry.refused.get()), (2, 2));
    let losses = bench.board.losses();
    assert_eq!(losses.len(), 1);
    assert_eq!((losses[0].0.0.as_str(), losses[0].0.1, losses[0].1.count), ("export loki", "out_of_order", 2));
}

#[tokio::test]
async fn a_frame_that_is_halved_moves_the_cursor_only_when_both_halves_are_answered() {
    let bench = Bench::new();
    let fake = Fake::new([Answer::TooLarge { why: "413".into() }, retry(None), retry(None)]);
    let task = bench.start("loki", &fake);
    bench.push(4);
    bench.frames("loki", 1).await;
    assert_eq!(fake.requests(), [vec![0, 1, 2, 3], vec![0, 1], vec![0, 1], vec![0, 1], vec![2, 3]]);
    bench.stop.set();
    task.await.unwrap();
}

#[tokio::test]
async fn a_stopped_loop_ends_at_once_and_the_next_one_goes_on_with_the_same_frame() {
    let bench = Bench::new();
    let fake = Fake::new([retry(Some(600))]);
    let task = bench.start("loki", &fake);
    bench.push(2);
    let entry = bench.entry("loki");
    bench.until("a first try", || entry.retries.get() == 1).await;
    bench.stop.set();
    task.await.unwrap();
    let again = Bench { stop: Stop::new(), ..bench };
    let fake = Fake::new([]);
    let _task = again.start("loki", &fake);
    again.frames("loki", 1).await;
    assert_eq!(fake.requests(), [vec![0, 1]]);
}

/// Nothing waits for such a destination, so its backlog says nothing.
#[tokio::test]
async fn a_destination_that_refuses_every_frame_is_failing_until_it_takes_something() {
    let bench = Bench::new();
    let refused = || Answer::Refused { why: "400: no".into() };
    let fake = Fake::new([retry(None), refused(), refused()]);
    let _task = bench.start("loki", &fake);
    let entry = bench.entry("loki");
    bench.push(2);
    bench.frames("loki", 1).await;
    let since = entry.failing_since.get();
    assert!(since > 0, "it was refused whole, and the board calls it well");
    bench.push(2);
    bench.frames("loki", 2).await;
    assert_eq!((entry.failing_since.get(), entry.refused.get()), (since, 4));
    assert_eq!(entry.answer.get(), "400: no");
    bench.push(2);
    bench.frames("loki", 3).await;
    assert_eq!((entry.failing_since.get(), entry.records.get()), (0, 2));
}

#[tokio::test]
async fn a_frame_with_one_bad_line_does_not_make_its_destination_failing() {
    let bench = Bench::new();
    let why = "400: total ignored: 1 out of 3 for stream: {}".to_owned();
    let fake = Fake::new([Answer::Refused { why }]);
    let _task = bench.start("loki", &fake);
    bench.push(3);
    bench.frames("loki", 1).await;
    let entry = bench.entry("loki");
    assert_eq!((entry.failing_since.get(), entry.records.get(), entry.refused.get()), (0, 2, 1));
}
