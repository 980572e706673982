//! The statements that cost most: `pg_stat_statements`, ranked by what they did since the last look.
//!
//! With 100,000 statements (`a_hundred_thousand_statements_cost_a_bounded_time_and_memory`) a look, once a minute, takes
//! the server 0.5 to 0.9 s on a busy machine and 40 MB of temporary file, of which `pg_stat_statements` itself needs most;
//! 5,000 rows come back, and the agent needs 3 MB. Texts that are new take as long, at most once a minute too.

use super::Round;
use super::table::{Row, Table};
use crate::collect::CollectError;
use crate::collect::ranking::{Floor, Ranking, edge};
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[CALLS, TIME, ROWS, BLOCKS, TEMP_BLOCKS, DEALLOCATED, KNOWN];
const CALLS: Desc = Desc::counter(
    "postgresql.statement.calls",
    "{call}",
    "Calls of a statement; its text stands in the logs once a day.",
);
const TIME: Desc = Desc::counter("postgresql.statement.time", "s", "Time that a statement ran.");
const ROWS: Desc = Desc::counter("postgresql.statement.rows", "{row}", "Rows that a statement returned or changed.");
const BLOCKS: Desc = Desc::counter(
    "postgresql.statement.blocks",
    "{block}",
    "Blocks that a statement found in the cache and had to read.",
);
const TEMP_BLOCKS: Desc =
    Desc::counter("postgresql.statement.temp_blocks", "{block}", "Temporary blocks that a statement wrote.");
const DEALLOCATED: Desc = Desc::counter(
    "postgresql.statement.deallocated",
    "{time}",
    "Times the least used statements were forgotten: when it rises, pg_stat_statements.max is too small to trust the rest.",
);
const KNOWN: Desc =
    Desc::gauge("postgresql.statement.known", "{statement}", "Statements that pg_stat_statements holds.");

/// Statements that are asked for, those that took most time and those that were called most: the server keeps 5,000
/// by default, and a hundred thousand where it is told to. A statement that begins to cost is soon among them.
const BY_TIME: usize = 4000;
const BY_CALLS: usize = 1000;
/// What was seen at the last look.
#[derive(Debug, Default)]
pub(super) struct Statements {
    ranking: Ranking<Key>,
    /// The rows of the chosen ones, put again in the rounds between two looks.
    chosen: Table,
    info: Table,
    /// All that the server holds.
    known: Option<u64>,
}

type Key = (String, String, String);
/// Looks once a minute, without texts: these lie in a file that the server would read whole.
pub(super) async fn read(round: &mut Round<'_>, out: &mut Samples) -> Result<(), CollectError> {
    if let Some(schema) = round.statements_schema().map(str::to_owned)
        && round.minute()
    {
        let table = match round.ask(&query(&schema)).await {
            // The extension is made in this database, and the server does not count for it.
            Err(CollectError::Query(why)) if why.ends_with("(55000)") => {
                let mend = "shared_preload_libraries = 'pg_stat_statements', and a restart";
                round.lacking(format!("pg_stat_statements is not loaded: {mend}"));
                *round.statements() = Statements::default();
                return Ok(());
            }
            answer => answer?,
        };
        let info = match round.ask(&format!("SELECT dealloc FROM {schema}.pg_stat_statements_info")).await {
            // As pg_upgrade from 13 leaves it.
            Err(CollectError::Query(why)) if why.ends_with("(42P01)") => {
                round.lacking("an old pg_stat_statements: ALTER EXTENSION pg_stat_statements UPDATE".into());
                Table::default()
            }
            answer => answer?,
        };
        let top = round.top();
        round.statements().look(&table, info, top);
    }
    round.statements().put(out);
    Ok(())
}

/// `schema` is quoted already. One statement has two entries where it also runs inside functions. With a hundred
/// thousand of them each step over all counts: they are ranked as they stand, and only the chosen ones are added up and
/// get their names.
fn query(schema: &str) -> String {
    format!(
        "WITH p AS MATERIALIZED (SELECT queryid, dbid, userid, calls, total_exec_time AS time, rows, \
         shared_blks_hit AS hit, shared_blks_read AS read, temp_blks_written AS temp \
         FROM {schema}.pg_stat_statements(false) WHERE queryid IS NOT NULL), \
         top AS ((SELECT queryid, dbid, userid FROM p ORDER BY time DESC LIMIT {BY_TIME}) \
         UNION (SELECT queryid, dbid, userid FROM p ORDER BY calls DESC LIMIT {BY_CALLS})), \
         s AS (SELECT queryid, dbid, userid, sum(calls) AS calls, sum(time) AS time, sum(rows) AS rows, \
         sum(hit) AS hit, sum(read) AS read, sum(temp) AS temp FROM p JOIN top USING (queryid, dbid, userid) \
         GROUP BY queryid, dbid, userid) \
         SELECT queryid::text AS id, coalesce(d.datname, '') AS datname, coalesce(r.rolname, '') AS rolname, \
         calls, time, rows, hit, read, temp, (SELECT count(*) FROM p) AS known FROM s \
         LEFT JOIN pg_catalog.pg_database d ON d.oid = s.dbid LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.userid"
    )
}

