//! Boxes as network namespaces, the wires between them, and relays.

use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::{fs, io, thread};

/// A network namespace with a wire to ours; gone with it.
pub(crate) struct Net {
    name: String,
    number: u8,
}

/// Of the addresses 10.213.NUMBER.1 (ours) and 10.213.NUMBER.2 (the namespace's).
static NEXT: AtomicU8 = AtomicU8::new(1);

impl Net {
    /// `name` says which box it is.
    pub(crate) fn new(name: &str) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let net = Self { name: format!("plimsoll-{}-{name}", std::process::id()), number };
        ip(&["netns", "add", &net.name]);
        net.inside(&["ip", "link", "set", "lo", "up"]);
        let outer = format!("plim{}x{number}", std::process::id() % 100_000);
        ip(&["link", "add", &outer, "type", "veth", "peer", "name", "mgmt", "netns", &net.name]);
        ip(&["addr", "add", &format!("10.213.{number}.1/24"), "dev", &outer]);
        ip(&["link", "set", &outer, "up"]);
        net.inside(&["ip", "addr", "add", &format!("10.213.{number}.2/24"), "dev", "mgmt"]);
        net.inside(&["ip", "link", "set", "mgmt", "up"]);
        net
    }

    /// A wire to another box: `eth0` at both ends, 10.214.0.A here and 10.214.0.B there.
    pub(crate) fn wire(&self, other: &Self) {
        ip(&["-n", &self.name, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", &other.name]);
        for net in [self, other] {
            net.inside(&["ip", "addr", "add", &format!("{}/24", net.address()), "dev", "eth0"]);
            net.inside(&["ip", "link", "set", "eth0", "up"]);
        }
    }

    /// Lets it know other boxes by their names.
    pub(crate) fn knows(&self, others: &[(&str, IpAddr)]) {
        let lines: String = others.iter().map(|(name, address)| format!("{address} {name}\n")).collect();
        // What stands there is /etc/hosts for what `ip netns exec` starts.
        fs::create_dir_all(self.etc()).unwrap();
        fs::write(self.etc().join("hosts"), format!("127.0.0.1 localhost\n{lines}")).unwrap();
    }

    fn etc(&self) -> PathBuf {
        Path::new("/etc/netns").join(&self.name)
    }

    /// Its address on the wire to other boxes.
    pub(crate) fn address(&self) -> IpAddr {
        Ipv4Addr::new(10, 214, 0, self.number).into()
    }

    /// Our address on the wire to it.
    pub(crate) fn outside(&self) -> IpAddr {
        Ipv4Addr::new(10, 213, self.number, 1).into()
    }

    /// Its address on the wire to us.
    pub(crate) fn reached(&self) -> IpAddr {
        Ipv4Addr::new(10, 213, self.number, 2).into()
    }

    /// The words before a command that is to run in it.
    pub(crate) fn enter(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(str::to_owned).into()
    }

    /// Runs a command in it to its end.
    pub(crate) fn inside(&self, words: &[&str]) {
        let enter = self.enter();
        let all: Vec<&str> = enter.iter().map(String::as_str).skip(1).chain(words.iter().copied()).collect();
        ip(&all);
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let _never_made = fs::remove_dir_all(self.etc()).is_err();
        // Its processes end a little after; the wires go with it.
        let _gone = Command::new("ip").args(["netns", "del", &self.name]).status().is_ok();
    }
}

fn ip(words: &[&str]) {
    let output = Command::new("ip").args(words).output().expect("ip, of the package iproute2");
    assert!(output.status.success(), "ip {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Passes connections to `from` on to `to`, and says at which port it listens.
pub(crate) fn relay(from: SocketAddr, to: SocketAddr) -> u16 {
    let listener = TcpListener::bind(from).unwrap_or_else(|error| panic!("{from}: {error}"));
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // One who finds nobody is sent away.
            if let Ok(other) = TcpStream::connect(to) {
                let ends = [stream.try_clone().unwrap(), other.try_clone().unwrap()];
                thread::spawn(move || pass(stream, other));
                let [stream, other] = ends;
                thread::spawn(move || pass(other, stream));
            }
        }
    });
    port
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    // However it ends, the other side is told.
    let _how = io::copy(&mut from, &mut to).is_ok();
    let _told = to.shutdown(Shutdown::Write).is_ok();
}
