//! What all that speak HTTP to others have in common: the client, faults of a connection in plain words with what to do
//! where that is known, texts of a peer, and how long it wants us to wait.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};

use super::certs::Tls;
use super::tls;

pub mod ask;

/// A client for `url`: the certificates of `certificates` where it is `https://`, no proxy but what the config says, no
/// redirects, `timeout` for a whole request.
///
/// # Errors
/// A certificate cannot be read; names the key.
pub fn client(url: &str, certificates: &Tls, timeout: Duration) -> Result<reqwest::ClientBuilder, String> {
    // Without TLS nothing is loaded: a box without ca-certificates can still reach http://loki.
    let tls = if url.starts_with("https://") { tls::client(certificates)? } else { tls::nobody()? };
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured((*tls).clone())
        .redirect(reqwest::redirect::Policy::none())
        // What HTTP_PROXY says belongs to shells; telemetry goes where the config says.
        .no_proxy()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT.min(timeout))
        .timeout(timeout)
        .pool_idle_timeout(IDLE))
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds or a date; `now` in Unix nanoseconds.
pub fn retry_after(value: &str, now: u64) -> Option<Duration> {
    let value = value.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp().as_nanosecond();
        let wait = date.saturating_sub(i128::from(now)).clamp(0, LONGEST_WAIT.as_nanos() as i128);
        Duration::from_nanos(wait as u64)
    };
    Some(wait.clamp(SHORTEST_WAIT, LONGEST_WAIT))
}

/// What stands behind `error`, fit to be shown.
pub fn words(error: &(dyn Error + 'static)) -> String {
    let mut link = Some(error);
    let mut deepest = String::new();
    while let Some(now) = link {
        if let Some(words) = known(now) {
            return words;
        }
        deepest = now.to_string();
        link = now.source();
    }
    shown(&deepest)
}

fn known(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(tls(error));
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        // `source` of an io::Error skips what it wraps.
        if let Some(inner) = error.get_ref().and_then(|inner| known(inner)) {
            return Some(inner);
        }
        return match error.kind() {
            io::ErrorKind::ConnectionRefused => Some("connection refused".into()),
            io::ErrorKind::ConnectionReset => Some("connection reset".into()),
            io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => Some("connection closed".into()),
            io::ErrorKind::UnexpectedEof => Some("connection closed in the middle of an answer".into()),
            io::ErrorKind::HostUnreachable => Some("no route to the host".into()),
            io::ErrorKind::NetworkUnreachable => Some("network unreachable".into()),
            io::ErrorKind::TimedOut => Some("connection timed out".into()),
            _ => by_text(error),
        };
    }
    by_text(error)
}

fn by_text(error: &dyn Error) -> Option<String> {
    let text = error.to_string();
    if text.contains("dns error") || text.contains("failed to lookup address") {
        return Some("no such host".into());
    }
    // HTTP/2 passes on the words of what it met only.
    text.contains("fatal alert: CertificateRequired").then(|| CERTIFICATE_WANTED.into())
}

fn tls(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(fault) => certificate(fault),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => CERTIFICATE_WANTED.into(),
        rustls::Error::AlertReceived(
            AlertDescription::UnknownCA | AlertDescription::BadCertificate | AlertDescription::CertificateUnknown,
        ) => "TLS: the server does not trust the certificate of tls.cert".into(),
        rustls::Error::InvalidMessage(_) => "TLS: the server speaks no TLS; make the endpoint http://".into(),
        other => shown(&format!("TLS: {other}")),
    }
}

fn certificate(fault: &CertificateError) -> String {
    match fault {
        CertificateError::UnknownIssuer => "TLS: unknown issuer; set tls.ca".into(),
        CertificateError::BadSignature => {
            "TLS: the issuer has the name of a trusted one but another key; set tls.ca".into()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "TLS: the server's certificate has expired".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "TLS: the server's certificate is not valid yet; is the clock of this box right?".into()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "TLS: the server's certificate is for another name; use that name in the endpoint".into()
        }
        CertificateError::Revoked => "TLS: the server's certificate was revoked".into(),
        other => shown(&format!("TLS: the server's certificate is no good: {other:?}")),
    }
}

const CERTIFICATE_WANTED: &str = "TLS: the server wants a certificate; set tls.cert and tls.key";

/// A text of a peer, fit to be shown: one line without control characters and without marks that turn the direction of
/// writing, cut at [`SHOWN`] characters.
pub fn shown(text: &str) -> String {
    let mut out = String::new();
    let turns =
        |letter: char| matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let words = text
        .split(|letter: char| letter.is_control() || letter.is_whitespace() || turns(letter))
        .filter(|word| !word.is_empty());
    for (number, word) in words.enumerate() {
        if number > 0 {
            out.push(' ');
        }
        out.push_str(word);
        if out.len() > 4 * SHOWN {
            break;
        }
    }
    if let Some((end, _)) = out.char_indices().nth(SHOWN) {
        out.truncate(end);
        out.push('…');
    }
    out
}

/// A text of the server at `url` without the parts of its path and query that may be a secret, as that of a webhook is:
/// servers like to say at which address there is nothing.
pub fn veiled(text: &str, url: &str) -> String {
    let behind = url.split_once("://").map_or("", |(_, rest)| rest).split_once(['/', '?']).map_or("", |(_, path)| path);
    let parts = behind.split(['/', '?', '&', '=', '#']);
    let mut secrets: Vec<&str> = parts.filter(|part| is_secretive(part)).collect();
    // The longer first: one may be the beginning of another.
    secrets.sort_by_key(|part| std::cmp::Reverse(part.len()));
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "(hidden)"))
}

/// No word of people: long, or not short and with a digit.
fn is_secretive(part: &str) -> bool {
    part.len() >= 16 || (part.len() >= 8 && part.bytes().any(|byte| byte.is_ascii_digit()))
}

/// Characters of an answer that are shown.
const SHOWN: usize = 300;

/// `Retry-After` is heard up to here: a destination must not silence a sender for years by one header.
pub const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// And from here on: `Retry-After: 0`, or a date that has passed, would send the same request without a pause.
pub const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// Says who asks.
pub const USER_AGENT: &str = concat!("plimsoll/", env!("CARGO_PKG_VERSION"));
/// A connection comes quickly or not at all.
pub const CONNECT: Duration = Duration::from_secs(10);
/// Below the minute or so after which proxies and clouds forget a silent connection.
const IDLE: Duration = Duration::from_secs(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_of_its_address_is_told_without_what_may_be_a_secret() {
        let slack = "https://hooks.example.com/services/T0A1B2C3D/B0A1B2C3D/abcdefghijklmnopqrst";
        let told = "Cannot POST /services/T0A1B2C3D/B0A1B2C3D/abcdefghijklmnopqrst";
        assert_eq!(veiled(told, slack), "Cannot POST /services/(hidden)/(hidden)/(hidden)");
        let asked = "http://127.0.0.1:9/api/v1/alerts?key=0123456789&note=few";
        assert_eq!(
            veiled("no /api/v1/alerts?key=0123456789&note=few", asked),
            "no /api/v1/alerts?key=(hidden)&note=few"
        );
        assert_eq!(veiled("no /?key=0123456789", "https://hook.example.com?key=0123456789"), "no /?key=(hidden)");
        assert_eq!(veiled("no such tenant: alertmanager", "http://alertmanager:9093"), "no such tenant: alertmanager");
    }
}
