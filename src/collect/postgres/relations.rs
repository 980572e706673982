//! The largest tables and indexes of each database: size, rows, scans, vacuums. One database in a round, in turn.

use super::Round;
use super::table::Table;
use crate::collect::CollectError;
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[
    TABLES,
    TABLE_SIZE,
    ROWS,
    CHANGES,
    SEQUENTIAL,
    INDEX_SCANS,
    INDEX_SIZE,
    VACUUMS,
    VACUUM_AGE,
    ANALYZE_DUE,
    FREEZE_AGE,
];
const TABLES: Desc = Desc::updown("postgresql.table.count", "{table}", "Tables of the database.");
const TABLE_SIZE: Desc =
    Desc::updown("postgresql.table.size", "By", "Size of a table with its indexes; absent while it is locked.");
const ROWS: Desc = Desc::updown(
    "postgresql.rows",
    "1",
    "Rows of a table, live and dead, as the server estimates: after a crash from 0 on.",
);
const CHANGES: Desc = Desc::counter("postgresql.operations", "1", "Rows that were inserted, updated and deleted.");
const SEQUENTIAL: Desc = Desc::counter("postgresql.sequential_scans", "{sequential_scan}", "Scans of whole tables.");
const INDEX_SCANS: Desc = Desc::counter("postgresql.index.scans", "{scans}", "Scans of an index.");
const INDEX_SIZE: Desc = Desc::gauge("postgresql.index.size", "By", "Size of an index.");
const VACUUMS: Desc =
    Desc::counter("postgresql.table.vacuum.count", "{vacuum}", "Vacuums of a table, by hand and automatic.");
const VACUUM_AGE: Desc =
    Desc::gauge("postgresql.table.vacuum.age", "s", "Time since the table was vacuumed; absent before the first time.");
const ANALYZE_DUE: Desc =
    Desc::gauge("postgresql.table.unanalyzed", "{row}", "Rows that changed since the table was analyzed.");
const FREEZE_AGE: Desc = Desc::gauge(
    "postgresql.table.freeze.age",
    "{transaction}",
    "Transactions since the table's oldest row that is not frozen.",
);

/// What one database answered.
#[derive(Debug, Default)]
pub(super) struct Relations {
    tables: Table,
    indexes: Table,
}

/// Asks the database whose turn it is, and puts what is known of all.
pub(super) async fn read(round: &mut Round<'_>, out: &mut Samples) -> Result<(), CollectError> {
    let top = round.top();
    if top > 0
        && round.minute()
        && let Some(database) = round.next_database()
    {
        let (tables, indexes) = (tables(top), indexes(top));
        match round.ask_in(&database, &[&tables, &indexes]).await {
            Ok(answers) => {
                let mut answers = answers.into_iter();
                let read = Relations {
                    tables: answers.next().unwrap_or_default(),
                    indexes: answers.next().unwrap_or_default(),
                };
                round.relations().insert(database, read);
            }
            // One database that refuses takes nothing from the others.
            Err(error) => {
                round.relations().remove(&database);
                round.lacking(format!("database {database}: {error}"));
            }
        }
    }
    for (database, relations) in round.relations() {
        put_tables(database, &relations.tables, out);
        put_indexes(database, &relations.indexes, out);
    }
    Ok(())
}

