//! NATS and JetStream, by the server's monitoring endpoint (`-m 8222`).
//!
//! Rights: none; the endpoint asks nobody, so it belongs on loopback. Cost: `/varz` and two bounded `/jsz` in a round,
//! answered from memory; of more than 4,000 streams and consumers only the streams, of more than 10,000 only the
//! number. A server tells only of what lies on itself, and of a consumer and of a stream's replicas only as their leader:
//! watch each one of a cluster.
//!
//! Each durable consumer is a queue named `stream/consumer`: `ready` is what it has not been given, `active` what it
//! has not acknowledged, `completed` what it has without a gap; `consumers` are the open requests for messages, or 1 where
//! one was taken or acknowledged within a minute or twice its `ack_wait`. There is no age: the age of the stream's oldest
//! message is `nats.stream.oldest.age`. What passed its `max_deliver` has no number of its own: it is in neither state,
//! and stays in `nats.consumer.redelivered`, which is then more than `active`.

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
    CONSUMERS_LEFT_OUT,
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

const CONSUMERS_LEFT_OUT: Desc = Desc::gauge(
    "nats.consumer.left_out",
    "{consumer}",
    "Durable consumers that are not told apart because there are too many; those with the most to do are.",
);

/// Streams that are asked for.
const STREAMS: usize = 256;
/// Consumers of a stream that are told apart.
const CONSUMERS: usize = 50;
/// Seconds in which a worker that is busy takes or acknowledges a message.
const LATELY: f64 = 60.0;
const MAX_ANSWER: usize = 8 << 20;

/// One server.
pub struct Nats {
    http: Http,
    version: String,
    streams: u64,
    parts: Parts,
    consumers_left_out: usize,
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
        Self { http, version: String::new(), streams: 0, parts: Parts::All, consumers_left_out: 0 }
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
        // Equal ones by name, as their order in the answer is none.
        let name = |stream: &'_ Value| stream["name"].as_str().unwrap_or_default().to_owned();
        streams.sort_by_cached_key(|(account, stream)| {
            (Reverse(stream["state"]["messages"].as_u64().unwrap_or(0)), *account, name(stream))
        });
        out.put(&LEFT_OUT, self.streams.saturating_sub(STREAMS as u64));
        let server = Server::of(&varz, &self.version);
        let (told, others) = streams.split_at(streams.len().min(STREAMS));
        self.consumers_left_out = others.iter().map(|(_, stream)| server.consumers(stream).len()).sum();
        for (account, stream) in told {
            put_stream(account, stream, &server, out);
            let consumers = server.consumers(stream);
            self.consumers_left_out += consumers.len().saturating_sub(CONSUMERS);
            for consumer in consumers.into_iter().take(CONSUMERS) {
                put_consumer(account, stream, consumer, &server, out);
            }
        }
        if matches!(self.parts, Parts::All) {
            out.put(&CONSUMERS_LEFT_OUT, self.consumers_left_out);
        }
        Ok(())
    }

    fn detail(&self) -> String {
        if self.version.is_empty() {
            return String::new();
        }
        let lacking = match (self.parts, self.consumers_left_out) {
            (Parts::All, 0) => String::new(),
            (Parts::All, more) => format!("; {more} consumers are not told apart"),
            (Parts::Streams, _) => "; too many to read their consumers".to_owned(),
            (Parts::None, _) => "; too many to read".to_owned(),
        };
        format!("{}, {} streams{lacking}", self.version, self.streams)
    }
}

/// What the server says of itself, for all that lies on it.
struct Server<'a> {
    name: &'a str,
    can_pause: bool,
    /// By its own clock, as all times are that it tells.
    now: f64,
}

impl<'a> Server<'a> {
    fn of(varz: &'a Value, version: &str) -> Self {
        let now = time(&varz["now"]).unwrap_or(clock::unix_nanos() as f64 / 1e9);
        Self { name: varz["server_name"].as_str().unwrap_or_default(), can_pause: can_pause(version), now }
    }

