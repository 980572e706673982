//! Redis and Valkey: what was done in them is what is counted, with the rights that the docs name and no more.

use std::time::Duration;

use plimsoll::collect::CollectError;
use plimsoll::collect::dial::Address;
use plimsoll::collect::redis::Redis as Collector;
use plimsoll::collect::redis::queues::{Queues, Wanted};
use plimsoll::collect::redis::session::Target;
use rustix::process::Signal;
use secrecy::SecretString;

use super::bullmq::with_rights;
use super::redis_server::Redis;
use super::release::Release;
use super::round::{Round, one, runtime};

const LIMIT: Duration = Duration::from_secs(40);
const SERVERS: [(Release, &str, &str); 4] = [
    (Release::Floor, "redis-server", "redis 6.0"),
    (Release::Here, "redis-server", "redis 7"),
    (Release::Newest, "redis-server", "redis 8"),
    (Release::Newest, "valkey-server", "valkey 9"),
];

pub(crate) fn target(port: u16) -> Target {
    let address = Address::Tcp("127.0.0.1".into(), port);
    Target { name: format!("127.0.0.1:{port}"), address, database: 0, username: None, password: None, tls: None }
}

/// One round of a collector of its own.
fn read(server: &Redis, queues: Queues) -> Round {
    let mut collector = Collector::new(target(server.port), queues);
    let found = runtime().block_on(one(&mut collector, LIMIT));
    if let Err(error) = &found.result {
        panic!("{error}");
    }
    found
}

#[test]
fn every_flavour_is_told_apart_and_its_work_is_counted() {
    for (release, program, flavour) in SERVERS {
        let server = Redis::start(release, program, &["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"]);
        let runtime = runtime();
        let mut collector = Collector::new(target(server.port), Queues::default());
        let before = runtime.block_on(one(&mut collector, LIMIT));
        before.result.as_ref().unwrap_or_else(|error| panic!("{flavour}: {error}"));
        server.ask(&["SET", "known", "x", "EX", "1000"]);
        for _ in 0..7 {
            server.ask(&["GET", "known"]);
        }
        for _ in 0..3 {
            server.ask(&["GET", "unknown"]);
        }
        let after = runtime.block_on(one(&mut collector, LIMIT));
        assert!(
            plimsoll::collect::Collector::detail(&collector).starts_with(flavour),
            "{flavour}: {}",
            plimsoll::collect::Collector::detail(&collector)
        );
        let grown = |name: &str, own: &[(&str, &str)]| {
            after.value(name, own).unwrap_or(0.0) - before.value(name, own).unwrap_or(0.0)
        };
        assert_eq!(grown("redis.keyspace.hits", &[]), 7.0, "{flavour}");
        assert_eq!(grown("redis.keyspace.misses", &[]), 3.0, "{flavour}");
        assert_eq!(grown("redis.cmd.calls", &[("cmd", "get")]), 10.0, "{flavour}");
        assert_eq!(after.value("redis.db.keys", &[("db", "0")]), Some(1.0));
        assert_eq!(after.value("redis.db.expires", &[("db", "0")]), Some(1.0));
        assert_eq!(after.value("redis.maxmemory", &[]), Some(67_108_864.0));
        assert_eq!(after.value("redis.maxmemory.policy", &[("policy", "allkeys-lru")]), Some(1.0));
        assert_eq!(after.value("redis.role", &[("role", "primary")]), Some(1.0));
        // Set back, it is told as it is: what a counter of Prometheus' is used to.
        server.ask(&["CONFIG", "RESETSTAT"]);
        let set_back = runtime.block_on(one(&mut collector, LIMIT));
        assert_eq!(set_back.value("redis.keyspace.hits", &[]), Some(0.0), "{flavour}");
        assert!(set_back.value("redis.uptime", &[]) >= after.value("redis.uptime", &[]), "{flavour}");
    }
}

#[test]
fn keys_that_are_evicted_are_counted() {
    let server =
        Redis::start(Release::Here, "redis-server", &["--maxmemory", "3mb", "--maxmemory-policy", "allkeys-random"]);
    server.ask(&["CONFIG", "SET", "latency-monitor-threshold", "0"]);
    let value = "x".repeat(50_000);
    for key in 0..100 {
        server.ask(&["SET", &format!("key{key}"), &value]);
    }
    let kept: f64 = server.ask(&["DBSIZE"]).parse().unwrap();
    let found = read(&server, Queues::default());
    assert_eq!(found.value("redis.keys.evicted", &[]), Some(100.0 - kept));
    assert!(kept < 100.0);
    assert!(found.all("redis.latency.latest", &[]).is_empty(), "nothing is measured");
}

