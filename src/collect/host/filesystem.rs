//! File systems and how full they are, from `mountinfo` and `statvfs`.
//!
//! The mounts of process 1 are taken when they may be read (they are the host's), else our own; of these only what
//! we see at the same place, since a service may have an empty folder over `/home`. Pseudo file systems, images that
//! are always full, containers' own mounts and repeats of one file system are left out.
//!
//! `statvfs` on a dead network mount can hang for ever: `probe.rs` asks on a thread of its own, with a deadline.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::context::{Context, optional};
use super::{CollectError, Group};
use crate::signal::metrics::{Desc, Samples};

mod mounts;
mod probe;

use mounts::Mount;
use probe::{Answer, Prober};

pub(super) const METRICS: &[Desc] = &[USAGE, UTILIZATION, INODES, UNRESPONSIVE];
const USAGE: Desc =
    Desc::updown("system.filesystem.usage", "By", "Bytes of the file system by state; reserved is free to root only.");
const UTILIZATION: Desc = Desc::gauge(
    "system.filesystem.utilization",
    "1",
    "Share of the file system that is used, of what is not reserved, as df tells it.",
);
const INODES: Desc = Desc::updown("system.filesystem.inodes.usage", "{inode}", "Inodes of the file system by state.");
const UNRESPONSIVE: Desc = Desc::gauge(
    "system.filesystem.unresponsive",
    "1",
    "1 while the file system does not answer, such as a network mount whose server is gone.",
);

/// Asks the kernel for a mount's space; tests bring their own.
pub(super) type Statvfs = Arc<dyn Fn(&Path) -> io::Result<Space> + Send + Sync>;

/// What `statvfs` says: blocks, and bytes of a block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) block: u64,
    pub(super) blocks: u64,
    pub(super) free: u64,
    /// Free to everybody.
    pub(super) available: u64,
    pub(super) files: u64,
    pub(super) files_free: u64,
}

/// The kernel's answer. It may never return.
pub(super) fn statvfs(path: &Path) -> io::Result<Space> {
    let found = rustix::fs::statvfs(path)?;
    Ok(Space {
        block: found.f_frsize,
        blocks: found.f_blocks,
        free: found.f_bfree,
        available: found.f_bavail,
        files: found.f_files,
        files_free: found.f_ffree,
    })
}

pub(super) struct Filesystem {
    prober: Prober,
}

impl Filesystem {
    pub(super) fn new(statvfs: Statvfs) -> Self {
        Self { prober: Prober::new(statvfs) }
    }
}

impl Group for Filesystem {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    fn read(&mut self, context: &mut Context, out: &mut Samples) -> Result<(), CollectError> {
        let mounts = visible(context)?;
        if mounts.is_empty() {
            return Err(CollectError::NoData("no file system with blocks is mounted".into()));
        }
        let paths: Vec<PathBuf> = mounts.iter().map(|mount| PathBuf::from(&mount.point)).collect();
        let answers = self.prober.ask(paths);
        for (mount, answer) in mounts.iter().zip(answers) {
            match answer {
                Answer::Space(space) => put(mount, &space, out),
                Answer::Hangs => out.put_with(&UNRESPONSIVE, &attributes(mount), 1_u64),
                // Not for our eyes (a user's FUSE mount), or unmounted in this moment.
                Answer::Refused | Answer::Later => {}
            }
        }
        Ok(())
    }
}

/// The host's mounts that we see too.
fn visible(context: &mut Context) -> Result<Vec<Mount>, CollectError> {
    let host = match context.proc("1/mountinfo") {
        Ok(text) => Some(mounts::parse(text, true)),
        // No right, or no such process in this name space: our own have to do.
        Err(CollectError::NoData(_) | CollectError::Query(_)) => None,
        Err(error) => return Err(error),
    };
    let own = optional(context.proc("self/mountinfo"))?.map(|text| mounts::parse(text, false));
    let Some(own) = own else { return Ok(host.map(mounts::choose).unwrap_or_default()) };
    let Some(host) = host else { return Ok(mounts::choose(own)) };
    let mut tops: HashMap<&str, &str> = HashMap::new();
    for mount in &own {
        tops.insert(&mount.point, &mount.device_id);
    }
    let mut seen = mounts::choose(host);
    // A mount of the host that is nothing of its own here is hidden, unless we share the file system as a whole.
    seen.retain(|mount| tops.get(mount.point.as_str()) == Some(&mount.device_id.as_str()));
    Ok(seen)
}

fn attributes(mount: &Mount) -> [(&str, &str); 4] {
    [
        ("system.device", &mount.source),
        ("system.filesystem.mountpoint", &mount.point),
        ("system.filesystem.type", &mount.kind),
        ("system.filesystem.mode", if mount.read_only { "ro" } else { "rw" }),
    ]
}

fn put(mount: &Mount, space: &Space, out: &mut Samples) {
    if space.blocks == 0 {
        return;
    }
    let [device, point, kind, mode] = attributes(mount);
    out.put_with(&UNRESPONSIVE, &[device, point, kind, mode], 0_u64);
    let used = space.blocks.saturating_sub(space.free);
    let reserved = space.free.saturating_sub(space.available);
    for (state, blocks) in [("used", used), ("free", space.available), ("reserved", reserved)] {
        let attributes = [device, point, kind, mode, ("system.filesystem.state", state)];
        out.put_with(&USAGE, &attributes, blocks.saturating_mul(space.block));
    }
    if used + space.available > 0 {
        let share = used as f64 / (used + space.available) as f64;
        out.put_with(&UTILIZATION, &[device, point, kind, mode], share);
    }
    // Some file systems (btrfs) make inodes as they need them and say 0.
    if space.files > 0 {
        let used = space.files.saturating_sub(space.files_free);
        for (state, count) in [("used", used), ("free", space.files_free)] {
            out.put_with(&INODES, &[device, point, kind, mode, ("system.filesystem.state", state)], count);
        }
    }
}

#[cfg(test)]
mod tests;
