//! RabbitMQ's Prometheus plugin: what `/metrics` tells of a node, and `/metrics/detailed` (3.10 and later) of its queues.
//!
//! Rights: none, so `prometheus.tcp.ip = 127.0.0.1` keeps others out. Cost: two requests in a round: `/metrics`, and the
//! families `queue_coarse_metrics` and `queue_consumer_count` of at most 20,000 queues, of no more than 200 also
//! `queue_metrics`, which has some 15 lines for each queue and of which only `consumer_capacity` is wanted. Of 10,000
//! queues it is 6 MiB, which 4.3 made in 0.3 s; what is larger than 8 MiB is not taken. Counts come up to five seconds
//! late: queues tell them at `collect_statistics_interval`.
//!
//! On a cluster each node tells only of the queues whose leader it has, of its own connections and of what it did itself,
//! so each node is an entry of its own; only the number of queues is the cluster's. It does not tell blocked connections,
//! nor a quorum queue's members beyond its leader. 3.10 tells no lost nodes. The alarm for files, which blocks nobody and
//! is gone in 4, is not read: the files and their limit are.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use super::{
    ACKNOWLEDGED, CHANNELS, CONNECTIONS, DEAD_LETTERED, DELIVERED, DROPPED, MAX_ANSWER, NODE_ALARM, NODE_DISK_FREE,
    NODE_DISK_LIMIT, NODE_FILES, NODE_FILES_LIMIT, NODE_MEMORY, NODE_MEMORY_LIMIT, NODE_PARTITIONS, NODE_RUNNING,
    PUBLISHED, QUEUES, QUEUES_LEFT_OUT, REDELIVERED, Rabbitmq, Row, TOLD,
};
use crate::base::http::shown;
use crate::collect::CollectError;
use crate::collect::scrape::text::{self, Fault, Line};
use crate::signal::metrics::{Desc, Samples};

/// Queues that are asked for.
const MAX_QUEUES: usize = 20_000;
const FORMAT: &str = "text/plain;version=0.0.4";

/// A family of `/metrics`, what it is here, and its attribute beside the node's.
struct Family {
    name: &'static str,
    desc: &'static Desc,
    attribute: Option<(&'static str, &'static str)>,
    of_node: bool,
}

const fn whole(name: &'static str, desc: &'static Desc) -> Family {
    Family { name, desc, attribute: None, of_node: false }
}

const fn dead(name: &'static str, reason: &'static str) -> Family {
    Family { name, desc: &DEAD_LETTERED, attribute: Some(("reason", reason)), of_node: false }
}

const fn node(name: &'static str, desc: &'static Desc) -> Family {
    Family { name, desc, attribute: None, of_node: true }
}

const fn alarm(name: &'static str, kind: &'static str) -> Family {
    Family { name, desc: &NODE_ALARM, attribute: Some(("type", kind)), of_node: true }
}

const QUEUES_OF_ALL: &str = "rabbitmq_queues";
/// 3.10 has none.
const LOST_NODES: &str = "rabbitmq_unreachable_cluster_peers_count";
const FAMILIES: &[Family] = &[
    whole("rabbitmq_connections", &CONNECTIONS),
    whole("rabbitmq_channels", &CHANNELS),
    whole(QUEUES_OF_ALL, &QUEUES),
    whole("rabbitmq_global_messages_received_total", &PUBLISHED),
    whole("rabbitmq_global_messages_delivered_total", &DELIVERED),
    whole("rabbitmq_global_messages_acknowledged_total", &ACKNOWLEDGED),
    whole("rabbitmq_global_messages_redelivered_total", &REDELIVERED),
    whole("rabbitmq_global_messages_unroutable_dropped_total", &DROPPED),
    dead("rabbitmq_global_messages_dead_lettered_delivery_limit_total", "delivery_limit"),
    dead("rabbitmq_global_messages_dead_lettered_expired_total", "expired"),
    dead("rabbitmq_global_messages_dead_lettered_maxlen_total", "maxlen"),
    dead("rabbitmq_global_messages_dead_lettered_rejected_total", "rejected"),
    node("rabbitmq_process_resident_memory_bytes", &NODE_MEMORY),
    node("rabbitmq_resident_memory_limit_bytes", &NODE_MEMORY_LIMIT),
    node("rabbitmq_disk_space_available_bytes", &NODE_DISK_FREE),
    node("rabbitmq_disk_space_available_limit_bytes", &NODE_DISK_LIMIT),
    node("rabbitmq_process_open_fds", &NODE_FILES),
    node("rabbitmq_process_max_fds", &NODE_FILES_LIMIT),
    node(LOST_NODES, &NODE_PARTITIONS),
    alarm("rabbitmq_alarms_memory_used_watermark", "memory"),
    alarm("rabbitmq_alarms_free_disk_space_watermark", "disk"),
];

