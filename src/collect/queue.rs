//! Queues, whatever they run on: the same names for all, so that one board and one rule serve every system.
//!
//! Each system says what a state is there; what a broker does not hold is absent, never 0.

use crate::signal::metrics::{Desc, Samples};

/// Every metric of a queue.
pub const METRICS: &[Desc] = &[MESSAGES, OLDEST_AGE, ENQUEUED, COMPLETED, FAILED, RETRIED, CONSUMERS, PAUSED, WORKERS];

const MESSAGES: Desc = Desc::updown("queue.messages", "{message}", "Messages or jobs in a queue, by state.");
const OLDEST_AGE: Desc =
    Desc::gauge("queue.oldest.age", "s", "How long the oldest message that is ready has waited; 0 without one.");
const ENQUEUED: Desc = Desc::counter("queue.enqueued", "{message}", "Messages or jobs that were put into the queue.");
const COMPLETED: Desc = Desc::counter("queue.completed", "{message}", "Messages or jobs that were done.");
const FAILED: Desc = Desc::counter("queue.failed", "{message}", "Tries that ended with a failure.");
const RETRIED: Desc = Desc::counter("queue.retried", "{message}", "Messages or jobs that were given out again.");
const CONSUMERS: Desc = Desc::updown("queue.consumers", "{consumer}", "Consumers or worker processes of the queue.");
const PAUSED: Desc = Desc::gauge("queue.paused", "", "1 while the queue gives out nothing because it was paused.");
const WORKERS: Desc = Desc::updown("queue.workers", "{worker}", "Places for jobs in the worker processes, by state.");

/// One queue in one round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Queue<'a> {
    /// `messaging.system`, such as `bullmq`, `sidekiq`, `celery`, `rabbitmq`, `nats`, `redis_streams`.
    pub system: &'a str,
    /// `messaging.destination.name`: the queue's name.
    pub name: &'a str,
    /// What else tells queues of one name apart, such as the virtual host; empty where nothing does.
    pub scope: Option<(&'static str, &'a str)>,
    /// Can be taken now.
    pub ready: Option<u64>,
    /// Taken and not done.
    pub active: Option<u64>,
    /// Waits for a time.
    pub delayed: Option<u64>,
    /// Failed, and waits for its next try.
    pub retry: Option<u64>,
    /// Failed for good and kept.
    pub dead: Option<u64>,
    /// Seconds since the oldest ready one came; `Some(0.0)` without one.
    pub oldest_age: Option<f64>,
    /// Put in since the broker counts.
    pub enqueued: Option<u64>,
    /// Done since the broker counts.
    pub completed: Option<u64>,
    /// Failed tries since the broker counts.
    pub failed: Option<u64>,
    /// Given out again since the broker counts.
    pub retried: Option<u64>,
    /// Consumers or worker processes.
    pub consumers: Option<u64>,
    /// Whether it is paused.
    pub paused: Option<bool>,
    /// Busy places in the workers.
    pub workers_busy: Option<u64>,
    /// Idle places in the workers.
    pub workers_idle: Option<u64>,
}

impl Queue<'_> {
    /// Puts what is known.
    pub fn put(&self, out: &mut Samples) {
        let mut own = vec![("messaging.system", self.system), ("messaging.destination.name", self.name)];
        own.extend(self.scope);
        let states = [
            ("ready", self.ready),
            ("active", self.active),
            ("delayed", self.delayed),
            ("retry", self.retry),
            ("dead", self.dead),
        ];
        put_states(out, &MESSAGES, &own, &states);
        put_states(out, &WORKERS, &own, &[("busy", self.workers_busy), ("idle", self.workers_idle)]);
        if let Some(age) = self.oldest_age {
            // A producer's clock may be ahead of ours.
            out.put_with(&OLDEST_AGE, &own, age.max(0.0));
        }
        let counts = [
            (&ENQUEUED, self.enqueued),
            (&COMPLETED, self.completed),
            (&FAILED, self.failed),
            (&RETRIED, self.retried),
            (&CONSUMERS, self.consumers),
            (&PAUSED, self.paused.map(u64::from)),
        ];
        for (desc, count) in counts {
            if let Some(count) = count {
                out.put_with(desc, &own, count);
            }
        }
    }
}

fn put_states(out: &mut Samples, desc: &'static Desc, own: &[(&str, &str)], states: &[(&str, Option<u64>)]) {
    for (state, count) in states {
        if let Some(count) = count {
            let mut attributes = own.to_vec();
            attributes.push(("state", state));
            out.put_with(desc, &attributes, *count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::metrics::Limits;

    #[test]
    fn what_a_broker_does_not_hold_is_absent() {
        let mut out = Samples::new(Limits::default());
        let queue = Queue {
            system: "rabbitmq",
            name: "mail",
            scope: Some(("rabbitmq.vhost.name", "shop")),
            ready: Some(3),
            oldest_age: Some(-2.0),
            paused: Some(false),
            ..Queue::default()
        };
        queue.put(&mut out);
        let told: Vec<(&str, usize)> =
            out.samples().iter().map(|sample| (&*out.metrics()[sample.metric].name, sample.attributes.len())).collect();
        assert_eq!(told, [("queue.messages", 4), ("queue.oldest.age", 3), ("queue.paused", 3)]);
        assert!(format!("{:?}", out.samples()[1].point).contains("0.0"), "an age is never negative");
    }
}
