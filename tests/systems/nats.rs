//! NATS 2.9 and 2.15 with JetStream: what was done there is what is counted.

use std::time::Duration;

use plimsoll::base::tls;
use plimsoll::collect::http::{Http, Login};
use plimsoll::collect::nats::Nats as Collector;
use plimsoll::collect::{CollectError, Collector as _};
use rustix::process::Signal;

use super::fake::{Fake, Mood};
use super::nats_server::{Client, Nats};
use super::release::{RELEASES, Release};
use super::round::{Round, one, runtime};

const LIMIT: Duration = Duration::from_secs(10);

pub(crate) fn collector(port: u16) -> Collector {
    Collector::new(Http::new(&format!("http://127.0.0.1:{port}"), &Login::None, tls::nobody().unwrap()).unwrap())
}

fn value(found: &Round, queue: &str, name: &str, state: Option<&str>) -> Option<f64> {
    let mut own = vec![("messaging.system", "nats"), ("messaging.destination.name", queue), ("nats.account", "$G")];
    own.extend(state.map(|state| ("state", state)));
    found.value(name, &own)
}

fn round(collector: &mut Collector) -> Round {
    let found = runtime().block_on(one(collector, LIMIT));
    found.result.as_ref().unwrap();
    found
}

#[test]
fn the_streams_and_consumers_of_nats_are_counted() {
    for release in RELEASES {
        let server = Nats::start(release);
        let mut client = server.client();
        client.orders();
        let mut collector = collector(server.web);
        let found = round(&mut collector);
        let messages = |queue| ["ready", "active"].map(|state| value(&found, queue, "queue.messages", Some(state)));
        // Whether the message that was given back or a new one came next is the server's affair: two of ten are done.
        let [ready, active] = messages("ORDERS/billing").map(Option::unwrap);
        assert!(ready + active == 8.0 && (2.0..=3.0).contains(&active), "{release:?}: {ready} {active}");
        assert_eq!(messages("ORDERS/mail"), [Some(0.0), Some(0.0)], "{release:?}");
        let consumers = |queue| value(&found, queue, "queue.consumers", None);
        // It has no request open, as each was answered at once, and yet somebody works there.
        assert_eq!([consumers("ORDERS/billing"), consumers("ORDERS/mail")], [Some(1.0), Some(1.0)], "{release:?}");
        assert_eq!(consumers("ORDERS/nobody"), Some(0.0), "{release:?}");
        assert_eq!(value(&found, "ORDERS/billing", "queue.completed", None), Some(2.0), "{release:?}");
        let billing = [("messaging.destination.name", "ORDERS/billing")];
        let redelivered = found.value("nats.consumer.redelivered", &billing).unwrap();
        assert_eq!(redelivered, if active == 2.0 { 1.0 } else { redelivered }, "{release:?}");
        assert_eq!(found.all("queue.completed", &[]).len(), 3, "one without a name is no queue");
        let stream = [("nats.stream.name", "ORDERS")];
        assert_eq!(found.value("nats.stream.messages", &stream), Some(10.0));
        assert_eq!(found.value("nats.stream.last_sequence", &stream), Some(10.0));
        assert_eq!(found.value("nats.stream.size.limit", &stream), Some(1_048_576.0));
        assert!(found.value("nats.stream.oldest.age", &stream).unwrap() < 60.0);
        assert_eq!(found.value("nats.connection.count", &[]), Some(1.0));
        assert!(found.value("nats.jetstream.storage.used", &[]).unwrap() > 0.0);
        assert!(!format!("{:?}", found.samples).contains("secret"));
        // Consumers can be paused from 2.11 on.
        let paused = value(&found, "ORDERS/billing", "queue.paused", None);
        assert_eq!(paused, (release == Release::Newest).then_some(0.0), "{release:?}");
        if release == Release::Newest {
            let until = r#"{"pause_until":"2099-01-01T00:00:00Z"}"#;
            client.jetstream("CONSUMER.PAUSE.ORDERS.billing", until);
            let found = round(&mut collector);
            assert_eq!(value(&found, "ORDERS/billing", "queue.paused", None), Some(1.0));
        }
        passed_over(release, &mut client, &mut collector);
        client.jetstream("STREAM.PURGE.ORDERS", "");
        let found = round(&mut collector);
        assert_eq!(found.value("nats.stream.messages", &stream), Some(0.0));
        assert_eq!(found.value("nats.stream.oldest.age", &stream), None, "absent when it is empty");
        assert!(collector.detail().ends_with(", 1 streams"), "{}", collector.detail());
    }
}

