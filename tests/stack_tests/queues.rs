//! Queues through the config: what waits and what failed in them stands in a real Prometheus, under one name for all.

use super::SOON;
use super::harness::{Process, Site, free_port};
use super::prometheus::Prometheus;
use super::rabbitmq_server::Rabbitmq;
use super::redis_server::Redis;
use super::release::Release;
use super::worker::Worker;

#[test]
fn the_jobs_of_sidekiq_rabbitmq_and_nats_arrive_with_their_numbers() {
    let Some(prometheus) = Prometheus::start() else { return };
    let mut rabbitmq = Rabbitmq::start(Release::Here);
    let redis = Redis::start(Release::Here, "redis-server", &[]);
    let url = format!("redis://127.0.0.1:{}/0", redis.port);
    let folder = Release::Here.folder("redis");
    let script = folder.write("sidekiq.rb", include_str!("../systems/workers/sidekiq.rb"));
    let mut produce = Release::Here.command("redis", "/usr/bin/ruby");
    assert!(produce.args([&script, "produce"]).env("REDIS_URL", &url).output().unwrap().status.success());
    let mut work = Release::Here.command("redis", "/usr/bin/sidekiq");
    work.args(["-r", &script, "-q", "mail", "-c", "2"]).env("REDIS_URL", &url);
    let _sidekiq = Process::start(&mut work, &folder.path().join("log"));
    let (port, web) = (free_port().to_string(), free_port());
    let nats_folder = Release::Here.folder("nats");
    let mut nats = Release::Here.command("nats", "/usr/sbin/nats-server");
    nats.args(["-a", "127.0.0.1", "-p", &port, "-m", &web.to_string(), "-js", "-sd", &nats_folder.inside()]);
    let _nats = Process::start(&mut nats, &nats_folder.path().join("log"));
    rabbitmq.ready();
    let _rabbit = Worker::python("rabbit.py", &[&rabbitmq.port.to_string()]);

    let site = Site::new();
    std::fs::write(site.path("password"), "pw").unwrap();
    site.config(&format!(
        "host: off\ncollect:\n  redis: [ {{ url: \"{url}\", interval: 1s }} ]\n  rabbitmq: [ {{ url: \
         \"http://127.0.0.1:{}\", username: plimsoll, password: {{ file: {} }}, interval: 1s }} ]\n  nats: [ {{ url: \
         \"http://127.0.0.1:{web}\", interval: 1s }} ]\ndestinations:\n{}",
        rabbitmq.web,
        site.path("password").display(),
        prometheus.destination()
    ));
    let _agent = site.start();
    let messages = |system: &str, state: &str, queue: &str| {
        format!(
            "queue_messages{{state=\"{state}\", messaging_system=\"{system}\", \
             messaging_destination_name=\"{queue}\"}}"
        )
    };
    prometheus.wait(&messages("sidekiq", "dead", "*"), SOON, |jobs| jobs == 2.0);
    prometheus.wait(&messages("sidekiq", "retry", "*"), SOON, |jobs| jobs == 1.0);
    prometheus.wait(&messages("sidekiq", "ready", "other"), SOON, |jobs| jobs == 5.0);
    prometheus.wait("queue_failed_total{messaging_system=\"sidekiq\"}", SOON, |jobs| jobs == 3.0);
    prometheus.wait(&messages("rabbitmq", "ready", "mail"), SOON, |messages| messages == 7.0);
    prometheus.wait(&messages("rabbitmq", "active", "mail"), SOON, |messages| messages == 2.0);
    prometheus.wait("up{job=\"nats\"}", SOON, |up| up == 1.0);
    prometheus.wait("nats_uptime_seconds{job=\"nats\"}", SOON, |seconds| seconds > 0.0);
}
