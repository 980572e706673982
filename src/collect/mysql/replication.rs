//! The replica's side of replication, each channel, and the size of the binary logs.

use mysql_async::Conn;

use super::{Fields, Server, ask_or_note, number};
use crate::collect::CollectError;
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[BEHIND, DELAY, IO_RUNNING, SQL_RUNNING, BINLOG_SIZE, BINLOG_FILES, READ_ONLY];
const BEHIND: Desc = Desc::updown(
    "mysql.replica.time_behind_source",
    "s",
    "How late the replica is with what it received; absent while it stands.",
);
const DELAY: Desc = Desc::updown("mysql.replica.sql_delay", "s", "How late it is meant to be.");
const IO_RUNNING: Desc =
    Desc::gauge("mysql.replica.io.running", "", "1 while the replica receives; 0: it stands, or connects.");
const SQL_RUNNING: Desc = Desc::gauge("mysql.replica.sql.running", "", "1 while the replica applies what it received.");
const BINLOG_SIZE: Desc = Desc::gauge("mysql.binlog.size", "By", "Bytes of binary logs on disk.");
const BINLOG_FILES: Desc = Desc::gauge("mysql.binlog.files", "{file}", "Binary logs on disk.");
const READ_ONLY: Desc = Desc::gauge("mysql.read_only", "", "1 while the server takes no writes from ordinary users.");

/// MySQL 9 knows only the new words, MariaDB all channels at once.
pub(super) async fn read(
    conn: &mut Conn,
    server: &Server,
    out: &mut Samples,
    lacking: &mut Vec<String>,
) -> Result<(), CollectError> {
    let (status, grant) = if server.mariadb {
        ("SHOW ALL SLAVES STATUS", "SLAVE MONITOR ON *.*")
    } else if server.version >= (8, 0, 22) {
        ("SHOW REPLICA STATUS", "REPLICATION CLIENT ON *.*")
    } else {
        ("SHOW SLAVE STATUS", "REPLICATION CLIENT ON *.*")
    };
    for row in ask_or_note(conn, status, grant, lacking).await?.iter().flatten().take(100) {
        put_channel(row, out);
    }
    let grant = if server.mariadb { "BINLOG MONITOR ON *.*" } else { "REPLICATION CLIENT ON *.*" };
    match ask_or_note(conn, "SHOW BINARY LOGS", grant, lacking).await {
        Ok(Some(logs)) if !logs.is_empty() => {
            out.put(&BINLOG_FILES, logs.len());
            out.put(&BINLOG_SIZE, logs.iter().filter_map(|log| number(log, "file_size")).sum::<f64>());
        }
        // 1381: there are none.
        Ok(_) | Err(CollectError::Query(_)) => {}
        Err(error) => return Err(error),
    }
    let read_only = super::ask(conn, "SELECT @@global.read_only AS read_only").await?;
    if let Some(value) = read_only.first().and_then(|row| number(row, "read_only")) {
        out.put(&READ_ONLY, value);
    }
    Ok(())
}

fn put_channel(row: &Fields, out: &mut Samples) {
    let text = |names: [&str; 2]| names.iter().find_map(|name| row.get(*name)).map(String::as_str);
    let channel = row.get("channel_name").or_else(|| row.get("connection_name")).map(String::as_str);
    let own = [("mysql.channel", channel.unwrap_or_default())];
    for (names, desc) in [
        (["replica_io_running", "slave_io_running"], &IO_RUNNING),
        (["replica_sql_running", "slave_sql_running"], &SQL_RUNNING),
    ] {
        if let Some(running) = text(names) {
            out.put_with(desc, &own, u64::from(running == "Yes"));
        }
    }
    for (names, desc) in
        [(["seconds_behind_source", "seconds_behind_master"], &BEHIND), (["sql_delay", "sql_delay"], &DELAY)]
    {
        if let Some(seconds) = text(names).and_then(|text| text.parse::<f64>().ok()) {
            out.put_with(desc, &own, seconds);
        }
    }
}
