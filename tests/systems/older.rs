//! Servers that are older than what is read: told so, with the oldest that is.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::Duration;

use plimsoll::collect::mysql::{self, options};
use plimsoll::collect::redis::Redis;
use plimsoll::collect::redis::queues::Queues;
use plimsoll::collect::{CollectError, Collector, dial, postgres};

use super::mysql_server::{Kind, Mysql};
use super::postgres_server::Postgres;
use super::release::Release;
use super::round::{one, runtime};
use super::{postgres as of_postgres, redis as of_redis};

const LIMIT: Duration = Duration::from_secs(10);

/// What is said in two rounds, and nothing is told beside it.
fn told(collector: &mut dyn Collector) -> String {
    let runtime = runtime();
    let rounds = [(); 2].map(|()| runtime.block_on(one(collector, LIMIT)));
    let [first, second] = rounds.map(|round| match round.result {
        Err(CollectError::Query(why)) => why,
        other => panic!("{other:?}"),
    });
    assert_eq!(first, second);
    first
}

#[test]
fn a_postgresql_of_before_14_is_told_so() {
    let server = Postgres::start(Release::Older, "");
    let mut collector = postgres::Postgres::new(of_postgres::settings(&server, "postgres", "postgres"));
    let said = told(&mut collector);
    assert!(
        said.starts_with("PostgreSQL 13.") && said.ends_with(" is too old: 14 is the oldest that is read"),
        "{said}"
    );
}

#[test]
fn a_mariadb_of_before_10_6_is_told_so() {
    let server = Mysql::start(Kind::Mariadb105, &[]);
    server.sql("CREATE USER plimsoll@'%' IDENTIFIED BY 'word'");
    let opts = options(&dial::Address::Tcp("127.0.0.1".into(), server.port), Some("plimsoll"), Some("word"), None);
    let mut collector = mysql::Mysql::new(mysql::Settings { name: "test".into(), opts, top: 20 });
    let said = told(&mut collector);
    assert!(
        said.starts_with("MariaDB 10.5.") && said.ends_with(" is too old: 10.6 is the oldest that is read"),
        "{said}"
    );
}

/// No Redis 5 can be had: this one only says that it is one, and yes to everything else.
#[test]
fn a_redis_of_before_6_is_told_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut commands = BufReader::new(stream.try_clone().unwrap());
            let mut answers = stream;
            while let Some(command) = command(&mut commands) {
                let info = "# Server\r\nredis_version:5.0.14\r\nredis_mode:standalone\r\n";
                let info = format!("${}\r\n{info}\r\n", info.len());
                let answer = if command == "INFO" { info.as_str() } else { "+OK\r\n" };
                if answers.write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    let said = told(&mut Redis::new(of_redis::target(port), Queues::default()));
    assert_eq!(said, "redis 5.0.14 is too old: 6.0 is the oldest that is read");
}

/// The first word of a command as clients send it: an array of strings.
fn command(from: &mut impl BufRead) -> Option<String> {
    let number = |sign: char, from: &mut dyn BufRead| {
        let mut line = String::new();
        from.read_line(&mut line).ok()?;
        line.trim_end().strip_prefix(sign)?.parse::<usize>().ok()
    };
    let mut words = Vec::new();
    for _ in 0..number('*', from)? {
        let mut word = vec![0; number('$', from)? + 2];
        from.read_exact(&mut word).ok()?;
        words.push(String::from_utf8(word).ok()?.trim_end().to_owned());
    }
    words.into_iter().next()
}
