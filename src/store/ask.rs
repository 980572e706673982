//! What the store knows about its series: label sets, names and values of labels, descriptions.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

use super::{Labels, Matcher, Store, StoreError};

/// What is known of a metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// Prometheus name, of a histogram without `_bucket`.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// One sentence for people.
    pub help: String,
    /// UCUM unit, as it came.
    pub unit: String,
}

impl Store {
    /// Label sets that one of `sets` (none: everything) wants and that have samples with `from <= t <= to` (Unix
    /// milliseconds), in their order; the first `limit` of them.
    ///
    /// # Errors
    /// A block cannot be read.
    pub fn series(&self, sets: &[Vec<Matcher>], from: i64, to: i64, limit: usize) -> Result<Vec<Labels>, StoreError> {
        let mut found = BTreeSet::new();
        self.visit(sets, (from, to), |labels| {
            found.insert(labels);
            if found.len() > limit {
                found.pop_last();
            }
        })?;
        Ok(found.into_iter().collect())
    }

    /// Names of labels of the series that [`Store::series`] would find, the metric's `__name__` among them.
    ///
    /// # Errors
    /// A block cannot be read.
    pub fn label_names(
        &self,
        sets: &[Vec<Matcher>],
        from: i64,
        to: i64,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let mut found = BTreeSet::new();
        self.visit(sets, (from, to), |labels| {
            for (name, _) in labels.iter().filter(|(name, _)| !found.contains(*name)).collect::<Vec<_>>() {
                found.insert(name.to_owned());
            }
        })?;
        Ok(found.into_iter().take(limit).collect())
    }

    /// Values of the label `name` of the series that [`Store::series`] would find.
    ///
    /// # Errors
    /// A block cannot be read.
    pub fn label_values(
        &self,
        name: &str,
        sets: &[Vec<Matcher>],
        from: i64,
        to: i64,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let mut found = BTreeSet::new();
        self.visit(sets, (from, to), |labels| {
            let value = labels.get(name);
            if !value.is_empty() && !found.contains(value) {
                found.insert(value.to_owned());
            }
        })?;
        Ok(found.into_iter().take(limit).collect())
    }

    /// Descriptions of the metrics that came since the start, by name; the first `limit` of them.
    pub fn metadata(&self, limit: usize) -> Vec<Family> {
        self.lock().families.values().take(limit).cloned().collect()
    }

    /// Hands over label sets, one of them perhaps more than once.
    fn visit(
        &self,
        sets: &[Vec<Matcher>],
        bounds: (i64, i64),
        mut found: impl FnMut(Labels),
    ) -> Result<(), StoreError> {
        loop {
            let cuts = self.inner.cuts.load(Relaxed);
            let visited = self.visit_once(sets, bounds, &mut found);
            // As in `select`.
            if cuts == self.inner.cuts.load(Relaxed) {
                return visited;
            }
        }
    }

    fn visit_once(
        &self,
        sets: &[Vec<Matcher>],
        (from, to): (i64, i64),
        mut found: impl FnMut(Labels),
    ) -> Result<(), StoreError> {
        let everything = [Vec::new()];
        let sets = if sets.is_empty() { &everything } else { sets };
        for matchers in sets {
            let head: Vec<Labels> = {
                let mut state = self.lock();
                let members = state.index.find(matchers).into_iter();
                let inside = |range: (i64, i64)| range.0 <= to && range.1 >= from;
                members.filter(|m| m.data().range().is_some_and(inside)).map(|m| m.labels.clone()).collect()
            };
            head.into_iter().for_each(&mut found);
            let Some(blocks) = &self.inner.blocks else { continue };
            for block in blocks.within(from, to) {
                blocks.find(&block, matchers, (from, to), |labels, _| found(labels))?;
            }
        }
        Ok(())
    }
}
