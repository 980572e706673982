//! Replicas, slots and subscriptions, as the primary and as the standby see them.

use super::Round;
use super::table::Table;
use crate::collect::CollectError;
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[
    IS_STANDBY,
    TIMELINE,
    DATA_DELAY,
    DELAY,
    STATE,
    SLOT_RETAINED,
    SLOT_SAFE,
    SLOT_ACTIVE,
    SLOT_IDLE,
    SLOT_LOST,
    REPLAY_DELAY,
    REPLAY_BYTES,
    MIN_APPLY_DELAY,
    RECEIVER,
    SUBSCRIPTION_WORKERS,
    SUBSCRIPTION_DELAY,
    SUBSCRIPTION_ERRORS,
];
const IS_STANDBY: Desc = Desc::gauge(
    "postgresql.standby",
    "",
    "1 on a standby, 0 on a primary: a change is a failover, two zeros of one cluster are two primaries.",
);
const TIMELINE: Desc = Desc::gauge(
    "postgresql.timeline",
    "",
    "Timeline that is written or received: each promotion begins a new one, and a cluster is on one.",
);
const DATA_DELAY: Desc = Desc::gauge(
    "postgresql.replication.data_delay",
    "By",
    "On the primary: WAL that the replica has not replayed yet.",
);
const DELAY: Desc = Desc::gauge(
    "postgresql.wal.delay",
    "s",
    "On the primary: time until the newest WAL was written, flushed and replayed by the replica; absent when idle.",
);
const STATE: Desc =
    Desc::gauge("postgresql.replication.state", "", "On the primary: 1 for the state that the replica is in.");
const SLOT_RETAINED: Desc =
    Desc::gauge("postgresql.replication.slot.retained", "By", "WAL that is kept on disk for the slot.");
const SLOT_SAFE: Desc = Desc::gauge(
    "postgresql.replication.slot.safe",
    "By",
    "WAL that can be written until the slot is lost; absent without max_slot_wal_keep_size.",
);
const SLOT_ACTIVE: Desc = Desc::gauge("postgresql.replication.slot.active", "", "1 while the slot is in use.");
const SLOT_IDLE: Desc = Desc::gauge(
    "postgresql.replication.slot.inactive",
    "s",
    "How long the slot has not been in use; absent while it is, and before 17.",
);
const SLOT_LOST: Desc =
    Desc::gauge("postgresql.replication.slot.lost", "", "1 when the WAL that the slot needs is gone.");
const REPLAY_DELAY: Desc = Desc::gauge(
    "postgresql.replay.delay",
    "s",
    "On a standby: age of what was replayed last; 0 only while it streams and has replayed all it received.",
);
const REPLAY_BYTES: Desc =
    Desc::gauge("postgresql.replay.behind", "By", "On a standby: WAL that was received and is not replayed yet.");
const MIN_APPLY_DELAY: Desc =
    Desc::gauge("postgresql.recovery.min_apply_delay", "s", "On a standby: how late it is on purpose.");
const RECEIVER: Desc = Desc::gauge("postgresql.wal.receiver.streaming", "", "On a standby: 1 while it streams.");
const SUBSCRIPTION_WORKERS: Desc =
    Desc::gauge("postgresql.subscription.workers", "{worker}", "Workers of the subscription that run; 0: it stands.");
const SUBSCRIPTION_DELAY: Desc =
    Desc::gauge("postgresql.subscription.delay", "s", "Time since the publisher reported its end of the WAL.");
const SUBSCRIPTION_ERRORS: Desc =
    Desc::counter("postgresql.subscription.errors", "{error}", "Errors while applying and copying; since 15.");

/// Primary and standby answer different questions; a standby may have replicas of its own.
pub(super) async fn read(round: &mut Round<'_>, out: &mut Samples) -> Result<(), CollectError> {
    out.put(&IS_STANDBY, u64::from(round.standby()));
    let (mut replicas, mut slots) = (REPLICAS.to_owned(), SLOTS.to_owned());
    if round.version() >= 170_000 {
        slots = slots.replace("NULL AS idle", "extract(epoch FROM clock_timestamp() - inactive_since) AS idle");
    }
    let standing = round.ask(if round.standby() { REPLAY } else { CURRENT }).await?;
    put_standing(&standing, out);
    if round.standby() {
        (replicas, slots) = (replicas.replace(NOW, REPLAYED), slots.replace(NOW, REPLAYED));
    }
    put_replicas(&round.ask(&replicas).await?, out);
    put_slots(&round.ask(&slots).await?, out);
    // A standby has the rows of its primary's subscriptions and none of their workers.
    if round.standby() {
        return Ok(());
    }
    put_subscriptions(&round.ask(SUBSCRIPTIONS).await?, out);
    if round.version() >= 150_000 {
        put_errors(&round.ask(SUBSCRIPTION_STATS).await?, out);
    }
    Ok(())
}

