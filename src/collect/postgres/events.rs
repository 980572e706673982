//! What the numbers cannot say: who is blocked by whom, and what the costly statements are.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::table::{Row, Table};
use crate::collect::event::{Detail, Event};
use crate::collect::sql::{Dialect, strip};

/// Events that wait to be taken, and what was told already.
#[derive(Debug, Default)]
pub(super) struct Events {
    waiting: Vec<Event>,
    told_texts: HashMap<String, Instant>,
    told_blocks: HashMap<(String, String), Instant>,
}

/// A text is told once a day.
const DAY: Duration = Duration::from_secs(86_400);
/// The same two sessions are told once a minute.
const MINUTE: Duration = Duration::from_secs(60);
/// A wait that is shorter is everyday life.
const LONG_WAIT: f64 = 5.0;
const MAX_TOLD: usize = 10_000;
/// Blocked sessions told in one round.
const MAX_BLOCKS: usize = 20;
/// Bytes of a statement's text.
const MAX_TEXT: usize = 4096;

impl Events {
    /// Those of `ids` whose text was not told for a day; none between the minutes: the texts lie in a file that the
    /// server reads whole.
    pub(super) fn untold<'a>(&mut self, ids: impl Iterator<Item = &'a str>, minute: bool) -> Vec<String> {
        if !minute {
            return Vec::new();
        }
        self.told_texts.retain(|_, told| told.elapsed() < DAY);
        ids.filter(|id| !self.told_texts.contains_key(*id)).map(str::to_owned).collect()
    }

    /// Makes events of what a round found.
    pub(super) fn take(&mut self, blocked: &Table, texts: &HashMap<String, String>) {
        for (id, text) in texts {
            if self.told_texts.len() < MAX_TOLD && self.told_texts.insert(id.clone(), Instant::now()).is_none() {
                self.waiting.push(statement(id, text));
            }
        }
        self.told_blocks.retain(|_, told| told.elapsed() < MINUTE);
        for row in blocked.rows().take(MAX_BLOCKS) {
            let pids = (row.text("pid").unwrap_or_default(), row.text("blocker").unwrap_or_default());
            let pids = (pids.0.to_owned(), pids.1.to_owned());
            let long = row.float("wait").is_some_and(|wait| wait >= LONG_WAIT);
            if long && !self.told_blocks.contains_key(&pids) {
                self.told_blocks.insert(pids, Instant::now());
                self.waiting.push(blocked_session(row));
            }
        }
    }

    pub(super) fn drain(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.waiting)
    }
}

fn statement(id: &str, text: &str) -> Event {
    let text = strip(text, Dialect::Postgres, MAX_TEXT);
    Event {
        name: "postgresql.statement",
        nanos: 0,
        severity: 9,
        body: text.clone(),
        attributes: vec![("postgresql.query.id", id.into()), ("db.query.text", text.into())],
    }
}

fn blocked_session(row: Row<'_>) -> Event {
    let text = |column| row.text(column).unwrap_or_default();
    let query = strip(text("query"), Dialect::Postgres, MAX_TEXT);
    let blocker_query = strip(text("blocker_query"), Dialect::Postgres, MAX_TEXT);
    let wait = row.float("wait").unwrap_or(0.0);
    let body = format!(
        "session {} ({}) has waited {wait:.0} s for {} ({}, {}): {query}",
        text("pid"),
        text("usename"),
        text("blocked_by"),
        text("blocker_user"),
        text("blocker_state"),
    );
    let mut attributes: Vec<(&'static str, Detail)> = vec![("postgresql.lock.wait", wait.into())];
    let named = [
        ("postgresql.pid", "pid"),
        ("db.namespace", "datname"),
        ("user.name", "usename"),
        ("postgresql.application_name", "application_name"),
        ("postgresql.wait_event", "wait_event"),
        ("postgresql.blocking.pids", "blocked_by"),
        ("postgresql.blocking.user", "blocker_user"),
        ("postgresql.blocking.application_name", "blocker_application"),
        ("postgresql.blocking.state", "blocker_state"),
    ];
    attributes.extend(
        named.iter().filter(|(_, column)| !text(column).is_empty()).map(|(n, column)| (*n, text(column).into())),
    );
    if let Some(age) = row.float("blocker_transaction_age") {
        attributes.push(("postgresql.blocking.transaction.age", age.into()));
    }
    attributes.push(("db.query.text", query.into()));
    attributes.push(("postgresql.blocking.query.text", blocker_query.into()));
    Event { name: "postgresql.blocked_session", nanos: 0, severity: 13, body, attributes }
}
