//! The statements that cost most, by digest, ranked by what they did since the last look.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mysql_async::Conn;

use super::{Fields, ask_or_note, number};
use crate::collect::CollectError;
use crate::collect::event::Event;
use crate::collect::sql::{Dialect, strip};
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[CALLS, TIME, LOCK_TIME, ROWS];
const CALLS: Desc =
    Desc::counter("mysql.statement.calls", "{call}", "Calls of a statement; its text stands in the logs once a day.");
const TIME: Desc = Desc::counter("mysql.statement.time", "s", "Time that a statement ran.");
const LOCK_TIME: Desc = Desc::counter("mysql.statement.lock.time", "s", "Time that a statement waited for locks.");
const ROWS: Desc = Desc::counter("mysql.statement.rows", "{row}", "Rows that a statement examined, sent and changed.");

const DAY: Duration = Duration::from_secs(86_400);
/// Looks for which a statement stays chosen once it was: a rate needs more than one point.
const STICKY: u8 = 5;
const MAX_TOLD: usize = 10_000;

/// Times are in picoseconds. A row without a digest holds what the full table had no room for.
const DIGESTS: &str = "SELECT DIGEST AS id, COALESCE(SCHEMA_NAME, '') AS name, LEFT(DIGEST_TEXT, 4096) AS text, \
    COUNT_STAR AS calls, SUM_TIMER_WAIT / 1e12 AS time, SUM_LOCK_TIME / 1e12 AS lock_time, \
    SUM_ROWS_EXAMINED AS examined, SUM_ROWS_SENT AS sent, SUM_ROWS_AFFECTED AS affected \
    FROM performance_schema.events_statements_summary_by_digest WHERE DIGEST IS NOT NULL \
    ORDER BY SUM_TIMER_WAIT DESC LIMIT 2000";

/// What was seen at the last look.
#[derive(Debug, Default)]
pub(super) struct Digests {
    known: HashMap<(String, String), Seen>,
    chosen: Vec<Fields>,
    told: HashMap<String, Instant>,
}

/// A statement, and what its calls and its time grew by.
type Grown = ((String, String), f64, f64);

#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    calls: f64,
    time: f64,
    chosen: u8,
}

impl Digests {
    /// Looks, chooses the `top` by growth of time and of calls, and gives the texts that were not told today.
    pub(super) async fn look(
        &mut self,
        conn: &mut Conn,
        top: usize,
        lacking: &mut Vec<String>,
    ) -> Result<Vec<Event>, CollectError> {
        let rows = ask_or_note(conn, DIGESTS, "SELECT ON performance_schema.*", lacking).await?;
        self.choose(rows, top);
        self.told.retain(|_, told| told.elapsed() < DAY);
        let mut events = Vec::new();
        for row in &self.chosen {
            let (Some(id), Some(text)) = (row.get("id"), row.get("text")) else { continue };
            if self.told.len() < MAX_TOLD && self.told.insert(id.clone(), Instant::now()).is_none() {
                let text = strip(text, Dialect::Mysql, 4096);
                events.push(Event {
                    name: "mysql.statement",
                    nanos: 0,
                    severity: 9,
                    body: text.clone(),
                    attributes: vec![("mysql.digest", id.clone().into()), ("db.query.text", text.into())],
                });
            }
        }
        Ok(events)
    }

    fn choose(&mut self, rows: Vec<Fields>, top: usize) {
        let mut grown: Vec<Grown> = Vec::with_capacity(rows.len());
        let mut known = HashMap::with_capacity(rows.len());
        for row in &rows {
            let (Some(key), Some(calls), Some(time)) = (key(row), number(row, "calls"), number(row, "time")) else {
                continue;
            };
            let before = self.known.get(&key).copied().unwrap_or_default();
            // Fewer than before: the table was truncated.
            let (old_calls, old_time) = if before.calls <= calls { (before.calls, before.time) } else { (0.0, 0.0) };
            grown.push((key.clone(), calls - old_calls, time - old_time));
            known.insert(key, Seen { calls, time, chosen: before.chosen.saturating_sub(1) });
        }
        let by: [fn(&Grown) -> f64; 2] = [|g| g.2, |g| g.1];
        for measure in by {
            grown.sort_by(|a, b| measure(b).total_cmp(&measure(a)).then_with(|| a.0.cmp(&b.0)));
            for (key, ..) in grown.iter().filter(|g| measure(g) > 0.0).take(top) {
                if let Some(seen) = known.get_mut(key) {
                    seen.chosen = STICKY;
                }
            }
        }
        let chosen = |row: &Fields| key(row).and_then(|key| known.get(&key)).is_some_and(|seen| seen.chosen > 0);
        self.chosen = rows.into_iter().filter(chosen).collect();
        self.known = known;
    }

    pub(super) fn put(&self, out: &mut Samples) {
        for row in &self.chosen {
            let Some((id, schema)) = key(row) else { continue };
            let own = [("mysql.digest", id.as_str()), ("db.namespace", schema.as_str())];
            for (name, desc) in [("calls", &CALLS), ("time", &TIME), ("lock_time", &LOCK_TIME)] {
                if let Some(value) = number(row, name) {
                    out.put_with(desc, &own, value);
                }
            }
            for kind in ["examined", "sent", "affected"] {
                if let Some(value) = number(row, kind) {
                    out.put_with(&ROWS, &[own[0], own[1], ("kind", kind)], value);
                }
            }
        }
    }
}

fn key(row: &Fields) -> Option<(String, String)> {
    Some((row.get("id")?.clone(), row.get("name")?.clone()))
}
