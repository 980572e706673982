//! The values of one expression over all steps: a row for each series, a cell for each step.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::query::QueryError;
use crate::store::labels::NAME;
use crate::store::sample::STALE;
use crate::store::{Labels, sample};

/// The cell of a step without a value. No calculation yields these bits and no selector hands them on.
pub(super) const ABSENT: f64 = STALE;

/// Whether a cell is empty.
pub(super) fn absent(cell: f64) -> bool {
    sample::is_stale(cell)
}

/// The steps that are evaluated; an instant query has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Steps {
    /// The first, in Unix milliseconds.
    pub(super) from: i64,
    /// The end of what was asked: the last step comes at it or before it.
    pub(super) to: i64,
    /// Milliseconds between two.
    pub(super) every: i64,
    /// How many.
    pub(super) count: usize,
}

impl Steps {
    /// The time of a step.
    pub(super) fn at(self, index: usize) -> i64 {
        self.from + self.every * i64::try_from(index).unwrap_or(i64::MAX)
    }

    pub(super) fn last(self) -> i64 {
        self.at(self.count.saturating_sub(1))
    }
}

/// Cells that all blocks of a query hold together, and the bound.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    held: Rc<Cell<usize>>,
    most: usize,
}

impl Budget {
    pub(super) fn new(most: usize) -> Self {
        Self { held: Rc::default(), most }
    }

    /// Whether `more` could be held beside what is held.
    pub(super) fn room(&self, more: usize) -> Result<(), QueryError> {
        if self.held.get().saturating_add(more) > self.most {
            return Err(QueryError::Limit(
                "query processing would load too many samples into memory in query execution".into(),
            ));
        }
        Ok(())
    }
}

/// A series' labels.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    pub(super) labels: Labels,
    /// Its name goes at the end of the query.
    pub(super) drop: bool,
}

impl From<Labels> for Head {
    fn from(labels: Labels) -> Self {
        Self { labels, drop: false }
    }
}

/// Rows of cells.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) heads: Vec<Head>,
    pub(super) cells: Vec<f64>,
    pub(super) steps: usize,
    budget: Budget,
    counted: usize,
}

impl Drop for Block {
    fn drop(&mut self) {
        self.budget.held.set(self.budget.held.get() - self.counted);
    }
}

impl Block {
    pub(super) fn new(budget: &Budget, steps: usize) -> Self {
        Self { heads: Vec::new(), cells: Vec::new(), steps, budget: budget.clone(), counted: 0 }
    }

    /// One row without labels, as scalars have it.
    pub(super) fn scalar(budget: &Budget, cells: impl ExactSizeIterator<Item = f64>) -> Result<Self, QueryError> {
        let mut out = Self::new(budget, cells.len());
        out.count(cells.len())?;
        out.heads.push(Head::default());
        out.cells.extend(cells);
        Ok(out)
    }

    fn count(&mut self, more: usize) -> Result<(), QueryError> {
        self.budget.room(more)?;
        self.budget.held.set(self.budget.held.get() + more);
        self.counted += more;
        Ok(())
    }

    /// Adds an empty row and gives its cells.
    pub(super) fn grow(&mut self, head: Head) -> Result<&mut [f64], QueryError> {
        self.count(self.steps)?;
        self.heads.push(head);
        let start = self.cells.len();
        self.cells.resize(start + self.steps, ABSENT);
        Ok(&mut self.cells[start..])
    }

    /// Takes the last row away.
    pub(super) fn pop(&mut self) {
        self.heads.pop();
        self.cells.truncate(self.heads.len() * self.steps);
        self.counted -= self.steps;
        self.budget.held.set(self.budget.held.get() - self.steps);
    }

    pub(super) fn row(&self, index: usize) -> &[f64] {
        &self.cells[index * self.steps..(index + 1) * self.steps]
    }

    pub(super) fn row_mut(&mut self, index: usize) -> &mut [f64] {
        &mut self.cells[index * self.steps..(index + 1) * self.steps]
    }

    pub(super) fn rows(&self) -> usize {
        self.heads.len()
    }

    /// The value of a scalar at a step.
    pub(super) fn value(&self, step: usize) -> f64 {
        self.cells.get(step).copied().unwrap_or(f64::NAN)
    }

    /// Drops rows without a value.
    pub(super) fn compact(&mut self) {
        let (steps, mut kept) = (self.steps, 0);
        for index in 0..self.heads.len() {
            if self.row(index).iter().all(|cell| absent(*cell)) {
                continue;
            }
            if kept != index {
                self.heads.swap(kept, index);
                self.cells.copy_within(index * steps..(index + 1) * steps, kept * steps);
            }
            kept += 1;
        }
        while self.heads.len() > kept {
            self.pop();
        }
    }

    /// Reorders the rows: the new first row is the old `order[0]`.
    pub(super) fn arrange(&mut self, order: &[usize]) {
        let cells = order.iter().flat_map(|index| self.row(*index)).copied().collect();
        self.heads = order.iter().map(|index| self.heads[*index].clone()).collect();
        self.cells = cells;
    }

    /// Takes the metrics' names away, now or (`later`) at the end of the query. True: rows may be alike now.
    pub(super) fn unname(&mut self, later: bool) -> bool {
        if later {
            self.heads.iter_mut().for_each(|head| head.drop = true);
            return false;
        }
        // Rows of one metric differ in other labels.
        let alike = self.heads.windows(2).any(|pair| pair[0].labels.name() != pair[1].labels.name());
        for head in &mut self.heads {
            head.labels = unnamed(&head.labels);
        }
        alike
    }

    /// Makes one row of rows with the same labels.
    ///
    /// # Errors
    /// Two of them have a value at the same step.
    pub(super) fn merge(&mut self) -> Result<(), QueryError> {
        let mut seen: HashMap<Labels, usize> = HashMap::with_capacity(self.heads.len());
        let mut again = false;
        for index in 0..self.heads.len() {
            let first = *seen.entry(self.heads[index].labels.clone()).or_insert(index);
            if first == index {
                continue;
            }
            again = true;
            for step in 0..self.steps {
                let cell = self.row(index)[step];
                if absent(cell) {
                    continue;
                }
                if !absent(self.row(first)[step]) {
                    return Err(alike());
                }
                self.row_mut(first)[step] = cell;
                self.row_mut(index)[step] = ABSENT;
            }
        }
        if again {
            self.compact();
        }
        Ok(())
    }
}

/// Two elements of a vector have the same labels.
pub(super) fn alike() -> QueryError {
    QueryError::Execution("vector cannot contain metrics with the same labelset".into())
}

/// Labels that belong to the metric's name, and go with it.
pub(super) fn of_name(label: &str) -> bool {
    matches!(label, NAME | "__type__" | "__unit__")
}

/// Without the metric's name.
pub(super) fn unnamed(labels: &Labels) -> Labels {
    labels.filter(|label| !of_name(label))
}
