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
use crate::spool::{Cursor, WhenFull};
use crate::status::Board;
use answer::Transport;
use config::Compression;

mod answer;
mod base64;
mod body;
pub mod config;
mod fault;
mod grpc;
mod headers;
mod http;
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
    let transport = transport.map_err(|error| format!("destinations.{name}.{kind}.{error}"))?;
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

    /// Starts to send one signal from `cursor`. The task ends when it is stopped (a request on its way gets five
    /// seconds) or when its destination is removed from the spool.
    pub fn start(self, signal: Signal, cursor: Cursor, board: &Board, stop: Stop) -> JoinHandle<()> {
        let sender = send::Sender::new(&self.name, signal, self.transport, board, stop);
        tokio::spawn(sender.run(cursor))
    }
}

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
