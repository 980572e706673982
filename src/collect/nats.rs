//! NATS and JetStream, by the server's monitoring endpoint (`-m 8222`).
//!
//! Rights: none; the endpoint asks nobody, so it belongs on loopback. Cost: `/varz` and two bounded `/jsz` in a round,
//! answered from memory; of more than 4,000 streams and consumers only the streams, of more than 10,000 only the
//! number. A server tells only of what lies on itself: watch each one of a cluster.
//!
//! Each durable consumer is a queue named `stream/consumer`: `ready` is what it has not been given, `active` what it
//! has not acknowledged, `completed` what it has without a gap. There is no age: the age of the stream's oldest message is
//! `nats.stream.oldest.age`. What passed its `max_deliver` has no number of its own: it is in neither state, and stays in
//! `nats.consumer.redelivered`, which is then more than `active`.

use std::cmp::Reverse;

use async_trait::async_trait;
use serde_json::Value;

use super::http::Http;
use super::queue::{self, Queue};
use super::{CollectError, Collector};
use crate::base::clock;
use crate::base::http::shown;
use crate::signal::metrics::{Desc, Samples};

pub mod config;

/// Every metric, in the order of the parts.
pub const METRICS: &[&[Desc]] = &[OWN, queue::METRICS];

const OWN: &[Desc] = &[
    UPTIME,
    CONNECTIONS,
    CONNECTION_LIMIT,
    CONNECTION_TOTAL,
    MEMORY,
    SLOW_CONSUMERS,
    SUBSCRIPTIONS,
    RECEIVED,
    SENT,
    BYTES_RECEIVED,
    BYTES_SENT,
    STORAGE,
    STORAGE_LIMIT,
    STORE_MEMORY,
    STORE_MEMORY_LIMIT,
    API_ERRORS,
    STREAM_MESSAGES,
    STREAM_BYTES,
    STREAM_LIMIT,
    STREAM_AGE,
    STREAM_LAST,
    REPLICA_BEHIND,
    REPLICA_CURRENT,
    REDELIVERED,
    LEFT_OUT,
];
const UPTIME: Desc = Desc::gauge("nats.uptime", "s", "Time since the server started.");
const CONNECTIONS: Desc = Desc::gauge("nats.connection.count", "{connection}", "Client connections.");
const CONNECTION_LIMIT: Desc = Desc::gauge("nats.connection.limit", "{connection}", "Most client connections.");
const CONNECTION_TOTAL: Desc =
    Desc::counter("nats.connection.accepted", "{connection}", "Client connections since the start.");
const MEMORY: Desc = Desc::gauge("nats.memory.used", "By", "Resident memory of the server.");
const SLOW_CONSUMERS: Desc =
    Desc::counter("nats.slow_consumers", "{connection}", "Clients that were cut off because they did not keep up.");
const SUBSCRIPTIONS: Desc = Desc::gauge("nats.subscription.count", "{subscription}", "Subscriptions.");
const RECEIVED: Desc = Desc::counter("nats.message.received", "{message}", "Messages that came in.");
const SENT: Desc = Desc::counter("nats.message.sent", "{message}", "Messages that went out.");
const BYTES_RECEIVED: Desc = Desc::counter("nats.io.received", "By", "Bytes that came in.");
const BYTES_SENT: Desc = Desc::counter("nats.io.sent", "By", "Bytes that went out.");
const STORAGE: Desc = Desc::gauge("nats.jetstream.storage.used", "By", "Disk that streams take.");
const STORAGE_LIMIT: Desc = Desc::gauge("nats.jetstream.storage.limit", "By", "Disk that streams may take.");
const STORE_MEMORY: Desc = Desc::gauge("nats.jetstream.memory.used", "By", "Memory that streams take.");
const STORE_MEMORY_LIMIT: Desc = Desc::gauge("nats.jetstream.memory.limit", "By", "Memory that streams may take.");
const API_ERRORS: Desc = Desc::counter("nats.jetstream.api.errors", "{error}", "Requests to JetStream that failed.");
const STREAM_MESSAGES: Desc = Desc::gauge("nats.stream.messages", "{message}", "Messages that a stream holds.");
const STREAM_BYTES: Desc = Desc::gauge("nats.stream.size", "By", "Bytes that a stream holds.");
const STREAM_LIMIT: Desc =
    Desc::gauge("nats.stream.size.limit", "By", "Bytes that a stream may hold; absent without a limit.");
const STREAM_AGE: Desc =
    Desc::gauge("nats.stream.oldest.age", "s", "Age of the oldest message of a stream; absent when it is empty.");
