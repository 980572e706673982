//! What the kernel says when it kills for want of memory: the lines of `mm/oom_kill.c`, of kernels 4.4 to 6.18.

/// A process that the kernel killed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Kill {
    /// Its id in the host's namespace.
    pub(super) pid: u32,
    /// Its name, at most 15 bytes; the process chose it.
    pub(super) name: String,
    /// Resident anonymous memory, in bytes; `None` where the line was cut.
    pub(super) memory: Option<u64>,
    /// A cgroup was at its limit, not the whole box.
    pub(super) is_cgroup: bool,
    /// The cgroup whose limit it was; since Linux 5.0.
    pub(super) cgroup: Option<String>,
}

/// Reads lines in their order: the cgroup stands in a line before the kill.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Of which process it was said that a cgroup is at its limit, and which cgroup.
    cgroup: Option<(u32, String)>,
    /// Before Linux 5.0: the cgroup, from a line that names no process.
    limit: Option<String>,
    /// Before Linux 4.19: the process that a cgroup's limit was about to kill.
    chosen: Option<u32>,
    /// Whether the victim's whole cgroup goes with it: the others are no news.
    group: bool,
}

/// Bytes of a cgroup's path.
const MAX_PATH: usize = 256;

impl Lines {
    /// A line of the kernel without what `/dev/kmsg` puts before it; a kill when it tells one.
    pub(super) fn take(&mut self, line: &str) -> Option<Kill> {
        if let Some(rest) = line.strip_prefix("oom-kill:constraint=") {
            *self = Self { cgroup: constraint(rest), ..Self::default() };
            return None;
        }
        if line.contains(" invoked oom-killer: ") {
            *self = Self::default();
            return None;
        }
        if let Some(rest) = line.strip_prefix("Tasks in ").or_else(|| line.strip_prefix("Task in ")) {
            // Version 2, where one cgroup lives and dies as a whole; and version 1 of old.
            self.group |= rest.ends_with(" are going to be killed due to memory.oom.group set");
            let limit = rest.split_once(" killed as a result of limit of ").map(|(_, path)| cut(path));
            self.limit = limit.or_else(|| self.limit.take());
            return None;
        }
        if let Some(rest) = line.strip_prefix("Memory cgroup out of memory: Kill process ") {
            self.chosen = rest.split(' ').next().and_then(|pid| pid.parse().ok());
            return None;
        }
        self.killed(line).filter(|_| !self.group)
    }

    fn killed(&mut self, line: &str) -> Option<Kill> {
        let at = line.find("Killed process ")?;
        let (before, rest) = (&line[..at], &line[at + "Killed process ".len()..]);
        // Nothing but the kernel's own words may stand before it; old kernels say nothing at all.
        if !(before.is_empty() || before.to_ascii_lowercase().contains("out of memory")) {
            return None;
        }
        let (pid, rest) = rest.split_once(' ')?;
        let pid = pid.trim_end_matches(',').parse().ok()?;
        // A name may hold parentheses itself.
        let (name, numbers) = rest.strip_prefix('(')?.rsplit_once(')')?;
        let cgroup = self.cgroup.take().filter(|(known, _)| *known == pid).map(|(_, path)| path);
        // It may kill a child of the chosen one instead.
        let was_chosen = self.chosen.take().is_some() && before.is_empty();
        let is_cgroup = before.starts_with("Memory cgroup") || cgroup.is_some() || was_chosen;
        let cgroup = cgroup.or_else(|| self.limit.take().filter(|_| is_cgroup));
        Some(Kill { pid, name: name.chars().take(16).collect(), memory: kib(numbers, "anon-rss:"), is_cgroup, cgroup })
    }
}

/// Process and cgroup of `CONSTRAINT_MEMCG,nodemask=(null),…,oom_memcg=/a,task_memcg=/a/b,task=x,pid=1,uid=0`.
fn constraint(text: &str) -> Option<(u32, String)> {
    let rest = text.strip_prefix("CONSTRAINT_MEMCG,")?;
    // The task's name may hold anything: the id is looked for from the end, the path from the start.
    let (_, pid) = rest.rsplit_once(",pid=")?;
    let pid = pid.split(',').next()?.parse().ok()?;
    let (_, path) = rest.split_once("oom_memcg=")?;
    let path = path.split_once(",task_memcg=").map_or(path, |(path, _)| path);
    Some((pid, cut(path)))
}

fn cut(path: &str) -> String {
    path.chars().take(MAX_PATH).collect()
}

/// `anon-rss:65280kB` in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let (_, rest) = text.split_once(name)?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse::<u64>().ok()?.checked_mul(1024)
}

