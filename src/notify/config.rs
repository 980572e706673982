//! `alerts.notify:` who is told, and how; `alerts.heartbeat:` who notices that this box is dead.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;

use crate::base::certs::Tls;
use crate::base::check::{self, Path};
use crate::base::fault::{Fault, step};
use crate::base::header::{self, HeaderValue};
use crate::base::secret::Secret;
use crate::base::units::Dur;

/// One who is told. Exactly one of `alertmanager`, `slack`, `pagerduty`, `webhook` and `email` says how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notify {
    /// Prometheus' Alertmanager.
    pub alertmanager: Option<Alertmanager>,
    /// Slack, by an incoming webhook.
    pub slack: Option<Slack>,
    /// PagerDuty's Events API v2.
    pub pagerduty: Option<Pagerduty>,
    /// Alertmanager's webhook form, posted to any address.
    pub webhook: Option<Webhook>,
    /// Mail over SMTP.
    pub email: Option<Email>,
    /// Only alerts whose label `severity` is one of these. Default: `[page]` for PagerDuty, all for Alertmanager, which
    /// routes by itself, and `[page, ticket]` for the others. The heartbeat goes to none of them.
    pub severity: Option<Vec<String>>,
}

/// `alertmanager:`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alertmanager {
    /// Addresses of all members of the cluster, such as `http://alertmanager:9093`: each gets every alert. Required.
    pub endpoints: Vec<String>,
    /// Added to each request. A value is a string or a secret. Default: none.
    pub headers: BTreeMap<String, HeaderValue>,
    /// Sent as `Authorization: Bearer …`. Default: none.
    pub token: Option<Secret>,
    /// Certificates for `https://`. Default: what the system trusts.
    pub tls: Tls,
}

/// `slack:`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slack {
    /// The webhook's address, which is a secret. Required.
    pub webhook: Secret,
    /// Certificates for the connection. Default: what the system trusts.
    #[serde(default)]
    pub tls: Tls,
}

/// `pagerduty:`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pagerduty {
    /// The integration's key. Required.
    pub routing_key: Secret,
    /// Where events are posted. Default `https://events.pagerduty.com/v2/enqueue`; in Europe
    /// `https://events.eu.pagerduty.com/v2/enqueue`.
    #[serde(default = "Pagerduty::url")]
    pub url: String,
    /// Certificates for the connection. Default: what the system trusts.
    #[serde(default)]
    pub tls: Tls,
}

impl Pagerduty {
    fn url() -> String {
        "https://events.pagerduty.com/v2/enqueue".into()
    }
}

/// `webhook:`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhook {
    /// Where alerts are posted. Required.
    pub url: String,
    /// Added to each request. A value is a string or a secret. Default: none.
    pub headers: BTreeMap<String, HeaderValue>,
    /// Sent as `Authorization: Bearer …`. Default: none.
    pub token: Option<Secret>,
    /// Certificates for `https://`. Default: what the system trusts.
    pub tls: Tls,
}

/// `email:`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Email {
    /// Mail server, `host:port`. Required.
    pub smarthost: String,
    /// The sender's address. Required.
    pub from: String,
    /// The receivers' addresses. Required.
    pub to: Vec<String>,
    /// `starttls` (default, port 587), `tls` from the first byte (port 465), or `none`, to this box only.
    pub security: Security,
    /// User, with `password`. Default: none.
    pub username: Option<String>,
    /// Password. Default: none.
    pub password: Option<Secret>,
    /// Certificates. Default: what the system trusts.
    pub tls: Tls,
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// Begins in the clear and goes on with TLS, or not at all.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// In the clear, to this box only.
    None,
}

/// `heartbeat:` an outside service that notices when the messages end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// Where a POST goes while the rules are evaluated; mostly a secret, such as a check's address at healthchecks.io.
    /// Required.
    pub url: HeaderValue,
    /// How often. Default 1 min. From 10 s to 1 d.
    #[serde(default = "Heartbeat::interval")]
    pub interval: Dur,
}

