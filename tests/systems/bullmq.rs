//! BullMQ 5 and 6 and Bull 4 on a real Redis: the jobs of real workers are counted, with the rights that the docs name.

use std::time::Duration;

use plimsoll::collect::Collector as _;
use plimsoll::collect::redis::Redis as Collector;
use plimsoll::collect::redis::queues::{Queues, Wanted};
use plimsoll::collect::redis::session::Target;
use secrecy::SecretString;

use super::harness::{now, wait_for};
use super::redis::target;
use super::redis_server::Redis;
use super::release::Release;
use super::round::{Round, one, runtime};
use super::worker::Worker;

const LIMIT: Duration = Duration::from_secs(40);
const ARGUMENTS: &[&str] = &["--maxmemory-policy", "noeviction"];

/// The line of `src/collect/redis.rs`.
const RIGHTS: &str = "+ping +info +slowlog|get +slowlog|len +latency|latest +client|list \
                      %R~bull:* +hget +hmget +llen +zcard +zrange +lindex +exists +scan";

/// The target with a user that has exactly `rights`, which before Redis 7 knew no difference between reads and writes.
pub(crate) fn with_rights(server: &Redis, rights: &str) -> Target {
    let rights = if server.release == Release::Floor { rights.replace("%R~", "~") } else { rights.to_owned() };
    let mut command = vec!["ACL", "SETUSER", "plimsoll", "reset", "on", ">pw", "-@all"];
    command.extend(rights.split(' ').filter(|word| !word.is_empty()));
    server.ask(&command);
    let mut target = target(server.port);
    target.username = Some("plimsoll".into());
    target.password = Some(SecretString::from("pw"));
    target
}

fn auto() -> Queues {
    Queues::new(Wanted::Auto, Wanted::None, Vec::new(), Vec::new())
}

fn value(found: &Round, queue: &str, name: &str, state: Option<&str>) -> Option<f64> {
    let mut own = vec![("messaging.system", "bullmq"), ("messaging.destination.name", queue)];
    own.extend(state.map(|state| ("state", state)));
    found.value(name, &own)
}

#[test]
fn the_jobs_of_bullmq_and_bull_are_counted_as_their_workers_left_them() {
    for library in ["bullmq6", "bullmq5", "bull"] {
        // ACL rules of key patterns with %R exist from 7 on.
        let server = Redis::start(Release::Here, "redis-server", ARGUMENTS);
        let _worker = Worker::node("bull.js", &[library, &server.port.to_string()]);
        let mut collector = Collector::new(with_rights(&server, RIGHTS), auto());
        let found = runtime().block_on(one(&mut collector, LIMIT));
        found.result.as_ref().unwrap_or_else(|error| panic!("{library}: {error}"));
        assert!(collector.detail().ends_with("3 queues"), "{library}: {}", collector.detail());
        let messages = |queue: &str| {
            ["ready", "active", "delayed", "dead"]
                .map(|state| value(&found, queue, "queue.messages", Some(state)).unwrap())
        };
        assert_eq!(messages("mail"), [5.0, 1.0, 4.0, 2.0], "{library}");
        assert_eq!(messages("held"), [5.0, 0.0, 0.0, 0.0], "{library}");
        assert_eq!(messages("empty"), [0.0; 4], "{library}: an empty one is 0");
        let paused = |queue: &str| value(&found, queue, "queue.paused", None);
        assert_eq!([paused("mail"), paused("held")], [Some(0.0), Some(1.0)], "{library}");
        let age = value(&found, "mail", "queue.oldest.age", None).unwrap();
        assert!((100.0..160.0).contains(&age), "{library}: {age}");
        assert_eq!(value(&found, "empty", "queue.oldest.age", None), Some(0.0), "{library}");
        let overdue = value(&found, "mail", "bullmq.delayed.overdue", None);
        assert_eq!(overdue, Some(0.0), "{library}: all are due in an hour");
        let workers = |queue: &str| value(&found, queue, "queue.consumers", None);
        assert_eq!([workers("mail"), workers("held")], [Some(1.0), Some(0.0)], "{library}");
        // The sizes of the sets are no counts: the one of the emptied queue was removed.
        let done = value(&found, "empty", "queue.completed", None);
        assert_eq!(done, (library != "bull").then_some(1.0), "{library}");
        let counted = (library != "bull").then_some([4.0, 2.0]);
        let done = value(&found, "mail", "queue.completed", None);
        assert_eq!(done.zip(value(&found, "mail", "queue.failed", None)), counted.map(|[a, b]| (a, b)), "{library}");
        assert!(!format!("{:?}{}", found.samples, collector.detail()).contains("secret"));
    }
}

