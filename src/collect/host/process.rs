//! Processes: how many in each state, and which groups of them take the memory and the CPU.
//!
//! A group is a systemd unit (from the process's cgroup), else a program's name, so that 200 workers of Postgres are
//! one line. Only the groups with the most memory and with the most CPU have points. One small file is read for
//! each process (`/proc/<pid>/stat`), its cgroup only when it is new, its private memory only where it is told;
//! `Budget` bounds what 50,000 processes cost. A process is known by its id and start time, for ids are used again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::budget::Budget;
use super::context::{Context, numbers, optional};
use super::{CollectError, Group, memory, names};
use crate::signal::metrics::{Desc, Samples};

mod table;

use table::{Stat, Table};

pub(super) const METRICS: &[Desc] = &[COUNT, CPU_TIME, MEMORY, PRIVATE, THREADS, SIZE];
const COUNT: Desc = Desc::updown("system.process.count", "{process}", "Processes of the host by state.");
const CPU_TIME: Desc = Desc::counter(
    "process.cpu.time",
    "s",
    "CPU time of a group of processes (unit or program), ended ones that were seen among them.",
);
const MEMORY: Desc = Desc::updown(
    "process.memory.usage",
    "By",
    "Resident memory of a group of processes; what they share is counted for each.",
);
const PRIVATE: Desc = Desc::updown(
    "process.memory.private",
    "By",
    "Memory that a group of processes has for itself: resident anonymous memory and what of it is swapped out.",
);
const THREADS: Desc = Desc::updown("process.thread.count", "{thread}", "Threads of a group of processes.");
const SIZE: Desc = Desc::updown("process.group.size", "{process}", "Processes in a group of processes.");

/// As the kernel's letters; what is uninterruptible is waiting for a disk or a network file system.
const STATES: [&str; 7] = ["running", "sleeping", "blocked", "stopped", "defunct", "idle", "unknown"];

/// Processes that are looked at in a round.
const MAX_PROCESSES: usize = 100_000;
/// Groups that are remembered for their CPU time when they have no process.
const MAX_GROUPS: usize = 4096;
/// Processes whose private memory is read in a round.
const MAX_PRIVATE: usize = 20_000;

pub(super) struct Processes {
    top: usize,
    budget: Budget,
    table: Table,
    known: HashMap<u32, Known>,
    groups: HashMap<Arc<str>, Totals>,
    round: u64,
}

/// A process of the last rounds.
struct Known {
    start: u64,
    ticks: u64,
    group: Arc<str>,
    round: u64,
    /// Its group was read in its second round too: a new process is moved to its unit after it began.
    settled: bool,
}

/// A group.
#[derive(Default)]
struct Totals {
    /// CPU time, since the group was first seen: never goes back when a process ends.
    ticks: u64,
    /// Of this, in the last round.
    spent: u64,
    processes: u64,
    threads: u64,
    pages: u64,
    private: u64,
}

impl Processes {
    pub(super) fn new(top: usize) -> Self {
        let (known, groups) = (HashMap::new(), HashMap::new());
        Self { top, budget: Budget::default(), table: Table::default(), known, groups, round: 0 }
    }

    fn take(&mut self, pid: u32, stat: &Stat<'_>, context: &mut Context) {
        let known = self.known.get(&pid).filter(|known| known.start == stat.start);
        let last = known.map_or(0, |known| known.ticks);
        let (group, settled) = match known {
            Some(known) if known.settled => (Arc::clone(&known.group), true),
            known => (self.group_of(pid, stat, context), known.is_some()),
        };
        let totals = self.groups.entry(Arc::clone(&group)).or_default();
        let spent = stat.ticks.saturating_sub(last);
        totals.ticks += spent;
        totals.spent += spent;
        totals.processes += 1;
        totals.threads += stat.threads;
        totals.pages += stat.pages;
        self.known.insert(pid, Known { start: stat.start, ticks: stat.ticks, group, round: self.round, settled });
    }

    fn group_of(&self, pid: u32, stat: &Stat<'_>, context: &mut Context) -> Arc<str> {
        if stat.is_kernel {
            return self.shared("kernel");
        }
        let unit = context.proc(&format!("{pid}/cgroup")).ok().and_then(parse_cgroup).and_then(names::unit);
        let name = unit.unwrap_or_else(|| names::short(&String::from_utf8_lossy(stat.name)));
        self.shared(&name)
    }

    /// The name that the group has already, so that a thousand processes do not hold it a thousand times.
    fn shared(&self, name: &str) -> Arc<str> {
        self.groups.get_key_value(name).map_or_else(|| Arc::from(name), |(known, _)| Arc::clone(known))
    }

    /// Forgets what has ended.
    fn forget(&mut self) {
        let round = self.round;
        self.known.retain(|_, known| known.round == round);
        if self.groups.len() > MAX_GROUPS {
            self.groups.retain(|_, totals| totals.processes > 0);
        }
    }

