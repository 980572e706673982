//! Who is connected, who waits, who holds up whom: `pg_stat_activity` and `pg_locks`.

use super::Round;
use super::table::Table;
use crate::collect::CollectError;
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[
    CONNECTIONS,
    WAITS,
    LONGEST_TRANSACTION,
    LONGEST_IDLE,
    LONGEST_QUERY,
    BLOCKED,
    LONGEST_WAIT,
    BLOCKING,
    LOCKS,
    AUTOVACUUM_WORKERS,
];
const CONNECTIONS: Desc = Desc::updown(
    "postgresql.connection.count",
    "{connection}",
    "Client connections by state; all of them count against postgresql.connection.max.",
);
const WAITS: Desc =
    Desc::gauge("postgresql.wait.sessions", "{session}", "Client sessions at work that wait, by what they wait for.");
const LONGEST_TRANSACTION: Desc =
    Desc::gauge("postgresql.transaction.age.max", "s", "Age of the oldest transaction that a client has open.");
const LONGEST_IDLE: Desc = Desc::gauge(
    "postgresql.transaction.idle.max",
    "s",
    "Longest time for which a client has been idle inside a transaction.",
);
const LONGEST_QUERY: Desc = Desc::gauge("postgresql.query.age.max", "s", "Age of the oldest query that runs now.");
const BLOCKED: Desc = Desc::gauge("postgresql.session.blocked", "{session}", "Sessions that wait for a lock.");
const LONGEST_WAIT: Desc =
    Desc::gauge("postgresql.lock.wait.max", "s", "Longest time for which a session has waited for a lock.");
const BLOCKING: Desc = Desc::gauge(
    "postgresql.session.blocking",
    "{session}",
    "Sessions that hold a lock for which others wait, and wait for none themselves: the heads of the chains.",
);
const LOCKS: Desc =
    Desc::gauge("postgresql.database.locks", "{lock}", "Locks that are held or wanted, by mode and type.");
const AUTOVACUUM_WORKERS: Desc = Desc::gauge(
    "postgresql.autovacuum.workers",
    "{worker}",
    "Autovacuum workers that run; postgresql.autovacuum.workers.limit is the most there can be.",
);

/// One pass over `pg_stat_activity`, one over `pg_locks`. The agent's own session does not count.
pub(super) async fn read(round: &mut Round<'_>, out: &mut Samples) -> Result<(), CollectError> {
    put_sessions(&round.ask(SESSIONS).await?, out);
    put_workers(&round.ask(WORKERS).await?, out);
    put_locks(&round.ask(LOCK_COUNTS).await?, out);
    // Chains are looked for only when somebody waits: pg_blocking_pids takes the lock manager's locks.
    let blocked =
        if has_waiting(&round.ask(WAITING).await?, out) { round.ask(CHAINS).await? } else { Table::default() };
    put_chains(&blocked, out);
    round.blocked(blocked);
    Ok(())
}

/// A client that is still being let in takes a place and has no database yet.
const SESSIONS: &str = "SELECT coalesce(datname, 'unknown') AS datname, coalesce(state, 'unknown') AS state, \
    CASE WHEN state = 'active' THEN wait_event_type END AS wait_type, \
    CASE WHEN state = 'active' THEN wait_event END AS wait_event, count(*) AS count, \
    max(extract(epoch FROM clock_timestamp() - xact_start)) AS transaction_age, \
    max(extract(epoch FROM clock_timestamp() - state_change)) AS state_age, \
    max(extract(epoch FROM clock_timestamp() - query_start)) AS query_age \
    FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() \
    GROUP BY 1, 2, 3, 4";

const WORKERS: &str = "SELECT count(*) AS count FROM pg_catalog.pg_stat_activity \
    WHERE backend_type = 'autovacuum worker'";

const LOCK_COUNTS: &str = "SELECT coalesce(d.datname, '') AS datname, l.locktype, l.mode, count(*) AS count \
    FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_database d ON d.oid = l.database \
    WHERE l.pid IS DISTINCT FROM pg_backend_pid() GROUP BY 1, 2, 3";

/// `waitstart` is there since 14. Who waits for an advisory lock is idle by the application's own plan, as those are who
/// wait to become its leader.
const WAITING: &str = "SELECT count(DISTINCT pid) AS count, \
    max(extract(epoch FROM clock_timestamp() - waitstart)) AS wait FROM pg_catalog.pg_locks \
    WHERE NOT granted AND locktype <> 'advisory'";

