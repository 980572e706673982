//! A real Redis Cluster of three nodes: each tells of the queues whose keys it holds.

use std::time::Duration;

use plimsoll::collect::Collector as _;
use plimsoll::collect::redis::Redis as Collector;
use plimsoll::collect::redis::queues::{Queues, Wanted};

use super::harness::{free_port, wait_for};
use super::redis::target;
use super::redis_server::Redis;
use super::release::Release;
use super::round::{Round, one, runtime};

const LIMIT: Duration = Duration::from_secs(10);

fn node() -> Redis {
    let bus = free_port().to_string();
    Redis::start(Release::Here, "redis-server", &["--cluster-enabled", "yes", "--cluster-port", &bus])
}

/// A round of a collector of its own, and what it says of itself.
fn read(node: &Redis, queues: Queues) -> (Round, String) {
    let mut collector = Collector::new(target(node.port), queues);
    let found = runtime().block_on(one(&mut collector, LIMIT));
    (found, collector.detail())
}

/// What an entry without `queues:` asks for.
fn all() -> Queues {
    Queues::new(Wanted::Auto, Wanted::Auto, Vec::new(), Vec::new())
}

const ELSEWHERE: &str = "queues that lie on other nodes of the cluster";

#[test]
fn each_node_of_a_cluster_is_read_and_tells_of_the_queues_that_lie_on_it() {
    let nodes = [node(), node(), node()];
    // Nobody has a slot yet: an ordinary start of a cluster.
    let (found, detail) = read(&nodes[0], all());
    assert!(found.result.is_ok() && !detail.contains(ELSEWHERE), "{:?} {detail}", found.result);
    let mut create = std::process::Command::new(Release::Here.program(&["/usr/bin/redis-cli"]));
    create.args(["--cluster", "create"]).args(nodes.each_ref().map(|node| format!("127.0.0.1:{}", node.port)));
    let created = create.arg("--cluster-yes").output().unwrap();
    assert!(created.status.success(), "{created:?}");
    for node in &nodes {
        wait_for("a node that knows all slots", LIMIT, || {
            let info = node.ask(&["CLUSTER", "INFO"]);
            if info.contains("cluster_state:ok") { Ok(()) } else { Err(info) }
        });
        let (found, detail) = read(node, all());
        found.result.as_ref().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(found.value("redis.cluster.enabled", &[]), Some(1.0));
        assert!(!detail.contains(ELSEWHERE), "nobody asked for a queue: {detail}");
    }
    let holds = |node: &&Redis| node.try_ask(&["EXISTS", "orders"]).is_ok();
    let holder = nodes.iter().find(holds).unwrap();
    holder.ask(&["XADD", "orders", "*", "order", "1"]);
    for node in &nodes {
        let (found, detail) = read(node, Queues::new(Wanted::Auto, Wanted::Auto, vec![], vec!["orders".into()]));
        found.result.as_ref().unwrap_or_else(|error| panic!("{error}"));
        let here = node.port == holder.port;
        assert_eq!(found.value("redis.stream.length", &[]), here.then_some(1.0));
        assert_eq!(detail.matches(ELSEWHERE).count(), usize::from(!here), "{detail}");
    }
}

#[test]
fn a_queue_that_was_found_and_moved_to_another_node_costs_the_others_nothing() {
    let [here, there] = [node(), node()];
    here.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    let queue = ["HSET", "{bull}:mail:meta", "version", "bullmq:6.7.0"];
    wait_for("a node that serves", LIMIT, || here.try_ask(&queue));
    let runtime = runtime();
    let mut collector = Collector::new(target(here.port), all());
    let found = runtime.block_on(one(&mut collector, LIMIT));
    assert_eq!((found.result.is_ok(), found.all("queue.paused", &[]).len()), (true, 1), "{:?}", found.result);
    let bus = |node: &Redis| node.ask(&["CLUSTER", "NODES"]).split(['@', ',', ' ']).nth(2).unwrap().to_owned();
    let meet = here.ask(&["CLUSTER", "MEET", "127.0.0.1", &there.port.to_string(), &bus(&there)]);
    assert_eq!(meet, "OK");
    let id = there.ask(&["CLUSTER", "MYID"]);
    here.ask(&["DEL", "{bull}:mail:meta"]);
    let slot = here.ask(&["CLUSTER", "KEYSLOT", "{bull}:mail:meta"]);
    wait_for("a node that knows the other", LIMIT, || here.try_ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]));
    let found = runtime.block_on(one(&mut collector, LIMIT));
    assert!(found.result.is_ok() && found.all("queue.paused", &[]).is_empty(), "{:?}", found.result);
    assert!(collector.detail().contains(ELSEWHERE), "{}", collector.detail());
}