    /// Whether it knows how a stream or a consumer stands: in a cluster their leader does, and others tell of a consumer
    /// that has done nothing and of replicas that are far behind.
    fn leads(&self, one: &Value) -> bool {
        one["cluster"].is_null() || one["cluster"]["leader"] == self.name
    }

    /// The consumers of a stream that it tells of, the one with the most to do first.
    fn consumers<'b>(&self, stream: &'b Value) -> Vec<&'b Value> {
        let all = stream["consumer_detail"].as_array().into_iter().flatten();
        // One that nobody gave a name to lives as long as its client: a series for each would never end.
        let durable =
            |consumer: &&Value| consumer["config"]["durable_name"].as_str().is_some_and(|name| !name.is_empty());
        let mut told: Vec<&Value> = all.filter(durable).filter(|consumer| self.leads(consumer)).collect();
        told.sort_by_key(|consumer| {
            (Reverse(consumer["num_pending"].as_u64().unwrap_or(0)), consumer["name"].as_str().unwrap_or_default())
        });
        told
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

fn put_stream(account: &str, stream: &Value, server: &Server<'_>, out: &mut Samples) {
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
    if state["messages"].as_u64().is_some_and(|count| count > 0)
        && let Some(first) = time(&state["first_ts"])
    {
        out.put_with(&STREAM_AGE, &own, (server.now - first).max(0.0));
    }
    let replicas = stream["cluster"]["replicas"].as_array().filter(|_| server.leads(stream));
    for replica in replicas.into_iter().flatten() {
        let Some(peer) = replica["name"].as_str() else { continue };
        let own = [own[0], own[1], ("nats.replica", peer)];
        out.put_with(&REPLICA_BEHIND, &own, replica["lag"].as_u64().unwrap_or(0));
        out.put_with(&REPLICA_CURRENT, &own, u64::from(replica["current"].as_bool().unwrap_or(false)));
    }
}

fn put_consumer(account: &str, stream: &Value, consumer: &Value, server: &Server<'_>, out: &mut Samples) {
    let (Some(stream), Some(name)) = (stream["name"].as_str(), consumer["name"].as_str()) else { return };
    let queue = format!("{stream}/{name}");
    let count = |key: &str| consumer[key].as_u64();
    let shared = Queue {
        system: "nats",
        name: &queue,
        scope: Some(("nats.account", account)),
        ready: count("num_pending"),
        active: count("num_ack_pending"),
        consumers: workers(consumer, server.now),
        // What was acknowledged without a gap, since the stream began.
        completed: consumer["ack_floor"]["consumer_seq"].as_u64(),
        // It is left out of the answer while it is false.
        paused: server.can_pause.then(|| consumer["paused"].as_bool().unwrap_or(false)),
        ..Queue::default()
    };
    shared.put(out);
    if let Some(redelivered) = count("num_redelivered") {
        out.put_with(&REDELIVERED, &[("messaging.destination.name", &queue), ("nats.account", account)], redelivered);
    }
}

/// Of those who are pushed to, NATS tells only whether there is one. Those who pull show by their open requests, and while
/// messages wait each of these is answered at once: whoever took or acknowledged one lately is there too.
fn workers(consumer: &Value, now: f64) -> Option<u64> {
    let config = &consumer["config"];
    if config["deliver_subject"].is_string() {
        return Some(u64::from(consumer["push_bound"].as_bool().unwrap_or(false)));
    }
    let waiting = consumer["num_waiting"].as_u64()?;
    // So long may the work on one message take.
    let wait = config["ack_wait"].as_f64().unwrap_or(0.0) / 1e9;
    let lately = ["delivered", "ack_floor"]
        .iter()
        .filter_map(|part| time(&consumer[part]["last_active"]))
        .any(|last| now - last <= (2.0 * wait).max(LATELY));
    Some(waiting.max(u64::from(lately)))
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
