//! Servers in this process that speak the first words of a protocol and then send without end, or nonsense: each costs
//! one round, in bounded memory.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use plimsoll::collect::dial::Address;
use plimsoll::collect::mysql::{self, options};
use plimsoll::collect::postgres::session::Target;
use plimsoll::collect::postgres::{self, Settings};
use plimsoll::collect::redis::Redis;
use plimsoll::collect::redis::queues::Queues;
use plimsoll::collect::{CollectError, Collector};

use super::redis::target;
use super::round::{one, runtime};

/// Long enough for an answer of any length that is taken.
const LIMIT: Duration = Duration::from_secs(60);
/// More than anybody takes: 2 GiB, a MiB at a time.
const PIECES: usize = 2048;

/// What a connection does.
type Talk = fn(TcpStream) -> std::io::Result<()>;

fn start(talk: Talk) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    // It ends with the test program; whether the other side still listens is no matter here.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || talk(stream).is_err());
        }
    });
    port
}

fn endless(mut stream: TcpStream, piece: &[u8]) -> std::io::Result<()> {
    (0..PIECES).try_for_each(|_| stream.write_all(piece))
}

/// A message of PostgreSQL.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind][..], &length, body].concat()
}

/// Lets everybody in, and answers the first question with rows of a MiB.
fn postgres_rows(mut stream: TcpStream) -> std::io::Result<()> {
    postgres_login(&mut stream)?;
    let mut column = b"\0\x01version\0".to_vec();
    column.extend([0; 18]);
    stream.write_all(&message(b'T', &column))?;
    let mut row = vec![0, 1];
    row.extend((1_u32 << 20).to_be_bytes());
    row.extend(vec![b'1'; 1 << 20]);
    endless(stream, &message(b'D', &row))
}

/// Lets everybody in, and answers with one row of 2 GiB.
fn postgres_row(mut stream: TcpStream) -> std::io::Result<()> {
    postgres_login(&mut stream)?;
    stream.write_all(&[b'D', 0x7f, 0xff, 0xff, 0xff])?;
    endless(stream, &vec![b'1'; 1 << 20])
}

fn postgres_login(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let rest = u32::from_be_bytes(length) as usize - 4;
    stream.read_exact(&mut vec![0; rest])?;
    stream.write_all(&message(b'R', &[0; 4]))?;
    stream.write_all(&message(b'Z', b"I"))?;
    let mut head = [0; 5];
    stream.read_exact(&mut head)
}

/// Says yes to whatever comes first, and then one string of 2 GiB.
fn redis_string(mut stream: TcpStream) -> std::io::Result<()> {
    let mut asked = [0; 4096];
    let _some = stream.read(&mut asked)?;
    stream.write_all(b"$2147483647\r\n")?;
    endless(stream, &vec![b'x'; 1 << 20])
}

/// A list of lists of lists.
fn redis_depth(mut stream: TcpStream) -> std::io::Result<()> {
    let mut asked = [0; 4096];
    let _some = stream.read(&mut asked)?;
    endless(stream, &b"*1\r\n".repeat(1 << 18))
}

/// The head of a packet of 16 MB, again and again.
fn mysql_greeting(stream: TcpStream) -> std::io::Result<()> {
    let mut piece = vec![0xff, 0xff, 0xff, 0];
    piece.extend(vec![10; (1 << 20) - 4]);
    endless(stream, &piece)
}

fn nonsense(mut stream: TcpStream) -> std::io::Result<()> {
    let mut asked = [0; 16];
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    // MySQL's clients wait for the server's first word.
    let _nothing = stream.read(&mut asked).is_err();
    stream.write_all(b"\x00\xff\x1b[31mHTTP/1.1 400 Bad Request\r\n\r\n")
}

fn postgres_collector(port: u16) -> postgres::Postgres {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(port).user("plimsoll").dbname("postgres");
    let target = Target { name: "liar".into(), config, password: None, tls: None };
    postgres::Postgres::new(Settings { target, databases: None, top: 20 })
}

fn mysql_collector(port: u16) -> mysql::Mysql {
    let opts = options(&Address::Tcp("127.0.0.1".into(), port), Some("plimsoll"), Some("word"), None);
    mysql::Mysql::new(mysql::Settings { name: "liar".into(), opts, top: 20 })
}

fn told(collector: &mut dyn Collector) -> CollectError {
    let told = runtime().block_on(one(collector, LIMIT)).result.unwrap_err();
    let text = told.to_string();
    assert!(!matches!(told, CollectError::Timeout(_)) && text.len() < 500, "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    told
}

#[test]
fn an_answer_without_end_ends_at_its_bound() {
    for talk in [postgres_rows as Talk, postgres_row] {
        let told = told(&mut postgres_collector(start(talk)));
        assert!(matches!(&told, CollectError::Parse(why) if why.contains("larger than 16 MiB")), "{told:?}");
    }
    let told_of = |talk: Talk| told(&mut Redis::new(target(start(talk)), Queues::default()));
    let string = told_of(redis_string);
    assert!(matches!(&string, CollectError::Parse(why) if why.contains("more than 32 MiB")), "{string:?}");
    let _depth = told_of(redis_depth);
    let _greeting = told(&mut mysql_collector(start(mysql_greeting)));
}

#[test]
fn nonsense_is_an_error_of_one_round() {
    let _postgres = told(&mut postgres_collector(start(nonsense)));
    let _redis = told(&mut Redis::new(target(start(nonsense)), Queues::default()));
    let _mysql = told(&mut mysql_collector(start(nonsense)));
}
