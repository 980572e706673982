//! Work of each database: `pg_stat_database`, its size, and how near the numbers of transactions are to their end.

use super::Round;
use super::table::Table;
use crate::collect::CollectError;
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[
    BACKENDS,
    COMMITS,
    ROLLBACKS,
    BLOCKS_HIT,
    BLOCKS_READ,
    RETURNED,
    FETCHED,
    INSERTED,
    UPDATED,
    DELETED,
    TEMP_FILES,
    TEMP_BYTES,
    DEADLOCKS,
    CHECKSUM_FAILURES,
    BLOCK_TIME,
    SESSIONS,
    SESSION_TIME,
    FREEZE_AGE,
    MULTIXACT_AGE,
    SIZE,
    COUNT,
    CONFLICTS,
];
const BACKENDS: Desc = Desc::updown("postgresql.backends", "1", "Backends of each database, of every type and state.");
const COMMITS: Desc = Desc::counter("postgresql.commits", "1", "Transactions that were committed.");
const ROLLBACKS: Desc = Desc::counter("postgresql.rollbacks", "1", "Transactions that were rolled back.");
const BLOCKS_HIT: Desc =
    Desc::counter("postgresql.blks_hit", "{blks_hit}", "Blocks that were found in the buffer cache.");
const BLOCKS_READ: Desc =
    Desc::counter("postgresql.blks_read", "{blks_read}", "Blocks that had to be read, from disk or its cache.");
const RETURNED: Desc = Desc::counter("postgresql.tup_returned", "{tup_returned}", "Rows that scans went over.");
const FETCHED: Desc = Desc::counter("postgresql.tup_fetched", "{tup_fetched}", "Rows that index scans fetched.");
const INSERTED: Desc = Desc::counter("postgresql.tup_inserted", "{tup_inserted}", "Rows that were inserted.");
const UPDATED: Desc = Desc::counter("postgresql.tup_updated", "{tup_updated}", "Rows that were updated.");
const DELETED: Desc = Desc::counter("postgresql.tup_deleted", "{tup_deleted}", "Rows that were deleted.");
const TEMP_FILES: Desc = Desc::counter(
    "postgresql.temp_files",
    "{temp_file}",
    "Temporary files: sorts and hashes that work_mem had no room for.",
);
const TEMP_BYTES: Desc = Desc::counter("postgresql.temp.io", "By", "Bytes written to temporary files.");
const DEADLOCKS: Desc = Desc::counter("postgresql.deadlocks", "{deadlock}", "Deadlocks that were broken.");
const CHECKSUM_FAILURES: Desc = Desc::counter(
    "postgresql.checksum.failures",
    "{failure}",
    "Pages whose checksum was wrong; absent without checksums.",
);
const BLOCK_TIME: Desc = Desc::counter(
    "postgresql.block.io.time",
    "s",
    "Time for reading and writing blocks; absent while track_io_timing is off.",
);
const SESSIONS: Desc =
    Desc::counter("postgresql.sessions", "{session}", "Sessions that were begun, and that ended badly.");
const SESSION_TIME: Desc =
    Desc::counter("postgresql.session.time", "s", "Time of sessions: at work, and idle inside transactions.");
const FREEZE_AGE: Desc = Desc::gauge(
    "postgresql.database.freeze.age",
    "{transaction}",
    "Transactions since the oldest row that is not frozen; near 2.1 thousand million the server stops writing.",
);
const MULTIXACT_AGE: Desc = Desc::gauge(
    "postgresql.database.multixact.age",
    "{multixact}",
    "Multixacts since the oldest one that is not frozen; near 2.1 thousand million the server stops writing.",
);
const SIZE: Desc = Desc::gauge("postgresql.db_size", "By", "Size of the database on disk, read every five minutes.");
const COUNT: Desc = Desc::updown("postgresql.database.count", "{databases}", "Databases that can be connected to.");
const CONFLICTS: Desc = Desc::counter(
    "postgresql.conflicts",
    "{query}",
    "Queries on a standby that were cancelled because the primary's changes had to be replayed.",
);

/// `pg_stat_database` in every round, the size (which looks at every file) in a slow one.
pub(super) async fn read(round: &mut Round<'_>, out: &mut Samples) -> Result<(), CollectError> {
    put(&round.ask(STATS).await?, out);
    if round.standby() {
        put_conflicts(&round.ask(STANDBY).await?, out);
    }
    if round.slow() {
        let sizes = round.ask(SIZES).await?;
        round.keep_sizes(sizes);
    }
    put_sizes(round.sizes(), out);
    Ok(())
}

