//! Redis servers that are full, impatient, strange or large: what of them can be read is read, and the rest is told.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use plimsoll::collect::redis::Redis as Collector;
use plimsoll::collect::redis::queues::{Queues, Wanted};
use plimsoll::collect::{CollectError, Collector as _};
use secrecy::SecretString;

use super::breaker::Breaker;
use super::bullmq::with_rights;
use super::harness::wait_for;
use super::redis::target;
use super::redis_server::Redis;
use super::release::Release;
use super::round::{Round, one, runtime};

const LIMIT: Duration = Duration::from_secs(10);
const SERVER: &str = "+ping +info +slowlog|get +slowlog|len +latency|latest +client|list";

/// What an entry without `queues:` asks for.
fn all() -> Queues {
    Queues::new(Wanted::Auto, Wanted::Auto, Vec::new(), Vec::new())
}

fn of_streams(names: &[&str]) -> Queues {
    Queues::new(Wanted::None, Wanted::None, Vec::new(), names.iter().map(|name| (*name).to_owned()).collect())
}

fn read(server: &Redis, queues: Queues) -> (Round, String) {
    let mut collector = Collector::new(target(server.port), queues);
    let found = runtime().block_on(one(&mut collector, LIMIT));
    found.result.as_ref().unwrap_or_else(|error| panic!("{error}"));
    (found, collector.detail())
}

/// A connection that stays, and is known to be in.
fn client(server: &Redis, command: &str) -> TcpStream {
    let mut client = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    client.write_all(format!("{command}\r\n").as_bytes()).unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
    client
}

#[test]
fn a_server_that_takes_no_more_clients_is_asked_again_and_one_that_refuses_a_login_is_not() {
    let server = Redis::start(Release::Here, "redis-server", &[]);
    let with_password = with_rights(&server, SERVER);
    server.ask(&["CONFIG", "SET", "maxclients", "2"]);
    let runtime = runtime();
    let mut collectors =
        [Collector::new(with_password.clone(), Queues::default()), Collector::new(target(server.port), all())];
    let held = [client(&server, "PING"), client(&server, "PING")];
    for collector in &mut collectors {
        let full = runtime.block_on(one(collector, LIMIT)).result;
        // Its words, or the end of the connection where that was faster.
        assert!(matches!(full, Err(CollectError::Connect(_))), "{full:?}");
    }
    drop(held);
    for collector in &mut collectors {
        wait_for("a round", LIMIT, || {
            runtime.block_on(one(collector, LIMIT)).result.map_err(|error| format!("{error:?}"))
        });
    }
    drop((collectors, runtime));
    let runtime = self::runtime();
    wait_for("room", LIMIT, || server.try_ask(&["CONFIG", "SET", "maxclients", "100"]));
    let mut no_such_user = target(server.port);
    no_such_user.password = Some(SecretString::from("hunter2"));
    let mut no_right = with_password;
    no_right.database = 1;
    for target in [no_such_user, no_right] {
        let refused = runtime.block_on(one(&mut Collector::new(target, all()), LIMIT)).result;
        assert!(matches!(&refused, Err(CollectError::Denied(why)) if !why.contains("hunter2")), "{refused:?}");
    }
    let mut no_database = target(server.port);
    no_database.database = 99;
    let wrong = runtime.block_on(one(&mut Collector::new(no_database, all()), LIMIT)).result;
    assert!(matches!(&wrong, Err(CollectError::Connect(why)) if why.contains("out of range")), "{wrong:?}");
}

#[test]
fn a_server_that_hangs_up_on_the_idle_is_read_in_every_round() {
    let server = Redis::start(Release::Here, "redis-server", &["--timeout", "1"]);
    let runtime = runtime();
    let mut collector = Collector::new(target(server.port), all());
    for _ in 0..3 {
        let found = runtime.block_on(one(&mut collector, LIMIT));
        assert!(found.result.is_ok(), "{:?}", found.result);
        wait_for("a server that has hung up", LIMIT, || {
            let clients = server.ask(&["CLIENT", "LIST"]);
            if clients.lines().count() == 1 { Ok(()) } else { Err(clients) }
        });
    }
}

