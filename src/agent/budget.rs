//! The memory budget: `plimsoll status` says when the agent is over it.
//!
//! The store's head, which is the largest part by far, has a quarter of it. Every other queue, cache and table has a
//! bound of its own, so that the sum stays far below the default. What is over the budget all the same is either a
//! budget below those bounds or a fault: it must be seen, not hidden.

use std::time::Duration;

use crate::base::stop::Stop;
use crate::base::units::Size;
use crate::status::Board;
use crate::status::report::Usage;

const EVERY: Duration = Duration::from_secs(15);

/// Looks now and then, until `stop`.
pub(super) async fn watch(board: Board, budget: Size, stop: Stop) {
    while !stop.sleep(EVERY).await {
        board.note("memory", over(Size(Usage::of_self().rss_bytes), budget));
    }
}

/// What to say of `used` beside `budget`.
fn over(used: Size, budget: Size) -> Option<String> {
    (used > budget).then(|| format!("{used} resident is over the budget of {budget}: raise `memory:`, or report it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_over_the_budget_is_told() {
        assert_eq!(over(Size(40 << 20), Size(40 << 20)), None);
        let said = over(Size(41 << 20), Size(40 << 20)).unwrap();
        assert!(said.contains("41 MiB") && said.contains("40 MiB") && said.contains("memory:"), "{said}");
    }
}
