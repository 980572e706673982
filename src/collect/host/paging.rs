//! Page faults, swapping and out-of-memory kills, from `/proc/vmstat`.

use super::context::Context;
use super::{CollectError, Group};
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[OPERATIONS, FAULTS, OOM_KILLS];
const OPERATIONS: Desc =
    Desc::counter("system.paging.operations", "{operation}", "Pages swapped in and out since boot.");
const FAULTS: Desc =
    Desc::counter("system.paging.faults", "{fault}", "Page faults since boot; a major one had to read a disk.");
const OOM_KILLS: Desc = Desc::counter(
    "system.memory.linux.oom_kills",
    "{kill}",
    "Processes killed for want of memory since boot, those at a cgroup's limit among them.",
);

pub(super) struct Paging;

impl Group for Paging {
    fn name(&self) -> &'static str {
        "paging"
    }

    fn read(&mut self, context: &mut Context, out: &mut Samples) -> Result<(), CollectError> {
        let stat = parse(context.proc("vmstat")?);
        for (direction, count) in [("in", stat.swapped_in), ("out", stat.swapped_out)] {
            let attributes = [("system.paging.direction", direction), ("system.paging.fault.type", "major")];
            if let Some(count) = count {
                out.put_with(&OPERATIONS, &attributes, count);
            }
        }
        if let (Some(faults), Some(major)) = (stat.faults, stat.major) {
            out.put_with(&FAULTS, &[("system.paging.fault.type", "major")], major);
            out.put_with(&FAULTS, &[("system.paging.fault.type", "minor")], faults.saturating_sub(major));
        }
        // Since Linux 4.13.
        if let Some(kills) = stat.oom_kills {
            out.put(&OOM_KILLS, kills);
        }
        Ok(())
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Vmstat {
    swapped_in: Option<u64>,
    swapped_out: Option<u64>,
    faults: Option<u64>,
    major: Option<u64>,
    oom_kills: Option<u64>,
}

fn parse(text: &str) -> Vmstat {
    let mut stat = Vmstat::default();
    for line in text.lines() {
        let Some((key, rest)) = line.split_once(' ') else { continue };
        let field = match key {
            "pswpin" => &mut stat.swapped_in,
            "pswpout" => &mut stat.swapped_out,
            "pgfault" => &mut stat.faults,
            "pgmajfault" => &mut stat.major,
            "oom_kill" => &mut stat.oom_kills,
            _ => continue,
        };
        *field = rest.trim().parse().ok();
    }
    stat
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_kernel_without_oom_kill_says_nothing_of_it() {
        let stat = parse("pgfault 100\npgmajfault 7\npswpin 1\n");
        assert_eq!((stat.faults, stat.major, stat.swapped_in, stat.oom_kills), (Some(100), Some(7), Some(1), None));
    }
}
