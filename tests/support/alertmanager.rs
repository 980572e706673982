//! A real Alertmanager on loopback, and its answers.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::harness::{self, Process, free_port, wait_for};

pub(crate) struct Alertmanager {
    _dir: TempDir,
    _process: Process,
    pub(crate) port: u16,
}

impl Alertmanager {
    /// One that runs, or `None` where tests against it are left out.
    pub(crate) fn start() -> Option<Self> {
        Self::start_at(free_port())
    }

    /// The same at a port that was chosen before.
    pub(crate) fn start_at(port: u16) -> Option<Self> {
        Self::start_with(port, "")
    }

    /// The same with `more` in its config.
    pub(crate) fn start_with(port: u16, more: &str) -> Option<Self> {
        let binary = harness::binary("alertmanager")?;
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("alertmanager.yml");
        fs::write(&config, format!("route: {{ receiver: nobody }}\nreceivers: [ {{ name: nobody }} ]\n{more}"))
            .unwrap();
        let mut command = Command::new(binary);
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.path={}", dir.path().join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command.args(["--cluster.listen-address=", "--log.level=warn"]).current_dir(dir.path());
        let mut process = Process::start(&mut command, &dir.path().join("log"));
        wait_for("an Alertmanager that is ready", Duration::from_secs(60), || {
            process.check();
            harness::get(port, "/-/ready", &[])
        });
        Some(Self { _dir: dir, _process: process, port })
    }

    /// Its address, for a config.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The active alerts that it has, with labels, annotations, startsAt, endsAt and status.
    pub(crate) fn alerts(&self) -> Vec<Value> {
        let text = harness::get(self.port, "/api/v2/alerts", &[]).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// The one alert that it has once it has one.
    pub(crate) fn wait_for_one(&self) -> Value {
        wait_for("an alert in Alertmanager", Duration::from_secs(20), || match self.alerts().as_slice() {
            [one] => Ok(one.clone()),
            other => Err(format!("{other:?}")),
        })
    }

    /// Silences all alerts of a name; the silence's id.
    pub(crate) fn silence(&self, name: &str) -> String {
        let at = |nanos: u64| jiff::Timestamp::from_nanosecond(i128::from(nanos)).unwrap().to_string();
        let hour = 3_600_000_000_000;
        let body = json!({
            "matchers": [{ "name": "alertname", "value": name, "isRegex": false, "isEqual": true }],
            "startsAt": at(harness::now()), "endsAt": at(harness::now() + hour), "createdBy": "a test", "comment": "quiet",
        });
        let headers = [("Content-Type", "application/json")];
        let (status, answer) =
            harness::http(self.port, "POST", "/api/v2/silences", &headers, body.to_string().as_bytes()).unwrap();
        let text = String::from_utf8(answer).unwrap();
        assert_eq!(status, 200, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()["silenceID"].as_str().unwrap().to_owned()
    }
}
