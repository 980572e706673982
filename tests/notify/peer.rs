//! A server that does what the test says to one request after the other, and then answers well.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// What happens to one request.
#[derive(Debug, Clone)]
pub(crate) enum Deed {
    /// This status, these headers (each with its line end), this body.
    Answer(u16, &'static str, &'static str),
    /// These bytes, and the end.
    Bytes(&'static [u8]),
    /// Nothing, until the other side has gone.
    Silence,
    /// The end, before anything was read.
    Close,
}

#[derive(Default)]
struct Book {
    deeds: VecDeque<Deed>,
    taken: Vec<Value>,
    requests: Vec<(Instant, String)>,
    fails_over: Option<&'static str>,
}

/// The server. It lives as long as the test binary.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) port: u16,
    good: &'static str,
    book: Arc<Mutex<Book>>,
}

impl Peer {
    pub(crate) fn new(deeds: &[Deed]) -> Self {
        Self::at(0, deeds, "200 OK")
    }

    /// The same at a port, with a good answer of its own.
    pub(crate) fn at(port: u16, deeds: &[Deed], good: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let book = Arc::new(Mutex::new(Book { deeds: deeds.iter().cloned().collect(), ..Book::default() }));
        let peer = Self { port: listener.local_addr().unwrap().port(), good, book };
        let server = peer.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                std::thread::spawn(move || server.serve(stream));
            }
        });
        peer
    }

    /// From now on it answers 500 to whatever has this text in it.
    pub(crate) fn fail_over(&self, text: Option<&'static str>) {
        self.book.lock().unwrap().fails_over = text;
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The bodies of the requests that were answered well.
    pub(crate) fn taken(&self) -> Vec<Value> {
        self.book.lock().unwrap().taken.clone()
    }

    /// When each request came, and its head.
    pub(crate) fn requests(&self) -> Vec<(Instant, String)> {
        self.book.lock().unwrap().requests.clone()
    }

    fn serve(&self, mut stream: TcpStream) {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let close = matches!(self.book.lock().unwrap().deeds.front(), Some(Deed::Close));
        if close {
            self.book.lock().unwrap().deeds.pop_front();
            return;
        }
        let Some((head, body)) = request(&mut stream) else { return };
        let deed = {
            let mut book = self.book.lock().unwrap();
            book.requests.push((Instant::now(), head));
            let fails = book.fails_over.is_some_and(|text| String::from_utf8_lossy(&body).contains(text));
            if fails { Some(Deed::Answer(500, "", "cannot store this")) } else { book.deeds.pop_front() }
        };
        let answer = match deed {
            Some(Deed::Silence) => {
                let _gone = stream.read(&mut [0; 1]).is_err();
                return;
            }
            Some(Deed::Close) => return,
            Some(Deed::Bytes(bytes)) => bytes.to_vec(),
            Some(Deed::Answer(status, headers, text)) => format!(
                "HTTP/1.1 {status} Fault\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{text}",
                text.len()
            )
            .into_bytes(),
            None => {
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                self.book.lock().unwrap().taken.push(body);
                format!("HTTP/1.1 {}\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok", self.good).into_bytes()
            }
        };
        // The other side may have gone.
        let _gone = stream.write_all(&answer).is_err();
    }
}

fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let (mut all, mut buffer) = (Vec::new(), [0; 65_536]);
    loop {
        if let Some(end) = all.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&all[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let length: usize = length.unwrap_or(0);
            if all.len() >= end + 4 + length {
                return Some((head, all[end + 4..].to_vec()));
            }
        }
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => all.extend_from_slice(&buffer[..read]),
            _ => return None,
        }
    }
}
