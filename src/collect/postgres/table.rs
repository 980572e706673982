//! An answer of the simple protocol: columns and rows of text, the same from a server as from a recorded file.

use std::fmt;

use crate::signal::metrics::{Desc, Number, Samples};

/// Rows of text under named columns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    columns: Vec<String>,
    cells: Vec<Option<Box<str>>>,
}

/// One row.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    columns: &'a [String],
    cells: &'a [Option<Box<str>>],
}

impl Table {
    /// Without rows.
    pub fn new(columns: Vec<String>) -> Self {
        Self { columns, cells: Vec::new() }
    }

    /// Adds a row; what is beyond the columns is left out, what is missing is NULL.
    pub fn push<'a>(&mut self, row: impl IntoIterator<Item = Option<&'a str>>) {
        let mut row = row.into_iter();
        for _ in 0..self.columns.len() {
            self.cells.push(row.next().flatten().map(Box::from));
        }
    }

    /// The rows.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let width = self.columns.len().max(1);
        self.cells.chunks_exact(width).map(|cells| Row { columns: &self.columns, cells })
    }

    /// The same with the rows of which `keep` says so.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(Row<'_>) -> bool) -> Self {
        let mut kept = Self::new(self.columns.clone());
        for row in self.rows().filter(|row| keep(*row)) {
            kept.cells.extend_from_slice(row.cells);
        }
        kept
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.cells.len() / self.columns.len().max(1)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The first row.
    pub fn first(&self) -> Option<Row<'_>> {
        self.rows().next()
    }
}

impl<'a> Row<'a> {
    /// A column's text; `None` for NULL, and for a column that is not there.
    pub fn text(self, column: &str) -> Option<&'a str> {
        let at = self.columns.iter().position(|name| name == column)?;
        self.cells.get(at)?.as_deref()
    }

    /// A column's number, which is finite; a boolean counts as 1 or 0.
    pub fn number(self, column: &str) -> Option<Number> {
        let text = self.text(column)?;
        match text {
            "t" | "true" | "on" => return Some(Number::Int(1)),
            "f" | "false" | "off" => return Some(Number::Int(0)),
            _ => {}
        }
        let double = || text.parse().ok().filter(|double: &f64| double.is_finite()).map(Number::Double);
        text.parse().map(Number::Int).ok().or_else(double)
    }

    /// A column as a plain number.
    pub fn float(self, column: &str) -> Option<f64> {
        self.number(column).map(Number::as_f64)
    }

    /// Puts the columns that have a number under their metrics.
    pub fn put(self, out: &mut Samples, attributes: &[(&str, &str)], columns: &[(&str, &'static Desc)]) {
        for (column, desc) in columns {
            if let Some(number) = self.number(column) {
                out.put_with(desc, attributes, number);
            }
        }
    }

    /// Puts columns of milliseconds as seconds.
    pub fn put_millis(self, out: &mut Samples, attributes: &[(&str, &str)], columns: &[(&str, &'static Desc)]) {
        for (column, desc) in columns {
            if let Some(millis) = self.float(column) {
                out.put_with(desc, attributes, millis / 1e3);
            }
        }
    }
}

impl fmt::Debug for Row<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_map().entries(self.columns.iter().zip(self.cells)).finish()
    }
}
