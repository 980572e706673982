//! The loop against collectors that fail, hang, panic and put too much.

use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::signal::metrics::Point;

const VALUE: Desc = Desc::gauge("test.value", "1", "A value.");

/// Does in each round what the next word says; the last word is repeated.
struct Scripted {
    words: Vec<&'static str>,
    round: usize,
}

#[async_trait]
impl Collector for Scripted {
    async fn collect(&mut self, out: &mut Samples) -> Result<(), CollectError> {
        let word = self.words[self.round.min(self.words.len() - 1)];
        self.round += 1;
        out.put(&VALUE, self.round);
        match word {
            "ok" => Ok(()),
            "nothing" => Err(CollectError::NoData("empty".into())),
            "partly" => Err(CollectError::Partly("tables: a lock is held".into())),
            "query" => Err(CollectError::Query("no right: GRANT it".into())),
            "denied" => Err(CollectError::Denied("refused: set `password`".into())),
            "hang" => std::future::pending().await,
            "panic" => panic!("as told"),
            many => {
                for index in 0..many.parse().unwrap() {
                    out.put_with(&VALUE, &[("index", &index.to_string())], 1_u64);
                }
                Ok(())
            }
        }
    }

    fn detail(&self) -> String {
        format!("{} rounds", self.round)
    }
}

type Rounds = Arc<Mutex<Vec<(Samples, u64, u64)>>>;

struct Rig {
    board: Board,
    rounds: Rounds,
    stop: Stop,
    task: tokio::task::JoinHandle<()>,
}

