//! The addresses that people name, and the endpoints that they come to.

use crate::base::check;
use crate::signal::frame::Signal;

/// What a destination of `plimsoll setup` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Prometheus,
    Loki,
}

impl Kind {
    /// Of the destination, unless one with its endpoint has another.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::Loki => "loki",
        }
    }

    pub(super) fn signal(self) -> Signal {
        match self {
            Self::Prometheus => Signal::Metrics,
            Self::Loki => Signal::Logs,
        }
    }

    /// Where it takes OTLP, below its address.
    fn path(self) -> &'static str {
        match self {
            Self::Prometheus => "/api/v1/otlp",
            Self::Loki => "/otlp",
        }
    }

    /// Addresses of other protocols, which people have at hand.
    fn others(self) -> &'static [&'static str] {
        match self {
            Self::Prometheus => &["/v1/metrics", "/api/v1/write", "/api/v1/query", "/api/v1", "/graph"],
            Self::Loki => &["/v1/logs", "/loki/api/v1/push", "/api/v1/push", "/loki/api/v1"],
        }
    }

    /// What else to do about an answer that is none, beside its own words.
    pub(super) fn mend(self, why: &str) -> &'static str {
        let refused = |code: &str| why.starts_with(code);
        match self {
            _ if why.contains("no org id") => "; name the tenant in its `headers: { X-Scope-OrgID: … }`",
            _ if refused("401") || refused("403") => "; name the file of its token with --token-file",
            Self::Prometheus if refused("404") => "; Prometheus 3 takes OTLP with --web.enable-otlp-receiver",
            Self::Loki if refused("404") => "; Loki takes OTLP from version 3 on",
            _ => "",
        }
    }
}

/// The endpoint for `url`, which may be a server's address, or already that of its OTLP receiver.
pub(super) fn endpoint(kind: Kind, url: &str) -> Result<String, String> {
    let mut url = url.trim().trim_end_matches('/');
    if let Some(fault) = check::address("", url, check::Path::Allowed) {
        // The address itself is not printed: a password may stand in it.
        return Err(format!("--{}: {}: {}", kind.name(), fault.what, fault.mend));
    }
    for other in kind.others() {
        url = url.strip_suffix(other).unwrap_or(url);
    }
    if url.ends_with("/otlp") { Ok(url.to_owned()) } else { Ok(format!("{url}{}", kind.path())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_comes_to_its_receiver_whatever_people_have_at_hand() {
        for (kind, url, wanted) in [
            (Kind::Prometheus, "http://p:9090", "http://p:9090/api/v1/otlp"),
            (Kind::Prometheus, " http://p:9090/ ", "http://p:9090/api/v1/otlp"),
            (Kind::Prometheus, "https://x/prom/api/v1/write", "https://x/prom/api/v1/otlp"),
            (Kind::Prometheus, "http://p:9090/api/v1/otlp/v1/metrics", "http://p:9090/api/v1/otlp"),
            (Kind::Prometheus, "https://mimir/otlp", "https://mimir/otlp"),
            (Kind::Loki, "http://[::1]:3100", "http://[::1]:3100/otlp"),
            (Kind::Loki, "http://l:3100/otlp/", "http://l:3100/otlp"),
            (Kind::Loki, "http://l:3100/loki/api/v1/push", "http://l:3100/otlp"),
            (Kind::Loki, "https://gateway/otlp/v1/logs", "https://gateway/otlp"),
        ] {
            assert_eq!(endpoint(kind, url).as_deref(), Ok(wanted), "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_told_without_its_password() {
        let error = endpoint(Kind::Loki, "loki:3100").unwrap_err();
        assert!(error.contains("--loki") && error.contains("http://"), "{error}");
        let error = endpoint(Kind::Prometheus, "http://me:s3cret@p:9090").unwrap_err();
        assert!(error.contains("--prometheus") && !error.contains("s3cret"), "{error}");
    }
}
