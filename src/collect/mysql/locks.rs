//! Transactions that are open and who waits for whom: InnoDB's views, which differ between the two servers.

use mysql_async::Conn;

use super::{Fields, Server, ask_or_note, number};
use crate::collect::CollectError;
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[TRANSACTIONS, OLDEST, BLOCKED, LONGEST_WAIT, BLOCKING];
const TRANSACTIONS: Desc = Desc::gauge("mysql.transaction.open", "{transaction}", "Open transactions of InnoDB.");
const OLDEST: Desc = Desc::gauge("mysql.transaction.age.max", "s", "Age of the oldest open transaction.");
const BLOCKED: Desc = Desc::gauge("mysql.session.blocked", "{session}", "Transactions that wait for a row lock.");
const LONGEST_WAIT: Desc =
    Desc::gauge("mysql.lock.wait.max", "s", "Longest time for which a transaction has waited for a row lock.");
const BLOCKING: Desc = Desc::gauge(
    "mysql.session.blocking",
    "{session}",
    "Transactions for which others wait; absent where nobody can know.",
);

const OPEN: &str = "SELECT COUNT(*) AS count, COALESCE(MAX(TIMESTAMPDIFF(SECOND, trx_started, NOW())), 0) AS age, \
    COALESCE(SUM(trx_state = 'LOCK WAIT'), 0) AS blocked, \
    COALESCE(MAX(TIMESTAMPDIFF(SECOND, trx_wait_started, NOW())), 0) AS wait FROM information_schema.INNODB_TRX";

/// The waits are taken first: 8.0.12 finds none when it looks them up by both of their transactions.
const WAITS_MYSQL: &str = "SELECT r.trx_mysql_thread_id AS pid, b.trx_mysql_thread_id AS blocker, \
    TIMESTAMPDIFF(SECOND, r.trx_wait_started, NOW()) AS wait, LEFT(r.trx_query, 4096) AS query, \
    LEFT(b.trx_query, 4096) AS blocker_query FROM (SELECT DISTINCT REQUESTING_ENGINE_TRANSACTION_ID AS waits, \
    BLOCKING_ENGINE_TRANSACTION_ID AS holds FROM performance_schema.data_lock_waits LIMIT 1000) w \
    JOIN information_schema.INNODB_TRX r ON r.trx_id = w.waits \
    JOIN information_schema.INNODB_TRX b ON b.trx_id = w.holds ORDER BY wait DESC LIMIT 50";

const WAITS_MARIADB: &str = "SELECT r.trx_mysql_thread_id AS pid, b.trx_mysql_thread_id AS blocker, \
    TIMESTAMPDIFF(SECOND, r.trx_wait_started, NOW()) AS wait, LEFT(r.trx_query, 4096) AS query, \
    LEFT(b.trx_query, 4096) AS blocker_query FROM information_schema.INNODB_LOCK_WAITS w \
    JOIN information_schema.INNODB_TRX r ON r.trx_id = w.requesting_trx_id \
    JOIN information_schema.INNODB_TRX b ON b.trx_id = w.blocking_trx_id ORDER BY wait DESC LIMIT 50";

/// The counts, and the waits themselves when there are any.
pub(super) async fn read(
    conn: &mut Conn,
    server: &Server,
    performance: bool,
    out: &mut Samples,
    lacking: &mut Vec<String>,
) -> Result<Vec<Fields>, CollectError> {
    let open = ask_or_note(conn, OPEN, "PROCESS ON *.*", lacking).await?.unwrap_or_default();
    let Some(row) = open.first() else { return Ok(Vec::new()) };
    for (name, desc) in [("count", &TRANSACTIONS), ("age", &OLDEST), ("blocked", &BLOCKED), ("wait", &LONGEST_WAIT)] {
        if let Some(value) = number(row, name) {
            out.put(desc, value);
        }
    }
    match number(row, "blocked") {
        Some(blocked) if blocked > 0.0 => {}
        Some(_) => {
            out.put(&BLOCKING, 0_u64);
            return Ok(Vec::new());
        }
        None => return Ok(Vec::new()),
    }
    // Somebody waits: where nobody can be asked for whom, there is no number rather than a wrong one.
    let sql = if server.mariadb { WAITS_MARIADB } else { WAITS_MYSQL };
    let waits = if performance || server.mariadb {
        ask_or_note(conn, sql, "SELECT ON performance_schema.*", lacking).await?
    } else {
        None
    };
    let Some(waits) = waits else { return Ok(Vec::new()) };
    let mut heads: Vec<&String> = waits.iter().filter_map(|wait| wait.get("blocker")).collect();
    heads.sort_unstable();
    heads.dedup();
    out.put(&BLOCKING, heads.len());
    Ok(waits)
}
