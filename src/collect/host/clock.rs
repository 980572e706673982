//! Is the host's clock kept right? From the service that keeps it.
//!
//! The kernel's own answer (`adjtimex`) needs a system call that no safe interface here offers, so the service is
//! asked. systemd-timesyncd touches `/run/systemd/timesync/synchronized` whenever it has set the clock, at least
//! each 34 minutes (`PollIntervalMaxSec`). chronyd answers on its local port (`clock/chrony.rs`). Hosts with another
//! service (ntpd) have no point: nothing is claimed that is not known.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Instant;

use super::budget::Budget;
use super::context::Context;
use super::{CollectError, Group};
use crate::base::clock::{SECOND, unix_nanos};
use crate::signal::metrics::{Desc, Samples};

mod chrony;

pub(super) const METRICS: &[Desc] = &[SYNCHRONIZED, OFFSET];
const SYNCHRONIZED: Desc = Desc::gauge(
    "system.clock.synchronized",
    "1",
    "1 if chronyd says so or systemd-timesyncd has set the clock in the last two hours, else 0.",
);
const OFFSET: Desc =
    Desc::gauge("system.clock.offset", "s", "How far the clock is off, in either direction, as chronyd estimates it.");

pub(super) struct Clock {
    chronyd: SocketAddr,
    /// A chronyd that does not answer costs a wait each time.
    budget: Budget,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { chronyd: SocketAddr::from((Ipv4Addr::LOCALHOST, chrony::PORT)), budget: Budget::default() }
    }
}

impl Group for Clock {
    fn name(&self) -> &'static str {
        "clock"
    }

    fn read(&mut self, context: &mut Context, out: &mut Samples) -> Result<(), CollectError> {
        let run = &context.roots.run;
        if run.join("chrony").is_dir() {
            let begun = Instant::now();
            if !self.budget.due(begun) {
                return Ok(());
            }
            let answer = chrony::ask(self.chronyd);
            self.budget.spent(begun, begun.elapsed());
            if let Some(tracking) = answer {
                out.put(&SYNCHRONIZED, u64::from(tracking.synchronized));
                out.put(&OFFSET, tracking.offset);
                return Ok(());
            }
        }
        let folder = run.join("systemd/timesync");
        if !folder.is_dir() {
            return Err(CollectError::NoData("no time service that can be asked".into()));
        }
        let touched = touched(&folder.join("synchronized"));
        out.put(&SYNCHRONIZED, u64::from(is_fresh(touched, unix_nanos())));
        Ok(())
    }
}

/// When the file was written, Unix nanoseconds; 0 if it is not there.
fn touched(file: &Path) -> u64 {
    let time = fs::metadata(file).and_then(|file| file.modified()).ok();
    let since = time.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
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
    use crate::signal::metrics::{Limits, Number, Point};

    fn read(clock: &mut Clock, folder: &Path) -> Option<Point> {
        let mut context = Context::new(Roots { run: folder.to_owned(), ..Roots::default() });
        let mut out = Samples::new(Limits::default());
        clock.read(&mut context, &mut out).ok()?;
        Some(out.samples()[0].point.clone())
    }

    #[test]
    fn the_mark_of_timesyncd_counts_for_two_hours() {
        assert!(is_fresh(100, 100 + FRESH - 1) && !is_fresh(100, 100 + FRESH));
        assert!(is_fresh(200, 100), "a mark from the future was set by a clock that was put right since");
    }

    #[test]
    fn a_host_with_timesyncd_but_without_its_mark_is_not_synchronized() {
        let folder = tempfile::tempdir().unwrap();
        let mut clock = Clock::new();
        assert_eq!(read(&mut clock, folder.path()), None);
        fs::create_dir_all(folder.path().join("systemd/timesync")).unwrap();
        assert_eq!(read(&mut clock, folder.path()), Some(Point::Number(Number::Int(0))));
        fs::write(folder.path().join("systemd/timesync/synchronized"), "").unwrap();
        assert_eq!(read(&mut clock, folder.path()), Some(Point::Number(Number::Int(1))));
    }

    #[test]
    fn a_chronyd_that_does_not_answer_is_no_claim() {
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("chrony")).unwrap();
        let mut clock = Clock { chronyd: silent.local_addr().unwrap(), budget: Budget::default() };
        assert_eq!(read(&mut clock, folder.path()), None);
    }
}