impl Heartbeat {
    fn interval() -> Dur {
        Dur(Duration::from_secs(60))
    }

    /// What is wrong beyond the shape.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let mut out = Vec::new();
        match &self.url {
            HeaderValue::Plain(url) => out.extend(check::address("url", url, Path::Allowed)),
            HeaderValue::Secret(secret) => out.extend(secret_address("url", secret)),
        }
        out.extend(check::between("interval", self.interval, Duration::from_secs(10), Duration::from_secs(86_400)));
        out
    }
}

impl Notify {
    /// What `severity` an alert must have; none named: any.
    pub(super) fn severities(&self) -> Vec<String> {
        match &self.severity {
            Some(severities) => severities.clone(),
            None if self.alertmanager.is_some() => Vec::new(),
            None if self.pagerduty.is_some() => vec!["page".into()],
            None => vec!["page".into(), "ticket".into()],
        }
    }

    fn kinds(&self) -> Vec<&'static str> {
        let kinds = [
            ("alertmanager", self.alertmanager.is_some()),
            ("slack", self.slack.is_some()),
            ("pagerduty", self.pagerduty.is_some()),
            ("webhook", self.webhook.is_some()),
            ("email", self.email.is_some()),
        ];
        kinds.into_iter().filter(|(_, named)| *named).map(|(name, _)| name).collect()
    }

    fn faults(&self) -> Vec<Fault> {
        const KINDS: &str = "exactly one of alertmanager, slack, pagerduty, webhook and email";
        let mut out = Vec::new();
        match self.kinds().as_slice() {
            [] => out.push(Fault::new("", "nothing says how this one is told", KINDS)),
            [_] => {}
            [_, second, ..] => out.push(Fault::new(*second, "a second way to tell the same one", KINDS)),
        }
        if self.severity.as_ref().is_some_and(Vec::is_empty) {
            out.push(Fault::new("severity", "nothing would be sent there", "such as [page, ticket]; or leave it out"));
        }
        let below = |kind: &'static str| move |fault: Fault| fault.below(kind);
        out.extend(self.alertmanager.iter().flat_map(Alertmanager::faults).map(below("alertmanager")));
        out.extend(self.webhook.iter().flat_map(Webhook::faults).map(below("webhook")));
        out.extend(self.email.iter().flat_map(Email::faults).map(below("email")));
        if let Some(slack) = &self.slack {
            let found = secret_address("webhook", &slack.webhook).into_iter().chain(check::tls("tls", &slack.tls));
            out.extend(found.map(below("slack")));
        }
        if let Some(pagerduty) = &self.pagerduty {
            let found = check::secret("routing_key", &pagerduty.routing_key)
                .into_iter()
                .chain(check::address("url", &pagerduty.url, Path::Allowed))
                .chain(secret_in_the_clear("url", &pagerduty.url, true))
                .chain(check::tls("tls", &pagerduty.tls));
            out.extend(found.map(below("pagerduty")));
        }
        out
    }
}

impl Alertmanager {
    fn faults(&self) -> Vec<Fault> {
        let mut out = Vec::new();
        if self.endpoints.is_empty() {
            out.push(Fault::new("endpoints", "no address is named", "such as [\"http://alertmanager:9093\"]"));
        }
        for (number, endpoint) in self.endpoints.iter().enumerate() {
            let key = format!("endpoints[{number}]");
            if self.endpoints[..number].contains(endpoint) {
                out.push(Fault::new(&key, "this address stands here twice", "take one of them away"));
            }
            if endpoint.trim_end_matches('/').ends_with("/api/v2/alerts") {
                out.push(Fault::new(&key, "`/api/v2/alerts` is added to the address by itself", "leave it out"));
            }
            out.extend(check::address(&key, endpoint, Path::Allowed));
            out.extend(secret_in_the_clear(&key, endpoint, is_secret(&self.headers, self.token.as_ref())));
        }
        out.extend(login(&self.headers, self.token.as_ref()));
        out.extend(check::tls("tls", &self.tls));
        out
    }
}

