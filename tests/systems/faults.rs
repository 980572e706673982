//! Every kind of collector against every kind of fault of a server: a clear error within the round's time, bounded
//! memory, and nothing left behind. `tests/README.md` has the whole matrix.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::LazyLock;
use std::time::Duration;

use plimsoll::collect::CollectError;

use super::breaker::{Breaker, OVER_HTTP, SORTS, Sort, Talk, endless, is_clear, is_plain};
use super::harness::free_port;
use super::round::{of_a_liar, one, runtime};

/// A round's time against those who take all of it.
const SHORT: Duration = Duration::from_millis(300);
/// Long enough for an answer of any length that is taken.
const LONG: Duration = Duration::from_secs(60);

/// Takes all that is said and says nothing.
pub(crate) fn hung(mut stream: TcpStream) -> std::io::Result<()> {
    let mut heard = [0; 4096];
    while stream.read(&mut heard)? > 0 {}
    Ok(())
}

/// A byte at a time, each long before anybody gives up a connection, and never to an end.
fn drip(mut stream: TcpStream, text: &[u8]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    hear(&mut stream)?;
    for byte in text.iter().chain(std::iter::repeat(&b' ')) {
        stream.write_all(&[*byte])?;
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// The first bytes of an answer that would be right.
fn beginning(sort: Sort) -> &'static [u8] {
    match sort {
        Sort::Postgres | Sort::Pgbouncer => b"R\0\0\0\x08\0\0\0\0S\0\x7f\0\0name\0",
        // A greeting of a MB.
        Sort::Mysql => b"\xff\xff\x0f\0\x0a",
        Sort::Redis | Sort::Queues => b"$1000000\r\n",
        Sort::Rabbitmq | Sort::Nats => b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{",
        Sort::Scrape => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n",
    }
}

fn slow(sort: Sort) -> Talk {
    match sort {
        Sort::Postgres | Sort::Pgbouncer => dripping,
        Sort::Mysql => |stream| drip(stream, beginning(Sort::Mysql)),
        Sort::Redis | Sort::Queues => |stream| drip(stream, beginning(Sort::Redis)),
        Sort::Rabbitmq | Sort::Nats => |stream| drip(stream, beginning(Sort::Rabbitmq)),
        Sort::Scrape => |stream| drip(stream, beginning(Sort::Scrape)),
    }
}

/// Ends in the middle of an answer.
fn dies(mut stream: TcpStream, text: &[u8]) -> std::io::Result<()> {
    // What it was asked is read first, or its end is a reset.
    hear(&mut stream)?;
    stream.write_all(text)?;
    stream.shutdown(Shutdown::Both)
}

/// The first words, if there are any: MySQL's clients wait for those of the server.
fn hear(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    let _nothing = stream.read(&mut [0; 4096]).is_err();
    Ok(())
}

/// One that begins as a PostgreSQL would.
pub(crate) fn dripping(stream: TcpStream) -> std::io::Result<()> {
    drip(stream, beginning(Sort::Postgres))
}

/// One that packs 256 MiB into each answer.
pub(crate) fn bombs(stream: TcpStream) -> std::io::Result<()> {
    packed(stream, "gzip")
}

fn dying(sort: Sort) -> Talk {
    match sort {
        Sort::Postgres | Sort::Pgbouncer => |stream| dies(stream, beginning(Sort::Postgres)),
        Sort::Mysql => |stream| dies(stream, beginning(Sort::Mysql)),
        Sort::Redis | Sort::Queues => |stream| dies(stream, beginning(Sort::Redis)),
        Sort::Rabbitmq | Sort::Nats => |stream| dies(stream, beginning(Sort::Rabbitmq)),
        Sort::Scrape => |stream| dies(stream, beginning(Sort::Scrape)),
    }
}

/// Three rounds of one collector, all of which run out of time, and then nothing of them is left.
fn runs_out_of_time(sort: Sort, talk: Talk) {
    let server = Breaker::start(talk);
    let runtime = runtime();
    let mut collector = sort.collector(server.port);
    for _ in 0..3 {
        let told = runtime.block_on(one(&mut *collector, SHORT)).result.unwrap_err();
        assert!(matches!(told, CollectError::Timeout(_)), "{sort:?}: {told:?}");
    }
    // What a round left to be done later is done now, while the collector still lives.
    server.is_left(sort, &runtime);
}

#[test]
fn a_server_that_never_answers_costs_each_round_its_time_and_leaves_nothing_open() {
    for sort in SORTS {
        runs_out_of_time(sort, hung);
    }
}

#[test]
fn a_server_that_sends_a_byte_at_a_time_costs_each_round_its_time_and_leaves_nothing_open() {
    for sort in SORTS {
        runs_out_of_time(sort, slow(sort));
    }
}

#[test]
fn a_server_that_dies_in_the_middle_of_an_answer_is_an_error_of_one_round() {
    for sort in SORTS {
        let server = Breaker::start(dying(sort));
        let told = sort.round(server.port, LONG).result.unwrap_err();
        assert!(matches!(told, CollectError::Connect(_)), "{sort:?}: {told:?}");
        is_clear(&told);
    }
}

#[test]
fn a_scraped_target_that_was_killed_is_read_again_when_it_is_back() {
    let port = free_port();
    let runtime = runtime();
    let mut collector = Sort::Scrape.collector(port);
    for _ in 0..2 {
        let gone = runtime.block_on(one(&mut *collector, LONG)).result.unwrap_err();
        assert!(matches!(&gone, CollectError::Connect(why) if why.contains("connection refused")), "{gone:?}");
        let target = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        let served = std::thread::spawn(move || whole(target.accept().unwrap().0, "shop_orders_total 7\n"));
        let found = runtime.block_on(one(&mut *collector, LONG));
        assert_eq!(found.value("shop_orders_total", &[]).or(found.value("shop_orders", &[])), Some(7.0));
        served.join().unwrap().unwrap();
    }
}

/// Reads a request over HTTP.
fn request(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(())
}

fn begun(mut stream: TcpStream, head: &str, piece: &[u8]) -> std::io::Result<()> {
    request(&mut stream)?;
    stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}").as_bytes())?;
    endless(stream, piece)
}

/// 2 GiB that are announced.
pub(crate) fn with_length(stream: TcpStream) -> std::io::Result<()> {
    begun(stream, "Content-Length: 2147483648\r\n\r\n", &[b' '; 1 << 20])
}

/// 2 GiB up to the end of the connection.
fn without_length(stream: TcpStream) -> std::io::Result<()> {
    begun(stream, "\r\n", &[b' '; 1 << 20])
}

/// 2 GiB in chunks of a MiB.
pub(crate) fn in_chunks(stream: TcpStream) -> std::io::Result<()> {
    let chunk = [&b"100000\r\n"[..], &[b' '; 1 << 20], b"\r\n"].concat();
    begun(stream, "Transfer-Encoding: chunked\r\n\r\n", &chunk)
}

/// Headers without end.
fn headers(stream: TcpStream) -> std::io::Result<()> {
    begun(stream, "X: ", &[b'x'; 1 << 20])
}

/// 256 MiB of spaces in 256 KB.
static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    (0..256).for_each(|_| packed.write_all(&[b' '; 1 << 20]).unwrap());
    packed.finish().unwrap()
});

