//! One round of a collector, and its points by name.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use plimsoll::collect::event::Event;
use plimsoll::collect::{CollectError, Collector};
use plimsoll::signal::metrics::{Limits, Point, Samples};
use plimsoll::store::translate;

use crate::catalogue;

/// The points of a round.
pub(crate) struct Round {
    pub(crate) samples: Samples,
    pub(crate) result: Result<(), CollectError>,
    pub(crate) events: Vec<Event>,
}

/// A runtime for the rounds of one test.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Series of a round, where nothing else is said.
const SERIES: usize = 10_000;

/// Runs one round within `limit`.
pub(crate) async fn one(collector: &mut dyn Collector, limit: Duration) -> Round {
    bounded(collector, limit, SERIES).await
}

/// The same with room for so many series.
pub(crate) async fn bounded(collector: &mut dyn Collector, limit: Duration, series: usize) -> Round {
    let round = raw(collector, limit, series).await;
    compare_labels(&round.samples);
    round
}

/// The same with a server that may answer anything.
pub(crate) async fn of_a_liar(collector: &mut dyn Collector, limit: Duration) -> Round {
    raw(collector, limit, SERIES).await
}

async fn raw(collector: &mut dyn Collector, limit: Duration, series: usize) -> Round {
    let mut samples = Samples::new(Limits { series, value_bytes: 1024 });
    let result = tokio::time::timeout(limit, collector.collect(&mut samples)).await;
    let result = result.unwrap_or(Err(CollectError::Timeout(limit)));
    Round { samples, result, events: collector.events() }
}

/// The labels of each series are those that rules and boards rely on.
fn compare_labels(samples: &Samples) {
    static TABLE: LazyLock<BTreeMap<String, Vec<catalogue::Labels>>> = LazyLock::new(catalogue::table);
    for sample in samples.samples() {
        let metric = &samples.metrics()[sample.metric];
        let Some(name) = translate::metric_name(&metric.name, metric.kind, &metric.unit) else { continue };
        let labels = sample.attributes.iter().filter_map(|(name, _)| translate::label_name(name)).collect();
        let fault = catalogue::differs(&TABLE, &name, &labels);
        assert!(fault.is_none(), "{}", fault.unwrap_or_default());
    }
}

impl Round {
    /// The value of the one series `name` with all of `attributes`.
    pub(crate) fn value(&self, name: &str, attributes: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.all(name, attributes);
        match found.len() {
            0 => None,
            1 => found.pop(),
            _ => panic!("{name}{attributes:?} has {} series", found.len()),
        }
    }

    /// The values of all series `name` with all of `attributes`.
    pub(crate) fn all(&self, name: &str, attributes: &[(&str, &str)]) -> Vec<f64> {
        let wanted = |sample: &&plimsoll::signal::metrics::Sample| {
            self.samples.metrics()[sample.metric].name == name
                && attributes.iter().all(|(name, value)| {
                    sample.attributes.iter().any(|(known, has)| &**known == *name && &**has == *value)
                })
        };
        let number = |sample: &plimsoll::signal::metrics::Sample| match &sample.point {
            Point::Number(number) => number.as_f64(),
            Point::Histogram(_) => f64::NAN,
        };
        self.samples.samples().iter().filter(wanted).map(number).collect()
    }

    /// The names of all metrics that have points.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.samples.metrics().iter().map(|metric| &*metric.name).collect();
        names.sort_unstable();
        names
    }
}