const STATS: &str = "SELECT d.datname, s.numbackends, s.xact_commit, s.xact_rollback, s.blks_read, s.blks_hit, \
    s.tup_returned, s.tup_fetched, s.tup_inserted, s.tup_updated, s.tup_deleted, s.temp_files, s.temp_bytes, \
    s.deadlocks, s.checksum_failures, s.blk_read_time, s.blk_write_time, s.sessions, s.sessions_abandoned, \
    s.sessions_fatal, s.sessions_killed, s.active_time, s.idle_in_transaction_time, \
    current_setting('track_io_timing') AS timing, age(d.datfrozenxid) AS freeze_age, \
    mxid_age(d.datminmxid) AS multixact_age FROM pg_catalog.pg_database d \
    LEFT JOIN pg_catalog.pg_stat_database s ON s.datid = d.oid WHERE d.datallowconn ORDER BY d.oid LIMIT 500";

const STANDBY: &str = "SELECT datname, confl_tablespace, confl_lock, confl_snapshot, confl_bufferpin, confl_deadlock \
    FROM pg_catalog.pg_stat_database_conflicts";

const SIZES: &str = "SELECT datname, pg_database_size(oid) AS size FROM pg_catalog.pg_database \
    WHERE datallowconn AND has_database_privilege(oid, 'CONNECT') ORDER BY oid LIMIT 500";

fn put(table: &Table, out: &mut Samples) {
    for row in table.rows() {
        let Some(database) = row.text("datname") else { continue };
        let own = [("db.namespace", database)];
        row.put(
            out,
            &own,
            &[
                ("numbackends", &BACKENDS),
                ("xact_commit", &COMMITS),
                ("xact_rollback", &ROLLBACKS),
                ("blks_hit", &BLOCKS_HIT),
                ("blks_read", &BLOCKS_READ),
                ("tup_returned", &RETURNED),
                ("tup_fetched", &FETCHED),
                ("tup_inserted", &INSERTED),
                ("tup_updated", &UPDATED),
                ("tup_deleted", &DELETED),
                ("temp_files", &TEMP_FILES),
                ("temp_bytes", &TEMP_BYTES),
                ("deadlocks", &DEADLOCKS),
                ("checksum_failures", &CHECKSUM_FAILURES),
                ("freeze_age", &FREEZE_AGE),
                ("multixact_age", &MULTIXACT_AGE),
            ],
        );
        let with = |name: &'static str, value: &'static str| [("db.namespace", database), (name, value)];
        if row.text("timing") == Some("on") {
            row.put_millis(out, &with("operation", "read"), &[("blk_read_time", &BLOCK_TIME)]);
            row.put_millis(out, &with("operation", "write"), &[("blk_write_time", &BLOCK_TIME)]);
        }
        row.put(out, &with("result", "begun"), &[("sessions", &SESSIONS)]);
        row.put(out, &with("result", "abandoned"), &[("sessions_abandoned", &SESSIONS)]);
        row.put(out, &with("result", "fatal"), &[("sessions_fatal", &SESSIONS)]);
        row.put(out, &with("result", "killed"), &[("sessions_killed", &SESSIONS)]);
        row.put_millis(out, &with("state", "active"), &[("active_time", &SESSION_TIME)]);
        let idle = with("state", "idle in transaction");
        row.put_millis(out, &idle, &[("idle_in_transaction_time", &SESSION_TIME)]);
    }
    out.put(&COUNT, table.len());
}

fn put_conflicts(table: &Table, out: &mut Samples) {
    const KINDS: [&str; 5] = ["tablespace", "lock", "snapshot", "bufferpin", "deadlock"];
    for row in table.rows() {
        let Some(database) = row.text("datname") else { continue };
        for kind in KINDS {
            let column = format!("confl_{kind}");
            row.put(out, &[("db.namespace", database), ("type", kind)], &[(&column, &CONFLICTS)]);
        }
    }
}

fn put_sizes(table: &Table, out: &mut Samples) {
    for row in table.rows() {
        let Some(database) = row.text("datname") else { continue };
        row.put(out, &[("db.namespace", database)], &[("size", &SIZE)]);
    }
}
