//! What a config comes to: every part built and checked, nothing started.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};

use super::finder::{Finder, Found};
use super::{Base, alerts, find, mounts};
use crate::base::clock::SECOND;
use crate::collect;
use crate::collect::address::instance;
use crate::collect::derived::FromLogs;
use crate::collect::entry::Watched;
use crate::collect::host::{self, Host};
use crate::collect::own::Own;
use crate::collect::schedule::Job;
use crate::config::Config;
use crate::export;
use crate::pipeline::Treatment;
use crate::pipeline::config::LogMetric;
use crate::pipeline::derive::{self, Derived};
use crate::pipeline::redact::Redaction;
use crate::signal::resource::Resource;
use crate::tail::config::{File, Journald};
use crate::tail::{self, GroupSettings, MultilineSettings, Start, journald};

/// The agent's own numbers come as often as the host's do by default.
const OWN_INTERVAL: Duration = Duration::from_secs(15);
/// A round of the host that takes longer is given up.
const HOST_TIMEOUT: Duration = Duration::from_secs(5);
/// Series in one round of the host.
const HOST_SERIES: usize = 1000;
/// Series of the agent itself: its sources and destinations are bounded by the config.
const OWN_SERIES: usize = 2000;

/// Parts that are ready to start.
pub(super) struct Plan {
    pub(super) tail: Option<Tail>,
    pub(super) journal: Option<(journald::Settings, Treatment)>,
    pub(super) jobs: Vec<Job>,
    pub(super) derived: Vec<OfLogs>,
    pub(super) destinations: Vec<(String, export::Prepared)>,
    /// What is looked for, and what the first look found.
    pub(super) finder: Option<(Finder, Vec<Found>)>,
    pub(super) alerts: Option<alerts::Prepared>,
    host_interval: Option<Duration>,
}

/// Who the points of this box's servers belong to.
#[derive(Debug, Clone)]
pub(super) struct Naming {
    pub(super) host: String,
    environment: Option<String>,
}

impl Naming {
    fn resource(&self, service: &str, instance: &str, more: &[(&str, String)]) -> Arc<Resource> {
        let mut attributes = vec![("host.name", self.host.as_str())];
        if let Some(environment) = &self.environment {
            attributes.push(("deployment.environment.name", environment));
        }
        attributes.extend(more.iter().map(|(name, value)| (*name, value.as_str())));
        Arc::new(Resource::new(service, instance, &attributes))
    }

    /// The job that reads the server of `watched`.
    pub(super) fn job(
        &self,
        watched: &dyn Watched,
        name: String,
        instance: &str,
        grant: Option<String>,
    ) -> anyhow::Result<Job> {
        let (kind, entry) = (watched.kind(), watched.entry());
        let collector = watched.build().map_err(|error| anyhow!("collect.{kind} {instance}: {error}"))?;
        Ok(Job {
            name,
            kind,
            collector,
            resource: self.resource(watched.service(), instance, &[]),
            interval: entry.interval.0,
            timeout: entry.time(),
            series: entry.series,
            server: true,
            grant,
        })
    }
}

/// A metric that is made from the log lines of a service.
pub(super) struct OfLogs {
    pub(super) service: String,
    metric: LogMetric,
    pub(super) derived: Arc<Derived>,
}

/// The log files.
pub(super) struct Tail {
    pub(super) settings: tail::Settings,
    pub(super) treatments: Vec<Treatment>,
    found: usize,
}

impl Tail {
    /// One reader for this box's own disks, and one for each mount on the network, which may hang by itself.
    pub(super) fn apart(self, mountinfo: &str) -> Vec<Self> {
        let all: Vec<String> = self.settings.groups.iter().map(|group| group.path.clone()).collect();
        let mut parts: BTreeMap<Option<PathBuf>, Self> = BTreeMap::new();
        for (group, treatment) in self.settings.groups.into_iter().zip(self.treatments) {
            let mount = mounts::on_network(mountinfo, &group.path);
            let own = self.settings.own.clone();
            let part = parts.entry(mount).or_insert_with(|| Self {
                settings: tail::Settings { own, ..tail::Settings::default() },
                treatments: Vec::new(),
                found: 0,
            });
            part.settings.groups.push(group);
            part.treatments.push(treatment);
        }
        let mut parts: Vec<Self> = parts.into_values().collect();
        for part in &mut parts {
            let ours = |path: &String| part.settings.groups.iter().any(|group| group.path == *path);
            part.settings.others = all.iter().filter(|path| !ours(path)).cloned().collect();
        }
        parts
    }
}

