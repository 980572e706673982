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
        assert_eq!([consumers("ORDERS/billing"), consumers("ORDERS/mail")], [Some(0.0), Some(1.0)], "{release:?}");
        assert_eq!(value(&found, "ORDERS/billing", "queue.completed", None), Some(2.0), "{release:?}");
        let billing = [("messaging.destination.name", "ORDERS/billing")];
        let redelivered = found.value("nats.consumer.redelivered", &billing).unwrap();
        assert_eq!(redelivered, if active == 2.0 { 1.0 } else { redelivered }, "{release:?}");
        assert_eq!(found.all("queue.completed", &[]).len(), 2, "one without a name is no queue");
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
    fake.set(Mood::Odd);
    let odd = runtime.block_on(one(&mut collector, LIMIT));
    assert!(odd.result.is_ok() && odd.all("nats.stream.messages", &[]).is_empty());
    fake.set(Mood::Good);
    fake.asked();
    let found = round(&mut collector);
    assert_eq!(fake.asked(), 3, "requests of a round, as its docs say");
    let lengths = found.all("nats.stream.messages", &[]);
    assert_eq!((lengths.len(), lengths[0]), (256, 9_999.0), "the longest are told apart");
    assert!(collector.detail().contains("too many to read their consumers"), "{}", collector.detail());
    assert_eq!(found.value("nats.stream.left_out", &[]), Some(9_744.0));
}
