//! Memory, CPU, tasks and out-of-memory kills of systemd units and of containers' scopes, from their cgroups.
//!
//! Version 2 (`/sys/fs/cgroup/system.slice/…`), else the trees of version 1. The slices are walked; each service and
//! scope is told as a whole, users' slices too, and what bears a name only once (sessions, transient units) is not. Of
//! many units those with the most memory are told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::context::Context;
use super::{CollectError, Group, names};
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] = &[MEMORY, LIMIT, CPU_TIME, OOM_KILLS, TASKS];
const MEMORY: Desc =
    Desc::updown("systemd.unit.memory.usage", "By", "Memory charged to the unit, its files in the cache among it.");
const LIMIT: Desc =
    Desc::updown("systemd.unit.memory.limit", "By", "Memory that the unit can have; no point if there is no limit.");
const CPU_TIME: Desc = Desc::counter("systemd.unit.cpu.time", "s", "CPU time of the unit since it was started.");
const OOM_KILLS: Desc = Desc::counter(
    "systemd.unit.oom_kills",
    "{kill}",
    "Processes of the unit, or in all of a slice, that were killed for want of memory since it was started.",
);
const TASKS: Desc = Desc::updown("systemd.unit.task.count", "{thread}", "Processes and threads of the unit.");

/// Whose kills outlast the units in them: one that is killed mostly ends, and its next life counts from 0.
const SLICES: [&str; 3] = ["system.slice", "user.slice", "machine.slice"];
/// Folders that are opened in a round.
const MAX_FOLDERS: usize = 256;
/// Units whose memory is read in a round, to find the largest.
const MAX_UNITS: usize = 512;
/// Slices lie in slices.
const MAX_DEPTH: usize = 5;
/// Version 1 writes the largest number of pages for "no limit".
const NO_LIMIT: u64 = 1 << 62;

pub(super) struct Units {
    top: usize,
}

impl Units {
    pub(super) fn new(top: usize) -> Self {
        Self { top }
    }
}

impl Group for Units {
    fn name(&self) -> &'static str {
        "unit"
    }

    fn read(&mut self, context: &mut Context, out: &mut Samples) -> Result<(), CollectError> {
        let layout = Layout::of(&context.roots.sys.join("fs/cgroup"));
        let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
        walk(&layout.memory, Path::new(""), &mut 0, 0, &mut found);
        let mut units: Vec<(u64, String, PathBuf)> = Vec::new();
        for (name, path) in found {
            // The unit may have ended since; one without memory accounting has no number.
            if let Some(bytes) = number(context, &layout.memory.join(&path).join(layout.usage)) {
                units.push((bytes, name, path));
            }
        }
        if units.is_empty() {
            return Err(CollectError::NoData("no systemd unit has a cgroup with memory accounting".into()));
        }
        units.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        units.truncate(self.top);
        for (bytes, name, path) in &units {
            let unit = [("systemd.unit.name", name.as_str())];
            out.put_with(&MEMORY, &unit, *bytes);
            put_rest(context, &layout, path, &unit, out);
        }
        if layout.unified {
            for slice in SLICES {
                if let Some(kills) = keyed(context, &layout.memory.join(slice).join(layout.events), "oom_kill") {
                    out.put_with(&OOM_KILLS, &[("systemd.unit.name", slice)], kills);
                }
            }
        }
        Ok(())
    }
}

fn put_rest(context: &mut Context, layout: &Layout, path: &Path, unit: &[(&str, &str)], out: &mut Samples) {
    let memory = layout.memory.join(path);
    // "max" is no number: no limit.
    if let Some(limit) = number(context, &memory.join(layout.limit)).filter(|limit| *limit < NO_LIMIT) {
        out.put_with(&LIMIT, unit, limit);
    }
    if let Some(kills) = keyed(context, &memory.join(layout.events), "oom_kill") {
        out.put_with(&OOM_KILLS, unit, kills);
    }
    if let Some(tasks) = number(context, &layout.pids.join(path).join("pids.current")) {
        out.put_with(&TASKS, unit, tasks);
    }
    let seconds = if layout.unified {
        keyed(context, &memory.join("cpu.stat"), "usage_usec").map(|micros| micros as f64 / 1e6)
    } else {
        number(context, &layout.cpu.join(path).join("cpuacct.usage")).map(|nanos| nanos as f64 / 1e9)
    };
    if let Some(seconds) = seconds {
        out.put_with(&CPU_TIME, unit, seconds);
    }
}

/// Where the controllers' trees are, and what their files are called.
struct Layout {
    unified: bool,
    memory: PathBuf,
    cpu: PathBuf,
    pids: PathBuf,
    usage: &'static str,
    limit: &'static str,
    events: &'static str,
}

impl Layout {
    /// A host with both versions has its controllers in the trees of version 1.
    fn of(root: &Path) -> Self {
        if root.join("cgroup.controllers").exists() {
            let at = || root.to_owned();
            let (usage, limit, events) = ("memory.current", "memory.max", "memory.events");
            return Self { unified: true, memory: at(), cpu: at(), pids: at(), usage, limit, events };
        }
        let (usage, limit, events) = ("memory.usage_in_bytes", "memory.limit_in_bytes", "memory.oom_control");
        let (memory, cpu, pids) = (root.join("memory"), root.join("cpuacct"), root.join("pids"));
        Self { unified: false, memory, cpu, pids, usage, limit, events }
    }
}

/// Fills `found` with the units below `path`, which is relative to `root`.
fn walk(root: &Path, path: &Path, folders: &mut usize, depth: usize, found: &mut BTreeMap<String, PathBuf>) {
    *folders += 1;
    // A folder that vanished holds no unit.
    let Ok(entries) = std::fs::read_dir(root.join(path)) else { return };
    for entry in entries.flatten() {
        if found.len() >= MAX_UNITS || *folders >= MAX_FOLDERS {
            return;
        }
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let user = name.starts_with("user-") && name.ends_with(".slice");
        if names::is_unit(name) || user {
            if !names::is_transient(name) {
                found.insert(names::short(name), path.join(name));
            }
        } else if name.ends_with(".slice") && depth < MAX_DEPTH {
            walk(root, &path.join(name), folders, depth + 1, found);
        }
    }
}

fn number(context: &mut Context, path: &Path) -> Option<u64> {
    context.read(path).ok()?.trim().parse().ok()
}

/// The number behind a word at the beginning of a line.
fn keyed(context: &mut Context, path: &Path, key: &str) -> Option<u64> {
    parse_keyed(context.read(path).ok()?, key)
}

fn parse_keyed(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.split_once(' ').filter(|(word, _)| *word == key))?;
    rest.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_whole_word() {
        let text = "oom 3\noom_kill 1\noom_group_kill 2\n";
        assert_eq!(parse_keyed(text, "oom_kill"), Some(1));
        assert_eq!(parse_keyed(text, "kill"), None);
        assert_eq!(parse_keyed("", "oom"), None);
    }

    #[test]
    fn thousands_of_folders_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        for index in 0..MAX_UNITS + 100 {
            std::fs::create_dir_all(folder.path().join(format!("system.slice/u-{index}x.service/inner.scope")))
                .unwrap();
        }
        let mut found = BTreeMap::new();
        walk(folder.path(), Path::new(""), &mut 0, 0, &mut found);
        assert_eq!(found.len(), MAX_UNITS);
        assert!(!found.contains_key("inner.scope"), "a unit is told as a whole");
    }
}
