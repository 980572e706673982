//! What is still to be sent of one frame, and what each answer makes of it. Pure: no network, no clock.
//!
//! A frame starts as one part, as it lies. A part that is too large is halved in place, so that the order stays. A
//! part that is refused for something in it is bisected breadth first: the points of a metric frame belong to
//! different series, and so most of them arrive before the requests run out. Each record ends as taken or as refused.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::answer::{Answer, Reached};
use super::refusal;
use crate::signal::frame::{Codec, Signal};
use crate::signal::{pack, split};

#[cfg(test)]
pub(super) mod tests;

/// The way of one frame.
#[derive(Debug)]
pub(crate) struct Plan {
    signal: Signal,
    /// The first is sent next.
    parts: VecDeque<Part>,
    /// Answers to requests since the first was refused; 0 before.
    bisected: usize,
    limited: u32,
    broken_since: Option<Instant>,
    /// All records have the same time.
    one_time: bool,
    tally: Tally,
}

/// Some of a frame's records.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) payload: Bytes,
    pub(crate) codec: Codec,
    records: u64,
    halved: u32,
    /// It may have been stored by a try whose answer was lost.
    repeat: bool,
}

/// What became of records since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) taken: u64,
    pub(crate) lost: Vec<Lost>,
}

/// Records that were refused for good.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) reason: &'static str,
    pub(crate) records: u64,
    pub(crate) hint: String,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The next part, or the end.
    Go,
    /// The same part again, when the backoff says.
    Backoff,
    /// The same part again, when the destination says.
    After(Duration),
}

impl Plan {
    /// A frame as it lies. `repeat`: an earlier run may have sent it.
    pub(crate) fn new(signal: Signal, codec: Codec, payload: Bytes, records: u64, repeat: bool) -> Self {
        let whole = Part { payload, codec, records, halved: 0, repeat };
        Self {
            signal,
            parts: VecDeque::from([whole]),
            bisected: 0,
            limited: 0,
            broken_since: None,
            one_time: false,
            tally: Tally::default(),
        }
    }

    /// Whether the frame's records all have one time: what is too old for one of them then is for the others.
    pub(crate) fn of_one_time(mut self, one_time: bool) -> Self {
        self.one_time = one_time;
        self
    }

    /// What is sent next; `None` when everything is answered. Its payload may be put into another codec.
    pub(crate) fn part(&mut self) -> Option<&mut Part> {
        self.parts.front_mut()
    }

    /// What became of records since the last call.
    pub(crate) fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// The first part was answered at `now`.
    pub(crate) fn answered(&mut self, answer: &Answer, now: Instant) -> Step {
        let Some(mut part) = self.parts.pop_front() else { return Step::Go };
        if !matches!(answer, Answer::Limited { .. }) {
            self.limited = 0;
        }
        match answer {
            Answer::Taken { refused, message } => self.taken(&part, *refused, message),
            Answer::Retry { after, reached, .. } => {
                part.repeat |= *reached == Reached::Perhaps;
                self.parts.push_front(part);
                return after.map_or(Step::Backoff, Step::After);
            }
            Answer::Limited { after, .. } => {
                self.limited(part);
                return after.map_or(Step::Backoff, Step::After);
            }
            Answer::Hold { .. } => {
                self.parts.push_front(part);
                return Step::After(HOLD);
            }
            Answer::TooLarge { why } => {
                if let Err(part) = self.halve(part) {
                    let hint = format!("a single record is too large for the destination: {why}");
                    self.lose("too_large", part.records, hint);
                }
            }
            Answer::Refused { why } => self.refused(part, why),
            Answer::Broken { why } => {
                let since = *self.broken_since.get_or_insert(now);
                if self.bisected == 0 && now.duration_since(since) < BROKEN {
                    self.parts.push_front(part);
                    return Step::Backoff;
                }
                self.bisect(part, "server_error", why);
            }
        }
        Step::Go
    }

