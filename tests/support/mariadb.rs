//! A real MariaDB on loopback and on a socket, and statements to it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::harness::{Process, free_port, wait_for};
use super::release::{Folder, Release};

pub(crate) struct Mariadb {
    folder: Folder,
    process: Process,
    pub(crate) port: u16,
}

impl Mariadb {
    /// A new server; its `root` comes by the socket as the system's root, as Debian makes it.
    pub(crate) fn start() -> Self {
        let release = Release::Here;
        let folder = release.folder("mysql");
        let data = format!("--datadir={}/data", folder.inside());
        let mut install = release.command("mysql", &release.program(&["/usr/bin/mariadb-install-db"]));
        install.args(["--no-defaults", &data, "--auth-root-authentication-method=socket", "--skip-test-db"]);
        let output = install.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let port = free_port();
        let mut command = release.command("mysql", &release.program(&["/usr/sbin/mariadbd"]));
        command.args(["--no-defaults", &data, "--bind-address=127.0.0.1", &format!("--port={port}")]);
        command.arg(format!("--socket={}/mysqld.sock", folder.inside()));
        command.args([
            "--innodb-buffer-pool-size=16M",
            "--innodb-flush-log-at-trx-commit=0",
            "--performance-schema=ON",
        ]);
        let process = Process::start(&mut command, &folder.path().join("log"));
        let mut server = Self { folder, process, port };
        wait_for("a MariaDB that answers", Duration::from_secs(60), || {
            server.process.check();
            server.try_sql("SELECT 1")
        });
        server
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("mysqld.sock")
    }

    /// The rows that `sql` gives root.
    pub(crate) fn try_sql(&self, sql: &str) -> Result<String, String> {
        let mut command = Command::new(Release::Here.program(&["/usr/bin/mariadb"]));
        command.args(["--no-defaults", "-N", "-B", "-u", "root", "-S"]).arg(self.socket()).args(["-e", sql]);
        let output = command.output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        self.process.signal(Signal::KILL);
    }
}
