//! Telling people: each notifier against servers that break every rule, a real Alertmanager, a mail server, and what
//! hostile names do to a message.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so and ends")]
#![allow(dead_code, reason = "the support has more than these tests need")]

#[path = "support/alertmanager.rs"]
mod alertmanager;
#[path = "notify/faults.rs"]
mod faults;
#[allow(dead_code, reason = "shared with the other test programs")]
#[path = "support/harness.rs"]
mod harness;
#[path = "notify/hostile.rs"]
mod hostile;
#[path = "notify/mail.rs"]
mod mail;
#[path = "notify/peer.rs"]
mod peer;
#[path = "notify/stack.rs"]
mod stack;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll::base::stop::Stop;
use plimsoll::notify::config::{Heartbeat, Notify};
use plimsoll::notify::{About, Alert, Ledger, Line, Pace};
use plimsoll::status::Board;
use plimsoll::store::Labels;
use serde_json::Value;
use tokio::task::JoinHandle;

/// For things that take a second or two: the machine may be busy.
const LIMIT: Duration = Duration::from_secs(30);

fn now() -> i64 {
    (harness::now() / 1_000_000) as i64
}

fn alert(name: &str) -> Alert {
    let now = now();
    Alert {
        labels: Labels::new([("alertname", name), ("severity", "page"), ("instance", "shop-db-1")]),
        annotations: vec![("summary".into(), format!("{name} is wrong"))],
        starts_at: now,
        ends_at: now + 240_000,
        resolved: false,
        value: 1.0,
        generator_url: "http://shop-db-1:1876/?expr=up".into(),
    }
}

fn resolved(alert: &Alert) -> Alert {
    Alert { resolved: true, ends_at: now(), ..alert.clone() }
}

fn pace() -> Pace {
    Pace {
        group: Duration::from_millis(20),
        first_retry: Duration::from_millis(10),
        last_retry: Duration::from_millis(50),
        timeout: Duration::from_secs(3),
        look: Duration::from_millis(100),
        drain: Duration::from_secs(2),
        ..Pace::default()
    }
}

/// A line that runs, and what a state file would do.
struct Running {
    line: Line,
    board: Board,
    stop: Stop,
    task: JoinHandle<()>,
}

impl Running {
    fn new(notify: &[(&str, Value)]) -> Self {
        Self::with(notify, None, None)
    }

    fn with(notify: &[(&str, Value)], heartbeat: Option<Heartbeat>, ledger: Option<Arc<Ledger>>) -> Self {
        let notify: BTreeMap<String, Notify> = notify
            .iter()
            .map(|(name, value)| ((*name).to_owned(), serde_json::from_value(value.clone()).unwrap()))
            .collect();
        let board = Board::new();
        let about = About { host: "shop-db-1".into(), external_url: "http://shop-db-1:1876".into() };
        let line = Line::new(&notify, heartbeat.as_ref(), &about, &board, ledger, pace()).unwrap();
        let (stop, runner) = (Stop::new(), line.clone());
        let task = tokio::spawn({
            let stop = stop.clone();
            async move { runner.run(stop).await }
        });
        Self { line, board, stop, task }
    }

    /// As the rules' loop does it after each round.
    fn offer(&self, alerts: &[Alert]) {
        self.line.offer(alerts);
        let _file = self.line.snapshot();
        self.line.release();
    }

    fn entry(&self, name: &str) -> Arc<plimsoll::status::Notifier> {
        self.board.notifier(name)
    }

    async fn end(self) -> plimsoll::notify::Waiting {
        self.stop.set();
        self.task.await.unwrap();
        self.line.snapshot()
    }
}

/// Until `look` finds something.
async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "after {LIMIT:?} still not: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