/// The end of the WAL on a primary; a standby has none of its own.
const NOW: &str = "pg_current_wal_lsn()";
const REPLAYED: &str = "pg_last_wal_replay_lsn()";

const REPLICAS: &str = "SELECT coalesce(application_name, '') AS application, \
    coalesce(host(client_addr), 'unix') AS client, state, sync_state, \
    pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) AS behind, extract(epoch FROM write_lag) AS write, \
    extract(epoch FROM flush_lag) AS flush, extract(epoch FROM replay_lag) AS replay \
    FROM pg_catalog.pg_stat_replication ORDER BY 1, 2 LIMIT 100";

const SLOTS: &str = "SELECT slot_name, slot_type, active, coalesce(wal_status, '') AS wal_status, safe_wal_size, \
    NULL AS idle, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) AS retained FROM pg_catalog.pg_replication_slots \
    ORDER BY 1 LIMIT 100";

/// The timeline is the first part of the name of the file that is written.
const CURRENT: &str = "SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int AS timeline";

/// A standby that replayed all it received is up to date only while it receives: else nobody knows.
const REPLAY: &str = "SELECT coalesce(r.status = 'streaming', false) AS streaming, \
    r.received_tli AS timeline, (SELECT setting::float8 / 1000 FROM pg_catalog.pg_settings \
      WHERE name = 'recovery_min_apply_delay') AS min_apply_delay, \
    pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) AS behind, \
    CASE WHEN r.status = 'streaming' AND pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0 \
      ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END AS delay \
    FROM (SELECT 1) one LEFT JOIN pg_catalog.pg_stat_wal_receiver r ON true";

const SUBSCRIPTIONS: &str = "SELECT subname, count(pid) AS workers, \
    max(extract(epoch FROM clock_timestamp() - latest_end_time)) AS delay FROM pg_catalog.pg_stat_subscription \
    GROUP BY 1 ORDER BY 1 LIMIT 100";

const SUBSCRIPTION_STATS: &str = "SELECT subname, apply_error_count, sync_error_count \
    FROM pg_catalog.pg_stat_subscription_stats ORDER BY 1 LIMIT 100";

fn put_replicas(table: &Table, out: &mut Samples) {
    for row in table.rows() {
        let (Some(application), Some(client)) = (row.text("application"), row.text("client")) else { continue };
        let own = [("application", application), ("replication_client", client)];
        row.put(out, &own, &[("behind", &DATA_DELAY)]);
        for operation in ["write", "flush", "replay"] {
            let with = [own[0], own[1], ("operation", operation)];
            row.put(out, &with, &[(operation, &DELAY)]);
        }
        let state = row.text("state").unwrap_or_default();
        let sync = row.text("sync_state").unwrap_or_default();
        out.put_with(&STATE, &[own[0], own[1], ("state", state), ("sync_state", sync)], 1_u64);
    }
}

fn put_slots(table: &Table, out: &mut Samples) {
    for row in table.rows() {
        let (Some(slot), Some(kind)) = (row.text("slot_name"), row.text("slot_type")) else { continue };
        let own = [("slot", slot), ("type", kind)];
        row.put(out, &own, &[("retained", &SLOT_RETAINED), ("safe_wal_size", &SLOT_SAFE), ("active", &SLOT_ACTIVE)]);
        row.put(out, &own, &[("idle", &SLOT_IDLE)]);
        out.put_with(&SLOT_LOST, &own, u64::from(row.text("wal_status") == Some("lost")));
    }
}

fn put_standing(table: &Table, out: &mut Samples) {
    let Some(row) = table.first() else { return };
    row.put(out, &[], &[("streaming", &RECEIVER), ("behind", &REPLAY_BYTES), ("delay", &REPLAY_DELAY)]);
    row.put(out, &[], &[("timeline", &TIMELINE), ("min_apply_delay", &MIN_APPLY_DELAY)]);
}

fn put_subscriptions(table: &Table, out: &mut Samples) {
    for row in table.rows() {
        let Some(name) = row.text("subname") else { continue };
        let own = [("subscription", name)];
        row.put(out, &own, &[("workers", &SUBSCRIPTION_WORKERS), ("delay", &SUBSCRIPTION_DELAY)]);
    }
}

fn put_errors(table: &Table, out: &mut Samples) {
    for row in table.rows() {
        let Some(name) = row.text("subname") else { continue };
        for (kind, column) in [("apply", "apply_error_count"), ("sync", "sync_error_count")] {
            row.put(out, &[("subscription", name), ("type", kind)], &[(column, &SUBSCRIPTION_ERRORS)]);
        }
    }
}
