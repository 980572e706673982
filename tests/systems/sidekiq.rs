//! Sidekiq 6.4 and 8 on a real Redis: the jobs of a real worker are counted, with the rights that the docs name.

use std::time::Duration;

use plimsoll::collect::Collector as _;
use plimsoll::collect::redis::Redis as Collector;
use plimsoll::collect::redis::queues::{Queues, Wanted};

use super::bullmq::with_rights;
use super::harness::{Process, wait_for};
use super::redis_server::Redis;
use super::release::{Folder, RELEASES, Release};
use super::round::{Round, one, runtime};

const LIMIT: Duration = Duration::from_secs(10);

/// The lines of `src/collect/redis.rs`.
const RIGHTS: &str = "+ping +info +slowlog|get +slowlog|len +latency|latest +client|list %R~queue* %R~retry \
                      %R~schedule %R~dead %R~processes %R~stat:* %R~*:* +llen +zcard +lindex +smembers +hmget +get";

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
        let mut produce = release.command_with_proc("redis", "/usr/bin/ruby");
        let output = produce.args([&script, "produce"]).env("REDIS_URL", &url).output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).ends_with("ready\n"), "{output:?}");
        let mut work = release.command_with_proc("redis", "/usr/bin/sidekiq");
        work.args(["-r", &script, "-q", "mail", "-c", "2"]).env("REDIS_URL", &url);
        Self { process: Process::start(&mut work, &folder.path().join("log")), folder }
    }
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
}

#[test]
fn the_jobs_of_sidekiq_are_counted_as_its_worker_left_them() {
    let runtime = runtime();
    let all = RELEASES.map(|release| {
        let server = Redis::start(release, "redis-server", &[]);
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
                && value(&found, "*", "queue.workers", Some("busy")) == Some(1.0);
            if told { Ok(found) } else { Err(sidekiq.process.log()) }
        });
        check(release, &found);
        assert!(collector.detail().ends_with(", 2 queues"), "{}", collector.detail());
        assert!(!format!("{:?}", found.samples).contains("secret"));
        assert!(sidekiq.folder.path().exists());
        server.ask(&["CONFIG", "RESETSTAT"]);
        assert!(runtime.block_on(one(&mut collector, LIMIT)).result.is_ok());
        // 7 in a round, 2 for each queue, 1 for each process: as its docs say.
        assert_eq!(super::bullmq::calls(&server, "llen lindex zcard get smembers hmget"), 7 + 2 * 2 + 1);
    }
}
