//! Whether memory may soon run out: three small files, looked at more often than the processes themselves.
//!
//! A query can take a gigabyte in a second. So the host's free memory and the anonymous memory of the server's cgroup
//! are read twice a second, and what falls or grows fast there calls for a look at the processes at once.

use std::path::{Path, PathBuf};

use super::backends::read;

/// What a look at the files says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    /// Nothing is near.
    Calm,
    /// The host or the cgroup waits for memory, or has little left.
    Short,
    /// Much was taken since the last look.
    Growth,
}

/// The host, and the cgroup of one server.
#[derive(Debug)]
pub(super) struct Pressure {
    proc: PathBuf,
    cgroups: PathBuf,
    postmaster: u32,
    groups: Vec<Group>,
    available: Option<u64>,
}

/// A cgroup with a limit.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    folder: PathBuf,
    limit: u64,
    used: Option<u64>,
}

/// Taken between two looks, that is in half a second, at least: of a cgroup; of the host also a part of its memory.
const FAST: u64 = 32 << 20;
const FAST_HOST: u64 = 64 << 20;
const PART: u64 = 64;
/// A limit above this is none: version 1 shows a number for that.
const NO_LIMIT: u64 = 1 << 60;
const MAX_DEPTH: usize = 16;

impl Pressure {
    /// `proc` and `cgroups` are where the kernel shows them.
    pub(super) fn new(proc: &Path, cgroups: &Path) -> Self {
        let (proc, cgroups) = (proc.to_owned(), cgroups.to_owned());
        Self { proc, cgroups, postmaster: 0, groups: Vec::new(), available: None }
    }

    /// Looks at the host and at the cgroups of `postmaster`.
    pub(super) fn look(&mut self, postmaster: u32) -> Alarm {
        if self.postmaster != postmaster {
            self.postmaster = postmaster;
            let text = read(&self.proc.join(format!("{postmaster}/cgroup"))).unwrap_or_default();
            self.groups = limited(&self.cgroups, &text);
        }
        let groups = self.groups.iter_mut().map(Group::look).max().unwrap_or(Alarm::Calm);
        groups.max(self.host())
    }

    fn host(&mut self) -> Alarm {
        let text = read(&self.proc.join("meminfo")).unwrap_or_default();
        let (Some(total), Some(available)) = (kib(&text, "MemTotal:"), kib(&text, "MemAvailable:")) else {
            return Alarm::Calm;
        };
        let before = self.available.replace(available).unwrap_or(available);
        let waits = read(&self.proc.join("pressure/memory")).is_some_and(|text| waits(&text));
        if before.saturating_sub(available) >= FAST_HOST.max(total / PART) {
            Alarm::Growth
        } else if waits || available < total / 10 {
            Alarm::Short
        } else {
            Alarm::Calm
        }
    }
}

impl Group {
    fn look(&mut self) -> Alarm {
        // Not what it uses in all: that is filled by the cache of files, which gives way.
        let used = read(&self.folder.join("memory.stat")).and_then(|text| anonymous(&text)).unwrap_or(0);
        let before = self.used.replace(used).unwrap_or(used);
        let waits = read(&self.folder.join("memory.pressure")).is_some_and(|text| waits(&text));
        if used.saturating_sub(before) >= FAST {
            Alarm::Growth
        } else if waits || used > self.limit / 10 * 9 {
            Alarm::Short
        } else {
            Alarm::Calm
        }
    }
}

/// The cgroups with a limit that a process is in, its own and those above, from its `/proc/<pid>/cgroup`.
fn limited(root: &Path, text: &str) -> Vec<Group> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            list if list.split(',').any(|name| name == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
            _ => continue,
        };
        let own = root.join(path.trim_start_matches('/'));
        for folder in own.ancestors().take(MAX_DEPTH).take_while(|folder| folder.starts_with(&root)) {
            let limit = read(&folder.join(file)).and_then(|text| text.trim().parse::<u64>().ok());
            if let Some(limit) = limit.filter(|limit| *limit < NO_LIMIT) {
                found.push(Group { folder: folder.to_owned(), limit, used: None });
            }
        }
    }
    found
}

/// Bytes of `memory.stat` that are no cache of files: with those of the cgroups below it.
fn anonymous(text: &str) -> Option<u64> {
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    value("anon ").or_else(|| value("total_rss "))
}

