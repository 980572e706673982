//! A Debian system that is booted: systemd as process 1 in name spaces of its own, over a [`Root`].
//!
//! Its network is its own loopback. The kernel is this one, so memory limits hold only where the controller is free.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::harness::{Process, wait_for};
use crate::root::{Root, told};

/// The system; it ends with its test.
pub(crate) struct Booted {
    process: Process,
    cgroup: PathBuf,
    // After the process that uses it.
    _root: Root,
}

/// What stands between this system and one that systemd can run. `$1` is the root, `$2` the cgroup.
const BOOT: &str = r#"
echo $$ >"$2/cgroup.procs"
exec unshare --pid --fork --kill-child --mount --uts --ipc --net --cgroup bash -ec '
    mount --make-rprivate /
    mount --bind "$1" "$1"
    cd "$1"
    # Nothing of the kernel outside of the name spaces may be set from in there.
    mount -t proc proc proc
    mount --bind proc/sys proc/sys
    mount -o remount,bind,ro proc/sys
    mount -t sysfs -o ro sysfs sys
    # Of its own: on a box with both versions, the second one.
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    mount -t tmpfs -o mode=755 tmpfs run
    mount -t tmpfs -o mode=755 tmpfs dev
    # Nodes of its own: what is done to their owner and mode stays in here.
    node() { mknod -m "$1" "dev/$2" c "$3" "$4"; }
    node 666 null 1 3
    node 666 zero 1 5
    node 666 full 1 7
    node 666 random 1 8
    node 666 urandom 1 9
    node 666 tty 5 0
    node 600 console 1 3
    mkdir dev/pts dev/shm
    mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
    mount -t tmpfs tmpfs dev/shm
    ln -s pts/ptmx dev/ptmx
    mkdir -p run/before
    pivot_root . run/before
    umount --lazy /run/before
    # As on a box: what systemd mounts for a service (its credentials) arrives there.
    mount --make-rshared /
    exec env -i container=plimsoll-test PATH=/usr/sbin:/usr/bin \
        setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio,-sys_boot /lib/systemd/systemd
' boot "$1"
"#;

impl Booted {
    /// `None`, loudly, where no cgroup can be made: then nothing can be booted.
    pub(crate) fn new(root: Root) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let of_two = mounts.lines().filter(|line| line.split(' ').nth(2) == Some("cgroup2"));
        let places = of_two.map(|line| Path::new(line.split(' ').nth(1).unwrap()));
        let name = format!("plimsoll-{}-{:?}", std::process::id(), std::thread::current().id());
        let name: String = name.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-').collect();
        let Some(cgroup) = places.map(|place| place.join(&name)).find(|cgroup| fs::create_dir(cgroup).is_ok()) else {
            let left_out = "LEFT OUT (no cgroup of version 2 can be made here): no system was booted\n";
            std::io::stderr().write_all(left_out.as_bytes()).unwrap();
            return None;
        };
        let log = root.path().with_file_name("boot.log");
        let mut boot = Command::new("bash");
        boot.args(["-ec", BOOT, "boot"]).arg(root.path()).arg(&cgroup);
        let process = Process::start(&mut boot, &log);
        let mut booted = Self { process, cgroup, _root: root };
        wait_for("a system that has started", Duration::from_secs(120), || {
            booted.process.check();
            let state = booted.try_run("systemctl is-system-running")?;
            // Some units of a real box cannot start in here: then it is degraded.
            let words = String::from_utf8_lossy(&state.stdout).into_owned();
            if ["running\n", "degraded\n"].contains(&words.as_str()) { Ok(()) } else { Err(told(&state)) }
        });
        Some(booted)
    }

    /// Process 1, as we see it.
    fn first(&self) -> Result<u32, String> {
        let id = self.process.id();
        let children =
            fs::read_to_string(format!("/proc/{id}/task/{id}/children")).map_err(|error| error.to_string())?;
        children.split(' ').next().and_then(|child| child.parse().ok()).ok_or_else(|| "no process 1 yet".into())
    }

    pub(crate) fn try_run(&self, script: &str) -> Result<Output, String> {
        let mut enter = Command::new("nsenter");
        enter.arg("--target").arg(self.first()?.to_string()).args(["--all", "sh", "-ec", script]);
        enter.stdin(Stdio::null()).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin:/opt/stack");
        enter.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C.UTF-8");
        enter.output().map_err(|error| error.to_string())
    }

    /// What a script says that must end well.
    pub(crate) fn run(&self, script: &str) -> String {
        let output = self.try_run(script).unwrap();
        assert!(output.status.success(), "{script}: {}\n{}", told(&output), self.journal());
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// The last lines of the service.
    pub(crate) fn journal(&self) -> String {
        let output = self.try_run("systemctl status plimsoll --no-pager -n 0; journalctl -u plimsoll --no-pager -n 40");
        output.map_or_else(|error| error, |output| told(&output))
    }

    /// A property of the service.
    pub(crate) fn show(&self, property: &str) -> String {
        self.run(&format!("systemctl show plimsoll --value -p {property}"))
    }

    /// Asked until it is so.
    pub(crate) fn wait(&self, what: &str, script: &str, good: impl Fn(&str) -> bool) -> String {
        wait_for(what, Duration::from_secs(120), || {
            let output = self.try_run(script)?;
            let words = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
            if output.status.success() && good(&words) {
                return Ok(words);
            }
            Err(format!("{script}: {}\n{}", told(&output), self.journal()))
        })
    }

    pub(crate) fn copy(&self, from: &Path, to: &str) {
        let first = self.first().unwrap();
        fs::copy(from, format!("/proc/{first}/root{to}")).unwrap_or_else(|error| panic!("{to}: {error}"));
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        // Process 1 goes with it, and takes all others along.
        self.process.kill();
        let mut remove = Command::new("find");
        remove.arg(&self.cgroup).args(["-depth", "-type", "d", "-exec", "rmdir", "{}", "+"]);
        for _ in 0..100 {
            let removed = remove.output().is_ok_and(|output| output.status.success());
            if removed || !self.cgroup.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
