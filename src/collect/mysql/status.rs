//! `SHOW GLOBAL STATUS` and `SHOW GLOBAL VARIABLES`.

use std::collections::HashMap;

use super::number;
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[
    UPTIME,
    THREADS,
    CONNECTION_LIMIT,
    CONNECTION_PEAK,
    CONNECTION_COUNT,
    CONNECTION_ERRORS,
    COMMANDS,
    QUERIES,
    SLOW,
    HANDLERS,
    POOL_PAGES,
    POOL_DATA,
    POOL_USAGE,
    POOL_LIMIT,
    POOL_OPERATIONS,
    POOL_FLUSHES,
    DOUBLE_WRITES,
    LOG_OPERATIONS,
    OPERATIONS,
    PAGE_OPERATIONS,
    ROW_LOCKS,
    ROW_LOCK_TIME,
    ROW_LOCK_WAITING,
    ROW_OPERATIONS,
    LOCKS,
    SORTS,
    TMP,
    JOINS,
    NETWORK,
    OPENED,
    HISTORY,
    CHECKPOINT_AGE,
    CHECKPOINT_LIMIT,
    DEADLOCKS,
];
const UPTIME: Desc = Desc::counter("mysql.uptime", "s", "Seconds since the server started.");
const THREADS: Desc = Desc::updown("mysql.threads", "1", "Threads by kind; connected ones count against the limit.");
const CONNECTION_LIMIT: Desc =
    Desc::gauge("mysql.connection.limit", "{connection}", "Most connections: max_connections.");
const CONNECTION_PEAK: Desc =
    Desc::gauge("mysql.connection.peak", "{connection}", "Most connections at once since the start.");
const CONNECTION_COUNT: Desc = Desc::counter("mysql.connection.count", "1", "Tries to connect, successful or not.");
const CONNECTION_ERRORS: Desc =
    Desc::counter("mysql.connection.errors", "1", "Tries to connect that failed, by error.");
const COMMANDS: Desc = Desc::counter("mysql.commands", "1", "Statements by command.");
const QUERIES: Desc = Desc::counter("mysql.query.count", "{query}", "Statements that were executed.");
const SLOW: Desc =
    Desc::counter("mysql.query.slow.count", "{query}", "Statements that took longer than long_query_time.");
const HANDLERS: Desc =
    Desc::counter("mysql.handlers", "1", "Requests to handlers; read_rnd_next counts rows of full scans.");
const POOL_PAGES: Desc = Desc::updown("mysql.buffer_pool.pages", "1", "Pages of the buffer pool by kind.");
const POOL_DATA: Desc =
    Desc::updown("mysql.buffer_pool.data_pages", "1", "Data pages of the buffer pool, dirty and clean.");
const POOL_USAGE: Desc = Desc::updown("mysql.buffer_pool.usage", "By", "Bytes in the buffer pool, dirty and clean.");
const POOL_LIMIT: Desc = Desc::updown("mysql.buffer_pool.limit", "By", "Size of the buffer pool.");
const POOL_OPERATIONS: Desc = Desc::counter(
    "mysql.buffer_pool.operations",
    "1",
    "Operations on the buffer pool; reads by requests is the miss rate.",
);
const POOL_FLUSHES: Desc = Desc::counter("mysql.buffer_pool.page_flushes", "1", "Pages flushed from the buffer pool.");
const DOUBLE_WRITES: Desc = Desc::counter("mysql.double_writes", "1", "Writes to the doublewrite buffer.");
const LOG_OPERATIONS: Desc =
    Desc::counter("mysql.log_operations", "1", "Operations on the redo log; waits mean that its buffer is small.");
const OPERATIONS: Desc = Desc::counter("mysql.operations", "1", "InnoDB's reads, writes and fsyncs.");
const PAGE_OPERATIONS: Desc = Desc::counter("mysql.page_operations", "1", "Pages that were created, read and written.");
const ROW_LOCKS: Desc = Desc::counter("mysql.row_locks", "1", "Waits for row locks.");
const ROW_LOCK_TIME: Desc = Desc::counter("mysql.row_lock.time", "s", "Time spent waiting for row locks.");
const ROW_LOCK_WAITING: Desc = Desc::gauge("mysql.row_lock.waiting", "{wait}", "Waits for row locks at this moment.");
const ROW_OPERATIONS: Desc =
    Desc::counter("mysql.row_operations", "1", "Rows by operation; MariaDB 10.11 and later do not count them.");
