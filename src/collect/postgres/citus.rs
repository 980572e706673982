//! Citus: nodes, shards by node with their size, and sessions of the cluster. Only where its extension is.
//!
//! Never run against a server: no package of Citus can be had. Written after its documentation (11 and later, whose
//! views stand in `pg_catalog`). The views for shards and sessions ask every node: once in five minutes and once a
//! minute.

use super::Round;
use super::table::{Row, Table};
use crate::collect::CollectError;
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[NODE, SHARDS, SIZE, SESSIONS];
const NODE: Desc = Desc::gauge("citus.node.active", "", "1 while the node takes part; 0: it is switched off.");
const SHARDS: Desc = Desc::gauge("citus.shards", "{shard}", "Placements of shards on each node.");
const SIZE: Desc = Desc::gauge("citus.shards.size", "By", "Bytes of the shards on each node.");
const SESSIONS: Desc =
    Desc::gauge("citus.sessions", "{session}", "Sessions of clients over all nodes, by state; their helpers apart.");

/// What was answered last.
#[derive(Debug, Default)]
pub(super) struct Citus {
    nodes: Table,
    shards: Table,
    sessions: Table,
}

const NODES: &str = "SELECT nodename, nodeport, noderole::text AS role, isactive FROM pg_catalog.pg_dist_node \
    ORDER BY nodeid LIMIT 500";

const PLACED: &str = "SELECT nodename, nodeport, count(*) AS shards, sum(shard_size) AS size \
    FROM pg_catalog.citus_shards GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 500";

const ACTIVITY: &str = "SELECT coalesce(state, 'unknown') AS state, is_worker_query AS helper, count(*) AS count \
    FROM pg_catalog.citus_stat_activity GROUP BY 1, 2";

/// Asks in the rounds of the minutes and puts what is known in all.
pub(super) async fn read(round: &mut Round<'_>, out: &mut Samples) -> Result<(), CollectError> {
    if !round.server.citus {
        return Ok(());
    }
    if round.minute() {
        let nodes = round.ask(NODES).await?;
        let sessions = round.ask(ACTIVITY).await?;
        let citus = &mut round.state.citus;
        (citus.nodes, citus.sessions) = (nodes, sessions);
    }
    if round.slow() {
        round.state.citus.shards = round.ask(PLACED).await?;
    }
    put(&round.state.citus, out);
    Ok(())
}

fn put(citus: &Citus, out: &mut Samples) {
    let node = |row: Row<'_>| Some(format!("{}:{}", row.text("nodename")?, row.text("nodeport")?));
    for row in citus.nodes.rows() {
        let (Some(name), Some(role)) = (node(row), row.text("role")) else { continue };
        row.put(out, &[("citus.node", &name), ("role", role)], &[("isactive", &NODE)]);
    }
    for row in citus.shards.rows() {
        let Some(name) = node(row) else { continue };
        row.put(out, &[("citus.node", &name)], &[("shards", &SHARDS), ("size", &SIZE)]);
    }
    for row in citus.sessions.rows() {
        let Some(state) = row.text("state") else { continue };
        let kind = if row.text("helper") == Some("t") { "helper" } else { "client" };
        row.put(out, &[("state", state), ("type", kind)], &[("count", &SESSIONS)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::metrics::{Limits, Point};

    fn table(columns: &[&str], rows: &[&[&str]]) -> Table {
        let mut table = Table::new(columns.iter().map(|name| (*name).to_owned()).collect());
        for row in rows {
            table.push(row.iter().map(|cell| Some(*cell)));
        }
        table
    }

    #[test]
    fn nodes_and_shards_are_told_as_the_documentation_shows_them_never_run() {
        let citus = Citus {
            nodes: table(
                &["nodename", "nodeport", "role", "isactive"],
                &[&["worker-1", "9701", "primary", "t"], &["worker-2", "9702", "primary", "f"]],
            ),
            shards: table(&["nodename", "nodeport", "shards", "size"], &[&["worker-1", "9701", "16", "16777216"]]),
            sessions: table(&["state", "helper", "count"], &[&["active", "f", "3"], &["idle", "t", "8"]]),
        };
        let mut out = Samples::new(Limits::default());
        put(&citus, &mut out);
        let points: Vec<Point> = out.samples().iter().map(|sample| sample.point.clone()).collect();
        let wanted = [1_u64, 0, 16, 16_777_216, 3, 8];
        assert_eq!(points, wanted.map(|number| Point::Number((number as i64).into())));
    }
}
