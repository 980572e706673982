//! What is written: checkpoints, background writer, WAL, archiver, and `pg_stat_io`. Views differ from 16 on.

use super::Round;
use super::table::Table;
use crate::collect::CollectError;
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[
    CHECKPOINTS,
    CHECKPOINT_TIME,
    BUFFERS_WRITTEN,
    BUFFERS_ALLOCATED,
    MAX_WRITTEN,
    WAL_RECORDS,
    WAL_IMAGES,
    WAL_BYTES,
    WAL_FULL,
    WAL_SIZE,
    WAL_FILES,
    WAL_AGE,
    ARCHIVED,
    ARCHIVE_AGE,
    UNARCHIVED,
    IO_OPERATIONS,
    IO_BYTES,
    IO_TIME,
];
const CHECKPOINTS: Desc = Desc::counter(
    "postgresql.bgwriter.checkpoint.count",
    "{checkpoints}",
    "Checkpoints, by what began them: many requested ones mean that max_wal_size is small for the writes.",
);
const CHECKPOINT_TIME: Desc =
    Desc::counter("postgresql.bgwriter.duration", "ms", "Time that checkpoints spent writing and syncing files.");
const BUFFERS_WRITTEN: Desc =
    Desc::counter("postgresql.bgwriter.buffers.writes", "{buffers}", "Buffers written, by who wrote them.");
const BUFFERS_ALLOCATED: Desc =
    Desc::counter("postgresql.bgwriter.buffers.allocated", "{buffers}", "Buffers that were allocated.");
const MAX_WRITTEN: Desc = Desc::counter(
    "postgresql.bgwriter.maxwritten",
    "1",
    "Times the background writer stopped because it had written too many buffers.",
);
const WAL_RECORDS: Desc = Desc::counter("postgresql.wal.records", "{record}", "WAL records that were made.");
const WAL_IMAGES: Desc = Desc::counter("postgresql.wal.full_page_images", "{page}", "Full pages written to the WAL.");
const WAL_BYTES: Desc = Desc::counter("postgresql.wal.written", "By", "Bytes of WAL that were made.");
const WAL_FULL: Desc =
    Desc::counter("postgresql.wal.buffers_full", "{time}", "Times WAL was written because its buffers were full.");
const WAL_SIZE: Desc = Desc::gauge("postgresql.wal.size", "By", "Bytes of WAL on disk.");
const WAL_FILES: Desc = Desc::gauge("postgresql.wal.files", "{file}", "WAL files on disk.");
const WAL_AGE: Desc = Desc::gauge("postgresql.wal.age", "s", "Age of the oldest WAL file.");
const ARCHIVED: Desc =
    Desc::counter("postgresql.wal.archived", "{file}", "WAL files given to the archive command, by result.");
const ARCHIVE_AGE: Desc =
    Desc::gauge("postgresql.wal.archive.age", "s", "Time since a WAL file was archived; absent before the first.");
const UNARCHIVED: Desc =
    Desc::gauge("postgresql.wal.unarchived", "{file}", "WAL files that wait to be archived: they fill the disk.");
const IO_OPERATIONS: Desc =
    Desc::counter("postgresql.io.operations", "{operation}", "Operations of pg_stat_io, those that happened at all.");
const IO_BYTES: Desc =
    Desc::counter("postgresql.io.size", "By", "Bytes of the reads, writes and extends of pg_stat_io.");
const IO_TIME: Desc = Desc::counter(
    "postgresql.io.time",
    "s",
    "Time of the operations of pg_stat_io; absent while track_io_timing is off.",
);

/// Reads the views that this version has.
pub(super) async fn read(round: &mut Round<'_>, out: &mut Samples) -> Result<(), CollectError> {
    let split = round.version() >= 170_000;
    put_checkpoints(&round.ask(if split { CHECKPOINTER } else { BGWRITER }).await?, out);
    if !round.standby() {
        put_wal(&round.ask(WAL).await?, out);
    }
    put_archiver(&round.ask(ARCHIVER).await?, out);
    if round.slow() {
        let files = round.ask_as(WAL_DIRECTORY, "pg_monitor").await?;
        round.keep_wal(files);
    }
    if let Some(files) = round.wal() {
        put_files(files, out);
    }
    if round.version() >= 160_000 {
        put_io(&round.ask(if round.version() >= 180_000 { IO_18 } else { IO_16 }).await?, out);
    }
    Ok(())
}

/// Until 16 one view had it all.
const BGWRITER: &str = "SELECT checkpoints_timed AS timed, checkpoints_req AS requested, \
    checkpoint_write_time AS write_time, checkpoint_sync_time AS sync_time, buffers_checkpoint AS by_checkpoint, \
    buffers_clean AS by_bgwriter, buffers_backend AS by_backend, buffers_backend_fsync AS by_backend_fsync, \
    buffers_alloc, maxwritten_clean FROM pg_catalog.pg_stat_bgwriter";

/// From 17 on checkpoints have their own view, and what backends write stands in `pg_stat_io`.
const CHECKPOINTER: &str = "SELECT num_timed AS timed, num_requested AS requested, c.write_time, c.sync_time, \
    c.buffers_written AS by_checkpoint, b.buffers_clean AS by_bgwriter, b.buffers_alloc, b.maxwritten_clean \
    FROM pg_catalog.pg_stat_checkpointer c, pg_catalog.pg_stat_bgwriter b";

