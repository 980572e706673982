//! A cgroup with a limit of memory or of processor time, of version 1 or 2, whichever this system has.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Gone with its test.
pub(crate) struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// Fails where neither version can be written: nothing is left out in silence.
    pub(crate) fn limited(bytes: u64) -> Self {
        Self::new("memory", ("memory.limit_in_bytes", bytes.to_string()), ("memory.max", bytes.to_string()))
    }

    /// With so many hundredths of a processor.
    #[allow(dead_code, reason = "only some of the test programs limit it")]
    pub(crate) fn slowed(percent: u64) -> Self {
        // Of a period of 100 ms, which is the default of both versions.
        let quota = percent * 1000;
        Self::new("cpu", ("cpu.cfs_quota_us", quota.to_string()), ("cpu.max", format!("{quota} 100000")))
    }

    /// The file of each version and what is written there.
    fn new(controller: &str, first: (&str, String), second: (&str, String)) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("plimsoll-test-{}-{number}", std::process::id());
        let mut tried = Vec::new();
        let (old, new) = (format!("/sys/fs/cgroup/{controller}"), "/sys/fs/cgroup".to_owned());
        for (root, (file, limit)) in [(old, first), (new, second)] {
            if root == "/sys/fs/cgroup" {
                // Without the controller handed down the file is not there.
                let control = Path::new(&root).join("cgroup.subtree_control");
                let _refused = fs::write(control, format!("+{controller}")).is_err();
            }
            let folder = Path::new(&root).join(&name);
            let made = fs::create_dir(&folder).and_then(|()| fs::write(folder.join(file), limit));
            match made {
                Ok(()) => return Self { folder },
                Err(error) => {
                    let _never_made = fs::remove_dir(&folder).is_err();
                    tried.push(format!("{}: {error}", folder.join(file).display()));
                }
            }
        }
        panic!("no cgroup with a limit of {controller} can be made here: {tried:?}");
    }

    /// Moves a process into it; what it starts from now on is in it too.
    pub(crate) fn take(&self, pid: u32) {
        fs::write(self.folder.join("cgroup.procs"), pid.to_string()).unwrap();
    }

    pub(crate) fn name(&self) -> String {
        self.folder.file_name().unwrap().to_string_lossy().into_owned()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Its processes end a little after their server.
        for _ in 0..100 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}
