//! Sidekiq 6.4 to 8: its queues, sets and processes.
//!
//! A queue has `ready` and `oldest.age`; `delayed`, `retry`, `dead`, `completed`, `failed` and the workers are of all
//! queues together, under the name `*`, because Sidekiq keeps them so. A job that failed for good
//! without a place among the dead is counted by `failed` alone.
//!
//! What the processes say of themselves stands under names of its own, as the worst of all: their ids change with each
//! start. A process that is killed is gone from Redis a minute after its last heartbeat, with what it worked on.
//!
//! Cost: 9 commands in a round, 2 for each queue with jobs, 1 for an empty one, 3 for each process, and for one that works
//! 1 more and 1 for each job. The lengths of 20 queues come at once; the oldest job of each, which may be large, one after
//! the other: they are read for their times and dropped, as Redis holds nothing smaller. Of the jobs that run those of
//! more than a MiB are not read, nor more than 8 MiB of a process.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use redis::Value;
use serde_json::Value as Json;

use super::session::{Session, int, is_elsewhere, is_forbidden, items, text};
use crate::base::clock;
use crate::base::http::shown;
use crate::collect::CollectError;
use crate::collect::queue::Queue;
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[LONGEST_JOB, HEARTBEAT, ROUND_TRIP];
const LONGEST_JOB: Desc =
    Desc::gauge("sidekiq.job.running.max", "s", "For how long the job that runs longest has run; 0 while none runs.");
const HEARTBEAT: Desc = Desc::gauge(
    "sidekiq.process.heartbeat.age.max",
    "s",
    "How long ago the process that is silent longest gave a sign of life: it should each 10 s, and is gone after 60 s.",
);
const ROUND_TRIP: Desc = Desc::gauge(
    "sidekiq.process.redis.round_trip.max",
    "s",
    "Longest time that an answer of Redis took on its way to a process, by the process's own clock.",
);

/// Queues and processes that are read.
const MAX_NAMES: usize = 500;
/// Names in the sets of Sidekiq. A larger set is another application's.
const MAX_SET: u64 = 10_000;
/// Queues or processes that are asked for at once.
const BATCH: usize = 20;
/// Bytes of a running job that is read for its time, and of all of a process.
const MAX_JOB: u64 = 1 << 20;
const MAX_JOBS: u64 = 8 << 20;
/// After which time a queue is asked again for its oldest job, when that was too large.
const AGAIN: Duration = Duration::from_secs(600);
/// All queues together.
const ALL: &str = "*";

/// Reads all queues, or `only` some, and says how many.
pub(super) async fn read(
    session: &mut Session,
    only: Option<&[String]>,
    large: &mut Large,
    lacking: &mut Vec<String>,
    out: &mut Samples,
) -> Result<usize, CollectError> {
    let mut names: Vec<String> = match only {
        Some(names) => names.to_vec(),
        None => match found(session, lacking).await? {
            Some(names) => names,
            None => return Ok(0),
        },
    };
    let processes = processes(session).await?;
    if only.is_none() && names.is_empty() && processes.ids.is_empty() {
        return Ok(0);
    }
    for (count, of) in [(names.len(), "queues"), (processes.found, "processes")] {
        if count > MAX_NAMES {
            lacking.push(format!("only {MAX_NAMES} of {count} {of} of Sidekiq are read"));
        }
    }
    names.sort_unstable();
    names.truncate(MAX_NAMES);
    let mut waiting = Vec::new();
    for names in names.chunks(BATCH) {
        put_queues(session, names, &processes, &mut waiting, out).await?;
    }
    put_all(session, &processes, out).await?;
    // The last, as they may be large.
    put_running(session, &processes, lacking, out).await?;
    put_ages(session, &waiting, large, lacking, out).await?;
    Ok(names.len())
}