impl Plan {
    /// Builds what `config` asks for.
    ///
    /// # Errors
    /// What the config's own checks cannot see: a destination's secret or certificate that cannot be read.
    pub(super) fn new(config: &Config, base: &Base) -> anyhow::Result<Self> {
        let naming = Naming { host: base.host.clone(), environment: config.environment.clone() };
        let finder = Finder::of(config, &naming).map(|finder| {
            let found = finder.look();
            (finder, found)
        });
        let maker = Maker { config, base, naming, derived: RefCell::default() };
        let journal = maker.journal()?;
        let tail = maker.tail(journal.is_some())?;
        let mut jobs = vec![maker.own_job()];
        jobs.extend(maker.host_job());
        jobs.extend(maker.servers()?);
        let derived = maker.derived.take();
        jobs.extend(maker.derived_jobs(&derived));
        let mut destinations = Vec::new();
        for (name, destination) in &config.destinations {
            let prepared = export::prepare(name, destination).map_err(|error| anyhow!("{error}"))?;
            destinations.push((name.clone(), prepared));
        }
        let host_interval = config.host.on().map(|host| host.interval.0);
        let alerts = alerts::Prepared::new(config, base)?;
        Ok(Self { tail, journal, derived, jobs, destinations, alerts, finder, host_interval })
    }

    /// Kind and description of each source, for people.
    pub(super) fn sources(&self) -> Vec<(&'static str, String)> {
        let mut out = Vec::new();
        if let Some(interval) = self.host_interval {
            out.push(("host", format!("CPU, memory, disks, network, processes; every {} s", interval.as_secs())));
        }
        for job in self.jobs.iter().filter(|job| job.server) {
            let (instance, every) = (job.resource.instance(), job.interval.as_secs());
            out.push((job.kind, format!("{instance} (service {}); every {every} s", job.resource.service())));
        }
        for found in self.finder.iter().flat_map(|(_, found)| found) {
            let what = match &found.job {
                Some(job) => format!("every {} s", job.interval.as_secs()),
                None => "not read: `plimsoll status` says what it takes".to_owned(),
            };
            out.push((found.kind, format!("{} (service {}, found); {what}", found.instance, found.service)));
        }
        if let Some(tail) = &self.tail {
            let named = tail.settings.groups.len() - tail.found;
            for (index, group) in tail.settings.groups.iter().enumerate() {
                let how = if index >= named { ", found; from their end on" } else { "" };
                out.push((
                    "files",
                    format!("{} (service {}{how})", group.path, tail.treatments[index].resource().service()),
                ));
            }
        }
        if let Some((settings, _)) = &self.journal {
            let units = if settings.units.is_empty() { "all units".to_owned() } else { settings.units.join(", ") };
            out.push(("journald", units));
        }
        if out.is_empty() {
            out.push(("nothing", "is watched: the config switches everything off".into()));
        }
        out
    }

    /// Names of its sources on the board.
    pub(super) fn names(&self) -> Vec<String> {
        let files =
            self.tail.iter().flat_map(|tail| &tail.settings.groups).map(|group| format!("files {}", group.path));
        let journal = self.journal.iter().map(|_| "journald".to_owned());
        let found = self.finder.iter().flat_map(|(_, found)| found).map(|found| found.name.clone());
        files.chain(journal).chain(self.jobs.iter().map(|job| job.name.clone())).chain(found).collect()
    }

    /// Name and signals of each destination, for people.
    pub(super) fn destinations(&self) -> Vec<(String, String)> {
        let signals = |prepared: &export::Prepared| {
            prepared.signals().iter().map(|signal| signal.name()).collect::<Vec<_>>().join(", ")
        };
        self.destinations.iter().map(|(name, prepared)| (name.clone(), signals(prepared))).collect()
    }
}