const LOCKS: Desc = Desc::counter("mysql.locks", "1", "Table locks, got at once and waited for.");
const SORTS: Desc = Desc::counter("mysql.sorts", "1", "Sorts by kind.");
const TMP: Desc = Desc::counter("mysql.tmp_resources", "1", "Temporary tables and files; those on disk are slow.");
const JOINS: Desc = Desc::counter("mysql.joins", "1", "Joins that scan tables, by kind.");
const NETWORK: Desc = Desc::counter("mysql.client.network.io", "By", "Bytes from and to clients.");
const OPENED: Desc = Desc::counter("mysql.opened_resources", "1", "Opened files and tables.");
const HISTORY: Desc = Desc::gauge(
    "mysql.innodb.history.length",
    "{transaction}",
    "Transactions whose old versions are not purged: it grows while an old transaction is open.",
);
const CHECKPOINT_AGE: Desc =
    Desc::gauge("mysql.innodb.checkpoint.age", "By", "Redo log since the last checkpoint; MariaDB only.");
const CHECKPOINT_LIMIT: Desc =
    Desc::gauge("mysql.innodb.checkpoint.age.limit", "By", "Age at which writes wait for a checkpoint; MariaDB only.");
const DEADLOCKS: Desc = Desc::counter("mysql.innodb.deadlocks", "{deadlock}", "Deadlocks that were broken.");

