//! TLS and the token: what a listener needs that others than this box can reach.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use http::{HeaderMap, header};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::config::{Config, Tls};
use crate::base::secret::{ExposeSecret, SecretString};

/// What stands before everything that is served.
#[derive(Debug, Clone, Default)]
pub struct Lock {
    /// The server's side of TLS.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// What each request must know.
    pub(super) token: Option<Token>,
}

/// What a request must know.
#[derive(Debug, Clone)]
pub(super) struct Token(SecretString);

/// A shorter one can be guessed.
const MIN_TOKEN: usize = 16;

impl Lock {
    /// Reads certificate, key and token.
    ///
    /// # Errors
    /// A file cannot be read or is not what is wanted; names the key of the config.
    pub fn new(config: &Config) -> Result<Self, String> {
        let tls = config.tls.as_ref().map(server).transpose()?;
        let token = config.token.as_ref().map(|token| {
            let token = token.read().map_err(|error| format!("listen.token: {error}"))?;
            if token.expose_secret().len() < MIN_TOKEN {
                return Err(format!("listen.token is shorter than {MIN_TOKEN} bytes: openssl rand -hex 32 makes one"));
            }
            Ok(Token(token))
        });
        Ok(Self { tls, token: token.transpose()? })
    }

    /// Whether others than this box may be let in.
    pub(super) fn is_closed(&self) -> bool {
        self.tls.is_some() && self.token.is_some()
    }
}

impl Token {
    /// Whether the request knows it: as `Bearer`, or as the password of any user, since browsers and Grafana's data
    /// sources have fields for that.
    pub(super) fn opens(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(given), None) = (given.next(), given.next()) else { return false };
        let Some((scheme, rest)) = given.to_str().ok().and_then(|given| given.split_once(' ')) else { return false };
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.is(rest.trim().as_bytes());
        }
        let basic = scheme.eq_ignore_ascii_case("basic");
        let Some(pair) = basic.then(|| decode(rest.trim())).flatten() else { return false };
        let colon = pair.iter().position(|byte| *byte == b':');
        colon.is_some_and(|colon| self.is(&pair[colon + 1..]))
    }

    /// Takes as long for a wrong one as for the right one.
    fn is(&self, given: &[u8]) -> bool {
        let known = self.0.expose_secret().as_bytes();
        let mut differs = u8::from(known.len() != given.len());
        for (index, byte) in known.iter().enumerate() {
            differs |= black_box(byte ^ given.get(index).copied().unwrap_or(!byte));
        }
        black_box(differs) == 0
    }
}

/// Base64 (RFC 4648, section 4), with or without its padding.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xff) as u8);
        }
    }
    Some(out)
}

fn server(tls: &Tls) -> Result<Arc<ServerConfig>, String> {
    let certificates = certificates(&tls.cert)?;
    let key = private_key(&tls.key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("cannot set up TLS: {error}"))?;
    let mut config = builder.with_no_client_auth().with_single_cert(certificates, key).map_err(|error| {
        format!("listen.tls.cert {} does not go with listen.tls.key {}: {error}", tls.cert.display(), tls.key.display())
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let fail = |why: &dyn std::fmt::Display| format!("cannot read listen.tls.cert {}: {why}", path.display());
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(|error| fail(&error))?.collect();
    match found {
        Ok(found) if found.is_empty() => Err(fail(&"it holds no certificate; PEM is wanted")),
        Ok(found) => Ok(found),
        Err(error) => Err(fail(&error)),
    }
}

/// The error never shows what the file holds.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let fail = |why: &dyn std::fmt::Display| format!("cannot read listen.tls.key {}: {why}", path.display());
    PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        rustls::pki_types::pem::Error::Io(error) => fail(&error),
        _ => fail(&"it holds no private key; PEM without a password is wanted"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opens(given: &str) -> bool {
        let token = Token(SecretString::from("0123456789abcdef"));
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, given.parse().unwrap());
        token.opens(&headers)
    }

    #[test]
    fn only_the_whole_token_opens_as_bearer_or_as_a_password() {
        for given in [
            "Bearer 0123456789abcdef",
            "bearer  0123456789abcdef",
            "Basic Z3JhZmFuYTowMTIzNDU2Nzg5YWJjZGVm",
            "Basic OjAxMjM0NTY3ODlhYmNkZWY=",
        ] {
            assert!(opens(given), "{given}");
        }
        for given in [
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "Bearer",
            "Bearer ",
            "Digest 0123456789abcdef",
            "Basic MDEyMzQ1Njc4OWFiY2RlZg==",
            "Basic !!!",
            "0123456789abcdef",
        ] {
            assert!(!opens(given), "{given}");
        }
        let token = Token(SecretString::from("0123456789abcdef"));
        assert!(!token.opens(&HeaderMap::new()));
        assert!(!format!("{token:?}").contains("0123"));
    }

    #[test]
    fn what_cannot_be_read_names_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let made = rcgen::generate_simple_self_signed(["box".to_owned()]).unwrap();
        std::fs::write(path("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let other = rcgen::generate_simple_self_signed(["box".to_owned()]).unwrap();
        std::fs::write(path("other.pem"), other.signing_key.serialize_pem()).unwrap();
        std::fs::write(path("short"), "1234\n").unwrap();
        let lock = |cert: &str, key: &str, token: &str| {
            let tls = Some(Tls { cert: path(cert), key: path(key) });
            let token = Some(crate::base::secret::Secret::File(path(token)));
            Lock::new(&Config { tls, token, ..Config::default() }).unwrap_err()
        };
        assert!(lock("none.pem", "key.pem", "short").contains("listen.tls.cert"));
        assert!(lock("cert.pem", "none.pem", "short").contains("listen.tls.key"));
        assert!(lock("cert.pem", "cert.pem", "short").contains("holds no private key"));
        assert!(lock("cert.pem", "other.pem", "short").contains("does not go with"));
        assert!(lock("cert.pem", "key.pem", "short").contains("shorter than 16"));
        assert!(lock("cert.pem", "key.pem", "none").contains("listen.token"));
    }
}