#[test]
fn a_stream_with_ids_of_its_own_has_no_age_and_one_of_the_same_millisecond_is_not_yet_read() {
    for release in [Release::Floor, Release::Here] {
        let server = Redis::start(release, "redis-server", &["--slowlog-log-slower-than", "0"]);
        for id in ["5-0", "6-0", "7-0"] {
            server.ask(&["XADD", "orders", id, "order", "1"]);
        }
        server.ask(&["XGROUP", "CREATE", "orders", "billing", "0"]);
        server.ask(&["XREADGROUP", "GROUP", "billing", "worker", "COUNT", "1", "STREAMS", "orders", ">"]);
        for (id, group) in [("1795470483500-1", "CREATE"), ("1795470483500-2", "SETID")] {
            server.ask(&["XADD", "mails", id, "mail", "1"]);
            server.ask(&["XGROUP", group, "mails", "send", "1795470483500-1"]);
        }
        let (found, _) = read(&server, of_streams(&["orders", "mails"]));
        let value = |name: &str, queue: &str, state: Option<&str>| {
            let mut own = vec![("messaging.destination.name", queue)];
            own.extend(state.map(|state| ("state", state)));
            found.value(name, &own)
        };
        assert_eq!(value("queue.messages", "orders/billing", Some("active")), Some(1.0), "{release:?}");
        assert_eq!(
            value("queue.oldest.age", "orders/billing", None),
            None,
            "{release:?}: two wait, nobody knows how long"
        );
        assert_eq!(value("redis.stream.pending.idle.max", "orders/billing", None), None, "{release:?}");
        let ready = value("queue.messages", "mails/send", Some("ready"));
        assert_eq!(ready, (release == Release::Here).then_some(1.0), "{release:?}: not 0, as one waits");
        assert!(value("queue.oldest.age", "mails/send", None).is_some(), "{release:?}");
        // Without a range the server adds up what each consumer has.
        let asked = server.ask(&["SLOWLOG", "GET", "128"]).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(asked.contains("XPENDING orders billing - + 1"), "{release:?}: {asked}");
        server.ask(&["XACK", "orders", "billing", "5-0"]);
        server.ask(&["XREADGROUP", "GROUP", "billing", "worker", "STREAMS", "orders", ">"]);
        let (found, _) = read(&server, of_streams(&["orders"]));
        assert_eq!(found.value("queue.oldest.age", &[]), Some(0.0), "{release:?}: none waits");
    }
}

#[test]
fn a_cache_without_queues_tells_of_none_and_one_without_scan_reads_those_that_are_named() {
    let server = Redis::start(Release::Here, "redis-server", &["--rename-command", "SCAN", ""]);
    let (found, detail) = read(&server, all());
    assert!(found.all("queue.messages", &[]).is_empty() && found.all("queue.completed", &[]).is_empty());
    assert!(detail.contains("looked for by workers' names only: SCAN"), "{detail}");
    server.ask(&["LPUSH", "celery", "1"]);
    server.ask(&["SADD", "queues", "mail"]);
    let queues = Queues::new(Wanted::Auto, Wanted::Auto, vec!["celery".into()], vec![]);
    let (found, _) = read(&server, queues);
    let ready = |system: &str| found.all("queue.messages", &[("messaging.system", system), ("state", "ready")]);
    assert_eq!((ready("celery"), ready("sidekiq")), (vec![1.0], vec![0.0]));
}

#[test]
fn what_is_left_out_of_a_large_sidekiq_is_told() {
    let server = Redis::start(Release::Here, "redis-server", &[]);
    let many = "for i=1,501 do redis.call('SADD','queues','q'..i) redis.call('SADD','processes','p'..i) end";
    server.ask(&["EVAL", many, "0"]);
    let (found, detail) = read(&server, all());
    assert_eq!(found.all("queue.messages", &[("state", "ready")]).len(), 500);
    assert!(detail.contains("only 500 of 501 queues") && detail.contains("only 500 of 501 processes"), "{detail}");
}

