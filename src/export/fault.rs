//! Faults of a connection in plain words, with what to do where that is known.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError};

/// What stands behind `error`.
pub(super) fn words(error: &(dyn Error + 'static)) -> String {
    let mut link = Some(error);
    let mut deepest = String::new();
    while let Some(now) = link {
        if let Some(words) = known(now) {
            return words;
        }
        deepest = now.to_string();
        link = now.source();
    }
    super::answer::shown(&deepest)
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
        other => super::answer::shown(&format!("TLS: {other}")),
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
        other => super::answer::shown(&format!("TLS: the server's certificate is no good: {other:?}")),
    }
}

const CERTIFICATE_WANTED: &str = "TLS: the server wants a certificate; set tls.cert and tls.key";
