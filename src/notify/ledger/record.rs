//! The lines of the ledger: events, and the activations that they add up to.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use crate::notify::waiting::number;

/// One activation of an alert: from when it fired until it ended. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Activation {
    /// Its name: the fingerprint of its labels, and its start.
    pub id: String,
    /// The rule's name.
    pub rule: String,
    /// Its labels, long values cut.
    pub labels: BTreeMap<String, String>,
    /// When it fired.
    pub start: i64,
    /// When it ended; `None` while it fires.
    pub end: Option<i64>,
    /// The value of its expression when it fired.
    #[serde(with = "number")]
    pub value: f64,
    /// Which notifier took it first when.
    pub delivered: BTreeMap<String, i64>,
    /// From when on it was held back by which silences and inhibitions of Alertmanager; by none: no more.
    pub silences: Vec<(i64, Vec<String>)>,
}

/// A silence may come and go; its first changes are enough to tell.
const MOST_SILENCES: usize = 50;

impl Activation {
    pub(super) fn new(id: String, rule: String, labels: BTreeMap<String, String>, start: i64, value: f64) -> Self {
        Self { id, rule, labels, start, end: None, value, delivered: BTreeMap::new(), silences: Vec::new() }
    }

    /// What held it back when that was last asked.
    pub fn silenced(&self) -> &[String] {
        self.silences.last().map_or(&[], |(_, by)| by)
    }

    pub(super) fn silence(&mut self, at: i64, by: Vec<String>) {
        if self.silences.len() < MOST_SILENCES {
            self.silences.push((at, by));
        }
    }

    /// For how many milliseconds it was held back, until `now` where it fires still.
    pub fn silenced_for(&self, now: i64) -> i64 {
        let end = self.end.unwrap_or(now);
        let ends = self.silences.iter().skip(1).map(|(at, _)| *at).chain([end]);
        let held = self.silences.iter().zip(ends).filter(|((_, by), _)| !by.is_empty());
        held.map(|((from, _), to)| to.min(end).saturating_sub(*from).max(0)).sum()
    }
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    /// All that is known of one; mostly that it fires.
    Activation(Activation),
    End {
        id: String,
        at: i64,
    },
    Delivered {
        id: String,
        to: String,
        at: i64,
    },
    Silenced {
        id: String,
        by: Vec<String>,
        at: i64,
    },
}

impl Event {
    pub(super) fn at(&self) -> i64 {
        match self {
            Self::Activation(activation) => activation.start,
            Self::End { at, .. } | Self::Delivered { at, .. } | Self::Silenced { at, .. } => *at,
        }
    }
}

/// The event as a line.
pub(super) fn line(event: &Event) -> io::Result<Vec<u8>> {
    let mut out = serde_json::to_vec(event)?;
    out.push(b'\n');
    Ok(out)
}

/// What the lines of a file add up to, by start.
pub(super) fn fold(bytes: &[u8]) -> Vec<Activation> {
    let mut all: BTreeMap<String, Activation> = BTreeMap::new();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let Ok(event) = serde_json::from_slice(line) else { continue };
        match event {
            Event::Activation(new) => {
                all.insert(new.id.clone(), new);
            }
            Event::End { id, at } => change(&mut all, &id, |one| one.end = Some(at)),
            Event::Delivered { id, to, at } => change(&mut all, &id, |one| {
                one.delivered.entry(to).or_insert(at);
            }),
            Event::Silenced { id, by, at } => change(&mut all, &id, |one| one.silence(at, by)),
        }
    }
    let mut all: Vec<_> = all.into_values().collect();
    all.sort_by_key(|one| one.start);
    all
}

fn change(all: &mut BTreeMap<String, Activation>, id: &str, change: impl FnOnce(&mut Activation)) {
    if let Some(one) = all.get_mut(id) {
        change(one);
    }
}
