//! Which of what listens is a server that a collector reads, and by which way: pure, one rule for each kind.
//!
//! A socket belongs to its process where that may be seen. Where it may not, it is taken for a server's by its
//! well-known place, or by a port that the server's command line names, and only while such a process runs. A server
//! that is read by its users' rights alone gets an entry with defaults; one that needs a login that nobody can guess is
//! only told. Of two servers of a kind on one port (on different addresses) the first is taken: they would share a name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::{Listening, Place, Process, Seen, grants};
use crate::collect::entry::{Entry, Of, System, Watched};
use crate::collect::{mysql, nats, pgbouncer, postgres, rabbitmq, redis};

/// A server that was found.
pub struct Server {
    /// Its entry, as `collect:` would name it.
    pub entry: Box<dyn Watched + Send>,
    /// Whether it is tried: the others need a login.
    pub tried: bool,
    /// What lets us in: a line for each command.
    pub grant: String,
}

/// Servers of one kind.
struct Kind {
    key: &'static str,
    processes: &'static [&'static str],
    port: u16,
    servers: fn(&[Socket<'_>], &Asked<'_>) -> Vec<Server>,
}

/// What is asked besides.
struct Asked<'a> {
    /// The agent's own Unix user.
    user: Option<&'a str>,
    /// The processes of the kind.
    processes: Vec<&'a Process>,
}

/// A listening socket of a server of the kind.
#[derive(Clone, Copy)]
struct Socket<'a> {
    place: &'a Place,
    process: Option<&'a Process>,
}

const KINDS: &[Kind] = &[
    Kind { key: "postgres", processes: &["postgres"], port: 5432, servers: postgres },
    Kind { key: "redis", processes: &["redis-server", "valkey-server", "keydb-server"], port: 6379, servers: redis },
    Kind { key: "mysql", processes: &["mysqld", "mariadbd"], port: 3306, servers: mysql },
    Kind { key: "pgbouncer", processes: &["pgbouncer"], port: 6432, servers: pgbouncer },
    Kind { key: "rabbitmq", processes: &["beam.smp"], port: 15672, servers: rabbitmq },
    Kind { key: "nats", processes: &["nats-server"], port: 8222, servers: nats },
];

/// The kinds that are found, as `collect:` names them.
pub fn keys() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.key)
}

/// Servers of one kind that are told: each is a task of its own.
const MAX_OF_A_KIND: usize = 20;

/// Whether a process of this name is of a kind that is found.
pub fn is_known(name: &str) -> bool {
    KINDS.iter().any(|kind| kind.processes.contains(&name))
}

/// The servers of `kinds` among what was seen; `user` is the agent's own Unix user.
pub fn servers(seen: &Seen, kinds: &[&str], user: Option<&str>) -> Vec<Server> {
    let mut out = Vec::new();
    for kind in KINDS.iter().filter(|kind| kinds.contains(&kind.key)) {
        let ours = |process: &Process| kind.processes.contains(&process.name.as_str());
        let processes: Vec<&Process> =
            seen.processes.iter().map(|process| &**process).filter(|process| ours(process)).collect();
        let sockets = sockets(kind, &seen.listening, &processes);
        let mut ports = Vec::new();
        let mut found = (kind.servers)(&sockets, &Asked { user, processes });
        found.retain(|server| {
            let port = server.entry.url().map_or(0, |url| url.port);
            let new = port > 0 && !ports.contains(&port);
            ports.push(port);
            new
        });
        out.extend(found.into_iter().take(MAX_OF_A_KIND));
    }
    out
}

