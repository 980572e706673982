//! CPU time, count, load, context switches and forks, from `/proc/stat`, `/proc/loadavg` and the topology in `/sys`.

use std::collections::HashSet;

use super::context::{Context, numbers};
use super::{CollectError, Group};
use crate::signal::metrics::{Desc, Samples};

pub(super) const METRICS: &[Desc] =
    &[TIME, UTILIZATION, LOGICAL, PHYSICAL, LOAD1, LOAD5, LOAD15, CONTEXT_SWITCHES, CREATED];
const TIME: Desc = Desc::counter("system.cpu.time", "s", "Time that the CPUs spent in each mode, over all CPUs.");
const UTILIZATION: Desc =
    Desc::gauge("system.cpu.utilization", "1", "Share of the CPUs' time in each mode since the last round.");
const LOGICAL: Desc = Desc::updown("system.cpu.logical.count", "{cpu}", "Logical CPUs that are online.");
const PHYSICAL: Desc = Desc::updown("system.cpu.physical.count", "{cpu}", "Physical cores.");
const LOAD1: Desc = Desc::gauge("system.cpu.load_average.1m", "{thread}", "Load average over one minute.");
const LOAD5: Desc = Desc::gauge("system.cpu.load_average.5m", "{thread}", "Load average over five minutes.");
const LOAD15: Desc = Desc::gauge("system.cpu.load_average.15m", "{thread}", "Load average over fifteen minutes.");
const CONTEXT_SWITCHES: Desc =
    Desc::counter("system.cpu.context_switches", "{switch}", "Context switches since boot, over all CPUs.");
const CREATED: Desc = Desc::counter("system.process.created", "{process}", "Processes and threads made since boot.");

const MODES: [&str; 7] = ["user", "nice", "system", "idle", "iowait", "interrupt", "steal"];

/// Clock ticks per mode, in the order of `MODES`.
type Ticks = [u64; 7];

pub(super) struct Cpu {
    per_cpu: bool,
    last: Vec<(String, Ticks)>,
    cores: (usize, Option<usize>),
}

impl Cpu {
    pub(super) fn new(per_cpu: bool) -> Self {
        Self { per_cpu, last: Vec::new(), cores: (0, None) }
    }

    fn put_times(&mut self, lines: Vec<(String, Ticks)>, ticks: f64, out: &mut Samples) {
        let mut lines = lines;
        for (name, now) in &mut lines {
            let number = name.as_str();
            let last = self.last.iter().find(|(known, _)| known == number).map(|(_, ticks)| *ticks);
            if let Some(last) = last {
                never_back(now, &last, ticks);
            }
            for (mode, value) in MODES.iter().zip(*now) {
                out.put_with(&TIME, &[("cpu.mode", mode), ("cpu.logical_number", number)], value as f64 / ticks);
            }
            let Some(last) = last else { continue };
            let spent: Vec<u64> = now.iter().zip(last).map(|(now, last)| now.saturating_sub(last)).collect();
            let whole: u64 = spent.iter().sum();
            if whole > 0 {
                for (mode, spent) in MODES.iter().zip(spent) {
                    let attributes = [("cpu.mode", *mode), ("cpu.logical_number", number)];
                    out.put_with(&UTILIZATION, &attributes, spent as f64 / whole as f64);
                }
            }
        }
        self.last = lines;
    }

    /// Cores do not come and go with each round: they are counted again when the number of CPUs changes.
    fn cores(&mut self, logical: usize, context: &mut Context) -> Option<usize> {
        if self.cores.0 != logical {
            let siblings: HashSet<String> = (0..logical)
                .filter_map(|cpu| {
                    let path = format!("devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
                    context.sys(&path).ok().map(str::to_owned)
                })
                .collect();
            self.cores = (logical, (!siblings.is_empty()).then_some(siblings.len()));
        }
        self.cores.1
    }
}

impl Group for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn read(&mut self, context: &mut Context, out: &mut Samples) -> Result<(), CollectError> {
        let stat = parse_stat(context.proc("stat")?, self.per_cpu)?;
        self.put_times(stat.times, context.ticks, out);
        out.put(&LOGICAL, stat.logical);
        if let Some(cores) = self.cores(stat.logical, context) {
            out.put(&PHYSICAL, cores);
        }
        out.put(&CONTEXT_SWITCHES, stat.switches);
        out.put(&CREATED, stat.created);
        let loads = parse_load(context.proc("loadavg")?)?;
        for (desc, load) in [&LOAD1, &LOAD5, &LOAD15].into_iter().zip(loads) {
            out.put(desc, load);
        }
        Ok(())
    }
}