/// The queues, where nobody named them; `None`: this is no Sidekiq's server. Others may have keys of these names too,
/// of any type and size, and the whole of a set is read in one piece.
async fn found(session: &mut Session, lacking: &mut Vec<String>) -> Result<Option<Vec<String>>, CollectError> {
    let sizes = ["queues", "processes"].map(|key| vec!["SCARD".to_owned(), key.to_owned()]);
    match session.ask_all(&sizes).await {
        Ok(sizes) if sizes.iter().map(count).any(|size| size > MAX_SET) => {
            lacking.push(format!("a set queues or processes of more than {MAX_SET} names is not read as Sidekiq's"));
            return Ok(None);
        }
        // Who gave the rights of an earlier version has no SCARD.
        Ok(_) => {}
        Err(error) if is_forbidden(&error) => {}
        Err(CollectError::Query(why)) if why.contains("WRONGTYPE") => return Ok(None),
        // It runs on no cluster: its keys would lie on several nodes.
        Err(error) if is_elsewhere(&error) => return Ok(None),
        Err(error) => return Err(error),
    }
    match session.ask(&["SMEMBERS", "queues"]).await {
        Ok(names) => Ok(Some(strings(&names))),
        Err(error) if is_forbidden(&error) => {
            lacking.push("Sidekiq's queues cannot be looked for without +smembers on the key queues".into());
            Ok(None)
        }
        Err(error) if is_elsewhere(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn put_queues<'a>(
    session: &mut Session,
    names: &'a [String],
    processes: &Processes,
    waiting: &mut Vec<&'a str>,
    out: &mut Samples,
) -> Result<(), CollectError> {
    let lengths: Vec<_> = names.iter().map(|name| vec!["LLEN".to_owned(), format!("queue:{name}")]).collect();
    let lengths = session.ask_all(&lengths).await?;
    for (name, length) in names.iter().zip(&lengths) {
        let ready = count(length);
        if ready > 0 {
            waiting.push(name);
        }
        let queue = Queue {
            system: "sidekiq",
            name,
            ready: Some(ready),
            oldest_age: (ready == 0).then_some(0.0),
            consumers: Some(processes.listening.get(name).copied().unwrap_or(0)),
            ..Queue::default()
        };
        queue.put(out);
    }
    Ok(())
}

/// The ages of the jobs that are taken next. A job may be large, and is dropped before the next one comes; how large one
/// of a list is cannot be asked. One that is larger than what is taken ends the connection: so these are the last.
async fn put_ages(
    session: &mut Session,
    waiting: &[&str],
    large: &mut Large,
    lacking: &mut Vec<String>,
    out: &mut Samples,
) -> Result<(), CollectError> {
    large.0.retain(|_, since| since.elapsed() < AGAIN);
    let now = clock::unix_nanos() as f64 / 1e9;
    for name in waiting.iter().filter(|name| !large.0.contains_key(**name)).copied().collect::<Vec<_>>() {
        session.renew();
        match session.ask(&["LINDEX", &format!("queue:{name}"), "-1"]).await {
            Err(CollectError::Parse(_)) if session.is_spent() => {
                large.0.insert(name.to_owned(), Instant::now());
                break;
            }
            oldest => {
                let age = text(&oldest?).as_deref().and_then(enqueued_at).map(|at| now - at);
                Queue { system: "sidekiq", name, oldest_age: age, ..Queue::default() }.put(out);
            }
        }
    }
    if let Some(name) = large.0.keys().next() {
        let (name, count) = (shown(name), large.0.len());
        lacking.push(format!("{count} of Sidekiq's oldest jobs are too large to be timed, such as that of {name}"));
    }
    Ok(())
}

/// Queues whose oldest job was larger than what is taken, and when.
#[derive(Debug, Default)]
pub(super) struct Large(BTreeMap<String, Instant>);

async fn put_all(session: &mut Session, processes: &Processes, out: &mut Samples) -> Result<(), CollectError> {
    let plain = [
        ("ZCARD", "schedule"),
        ("ZCARD", "retry"),
        ("ZCARD", "dead"),
        ("GET", "stat:processed"),
        ("GET", "stat:failed"),
    ];
    if let Some(silent) = processes.silent {
        out.put(&HEARTBEAT, silent.max(0.0));
    }
    if let Some(micros) = processes.round_trip {
        out.put(&ROUND_TRIP, micros / 1e6);
    }
    let commands: Vec<Vec<String>> =
        plain.iter().map(|(command, key)| vec![(*command).to_owned(), (*key).to_owned()]).collect();
    let answers = session.ask_all(&commands).await?;
    let [delayed, retry, dead, processed, failed] = [0, 1, 2, 3, 4].map(|at: usize| answers.get(at).map_or(0, count));
    let all = Queue {
        system: "sidekiq",
        name: ALL,
        delayed: Some(delayed),
        retry: Some(retry),
        dead: Some(dead),
        // Sidekiq counts a failed run as processed too.
        completed: Some(processed.saturating_sub(failed)),
        failed: Some(failed),
        active: Some(processes.busy),
        consumers: Some(processes.count),
        workers_busy: Some(processes.busy),
        workers_idle: Some(processes.places.saturating_sub(processes.busy)),
        ..Queue::default()
    };
    all.put(out);
    Ok(())
}

/// The jobs at work stand under `…:work`, up to 6.4 under `…:workers`: a list of places, each with its job.
async fn put_running(
    session: &mut Session,
    processes: &Processes,
    lacking: &mut Vec<String>,
    out: &mut Samples,
) -> Result<(), CollectError> {
    let now = clock::unix_nanos() as f64 / 1e9;
    let (mut longest, mut passed_over) = (None, 0);
    for id in &processes.ids {
        // What is read of a process is dropped with it.
        session.renew();
        let (begun, large) = match begun(session, id).await {
            Err(error) if is_forbidden(&error) => {
                lacking.push("how long Sidekiq's jobs run cannot be read without +hkeys and +hstrlen".into());
                return Ok(());
            }
            answer => answer?,
        };
        passed_over += large;
        // Nothing runs there, and not only nothing that could be read.
        let none = (large == 0).then_some(0.0);
        let oldest = begun.iter().map(|at| (now - at).max(0.0)).reduce(f64::max).or(none);
        longest = oldest.into_iter().chain(longest).reduce(f64::max);
    }
    if passed_over > 0 {
        lacking.push(format!("{passed_over} running jobs of Sidekiq are too large to be timed"));
    }
    if let Some(longest) = longest {
        out.put(&LONGEST_JOB, longest);
    }
    Ok(())
}

/// When the jobs of a process were begun, and how many others are too large to be read for that. Their sizes are asked
/// first: the server would build an answer of any size, whether it is taken or not.
async fn begun(session: &mut Session, id: &str) -> Result<(Vec<f64>, usize), CollectError> {
    let keys = ["work", "workers"].map(|suffix| format!("{id}:{suffix}"));
    let asked = keys.each_ref().map(|key| vec!["HKEYS".to_owned(), key.clone()]);
    let (mut times, mut large, mut room) = (Vec::new(), 0, MAX_JOBS);
    for (key, threads) in keys.iter().zip(session.ask_all(&asked).await?) {
        let threads = strings(&threads);
        let asked: Vec<_> =
            threads.iter().map(|thread| vec!["HSTRLEN".to_owned(), key.clone(), thread.clone()]).collect();
        let sizes = session.ask_all(&asked).await?;
        let mut jobs = vec!["HMGET".to_owned(), key.clone()];
        for (thread, size) in threads.into_iter().zip(sizes.iter().map(count)) {
            if size > MAX_JOB || size > room {
                large += 1;
            } else {
                room -= size;
                jobs.push(thread);
            }
        }
        if jobs.len() > 2 {
            let jobs = session.ask_all(&[jobs]).await?;
            times.extend(jobs.iter().flat_map(items).filter_map(text).filter_map(|job| run_at(&job)));
        }
    }
    Ok((times, large))
}

#[derive(Debug, Default)]
struct Processes {
    /// All that are in the set.
    found: usize,
    /// Of those that live.
    ids: Vec<String>,
    count: u64,
    busy: u64,
    places: u64,
    /// Processes that take from each queue.
    listening: BTreeMap<String, u64>,
    /// Seconds since the oldest of the last heartbeats.
    silent: Option<f64>,
    /// Microseconds, the longest.
    round_trip: Option<f64>,
}

/// The set keeps ids of processes that died: their hash has expired.
async fn processes(session: &mut Session) -> Result<Processes, CollectError> {
    const FIELDS: [&str; 5] = ["info", "busy", "concurrency", "beat", "rtt_us"];
    let mut all = Processes::default();
    let mut ids = strings(&session.ask(&["SMEMBERS", "processes"]).await?);
    all.found = ids.len();
    ids.sort_unstable();
    ids.truncate(MAX_NAMES);
    let now = clock::unix_nanos() as f64 / 1e9;
    for ids in ids.chunks(BATCH) {
        let ask = |id: &String| ["HMGET", id.as_str()].iter().chain(&FIELDS).map(|word| (*word).to_owned()).collect();
        let answers = session.ask_all(&ids.iter().map(ask).collect::<Vec<_>>()).await?;
        for (id, hash) in ids.iter().zip(&answers) {
            if let [info, busy, places, beat, round_trip] = items(hash)
                && let Some(info) = text(info)
            {
                all.add(id, &info, [count(busy), count(places)]);
                let most = |known: Option<f64>, found: f64| Some(known.map_or(found, |known| known.max(found)));
                if let Some(beat) = float(beat) {
                    all.silent = most(all.silent, now - beat);
                }
                if let Some(micros) = float(round_trip) {
                    all.round_trip = most(all.round_trip, micros);
                }
            }
        }
    }
    Ok(all)
}

impl Processes {
    fn add(&mut self, id: &str, info: &str, [busy, places]: [u64; 2]) {
        let info: Json = serde_json::from_str(info).unwrap_or_default();
        self.ids.push(id.to_owned());
        self.count += 1;
        self.busy = self.busy.saturating_add(busy);
        // Up to 7 it stands in the JSON, in 8 beside it.
        self.places = self.places.saturating_add(info["concurrency"].as_u64().unwrap_or(places));
        for queue in queues_of(&info) {
            *self.listening.entry(queue).or_default() += 1;
        }
    }
}

/// Up to 7 one list; in 8 each capsule has its own.
fn queues_of(info: &Json) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut add =
        |list: &Json| names.extend(list.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned));
    add(&info["queues"]);
    for capsule in info["capsules"].as_object().into_iter().flatten().map(|(_, capsule)| capsule) {
        match &capsule["weights"] {
            Json::Object(weights) => names.extend(weights.keys().cloned()),
            _ => names
                .extend(capsule["queues"].as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned)),
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// Unix seconds of a job. Up to 7 they are seconds with a fraction, in 8 whole milliseconds.
fn enqueued_at(job: &str) -> Option<f64> {
    let job: Json = serde_json::from_str(job).ok()?;
    Some(seconds(job["enqueued_at"].as_f64().or_else(|| job["created_at"].as_f64())?))
}

/// Unix seconds in which a job was begun: whole seconds in every version so far.
fn run_at(job: &str) -> Option<f64> {
    let job: Json = serde_json::from_str(job).ok()?;
    Some(seconds(job["run_at"].as_f64()?))
}

fn seconds(at: f64) -> f64 {
    if at > 1e11 { at / 1e3 } else { at }
}

fn float(value: &Value) -> Option<f64> {
    text(value)?.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

fn strings(value: &Value) -> Vec<String> {
    items(value).iter().filter_map(text).collect()
}

fn count(value: &Value) -> u64 {
    int(value).and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_milliseconds_are_told_apart() {
        assert_eq!(enqueued_at("{\"enqueued_at\":1795470483.5}"), Some(1_795_470_483.5));
        assert_eq!(enqueued_at("{\"enqueued_at\":1795470483500}"), Some(1_795_470_483.5));
        assert_eq!(enqueued_at("{}"), None);
        assert_eq!(enqueued_at("no json"), None);
        assert_eq!(run_at("{\"queue\":\"mail\",\"payload\":\"{}\",\"run_at\":1795470483}"), Some(1_795_470_483.0));
        assert_eq!(run_at("{\"run_at\":\"soon\"}"), None);
    }

    #[test]
    fn the_queues_of_a_process_stand_in_two_forms() {
        let seven = serde_json::json!({"queues": ["b", "a"], "concurrency": 5});
        assert_eq!(queues_of(&seven), ["a", "b"]);
        let eight =
            serde_json::json!({"capsules": {"default": {"weights": {"mail": 0}}, "slow": {"weights": {"pdf": 1}}}});
        assert_eq!(queues_of(&eight), ["mail", "pdf"]);
    }
}
