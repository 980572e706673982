//! `logs:` which files and which journal units are read, and how.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

pub use super::parse::Choice as Format;
use crate::base::check;
use crate::base::fault::{Fault, join, step};
use crate::base::switch::Switch;
use crate::base::units::{Dur, Size};
use crate::pipeline::config::{LogMetric, Redact};

/// `logs:`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Files that are followed. Default: none but what is discovered. A file that two entries match belongs to the
    /// first of them.
    pub files: Vec<File>,
    /// The journal. Not named: read where `discover` is on and the box has one. `off`: never.
    pub journald: Option<Switch<Journald>>,
}

/// One entry of `logs.files`: the files that one glob matches.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// Absolute path or glob (`*`, `**`, `?`, `[a-z]`, `{a,b}`). Required.
    pub path: String,
    /// `service.name` of these logs. Default: the top-level `service`.
    pub service: Option<String>,
    /// How a line is read. Default `auto`: decided by the first lines of each file.
    pub format: Format,
    /// Where reading starts in a file that was never seen before. Default `beginning`. `end` suits a first start
    /// beside large old files.
    pub start: Start,
    /// Joins lines to one record. Default: each line is a record.
    pub multiline: Option<Multiline>,
    /// Globs of file names that are left alone, such as `"*.gz"`. Default: none. A pattern with a `/` is matched
    /// against the whole path.
    pub exclude: Vec<String>,
    /// What is blacked out before anything is written. Default: nothing.
    pub redact: Vec<Redact>,
    /// Metrics that are made from these lines. Default: none.
    pub metrics: Vec<LogMetric>,
    /// Longest line; what is beyond is cut and counted. Default 256 KiB, which is what Loki takes. From 1 KiB to
    /// 1 MiB.
    pub max_line: Size,
    /// Attributes of the resource of these logs, such as `team: checkout`. Default: none.
    pub attributes: BTreeMap<String, String>,
}

impl Default for File {
    fn default() -> Self {
        Self {
            path: String::new(),
            service: None,
            format: Format::Auto,
            start: Start::Beginning,
            multiline: None,
            exclude: Vec::new(),
            redact: Vec::new(),
            metrics: Vec::new(),
            max_line: Size(256 << 10),
            attributes: BTreeMap::new(),
        }
    }
}

/// Where reading starts in a file that was never seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// With the first line that is there.
    Beginning,
    /// With the next line that is written.
    End,
}

/// `multiline:` which lines belong together.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Multiline {
    /// Regular expression of a record's first line; each other line is joined to the one before. Required.
    pub start: String,
    /// A record ends after this many lines. Default 500. From 2 to 10,000.
    pub max_lines: usize,
    /// A record ends at this size. Default 256 KiB. From 1 KiB to 1 MiB.
    pub max_bytes: Size,
    /// A record ends when nothing follows for this long. Default 1 s. Longer suits programs that write one stack
    /// trace in pieces.
    pub timeout: Dur,
}

impl Default for Multiline {
    fn default() -> Self {
        Self { start: String::new(), max_lines: 500, max_bytes: Size(256 << 10), timeout: Dur(Duration::from_secs(1)) }
    }
}

/// `logs.journald:`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Journald {
    /// Units that are read, as globs (`shop-*.service`). Default: none named, which is all.
    pub units: Vec<String>,
    /// Units that are left alone, as globs. Default: none.
    pub exclude: Vec<String>,
    /// How a message is read. Default `auto`: decided per unit.
    pub format: Format,
    /// What is blacked out before anything is written. Default: nothing.
    pub redact: Vec<Redact>,
    /// Metrics that are made from these messages. Default: none.
    pub metrics: Vec<LogMetric>,
}

impl Default for Journald {
    fn default() -> Self {
        Self { units: Vec::new(), exclude: Vec::new(), format: Format::Auto, redact: Vec::new(), metrics: Vec::new() }
    }
}

