//! Celery with Redis as its broker: the lists of a queue and what workers have taken.
//!
//! A message has no time, so there is no age; an empty queue has no key and is told as 0. `active` counts what workers
//! took and have not acknowledged, over all queues (`*`): it includes what they fetched ahead and what waits for its
//! time, and not a running task that was acknowledged early. What was done, failed or retried stands in no key.

use redis::Value;

use super::session::{Session, int};
use crate::collect::CollectError;
use crate::collect::queue::Queue;
use crate::signal::metrics::Samples;

/// Priorities other than 0 have lists of their own.
const PRIORITIES: [&str; 10] = ["", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
/// What kombu puts between a queue's name and the priority.
const SEPARATOR: &str = "\u{6}\u{16}";
/// Queues that are asked for at once.
const BATCH: usize = 50;

/// Reads the queues `names`, and says how many.
pub(super) async fn read(session: &mut Session, names: &[String], out: &mut Samples) -> Result<usize, CollectError> {
    for names in names.chunks(BATCH) {
        let commands: Vec<Vec<String>> =
            names.iter().flat_map(|name| keys(name).map(|key| vec!["LLEN".to_owned(), key])).collect();
        let lengths = session.ask_all(&commands).await?;
        for (name, lengths) in names.iter().zip(lengths.chunks(PRIORITIES.len())) {
            let ready = lengths.iter().map(count).sum();
            Queue { system: "celery", name, ready: Some(ready), ..Queue::default() }.put(out);
        }
    }
    let taken = session.ask(&["HLEN", "unacked"]).await?;
    Queue { system: "celery", name: "*", active: Some(count(&taken)), ..Queue::default() }.put(out);
    Ok(names.len())
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
