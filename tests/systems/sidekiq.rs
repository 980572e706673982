//! Sidekiq 6.4 on Redis 6.0, Sidekiq 7.3 and 8: the jobs of a real worker are counted, with the rights that the docs name.

use std::time::Duration;

use plimsoll::collect::Collector as _;
use plimsoll::collect::redis::Redis as Collector;
use plimsoll::collect::redis::queues::{Queues, Wanted};
use rustix::process::Signal;

use super::bullmq::with_rights;
use super::harness::{Process, now, wait_for};
use super::redis_server::Redis;
use super::release::{FLOORS, Folder, Release, floors};
use super::round::{Round, one, runtime};

const LIMIT: Duration = Duration::from_secs(10);

/// The lines of `src/collect/redis.rs`.
const RIGHTS: &str = "+ping +info +slowlog|get +slowlog|len +latency|latest +client|list %R~queue* %R~retry \
                      %R~schedule %R~dead %R~processes %R~stat:* %R~*:* +llen +zcard +lindex +scard +smembers +hmget \
                      +get +hkeys +hstrlen";

/// A worker with two places that holds one job.
struct Sidekiq {
    process: Process,
    folder: Folder,
}

impl Sidekiq {
    fn start(release: Release, server: &Redis) -> Self {
        let folder = release.folder("redis");
        let script = folder.write("sidekiq.rb", include_str!("workers/sidekiq.rb"));
        let url = format!("redis://127.0.0.1:{}/0", server.port);
        let libraries = libraries(release);
        let mut produce = release.command_with_proc("redis", "/usr/bin/ruby");
        produce.args([&script, "produce"]).env("REDIS_URL", &url).env("RUBYLIB", &libraries);
        let output = produce.output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).ends_with("ready\n"), "{output:?}");
        let mut work = release.command_with_proc("redis", "/usr/bin/ruby");
        work.arg(program(release)).env("RUBYLIB", &libraries);
        work.args(["-r", &script, "-q", "mail", "-c", "2"]).env("REDIS_URL", &url);
        Self { process: Process::start(&mut work, &folder.path().join("log")), folder }
    }
}

/// Where the gems of 7.3 lie, as they are seen by it.
const GEMS: &str = "sidekiq/usr/share/rubygems-integration/all/gems";

fn program(release: Release) -> String {
    match release {
        Release::Floor => format!("{FLOORS}/{GEMS}/sidekiq-7.3.2/bin/sidekiq"),
        _ => "/usr/bin/sidekiq".to_owned(),
    }
}

/// The folders that Ruby looks into first.
fn libraries(release: Release) -> String {
    if release != Release::Floor {
        return String::new();
    }
    let gems = std::fs::read_dir(floors().join(GEMS)).unwrap().map(|gem| gem.unwrap().file_name());
    let gems = gems.map(|gem| format!("{FLOORS}/{GEMS}/{}/lib", gem.display()));
    gems.map(|lib| if lib.contains("/concurrent-ruby-") { lib + "/concurrent-ruby" } else { lib })
        .collect::<Vec<_>>()
        .join(":")
}

fn value(found: &Round, queue: &str, name: &str, state: Option<&str>) -> Option<f64> {
    let mut own = vec![("messaging.system", "sidekiq"), ("messaging.destination.name", queue)];
    own.extend(state.map(|state| ("state", state)));
    found.value(name, &own)
}

fn check(release: Release, found: &Round) {
    let messages = |queue: &str, state: &str| value(found, queue, "queue.messages", Some(state));
    let all = ["active", "delayed", "retry", "dead"].map(|state| messages("*", state).unwrap());
    assert_eq!(all, [1.0, 3.0, 1.0, 2.0], "{release:?}");
    assert_eq!(value(found, "*", "queue.completed", None), Some(4.0), "{release:?}");
    assert_eq!(value(found, "*", "queue.failed", None), Some(3.0), "{release:?}");
    let workers = ["busy", "idle"].map(|state| value(found, "*", "queue.workers", Some(state)));
    assert_eq!(workers, [Some(1.0), Some(1.0)], "{release:?}");
    assert_eq!([messages("mail", "ready"), messages("other", "ready")], [Some(0.0), Some(5.0)], "{release:?}");
    let consumers = ["mail", "other", "*"].map(|queue| value(found, queue, "queue.consumers", None));
    assert_eq!(consumers, [Some(1.0), Some(0.0), Some(1.0)], "{release:?}: nobody listens to one queue");
    assert_eq!(value(found, "mail", "queue.oldest.age", None), Some(0.0), "{release:?}");
    let age = value(found, "other", "queue.oldest.age", None).unwrap();
    assert!(age > 0.1 && age < 120.0, "{release:?}: {age}: seconds and milliseconds are told apart");
    // Whole seconds are kept, so a job that was begun in this one has run for up to one already.
    let running = found.value("sidekiq.job.running.max", &[]).unwrap();
    assert!(running > 0.0 && running < 180.0, "{release:?}: {running}: the one that is held");
    let silent = found.value("sidekiq.process.heartbeat.age.max", &[]).unwrap();
    assert!((0.0..60.0).contains(&silent), "{release:?}: {silent}");
    let round_trip = found.value("sidekiq.process.redis.round_trip.max", &[]).unwrap();
    assert!(round_trip > 0.0 && round_trip < 60.0, "{release:?}: {round_trip}");
}