/// The sockets of the `processes` of a kind.
fn sockets<'a>(kind: &Kind, listening: &'a [Listening], processes: &[&'a Process]) -> Vec<Socket<'a>> {
    let closed: Vec<&Process> = processes.iter().filter(|process| !process.open).copied().collect();
    let unknown = || listening.iter().filter(|listening| listening.process.is_none());
    // One that names its place has no other; of these two a further port stands in a config, or for other ends.
    let names_none = |process: &&&'a Process| {
        matches!(kind.key, "nats" | "rabbitmq") || !unknown().any(|listening| names(process, &listening.place))
    };
    let silent: Vec<&Process> = closed.iter().filter(names_none).copied().collect();
    let socket = |listening: &'a Listening| {
        let place = &listening.place;
        let process = match &listening.process {
            Some(owner) => Some(processes.iter().find(|process| process.pid == owner.pid).copied()?),
            None => match closed.iter().find(|process| names(process, place)) {
                Some(process) => Some(*process),
                None if silent.is_empty() || !is_usual(kind, place) => return None,
                None => silent.first().filter(|_| silent.len() == 1).copied(),
            },
        };
        Some(Socket { place, process })
    };
    listening.iter().filter_map(socket).collect()
}

/// Whether a server of the kind would have its socket there.
fn is_usual(kind: &Kind, place: &Place) -> bool {
    match (place, kind.key) {
        (Place::Tcp(at), "rabbitmq") => matches!(at.port(), 15_672 | 15_692),
        (Place::Tcp(at), _) => at.port() == kind.port,
        (Place::Unix(path), "postgres") => postgres_port(path).is_some_and(|port| port != 6432),
        (Place::Unix(path), "pgbouncer") => postgres_port(path) == Some(6432),
        (Place::Unix(path), "mysql") => is_mysql(path) && path.components().any(|part| part.as_os_str() == "mysqld"),
        (Place::Unix(path), "redis") => {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("redis"))
        }
        _ => false,
    }
}

/// Whether its command line names the place: `-p 5433`, `--port=6380`, `redis-server *:6380`, `--socket=/tmp/a.sock`.
fn names(process: &Process, place: &Place) -> bool {
    let mut words = process.command.iter().flat_map(|word| word.split_whitespace());
    let port = match place {
        Place::Tcp(at) => Some(at.port()),
        Place::Unix(path) => postgres_port(path),
    };
    match (port, place) {
        (Some(port), _) => {
            words.any(|word| word.rsplit([':', '=']).next().and_then(|word| word.parse().ok()) == Some(port))
        }
        (None, Place::Unix(path)) => {
            words.any(|word| word.rsplit('=').next().is_some_and(|word| Path::new(word) == path))
        }
        (None, Place::Tcp(_)) => false,
    }
}

/// The sockets by server: those of one process, and each one whose process may not be seen.
fn by_process<'a>(sockets: &[Socket<'a>]) -> Vec<Vec<Socket<'a>>> {
    let mut out: Vec<Vec<Socket<'a>>> = Vec::new();
    for socket in sockets {
        let same = |group: &&mut Vec<Socket<'a>>| {
            group[0].process.zip(socket.process).is_some_and(|(one, other)| one.pid == other.pid)
        };
        match out.iter_mut().find(same) {
            Some(group) => group.push(*socket),
            None => out.push(vec![*socket]),
        }
    }
    out
}

/// Its Unix sockets, those in the system's folders first.
fn paths<'a>(group: &[Socket<'a>]) -> Vec<&'a Path> {
    let paths = group.iter().filter_map(|socket| match socket.place {
        Place::Unix(path) => Some(path.as_path()),
        Place::Tcp(_) => None,
    });
    let mut paths: Vec<&Path> = paths.collect();
    paths.sort_by_key(|path| (!(path.starts_with("/run") || path.starts_with("/var/run")), path.to_path_buf()));
    paths
}