const STREAM_LAST: Desc =
    Desc::counter("nats.stream.last_sequence", "{message}", "Messages that were ever put into a stream.");
const REPLICA_BEHIND: Desc =
    Desc::gauge("nats.stream.replica.behind", "{operation}", "Operations that a replica of a stream has not applied.");
const REPLICA_CURRENT: Desc = Desc::gauge("nats.stream.replica.current", "", "1 while a replica of a stream keeps up.");
const REDELIVERED: Desc = Desc::gauge(
    "nats.consumer.redelivered",
    "{message}",
    "Messages given out more than once and not acknowledged: those beyond the active ones have passed max_deliver.",
);
const LEFT_OUT: Desc =
    Desc::gauge("nats.stream.left_out", "{stream}", "Streams that are not told apart because there are too many.");

/// Streams that are asked for.
const STREAMS: usize = 256;
/// Consumers of a stream that are told apart.
const CONSUMERS: usize = 50;
const MAX_ANSWER: usize = 8 << 20;

/// One server.
pub struct Nats {
    http: Http,
    version: String,
    streams: u64,
    parts: Parts,
}

/// What of JetStream is small enough to be asked for: its answer knows no pages of streams.
#[derive(Debug, Clone, Copy, Default)]
enum Parts {
    #[default]
    All,
    Streams,
    None,
}

impl Parts {
    /// A stream or a consumer takes one to two KB of the answer with its config, a stream alone some 700 bytes.
    fn of(streams: u64, consumers: u64) -> Self {
        if streams.saturating_add(consumers) <= 4_000 {
            Self::All
        } else if streams <= 10_000 {
            Self::Streams
        } else {
            Self::None
        }
    }

    fn path(self) -> Option<&'static str> {
        match self {
            Self::All => Some("/jsz?accounts=true&streams=true&consumers=true&config=true"),
            Self::Streams => Some("/jsz?accounts=true&streams=true"),
            Self::None => None,
        }
    }
}

impl Nats {
    /// Asks at the monitoring address.
    pub fn new(http: Http) -> Self {
        Self { http, version: String::new(), streams: 0, parts: Parts::All }
    }
}

#[async_trait]
impl Collector for Nats {
    async fn collect(&mut self, out: &mut Samples) -> Result<(), CollectError> {
        let varz = self.http.json("/varz", MAX_ANSWER).await?;
        self.version = shown(varz["version"].as_str().unwrap_or_default());
        put_server(&varz, out);
        if varz["jetstream"].as_object().is_none_or(serde_json::Map::is_empty) {
            return Ok(());
        }
        let jsz = self.http.json("/jsz", MAX_ANSWER).await?;
        let count = |key: &str| jsz[key].as_u64().unwrap_or(0);
        self.streams = count("streams");
        if let Some(errors) = jsz["api"]["errors"].as_u64() {
            out.put(&API_ERRORS, errors);
        }
        self.parts = Parts::of(self.streams, count("consumers"));
        let Some(path) = self.parts.path() else {
            out.put(&LEFT_OUT, self.streams);
            return Ok(());
        };
        let jsz = self.http.json(path, MAX_ANSWER).await?;
        let accounts = jsz["account_details"].as_array().into_iter().flatten();
        let mut streams: Vec<(&str, &Value)> = Vec::new();
        for account in accounts {
            let name = account["name"].as_str().unwrap_or_default();
            streams.extend(account["stream_detail"].as_array().into_iter().flatten().map(|stream| (name, stream)));
        }
        streams.sort_by_key(|(_, stream)| Reverse(stream["state"]["messages"].as_u64().unwrap_or(0)));
        out.put(&LEFT_OUT, self.streams.saturating_sub(STREAMS as u64));
        let can_pause = can_pause(&self.version);
        for (account, stream) in streams.into_iter().take(STREAMS) {
            put_stream(account, stream, can_pause, out);
        }
        Ok(())
    }

    fn detail(&self) -> String {
        if self.version.is_empty() {
            return String::new();
        }
        let lacking = match self.parts {
            Parts::All => "",
            Parts::Streams => "; too many to read their consumers",
            Parts::None => "; too many to read",
        };
        format!("{}, {} streams{lacking}", self.version, self.streams)
    }
}

