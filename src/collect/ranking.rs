//! Which statements are told apart: those that did most since the last look, in time, in calls, and in time per call.

use std::collections::HashMap;
use std::hash::Hash;

/// Looks for which a statement stays chosen once it was: a rate needs more than one point.
pub const STICKY: u8 = 5;

/// What was seen of each statement at the last look.
#[derive(Debug)]
pub struct Ranking<K> {
    known: HashMap<K, Seen>,
    floor: Floor,
}

/// What a statement that the last look did not show can have had then at most, where it showed only the first of all.
/// Else one that comes in over the edge would pass for one that did all its work since.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Floor {
    /// Calls.
    pub calls: f64,
    /// Time.
    pub time: f64,
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
        Self { known: HashMap::new(), floor: Floor::default() }
    }
}

impl<K: Clone + Hash + Ord> Ranking<K> {
    /// Takes calls and time of statements since the server counts, and chooses `top` of them by each measure. `floor`:
    /// what those that are not among these can have at most; nothing when these are all.
    pub fn look(&mut self, statements: impl Iterator<Item = (K, f64, f64)>, floor: Floor, top: usize) {
        let below = Seen { calls: self.floor.calls, time: self.floor.time, chosen: 0 };
        let mut grown: Vec<Grown<K>> = Vec::new();
        let mut known = HashMap::new();
        for (key, calls, time) in statements {
            let seen = self.known.get(&key).copied();
            let before = seen.unwrap_or(Seen { calls: below.calls.min(calls), time: below.time.min(time), chosen: 0 });
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
        self.floor = floor;
    }

    /// Whether a statement is one of them.
    pub fn is_chosen(&self, key: &K) -> bool {
        self.known.get(key).is_some_and(|seen| seen.chosen > 0)
    }
}

/// The smallest of the `count` largest; nothing when there are fewer.
pub fn edge(values: impl Iterator<Item = f64>, count: usize) -> f64 {
    let mut values: Vec<f64> = values.collect();
    if count == 0 || values.len() < count {
        return 0.0;
    }
    let (_, edge, _) = values.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
    *edge
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_comes_in_over_the_edge_has_not_done_all_its_work_since() {
        let mut ranking = Ranking::default();
        let floor = Floor { calls: 100.0, time: 50.0 };
        ranking.look([("a", 500.0, 90.0), ("b", 100.0, 50.0)].into_iter(), floor, 1);
        for _ in 0..=STICKY {
            ranking.look([("a", 501.0, 91.0), ("b", 100.0, 50.0)].into_iter(), floor, 1);
        }
        // `c` was below the edge, and has done at least a quarter of a second more; `a` two seconds.
        ranking.look([("a", 503.0, 93.0), ("c", 101.0, 50.25)].into_iter(), floor, 1);
        assert!(ranking.is_chosen(&"a") && !ranking.is_chosen(&"c"));
    }

    #[test]
    fn the_edge_is_the_smallest_of_the_largest() {
        assert_eq!(edge([3.0, 9.0, 1.0, 7.0].into_iter(), 2), 7.0);
        assert_eq!(edge([3.0].into_iter(), 2), 0.0);
    }
}
