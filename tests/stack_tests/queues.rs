//! Queues through the config: what waits and what failed in them stands in a real Prometheus, under one name for all.

use super::SOON;
use super::harness::{Process, Site};
use super::nats_server::Nats;
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
    let nats = Nats::start(Release::Here);
    let mut jetstream = nats.client();
    jetstream.orders();
    rabbitmq.ready();
    let amqp = format!("amqp://guest:guest@127.0.0.1:{}//", rabbitmq.port);
    let _rabbit = Worker::python("rabbit.py", &[&rabbitmq.port.to_string()]);
    let _celery = Worker::python("celery_work.py", &[&amqp]);

    let site = Site::new();
    std::fs::write(site.path("password"), "pw").unwrap();
    site.config(&format!(
        "host: off\ncollect:\n  redis: [ {{ url: \"{url}\", interval: 1s }} ]\n  rabbitmq: [ {{ url: \
         \"http://127.0.0.1:{}\", username: plimsoll, password: {{ file: {} }}, interval: 1s, celery: [work, celery] }} ]\n  \
         nats: [ {{ url: \"http://127.0.0.1:{}\", interval: 1s }} ]\n  scrape: [ {{ url: \
         \"http://127.0.0.1:{}/metrics\", service: broker, interval: 1s }} ]\ndestinations:\n{}",
        rabbitmq.web,
        site.path("password").display(),
        nats.web,
        rabbitmq.metrics,
        prometheus.destination()
    ));
    let _agent = site.start();
    prometheus.wait(&messages("sidekiq", "dead", "*"), SOON, |jobs| jobs == 2.0);
    prometheus.wait(&messages("sidekiq", "retry", "*"), SOON, |jobs| jobs == 1.0);
    prometheus.wait(&messages("sidekiq", "ready", "other"), SOON, |jobs| jobs == 5.0);
    prometheus.wait("queue_failed_total{messaging_system=\"sidekiq\"}", SOON, |jobs| jobs == 3.0);
    prometheus.wait(&messages("rabbitmq", "ready", "mail"), SOON, |messages| messages == 7.0);
    prometheus.wait(&messages("rabbitmq", "active", "mail"), SOON, |messages| messages == 2.0);
    prometheus.wait(&messages("celery", "ready", "celery"), SOON, |tasks| tasks == 7.0);
    prometheus.wait(&messages("celery", "ready", "work"), SOON, |tasks| tasks == 3.0);
    prometheus.wait(&messages("celery", "active", "work"), SOON, |tasks| tasks == 1.0);
    // The broker's own endpoint says the same of all queues together.
    prometheus.wait("rabbitmq_queue_messages_ready{job=\"broker\"}", SOON, |messages| messages == 7.0 + 7.0 + 3.0);
    prometheus.wait("sidekiq_job_running_max_seconds", SOON, |seconds| seconds > 0.0 && seconds < 300.0);
    prometheus.wait("nats_stream_messages{job=\"nats\", nats_stream_name=\"ORDERS\"}", SOON, |kept| kept == 10.0);
    let billing = "messaging_system=\"nats\", messaging_destination_name=\"ORDERS/billing\"";
    prometheus.wait(&format!("sum(queue_messages{{{billing}}})"), SOON, |messages| messages == 8.0);
    prometheus.wait(&format!("queue_completed_total{{{billing}}}"), SOON, |messages| messages == 2.0);
}

/// The selector of a queue's messages.
fn messages(system: &str, state: &str, queue: &str) -> String {
    format!(
        "queue_messages{{state=\"{state}\", messaging_system=\"{system}\", messaging_destination_name=\"{queue}\"}}"
    )
}

#[test]
fn the_jobs_of_bullmq_and_celery_arrive_with_their_numbers() {
    let Some(prometheus) = Prometheus::start() else { return };
    let redis = Redis::start(Release::Here, "redis-server", &[]);
    let _bullmq = Worker::node("bull.js", &["bullmq6", &redis.port.to_string()]);
    let _shop = Worker::node("bull.js", &["bullmq5", &redis.port.to_string(), "shop"]);
    let broker = Redis::start(Release::Here, "redis-server", &[]);
    let _celery = Worker::python("celery_work.py", &[&format!("redis://127.0.0.1:{}/0", broker.port)]);
    let site = Site::new();
    site.config(&format!(
        "host: off\ncollect:\n  redis:\n    - {{ url: \"redis://127.0.0.1:{}\", interval: 1s }}\n    - {{ url: \
         \"redis://127.0.0.1:{}\", interval: 1s, queues: {{ celery: [work, celery] }} }}\ndestinations:\n{}",
        redis.port,
        broker.port,
        prometheus.destination()
    ));
    let _agent = site.start();
    // Two queues of one name, of which only the prefix that was found tells one from the other.
    for prefix in ["", "shop"] {
        let mail = |name: &str, more: &str| {
            format!(
                "{name}{{messaging_system=\"bullmq\", messaging_destination_name=\"mail\", \
                 bullmq_prefix=\"{prefix}\"{more}}}"
            )
        };
        for (state, wanted) in [("ready", 5.0), ("active", 1.0), ("delayed", 4.0), ("dead", 2.0)] {
            let state = mail("queue_messages", &format!(", state=\"{state}\""));
            prometheus.wait(&state, SOON, |jobs| jobs == wanted);
        }
        prometheus.wait(&mail("queue_completed_total", ""), SOON, |jobs| jobs == 4.0);
        prometheus.wait(&mail("queue_failed_total", ""), SOON, |jobs| jobs == 2.0);
        prometheus.wait(&mail("queue_consumers", ""), SOON, |workers| workers == 1.0);
        prometheus.wait(&mail("queue_paused", ""), SOON, |paused| paused == 0.0);
        let held = "messaging_destination_name=\"held\"";
        prometheus.wait(&format!("queue_paused{{{held}, bullmq_prefix=\"{prefix}\"}}"), SOON, |paused| paused == 1.0);
    }
    prometheus.wait(&messages("celery", "ready", "work"), SOON, |tasks| tasks == 3.0);
    prometheus.wait(&messages("celery", "ready", "celery"), SOON, |tasks| tasks == 7.0);
    prometheus.wait(&messages("celery", "active", "*"), SOON, |tasks| tasks == 1.0);
}
