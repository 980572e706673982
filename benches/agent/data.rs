//! The logs that are read: three formats, made once and kept.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// Lines of an application, taken as they are.
    Text,
    /// JSON objects of 243 bytes, parsed to attributes.
    Json,
    /// nginx's combined format, parsed to attributes.
    Nginx,
}

impl Case {
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "text" => Self::Text,
            "json" => Self::Json,
            "nginx" => Self::Nginx,
            _ => panic!("--cases {name}: text, json or nginx"),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Nginx => "nginx",
        }
    }
}

/// A file of logs.
pub(crate) struct Data {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) lines: u64,
}

/// The file of `case` with at least `size` bytes, made when there is none.
pub(crate) fn file(folder: &Path, case: Case, size: u64) -> Data {
    let path = folder.join(format!("{}-{}MiB.log", case.name(), size >> 20));
    if !path.exists() {
        let half = folder.join("half");
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&half).expect("a file"));
        let (mut written, mut number, mut line) = (0, 0, String::new());
        while written < size {
            line.clear();
            write(case, number, &mut line);
            out.write_all(line.as_bytes()).expect("room on the disk");
            written += line.len() as u64;
            number += 1;
        }
        out.into_inner().expect("room on the disk").sync_all().expect("the disk");
        fs::rename(half, &path).expect("the file");
    }
    // Reading also brings it into the page cache.
    let mut reader = BufReader::with_capacity(1 << 20, File::open(&path).expect("the file"));
    let mut lines = 0;
    loop {
        let piece = reader.fill_buf().expect("the file");
        if piece.is_empty() {
            break;
        }
        lines += memchr::memchr_iter(b'\n', piece).count() as u64;
        let len = piece.len();
        reader.consume(len);
    }
    let bytes = fs::metadata(&path).expect("the file").len();
    Data { path, bytes, lines }
}

/// Mixes a number well (splitmix64), so that values vary as they do in real logs and the files are always the same.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn write(case: Case, number: u64, out: &mut String) {
    use std::fmt::Write;
    let dice = mix(number);
    let pick = |list: &[&'static str], shift: u32| list[(dice >> shift) as usize % list.len()];
    let (method, path) = (pick(METHODS, 3), pick(PATHS, 9));
    let status = if dice.is_multiple_of(50) { 502 } else { 200 };
    let (second, milli) = (number / 2000 % 60, number / 2 % 1000);
    let minute = number / 120_000 % 60;
    match case {
        Case::Text => writeln!(
            out,
            "2026-03-01 12:{minute:02}:{second:02},{milli:03} INFO  [worker-{}] c.s.o.OrderService - {} order {} for customer {} in {} ms (cart {:016x})",
            dice % 16,
            pick(MESSAGES, 17),
            dice % 1_000_000,
            (dice >> 20) % 50_000,
            (dice >> 40) % 900,
            dice,
        ),
        Case::Json => {
            let start = out.len();
            write!(
                out,
                r#"{{"time":"2026-03-01T12:{minute:02}:{second:02}.{milli:03}Z","level":"info","msg":"{}","method":"{method}","path":"{path}","status":{status},"latency_ms":{}.{},"user_id":{},"trace_id":"{:016x}{:016x}","note":""#,
                pick(MESSAGES, 17),
                (dice >> 40) % 900,
                dice % 10,
                (dice >> 20) % 50_000,
                dice,
                mix(dice),
            )
            .and_then(|()| {
                // Filled up to 243 bytes with the line feed.
                let mut room = 240 - (out.len() - start);
                while room > 0 {
                    let word = &WORDS[(mix(dice ^ room as u64) % WORDS.len() as u64) as usize];
                    let word = &word[..word.len().min(room)];
                    out.push_str(word);
                    room -= word.len();
                }
                out.write_str("\"}\n")
            })
        }
        Case::Nginx => writeln!(
            out,
            "10.{}.{}.{} - - [01/Mar/2026:12:{minute:02}:{second:02} +0000] \"{method} {path}?page={} HTTP/1.1\" {status} {} \"https://shop.example/cart\" \"{}\"",
            dice % 4,
            (dice >> 8) % 256,
            (dice >> 16) % 256,
            (dice >> 24) % 90,
            (dice >> 32) % 90_000,
            pick(BROWSERS, 45),
        ),
    }
    .expect("a string takes everything");
}

const METHODS: &[&str] = &["GET", "GET", "GET", "POST", "PUT"];
const PATHS: &[&str] = &["/api/v1/orders", "/api/v1/carts", "/products/list", "/login", "/static/app.js"];
const MESSAGES: &[&str] = &["request served", "order placed", "payment taken", "stock reserved", "cart updated"];
const WORDS: &[&str] = &["blue ", "large ", "gift ", "express ", "coupon ", "return ", "summer ", "b2b "];
const BROWSERS: &[&str] = &[
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    "curl/8.5.0",
];
