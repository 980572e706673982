//! Redis Streams: a stream and its consumer groups.
//!
//! Each group is a queue of its own, named `stream/group`: `ready` is its lag, `active` what was delivered and not
//! acknowledged. Redis tells no lag after XGROUP SETID or a deletion in between, and before 7.0: then only the age of
//! what the group has not seen is told. What was trimmed before a group saw it is lost without a count. `consumers` are
//! those that the server knows: it forgets none until somebody deletes it, whether it lives or not.

use redis::Value;

use super::session::{Session, field, int, is_forbidden, items, text};
use crate::base::clock;
use crate::collect::CollectError;
use crate::collect::queue::Queue;
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[LENGTH, PENDING_IDLE, CONSUMER_IDLE];
const LENGTH: Desc =
    Desc::gauge("redis.stream.length", "{entry}", "Entries of a stream, whether they were read or not.");
const PENDING_IDLE: Desc = Desc::gauge(
    "redis.stream.pending.idle.max",
    "s",
    "How long ago the oldest entry that was not acknowledged was put in; absent without one, and where ids are no times.",
);
const CONSUMER_IDLE: Desc = Desc::gauge(
    "redis.stream.consumer.idle.min",
    "s",
    "How long ago the last of a group's consumers was heard of: it grows when all are gone; absent without any.",
);

/// Consumers of a group that are asked for: the server never forgets one by itself.
const MAX_CONSUMERS: i64 = 5000;
/// Groups of a stream that are read.
const MAX_GROUPS: usize = 100;

/// Reads the stream `name`; says in `forbidden` that its consumers may not be read.
pub(super) async fn read(
    session: &mut Session,
    name: &str,
    forbidden: &mut bool,
    out: &mut Samples,
) -> Result<(), CollectError> {
    // Its first and last entry come with it, and may be large.
    session.renew();
    let stream = match session.ask(&["XINFO", "STREAM", name]).await {
        // A stream that is not there is empty: its first entry makes it.
        Err(CollectError::Query(why)) if why.contains("no such key") => return Ok(()),
        answer => answer?,
    };
    let length = field(&stream, "length").and_then(int).and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
    out.put_with(&LENGTH, &[("messaging.destination.name", name)], length);
    let newest = field(&stream, "last-generated-id").and_then(text);
    drop(stream);
    let groups = session.ask(&["XINFO", "GROUPS", name]).await?;
    for group in items(&groups).iter().take(MAX_GROUPS) {
        let Some(group_name) = field(group, "name").and_then(text) else { continue };
        // Without this range the server would count what each consumer has.
        let pending = session.ask(&["XPENDING", name, &group_name, "-", "+", "1"]).await?;
        put_group(name, &group_name, group, &pending, (newest.as_deref(), length), out);
        let consumers = field(group, "consumers").and_then(int).unwrap_or(0);
        if (1..=MAX_CONSUMERS).contains(&consumers) && !*forbidden {
            match session.ask(&["XINFO", "CONSUMERS", name, &group_name]).await {
                Err(error) if is_forbidden(&error) => *forbidden = true,
                answer => put_consumers(&format!("{name}/{group_name}"), &answer?, out),
            }
        }
        let seen = field(group, "last-delivered-id").and_then(text).unwrap_or_default();
        session.renew();
        // Before 6.2 there is no word for "behind this one".
        let next = match session.ask(&["XRANGE", name, &behind(&seen), "+", "COUNT", "1"]).await {
            Err(CollectError::Query(_)) => continue,
            next => next?,
        };
        let oldest_age = match first_id(&next) {
            None => Some(0.0),
            Some(id) => millis(&id).map(age),
        };
        let queue = format!("{name}/{group_name}");
        Queue { system: "redis_streams", name: &queue, oldest_age, ..Queue::default() }.put(out);
    }
    Ok(())
}

fn put_group(
    stream: &str,
    name: &str,
    group: &Value,
    pending: &Value,
    (newest, length): (Option<&str>, u64),
    out: &mut Samples,
) {
    let number = |key| field(group, key).and_then(int).and_then(|count| u64::try_from(count).ok());
    let queue = format!("{stream}/{name}");
    let delivered = field(group, "last-delivered-id").and_then(text);
    // Where nothing newer was ever put in, the lag is 0 whatever the server can tell.
    let lag = number("lag").or_else(|| (newest.is_some() && newest == delivered.as_deref()).then_some(0));
    // The server counts those too that were trimmed before the group saw them: they are gone.
    let lag = lag.map(|lag| lag.min(length));
    let own = Queue {
        system: "redis_streams",
        name: &queue,
        ready: lag,
        active: number("pending"),
        consumers: number("consumers"),
        completed: None,
        ..Queue::default()
    };
    own.put(out);
    if let Some(oldest) = first_id(pending).and_then(|id| millis(&id)) {
        out.put_with(&PENDING_IDLE, &[("messaging.destination.name", &queue)], age(oldest));
    }
}

fn put_consumers(queue: &str, consumers: &Value, out: &mut Samples) {
    let idle = items(consumers).iter().filter_map(|consumer| int(field(consumer, "idle")?));
    if let Some(least) = idle.filter(|millis| *millis >= 0).min() {
        out.put_with(&CONSUMER_IDLE, &[("messaging.destination.name", queue)], least as f64 / 1e3);
    }
}

/// The first id behind an id.
fn behind(id: &str) -> String {
    let (millis, number) = id.split_once('-').unwrap_or((id, "0"));
    match number.parse::<u64>().ok().and_then(|number| number.checked_add(1)) {
        Some(number) => format!("{millis}-{number}"),
        None => format!("({id}"),
    }
}

/// The id of the first of some entries.
fn first_id(entries: &Value) -> Option<String> {
    text(items(items(entries).first()?).first()?)
}

/// The time in an id such as `1795470483500-0`. Whoever gives ids of their own may count from 1: these tell none.
fn millis(id: &str) -> Option<i64> {
    id.split('-').next()?.parse().ok().filter(|millis| (1_000_000_000_000..10_000_000_000_000).contains(millis))
}

fn age(millis: i64) -> f64 {
    (clock::unix_nanos() as f64 / 1e9 - millis as f64 / 1e3).max(0.0)
}
