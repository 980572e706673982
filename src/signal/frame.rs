//! A frame: one compressed OTLP export request with what the spool and the senders need to know of it.

use std::fmt;

/// The three signals of OTLP; each has a spool of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Log records.
    Logs,
    /// Metric points.
    Metrics,
    /// Spans.
    Traces,
}

impl Signal {
    /// As written in the config, on disk and in `status`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Metrics => "metrics",
            Self::Traces => "traces",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// How a payload is compressed; the names of HTTP's `Content-Encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Not at all.
    Identity,
    /// RFC 1952: what Prometheus takes, so metric frames lie in it.
    Gzip,
    /// RFC 8878: what Loki takes, and a quarter of gzip's cost, so log frames lie in it.
    Zstd,
}

/// How far a source has been read: opaque to the spool, which keeps the newest of each key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Names the source, stable over restarts (for a file: its identity).
    pub key: Box<[u8]>,
    /// What the source needs to go on; empty: forget the source.
    pub value: Box<[u8]>,
}

/// One push: a compressed OTLP export request and its description.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Which spool it goes to.
    pub signal: Signal,
    /// How `payload` is compressed.
    pub codec: Codec,
    /// The export request; empty when only positions moved.
    pub payload: Vec<u8>,
    /// Bytes of the request before compression.
    pub raw_len: u64,
    /// Log records or metric points in it.
    pub records: u32,
    /// Earliest and latest time in it, Unix nanoseconds; 0 and 0 without records.
    pub times: (u64, u64),
    /// What Loki charges for it, in bytes: body, attributes and resource attributes of each line.
    pub charge: u64,
    /// `service.name`s in it, each once.
    pub services: Vec<String>,
    /// Source positions that are as durable as the records.
    pub positions: Vec<Position>,
}