impl Config {
    /// What is wrong beyond the shape.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let mut out = Vec::new();
        for (number, file) in self.files.iter().enumerate() {
            let key = format!("files[{number}]");
            out.extend(file.faults().into_iter().map(|fault| fault.below(&key)));
            let same = |other: &File| other.path == file.path && other.exclude == file.exclude;
            if let Some(first) = self.files[..number].iter().position(same) {
                let what = format!("the files of entry {} again: this entry would never get one", first + 1);
                out.push(Fault::new(join(&key, "path"), what, "make one entry of both"));
            }
        }
        out.extend(self.measured_twice());
        let journal = self.journald.as_ref().and_then(Switch::on).map(Journald::faults).unwrap_or_default();
        out.extend(journal.into_iter().map(|fault| fault.below("journald")));
        out
    }
}

impl Config {
    /// To Prometheus the series of one service and one name are the same, whichever files they come from.
    fn measured_twice(&self) -> Vec<Fault> {
        let mut seen: Vec<(&Option<String>, &LogMetric)> = Vec::new();
        let mut out = Vec::new();
        for (number, file) in self.files.iter().enumerate() {
            for (at, metric) in file.metrics.iter().enumerate() {
                let same = |(service, known): &&(&Option<String>, &LogMetric)| {
                    **service == file.service && known.name == metric.name
                };
                match seen.iter().find(same) {
                    Some((_, known)) if *known != metric => {
                        let what =
                            format!("{:?} is measured in another way by an earlier entry of this service", metric.name);
                        let key = format!("files[{number}].metrics[{at}].name");
                        out.push(Fault::new(key, what, "give it another name, or make both the same"));
                    }
                    Some(_) => {}
                    None => seen.push((&file.service, metric)),
                }
            }
        }
        out
    }
}

impl File {
    fn faults(&self) -> Vec<Fault> {
        let mut out = Vec::new();
        out.extend(match self.path.as_str() {
            "" => {
                Some(Fault::new("path", "`path` is missing or empty", "an absolute path or glob: /srv/shop/log/*.json"))
            }
            path => check::path("path", path.as_ref()).or_else(|| check::glob("path", path)),
        });
        out.extend(self.service.as_deref().and_then(|name| check::name("service", name)));
        out.extend(self.multiline.iter().flat_map(Multiline::faults).map(|fault| fault.below("multiline")));
        out.extend(globs("exclude", &self.exclude));
        out.extend(treatment(&self.redact, &self.metrics));
        out.extend(check::size("max_line", self.max_line, Size(1 << 10), Size(1 << 20)));
        for (name, value) in &self.attributes {
            let key = join("attributes", &step(name));
            if name.is_empty() {
                out.push(Fault::new(&key, "this attribute has no name", "such as `team: checkout`"));
            } else if name == "service.name" {
                out.push(Fault::new(&key, "`service.name` has a key of its own", "use `service`"));
            }
            out.extend(check::name(&key, value));
        }
        out
    }
}

impl Multiline {
    fn faults(&self) -> Vec<Fault> {
        let mut out = Vec::new();
        out.extend(check::regex("start", &self.start));
        if !(2..=10_000).contains(&self.max_lines) {
            out.push(Fault::new("max_lines", format!("{} lines are no record", self.max_lines), "from 2 to 10000"));
        }
        out.extend(check::size("max_bytes", self.max_bytes, Size(1 << 10), Size(1 << 20)));
        out.extend(check::between("timeout", self.timeout, Duration::from_millis(10), Duration::from_secs(60)));
        out
    }
}

impl Journald {
    fn faults(&self) -> Vec<Fault> {
        let mut out = globs("units", &self.units);
        out.extend(globs("exclude", &self.exclude));
        out.extend(treatment(&self.redact, &self.metrics));
        out
    }
}

fn globs(key: &str, patterns: &[String]) -> Vec<Fault> {
    let each = patterns.iter().enumerate();
    each.filter_map(|(number, pattern)| check::glob(&format!("{key}[{number}]"), pattern)).collect()
}

fn treatment(redact: &[Redact], metrics: &[LogMetric]) -> Vec<Fault> {
    let below = |key: &str, number: usize, faults: Vec<Fault>| -> Vec<Fault> {
        let key = format!("{key}[{number}]");
        faults.into_iter().map(|fault| fault.below(&key)).collect()
    };
    let redact = redact.iter().enumerate().flat_map(|(number, item)| below("redact", number, item.faults()));
    let metrics = metrics.iter().enumerate().flat_map(|(number, item)| below("metrics", number, item.faults()));
    redact.chain(metrics).collect()
}
