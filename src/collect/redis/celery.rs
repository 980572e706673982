//! Celery with Redis as its broker: the lists of a queue and what workers have taken.
//!
//! A message has no time, so there is no age; an empty queue has no key and is told as 0. `active` counts what workers
//! took and have not acknowledged, over all queues (`*`): it includes what they fetched ahead and what waits for its
//! time, and not a running task that was acknowledged early. The oldest of them has an age: at `visibility_timeout` (an
//! hour, where nobody set it) it is given out again. What was done, failed or retried stands in no key.

use redis::Value;

use super::session::{Session, int, is_forbidden, items, text};
use crate::base::clock;
use crate::collect::CollectError;
use crate::collect::queue::Queue;
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[UNACKED_AGE];
const UNACKED_AGE: Desc = Desc::gauge(
    "celery.unacked.age.max",
    "s",
    "How long ago the oldest message that is not acknowledged was taken; absent without one.",
);

/// Priorities other than 0 have lists of their own.
const PRIORITIES: [&str; 10] = ["", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
/// What kombu puts between a queue's name and the priority.
const SEPARATOR: &str = "\u{6}\u{16}";
/// Queues that are asked for at once.
const BATCH: usize = 50;

/// Reads the queues `names`, and says how many.
pub(super) async fn read(
    session: &mut Session,
    names: &[String],
    lacking: &mut Vec<String>,
    out: &mut Samples,
) -> Result<usize, CollectError> {
    for names in names.chunks(BATCH) {
        let commands: Vec<Vec<String>> =
            names.iter().flat_map(|name| keys(name).map(|key| vec!["LLEN".to_owned(), key])).collect();
        let lengths = session.ask_all(&commands).await?;
        for (name, lengths) in names.iter().zip(lengths.chunks(PRIORITIES.len())) {
            let ready = lengths.iter().map(count).fold(0, u64::saturating_add);
            Queue { system: "celery", name, ready: Some(ready), ..Queue::default() }.put(out);
        }
    }
    let taken = session.ask(&["HLEN", "unacked"]).await?;
    Queue { system: "celery", name: "*", active: Some(count(&taken)), ..Queue::default() }.put(out);
    match session.ask(&["ZRANGE", "unacked_index", "0", "0", "WITHSCORES"]).await {
        // Who gave the rights of an earlier version.
        Err(error) if is_forbidden(&error) => {
            lacking.push("the age of Celery's unacknowledged messages needs +zrange".into());
        }
        answer => put_age(&answer?, out),
    }
    Ok(names.len())
}

/// The member and the time at which it was taken, in seconds. The third version of the protocol has pairs.
fn put_age(oldest: &Value, out: &mut Samples) {
    let pair = items(oldest).first().map(items).filter(|pair| !pair.is_empty()).unwrap_or(items(oldest));
    let taken = pair.get(1).and_then(text).and_then(|score| score.parse::<f64>().ok());
    if let Some(taken) = taken.filter(|taken| taken.is_finite()) {
        out.put(&UNACKED_AGE, (clock::unix_nanos() as f64 / 1e9 - taken).max(0.0));
    }
}

fn keys(name: &str) -> impl Iterator<Item = String> {
    PRIORITIES.iter().map(move |priority| match *priority {
        "" => name.to_owned(),
        priority => format!("{name}{SEPARATOR}{priority}"),
    })
}

fn count(value: &Value) -> u64 {
    int(value).and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
}
