//! The processes of the server on this host: the children of its postmaster, from `/proc/<pid>/status`, which needs no
//! capability. Postgres names processes by the ids of its own namespace, which is the last one of `NSpid`.

use std::path::{Path, PathBuf};

/// One process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Backend {
    /// Its id on this host.
    pub(super) pid: u32,
    /// Its id as the server knows it.
    pub(super) inner: u32,
    /// When it began, in clock ticks since boot: ids are used again.
    pub(super) start: u64,
    /// `RssAnon + VmSwap`, in bytes: what nobody else has.
    pub(super) memory: u64,
}

/// A postmaster on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    proc: PathBuf,
    postmaster: u32,
}

/// Processes that are looked at when a server is sought, and children of one server.
const MAX_PROCESSES: usize = 50_000;
const MAX_CHILDREN: usize = 5000;
/// Between the server's time of a session's start and the kernel's time of the process.
const APART: f64 = 3.0;

impl Server {
    /// The postmaster whose backend `inner` began at `began` (Unix seconds): `None` when that is not on this host, or
    /// not in sight. Id, name and time must agree, so that a tunnel to another host deceives nobody.
    pub(super) fn find(proc: &Path, inner: u32, began: f64) -> Option<Self> {
        let boot = boot(&read(&proc.join("stat"))?)?;
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let matches = |pid: u32| {
            let status = Status::parse(&read(&proc.join(format!("{pid}/status")))?)?;
            let start = start(&read(&proc.join(format!("{pid}/stat")))?)? as f64 / ticks + boot;
            let same = status.inner == inner && status.is_postgres && (start - began).abs() < APART;
            same.then_some(Self { proc: proc.to_owned(), postmaster: status.parent })
        };
        matches(inner).or_else(|| processes(proc).into_iter().find_map(matches))
    }

    /// Its id on this host.
    pub(super) fn postmaster(&self) -> u32 {
        self.postmaster
    }

    /// Its children now; empty once it has ended.
    pub(super) fn backends(&self) -> Vec<Backend> {
        let mut found: Vec<Backend> = self.children().into_iter().filter_map(|pid| self.backend(pid)).collect();
        found.sort_by_key(|backend| std::cmp::Reverse((backend.memory, backend.pid)));
        found
    }

    fn backend(&self, pid: u32) -> Option<Backend> {
        let status = Status::parse(&read(&self.proc.join(format!("{pid}/status")))?)?;
        if status.parent != self.postmaster {
            return None;
        }
        let start = start(&read(&self.proc.join(format!("{pid}/stat")))?)?;
        Some(Backend { pid, inner: status.inner, start, memory: status.memory })
    }

    /// The kernel's own list of them, where it was built with that.
    fn children(&self) -> Vec<u32> {
        let pid = self.postmaster;
        let listed = read(&self.proc.join(format!("{pid}/task/{pid}/children")));
        let mut pids: Vec<u32> = match listed {
            Some(text) => text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect(),
            None => processes(&self.proc),
        };
        pids.truncate(if pids.len() > MAX_CHILDREN { MAX_CHILDREN } else { pids.len() });
        pids
    }
}

/// What `/proc/<pid>/status` says.
struct Status {
    is_postgres: bool,
    parent: u32,
    inner: u32,
    memory: u64,
}

impl Status {
    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
            Some(rest.trim())
        };
        let kib = |name| field(name).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok()).unwrap_or(0);
        Some(Self {
            is_postgres: field("Name:")?.starts_with("post"),
            parent: field("PPid:")?.parse().ok()?,
            inner: field("NSpid:").or_else(|| field("Pid:"))?.split_ascii_whitespace().last()?.parse().ok()?,
            memory: (kib("RssAnon:") + kib("VmSwap:")).saturating_mul(1024),
        })
    }
}

/// Field 22 of `/proc/<pid>/stat`; the name before it may hold anything.
fn start(text: &str) -> Option<u64> {
    text.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The boot's time of `/proc/stat`, Unix seconds.
fn boot(text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn processes(proc: &Path) -> Vec<u32> {
    let entries = std::fs::read_dir(proc).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).take(MAX_PROCESSES).collect()
}

pub(super) fn read(path: &Path) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tpostgres\nUmask:\t0077\nPid:\t41234\nPPid:\t41000\nNSpid:\t41234\t77\nVmRSS:\t  9000 kB\n\
        RssAnon:\t    7000 kB\nVmSwap:\t     500 kB\n";

    #[test]
    fn a_containers_process_is_known_by_its_innermost_id() {
        let dir = tempfile::tempdir().unwrap();
        let proc = dir.path();
        let write = |name: &str, text: &str| {
            std::fs::create_dir_all(proc.join(name).parent().unwrap()).unwrap();
            std::fs::write(proc.join(name), text).unwrap();
        };
        let ticks = rustix::param::clock_ticks_per_second();
        let stat = format!("41234 (post) gres) S 41000 {}{} 0\n", "0 ".repeat(17), 50 * ticks);
        write("stat", "cpu 1 2\nbtime 1000\n");
        write("41234/status", STATUS);
        write("41234/stat", &stat);
        write("41000/task/41000/children", "41234 41235 ");
        let server = Server::find(proc, 77, 1050.5).unwrap();
        assert_eq!(server.postmaster, 41_000);
        let backend = Backend { pid: 41_234, inner: 77, start: 50 * ticks, memory: 7500 * 1024 };
        assert_eq!(server.backends(), [backend]);
        assert_eq!(Server::find(proc, 77, 1090.0), None, "another host's process of the same id");
        assert_eq!(Server::find(proc, 41_234, 1050.5), None, "an id of this namespace is not the server's");
    }
}
