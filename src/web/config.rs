//! `listen:` where others on this box reach the agent.

use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserialize;

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
