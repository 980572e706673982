//! `INFO` of Redis, Valkey and KeyDB, and its metrics.
//!
//! Names after the collector-contrib receiver `redis`; those it does not have are our own, in seconds and bytes.

use std::collections::HashMap;

use crate::base::http::shown;
use crate::signal::metrics::{Desc, Samples};

/// Every metric that comes from INFO.
pub(super) const METRICS: &[Desc] = &[
    UPTIME,
    CPU,
    CLIENTS,
    CLIENT_LIMIT,
    BLOCKED,
    MAX_INPUT,
    MAX_OUTPUT,
    EXPIRED,
    EVICTED,
    RECEIVED,
    REJECTED,
    MEMORY,
    MEMORY_PEAK,
    MEMORY_RSS,
    MEMORY_LUA,
    MEMORY_LIMIT,
    MEMORY_POLICY,
    FRAGMENTATION,
    EVICTION_TIME,
    CHANGES,
    COMMANDS,
    COMMAND_CALLS,
    COMMAND_TIME,
    COMMAND_FAILED,
    COMMAND_LATENCY,
    NET_INPUT,
    NET_OUTPUT,
    HITS,
    MISSES,
    FORK,
    REPLICAS,
    ROLE,
    OFFSET,
    BACKLOG_FIRST,
    REPLICA_OFFSET,
    REPLICA_BEHIND,
    REPLICA_ACK,
    LINK_UP,
    LINK_DOWN,
    LINK_IO,
    KEYS,
    EXPIRES,
    AVG_TTL,
    SAVE_OK,
    SAVE_AGE,
    AOF_OK,
    LOADING,
    ERRORS,
    CLUSTER,
];
const UPTIME: Desc = Desc::counter("redis.uptime", "s", "Seconds since the server started.");
const CPU: Desc = Desc::counter("redis.cpu.time", "s", "Processor time of the server, by state.");
const CLIENTS: Desc =
    Desc::updown("redis.clients.connected", "{client}", "Client connections, without those of replicas.");
const CLIENT_LIMIT: Desc = Desc::gauge("redis.clients.limit", "{client}", "Most client connections: maxclients.");
const BLOCKED: Desc = Desc::updown("redis.clients.blocked", "{client}", "Clients that wait in a blocking call.");
const MAX_INPUT: Desc = Desc::gauge("redis.clients.max_input_buffer", "By", "Largest input buffer of a client.");
const MAX_OUTPUT: Desc = Desc::gauge("redis.clients.max_output_buffer", "By", "Largest output buffer of a client.");
const EXPIRED: Desc = Desc::counter("redis.keys.expired", "{event}", "Keys that expired.");
const EVICTED: Desc =
    Desc::counter("redis.keys.evicted", "{key}", "Keys that were thrown out because maxmemory was reached.");
const RECEIVED: Desc = Desc::counter("redis.connections.received", "{connection}", "Connections that were accepted.");
const REJECTED: Desc =
    Desc::counter("redis.connections.rejected", "{connection}", "Connections refused because of maxclients.");
const MEMORY: Desc = Desc::gauge("redis.memory.used", "By", "Bytes that the server allocated.");
const MEMORY_PEAK: Desc = Desc::gauge("redis.memory.peak", "By", "Most bytes that the server had allocated.");
const MEMORY_RSS: Desc = Desc::gauge("redis.memory.rss", "By", "Resident bytes, as the system sees them.");
const MEMORY_LUA: Desc = Desc::gauge("redis.memory.lua", "By", "Bytes of the Lua engine.");
const MEMORY_LIMIT: Desc = Desc::gauge(
    "redis.maxmemory",
    "By",
    "The limit of memory; absent where none is set, and then the box is the limit.",
);
const MEMORY_POLICY: Desc =
    Desc::gauge("redis.maxmemory.policy", "", "1 for what happens at the limit; under noeviction writes fail.");
const FRAGMENTATION: Desc = Desc::gauge(
    "redis.memory.fragmentation_ratio",
    "1",
    "Resident by allocated bytes; says nothing below some 100 MB.",
);
const EVICTION_TIME: Desc = Desc::counter("redis.eviction.time", "s", "Time for which memory was above maxmemory.");
const CHANGES: Desc = Desc::updown("redis.rdb.changes_since_last_save", "{change}", "Changes since the last dump.");
const COMMANDS: Desc = Desc::counter("redis.commands.processed", "{command}", "Commands that were processed.");
const COMMAND_CALLS: Desc = Desc::counter("redis.cmd.calls", "{call}", "Calls of a command.");
const COMMAND_TIME: Desc = Desc::counter("redis.cmd.usec", "us", "Time of all calls of a command.");
const COMMAND_FAILED: Desc =
    Desc::counter("redis.cmd.failed", "{call}", "Calls of a command that failed or were rejected.");
