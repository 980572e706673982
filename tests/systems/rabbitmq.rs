//! RabbitMQ 3.10 and 4.3, with plain queues and with Celery's, by both plugins: what was done there is what is counted.

use std::time::Duration;

use plimsoll::base::secret::SecretString;
use plimsoll::base::tls;
use plimsoll::collect::http::{Http, Login};
use plimsoll::collect::rabbitmq::Rabbitmq as Collector;
use plimsoll::collect::{CollectError, Collector as _};
use rustix::process::Signal;

use super::fake::{Fake, Mood, Pages};
use super::harness::wait_for;
use super::rabbitmq_server::Rabbitmq;
use super::release::{RELEASES, Release};
use super::round::{Round, bounded, one, runtime};
use super::worker::Worker;

const LIMIT: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(60);

/// A collector with the user that the docs make.
pub(crate) fn collector(port: u16, password: &str, celery: &[&str]) -> Collector {
    let login = Login::Basic("plimsoll".into(), SecretString::from(password));
    let http = Http::new(&format!("http://127.0.0.1:{port}"), &login, tls::nobody().unwrap()).unwrap();
    Collector::new(http, celery.iter().map(|name| (*name).to_owned()).collect())
}

/// One that asks the Prometheus plugin, without a login.
pub(crate) fn by_text(port: u16, celery: &[&str]) -> Collector {
    let http = Http::new(&format!("http://127.0.0.1:{port}"), &Login::None, tls::nobody().unwrap()).unwrap();
    Collector::new(http, celery.iter().map(|name| (*name).to_owned()).collect())
}

/// A round once `good` holds: the broker counts with a delay.
fn once(collector: &mut Collector, what: &str, good: impl Fn(&Round) -> bool) -> Round {
    let runtime = runtime();
    wait_for(what, SOON, || {
        let found = runtime.block_on(one(collector, LIMIT));
        found.result.as_ref().map_err(ToString::to_string)?;
        if good(&found) { Ok(found) } else { Err(format!("{:?}", found.samples.samples())) }
    })
}

fn queue(found: &Round, system: &str, name: &str) -> [Option<f64>; 3] {
    let own = [("messaging.system", system), ("messaging.destination.name", name)];
    let messages = |state| found.value("queue.messages", &[own[0], own[1], ("state", state)]);
    [messages("ready"), messages("active"), found.value("queue.consumers", &own)]
}

