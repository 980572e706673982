//! What listens on the box, from `/proc/net/{tcp,tcp6,unix}` and the sockets that processes hold in `/proc/<pid>/fd`.
//!
//! Rights: none for the sockets and the names of processes; whose a socket is shows for the own user's processes only,
//! and for all with CAP_SYS_PTRACE. Nothing is connected to: a port that is probed leaves a line in its server's log.
//! Cost: one small file for each process, and the open files of those whose names matter.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod grants;
pub mod rules;

/// Where something listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An address of this box.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// A process of a known kind of server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// The words of its command line, as far as they are told.
    pub command: Vec<String>,
    /// Whether its open files may be seen: then a socket that is not among them is not its own.
    pub open: bool,
}

/// Something that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// Where.
    pub place: Place,
    /// Whose it is; `None` where the right to see it is missing, or its process is of no known kind.
    pub process: Option<Arc<Process>>,
}

/// One look at the box.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// What listens.
    pub listening: Vec<Listening>,
    /// The processes of known kinds of servers.
    pub processes: Vec<Arc<Process>>,
}

/// Processes, and open files of each, that are looked at.
const MAX_PROCESSES: usize = 32_768;
const MAX_FILES: usize = 4096;
/// Processes of known kinds that are told.
const MAX_SERVERS: usize = 256;
/// Listening sockets that are told.
const MAX_FOUND: usize = 1024;
/// Bytes of a command line.
const MAX_COMMAND: usize = 4096;

/// Looks below `proc` (`/proc`) at what listens, and at the processes whose names `known` takes. A file that cannot be
/// read says nothing. Blocks.
pub fn look(proc: &Path, known: &dyn Fn(&str) -> bool) -> Seen {
    let rows = |name: &str, row: Row| rows(&proc.join("net").join(name), row);
    let mut sockets = rows("tcp", tcp);
    sockets.extend(rows("tcp6", tcp));
    sockets.extend(rows("unix", unix).into_iter().filter(|(place, _)| is_there(place)));
    sockets.truncate(MAX_FOUND);
    let at: HashMap<u64, usize> = sockets.iter().enumerate().map(|(index, (_, inode))| (*inode, index)).collect();
    let mut listening: Vec<Listening> =
        sockets.into_iter().map(|(place, _)| Listening { place, process: None }).collect();
    let mut processes = Vec::new();
    for (mut process, folder) in processes_of(proc, known) {
        let inodes = inodes(&folder);
        process.open = inodes.is_some();
        let process = Arc::new(process);
        for index in inodes.into_iter().flatten().filter_map(|inode| at.get(&inode)) {
            listening[*index].process.get_or_insert_with(|| Arc::clone(&process));
        }
        processes.push(process);
    }
    Seen { listening, processes }
}

/// False for the socket of a process that sees another file system than ours.
fn is_there(place: &Place) -> bool {
    match place {
        Place::Tcp(_) => true,
        Place::Unix(path) => !std::fs::metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound),
    }
}

/// The processes whose names are `known`, with their folders.
fn processes_of(proc: &Path, known: &dyn Fn(&str) -> bool) -> Vec<(Process, PathBuf)> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(proc).into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for pid in ids.take(MAX_PROCESSES) {
        let folder = proc.join(pid.to_string());
        let Ok(name) = std::fs::read_to_string(folder.join("comm")) else { continue };
        let name = name.trim_end();
        if !known(name) {
            continue;
        }
        let command = words(&std::fs::read(folder.join("cmdline")).unwrap_or_default());
        // The many children of Postgres hold no listening socket.
        if command.first().is_some_and(|first| first.starts_with("postgres: ")) {
            continue;
        }
        found.push((Process { pid, name: name.to_owned(), command, open: false }, folder));
        if found.len() >= MAX_SERVERS {
            break;
        }
    }
    found.sort_by_key(|(process, _)| process.pid);
    found
}

/// `/proc/<pid>/cmdline`: a NUL ends each word; what a process wrote over it has spaces.
fn words(bytes: &[u8]) -> Vec<String> {
    let bytes = &bytes[..bytes.len().min(MAX_COMMAND)];
    let words = bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).trim().to_owned());
    words.filter(|word| !word.is_empty()).collect()
}