/// The text of a record of `/dev/kmsg`, when the kernel itself wrote it: `6,1234,5678,-;text` and lines of details.
/// What processes write there has a facility above 0.
pub(super) fn record(text: &str) -> Option<&str> {
    let (head, rest) = text.split_once(';')?;
    let priority: u32 = head.split(',').next()?.parse().ok()?;
    (priority < 8).then(|| rest.lines().next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kill(lines: &[&str]) -> Option<Kill> {
        let mut reader = Lines::default();
        lines.iter().filter_map(|line| reader.take(line)).last()
    }

    #[test]
    fn kills_of_every_kernel_are_read() {
        // 6.18, recorded.
        let found = kill(&[
            "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/plt,task_memcg=/plt,task=python3,pid=19030,uid=0",
            "Memory cgroup out of memory: Killed process 19030 (python3) total-vm:75176kB, anon-rss:65280kB, file-rss:6660kB, shmem-rss:0kB, UID:0 pgtables:188kB oom_score_adj:0",
        ]);
        let memory = Some(65_280 * 1024);
        let cgroup = Some("/plt".to_owned());
        assert_eq!(found, Some(Kill { pid: 19_030, name: "python3".into(), memory, is_cgroup: true, cgroup }));
        // 5.10, after mm/oom_kill.c.
        let found = kill(&[
            "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/x,task=postgres,pid=7,uid=26",
            "Out of memory: Killed process 7 (postgres) total-vm:900kB, anon-rss:10kB, file-rss:0kB, shmem-rss:1kB, UID:26 pgtables:1kB oom_score_adj:0",
        ])
        .unwrap();
        assert!(!found.is_cgroup && found.cgroup.is_none() && found.memory == Some(10_240));
        // 4.4 to 4.18: two lines, the second one without words before it.
        let found = kill(&[
            "Out of memory: Kill process 4321 (postgres) score 913 or sacrifice child",
            "Killed process 4321 (postgres) total-vm:3145728kB, anon-rss:2097152kB, file-rss:0kB, shmem-rss:0kB",
        ]);
        assert_eq!(found.map(|kill| (kill.pid, kill.memory, kill.is_cgroup)), Some((4321, Some(2 << 30), false)));
    }

    #[test]
    fn the_limit_of_a_cgroup_is_named_in_every_version() {
        // Version 1, Linux 4.15, after a public report: the cgroup and the victim in lines of their own.
        let found = kill(&[
            "readiness.sh invoked oom-killer: gfp_mask=0x14000c0(GFP_KERNEL), nodemask=(null), order=0, oom_score_adj=999",
            "Task in /docker/9d2a killed as a result of limit of /docker/9d2a",
            "Memory cgroup out of memory: Kill process 854 (postgres) score 1142 or sacrifice child",
            "Killed process 854 (postgres) total-vm:308932kB, anon-rss:8396kB, file-rss:9808kB, shmem-rss:21140kB",
        ])
        .unwrap();
        assert_eq!((found.pid, found.is_cgroup, found.cgroup.as_deref()), (854, true, Some("/docker/9d2a")));
        // Version 2, Linux 5.15 and 6.8, after public reports: a unit of systemd, its own slice below it.
        let found = kill(&[
            "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/system.slice/postgresql.service,task_memcg=/system.slice/postgresql.service/main,task=postgres,pid=2099,uid=104",
            "Memory cgroup out of memory: Killed process 2099 (postgres) total-vm:12674368kB, anon-rss:10457828kB, file-rss:23436kB, shmem-rss:0kB, UID:104 pgtables:20948kB oom_score_adj:0",
        ])
        .unwrap();
        assert_eq!(found.cgroup.as_deref(), Some("/system.slice/postgresql.service"));
        assert_eq!((found.pid, found.is_cgroup, found.memory), (2099, true, Some(10_457_828 * 1024)));
    }

    #[test]
    fn a_cgroup_that_is_killed_as_a_whole_is_one_kill() {
        // Version 2 with memory.oom.group, as containers have it: mm/oom_kill.c of Linux 6.8.
        let constraint = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=c1,mems_allowed=0,oom_memcg=/kubepods.slice/pod1.slice/c1.scope,task_memcg=/kubepods.slice/pod1.slice/c1.scope,task=postgres,pid=31,uid=999";
        let killed = |pid: u32| {
            format!("Memory cgroup out of memory: Killed process {pid} (postgres) total-vm:9kB, anon-rss:8kB, UID:999")
        };
        let group = "Tasks in /kubepods.slice/pod1.slice/c1.scope are going to be killed due to memory.oom.group set";
        let mut reader = Lines::default();
        let lines = [constraint, &killed(31), group, &killed(31), &killed(1), &killed(30)];
        let told: Vec<u32> = lines.iter().filter_map(|line| reader.take(line)).map(|kill| kill.pid).collect();
        assert_eq!(told, [31]);
        let next = [constraint, &killed(31)];
        assert!(next.iter().filter_map(|line| reader.take(line)).count() == 1, "the next one is news");
    }

    #[test]
    fn names_and_forged_lines_deceive_nobody() {
        let found = kill(&["Out of memory: Killed process 9 (a) (b) total-vm:1kB, anon-rss:2kB"]).unwrap();
        assert_eq!((found.name.as_str(), found.memory), ("a) (b", Some(2048)));
        assert_eq!(kill(&["audit: Killed process 9 (x) total-vm:1kB, anon-rss:2kB"]), None);
        assert_eq!(kill(&["Out of memory: Killed process nobody (x)", "Killed process ", "Killed process 1 x"]), None);
        assert_eq!(record("6,1,2,-;Out of memory\n SUBSYSTEM=x\n"), Some("Out of memory"));
        assert_eq!(record("12,1,2,-;Out of memory: Killed process 1 (x)"), None, "a process wrote it");
        assert_eq!(record("no record"), None);
    }

    #[test]
    fn the_cgroup_of_another_kill_is_not_taken() {
        let found = kill(&[
            "oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/a,task_memcg=/a,task=x,pid=5,uid=0",
            "Out of memory: Killed process 6 (y) total-vm:1kB, anon-rss:2kB",
        ])
        .unwrap();
        assert_eq!((found.is_cgroup, found.cgroup), (false, None));
    }
}