const WAL: &str = "SELECT wal_records, wal_fpi, wal_bytes, wal_buffers_full FROM pg_catalog.pg_stat_wal";

const ARCHIVER: &str = "SELECT archived_count, failed_count, current_setting('archive_mode') AS mode, \
    extract(epoch FROM clock_timestamp() - last_archived_time) AS age FROM pg_catalog.pg_stat_archiver";

const WAL_DIRECTORY: &str = "SELECT count(*) AS files, sum(size) AS size, \
    extract(epoch FROM clock_timestamp() - min(modification)) AS age, \
    CASE WHEN current_setting('archive_mode') <> 'off' THEN \
      (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready') END AS unarchived \
    FROM pg_ls_waldir()";

const IO_16: &str = "SELECT backend_type, object, context, reads, writes, extends, hits, evictions, reuses, fsyncs, \
    reads * op_bytes AS read_bytes, writes * op_bytes AS write_bytes, extends * op_bytes AS extend_bytes, \
    read_time, write_time, extend_time, fsync_time, current_setting('track_io_timing') AS timing \
    FROM pg_catalog.pg_stat_io";

const IO_18: &str = "SELECT backend_type, object, context, reads, writes, extends, hits, evictions, reuses, fsyncs, \
    read_bytes, write_bytes, extend_bytes, read_time, write_time, extend_time, fsync_time, \
    current_setting(CASE object WHEN 'wal' THEN 'track_wal_io_timing' ELSE 'track_io_timing' END) AS timing \
    FROM pg_catalog.pg_stat_io";

fn put_checkpoints(table: &Table, out: &mut Samples) {
    let Some(row) = table.first() else { return };
    row.put(out, &[("type", "scheduled")], &[("timed", &CHECKPOINTS)]);
    row.put(out, &[("type", "requested")], &[("requested", &CHECKPOINTS)]);
    row.put(out, &[("type", "write")], &[("write_time", &CHECKPOINT_TIME)]);
    row.put(out, &[("type", "sync")], &[("sync_time", &CHECKPOINT_TIME)]);
    let sources = [
        ("checkpoints", "by_checkpoint"),
        ("bgwriter", "by_bgwriter"),
        ("backend", "by_backend"),
        ("backend_fsync", "by_backend_fsync"),
    ];
    for (source, column) in sources {
        row.put(out, &[("source", source)], &[(column, &BUFFERS_WRITTEN)]);
    }
    row.put(out, &[], &[("buffers_alloc", &BUFFERS_ALLOCATED), ("maxwritten_clean", &MAX_WRITTEN)]);
}

fn put_wal(table: &Table, out: &mut Samples) {
    let Some(row) = table.first() else { return };
    let columns = [
        ("wal_records", &WAL_RECORDS),
        ("wal_fpi", &WAL_IMAGES),
        ("wal_bytes", &WAL_BYTES),
        ("wal_buffers_full", &WAL_FULL),
    ];
    row.put(out, &[], &columns);
}

fn put_archiver(table: &Table, out: &mut Samples) {
    let Some(row) = table.first() else { return };
    // Without archiving the counts stand still at 0, and would look like an archive that works.
    if row.text("mode") == Some("off") {
        return;
    }
    row.put(out, &[("result", "archived")], &[("archived_count", &ARCHIVED)]);
    row.put(out, &[("result", "failed")], &[("failed_count", &ARCHIVED)]);
    row.put(out, &[], &[("age", &ARCHIVE_AGE)]);
}

fn put_files(table: &Table, out: &mut Samples) {
    let Some(row) = table.first() else { return };
    row.put(out, &[], &[("files", &WAL_FILES), ("size", &WAL_SIZE), ("age", &WAL_AGE), ("unarchived", &UNARCHIVED)]);
}

fn put_io(table: &Table, out: &mut Samples) {
    const COUNTS: [(&str, &str); 7] = [
        ("read", "reads"),
        ("write", "writes"),
        ("extend", "extends"),
        ("hit", "hits"),
        ("evict", "evictions"),
        ("reuse", "reuses"),
        ("fsync", "fsyncs"),
    ];
    const BYTES: [(&str, &str); 3] = [("read", "read_bytes"), ("write", "write_bytes"), ("extend", "extend_bytes")];
    const TIMES: [(&str, &str); 4] =
        [("read", "read_time"), ("write", "write_time"), ("extend", "extend_time"), ("fsync", "fsync_time")];
    for row in table.rows() {
        let (Some(backend), Some(object), Some(context)) =
            (row.text("backend_type"), row.text("object"), row.text("context"))
        else {
            continue;
        };
        let with = |operation: &'static str| {
            [("backend_type", backend), ("object", object), ("context", context), ("operation", operation)]
        };
        // Most of the combinations never happen: without the zeros a third of the series is left.
        let happened = |column: &str| row.float(column).is_some_and(|count| count > 0.0);
        for (operation, column) in COUNTS.iter().filter(|(_, column)| happened(column)) {
            row.put(out, &with(operation), &[(column, &IO_OPERATIONS)]);
        }
        for (operation, column) in BYTES.iter().filter(|(_, column)| happened(column)) {
            row.put(out, &with(operation), &[(column, &IO_BYTES)]);
        }
        if row.text("timing") == Some("on") {
            for (operation, column) in TIMES.iter().filter(|(_, column)| happened(column)) {
                row.put_millis(out, &with(operation), &[(column, &IO_TIME)]);
            }
        }
    }
}
