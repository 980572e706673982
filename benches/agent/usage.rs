//! What a process has used, from `/proc/PID/stat` and `/proc/PID/status`.

use std::fs;

/// CPU time of all threads; memory that is resident, and the most that was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    pub(crate) bytes: u64,
    pub(crate) peak_bytes: u64,
}

impl Usage {
    /// Of a process that still runs.
    pub(crate) fn of(pid: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running process");
        // The name in parentheses may hold anything; utime and stime are the 14th and 15th field.
        let fields: Vec<&str> = stat[stat.rfind(')').expect("a name") + 2..].split(' ').collect();
        let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().expect("ticks")).sum();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
        Self {
            cpu_seconds: ticks / rustix::param::clock_ticks_per_second() as f64,
            bytes: kilobytes(&status, "VmRSS:") << 10,
            peak_bytes: kilobytes(&status, "VmHWM:") << 10,
        }
    }
}

fn kilobytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of status");
    line.trim().trim_end_matches(" kB").parse().expect("kilobytes")
}