#[test]
fn prefixes_are_named_or_found_and_tell_queues_of_one_name_apart() {
    let server = Redis::start(Release::Here, "redis-server", ARGUMENTS);
    let _bull = Worker::node("bull.js", &["bullmq6", &server.port.to_string()]);
    let _shop = Worker::node("bull.js", &["bullmq5", &server.port.to_string(), "shop:jobs"]);
    // Keys that look like a queue's and are none.
    server.ask(&["HSET", "page:home:meta", "title", "x"]);
    server.ask(&["SET", "user:7:meta", "x"]);
    let runtime = runtime();
    let mail = |found: &Round, prefix: Option<&str>| {
        let mut own = vec![("messaging.destination.name", "mail"), ("state", "ready")];
        own.extend(prefix.map(|prefix| ("bullmq.prefix", prefix)));
        found.all("queue.messages", &own)
    };
    let rights = format!("{RIGHTS} %R~shop:jobs:* %R~page:* %R~user:*");
    let mut collector = Collector::new(with_rights(&server, &rights), auto());
    let found = wait_for("both prefixes", LIMIT, || {
        let found = runtime.block_on(one(&mut collector, LIMIT));
        found.result.as_ref().map_err(ToString::to_string)?;
        let workers = found.all("queue.consumers", &[("bullmq.prefix", "shop:jobs")]).len();
        if workers == 3 { Ok(found) } else { Err(collector.detail()) }
    });
    assert_eq!((mail(&found, None), mail(&found, Some("shop:jobs"))), (vec![5.0, 5.0], vec![5.0]));
    let workers = [("bullmq.prefix", "shop:jobs"), ("messaging.destination.name", "mail")];
    assert_eq!(found.value("queue.consumers", &workers), Some(1.0));
    assert!(collector.detail().ends_with(", 6 queues"), "{}", collector.detail());

    // Without the right to read there, the status says what it takes.
    let mut collector = Collector::new(with_rights(&server, RIGHTS), auto());
    let found = runtime.block_on(one(&mut collector, LIMIT));
    assert_eq!(mail(&found, None), [5.0]);
    assert!(collector.detail().contains("may not be read: %R~shop:jobs:*"), "{}", collector.detail());

    // Those that are named are read, and no others.
    let named = |prefixes: &[&str]| auto().with_prefixes(prefixes.iter().map(|prefix| (*prefix).to_owned()).collect());
    let mut collector = Collector::new(with_rights(&server, &rights), named(&["shop:jobs"]));
    let found = runtime.block_on(one(&mut collector, LIMIT));
    assert_eq!((mail(&found, None).len(), mail(&found, Some("shop:jobs"))), (1, vec![5.0]));
    // A named queue that is under one of two prefixes is told there only.
    server.ask(&["HSET", "bull:only:meta", "version", "bullmq:6.7.0"]);
    let only = Queues::new(Wanted::Named(vec!["only".into(), "mail".into()]), Wanted::None, vec![], vec![]);
    let only = only.with_prefixes(vec!["bull".into(), "shop:jobs".into()]);
    let mut collector = Collector::new(with_rights(&server, &rights), only);
    let found = runtime.block_on(one(&mut collector, LIMIT));
    assert_eq!(found.all("queue.paused", &[("messaging.destination.name", "only")]), [0.0]);
    assert_eq!(mail(&found, None), [5.0, 5.0]);
}

#[test]
fn a_delayed_job_that_nobody_moves_is_overdue() {
    let server = Redis::start(Release::Here, "redis-server", &[]);
    let now = now() / 1_000_000;
    server.ask(&["HSET", "bull:mail:meta", "version", "bullmq:6.7.0"]);
    server.ask(&["ZADD", "bull:mail:delayed", &((now - 90_000) * 4096 + 3).to_string(), "7"]);
    server.ask(&["ZADD", "bull:mail:delayed", &((now + 90_000) * 4096).to_string(), "8"]);
    let mut collector = Collector::new(with_rights(&server, RIGHTS), auto());
    let found = runtime().block_on(one(&mut collector, LIMIT));
    let overdue = value(&found, "mail", "bullmq.delayed.overdue", None).unwrap();
    assert!((89.0..150.0).contains(&overdue), "{overdue}");
}