/// Ranked by pages, which needs no lock; sizes only of those that nobody has locked, nor their indexes and long values,
/// which the server opens too: so that the reading does not wait.
fn tables(top: usize) -> String {
    format!(
        "WITH largest AS (SELECT c.oid, c.relname, c.reltoastrelid, n.nspname, c.relfrozenxid, count(*) OVER () AS tables \
           FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
           WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
           ORDER BY c.relpages DESC, c.oid LIMIT {top}) \
         SELECT l.nspname, l.relname, l.tables, {} AS size, s.seq_scan, s.n_tup_ins, s.n_tup_upd, s.n_tup_del, \
           s.n_tup_hot_upd, s.n_live_tup, s.n_dead_tup, s.n_mod_since_analyze, s.vacuum_count, s.autovacuum_count, \
           extract(epoch FROM clock_timestamp() - greatest(s.last_vacuum, s.last_autovacuum)) AS vacuum_age, \
           age(l.relfrozenxid) AS freeze_age \
         FROM largest l LEFT JOIN pg_catalog.pg_stat_user_tables s ON s.relid = l.oid",
        unlocked(
            "pg_total_relation_size(l.oid)",
            "k.relation IN (l.oid, l.reltoastrelid) OR EXISTS (SELECT 1 FROM pg_catalog.pg_index i \
             WHERE i.indexrelid = k.relation AND i.indrelid IN (l.oid, l.reltoastrelid))"
        )
    )
}

fn indexes(top: usize) -> String {
    format!(
        "WITH largest AS (SELECT c.oid, c.relname, n.nspname, i.indrelid FROM pg_catalog.pg_class c \
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid \
           WHERE c.relkind = 'i' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') \
           ORDER BY c.relpages DESC, c.oid LIMIT {top}) \
         SELECT l.nspname, s.relname, l.relname AS index, {} AS size, s.idx_scan \
         FROM largest l LEFT JOIN pg_catalog.pg_stat_user_indexes s ON s.indexrelid = l.oid",
        unlocked("pg_relation_size(l.oid)", "k.relation IN (l.oid, l.indrelid)")
    )
}

/// The size where no lock `k` is held that it would wait for.
fn unlocked(size: &str, in_the_way: &str) -> String {
    format!(
        "CASE WHEN NOT EXISTS (SELECT 1 FROM pg_catalog.pg_locks k WHERE ({in_the_way}) AND \
         k.mode = 'AccessExclusiveLock' AND k.database = (SELECT oid FROM pg_catalog.pg_database \
         WHERE datname = current_database())) THEN {size} END"
    )
}

fn put_tables(database: &str, table: &Table, out: &mut Samples) {
    for row in table.rows() {
        let (Some(schema), Some(name)) = (row.text("nspname"), row.text("relname")) else { continue };
        let own = [("db.namespace", database), ("postgresql.schema.name", schema), ("db.collection.name", name)];
        let columns = [
            ("size", &TABLE_SIZE),
            ("seq_scan", &SEQUENTIAL),
            ("vacuum_age", &VACUUM_AGE),
            ("n_mod_since_analyze", &ANALYZE_DUE),
            ("freeze_age", &FREEZE_AGE),
        ];
        row.put(out, &own, &columns);
        let with = |name: &'static str, value: &'static str| [own[0], own[1], own[2], (name, value)];
        for (state, column) in [("live", "n_live_tup"), ("dead", "n_dead_tup")] {
            row.put(out, &with("state", state), &[(column, &ROWS)]);
        }
        for (operation, column) in
            [("ins", "n_tup_ins"), ("upd", "n_tup_upd"), ("del", "n_tup_del"), ("hot_upd", "n_tup_hot_upd")]
        {
            row.put(out, &with("operation", operation), &[(column, &CHANGES)]);
        }
        for (how, column) in [("manual", "vacuum_count"), ("auto", "autovacuum_count")] {
            row.put(out, &with("type", how), &[(column, &VACUUMS)]);
        }
    }
    if let Some(row) = table.first() {
        row.put(out, &[("db.namespace", database)], &[("tables", &TABLES)]);
    }
}

fn put_indexes(database: &str, table: &Table, out: &mut Samples) {
    for row in table.rows() {
        let (Some(schema), Some(name), Some(index)) = (row.text("nspname"), row.text("relname"), row.text("index"))
        else {
            continue;
        };
        let own = [
            ("db.namespace", database),
            ("postgresql.schema.name", schema),
            ("db.collection.name", name),
            ("postgresql.index.name", index),
        ];
        row.put(out, &own, &[("size", &INDEX_SIZE), ("idx_scan", &INDEX_SCANS)]);
    }
}
