//! The address of a watched server, `scheme://user@host:port/path?query`, and the name that it goes by.
//!
//! A password never stands in it, and no fault prints it: somebody may have put one there all the same.

use std::net::IpAddr;

use super::dial::Address;
use crate::base::fault::Fault;

/// An address, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Such as `redis` or `https`.
    pub scheme: String,
    /// The user that it names.
    pub username: Option<String>,
    /// Host and port, or the socket (of Postgres: the socket's folder).
    pub address: Address,
    /// The port, also of a server behind a socket.
    pub port: u16,
    /// Behind host and port, without the slash in front.
    pub path: String,
    /// Behind `?`, by name.
    pub query: Vec<(String, String)>,
}

impl Url {
    /// Takes `text` apart. `port` is for an address that names none.
    ///
    /// # Errors
    /// The fault of the key `url`.
    pub fn parse(text: &str, schemes: &[&str], port: u16) -> Result<Self, Fault> {
        let usual = schemes.first().copied().unwrap_or("http");
        let fault = |what: &str, mend: String| Fault::new("url", what, mend);
        let like = || format!("an address such as {usual}://127.0.0.1:{}", if port == 0 { 9100 } else { port });
        if text.is_empty() {
            return Err(fault("the address is missing", like()));
        }
        let starts = || {
            let all: Vec<_> = schemes.iter().map(|scheme| format!("{scheme}://")).collect();
            format!("it starts with {}", all.join(" or "))
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| fault("no address: it has no scheme", starts()))?;
        if !schemes.contains(&scheme) {
            return Err(fault("no address that can be used: unknown scheme", starts()));
        }
        if text.chars().any(|c| c.is_control() || c == ' ' || c == '#') {
            return Err(fault("an address has no spaces and no `#`", like()));
        }
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = before.split_once('/').unwrap_or((before, ""));
        let (user, place) = authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
        if user.is_some_and(|user| user.contains(':')) {
            return Err(fault("a password does not stand in an address", "use `password: {file: …}`".into()));
        }
        let query: Vec<(String, String)> = query.split('&').filter_map(pair).collect();
        let named = |name: &str| query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let (host, named_port) = host_and_port(place)
            .ok_or_else(|| fault("no address: its port is no number from 1 to 65535, or its host is none", like()))?;
        let port_of_query = named("port").and_then(|port| port.parse().ok());
        let found = named_port.or(port_of_query).unwrap_or(default_port(scheme, port));
        let socket = if scheme.ends_with("unix") { Some(decoded(&format!("/{path}"))) } else { socket_of(&query) };
        let address = match socket {
            Some(socket) => Address::Unix(socket.into()),
            None if host.is_empty() => return Err(fault("no address: it names no host", like())),
            None => Address::Tcp(host.to_owned(), found),
        };
        if found == 0 {
            return Err(fault("no address: it names no port", like()));
        }
        let username = user.filter(|user| !user.is_empty()).map(decoded);
        let path = if scheme.ends_with("unix") { String::new() } else { path.to_owned() };
        Ok(Self { scheme: scheme.to_owned(), username, address, port: found, path, query })
    }

    /// The value of `name` behind `?`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether what is sent never leaves the box.
    pub fn is_local(&self) -> bool {
        match &self.address {
            Address::Unix(_) => true,
            Address::Tcp(host, _) => {
                host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        }
    }

    /// For people: `host:port`, or the socket.
    pub fn shown(&self) -> String {
        match &self.address {
            Address::Unix(path) => path.display().to_string(),
            Address::Tcp(host, port) => joined(host, *port),
        }
    }
}

/// `service.instance.id` of the server at `url`: `host:port`. On this box it goes by the name `host` of the box, so
/// that two boxes' servers stay apart.
pub fn instance(url: &Url, host: &str) -> String {
    match &url.address {
        Address::Tcp(named, port) if !url.is_local() => joined(named, *port),
        _ => joined(host, url.port),
    }
}

fn joined(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn default_port(scheme: &str, port: u16) -> u16 {
    match (scheme, port) {
        ("http", 0) => 80,
        ("https", 0) => 443,
        _ => port,
    }
}

/// The host without brackets, and its port.
fn host_and_port(place: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, rest.strip_prefix(':').or(rest.is_empty().then_some(""))?)
        }
        None => place.split_once(':').unwrap_or((place, "")),
    };
    if port.is_empty() {
        return Some((host, None));
    }
    let port = port.parse().ok().filter(|port| *port != 0)?;
    Some((host, Some(port)))
}

/// Postgres' `host=/folder`, MySQL's `socket=/file`.
fn socket_of(query: &[(String, String)]) -> Option<String> {
    let mut paths = query.iter().filter(|(name, value)| matches!(&**name, "host" | "socket") && value.starts_with('/'));
    paths.next().map(|(_, path)| path.clone())
}

fn pair(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (!name.is_empty()).then(|| (decoded(name), decoded(value)))
}

/// `%2F` and the like as what they stand for.
fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|two| u8::from_str_radix(two, 16).ok()).filter(|_| byte == b'%') {
            Some(made) => {
                out.push(made);
                rest = &after[2..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text, &["postgres", "redis", "redis+unix", "mysql", "http", "https"], 5432).unwrap()
    }

    #[test]
    fn servers_of_this_box_go_by_its_name_and_others_by_theirs() {
        let made = |text: &str| instance(&url(text), "shop-db-1");
        assert_eq!(made("postgres://plimsoll@/postgres?host=/run/postgresql"), "shop-db-1:5432");
        assert_eq!(made("postgres://plimsoll@127.0.0.1:6432/pgbouncer"), "shop-db-1:6432");
        assert_eq!(made("http://[::1]:9100/metrics"), "shop-db-1:9100");
        assert_eq!(made("postgres://db.example/x"), "db.example:5432");
        assert_eq!(made("http://[2001:db8::1]:9100"), "[2001:db8::1]:9100");
        assert_eq!(made("redis+unix:///run/redis.sock"), "shop-db-1:5432");
    }

    #[test]
    fn an_address_is_taken_apart() {
        let made = url("postgres://me%40x@/shop?host=%2Frun%2Fpostgresql&port=5433");
        assert_eq!(made.username.as_deref(), Some("me@x"));
        assert_eq!((made.address.clone(), made.port), (Address::Unix("/run/postgresql".into()), 5433));
        assert_eq!((made.path.as_str(), made.get("port")), ("shop", Some("5433")));
        assert_eq!(url("redis+unix:///run/redis.sock").address, Address::Unix("/run/redis.sock".into()));
        let odd = url("redis+unix:///run/redis/a%40b%20c.sock");
        assert_eq!((odd.address, odd.username), (Address::Unix("/run/redis/a@b c.sock".into()), None));
    }

    #[test]
    fn what_is_no_address_is_told_without_being_printed() {
        for text in ["", "x", "ftp://a", "http://", "http://a:0", "http://a:x", "http://u:hunter2@a:1", "http://a b"] {
            let fault = Url::parse(text, &["http", "https"], 80).unwrap_err();
            assert!(fault.key == "url" && !fault.what.contains("hunter2") && !fault.mend.is_empty(), "{fault:?}");
        }
    }
}
