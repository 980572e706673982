//! The entry of the alert rules.

use super::Cell;

/// How the rules of this box stand. Counters since the start of the agent, levels of now.
#[derive(Debug, Default)]
pub struct Rules {
    /// 1: `alerts: off`.
    pub off: Cell,
    /// Alerts of `severity: page` that fire.
    pub pages: Cell,
    /// Alerts of `severity: ticket` that fire.
    pub tickets: Cell,
    /// Other alerts that fire.
    pub others: Cell,
    /// Alerts that wait for their time.
    pub pending: Cell,
    /// Rules without an alert.
    pub quiet: Cell,
    /// Rules that were not evaluated yet.
    pub waiting: Cell,
    /// Rules whose source is here and fails.
    pub cannot_fire: Cell,
    /// Rules whose source is not on this box.
    pub not_here: Cell,
    /// Rules for the stack's ruler.
    pub fleet: Cell,
    /// Rules whose latest round failed.
    pub failing: Cell,
    /// Rules that were evaluated.
    pub evaluations: Cell,
    /// Of these, those that failed.
    pub failures: Cell,
    /// Rounds of groups that were left out.
    pub missed: Cell,
    /// Time that rounds took, in microseconds.
    pub micros: Cell,
}
