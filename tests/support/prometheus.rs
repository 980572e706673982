//! A real Prometheus on loopback, and its answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::harness::{self, Process, escaped, free_port, wait_for};

pub(crate) struct Prometheus {
    binary: PathBuf,
    dir: TempDir,
    process: Option<Process>,
    pub(crate) port: u16,
}

/// The labels of a series, `__name__` among them.
pub(crate) type Labels = BTreeMap<String, String>;

impl Prometheus {
    /// One that runs, or `None` where tests against it are left out.
    pub(crate) fn start() -> Option<Self> {
        let mut prometheus = Self::stopped()?;
        prometheus.up();
        Some(prometheus)
    }

    /// One that has its port and does not run yet.
    pub(crate) fn stopped() -> Option<Self> {
        let binary = harness::binary("prometheus")?;
        Some(Self { binary, dir: tempfile::tempdir().unwrap(), process: None, port: free_port() })
    }

    /// Has it scrape this target too, each second, as the job `direct`. Before it starts.
    pub(crate) fn scrape(&self, port: u16) {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stack/prometheus.yml");
        let mut text = std::fs::read_to_string(config).unwrap();
        text.push_str(&format!(
            "\nscrape_configs:\n  - job_name: direct\n    scrape_interval: 1s\n    static_configs:\n      \
             - targets: ['127.0.0.1:{port}']\n"
        ));
        std::fs::write(self.dir.path().join("prometheus.yml"), text).unwrap();
    }

    /// Starts it, also again with what it had.
    pub(crate) fn up(&mut self) {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stack/prometheus.yml");
        let own = self.dir.path().join("prometheus.yml");
        if !own.exists() {
            std::fs::copy(config, &own).unwrap();
        }
        let mut command = Command::new(&self.binary);
        command.arg(format!("--config.file={}", own.display()));
        command.arg(format!("--storage.tsdb.path={}", self.dir.path().join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{}", self.port));
        command.args(["--web.enable-otlp-receiver", "--log.level=warn"]).current_dir(self.dir.path());
        let process = self.process.insert(Process::start(&mut command, &self.dir.path().join("log")));
        wait_for("a Prometheus that is ready", Duration::from_secs(60), || {
            process.check();
            harness::get(self.port, "/-/ready", &[])
        });
    }

    /// Kills it; what it took stays.
    pub(crate) fn down(&mut self) {
        self.process = None;
    }

    /// The destination for an agent's config.
    pub(crate) fn destination(&self) -> String {
        let endpoint = format!("http://127.0.0.1:{}/api/v1/otlp", self.port);
        format!("  prometheus: {{ otlp_http: {{ endpoint: \"{endpoint}\", signals: [metrics] }} }}\n")
    }

    /// Labels and value of each series that `expression` gives now.
    pub(crate) fn query(&self, expression: &str) -> Result<Vec<(Labels, f64)>, String> {
        let answer = self.ask(&format!("query?query={}", escaped(expression)))?;
        let series = answer["data"]["result"].as_array().ok_or("no result")?;
        let number = |series: &Value| series["value"][1].as_str()?.parse().ok();
        series.iter().map(|series| Ok((labels(&series["metric"]), number(series).ok_or("no value")?))).collect()
    }

    /// The one value that `expression` gives now.
    pub(crate) fn value(&self, expression: &str) -> Result<f64, String> {
        match self.query(expression)?.as_slice() {
            [(_, value)] => Ok(*value),
            other => Err(format!("{expression} gives {other:?}")),
        }
    }

    /// The newest value of the series `selector`, however old.
    pub(crate) fn newest(&self, selector: &str) -> Result<f64, String> {
        self.value(&format!("last_over_time({selector}[3h])"))
    }

    /// All series that it has under `selector`.
    pub(crate) fn series(&self, selector: &str) -> Result<Vec<Labels>, String> {
        let answer = self.ask(&format!("series?match[]={}", escaped(selector)))?;
        Ok(answer["data"].as_array().ok_or("no data")?.iter().map(labels).collect())
    }

    fn ask(&self, what: &str) -> Result<Value, String> {
        let answer = harness::get(self.port, &format!("/api/v1/{what}"), &[])?;
        serde_json::from_str(&answer).map_err(|error| error.to_string())
    }

    /// The value of `expression` once it passes `good`.
    pub(crate) fn wait(&self, expression: &str, limit: Duration, good: impl Fn(f64) -> bool) -> f64 {
        wait_for(&format!("{expression} in Prometheus"), limit, || {
            let value = self.value(expression)?;
            if good(value) { Ok(value) } else { Err(format!("it is {value}")) }
        })
    }
}

fn labels(metric: &Value) -> Labels {
    let pairs = metric.as_object().into_iter().flatten();
    pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}
