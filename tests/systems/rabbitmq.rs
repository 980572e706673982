//! RabbitMQ 3.10 and 4.3, with plain queues and with Celery's: what was done there is what is counted.

use std::time::Duration;

use plimsoll::base::secret::SecretString;
use plimsoll::base::tls;
use plimsoll::collect::http::{Http, Login};
use plimsoll::collect::rabbitmq::Rabbitmq as Collector;
use plimsoll::collect::{CollectError, Collector as _};
use rustix::process::Signal;

use super::fake::{Fake, Mood};
use super::harness::wait_for;
use super::rabbitmq_server::Rabbitmq;
use super::release::{RELEASES, Release};
use super::round::{Round, one, runtime};
use super::worker::Worker;

const LIMIT: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(60);

/// A collector with the user that the docs make.
pub(crate) fn collector(port: u16, password: &str, celery: &[&str]) -> Collector {
    let login = Login::Basic("plimsoll".into(), SecretString::from(password));
    let http = Http::new(&format!("http://127.0.0.1:{port}"), &login, tls::nobody().unwrap()).unwrap();
    Collector::new(http, celery.iter().map(|name| (*name).to_owned()).collect())
}

/// A round once `good` holds: the broker counts with a delay.
fn once(collector: &mut Collector, what: &str, good: impl Fn(&Round) -> bool) -> Round {
    let runtime = runtime();
    wait_for(what, SOON, || {
        let found = runtime.block_on(one(collector, LIMIT));
        found.result.as_ref().map_err(ToString::to_string)?;
        if good(&found) { Ok(found) } else { Err(format!("{:?}", found.samples.samples())) }
    })
}

fn queue(found: &Round, system: &str, name: &str) -> [Option<f64>; 3] {
    let own = [("messaging.system", system), ("messaging.destination.name", name)];
    let messages = |state| found.value("queue.messages", &[own[0], own[1], ("state", state)]);
    [messages("ready"), messages("active"), found.value("queue.consumers", &own)]
}

fn check_counts(release: Release, server: &Rabbitmq) {
    let _worker = Worker::python("rabbit.py", &[&server.port.to_string()]);
    let mut collector = collector(server.web, "pw", &[]);
    // At once: with statistics the broker would say 0 for some seconds more.
    let first = runtime().block_on(one(&mut collector, LIMIT));
    first.result.as_ref().unwrap();
    assert_eq!(queue(&first, "rabbitmq", "mail")[..2], [Some(7.0), Some(2.0)], "{release:?}");
    let found = once(&mut collector, "all that was published", |found| {
        found.value("rabbitmq.message.published", &[]) == Some(13.0)
            && found.value("rabbitmq.message.acknowledged", &[]) == Some(1.0)
            && found.value("rabbitmq.connection.count", &[]) == Some(1.0)
            && !found.all("rabbitmq.node.memory.limit", &[]).is_empty()
    });
    assert_eq!(queue(&found, "rabbitmq", "mail"), [Some(7.0), Some(2.0), Some(1.0)], "{release:?}");
    assert_eq!(queue(&found, "rabbitmq", "empty"), [Some(0.0), Some(0.0), Some(0.0)], "{release:?}");
    let whole = |name: &str| found.value(name, &[]);
    assert_eq!(whole("rabbitmq.message.delivered"), Some(3.0), "{release:?}");
    assert_eq!(whole("rabbitmq.message.dropped"), Some(3.0), "{release:?}");
    assert_eq!([whole("rabbitmq.queue.count"), whole("rabbitmq.queue.left_out")], [Some(2.0), Some(0.0)]);
    assert_eq!(whole("rabbitmq.node.running"), Some(1.0), "{release:?}");
    let alarms = found.all("rabbitmq.node.alarm", &[]);
    assert_eq!(alarms, [0.0, 0.0], "{release:?}");
    let mail = [("rabbitmq.queue.name", "mail"), ("rabbitmq.vhost.name", "/")];
    let told = |state| found.value("rabbitmq.message.current", &[mail[0], mail[1], ("state", state)]);
    assert_eq!([told("ready"), told("unacknowledged")], [Some(7.0), Some(2.0)], "{release:?}");
    let version = if release == Release::Here { "3.10." } else { "4." };
    assert!(collector.detail().starts_with(version), "{}", collector.detail());
    assert!(!format!("{:?}", found.samples).contains("secret"));
}

