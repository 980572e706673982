//! A destination that keeps a book of what it took, and misbehaves: 429, 503, resets before and after it took a
//! request, half an answer, slow answers, and nobody at home.
//!
//! It speaks HTTP/1.1 by itself, because a framework does not reset a connection at a place of one's choice.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use xxhash_rust::xxh3::xxh3_128;

use crate::dice::Dice;
use crate::writer::{self, Stamp};

/// A request that was taken: its lines count as delivered, whatever became of the answer.
pub(crate) struct Taken {
    /// Hash of the body as it came.
    pub(crate) body: u128,
    pub(crate) stamps: Vec<Stamp>,
    pub(crate) malformed: u64,
    /// Which life of the agent sent it.
    pub(crate) life: u32,
    /// The whole answer was written.
    pub(crate) answered: bool,
}

#[derive(Default)]
pub(crate) struct Book {
    pub(crate) taken: Vec<Taken>,
    pub(crate) delivered: HashSet<Stamp>,
    pub(crate) faults: HashMap<&'static str, u64>,
}

pub(crate) struct Sink {
    shared: Arc<Shared>,
    address: SocketAddr,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    book: Mutex<Book>,
    dice: Mutex<Dice>,
    up: AtomicBool,
    honest: AtomicBool,
    requests: AtomicU64,
    /// 429 in a row: the fifth would make the agent halve the frame, which is another test's matter.
    limited: AtomicU64,
    /// Served one at a time, as the agent sends them.
    open: Mutex<Vec<TcpStream>>,
}

/// What is done with a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deed {
    Take,
    TakeSlowly(Duration),
    TakeAndReset,
    TakeAndHalfAnswer,
    Reset,
    Refuse(&'static str, &'static str, &'static str),
}

impl Sink {
    pub(crate) fn start(seed: u64) -> Self {
        let shared = Arc::new(Shared {
            book: Mutex::default(),
            dice: Mutex::new(Dice::new(seed)),
            up: AtomicBool::new(true),
            honest: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            limited: AtomicU64::new(0),
            open: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let served = Arc::clone(&shared);
        let listener = thread::spawn(move || accept(&served, &listener));
        Self { shared, address, listener: Some(listener) }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Nobody at home: connections are refused, open ones end.
    pub(crate) fn down(&mut self) {
        self.shared.up.store(false, SeqCst);
        for stream in lock(&self.shared.open).drain(..) {
            // It may have ended by itself.
            drop(stream.shutdown(Shutdown::Both));
        }
        self.listener.take().unwrap().join().unwrap();
    }

    pub(crate) fn up(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let listener = loop {
            match TcpListener::bind(self.address) {
                Ok(listener) => break listener,
                Err(error) => assert!(Instant::now() < deadline, "{} cannot be had again: {error}", self.address),
            }
            thread::sleep(Duration::from_millis(50));
        };
        self.shared.up.store(true, SeqCst);
        let served = Arc::clone(&self.shared);
        self.listener = Some(thread::spawn(move || accept(&served, &listener)));
    }

    /// No more faults.
    pub(crate) fn behave(&self) {
        self.shared.honest.store(true, SeqCst);
    }

    /// Requests that arrived so far, taken or not.
    pub(crate) fn requests(&self) -> u64 {
        self.shared.requests.load(SeqCst)
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.shared.book)
    }

    /// For the writers, who rotate by copytruncate only what has arrived.
    pub(crate) fn witness(&self) -> impl Fn(Stamp) -> bool + Send + 'static {
        let shared = Arc::clone(&self.shared);
        move |stamp| lock(&shared.book).delivered.contains(&stamp)
    }
}

fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    listener.set_nonblocking(true).unwrap();
    while shared.up.load(SeqCst) {
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(Duration::from_millis(2));
            continue;
        };
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        lock(&shared.open).push(stream.try_clone().unwrap());
        let shared = Arc::clone(shared);
        // Ends with its connection; an agent that was killed ends it as well.
        thread::spawn(move || while serve(&shared, &stream).is_ok_and(|goes_on| goes_on) {});
    }
}

