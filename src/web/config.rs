//! `listen:` where others on this box reach the agent.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

use crate::base::check;
use crate::base::fault::Fault;
use crate::base::secret::Secret;
use crate::base::switch::Switch;

/// `listen:`. Anything but loopback needs TLS and a token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The page, `/metrics`, health, the query APIs. Default 127.0.0.1:1876. Port 0: any free one.
    pub http: Switch<SocketAddr>,
    /// OTLP over gRPC from applications on the box. Default 127.0.0.1:4317.
    pub otlp_grpc: Switch<SocketAddr>,
    /// OTLP over HTTP from applications on the box. Default 127.0.0.1:4318.
    pub otlp_http: Switch<SocketAddr>,
    /// Certificate and key with which `http` is served. Default: none; needed beyond loopback.
    pub tls: Option<Tls>,
    /// What each request to `http` must show: as `Authorization: Bearer`, or as the password of any user. At least 16
    /// bytes. Default: none; needed beyond loopback.
    pub token: Option<Secret>,
    /// Names and addresses of this box, without port, that requests to `http` may name besides `localhost` and the
    /// host's own name. Default: none; a box that is asked from elsewhere needs the name it is asked by.
    pub names: Vec<String>,
}

/// `listen.tls:`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM file of the certificate and its chain. Required.
    pub cert: PathBuf,
    /// PEM file of its key. Required.
    pub key: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            http: loopback(1876),
            otlp_grpc: loopback(4317),
            otlp_http: loopback(4318),
            tls: None,
            token: None,
            names: Vec::new(),
        }
    }
}

fn loopback(port: u16) -> Switch<SocketAddr> {
    Switch::On(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

impl Config {
    /// What is wrong beyond the shape.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let mut out = self.lock_faults();
        let mut seen: Vec<(&str, SocketAddr)> = Vec::new();
        for (key, listener) in [("http", &self.http), ("otlp_grpc", &self.otlp_grpc), ("otlp_http", &self.otlp_http)] {
            let Some(&address) = listener.on() else { continue };
            if !address.ip().is_loopback() {
                out.extend(self.open(key, address));
            }
            match seen.iter().find(|(_, other)| *other == address && address.port() != 0) {
                Some((other, _)) => {
                    out.push(Fault::new(
                        key,
                        format!("`{key}` and `{other}` both listen on {address}"),
                        "give one of them another port, or `off`",
                    ));
                }
                None => seen.push((key, address)),
            }
        }
        out
    }

    /// What an address lacks that others can reach.
    fn open(&self, key: &str, address: SocketAddr) -> Option<Fault> {
        let port = address.port();
        if key != "http" {
            let mend = format!("listen on 127.0.0.1:{port}: applications on this box reach it there");
            return Some(Fault::new(key, format!("{address} can be reached from outside"), mend));
        }
        let lacks = match (&self.tls, &self.token) {
            (Some(_), Some(_)) => return None,
            (None, None) => "neither TLS nor a token here",
            (None, Some(_)) => "no TLS here",
            (Some(_), None) => "no token here",
        };
        let mend = format!("listen on 127.0.0.1:{port}, or set both `tls: {{ cert, key }}` and `token: {{ file: … }}`");
        Some(Fault::new(key, format!("{address} can be reached from outside, and there is {lacks}"), mend))
    }

    fn lock_faults(&self) -> Vec<Fault> {
        let mut out = Vec::new();
        if let Some(tls) = &self.tls {
            out.extend(check::path("tls.cert", &tls.cert));
            out.extend(check::path("tls.key", &tls.key));
        }
        for (index, name) in self.names.iter().enumerate() {
            let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
            let bracketed = address.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
            if name.is_empty() || name.len() > 255 || !(bracketed || name.chars().all(good)) {
                let key = format!("names[{index}]");
                let mend = "a host name or address without scheme and port, such as box.example, 10.0.0.5 or [fd00::5]";
                out.push(Fault::new(key, format!("{name:?} is no name of a host"), mend));
            }
        }
        out
    }
}
