//! The box itself: the rights of the agent's user, the clock, and what listens where everybody can reach it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::check::Check;
use crate::collect::find::{Place, look};

/// Groups whose members may read what Debian's services log.
const GROUPS: &[&str] = &["adm", "systemd-journal"];

/// What the user of the agent with this process id may read; `root` is `/`.
pub(super) fn rights(root: &Path, pid: u32) -> Option<Check> {
    let status = fs::read_to_string(root.join(format!("proc/{pid}/status"))).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let uid = field("Uid:")?.split_whitespace().nth(1)?;
    if uid == "0" {
        return Some(Check::ok("agent", "rights", "it runs as root and may read everything"));
    }
    let held: Vec<&str> = field("Groups:")?.split_whitespace().chain(field("Gid:")?.split_whitespace()).collect();
    let user = name_of(&fs::read_to_string(root.join("etc/passwd")).ok()?, uid);
    let groups = fs::read_to_string(root.join("etc/group")).unwrap_or_default();
    let missing: Vec<&str> =
        GROUPS.iter().copied().filter(|group| id_of(&groups, group).is_some_and(|id| !held.contains(&id))).collect();
    if missing.is_empty() {
        return Some(Check::ok(
            "agent",
            "rights",
            format!("it runs as {user} and may read system logs and the journal"),
        ));
    }
    let list = missing.join(",");
    let words = format!("it runs as {user}, who is not in {list}: system logs or the journal may stay unread");
    let mend = vec![format!("usermod -aG {list} {user} && systemctl restart plimsoll")];
    Some(Check::warn("agent", "rights", words).mended_by(mend))
}

/// The name of a user in `/etc/passwd`, else the id.
fn name_of(passwd: &str, uid: &str) -> String {
    let mut users = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let user = users.find(|user| user.get(2) == Some(&uid)).and_then(|user| user.first().copied());
    user.unwrap_or(uid).to_owned()
}

/// The id of a group in `/etc/group`.
fn id_of<'a>(groups: &'a str, name: &str) -> Option<&'a str> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)).flatten()
    })
}

/// What sets the clock, as far as files below `root` (`/`) tell.
pub(super) fn clock(root: &Path) -> Check {
    let there = |path: &str| root.join(path).exists();
    if there("run/systemd/timesync/synchronized") {
        return Check::ok("agent", "clock", "synchronized by systemd-timesyncd");
    }
    let others = [("run/chrony", "chrony"), ("run/ntpd.pid", "ntpd"), ("run/openntpd.pid", "openntpd")];
    if let Some((_, name)) = others.iter().find(|(path, _)| there(path)) {
        return Check::ok("agent", "clock", format!("{name} runs"));
    }
    if there("run/systemd/container") || there(".dockerenv") {
        return Check::not_here("agent", "clock", "the host of this container sets it");
    }
    let words = "nothing seems to set it; with a wrong clock destinations refuse lines and samples";
    let mend = vec!["timedatectl set-ntp true".into()];
    Check::warn("agent", "clock", words).mended_by(mend)
}

/// Ports of servers that should not be reached from everywhere.
const INNER: &[(u16, &str)] = &[
    (1876, "plimsoll"),
    (2375, "docker"),
    (3100, "loki"),
    (3306, "mysql"),
    (4222, "nats"),
    (4317, "otlp"),
    (4318, "otlp"),
    (5432, "postgres"),
    (5672, "rabbitmq"),
    (6379, "redis"),
    (6432, "pgbouncer"),
    (8222, "nats monitoring"),
    (9090, "prometheus"),
    (9200, "elasticsearch"),
    (11211, "memcached"),
    (15672, "rabbitmq management"),
    (15692, "rabbitmq metrics"),
    (27017, "mongodb"),
];

