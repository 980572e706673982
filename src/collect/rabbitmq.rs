//! RabbitMQ 3.8 and later, by its management plugin (port 15672), or by its Prometheus plugin (port 15692, no login):
//! `detailed.rs`. Which of the two answers at the address is found out in the first round, and again when the kind of
//! answer changes.
//!
//! Rights: `rabbitmqctl set_user_tags plimsoll monitoring` and `rabbitmqctl set_permissions plimsoll "^$" "^$" "^$"`
//! on each virtual host. Cost: six requests in a round: an overview, the nodes, the connections' states (of no more than
//! 2,000), the consumers (none of more than 20,000), the longest queues without statistics and, of no more than 200
//! queues, how well their consumers keep up, with statistics. For each list of queues the broker asks every one of them,
//! so it is asked for one, and sorts it. The 200 longest are told apart, fewer where the entry's `series` has no room for
//! them: they are nine for a queue at most. The queues' own counts do not lag as the broker's statistics do: consumers and
//! totals come up to five seconds late.
//!
//! Names after the collector-contrib receiver `rabbitmq` where it has them; the queues also have those that all queues
//! share. A broker that keeps no statistics (`management_agent.disable_metrics_collector`) tells its queues and nodes only.
//! The management plugin does not know dead letters, and the Prometheus plugin neither blocked connections nor the
//! members of a queue. RabbitMQ keeps no time of a message, so there is no age; Celery's queues on it are ordinary ones,
//! told under `messaging.system` `celery` when the config names them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;

use super::http::Http;
use super::queue::{self, Queue};
use super::{CollectError, Collector};
use crate::base::http::shown;
use crate::signal::metrics::{Desc, Samples};

pub mod config;
mod detailed;

/// Every metric, in the order of the parts.
pub const METRICS: &[&[Desc]] = &[OWN, queue::METRICS];

const OWN: &[Desc] = &[
    CONSUMERS,
    CAPACITY,
    MESSAGES,
    PUBLISHED,
    DELIVERED,
    ACKNOWLEDGED,
    DROPPED,
    REDELIVERED,
    DEAD_LETTERED,
    CONNECTIONS,
    BLOCKED,
    CHANNELS,
    QUEUES,
    MEMBERS,
    MEMBERS_ONLINE,
    NODE_RUNNING,
    NODE_MEMORY,
    NODE_MEMORY_LIMIT,
    NODE_ALARM,
    NODE_DISK_FREE,
    NODE_DISK_LIMIT,
    NODE_FILES,
    NODE_FILES_LIMIT,
    NODE_PARTITIONS,
    QUEUES_LEFT_OUT,
];
const CONSUMERS: Desc = Desc::updown("rabbitmq.consumer.count", "{consumers}", "Consumers of a queue.");
const CAPACITY: Desc = Desc::gauge(
    "rabbitmq.consumer.capacity",
    "1",
    "Share of the time in which a queue could give its consumers messages at once; absent without consumers.",
);
const MESSAGES: Desc = Desc::updown("rabbitmq.message.current", "{messages}", "Messages of a queue, by state.");
const PUBLISHED: Desc =
    Desc::counter("rabbitmq.message.published", "{messages}", "Messages that were published, over all queues.");
const DELIVERED: Desc =
    Desc::counter("rabbitmq.message.delivered", "{messages}", "Messages given to consumers, over all queues.");
const ACKNOWLEDGED: Desc =
    Desc::counter("rabbitmq.message.acknowledged", "{messages}", "Messages acknowledged, over all queues.");
const DROPPED: Desc = Desc::counter("rabbitmq.message.dropped", "{messages}", "Messages that no queue wanted.");
const REDELIVERED: Desc =
    Desc::counter("rabbitmq.message.redelivered", "{messages}", "Messages that were given out again, over all queues.");
const DEAD_LETTERED: Desc = Desc::counter(
    "rabbitmq.message.dead_lettered",
    "{messages}",
    "Messages that queues gave up, by reason, also where they have no other place to go; by the Prometheus plugin.",
);
const CONNECTIONS: Desc = Desc::updown("rabbitmq.connection.count", "{connection}", "Client connections.");
const BLOCKED: Desc = Desc::updown(
    "rabbitmq.connection.blocked",
    "{connection}",
    "Connections that may not publish for want of memory or disk; by the management plugin.",
);
const CHANNELS: Desc = Desc::updown("rabbitmq.channel.count", "{channel}", "Channels.");
const QUEUES: Desc = Desc::updown("rabbitmq.queue.count", "{queue}", "Queues.");
const MEMBERS: Desc = Desc::gauge(
    "rabbitmq.queue.members",
    "{node}",
    "Nodes that hold a quorum queue or a stream; by the management plugin.",
);
const MEMBERS_ONLINE: Desc = Desc::gauge("rabbitmq.queue.members.online", "{node}", "Those of them that are there.");
const NODE_RUNNING: Desc = Desc::gauge("rabbitmq.node.running", "", "1 while the node runs.");
const NODE_MEMORY: Desc = Desc::gauge("rabbitmq.node.memory.used", "By", "Memory of a node.");
const NODE_MEMORY_LIMIT: Desc =
    Desc::gauge("rabbitmq.node.memory.limit", "By", "Memory at which publishers are blocked.");
