//! A real Redis or Valkey on loopback, and commands to it.

use std::process::Command;
use std::time::Duration;

use super::harness::{Process, free_port, wait_for};
use super::release::{FLOORS, Folder, Release};

pub(crate) struct Redis {
    folder: Folder,
    pub(crate) release: Release,
    program: &'static str,
    arguments: Vec<String>,
    process: Option<Process>,
    pub(crate) port: u16,
}

impl Redis {
    /// `program` is `redis-server` or `valkey-server`; `arguments` are more settings.
    pub(crate) fn start(release: Release, program: &'static str, arguments: &[&str]) -> Self {
        let folder = release.folder("redis");
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut server = Self { folder, release, program, arguments, process: None, port: free_port() };
        server.up();
        server
    }

    pub(crate) fn up(&mut self) {
        let below = if self.release == Release::Floor { format!("{FLOORS}/redis") } else { String::new() };
        let program = format!("{below}/usr/bin/{}", self.program);
        let mut command = self.release.command("redis", &self.release.program(&[&program]));
        if self.release == Release::Floor {
            command.env("LD_LIBRARY_PATH", format!("{below}/usr/lib/x86_64-linux-gnu"));
        }
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]);
        command.arg(self.folder.inside()).args(["--latency-monitor-threshold", "20"]).args(&self.arguments);
        let mut process = Process::start(&mut command, &self.folder.path().join("log"));
        wait_for("a Redis that answers", Duration::from_secs(20), || {
            process.check();
            self.try_ask(&["PING"])
        });
        self.process = Some(process);
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    /// The answer of a command, as redis-cli prints it.
    pub(crate) fn ask(&self, command: &[&str]) -> String {
        self.try_ask(command).unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    pub(crate) fn try_ask(&self, command: &[&str]) -> Result<String, String> {
        let mut cli = Command::new(Release::Here.program(&["/usr/bin/redis-cli"]));
        cli.args(["-p", &self.port.to_string(), "-e"]).args(command);
        let output = cli.output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if output.status.success() {
            Ok(text)
        } else {
            Err(format!("{text} {}", String::from_utf8_lossy(&output.stderr)))
        }
    }
}