/// What `/metrics` tells.
#[derive(Debug, Default, PartialEq)]
struct Node {
    name: String,
    version: String,
    /// Each family's sum over its labels.
    sums: BTreeMap<&'static str, f64>,
}

/// What `/metrics/detailed` tells of one queue.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Told {
    ready: Option<u64>,
    unacknowledged: Option<u64>,
    consumers: Option<u64>,
    capacity: Option<f64>,
}

/// Queues by virtual host and name, and how many there are.
#[derive(Debug, Default)]
struct Queues<'a> {
    by_name: HashMap<(Cow<'a, str>, Cow<'a, str>), Told>,
    seen: usize,
}

impl Rabbitmq {
    /// A round by the Prometheus plugin. [`CollectError::Query`] where there is none.
    pub(super) async fn by_text(&mut self, out: &mut Samples) -> Result<(), CollectError> {
        let answer = self.http.get("/metrics", FORMAT, MAX_ANSWER).await.map_err(|error| match error {
            CollectError::Parse(why) => {
                CollectError::Parse(format!("{why}: take out prometheus.return_per_object_metrics"))
            }
            other => other,
        })?;
        let failed = |path: &str, why: Fault| CollectError::Parse(format!("{}: {path}: {why}", self.http.name()));
        let node = read_node(&answer.body).map_err(|why| failed("/metrics", why))?;
        if node.name.is_empty() {
            return Err(CollectError::Query(format!("{}/metrics is not RabbitMQ's", self.http.name())));
        }
        self.speaks_text = true;
        self.version.clone_from(&node.version);
        node.put(out);
        self.untold.extend(node.missing());
        let total = node.sums.get(QUEUES_OF_ALL).map_or(0, |total| *total as usize);
        self.queues_by_text(total, out).await
    }

    async fn queues_by_text(&mut self, total: usize, out: &mut Samples) -> Result<(), CollectError> {
        (self.queues, self.left_out) = (total, 0);
        let too_many = |why: &str| format!("queues are not told apart: {why}");
        if total > MAX_QUEUES {
            out.put(&QUEUES_LEFT_OUT, total);
            self.untold.push(too_many("there are more than 20,000"));
            return Ok(());
        }
        let more = if total > TOLD { "" } else { "&family=queue_metrics" };
        let path = format!("/metrics/detailed?family=queue_coarse_metrics&family=queue_consumer_count{more}");
        let answer = match self.http.get(&path, FORMAT, MAX_ANSWER).await {
            Err(CollectError::Query(why)) => {
                self.untold.push(format!("queues are not told apart: {why}; RabbitMQ 3.10 and later have it"));
                return Ok(());
            }
            Err(CollectError::Parse(why)) => {
                out.put(&QUEUES_LEFT_OUT, total);
                self.untold.push(too_many(&why));
                return Ok(());
            }
            answer => answer?,
        };
        let queues = read_queues(&answer.body)
            .map_err(|why| CollectError::Parse(format!("{}: /metrics/detailed: {why}", self.http.name())))?;
        if queues.seen == 0 && total > 0 {
            self.untold.push(format!("of {total} queues none has its leader on this node"));
        }
        self.put_queues(&queues.longest(), queues.seen, out);
        Ok(())
    }
}

