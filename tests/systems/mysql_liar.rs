//! A MySQL in this process that lets everybody in, and then lies: about the number of columns, with rows and columns
//! without end, with numbers that cannot be, and by never coming to the end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use plimsoll::collect::CollectError;

use super::breaker::{Breaker, Sort, Talk, endless, is_clear, is_plain};
use super::round::{of_a_liar, one, runtime};

const LONG: Duration = Duration::from_secs(60);

/// A packet with its number.
fn packet(number: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    [&length[..3], &[number], body].concat()
}

const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];

/// The body of the next packet of the client.
fn heard(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let mut body = vec![0; u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize];
    stream.read_exact(&mut body)?;
    Ok(body)
}

/// MySQL 8.0.36 that asks for `mysql_native_password`, and takes any.
fn login(stream: &mut TcpStream) -> std::io::Result<()> {
    greet(stream, b"mysql_native_password")?;
    stream.write_all(&packet(2, OK))
}

/// Greets, and takes what the client says of itself.
fn greet(stream: &mut TcpStream, plugin: &[u8]) -> std::io::Result<()> {
    let mut greeting = b"\x0a8.0.36\0\x01\0\0\0abcdefgh\0".to_vec();
    // Protocol 41, secure connection, plugins, several results, transactions; no TLS.
    greeting.extend(0x000a_a208_u32.to_le_bytes()[..2].iter());
    greeting.extend([45, 2, 0]);
    greeting.extend(0x000a_a208_u32.to_le_bytes()[2..].iter());
    greeting.extend([21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    greeting.extend([b"ijklmnopqrst\0", plugin, b"\0"].concat());
    stream.write_all(&packet(0, &greeting))?;
    heard(stream).map(drop)
}

/// A text with its length in front.
fn text(value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(value.len()).unwrap().to_le_bytes();
    if value.len() < 251 { [&length[..1], value].concat() } else { [b"\xfd", &length[..3], value].concat() }
}

fn column(name: &[u8]) -> Vec<u8> {
    let mut body = text(b"def");
    (0..3).for_each(|_| body.extend(text(b"")));
    body.extend(text(name));
    body.extend(text(name));
    body.extend([0x0c, 45, 0, 0, 1, 0, 0, 0xfd, 0, 0, 0, 0, 0]);
    body
}

const EOF: &[u8] = &[0xfe, 0, 0, 2, 0];

/// A table under `names`.
fn table(names: &[&[u8]], rows: &[Vec<&[u8]>]) -> Vec<u8> {
    let mut out = packet(1, &[u8::try_from(names.len()).unwrap()]);
    let mut number = 1_u8;
    let mut add = |body: &[u8]| {
        number = number.wrapping_add(1);
        out.extend(packet(number, body));
    };
    names.iter().for_each(|name| add(&column(name)));
    add(EOF);
    rows.iter().for_each(|row| add(&row.iter().flat_map(|value| text(value)).collect::<Vec<_>>()));
    add(EOF);
    out
}

/// Answers what every client asks at first; gives the first question that is our collector's.
fn until_asked(stream: &mut TcpStream) -> std::io::Result<String> {
    until_asked_of(stream, &text(b"8.0.36"))
}

/// The same with another row for the version.
fn until_asked_of(stream: &mut TcpStream, version: &[u8]) -> std::io::Result<String> {
    login(stream)?;
    loop {
        let asked = String::from_utf8_lossy(&heard(stream)?).into_owned();
        let answer = if asked.contains("@@") {
            // Whatever settings are asked for.
            table(&[b"@@max_allowed_packet", b"@@wait_timeout"], &[vec![b"much", b"soon"]])
        } else if asked.contains("VERSION()") {
            let parts: [&[u8]; 5] = [&[1], &column(b"version"), EOF, version, EOF];
            (1..).zip(parts).flat_map(|(number, body)| packet(number, body)).collect()
        } else if asked.contains("SET ") || asked.starts_with('\u{1}') {
            packet(1, OK)
        } else {
            return Ok(asked);
        };
        stream.write_all(&answer)?;
    }
}

/// As many packets as there are numbers, from `first` on.
fn round_of(first: u8, body: &[u8]) -> Vec<u8> {
    (0..=u8::MAX).flat_map(|number| packet(number.wrapping_add(first), body)).collect()
}

/// More columns than there is memory for.
pub(crate) fn columns(mut stream: TcpStream) -> std::io::Result<()> {
    until_asked(&mut stream)?;
    stream.write_all(&packet(1, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]))?;
    endless(stream, &round_of(2, &column(b"x")).repeat(80))
}

/// As many as there can be, and each of 64 KB.
fn wide_columns(mut stream: TcpStream) -> std::io::Result<()> {
    until_asked(&mut stream)?;
    stream.write_all(&packet(1, &[0xfc, 0x00, 0x10]))?;
    endless(stream, &round_of(2, &column(&[b'x'; 1 << 15])))
}

/// Rows without end.
pub(crate) fn rows(mut stream: TcpStream) -> std::io::Result<()> {
    until_asked(&mut stream)?;
    stream.write_all(&packet(1, &[1]))?;
    stream.write_all(&packet(2, &column(b"variable_name")))?;
    stream.write_all(&packet(3, EOF))?;
    endless(stream, &round_of(4, &text(&[b'1'; 1 << 16])))
}

/// Rows of nothing under a name of a MB.
fn named_rows(mut stream: TcpStream) -> std::io::Result<()> {
    until_asked(&mut stream)?;
    stream.write_all(&packet(1, &[1]))?;
    stream.write_all(&packet(2, &column(&[b'x'; 1 << 20])))?;
    stream.write_all(&packet(3, EOF))?;
    endless(stream, &round_of(4, &text(b"")).repeat(800))
}

/// A row at a time.
fn slow_rows(mut stream: TcpStream) -> std::io::Result<()> {
    until_asked(&mut stream)?;
    stream.write_all(&packet(1, &[1]))?;
    stream.write_all(&packet(2, &column(b"variable_name")))?;
    stream.write_all(&packet(3, EOF))?;
    for number in (0..=u8::MAX).cycle().skip(4) {
        stream.write_all(&packet(number, &text(b"uptime")))?;
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

#[test]
fn a_mysql_without_end_ends_at_its_bound_and_nothing_reads_on() {
    for (talk, told) in [
        (columns as Talk, "more than 4096 columns"),
        (wide_columns, "larger than 32 MiB"),
        (rows, "larger than 16 MiB"),
        (named_rows, "larger than 16 MiB"),
    ] {
        let server = Breaker::start(talk);
        let runtime = runtime();
        let mut collector = Sort::Mysql.collector(server.port);
        let found = runtime.block_on(one(&mut *collector, LONG)).result.unwrap_err();
        assert!(matches!(&found, CollectError::Parse(why) if why.contains(told)), "{told}: {found:?}");
        is_clear(&found);
        server.is_left(Sort::Mysql, &runtime);
    }
}

/// NULL for its version.
fn no_version(mut stream: TcpStream) -> std::io::Result<()> {
    until_asked_of(&mut stream, &[0xfb]).map(drop)
}

/// A version that is no text.
fn odd_version(mut stream: TcpStream) -> std::io::Result<()> {
    until_asked_of(&mut stream, &text(b"\xff")).map(drop)
}

/// The password is to be encrypted with a key that is none.
fn odd_key(mut stream: TcpStream) -> std::io::Result<()> {
    greet(&mut stream, b"caching_sha2_password")?;
    stream.write_all(&packet(2, &[1, 4]))?;
    heard(&mut stream)?;
    stream.write_all(&packet(4, b"\x01no key"))?;
    heard(&mut stream).map(drop)
}

#[test]
fn a_mysql_that_says_nonsense_of_itself_costs_a_round_and_not_its_collector() {
    for (talk, told) in [
        (no_version as Talk, "does not say its version"),
        (odd_version, "does not say its version"),
        (odd_key, "its greeting makes no sense"),
    ] {
        let server = Breaker::start(talk);
        let runtime = runtime();
        let mut collector = Sort::Mysql.collector(server.port);
        for _ in 0..2 {
            let found = runtime.block_on(one(&mut *collector, LONG)).result.unwrap_err();
            assert!(matches!(&found, CollectError::Parse(why) if why.contains(told)), "{told}: {found:?}");
            is_clear(&found);
        }
        server.is_left(Sort::Mysql, &runtime);
    }
}

#[test]
fn rows_of_a_mysql_that_come_slowly_are_not_read_on_after_their_round() {
    let server = Breaker::start(slow_rows);
    let runtime = runtime();
    let mut collector = Sort::Mysql.collector(server.port);
    for _ in 0..3 {
        let told = runtime.block_on(one(&mut *collector, Duration::from_millis(500))).result.unwrap_err();
        assert!(matches!(told, CollectError::Timeout(_)), "{told:?}");
    }
    server.is_left(Sort::Mysql, &runtime);
}

/// Whatever is asked: names that are known, with values that cannot be.
fn absurd(mut stream: TcpStream) -> std::io::Result<()> {
    let mut asked = until_asked(&mut stream)?;
    let values: [&[u8]; 9] =
        [b"-1", b"NaN", b"1e999", b"", b"\xff\xfe\x1b[31m\n", b"99999999999999999999999", b"ON", b"-inf", b"0x10"];
    loop {
        let answer = if asked.contains("SHOW GLOBAL") {
            let names = ["Uptime", "Threads_connected", "Max_connections", "performance_schema", "Questions"];
            let rows: Vec<_> = names
                .iter()
                .flat_map(|name| values.iter().map(|value| vec![name.as_bytes(), *value]))
                .chain([vec![&b"performance_schema"[..], b"ON"]])
                .collect();
            table(&[b"Variable_name", b"Value"], &rows)
        } else {
            let names =
                ["blocked", "name", "text", "calls", "time", "count", "age", "id", "wait", "pid", "blocker", "query"];
            let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
            let row = |at: usize| (0..names.len()).map(|column| values[(at + column) % values.len()]).collect();
            table(&names, &(0..9).map(row).collect::<Vec<_>>())
        };
        stream.write_all(&answer)?;
        asked = String::from_utf8_lossy(&heard(&mut stream)?).into_owned();
    }
}

#[test]
fn numbers_and_texts_of_a_mysql_that_cannot_be_are_left_out_or_shown_harmless() {
    let server = Breaker::start(absurd);
    let runtime = runtime();
    let mut collector = Sort::Mysql.collector(server.port);
    for _ in 0..2 {
        let found = runtime.block_on(of_a_liar(&mut *collector, LONG));
        if let Err(error) = &found.result {
            is_clear(error);
        }
        assert!(is_plain(&found) > 3, "{:?}", found.result);
        assert!(collector.detail().len() < 1000 && !collector.detail().chars().any(char::is_control));
    }
}
