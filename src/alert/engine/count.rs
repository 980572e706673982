//! Counts of rules and alerts, for the board.

use std::time::Duration;

use crate::alert::group::Round;
use crate::alert::view::{Presence, View};
use crate::status::Board;

/// One round of one group.
pub(super) fn round(board: &Board, round: &Round, missed: u64, took: Duration) {
    let rules = board.rules();
    rules.evaluations.add(round.evaluations);
    rules.failures.add(round.failures);
    rules.missed.add(missed);
    rules.micros.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
}

/// How the rules stand.
pub(super) fn view(board: &Board, view: &View) {
    let (mut pages, mut tickets, mut others, mut pending) = (0, 0, 0, 0);
    let (mut quiet, mut waiting) = (0, 0);
    let (mut cannot_fire, mut not_here, mut fleet, mut failing) = (0, 0, 0, 0);
    for rule in view.groups.iter().flat_map(|group| &group.rules) {
        failing += u64::from(!rule.error.is_empty());
        let Some(alert) = &rule.alert else { continue };
        // The heartbeat always fires and says nothing.
        if rule.labels.iter().any(|(name, value)| name == "severity" && value == "none") {
            continue;
        }
        for active in &alert.active {
            match (active.firing, active.labels.get("severity")) {
                (false, _) => pending += 1,
                (true, "page") => pages += 1,
                (true, "ticket") => tickets += 1,
                (true, _) => others += 1,
            }
        }
        match &rule.presence {
            Presence::CannotFire { .. } => cannot_fire += 1,
            Presence::NotHere(_) => not_here += 1,
            Presence::Fleet => fleet += 1,
            Presence::Here if !alert.active.is_empty() || !rule.error.is_empty() => {}
            Presence::Here if rule.evaluated == 0 => waiting += 1,
            Presence::Here => quiet += 1,
        }
    }
    let rules = board.rules();
    let off = u64::from(view.off);
    let cells = [
        (&rules.off, off),
        (&rules.pages, pages),
        (&rules.tickets, tickets),
        (&rules.others, others),
        (&rules.pending, pending),
        (&rules.quiet, quiet),
        (&rules.waiting, waiting),
        (&rules.cannot_fire, cannot_fire),
        (&rules.not_here, not_here),
        (&rules.fleet, fleet),
        (&rules.failing, failing),
    ];
    cells.into_iter().for_each(|(cell, value)| cell.set(value));
}
