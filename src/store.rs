//! Recent telemetry on the box: series to ask, names as Prometheus has them, and the newest round of each source.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub mod config;
pub mod labels;
pub mod latest;
pub mod matcher;
pub mod sample;
pub mod translate;

pub use labels::Labels;
pub use latest::Latest;
pub use matcher::Matcher;
pub use sample::Sample;

/// Recent series. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Store {
    series: Arc<Mutex<BTreeMap<Labels, Vec<Sample>>>>,
}

/// Why the store has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// More series than a query may touch.
    #[error("the selector matches more than {0} series: narrow it")]
    TooMany(usize),
    /// A block cannot be read; names the file and the fault.
    #[error("{0}")]
    Disk(String),
}

/// A series that a selector found; its samples are read when they are wanted.
#[derive(Debug, Clone)]
pub struct Series {
    labels: Labels,
    samples: Arc<[Sample]>,
}

impl Series {
    /// All labels, the name among them.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Appends the samples with `from <= t <= to` (Unix milliseconds) to `out` in the order of time, stale markers
    /// among them.
    ///
    /// # Errors
    /// A block cannot be read.
    pub fn read(&self, from: i64, to: i64, out: &mut Vec<Sample>) -> Result<(), StoreError> {
        out.extend(self.samples.iter().filter(|sample| (from..=to).contains(&sample.t)));
        Ok(())
    }
}

impl Store {
    /// In memory only, for tests of rules and queries.
    pub fn memory() -> Self {
        Self::default()
    }

    /// Takes one sample of a series that already has its Prometheus labels. False: not newer than the newest one.
    pub fn append(&self, labels: &Labels, sample: Sample) -> bool {
        let mut all = self.lock();
        let samples = all.entry(labels.clone()).or_default();
        let newer = samples.last().is_none_or(|last| last.t < sample.t);
        if newer {
            samples.push(sample);
        }
        newer
    }

    /// The series that all `matchers` want and that have samples with `from <= t <= to` (Unix milliseconds; more than
    /// these may come, fewer not), in the order of their labels.
    ///
    /// # Errors
    /// Too many series, or a block that cannot be read.
    pub fn select(&self, matchers: &[Matcher], from: i64, to: i64) -> Result<Vec<Series>, StoreError> {
        let wanted = |labels: &Labels| matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name)));
        let inside = |samples: &[Sample]| samples.iter().any(|sample| (from..=to).contains(&sample.t));
        let all = self.lock();
        let found = all.iter().filter(|(labels, samples)| wanted(labels) && inside(samples));
        Ok(found
            .map(|(labels, samples)| Series { labels: labels.clone(), samples: samples.as_slice().into() })
            .collect())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Labels, Vec<Sample>>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