impl Webhook {
    fn faults(&self) -> Vec<Fault> {
        let mut out = Vec::new();
        out.extend(check::address("url", &self.url, Path::Allowed));
        out.extend(secret_in_the_clear("url", &self.url, is_secret(&self.headers, self.token.as_ref())));
        out.extend(login(&self.headers, self.token.as_ref()));
        out.extend(check::tls("tls", &self.tls));
        out
    }
}

impl Email {
    fn faults(&self) -> Vec<Fault> {
        let mut out = Vec::new();
        match self.server() {
            None => out.push(Fault::new("smarthost", "no mail server", "host and port, such as mail.example.com:587")),
            Some((host, _)) if self.security == Security::None && !is_here(host) => out.push(Fault::new(
                "security",
                "mail over the network without TLS",
                "starttls or tls; `none` is for a mail server on this box",
            )),
            Some(_) => {}
        }
        let froms = [("from".to_owned(), &self.from)];
        let tos = self.to.iter().enumerate().map(|(number, to)| (format!("to[{number}]"), to));
        for (key, address) in froms.into_iter().chain(tos) {
            if address.parse::<lettre::message::Mailbox>().is_err() {
                out.push(Fault::new(key, "no mail address", "such as ops@example.com"));
            }
        }
        if self.to.is_empty() {
            out.push(Fault::new("to", "nobody would get this mail", "such as [ops@example.com]"));
        }
        match (&self.username, &self.password) {
            (Some(_), None) => out.push(Fault::new("username", "a user without a password", "name `password` too")),
            (None, Some(_)) => out.push(Fault::new("password", "a password without a user", "name `username` too")),
            _ => {}
        }
        out.extend(self.password.as_ref().and_then(|password| check::secret("password", password)));
        out.extend(check::tls("tls", &self.tls));
        out
    }

    /// Host and port.
    pub(super) fn server(&self) -> Option<(&str, u16)> {
        let (host, port) = self.smarthost.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let fits = !host.is_empty() && !host.contains(|letter: char| letter.is_whitespace() || "/@".contains(letter));
        Some((host, port.parse().ok().filter(|port| *port > 0)?)).filter(|_| fits)
    }
}

/// What is wrong with all of them, below the names.
pub(crate) fn faults(notify: &BTreeMap<String, Notify>) -> Vec<Fault> {
    let mut out = Vec::new();
    for (name, one) in notify {
        let key = step(name);
        // The name stands in the state file, on the board and in messages.
        let good = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
        if name.is_empty() || name.len() > 64 || !name.chars().all(good) {
            out.push(Fault::new(&key, "no name for one who is told", "up to 64 letters, digits, `_` and `-`"));
        }
        out.extend(one.faults().into_iter().map(|fault| fault.below(&key)));
    }
    out
}

fn login(headers: &BTreeMap<String, HeaderValue>, token: Option<&Secret>) -> Vec<Fault> {
    let mut out = header::faults("headers", headers, token.is_some());
    out.extend(token.and_then(|token| check::secret("token", token)));
    out
}

/// Whether a request has a secret with it.
fn is_secret(headers: &BTreeMap<String, HeaderValue>, token: Option<&Secret>) -> bool {
    token.is_some() || headers.values().any(|value| matches!(value, HeaderValue::Secret(_)))
}

/// A secret that is an address.
fn secret_address(key: &str, secret: &Secret) -> Option<Fault> {
    check::secret(key, secret).or_else(|| {
        let url = header::read(key, secret).ok()?;
        check::address(key, &url, Path::Allowed).or_else(|| secret_in_the_clear(key, &url, true))
    })
}

/// A secret goes over TLS, or stays on this box.
fn secret_in_the_clear(key: &str, url: &str, secret: bool) -> Option<Fault> {
    let uri: http::Uri = url.parse().ok()?;
    let wrong = secret && uri.scheme_str() == Some("http") && !uri.host().is_some_and(is_here);
    wrong.then(|| Fault::new(key, "a secret would go over the network without TLS", "make it https://"))
}

fn is_here(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;
