//! Pressure stall information, from `/proc/pressure/{cpu,memory,io,irq}`.
//!
//! How long tasks waited for a resource: `some` at least one, `full` all of them at once. The kernel may be built
//! without it or started with `psi=0`; `irq` needs IRQ time accounting. The conventions have the attribute
//! `system.pressure.stall_type` and no metric yet.

use super::context::{Context, optional};
use super::{CollectError, Group};
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[TIME, AVERAGE];
const TIME: Desc =
    Desc::counter("system.linux.pressure.time", "s", "Time since boot that tasks waited for a resource: some or all.");
const AVERAGE: Desc = Desc::gauge(
    "system.linux.pressure.utilization",
    "1",
    "Share of the last ten seconds that tasks waited for a resource: some or all of them.",
);

pub(super) struct Pressure;

impl Group for Pressure {
    fn name(&self) -> &'static str {
        "pressure"
    }

    fn read(&mut self, context: &mut Context, out: &mut Samples) -> Result<(), CollectError> {
        let mut found = false;
        for resource in ["cpu", "memory", "io", "irq"] {
            let Some(text) = optional(context.proc(&format!("pressure/{resource}")))? else { continue };
            found = true;
            for (stall, average, micros) in text.lines().filter_map(parse_line) {
                // The kernel writes zeros there for the whole system: waiting for a CPU means that another task runs.
                if (resource, stall) == ("cpu", "full") {
                    continue;
                }
                let attributes = [("system.pressure.resource", resource), ("system.pressure.stall_type", stall)];
                out.put_with(&TIME, &attributes, micros as f64 / 1e6);
                out.put_with(&AVERAGE, &attributes, average / 100.0);
            }
        }
        if found { Ok(()) } else { Err(CollectError::NoData("no pressure stall information".into())) }
    }
}

/// `some avg10=0.94 avg60=0.86 avg300=0.77 total=12199991`: kind, percent of 10 s, microseconds.
fn parse_line(line: &str) -> Option<(&str, f64, u64)> {
    let mut words = line.split_ascii_whitespace();
    let stall = words.next()?;
    let (mut average, mut total) = (None, None);
    for word in words {
        match word.split_once('=')? {
            ("avg10", value) => average = value.parse().ok(),
            ("total", value) => total = value.parse().ok(),
            _ => {}
        }
    }
    Some((stall, average?, total?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_its_kind_its_share_and_its_total() {
        let line = "some avg10=43.13 avg60=31.86 avg300=35.04 total=421065116";
        assert_eq!(parse_line(line), Some(("some", 43.13, 421_065_116)));
        assert_eq!(parse_line("some avg10=43.13"), None);
        assert_eq!(parse_line(""), None);
    }
}
