//! Answers of RabbitMQ 3.10.8 and 4.3.6, cut to the families that are read, after the work of
//! `tests/systems/workers/rabbit_dead.py`.

use super::*;
use crate::signal::metrics::{Limits, Point};

const RECORDED: [(&str, &str, &str); 2] = [
    (
        "3.10.8",
        include_str!("../../../../tests/fixtures/rabbitmq/3.10.8-metrics.txt"),
        include_str!("../../../../tests/fixtures/rabbitmq/3.10.8-detailed.txt"),
    ),
    (
        "4.3.6",
        include_str!("../../../../tests/fixtures/rabbitmq/4.3.6-metrics.txt"),
        include_str!("../../../../tests/fixtures/rabbitmq/4.3.6-detailed.txt"),
    ),
];

fn told(node: &Node) -> BTreeMap<String, f64> {
    let mut out = Samples::new(Limits::default());
    node.put(&mut out);
    let shown = |sample: &crate::signal::metrics::Sample| {
        let Point::Number(number) = &sample.point else { panic!("{sample:?}") };
        let attributes: Vec<&str> = sample.attributes.iter().map(|(_, value)| &**value).collect();
        (format!("{} {}", out.metrics()[sample.metric].name, attributes.join(" ")), number.as_f64())
    };
    out.samples().iter().map(shown).collect()
}

#[test]
fn a_node_tells_what_it_did_summed_over_kinds_of_queues() {
    for (version, metrics, _) in RECORDED {
        let node = read_node(metrics.as_bytes()).unwrap();
        assert_eq!((node.name.as_str(), node.version.as_str()), ("test@localhost", version));
        assert_eq!(node.missing(), None, "{version}");
        let told = told(&node);
        let expected = [
            ("rabbitmq.message.published ", 16.0),
            ("rabbitmq.message.delivered ", 4.0),
            ("rabbitmq.message.acknowledged ", 0.0),
            ("rabbitmq.message.dead_lettered expired", 3.0),
            ("rabbitmq.message.dead_lettered maxlen", 4.0),
            ("rabbitmq.message.dead_lettered rejected", 2.0),
            ("rabbitmq.message.dead_lettered delivery_limit", 0.0),
            ("rabbitmq.connection.count ", 1.0),
            ("rabbitmq.queue.count ", 5.0),
            ("rabbitmq.node.running test@localhost", 1.0),
            ("rabbitmq.node.alarm test@localhost memory", 0.0),
            ("rabbitmq.node.alarm test@localhost disk", 0.0),
            ("rabbitmq.node.disk.limit test@localhost", 50_000_000.0),
            ("rabbitmq.node.files.limit test@localhost", 20_000.0),
        ];
        for (name, value) in expected {
            assert_eq!(told.get(name), Some(&value), "{version}: {name} in {told:?}");
        }
        let lost = told.get("rabbitmq.node.partitions test@localhost");
        assert_eq!(lost, (version == "4.3.6").then_some(&0.0), "3.10 tells no lost nodes");
    }
}

#[test]
fn what_a_version_does_not_tell_is_absent_and_named() {
    let (_, metrics, _) = RECORDED[0];
    let without =
        |word: &str| metrics.lines().filter(|line| !line.contains(word)).collect::<Vec<_>>().join("\n") + "\n";
    let node = read_node(without("dead_lettered_maxlen").as_bytes()).unwrap();
    let one = "it does not tell rabbitmq_global_messages_dead_lettered_maxlen_total";
    assert_eq!(node.missing().as_deref(), Some(one));
    assert!(!told(&node).contains_key("rabbitmq.message.dead_lettered maxlen"), "absent, not 0");
    let node = read_node(without("global").as_bytes()).unwrap();
    assert_eq!(node.missing().unwrap(), "it does not tell rabbitmq_global_messages_received_total and 8 more");
    assert!(read_node(b"up 1\n").unwrap().name.is_empty(), "another exporter's");
}

#[test]
fn each_queue_has_its_messages_and_consumers() {
    for (version, _, detailed) in RECORDED {
        let queues = read_queues(detailed.as_bytes()).unwrap();
        assert_eq!(queues.seen, 5, "{version}");
        let longest = queues.longest();
        let counts: Vec<_> =
            longest.iter().map(|row| (row.vhost, row.name, row.ready, row.unacknowledged, row.consumers)).collect();
        let row =
            |name, ready, unacknowledged, consumers| ("/", name, Some(ready), Some(unacknowledged), Some(consumers));
        let expected = [
            row("dead", 9, 0, 0),
            row("safe", 4, 2, 1),
            row("full", 1, 0, 0),
            row("late", 0, 0, 0),
            row("refused", 0, 0, 0),
        ];
        assert_eq!(counts, expected, "{version}");
        assert_eq!(longest[1].capacity, Some(if version == "3.10.8" { 1.0 } else { 0.0 }), "{version}");
    }
}

#[test]
fn numbers_that_are_no_counts_are_left_out_and_names_keep_their_own_letters() {
    let body = "rabbitmq_detailed_queue_messages_ready{vhost=\"a\\\"b\",queue=\"x\"} 7\n\
                rabbitmq_detailed_queue_messages_unacked{vhost=\"a\\\"b\",queue=\"x\"} -1\n\
                rabbitmq_detailed_queue_consumers{vhost=\"a\\\"b\",queue=\"x\"} NaN\n\
                rabbitmq_detailed_queue_consumers{queue=\"without a host\"} 3\n";
    let queues = read_queues(body.as_bytes()).unwrap();
    let only = Row {
        vhost: "a\"b",
        name: "x",
        ready: Some(7),
        unacknowledged: None,
        consumers: None,
        capacity: None,
        members: None,
    };
    assert_eq!(queues.longest(), [only]);
    let broken = read_queues(b"rabbitmq_detailed_queue_messages_ready{vhost=\"/\"").unwrap_err().to_string();
    assert!(broken.starts_with("line 1: "), "{broken}");
}
