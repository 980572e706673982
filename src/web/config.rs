//! `listen:` where others on this box reach the agent.

use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserialize;

use crate::base::fault::Fault;
use crate::base::switch::Switch;

/// `listen:`. Only loopback addresses: nothing here has TLS and a token yet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The page, `/metrics`, health, the query APIs. Default 127.0.0.1:1876. Port 0: any free one.
    pub http: Switch<SocketAddr>,
    /// OTLP over gRPC from applications on the box. Default 127.0.0.1:4317.
    pub otlp_grpc: Switch<SocketAddr>,
    /// OTLP over HTTP from applications on the box. Default 127.0.0.1:4318.
    pub otlp_http: Switch<SocketAddr>,
}

impl Default for Config {
    fn default() -> Self {
        Self { http: loopback(1876), otlp_grpc: loopback(4317), otlp_http: loopback(4318) }
    }
}

fn loopback(port: u16) -> Switch<SocketAddr> {
    Switch::On(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

impl Config {
    /// What is wrong beyond the shape.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let mut out = Vec::new();
        let mut seen: Vec<(&str, SocketAddr)> = Vec::new();
        for (key, listener) in [("http", &self.http), ("otlp_grpc", &self.otlp_grpc), ("otlp_http", &self.otlp_http)] {
            let Some(&address) = listener.on() else { continue };
            if !address.ip().is_loopback() {
                out.push(Fault::new(
                    key,
                    format!("{address} can be reached from outside, and there is neither TLS nor a token here yet"),
                    format!("listen on 127.0.0.1:{} and put a proxy with TLS before it", address.port()),
                ));
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
}