/// Messages that were given out as often as they may be: nobody gets them any more, nobody waits for them, and all that
/// is left of them in the server's numbers is that they were given out again.
fn passed_over(release: Release, client: &mut Client, collector: &mut Collector) {
    let config = r#"{"stream_name":"ORDERS","config":{"durable_name":"poison","ack_policy":"explicit","ack_wait":100000000,"max_deliver":2}}"#;
    client.jetstream("CONSUMER.DURABLE.CREATE.ORDERS.poison", config);
    client.send("SUB $JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.ORDERS.poison 2\r\n");
    // Twice each, and one that would get it a third time.
    for batch in [10, 10, 1] {
        client.ask("$JS.API.CONSUMER.MSG.NEXT.ORDERS.poison", &format!(r#"{{"batch":{batch}}}"#));
    }
    let mut given_up = 0;
    while given_up < 10 {
        given_up += usize::from(client.message().1.contains("max_deliver"));
    }
    let found = round(collector);
    let messages = ["ready", "active"].map(|state| value(&found, "ORDERS/poison", "queue.messages", Some(state)));
    assert_eq!(messages, [Some(0.0), Some(0.0)], "{release:?}");
    let again = found.value("nats.consumer.redelivered", &[("messaging.destination.name", "ORDERS/poison")]);
    assert_eq!(again, Some(10.0), "{release:?}");
}

#[test]
fn a_hung_nats_costs_one_round_and_a_killed_one_is_read_again() {
    let mut server = Nats::start(Release::Here);
    server.client().orders();
    let runtime = runtime();
    let mut collector = collector(server.web);
    round(&mut collector);
    server.process.as_ref().unwrap().signal(Signal::STOP);
    let hung = runtime.block_on(one(&mut collector, Duration::from_millis(300))).result;
    assert!(matches!(hung, Err(CollectError::Timeout(_))), "{hung:?}");
    server.process.as_ref().unwrap().signal(Signal::CONT);
    round(&mut collector);
    server.process.as_mut().unwrap().kill();
    let gone = runtime.block_on(one(&mut collector, LIMIT)).result;
    assert!(matches!(gone, Err(CollectError::Connect(_))), "{gone:?}");
    server.up();
    let found = round(&mut collector);
    assert_eq!(found.value("nats.stream.messages", &[("nats.stream.name", "ORDERS")]), Some(10.0), "it kept them");
}

/// A server with 10,000 streams, each as long as its number.
fn pages(path: &str) -> String {
    match path {
        "/varz" => r#"{"version":"2.15.1","jetstream":{"config":{}}}"#.into(),
        "/jsz" => r#"{"streams":10000,"consumers":10000}"#.into(),
        "/jsz?accounts=true&streams=true" => {
            let stream = |number| format!(r#"{{"name":"S{number}","state":{{"messages":{number}}}}}"#);
            let streams: Vec<String> = (0..10_000).map(stream).collect();
            let streams = streams.join(",");
            format!(r#"{{"streams":10000,"account_details":[{{"name":"$G","stream_detail":[{streams}]}}]}}"#)
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_nats_that_lies_or_has_ten_thousand_streams_is_bounded() {
    let fake = Fake::start(pages);
    let runtime = runtime();
    let mut collector = collector(fake.port);
    let endless = runtime.block_on(one(&mut collector, LIMIT)).result;
    assert!(matches!(&endless, Err(CollectError::Parse(why)) if why.contains("larger than")), "{endless:?}");
    fake.set(Mood::Garbage);
    let garbage = runtime.block_on(one(&mut collector, LIMIT)).result.unwrap_err().to_string();
    assert!(garbage.len() < 500 && !garbage.contains('\u{1b}'), "{garbage}");
    for mood in [Mood::Odd, Mood::List, Mood::Text] {
        fake.set(mood);
        let odd = runtime.block_on(one(&mut collector, LIMIT));
        assert!(odd.result.is_ok() && odd.all("nats.stream.messages", &[]).is_empty(), "{mood:?}: {:?}", odd.result);
    }
    fake.set(Mood::Good);
    fake.asked();
    let found = round(&mut collector);
    assert_eq!(fake.asked(), 3, "requests of a round, as its docs say");
    let lengths = found.all("nats.stream.messages", &[]);
    assert_eq!((lengths.len(), lengths[0]), (256, 9_999.0), "the longest are told apart");
    assert!(collector.detail().contains("too many to read their consumers"), "{}", collector.detail());
    assert_eq!(found.value("nats.stream.left_out", &[]), Some(9_744.0));
}

/// Consumers that were last asked for a message so many seconds ago, each with an open request less than its number.
fn workers(path: &str) -> String {
    match path {
        "/varz" => r#"{"version":"2.15.1","now":"2026-01-01T00:10:00Z","jetstream":{"config":{}}}"#.into(),
        "/jsz" => r#"{"streams":1,"consumers":6}"#.into(),
        _ => {
            // As 2.15 writes them: its open requests, when it took and acknowledged one last, and its `ack_wait`.
            let consumers = [
                ("busy", 0, "00:09:01", "00:00:00", 30),
                ("gone", 0, "00:08:59", "00:08:59", 30),
                ("long", 0, "00:06:01", "00:00:00", 120),
                ("long-gone", 0, "00:05:59", "00:05:59", 120),
                ("batch", 0, "00:00:00", "00:09:30", 30),
                ("many", 3, "00:09:59", "00:09:59", 30),
            ];
            let consumer = |(name, waiting, taken, done, wait): (&str, u32, &str, &str, u64)| {
                let at = |time| format!(r#"{{"consumer_seq":7,"last_active":"2026-01-01T{time}.5Z"}}"#);
                format!(
                    r#"{{"name":"{name}","config":{{"durable_name":"{name}","ack_wait":{}}},"delivered":{},
                    "ack_floor":{},"num_waiting":{waiting},"num_pending":9}}"#,
                    wait * 1_000_000_000,
                    at(taken),
                    at(done)
                )
            };
            let consumers = consumers.map(consumer).join(",");
            let stream = format!(r#"{{"name":"S","state":{{"messages":9}},"consumer_detail":[{consumers}]}}"#);
            format!(r#"{{"account_details":[{{"name":"$G","stream_detail":[{stream}]}}]}}"#)
        }
    }
}

#[test]
fn workers_that_pull_through_a_backlog_are_there_and_those_that_are_gone_are_not() {
    let fake = Fake::start(workers);
    fake.set(Mood::Good);
    let found = round(&mut collector(fake.port));
    let told = |name: &str| value(&found, &format!("S/{name}"), "queue.consumers", None);
    let names = ["busy", "gone", "long", "long-gone", "batch", "many"];
    assert_eq!(names.map(told), [1.0, 0.0, 1.0, 0.0, 1.0, 3.0].map(Some));
}

/// Streams of equal length in two accounts, in another order each time; one has many consumers, those without a name first.
fn many_consumers(path: &str) -> String {
    match path {
        "/varz" => r#"{"version":"2.15.1","jetstream":{"config":{}}}"#.into(),
        "/jsz" => r#"{"streams":300,"consumers":155}"#.into(),
        _ => {
            let consumer = |name: &str, pending: usize, durable: &str| {
                format!(r#"{{"name":"{name}","config":{{"durable_name":"{durable}"}},"num_pending":{pending}}}"#)
            };
            let nameless = (0..100).map(|number| consumer(&format!("e{number}"), 1000, ""));
            let named = (0..55).rev().map(|number| {
                let name = format!("d{number:02}");
                consumer(&name, if number == 54 { 7 } else { 0 }, &name)
            });
            let consumers = nameless.chain(named).collect::<Vec<_>>().join(",");
            let stream = |number: usize| {
                let (length, consumers) = if number == 0 { (9, consumers.as_str()) } else { (1, "") };
                let state = format!(r#"{{"messages":{length}}}"#);
                format!(r#"{{"name":"S{number:03}","state":{state},"consumer_detail":[{consumers}]}}"#)
            };
            let account = |name: &str, numbers: &mut dyn Iterator<Item = usize>| {
                let streams = numbers.map(stream).collect::<Vec<_>>().join(",");
                format!(r#"{{"name":"{name}","stream_detail":[{streams}]}}"#)
            };
            let accounts = [account("B", &mut (150..300).rev()), account("A", &mut (0..150).rev())].join(",");
            format!(r#"{{"account_details":[{accounts}]}}"#)
        }
    }
}

#[test]
fn of_too_many_consumers_and_streams_the_same_ones_are_told_each_time_and_the_others_are_counted() {
    let fake = Fake::start(many_consumers);
    fake.set(Mood::Good);
    let mut collector = collector(fake.port);
    let found = round(&mut collector);
    let ready = |name: &str| found.all("queue.messages", &[("messaging.destination.name", name), ("state", "ready")]);
    assert_eq!(found.all("queue.messages", &[("state", "ready")]).len(), 50);
    assert_eq!((ready("S000/d54"), ready("S000/d00"), ready("S000/d48")), (vec![7.0], vec![0.0], vec![0.0]));
    assert_eq!(ready("S000/d49"), [] as [f64; 0], "equal ones by their names");
    assert_eq!(found.value("nats.consumer.left_out", &[]), Some(5.0));
    assert!(collector.detail().contains("; 5 consumers are not told apart"), "{}", collector.detail());
    let stream = |name: &str| found.all("nats.stream.messages", &[("nats.stream.name", name)]).len();
    assert_eq!([stream("S000"), stream("S149"), stream("S150"), stream("S255"), stream("S256")], [1, 1, 1, 1, 0]);
    assert_eq!(found.value("nats.stream.left_out", &[]), Some(44.0));
}
