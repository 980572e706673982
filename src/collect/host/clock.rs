//! Is the host's clock kept right? From the mark of the time service.
//!
//! The kernel's own answer (`adjtimex`) needs a system call that no safe interface here offers, so the service is
//! asked by its trace: systemd-timesyncd touches `/run/systemd/timesync/synchronized` whenever it has set the clock,
//! at least each 34 minutes (`PollIntervalMaxSec`). Hosts with another service (chrony, ntpd) have no point:
//! nothing is claimed that is not known.

use std::fs;

use super::context::Context;
use super::{CollectError, Group};
use crate::base::clock::{SECOND, unix_nanos};
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[SYNCHRONIZED];
const SYNCHRONIZED: Desc = Desc::gauge(
    "system.clock.synchronized",
    "1",
    "1 if systemd-timesyncd has set the clock in the last two hours, 0 if not; other time services are not asked.",
);

pub(super) struct Clock;

impl Group for Clock {
    fn name(&self) -> &'static str {
        "clock"
    }

    fn read(&mut self, context: &mut Context, out: &mut Samples) -> Result<(), CollectError> {
        let folder = context.roots.run.join("systemd/timesync");
        if !folder.is_dir() {
            return Err(CollectError::NoData("systemd-timesyncd does not run".into()));
        }
        let touched = fs::metadata(folder.join("synchronized")).and_then(|file| file.modified()).ok();
        let touched = touched.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let touched = touched.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
        out.put(&SYNCHRONIZED, u64::from(is_fresh(touched, unix_nanos())));
        Ok(())
    }
}

/// Three of the longest poll intervals and some.
const FRESH: u64 = 2 * 3600 * SECOND;

fn is_fresh(touched: u64, now: u64) -> bool {
    now.saturating_sub(touched) < FRESH
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::host::Roots;
    use crate::signal::metrics::{Number, Point};

    #[test]
    fn the_mark_of_timesyncd_counts_for_two_hours() {
        assert!(is_fresh(100, 100 + FRESH - 1) && !is_fresh(100, 100 + FRESH));
        assert!(is_fresh(200, 100), "a mark from the future was set by a clock that was put right since");
    }

    #[test]
    fn a_host_with_timesyncd_but_without_its_mark_is_not_synchronized() {
        let folder = tempfile::tempdir().unwrap();
        let mut context = Context::new(Roots { run: folder.path().to_owned(), ..Roots::default() });
        let mut out = Samples::default();
        assert!(matches!(Clock.read(&mut context, &mut out), Err(CollectError::NoData(_))));
        let mut read = || {
            let mut out = Samples::new(crate::signal::metrics::Limits::default());
            Clock.read(&mut context, &mut out).unwrap();
            out.samples()[0].point.clone()
        };
        fs::create_dir_all(folder.path().join("systemd/timesync")).unwrap();
        assert_eq!(read(), Point::Number(Number::Int(0)));
        fs::write(folder.path().join("systemd/timesync/synchronized"), "").unwrap();
        assert_eq!(read(), Point::Number(Number::Int(1)));
    }
}
