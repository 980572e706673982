//! The alerts' ledger: every activation is kept for 90 days, so that noise can be counted later.
//!
//! One file of JSON lines, each an event of one activation, appended and synced as it happens. A last line that was
//! torn by a crash is passed over. At the start, and when it grows too large, the file is written anew with one line
//! for each activation, without those that are too old.
//!
//! Alertmanager knows no acknowledgement (API v2, as of 0.34): who takes notice of an alert there silences it, and that
//! stands here, as does what inhibits it. Nobody else who is told answers who took notice, so nothing here says so.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::line::lock;
use super::{Alert, fingerprint};
use crate::store::Labels;

mod record;

pub use record::Activation;
use record::Event;

/// The ledger, open for writing.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    most_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    bytes: u64,
    /// Those that fire, by their id.
    open: BTreeMap<String, Activation>,
    /// What could not be written, until it can: told once.
    fault: Option<String>,
}

impl Ledger {
    /// Opens the file at `path`, made when it is new, and brings it in order: at most `most_bytes` large (see
    /// [`MOST_BYTES`]), nothing older than 90 days before `now` (Unix milliseconds).
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(path: &Path, most_bytes: u64, now: i64) -> io::Result<Self> {
        let activations = load(path, most_bytes)?;
        let (file, bytes) = rewrite(path, &kept(activations.clone(), most_bytes, now))?;
        let open = activations.into_iter().filter(|one| one.end.is_none()).map(|one| (one.id.clone(), one)).collect();
        Ok(Self { path: path.to_owned(), most_bytes, state: Mutex::new(State { file, bytes, open, fault: None }) })
    }

    /// `alert` of the rule `rule` fires. Once only: what is known already, also from before a restart, stays as it is.
    pub fn begin(&self, alert: &Alert, rule: &str) {
        if alert.is_heartbeat() {
            return;
        }
        let mut state = lock(&self.state);
        let id = id(alert);
        if state.open.contains_key(&id) {
            return;
        }
        let labels = shortened(&alert.labels);
        let activation = Activation::new(id.clone(), rule.to_owned(), labels, alert.starts_at, alert.value);
        self.write(&mut state, &Event::Activation(activation.clone()));
        state.open.insert(id, activation);
    }

    /// `alert` ended, at its `ends_at`. Once only.
    pub fn end(&self, alert: &Alert) {
        self.note(alert, |activation| {
            activation.end = Some(alert.ends_at);
            Some(Event::End { id: activation.id.clone(), at: alert.ends_at })
        });
    }

    /// The notifier `name` took `alert` at `now` for the first time. The line says it itself.
    pub fn delivered(&self, alert: &Alert, name: &str, now: i64) {
        if alert.resolved {
            return;
        }
        self.note(alert, |activation| {
            let new = !activation.delivered.contains_key(name) && activation.delivered.len() < MOST_NAMES;
            new.then(|| {
                activation.delivered.insert(name.to_owned(), now);
                Event::Delivered { id: activation.id.clone(), to: name.to_owned(), at: now }
            })
        });
    }

    /// Alertmanager was seen, at `now`, to hold back the alert with these labels because of the silences or
    /// inhibitions `by`; nobody does where `by` is empty.
    pub fn seen(&self, labels: &Labels, by: &[String], now: i64) {
        let print = fingerprint(labels);
        let mut state = lock(&self.state);
        let Some(activation) = state.open.values_mut().find(|one| one.id.starts_with(&print)) else { return };
        let by: Vec<String> = by.iter().take(MOST_NAMES).map(|one| one.chars().take(80).collect()).collect();
        if activation.silenced() == by.as_slice() {
            return;
        }
        activation.silence(now, by.clone());
        let event = Event::Silenced { id: activation.id.clone(), by, at: now };
        self.write(&mut state, &event);
    }

    /// Whether anything fires.
    pub fn fires(&self) -> bool {
        !lock(&self.state).open.is_empty()
    }

    /// Those that fire.
    pub fn open_ones(&self) -> Vec<Activation> {
        lock(&self.state).open.values().cloned().collect()
    }

