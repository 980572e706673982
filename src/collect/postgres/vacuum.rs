//! What keeps dead rows alive, and who cleans: the xmin horizon by its holder, and running vacuums.

use super::Round;
use super::table::Table;
use crate::collect::CollectError;
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[XMIN_AGE, PREPARED, VACUUMS];
const XMIN_AGE: Desc = Desc::gauge(
    "postgresql.xmin.age",
    "{transaction}",
    "Transactions since the oldest row version that each kind of holder needs: no vacuum can remove what is younger.",
);
const PREPARED: Desc =
    Desc::gauge("postgresql.transaction.prepared", "{transaction}", "Prepared transactions that nobody has ended.");
const VACUUMS: Desc = Desc::gauge("postgresql.vacuum.running", "{vacuum}", "Vacuums that run, by phase.");

/// Two small reads.
pub(super) async fn read(round: &mut Round<'_>, out: &mut Samples) -> Result<(), CollectError> {
    put_horizon(&round.ask(HORIZON).await?, out);
    put_vacuums(&round.ask(RUNNING).await?, out);
    Ok(())
}

/// The agent's own snapshot is no holder.
const HORIZON: &str = "SELECT 'transaction' AS holder, max(age(backend_xmin)) AS age, count(*) AS count \
      FROM pg_catalog.pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() \
      AND backend_type NOT IN ('walsender', 'autovacuum worker') \
    UNION ALL SELECT 'slot', max(greatest(age(xmin), age(catalog_xmin))), count(*) \
      FROM pg_catalog.pg_replication_slots \
    UNION ALL SELECT 'prepared', max(age(transaction)), count(*) FROM pg_catalog.pg_prepared_xacts \
    UNION ALL SELECT 'standby', max(age(backend_xmin)), count(*) FROM pg_catalog.pg_stat_replication";

const RUNNING: &str = "SELECT phase, count(*) AS count FROM pg_catalog.pg_stat_progress_vacuum GROUP BY 1";

fn put_horizon(table: &Table, out: &mut Samples) {
    for row in table.rows() {
        let Some(holder) = row.text("holder") else { continue };
        // Nobody of this kind holds anything back: that is an age of 0, and a rule needs to see it.
        out.put_with(&XMIN_AGE, &[("holder", holder)], row.float("age").unwrap_or(0.0));
        if holder == "prepared" {
            row.put(out, &[], &[("count", &PREPARED)]);
        }
    }
}

fn put_vacuums(table: &Table, out: &mut Samples) {
    for row in table.rows() {
        let Some(phase) = row.text("phase") else { continue };
        row.put(out, &[("phase", phase)], &[("count", &VACUUMS)]);
    }
}
