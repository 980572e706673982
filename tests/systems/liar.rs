//! Servers in this process that speak the first words of a protocol and then send without end, or nonsense: each costs
//! one round, in bounded memory.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use plimsoll::collect::CollectError;

use super::breaker::{Breaker, SORTS, Sort, Talk, endless, is_clear, is_plain};
use super::round::{of_a_liar, runtime};

/// Long enough for an answer of any length that is taken.
const LIMIT: Duration = Duration::from_secs(60);
/// A message of PostgreSQL.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind][..], &length, body].concat()
}

/// Lets everybody in, and answers the first question with rows of a MiB.
pub(crate) fn postgres_rows(mut stream: TcpStream) -> std::io::Result<()> {
    postgres_login(&mut stream, true)?;
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
    postgres_login(&mut stream, true)?;
    stream.write_all(&[b'D', 0x7f, 0xff, 0xff, 0xff])?;
    endless(stream, &vec![b'1'; 1 << 20])
}

fn postgres_login(stream: &mut TcpStream, asked: bool) -> std::io::Result<()> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let rest = u32::from_be_bytes(length) as usize - 4;
    stream.read_exact(&mut vec![0; rest])?;
    stream.write_all(&message(b'R', &[0; 4]))?;
    stream.write_all(&message(b'Z', b"I"))?;
    if asked { stream.read_exact(&mut [0; 5]) } else { Ok(()) }
}

/// Says yes to whatever comes first, and then one string of 2 GiB.
pub(crate) fn redis_string(mut stream: TcpStream) -> std::io::Result<()> {
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

/// A list of numbers, each of which takes ten times as much memory as it has bytes.
pub(crate) fn redis_list(mut stream: TcpStream) -> std::io::Result<()> {
    let mut asked = [0; 4096];
    let _some = stream.read(&mut asked)?;
    stream.write_all(b"*2147483647\r\n")?;
    // What is taken of it is counted by what it becomes: far less than 32 MiB of it go over the line.
    let piece = b":1\r\n".repeat(1 << 16);
    for _ in 0..32 {
        stream.write_all(&piece)?;
    }
    stream.set_read_timeout(None)?;
    while stream.read(&mut asked)? > 0 {}
    Ok(())
}

/// The head of a packet of 16 MB, again and again.
fn mysql_greeting(stream: TcpStream) -> std::io::Result<()> {
    let mut piece = vec![0xff, 0xff, 0xff, 0];
    piece.extend(vec![10; (1 << 20) - 4]);
    endless(stream, &piece)
}

pub(crate) fn nonsense(mut stream: TcpStream) -> std::io::Result<()> {
    let mut asked = [0; 16];
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    // MySQL's clients wait for the server's first word.
    let _nothing = stream.read(&mut asked).is_err();
    stream.write_all(b"\x00\xff\x1b[31mHTTP/1.1 400 Bad Request\r\n\r\n")
}

fn told(sort: Sort, talk: Talk) -> CollectError {
    let told = sort.round(Breaker::start(talk).port, LIMIT).result.unwrap_err();
    let text = is_clear(&told);
    assert!(!matches!(told, CollectError::Timeout(_)), "{text}");
    told
}

#[test]
fn an_answer_without_end_ends_at_its_bound() {
    for sort in [Sort::Postgres, Sort::Pgbouncer] {
        for talk in [postgres_rows as Talk, postgres_row] {
            let told = told(sort, talk);
            assert!(matches!(&told, CollectError::Parse(why) if why.contains("larger than 16 MiB")), "{told:?}");
        }
    }
    for sort in [Sort::Redis, Sort::Queues] {
        for talk in [redis_string as Talk, redis_list] {
            let told = told(sort, talk);
            assert!(matches!(&told, CollectError::Parse(why) if why.contains("more than 32 MiB")), "{told:?}");
        }
        let _depth = told(sort, redis_depth);
    }
    let _greeting = told(Sort::Mysql, mysql_greeting);
}

#[test]
fn nonsense_is_an_error_of_one_round() {
    for sort in SORTS {
        let told = told(sort, nonsense);
        assert!(matches!(told, CollectError::Connect(_) | CollectError::Parse(_)), "{sort:?}: {told:?}");
    }
}

/// What no number and no text should be.
const ABSURD: [&[u8]; 9] =
    [b"-1", b"NaN", b"1e999", b"", b"\xff\xfe", b"\x1b[31m\n\0", b"99999999999999999999999", b"-inf", b"0x10"];

/// The names of columns in a question: what stands behind `AS`, and some that pgbouncer has.
fn names(sql: &str) -> Vec<String> {
    let part = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let mut names: Vec<String> =
        sql.split(" AS ").skip(1).filter_map(|behind| behind.split(part).next().map(str::to_owned)).collect();
    let more =
        "datname pid state database user name list key items value cl_waiting maxwait pool_size total_query_time";
    names.extend(more.split(' ').map(str::to_owned));
    names.retain(|name| !name.is_empty());
    names.sort();
    names.dedup();
    names
}

/// Answers every question with nine rows that cannot be, from a server of version 17 or a pgbouncer.
fn postgres_absurd(mut stream: TcpStream) -> std::io::Result<()> {
    postgres_login(&mut stream, false)?;
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let mut sql = vec![0; u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize - 4];
        stream.read_exact(&mut sql)?;
        if head[0] == b'X' {
            return Ok(());
        }
        let names = names(&String::from_utf8_lossy(&sql));
        let count = u16::try_from(names.len()).unwrap().to_be_bytes();
        let columns = names.iter().flat_map(|name| [name.as_bytes(), &[0; 19]].concat());
        stream.write_all(&message(b'T', &count.into_iter().chain(columns).collect::<Vec<_>>()))?;
        for at in 0..ABSURD.len() {
            let mut row = count.to_vec();
            for (column, name) in names.iter().enumerate() {
                let value = if name == "version" { b"170002" } else { ABSURD[(at + column) % ABSURD.len()] };
                row.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
                row.extend(value);
            }
            stream.write_all(&message(b'D', &row))?;
        }
        stream.write_all(&message(b'C', b"SELECT 9\0"))?;
        stream.write_all(&message(b'Z', b"I"))?;
    }
}