const NODE_ALARM: Desc =
    Desc::gauge("rabbitmq.node.alarm", "", "1 while publishers are blocked for want of memory or disk.");
const NODE_DISK_FREE: Desc = Desc::gauge("rabbitmq.node.disk.free", "By", "Free disk of a node.");
const NODE_DISK_LIMIT: Desc =
    Desc::gauge("rabbitmq.node.disk.limit", "By", "Free disk at which publishers are blocked.");
const NODE_FILES: Desc =
    Desc::gauge("rabbitmq.node.files", "{file}", "Open file descriptors of a node; absent where it tells none.");
const NODE_FILES_LIMIT: Desc = Desc::gauge("rabbitmq.node.files.limit", "{file}", "Most of them.");
const NODE_PARTITIONS: Desc =
    Desc::gauge("rabbitmq.node.partitions", "{partition}", "Nodes that this node has lost sight of.");
const QUEUES_LEFT_OUT: Desc = Desc::gauge(
    "rabbitmq.queue.left_out",
    "{queue}",
    "Queues that are not told apart because there are too many; the longest are.",
);

/// Queues that are asked for: the most that the broker gives at once. Those that have no length, as they are down, may
/// come before the longest.
const PAGE: usize = 500;
/// Queues that are told apart, the longest first.
const TOLD: usize = 200;
/// Consumers whose queues are asked for.
const MAX_CONSUMERS: u64 = 20_000;
/// Connections whose state is asked for.
const MAX_CONNECTIONS: u64 = 2_000;
/// Series of one queue at most.
const MOST_SERIES: usize = 9;
const MAX_ANSWER: usize = 8 << 20;

/// One broker.
pub struct Rabbitmq {
    http: Http,
    /// Queues that are Celery's.
    celery: Vec<String>,
    /// Whether the Prometheus plugin answers, not that of the management.
    speaks_text: bool,
    version: String,
    queues: usize,
    left_out: usize,
    /// What the last round could not tell, for people.
    untold: Vec<String>,
}

/// One queue in one round: what its source knows of it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Row<'a> {
    vhost: &'a str,
    name: &'a str,
    ready: Option<u64>,
    unacknowledged: Option<u64>,
    consumers: Option<u64>,
    capacity: Option<f64>,
    /// Those that are there, of how many.
    members: Option<(usize, usize)>,
}

/// What is known of each queue, by virtual host and name.
type ByQueue<T> = BTreeMap<(String, String), T>;

impl Rabbitmq {
    /// Asks at the address of one of the two plugins.
    pub fn new(http: Http, celery: Vec<String>) -> Self {
        Self { http, celery, speaks_text: false, version: String::new(), queues: 0, left_out: 0, untold: Vec::new() }
    }

    /// What a broker refuses that keeps no statistics; the first such answer is told.
    async fn with_statistics(&mut self, path: &str) -> Result<Option<Value>, CollectError> {
        match self.http.json(path, MAX_ANSWER).await {
            Err(CollectError::Query(why)) => {
                let mend = "take out management_agent.disable_metrics_collector";
                if !self.untold.iter().any(|told| told.contains(mend)) {
                    self.untold.push(format!("consumers and rates are not told: {mend} ({why})"));
                }
                Ok(None)
            }
            answer => answer.map(Some),
        }
    }

    async fn blocked(&mut self, total: u64, out: &mut Samples) -> Result<(), CollectError> {
        if total > MAX_CONNECTIONS {
            self.untold.push("too many connections to tell the blocked ones".into());
            return Ok(());
        }
        let is_blocked = |connection: &&Value| connection["state"] == "blocked";
        let path = "/api/connections?columns=state";
        if let Some(Value::Array(connections)) = self.with_statistics(path).await? {
            out.put(&BLOCKED, connections.iter().filter(is_blocked).count());
        }
        Ok(())
    }

    /// The list of queues without statistics does not tell of consumers, and with them it lags and costs much.
    async fn consumers(&mut self, total: u64) -> Result<Option<ByQueue<u64>>, CollectError> {
        if total > MAX_CONSUMERS {
            self.untold.push("too many consumers to tell whose they are".into());
            return Ok(None);
        }
        let path = "/api/consumers?columns=queue.name,queue.vhost";
        let Some(list) = self.with_statistics(path).await? else { return Ok(None) };
        let mut consumers = ByQueue::new();
        for key in list.as_array().into_iter().flatten().filter_map(|consumer| key(&consumer["queue"])) {
            *consumers.entry(key).or_default() += 1;
        }
        Ok(Some(consumers))
    }

