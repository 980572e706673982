//! The board of each part's health: parts write, faces (`status`, `/metrics`, the control service) read.
//!
//! Nobody asks a part how it is. A part holds its own entry, behind an `Arc`, and writes to it; the board
//! only keeps the list. Everything counted as lost stands here with a reason, so that nothing is lost in silence.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::signal::frame::Signal;

pub mod destination;
pub mod notifier;
pub mod report;
pub mod rules;
pub mod source;
pub mod spool;

pub use destination::Destination;
pub use notifier::Notifier;
pub use rules::Rules;
pub use source::Source;
pub use spool::Spool;

/// All entries. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Board {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    sources: Mutex<BTreeMap<String, Arc<Source>>>,
    destinations: Mutex<BTreeMap<(String, Signal), Arc<Destination>>>,
    spools: Mutex<BTreeMap<Signal, Arc<Spool>>>,
    rules: Arc<Rules>,
    notifiers: Mutex<BTreeMap<String, Arc<Notifier>>>,
    losses: Mutex<BTreeMap<(String, &'static str), Loss>>,
    notes: Mutex<BTreeMap<String, String>>,
}

/// Something that was lost or spoiled: how often, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Records, points, bytes or files, as the reason says.
    pub count: u64,
    /// The latest case and the mend, in plain words.
    pub hint: String,
}

/// At most this many different (part, reason) pairs; the rest is counted under one.
const MAX_LOSSES: usize = 200;

impl Board {
    /// No entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// The entry of a source, made when it is new.
    pub fn source(&self, name: &str) -> Arc<Source> {
        Arc::clone(lock(&self.shared.sources).entry(name.to_owned()).or_default())
    }

    /// Takes a source off the board.
    pub fn forget_source(&self, name: &str) {
        lock(&self.shared.sources).remove(name);
    }

    /// All sources by name.
    pub fn sources(&self) -> Vec<(String, Arc<Source>)> {
        lock(&self.shared.sources).iter().map(|(name, source)| (name.clone(), Arc::clone(source))).collect()
    }

    /// The entry of a destination's signal, made when it is new.
    pub fn destination(&self, name: &str, signal: Signal) -> Arc<Destination> {
        Arc::clone(lock(&self.shared.destinations).entry((name.to_owned(), signal)).or_default())
    }

    /// Takes a destination off the board.
    pub fn forget_destination(&self, name: &str, signal: Signal) {
        lock(&self.shared.destinations).remove(&(name.to_owned(), signal));
    }

    /// All destinations by name and signal.
    pub fn destinations(&self) -> Vec<((String, Signal), Arc<Destination>)> {
        lock(&self.shared.destinations).iter().map(|(key, entry)| (key.clone(), Arc::clone(entry))).collect()
    }

    /// The entry of a signal's spool, made when it is new.
    pub fn spool(&self, signal: Signal) -> Arc<Spool> {
        Arc::clone(lock(&self.shared.spools).entry(signal).or_default())
    }

    /// All spools.
    pub fn spools(&self) -> Vec<(Signal, Arc<Spool>)> {
        lock(&self.shared.spools).iter().map(|(signal, entry)| (*signal, Arc::clone(entry))).collect()
    }

    /// The entry of the alert rules.
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.shared.rules)
    }

    /// The entry of one who is told of alerts, made when it is new.
    pub fn notifier(&self, name: &str) -> Arc<Notifier> {
        Arc::clone(lock(&self.shared.notifiers).entry(name.to_owned()).or_default())
    }

    /// Takes a notifier off the board.
    pub fn forget_notifier(&self, name: &str) {
        lock(&self.shared.notifiers).remove(name);
    }

    /// All notifiers by name.
    pub fn notifiers(&self) -> Vec<(String, Arc<Notifier>)> {
        lock(&self.shared.notifiers).iter().map(|(name, entry)| (name.clone(), Arc::clone(entry))).collect()
    }

    /// Counts `count` things that `part` (such as `tail` or `export loki`) lost for `reason` (a short snake_case
    /// word); `hint` says the latest case and what to do.
    pub fn lost(&self, part: &str, reason: &'static str, count: u64, hint: impl Into<String>) {
        let mut losses = lock(&self.shared.losses);
        let key = (part.to_owned(), reason);
        let key =
            if losses.len() < MAX_LOSSES || losses.contains_key(&key) { key } else { ("other".to_owned(), "other") };
        let loss = losses.entry(key).or_insert_with(|| Loss { count: 0, hint: String::new() });
        loss.count += count;
        loss.hint = hint.into();
    }

    /// All losses by part and reason.
    pub fn losses(&self) -> Vec<((String, &'static str), Loss)> {
        lock(&self.shared.losses).iter().map(|(key, loss)| (key.clone(), loss.clone())).collect()
    }

    /// Sets a fault that holds until it is cleared with `None`, such as a refused config or a full disk.
    /// `topic` names the part that is at fault.
    pub fn note(&self, topic: &str, text: Option<String>) {
        let mut notes = lock(&self.shared.notes);
        match text {
            Some(text) => notes.insert(topic.to_owned(), text),
            None => notes.remove(topic),
        };
    }

    /// All standing faults by topic.
    pub fn notes(&self) -> Vec<(String, String)> {
        lock(&self.shared.notes).iter().map(|(topic, text)| (topic.clone(), text.clone())).collect()
    }
}

/// A poisoned lock still guards plain data: a thread that panicked while counting must not silence the board.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A counter or level that one part writes and faces read.
#[derive(Debug, Default)]
pub struct Cell(AtomicU64);

impl Cell {
    /// Adds.
    pub fn add(&self, value: u64) {
        self.0.fetch_add(value, Relaxed);
    }

    /// Replaces.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// Reads.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A line of text that one part writes and faces read.
#[derive(Debug, Default)]
pub struct Line(Mutex<String>);

impl Line {
    /// Replaces; an empty text clears.
    pub fn set(&self, text: impl Into<String>) {
        *lock(&self.0) = text.into();
    }

    /// Reads.
    pub fn get(&self) -> String {
        lock(&self.0).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_add_up_by_part_and_reason_and_keep_the_latest_hint() {
        let board = Board::new();
        board.lost("tail", "truncated_unread", 10, "a.log");
        board.lost("tail", "truncated_unread", 5, "b.log");
        board.lost("export loki", "too_old", 1, "");
        let losses = board.losses();
        assert_eq!(losses.len(), 2);
        assert_eq!(losses[1].1, Loss { count: 15, hint: "b.log".into() });
    }

    #[test]
    fn the_list_of_losses_is_bounded() {
        let board = Board::new();
        for part in 0..2 * MAX_LOSSES {
            board.lost(&part.to_string(), "x", 1, "");
        }
        let losses = board.losses();
        assert!(losses.len() <= MAX_LOSSES + 1);
        assert_eq!(losses.iter().map(|(_, loss)| loss.count).sum::<u64>(), 2 * MAX_LOSSES as u64);
    }

    #[test]
    fn an_entry_is_shared_between_who_writes_and_who_reads() {
        let board = Board::new();
        board.source("files").lines.add(3);
        assert_eq!(board.clone().sources()[0].1.lines.get(), 3);
    }
}
