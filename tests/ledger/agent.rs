//! The agent as a process that is started and killed.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) struct Agent {
    config: PathBuf,
    logs: PathBuf,
    endpoint: String,
    life: u32,
    state: PathBuf,
    said: PathBuf,
    child: Option<Child>,
}

impl Agent {
    /// `dir` gets config, state and what the agent says; it follows the files in `logs`.
    pub(crate) fn new(dir: &Path, logs: &Path, endpoint: &str) -> Self {
        Self {
            config: dir.join("plimsoll.yaml"),
            logs: logs.to_owned(),
            endpoint: endpoint.to_owned(),
            life: 0,
            state: dir.join("state"),
            said: dir.join("agent.log"),
            child: None,
        }
    }

    pub(crate) fn start(&mut self) {
        self.life += 1;
        fs::write(&self.config, settings(&self.logs, &self.endpoint, self.life)).unwrap();
        let said: File = OpenOptions::new().create(true).append(true).open(&self.said).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .arg("run")
            .arg("--config")
            .arg(&self.config)
            .arg("--state")
            .arg(&self.state)
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// SIGKILL. It must not have ended by itself.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "the agent ended by itself: {status}\n{}", self.said());
    }

    /// SIGTERM, and the end within half a minute.
    pub(crate) fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        let id = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{status}\n{}", self.said());
                return;
            }
            assert!(Instant::now() < deadline, "the agent does not end\n{}", self.said());
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn spool(&self) -> PathBuf {
        self.state.join("spool/logs")
    }

    /// The last it said.
    pub(crate) fn said(&self) -> String {
        let said = fs::read_to_string(&self.said).unwrap_or_default();
        let lines: Vec<_> = said.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A test that failed leaves nothing behind.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// `archive` is never there: its cursor stays before the first frame, so that the spool keeps each frame to the end,
/// and hands it out then. To the sink each request says which life it comes from.
fn settings(logs: &Path, endpoint: &str, life: u32) -> String {
    format!(
        r#"service: ledger
discover: false
host: off
listen: off
logs:
  journald: off
  files:
    - path: {logs}/*.log*
spool: {{ size: 1GiB, fsync: 20ms }}
destinations:
  sink:
    otlp_http: {{ endpoint: "{endpoint}", signals: [logs], timeout: 5s, headers: {{ x-life: "{life}" }} }}
  archive:
    otlp_http: {{ endpoint: "http://127.0.0.1:1", signals: [logs] }}
"#,
        logs = logs.display()
    )
}