#[test]
fn the_jobs_of_sidekiq_are_counted_as_its_worker_left_them() {
    let runtime = runtime();
    // 6.4, 7.3 and 8, on Redis 6.0, 7 and 8.
    let versions =
        [(Release::Here, Release::Floor), (Release::Floor, Release::Here), (Release::Newest, Release::Newest)];
    let all = versions.map(|(release, redis)| {
        let server = Redis::start(redis, "redis-server", &[]);
        let sidekiq = Sidekiq::start(release, &server);
        (release, server, sidekiq)
    });
    for (release, server, mut sidekiq) in all {
        let queues = Queues::new(Wanted::None, Wanted::Auto, Vec::new(), Vec::new());
        let mut collector = Collector::new(with_rights(&server, RIGHTS), queues);
        // A worker tells its counts with its heartbeat, each ten seconds.
        let found = wait_for("the worker's counts", Duration::from_secs(60), || {
            sidekiq.process.check();
            let found = runtime.block_on(one(&mut collector, LIMIT));
            found.result.as_ref().map_err(ToString::to_string)?;
            let told = value(&found, "*", "queue.completed", None) == Some(4.0)
                && value(&found, "*", "queue.failed", None) == Some(3.0)
                && value(&found, "*", "queue.workers", Some("busy")) == Some(1.0);
            if told { Ok(found) } else { Err(sidekiq.process.log()) }
        });
        check(release, &found);
        assert!(collector.detail().ends_with(", 2 queues"), "{}", collector.detail());
        assert!(!format!("{:?}", found.samples).contains("secret"));
        assert!(sidekiq.folder.path().exists());
        // The worker asks for its processes too.
        sidekiq.process.signal(Signal::STOP);
        server.ask(&["CONFIG", "RESETSTAT"]);
        assert!(runtime.block_on(one(&mut collector, LIMIT)).result.is_ok());
        // 9 in a round, 2 for a queue with jobs and 1 for an empty one, 3 for a process, and 1 and 1 as it has a job: as its
        // docs say.
        let asked = super::bullmq::calls(&server, "llen lindex zcard get scard smembers hmget hkeys hstrlen");
        sidekiq.process.signal(Signal::CONT);
        assert_eq!(asked, 9 + 2 + 1 + 3 + 1 + 1);
        // Who gave the rights of an earlier version loses nothing else.
        let queues = Queues::new(Wanted::None, Wanted::Auto, Vec::new(), Vec::new());
        let mut collector =
            Collector::new(with_rights(&server, &RIGHTS.replace("+hkeys +hstrlen", "").replace("+scard ", "")), queues);
        let found = runtime.block_on(one(&mut collector, LIMIT));
        assert!(found.result.is_ok() && value(&found, "*", "queue.failed", None) == Some(3.0), "{release:?}");
        assert_eq!(found.value("sidekiq.job.running.max", &[]), None);
        assert!(collector.detail().contains("cannot be read without +hkeys"), "{}", collector.detail());
        // Nor who gave none for queues.
        let queues = Queues::new(Wanted::None, Wanted::Auto, Vec::new(), Vec::new());
        let plain = RIGHTS.split(" %R~queue").next().unwrap();
        let mut collector = Collector::new(with_rights(&server, plain), queues);
        let found = runtime.block_on(one(&mut collector, LIMIT));
        assert!(found.result.is_ok() && found.all("queue.messages", &[]).is_empty(), "{:?}", found.result);
        assert!(collector.detail().contains("without +smembers"), "{}", collector.detail());
    }
}

