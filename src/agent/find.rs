//! What is found on the box without a config: application logs under `/var/log` that may be read.
//!
//! Files that hold what the journal holds too (`syslog`, `auth.log` …) are left out while the journal is read.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::pipeline::config::Redact;
use crate::tail::config::{File, Start};

/// Files of one application.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    /// `service.name` of its lines.
    pub(super) service: String,
    /// The glob that is followed.
    pub(super) glob: String,
}

/// More applications than these are named in the config.
const MAX_FOUND: usize = 50;
/// Entries of one folder that are looked at.
const MAX_ENTRIES: usize = 10_000;
/// What Debian's rsyslog writes from the journal.
const OF_THE_JOURNAL: &[&str] = &[
    "syslog",
    "messages",
    "auth.log",
    "kern.log",
    "daemon.log",
    "user.log",
    "mail.log",
    "cron.log",
    "debug",
    "secure",
];
/// No application's.
const LEFT_OUT: &[&str] = &[
    "journal",
    "plimsoll",
    "installer",
    "apt",
    "private",
    "alternatives.log",
    "bootstrap.log",
    "dpkg.log",
    "fontconfig.log",
];

impl Found {
    /// As if it had been named. Nobody has said what may stand in it, and a database writes down the statements that it
    /// refused.
    pub(super) fn entry(&self) -> File {
        File {
            path: self.glob.clone(),
            service: Some(self.service.clone()),
            start: Start::End,
            redact: vec![Redact::Password],
            ..File::default()
        }
    }
}

/// The readable logs below `root` (`/var/log`), by application.
pub(super) fn logs(root: &Path, journal_is_read: bool) -> Vec<Found> {
    let mut found = BTreeMap::new();
    for path in entries(root) {
        let Some(name) = path.file_name().and_then(OsStr::to_str) else { continue };
        if LEFT_OUT.contains(&name) || name.contains(['*', '?', '[', '{', '\\']) {
            continue;
        }
        if path.is_dir() {
            if entries(&path).any(|file| is_log(&file)) {
                let glob = format!("{}/*.log", path.display());
                found.insert(glob.clone(), Found { service: name.to_owned(), glob });
            }
        } else if is_log(&path) || OF_THE_JOURNAL.contains(&name) && is_readable(&path) {
            if journal_is_read && OF_THE_JOURNAL.contains(&name) {
                continue;
            }
            let glob = path.display().to_string();
            let service = name.strip_suffix(".log").unwrap_or(name).to_owned();
            found.insert(glob.clone(), Found { service, glob });
        }
    }
    found.into_values().take(MAX_FOUND).collect()
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().take(MAX_ENTRIES).filter_map(|entry| Some(entry.ok()?.path()))
}

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.as_bytes() == b"log") && is_readable(path)
}

/// Opening with O_NONBLOCK cannot hang on a FIFO that somebody put there.
fn is_readable(path: &Path) -> bool {
    use rustix::fs::{Mode, OFlags};
    let opened = rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
    opened
        .ok()
        .and_then(|file| rustix::fs::fstat(&file).ok())
        .is_some_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_files_become_services_and_what_the_journal_has_is_left_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "line\n").unwrap();
        };
        for name in
            ["nginx/access.log", "nginx/error.log", "shop.log", "syslog", "journal/a.log", "wtmp", "old/a.log.1"]
        {
            write(name);
        }
        let names = |journal| logs(dir.path(), journal).into_iter().map(|found| found.service).collect::<Vec<_>>();
        assert_eq!(names(true), ["nginx", "shop"]);
        assert_eq!(names(false), ["nginx", "shop", "syslog"]);
        assert!(logs(dir.path(), true)[0].glob.ends_with("/nginx/*.log"));
        assert!(logs(&dir.path().join("missing"), true).is_empty());
        let entry = logs(dir.path(), true)[1].entry();
        assert_eq!((entry.service.as_deref(), entry.start), (Some("shop"), Start::End));
        assert_eq!(entry.redact, [Redact::Password], "what nobody named is read with care");
    }
}