const COMMAND_LATENCY: Desc =
    Desc::gauge("redis.cmd.latency", "s", "Time of a command's calls, by percentile, since the start; since 7.0.");
const NET_INPUT: Desc = Desc::counter("redis.net.input", "By", "Bytes read from the network.");
const NET_OUTPUT: Desc = Desc::counter("redis.net.output", "By", "Bytes written to the network.");
const HITS: Desc = Desc::counter("redis.keyspace.hits", "{hit}", "Lookups that found their key.");
const MISSES: Desc = Desc::counter("redis.keyspace.misses", "{miss}", "Lookups that did not find their key.");
const FORK: Desc = Desc::gauge("redis.latest_fork", "us", "Time of the latest fork, during which nothing is served.");
const REPLICAS: Desc = Desc::updown("redis.slaves.connected", "{replica}", "Replicas that are connected.");
const ROLE: Desc = Desc::updown("redis.role", "{role}", "1 for the role of the server, primary or replica.");
const OFFSET: Desc = Desc::gauge("redis.replication.offset", "By", "The server's own replication offset.");
const BACKLOG_FIRST: Desc = Desc::gauge(
    "redis.replication.backlog_first_byte_offset",
    "By",
    "Offset of the first byte of the replication backlog.",
);
const REPLICA_OFFSET: Desc =
    Desc::gauge("redis.replication.replica_offset", "By", "Offset that a replica has acknowledged.");
const REPLICA_BEHIND: Desc =
    Desc::gauge("redis.replication.replica.behind", "By", "Bytes that a replica has not acknowledged.");
const REPLICA_ACK: Desc =
    Desc::gauge("redis.replication.replica.ack.age", "s", "Time since a replica's last acknowledgement.");
const LINK_UP: Desc =
    Desc::gauge("redis.replication.link.up", "", "On a replica: 1 while it is connected to its primary.");
const LINK_DOWN: Desc = Desc::gauge(
    "redis.replication.link.down.time",
    "s",
    "On a replica: time since the connection to the primary was lost.",
);
const LINK_IO: Desc =
    Desc::gauge("redis.replication.link.io.age", "s", "On a replica: time since the primary said something.");
const KEYS: Desc = Desc::gauge("redis.db.keys", "{key}", "Keys of a database.");
const EXPIRES: Desc = Desc::gauge("redis.db.expires", "{key}", "Keys of a database that have a time to live.");
const AVG_TTL: Desc = Desc::gauge("redis.db.avg_ttl", "ms", "Mean time to live of those keys.");
const SAVE_OK: Desc = Desc::gauge("redis.rdb.save.ok", "", "1 when the last dump was written, 0 when it failed.");
const SAVE_AGE: Desc =
    Desc::gauge("redis.rdb.save.age", "s", "Time since the last dump; where none was made yet, since the start.");
const AOF_OK: Desc = Desc::gauge(
    "redis.aof.write.ok",
    "",
    "1 when the append-only file was written, 0 when that failed; absent without one.",
);
const LOADING: Desc = Desc::gauge("redis.loading", "", "1 while the server loads its data and serves nothing.");
const ERRORS: Desc = Desc::counter("redis.errors", "{error}", "Errors that were answered, by kind; since 6.2.");
const CLUSTER: Desc = Desc::gauge("redis.cluster.enabled", "", "1 on a node of a cluster.");

/// Commands, commands' latencies, errors and databases that are told apart, of each.
const MAX_KINDS: usize = 200;

/// The fields of an INFO.
#[derive(Debug, Default)]
pub(super) struct Info<'a> {
    fields: HashMap<&'a str, &'a str>,
    /// Those that name something: `cmdstat_get`, `db0`, `slave0`, `errorstat_ERR`, in their order.
    named: Vec<(&'a str, &'a str)>,
}