/// Its addresses, the usual port first, loopback before others.
fn addresses(group: &[Socket<'_>], port: u16) -> Vec<SocketAddr> {
    let addresses = group.iter().filter_map(|socket| match socket.place {
        Place::Tcp(at) => Some(SocketAddr::new(reached(at.ip()), at.port())),
        Place::Unix(_) => None,
    });
    let mut addresses: Vec<SocketAddr> = addresses.collect();
    addresses.sort_by_key(|at| (at.port() != port, at.port(), !at.ip().is_loopback(), at.ip()));
    addresses
}

/// Where a server that listens at `ip` is reached from its box.
fn reached(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        // It takes the old protocol too, unless it was told not to.
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

fn entry<S: System + Send + 'static>(url: String, username: Option<&str>) -> Box<dyn Watched + Send> {
    let entry = Entry { url, username: username.map(str::to_owned), ..Entry::default() };
    Box::new(Of { entry, own: S::default() })
}

/// `.s.PGSQL.5432`
fn postgres_port(path: &Path) -> Option<u16> {
    path.file_name()?.to_str()?.strip_prefix(".s.PGSQL.")?.parse().ok().filter(|port| *port > 0)
}

fn postgres(sockets: &[Socket<'_>], asked: &Asked<'_>) -> Vec<Server> {
    let server = |group: Vec<Socket<'_>>| {
        let paths = paths(&group);
        let path = paths.iter().find_map(|path| Some((path.parent()?, postgres_port(path)?)));
        if let (Some((folder, port)), Some(user)) = (path, asked.user) {
            let url = format!("postgres:///postgres?host={}&port={port}", encoded(folder));
            let entry = entry::<postgres::config::Config>(url, Some(user));
            return Some(Server { entry, tried: true, grant: grants::postgres(user, folder, port) });
        }
        // Who comes over TCP needs a password: it would be refused for nothing.
        let at = addresses(&group, 5432).first().copied()?;
        let url = format!("postgres://plimsoll@{at}/postgres");
        Some(Server {
            grant: grants::postgres_by_password(&url, at),
            entry: entry::<postgres::config::Config>(url, None),
            tried: false,
        })
    };
    let mut found: Vec<Server> = by_process(sockets).into_iter().filter_map(server).collect();
    // Where nobody's sockets may be seen, one server shows as several: the Unix socket goes first.
    found.sort_by_key(|server| !server.tried);
    found
}

fn redis(sockets: &[Socket<'_>], _: &Asked<'_>) -> Vec<Server> {
    let is_sentinel = |process: &Process| process.command.iter().any(|word| word.contains("sentinel"));
    let server = |group: Vec<Socket<'_>>| {
        if group[0].process.is_some_and(is_sentinel) {
            return None;
        }
        let url = match (addresses(&group, 6379).first(), paths(&group).first()) {
            (Some(at), _) => format!("redis://{at}"),
            (None, Some(path)) => format!("redis+unix://{}", encoded(path)),
            (None, None) => return None,
        };
        let grant = grants::redis(&url);
        Some(Server { entry: entry::<redis::config::Config>(url, None), tried: true, grant })
    };
    let mut found: Vec<Server> = by_process(sockets).into_iter().filter_map(server).collect();
    found.sort_by_key(|server| server.entry.entry().url.starts_with("redis+unix"));
    found
}

/// Not that of the X protocol.
fn is_mysql(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| !name.contains("mysqlx"))
}

fn mysql(sockets: &[Socket<'_>], asked: &Asked<'_>) -> Vec<Server> {
    let mariadb = |group: &[Socket<'_>]| match group[0].process {
        Some(process) => process.name == "mariadbd",
        None => asked.processes.iter().any(|process| process.name == "mariadbd"),
    };
    let server = |group: Vec<Socket<'_>>| {
        // 33060 and 33062 are the X protocol and the administrators'.
        let port = addresses(&group, 3306).iter().map(SocketAddr::port).find(|port| !matches!(port, 33_060 | 33_062));
        let path = paths(&group).into_iter().find(|path| is_mysql(path));
        match (path, asked.user, port) {
            (Some(path), Some(user), port) => {
                let url = format!("mysql:///?socket={}&port={}", encoded(path), port.unwrap_or(3306));
                let grant = grants::mysql(user, path, mariadb(&group));
                Some(Server { entry: entry::<mysql::config::Config>(url, Some(user)), tried: true, grant })
            }
            (path, _, Some(port)) => {
                let url = format!("mysql://plimsoll@127.0.0.1:{port}");
                let grant = grants::mysql_by_password(&url, path, port, mariadb(&group));
                Some(Server { entry: entry::<mysql::config::Config>(url, None), tried: false, grant })
            }
            _ => None,
        }
    };
    let mut found: Vec<Server> = by_process(sockets).into_iter().filter_map(server).collect();
    found.sort_by_key(|server| !server.tried);
    found
}

