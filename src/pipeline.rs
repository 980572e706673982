//! The one call that takes telemetry in: redact, bound and derive before ([`treatment`]), then store and spool.
//!
//! [`Pipeline::push`] is a plain call with a plain answer. `Ok`: the frame survives a crash of the process, and
//! after at most `spool.fsync` a power cut. `Full` is the backpressure: the caller stops reading, and what it reads
//! from is the buffer. Metrics are never refused: their spool drops its oldest frame and counts it, and the newest
//! round is in the store in any case, so that the box is never blind because the stack is down.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::signal::frame::{Codec, Frame, Position, Signal};
use crate::signal::logs::LogBatch;
use crate::signal::metrics::Samples;
use crate::signal::pack::Packer;
use crate::signal::resource::Resource;
use crate::spool::{AppendError, Spool};
use crate::status::Board;
use crate::store::latest::Latest;

pub mod config;
pub mod derive;
pub mod limit;
pub mod redact;
pub mod treatment;

pub use treatment::Treatment;

/// Why a frame was not taken. The caller keeps it and tries again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The slowest destination is `spool.size` behind.
    #[error("the spool is full")]
    Full,
    /// The spool cannot be written; names the fault.
    #[error("cannot write to the spool: {0}")]
    Disk(String),
}

/// Where all telemetry goes in. Clones share it.
#[derive(Clone)]
pub struct Pipeline {
    inner: Arc<Inner>,
}

struct Inner {
    logs: Spool,
    metrics: Spool,
    latest: Latest,
    packer: Mutex<Packer>,
    /// The newest time stamp of each resource that metrics came from.
    times: Mutex<HashMap<Arc<Resource>, u64>>,
    board: Board,
}

/// Resources whose newest time stamp is known.
const MAX_RESOURCES: usize = 10_000;

impl Pipeline {
    /// Over the spools of the two signals.
    pub fn new(logs: Spool, metrics: Spool, latest: Latest, board: Board) -> io::Result<Self> {
        let packer = Mutex::new(Packer::new()?);
        let times = Mutex::new(HashMap::new());
        Ok(Self { inner: Arc::new(Inner { logs, metrics, latest, packer, times, board }) })
    }

    /// Takes a frame of logs or metrics.
    pub fn push(&self, frame: &Frame) -> Result<(), PushError> {
        let spool = match frame.signal {
            Signal::Logs => &self.inner.logs,
            Signal::Metrics => &self.inner.metrics,
            Signal::Traces => return Err(PushError::Disk("no spool for traces in this version".into())),
        };
        match spool.append(frame) {
            Ok(_) => Ok(()),
            Err(AppendError::Full) => Err(PushError::Full),
            Err(AppendError::Disk(error)) => Err(PushError::Disk(error.to_string())),
        }
    }

    /// Takes one round of one source. The store always takes it; an error says that it will not be delivered.
    pub fn push_samples(
        &self,
        source: &str,
        resource: &Arc<Resource>,
        samples: &Samples,
        start: u64,
        nanos: u64,
    ) -> Result<(), PushError> {
        let nanos = self.rising(resource, nanos);
        if !self.inner.latest.put(source, resource, samples, nanos) {
            let hint = format!("the newest round of {source} has no room in /metrics");
            self.inner.board.lost("store", "latest_full", 1, hint);
        }
        let sealed = samples.seal(resource, (start.min(nanos), nanos), Codec::Gzip, |raw| {
            lock(&self.inner.packer).pack(Codec::Gzip, raw)
        });
        let pushed = match sealed {
            Ok(None) => return Ok(()),
            Ok(Some(frame)) => self.push(&frame),
            Err(error) => Err(PushError::Disk(error.to_string())),
        };
        if let Err(error) = &pushed {
            let hint = format!("the round of {source} will not be delivered: {error}");
            self.inner.board.lost("pipeline", "points_not_spooled", samples.samples().len() as u64, hint);
        }
        pushed
    }

    /// A series' time never goes back, so that the repeat of a frame is always its newest sample.
    fn rising(&self, resource: &Arc<Resource>, nanos: u64) -> u64 {
        let mut times = lock(&self.inner.times);
        if times.len() >= MAX_RESOURCES && !times.contains_key(resource) {
            times.clear();
        }
        let newest = times.entry(Arc::clone(resource)).or_insert(0);
        *newest = nanos.max(newest.saturating_add(1_000_000));
        *newest
    }

    /// Ends a batch of log records and compresses it. The batch keeps its content until it is cleared.
    pub fn seal(&self, batch: &mut LogBatch) -> io::Result<Frame> {
        let mut packer = lock(&self.inner.packer);
        batch.seal(Codec::Zstd, |raw| packer.pack(Codec::Zstd, raw))
    }

    /// How far each log source was read when the newest frame was taken.
    pub fn log_positions(&self) -> Vec<Position> {
        self.inner.logs.positions()
    }

    /// The newest round of each source.
    pub fn latest(&self) -> &Latest {
        &self.inner.latest
    }

    /// Makes everything durable; nothing is pushed after.
    pub fn close(&self) {
        self.inner.logs.close();
        self.inner.metrics.close();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
