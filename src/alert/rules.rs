//! Rule files as people write them, read strictly and checked once.

use std::path::PathBuf;
use std::time::Duration;

use super::template::Template;
use crate::query::Query;

mod checks;
pub mod duration;
mod glob;
mod load;
mod raw;
#[cfg(test)]
mod tests;

pub use checks::parse;
pub use glob::expand;
pub use load::{FLEET, Loaded, SHIPPED, load, read};

/// A group of rules that are evaluated one after the other.
#[derive(Debug, Clone)]
pub struct Group {
    /// The file it stands in.
    pub file: PathBuf,
    /// Its name, once in its file.
    pub name: String,
    /// Time between two rounds; `None`: the config's.
    pub interval: Option<Duration>,
    /// Most alerts or series of one rule; 0: no bound.
    pub limit: usize,
    /// How far in the past it is evaluated.
    pub query_offset: Duration,
    /// Its rules, in their order, the group's labels among theirs.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// What becomes of its results.
    pub kind: Kind,
    /// Alert's or recorded series' name.
    pub name: String,
    /// The expression.
    pub expr: Query,
    /// Labels that are added, in the order of their names.
    pub labels: Vec<(String, Template)>,
    /// The line of the file that it starts in.
    pub line: usize,
}

/// What becomes of a rule's results.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Recorded under the rule's name.
    Record,
    /// Alerts.
    Alert {
        /// `for`.
        hold: Duration,
        /// `keep_firing_for`.
        keep: Duration,
        /// Texts for people, in the order of their names.
        annotations: Vec<(String, Template)>,
    },
}

/// What a rule file has that is no reason to refuse it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file.
    pub file: PathBuf,
    /// The line from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// In words.
    pub what: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(out, "{}: {}", self.file.display(), self.what),
            line => write!(out, "{}:{line}: {}", self.file.display(), self.what),
        }
    }
}
