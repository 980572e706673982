//! What listens on the box, from `/proc/net/{tcp,tcp6,unix}` and the sockets that processes hold in `/proc/<pid>/fd`.
//!
//! Rights: none for the sockets; whose they are is told for the own user's processes only, and for all with
//! CAP_SYS_PTRACE. Nothing is connected to: a port that is probed leaves a line in its server's log.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Where something listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An address of this box.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// Something that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// Where.
    pub place: Place,
    /// The name of the process, at most 15 bytes; `None` where the right to see it is missing.
    pub process: Option<String>,
}

/// Processes and open files of each that are looked at.
const MAX_PROCESSES: usize = 4096;
const MAX_FILES: usize = 4096;
/// Listening sockets that are told.
const MAX_FOUND: usize = 1024;

/// All that listens, read below `proc` (`/proc`). A file that cannot be read says nothing. Blocks.
pub fn listening(proc: &Path) -> Vec<Listening> {
    let read = |name: &str| std::fs::read_to_string(proc.join("net").join(name)).unwrap_or_default();
    let mut sockets = tcp(&read("tcp"));
    sockets.extend(tcp(&read("tcp6")));
    sockets.extend(unix(&read("unix")));
    sockets.truncate(MAX_FOUND);
    let mut owners = owners(proc, &sockets);
    let told = |(place, inode)| Listening { place, process: owners.remove(&inode) };
    sockets.into_iter().map(told).collect()
}

/// The listening sockets of `/proc/net/tcp` or `tcp6`, with their inodes.
fn tcp(text: &str) -> Vec<(Place, u64)> {
    let row = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let local = fields.nth(1)?;
        // 0A is LISTEN.
        if fields.nth(1)? != "0A" {
            return None;
        }
        Some((Place::Tcp(address(local)?), fields.nth(5)?.parse().ok()?))
    };
    text.lines().skip(1).filter_map(row).collect()
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

/// The listening sockets of `/proc/net/unix` that have a path, with their inodes.
fn unix(text: &str) -> Vec<(Place, u64)> {
    let row = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        // 10000 is __SO_ACCEPTCON.
        if fields.nth(3)? != "00010000" {
            return None;
        }
        let inode = fields.nth(2)?.parse().ok()?;
        let path = fields.next().filter(|path| path.starts_with('/'))?;
        Some((Place::Unix(path.into()), inode))
    };
    text.lines().skip(1).filter_map(row).collect()
}

/// The names of the processes that hold `sockets`, by inode; of several the first.
fn owners(proc: &Path, sockets: &[(Place, u64)]) -> HashMap<u64, String> {
    let mut found = HashMap::new();
    let processes = std::fs::read_dir(proc).into_iter().flatten().flatten();
    let is_process = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.parse::<u32>().is_ok());
    for process in processes.filter(|entry| is_process(&entry.file_name())).take(MAX_PROCESSES) {
        let files = std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        for file in files.take(MAX_FILES) {
            let Some(inode) = std::fs::read_link(file.path()).ok().and_then(|link| inode_of(link.to_str()?)) else {
                continue;
            };
            if sockets.iter().any(|(_, known)| *known == inode) && !found.contains_key(&inode) {
                let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                found.insert(inode, name.trim_end().to_owned());
            }
        }
    }
    found
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
        let found = listening(Path::new("/proc"));
        let own = std::fs::read_to_string("/proc/self/comm").unwrap().trim_end().to_owned();
        for place in [Place::Tcp(tcp.local_addr().unwrap()), Place::Unix(path)] {
            let here = found.iter().find(|listening| listening.place == place);
            assert_eq!(here.and_then(|here| here.process.clone()).as_deref(), Some(&*own), "{place:?}");
        }
    }

    #[test]
    fn rows_that_do_not_listen_or_are_cut_are_passed_over() {
        let head = "  sl  local_address rem_address   st\n";
        let row = |state: &str| {
            format!(
                "{head}   0: 0100007F:1538 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  0  0 77 1\n"
            )
        };
        assert_eq!(tcp(&row("0A")).len(), 1);
        assert!(tcp(&row("01")).is_empty() && tcp("x\n 0: zz 0 0A\n").is_empty() && unix("x\n0: 1\n").is_empty());
    }
}
