//! A server in this process that lies, and then tells the truth: what a broker in a bad way does to a round.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The body of an answer over HTTP, for a path; an empty one is a 404.
pub(crate) type Pages = fn(&str) -> String;

/// What it does to the requests of a round.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mood {
    /// As many bytes as are taken.
    Endless,
    /// No HTTP, no JSON.
    Garbage,
    /// JSON of other shapes.
    Odd,
    /// JSON that is no object.
    List,
    Text,
    /// The truth.
    Good,
}

/// A fake over HTTP.
pub(crate) struct Fake {
    pub(crate) port: u16,
    mood: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

const MOODS: [Mood; 6] = [Mood::Endless, Mood::Garbage, Mood::Odd, Mood::List, Mood::Text, Mood::Good];

impl Fake {
    pub(crate) fn start(pages: Pages) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mood, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (mood_of_it, counted) = (Arc::clone(&mood), Arc::clone(&asked));
        // It ends with the test program.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::Relaxed);
                let mood = MOODS[mood_of_it.load(Ordering::Relaxed)];
                std::thread::spawn(move || answer(stream, mood, pages));
            }
        });
        Self { port, mood, asked }
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.mood.store(mood as usize, Ordering::Relaxed);
    }

    /// Requests since this was asked last.
    pub(crate) fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }
}

/// Whether the other side still listens is no matter here.
fn answer(mut stream: TcpStream, mood: Mood, pages: Pages) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let head = lines.next()?.ok()?;
    while !lines.next()?.ok()?.is_empty() {}
    let path = head.split(' ').nth(1)?.to_owned();
    let good = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n";
    match mood {
        Mood::Endless => {
            stream.write_all(format!("{good}Content-Length: 2147483648\r\n\r\n[").as_bytes()).ok()?;
            for _ in 0..2048 {
                stream.write_all(&[b' '; 1 << 20]).ok()?;
            }
            Some(())
        }
        Mood::Garbage => stream.write_all(b"\0\xff\x1b[31m no HTTP at all\r\n\r\n").ok(),
        Mood::Odd => {
            let odd = r#"{"items":{"a":[null]},"page_count":"x","streams":-1,"version":7,"jetstream":{"a":1}}"#;
            stream.write_all(format!("{good}\r\n{odd}").as_bytes()).ok()
        }
        Mood::List => stream.write_all(format!("{good}\r\n[]").as_bytes()).ok(),
        Mood::Text => stream.write_all(format!("{good}\r\n\"ok\"").as_bytes()).ok(),
        Mood::Good => {
            let body = pages(&path);
            let head = if body.is_empty() { "HTTP/1.1 404 Not Found\r\nConnection: close\r\n" } else { good };
            stream.write_all(format!("{head}\r\n{body}").as_bytes()).ok()
        }
    }
}
