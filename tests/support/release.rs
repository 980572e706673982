//! Servers of this system's release, of the newest one (`tests/stack/newest`) and the oldest ones that are read
//! (`tests/stack/floors`), each with folders of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Where a server's programs come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// This system.
    Here,
    /// The one that `tests/stack/newest` made.
    Newest,
    /// The oldest of some servers, which `tests/stack/floors` has. Its programs see it below [`FLOORS`].
    Floor,
    /// Servers that are too old to be read, from there too.
    Older,
}

/// Those that have every server, for tests that hold for every version.
pub(crate) const RELEASES: [Release; 2] = [Release::Here, Release::Newest];
/// Where servers that may not look into our folders find their programs, in a name space of their own.
pub(crate) const FLOORS: &str = "/mnt";

/// A folder that a server's programs see under the same path as we do, or below their own root.
pub(crate) struct Folder {
    release: Release,
    dir: TempDir,
}

impl Release {
    /// The root of its programs. Fails where it was not made: nothing is left out in silence.
    pub(crate) fn root(self) -> PathBuf {
        match self {
            Self::Here | Self::Floor | Self::Older => PathBuf::from("/"),
            Self::Newest => made("newest", "PLIMSOLL_NEWEST", "newest"),
        }
    }

    /// A program of this release, run as `user`: servers refuse to run as root.
    pub(crate) fn command(self, user: &str, program: &str) -> Command {
        let mut command = match self {
            Self::Here => Command::new("setpriv"),
            Self::Newest => {
                let mut command = Command::new("chroot");
                command.arg(self.root()).arg("setpriv");
                command
            }
            Self::Floor | Self::Older => {
                let mut command = Command::new("unshare");
                command.args(["--mount", "--propagation", "private", "--", "sh", "-c"]);
                command.arg(format!("mount --bind \"$0\" {FLOORS} && exec \"$@\"")).arg(self.bound()).arg("setpriv");
                command
            }
        };
        as_user(&mut command, user, program);
        if self == Self::Older {
            command.env("LD_LIBRARY_PATH", format!("{FLOORS}/usr/lib/x86_64-linux-gnu"));
        }
        command
    }

    /// What its programs see at [`FLOORS`].
    pub(crate) fn bound(self) -> PathBuf {
        if self == Self::Older { floors().join("older") } else { floors() }
    }

    /// The same for one that reads `/proc`: the newest release's is empty, so it gets one that ends with it.
    pub(crate) fn command_with_proc(self, user: &str, program: &str) -> Command {
        let mut command = match self {
            Self::Here => Command::new("setpriv"),
            Self::Floor | Self::Older => return self.command(user, program),
            Self::Newest => {
                let mut command = Command::new("unshare");
                command.args(["--mount", "--propagation", "private", "--", "sh", "-c"]);
                command.arg("mount -t proc proc \"$0/proc\" && exec chroot \"$0\" \"$@\"");
                command.arg(self.root()).arg("setpriv");
                command
            }
        };
        as_user(&mut command, user, program);
        command
    }

    /// The first program that is there, as its release sees it.
    pub(crate) fn program(self, pattern: &[&str]) -> String {
        let apart = matches!(self, Self::Floor | Self::Older);
        let root = if apart { self.bound() } else { self.root() };
        let below = if apart { FLOORS } else { "" };
        let there = |path: &str| root.join(path.strip_prefix(below).unwrap_or(path).trim_start_matches('/')).exists();
        let found = pattern.iter().find(|path| there(path));
        (*found.unwrap_or_else(|| panic!("none of {pattern:?} below {}: run tests/run", root.display()))).to_owned()
    }

    /// A new folder that `user` owns.
    pub(crate) fn folder(self, user: &str) -> Folder {
        let base = self.root().join("tmp");
        let dir = tempfile::Builder::new().prefix("plimsoll-").tempdir_in(base).unwrap();
        let folder = Folder { release: self, dir };
        let mut chown = self.command("root", "chown");
        assert!(chown.args([user, &folder.inside()]).status().unwrap().success());
        folder
    }
}

/// A folder of the cache. Fails where it was not made: nothing is left out in silence.
fn made(name: &str, variable: &str, script: &str) -> PathBuf {
    let cache = std::env::var_os(variable)
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/stack").join(name), PathBuf::from);
    assert!(cache.join(".made-of").exists(), "{} is missing: run tests/stack/{script}", cache.display());
    cache
}

/// The oldest servers, as we see them.
pub(crate) fn floors() -> PathBuf {
    made("floors", "PLIMSOLL_FLOORS", "floors/install")
}

fn as_user(command: &mut Command, user: &str, program: &str) {
    command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups", "--", program]);
    command.current_dir("/").env_remove("LC_ALL").env("LANG", "C.UTF-8").env("HOME", "/tmp");
}

impl Folder {
    /// Its path as we see it.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Its path as the server sees it.
    pub(crate) fn inside(&self) -> String {
        let path = self.dir.path();
        let inside = path.strip_prefix(self.release.root()).unwrap_or(path);
        format!("/{}", inside.display()).replace("//", "/")
    }

    /// Writes a file that everybody may read.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path().join(name), text).unwrap();
        format!("{}/{name}", self.inside())
    }
}