/// Reads the text of INFO. Lines that are none are left out.
pub(super) fn parse(text: &str) -> Info<'_> {
    let mut info = Info::default();
    for line in text.lines() {
        let Some((name, value)) = line.trim_end().split_once(':') else { continue };
        let names =
            ["cmdstat_", "latency_percentiles_usec_", "errorstat_"].iter().any(|prefix| name.starts_with(prefix))
                || numbered(name, "db")
                || numbered(name, "slave");
        if names {
            info.named.push((name, value));
        } else {
            info.fields.insert(name, value);
        }
    }
    info
}

fn numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

impl<'a> Info<'a> {
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.fields.get(name).copied()
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.text(name)?.trim().parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// `redis 7.0.15`, `valkey 9.1.2`, `keydb 6.3.4`: Valkey says a Redis version too, and KeyDB says no other.
    pub(super) fn flavour(&self) -> String {
        let version = self.text("redis_version").unwrap_or("?");
        let flavour = match (self.text("valkey_version"), self.text("server_threads")) {
            (Some(valkey), _) => format!("valkey {valkey}"),
            (None, Some(_)) => format!("keydb {version}"),
            (None, None) => format!("redis {version}"),
        };
        shown(&flavour)
    }

    /// Major and minor version of Redis that the server is like.
    pub(super) fn version(&self) -> (u32, u32) {
        let mut parts = self.text("redis_version").unwrap_or_default().split('.').map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }

    /// Puts everything that is known.
    pub(super) fn put(&self, now: f64, out: &mut Samples) {
        self.put_plain(out);
        self.put_memory(out);
        self.put_saves(now, out);
        self.put_replication(out);
        self.put_named(out);
    }

    fn put_one(&self, out: &mut Samples, name: &str, attributes: &[(&str, &str)], desc: &'static Desc) {
        if let Some(number) = self.number(name) {
            out.put_with(desc, attributes, number);
        }
    }

    fn put_plain(&self, out: &mut Samples) {
        let plain = [
            ("uptime_in_seconds", &UPTIME),
            ("connected_clients", &CLIENTS),
            ("maxclients", &CLIENT_LIMIT),
            ("blocked_clients", &BLOCKED),
            ("client_recent_max_input_buffer", &MAX_INPUT),
            ("client_recent_max_output_buffer", &MAX_OUTPUT),
            ("expired_keys", &EXPIRED),
            ("evicted_keys", &EVICTED),
            ("total_connections_received", &RECEIVED),
            ("rejected_connections", &REJECTED),
            ("total_commands_processed", &COMMANDS),
            ("total_net_input_bytes", &NET_INPUT),
            ("total_net_output_bytes", &NET_OUTPUT),
            ("keyspace_hits", &HITS),
            ("keyspace_misses", &MISSES),
            ("latest_fork_usec", &FORK),
            ("loading", &LOADING),
            ("cluster_enabled", &CLUSTER),
        ];
        for (name, desc) in plain {
            self.put_one(out, name, &[], desc);
        }
        for state in ["sys", "user", "sys_children", "user_children", "sys_main_thread", "user_main_thread"] {
            self.put_one(out, &format!("used_cpu_{state}"), &[("state", state)], &CPU);
        }
    }

    fn put_memory(&self, out: &mut Samples) {
        let plain = [
            ("used_memory", &MEMORY),
            ("used_memory_peak", &MEMORY_PEAK),
            ("used_memory_rss", &MEMORY_RSS),
            ("used_memory_lua", &MEMORY_LUA),
            ("mem_fragmentation_ratio", &FRAGMENTATION),
        ];
        for (name, desc) in plain {
            self.put_one(out, name, &[], desc);
        }
        // 0 is no limit: a share of it would be endless.
        if self.number("maxmemory").is_some_and(|limit| limit > 0.0) {
            self.put_one(out, "maxmemory", &[], &MEMORY_LIMIT);
        }
        if let Some(policy) = self.text("maxmemory_policy") {
            out.put_with(&MEMORY_POLICY, &[("policy", policy)], 1_u64);
        }
        // Milliseconds in every version that has it.
        if let Some(millis) = self.number("total_eviction_exceeded_time") {
            out.put(&EVICTION_TIME, millis / 1e3);
        }
    }