/// A metric whose series differ in one attribute: its description, the attribute, and value and status name of each.
type Family = (&'static Desc, &'static str, &'static [(&'static str, &'static str)]);

/// What MySQL does not tell in its status and MariaDB does, under MariaDB's names.
pub(super) const INNODB: &str = "SELECT CASE NAME WHEN 'lock_deadlocks' THEN 'innodb_deadlocks' \
    ELSE 'innodb_history_list_length' END AS variable_name, `COUNT` AS value FROM information_schema.INNODB_METRICS \
    WHERE NAME IN ('lock_deadlocks', 'trx_rseg_history_len') AND STATUS = 'enabled'";

const PLAIN: &[(&str, &Desc)] = &[
    ("uptime", &UPTIME),
    ("max_used_connections", &CONNECTION_PEAK),
    ("connections", &CONNECTION_COUNT),
    ("queries", &QUERIES),
    ("slow_queries", &SLOW),
    ("innodb_buffer_pool_pages_flushed", &POOL_FLUSHES),
    ("innodb_row_lock_current_waits", &ROW_LOCK_WAITING),
    ("innodb_row_lock_waits", &ROW_LOCKS),
    ("innodb_history_list_length", &HISTORY),
    ("innodb_checkpoint_age", &CHECKPOINT_AGE),
    ("innodb_checkpoint_max_age", &CHECKPOINT_LIMIT),
    ("innodb_deadlocks", &DEADLOCKS),
];

const FAMILIES: &[Family] = &[
    (
        &THREADS,
        "kind",
        &[
            ("cached", "threads_cached"),
            ("connected", "threads_connected"),
            ("created", "threads_created"),
            ("running", "threads_running"),
        ],
    ),
    (
        &CONNECTION_ERRORS,
        "error",
        &[
            ("accept", "connection_errors_accept"),
            ("internal", "connection_errors_internal"),
            ("max_connections", "connection_errors_max_connections"),
            ("peer_address", "connection_errors_peer_address"),
            ("select", "connection_errors_select"),
            ("tcpwrap", "connection_errors_tcpwrap"),
            ("aborted", "aborted_connects"),
            ("aborted_clients", "aborted_clients"),
            ("locked", "locked_connects"),
        ],
    ),
    (
        &COMMANDS,
        "command",
        &[
            ("delete", "com_delete"),
            ("insert", "com_insert"),
            ("select", "com_select"),
            ("update", "com_update"),
            ("commit", "com_commit"),
            ("rollback", "com_rollback"),
        ],
    ),
    (
        &HANDLERS,
        "kind",
        &[
            ("commit", "handler_commit"),
            ("delete", "handler_delete"),
            ("read_first", "handler_read_first"),
            ("read_key", "handler_read_key"),
            ("read_next", "handler_read_next"),
            ("read_rnd", "handler_read_rnd"),
            ("read_rnd_next", "handler_read_rnd_next"),
            ("rollback", "handler_rollback"),
            ("update", "handler_update"),
            ("write", "handler_write"),
        ],
    ),
    (
        &POOL_PAGES,
        "kind",
        &[
            ("data", "innodb_buffer_pool_pages_data"),
            ("free", "innodb_buffer_pool_pages_free"),
            ("misc", "innodb_buffer_pool_pages_misc"),
        ],
    ),
    (
        &POOL_OPERATIONS,
        "operation",
        &[
            ("read_ahead", "innodb_buffer_pool_read_ahead"),
            ("read_ahead_evicted", "innodb_buffer_pool_read_ahead_evicted"),
            ("read_requests", "innodb_buffer_pool_read_requests"),
            ("reads", "innodb_buffer_pool_reads"),
            ("wait_free", "innodb_buffer_pool_wait_free"),
            ("write_requests", "innodb_buffer_pool_write_requests"),
        ],
    ),
    (&DOUBLE_WRITES, "kind", &[("pages_written", "innodb_dblwr_pages_written"), ("writes", "innodb_dblwr_writes")]),
    (
        &LOG_OPERATIONS,
        "operation",
        &[
            ("waits", "innodb_log_waits"),
            ("write_requests", "innodb_log_write_requests"),
            ("writes", "innodb_log_writes"),
        ],
    ),
    (
        &OPERATIONS,
        "operation",
        &[("fsyncs", "innodb_data_fsyncs"), ("reads", "innodb_data_reads"), ("writes", "innodb_data_writes")],
    ),
    (
        &PAGE_OPERATIONS,
        "operation",
        &[("created", "innodb_pages_created"), ("read", "innodb_pages_read"), ("written", "innodb_pages_written")],
    ),
    (
        &ROW_OPERATIONS,
        "operation",
        &[
            ("deleted", "innodb_rows_deleted"),
            ("inserted", "innodb_rows_inserted"),
            ("read", "innodb_rows_read"),
            ("updated", "innodb_rows_updated"),
        ],
    ),
    (&LOCKS, "kind", &[("immediate", "table_locks_immediate"), ("waited", "table_locks_waited")]),
    (
        &SORTS,
        "kind",
        &[("merge_passes", "sort_merge_passes"), ("range", "sort_range"), ("rows", "sort_rows"), ("scan", "sort_scan")],
    ),
    (
        &TMP,
        "resource",
        &[("disk_tables", "created_tmp_disk_tables"), ("files", "created_tmp_files"), ("tables", "created_tmp_tables")],
    ),
    (
        &JOINS,
        "kind",
        &[
            ("full", "select_full_join"),
            ("full_range", "select_full_range_join"),
            ("range", "select_range"),
            ("range_check", "select_range_check"),
            ("scan", "select_scan"),
        ],
    ),
    (&NETWORK, "kind", &[("received", "bytes_received"), ("sent", "bytes_sent")]),
    (
        &OPENED,
        "kind",
        &[("file", "opened_files"), ("table", "opened_tables"), ("table_definition", "opened_table_definitions")],
    ),
];

/// Puts what the server has; names differ between MySQL and MariaDB, and what is not there is absent.
pub(super) fn put(status: &HashMap<String, String>, variables: &HashMap<String, String>, out: &mut Samples) {
    for (name, desc) in PLAIN {
        if let Some(value) = number(status, name) {
            out.put(desc, value);
        }
    }
    for (desc, attribute, series) in FAMILIES {
        for (value, name) in *series {
            if let Some(count) = number(status, name) {
                out.put_with(desc, &[(attribute, value)], count);
            }
        }
    }
    for (name, desc) in [("max_connections", &CONNECTION_LIMIT), ("innodb_buffer_pool_size", &POOL_LIMIT)] {
        if let Some(value) = number(variables, name) {
            out.put(desc, value);
        }
    }
    if let Some(millis) = number(status, "innodb_row_lock_time") {
        out.put(&ROW_LOCK_TIME, millis / 1e3);
    }
    put_parts(
        out,
        &POOL_DATA,
        number(status, "innodb_buffer_pool_pages_data"),
        number(status, "innodb_buffer_pool_pages_dirty"),
    );
    put_parts(
        out,
        &POOL_USAGE,
        number(status, "innodb_buffer_pool_bytes_data"),
        number(status, "innodb_buffer_pool_bytes_dirty"),
    );
}

fn put_parts(out: &mut Samples, desc: &'static Desc, all: Option<f64>, dirty: Option<f64>) {
    if let (Some(all), Some(dirty)) = (all, dirty) {
        out.put_with(desc, &[("status", "dirty")], dirty);
        out.put_with(desc, &[("status", "clean")], (all - dirty).max(0.0));
    }
}