/// Which top-level parts differ, in words.
pub(super) fn changes(old: &Config, new: &Config) -> String {
    let mut changed = Vec::new();
    let mut note = |name, differs: bool| {
        if differs {
            changed.push(name);
        }
    };
    note("service", old.service != new.service);
    note("environment", old.environment != new.environment);
    note("host", old.host != new.host);
    note("collect", old.collect != new.collect);
    note("logs", old.logs != new.logs || old.discover != new.discover);
    note("destinations", old.destinations != new.destinations);
    note("alerts", old.alerts != new.alerts);
    let restart = old.state != new.state
        || old.store != new.store
        || old.spool != new.spool
        || old.memory != new.memory
        || old.listen != new.listen
        || old.own != new.own;
    note("state, store, spool, memory, listen or self (after a restart: systemctl restart plimsoll)", restart);
    if changed.is_empty() { "nothing that runs".into() } else { format!("changed: {}", changed.join(", ")) }
}

struct Maker<'a> {
    config: &'a Config,
    base: &'a Base,
    naming: Naming,
    derived: RefCell<Vec<OfLogs>>,
}

impl Maker<'_> {
    fn resource(&self, service: &str, more: &[(&str, String)]) -> Arc<Resource> {
        self.naming.resource(service, &self.base.host, more)
    }

    fn own_job(&self) -> Job {
        Job {
            name: "plimsoll".into(),
            kind: "plimsoll",
            collector: Box::new(Own::new(self.base.board.clone())),
            resource: self.resource("plimsoll", &[("service.version", env!("CARGO_PKG_VERSION").into())]),
            interval: OWN_INTERVAL,
            timeout: HOST_TIMEOUT,
            series: OWN_SERIES,
            server: false,
            grant: None,
        }
    }

    fn host_job(&self) -> Option<Job> {
        let host = self.config.host.on()?;
        Some(Job {
            name: "host".into(),
            kind: "host",
            collector: Box::new(Host::new(host::Settings::default())),
            resource: self.resource("host", &host::resource_attributes()),
            interval: host.interval.0,
            timeout: HOST_TIMEOUT,
            series: HOST_SERIES,
            server: false,
            grant: None,
        })
    }

    /// The watched servers. Two entries of one server are two sources: the second one's name says so.
    fn servers(&self) -> anyhow::Result<Vec<Job>> {
        let mut jobs: Vec<Job> = Vec::new();
        for watched in self.config.collect.on().map(collect::config::Config::entries).unwrap_or_default() {
            let kind = watched.kind();
            let url = watched.url().map_err(|fault| anyhow!("collect.{kind}: {}", fault.what))?;
            let instance = instance(&url, &self.base.host);
            let mut name = format!("{kind} {instance}");
            let same = jobs.iter().filter(|job| job.name.split(" #").next() == Some(&name)).count();
            if same > 0 {
                name = format!("{name} #{}", same + 1);
            }
            jobs.push(self.naming.job(watched, name, &instance, None)?);
        }
        Ok(jobs)
    }

    /// Named, or found: then from now on.
    fn journal(&self) -> anyhow::Result<Option<(journald::Settings, Treatment)>> {
        let Some(logs) = self.config.logs.on() else { return Ok(None) };
        let config = match &logs.journald {
            Some(named) => named.on().cloned(),
            None => (self.config.discover && journald::is_here()).then(Journald::default),
        };
        let Some(config) = config else { return Ok(None) };
        let entry = File {
            path: "logs.journald".into(),
            redact: config.redact.clone(),
            metrics: config.metrics.clone(),
            ..File::default()
        };
        let treatment = self.treatment(&entry, "journal")?;
        Ok(Some((journald::Settings::new(&config, 0), treatment)))
    }

    fn tail(&self, journal_is_read: bool) -> anyhow::Result<Option<Tail>> {
        let Some(logs) = self.config.logs.on() else { return Ok(None) };
        let mut groups = Vec::new();
        let mut treatments = Vec::new();
        for file in &logs.files {
            groups.push(group(file).with_context(|| format!("logs.files: {}", file.path))?);
            treatments.push(self.treatment(file, "logs")?);
        }
        let found = if self.config.discover { find::logs(Path::new("/var/log"), journal_is_read) } else { Vec::new() };
        for found in &found {
            let file = found.entry();
            groups.push(group(&file)?);
            treatments.push(self.treatment(&file, "logs")?);
        }
        if groups.is_empty() {
            return Ok(None);
        }
        let own = vec![self.base.state.clone()];
        let settings = tail::Settings { groups, own, ..tail::Settings::default() };
        Ok(Some(Tail { settings, treatments, found: found.len() }))
    }

    /// The metric as one, whichever entries of a service ask for it: their series are the same to Prometheus.
    fn of_logs(&self, service: &str, metric: &LogMetric) -> Option<Arc<Derived>> {
        let mut known = self.derived.borrow_mut();
        if let Some(same) = known.iter().find(|known| known.service == service && known.metric == *metric) {
            return Some(Arc::clone(&same.derived));
        }
        let derived = Arc::new(Derived::new(metric, tail::parse::convention)?);
        known.push(OfLogs { service: service.to_owned(), metric: metric.clone(), derived: Arc::clone(&derived) });
        Some(derived)
    }

    fn derived_jobs(&self, all: &[OfLogs]) -> Vec<Job> {
        let services: BTreeSet<&str> = all.iter().map(|of| of.service.as_str()).collect();
        let job = |service: &str| {
            let derived: Vec<_> =
                all.iter().filter(|of| of.service == service).map(|of| Arc::clone(&of.derived)).collect();
            Job {
                name: format!("log metrics of {service}"),
                kind: "derived",
                series: derived.len() * (derive::MAX_SERIES + 1),
                collector: Box::new(FromLogs::new(derived)),
                resource: self.resource(service, &[]),
                interval: self.config.host.on().map_or(OWN_INTERVAL, |host| host.interval.0),
                timeout: HOST_TIMEOUT,
                server: false,
                grant: None,
            }
        };
        services.into_iter().map(job).collect()
    }

    /// `service` is for an entry that names none, in a config that names none.
    fn treatment(&self, file: &File, service: &str) -> anyhow::Result<Treatment> {
        let service = file.service.as_deref().or(self.config.service.as_deref()).unwrap_or(service);
        let redaction = Redaction::new(&file.redact).map_err(|error| anyhow!("{}: redact: {error}", file.path))?;
        let derived = file.metrics.iter().filter_map(|metric| self.of_logs(service, metric)).collect();
        let attributes: Vec<_> = file.attributes.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let resource = self.resource(service, &attributes);
        Ok(Treatment::new(resource, redaction, derived, self.base.board.clone()))
    }
}

