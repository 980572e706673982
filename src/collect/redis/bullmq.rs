//! BullMQ 5 and 6, and Bull 4: the keys of one queue.
//!
//! `ready` is what a worker can take (`wait`, `prioritized`, and `paused`, where versions before 6 keep the jobs of a
//! paused queue); `dead` are the failed ones that are kept. The sizes of `completed` and `failed` are no counters, as
//! jobs are trimmed from them: `completed` and `failed` are told only where the workers keep metrics.

use redis::Value;

use super::session::{Session, int, items, text};
use crate::base::clock;
use crate::collect::CollectError;
use crate::collect::queue::Queue;
use crate::signal::metrics::Samples;

/// Reads the queue `name`.
pub(super) async fn read(
    session: &mut Session,
    prefix: &str,
    name: &str,
    out: &mut Samples,
) -> Result<(), CollectError> {
    let key = |suffix: &str| format!("{prefix}:{name}:{suffix}");
    let meta = session.ask(&["HMGET", &key("meta"), "version", "paused", "concurrency"]).await?;
    let meta: Vec<Option<String>> = items(&meta).iter().map(text).collect();
    let version = meta.first().cloned().flatten().unwrap_or_default();
    let mut lengths = [0_u64; 3];
    for (length, list) in lengths.iter_mut().zip(["wait", "paused", "active"]) {
        *length = count(&session.ask(&["LLEN", &key(list)]).await?);
    }
    let mut sets = [0_u64; 4];
    for (size, set) in sets.iter_mut().zip(["prioritized", "priority", "delayed", "failed"]) {
        *size = count(&session.ask(&["ZCARD", &key(set)]).await?);
    }
    let [waiting, held, active] = lengths;
    let [prioritized, priority, delayed, failed] = sets;
    // Bull 4 keeps the prioritised jobs in `wait` too, and says that it pauses by a key of its own.
    let bull = version.is_empty();
    let paused = if bull {
        count(&session.ask(&["EXISTS", &key("meta-paused")]).await?) > 0
    } else {
        meta.get(1).cloned().flatten().is_some_and(|paused| paused == "1" || paused == "true")
    };
    let _counted_in_wait = priority;
    let oldest = oldest_age(session, &key, waiting > 0, held > 0).await?;
    let done = metrics(session, &key("metrics:completed")).await?;
    let tried = metrics(session, &key("metrics:failed")).await?;
    let queue = Queue {
        system: "bullmq",
        name,
        ready: Some(waiting + held + if bull { 0 } else { prioritized }),
        active: Some(active),
        delayed: Some(delayed),
        dead: Some(failed),
        oldest_age: oldest.or((waiting + held + prioritized == 0).then_some(0.0)),
        completed: done,
        failed: tried,
        paused: Some(paused),
        ..Queue::default()
    };
    queue.put(out);
    Ok(())
}

/// Jobs are put in at the left and taken at the right. Only the time of a job is read, never its data.
async fn oldest_age(
    session: &mut Session,
    key: &impl Fn(&str) -> String,
    waiting: bool,
    held: bool,
) -> Result<Option<f64>, CollectError> {
    let mut oldest: Option<f64> = None;
    for (list, there) in [("wait", waiting), ("paused", held)] {
        if !there {
            continue;
        }
        let job = session.ask(&["LINDEX", &key(list), "-1"]).await?;
        // Versions before 5 keep a marker in the list.
        let Some(id) = text(&job).filter(|id| !id.starts_with("0:")) else { continue };
        let at = session.ask(&["HGET", &key(&id), "timestamp"]).await?;
        if let Some(millis) = int(&at) {
            let age = clock::unix_nanos() as f64 / 1e9 - millis as f64 / 1e3;
            oldest = Some(oldest.map_or(age, |known| known.max(age)));
        }
    }
    Ok(oldest)
}

/// The count that workers with `metrics` keep; absent without one.
async fn metrics(session: &mut Session, key: &str) -> Result<Option<u64>, CollectError> {
    let count = session.ask(&["HGET", key, "count"]).await?;
    Ok(int(&count).and_then(|count| u64::try_from(count).ok()))
}

fn count(value: &Value) -> u64 {
    int(value).and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
}