/// Who blocks is asked once for each of those who wait longest, and not for each session that they are compared with.
const CHAINS: &str = "SELECT a.pid, coalesce(a.datname, '') AS datname, coalesce(a.usename, '') AS usename, \
    coalesce(a.application_name, '') AS application_name, a.wait_event, a.state, \
    array_to_string(l.blockers, ',') AS blocked_by, \
    extract(epoch FROM clock_timestamp() - coalesce(l.waitstart, a.state_change)) AS wait, \
    left(a.query, 4096) AS query, b.pid AS blocker, coalesce(b.usename, '') AS blocker_user, \
    coalesce(b.application_name, '') AS blocker_application, b.state AS blocker_state, \
    extract(epoch FROM clock_timestamp() - b.xact_start) AS blocker_transaction_age, \
    left(b.query, 4096) AS blocker_query \
    FROM (SELECT w.pid, w.waitstart, pg_blocking_pids(w.pid) AS blockers FROM \
          (SELECT pid, min(waitstart) AS waitstart FROM pg_catalog.pg_locks \
           WHERE NOT granted AND locktype <> 'advisory' GROUP BY pid ORDER BY 2 LIMIT 50) w OFFSET 0) l \
    JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
    LEFT JOIN pg_catalog.pg_stat_activity b ON b.pid = l.blockers[1] ORDER BY wait DESC";

fn put_sessions(table: &Table, out: &mut Samples) {
    let (mut transaction, mut idle, mut query) = (0.0_f64, 0.0_f64, 0.0_f64);
    let mut states: Vec<(&str, &str, f64)> = Vec::new();
    let mut waits: Vec<(&str, &str, f64)> = Vec::new();
    for row in table.rows() {
        let (Some(database), Some(state)) = (row.text("datname"), row.text("state")) else { continue };
        let count = row.float("count").unwrap_or(0.0);
        add(&mut states, (database, state), count);
        if let (Some(kind), Some(event)) = (row.text("wait_type"), row.text("wait_event")) {
            add(&mut waits, (kind, event), count);
        }
        let age = |column| row.float(column).unwrap_or(0.0);
        // A session that is idle keeps the start of its last query, and of no transaction.
        transaction = transaction.max(age("transaction_age"));
        if state.starts_with("idle in transaction") {
            idle = idle.max(age("state_age"));
        }
        if state == "active" {
            query = query.max(age("query_age"));
        }
    }
    for (database, state, count) in states {
        out.put_with(&CONNECTIONS, &[("db.namespace", database), ("state", state)], count);
    }
    for (kind, event, count) in waits {
        out.put_with(&WAITS, &[("type", kind), ("event", event)], count);
    }
    out.put(&LONGEST_TRANSACTION, transaction);
    out.put(&LONGEST_IDLE, idle);
    out.put(&LONGEST_QUERY, query);
}

fn add<'a>(sums: &mut Vec<(&'a str, &'a str, f64)>, key: (&'a str, &'a str), count: f64) {
    match sums.iter_mut().find(|(a, b, _)| (*a, *b) == key) {
        Some(sum) => sum.2 += count,
        None => sums.push((key.0, key.1, count)),
    }
}

fn put_workers(table: &Table, out: &mut Samples) {
    if let Some(row) = table.first() {
        row.put(out, &[], &[("count", &AUTOVACUUM_WORKERS)]);
    }
}

fn put_locks(table: &Table, out: &mut Samples) {
    for row in table.rows() {
        let (Some(database), Some(kind), Some(mode)) = (row.text("datname"), row.text("locktype"), row.text("mode"))
        else {
            continue;
        };
        let attributes = [("db.namespace", database), ("lock_type", kind), ("mode", mode)];
        row.put(out, &attributes, &[("count", &LOCKS)]);
    }
}

fn has_waiting(table: &Table, out: &mut Samples) -> bool {
    let Some(row) = table.first() else { return false };
    row.put(out, &[], &[("count", &BLOCKED)]);
    out.put(&LONGEST_WAIT, row.float("wait").unwrap_or(0.0));
    row.float("count").is_some_and(|count| count > 0.0)
}

/// The heads: those who block and are not blocked.
fn put_chains(table: &Table, out: &mut Samples) {
    let waiting: Vec<&str> = table.rows().filter_map(|row| row.text("pid")).collect();
    let mut heads: Vec<&str> = table
        .rows()
        .filter_map(|row| row.text("blocked_by"))
        .flat_map(|pids| pids.split(','))
        .filter(|pid| !pid.is_empty() && *pid != "0" && !waiting.contains(pid))
        .collect();
    heads.sort_unstable();
    heads.dedup();
    out.put(&BLOCKING, heads.len());
}
