//! A real Loki on loopback, and its answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::harness::{self, Process, escaped, free_port, wait_for};

pub(crate) struct Loki {
    binary: PathBuf,
    dir: TempDir,
    process: Option<Process>,
    pub(crate) port: u16,
}

/// One line as Loki has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// Unix nanoseconds.
    pub(crate) nanos: u64,
    pub(crate) line: String,
    /// The labels of its stream.
    pub(crate) labels: BTreeMap<String, String>,
    /// Its structured metadata.
    pub(crate) metadata: BTreeMap<String, String>,
}

impl Entry {
    /// A value of its structured metadata.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.metadata.get(name).map_or("", String::as_str)
    }
}

impl Loki {
    /// One that runs, or `None` where tests against it are left out.
    pub(crate) fn start() -> Option<Self> {
        let mut loki = Self::stopped()?;
        loki.up();
        Some(loki)
    }

    /// One that has its port and does not run yet.
    pub(crate) fn stopped() -> Option<Self> {
        let binary = harness::binary("loki")?;
        Some(Self { binary, dir: tempfile::tempdir().unwrap(), process: None, port: free_port() })
    }

    /// Starts it, also again with what it had.
    pub(crate) fn up(&mut self) {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stack/loki.yaml");
        let mut command = Command::new(&self.binary);
        command.arg(format!("-config.file={}", config.display())).arg("-config.expand-env=true");
        command.env("LOKI_HTTP_PORT", self.port.to_string()).env("LOKI_GRPC_PORT", free_port().to_string());
        command.env("LOKI_DIR", self.dir.path().join("data")).current_dir(self.dir.path());
        let process = self.process.insert(Process::start(&mut command, &self.dir.path().join("log")));
        wait_for("a Loki that is ready", Duration::from_secs(60), || {
            process.check();
            harness::get(self.port, "/ready", &[])
        });
    }

    /// Kills it; what it took stays.
    pub(crate) fn down(&mut self) {
        self.process = None;
    }

    /// The destination for an agent's config, `more` settings included.
    pub(crate) fn destination(&self, more: &str) -> String {
        let endpoint = format!("http://127.0.0.1:{}/otlp", self.port);
        format!("  loki: {{ otlp_http: {{ endpoint: \"{endpoint}\", signals: [logs], {more} }} }}\n")
    }

    /// All entries of the last two weeks and the next hour that `selector` finds, oldest first.
    pub(crate) fn entries(&self, selector: &str) -> Result<Vec<Entry>, String> {
        let (mut from, end) = (harness::now() - 14 * 86_400_000_000_000, harness::now() + 3_600_000_000_000);
        let mut found: Vec<Entry> = Vec::new();
        loop {
            let page = self.page(selector, from, end)?;
            let full = page.len() >= PAGE;
            let last = page.last().map_or(0, |entry| entry.nanos);
            // The next page starts with the time of the last entry here, whose other entries may have been cut off.
            found.retain(|entry| entry.nanos < from);
            found.extend(page);
            if !full {
                return Ok(found);
            }
            assert!(last > from, "more than {PAGE} entries have the time {last}");
            from = last;
        }
    }

    fn page(&self, selector: &str, from: u64, end: u64) -> Result<Vec<Entry>, String> {
        let query = escaped(selector);
        let path =
            format!("/loki/api/v1/query_range?query={query}&start={from}&end={end}&limit={PAGE}&direction=forward");
        let answer = harness::get(self.port, &path, &[("X-Loki-Response-Encoding-Flags", "categorize-labels")])?;
        let answer: Value = serde_json::from_str(&answer).map_err(|error| error.to_string())?;
        let mut found = Vec::new();
        for stream in answer["data"]["result"].as_array().ok_or("no result")? {
            let labels = texts(&stream["stream"]);
            for value in stream["values"].as_array().ok_or("no values")? {
                found.push(Entry {
                    nanos: value[0].as_str().ok_or("no time")?.parse().map_err(|_| "no time")?,
                    line: value[1].as_str().ok_or("no line")?.to_owned(),
                    labels: labels.clone(),
                    metadata: texts(&value[2]["structuredMetadata"]),
                });
            }
        }
        found.sort();
        Ok(found)
    }

    /// Exactly `count` entries that `selector` finds, as soon as they are all there.
    pub(crate) fn wait(&self, selector: &str, count: usize, limit: Duration) -> Vec<Entry> {
        let found = wait_for(&format!("{count} entries of {selector} in Loki"), limit, || {
            let found = self.entries(selector)?;
            if found.len() >= count { Ok(found) } else { Err(format!("{} are there", found.len())) }
        });
        assert_eq!(found.len(), count, "more of {selector} than were written: {:#?}", &found[..found.len().min(5)]);
        found
    }
}

/// Loki's own limit for one query.
const PAGE: usize = 5000;

fn texts(map: &Value) -> BTreeMap<String, String> {
    let pairs = map.as_object().into_iter().flatten();
    pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}