#[test]
fn the_marker_that_an_older_bullmq_puts_among_the_jobs_is_none() {
    // BullMQ 4, as its source writes: no version in `meta`, prioritised jobs apart, and a marker for the next delayed job
    // in `wait` until a worker takes it.
    let server = Redis::start(Release::Here, "redis-server", &[]);
    let created = (now() / 1_000_000 - 90_000).to_string();
    server.ask(&["HSET", "bull:mail:meta", "opts.maxLenEvents", "10000", "paused", "1"]);
    server.ask(&["LPUSH", "bull:mail:wait", "0:1795470483002"]);
    let read = || {
        let named = Wanted::Named(vec!["mail".into()]);
        let queues = Queues::new(named, Wanted::None, vec![], vec![]);
        let found = runtime().block_on(one(&mut Collector::new(with_rights(&server, RIGHTS), queues), LIMIT));
        found.result.as_ref().unwrap();
        assert_eq!(value(&found, "mail", "queue.paused", None), Some(1.0));
        let age = value(&found, "mail", "queue.oldest.age", None);
        (value(&found, "mail", "queue.messages", Some("ready")), age)
    };
    assert_eq!(read(), (Some(0.0), Some(0.0)));
    server.ask(&["HSET", "bull:mail:7", "timestamp", &created]);
    server.ask(&["ZADD", "bull:mail:prioritized", "5", "7"]);
    let (ready, age) = read();
    assert!(ready == Some(1.0) && age.is_some_and(|age| (89.0..150.0).contains(&age)), "{ready:?} {age:?}");
}

/// How often the server was asked these commands since its counts were set back.
pub(crate) fn calls(server: &Redis, commands: &str) -> u64 {
    let stats = server.ask(&["INFO", "commandstats"]);
    let counted = stats.lines().filter_map(|line| {
        let (name, rest) = line.trim().strip_prefix("cmdstat_")?.split_once(":calls=")?;
        commands.split(' ').any(|wanted| wanted == name).then_some(())?;
        rest.split(',').next()?.parse::<u64>().ok()
    });
    counted.sum()
}

#[test]
fn a_queue_costs_as_many_commands_as_the_docs_say() {
    for release in [Release::Floor, Release::Here] {
        cost(release);
    }
}

fn cost(release: Release) {
    let server = Redis::start(release, "redis-server", &[]);
    server.ask(&["HSET", "bull:mail:meta", "version", "bullmq:6.7.0"]);
    server.ask(&["HSET", "bull:mail:1", "timestamp", "1795470483000", "data", "4111-secret"]);
    server.ask(&["LPUSH", "bull:mail:wait", "1"]);
    let named = Wanted::Named(vec!["mail".into()]);
    let mut collector = Collector::new(with_rights(&server, RIGHTS), Queues::new(named, Wanted::None, vec![], vec![]));
    server.ask(&["CONFIG", "RESETSTAT"]);
    let runtime = runtime();
    assert!(runtime.block_on(one(&mut collector, LIMIT)).result.is_ok());
    assert_eq!(calls(&server, "llen zcard exists hmget hget lindex zrange"), 14);
    // Before 7 the parts of a command are counted together.
    assert_eq!(calls(&server, if release == Release::Floor { "client" } else { "client|list" }), 1);
    assert_eq!(calls(&server, "keys scan"), 0, "named queues are not looked for");
    assert!(runtime.block_on(one(&mut collector, LIMIT)).result.is_ok());
    let clients = calls(&server, if release == Release::Floor { "client" } else { "client|list" });
    assert_eq!(clients, 1, "the list of clients is asked for once a minute");
}

#[test]
fn the_search_for_queues_ends_early_in_a_large_server_and_says_so() {
    let server = Redis::start(Release::Here, "redis-server", &["--enable-debug-command", "yes"]);
    server.ask(&["DEBUG", "POPULATE", "400000", "session", "10"]);
    server.ask(&["CONFIG", "RESETSTAT"]);
    // A worker of a queue that has no key yet.
    let mut client = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    std::io::Write::write_all(&mut client, b"CLIENT SETNAME bull:bWFpbA==\r\n").unwrap();
    std::io::Read::read_exact(&mut client, &mut [0; 5]).unwrap();
    let runtime = runtime();
    let mut collector = Collector::new(with_rights(&server, RIGHTS), auto());
    let first = runtime.block_on(one(&mut collector, LIMIT));
    assert_eq!(value(&first, "mail", "queue.consumers", None), Some(1.0), "found by the name of its worker");
    assert_eq!(calls(&server, "scan"), 20, "a round looks at a few");
    for _ in 0..60 {
        assert!(runtime.block_on(one(&mut collector, LIMIT)).result.is_ok());
    }
    assert_eq!(calls(&server, "scan"), 1000, "and an hour at no more");
    assert!(collector.detail().contains("too many keys"), "{}", collector.detail());
}