fn check_counts(release: Release, server: &Rabbitmq) {
    let _worker = Worker::python("rabbit.py", &[&server.port.to_string()]);
    let mut collector = collector(server.web, "pw", &[]);
    // At once: with statistics the broker would say 0 for some seconds more.
    let first = runtime().block_on(one(&mut collector, LIMIT));
    first.result.as_ref().unwrap();
    assert_eq!(queue(&first, "rabbitmq", "mail")[..2], [Some(7.0), Some(2.0)], "{release:?}");
    // It sorts by what it is asked for, which without statistics is no matter of course.
    let longest = "/api/queues?disable_stats=true&enable_queue_totals=true&page=1&page_size=1&sort=messages_ready\
                   &sort_reverse=true&columns=name";
    assert!(server.get(longest).contains(r#""items":[{"name":"mail"}]"#), "{release:?}: {}", server.get(longest));
    // Each of these comes with a tick of its own.
    let counts = [
        ("rabbitmq.message.published", 13.0),
        ("rabbitmq.message.acknowledged", 1.0),
        ("rabbitmq.message.delivered", 3.0),
        ("rabbitmq.message.dropped", 3.0),
        ("rabbitmq.connection.count", 1.0),
    ];
    let found = once(&mut collector, "all that was done there", |found| {
        counts.iter().all(|(name, count)| found.value(name, &[]) == Some(*count))
            && queue(found, "rabbitmq", "mail")[2] == Some(1.0)
            && queue(found, "rabbitmq", "empty")[2] == Some(0.0)
            && !found.all("rabbitmq.node.memory.limit", &[]).is_empty()
    });
    assert_eq!(queue(&found, "rabbitmq", "mail")[..2], [Some(7.0), Some(2.0)], "{release:?}");
    assert_eq!(queue(&found, "rabbitmq", "empty")[..2], [Some(0.0), Some(0.0)], "{release:?}");
    let whole = |name: &str| found.value(name, &[]);
    assert_eq!([whole("rabbitmq.queue.count"), whole("rabbitmq.queue.left_out")], [Some(2.0), Some(0.0)]);
    assert_eq!(whole("rabbitmq.node.running"), Some(1.0), "{release:?}");
    let alarms = found.all("rabbitmq.node.alarm", &[]);
    assert_eq!(alarms, [0.0, 0.0], "{release:?}");
    let mail = [("rabbitmq.queue.name", "mail"), ("rabbitmq.vhost.name", "/")];
    let told = |state| found.value("rabbitmq.message.current", &[mail[0], mail[1], ("state", state)]);
    assert_eq!([told("ready"), told("unacknowledged")], [Some(7.0), Some(2.0)], "{release:?}");
    let version = if release == Release::Here { "3.10." } else { "4." };
    assert!(collector.detail().starts_with(version), "{}", collector.detail());
    assert!(!format!("{:?}", found.samples).contains("secret"));
    check_the_same(release, server, &found);
}

/// The Prometheus plugin tells the same, without a login.
fn check_the_same(release: Release, server: &Rabbitmq, other: &Round) {
    let mut collector = by_text(server.metrics, &[]);
    let found = once(&mut collector, "the same by the other plugin", |found| {
        queue(found, "rabbitmq", "mail") == [Some(7.0), Some(2.0), Some(1.0)]
            && queue(found, "rabbitmq", "empty") == [Some(0.0), Some(0.0), Some(0.0)]
    });
    for what in ["published", "delivered", "acknowledged", "dropped", "redelivered"] {
        let name = format!("rabbitmq.message.{what}");
        assert!(other.value(&name, &[]).is_some(), "{release:?}: {name}");
        assert_eq!(found.value(&name, &[]), other.value(&name, &[]), "{release:?}: {name}");
    }
    let same = [
        "rabbitmq.message.current",
        "rabbitmq.consumer.count",
        "rabbitmq.connection.count",
        "rabbitmq.channel.count",
        "rabbitmq.queue.count",
        "rabbitmq.queue.left_out",
        "rabbitmq.node.running",
        "rabbitmq.node.alarm",
        "rabbitmq.node.disk.limit",
        "rabbitmq.node.files.limit",
    ];
    for name in same {
        let (mut ours, mut theirs) = (found.all(name, &[]), other.all(name, &[]));
        ours.sort_by(f64::total_cmp);
        theirs.sort_by(f64::total_cmp);
        assert_eq!(ours, theirs, "{release:?}: {name}");
        assert!(!ours.is_empty(), "{release:?}: {name}");
    }
    let node = [("rabbitmq.node.name", "test@localhost")];
    assert!(found.value("rabbitmq.node.memory.used", &node).unwrap() > 1e7, "{release:?}");
    let lost = found.value("rabbitmq.node.partitions", &node);
    assert_eq!(lost, (release == Release::Newest).then_some(0.0), "3.10 does not tell it");
    let version = if release == Release::Here { "3.10." } else { "4." };
    let told = collector.detail();
    assert!(told.starts_with(version) && told.ends_with("2 queues, by its Prometheus plugin"), "{told}");
}

/// What queues give up, by reason, and who holds a quorum queue: each plugin tells what it knows.
fn check_dead(release: Release, server: &Rabbitmq) {
    let _worker = Worker::python("rabbit_dead.py", &[&server.port.to_string()]);
    let is_told = |found: &Round| {
        queue(found, "rabbitmq", "dead") == [Some(9.0), Some(0.0), Some(0.0)]
            && queue(found, "rabbitmq", "safe") == [Some(4.0), Some(2.0), Some(1.0)]
            && ["late", "refused"].iter().all(|name| queue(found, "rabbitmq", name)[0] == Some(0.0))
            && queue(found, "rabbitmq", "full")[0] == Some(1.0)
            && !found.all("rabbitmq.consumer.capacity", &[]).is_empty()
    };
    let found = once(&mut by_text(server.metrics, &[]), "dead letters by text", is_told);
    let dead = |reason| found.value("rabbitmq.message.dead_lettered", &[("reason", reason)]);
    let reasons = ["expired", "maxlen", "rejected", "delivery_limit"].map(dead);
    assert_eq!(reasons, [Some(3.0), Some(4.0), Some(2.0), Some(0.0)], "{release:?}");
    let safe = [("rabbitmq.queue.name", "safe"), ("rabbitmq.vhost.name", "/")];
    let capacity = found.value("rabbitmq.consumer.capacity", &safe).unwrap();
    assert!((0.0..=1.0).contains(&capacity), "{release:?}: {capacity}");
    assert_eq!(found.all("rabbitmq.consumer.capacity", &[]).len(), 1, "only of queues with consumers");

    let found = once(&mut collector(server.web, "pw", &[]), "dead letters by the management", is_told);
    for name in ["rabbitmq.queue.members", "rabbitmq.queue.members.online"] {
        assert_eq!((found.value(name, &safe), found.all(name, &[]).len()), (Some(1.0), 1), "{release:?}: {name}");
    }
    let capacity = found.value("rabbitmq.consumer.capacity", &safe).unwrap();
    assert!((0.0..=1.0).contains(&capacity), "{release:?}: {capacity}");
    assert!(found.all("rabbitmq.message.dead_lettered", &[]).is_empty(), "it does not know them");
}

/// A broker whose disk is as good as full blocks those who publish.
fn check_blocked(release: Release, server: &Rabbitmq) {
    let mut collector = collector(server.web, "pw", &[]);
    once(&mut collector, "nobody blocked", |found| found.value("rabbitmq.connection.blocked", &[]) == Some(0.0));
    server.control(&["set_disk_free_limit", "1000000GB"]);
    let _worker = Worker::python("rabbit_blocked.py", &[&server.port.to_string()]);
    // Both come late: the connection's state and the alarm each in its own time.
    let disk = |found: &Round| found.value("rabbitmq.node.alarm", &[("type", "disk")]) == Some(1.0);
    let found = once(&mut collector, "one that is blocked", |found| {
        disk(found) && found.value("rabbitmq.connection.blocked", &[]) == Some(1.0)
    });
    let text = once(&mut by_text(server.metrics, &[]), "the alarm by text", disk);
    for found in [&found, &text] {
        let alarm = |kind| found.value("rabbitmq.node.alarm", &[("type", kind)]);
        assert_eq!(alarm("memory"), Some(0.0), "{release:?}");
    }
    assert_eq!(text.value("rabbitmq.connection.blocked", &[]), None, "{release:?}: absent, not 0");
    server.control(&["set_disk_free_limit", "50MB"]);
    once(&mut collector, "nobody blocked", |found| found.value("rabbitmq.connection.blocked", &[]) == Some(0.0));
}

fn check_celery(server: &Rabbitmq) {
    let _worker = Worker::python("celery_work.py", &[&format!("amqp://guest:guest@127.0.0.1:{}//", server.port)]);
    let mut collector = collector(server.web, "pw", &["work", "celery"]);
    let found = once(&mut collector, "Celery's queues", |found| {
        // Consumers are told with the delay of the broker's statistics.
        queue(found, "celery", "celery")[0] == Some(7.0)
            && queue(found, "celery", "work")[2] == Some(1.0)
            && queue(found, "rabbitmq", "mail")[2] == Some(0.0)
    });
    assert_eq!(queue(&found, "celery", "work"), [Some(3.0), Some(1.0), Some(1.0)]);
    assert_eq!(queue(&found, "celery", "celery"), [Some(7.0), Some(0.0), Some(0.0)], "nobody works on it");
    // When its worker is gone, the plain one has its messages back.
    assert_eq!(queue(&found, "rabbitmq", "mail"), [Some(9.0), Some(0.0), Some(0.0)]);
}

fn check_rights(server: &Rabbitmq) {
    server.put("/api/vhosts/shop", b"{}");
    server.put("/api/permissions/shop/guest", br#"{"configure":".*","write":".*","read":".*"}"#);
    server.put("/api/queues/shop/orders", br#"{"durable":true}"#);
    server.put("/api/permissions/shop/plimsoll", br#"{"configure":"^$","write":"^$","read":"^$"}"#);
    let mut collector = self::collector(server.web, "pw", &[]);
    let found = once(&mut collector, "a queue of another virtual host", |found| {
        !found.all("queue.consumers", &[("messaging.destination.name", "orders")]).is_empty()
    });
    assert_eq!(found.value("queue.consumers", &[("rabbitmq.vhost.name", "shop")]), Some(0.0));
    let refused = runtime().block_on(one(&mut self::collector(server.web, "wrong", &[]), LIMIT)).result;
    assert!(matches!(&refused, Err(CollectError::Denied(why)) if !why.contains("wrong")), "{refused:?}");
}

fn check_faults(server: &mut Rabbitmq) {
    let runtime = runtime();
    let mut collector = collector(server.web, "pw", &[]);
    assert!(runtime.block_on(one(&mut collector, LIMIT)).result.is_ok());
    server.signal(Signal::STOP);
    let hung = runtime.block_on(one(&mut collector, Duration::from_millis(300))).result;
    assert!(matches!(hung, Err(CollectError::Timeout(_))), "{hung:?}");
    server.signal(Signal::CONT);
    once(&mut collector, "a round after it was stopped", |_| true);
    server.down();
    let gone = runtime.block_on(one(&mut collector, LIMIT)).result;
    assert!(matches!(gone, Err(CollectError::Connect(_))), "{gone:?}");
    server.up();
    let found =
        once(&mut collector, "a round after the restart", |found| queue(found, "rabbitmq", "mail")[0].is_some());
    assert_eq!(queue(&found, "rabbitmq", "mail")[2], Some(0.0));
}

/// A broker that keeps no statistics, and whose plugins answer at each other's place after a restart: its queues are
/// counted, the rest is absent where it is not known; each collector finds out whom it talks to now.
fn check_silent(release: Release, server: &mut Rabbitmq) {
    let (mut collector, mut by_text) = (collector(server.metrics, "pw", &[]), by_text(server.web, &[]));
    once(&mut collector, "a round by text", |_| true);
    let refused = runtime().block_on(one(&mut by_text, LIMIT)).result;
    assert!(matches!(refused, Err(CollectError::Denied(_))), "{release:?}: no login: {refused:?}");
    assert!(collector.detail().contains("by its Prometheus plugin"), "{}", collector.detail());
    server.down();
    std::mem::swap(&mut server.web, &mut server.metrics);
    server.configure("management_agent.disable_metrics_collector = true");
    server.up();
    // Celery's messages outlive a kill.
    let found =
        once(&mut collector, "a round without statistics", |found| queue(found, "rabbitmq", "celery")[0] == Some(7.0));
    assert_eq!(found.value("rabbitmq.message.published", &[]), None, "{release:?}: absent, not 0");
    assert_eq!(queue(&found, "rabbitmq", "celery")[2], None, "{release:?}: absent, not 0");
    assert!(found.all("rabbitmq.consumer.capacity", &[]).is_empty(), "{release:?}: absent, not 0");
    assert_eq!(found.value("rabbitmq.node.running", &[]), Some(1.0), "{release:?}");
    let told = collector.detail();
    assert!(told.contains("take out management_agent.disable_metrics_collector"), "{told}");
    assert!(!told.contains("Prometheus"), "{told}");
    // That of the Prometheus plugin has its own.
    let found = once(&mut by_text, "a round by text without the other's statistics", |found| {
        queue(found, "rabbitmq", "celery") == [Some(7.0), Some(0.0), Some(0.0)]
    });
    assert_eq!(found.value("rabbitmq.message.published", &[]), Some(0.0), "{release:?}: since its start");
    assert!(by_text.detail().ends_with("by its Prometheus plugin"), "{}", by_text.detail());
}

/// One test, as a broker takes ten seconds to start.
#[test]
fn the_queues_of_rabbitmq_are_counted_and_its_faults_cost_one_round() {
    let mut servers = RELEASES.map(|release| (release, Rabbitmq::start(release)));
    for (release, server) in &mut servers {
        server.ready();
        check_counts(*release, server);
        check_celery(server);
        check_rights(server);
        check_dead(*release, server);
        check_blocked(*release, server);
    }
    check_faults(&mut servers[0].1);
    for (release, server) in &mut servers {
        check_silent(*release, server);
    }
}

/// A broker with 10,000 queues, each as long as its number, as it sorts them.
fn pages(path: &str) -> String {
    if path == "/api/nodes" {
        return r#"[{"name":"a","running":true,"fd_used":0,"fd_total":0,"mem_alarm":true,"partitions":["b"]}]"#.into();
    }
    let Some((_, page)) = path.split_once("&page=") else {
        return r#"{"rabbitmq_version":"4.3.6","message_stats":{}}"#.into();
    };
    // Without this it looks up 40 fields of each queue on each node.
    assert!(path.contains("disable_stats=true&enable_queue_totals=true") && path.contains("&columns="), "{path}");
    assert!(page.starts_with("1&page_size=500&sort=messages_ready&sort_reverse=true&"), "{path}");
    let queues: Vec<String> = (9_500..10_000)
        .rev()
        .map(|number| {
            format!(r#"{{"name":"q{number}","vhost":"/","messages_ready":{number},"messages_unacknowledged":0}}"#)
        })
        .collect();
    format!(r#"{{"total_count":10000,"page_count":20,"items":[{}]}}"#, queues.join(","))
}

#[test]
fn a_rabbitmq_that_lies_or_has_ten_thousand_queues_is_bounded() {
    let fake = Fake::start(pages);
    let runtime = runtime();
    let mut collector = collector(fake.port, "pw", &[]);
    let endless = runtime.block_on(one(&mut collector, LIMIT)).result;
    assert!(matches!(&endless, Err(CollectError::Parse(why)) if why.contains("larger than")), "{endless:?}");
    fake.set(Mood::Garbage);
    let garbage = runtime.block_on(one(&mut collector, LIMIT)).result.unwrap_err().to_string();
    assert!(garbage.len() < 500 && !garbage.contains('\u{1b}'), "{garbage}");
    for mood in [Mood::Odd, Mood::List, Mood::Text] {
        fake.set(mood);
        let odd = runtime.block_on(one(&mut collector, LIMIT));
        assert!(odd.result.is_ok() && odd.all("queue.messages", &[]).is_empty(), "{mood:?}: {:?}", odd.result);
    }
    fake.set(Mood::Good);
    fake.asked();
    let found = runtime.block_on(one(&mut collector, LIMIT));
    assert!(found.result.is_ok(), "{:?}", found.result);
    assert_eq!(fake.asked(), 4, "requests of a round, as its docs say");
    let lengths = found.all("queue.messages", &[("state", "ready")]);
    assert_eq!((lengths.len(), lengths[0]), (200, 9_999.0), "the longest are told apart");
    assert_eq!(found.value("rabbitmq.queue.left_out", &[]), Some(9_800.0));
    // As 4.0 says of its files; and what a broker in trouble says.
    assert!(found.all("rabbitmq.node.files", &[]).is_empty() && found.all("rabbitmq.node.files.limit", &[]).is_empty());
    assert_eq!(found.value("rabbitmq.node.alarm", &[("type", "memory")]), Some(1.0));
    assert_eq!(found.value("rabbitmq.node.partitions", &[]), Some(1.0));
    assert!(collector.detail().contains("only the 200 longest"), "{}", collector.detail());
    check_room(&mut collector);
}

const METRICS: &str = include_str!("../fixtures/rabbitmq/4.3.6-metrics.txt");
const DETAILED: &str = "/metrics/detailed?family=queue_coarse_metrics&family=queue_consumer_count";

/// A Prometheus plugin with so many queues, and what it tells of them.
fn text_pages(path: &str, queues: usize, detailed: &dyn Fn() -> String) -> String {
    match path {
        "/metrics" => METRICS.replace("rabbitmq_queues 5\n", &format!("rabbitmq_queues {queues}\n")),
        // Not the family that has 15 lines for each.
        DETAILED => detailed(),
        _ => String::new(),
    }
}

fn many_queues() -> String {
    let line = |kind: &str, number: usize, value: usize| {
        format!("rabbitmq_detailed_queue_{kind}{{vhost=\"/\",queue=\"q{number}\"}} {value}\n")
    };
    let each = |kind: &str, length: bool| -> String {
        (0..10_000).map(|number| line(kind, number, if length { number } else { 1 })).collect()
    };
    each("messages_ready", true) + &each("messages_unacked", false) + &each("consumers", false)
}

/// An entry with the default of `series`: each queue that is told is told whole, the others are left out, none is lost.
fn check_room(collector: &mut Collector) {
    let found = runtime().block_on(bounded(collector, LIMIT, 1000));
    assert_eq!((found.samples.over_limit(), found.samples.room() < 10), (0, true));
    let (ready, consumers) = (found.all("queue.messages", &[("state", "ready")]), found.all("queue.consumers", &[]));
    assert!(ready.len() > 100 && ready.len() == consumers.len(), "{} {}", ready.len(), consumers.len());
    let left_out = found.value("rabbitmq.queue.left_out", &[]);
    assert_eq!(left_out, Some(10_000.0 - ready.len() as f64));
    let told = collector.detail();
    let longest = format!("only the {} longest are told apart; `series` of its entry has no room", ready.len());
    assert!(told.contains(&longest), "{told}");
}

#[test]
fn a_prometheus_plugin_of_rabbitmq_that_lies_or_has_ten_thousand_queues_is_bounded() {
    let fake = Fake::start(|path| text_pages(path, 10_000, &many_queues));
    let runtime = runtime();
    fake.set(Mood::Good);
    let mut collector = by_text(fake.port, &[]);
    let found = runtime.block_on(one(&mut collector, LIMIT));
    assert!(found.result.is_ok(), "{:?}", found.result);
    assert_eq!(fake.asked(), 1 + 2, "one to find out, then as its docs say");
    let lengths = found.all("queue.messages", &[("state", "ready")]);
    assert_eq!((lengths.len(), lengths[0]), (200, 9_999.0), "the longest are told apart");
    assert_eq!(found.all("queue.consumers", &[]).len(), 200);
    assert_eq!(found.value("rabbitmq.queue.left_out", &[]), Some(9_800.0));
    assert!(collector.detail().contains("only the 200 longest"), "{}", collector.detail());
    assert!(runtime.block_on(one(&mut collector, LIMIT)).result.is_ok());
    assert_eq!(fake.asked(), 2, "it knows whom it talks to");
    check_room(&mut collector);
    fake.set(Mood::Endless);
    let endless = runtime.block_on(one(&mut collector, LIMIT)).result;
    assert!(matches!(&endless, Err(CollectError::Parse(why)) if why.contains("larger than 8 MiB")), "{endless:?}");
    fake.set(Mood::Garbage);
    let garbage = runtime.block_on(one(&mut collector, LIMIT)).result.unwrap_err().to_string();
    assert!(garbage.len() < 500 && !garbage.contains('\u{1b}'), "{garbage}");
    fake.set(Mood::Odd);
    let odd = runtime.block_on(one(&mut collector, LIMIT));
    assert!(matches!(odd.result, Err(CollectError::Parse(_))) && odd.names().is_empty(), "{:?}", odd.result);
    fake.set(Mood::Good);
    assert!(runtime.block_on(one(&mut collector, LIMIT)).result.is_ok());
}

#[test]
fn queues_that_a_prometheus_plugin_of_rabbitmq_cannot_tell_apart_cost_nothing_else() {
    let cases: [(Pages, &str, Option<f64>); 3] = [
        (|path| text_pages(path, 20_001, &|| panic!("not asked")), "there are more than 20,000", Some(20_001.0)),
        (|path| text_pages(path, 9_000, &|| " ".repeat(9 << 20)), "is larger than 8 MiB", Some(9_000.0)),
        (|path| text_pages(path, 9_000, &String::new), "RabbitMQ 3.10 and later have it", None),
    ];
    for (pages, why, left_out) in cases {
        let fake = Fake::start(pages);
        fake.set(Mood::Good);
        let mut collector = by_text(fake.port, &[]);
        let found = runtime().block_on(one(&mut collector, LIMIT));
        assert!(found.result.is_ok(), "{why}: {:?}", found.result);
        let told = collector.detail();
        assert!(told.contains("queues are not told apart: ") && told.contains(why), "{told}");
        assert_eq!(found.value("rabbitmq.message.published", &[]), Some(16.0), "{why}");
        assert_eq!(found.value("rabbitmq.queue.left_out", &[]), left_out, "{why}");
        assert!(found.all("queue.messages", &[]).is_empty(), "{why}");
    }
    let neither = Fake::start(|_| String::new());
    neither.set(Mood::Good);
    let wrong = runtime().block_on(one(&mut by_text(neither.port, &[]), LIMIT)).result.unwrap_err();
    assert!(matches!(&wrong, CollectError::Query(why) if why.contains("port 15692")), "{wrong}");
}
