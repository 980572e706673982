//! What is shown of rules and alerts: plain data, set by the engine after each round and read by the faces.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::notify::ledger::{self, Ledger};
use crate::store::Labels;

/// The newest view. Clones share it.
#[derive(Clone, Default)]
pub struct Views {
    newest: Arc<Mutex<Arc<View>>>,
    history: Arc<Mutex<Option<History>>>,
}

/// Past activations since a time (Unix milliseconds), newest first; an error says what cannot be read.
pub type History = Arc<dyn Fn(i64) -> Result<Vec<Activation>, String> + Send + Sync>;

impl std::fmt::Debug for Views {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Views").finish_non_exhaustive()
    }
}

impl Views {
    /// Replaces the view.
    pub fn set(&self, view: View) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }

    /// The newest view.
    pub fn get(&self) -> Arc<View> {
        Arc::clone(&self.newest.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says where past activations are read.
    pub fn set_history(&self, history: History) {
        *self.history.lock().unwrap_or_else(PoisonError::into_inner) = Some(history);
    }

    /// Reads past activations from the ledger.
    pub fn read_from(&self, ledger: Arc<Ledger>) {
        self.set_history(Arc::new(move |since| {
            let mut all = ledger.read(since, i64::MAX, |_| true).map_err(|error| error.to_string())?;
            all.reverse();
            Ok(all.into_iter().map(Into::into).collect())
        }));
    }

    /// Past activations since `since` (Unix milliseconds), newest first. It reads a disk.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn history(&self, since: i64) -> Result<Vec<Activation>, String> {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner).clone();
        history.map_or_else(|| Ok(Vec::new()), |read| read(since))
    }
}

/// All rules as they stand.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {
    /// Whether `alerts: off` stops the rules of this box.
    pub off: bool,
    /// In the order of files and groups.
    pub groups: Vec<GroupView>,
}

/// A group of rules.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GroupView {
    /// The file it stands in.
    pub file: String,
    /// Its name.
    pub name: String,
    /// Time between two rounds.
    pub interval: Duration,
    /// Most alerts or series of one rule; 0: no bound.
    pub limit: usize,
    /// When the latest round began, Unix milliseconds; 0: never.
    pub evaluated: i64,
    /// How long it took.
    pub took: Duration,
    /// Rounds that were left out because one took too long.
    pub missed: u64,
    /// In their order.
    pub rules: Vec<RuleView>,
}

/// A rule.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RuleView {
    /// Alert's or recorded series' name.
    pub name: String,
    /// The expression.
    pub query: String,
    /// Labels that it adds, as written.
    pub labels: Vec<(String, String)>,
    /// Why the latest round failed; empty: it did not.
    pub error: String,
    /// When it was evaluated last, Unix milliseconds; 0: never.
    pub evaluated: i64,
    /// How long that took.
    pub took: Duration,
    /// Whether it can yield anything on this box.
    pub presence: Presence,
    /// Of a rule that makes alerts.
    pub alert: Option<AlertView>,
}

/// Whether a rule can yield anything on this box.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Presence {
    /// What it asks for is here.
    #[default]
    Here,
    /// Its source is here, and fails or lacks a right.
    CannotFire {
        /// What is wrong.
        why: String,
        /// What to do about it.
        mend: String,
    },
    /// Its source is not on this box; says which.
    NotHere(String),
    /// It needs several boxes: for the stack's ruler, never evaluated here.
    Fleet,
}

/// What a rule that makes alerts has besides.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AlertView {
    /// `for`.
    pub hold: Duration,
    /// `keep_firing_for`.
    pub keep: Duration,
    /// Texts for people, as written.
    pub annotations: Vec<(String, String)>,
    /// Those that are pending or firing.
    pub active: Vec<ActiveView>,
}

/// An alert that is pending or firing.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveView {
    /// All labels, `alertname` among them.
    pub labels: Labels,
    /// Expanded texts.
    pub annotations: Vec<(String, String)>,
    /// Whether it fires; else it is pending.
    pub firing: bool,
    /// Since when its expression yields it, Unix milliseconds.
    pub active: i64,
    /// Since when it fires only because of `keep_firing_for`, Unix milliseconds.
    pub kept_since: Option<i64>,
    /// The newest value of its expression.
    pub value: f64,
}

