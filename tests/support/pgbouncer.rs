//! A real pgbouncer on loopback before a PostgreSQL: two server connections for the database `shop`.

use std::process::Command;
use std::time::Duration;

use super::harness::{Process, free_port, wait_for};
use super::postgres_server::Postgres;
use super::release::{Folder, Release};

pub(crate) struct Pooler {
    folder: Folder,
    release: Release,
    process: Option<Process>,
    pub(crate) port: u16,
}

impl Pooler {
    /// One that has passed on a query. Its reserve is only told: nobody waits long enough to be served by it.
    pub(crate) fn start(release: Release, server: &Postgres) -> Self {
        let folder = release.folder("postgres");
        let users = folder.write("users", "\"postgres\" \"\"\n\"plimsoll\" \"\"\n\"stranger\" \"\"\n");
        let port = free_port();
        folder.write(
            "pgbouncer.ini",
            &format!(
                "[databases]\nshop = host=127.0.0.1 port={} dbname=shop user=postgres pool_size=2 reserve_pool=3\n[pgbouncer]\n\
                 listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n\
                 auth_file = {users}\nadmin_users = postgres\nstats_users = plimsoll\nmax_client_conn = 50\n\
                 reserve_pool_timeout = 3600\n\
                 ignore_startup_parameters = extra_float_digits,options\n",
                server.port
            ),
        );
        let mut pooler = Self { folder, release, process: None, port };
        pooler.up(server);
        pooler
    }

    /// Starts it, also again.
    pub(crate) fn up(&mut self, server: &Postgres) {
        let mut command = self.release.command("postgres", &self.release.program(&["/usr/sbin/pgbouncer"]));
        command.arg(format!("{}/pgbouncer.ini", self.folder.inside()));
        self.process = Some(Process::start(&mut command, &self.folder.path().join("log")));
        // After a login that failed it does not try again for 15 s.
        wait_for("a pgbouncer that answers", Duration::from_secs(40), || {
            self.process().check();
            let output = self.psql(server, "shop", "SELECT 1").output().unwrap();
            if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
        });
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    /// A psql through the pooler.
    pub(crate) fn psql(&self, server: &Postgres, database: &str, sql: &str) -> Command {
        let mut command = server.psql(database);
        command.args(["-p", &self.port.to_string(), "-U", "postgres", "-Atc", sql]);
        command
    }
}