    fn put_saves(&self, now: f64, out: &mut Samples) {
        self.put_one(out, "rdb_changes_since_last_save", &[], &CHANGES);
        let flag = |name| self.text(name).map(|status| u64::from(status == "ok"));
        if let Some(ok) = flag("rdb_last_bgsave_status") {
            out.put(&SAVE_OK, ok);
        }
        if let Some(at) = self.number("rdb_last_save_time").filter(|at| *at > 0.0) {
            out.put(&SAVE_AGE, (now - at).max(0.0));
        }
        if self.text("aof_enabled") == Some("1")
            && let (Some(write), Some(rewrite)) = (flag("aof_last_write_status"), flag("aof_last_bgrewrite_status"))
        {
            out.put(&AOF_OK, write.min(rewrite));
        }
    }

    fn put_replication(&self, out: &mut Samples) {
        let primary = self.text("role") == Some("master");
        out.put_with(&ROLE, &[("role", if primary { "primary" } else { "replica" })], 1_u64);
        self.put_one(out, "connected_slaves", &[], &REPLICAS);
        self.put_one(out, "master_repl_offset", &[], &OFFSET);
        if self.text("repl_backlog_active") == Some("1") {
            self.put_one(out, "repl_backlog_first_byte_offset", &[], &BACKLOG_FIRST);
        }
        if let Some(status) = self.text("master_link_status") {
            out.put(&LINK_UP, u64::from(status == "up"));
            self.put_one(out, "master_link_down_since_seconds", &[], &LINK_DOWN);
            if self.number("master_last_io_seconds_ago").is_some_and(|age| age >= 0.0) {
                self.put_one(out, "master_last_io_seconds_ago", &[], &LINK_IO);
            }
        }
        let end = self.number("master_repl_offset");
        for (_, line) in self.named.iter().filter(|(name, _)| name.starts_with("slave")) {
            // One that is still sent its first copy has acknowledged nothing, and is not behind by all there is.
            if part(line, "state").is_some_and(|state| state != "online") {
                continue;
            }
            let replica = format!("{}:{}", part(line, "ip").unwrap_or("?"), part(line, "port").unwrap_or("?"));
            let own = [("replica", replica.as_str())];
            let number = |name| part(line, name).and_then(|text| text.parse::<f64>().ok());
            if let Some(offset) = number("offset") {
                out.put_with(&REPLICA_OFFSET, &own, offset);
                if let Some(end) = end {
                    out.put_with(&REPLICA_BEHIND, &own, (end - offset).max(0.0));
                }
            }
            if let Some(lag) = number("lag") {
                out.put_with(&REPLICA_ACK, &own, lag);
            }
        }
    }

    fn put_named(&self, out: &mut Samples) {
        let mut told = HashMap::new();
        for (name, line) in &self.named {
            // Each kind by itself, or those that INFO names first would take the place of the others.
            let kind = name.split('_').next().unwrap_or_default().trim_end_matches(|c: char| c.is_ascii_digit());
            let so_far: &mut usize = told.entry(kind).or_default();
            *so_far += 1;
            if *so_far > MAX_KINDS {
                continue;
            }
            let number = |field| part(line, field).and_then(|text| text.parse::<f64>().ok());
            if let Some(command) = name.strip_prefix("cmdstat_") {
                let own = [("cmd", command)];
                for (field, desc) in [("calls", &COMMAND_CALLS), ("usec", &COMMAND_TIME)] {
                    if let Some(value) = number(field) {
                        out.put_with(desc, &own, value);
                    }
                }
                if let (Some(failed), Some(rejected)) = (number("failed_calls"), number("rejected_calls")) {
                    out.put_with(&COMMAND_FAILED, &own, failed + rejected);
                }
            } else if let Some(command) = name.strip_prefix("latency_percentiles_usec_") {
                for percentile in ["p50", "p99", "p99.9"] {
                    if let Some(micros) = number(percentile) {
                        out.put_with(&COMMAND_LATENCY, &[("cmd", command), ("percentile", percentile)], micros / 1e6);
                    }
                }
            } else if let Some(kind) = name.strip_prefix("errorstat_") {
                if let Some(count) = number("count") {
                    out.put_with(&ERRORS, &[("error.type", kind)], count);
                }
            } else if let Some(db) = name.strip_prefix("db") {
                for (field, desc) in [("keys", &KEYS), ("expires", &EXPIRES), ("avg_ttl", &AVG_TTL)] {
                    if let Some(value) = number(field) {
                        out.put_with(desc, &[("db", db)], value);
                    }
                }
            }
        }
    }
}

/// The value of `name` in `a=1,b=2`.
fn part<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split(',').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests;