/// One time that an alert fired.
#[derive(Debug, Clone, PartialEq)]
pub struct Activation {
    /// The rule's name.
    pub rule: String,
    /// All labels, `alertname` among them.
    pub labels: Labels,
    /// When it began to fire, Unix milliseconds.
    pub start: i64,
    /// When it ended; `None`: it fires.
    pub end: Option<i64>,
    /// The value that it began with.
    pub value: f64,
    /// Who was told, by the name in the config.
    pub told: Vec<String>,
    /// By what it was silenced or inhibited, where that is known; else empty.
    pub silenced: String,
}

impl From<ledger::Activation> for Activation {
    fn from(one: ledger::Activation) -> Self {
        let held = one.silences.iter().rev().find(|(_, by)| !by.is_empty());
        let silenced = held.map(|(_, by)| held_by(by)).unwrap_or_default();
        let mut told: Vec<(i64, String)> = one.delivered.into_iter().map(|(name, at)| (at, name)).collect();
        told.sort();
        Self {
            rule: one.rule,
            labels: Labels::new(one.labels),
            start: one.start,
            end: one.end,
            value: one.value,
            told: told.into_iter().map(|(_, name)| name).collect(),
            silenced,
        }
    }
}

/// Silences have an id; what inhibits says so itself.
fn held_by(by: &[String]) -> String {
    let (inhibited, silenced): (Vec<&str>, Vec<&str>) =
        by.iter().map(String::as_str).partition(|one| one.starts_with(ledger::INHIBITED));
    let silenced = (!silenced.is_empty()).then(|| format!("silenced by {}", silenced.join(", ")));
    silenced.iter().map(String::as_str).chain(inhibited).collect::<Vec<_>>().join("; ")
}

impl RuleView {
    /// The state of Prometheus' API: the worst of its alerts.
    pub fn state(&self) -> &'static str {
        let active = self.alert.iter().flat_map(|alert| &alert.active);
        match active.map(|alert| alert.firing).max() {
            Some(true) => "firing",
            Some(false) => "pending",
            None if self.evaluated == 0 => "unknown",
            None => "inactive",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::Alert;

    #[test]
    fn the_history_is_that_of_the_ledger_newest_first() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Arc::new(Ledger::open(&dir.path().join("ledger"), ledger::MOST_BYTES, 1000).unwrap());
        let alert = |name: &str, starts_at, resolved| Alert {
            labels: Labels::new([("alertname", name), ("severity", "page")]),
            annotations: Vec::new(),
            starts_at,
            ends_at: starts_at + 100,
            resolved,
            value: 2.5,
            generator_url: String::new(),
        };
        ledger.begin(&alert("Old", 1000, false), "Old");
        ledger.delivered(&alert("Old", 1000, false), "pager", 1020);
        ledger.delivered(&alert("Old", 1000, false), "chat", 1010);
        let by = ["s1", "inhibited by HostDown", "s2"].map(str::to_owned);
        ledger.seen(&alert("Old", 1000, false).labels, &by, 1030);
        ledger.end(&alert("Old", 1000, true));
        ledger.begin(&alert("New", 5000, false), "New");
        let views = Views::default();
        assert_eq!(views.history(1), Ok(Vec::new()));
        views.read_from(ledger);
        let all = views.history(1).unwrap();
        let told: Vec<_> = all.iter().map(|one| (one.rule.as_str(), one.start, one.end, one.value)).collect();
        assert_eq!(told, [("New", 5000, None, 2.5), ("Old", 1000, Some(1100), 2.5)]);
        assert_eq!(all[1].told, ["chat", "pager"]);
        assert_eq!(all[1].silenced, "silenced by s1, s2; inhibited by HostDown");
        assert_eq!(views.history(2000).unwrap().len(), 1);
    }
}
