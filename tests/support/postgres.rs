//! A real PostgreSQL on loopback and on a socket.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::harness::{Process, free_port, wait_for};
use super::release::{FLOORS, Folder, Release};

pub(crate) struct Postgres {
    release: Release,
    folder: Folder,
    process: Option<Process>,
    pub(crate) port: u16,
}

/// The oldest that is read, this system's, and the newest.
pub(crate) const VERSIONS: [Release; 3] = [Release::Floor, Release::Here, Release::Newest];

impl Postgres {
    /// A new cluster that runs, with pg_stat_statements and what `settings` adds.
    pub(crate) fn start(release: Release, settings: &str) -> Self {
        let folder = release.folder("postgres");
        let data = format!("{}/data", folder.inside());
        let mut initdb = release.command("postgres", &bin(release, "initdb"));
        initdb.args(["-D", &data, "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C"]);
        run(&mut initdb);
        let mut server = Self { release, folder, process: None, port: free_port() };
        server.configure(settings);
        server.up();
        server
    }

    /// A standby of `self` that streams; `settings` name its slot, if any.
    pub(crate) fn standby(&self, settings: &str) -> Self {
        let folder = self.release.folder("postgres");
        // The oldest comes without it, and this system's copies from every older one.
        let from = if self.release == Release::Floor { Release::Here } else { self.release };
        let mut copy = from.command("postgres", &bin(from, "pg_basebackup"));
        copy.args(["-D", &format!("{}/data", folder.inside()), "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        copy.args(["-U", "postgres", "-R", "-c", "fast", "--no-sync"]);
        run(&mut copy);
        let mut server = Self { release: self.release, folder, process: None, port: free_port() };
        let from = format!("host=127.0.0.1 port={} user=postgres application_name=standby", self.port);
        server.configure(&format!("primary_conninfo = '{from}'\n{settings}"));
        server.up();
        server
    }

    /// Writes its settings anew: they hold from the next start on.
    pub(crate) fn configure(&self, settings: &str) {
        let port = self.port;
        let text = format!(
            "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nfsync = off\n\
             shared_preload_libraries = 'pg_stat_statements'\ntrack_io_timing = on\nmax_connections = 20\n{settings}\n",
            self.folder.inside()
        );
        std::fs::write(self.folder.path().join("data/postgresql.auto.conf"), text).unwrap();
    }

    /// Starts it, also again.
    pub(crate) fn up(&mut self) {
        let mut command = self.release.command("postgres", &bin(self.release, "postgres"));
        command.args(["-D", &format!("{}/data", self.folder.inside())]);
        let mut process = Process::start(&mut command, &self.folder.path().join("log"));
        wait_for("a PostgreSQL that answers", Duration::from_secs(60), || {
            process.check();
            self.try_sql("postgres", "SELECT 1")
        });
        self.process = Some(process);
    }

    /// Starts it as a part of another command, as that of a network namespace, where everybody may connect to it.
    #[allow(dead_code, reason = "only some of the test programs have boxes")]
    pub(crate) fn up_inside(&mut self, wrap: &[String]) {
        let data = self.folder.path().join("data");
        let mut hba = std::fs::OpenOptions::new().append(true).open(data.join("pg_hba.conf")).unwrap();
        hba.write_all(b"host all all all trust\n").unwrap();
        let plain = self.release.command("postgres", &bin(self.release, "postgres"));
        let mut command = Command::new(&wrap[0]);
        command.args(&wrap[1..]).arg(plain.get_program()).args(plain.get_args()).current_dir("/");
        command.args(["-D", data.to_str().unwrap(), "-c", "listen_addresses=*"]);
        let mut process = Process::start(&mut command, &self.folder.path().join("log"));
        let socket = self.folder.path().display().to_string();
        wait_for("a PostgreSQL that answers", Duration::from_secs(60), || {
            process.check();
            let asked = self.psql("postgres").args(["-h", &socket, "-c", "SELECT 1"]).output();
            asked.ok().filter(|output| output.status.success()).ok_or("no answer".to_owned())
        });
        self.process = Some(process);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.as_ref().unwrap().signal(signal);
    }

    /// The id of its postmaster on this host.
    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// SIGINT: a fast shutdown, to its end. A postmaster that is killed leaves backends that answer for a moment.
    pub(crate) fn down(&mut self) {
        self.signal(Signal::INT);
        let mut process = self.process.take().unwrap();
        assert!(process.end(Duration::from_secs(30)).success(), "{}", process.log());
    }

    pub(crate) fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    /// The folder of its socket, as we see it.
    pub(crate) fn socket(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A shop's database, of the role `shop`, with statements and a role for the agent.
    #[allow(dead_code, reason = "only some of the test programs have a shop")]
    pub(crate) fn shop(&self) {
        self.sql("postgres", "CREATE ROLE plimsoll LOGIN; GRANT pg_monitor TO plimsoll; CREATE ROLE shop LOGIN");
        self.sql("postgres", "CREATE DATABASE shop OWNER shop");
        self.sql("shop", "CREATE EXTENSION pg_stat_statements");
        let orders = "CREATE TABLE orders AS SELECT n AS id, n % 100 AS customer, n % 977 AS total FROM \
                      generate_series(1, 20000) n; CREATE TABLE visits (at timestamptz)";
        self.sql("shop", &format!("SET ROLE shop; {orders}"));
    }

    /// The rows that `sql` gives in `database`, unaligned.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        self.try_sql(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub(crate) fn try_sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let output = self.psql(database).args(["-At", "-c", sql]).output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// A psql in `database` that does `sql` and then keeps its session open.
    pub(crate) fn hold(&self, database: &str, sql: &str) -> Held {
        let mut child = self.psql(database).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(format!("{sql};\n").as_bytes()).unwrap();
        Held(child)
    }

    /// Waits until `sql` gives `wanted`.
    pub(crate) fn until(&self, database: &str, sql: &str, wanted: &str) {
        wait_for(sql, Duration::from_secs(20), || match self.try_sql(database, sql) {
            Ok(found) if found == wanted => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }

    /// A psql in `database`; this system's, which speaks to every version.
    pub(crate) fn psql(&self, database: &str) -> Command {
        let mut command = Command::new(Release::Here.program(&["/usr/bin/psql"]));
        command.args(["-X", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        command.args(["-U", "postgres", "-d", database]).env("PGCONNECT_TIMEOUT", "5");
        command
    }
}

/// A session that ends with it.
pub(crate) struct Held(Child);

impl Held {
    /// Does more in the session.
    pub(crate) fn then(&mut self, sql: &str) {
        self.0.stdin.as_mut().unwrap().write_all(format!("{sql};\n").as_bytes()).unwrap();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.0.kill().is_err();
        let _gone = self.0.wait().is_err();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            // An immediate shutdown, so that its children end too.
            process.signal(Signal::QUIT);
        }
    }
}

fn bin(release: Release, name: &str) -> String {
    match release {
        Release::Floor => return release.program(&[&format!("{FLOORS}/postgres/bin/{name}")]),
        Release::Older => return release.program(&[&format!("{FLOORS}/usr/lib/postgresql/13/bin/{name}")]),
        Release::Here | Release::Newest => {}
    }
    let paths = ["18", "17", "16", "15", "14"].map(|version| format!("/usr/lib/postgresql/{version}/bin/{name}"));
    release.program(&paths.each_ref().map(String::as_str))
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
