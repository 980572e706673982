//! Memory and swap space, from `/proc/meminfo`.

use super::context::Context;
use super::{CollectError, Group};
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] =
    &[USAGE, LIMIT, UTILIZATION, AVAILABLE, SHARED, SLAB, PAGING_USAGE, PAGING_UTILIZATION];
const USAGE: Desc = Desc::updown("system.memory.usage", "By", "Memory by state; used is what is not available.");
const LIMIT: Desc = Desc::updown("system.memory.limit", "By", "Memory of the host.");
const UTILIZATION: Desc = Desc::gauge("system.memory.utilization", "1", "Share of the memory by state.");
const AVAILABLE: Desc =
    Desc::updown("system.memory.linux.available", "By", "Memory that new programs can have without swapping.");
const SHARED: Desc = Desc::updown("system.memory.linux.shared", "By", "Shared memory and tmpfs.");
const SLAB: Desc =
    Desc::updown("system.memory.linux.slab.usage", "By", "The kernel's own caches, by what can be freed.");
const PAGING_USAGE: Desc = Desc::updown("system.paging.usage", "By", "Swap space by state.");
const PAGING_UTILIZATION: Desc = Desc::gauge("system.paging.utilization", "1", "Share of the swap space that is used.");

pub(super) struct Memory;

impl Group for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn read(&mut self, context: &mut Context, out: &mut Samples) -> Result<(), CollectError> {
        let memory = parse(context.proc("meminfo")?)?;
        let available = memory.available.unwrap_or(memory.free + memory.buffers + memory.cached);
        let used = memory.total.saturating_sub(available);
        let states = [("used", used), ("free", memory.free), ("buffers", memory.buffers), ("cached", memory.cached)];
        for (state, bytes) in states {
            out.put_with(&USAGE, &[("system.memory.state", state)], bytes);
            out.put_with(&UTILIZATION, &[("system.memory.state", state)], bytes as f64 / memory.total as f64);
        }
        out.put(&LIMIT, memory.total);
        out.put(&AVAILABLE, available);
        out.put(&SHARED, memory.shared);
        out.put_with(&SLAB, &[("system.memory.linux.slab.state", "reclaimable")], memory.reclaimable);
        out.put_with(&SLAB, &[("system.memory.linux.slab.state", "unreclaimable")], memory.unreclaimable);
        // A host without swap has no paging space; a share of nothing would be no number.
        if memory.swap_total > 0 {
            let used = memory.swap_total.saturating_sub(memory.swap_free);
            out.put_with(&PAGING_USAGE, &[("system.paging.state", "used")], used);
            out.put_with(&PAGING_USAGE, &[("system.paging.state", "free")], memory.swap_free);
            out.put(&PAGING_UTILIZATION, used as f64 / memory.swap_total as f64);
        }
        Ok(())
    }
}

/// Bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Info {
    total: u64,
    free: u64,
    /// Since Linux 3.14.
    available: Option<u64>,
    buffers: u64,
    cached: u64,
    shared: u64,
    reclaimable: u64,
    unreclaimable: u64,
    swap_total: u64,
    swap_free: u64,
}

impl Info {
    /// Swap space in use.
    pub(super) fn swapped(&self) -> u64 {
        self.swap_total.saturating_sub(self.swap_free)
    }
}

/// `man 5 proc_meminfo`; values are kibibytes.
pub(super) fn parse(text: &str) -> Result<Info, CollectError> {
    let mut info = Info::default();
    for line in text.lines() {
        let Some((key, rest)) = line.split_once(':') else { continue };
        let number = rest.split_ascii_whitespace().next().and_then(|word| word.parse::<u64>().ok());
        let Some(bytes) = number.map(|kib| kib.saturating_mul(1024)) else { continue };
        match key {
            "MemTotal" => info.total = bytes,
            "MemFree" => info.free = bytes,
            "MemAvailable" => info.available = Some(bytes),
            "Buffers" => info.buffers = bytes,
            "Cached" => info.cached = bytes,
            "Shmem" => info.shared = bytes,
            "SReclaimable" => info.reclaimable = bytes,
            "SUnreclaim" => info.unreclaimable = bytes,
            "SwapTotal" => info.swap_total = bytes,
            "SwapFree" => info.swap_free = bytes,
            _ => {}
        }
    }
    if info.total == 0 {
        return Err(CollectError::Parse("meminfo has no MemTotal".into()));
    }
    Ok(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kibibytes_become_bytes_and_a_missing_total_is_a_fault() {
        let info =
            parse("MemTotal:  100 kB\nMemAvailable: 40 kB\nSwapTotal: 10 kB\nSwapFree: 4 kB\nHugePages_Total: 0\n");
        let info = info.unwrap();
        assert_eq!((info.total, info.available, info.swapped()), (102_400, Some(40_960), 6144));
        assert!(parse("MemFree: 1 kB\n").is_err());
    }
}