/// One request; false when the connection is over.
fn serve(shared: &Shared, stream: &TcpStream) -> io::Result<bool> {
    let Some((head, body)) = request(stream)? else { return Ok(false) };
    shared.requests.fetch_add(1, SeqCst);
    if !shared.up.load(SeqCst) {
        return Ok(false);
    }
    let deed = shared.deed();
    let answer = |status: &str, more: &str| format!("HTTP/1.1 {status}\r\n{more}content-length: 0\r\n\r\n");
    let whole = answer("200 OK", "");
    match deed {
        Deed::Refuse(_, status, more) => {
            (&mut &*stream).write_all(answer(status, more).as_bytes())?;
            return Ok(true);
        }
        Deed::Reset => return reset(stream),
        Deed::Take | Deed::TakeSlowly(_) | Deed::TakeAndReset | Deed::TakeAndHalfAnswer => {}
    }
    let number = shared.take(&head, &body);
    match deed {
        Deed::TakeAndReset => return reset(stream),
        Deed::TakeSlowly(time) => {
            thread::sleep(time);
            (&mut &*stream).write_all(whole.as_bytes())?;
        }
        Deed::TakeAndHalfAnswer => {
            (&mut &*stream).write_all(&whole.as_bytes()[..whole.len() / 3])?;
            stream.shutdown(Shutdown::Both)?;
            return Ok(false);
        }
        _ => (&mut &*stream).write_all(whole.as_bytes())?,
    }
    lock(&shared.book).taken[number].answered = true;
    Ok(true)
}

/// Head and body of the next request; `None` at the end.
fn request(stream: &TcpStream) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line.to_lowercase());
    }
    let mut body = vec![0; number(&head, "content-length: ") as usize];
    reader.read_exact(&mut body)?;
    Ok(Some((head, body)))
}

/// The value of a header that is a number.
fn number(head: &str, name: &str) -> u32 {
    let value = head.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name}: {head}"))
}

/// Ends the connection with a RST, so that an answer that is under way is lost as well.
fn reset(stream: &TcpStream) -> io::Result<bool> {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?;
    stream.shutdown(Shutdown::Both)?;
    Ok(false)
}

impl Shared {
    fn deed(&self) -> Deed {
        if self.honest.load(SeqCst) {
            return Deed::Take;
        }
        let mut dice = lock(&self.dice);
        let mut deed = match dice.roll(100) {
            0..8 => Deed::Refuse("429", "429 Too Many Requests", "retry-after: 0\r\n"),
            8..10 => Deed::Refuse("429", "429 Too Many Requests", "retry-after: 1\r\n"),
            10..18 => Deed::Refuse("503", "503 Service Unavailable", "retry-after: 0\r\n"),
            18..20 => Deed::Refuse("503", "503 Service Unavailable", ""),
            20..30 => Deed::TakeAndReset,
            30..33 => Deed::TakeAndHalfAnswer,
            33..37 => Deed::Reset,
            37..47 => Deed::TakeSlowly(Duration::from_millis(20 + dice.roll(400))),
            _ => Deed::Take,
        };
        if matches!(deed, Deed::Refuse("429", ..)) {
            if self.limited.fetch_add(1, SeqCst) >= 3 {
                deed = Deed::Take;
            }
        } else {
            self.limited.store(0, SeqCst);
        }
        let name = match deed {
            Deed::Take => return deed,
            Deed::TakeSlowly(_) => "answered slowly",
            Deed::TakeAndReset => "taken, then reset",
            Deed::TakeAndHalfAnswer => "taken, half an answer",
            Deed::Reset => "reset",
            Deed::Refuse(name, ..) => name,
        };
        *lock(&self.book).faults.entry(name).or_default() += 1;
        deed
    }

    fn take(&self, head: &str, body: &[u8]) -> usize {
        assert!(head.starts_with("post /v1/logs "), "{head}");
        assert!(head.contains("content-encoding: zstd"), "{head}");
        let (stamps, malformed) = read(&zstd::decode_all(body).expect("zstd"));
        let life = number(head, "x-life: ");
        let mut book = lock(&self.book);
        book.delivered.extend(stamps.iter().copied());
        book.taken.push(Taken { body: xxh3_128(body), stamps, malformed, life, answered: false });
        book.taken.len() - 1
    }
}

/// The stamps of all lines of a request, and how many were none.
pub(crate) fn read(raw: &[u8]) -> (Vec<Stamp>, u64) {
    let request = ExportLogsServiceRequest::decode(raw).expect("an export request");
    let records = request.resource_logs.into_iter().flat_map(|logs| logs.scope_logs).flat_map(|logs| logs.log_records);
    let (mut stamps, mut malformed) = (Vec::new(), 0);
    for record in records {
        let stamp = match record.body.and_then(|body| body.value) {
            Some(Value::StringValue(text)) => writer::stamp(&text).ok_or(text),
            other => Err(format!("{other:?}")),
        };
        match stamp {
            Ok(stamp) => stamps.push(stamp),
            Err(text) => {
                eprintln!("malformed: {text:?}");
                malformed += 1;
            }
        }
    }
    (stamps, malformed)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}