fn check_celery(server: &Rabbitmq) {
    let _worker = Worker::python("celery_work.py", &[&format!("amqp://guest:guest@127.0.0.1:{}//", server.port)]);
    let mut collector = collector(server.web, "pw", &["work", "celery"]);
    let found = once(&mut collector, "Celery's queues", |found| {
        // Consumers are told with the delay of the broker's statistics.
        queue(found, "celery", "celery")[0] == Some(7.0)
            && queue(found, "celery", "work")[2] == Some(1.0)
            && queue(found, "rabbitmq", "mail")[2] == Some(0.0)
    });
    assert_eq!(queue(&found, "celery", "work"), [Some(3.0), Some(1.0), Some(1.0)]);
    assert_eq!(queue(&found, "celery", "celery"), [Some(7.0), Some(0.0), Some(0.0)], "nobody works on it");
    // When its worker is gone, the plain one has its messages back.
    assert_eq!(queue(&found, "rabbitmq", "mail"), [Some(9.0), Some(0.0), Some(0.0)]);
}

fn check_rights(server: &Rabbitmq) {
    server.put("/api/vhosts/shop", b"{}");
    server.put("/api/permissions/shop/guest", br#"{"configure":".*","write":".*","read":".*"}"#);
    server.put("/api/queues/shop/orders", br#"{"durable":true}"#);
    server.put("/api/permissions/shop/plimsoll", br#"{"configure":"^$","write":"^$","read":"^$"}"#);
    let mut collector = self::collector(server.web, "pw", &[]);
    let found = once(&mut collector, "a queue of another virtual host", |found| {
        !found.all("queue.consumers", &[("messaging.destination.name", "orders")]).is_empty()
    });
    assert_eq!(found.value("queue.consumers", &[("rabbitmq.vhost.name", "shop")]), Some(0.0));
    let refused = runtime().block_on(one(&mut self::collector(server.web, "wrong", &[]), LIMIT)).result;
    assert!(matches!(&refused, Err(CollectError::Denied(why)) if !why.contains("wrong")), "{refused:?}");
}

fn check_faults(server: &mut Rabbitmq) {
    let runtime = runtime();
    let mut collector = collector(server.web, "pw", &[]);
    assert!(runtime.block_on(one(&mut collector, LIMIT)).result.is_ok());
    server.signal(Signal::STOP);
    let hung = runtime.block_on(one(&mut collector, Duration::from_millis(300))).result;
    assert!(matches!(hung, Err(CollectError::Timeout(_))), "{hung:?}");
    server.signal(Signal::CONT);
    once(&mut collector, "a round after it was stopped", |_| true);
    server.down();
    let gone = runtime.block_on(one(&mut collector, LIMIT)).result;
    assert!(matches!(gone, Err(CollectError::Connect(_))), "{gone:?}");
    server.up();
    let found =
        once(&mut collector, "a round after the restart", |found| queue(found, "rabbitmq", "mail")[0].is_some());
    assert_eq!(queue(&found, "rabbitmq", "mail")[2], Some(0.0));
}

/// A broker that keeps no statistics: its queues are counted, the rest is absent.
fn check_silent(release: Release, server: &mut Rabbitmq) {
    server.down();
    server.configure("management_agent.disable_metrics_collector = true");
    server.up();
    let mut collector = collector(server.web, "pw", &[]);
    // Celery's messages outlive a kill.
    let found =
        once(&mut collector, "a round without statistics", |found| queue(found, "rabbitmq", "celery")[0] == Some(7.0));
    assert_eq!(found.value("rabbitmq.message.published", &[]), None, "{release:?}: absent, not 0");
    assert_eq!(queue(&found, "rabbitmq", "celery")[2], None, "{release:?}: absent, not 0");
    assert_eq!(found.value("rabbitmq.node.running", &[]), Some(1.0), "{release:?}");
    let told = collector.detail();
    assert!(told.contains("take out management_agent.disable_metrics_collector"), "{told}");
}

/// One test, as a broker takes ten seconds to start.
#[test]
fn the_queues_of_rabbitmq_are_counted_and_its_faults_cost_one_round() {
    let mut servers = RELEASES.map(|release| (release, Rabbitmq::start(release)));
    for (release, server) in &mut servers {
        server.ready();
        check_counts(*release, server);
        check_celery(server);
        check_rights(server);
    }
    check_faults(&mut servers[0].1);
    for (release, server) in &mut servers {
        check_silent(*release, server);
    }
}

/// A broker with 10,000 queues, each as long as its number.
fn pages(path: &str) -> String {
    if path == "/api/nodes" {
        return r#"[{"name":"a","running":true,"fd_used":0,"fd_total":0,"mem_alarm":true,"partitions":["b"]}]"#.into();
    }
    let Some((_, page)) = path.split_once("&page=") else {
        return r#"{"rabbitmq_version":"4.3.6","message_stats":{}}"#.into();
    };
    // Without this it looks up 40 fields of each queue on each node.
    assert!(path.contains("disable_stats=true&enable_queue_totals=true") && path.contains("&columns="), "{path}");
    let page: usize = page.split('&').next().unwrap().parse().unwrap();
    let queues: Vec<String> = (500 * (page - 1)..500 * page)
        .map(|number| {
            format!(r#"{{"name":"q{number}","vhost":"/","messages_ready":{number},"messages_unacknowledged":0}}"#)
        })
        .collect();
    format!(r#"{{"total_count":10000,"page_count":20,"items":[{}]}}"#, queues.join(","))
}

#[test]
fn a_rabbitmq_that_lies_or_has_ten_thousand_queues_is_bounded() {
    let fake = Fake::start(pages);
    let runtime = runtime();
    let mut collector = collector(fake.port, "pw", &[]);
    let endless = runtime.block_on(one(&mut collector, LIMIT)).result;
    assert!(matches!(&endless, Err(CollectError::Parse(why)) if why.contains("larger than")), "{endless:?}");
    fake.set(Mood::Garbage);
    let garbage = runtime.block_on(one(&mut collector, LIMIT)).result.unwrap_err().to_string();
    assert!(garbage.len() < 500 && !garbage.contains('\u{1b}'), "{garbage}");
    fake.set(Mood::Odd);
    let odd = runtime.block_on(one(&mut collector, LIMIT));
    assert!(odd.result.is_ok() && odd.all("queue.messages", &[]).is_empty(), "{:?}", odd.result);
    fake.set(Mood::Good);
    fake.asked();
    let found = runtime.block_on(one(&mut collector, LIMIT));
    assert!(found.result.is_ok(), "{:?}", found.result);
    assert_eq!(fake.asked(), 3 + 20, "requests of a round, as its docs say");
    let lengths = found.all("queue.messages", &[("state", "ready")]);
    assert_eq!((lengths.len(), lengths[0]), (200, 9_999.0), "the longest are told apart");
    assert_eq!(found.value("rabbitmq.queue.left_out", &[]), Some(9_800.0));
    // As 4.0 says of its files; and what a broker in trouble says.
    assert!(found.all("rabbitmq.node.files", &[]).is_empty() && found.all("rabbitmq.node.files.limit", &[]).is_empty());
    assert_eq!(found.value("rabbitmq.node.alarm", &[("type", "memory")]), Some(1.0));
    assert_eq!(found.value("rabbitmq.node.partitions", &[]), Some(1.0));
    assert!(collector.detail().contains("only the 200 longest"), "{}", collector.detail());
}
