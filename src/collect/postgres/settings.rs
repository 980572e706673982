//! The settings that are ceilings.

use super::Round;
use super::table::Table;
use crate::collect::CollectError;
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[
    MAX_CONNECTIONS,
    RESERVED,
    SHARED_BUFFERS,
    WORK_MEM,
    MAINTENANCE_WORK_MEM,
    MAX_WAL_SIZE,
    AUTOVACUUM_WORKERS,
    FREEZE_MAX_AGE,
    UPTIME,
];
const MAX_CONNECTIONS: Desc =
    Desc::gauge("postgresql.connection.max", "{connections}", "Most client connections that the server takes.");
const RESERVED: Desc = Desc::gauge(
    "postgresql.connection.reserved",
    "{connections}",
    "Those of them that only superusers (and from 16 on pg_use_reserved_connections) get.",
);
const SHARED_BUFFERS: Desc = Desc::gauge("postgresql.shared_buffers.limit", "By", "Size of the buffer cache.");
const WORK_MEM: Desc =
    Desc::gauge("postgresql.work_mem.limit", "By", "Memory that each sort or hash of each query may take.");
const MAINTENANCE_WORK_MEM: Desc =
    Desc::gauge("postgresql.maintenance_work_mem.limit", "By", "Memory of each vacuum and index build.");
const MAX_WAL_SIZE: Desc =
    Desc::gauge("postgresql.wal.size.limit", "By", "WAL between two checkpoints, about: max_wal_size.");
const AUTOVACUUM_WORKERS: Desc =
    Desc::gauge("postgresql.autovacuum.workers.limit", "{worker}", "Most autovacuum workers at once.");
const FREEZE_MAX_AGE: Desc = Desc::gauge(
    "postgresql.autovacuum.freeze.age.limit",
    "{transaction}",
    "Age at which a table is vacuumed against wraparound, whatever else.",
);
const UPTIME: Desc = Desc::gauge("postgresql.uptime", "s", "Time since the server started.");

/// One read.
pub(super) async fn read(round: &mut Round<'_>, out: &mut Samples) -> Result<(), CollectError> {
    put(&round.ask(SETTINGS).await?, out);
    Ok(())
}

/// What a new session gets, not what this one has: its own work_mem is small.
const SETTINGS: &str = "SELECT name, reset_val AS setting, coalesce(unit, '') AS unit FROM pg_catalog.pg_settings WHERE name IN \
    ('max_connections', 'superuser_reserved_connections', 'reserved_connections', 'shared_buffers', 'work_mem', \
    'maintenance_work_mem', 'max_wal_size', 'autovacuum_max_workers', 'autovacuum_freeze_max_age') \
    UNION ALL SELECT 'uptime', extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::text, ''";

fn put(table: &Table, out: &mut Samples) {
    let mut reserved = 0.0;
    for row in table.rows() {
        let (Some(name), Some(setting)) = (row.text("name"), row.float("setting")) else { continue };
        let value = setting * factor(row.text("unit").unwrap_or_default());
        let desc = match name {
            "max_connections" => &MAX_CONNECTIONS,
            "superuser_reserved_connections" | "reserved_connections" => {
                reserved += value;
                continue;
            }
            "shared_buffers" => &SHARED_BUFFERS,
            "work_mem" => &WORK_MEM,
            "maintenance_work_mem" => &MAINTENANCE_WORK_MEM,
            "max_wal_size" => &MAX_WAL_SIZE,
            "autovacuum_max_workers" => &AUTOVACUUM_WORKERS,
            "autovacuum_freeze_max_age" => &FREEZE_MAX_AGE,
            "uptime" => &UPTIME,
            _ => continue,
        };
        out.put(desc, value);
    }
    out.put(&RESERVED, reserved);
}

/// Bytes of a unit such as `8kB` or `MB`.
fn factor(unit: &str) -> f64 {
    let digits = unit.len() - unit.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (count, unit) = unit.split_at(digits);
    let bytes = match unit {
        "kB" => 1024.0,
        "MB" => 1024.0 * 1024.0,
        "GB" => 1024.0 * 1024.0 * 1024.0,
        _ => 1.0,
    };
    bytes * count.parse().unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_bytes() {
        assert_eq!(factor("8kB"), 8192.0);
        assert_eq!(factor("MB"), 1_048_576.0);
        assert_eq!(factor(""), 1.0);
        assert_eq!(factor("ms"), 1.0, "what is no size stays as it is");
    }
}