fn put_server(varz: &Value, out: &mut Samples) {
    let plain = [
        ("connections", &CONNECTIONS),
        ("max_connections", &CONNECTION_LIMIT),
        ("total_connections", &CONNECTION_TOTAL),
        ("mem", &MEMORY),
        ("slow_consumers", &SLOW_CONSUMERS),
        ("subscriptions", &SUBSCRIPTIONS),
        ("in_msgs", &RECEIVED),
        ("out_msgs", &SENT),
        ("in_bytes", &BYTES_RECEIVED),
        ("out_bytes", &BYTES_SENT),
    ];
    for (key, desc) in plain {
        if let Some(value) = varz[key].as_f64() {
            out.put(desc, value);
        }
    }
    if let (Some(start), Some(now)) = (time(&varz["start"]), time(&varz["now"])) {
        out.put(&UPTIME, (now - start).max(0.0));
    }
    let (stats, config) = (&varz["jetstream"]["stats"], &varz["jetstream"]["config"]);
    let jetstream = [
        (&stats["storage"], &STORAGE),
        (&config["max_storage"], &STORAGE_LIMIT),
        (&stats["memory"], &STORE_MEMORY),
        (&config["max_memory"], &STORE_MEMORY_LIMIT),
    ];
    for (value, desc) in jetstream {
        if let Some(value) = value.as_f64().filter(|value| *value >= 0.0) {
            out.put(desc, value);
        }
    }
}

fn put_stream(account: &str, stream: &Value, can_pause: bool, out: &mut Samples) {
    let Some(name) = stream["name"].as_str() else { return };
    let own = [("nats.account", account), ("nats.stream.name", name)];
    let state = &stream["state"];
    let plain =
        [(&state["messages"], &STREAM_MESSAGES), (&state["bytes"], &STREAM_BYTES), (&state["last_seq"], &STREAM_LAST)];
    for (value, desc) in plain {
        if let Some(value) = value.as_f64() {
            out.put_with(desc, &own, value);
        }
    }
    if let Some(limit) = stream["config"]["max_bytes"].as_f64().filter(|limit| *limit > 0.0) {
        out.put_with(&STREAM_LIMIT, &own, limit);
    }
    let now = clock::unix_nanos() as f64 / 1e9;
    if state["messages"].as_u64().is_some_and(|count| count > 0)
        && let Some(first) = time(&state["first_ts"])
    {
        out.put_with(&STREAM_AGE, &own, (now - first).max(0.0));
    }
    for replica in stream["cluster"]["replicas"].as_array().into_iter().flatten() {
        let Some(peer) = replica["name"].as_str() else { continue };
        let own = [own[0], own[1], ("nats.replica", peer)];
        out.put_with(&REPLICA_BEHIND, &own, replica["lag"].as_u64().unwrap_or(0));
        out.put_with(&REPLICA_CURRENT, &own, u64::from(replica["current"].as_bool().unwrap_or(false)));
    }
    for consumer in stream["consumer_detail"].as_array().into_iter().flatten().take(CONSUMERS) {
        put_consumer(account, name, consumer, can_pause, out);
    }
}

fn put_consumer(account: &str, stream: &str, consumer: &Value, can_pause: bool, out: &mut Samples) {
    let Some(name) = consumer["name"].as_str() else { return };
    // One that nobody gave a name to lives as long as its client: a series for each would never end.
    let durable = consumer["config"]["durable_name"].as_str().is_some_and(|name| !name.is_empty());
    if !durable {
        return;
    }
    let queue = format!("{stream}/{name}");
    let count = |key: &str| consumer[key].as_u64();
    let shared = Queue {
        system: "nats",
        name: &queue,
        scope: Some(("nats.account", account)),
        ready: count("num_pending"),
        active: count("num_ack_pending"),
        // Those who pull show by their open requests; of those who are pushed to, NATS tells only whether there is one.
        consumers: match &consumer["config"]["deliver_subject"] {
            Value::String(_) => Some(u64::from(consumer["push_bound"].as_bool().unwrap_or(false))),
            _ => count("num_waiting"),
        },
        // What was acknowledged without a gap, since the stream began.
        completed: consumer["ack_floor"]["consumer_seq"].as_u64(),
        // It is left out of the answer while it is false.
        paused: can_pause.then(|| consumer["paused"].as_bool().unwrap_or(false)),
        ..Queue::default()
    };
    shared.put(out);
    if let Some(redelivered) = count("num_redelivered") {
        out.put_with(&REDELIVERED, &[("messaging.destination.name", &queue), ("nats.account", account)], redelivered);
    }
}

/// Consumers can be paused from 2.11 on.
fn can_pause(version: &str) -> bool {
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(2), Some(11))
}

/// Unix seconds of an RFC 3339 time.
fn time(value: &Value) -> Option<f64> {
    let at: jiff::Timestamp = value.as_str()?.parse().ok()?;
    Some(at.as_nanosecond() as f64 / 1e9)
}
