//! Sends what the spool holds to its destinations.
//!
//! One task for each destination and signal (`send.rs`) pulls frames through its own cursor, so that a destination
//! that is down delays no other. A transport (`http.rs`, `grpc.rs`) only sends and says what the answer means
//! (`answer.rs`); what follows from an answer is decided in `plan.rs`.

use std::fmt;
use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::base::stop::Stop;
use crate::signal::frame::{Codec, Signal};
use crate::signal::pack::Packer;
use crate::spool::{Cursor, WhenFull};
use crate::status::Board;
use answer::{Answer, Request, Transport};
use config::Compression;

mod answer;
mod body;
pub mod config;
mod grpc;
mod headers;
mod http;
mod pace;
mod plan;
mod refusal;
mod send;

/// A destination whose settings are checked and whose secrets are read. Clones share its connections.
#[derive(Clone)]
pub struct Prepared {
    name: String,
    signals: Vec<Signal>,
    when_full: WhenFull,
    transport: Arc<dyn Transport>,
}

/// Checks a destination and reads its secrets and certificates; connects nowhere yet.
///
/// # Errors
/// Something cannot be read or does not fit; names the destination and the key.
pub fn prepare(name: &str, config: &config::Destination) -> Result<Prepared, String> {
    let otlp = config.otlp();
    let (kind, transport) = match config {
        config::Destination::OtlpHttp(_) => {
            ("otlp_http", http::Http::new(otlp).map(|http| Arc::new(http) as Arc<dyn Transport>))
        }
        config::Destination::OtlpGrpc(_) => {
            ("otlp_grpc", grpc::Grpc::new(otlp).map(|grpc| Arc::new(grpc) as Arc<dyn Transport>))
        }
    };
    let transport = transport.map_err(|error| format!("destinations.{name}.{kind}: {error}"))?;
    let when_full = match otlp.when_full {
        config::WhenFull::Block => WhenFull::Block,
        config::WhenFull::DropOldest => WhenFull::DropOldest,
    };
    Ok(Prepared { name: name.to_owned(), signals: otlp.signals.clone(), when_full, transport })
}

impl Prepared {
    /// What is sent there.
    pub fn signals(&self) -> &[Signal] {
        &self.signals
    }

    /// What the spool does when this destination is too far behind.
    pub fn when_full(&self) -> WhenFull {
        self.when_full
    }

    /// Sends an empty request of `signal`: the answer in short.
    ///
    /// # Errors
    /// Why the destination takes nothing now, with what to do where that is known.
    pub async fn try_out(&self, signal: Signal) -> Result<String, String> {
        let codec = self.transport.codec(signal);
        let body = Packer::new().and_then(|mut packer| packer.pack(codec, &[])).map_err(|error| error.to_string())?;
        match self.transport.send(&Request { signal, codec, body: body.into() }).await {
            Answer::Taken { message, .. } => Ok(message),
            Answer::Refused { why } if why.contains(EMPTY) => Ok("it understood an empty request".into()),
            answer => Err(answer.words().to_owned()),
        }
    }

    /// Starts to send one signal from `cursor`. The task ends when it is stopped (a request on its way gets five
    /// seconds) or when its destination is removed from the spool.
    pub fn start(self, signal: Signal, cursor: Cursor, board: &Board, stop: Stop) -> JoinHandle<()> {
        let sender = send::Sender::new(&self.name, signal, self.transport, board, stop);
        tokio::spawn(sender.run(cursor))
    }
}

/// Loki's words for a request without lines.
const EMPTY: &str = "at least one valid stream is required";

impl fmt::Debug for Prepared {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Prepared").field("name", &self.name).field("signals", &self.signals).finish_non_exhaustive()
    }
}

/// What frames lie in (logs and traces zstd, metrics gzip), unless the config says otherwise.
fn codec(compression: Compression, signal: Signal) -> Codec {
    match (compression, signal) {
        (Compression::Auto, Signal::Metrics) | (Compression::Gzip, _) => Codec::Gzip,
        (Compression::Auto, Signal::Logs | Signal::Traces) | (Compression::Zstd, _) => Codec::Zstd,
        (Compression::None, _) => Codec::Identity,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::export::config::{Destination, Otlp};
    use crate::signal::frame::Frame;
    use crate::spool::{Limits, Spool, disk::RealDisk};

    #[test]
    fn what_does_not_fit_is_told_with_the_destination_and_the_key() {
        let token = Some(crate::base::secret::Secret::Env("PLIMSOLL_NOT_SET".into()));
        let otlp = Otlp { endpoint: "http://loki:3100/otlp".into(), token, ..Otlp::default() };
        for (kind, config) in
            [("otlp_http", Destination::OtlpHttp(otlp.clone())), ("otlp_grpc", Destination::OtlpGrpc(otlp))]
        {
            let error = prepare("loki", &config).unwrap_err();
            assert!(error.starts_with(&format!("destinations.loki.{kind}: token: ")), "{error}");
        }
    }

    /// Refuses the first connection's request, takes all others.
    fn server() -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let _read = stream.read(&mut [0; 65536]).is_ok();
                let status = if number == 0 { "503 Service Unavailable" } else { "204 No Content" };
                let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
                let _gone = stream.write_all(head.as_bytes()).is_err();
            }
        });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn a_frame_of_the_spool_arrives_though_the_first_try_fails() {
        let dir = tempfile::tempdir().unwrap();
        let board = Board::new();
        let hour = Duration::from_secs(3600);
        let limits = Limits { undelivered: 1 << 30, fsync: hour, retain_bytes: 0, retain_time: Duration::ZERO };
        let spool = Spool::open(Arc::new(RealDisk), dir.path().join("logs"), Signal::Logs, limits, &board).unwrap();
        let otlp = Otlp { endpoint: server(), signals: vec![Signal::Logs], ..Otlp::default() };
        let prepared = prepare("loki", &Destination::OtlpHttp(otlp)).unwrap();
        assert_eq!(prepared.signals(), [Signal::Logs]);
        let cursor = spool.cursor("loki", prepared.when_full()).unwrap();
        let stop = Stop::new();
        let task = prepared.start(Signal::Logs, cursor, &board, stop.clone());
        let raw = plan::tests::logs(3);
        let frame = Frame {
            signal: Signal::Logs,
            codec: Codec::Zstd,
            payload: Packer::new().unwrap().pack(Codec::Zstd, &raw).unwrap(),
            raw_len: raw.len() as u64,
            records: 3,
            times: (1, 2),
            charge: 1,
            services: Vec::new(),
            positions: Vec::new(),
        };
        spool.append(&frame).unwrap();
        let entry = board.destination("loki", Signal::Logs);
        let deadline = Instant::now() + Duration::from_secs(20);
        while entry.frames.get() == 0 {
            assert!(Instant::now() < deadline, "never delivered: {}", entry.answer.get());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!((entry.records.get(), entry.retries.get(), entry.answer.get()), (3, 1, "204".into()));
        stop.set();
        task.await.unwrap();
    }
}
