//! What waits for one notifier, and what it was told: plain state, without time and network of its own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::waiting::{Queued, Told};
use super::{Alert, fingerprint};

/// How often the same alert is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Each time the rules offer it: Alertmanager groups and drops repeats itself, and forgets who falls silent.
    Every,
    /// People: once when it fires, again after so many milliseconds, once when it ended.
    Once {
        /// Between two messages of an alert that goes on.
        repeat: i64,
    },
}

/// The alerts of one message, each with its number.
pub(super) type Batch = Vec<(u64, Arc<Alert>)>;

/// What there is to send.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// Nothing, until something is offered.
    Idle,
    /// Something, from this moment on, Unix milliseconds: more of its kind may come before.
    At(i64),
    /// This.
    Send(Batch),
}

/// What was thrown away, and why.
pub(super) type Lost = Vec<(&'static str, u64)>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    print: Arc<str>,
    starts_at: i64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    key: Key,
    alert: Arc<Alert>,
    since: i64,
    bytes: usize,
    /// The other side failed over it alone, or over an earlier word on the same alert: it goes behind all others.
    aside: bool,
}

/// The queue of one notifier.
#[derive(Debug)]
pub(super) struct Queue {
    mode: Mode,
    entries: VecDeque<Entry>,
    bytes: usize,
    told: BTreeMap<Key, Told>,
    /// Number of the next entry.
    number: u64,
    /// Entries below this one were in the latest snapshot.
    saved: u64,
    /// Entries below this one may leave.
    released: u64,
    /// Most alerts of one message: fewer after a refusal, until the one that is refused is found.
    most: usize,
    /// How often in a row the other side failed over what stands first.
    failures: u32,
}

