//! `destinations:` where telemetry is sent.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::base::certs::Tls;
use crate::base::check::{self, Path};
use crate::base::fault::{Fault, join, step};
use crate::base::header;
pub use crate::base::header::HeaderValue;
use crate::base::secret::Secret;
use crate::base::units::Dur;
use crate::signal::frame::Signal;

/// `destinations:` by name, such as `loki`. The name is the cursor's in the spool: a renamed destination starts anew.
pub type Config = BTreeMap<String, Destination>;

/// One destination; the key is how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// OTLP over HTTP: Loki, Prometheus, Grafana Cloud.
    OtlpHttp(Otlp),
    /// OTLP over gRPC: an OpenTelemetry collector.
    OtlpGrpc(Otlp),
}

impl Destination {
    /// The settings, however it is spoken to.
    pub fn otlp(&self) -> &Otlp {
        match self {
            Self::OtlpHttp(otlp) | Self::OtlpGrpc(otlp) => otlp,
        }
    }
}

/// Settings of an OTLP destination.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Otlp {
    /// `http://` or `https://`. Over HTTP without `/v1/logs`, which is added: `http://loki:3100/otlp`,
    /// `http://prometheus:9090/api/v1/otlp`. Over gRPC host and port only. Required.
    pub endpoint: String,
    /// What is sent there. Default: logs, metrics and traces. Loki takes logs only, Prometheus metrics only.
    pub signals: Vec<Signal>,
    /// Added to each request, such as a tenant (`X-Scope-OrgID: shop`). A value is a string or a secret. Default: none.
    pub headers: BTreeMap<String, HeaderValue>,
    /// Sent as `Authorization: Bearer …`. Default: none.
    pub token: Option<Secret>,
    /// User of `Authorization: Basic …`, with `password`. Default: none.
    pub username: Option<String>,
    /// Password of `Authorization: Basic …`. Default: none.
    pub password: Option<Secret>,
    /// Codec of a request's body. Default `auto`: what the destination takes, `zstd` before `gzip`.
    pub compression: Compression,
    /// How long a request may take. Default 30 s. From 1 s to 5 min.
    pub timeout: Dur,
    /// What happens to logs and traces when this destination is `spool.size` behind. Default `block`: reading stops.
    pub when_full: WhenFull,
    /// Certificates for `https://`. Default: what the system trusts.
    pub tls: Tls,
}

impl Default for Otlp {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            signals: vec![Signal::Logs, Signal::Metrics, Signal::Traces],
            headers: BTreeMap::new(),
            token: None,
            username: None,
            password: None,
            compression: Compression::Auto,
            timeout: Dur(Duration::from_secs(30)),
            when_full: WhenFull::Block,
            tls: Tls::default(),
        }
    }
}

/// Codec of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// What the destination takes, `zstd` first.
    Auto,
    /// The spool's own codec: no second encoding.
    Zstd,
    /// For those that take nothing better.
    Gzip,
    /// Bytes as they are.
    None,
}

/// What happens to logs and traces when a destination is `spool.size` behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// Nothing is lost: the files are read on when there is room.
    Block,
    /// The oldest undelivered frame of this destination goes, counted.
    DropOldest,
}

/// What is wrong beyond the shape.
pub(crate) fn faults(destinations: &Config) -> Vec<Fault> {
    let mut out = Vec::new();
    for (name, destination) in destinations {
        let key = step(name);
        // The name becomes a file's in the spool.
        let good = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
        if name.is_empty() || name.len() > 64 || !name.chars().all(good) {
            out.push(Fault::new(&key, "no name for a destination", "up to 64 letters, digits, `_` and `-`"));
        }
        let (kind, path) = match destination {
            Destination::OtlpHttp(_) => ("otlp_http", Path::Allowed),
            Destination::OtlpGrpc(_) => ("otlp_grpc", Path::Forbidden),
        };
        let key = join(&key, kind);
        out.extend(destination.otlp().faults(path).into_iter().map(|fault| fault.below(&key)));
    }
    out
}

impl Otlp {
    fn faults(&self, path: Path) -> Vec<Fault> {
        let mut out = Vec::new();
        out.extend(check::address("endpoint", &self.endpoint, path).or_else(|| self.signal_path()));
        if self.signals.is_empty() {
            out.push(Fault::new(
                "signals",
                "nothing would be sent there",
                "some of logs, metrics, traces; or leave the key out",
            ));
        }
        for (number, signal) in self.signals.iter().enumerate() {
            if self.signals[..number].contains(signal) {
                let what = format!("`{}` stands here twice", signal.name());
                out.push(Fault::new(format!("signals[{number}]"), what, "take one of them away"));
            }
        }
        let login = self.token.is_some() || self.password.is_some();
        out.extend(header::faults("headers", &self.headers, login));
        out.extend(self.login_faults());
        out.extend(check::between("timeout", self.timeout, Duration::from_secs(1), Duration::from_secs(300)));
        out.extend(check::tls("tls", &self.tls));
        if self.tls != Tls::default() && self.endpoint.starts_with("http://") {
            out.push(Fault::new("tls", "certificates for an address without TLS", "make the endpoint https://"));
        }
        out
    }

    fn signal_path(&self) -> Option<Fault> {
        let end = ["/v1/logs", "/v1/metrics", "/v1/traces"]
            .into_iter()
            .find(|end| self.endpoint.trim_end_matches('/').ends_with(end))?;
        Some(Fault::new("endpoint", format!("`{end}` is added to the address by itself"), "leave it out"))
    }

    fn login_faults(&self) -> Vec<Fault> {
        let mut out = Vec::new();
        for (key, secret) in [("token", &self.token), ("password", &self.password)] {
            out.extend(secret.as_ref().and_then(|secret| check::secret(key, secret)));
        }
        match (&self.username, &self.password) {
            (Some(_), None) => out.push(Fault::new("username", "a user without a password", "name `password` too")),
            (None, Some(_)) => out.push(Fault::new("password", "a password without a user", "name `username` too")),
            (Some(_), Some(_)) if self.token.is_some() => {
                out.push(Fault::new("token", "both a token and a password", "take one of them away"));
            }
            _ => {}
        }
        out
    }
}