    /// All activations that overlap the time from `from` to `to` (Unix milliseconds) and pass `want`, by their start.
    /// Reads the file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self, from: i64, to: i64, want: impl Fn(&Activation) -> bool) -> io::Result<Vec<Activation>> {
        // Nothing may be appended halfway meanwhile.
        let _state = lock(&self.state);
        let mut all = load(&self.path, self.most_bytes)?;
        all.retain(|one| one.start <= to && one.end.is_none_or(|end| end >= from) && want(one));
        Ok(all)
    }

    /// Why the latest event could not be written, if so; clears it.
    pub fn take_fault(&self) -> Option<String> {
        lock(&self.state).fault.take()
    }

    fn note(&self, alert: &Alert, change: impl FnOnce(&mut Activation) -> Option<Event>) {
        let mut state = lock(&self.state);
        let id = id(alert);
        let Some(activation) = state.open.get_mut(&id) else { return };
        let Some(event) = change(activation) else { return };
        if activation.end.is_some() {
            state.open.remove(&id);
        }
        self.write(&mut state, &event);
    }

    /// A ledger that cannot be written never keeps a page from its way.
    fn write(&self, state: &mut State, event: &Event) {
        if let Err(error) = self.append(state, event) {
            state.fault = Some(format!("cannot write the alerts' ledger {}: {error}", self.path.display()));
        }
    }

    fn append(&self, state: &mut State, event: &Event) -> io::Result<()> {
        if state.bytes > self.most_bytes {
            let now = event.at();
            // Room for as much again, else each event would write the file anew.
            let kept = kept(load(&self.path, self.most_bytes)?, self.most_bytes / 2, now);
            (state.file, state.bytes) = rewrite(&self.path, &kept)?;
        }
        let line = record::line(event)?;
        if let Err(error) = state.file.write_all(&line).and_then(|()| state.file.sync_data()) {
            // Half a line in the middle would spoil the next one too.
            let _cut = state.file.set_len(state.bytes).and_then(|()| state.file.seek(SeekFrom::End(0)).map(|_| ()));
            return Err(error);
        }
        state.bytes += line.len() as u64;
        Ok(())
    }
}

/// The name of one activation.
fn id(alert: &Alert) -> String {
    format!("{}-{}", fingerprint(&alert.labels), alert.starts_at)
}

/// A label of a megabyte has its fingerprint in the id; the ledger shows its beginning.
fn shortened(labels: &Labels) -> BTreeMap<String, String> {
    let cut = |text: &str| match text.char_indices().nth(MOST_OF_A_LABEL) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    };
    labels.iter().take(MOST_LABELS).map(|(name, value)| (cut(name), cut(value))).collect()
}

/// All activations of the file, by their start. What is no event (a torn end, garbage) is passed over.
fn load(path: &Path, most_bytes: u64) -> io::Result<Vec<Activation>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        // A little more than what is written ever is; of a larger file the end is worth nothing.
        Ok(file) => file.take(most_bytes.saturating_mul(2).saturating_add(1 << 20)).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(record::fold(&bytes))
}

fn kept(mut all: Vec<Activation>, most_bytes: u64, now: i64) -> Vec<Activation> {
    all.retain(|one| one.end.is_none_or(|end| end > now.saturating_sub(KEEP)));
    let size = |one: &Activation| record::line(&Event::Activation(one.clone())).map_or(0, |line| line.len() as u64);
    let mut room = most_bytes;
    // The newest are worth the most.
    all.reverse();
    all.retain(|one| {
        let size = size(one);
        let fits = size <= room;
        room = room.saturating_sub(size);
        fits
    });
    all.reverse();
    all
}

/// Replaces the file in one step; an open one to append to, and its length.
fn rewrite(path: &Path, activations: &[Activation]) -> io::Result<(File, u64)> {
    let new = path.with_extension("new");
    let mut out = Vec::new();
    for activation in activations {
        out.extend_from_slice(&record::line(&Event::Activation(activation.clone()))?);
    }
    let mut file = File::create(&new)?;
    file.write_all(&out)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    let file = File::options().append(true).open(path)?;
    Ok((file, out.len() as u64))
}

/// How what inhibits an alert begins, among the ids of silences.
pub const INHIBITED: &str = "inhibited by ";
/// 90 days, milliseconds.
const KEEP: i64 = 90 * 24 * 3_600_000;
/// About 30,000 activations.
pub const MOST_BYTES: u64 = 16 << 20;
const MOST_OF_A_LABEL: usize = 512;
const MOST_LABELS: usize = 64;
const MOST_NAMES: usize = 64;

#[cfg(test)]
mod tests;