/// More than a hundredth of the last ten seconds.
fn waits(text: &str) -> bool {
    let average = text.split_ascii_whitespace().find_map(|word| word.strip_prefix("avg10="));
    average.and_then(|average| average.parse::<f64>().ok()).is_some_and(|average| average > 1.0)
}

/// A line of `/proc/meminfo` in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.trim().split(' ').next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench(tempfile::TempDir);

    impl Bench {
        fn new() -> Self {
            let bench = Self(tempfile::tempdir().unwrap());
            bench.write("proc/meminfo", "MemTotal: 8000000 kB\nMemFree: 1 kB\nMemAvailable: 4000000 kB\n");
            bench
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.0.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }

        fn pressure(&self) -> Pressure {
            Pressure::new(&self.0.path().join("proc"), &self.0.path().join("cgroup"))
        }
    }

    #[test]
    fn a_host_is_short_when_it_waits_or_has_less_than_a_tenth_and_tells_when_much_is_taken() {
        let bench = Bench::new();
        let mut pressure = bench.pressure();
        assert_eq!(pressure.look(1), Alarm::Calm);
        bench.write("proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 3880000 kB\n");
        assert_eq!(pressure.look(1), Alarm::Calm, "a little");
        bench.write("proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 3740000 kB\n");
        assert_eq!(pressure.look(1), Alarm::Growth);
        assert_eq!(pressure.look(1), Alarm::Calm);
        bench.write("proc/pressure/memory", "some avg10=1.50 avg60=0.00 avg300=0.08 total=3422160\nfull avg10=0.00");
        assert_eq!(pressure.look(1), Alarm::Short);
        bench.write("proc/pressure/memory", "some avg10=0.00 avg60=9.00 avg300=0.08 total=3422160\nfull avg10=0.00");
        assert_eq!(pressure.look(1), Alarm::Calm);
        bench.write("proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 799999 kB\n");
        assert_eq!([pressure.look(1), pressure.look(1)], [Alarm::Growth, Alarm::Short]);
        bench.write("proc/meminfo", "");
        assert_eq!(pressure.look(1), Alarm::Calm);
    }

    #[test]
    fn a_cgroup_of_version_2_tells_when_its_limit_comes_near_also_that_of_one_above() {
        let bench = Bench::new();
        bench.write("proc/7/cgroup", "0::/system.slice/db.service/main\n");
        bench.write("cgroup/system.slice/db.service/memory.max", "1000000000\n");
        bench.write("cgroup/system.slice/db.service/main/memory.max", "max\n");
        let stat = |anon: u64| {
            let text = format!("anon {anon}\nfile 900000000\nanon_thp 0\n");
            bench.write("cgroup/system.slice/db.service/memory.stat", &text);
        };
        let mut pressure = bench.pressure();
        stat(100_000_000);
        assert_eq!(pressure.look(7), Alarm::Calm, "a cache that fills the limit is no want");
        stat(140_000_000);
        assert_eq!([pressure.look(7), pressure.look(7)], [Alarm::Growth, Alarm::Calm]);
        stat(910_000_000);
        assert_eq!([pressure.look(7), pressure.look(7)], [Alarm::Growth, Alarm::Short]);
        stat(100_000_000);
        bench.write("cgroup/system.slice/db.service/memory.pressure", "some avg10=4.00 avg60=0.00 avg300=0 total=1");
        assert_eq!(pressure.look(7), Alarm::Short);
        assert_eq!(pressure.look(8), Alarm::Calm, "another server, whose cgroup is not in sight");
    }

    #[test]
    fn a_cgroup_of_version_1_is_found_by_its_controller() {
        let bench = Bench::new();
        bench.write("proc/7/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/9d2a\n0::/\n");
        bench.write("cgroup/memory/docker/9d2a/memory.limit_in_bytes", "1000000000\n");
        bench.write("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        bench.write("cgroup/memory/docker/9d2a/memory.stat", "cache 5\nrss 1\ntotal_rss 100\n");
        let mut pressure = bench.pressure();
        assert_eq!(pressure.look(7), Alarm::Calm);
        let folder = bench.0.path().join("cgroup/memory/docker/9d2a");
        assert_eq!(pressure.groups, [Group { folder, limit: 1_000_000_000, used: Some(100) }]);
        bench.write("cgroup/memory/docker/9d2a/memory.stat", "cache 5\nrss 1\ntotal_rss 40000000\n");
        assert_eq!(pressure.look(7), Alarm::Growth);
    }
}
