//! A real MySQL or MariaDB on loopback and on a socket.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::harness::{Process, free_port, wait_for};
use super::release::{FLOORS, Folder, Release};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// MariaDB 10.11, of this system.
    Mariadb10,
    /// MariaDB 11.8, of the newest release.
    Mariadb11,
    /// MySQL 9.7, of the newest release.
    Mysql,
    /// MySQL 8.0, the oldest that is read.
    Mysql8,
    /// MariaDB 10.5, which is too old.
    Mariadb105,
}

pub(crate) const KINDS: [Kind; 4] = [Kind::Mariadb10, Kind::Mariadb11, Kind::Mysql, Kind::Mysql8];

pub(crate) struct Mysql {
    kind: Kind,
    folder: Folder,
    options: Vec<String>,
    process: Option<Process>,
    pub(crate) port: u16,
}

impl Kind {
    pub(crate) fn is_mariadb(self) -> bool {
        matches!(self, Self::Mariadb10 | Self::Mariadb11 | Self::Mariadb105)
    }

    fn release(self) -> Release {
        match self {
            Self::Mariadb10 => Release::Here,
            Self::Mysql8 => Release::Floor,
            Self::Mariadb105 => Release::Older,
            Self::Mariadb11 | Self::Mysql => Release::Newest,
        }
    }

    fn program(self) -> (String, Vec<String>) {
        let (program, rest): (&str, &[&str]) = match self {
            Self::Mariadb10 => ("/usr/sbin/mariadbd", &[]),
            Self::Mariadb11 => (
                "/opt/mariadb/usr/sbin/mariadbd",
                &[
                    "--basedir=/opt/mariadb/usr",
                    "--lc-messages-dir=/opt/mariadb/usr/share/mariadb",
                    "--character-sets-dir=/opt/mariadb/usr/share/mariadb/charsets",
                ],
            ),
            Self::Mariadb105 => (
                "/mnt/usr/sbin/mariadbd",
                &[
                    "--basedir=/mnt/usr",
                    "--lc-messages-dir=/mnt/usr/share/mysql",
                    "--character-sets-dir=/mnt/usr/share/mysql/charsets",
                ],
            ),
            Self::Mysql => ("/usr/sbin/mysqld", &["--mysqlx=OFF"]),
            Self::Mysql8 => {
                let own = format!("{FLOORS}/mysql");
                let rest = [
                    "--no-defaults".to_owned(),
                    format!("--basedir={own}"),
                    format!("--lc-messages-dir={own}/share"),
                    format!("--character-sets-dir={own}/share/charsets"),
                    "--mysqlx=OFF".to_owned(),
                ];
                return (self.release().program(&[&format!("{own}/bin/mysqld")]), rest.to_vec());
            }
        };
        let rest = std::iter::once("--no-defaults").chain(rest.iter().copied()).map(str::to_owned).collect();
        (program.to_owned(), rest)
    }
}

impl Mysql {
    /// A new server that runs; its `root` has no password and comes by the socket.
    pub(crate) fn start(kind: Kind, options: &[&str]) -> Self {
        let folder = kind.release().folder("mysql");
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut server = Self { kind, folder, options, process: None, port: free_port() };
        let mut first = server.command();
        if kind.is_mariadb() {
            bootstrap(kind, &server.folder, &mut first);
        } else {
            let output = first.arg("--initialize-insecure").output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        server.up();
        server
    }

    fn command(&self) -> Command {
        let (program, first) = self.kind.program();
        let mut command = self.kind.release().command("mysql", &program);
        command.args(&first).arg(format!("--datadir={}/data", self.folder.inside()));
        // A server that starts removes the temporary tables of others from where its own would be.
        command.arg(format!("--tmpdir={}", self.folder.inside()));
        command
    }

    /// Starts it, also again with what it had.
    pub(crate) fn up(&mut self) {
        let inside = self.folder.inside();
        let mut command = self.command();
        command.args([format!("--port={}", self.port), format!("--socket={inside}/socket")]);
        command.args([format!("--pid-file={inside}/pid")]);
        command.args(["--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=0"]).args(&self.options);
        let process = self.process.insert(Process::start(&mut command, &self.folder.path().join("log")));
        wait_for("a MySQL that answers", Duration::from_secs(60), || {
            process.check();
            let output = client(self.kind, &self.folder).args(["-e", "SELECT 1"]).output().unwrap();
            if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
        });
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    /// The rows that `sql` gives, separated by tabs.
    pub(crate) fn sql(&self, sql: &str) -> String {
        let output = self.client().args(["-N", "-e", sql]).output().unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A client as root.
    pub(crate) fn client(&self) -> Command {
        client(self.kind, &self.folder)
    }
}

fn client(kind: Kind, folder: &Folder) -> Command {
    let mut command = match kind {
        Kind::Mysql => kind.release().command("mysql", "/usr/bin/mysql"),
        _ => Command::new("/usr/bin/mariadb"),
    };
    let path = if kind == Kind::Mysql { PathBuf::from(folder.inside()) } else { folder.path().to_owned() };
    command.args(["--no-defaults", "-u", "root", "-S"]).arg(path.join("socket"));
    command
}

/// What `mariadb-install-db` does, which needs more packages than the server.
fn bootstrap(kind: Kind, folder: &Folder, server: &mut Command) {
    let root = if kind == Kind::Mariadb105 { kind.release().bound() } else { kind.release().root() };
    let scripts = if kind == Kind::Mariadb11 { "opt/mariadb/usr/share/mariadb" } else { "usr/share/mysql" };
    let mut sql = String::from("create database mysql;\nuse mysql;\nset @auth_root_socket=NULL;\n");
    for name in ["system_tables", "performance_tables", "system_tables_data"] {
        let found = ["mariadb", "mysql"].map(|prefix| root.join(scripts).join(format!("{prefix}_{name}.sql")));
        let path = found.iter().find(|path| path.exists()).unwrap();
        sql.push_str(&std::fs::read_to_string(path).unwrap());
    }
    let mut chown = kind.release().command("mysql", "mkdir");
    assert!(chown.arg(format!("{}/data", folder.inside())).status().unwrap().success());
    server.args(["--bootstrap", "--skip-log-bin"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = server.stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let write = std::thread::spawn(move || input.write_all(sql.as_bytes()));
    let output = child.wait_with_output().unwrap();
    write.join().unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