/// Every command is answered by `INFO` of a server that counts in absurd numbers.
fn redis_absurd(mut stream: TcpStream) -> std::io::Result<()> {
    let mut info = b"redis_version:7.0.15\r\n".to_vec();
    let names = "uptime_in_seconds connected_clients used_memory maxmemory keyspace_hits total_commands_processed db0";
    for name in names.split(' ') {
        for value in ABSURD {
            info.extend([name.as_bytes(), b":", value, b"\r\n"].concat());
        }
    }
    let answer = [format!("${}\r\n", info.len()).as_bytes(), &info, b"\r\n"].concat();
    let mut asked = [0; 4096];
    loop {
        let length = stream.read(&mut asked)?;
        if length == 0 {
            return Ok(());
        }
        // A command is a list, and several may come at once.
        let commands = asked[..length].split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"*")).count();
        stream.write_all(&answer.repeat(commands))?;
    }
}

#[test]
fn numbers_and_texts_that_cannot_be_are_left_out_or_shown_harmless() {
    for (sort, talk) in [
        (Sort::Postgres, postgres_absurd as Talk),
        (Sort::Pgbouncer, postgres_absurd),
        (Sort::Redis, redis_absurd),
        (Sort::Queues, redis_absurd),
    ] {
        let server = Breaker::start(talk);
        let runtime = runtime();
        let mut collector = sort.collector(server.port);
        for _ in 0..2 {
            let found = runtime.block_on(of_a_liar(&mut *collector, LIMIT));
            assert!(!matches!(found.result, Err(CollectError::Timeout(_))), "{sort:?}");
            assert!(is_plain(&found) > 0, "{sort:?}: {:?}", found.result);
            let detail = collector.detail();
            assert!(detail.len() < 2000 && !detail.chars().any(char::is_control), "{sort:?}: {detail:?}");
        }
    }
}