#[test]
fn a_server_that_evicts_is_told_so_only_where_it_holds_queues() {
    let server =
        Redis::start(Release::Here, "redis-server", &["--maxmemory", "30mb", "--maxmemory-policy", "allkeys-lru"]);
    let runtime = runtime();
    let mut collector = Collector::new(target(server.port), all());
    let mut detail = || {
        runtime.block_on(one(&mut collector, LIMIT)).result.unwrap();
        plimsoll::collect::Collector::detail(&collector)
    };
    assert_eq!(detail().split_once(';'), None, "a cache is meant to evict");
    server.ask(&["SADD", "queues", "mail"]);
    assert!(detail().contains("queues with maxmemory-policy allkeys-lru lose jobs"), "{}", detail());
    server.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    assert!(!detail().contains("lose jobs"), "{}", detail());
}

#[test]
fn keys_that_are_called_as_those_of_sidekiq_and_are_none_cost_nothing() {
    let server = Redis::start(Release::Here, "redis-server", &[]);
    let runtime = runtime();
    let mut collector = Collector::new(target(server.port), all());
    let mut read = || {
        let found = runtime.block_on(one(&mut collector, LIMIT));
        found.result.as_ref().unwrap();
        let queues = found.all("queue.messages", &[("messaging.system", "sidekiq")]).len();
        (queues, plimsoll::collect::Collector::detail(&collector))
    };
    server.ask(&["SET", "queues", "no set"]);
    assert_eq!(read().0, 0);
    server.ask(&["DEL", "queues"]);
    server.ask(&["EVAL", "for i=1,10001 do redis.call('SADD','queues',i) end", "0"]);
    server.ask(&["CONFIG", "RESETSTAT"]);
    let (queues, detail) = read();
    assert!(queues == 0 && detail.contains("more than 10000 names"), "{queues} {detail}");
    assert_eq!(super::bullmq::calls(&server, "smembers"), 0, "it is not read to find out");
}

/// What an entry without `queues:` asks for.
fn all() -> Queues {
    Queues::new(Wanted::Auto, Wanted::Auto, Vec::new(), Vec::new())
}

#[test]
fn a_slow_command_is_told_without_its_arguments() {
    let server = Redis::start(Release::Here, "redis-server", &["--slowlog-log-slower-than", "0"]);
    let runtime = runtime();
    let mut collector = Collector::new(target(server.port), Queues::default());
    runtime.block_on(one(&mut collector, LIMIT));
    server.ask(&["SET", "card", "4111-secret"]);
    let found = runtime.block_on(one(&mut collector, LIMIT));
    let told = found.events.iter().find(|event| event.body.starts_with("SET ")).expect("the command is told");
    assert_eq!(told.name, "redis.slow_command");
    assert!(told.body.contains("with 2 arguments"));
    assert!(!format!("{:?}", found.events).contains("secret"));
    let again = runtime.block_on(one(&mut collector, LIMIT));
    assert!(!again.events.iter().any(|event| event.body.starts_with("SET ")), "it is told once");
}

#[test]
fn a_replica_that_falls_behind_and_one_that_is_cut_off_show() {
    let mut primary = Redis::start(Release::Here, "redis-server", &["--repl-diskless-sync-delay", "0"]);
    let port = primary.port.to_string();
    let replica = Redis::start(Release::Here, "redis-server", &["--replicaof", "127.0.0.1", &port]);
    super::harness::wait_for("a replica that is in step", Duration::from_secs(20), || {
        let info = replica.ask(&["INFO", "replication"]);
        if info.contains("master_link_status:up") { Ok(()) } else { Err(info) }
    });
    let found = read(&primary, Queues::default());
    assert_eq!(found.value("redis.slaves.connected", &[]), Some(1.0));
    assert!(found.value("redis.replication.replica.behind", &[]).is_some());
    let found = read(&replica, Queues::default());
    assert_eq!(found.value("redis.replication.link.up", &[]), Some(1.0));
    primary.process().kill();
    super::harness::wait_for("a link that is down", Duration::from_secs(20), || {
        let info = replica.ask(&["INFO", "replication"]);
        if info.contains("master_link_status:down") { Ok(()) } else { Err(info) }
    });
    let found = read(&replica, Queues::default());
    assert_eq!(found.value("redis.replication.link.up", &[]), Some(0.0));
    assert!(found.value("redis.replication.link.down.time", &[]).is_some());
}