/// The sockets among a process's open files; `None` where they may not be seen.
fn inodes(process: &Path) -> Option<Vec<u64>> {
    let files = std::fs::read_dir(process.join("fd")).ok()?.flatten().take(MAX_FILES);
    Some(files.filter_map(|file| inode_of(std::fs::read_link(file.path()).ok()?.to_str()?)).collect())
}

/// What a row tells of a listening socket: its place and its inode.
type Row = fn(&str) -> Option<(Place, u64)>;

/// The listening sockets of a file below `/proc/net`, row by row: on a busy box it has as many as there are connections.
fn rows(path: &Path, row: Row) -> Vec<(Place, u64)> {
    let Ok(file) = File::open(path) else { return Vec::new() };
    let lines = BufReader::new(file).split(b'\n').map_while(Result::ok).skip(1);
    lines.filter_map(|line| row(std::str::from_utf8(&line).ok()?)).collect()
}

/// Of `/proc/net/tcp` and `tcp6`.
fn tcp(line: &str) -> Option<(Place, u64)> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    // 0A is LISTEN.
    if fields.nth(1)? != "0A" {
        return None;
    }
    Some((Place::Tcp(address(local)?), fields.nth(5)?.parse().ok()?))
}

/// `0100007F:1538`: words of four bytes in the order of the machine, the port as people write it.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::with_capacity(16);
    for at in (0..ip.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    let ip = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        _ => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
    };
    Some(SocketAddr::new(ip, port))
}

/// Of `/proc/net/unix`, where it has a path.
fn unix(line: &str) -> Option<(Place, u64)> {
    let mut fields = line.split_ascii_whitespace();
    // 10000 is __SO_ACCEPTCON.
    if fields.nth(3)? != "00010000" {
        return None;
    }
    let inode = fields.nth(2)?.parse().ok()?;
    let path = fields.next().filter(|path| path.starts_with('/'))?;
    Some((Place::Unix(path.into()), inode))
}

fn inode_of(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_here_is_found_with_its_process() {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".s.PGSQL.5432");
        let _unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let own = std::fs::read_to_string("/proc/self/comm").unwrap().trim_end().to_owned();
        let seen = look(Path::new("/proc"), &|name| name == own);
        for place in [Place::Tcp(tcp.local_addr().unwrap()), Place::Unix(path.clone())] {
            let here = seen.listening.iter().find(|listening| listening.place == place);
            let process = here.and_then(|here| here.process.clone()).unwrap();
            assert_eq!((process.pid, process.open), (std::process::id(), true), "{place:?}");
            assert!(!process.command.is_empty());
        }
        let nobody = look(Path::new("/proc"), &|_| false);
        assert!(nobody.processes.is_empty() && nobody.listening.iter().all(|one| one.process.is_none()));
        std::fs::remove_file(&path).unwrap();
        let moved = look(Path::new("/proc"), &|_| false);
        assert!(!moved.listening.iter().any(|one| one.place == Place::Unix(path.clone())), "a path that is not there");
    }

    #[test]
    fn a_command_line_is_taken_apart_also_where_the_process_wrote_over_it() {
        assert_eq!(words(b"/usr/sbin/nats-server\0-m\08222\0"), ["/usr/sbin/nats-server", "-m", "8222"]);
        assert_eq!(words(b"redis-server 127.0.0.1:6379\0\0\0  \0"), ["redis-server 127.0.0.1:6379"]);
        assert!(words(b"").is_empty() && words(&[0xff; 9000])[0].len() <= 3 * MAX_COMMAND);
    }

    #[test]
    fn rows_that_do_not_listen_or_are_cut_are_passed_over() {
        let row = |state: &str| {
            format!("   0: 0100007F:1538 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  0  0 77 1")
        };
        assert!(tcp(&row("0A")).is_some());
        assert!(tcp(&row("01")).is_none() && tcp(" 0: zz 0 0A").is_none() && unix("0: 1").is_none());
    }

    #[test]
    fn a_row_that_is_no_text_hides_none_of_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("unix");
        let row = |name: &[u8]| [&b"0: 00000002 00000000 00010000 0001 01 77 "[..], name, b"\n"].concat();
        std::fs::write(&path, [&b"Num RefCount\n"[..], &row(b"/run/\xff"), &row(b"/run/a.sock")].concat()).unwrap();
        assert_eq!(rows(&path, unix), [(Place::Unix("/run/a.sock".into()), 77)]);
        assert!(rows(&dir.path().join("none"), unix).is_empty());
    }
}