fn group(file: &File) -> anyhow::Result<GroupSettings> {
    let multiline = match &file.multiline {
        None => None,
        Some(lines) => Some(MultilineSettings {
            start: regex::bytes::Regex::new(&lines.start).context("multiline.start")?,
            max_lines: lines.max_lines,
            max_bytes: usize::try_from(lines.max_bytes.0)?,
            timeout: u64::try_from(lines.timeout.0.as_nanos()).unwrap_or(SECOND),
        }),
    };
    Ok(GroupSettings {
        exclude: file.exclude.clone(),
        start: match file.start {
            tail::config::Start::Beginning => Start::Beginning,
            tail::config::Start::End => Start::End,
        },
        max_line: usize::try_from(file.max_line.0)?,
        multiline,
        format: file.format,
        ..GroupSettings::new(&file.path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Board;

    #[test]
    fn files_on_the_network_get_readers_of_their_own_that_leave_each_others_positions_alone() {
        let mountinfo = "21 1 254:0 / / rw - ext4 /dev/vda rw\n40 21 0:45 / /mnt/nfs rw - nfs4 box:/ rw\n";
        let paths = ["/var/log/a.log", "/mnt/nfs/*.log", "/srv/b.log", "/mnt/nfs/deep/c.log"];
        let resource = Arc::new(Resource::new("shop", "box", &[]));
        let treatment = Treatment::new(resource, Redaction::default(), Vec::new(), Board::new());
        let settings = tail::Settings {
            groups: paths.map(GroupSettings::new).into(),
            own: vec!["/state".into()],
            ..tail::Settings::default()
        };
        let parts = Tail { settings, treatments: vec![treatment; 4], found: 0 }.apart(mountinfo);
        let paths = |part: &Tail| part.settings.groups.iter().map(|group| group.path.clone()).collect::<Vec<_>>();
        assert_eq!(
            parts.iter().map(paths).collect::<Vec<_>>(),
            [["/var/log/a.log", "/srv/b.log"], ["/mnt/nfs/*.log", "/mnt/nfs/deep/c.log"]]
        );
        assert_eq!(parts[0].settings.others, ["/mnt/nfs/*.log", "/mnt/nfs/deep/c.log"]);
        assert!(parts.iter().all(|part| part.treatments.len() == 2 && part.settings.own == [PathBuf::from("/state")]));
    }
}
