//! Servers that come, stay away and come back, in time that the test sets.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use async_trait::async_trait;

use super::*;
use crate::collect::{CollectError, Collector};
use crate::signal::frame::Signal;
use crate::signal::metrics::Samples;
use crate::signal::resource::Resource;
use crate::spool::disk::RealDisk;
use crate::spool::{Limits, Spool};
use crate::store::latest::Latest;

/// Counts its lives.
struct Counted(Arc<AtomicUsize>);

#[async_trait]
impl Collector for Counted {
    async fn collect(&mut self, _: &mut Samples) -> Result<(), CollectError> {
        Ok(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn found(url: &str, ended: &Arc<AtomicUsize>) -> Found {
    let job = Job {
        name: "redis box:6379".into(),
        kind: "redis",
        collector: Box::new(Counted(Arc::clone(ended))),
        resource: Arc::new(Resource::new("redis", "box:6379", &[])),
        interval: Duration::from_millis(10),
        timeout: Duration::from_secs(1),
        series: 10,
        server: true,
        grant: Some("ACL".into()),
    };
    let (name, kind, service, instance) = (job.name.clone(), "redis", "redis".into(), "box:6379".into());
    Found { name, kind, service, instance, url: url.into(), grant: "ACL".into(), job: Some(job) }
}

fn roster(dir: &Path, board: &Board) -> Roster {
    let open = |signal| {
        let limits = Limits {
            undelivered: 1 << 20,
            fsync: Duration::from_secs(1),
            retain_bytes: 1 << 20,
            retain_time: Duration::from_secs(60),
        };
        Spool::open(Arc::new(RealDisk), dir.join(format!("{signal:?}")), signal, limits, board).unwrap()
    };
    let pipeline = Pipeline::new(open(Signal::Logs), open(Signal::Metrics), Latest::new(), board.clone()).unwrap();
    Roster::new(board.clone(), pipeline)
}

#[tokio::test]
async fn a_server_that_is_gone_stays_for_a_while_and_one_that_moved_is_read_anew() {
    let (dir, board, ended) = (tempfile::tempdir().unwrap(), Board::new(), Arc::new(AtomicUsize::new(0)));
    let mut roster = roster(dir.path(), &board);
    let start = Instant::now();
    roster.take(vec![found("redis://127.0.0.1:6379", &ended)], start).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while board.source("redis box:6379").last_success.get() == 0 {
        assert!(Instant::now() < deadline, "no round");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let hour = start + TRIAL;
    roster.take(vec![found("redis://127.0.0.1:6379", &ended)], hour).await;
    assert_eq!(ended.load(Relaxed), 1, "the running one goes on, the second one was not needed");
    roster.take(Vec::new(), hour).await;
    roster.take(Vec::new(), hour + KEPT - Duration::from_secs(1)).await;
    assert_eq!(board.sources().len(), 1, "a server that is down for a night is still told as down");
    roster.take(vec![found("redis://127.0.0.1:6379", &ended)], hour + KEPT).await;
    roster.take(Vec::new(), hour + 2 * KEPT).await;
    assert_eq!((board.sources().len(), ended.load(Relaxed)), (1, 2), "its time begins anew");
    let moved = hour + 2 * KEPT;
    roster.take(vec![found("redis://10.0.0.1:6379", &ended)], moved).await;
    assert_eq!(ended.load(Relaxed), 3, "another address");
    board.source("redis box:6379").last_success.set(1);
    let gone = moved + TRIAL - Duration::from_secs(1);
    roster.take(Vec::new(), gone).await;
    roster.take(Vec::new(), gone + KEPT_OF_A_TRIAL - Duration::from_secs(1)).await;
    assert_eq!(board.sources().len(), 1);
    roster.take(Vec::new(), gone + KEPT_OF_A_TRIAL).await;
    assert!(board.sources().is_empty() && ended.load(Relaxed) == 4, "what came within the hour goes soon");
}

#[tokio::test]
async fn a_server_that_is_only_told_has_its_commands_in_the_status_and_goes_at_once() {
    let (dir, board, ended) = (tempfile::tempdir().unwrap(), Board::new(), Arc::default());
    let mut roster = roster(dir.path(), &board);
    let told = Found { job: None, ..found("postgres://plimsoll@127.0.0.1:6432/pgbouncer", &ended) };
    roster.take(vec![told], Instant::now()).await;
    let source = board.source("redis box:6379");
    assert!(source.hint.get().ends_with("\nACL") && source.fault.get().is_empty());
    roster.take(Vec::new(), Instant::now()).await;
    assert!(board.sources().is_empty());
    roster.end().await;
}

#[tokio::test]
async fn a_look_that_is_asked_for_forgets_what_is_gone_and_keeps_what_is_read() {
    let (dir, board, ended) = (tempfile::tempdir().unwrap(), Board::new(), Arc::new(AtomicUsize::new(0)));
    let mut roster = roster(dir.path(), &board);
    let start = Instant::now();
    roster.take(vec![found("redis://127.0.0.1:6379", &ended)], start).await;
    roster.retry().await;
    assert_eq!(board.sources().len(), 1, "it is there");
    board.source("redis box:6379").last_success.set(1);
    roster.take(Vec::new(), start + TRIAL).await;
    assert_eq!(board.sources().len(), 1, "it is down");
    roster.retry().await;
    assert!(board.sources().is_empty());
}
