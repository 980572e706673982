//! The store against a plain model of it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::sample::STALE;
use super::*;
use crate::signal::metrics::{Desc, Samples};
use crate::signal::resource::Resource;

mod disk;
mod model;
mod rounds;

pub(super) const HOUR: i64 = 3_600_000;

/// A time on the grid of blocks, in 2023.
pub(super) const T0: i64 = 236_111 * super::cut::BLOCK;

pub(super) fn all(store: &Store) -> BTreeMap<Labels, Vec<(i64, u64)>> {
    let mut found = BTreeMap::new();
    for series in store.select(&[], i64::MIN, i64::MAX).unwrap() {
        let mut samples = Vec::new();
        series.read(i64::MIN, i64::MAX, &mut samples).unwrap();
        found.insert(series.labels().clone(), bits(&samples));
    }
    found
}

pub(super) fn bits(samples: &[Sample]) -> Vec<(i64, u64)> {
    samples.iter().map(|sample| (sample.t, sample.v.to_bits())).collect()
}

pub(super) fn lost(board: &Board, reason: &str) -> u64 {
    board.losses().iter().filter(|((_, known), _)| *known == reason).map(|(_, loss)| loss.count).sum()
}
