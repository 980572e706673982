//! A Debian system of one test: one of `tests/stack/roots` or `tests/stack/newest` under a layer of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::harness::binary;

/// Releases that the package is installed in: the oldest and the newest stable one, and what comes next.
pub(crate) const RELEASES: [&str; 3] = ["bookworm", "trixie", "sid"];

/// The system; what is done in it is gone with it.
pub(crate) struct Root {
    dir: TempDir,
}

impl Root {
    /// `None` where the tests against real servers are left out on purpose.
    pub(crate) fn new(release: &str) -> Option<Self> {
        let cache = binary("cargo-deb")?.parent().unwrap().parent().unwrap().to_owned();
        let newest = std::env::var_os("PLIMSOLL_NEWEST").map_or_else(|| cache.join("newest"), PathBuf::from);
        let below = if release == "sid" { newest } else { cache.join("roots").join(release) };
        assert!(
            below.join("usr/bin/dpkg").exists(),
            "{} is missing: run tests/stack/roots and tests/stack/newest as root",
            below.display()
        );
        let root = Self { dir: tempfile::tempdir().unwrap() };
        let layer = root.dir.path();
        // In memory: a layer cannot lie on a layer, as this system's own root may be one.
        mount(&["-t", "tmpfs", "-o", "mode=755", "tmpfs", layer.to_str().unwrap()]);
        let [upper, work, merged] = ["upper", "work", "root"].map(|name| layer.join(name));
        for folder in [&upper, &work, &merged] {
            std::fs::create_dir(folder).unwrap();
        }
        let (below, upper, work) = (below.display(), upper.display(), work.display());
        let options = format!("lowerdir={below},upperdir={upper},workdir={work}");
        mount(&["-t", "overlay", "-o", &options, "overlay", merged.to_str().unwrap()]);
        Some(root)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// The path in it as we see it.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.path().join(path.trim_start_matches('/'))
    }

    pub(crate) fn copy(&self, from: &Path, to: &str) {
        std::fs::copy(from, self.at(to)).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// What a script says that must end well.
    pub(crate) fn run(&self, script: &str) -> String {
        let output = self.try_run(script);
        assert!(output.status.success(), "{script}: {}", told(&output));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Nobody is there to answer a question: dpkg fails instead.
    pub(crate) fn try_run(&self, script: &str) -> Output {
        let mut chroot = Command::new("chroot");
        chroot.arg(self.path()).args(["sh", "-ec", script]).stdin(Stdio::null()).env_clear();
        chroot.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("DEBIAN_FRONTEND", "noninteractive");
        chroot.env("LC_ALL", "C.UTF-8").output().unwrap()
    }

    /// Each path with its kind, mode and owner, but for what dpkg and the log keep for themselves.
    pub(crate) fn files(&self) -> BTreeSet<String> {
        let all = self.run("find / -xdev -printf '%p %y %m %u %g\\n'");
        let ours = ["/proc", "/sys", "/dev", "/run", "/tmp", "/root", "/var/lib/dpkg", "/var/log", "/var/cache"];
        let outside = |line: &&str| !ours.iter().any(|path| line.starts_with(path));
        all.lines().filter(outside).map(str::to_owned).collect()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // What hangs on to it (a process of a test that failed) does not keep the folder from being removed.
        for place in [self.path(), self.dir.path().to_owned()] {
            let output = Command::new("umount").arg("--lazy").arg(&place).output();
            let gone = output.is_ok_and(|output| output.status.success());
            assert!(gone || std::thread::panicking(), "{} cannot be unmounted", place.display());
        }
    }
}

fn mount(arguments: &[&str]) {
    let output = Command::new("mount").args(arguments).output().unwrap();
    assert!(output.status.success(), "root is needed, with tmpfs and overlayfs: {}", told(&output));
}

/// All that a command said.
pub(crate) fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}
