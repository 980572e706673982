//! Which statements are told apart: those that did most since the last look, in time, in calls, and in time per call.

use std::collections::HashMap;
use std::hash::Hash;

/// Looks for which a statement stays chosen once it was: a rate needs more than one point.
pub const STICKY: u8 = 5;

/// What was seen of each statement at the last look.
#[derive(Debug)]
pub struct Ranking<K> {
    known: HashMap<K, Seen>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    calls: f64,
    time: f64,
    chosen: u8,
}

/// A statement, and what its calls and its time grew by.
struct Grown<K> {
    key: K,
    calls: f64,
    time: f64,
}

impl<K> Default for Ranking<K> {
    fn default() -> Self {
        Self { known: HashMap::new() }
    }
}

impl<K: Clone + Hash + Ord> Ranking<K> {
    /// Takes calls and time of all statements since the server counts, and chooses `top` of them by each measure.
    pub fn look(&mut self, statements: impl Iterator<Item = (K, f64, f64)>, top: usize) {
        let mut grown: Vec<Grown<K>> = Vec::new();
        let mut known = HashMap::new();
        for (key, calls, time) in statements {
            let before = self.known.get(&key).copied().unwrap_or_default();
            // Fewer than before: the statistics were reset, and all that is there came since.
            let (old_calls, old_time) = if before.calls <= calls { (before.calls, before.time) } else { (0.0, 0.0) };
            grown.push(Grown { key: key.clone(), calls: calls - old_calls, time: time - old_time });
            known.insert(key, Seen { calls, time, chosen: before.chosen.saturating_sub(1) });
        }
        let by: [fn(&Grown<K>) -> f64; 3] = [
            |grown| grown.time,
            |grown| grown.calls,
            |grown| if grown.calls > 0.0 { grown.time / grown.calls } else { 0.0 },
        ];
        for measure in by {
            grown.sort_by(|a, b| measure(b).total_cmp(&measure(a)).then_with(|| a.key.cmp(&b.key)));
            for one in grown.iter().filter(|grown| measure(grown) > 0.0).take(top) {
                if let Some(seen) = known.get_mut(&one.key) {
                    seen.chosen = STICKY;
                }
            }
        }
        self.known = known;
    }

    /// Whether a statement is one of them.
    pub fn is_chosen(&self, key: &K) -> bool {
        self.known.get(key).is_some_and(|seen| seen.chosen > 0)
    }

    /// Statements that the last look saw.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether it saw none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}