#[test]
fn ten_thousand_queues_and_hostile_keys_are_bounded_and_take_nothing_from_the_others() {
    let server = Redis::start(Release::Here, "redis-server", &[]);
    let many = "for i=1,10000 do redis.call('HSET','bull:q'..i..':meta','version','bullmq:6.7.0') end";
    server.ask(&["EVAL", many, "0"]);
    let runtime = runtime();
    let mut collector = Collector::new(with_rights(&server, RIGHTS), auto());
    let mut read = Vec::new();
    for _ in 0..10 {
        let found = runtime.block_on(one(&mut collector, LIMIT));
        assert!(found.result.is_ok(), "{:?}", found.result);
        read = found.all("queue.paused", &[]);
    }
    assert_eq!(read.len(), 500);
    assert!(collector.detail().contains("only 500"), "{}", collector.detail());

    server.ask(&["FLUSHALL"]);
    server.ask(&["HSET", "bull:good:meta", "version", "bullmq:6.7.0"]);
    server.ask(&["HSET", "bull:bad:meta", "version", "bullmq:6.7.0"]);
    server.ask(&["SET", "bull:bad:wait", "no list"]);
    server.ask(&["HSET", "bull:line\nend:meta", "version", "bullmq:6.7.0"]);
    server.ask(&["HSET", &format!("bull:{}:meta", "x".repeat(100_000)), "version", "bullmq:6.7.0"]);
    let mut collector = Collector::new(with_rights(&server, RIGHTS), auto());
    let found = runtime.block_on(one(&mut collector, LIMIT));
    let why = found.result.as_ref().unwrap_err().to_string();
    assert!(why.contains("WRONGTYPE") && why.len() < 500, "{why}");
    assert_eq!(found.all("queue.paused", &[]).len(), 1);
    assert_eq!(value(&found, "good", "queue.messages", Some("ready")), Some(0.0));
}

#[test]
fn a_worker_of_a_queue_that_may_not_be_read_is_told_with_what_is_missing_and_is_no_fault() {
    let server = Redis::start(Release::Here, "redis-server", &[]);
    server.ask(&["HSET", "bull:mail:meta", "version", "bullmq:6.7.0"]);
    let mut client = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    std::io::Write::write_all(&mut client, b"CLIENT SETNAME bull:bWFpbA==\r\n").unwrap();
    std::io::Read::read_exact(&mut client, &mut [0; 5]).unwrap();
    // What the grant for a server that was found gives, and no keys.
    let granted = RIGHTS.split(" %R~").next().unwrap();
    let everything = || Queues::new(Wanted::Auto, Wanted::Auto, vec![], vec![]);
    let mut collector = Collector::new(with_rights(&server, granted), everything());
    let found = runtime().block_on(one(&mut collector, LIMIT));
    assert!(found.result.is_ok() && found.value("redis.uptime", &[]).is_some(), "{:?}", found.result);
    let missing = RIGHTS.split_once("%R~").unwrap().1.replace(" +scan", "");
    assert!(collector.detail().contains(&format!("without %R~{missing}")), "{}", collector.detail());
    // Whoever names the queue asked for it.
    let named = Queues::new(Wanted::Named(vec!["mail".into()]), Wanted::None, vec![], vec![]);
    let refused = runtime().block_on(one(&mut Collector::new(with_rights(&server, granted), named), LIMIT)).result;
    assert!(refused.is_err_and(|why| why.to_string().contains("NOPERM")));
    // The line that it told, given.
    let mut collector = Collector::new(with_rights(&server, RIGHTS), everything());
    let found = runtime().block_on(one(&mut collector, LIMIT));
    assert_eq!(value(&found, "mail", "queue.consumers", None), Some(1.0));
    assert!(!collector.detail().contains("BullMQ"), "{}", collector.detail());
}

#[test]
fn rights_that_are_missing_are_told_and_the_rest_is_read() {
    let server = Redis::start(Release::Here, "redis-server", &[]);
    server.ask(&["HSET", "bull:mail:meta", "version", "bullmq:6.7.0"]);
    let rights = RIGHTS.replace("+client|list", "").replace("+scan", "");
    let runtime = runtime();
    let mut collector = Collector::new(with_rights(&server, &rights), auto());
    for _ in 0..2 {
        assert!(runtime.block_on(one(&mut collector, LIMIT)).result.is_ok());
        let detail = collector.detail();
        assert!(detail.contains("+client|list") && detail.contains("without +scan"), "{detail}");
    }
    let named = Queues::new(Wanted::Named(vec!["mail".into()]), Wanted::None, vec![], vec![]);
    let mut collector = Collector::new(with_rights(&server, &rights), named);
    let found = runtime.block_on(one(&mut collector, LIMIT));
    assert_eq!(value(&found, "mail", "queue.paused", None), Some(0.0));
    assert_eq!(value(&found, "mail", "queue.consumers", None), None, "absent, not 0");
}
