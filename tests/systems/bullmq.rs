//! BullMQ 5 and 6 and Bull 4 on a real Redis: the jobs of real workers are counted, with the rights that the docs name.

use std::time::Duration;

use plimsoll::collect::Collector as _;
use plimsoll::collect::redis::Redis as Collector;
use plimsoll::collect::redis::queues::{Queues, Wanted};
use plimsoll::collect::redis::session::Target;
use secrecy::SecretString;

use super::redis::target;
use super::redis_server::Redis;
use super::release::Release;
use super::round::{Round, one, runtime};
use super::worker::Worker;

const LIMIT: Duration = Duration::from_secs(10);
const ARGUMENTS: &[&str] = &["--maxmemory-policy", "noeviction"];

/// The line of `src/collect/redis.rs`.
const RIGHTS: &str = "+ping +info +slowlog|get +slowlog|len +latency|latest +client|list \
                      %R~bull:* +hget +hmget +llen +zcard +zrange +lindex +exists +scan";

/// The target with a user that has exactly `rights`.
pub(crate) fn with_rights(server: &Redis, rights: &str) -> Target {
    let mut command = vec!["ACL", "SETUSER", "plimsoll", "reset", "on", ">pw", "resetchannels", "-@all"];
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
        let workers = |queue: &str| value(&found, queue, "queue.consumers", None);
        assert_eq!([workers("mail"), workers("held")], [Some(1.0), Some(0.0)], "{library}");
        let counted = (library != "bull").then_some([4.0, 2.0]);
        let done = value(&found, "mail", "queue.completed", None);
        assert_eq!(done.zip(value(&found, "mail", "queue.failed", None)), counted.map(|[a, b]| (a, b)), "{library}");
        assert!(!format!("{:?}{}", found.samples, collector.detail()).contains("secret"));
    }
}
