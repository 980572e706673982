//! The send loop, one for each destination and signal: takes the next frame, sends it until it is answered, goes on.
//!
//! It alone waits, counts, moves the cursor and writes to the board; transports only send, `plan.rs` only decides.
//! One request is in flight at a time: a younger frame before an older one would make the destination refuse the older.

use std::sync::Arc;
use std::time::Duration;

use super::answer::{Answer, Request, Transport, shown};
use super::pace::Pace;
use super::plan::{Part, Plan, Step, Tally};
use crate::base::backoff::Backoff;
use crate::base::clock::unix_nanos;
use crate::base::stop::Stop;
use crate::signal::frame::{Codec, Signal};
use crate::signal::pack::{Packer, unpack};
use crate::spool::{Cursor, SpoolError, Stored};
use crate::status::{Board, Destination};
use bytes::Bytes;

#[cfg(test)]
mod tests;

/// What one loop needs.
pub(super) struct Sender {
    name: String,
    signal: Signal,
    transport: Arc<dyn Transport>,
    board: Board,
    entry: Arc<Destination>,
    backoff: Backoff,
    stop: Stop,
    pace: Pace,
    /// The first frame may have been sent by an earlier run, just before it ended.
    first: bool,
}

impl Sender {
    pub(super) fn new(name: &str, signal: Signal, transport: Arc<dyn Transport>, board: &Board, stop: Stop) -> Self {
        Self {
            name: name.to_owned(),
            signal,
            transport,
            board: board.clone(),
            entry: board.destination(name, signal),
            backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT, seed(name, signal)),
            stop,
            pace: Pace::default(),
            first: true,
        }
    }

    /// Sends until it is stopped or the destination is removed.
    pub(super) async fn run(mut self, mut cursor: Cursor) {
        loop {
            self.look(&cursor);
            // The wait is cut short for the board's sake alone.
            match tokio::time::timeout(TURN, cursor.next(&self.stop)).await {
                Err(_) => {}
                Ok(Ok(None)) => return,
                Ok(Ok(Some(stored))) => match self.deliver(&mut cursor, stored).await {
                    Ok(()) => {}
                    Err(Ended) => return,
                },
                Ok(Err(error)) => {
                    let wait = self.backoff.next_delay();
                    if self.spool_failed(&error) || self.wait(&cursor, wait).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Sends one frame until each of its records is answered, and moves the cursor behind it.
    async fn deliver(&mut self, cursor: &mut Cursor, stored: Stored) -> Result<(), Ended> {
        let Stored { number, header, payload, .. } = stored;
        let records = u64::from(header.records);
        let plan = Plan::new(self.signal, header.codec, payload, records, std::mem::take(&mut self.first));
        let mut plan = plan.of_one_time(self.signal == Signal::Metrics && header.times.0 == header.times.1);
        let mut any = false;
        while let Some(part) = plan.part() {
            let answer = self.attempt(part).await?;
            let step = plan.answered(&answer, self.pace.now());
            let tally = plan.take_tally();
            any |= tally.taken > 0;
            self.told(&answer, step, tally.taken > 0);
            self.count(tally);
            let wait = match step {
                Step::Go => continue,
                Step::Backoff => self.backoff.next_delay(),
                Step::After(time) => time,
            };
            self.wait(cursor, wait).await?;
            // A full spool may have dropped and counted it meanwhile.
            match cursor.next(&self.stop).await {
                Ok(Some(stored)) if stored.number == number => {}
                Ok(None) => return Err(Ended),
                Ok(Some(_)) | Err(_) => return Ok(()),
            }
        }
        if !any {
            // Refused as a whole: nothing waits, and yet nothing arrives.
            self.failing();
        }
        self.finish(cursor, number).await
    }

    /// One request and its answer.
    async fn attempt(&mut self, part: &mut Part) -> Result<Answer, Ended> {
        let codec = self.transport.codec(self.signal);
        if part.codec != codec {
            match transcode(part.payload.clone(), part.codec, codec).await {
                Ok(payload) => (part.payload, part.codec) = (payload, codec),
                Err(why) => return Ok(Answer::Refused { why: format!("the frame cannot be opened: {why}") }),
            }
        }
        let request = Request { signal: self.signal, codec, body: part.payload.clone() };
        self.entry.bytes.add(request.body.len() as u64);
        self.entry.next_try.set(0);
        self.entry.turned.set(unix_nanos());
        let stopped = async {
            self.stop.wait().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            answer = self.transport.send(&request) => Ok(answer),
            () = stopped => Err(Ended),
        }
    }

    /// Writes an answer on the board. A refusal or a part that is halved says neither that the destination is well nor
    /// that it is away.
    fn told(&mut self, answer: &Answer, step: Step, taken: bool) {
        let now = unix_nanos();
        self.entry.turned.set(now);
        if step != Step::Go || !matches!(answer, Answer::Taken { .. }) {
            self.entry.last_error.set(now);
        }
        self.entry.answer.set(shown(answer.words()));
        if taken {
            self.backoff.reset();
            if self.entry.failing_since.get() > 0 {
                self.entry.failing_since.set(0);
                tracing::info!(destination = self.name, signal = %self.signal, answer = self.entry.answer.get(), "destination takes again");
            }
        } else if step != Step::Go {
            self.entry.retries.add(1);
            self.failing();
        }
    }

    fn failing(&self) {
        if self.entry.failing_since.get() == 0 {
            self.entry.failing_since.set(unix_nanos());
            tracing::warn!(destination = self.name, signal = %self.signal, answer = self.entry.answer.get(), "destination takes nothing");
        }
    }

    fn count(&self, tally: Tally) {
        if tally.taken > 0 {
            self.entry.records.add(tally.taken);
            self.entry.last_success.set(unix_nanos());
        }
        for lost in tally.lost {
            self.entry.refused.add(lost.records);
            self.board.lost(&format!("export {}", self.name), lost.reason, lost.records, lost.hint);
        }
    }

    /// The frame is answered; until the cursor says so on disk, nothing else is sent.
    async fn finish(&mut self, cursor: &mut Cursor, number: u64) -> Result<(), Ended> {
        while let Err(error) = cursor.done(number).await {
            let wait = self.backoff.next_delay();
            if self.spool_failed(&error) {
                return Err(Ended);
            }
            self.wait(cursor, wait).await?;
        }
        self.backoff.reset();
        self.entry.frames.add(1);
        self.look(cursor);
        Ok(())
    }

    /// True when there is nothing to go on with.
    fn spool_failed(&self, error: &SpoolError) -> bool {
        self.entry.answer.set(shown(&error.to_string()));
        self.entry.last_error.set(unix_nanos());
        matches!(error, SpoolError::Removed)
    }

    /// Waits for `time`, and shows meanwhile that the loop turns.
    async fn wait(&self, cursor: &Cursor, time: Duration) -> Result<(), Ended> {
        let due = self.pace.now() + time;
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.entry.next_try.set(unix_nanos().saturating_add(nanos));
        loop {
            self.look(cursor);
            let left = due.saturating_duration_since(self.pace.now());
            if left.is_zero() {
                return Ok(());
            }
            if self.pace.sleep(left.min(TURN), &self.stop).await {
                return Err(Ended);
            }
        }
    }

    /// Writes what waits on the board.
    fn look(&self, cursor: &Cursor) {
        let backlog = cursor.backlog();
        self.entry.backlog_frames.set(backlog.frames);
        self.entry.backlog_bytes.set(backlog.bytes);
        self.entry.oldest.set(backlog.oldest);
        self.entry.turned.set(unix_nanos());
    }
}

/// The loop was stopped, or its destination is gone.
#[derive(Debug)]
struct Ended;

/// Off the runtime's threads: a frame takes some milliseconds.
async fn transcode(payload: Bytes, from: Codec, to: Codec) -> Result<Bytes, String> {
    let work = move || {
        let raw = unpack(from, &payload)?;
        if to == Codec::Identity { Ok(raw) } else { Packer::new()?.pack(to, &raw) }
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(packed)) => Ok(packed.into()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Differs by process, destination and signal, so that no two come back together.
fn seed(name: &str, signal: Signal) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (name, signal, std::process::id(), unix_nanos()).hash(&mut hasher);
    hasher.finish()
}

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The board is never older than this.
const TURN: Duration = Duration::from_secs(10);
/// A request that is on its way when the agent stops may still be answered.
const GRACE: Duration = Duration::from_secs(5);
