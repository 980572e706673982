//! pgbouncer's pools: who waits, for how long, and how full each pool is. From its admin console, which speaks the
//! simple protocol only.
//!
//! Rights: `stats_users = plimsoll` in `pgbouncer.ini`. Cost: five SHOW statements in a round, answered from memory.
//! The names are our own, after the columns; what the console counts in microseconds is in seconds here.

use async_trait::async_trait;

use super::postgres::session::{Session, Target};
use super::postgres::table::{Row, Table};
use super::{CollectError, Collector};
use crate::base::http::shown;
use crate::signal::metrics::{Desc, Samples};

pub mod config;

/// Every metric.
pub const METRICS: &[Desc] = &[
    CLIENTS,
    WAITING,
    MAX_WAIT,
    SERVERS,
    POOL_SIZE,
    RESERVE_SIZE,
    DATABASE_CONNECTIONS,
    DATABASE_LIMIT,
    PAUSED,
    DISABLED,
    TRANSACTIONS,
    QUERIES,
    RECEIVED,
    SENT,
    TRANSACTION_TIME,
    QUERY_TIME,
    WAIT_TIME,
    ASSIGNMENTS,
    ALL_CLIENTS,
    CLIENT_LIMIT,
];
const CLIENTS: Desc =
    Desc::gauge("pgbouncer.client.connections", "{connection}", "Client connections of a pool, by state.");
const WAITING: Desc = Desc::gauge(
    "pgbouncer.client.waiting",
    "{connection}",
    "Clients that have sent a query and wait for a server connection: above 0 for long, the pool is too small.",
);
const MAX_WAIT: Desc =
    Desc::gauge("pgbouncer.client.wait.max", "s", "How long the client that waits longest has waited.");
const SERVERS: Desc =
    Desc::gauge("pgbouncer.server.connections", "{connection}", "Server connections of a pool, by state.");
const POOL_SIZE: Desc =
    Desc::gauge("pgbouncer.pool.size", "{connection}", "Server connections that each pool of the database may have.");
const RESERVE_SIZE: Desc =
    Desc::gauge("pgbouncer.pool.reserve", "{connection}", "Further server connections for when clients wait long.");
const DATABASE_CONNECTIONS: Desc =
    Desc::gauge("pgbouncer.database.connections", "{connection}", "Server connections of the database.");
const DATABASE_LIMIT: Desc = Desc::gauge(
    "pgbouncer.database.connections.limit",
    "{connection}",
    "Most server connections of the database; absent without a limit.",
);
const PAUSED: Desc = Desc::gauge("pgbouncer.database.paused", "", "1 while the database is paused.");
const DISABLED: Desc = Desc::gauge("pgbouncer.database.disabled", "", "1 while the database takes no new clients.");
const TRANSACTIONS: Desc =
    Desc::counter("pgbouncer.transactions", "{transaction}", "Transactions that were passed on.");
const QUERIES: Desc = Desc::counter("pgbouncer.queries", "{query}", "Queries that were passed on.");
const RECEIVED: Desc = Desc::counter("pgbouncer.client.received", "By", "Bytes that clients sent.");
const SENT: Desc = Desc::counter("pgbouncer.client.sent", "By", "Bytes that were sent to clients.");
const TRANSACTION_TIME: Desc =
    Desc::counter("pgbouncer.transaction.time", "s", "Time of server connections inside transactions.");
const QUERY_TIME: Desc = Desc::counter("pgbouncer.query.time", "s", "Time of server connections at queries.");
const WAIT_TIME: Desc =
    Desc::counter("pgbouncer.client.wait.time", "s", "Time that clients waited for a server connection.");
const ASSIGNMENTS: Desc = Desc::counter(
    "pgbouncer.server.assignments",
    "{assignment}",
    "Server connections that were given to clients; absent before 1.23.",
);
const ALL_CLIENTS: Desc = Desc::gauge("pgbouncer.clients", "{connection}", "Client connections over all pools.");
const CLIENT_LIMIT: Desc =
    Desc::gauge("pgbouncer.clients.limit", "{connection}", "Most client connections: max_client_conn.");

/// One pgbouncer.
pub struct Pgbouncer {
    target: Target,
    session: Option<Session>,
    version: String,
}

impl Pgbouncer {
    /// Connects in its first round. The address names the database `pgbouncer`.
    pub fn new(target: Target) -> Self {
        Self { target, session: None, version: String::new() }
    }
}