fn pgbouncer(sockets: &[Socket<'_>], _: &Asked<'_>) -> Vec<Server> {
    let server = |group: Vec<Socket<'_>>| {
        let by_path = || paths(&group).iter().find_map(|path| Some((path.parent()?, postgres_port(path)?)));
        let url = match addresses(&group, 6432).first() {
            Some(at) => format!("postgres://plimsoll@{at}/pgbouncer"),
            None => by_path()
                .map(|(folder, port)| format!("postgres://plimsoll@/pgbouncer?host={}&port={port}", encoded(folder)))?,
        };
        let grant = grants::pgbouncer(&url);
        Some(Server { entry: entry::<pgbouncer::config::Config>(url, None), tried: false, grant })
    };
    by_process(sockets).into_iter().filter_map(server).collect()
}

/// Erlang has other servers too.
fn rabbitmq(sockets: &[Socket<'_>], asked: &Asked<'_>) -> Vec<Server> {
    let is_rabbit = |process: &&Process| process.command.iter().any(|word| word.contains("rabbit"));
    if !asked.processes.iter().any(is_rabbit) {
        return Vec::new();
    }
    let ours: Vec<Socket<'_>> =
        sockets.iter().filter(|socket| socket.process.as_ref().is_none_or(is_rabbit)).copied().collect();
    let plugin = |port| addresses(&ours, port).first().copied().filter(|at| at.port() == port);
    let management = plugin(15_672);
    let at = management.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 15_672)));
    let url = format!("http://{at}");
    let grant = grants::rabbitmq(&url, management.is_some());
    // Its Prometheus plugin asks for no login.
    let prometheus = plugin(15_692);
    let url = prometheus.map_or(url, |at| format!("http://{at}"));
    vec![Server { entry: entry::<rabbitmq::config::Config>(url, None), tried: prometheus.is_some(), grant }]
}

fn nats(sockets: &[Socket<'_>], asked: &Asked<'_>) -> Vec<Server> {
    let mut found: Vec<Server> = Vec::new();
    for process in &asked.processes {
        let ours = sockets.iter().filter(|socket| socket.process.is_none_or(|owner| owner.pid == process.pid));
        let ours: Vec<Socket<'_>> = ours.copied().collect();
        let said = option(process, &["-m", "--m", "-http_port", "--http_port"]);
        let clients = option(process, &["-p", "--p", "-port", "--port"]).unwrap_or(4222);
        // A config may name it too, and then it is the usual one or cannot be told from the port for clients.
        let port = said.unwrap_or(8222);
        let at = addresses(&ours, port).first().copied().filter(|at| at.port() == port && port != clients);
        let url = at.map_or_else(|| "http://127.0.0.1:8222".to_owned(), |at| format!("http://{at}"));
        let grant = if at.is_some() { String::new() } else { grants::nats() };
        found.push(Server { entry: entry::<nats::config::Config>(url, None), tried: at.is_some(), grant });
    }
    found.sort_by_key(|server| !server.tried);
    found
}

/// The port behind one of these options, `-m 8222` or `-m=8222`.
fn option(process: &Process, options: &[&str]) -> Option<u16> {
    let mut words = process.command.iter();
    while let Some(word) = words.next() {
        let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        if options.contains(&name) {
            return value.or_else(|| words.next().map(String::as_str))?.parse().ok();
        }
    }
    None
}

/// A path for an address.
fn encoded(path: &Path) -> String {
    let mut out = String::new();
    for byte in path.to_string_lossy().bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The name of the user `id` in the text of `/etc/passwd`, when it can stand in a command as it is.
pub fn user_name(passwd: &str, id: u32) -> Option<String> {
    let row = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    };
    let plain = |name: &String| {
        !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
    };
    passwd.lines().find_map(row).filter(plain)
}

/// The folder of a socket that the system's own clients look in.
pub(super) fn is_looked_in(folder: &Path) -> bool {
    [PathBuf::from("/run/postgresql"), PathBuf::from("/var/run/postgresql")].iter().any(|usual| usual == folder)
}

#[cfg(test)]
mod tests;
