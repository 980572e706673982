//! TLS of outgoing connections: rustls with ring, the system's authorities or those that the config names.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

use super::certs::Tls;

/// The client side of a connection with these certificates. Reads the files now.
///
/// # Errors
/// A file cannot be read or holds no PEM, or the system has no authorities at all; names the file and the key.
pub fn client(tls: &Tls) -> Result<Arc<ClientConfig>, String> {
    let roots = match &tls.ca {
        Some(path) => Arc::new(authorities(path)?),
        None => system()?,
    };
    let builder = builder()?.with_root_certificates(roots);
    let config = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => {
            builder.with_client_auth_cert(certificates(cert, "tls.cert")?, private_key(key)?).map_err(|error| {
                format!("tls.cert {} does not go with tls.key {}: {error}", cert.display(), key.display())
            })?
        }
        (Some(_), None) => return Err("tls.cert needs tls.key too".into()),
        (None, Some(_)) => return Err("tls.key needs tls.cert too".into()),
        (None, None) => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// For a connection without TLS, of a client that wants a config all the same: trusts nobody and reads no file.
///
/// # Errors
/// None with the built-in cryptography.
pub fn nobody() -> Result<Arc<ClientConfig>, String> {
    Ok(Arc::new(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth()))
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, String> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("cannot set up TLS: {error}"))
}

fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(path, "tls.ca")? {
        store.add(certificate).map_err(|error| format!("tls.ca {} is no authority: {error}", path.display()))?;
    }
    Ok(store)
}

fn certificates(path: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let fail = |error: &dyn std::fmt::Display| format!("cannot read {key} {}: {error}", path.display());
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(|error| fail(&error))?.collect();
    match found {
        Ok(found) if found.is_empty() => Err(fail(&"it holds no certificate; PEM is wanted")),
        Ok(found) => Ok(found),
        Err(error) => Err(fail(&error)),
    }
}

/// The error never shows what the file holds.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        rustls::pki_types::pem::Error::Io(error) => format!("cannot read tls.key {}: {error}", path.display()),
        _ => {
            format!("cannot read tls.key {}: it holds no private key; PEM without a password is wanted", path.display())
        }
    })
}

/// The authorities that the system trusts. Loaded once: the same for every connection, and hundreds of files on some
/// systems.
///
/// # Errors
/// There are none.
pub fn system() -> Result<Arc<RootCertStore>, String> {
    static STORE: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let store = STORE.get_or_init(|| {
        let mut store = RootCertStore::empty();
        // A certificate that cannot be read does not spoil the others.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(store)
    });
    if store.is_empty() {
        return Err("the system trusts no authority: install ca-certificates, or set tls.ca".into());
    }
    Ok(Arc::clone(store))
}