fn packed(mut stream: TcpStream, codec: &str) -> std::io::Result<()> {
    request(&mut stream)?;
    let body = &*BOMB;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {codec}\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

#[test]
fn two_gigabytes_over_http_end_at_their_bound_however_they_are_framed() {
    for sort in OVER_HTTP {
        for talk in [with_length as Talk, without_length, in_chunks] {
            let told = sort.round(Breaker::start(talk).port, LONG).result.unwrap_err();
            assert!(
                matches!(&told, CollectError::Parse(why) if why.contains("larger than 8 MiB")),
                "{sort:?}: {told:?}"
            );
            is_clear(&told);
        }
        let told = sort.round(Breaker::start(headers).port, LONG).result.unwrap_err();
        assert!(matches!(told, CollectError::Connect(_)), "{sort:?}: {told:?}");
        is_clear(&told);
    }
}

#[test]
fn a_packed_answer_is_unpacked_only_where_it_was_asked_for_and_to_a_bound() {
    for sort in OVER_HTTP {
        for talk in [|stream| packed(stream, "gzip"), (|stream| packed(stream, "deflate")) as Talk] {
            let told = sort.round(Breaker::start(talk).port, LONG).result.unwrap_err();
            assert!(matches!(told, CollectError::Parse(_)), "{sort:?}: {told:?}");
            is_clear(&told);
        }
    }
    let talk: Talk = |stream| packed(stream, "gzip");
    let told = Sort::Scrape.round(Breaker::start(talk).port, LONG).result.unwrap_err();
    assert!(told.to_string().contains("larger than 8 MiB when it is unpacked"), "{told:?}");
}

fn whole(mut stream: TcpStream, body: &str) -> std::io::Result<()> {
    request(&mut stream)?;
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

/// Numbers, each of which takes sixteen times as much memory as it has bytes.
fn numbers(stream: TcpStream) -> std::io::Result<()> {
    whole(stream, &format!("[{}0]", "0,".repeat(4 << 20 >> 1)))
}

/// Lists in lists.
fn depth(stream: TcpStream) -> std::io::Result<()> {
    whole(stream, &"[".repeat(1 << 20))
}

/// Numbers that cannot be, under names that are known.
fn absurd(stream: TcpStream) -> std::io::Result<()> {
    let page = r#"{"rabbitmq_version":"\u001b[31m4","total_count":-1,"page_count":18446744073709551615,"object_totals":
        {"connections":-5,"queues":1e308},"message_stats":{"publish":-1,"ack":99999999999999999999},"items":[{"name":
        "\u001b[2J\n","vhost":"/","messages_ready":-7,"messages_unacknowledged":1e300}],"version":"\u001b[31m2",
        "connections":-1,"jetstream":{"config":{"max_storage":-1}},"streams":-4,"consumers":1e308,"storage":-1,
        "account_details":[{"name":"\n","stream_detail":[{"name":"\u0000","state":{"messages":-3,"bytes":1e308,
        "last_seq":-1},"config":{"max_bytes":-1}}]}]}"#;
    whole(stream, page)
}

/// The same for a scrape: what is no exposition, and what is one only just.
fn absurd_series(stream: TcpStream) -> std::io::Result<()> {
    whole(
        stream,
        &format!("a{{b=\"{}\"}} -1\nc -1e300\nd{{e=\"\u{1b}[31m\\n\"}} 99999999999999999999\n", "x".repeat(4096)),
    )
}

#[test]
fn json_that_explodes_nests_or_counts_absurdly_is_bounded() {
    for sort in [Sort::Rabbitmq, Sort::Nats] {
        for (talk, told) in [(numbers as Talk, "more than 500000 values"), (depth, "recursion limit")] {
            let found = sort.round(Breaker::start(talk).port, LONG).result.unwrap_err();
            assert!(matches!(&found, CollectError::Parse(why) if why.contains(told)), "{sort:?}: {found:?}");
            is_clear(&found);
        }
        is_taken_or_told(sort, absurd);
    }
    is_taken_or_told(Sort::Scrape, absurd_series);
}

fn is_taken_or_told(sort: Sort, talk: Talk) {
    let server = Breaker::start(talk);
    let mut collector = sort.collector(server.port);
    let found = runtime().block_on(of_a_liar(&mut *collector, LONG));
    assert!(!matches!(found.result, Err(CollectError::Timeout(_) | CollectError::Connect(_))), "{:?}", found.result);
    is_plain(&found);
    let detail = collector.detail();
    assert!(detail.len() < 1000 && !detail.chars().any(char::is_control), "{sort:?}: {detail:?}");
}