    /// With statistics: so of few queues only.
    async fn capacities(&mut self, queues: usize) -> Result<ByQueue<f64>, CollectError> {
        if queues > TOLD {
            return Ok(ByQueue::new());
        }
        let path = format!("/api/queues?page=1&page_size={TOLD}&columns=name,vhost,consumer_capacity");
        let list = self.with_statistics(&path).await?.unwrap_or_default();
        let items = list["items"].as_array().into_iter().flatten().take(TOLD);
        Ok(items.filter_map(|queue| Some((key(queue)?, queue["consumer_capacity"].as_f64()?))).collect())
    }

    async fn queues(&mut self, consumers: Option<&ByQueue<u64>>, out: &mut Samples) -> Result<(), CollectError> {
        let path = format!(
            "/api/queues?disable_stats=true&enable_queue_totals=true&page=1&page_size={PAGE}\
             &sort=messages_ready&sort_reverse=true\
             &columns=name,vhost,messages_ready,messages_unacknowledged,members,online"
        );
        let mut answer = self.http.json(&path, MAX_ANSWER).await?;
        let total = answer["total_count"].as_u64().unwrap_or(0) as usize;
        let mut all = match answer.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            // Versions that know no pages give the list itself.
            _ => answer.as_array().cloned().unwrap_or_default(),
        };
        let seen = total.max(all.len());
        let ready = |queue: &Value| queue["messages_ready"].as_f64().unwrap_or(0.0);
        all.sort_by(|a, b| ready(b).total_cmp(&ready(a)).then_with(|| key(a).cmp(&key(b))));
        all.truncate(TOLD);
        let capacities = if all.is_empty() { ByQueue::new() } else { self.capacities(seen).await? };
        let rows: Vec<Row<'_>> = all.iter().filter_map(|queue| row(queue, consumers, &capacities)).collect();
        self.put_queues(&rows, seen, out);
        Ok(())
    }

    /// The first ones, as far as the round has room for all of a queue, and how many of `seen` are left out.
    fn put_queues(&mut self, rows: &[Row<'_>], seen: usize, out: &mut Samples) {
        let mut told = 0;
        for row in rows {
            // One more is for those that are left out.
            if out.room() <= MOST_SERIES {
                self.untold.push("`series` of its entry has no room for more queues".into());
                break;
            }
            self.put_queue(row, out);
            told += 1;
        }
        self.queues = seen;
        self.left_out = seen.saturating_sub(told);
        out.put(&QUEUES_LEFT_OUT, self.left_out);
    }

    fn put_queue(&self, row: &Row<'_>, out: &mut Samples) {
        let own = [("rabbitmq.queue.name", row.name), ("rabbitmq.vhost.name", row.vhost)];
        for (state, messages) in [("ready", row.ready), ("unacknowledged", row.unacknowledged)] {
            if let Some(messages) = messages {
                out.put_with(&MESSAGES, &[own[0], own[1], ("state", state)], messages);
            }
        }
        if let Some(consumers) = row.consumers {
            out.put_with(&CONSUMERS, &own, consumers);
        }
        // Without consumers it is 0, which is nobody's fault.
        if let Some(capacity) = row.capacity.filter(|_| row.consumers.is_some_and(|consumers| consumers > 0)) {
            out.put_with(&CAPACITY, &own, capacity);
        }
        if let Some((online, members)) = row.members {
            out.put_with(&MEMBERS, &own, members);
            out.put_with(&MEMBERS_ONLINE, &own, online);
        }
        let celery = self.celery.iter().any(|known| known == row.name);
        let shared = Queue {
            system: if celery { "celery" } else { "rabbitmq" },
            name: row.name,
            scope: Some(("rabbitmq.vhost.name", row.vhost)),
            ready: row.ready,
            active: row.unacknowledged,
            consumers: row.consumers,
            ..Queue::default()
        };
        shared.put(out);
    }

    async fn by_management(&mut self, overview: &Value, out: &mut Samples) -> Result<(), CollectError> {
        self.version = shown(overview["rabbitmq_version"].as_str().unwrap_or_default());
        put_overview(overview, out);
        let nodes = self.http.json("/api/nodes", MAX_ANSWER).await?;
        for node in nodes.as_array().into_iter().flatten().take(50) {
            put_node(node, out);
        }
        if let Some(connections) = overview["object_totals"]["connections"].as_u64() {
            self.blocked(connections, out).await?;
        }
        let consumers = self.consumers(overview["object_totals"]["consumers"].as_u64().unwrap_or(0)).await?;
        self.queues(consumers.as_ref(), out).await
    }
}

