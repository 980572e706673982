//! Uptime and the kernel's tables that can run full: file handles, tracked connections, processes.

use super::context::{Context, numbers, optional};
use super::{CollectError, Group};
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[UPTIME, FILES, FILES_LIMIT, CONNTRACK, CONNTRACK_LIMIT, THREADS, PROCESS_LIMIT];
const UPTIME: Desc = Desc::gauge("system.uptime", "s", "Time since boot.");
const FILES: Desc = Desc::updown("system.file_handle.count", "{handle}", "Files that are open on the host.");
const FILES_LIMIT: Desc = Desc::updown("system.file_handle.limit", "{handle}", "Files that can be open on the host.");
const CONNTRACK: Desc =
    Desc::updown("system.network.conntrack.count", "{entry}", "Connections that the kernel's firewall tracks.");
const CONNTRACK_LIMIT: Desc = Desc::updown(
    "system.network.conntrack.max",
    "{entry}",
    "Connections that the kernel's firewall can track; more are dropped.",
);
const THREADS: Desc =
    Desc::updown("system.thread.count", "{thread}", "Threads of all processes, which the limit is a limit of.");
const PROCESS_LIMIT: Desc =
    Desc::updown("system.process.limit", "{thread}", "Processes and threads that the host can have.");

pub(super) struct Kernel;

impl Group for Kernel {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn read(&mut self, context: &mut Context, out: &mut Samples) -> Result<(), CollectError> {
        out.put(&UPTIME, parse_uptime(context.proc("uptime")?)?);
        if let Some(text) = optional(context.proc("sys/fs/file-nr"))? {
            let mut words = numbers(text);
            let (open, unused, limit) = (words.next(), words.next(), words.next());
            if let (Some(open), Some(unused), Some(limit)) = (open, unused, limit) {
                out.put(&FILES, open.saturating_sub(unused));
                // Today's kernels say that there is none by the largest number.
                if limit < i64::MAX as u64 {
                    out.put(&FILES_LIMIT, limit);
                }
            }
        }
        // Only there while the module is loaded.
        for (desc, name) in [(&CONNTRACK, "nf_conntrack_count"), (&CONNTRACK_LIMIT, "nf_conntrack_max")] {
            if let Some(number) = optional(context.proc_number(&format!("sys/net/netfilter/{name}")))? {
                out.put(desc, number);
            }
        }
        if let Some(threads) = optional(context.proc("loadavg"))?.and_then(parse_threads) {
            out.put(&THREADS, threads);
        }
        let ids = optional(context.proc_number("sys/kernel/pid_max"))?;
        let threads = optional(context.proc_number("sys/kernel/threads-max"))?;
        if let Some(limit) = ids.into_iter().chain(threads).min() {
            out.put(&PROCESS_LIMIT, limit);
        }
        Ok(())
    }
}

fn parse_uptime(text: &str) -> Result<f64, CollectError> {
    let seconds = text.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
    seconds.ok_or_else(|| CollectError::Parse(format!("uptime holds no number: {:.40}", text.trim())))
}

/// Behind the three loads stand the threads that run and all that there are: `2/413`.
fn parse_threads(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_stand_behind_those_that_run() {
        assert_eq!(parse_threads("0.51 0.37 0.40 2/413 12345\n"), Some(413));
        assert_eq!(parse_threads("0.51 0.37 0.40\n"), None);
    }

    #[test]
    fn uptime_is_the_first_number() {
        assert_eq!(parse_uptime("1026.20 872.19\n").unwrap(), 1026.2);
        assert!(parse_uptime("").is_err());
    }
}
