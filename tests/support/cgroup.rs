//! A cgroup with a limit of memory, of version 1 or 2, whichever this system has.

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
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("plimsoll-test-{}-{number}", std::process::id());
        let mut tried = Vec::new();
        for (root, file) in [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")] {
            if file == "memory.max" {
                // Without the controller handed down the file is not there.
                let _refused = fs::write(Path::new(root).join("cgroup.subtree_control"), "+memory").is_err();
            }
            let folder = Path::new(root).join(&name);
            let made = fs::create_dir(&folder).and_then(|()| fs::write(folder.join(file), bytes.to_string()));
            match made {
                Ok(()) => return Self { folder },
                Err(error) => {
                    let _never_made = fs::remove_dir(&folder).is_err();
                    tried.push(format!("{}: {error}", folder.join(file).display()));
                }
            }
        }
        panic!("no cgroup with a limit of memory can be made here: {tried:?}");
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