    fn taken(&mut self, part: &Part, refused: u64, message: &str) {
        self.broken_since = None;
        self.bisected += usize::from(self.bisected > 0);
        let refused = refused.min(part.records);
        self.tally.taken += part.records - refused;
        self.lose("rejected", refused, refusal::hint(self.signal, "rejected", message));
    }

    /// A request beyond the burst of a rate limit is refused each time, however long one waits.
    fn limited(&mut self, part: Part) {
        self.limited += 1;
        if self.limited < LIMITED || part.halved >= LIMITED_HALVES {
            self.parts.push_front(part);
            return;
        }
        self.limited = 0;
        if let Err(part) = self.halve(part) {
            self.parts.push_front(part);
        }
    }

    /// The part comes back when it cannot be halved.
    fn halve(&mut self, part: Part) -> Result<(), Part> {
        let Some((first, second)) = part.halves(self.signal) else { return Err(part) };
        self.parts.push_front(second);
        self.parts.push_front(first);
        Ok(())
    }

    fn refused(&mut self, part: Part, why: &str) {
        let reason = refusal::reason(self.signal, why);
        if self.one_time && refusal::speaks_of_the_bounds(why) {
            // The oldest time that Prometheus takes is the same for all series: no half would fare better.
            self.lose(reason, part.records, refusal::hint(self.signal, reason, why));
            return;
        }
        if self.signal == Signal::Metrics {
            // All or nothing: one bad point takes the others with it.
            self.bisect(part, reason, why);
            return;
        }
        // Loki stores the good ones, and says how many were not.
        let told = if self.signal == Signal::Logs { refusal::told(why) } else { None };
        let refused = told.unwrap_or(part.records).min(part.records);
        self.tally.taken += part.records - refused;
        self.lose(reason, refused, refusal::hint(self.signal, reason, why));
    }

    fn bisect(&mut self, part: Part, reason: &'static str, why: &str) {
        self.bisected += 1;
        // Each part that waits needs a request, and so do the two halves.
        if self.bisected + self.parts.len() + 2 <= MOST_REQUESTS
            && let Some((first, second)) = part.halves(self.signal)
        {
            self.parts.push_back(first);
            self.parts.push_back(second);
            return;
        }
        if part.repeat && part.records == 1 && refusal::speaks_of_a_repeat(reason) {
            // The first try was stored, its answer was lost. Of several records that were not taken apart, some may be
            // good and never stored: they count as lost, rather too many than too few.
            self.tally.taken += part.records;
            return;
        }
        self.lose(reason, part.records, refusal::hint(self.signal, reason, why));
    }

    fn lose(&mut self, reason: &'static str, records: u64, hint: String) {
        if records > 0 {
            self.tally.lost.push(Lost { reason, records, hint });
        }
    }
}

impl Part {
    /// `None` when there is nothing to halve.
    fn halves(&self, signal: Signal) -> Option<(Self, Self)> {
        let raw = pack::unpack(self.codec, &self.payload).ok()?;
        let halves = split::halve(signal, &raw).ok()??;
        let part = |payload: Vec<u8>, records| Self {
            payload: payload.into(),
            codec: Codec::Identity,
            records,
            halved: self.halved + 1,
            repeat: self.repeat,
        };
        Some((part(halves.first, halves.first_records), part(halves.second, halves.second_records)))
    }
}

/// How long to wait for somebody to mend something.
const HOLD: Duration = Duration::from_secs(60);
/// How long a failing server is given before the fault is sought in the frame.
const BROKEN: Duration = Duration::from_secs(600);
/// So many 429 in a row mean that the request is too large for the limit.
const LIMITED: u32 = 5;
/// A 64th of a frame fits any limit; below that the limit is used up by others.
const LIMITED_HALVES: u32 = 6;
/// Requests that a frame with something bad in it may cost.
const MOST_REQUESTS: usize = 64;