/// What listens on an address that others can reach; `proc` is `/proc`.
pub(super) fn listeners(proc: &Path) -> Vec<Check> {
    let seen = look(proc, &|_| true);
    let mut open: BTreeMap<u16, String> = BTreeMap::new();
    for listening in &seen.listening {
        let Place::Tcp(address) = &listening.place else { continue };
        if address.ip().to_canonical().is_loopback() {
            continue;
        }
        let process = listening.process.as_ref().map(|process| process.name.clone()).unwrap_or_default();
        let entry = open.entry(address.port()).or_default();
        if entry.is_empty() {
            *entry = process;
        }
    }
    let mut out = Vec::new();
    for (port, kind) in INNER {
        if let Some(process) = open.remove(port) {
            let who =
                if process.is_empty() { format!("port {port} ({kind})") } else { format!("{process} on port {port}") };
            let words = format!(
                "{who} can be reached from outside of this box: let it listen on 127.0.0.1, or on an inner \
                 address behind a firewall"
            );
            out.push(Check::warn("network", format!("port {port}"), words));
        }
    }
    let others: Vec<String> = open
        .iter()
        .map(|(port, process)| if process.is_empty() { port.to_string() } else { format!("{port} {process}") })
        .collect();
    let words = match others.as_slice() {
        [] if out.is_empty() => "nothing but this box itself reaches what listens here".to_owned(),
        [] => "nothing else listens on an outer address".to_owned(),
        list => format!("reached from outside: {}", list.join(", ")),
    };
    out.push(Check::ok("network", "listeners", words));
    out
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn a_missing_group_is_told_with_the_command_that_adds_it() {
        let passwd = ("etc/passwd", "root:x:0:0::/root:/bin/sh\nplimsoll:x:110:115::/:/usr/sbin/nologin\n");
        let group = ("etc/group", "adm:x:4:\nsystemd-journal:x:101:plimsoll\nplimsoll:x:115:\n");
        let status = |groups: &str| {
            format!("Name:\tplimsoll\nUid:\t110\t110\t110\t110\nGid:\t115\t115\t115\t115\nGroups:\t{groups}\n")
        };
        let of = |groups: &str| {
            let status = status(groups);
            let dir = root(&[passwd, group, ("proc/7/status", &status)]);
            rights(dir.path(), 7).unwrap()
        };
        assert_eq!(of("4 101 115").verdict, Verdict::Ok);
        let check = of("101");
        assert_eq!(check.verdict, Verdict::Warn);
        assert_eq!(check.mend, ["usermod -aG adm plimsoll && systemctl restart plimsoll"]);
        let alone = root(&[passwd, ("proc/7/status", &status(""))]);
        assert_eq!(rights(alone.path(), 7).unwrap().verdict, Verdict::Ok, "groups that do not exist are not missed");
        let by_root = root(&[("proc/7/status", "Uid:\t0\t0\t0\t0\nGid:\t0\nGroups:\t0\n")]);
        assert_eq!(rights(by_root.path(), 7).unwrap().verdict, Verdict::Ok);
        assert_eq!(rights(by_root.path(), 8), None, "another box's agent, or one that just ended");
    }

    #[test]
    fn what_sets_the_clock_is_told() {
        assert_eq!(clock(root(&[("run/systemd/timesync/synchronized", "")]).path()).verdict, Verdict::Ok);
        assert_eq!(clock(root(&[("run/chrony/chronyd.pid", "1")]).path()).words, "chrony runs");
        assert_eq!(clock(root(&[("run/systemd/container", "lxc")]).path()).verdict, Verdict::NotHere);
        assert_eq!(clock(root(&[]).path()).mend, ["timedatectl set-ntp true"]);
    }

    #[test]
    fn a_database_on_an_outer_address_is_told_and_the_web_server_listed() {
        const HEAD: &str =
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
        let line = |address: &str| {
            format!(
                "   0: {address} 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n"
            )
        };
        // 0.0.0.0:6379, 127.0.0.1:5432, 0.0.0.0:443.
        let text = format!("{HEAD}{}{}{}", line("00000000:18EB"), line("0100007F:1538"), line("00000000:01BB"));
        let checks = listeners(root(&[("net/tcp", &text)]).path());
        let got: Vec<(&str, Verdict)> = checks.iter().map(|check| (check.name.as_str(), check.verdict)).collect();
        assert_eq!(got, [("port 6379", Verdict::Warn), ("listeners", Verdict::Ok)]);
        assert_eq!(checks[1].words, "reached from outside: 443");
    }
}