#[async_trait]
impl Collector for Pgbouncer {
    async fn collect(&mut self, out: &mut Samples) -> Result<(), CollectError> {
        // Taken out: a round that is given up leaves no connection that still has an answer to come.
        let session = match self.session.take() {
            Some(session) => session,
            None => {
                let session = self.target.connect(None).await.map_err(denied)?;
                let version = session.ask("SHOW VERSION").await?;
                self.version = shown(version.first().and_then(|row| row.text("version")).unwrap_or_default());
                session
            }
        };
        put_pools(&session.ask("SHOW POOLS").await?, out);
        put_databases(&session.ask("SHOW DATABASES").await?, out);
        put_stats(&session.ask("SHOW STATS").await?, out);
        put_lists(&session.ask("SHOW LISTS").await?, out);
        put_config(&session.ask("SHOW CONFIG").await?, out);
        self.session = Some(session);
        Ok(())
    }

    fn detail(&self) -> String {
        self.version.clone()
    }
}

/// pgbouncer has no code of its own for a user who may not look at its console.
fn denied(error: CollectError) -> CollectError {
    match error {
        CollectError::Connect(why) if why.contains(": not allowed (08P01)") => {
            CollectError::Denied(format!("{why}: `stats_users` in pgbouncer.ini names who may look"))
        }
        other => other,
    }
}

/// The console itself is a pool and a database too; it is no news.
fn is_console(row: Row<'_>, column: &str) -> bool {
    row.text(column) == Some("pgbouncer")
}

fn put_pools(table: &Table, out: &mut Samples) {
    for row in table.rows().filter(|row| !is_console(*row, "database")) {
        let (Some(database), Some(user)) = (row.text("database"), row.text("user")) else { continue };
        let own = [("db.namespace", database), ("user.name", user)];
        row.put(out, &own, &[("cl_waiting", &WAITING)]);
        let wait = row.float("maxwait").unwrap_or(0.0) + row.float("maxwait_us").unwrap_or(0.0) / 1e6;
        out.put_with(&MAX_WAIT, &own, wait);
        for (state, column) in [("active", "cl_active"), ("waiting", "cl_waiting")] {
            row.put(out, &[own[0], own[1], ("state", state)], &[(column, &CLIENTS)]);
        }
        let states = [
            ("active", "sv_active"),
            ("idle", "sv_idle"),
            ("used", "sv_used"),
            ("tested", "sv_tested"),
            ("login", "sv_login"),
        ];
        for (state, column) in states {
            row.put(out, &[own[0], own[1], ("state", state)], &[(column, &SERVERS)]);
        }
    }
}

fn put_databases(table: &Table, out: &mut Samples) {
    for row in table.rows().filter(|row| !is_console(*row, "name")) {
        let Some(database) = row.text("name") else { continue };
        let own = [("db.namespace", database)];
        // 1.23 and later say `reserve_pool_size`.
        let reserve = if row.text("reserve_pool").is_some() { "reserve_pool" } else { "reserve_pool_size" };
        let columns = [
            ("pool_size", &POOL_SIZE),
            (reserve, &RESERVE_SIZE),
            ("current_connections", &DATABASE_CONNECTIONS),
            ("paused", &PAUSED),
            ("disabled", &DISABLED),
        ];
        row.put(out, &own, &columns);
        if row.float("max_connections").is_some_and(|limit| limit > 0.0) {
            row.put(out, &own, &[("max_connections", &DATABASE_LIMIT)]);
        }
    }
}

fn put_stats(table: &Table, out: &mut Samples) {
    for row in table.rows().filter(|row| !is_console(*row, "database")) {
        let Some(database) = row.text("database") else { continue };
        let own = [("db.namespace", database)];
        let counts = [
            ("total_xact_count", &TRANSACTIONS),
            ("total_query_count", &QUERIES),
            ("total_received", &RECEIVED),
            ("total_sent", &SENT),
            ("total_server_assignment_count", &ASSIGNMENTS),
        ];
        row.put(out, &own, &counts);
        let times = [
            ("total_xact_time", &TRANSACTION_TIME),
            ("total_query_time", &QUERY_TIME),
            ("total_wait_time", &WAIT_TIME),
        ];
        for (column, desc) in times {
            if let Some(micros) = row.float(column) {
                out.put_with(desc, &own, micros / 1e6);
            }
        }
    }
}

fn put_lists(table: &Table, out: &mut Samples) {
    let used = table.rows().find(|row| row.text("list") == Some("used_clients"));
    if let Some(row) = used {
        row.put(out, &[], &[("items", &ALL_CLIENTS)]);
    }
}

fn put_config(table: &Table, out: &mut Samples) {
    let limit = table.rows().find(|row| row.text("key") == Some("max_client_conn"));
    if let Some(row) = limit {
        row.put(out, &[], &[("value", &CLIENT_LIMIT)]);
    }
}