#[async_trait]
impl Collector for Rabbitmq {
    async fn collect(&mut self, out: &mut Samples) -> Result<(), CollectError> {
        self.untold.clear();
        if self.speaks_text {
            match self.by_text(out).await {
                // Another plugin answers there now.
                Err(CollectError::Query(_)) => self.speaks_text = false,
                done => return done,
            }
        }
        let path = "/api/overview?columns=rabbitmq_version,object_totals,message_stats";
        match self.http.json(path, MAX_ANSWER).await {
            Err(CollectError::Query(why)) => match self.by_text(out).await {
                Err(CollectError::Query(other)) => Err(CollectError::Query(format!(
                    "{why}, and {other}: `url` is that of the management plugin (port 15672) or of the Prometheus \
                     plugin (port 15692)"
                ))),
                done => done,
            },
            overview => self.by_management(&overview?, out).await,
        }
    }

    fn detail(&self) -> String {
        if self.version.is_empty() {
            return String::new();
        }
        let mut out = format!("{}, {} queues", self.version, self.queues);
        if self.speaks_text {
            out.push_str(", by its Prometheus plugin");
        }
        if self.left_out > 0 {
            out.push_str(&format!("; only the {} longest are told apart", self.queues - self.left_out));
        }
        for untold in &self.untold {
            out.push_str(&format!("; {untold}"));
        }
        out
    }
}

/// A queue of the management plugin's list.
fn row<'a>(queue: &'a Value, consumers: Option<&ByQueue<u64>>, capacities: &ByQueue<f64>) -> Option<Row<'a>> {
    let key = key(queue)?;
    let count = |key: &str| queue[key].as_f64().filter(|count| *count >= 0.0).map(|count| count as u64);
    let nodes = |key: &str| queue[key].as_array().map(Vec::len);
    Some(Row {
        vhost: queue["vhost"].as_str()?,
        name: queue["name"].as_str()?,
        ready: count("messages_ready"),
        unacknowledged: count("messages_unacknowledged"),
        consumers: consumers.map(|known| known.get(&key).copied().unwrap_or_default()),
        capacity: capacities.get(&key).copied(),
        members: nodes("online").zip(nodes("members")),
    })
}

fn key(queue: &Value) -> Option<(String, String)> {
    Some((queue["vhost"].as_str()?.to_owned(), queue["name"].as_str()?.to_owned()))
}

fn put_overview(overview: &Value, out: &mut Samples) {
    let totals = &overview["object_totals"];
    for (key, desc) in [("connections", &CONNECTIONS), ("channels", &CHANNELS), ("queues", &QUEUES)] {
        if let Some(count) = totals[key].as_u64() {
            out.put(desc, count);
        }
    }
    let stats = &overview["message_stats"];
    let counts = [
        ("publish", &PUBLISHED),
        ("deliver_get", &DELIVERED),
        ("ack", &ACKNOWLEDGED),
        ("drop_unroutable", &DROPPED),
        ("redeliver", &REDELIVERED),
    ];
    for (key, desc) in counts {
        if let Some(count) = stats[key].as_u64() {
            out.put(desc, count);
        }
    }
}

fn put_node(node: &Value, out: &mut Samples) {
    let Some(name) = node["name"].as_str() else { return };
    let own = [("rabbitmq.node.name", name)];
    out.put_with(&NODE_RUNNING, &own, u64::from(node["running"].as_bool().unwrap_or(false)));
    let gauges = [
        ("mem_used", &NODE_MEMORY),
        ("mem_limit", &NODE_MEMORY_LIMIT),
        ("disk_free", &NODE_DISK_FREE),
        ("disk_free_limit", &NODE_DISK_LIMIT),
    ];
    for (key, desc) in gauges {
        if let Some(value) = node[key].as_f64() {
            out.put_with(desc, &own, value);
        }
    }
    // 4.0 says 0 of 0; 3 and 4.3 tell them.
    if node["fd_total"].as_u64().is_some_and(|total| total > 0) {
        for (key, desc) in [("fd_used", &NODE_FILES), ("fd_total", &NODE_FILES_LIMIT)] {
            if let Some(value) = node[key].as_u64() {
                out.put_with(desc, &own, value);
            }
        }
    }
    for (kind, key) in [("memory", "mem_alarm"), ("disk", "disk_free_alarm")] {
        if let Some(alarm) = node[key].as_bool() {
            out.put_with(&NODE_ALARM, &[own[0], ("type", kind)], u64::from(alarm));
        }
    }
    if let Some(partitions) = node["partitions"].as_array() {
        out.put_with(&NODE_PARTITIONS, &own, partitions.len());
    }
}
