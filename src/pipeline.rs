//! The one call that takes telemetry in: redact, bound and derive before ([`treatment`]), then store and spool.
//!
//! [`Pipeline::push`] is a plain call with a plain answer. `Ok`: the frame survives a crash of the process, and
//! after at most `spool.fsync` a power cut. `Full` is the backpressure: the caller stops reading, and what it reads
//! from is the buffer. Metrics are never refused: their spool drops its oldest frame and counts it, and the newest
//! round is in the store in any case, so that the box is never blind because the stack is down.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::clock::{SECOND, unix_nanos};
use crate::base::units::Dur;
use crate::signal::frame::{Codec, Frame, Position, Signal};
use crate::signal::logs::LogBatch;
use crate::signal::metrics::Samples;
use crate::signal::pack::Packer;
use crate::signal::resource::Resource;
use crate::spool::{AppendError, Spool};
use crate::status::Board;
use crate::store::latest::Latest;
use crate::store::{Labels, Sample, Store, Taken};

pub mod config;
pub mod derive;
pub mod limit;
mod recorded;
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
    store: Option<Store>,
    /// Whose the results of rules are that name nobody.
    own: Resource,
    packer: Mutex<Packer>,
    /// The newest time stamp of each resource that metrics came from.
    times: Mutex<HashMap<Arc<Resource>, u64>>,
    /// The newest of them all.
    newest: AtomicU64,
    board: Board,
}

/// A clock that is set back by less is soon where it was; rules look back as far.
const SET_BACK: Duration = Duration::from_secs(300);
/// Resources whose newest time stamp is known.
const MAX_RESOURCES: usize = 10_000;

impl Pipeline {
    /// Over the spools of the two signals, without a store.
    pub fn new(logs: Spool, metrics: Spool, latest: Latest, board: Board) -> io::Result<Self> {
        Self::over(logs, metrics, latest, None, Resource::new("plimsoll", "", &[]), board)
    }

    /// Over the spools and the store of metrics; `own` is the agent's own resource.
    pub fn over(
        logs: Spool,
        metrics: Spool,
        latest: Latest,
        store: Option<Store>,
        own: Resource,
        board: Board,
    ) -> io::Result<Self> {
        let packer = Mutex::new(Packer::new()?);
        let times = Mutex::new(HashMap::new());
        let newest = AtomicU64::new(0);
        Ok(Self { inner: Arc::new(Inner { logs, metrics, latest, store, own, packer, times, newest, board }) })
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
        self.tell_clock(nanos, unix_nanos());
        if !self.inner.latest.put(source, resource, samples, nanos) {
            let hint = format!("the newest round of {source} has no room in /metrics");
            self.inner.board.lost("store", "latest_full", 1, hint);
        }
        if let Some(store) = &self.inner.store {
            store.push(source, resource, samples, start, nanos);
        }
        let sealed = samples.seal(source, resource, (start.min(nanos), nanos), Codec::Gzip, |raw| {
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

    /// Takes what rules recorded: into the store under exactly those labels, and to the destinations of metrics. What is
    /// not newer than its series is left out of both. Of those that have another value at that time already, the first
    /// one's labels come back.
    ///
    /// # Errors
    /// As [`Pipeline::push_samples`].
    pub fn push_recorded(&self, rows: &[(Labels, Sample)]) -> Result<Option<Labels>, PushError> {
        let mut twice = None;
        let fresh = rows.iter().filter(|(labels, sample)| {
            let taken = self.inner.store.as_ref().map_or(Taken::Yes, |store| store.append(labels, *sample));
            if taken == Taken::Duplicate {
                twice.get_or_insert_with(|| labels.clone());
            }
            taken == Taken::Yes
        });
        let mut answer = Ok(());
        for (t, rows) in recorded::by_time(fresh) {
            let request = recorded::encode(&rows, t, &self.inner.own);
            if request.untold > 0 {
                let hint = format!("such as {}: no OTLP metric becomes it; rename the rule or the label", rows[0].0);
                self.inner.board.lost("pipeline", "recorded_not_sent", request.untold.into(), hint);
            }
            if request.rows > 0
                && let Err(error) = self.push_request(request, t)
            {
                let hint = format!("the results of rules will not be delivered: {error}");
                self.inner.board.lost("pipeline", "points_not_spooled", rows.len() as u64, hint);
                answer = Err(error);
            }
        }
        answer.map(|()| twice)
    }

    fn push_request(&self, request: recorded::Request, t: i64) -> Result<(), PushError> {
        let nanos = u64::try_from(t).unwrap_or(0).saturating_mul(1_000_000);
        let packed = lock(&self.inner.packer).pack(Codec::Gzip, &request.raw);
        self.push(&Frame {
            signal: Signal::Metrics,
            codec: Codec::Gzip,
            payload: packed.map_err(|error| PushError::Disk(error.to_string()))?,
            raw_len: request.raw.len() as u64,
            records: request.rows,
            times: (nanos, nanos),
            charge: 0,
            services: request.services,
            positions: Vec::new(),
        })
    }

    /// Forgets a source that is not there any more: its newest round goes, its series end.
    pub fn forget(&self, source: &str) {
        self.inner.latest.forget(source);
        if let Some(store) = &self.inner.store {
            store.gone(source, unix_nanos());
        }
    }

    /// The store of metrics, where there is one.
    pub fn store(&self) -> Option<&Store> {
        self.inner.store.as_ref()
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

    /// How far time stamps are ahead of a clock that was set back, if so far that rules see nothing.
    pub fn ahead(&self) -> Option<Duration> {
        self.ahead_of(unix_nanos())
    }

    fn ahead_of(&self, now: u64) -> Option<Duration> {
        let ahead = Duration::from_secs(self.inner.newest.load(Relaxed).saturating_sub(now) / SECOND);
        (ahead >= SET_BACK).then_some(ahead)
    }

    /// Says how far time stamps are ahead of a clock that was set back to `now`.
    fn tell_clock(&self, nanos: u64, now: u64) {
        self.inner.newest.fetch_max(nanos, Relaxed);
        let text = |ahead| {
            format!(
                "the clock was set back: what is collected has time stamps {} ahead of it, as they never go back, and \
                 rules and queries about now see nothing; when it has stood for half a minute plimsoll starts again, \
                 and they see",
                Dur(ahead)
            )
        };
        self.inner.board.note("clock", self.ahead_of(now).map(text));
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

#[cfg(test)]
mod tests;
