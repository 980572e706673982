//! A real cluster of three NATS: what each of them knows is told by it, and what it cannot know is not.

use std::time::Duration;

use super::harness::wait_for;
use super::nats::collector;
use super::nats_server::{Client, Nats};
use super::release::RELEASES;
use super::round::{Round, one, runtime};

const LIMIT: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(60);

/// Ten messages on all three, of which a consumer took three and acknowledged two.
fn work(client: &mut Client) {
    let stream = r#"{"name":"ORDERS","subjects":["orders.>"],"num_replicas":3}"#;
    wait_for("a cluster that makes a stream", SOON, || client.try_jetstream("STREAM.CREATE.ORDERS", stream));
    for number in 0..10 {
        client.ask(&format!("orders.{number}"), "x");
        assert!(client.message().1.contains("ORDERS"));
    }
    let config = r#"{"stream_name":"ORDERS","config":{"durable_name":"billing","ack_policy":"explicit"}}"#;
    client.jetstream("CONSUMER.DURABLE.CREATE.ORDERS.billing", config);
    client.ask("$JS.API.CONSUMER.MSG.NEXT.ORDERS.billing", r#"{"batch":3}"#);
    let taken: Vec<String> = (0..3).map(|_| client.message().0).collect();
    client.publish(&taken[0], "+ACK");
    client.publish(&taken[1], "+ACK");
}

#[test]
fn a_consumer_and_the_replicas_of_a_stream_are_told_by_their_leader_alone() {
    for release in RELEASES {
        let nodes = Nats::cluster(release);
        work(&mut nodes[0].client());
        let runtime = runtime();
        wait_for("what the leaders know", SOON, || {
            let read = |node: &Nats| runtime.block_on(one(&mut collector(node.web), LIMIT));
            let rounds: Vec<Round> = nodes.iter().map(read).collect();
            let all = |name: &str, own: &[(&str, &str)]| -> Vec<f64> {
                rounds.iter().flat_map(|round| round.all(name, own)).collect()
            };
            let billing = ("messaging.destination.name", "ORDERS/billing");
            let told = [
                all("queue.messages", &[billing, ("state", "ready")]),
                all("queue.messages", &[billing, ("state", "active")]),
                all("queue.consumers", &[billing]),
                all("nats.stream.replica.current", &[]),
                all("nats.stream.messages", &[]),
            ];
            let wanted = [vec![7.0], vec![1.0], vec![1.0], vec![1.0; 2], vec![10.0; 3]];
            if told == wanted { Ok(()) } else { Err(format!("{release:?}: {told:?}")) }
        });
    }
}