#[test]
fn a_process_that_hangs_and_the_job_that_runs_longest_are_told() {
    // What Sidekiq 6.4 (`workers`), 6.5 and 7 (`work`) and 8 keep, after their sources and what was seen of 7.3 and 8.1:
    // 6.5 can be had from none of the registries.
    let server = Redis::start(Release::Here, "redis-server", &[]);
    let now = now() / 1_000_000_000;
    let processes = [("old:1:aa", "workers", 30, 900), ("new:2:bb", "work", 5, 40), ("idle:3:cc", "work", 2, 0)];
    for (id, key, silent, running) in processes {
        server.ask(&["SADD", "processes", id]);
        let info = r#"{"queues":["mail"],"concurrency":5}"#;
        let beat = format!("{}.25", now - silent);
        server.ask(&["HSET", id, "info", info, "busy", "1", "beat", &beat, "rtt_us", &(silent * 100).to_string()]);
        if running > 0 {
            let work =
                format!(r#"{{"queue":"mail","payload":"{{\"args\":[\"secret\"]}}","run_at":{}}}"#, now - running);
            server.ask(&["HSET", &format!("{id}:{key}"), "tid1", &work]);
            let other = format!(r#"{{"queue":"mail","payload":"{{}}","run_at":{}}}"#, now - 1);
            server.ask(&["HSET", &format!("{id}:{key}"), "tid2", &other]);
        }
    }
    // One that died: its hash has expired.
    server.ask(&["SADD", "processes", "dead:4:dd"]);
    let queues = Queues::new(Wanted::None, Wanted::Auto, Vec::new(), Vec::new());
    let mut collector = Collector::new(with_rights(&server, RIGHTS), queues);
    let found = runtime().block_on(one(&mut collector, LIMIT));
    found.result.as_ref().unwrap();
    let running = found.value("sidekiq.job.running.max", &[]).unwrap();
    assert!((900.0..960.0).contains(&running), "{running}");
    let silent = found.value("sidekiq.process.heartbeat.age.max", &[]).unwrap();
    assert!((29.0..90.0).contains(&silent), "{silent}");
    assert_eq!(found.value("sidekiq.process.redis.round_trip.max", &[]), Some(0.003));
    assert_eq!(value(&found, "*", "queue.consumers", None), Some(3.0));
    assert!(!format!("{:?}", found.samples).contains("secret"));
}

#[test]
fn jobs_of_any_size_cost_their_age_and_nothing_else() {
    let server = Redis::start(Release::Here, "redis-server", &[]);
    let seconds = now() / 1_000_000_000;
    // Of a queue: as large as three such answers may be together, and a small one behind it in the order of names. Of a
    // process: one of 900 seconds, and one of 2 MiB that has run for longer.
    let fill = format!(
        "local job = '{{\"enqueued_at\":{}.5,\"run_at\":{},\"args\":[\"secret' \
         redis.call('SADD', 'queues', 'large', 'small') redis.call('SADD', 'processes', 'a:1:aa', 'b:2:bb') \
         redis.call('LPUSH', 'queue:large', job .. string.rep('x', 41943040) .. '\"]}}') \
         redis.call('LPUSH', 'queue:small', job .. '\"]}}') \
         redis.call('HSET', 'a:1:aa', 'info', '{{}}', 'busy', '2') redis.call('HSET', 'b:2:bb', 'info', '{{}}') \
         redis.call('HSET', 'a:1:aa:work', 't1', job .. '\"]}}', 't2', job .. string.rep('x', 2097152) .. '\"]}}')",
        seconds - 100,
        seconds - 900
    );
    server.ask(&["EVAL", &fill, "0"]);
    let runtime = runtime();
    let queues = Queues::new(Wanted::None, Wanted::Auto, Vec::new(), Vec::new());
    let mut collector = Collector::new(with_rights(&server, RIGHTS), queues);
    server.ask(&["CONFIG", "RESETSTAT"]);
    let rounds = [(); 3].map(|()| {
        let found = runtime.block_on(one(&mut collector, LIMIT));
        found.result.as_ref().unwrap_or_else(|error| panic!("{error}"));
        let ready = ["large", "small"].map(|queue| value(&found, queue, "queue.messages", Some("ready")));
        assert_eq!(ready, [Some(1.0), Some(1.0)]);
        assert_eq!(value(&found, "*", "queue.failed", None), Some(0.0));
        let running = found.value("sidekiq.job.running.max", &[]).unwrap();
        assert!((900.0..960.0).contains(&running), "{running}");
        let detail = collector.detail();
        assert!(
            detail.contains("1 running jobs of Sidekiq are too large") && detail.contains("that of large"),
            "{detail}"
        );
        assert_eq!(value(&found, "large", "queue.oldest.age", None), None, "absent, not 0");
        value(&found, "small", "queue.oldest.age", None)
    });
    // The connection of the first round ended with the large one, which is not asked for again.
    assert!(rounds[0].is_none() && rounds[1..].iter().flatten().all(|age| (100.0..160.0).contains(age)), "{rounds:?}");
    assert_eq!(rounds[1..].iter().flatten().count(), 2);
    let sent: u64 = server
        .ask(&["INFO", "stats"])
        .split("total_net_output_bytes:")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(sent < 60 << 20, "{sent} bytes: it was sent once at most");
}
