//! The statements that cost most, by digest, ranked by what they did since the last look.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use mysql_async::Conn;

use super::{Fields, ask_or_note, number};
use crate::collect::CollectError;
use crate::collect::event::Event;
use crate::collect::ranking::{Floor, Ranking, edge};
use crate::collect::sql::{Dialect, strip};
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[CALLS, TIME, LOCK_TIME, ROWS];
const CALLS: Desc =
    Desc::counter("mysql.statement.calls", "{call}", "Calls of a statement; its text stands in the logs once a day.");
const TIME: Desc = Desc::counter("mysql.statement.time", "s", "Time that a statement ran.");
const LOCK_TIME: Desc = Desc::counter("mysql.statement.lock.time", "s", "Time that a statement waited for locks.");
const ROWS: Desc = Desc::counter("mysql.statement.rows", "{row}", "Rows that a statement examined, sent and changed.");

const DAY: Duration = Duration::from_secs(86_400);
const MAX_TOLD: usize = 10_000;
/// Rows of a look, as `DIGESTS` says.
const MAX_ROWS: usize = 2000;

/// Times are in picoseconds. A row without a digest holds what the full table had no room for.
const DIGESTS: &str = "SELECT DIGEST AS id, COALESCE(SCHEMA_NAME, '') AS name, LEFT(DIGEST_TEXT, 4096) AS text, \
    COUNT_STAR AS calls, SUM_TIMER_WAIT / 1e12 AS time, SUM_LOCK_TIME / 1e12 AS lock_time, \
    SUM_ROWS_EXAMINED AS examined, SUM_ROWS_SENT AS sent, SUM_ROWS_AFFECTED AS affected \
    FROM performance_schema.events_statements_summary_by_digest WHERE DIGEST IS NOT NULL \
    ORDER BY SUM_TIMER_WAIT DESC LIMIT 2000";

/// What was seen at the last look.
#[derive(Debug, Default)]
pub(super) struct Digests {
    ranking: Ranking<(String, String)>,
    chosen: Vec<Fields>,
    told: HashMap<String, Instant>,
    /// What the last look had no right to: it counts until the next one.
    pub(super) lacking: Vec<String>,
}

impl Digests {
    /// Looks, chooses the `top` by growth of time and of calls, and gives the texts that were not told today.
    pub(super) async fn look(&mut self, conn: &mut Conn, top: usize) -> Result<Vec<Event>, CollectError> {
        self.lacking.clear();
        let rows = ask_or_note(conn, DIGESTS, "SELECT ON performance_schema.*", &mut self.lacking).await?;
        self.choose(rows.unwrap_or_default(), top);
        Ok(self.texts(Instant::now()))
    }

    /// The texts of those that are chosen, each once a day.
    fn texts(&mut self, now: Instant) -> Vec<Event> {
        self.told.retain(|_, told| now.duration_since(*told) < DAY);
        let mut events = Vec::new();
        for row in &self.chosen {
            let (Some(id), Some(text)) = (row.get("id"), row.get("text")) else { continue };
            if self.told.len() >= MAX_TOLD || self.told.contains_key(id) {
                continue;
            }
            self.told.insert(id.clone(), now);
            let text = strip(text, Dialect::Mysql, 4096);
            events.push(Event {
                name: "mysql.statement",
                nanos: 0,
                severity: 9,
                body: text.clone(),
                attributes: vec![("mysql.digest", id.clone().into()), ("db.query.text", text.into())],
            });
        }
        events
    }

    fn choose(&mut self, rows: Vec<Fields>, top: usize) {
        let seen = |row: &Fields| Some((key(row)?, number(row, "calls")?, number(row, "time")?));
        let times = rows.iter().filter_map(|row| number(row, "time"));
        // Those beyond the limit may have been called as often as any.
        let floor = if rows.len() < MAX_ROWS {
            Floor::default()
        } else {
            Floor { calls: f64::INFINITY, time: edge(times, MAX_ROWS) }
        };
        self.ranking.look(rows.iter().filter_map(seen), floor, top);
        self.chosen = rows.into_iter().filter(|row| key(row).is_some_and(|key| self.ranking.is_chosen(&key))).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_statement_that_stays_chosen_is_told_once_a_day() {
        let row = |id: &str, calls: u32| -> Fields {
            let pairs = [("id", id), ("name", "shop"), ("text", "SELECT `a` FROM `t`"), ("time", "1")];
            let calls = ("calls".to_owned(), calls.to_string());
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().chain([calls]).collect()
        };
        let mut digests = Digests::default();
        let start = Instant::now();
        let mut told = Vec::new();
        let minutes = 2 * DAY.as_secs() / 60;
        for minute in 0..minutes {
            digests.choose(vec![row("a", u32::try_from(minute).unwrap())], 20);
            let events = digests.texts(start + Duration::from_secs(60 * minute));
            told.extend(events.iter().map(|_| minute));
        }
        assert_eq!(told, [0, minutes / 2]);
    }
}
