//! The k best of a group: of equal ones those, and in the order, that Prometheus has.
//!
//! Prometheus keeps them in a heap of Go's `container/heap`, so which of several equal values stay depends on how that
//! heap is built. It is built the same way here. What is offered first differs all the same: Prometheus goes through
//! series as they first came into its head, the store through its own order.

use std::cmp::Ordering;

/// The best of what was offered so far.
pub(super) struct Best {
    k: usize,
    /// The smallest are the best.
    bottom: bool,
    /// Values with their rows, the worst in front.
    heap: Vec<(f64, usize)>,
}

impl Best {
    pub(super) fn new(k: usize, bottom: bool) -> Self {
        Self { k, bottom, heap: Vec::new() }
    }

    /// Offers the value of `row`; the row that goes for it, perhaps that one.
    pub(super) fn offer(&mut self, value: f64, row: usize) -> Option<usize> {
        if self.heap.len() < self.k {
            self.heap.push((value, row));
            self.up(self.heap.len() - 1);
            return None;
        }
        let Some(worst) = self.heap.first_mut() else { return Some(row) };
        let better = if self.bottom { worst.0 > value } else { worst.0 < value };
        let number = worst.0.is_nan() && !value.is_nan();
        if !better && !number {
            return Some(row);
        }
        let (_, gone) = std::mem::replace(worst, (value, row));
        self.down();
        Some(gone)
    }

    /// Their rows, the best first.
    pub(super) fn rows(mut self) -> Vec<usize> {
        // As Go sorts few elements. Of more, equal ones come in an order of its own there that nobody may count on.
        if self.heap.len() <= FEW {
            for last in 1..self.heap.len() {
                for at in (1..=last).rev() {
                    if !self.worse(at - 1, at) {
                        break;
                    }
                    self.heap.swap(at - 1, at);
                }
            }
        } else {
            let bottom = self.bottom;
            self.heap.sort_by(|(a, _), (b, _)| {
                let rising = a.partial_cmp(b).unwrap_or(Ordering::Equal);
                a.is_nan().cmp(&b.is_nan()).then(if bottom { rising } else { rising.reverse() })
            });
        }
        self.heap.into_iter().map(|(_, row)| row).collect()
    }

    fn worse(&self, a: usize, b: usize) -> bool {
        let (a, b) = (self.heap[a].0, self.heap[b].0);
        a.is_nan() || if self.bottom { a > b } else { a < b }
    }

    fn up(&mut self, mut at: usize) {
        while at > 0 && self.worse(at, (at - 1) / 2) {
            self.heap.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    fn down(&mut self) {
        let mut at = 0;
        loop {
            let left = 2 * at + 1;
            if left >= self.heap.len() {
                return;
            }
            let right = left + 1;
            let child = if right < self.heap.len() && self.worse(right, left) { right } else { left };
            if !self.worse(child, at) {
                return;
            }
            self.heap.swap(at, child);
            at = child;
        }
    }
}

/// Go sorts so many by insertion.
const FEW: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    /// Values, k, and the rows that Prometheus' code (`aggregationK`, its two heaps and `sort.Sort`) gives for `topk` and
    /// `bottomk` with Go 1.26.
    #[test]
    fn of_equal_values_those_stay_that_stay_in_prometheus() {
        let cases: &[(&str, usize, &[usize], &[usize])] = &[
            ("3 3 1 2", 3, &[1, 0, 3], &[2, 3, 1]),
            ("0 0 2 3 2 1 0 2", 1, &[3], &[0]),
            ("1 2 3 2", 1, &[2], &[0]),
            ("3 3 3 0 2 3 1 0 3 3 1", 4, &[5, 0, 2, 1], &[7, 3, 10, 6]),
            ("3 1 2 1 2 2 3 1 3", 3, &[8, 0, 6], &[7, 1, 3]),
            ("1 NaN 1 NaN 1 2 3 2 NaN NaN 0", 5, &[6, 7, 5, 4, 2], &[10, 0, 2, 4, 5]),
            ("3 2 3 0", 3, &[0, 2, 1], &[3, 1, 2]),
            ("3 2 1 3 0", 4, &[0, 3, 1, 2], &[4, 2, 1, 3]),
            ("1 1 1", 4, &[0, 1, 2], &[0, 1, 2]),
            ("1 3 3 2", 5, &[2, 1, 3, 0], &[0, 3, 1, 2]),
            ("2 3 0 3 0 3 1 2 1 3 3", 2, &[3, 1], &[4, 2]),
            ("2 2 2 3 0 3 3 NaN 2 NaN", 3, &[6, 3, 5], &[4, 1, 2]),
            ("2 1 2 3 1 0 3 1 2 3 1 0", 2, &[6, 3], &[11, 5]),
            ("3 0 3 0 0 0 3 0 2 3 0", 5, &[9, 2, 0, 6, 8], &[7, 1, 5, 3, 4]),
            ("0 0 1", 2, &[2, 1], &[0, 1]),
            ("2 2 2 3 3 2", 2, &[4, 3], &[0, 1]),
            ("3 2 0 3 0 2 2", 3, &[0, 3, 1], &[4, 2, 1]),
            ("2 3 NaN 2 NaN 3 3 NaN", 1, &[1], &[0]),
            ("2 1 2 1 0 0 0", 3, &[0, 2, 1], &[6, 4, 5]),
            ("0 0 1 0 3 1 2 0", 2, &[4, 6], &[0, 1]),
            ("3 0 0 3 3 0 2 0 3 3 1 0", 3, &[4, 0, 3], &[5, 1, 2]),
            ("1 3 1 1 2 0 2 0", 2, &[1, 4], &[7, 5]),
            ("2 1 1", 1, &[0], &[1]),
            ("2 NaN NaN", 1, &[0], &[0]),
        ];
        for (values, k, top, bottom) in cases {
            for (smallest, expected) in [(false, top), (true, bottom)] {
                let mut best = Best::new(*k, smallest);
                let mut gone = Vec::new();
                for (row, value) in values.split(' ').enumerate() {
                    gone.extend(best.offer(value.parse().unwrap(), row));
                }
                let rows = best.rows();
                assert_eq!(rows, *expected, "{k} of {values}, the smallest: {smallest}");
                assert!(gone.iter().all(|row| !rows.contains(row)), "{gone:?}");
            }
        }
    }

    #[test]
    fn of_many_the_best_come_first_and_nan_last() {
        let mut best = Best::new(40, false);
        for row in 0..100 {
            best.offer(if row % 3 == 0 { f64::NAN } else { (row * 37 % 101) as f64 }, row);
        }
        let values: Vec<usize> = best.rows().into_iter().map(|row| row * 37 % 101).collect();
        assert!(values.len() == 40 && values.is_sorted_by(|a, b| a > b), "{values:?}");
    }
}
