//! INFO texts: KeyDB's, written from its documentation and never run; odd and hostile lines.

use super::*;
use crate::signal::metrics::{Limits, Point};

/// After KeyDB's documentation of `INFO`; no server of it could be had.
const KEYDB: &str = "# Server\r\nredis_version:6.3.4\r\nredis_mode:standalone\r\nserver_threads:4\r\n\
    long_lock_waits:0\r\n# Memory\r\nused_memory:1000\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n\
    # Stats\r\nkeyspace_hits:7\r\n# Replication\r\nrole:active-replica\r\nconnected_slaves:0\r\n\
    master_repl_offset:0\r\n# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=900,cached_keys=3\r\n";

fn value(out: &Samples, name: &str) -> Option<f64> {
    let sample = out.samples().iter().find(|sample| out.metrics()[sample.metric].name == name)?;
    match &sample.point {
        Point::Number(number) => Some(number.as_f64()),
        Point::Histogram(_) => None,
    }
}

#[test]
fn keydb_is_told_apart_and_read_as_its_documentation_shows_it_never_run() {
    let info = parse(KEYDB);
    assert_eq!(info.flavour(), "keydb 6.3.4");
    let mut out = Samples::new(Limits::default());
    info.put(0.0, &mut out);
    assert_eq!(value(&out, "redis.keyspace.hits"), Some(7.0));
    assert_eq!(value(&out, "redis.db.keys"), Some(3.0));
    assert_eq!(value(&out, "redis.maxmemory"), None, "0 is no limit, and not a limit of nothing");
}

#[test]
fn an_old_server_is_known_by_its_version() {
    assert!(parse("redis_version:5.0.14\r\n").version() < (6, 0));
    assert!(parse("redis_version:7.2.4\r\nvalkey_version:8.1.1\r\n").version() >= (6, 0));
    assert_eq!(parse("").version(), (0, 0), "one that says nothing is no server that is known");
}

#[test]
fn lines_that_are_none_cost_nothing() {
    let info = parse("a\nb:\n:c\ncmdstat_x:calls=1,usec=?,\nslave0:ip=,port\ndb9:keys=NaN\nused_memory:inf\n");
    let mut out = Samples::new(Limits::default());
    info.put(0.0, &mut out);
    assert_eq!(value(&out, "redis.memory.used"), None);
}

#[test]
fn commands_without_end_take_the_place_of_no_errors_and_no_databases() {
    let mut text: String = (0..1000).map(|number| format!("cmdstat_m{number}.x:calls=1,usec=2\n")).collect();
    text.push_str("errorstat_OOM:count=5\nlatency_percentiles_usec_get:p50=1000000\ndb0:keys=3\n");
    let mut out = Samples::new(Limits { series: 10_000, value_bytes: 1024 });
    parse(&text).put(0.0, &mut out);
    let calls = out.samples().iter().filter(|sample| out.metrics()[sample.metric].name == "redis.cmd.calls").count();
    assert_eq!(calls, MAX_KINDS);
    assert_eq!(value(&out, "redis.errors"), Some(5.0));
    assert_eq!(value(&out, "redis.cmd.latency"), Some(1.0));
    assert_eq!(value(&out, "redis.db.keys"), Some(3.0));
}

#[test]
fn a_replica_that_is_still_sent_its_first_copy_is_behind_by_nothing_that_is_known() {
    let told = |line: &str| {
        let mut out = Samples::new(Limits::default());
        parse(&format!("role:master\nmaster_repl_offset:90000\nslave0:ip=10.0.0.7,port=6379,{line}\n"))
            .put(0.0, &mut out);
        [value(&out, "redis.replication.replica.behind"), value(&out, "redis.replication.replica.ack.age")]
    };
    assert_eq!(told("state=wait_bgsave,offset=0,lag=0"), [None, None]);
    assert_eq!(told("state=send_bulk,offset=0,lag=0"), [None, None]);
    assert_eq!(told("state=online,offset=89000,lag=1"), [Some(1000.0), Some(1.0)]);
}