/// The kernel's idle and iowait of a CPU can step back a little, which a sum must not: Prometheus would see the
/// CPU's whole life added. A step of more than three seconds is a CPU that was taken off and came back.
fn never_back(now: &mut Ticks, last: &Ticks, ticks: f64) {
    for (now, last) in now.iter_mut().zip(last) {
        if *now < *last && ((*last - *now) as f64) < 3.0 * ticks {
            *now = *last;
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// Empty name: all CPUs; else the CPU's number.
    times: Vec<(String, Ticks)>,
    logical: usize,
    switches: u64,
    created: u64,
}

/// `man 5 proc_stat`.
fn parse_stat(text: &str, per_cpu: bool) -> Result<Stat, CollectError> {
    let mut stat = Stat { times: Vec::new(), logical: 0, switches: 0, created: 0 };
    for line in text.lines() {
        let (key, rest) = line.split_once(' ').unwrap_or((line, ""));
        match key {
            "ctxt" => stat.switches = numbers(rest).next().unwrap_or(0),
            "processes" => stat.created = numbers(rest).next().unwrap_or(0),
            _ => {
                let Some(number) = key.strip_prefix("cpu") else { continue };
                stat.logical += usize::from(!number.is_empty());
                if number.is_empty() != per_cpu {
                    stat.times.push((number.to_owned(), parse_ticks(rest)));
                }
            }
        }
    }
    if stat.times.is_empty() {
        return Err(CollectError::Parse("stat has no line of CPUs".into()));
    }
    Ok(stat)
}

/// Interrupts are hard and soft ones; guests' time is within user's and nice's already.
fn parse_ticks(rest: &str) -> Ticks {
    let mut fields = [0; 8];
    for (field, number) in fields.iter_mut().zip(numbers(rest)) {
        *field = number;
    }
    let [user, nice, system, idle, iowait, irq, softirq, steal] = fields;
    [user, nice, system, idle, iowait, irq.saturating_add(softirq), steal]
}

fn parse_load(text: &str) -> Result<[f64; 3], CollectError> {
    let mut words = text.split_ascii_whitespace().map_while(|word| word.parse().ok());
    match (words.next(), words.next(), words.next()) {
        (Some(one), Some(five), Some(fifteen)) => Ok([one, five, fifteen]),
        _ => Err(CollectError::Parse(format!("loadavg has no three numbers: {:.40}", text.trim()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  10 1 20 100 5 2 3 4 9 9\ncpu0 5 1 10 50 5 1 2 2 0 0\ncpu1 5 0 10 50 0 1 1 2 0 0\n\
        intr 5 1\nctxt 77\nbtime 1\nprocesses 33\nprocs_running 1\n";

    #[test]
    fn hard_and_soft_interrupts_are_one_mode_and_guests_are_not_counted_twice() {
        let stat = parse_stat(STAT, false).unwrap();
        assert_eq!(stat.times, [(String::new(), [10, 1, 20, 100, 5, 5, 4])]);
        assert_eq!((stat.logical, stat.switches, stat.created), (2, 77, 33));
        let stat = parse_stat(STAT, true).unwrap();
        assert_eq!(stat.times[1], ("1".to_owned(), [5, 0, 10, 50, 0, 2, 2]));
    }

    #[test]
    fn a_kernel_of_before_steal_has_zeros_there() {
        assert_eq!(parse_stat("cpu 1 2 3 4\n", false).unwrap().times[0].1, [1, 2, 3, 4, 0, 0, 0]);
        assert!(parse_stat("intr 1\n", false).is_err());
    }

    #[test]
    fn a_small_step_back_is_held_and_a_large_one_is_taken() {
        let mut now = [5, 0, 0, 90, 0, 0, 0];
        never_back(&mut now, &[500, 0, 0, 100, 0, 0, 0], 100.0);
        assert_eq!(now, [5, 0, 0, 100, 0, 0, 0]);
    }

    #[test]
    fn load_needs_three_numbers() {
        assert_eq!(parse_load("2.24 2.44 1.92 9/116 486\n").unwrap(), [2.24, 2.44, 1.92]);
        assert!(parse_load("2.24 x").is_err());
    }
}
