//! What the agent itself uses, from `/proc/self/status` and the process clock.

use rustix::time::{ClockId, clock_gettime};

/// Memory and processor time of this process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Resident memory in bytes.
    pub rss_bytes: u64,
    /// Processor time since the start, in seconds, of all threads.
    pub cpu_seconds: f64,
}

impl Usage {
    /// Reads them now; what cannot be read is 0.
    pub fn of_self() -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self { rss_bytes: rss(&status).unwrap_or(0), cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9 }
    }
}

/// `VmRSS:     37120 kB`.
fn rss(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_from_the_status_file() {
        assert_eq!(rss("Name:\tplimsoll\nVmRSS:\t   37120 kB\nRssAnon:\t 1 kB\n"), Some(37120 * 1024));
        assert_eq!(rss("Name:\tplimsoll\n"), None);
        assert!(Usage::of_self().rss_bytes > 0);
    }
}
