//! The host itself: CPU, memory, pressure, disks, file systems, network, processes, systemd units.
//!
//! One source of several groups, one file each, all read from `/proc`, `/sys` and cgroups without any right. A
//! group that does not exist here (no PSI, no conntrack) is silently not there; a group that fails does not keep the
//! others from their points. The round is plain blocking code and runs on a blocking thread, because a read of
//! `/proc` can wait for a lock of the kernel; a round that hangs is waited for, never doubled.
//!
//! Names follow the OpenTelemetry system and process conventions, then the collector's host receiver, and are our own
//! where neither has one (pressure, TCP, out-of-memory kills, groups of processes, systemd units).

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::JoinHandle;

use super::{CollectError, Collector};
use crate::signal::metrics::{Desc, Samples};

mod budget;
mod clock;
mod context;
mod cpu;
mod disk;
mod filesystem;
mod identity;
mod kernel;
mod memory;
mod names;
mod network;
mod paging;
mod pressure;
mod process;
mod tcp;
mod unit;

use context::Context;
pub use identity::resource_attributes;

/// Where the kernel's file systems are mounted; a test names recorded trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// `/proc`.
    pub proc: PathBuf,
    /// `/sys`.
    pub sys: PathBuf,
    /// `/run`.
    pub run: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc: "/proc".into(), sys: "/sys".into(), run: "/run".into() }
    }
}

/// What is read, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where it is read.
    pub roots: Roots,
    /// CPU time of each logical CPU in place of their sum: as many series more as there are CPUs.
    pub per_cpu: bool,
    /// Groups of processes that are told by memory, and as many by CPU.
    pub top: usize,
    /// systemd units that are told, those with the most memory first.
    pub units: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { roots: Roots::default(), per_cpu: false, top: 15, units: 50 }
    }
}

/// Every metric of the host.
pub const METRICS: &[Desc] = &ALL;

const GROUPS: &[&[Desc]] = &[
    cpu::METRICS,
    memory::METRICS,
    paging::METRICS,
    pressure::METRICS,
    filesystem::METRICS,
    disk::METRICS,
    network::METRICS,
    tcp::METRICS,
    kernel::METRICS,
    clock::METRICS,
    process::METRICS,
    unit::METRICS,
];

/// One subject of the host.
trait Group: Send {
    /// Its name, for errors.
    fn name(&self) -> &'static str;

    /// Reads it once. `NoData` says that the kernel does not have it.
    fn read(&mut self, context: &mut Context, out: &mut Samples) -> Result<(), CollectError>;
}

fn groups(settings: &Settings) -> Vec<Box<dyn Group>> {
    vec![
        Box::new(cpu::Cpu::new(settings.per_cpu)),
        Box::new(memory::Memory),
        Box::new(paging::Paging),
        Box::new(pressure::Pressure),
        Box::new(filesystem::Filesystem::new(Arc::new(filesystem::statvfs))),
        Box::new(disk::Disk),
        Box::new(network::Network),
        Box::new(tcp::Tcp::default()),
        Box::new(kernel::Kernel),
        Box::new(clock::Clock::new()),
        Box::new(process::Processes::new(settings.top)),
        Box::new(unit::Units::new(settings.units)),
    ]
}

/// The collector of the host.
pub struct Host {
    settings: Settings,
    idle: Option<State>,
    running: Option<JoinHandle<Round>>,
    alive: usize,
}

struct State {
    context: Context,
    groups: Vec<Box<dyn Group>>,
}

/// What a blocking thread gives back.
struct Round {
    state: State,
    samples: Samples,
    alive: usize,
    result: Result<(), CollectError>,
}

impl Host {
    /// Reads nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, idle: None, running: None, alive: 0 }
    }

    /// Waits for the thread that runs; it stays in `self` so that nothing is lost when this future is dropped.
    async fn finish(&mut self) -> Result<Option<Round>, CollectError> {
        let Some(running) = &mut self.running else { return Ok(None) };
        let ended = running.await;
        self.running = None;
        ended.map(Some).map_err(|error| CollectError::Query(format!("a reader of the host broke: {error}")))
    }
}

#[async_trait]
impl Collector for Host {
    async fn collect(&mut self, out: &mut Samples) -> Result<(), CollectError> {
        // A round that was given up: its points would bear a wrong time, only its state is kept.
        if let Some(late) = self.finish().await? {
            self.idle = Some(late.state);
        }
        let state = self.idle.take().unwrap_or_else(|| State::new(&self.settings));
        let samples = out.clone();
        self.running = Some(tokio::task::spawn_blocking(move || state.round(samples)));
        let Some(round) = self.finish().await? else { return Ok(()) };
        self.idle = Some(round.state);
        self.alive = round.alive;
        *out = round.samples;
        round.result
    }

    fn detail(&self) -> String {
        format!("{} groups", self.alive)
    }
}

impl State {
    fn new(settings: &Settings) -> Self {
        Self { context: Context::new(settings.roots.clone()), groups: groups(settings) }
    }

    fn round(mut self, mut samples: Samples) -> Round {
        let mut result = Ok(());
        let mut alive = 0;
        for group in &mut self.groups {
            match group.read(&mut self.context, &mut samples) {
                Ok(()) => alive += 1,
                Err(CollectError::NoData(_)) => {}
                Err(error) if result.is_ok() => result = Err(named(group.name(), error)),
                // One fault at a time is shown: the next one comes up when this is mended.
                Err(_) => {}
            }
        }
        Round { state: self, samples, alive, result }
    }
}

fn named(group: &str, error: CollectError) -> CollectError {
    match error {
        CollectError::Connect(text) => CollectError::Connect(format!("{group}: {text}")),
        CollectError::Query(text) => CollectError::Query(format!("{group}: {text}")),
        CollectError::Parse(text) => CollectError::Parse(format!("{group}: {text}")),
        other => other,
    }
}

const ALL: [Desc; count()] = all();

const fn count() -> usize {
    let (mut sum, mut group) = (0, 0);
    while group < GROUPS.len() {
        sum += GROUPS[group].len();
        group += 1;
    }
    sum
}

const fn all() -> [Desc; count()] {
    let mut all = [const { Desc::gauge("", "", "") }; count()];
    let (mut at, mut group) = (0, 0);
    while group < GROUPS.len() {
        let mut index = 0;
        while index < GROUPS[group].len() {
            let Desc { name, kind, unit, help } = GROUPS[group][index];
            all[at] = Desc { name, kind, unit, help };
            at += 1;
            index += 1;
        }
        group += 1;
    }
    all
}

#[cfg(test)]
mod tests;