/// The lines of `src/collect/redis.rs`.
const OF_STREAMS: &str = "+ping +info +slowlog|get +slowlog|len +latency|latest +client|list %R~orders %R~not-there \
    +xinfo|stream +xinfo|groups +xinfo|consumers +xpending +xrange";

#[test]
fn a_stream_tells_lag_pending_and_age_of_each_group() {
    for (release, program, _) in SERVERS {
        let server = Redis::start(release, program, &[]);
        for order in 0..10 {
            server.ask(&["XADD", "orders", "*", "order", &order.to_string()]);
        }
        server.ask(&["XGROUP", "CREATE", "orders", "billing", "0"]);
        server.ask(&["XREADGROUP", "GROUP", "billing", "worker", "COUNT", "4", "STREAMS", "orders", ">"]);
        let first = server.ask(&["XRANGE", "orders", "-", "+", "COUNT", "1"]);
        let first = first.lines().next().unwrap().to_owned();
        server.ask(&["XACK", "orders", "billing", &first]);
        let names = vec!["orders".to_owned(), "not-there".to_owned()];
        let mut collector = Collector::new(
            with_rights(&server, OF_STREAMS),
            Queues::new(Wanted::None, Wanted::None, Vec::new(), names.clone()),
        );
        let found = runtime().block_on(one(&mut collector, LIMIT));
        found.result.as_ref().unwrap_or_else(|error| panic!("{program}: {error}"));
        let idle = found.value("redis.stream.consumer.idle.min", &[("messaging.destination.name", "orders/billing")]);
        assert!(idle.is_some_and(|seconds| (0.0..60.0).contains(&seconds)), "{program}: {idle:?}");
        let narrow = OF_STREAMS.replace("+xinfo|consumers ", "");
        let mut collector =
            Collector::new(with_rights(&server, &narrow), Queues::new(Wanted::None, Wanted::None, Vec::new(), names));
        let without = runtime().block_on(one(&mut collector, LIMIT));
        assert!(without.result.is_ok() && without.all("redis.stream.consumer.idle.min", &[]).is_empty());
        let detail = plimsoll::collect::Collector::detail(&collector);
        assert!(detail.contains("needs +xinfo|consumers"), "{detail}");
        let own = [("messaging.system", "redis_streams"), ("messaging.destination.name", "orders/billing")];
        let value = |name: &str, state: &str| found.value(name, &[own[0], own[1], ("state", state)]);
        // Redis tells the lag of a group from 7 on.
        let lag = (release != Release::Floor).then_some(6.0);
        assert_eq!(value("queue.messages", "ready"), lag, "{program}");
        assert_eq!(value("queue.messages", "active"), Some(3.0), "{program}");
        assert_eq!(found.value("queue.consumers", &own), Some(1.0));
        let pending = [("messaging.destination.name", "orders/billing")];
        assert!(found.value("redis.stream.pending.idle.max", &pending).unwrap() < 60.0, "{program}");
        assert!(found.value("queue.oldest.age", &own).unwrap() < 60.0);
        let length = [("messaging.destination.name", "orders")];
        assert_eq!(found.value("redis.stream.length", &length), Some(10.0));
        // Six were not seen; the trim leaves three of them.
        server.ask(&["XTRIM", "orders", "MAXLEN", "3"]);
        let names = vec!["orders".to_owned()];
        let found = read(&server, Queues::new(Wanted::None, Wanted::None, Vec::new(), names.clone()));
        assert_eq!(found.value("redis.stream.length", &length), Some(3.0), "{program}");
        let ready = found.value("queue.messages", &[own[0], own[1], ("state", "ready")]);
        assert_eq!(ready, lag.map(|_| 3.0), "{program}: what is gone is not ready");
        // After a deletion among those that were not seen the server knows no lag.
        let last = server.ask(&["XREVRANGE", "orders", "+", "-", "COUNT", "1"]);
        server.ask(&["XDEL", "orders", last.lines().next().unwrap()]);
        let found = read(&server, Queues::new(Wanted::None, Wanted::None, Vec::new(), names));
        let ready = found.value("queue.messages", &[own[0], own[1], ("state", "ready")]);
        assert_eq!(ready, None, "{program}");
        assert!(found.value("queue.oldest.age", &own).unwrap() > 0.0, "{program}: the age is told all the same");
        assert_eq!(found.value("queue.messages", &[own[0], own[1], ("state", "active")]), Some(3.0), "{program}");
    }
}

