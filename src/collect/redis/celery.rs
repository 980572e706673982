//! Celery with Redis as its broker: the lists of a queue and what workers have taken.
//!
//! A message has no time, so there is no age; an empty queue has no key. `active` counts what workers took and have
//! not acknowledged, over all queues (`*`): it includes what they fetched ahead and what waits for its time, and not
//! a running task that was acknowledged early.

use super::session::{Session, int};
use crate::collect::CollectError;
use crate::collect::queue::Queue;
use crate::signal::metrics::Samples;

/// Priorities other than 0 have lists of their own.
const PRIORITIES: [&str; 9] = ["1", "2", "3", "4", "5", "6", "7", "8", "9"];
/// What kombu puts between a queue's name and the priority.
const SEPARATOR: &str = "\u{6}\u{16}";

/// Reads the queue `name`.
pub(super) async fn read(session: &mut Session, name: &str, out: &mut Samples) -> Result<(), CollectError> {
    let mut ready = length(session, name).await?;
    for priority in PRIORITIES {
        ready += length(session, &format!("{name}{SEPARATOR}{priority}")).await?;
    }
    Queue { system: "celery", name, ready: Some(ready), ..Queue::default() }.put(out);
    let taken = session.ask(&["HLEN", "unacked"]).await?;
    let taken = int(&taken).and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
    Queue { system: "celery", name: "*", active: Some(taken), ..Queue::default() }.put(out);
    Ok(())
}

async fn length(session: &mut Session, key: &str) -> Result<u64, CollectError> {
    let length = session.ask(&["LLEN", key]).await?;
    Ok(int(&length).and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
}