fn rig(words: &[&'static str], series: usize) -> Rig {
    rig_with(words, series, None)
}

fn rig_with(words: &[&'static str], series: usize, grant: Option<&str>) -> Rig {
    let (board, rounds, stop) = (Board::new(), Rounds::default(), Stop::new());
    let job = Job {
        name: "it".into(),
        kind: "test",
        collector: Box::new(Scripted { words: words.to_vec(), round: 0 }),
        resource: Arc::new(Resource::new("test", "here", &[])),
        interval: Duration::from_millis(20),
        timeout: Duration::from_millis(50),
        series,
        server: true,
        grant: grant.map(str::to_owned),
    };
    let kept = Arc::clone(&rounds);
    let sink: Sink = Arc::new(move |_, samples, _, (start, nanos)| {
        kept.lock().unwrap().push((samples.clone(), start, nanos));
    });
    let task = start(job, sink, board.clone(), stop.clone());
    Rig { board, rounds, stop, task }
}

impl Rig {
    async fn rounds(self, count: usize) -> (Vec<(Samples, u64, u64)>, Board) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.rounds.lock().unwrap().len() < count {
            assert!(Instant::now() < deadline, "no {count} rounds in time");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.stop.set();
        self.task.await.unwrap();
        (self.rounds.lock().unwrap().clone(), self.board)
    }
}

fn value(samples: &Samples, name: &str, label: &str) -> Option<f64> {
    let index = samples.metrics().iter().position(|metric| metric.name == name)?;
    let mut found = samples.samples().iter().filter(|sample| sample.metric == index);
    match found.find(|sample| label.is_empty() || sample.attributes.iter().any(|(_, v)| &**v == label))?.point {
        Point::Number(number) => Some(number.as_f64()),
        Point::Histogram(_) => None,
    }
}

#[tokio::test]
async fn a_server_of_which_a_part_cannot_be_read_is_up_and_its_fault_is_told() {
    let (rounds, board) = rig(&["partly"], 100).rounds(2).await;
    for (round, _, _) in &rounds {
        assert_eq!(value(round, "up", ""), Some(1.0));
    }
    let source = board.source("it");
    assert_eq!(source.fault.get(), "tables: a lock is held");
    assert!(source.failures.get() >= 2);
}

#[tokio::test]
async fn rounds_come_one_after_the_other_with_rising_times_and_one_start() {
    let (rounds, board) = rig(&["ok"], 10).rounds(3).await;
    assert!(rounds.windows(2).all(|pair| pair[0].2 < pair[1].2 && pair[0].1 == pair[1].1));
    assert_eq!(rounds[0].1, rounds[0].2);
    assert_eq!(value(&rounds[2].0, "test.value", ""), Some(3.0));
    assert!(value(&rounds[0].0, "plimsoll.collect.duration", "it").is_some_and(|seconds| seconds < 20.0));
    let source = board.source("it");
    assert_eq!((source.kind.get(), source.failures.get()), ("test".to_owned(), 0));
    assert!(source.last_success.get() > 0 && source.detail.get().ends_with("rounds"));
    assert_eq!(source.points.get(), 8);
    assert!(source.points_total.get() >= 24);
}

#[tokio::test]
async fn a_failure_is_counted_by_its_kind_shown_on_the_board_and_forgotten_after_a_success() {
    let failing = rig(&["query"], 10);
    let (rounds, board) = failing.rounds(2).await;
    assert_eq!(value(&rounds[1].0, "plimsoll.collect.failures", "query"), Some(2.0));
    assert_eq!(value(&rounds[1].0, "plimsoll.collect.failures", "timeout"), Some(0.0));
    assert_eq!(value(&rounds[1].0, "test.value", ""), Some(2.0), "points before the error are kept");
    assert_eq!(board.source("it").fault.get(), "no right: GRANT it");
    let (rounds, board) = rig(&["query", "ok"], 10).rounds(2).await;
    assert_eq!(value(&rounds[1].0, "plimsoll.collect.failures", "query"), Some(1.0));
    assert_eq!(board.source("it").fault.get(), "");
}

#[tokio::test]
async fn after_a_refused_login_the_server_is_left_alone_and_stays_down() {
    let (rounds, board) = rig(&["denied", "ok"], 10).rounds(4).await;
    assert_eq!(value(&rounds[0].0, "test.value", ""), Some(1.0));
    for (round, _, _) in &rounds[1..] {
        assert_eq!(value(round, "test.value", ""), None, "it was asked again");
        assert_eq!(value(round, "up", ""), Some(0.0));
    }
    assert_eq!(board.source("it").fault.get(), "refused: set `password`");
    let (rounds, _) = rig(&["query", "ok"], 10).rounds(2).await;
    assert_eq!((value(&rounds[0].0, "up", ""), value(&rounds[1].0, "up", "")), (Some(0.0), Some(1.0)));
}

#[tokio::test]
async fn a_round_that_hangs_is_given_up_and_the_next_one_runs() {
    let (rounds, board) = rig(&["hang", "ok"], 10).rounds(2).await;
    assert_eq!(value(&rounds[0].0, "plimsoll.collect.failures", "timeout"), Some(1.0));
    assert_eq!(value(&rounds[1].0, "plimsoll.collect.failures", "timeout"), Some(1.0));
    assert_eq!(board.source("it").failures.get(), 1);
}

#[tokio::test]
async fn no_data_is_no_failure() {
    let (rounds, board) = rig(&["nothing"], 10).rounds(1).await;
    assert_eq!(value(&rounds[0].0, "plimsoll.collect.failures", "query"), Some(0.0));
    assert_eq!((board.source("it").failures.get(), board.source("it").fault.get()), (0, String::new()));
}

#[tokio::test]
async fn series_over_the_limit_are_refused_counted_and_their_metric_is_named() {
    let (rounds, board) = rig(&["30"], 10).rounds(1).await;
    assert_eq!(rounds[0].0.samples().len(), 10 + 7, "the loop's own points always have room");
    let losses = board.losses();
    let ((part, reason), loss) = &losses[0];
    assert_eq!((part.as_str(), *reason), ("collect it", "over_series_limit"));
    assert_eq!(loss.count % 21, 0);
    assert!(loss.hint.contains("test.value alone has 10 series"), "{}", loss.hint);
}

#[tokio::test]
async fn a_panic_ends_only_this_source_and_says_so() {
    let rig = rig(&["ok", "panic"], 10);
    rig.task.await.unwrap();
    assert!(rig.board.source("it").fault.get().contains("restart"));
    assert_eq!(rig.rounds.lock().unwrap().len(), 1);
}

#[test]
fn a_clock_that_is_set_back_never_takes_the_time_stamps_back() {
    let mut stamps = Stamps::default();
    let hour = 3600 * clock::SECOND;
    assert_eq!(stamps.next(2 * hour), (2 * hour, 2 * hour));
    let (_, second) = stamps.next(hour);
    assert_eq!(second, 2 * hour + 1_000_000);
    assert_eq!(stamps.next(3 * hour), (2 * hour, 3 * hour));
}

#[tokio::test]
async fn a_found_server_that_refuses_us_is_a_hint_and_only_one_that_let_us_in_before_is_a_fault() {
    let refused = rig_with(&["denied"], 10, Some("GRANT it"));
    let source = refused.board.source("it");
    let deadline = Instant::now() + Duration::from_secs(20);
    while source.hint.get().is_empty() {
        assert!(Instant::now() < deadline, "no hint");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(source.hint.get().starts_with("refused: set `password`") && source.hint.get().ends_with("\nGRANT it"));
    assert_eq!((source.fault.get(), source.failures.get()), (String::new(), 0));
    assert!(refused.rounds.lock().unwrap().is_empty(), "nothing says `up` 0 of what nobody asked for");
    refused.stop.set();
    refused.task.await.unwrap();

    let (rounds, board) = rig_with(&["query", "ok", "denied"], 10, Some("GRANT it")).rounds(2).await;
    let first = (value(&rounds[0].0, "up", ""), value(&rounds[0].0, "test.value", ""));
    assert_eq!(first, (Some(1.0), Some(2.0)), "the first one was a hint");
    assert!(rounds[1..].iter().all(|(round, _, _)| value(round, "up", "") == Some(0.0)));
    let source = board.source("it");
    assert!(source.hint.get().is_empty() && source.fault.get().contains("refused"), "{}", source.fault.get());
}
