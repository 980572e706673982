//! RabbitMQ 3.8 and later, by its management plugin.
//!
//! Rights: `rabbitmqctl set_user_tags plimsoll monitoring` and `rabbitmqctl set_permissions plimsoll "^$" "^$" "^$"`
//! on each virtual host. Cost: four requests in a round: an overview, the nodes, the consumers (none of more than
//! 20,000) and the queues without statistics; of more than 500 queues one request for each 500, 20 at most. The queues'
//! own counts do not lag as the broker's statistics do: consumers and totals come up to five seconds late.
//!
//! Names after the collector-contrib receiver `rabbitmq` where it has them; the queues also have those that all queues
//! share. A broker that keeps no statistics (`management_agent.disable_metrics_collector`) tells its queues and nodes only.
//! RabbitMQ keeps no time of a message, so there is no age; Celery's queues on it are ordinary ones, told under
//! `messaging.system` `celery` when the config names them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::Value;

use super::http::Http;
use super::queue::{self, Queue};
use super::{CollectError, Collector};
use crate::base::http::shown;
use crate::signal::metrics::{Desc, Samples};

pub mod config;

/// Every metric, in the order of the parts.
pub const METRICS: &[&[Desc]] = &[OWN, queue::METRICS];

const OWN: &[Desc] = &[
    CONSUMERS,
    MESSAGES,
    PUBLISHED,
    DELIVERED,
    ACKNOWLEDGED,
    DROPPED,
    REDELIVERED,
    CONNECTIONS,
    CHANNELS,
    QUEUES,
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
const CONNECTIONS: Desc = Desc::updown("rabbitmq.connection.count", "{connection}", "Client connections.");
const CHANNELS: Desc = Desc::updown("rabbitmq.channel.count", "{channel}", "Channels.");
const QUEUES: Desc = Desc::updown("rabbitmq.queue.count", "{queue}", "Queues.");
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

/// Queues that are asked for in one page.
const PAGE: usize = 500;
/// Pages of a round.
const PAGES: usize = 20;
/// Queues that are told apart, the longest first.
const TOLD: usize = 200;
/// Consumers whose queues are asked for.
const MAX_CONSUMERS: u64 = 20_000;
const MAX_ANSWER: usize = 8 << 20;

/// One broker.
pub struct Rabbitmq {
    http: Http,
    /// Queues that are Celery's.
    celery: Vec<String>,
    version: String,
    queues: usize,
    left_out: usize,
    /// Whether the consumers were too many to be asked for.
    crowded: bool,
    /// The answer of a broker that does not tell its consumers, as one that keeps no statistics.
    untold: String,
}

/// Consumers of each queue, by virtual host and name.
type Consumers = BTreeMap<(String, String), u64>;

impl Rabbitmq {
    /// Asks at the management plugin's address.
    pub fn new(http: Http, celery: Vec<String>) -> Self {
        Self { http, celery, version: String::new(), queues: 0, left_out: 0, crowded: false, untold: String::new() }
    }

    /// The list of queues without statistics does not tell of consumers, and with them it lags and costs much.
    async fn consumers(&mut self, total: u64) -> Result<Option<Consumers>, CollectError> {
        self.crowded = total > MAX_CONSUMERS;
        if self.crowded {
            return Ok(None);
        }
        let list = match self.http.json("/api/consumers?columns=queue.name,queue.vhost", MAX_ANSWER).await {
            Err(CollectError::Query(why)) => {
                self.untold = why;
                return Ok(None);
            }
            answer => answer?,
        };
        self.untold.clear();
        let mut consumers = Consumers::new();
        for queue in list.as_array().into_iter().flatten().map(|consumer| &consumer["queue"]) {
            if let (Some(vhost), Some(name)) = (queue["vhost"].as_str(), queue["name"].as_str()) {
                *consumers.entry((vhost.to_owned(), name.to_owned())).or_default() += 1;
            }
        }
        Ok(Some(consumers))
    }

    async fn queues(&mut self, consumers: Option<&Consumers>, out: &mut Samples) -> Result<(), CollectError> {
        let mut all: Vec<Value> = Vec::new();
        let mut seen = 0;
        let ready = |queue: &Value| queue["messages_ready"].as_f64().unwrap_or(0.0);
        for page in 1..=PAGES {
            let path = format!(
                "/api/queues?disable_stats=true&enable_queue_totals=true&page={page}&page_size={PAGE}\
                 &columns=name,vhost,messages_ready,messages_unacknowledged"
            );
            let mut answer = self.http.json(&path, MAX_ANSWER).await?;
            let total = answer["total_count"].as_u64().unwrap_or(0) as usize;
            let pages = answer["page_count"].as_u64().unwrap_or(1) as usize;
            match answer["items"].take() {
                Value::Array(items) => all.extend(items),
                // Versions that know no pages give the list itself.
                _ => all.extend(answer.as_array().into_iter().flatten().take(PAGE * PAGES).cloned()),
            }
            seen = total.max(seen.max(all.len()));
            all.sort_by(|a, b| ready(b).total_cmp(&ready(a)));
            all.truncate(TOLD);
            if page >= pages {
                break;
            }
        }
        self.queues = seen;
        self.left_out = self.queues.saturating_sub(TOLD);
        out.put(&QUEUES_LEFT_OUT, self.left_out);
        for queue in all.iter().take(TOLD) {
            self.put_queue(queue, consumers, out);
        }
        Ok(())
    }

    fn put_queue(&self, queue: &Value, consumers: Option<&Consumers>, out: &mut Samples) {
        let (Some(name), Some(vhost)) = (queue["name"].as_str(), queue["vhost"].as_str()) else { return };
        let count = |key: &str| queue[key].as_f64().filter(|count| *count >= 0.0).map(|count| count as u64);
        let own = [("rabbitmq.queue.name", name), ("rabbitmq.vhost.name", vhost)];
        for (state, key) in [("ready", "messages_ready"), ("unacknowledged", "messages_unacknowledged")] {
            if let Some(messages) = count(key) {
                out.put_with(&MESSAGES, &[own[0], own[1], ("state", state)], messages);
            }
        }
        let consumers =
            consumers.map(|known| known.get(&(vhost.to_owned(), name.to_owned())).copied().unwrap_or_default());
        if let Some(consumers) = consumers {
            out.put_with(&CONSUMERS, &own, consumers);
        }
        let celery = self.celery.iter().any(|known| known == name);
        let shared = Queue {
            system: if celery { "celery" } else { "rabbitmq" },
            name,
            scope: Some(("rabbitmq.vhost.name", vhost)),
            ready: count("messages_ready"),
            active: count("messages_unacknowledged"),
            consumers,
            ..Queue::default()
        };
        shared.put(out);
    }
}

#[async_trait]
impl Collector for Rabbitmq {
    async fn collect(&mut self, out: &mut Samples) -> Result<(), CollectError> {
        let overview =
            self.http.json("/api/overview?columns=rabbitmq_version,object_totals,message_stats", MAX_ANSWER).await?;
        self.version = shown(overview["rabbitmq_version"].as_str().unwrap_or_default());
        put_overview(&overview, out);
        let nodes = self.http.json("/api/nodes", MAX_ANSWER).await?;
        for node in nodes.as_array().into_iter().flatten().take(50) {
            put_node(node, out);
        }
        let consumers = self.consumers(overview["object_totals"]["consumers"].as_u64().unwrap_or(0)).await?;
        self.queues(consumers.as_ref(), out).await
    }

    fn detail(&self) -> String {
        if self.version.is_empty() {
            return String::new();
        }
        let mut out = format!("{}, {} queues", self.version, self.queues);
        if self.left_out > 0 {
            out.push_str(&format!("; only the {TOLD} longest are told apart"));
        }
        if self.crowded {
            out.push_str("; too many consumers to tell whose they are");
        }
        if !self.untold.is_empty() {
            let mend = "take out management_agent.disable_metrics_collector";
            out.push_str(&format!("; consumers and rates are not told: {mend} ({})", self.untold));
        }
        out
    }
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
