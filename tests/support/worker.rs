//! Producers and workers of other people's libraries: each script does a known number of things, says `ready`, and holds.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::harness::{Process, wait_for};

/// A script that has done its work and holds what it has.
pub(crate) struct Worker {
    process: Process,
    _folder: tempfile::TempDir,
}

/// The folder of the scripts.
pub(crate) fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/systems/workers")
}

/// The libraries of Node.js. Fails where they were not installed: nothing is left out in silence.
pub(crate) fn node_modules() -> PathBuf {
    let cache = std::env::var_os("PLIMSOLL_CACHE").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/stack"));
    let modules = cache.join("npm/node_modules");
    assert!(modules.exists(), "{} is missing: run tests/stack/npm/install", modules.display());
    modules
}

impl Worker {
    /// Runs `command` until it says `ready`.
    pub(crate) fn start(command: &mut Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::start(command, &folder.path().join("log"));
        wait_for(&format!("{command:?} that is ready"), Duration::from_secs(60), || {
            process.check();
            let log = process.log();
            if log.lines().any(|line| line == "ready") { Ok(()) } else { Err(log) }
        });
        Self { process, _folder: folder }
    }

    /// `node SCRIPT ARGUMENT…`.
    pub(crate) fn node(script: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("node");
        command.arg(scripts().join(script)).args(arguments).env("NODE_PATH", node_modules());
        Self::start(&mut command)
    }

    /// `python3 SCRIPT ARGUMENT…`, the system's, which has its packages.
    pub(crate) fn python(script: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-u", "-B"]).arg(scripts().join(script)).args(arguments);
        Self::start(&mut command)
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