#[test]
fn the_access_list_of_the_docs_is_enough_and_a_wrong_password_is_a_refusal() {
    for release in [Release::Floor, Release::Here] {
        rights(release);
    }
}

fn rights(release: Release) {
    let server = Redis::start(release, "redis-server", &[]);
    let rule = "on >pw -@all +ping +info +slowlog|get +slowlog|len +latency|latest +client|list";
    let mut command = vec!["ACL", "SETUSER", "plimsoll", "reset"];
    command.extend(rule.split(' '));
    server.ask(&command);
    let mut target = target(server.port);
    target.username = Some("plimsoll".into());
    target.password = Some(SecretString::from("pw"));
    let runtime = runtime();
    let mut collector = Collector::new(target.clone(), Queues::default());
    let found = runtime.block_on(one(&mut collector, LIMIT));
    found.result.unwrap();
    let detail = plimsoll::collect::Collector::detail(&collector);
    assert!(!detail.contains("right"), "{detail}");
    target.password = Some(SecretString::from("wrong"));
    let mut collector = Collector::new(target, Queues::default());
    let refused = runtime.block_on(one(&mut collector, LIMIT)).result;
    assert!(matches!(refused, Err(CollectError::Denied(_))), "{refused:?}");
    server.ask(&["ACL", "SETUSER", "plimsoll", "-slowlog"]);
    let mut target = self::target(server.port);
    target.username = Some("plimsoll".into());
    target.password = Some(SecretString::from("pw"));
    let mut collector = Collector::new(target, Queues::default());
    let found = runtime.block_on(one(&mut collector, LIMIT));
    assert!(found.result.is_ok() && found.value("redis.uptime", &[]).is_some(), "the rest is read all the same");
    let detail = plimsoll::collect::Collector::detail(&collector);
    assert!(detail.contains("ACL SETUSER plimsoll +slowlog|len"), "{detail}");
}

#[test]
fn a_server_that_is_slow_is_read_within_the_rounds_time() {
    let server = Redis::start(Release::Here, "redis-server", &["--enable-debug-command", "yes"]);
    // On a busy machine any command takes 20 ms, and would be told instead.
    server.ask(&["CONFIG", "SET", "latency-monitor-threshold", "1000"]);
    let runtime = runtime();
    let mut collector = Collector::new(target(server.port), Queues::default());
    let mut last = None;
    for _ in 0..2 {
        // Nobody is answered meanwhile; in the first round also not while we connect.
        let mut client = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        std::io::Write::write_all(&mut client, b"DEBUG SLEEP 1.5\r\n").unwrap();
        let found = runtime.block_on(one(&mut collector, LIMIT));
        found.result.as_ref().unwrap();
        last = found.value("redis.latency.latest", &[("event", "command")]);
    }
    assert!(last.is_some_and(|last| last >= 1.5), "{last:?}");
}

#[test]
fn a_hung_server_costs_one_round_and_a_restarted_one_is_read_again() {
    let mut server = Redis::start(Release::Here, "redis-server", &[]);
    let runtime = runtime();
    let mut collector = Collector::new(target(server.port), Queues::default());
    assert!(runtime.block_on(one(&mut collector, LIMIT)).result.is_ok());
    server.process().signal(Signal::STOP);
    let hung = runtime.block_on(one(&mut collector, Duration::from_millis(300))).result;
    assert!(matches!(hung, Err(CollectError::Timeout(_))), "{hung:?}");
    server.process().signal(Signal::CONT);
    assert!(runtime.block_on(one(&mut collector, LIMIT)).result.is_ok());
    server.process().kill();
    let gone = runtime.block_on(one(&mut collector, LIMIT)).result;
    assert!(matches!(gone, Err(CollectError::Connect(_))), "{gone:?}");
    server.up();
    let back = super::harness::wait_for("a round after the restart", LIMIT, || {
        let round = runtime.block_on(one(&mut collector, LIMIT));
        if round.result.is_ok() { Ok(round) } else { Err(format!("{:?}", round.result)) }
    });
    assert!(back.value("redis.uptime", &[]).is_some());
}