    /// The groups with the most of each, by name.
    fn chosen(&self) -> Vec<Arc<str>> {
        let mut chosen: Vec<Arc<str>> = Vec::new();
        let keys: [fn(&Totals) -> u64; 3] = [|totals| totals.pages, |totals| totals.private, |totals| totals.spent];
        for key in keys {
            let alive = self.groups.iter().filter(|(_, totals)| totals.processes > 0 && key(totals) > 0);
            let mut all: Vec<(u64, &Arc<str>)> = alive.map(|(name, totals)| (key(totals), name)).collect();
            // With equal numbers by name, so that the choice does not change from round to round.
            all.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
            chosen.extend(all.into_iter().take(self.top).map(|(_, name)| Arc::clone(name)));
        }
        chosen.sort();
        chosen.dedup();
        chosen
    }

    /// Adds up the private memory of the groups. Without swap in use, only of those that are told, from `statm`, which
    /// costs the kernel a fifth of `status`; with swap of all, from `status`, for `stat` does not tell who is swapped out.
    fn private(&mut self, context: &mut Context, swapped: bool) {
        let chosen = if swapped { Vec::new() } else { self.chosen() };
        let told = self.known.iter().filter(|(_, known)| swapped || chosen.contains(&known.group));
        for (pid, known) in told.take(MAX_PRIVATE) {
            let file = if swapped { "status" } else { "statm" };
            // It may have ended since.
            let Ok(text) = context.proc(&format!("{pid}/{file}")) else { continue };
            let bytes = if swapped { parse_status(text) } else { parse_statm(text).saturating_mul(context.page) };
            if let Some(totals) = self.groups.get_mut(&known.group) {
                totals.private = totals.private.saturating_add(bytes);
            }
        }
    }

    fn put(&self, context: &Context, out: &mut Samples) {
        for name in self.chosen() {
            let Some(totals) = self.groups.get(&name) else { continue };
            let group = [("process.group", &*name)];
            out.put_with(&CPU_TIME, &group, totals.ticks as f64 / context.ticks);
            out.put_with(&THREADS, &group, totals.threads);
            out.put_with(&SIZE, &group, totals.processes);
            // The kernel's own threads have no memory of their own.
            if totals.pages > 0 {
                out.put_with(&MEMORY, &group, totals.pages.saturating_mul(context.page));
                out.put_with(&PRIVATE, &group, totals.private);
            }
        }
    }
}

impl Group for Processes {
    fn name(&self) -> &'static str {
        "process"
    }

    fn read(&mut self, context: &mut Context, out: &mut Samples) -> Result<(), CollectError> {
        let begun = Instant::now();
        if !self.budget.due(begun) {
            return Ok(());
        }
        self.round += 1;
        for totals in self.groups.values_mut() {
            *totals = Totals { ticks: totals.ticks, ..Totals::default() };
        }
        let mut states = [0_u64; STATES.len()];
        let mut table = std::mem::take(&mut self.table);
        let read = table.each(&context.roots.proc.clone(), MAX_PROCESSES, |pid, stat| {
            states[state(stat.state)] += 1;
            self.take(pid, stat, context);
        });
        self.table = table;
        read?;
        self.forget();
        let memory = optional(context.proc("meminfo"))?.and_then(|text| memory::parse(text).ok());
        self.private(context, memory.is_some_and(|memory| memory.swapped() > 0));
        for (name, count) in STATES.iter().zip(states) {
            out.put_with(&COUNT, &[("process.state", name)], count);
        }
        self.put(context, out);
        self.budget.spent(begun, begun.elapsed());
        Ok(())
    }
}

/// Place in `STATES`.
fn state(letter: u8) -> usize {
    match letter {
        b'R' => 0,
        b'S' => 1,
        b'D' => 2,
        b'T' | b't' => 3,
        b'Z' | b'X' => 4,
        b'I' => 5,
        _ => 6,
    }
}

/// The path in the unified hierarchy, or in systemd's own of version 1, where that says more.
fn parse_cgroup(text: &str) -> Option<&str> {
    let path = |prefix: &str| text.lines().find_map(|line| line.strip_prefix(prefix)).filter(|path| *path != "/");
    let named = || text.lines().find_map(|line| line.split_once(":name=systemd:").map(|(_, path)| path));
    path("0::").or_else(named)
}

/// Resident pages less shared ones: the kernel's `RssAnon`.
fn parse_statm(text: &str) -> u64 {
    let mut words = numbers(text).skip(1);
    let (resident, shared) = (words.next().unwrap_or(0), words.next().unwrap_or(0));
    resident.saturating_sub(shared)
}

/// `RssAnon` and `VmSwap`, in bytes; kernel threads have neither.
fn parse_status(text: &str) -> u64 {
    let lines = text.lines().filter_map(|line| line.strip_prefix("RssAnon:").or_else(|| line.strip_prefix("VmSwap:")));
    let kib = lines.filter_map(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.fold(0_u64, |sum, kib| sum.saturating_add(kib.saturating_mul(1024)))
}

#[cfg(test)]
mod tests;