impl Node {
    fn put(&self, out: &mut Samples) {
        let own = [("rabbitmq.node.name", self.name.as_str())];
        // It answered.
        out.put_with(&NODE_RUNNING, &own, 1_u64);
        for family in FAMILIES {
            let Some(value) = self.sums.get(family.name) else { continue };
            let mut attributes = if family.of_node { own.to_vec() } else { Vec::new() };
            attributes.extend(family.attribute);
            out.put_with(family.desc, &attributes, *value as u64);
        }
    }

    /// What this version should tell and does not.
    fn missing(&self) -> Option<String> {
        let is_missing = |family: &&Family| family.name != LOST_NODES && !self.sums.contains_key(family.name);
        let missing: Vec<&str> = FAMILIES.iter().filter(is_missing).map(|family| family.name).collect();
        let first = missing.first()?;
        Some(match missing.len() {
            1 => format!("it does not tell {first}"),
            more => format!("it does not tell {first} and {} more", more - 1),
        })
    }
}

fn read_node(body: &[u8]) -> Result<Node, Fault> {
    let mut out = Node::default();
    // The lines of a family stand together.
    let (mut last, mut family) = (String::new(), None);
    text::parse(body, false, &mut |line| {
        let Line::Sample { name, labels, value } = line else { return };
        let label = |wanted: &str| labels.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value);
        match name {
            "rabbitmq_identity_info" => out.name = label("rabbitmq_node").to_owned(),
            "rabbitmq_build_info" => out.version = shown(label("rabbitmq_version")),
            _ => {
                if last != name {
                    last.clear();
                    last.push_str(name);
                    family = FAMILIES.iter().find(|family| family.name == name);
                }
                if let (Some(family), Some(value)) = (family, good(value)) {
                    *out.sums.entry(family.name).or_default() += value;
                }
            }
        }
    })?;
    Ok(out)
}

fn read_queues(body: &[u8]) -> Result<Queues<'_>, Fault> {
    let mut out = Queues::default();
    text::parse(body, false, &mut |line| {
        let Line::Sample { name, labels, value } = line else { return };
        let Some(kind) = name.strip_prefix("rabbitmq_detailed_queue_") else { return };
        if !matches!(kind, "messages_ready" | "messages_unacked" | "consumers" | "consumer_capacity") {
            return;
        }
        let label = |wanted: &str| labels.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
        let (Some(key), Some(value)) = (label("vhost").zip(label("queue")), good(value)) else { return };
        out.seen += usize::from(kind == "messages_ready");
        if out.by_name.len() >= MAX_QUEUES && !out.by_name.contains_key(&key) {
            return;
        }
        let told = out.by_name.entry(key).or_default();
        match kind {
            "messages_ready" => told.ready = Some(value as u64),
            "messages_unacked" => told.unacknowledged = Some(value as u64),
            "consumers" => told.consumers = Some(value as u64),
            _ => told.capacity = Some(value),
        }
    })?;
    Ok(out)
}

impl Queues<'_> {
    /// The longest first, then by name, so that equal ones stay the same.
    fn longest(&self) -> Vec<Row<'_>> {
        let mut all = Vec::with_capacity(self.by_name.len());
        for ((vhost, name), told) in &self.by_name {
            let Told { ready, unacknowledged, consumers, capacity } = *told;
            all.push(Row { vhost, name, ready, unacknowledged, consumers, capacity, members: None });
        }
        all.sort_by_key(|row| (std::cmp::Reverse(row.ready), row.vhost, row.name));
        all.truncate(TOLD);
        all
    }
}

/// A count.
fn good(value: f64) -> Option<f64> {
    (value.is_finite() && value >= 0.0).then_some(value)
}

#[cfg(test)]
mod tests;
