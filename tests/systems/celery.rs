//! Celery on a real Redis: what a real worker left waiting and holds. On RabbitMQ: `rabbitmq.rs`.

use std::time::Duration;

use plimsoll::collect::redis::Redis as Collector;
use plimsoll::collect::redis::queues::{Queues, Wanted};

use super::bullmq::{calls, with_rights};
use super::redis_server::Redis;
use super::release::{RELEASES, Release};
use super::round::{one, runtime};
use super::worker::Worker;

const LIMIT: Duration = Duration::from_secs(10);

/// The lines of `src/collect/redis.rs`.
const RIGHTS: &str = "+ping +info +slowlog|get +slowlog|len +latency|latest +client|list %R~* +llen +hlen +zrange";

#[test]
fn the_tasks_of_celery_are_counted_with_those_of_every_priority() {
    assert_eq!(RELEASES[0], Release::Here);
    for release in RELEASES {
        let server = Redis::start(release, "redis-server", &[]);
        let _worker = Worker::python("celery_work.py", &[&format!("redis://127.0.0.1:{}/0", server.port)]);
        let names = ["work", "celery", "empty"].map(str::to_owned).to_vec();
        let queues = Queues::new(Wanted::None, Wanted::None, names, Vec::new());
        let mut collector = Collector::new(with_rights(&server, RIGHTS), queues);
        server.ask(&["CONFIG", "RESETSTAT"]);
        let found = runtime().block_on(one(&mut collector, LIMIT));
        found.result.as_ref().unwrap();
        let messages = |queue: &str, state: &str| {
            let own = [("messaging.system", "celery"), ("messaging.destination.name", queue), ("state", state)];
            found.value("queue.messages", &own)
        };
        assert_eq!(messages("work", "ready"), Some(3.0));
        assert_eq!(messages("celery", "ready"), Some(7.0), "five, and two of a higher priority");
        assert_eq!(messages("empty", "ready"), Some(0.0));
        assert_eq!(messages("*", "active"), Some(1.0), "the one that the worker holds");
        assert!(found.all("queue.oldest.age", &[]).is_empty(), "a message has no time");
        assert!(!format!("{:?}", found.samples).contains("secret"));
        assert_eq!(calls(&server, "llen hlen zrange"), 3 * 10 + 2, "as its docs say");
        let taken = found.value("celery.unacked.age.max", &[]).unwrap();
        assert!((0.0..600.0).contains(&taken), "{taken}");
        // Who gave the rights of an earlier version loses that alone.
        let queues = Queues::new(Wanted::None, Wanted::None, vec!["work".into()], Vec::new());
        let mut collector = Collector::new(with_rights(&server, &RIGHTS.replace(" +zrange", "")), queues);
        let found = runtime().block_on(one(&mut collector, LIMIT));
        assert!(found.result.is_ok() && found.value("celery.unacked.age.max", &[]).is_none());
        let detail = plimsoll::collect::Collector::detail(&collector);
        assert!(detail.contains("needs +zrange"), "{detail}");
    }
}
