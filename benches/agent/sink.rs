//! Takes everything and answers 200 at once: HTTP with a length, or lines over plain TCP.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Instant;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;

#[derive(Default)]
struct Got {
    latest: Option<Instant>,
    /// Compressed OTLP requests, which are counted after the run.
    packed: Vec<(String, Vec<u8>)>,
    lines: u64,
}

/// A sink with one port for HTTP and one for plain TCP.
pub(crate) struct Sink {
    pub(crate) http: SocketAddr,
    pub(crate) tcp: SocketAddr,
    got: Arc<Mutex<Got>>,
}

impl Sink {
    pub(crate) fn start() -> Self {
        let got = Arc::new(Mutex::new(Got::default()));
        let listen = |serve: fn(TcpStream, &Mutex<Got>) -> io::Result<()>| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("its address");
            let got = Arc::clone(&got);
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let got = Arc::clone(&got);
                    // A connection that breaks is the agent's matter: its lines will be missing.
                    thread::spawn(move || serve(stream, &got).ok());
                }
            });
            address
        };
        let (http, tcp) = (listen(http), listen(tcp));
        Self { http, tcp, got }
    }

    /// When something came last.
    pub(crate) fn latest(&self) -> Option<Instant> {
        lock(&self.got).latest
    }

    /// Lines that came.
    pub(crate) fn lines(&self) -> u64 {
        let got = lock(&self.got);
        got.lines + got.packed.iter().map(|(codec, body)| records(codec, body)).sum::<u64>()
    }
}

fn http(stream: TcpStream, got: &Mutex<Got>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(256 << 10, stream.try_clone()?);
    let mut answer = stream;
    loop {
        let (mut length, mut codec, mut waits, mut otlp) = (0, String::new(), false, false);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            let line = line.trim_end().to_ascii_lowercase();
            match line.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().expect("a length"),
                Some(("content-encoding", value)) => codec = value.to_owned(),
                Some(("content-type", value)) => otlp = value == "application/x-protobuf",
                Some(("expect", _)) => waits = true,
                Some(("transfer-encoding", _)) => panic!("a body without a length"),
                _ => {}
            }
        }
        if waits {
            answer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        answer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
        let mut got = lock(got);
        got.latest = Some(Instant::now());
        if otlp {
            got.packed.push((codec, body));
        } else {
            // The last line of a request has no line feed.
            let ends = memchr::memchr_iter(b'\n', &body).count() as u64;
            got.lines += ends + u64::from(body.last().is_some_and(|byte| *byte != b'\n'));
        }
    }
}

fn tcp(mut stream: TcpStream, got: &Mutex<Got>) -> io::Result<()> {
    let mut piece = vec![0; 256 << 10];
    loop {
        let len = stream.read(&mut piece)?;
        if len == 0 {
            return Ok(());
        }
        let mut got = lock(got);
        got.latest = Some(Instant::now());
        got.lines += memchr::memchr_iter(b'\n', &piece[..len]).count() as u64;
    }
}

fn records(codec: &str, body: &[u8]) -> u64 {
    let raw = match codec {
        "zstd" => zstd::decode_all(body).expect("zstd"),
        "gzip" => {
            let mut raw = Vec::new();
            flate2::read::MultiGzDecoder::new(body).read_to_end(&mut raw).expect("gzip");
            raw
        }
        _ => body.to_vec(),
    };
    let request = ExportLogsServiceRequest::decode(raw.as_slice()).expect("an export request");
    let scopes = request.resource_logs.iter().flat_map(|logs| &logs.scope_logs);
    scopes.map(|logs| logs.log_records.len() as u64).sum()
}

fn lock(got: &Mutex<Got>) -> MutexGuard<'_, Got> {
    got.lock().expect("no panic while it was held")
}