#[test]
fn a_clients_name_without_end_is_cut() {
    let server = Redis::start(Release::Here, "redis-server", &["--slowlog-log-slower-than", "0"]);
    let runtime = runtime();
    let mut collector = Collector::new(target(server.port), Queues::default());
    runtime.block_on(one(&mut collector, LIMIT)).result.unwrap();
    let mut client = client(&server, &format!("CLIENT SETNAME {}", "x".repeat(10_000)));
    client.write_all(b"SET a b\r\n").unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
    let found = runtime.block_on(one(&mut collector, LIMIT));
    let told = found.events.iter().find(|event| event.body.starts_with("SET ")).expect("the command is told");
    let name = format!("{:?}", told.attributes.iter().find(|(name, _)| *name == "redis.client.name").unwrap());
    assert!(name.contains("xxx") && name.len() < 1000, "{} bytes", name.len());
}

/// Answers each command in Redis' protocol; `None` ends the connection.
fn serve(mut stream: TcpStream, answer: fn(&[&str]) -> Option<String>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while let Some(head) = lines.next() {
        let count: usize = head?.trim_start_matches('*').parse().unwrap_or(0);
        let parts: Vec<String> = lines.by_ref().take(2 * count).collect::<Result<_, _>>()?;
        let words: Vec<&str> = parts.iter().skip(1).step_by(2).map(String::as_str).collect();
        match answer(&words) {
            Some(answer) => stream.write_all(answer.as_bytes())?,
            None => break,
        }
    }
    Ok(())
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// A server with more clients than anybody should list, and lists as long as a number can be.
fn crowded(words: &[&str]) -> Option<String> {
    Some(match words {
        ["INFO", ..] => bulk("redis_version:7.0.15\r\nconnected_clients:10001\r\n"),
        ["CLIENT", ..] => return None,
        ["LLEN", ..] => format!(":{}\r\n", i64::MAX),
        ["SCAN", ..] => "*2\r\n$1\r\n0\r\n*0\r\n".to_owned(),
        _ => "*0\r\n".to_owned(),
    })
}

#[test]
fn of_ten_thousand_clients_no_list_is_made_and_lengths_without_end_are_no_panic() {
    let server = Breaker::start(|stream| serve(stream, crowded));
    let queues = Queues::new(Wanted::Auto, Wanted::None, vec!["celery".into()], vec![]);
    let mut collector = Collector::new(target(server.port), queues);
    let found = runtime().block_on(one(&mut collector, LIMIT));
    assert!(found.result.is_ok(), "{:?}", found.result);
    let detail = collector.detail();
    assert!(detail.contains("workers are not counted: the server has more than 10000 clients"), "{detail}");
    let ready = found.value("queue.messages", &[("state", "ready")]);
    assert_eq!(ready, Some(u64::MAX as f64), "ten lists together");
}

/// A stream that dies when it is asked for an entry.
fn dying(words: &[&str]) -> Option<String> {
    Some(match words {
        ["INFO", ..] => bulk("redis_version:7.0.15\r\n"),
        ["XINFO", "STREAM", ..] => format!("*2\r\n{}:1\r\n", bulk("length")),
        ["XINFO", "GROUPS", ..] => format!("*1\r\n*2\r\n{}{}", bulk("name"), bulk("billing")),
        ["XRANGE", ..] => return None,
        _ => "*0\r\n".to_owned(),
    })
}

#[test]
fn a_connection_that_ends_while_a_stream_is_read_is_no_stream_without_an_age() {
    let server = Breaker::start(|stream| serve(stream, dying));
    let mut collector = Collector::new(target(server.port), of_streams(&["orders"]));
    let ended = runtime().block_on(one(&mut collector, LIMIT)).result;
    assert!(matches!(ended, Err(CollectError::Connect(_))), "{ended:?}");
}
