//! A real RabbitMQ on loopback, with its management plugin and a port mapper of its own.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::harness::{Process, free_port, http, wait_for};
use super::release::{Folder, Release};

pub(crate) struct Rabbitmq {
    folder: Folder,
    release: Release,
    mapper: u16,
    server: Option<Process>,
    _mapper: Process,
    /// Of AMQP.
    pub(crate) port: u16,
    /// Of the management plugin.
    pub(crate) web: u16,
    /// Of its metrics for Prometheus.
    pub(crate) metrics: u16,
}

/// The rights that the docs name.
const RIGHTS: &[u8] = br#"{"configure":"^$","write":"^$","read":"^$"}"#;

impl Rabbitmq {
    /// Starts it; `ready` waits for it, so that others can start meanwhile.
    pub(crate) fn start(release: Release) -> Self {
        let folder = release.folder("rabbitmq");
        let (port, web, mapper, metrics) = (free_port(), free_port(), free_port(), free_port());
        folder.write("enabled", "[rabbitmq_management,rabbitmq_prometheus].");
        // Not as a daemon: it would outlive the test.
        let mut epmd = Command::new(Release::Here.program(&["/usr/bin/epmd"]));
        let mapper_process = Process::start(
            epmd.args(["-address", "127.0.0.1", "-port", &mapper.to_string()]),
            &folder.path().join("mapper.log"),
        );
        let mut server = Self { folder, release, mapper, server: None, _mapper: mapper_process, port, web, metrics };
        server.configure("");
        server.up();
        server
    }

    /// Writes its settings anew: they hold from the next start on.
    pub(crate) fn configure(&self, settings: &str) {
        let (port, web, metrics) = (self.port, self.web, self.metrics);
        let text = format!(
            "listeners.tcp.1 = 127.0.0.1:{port}\nmanagement.tcp.port = {web}\nmanagement.tcp.ip = 127.0.0.1\n\
             prometheus.tcp.port = {metrics}\nprometheus.tcp.ip = 127.0.0.1\ncollect_statistics_interval = 1000\n\
             {settings}\n"
        );
        self.folder.write("rabbitmq.conf", &text);
    }

    /// A program of it, with what tells it which broker is meant.
    fn command(&self, program: &str) -> Command {
        let mut command = self.release.command_with_proc("rabbitmq", program);
        command.env("ERL_EPMD_PORT", self.mapper.to_string()).env("HOME", self.folder.inside());
        command.env("RABBITMQ_NODENAME", "test@localhost");
        command
    }

    /// What its administrator would run.
    pub(crate) fn control(&self, arguments: &[&str]) {
        let output = self.command("/usr/lib/rabbitmq/bin/rabbitmqctl").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    pub(crate) fn up(&mut self) {
        let inside = self.folder.inside();
        let mut command = self.command("/usr/lib/rabbitmq/bin/rabbitmq-server");
        command.env("RABBITMQ_DIST_PORT", free_port().to_string());
        command.env("RABBITMQ_MNESIA_BASE", &inside).env("RABBITMQ_LOG_BASE", &inside);
        command.env("RABBITMQ_ENABLED_PLUGINS_FILE", format!("{inside}/enabled"));
        command.env("RABBITMQ_CONFIG_FILE", format!("{inside}/rabbitmq")).process_group(0);
        self.server = Some(Process::start(&mut command, &self.folder.path().join("server.log")));
    }

    /// Waits until it answers, and makes the user `plimsoll` (password `pw`) with the rights of the docs.
    pub(crate) fn ready(&mut self) {
        let process = self.server.as_mut().unwrap();
        wait_for("a RabbitMQ that answers", Duration::from_secs(90), || {
            process.check();
            let answer = http(self.web, "GET", "/api/overview", &[GUEST], b"").map_err(|error| error.to_string())?;
            if answer.0 == 200 { Ok(()) } else { Err(format!("{}", answer.0)) }
        });
        self.put("/api/users/plimsoll", br#"{"password":"pw","tags":"monitoring"}"#);
        self.put("/api/permissions/%2F/plimsoll", RIGHTS);
    }

    /// An answer of the management plugin.
    pub(crate) fn get(&self, path: &str) -> String {
        let (status, answer) = http(self.web, "GET", path, &[GUEST], b"").unwrap();
        assert_eq!(status, 200, "{path}");
        String::from_utf8(answer).unwrap()
    }

    /// A PUT to the management plugin.
    pub(crate) fn put(&self, path: &str, body: &[u8]) {
        let (status, answer) = http(self.web, "PUT", path, &[GUEST, JSON], body).unwrap();
        assert!(matches!(status, 201 | 204), "{path}: {status}: {}", String::from_utf8_lossy(&answer));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.server.as_ref().unwrap().signal_group(signal);
    }

    /// Kill -9 of all its processes.
    pub(crate) fn down(&mut self) {
        if let Some(server) = self.server.take() {
            server.signal_group(Signal::KILL);
        }
    }
}

impl Drop for Rabbitmq {
    fn drop(&mut self) {
        self.down();
    }
}

/// `guest:guest`, which comes in from loopback only.
const GUEST: (&str, &str) = ("Authorization", "Basic Z3Vlc3Q6Z3Vlc3Q=");
const JSON: (&str, &str) = ("Content-Type", "application/json");
