//! The journal's way against real journal files: written by `systemd-journal-remote`, followed by `journalctl`.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

/// Writes journal files from the export format (Debian: systemd-journal-remote).
const REMOTE: &str = "/lib/systemd/systemd-journal-remote";

/// Writes `messages` of `transport` into a journal file of their own; `boot` is the boot's id.
fn write(folder: &Path, name: &str, transport: &str, boot: &str, messages: &[&str]) {
    assert!(Path::new(REMOTE).exists(), "{REMOTE} is missing: apt-get install systemd-journal-remote");
    let now = crate::base::clock::unix_nanos() / 1000;
    let mut text = String::new();
    for (number, message) in messages.iter().enumerate() {
        let time = now + number as u64;
        text.push_str(&format!(
            "__REALTIME_TIMESTAMP={time}\n__MONOTONIC_TIMESTAMP={time}\n_BOOT_ID={boot}\n_TRANSPORT={transport}\n\
             PRIORITY=3\nMESSAGE={message}\n\n"
        ));
    }
    let output = format!("--output={}", folder.join(name).display());
    let mut command = Command::new(REMOTE);
    let mut child = command.args([&output, "-"]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    id.trim().replace('-', "")
}

fn until(kernel: &mut Kernel, wanted: usize) -> Vec<Kill> {
    let end = Instant::now() + Duration::from_secs(30);
    let mut found = Vec::new();
    while found.len() < wanted {
        found.extend(kernel.kills());
        assert!(Instant::now() < end && !kernel.is_over(), "{found:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    found
}

const OLD: [&str; 3] = [
    "Task in /docker/9d2a killed as a result of limit of /docker/9d2a",
    "Memory cgroup out of memory: Kill process 854 (postgres) score 1142 or sacrifice child",
    "Killed process 854 (postgres) total-vm:308932kB, anon-rss:8396kB, file-rss:9808kB, shmem-rss:21140kB",
];
const NEW: [&str; 2] = [
    "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/system.slice/db.service,task_memcg=/system.slice/db.service,task=postgres,pid=2099,uid=104",
    "Memory cgroup out of memory: Killed process 2099 (postgres) total-vm:12674368kB, anon-rss:10457828kB, file-rss:23436kB, shmem-rss:0kB, UID:104 pgtables:20948kB oom_score_adj:0",
];

#[test]
fn the_kernels_kills_are_read_from_a_real_journal_and_nothing_that_others_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let forged = "Out of memory: Killed process 1 (init) total-vm:1kB, anon-rss:1kB";
    write(
        folder.path(),
        "before.journal",
        "kernel",
        &boot(),
        &["Killed process 7 (postgres) total-vm:1kB, anon-rss:1kB"],
    );
    let mut kernel = Kernel::of(journal(Some(folder.path())).unwrap());
    // It follows from now on once it has looked at what there is: what is written until then may be passed over.
    let end = Instant::now() + Duration::from_secs(30);
    let mut found = Vec::new();
    for number in 0.. {
        write(folder.path(), &format!("wait{number}.journal"), "kernel", &boot(), &NEW);
        std::thread::sleep(Duration::from_millis(100));
        found.extend(kernel.kills());
        if !found.is_empty() {
            break;
        }
        assert!(Instant::now() < end && !kernel.is_over(), "it does not follow");
    }
    assert!(found.iter().all(|kill| kill.pid == 2099), "what was there before is no news: {found:?}");
    write(folder.path(), "forged.journal", "stdout", &boot(), &[forged]);
    write(folder.path(), "old.journal", "kernel", &boot(), &OLD);
    let found = loop {
        let found = until(&mut kernel, 1);
        if found.iter().any(|kill| kill.pid != 2099) {
            break found;
        }
    };
    let cgroup = Some("/docker/9d2a".to_owned());
    let old = Kill { pid: 854, name: "postgres".into(), memory: Some(8396 * 1024), is_cgroup: true, cgroup };
    assert_eq!(found.into_iter().filter(|kill| kill.pid != 2099).collect::<Vec<_>>(), [old]);
}

#[test]
fn a_journalctl_that_ends_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let mut kernel = Kernel::of(journal(Some(&folder.path().join("not-there"))).unwrap());
    let end = Instant::now() + Duration::from_secs(30);
    while !kernel.is_over() {
        assert!(kernel.kills().is_empty() && Instant::now() < end);
        std::thread::sleep(Duration::from_millis(20));
    }
}
