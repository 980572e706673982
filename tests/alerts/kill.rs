//! Kill -9 of the real agent: an alert that waits fires at the time it would have, one that fires is not new.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const RULES: &str = "
groups:
  - name: g
    interval: 1s
    rules:
      - { alert: Waits, expr: vector(1), for: 20s }
      - { alert: Fires, expr: vector(2) }
";

/// The agent, killed when the test ends.
struct Agent(Child);

impl Agent {
    fn start(dir: &Path) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .args(["run", "--config", "c.yaml", "--state", "state"])
            .current_dir(dir)
            .env("PLIMSOLL_SHIPPED_ALERTS", dir.join("none"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may be gone already.
        let _gone = self.0.kill().is_err() || self.0.wait().is_err();
    }
}

/// The first alert of `rule` in the state file.
fn alert(dir: &Path, rule: &str) -> Option<Value> {
    let text = std::fs::read(dir.join("state/alerts.json")).ok()?;
    let saved: Value = serde_json::from_slice(&text).unwrap();
    let found = saved["rules"].as_array()?.iter().find(|saved| saved["rule"] == rule)?;
    Some(found["alerts"][0].clone())
}

fn wait_for(dir: &Path, rule: &str, state: &str) -> Value {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(alert) = alert(dir, rule).filter(|alert| alert["state"] == state) {
            return alert;
        }
        assert!(Instant::now() < until, "{rule} is not {state}: {:?}", alert(dir, rule));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_kill_in_the_middle_of_for_changes_neither_when_an_alert_fires_nor_since_when() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    std::fs::write(path.join("r.yaml"), RULES).unwrap();
    let rules = path.join("r.yaml");
    let config = format!("discover: false\nlisten: off\nalerts: {{ rules: [{:?}] }}\n", rules.display().to_string());
    std::fs::write(path.join("c.yaml"), config).unwrap();

    let mut agent = Agent::start(path);
    let (waits, fires) = (wait_for(path, "Waits", "pending"), wait_for(path, "Fires", "firing"));
    agent.kill();
    assert_eq!(alert(path, "Waits").unwrap()["state"], "pending", "the kill came in time");

    let _agent = Agent::start(path);
    let fired = wait_for(path, "Waits", "firing");
    assert_eq!(fired["active_at"], waits["active_at"], "it went on waiting");
    let waited = fired["fired_at"].as_i64().unwrap() - fired["active_at"].as_i64().unwrap();
    assert!(waited >= 20_000 && waited % 1000 == 0, "at a slot: {waited}");
    assert_eq!(alert(path, "Fires").unwrap()["fired_at"], fires["fired_at"], "it is not new");
}
