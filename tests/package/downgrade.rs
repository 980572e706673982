//! After a downgrade: files that a later version wrote are left alone, named, and cost nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Process, free_port, wait_for};

struct Rig {
    dir: TempDir,
}

impl Rig {
    fn new() -> Self {
        let rig = Self { dir: tempfile::tempdir().unwrap() };
        let (port, log) = (free_port(), rig.dir.path().join("app.log"));
        // Nobody listens there: what is kept for it waits.
        let config = format!(
            "discover: false\nhost: {{ interval: 1s }}\nlisten: off\nlogs: {{ files: [ {{ path: {} }} ] }}\ndestinations:\n  \
             loki: {{ otlp_http: {{ endpoint: 'http://127.0.0.1:{port}', signals: [logs] }} }}\n",
            log.display()
        );
        fs::write(rig.dir.path().join("plimsoll.yaml"), config).unwrap();
        fs::write(log, "first\n").unwrap();
        rig
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn start(&self) -> Process {
        let mut run = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        run.arg("run").arg("--config").arg(self.dir.path().join("plimsoll.yaml")).arg("--state").arg(self.state());
        let mut process = Process::start(&mut run, &self.dir.path().join("log"));
        wait_for("a line in the spool", Duration::from_secs(60), || {
            process.check();
            let status = self.status()?;
            let spools = status["spools"].as_array().ok_or("no spools")?;
            let has = |one: &Value| one["signal"] == "logs" && one["newest"].as_u64() > Some(0);
            if spools.iter().any(has) { Ok(()) } else { Err(status.to_string()) }
        });
        process
    }

    fn status(&self) -> Result<Value, String> {
        let mut status = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        let output = status.args(["status", "--json", "--state"]).arg(self.state()).output().unwrap();
        serde_json::from_slice(&output.stdout).map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// The one file below the state whose name ends so.
    fn file(&self, folder: &str, end: &str) -> PathBuf {
        let files = fs::read_dir(self.state().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let found: Vec<_> = files.filter(|path| path.to_str().unwrap().ends_with(end)).collect();
        assert_eq!(found.len(), 1, "{folder}/*{end}");
        found[0].clone()
    }
}

fn spoil(path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, &bytes).unwrap();
    bytes
}

#[test]
fn what_a_later_version_wrote_is_left_alone_and_told_and_the_agent_works() {
    let rig = Rig::new();
    rig.start().terminate(Duration::from_secs(30));

    let segment = rig.file("spool/logs", ".seg");
    let later_segment = spoil(&segment, |bytes| {
        bytes[8] = 9;
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    });
    spoil(&rig.file("spool/logs/cursors", ".cur"), |bytes| {
        for block in bytes.chunks_exact_mut(4096) {
            block[8] = 9;
            let crc = crc32fast::hash(&block[8..]);
            block[4..8].copy_from_slice(&crc.to_le_bytes());
        }
    });
    let block = rig.state().join("store/00000000000000000001-00000000000000000002.blk");
    let later_block = [b"PLMBLK2\n".as_slice(), &[7; 200]].concat();
    fs::write(&block, &later_block).unwrap();
    fs::write(rig.state().join("alerts.json"), r#"{"format":9,"alerts":{}}"#).unwrap();

    let mut agent = rig.start();
    let wanted = [
        ("format 9, which a later version of plimsoll wrote; it is left alone", &segment),
        ("was written by a later version of plimsoll; its destination gets everything again", &rig.state()),
        ("1 blocks in ", &rig.state().join("store")),
        ("a later version of plimsoll wrote it), so alerts begin anew", &rig.state().join("alerts.json")),
    ];
    wait_for("a status that names all four", Duration::from_secs(60), || {
        let status = rig.status()?.to_string();
        let is_told =
            |(what, path): &(&str, &PathBuf)| status.contains(what) && status.contains(path.to_str().unwrap());
        match wanted.iter().find(|one| !is_told(one)) {
            Some((what, _)) => Err(format!("{what}: {status}")),
            None => Ok(()),
        }
    });
    assert!(agent.terminate(Duration::from_secs(30)).success());
    assert_eq!(fs::read(&segment).unwrap(), later_segment);
    assert_eq!(fs::read(&block).unwrap(), later_block);
}