impl Queue {
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            mode,
            entries: VecDeque::new(),
            bytes: 0,
            told: BTreeMap::new(),
            number: 0,
            saved: 0,
            released: 0,
            most: MOST_IN_A_MESSAGE,
            failures: 0,
        }
    }

    /// Takes what the rules offer at `now`.
    pub(super) fn offer(&mut self, alert: &Arc<Alert>, now: i64) -> Lost {
        let key = Key { print: fingerprint(&alert.labels).into(), starts_at: alert.starts_at };
        if alert.bytes() > MOST_BYTES_OF_ONE {
            return vec![("too_large", 1)];
        }
        match self.mode {
            Mode::Every => {
                let found = self.entries.iter().position(|entry| entry.key == key);
                // The newer one says all that the older one said.
                self.put(found, key, alert, now);
            }
            Mode::Once { repeat } => {
                let found =
                    self.entries.iter().position(|entry| entry.key == key && entry.alert.resolved == alert.resolved);
                let told = self.told.get_mut(&key);
                if let Some(told) = told {
                    told.seen = now;
                    let repeat_is_due = now.saturating_sub(told.at) >= repeat;
                    let news = if alert.resolved { told.taken && !told.ended } else { repeat_is_due && !told.ended };
                    if !news {
                        return Vec::new();
                    }
                } else if alert.resolved && !self.entries.iter().any(|entry| entry.key == key) {
                    // Nobody was told that it fired.
                    return Vec::new();
                }
                self.put(found, key, alert, now);
            }
        }
        self.shrink()
    }

    fn put(&mut self, found: Option<usize>, key: Key, alert: &Arc<Alert>, now: i64) {
        let bytes = alert.bytes() + key.print.len();
        self.bytes += bytes;
        if let Some(entry) = found.and_then(|at| self.entries.get_mut(at)) {
            self.bytes -= entry.bytes;
            (entry.alert, entry.bytes) = (Arc::clone(alert), bytes);
            if self.mode == Mode::Every {
                // What is on its way just now is the older one.
                entry.number = self.number;
                self.number += 1;
            }
            return;
        }
        // Beginning and end of one alert stay in their order.
        let aside = self.entries.iter().any(|entry| entry.aside && entry.key.print == key.print);
        self.entries.push_back(Entry { number: self.number, key, alert: Arc::clone(alert), since: now, bytes, aside });
        self.number += 1;
    }

    fn shrink(&mut self) -> Lost {
        let mut dropped = 0;
        while self.entries.len() > MOST_WAITING || self.bytes > MOST_BYTES {
            let Some(entry) = self.entries.pop_front() else { break };
            let before = self.entries.len();
            self.bytes -= entry.bytes;
            // An end without its beginning is of no use; a firing alert is offered again in a minute.
            let freed: usize =
                self.entries.iter().filter(|other| other.key == entry.key).map(|other| other.bytes).sum();
            self.entries.retain(|other| other.key != entry.key);
            self.bytes -= freed;
            dropped += 1 + (before - self.entries.len()) as u64;
        }
        while self.told.len() > MOST_TOLD {
            let oldest = self.told.iter().min_by_key(|(_, told)| told.seen).map(|(key, _)| key.clone());
            if oldest.and_then(|key| self.told.remove(&key)).is_none() {
                break;
            }
        }
        if dropped > 0 { vec![("queue_full", dropped)] } else { Vec::new() }
    }

    /// What can be sent at `now`, when alerts wait `wait` milliseconds for others of their group.
    pub(super) fn next(&self, now: i64, wait: i64) -> Next {
        let free = |aside: bool| {
            self.entries.iter().filter(move |entry| entry.aside == aside && entry.number < self.released).peekable()
        };
        let aside = free(false).peek().is_none();
        let mut free = free(aside);
        let Some(first) = free.peek() else { return Next::Idle };
        let due = first.since.saturating_add(wait);
        // A clock that was set back must not hold a page for hours.
        if self.mode != Mode::Every && due > now && first.since <= now {
            return Next::At(due);
        }
        let group = group(&first.alert);
        let mut prints = BTreeSet::new();
        let mut batch = Batch::new();
        for entry in free {
            if self.mode != Mode::Every && self::group(&entry.alert) != group {
                continue;
            }
            // The beginning and the end of one alert, in this order, in two messages.
            if prints.insert(&entry.key.print) {
                batch.push((entry.number, Arc::clone(&entry.alert)));
            }
            if batch.len() == self.most {
                break;
            }
        }
        Next::Send(batch)
    }

    /// `batch` was taken at `now`.
    pub(super) fn delivered(&mut self, batch: &Batch, now: i64) {
        self.settle(batch, now, true);
        (self.most, self.failures) = (MOST_IN_A_MESSAGE, 0);
    }

    /// `batch` was refused for good at `now`: true when it was a single alert, which is given up; else it will be
    /// tried in halves.
    pub(super) fn refused(&mut self, batch: &Batch, now: i64) -> bool {
        if batch.len() > 1 {
            self.most = batch.len() / 2;
            return false;
        }
        self.settle(batch, now, false);
        (self.most, self.failures) = (MOST_IN_A_MESSAGE, 0);
        true
    }

    /// The other side failed over `batch`: after [`MOST_FAILURES`] in a row it will be tried in halves, until the one
    /// that it fails over is found. That one is kept, behind all others.
    pub(super) fn failed(&mut self, batch: &Batch) {
        self.failures += 1;
        let aside = |entry: &Entry| entry.aside && batch.iter().any(|(number, _)| *number == entry.number);
        if self.failures < MOST_FAILURES && !self.entries.iter().any(aside) {
            return;
        }
        match batch.as_slice() {
            [(_, alert)] => {
                self.set_aside(&fingerprint(&alert.labels));
                (self.most, self.failures) = (MOST_IN_A_MESSAGE, 0);
            }
            _ => self.most = batch.len() / 2,
        }
    }

    fn set_aside(&mut self, print: &str) {
        let (mut last, first): (VecDeque<Entry>, VecDeque<Entry>) =
            std::mem::take(&mut self.entries).into_iter().partition(|entry| &*entry.key.print == print);
        last.iter_mut().for_each(|entry| entry.aside = true);
        self.entries = first;
        self.entries.append(&mut last);
    }

    /// The names of those that the other side fails over, and whether any other may leave.
    pub(super) fn aside(&self) -> (BTreeSet<&str>, bool) {
        let aside = self.entries.iter().filter(|entry| entry.aside);
        let others = self.entries.iter().any(|entry| !entry.aside && entry.number < self.released);
        (aside.map(|entry| entry.alert.labels.get("alertname")).collect(), others)
    }

    fn settle(&mut self, batch: &Batch, now: i64, taken: bool) {
        let numbers: BTreeSet<u64> = batch.iter().map(|(number, _)| *number).collect();
        self.entries.retain(|entry| !numbers.contains(&entry.number));
        self.bytes = self.entries.iter().map(|entry| entry.bytes).sum();
        if self.mode == Mode::Every {
            return;
        }
        for (_, alert) in batch {
            let print = fingerprint(&alert.labels);
            let key = Key { print: print.as_str().into(), starts_at: alert.starts_at };
            let new = Told { print, starts_at: alert.starts_at, at: now, taken, ended: false, seen: now };
            let told = self.told.entry(key).or_insert(new);
            if alert.resolved {
                told.ended = true;
            } else {
                (told.at, told.taken) = (now, told.taken || taken);
            }
        }
        // An alert that ended is offered for a quarter of an hour, one that fires every few minutes.
        self.told.retain(|_, told| now.saturating_sub(told.seen) < if told.ended { HOUR } else { FORGET });
    }

    /// All that must be known again after a start; what is in it may leave with the next `release`.
    pub(super) fn snapshot(&mut self) -> Queued {
        self.saved = self.number;
        Queued {
            alerts: self.entries.iter().map(|entry| Alert::clone(&entry.alert)).collect(),
            told: self.told.values().cloned().collect(),
        }
    }

    /// The latest snapshot is safe.
    pub(super) fn release(&mut self) {
        self.released = self.saved;
    }

    /// Takes over what an earlier run left. It may leave at once: it stands in the file.
    pub(super) fn restore(&mut self, queued: Queued, now: i64) -> Lost {
        for mut told in queued.told {
            let key = Key { print: told.print.as_str().into(), starts_at: told.starts_at };
            // Nobody could offer it while the agent was away.
            told.seen = if told.ended { told.seen } else { now };
            self.told.insert(key, told);
        }
        for alert in queued.alerts {
            let key = Key { print: fingerprint(&alert.labels).into(), starts_at: alert.starts_at };
            // It has waited long enough for others.
            self.put(None, key, &Arc::new(alert), 0);
        }
        self.saved = self.number;
        self.released = self.number;
        self.shrink()
    }

    /// How many wait, their bytes, and since when the oldest does, Unix milliseconds.
    pub(super) fn backlog(&self) -> (usize, usize, i64) {
        (self.entries.len(), self.bytes, self.entries.iter().map(|entry| entry.since).min().unwrap_or(0))
    }
}

/// What goes in one message.
fn group(alert: &Alert) -> (&str, &str) {
    (alert.labels.get("alertname"), alert.labels.get("severity"))
}

/// Prometheus' own bounds.
pub(super) const MOST_IN_A_MESSAGE: usize = 256;
const MOST_WAITING: usize = 10_000;
const MOST_BYTES: usize = 4 << 20;
/// One with a label of a megabyte still goes.
const MOST_BYTES_OF_ONE: usize = 2 << 20;
const MOST_TOLD: usize = 20_000;
const HOUR: i64 = 3_600_000;
/// What fires and is not offered for so long is of a rule that fails, and its end is still to be told: of one that is
/// gone the end was told.
const FORGET: i64 = 7 * 24 * HOUR;
/// Failures in a row after which what is sent is looked at, and not only the other side.
const MOST_FAILURES: u32 = 5;

#[cfg(test)]
mod tests;