impl Statements {
    /// Takes a look's rows and chooses the `top` of them by growth of time, of calls, and by mean time.
    fn look(&mut self, table: &Table, info: Table, top: usize) {
        let seen = |row: Row<'_>| Some((key(row)?, row.float("calls")?, row.float("time")?));
        let known = table.first().and_then(|row| row.float("known")).map_or(0, |known| known as u64);
        let column = |name: &'static str| table.rows().filter_map(move |row| row.float(name));
        let mut floor = Floor::default();
        if known > table.len() as u64 {
            floor = Floor { calls: edge(column("calls"), BY_CALLS), time: edge(column("time"), BY_TIME) };
        }
        self.ranking.look(table.rows().filter_map(seen), floor, top);
        self.chosen = table.filter(|row| key(row).is_some_and(|key| self.ranking.is_chosen(&key)));
        self.info = info;
        self.known = Some(known);
    }

    /// The ids that are chosen now.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.chosen.rows().filter_map(|row| row.text("id"))
    }

    fn put(&self, out: &mut Samples) {
        for row in self.chosen.rows() {
            let (Some(id), Some(database), Some(user)) = (row.text("id"), row.text("datname"), row.text("rolname"))
            else {
                continue;
            };
            let own = [("db.namespace", database), ("postgresql.query.id", id), ("user.name", user)];
            row.put(out, &own, &[("calls", &CALLS), ("rows", &ROWS), ("temp", &TEMP_BLOCKS)]);
            row.put_millis(out, &own, &[("time", &TIME)]);
            for source in ["hit", "read"] {
                row.put(out, &[own[0], own[1], own[2], ("source", source)], &[(source, &BLOCKS)]);
            }
        }
        if let Some(row) = self.info.first() {
            row.put(out, &[], &[("dealloc", &DEALLOCATED)]);
            if let Some(known) = self.known {
                out.put(&KNOWN, known);
            }
        }
    }
}

fn key(row: Row<'_>) -> Option<Key> {
    let part = |column| row.text(column).map(str::to_owned);
    Some((part("id")?, part("datname")?, part("rolname")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::metrics::Limits;

    fn table(rows: &[(&str, f64, f64)]) -> Table {
        let columns = ["id", "datname", "rolname", "calls", "time", "rows", "hit", "read", "temp"];
        let mut table = Table::new(columns.map(str::to_owned).to_vec());
        for (id, calls, time) in rows {
            let (calls, time) = (calls.to_string(), time.to_string());
            let row = [*id, "shop", "app", &calls, &time, "1", "2", "3", "4"];
            table.push(row.map(Some));
        }
        table
    }

    #[test]
    fn the_numbers_are_asked_for_without_the_texts() {
        let sql = query("public");
        assert!(sql.contains("public.pg_stat_statements(false)") && !sql.contains("query,"), "{sql}");
    }

    #[test]
    fn the_one_that_grew_is_chosen_and_not_the_one_that_was_large_before() {
        let mut statements = Statements::default();
        statements.look(&table(&[("1", 1000.0, 9e6), ("2", 10.0, 50.0)]), Table::default(), 1);
        for _ in 0..crate::collect::ranking::STICKY {
            statements.look(&table(&[("1", 1000.0, 9e6), ("2", 20.0, 90.0)]), Table::default(), 1);
        }
        statements.look(&table(&[("1", 1000.0, 9e6), ("2", 30.0, 120.0)]), Table::default(), 1);
        assert_eq!(statements.ids().collect::<Vec<_>>(), ["2"]);
    }

    #[test]
    fn after_a_reset_everything_counts_anew() {
        let mut statements = Statements::default();
        statements.look(&table(&[("1", 1000.0, 9e6), ("2", 10.0, 50.0)]), Table::default(), 1);
        statements.look(&table(&[("1", 3.0, 700.0), ("2", 10.0, 50.0)]), Table::default(), 1);
        assert!(statements.ids().any(|id| id == "1"));
        let mut out = Samples::new(Limits::default());
        statements.put(&mut out);
        let time = out.samples().iter().find(|sample| out.metrics()[sample.metric].name == TIME.name).unwrap();
        assert_eq!(time.point, crate::signal::metrics::Point::Number(0.7.into()), "milliseconds become seconds");
    }
}
