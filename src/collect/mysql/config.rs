//! `collect.mysql:` one MySQL or MariaDB server.

use std::sync::OnceLock;

use mysql_async::{ClientIdentity, SslOpts};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use super::{Mysql, Settings, options};
use crate::base::certs::Tls;
use crate::base::secret::ExposeSecret;
use crate::collect::Collector;
use crate::collect::address::Url;
use crate::collect::entry::{self, Entry, System};

/// An entry adds nothing to the shared settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config;

/// Statements that are told apart.
const TOP: usize = 20;

impl System for Config {
    const KIND: &'static str = "mysql";
    const SERVICE: &'static str = "mysql";
    const PORT: u16 = 3306;
    const SCHEMES: &'static [&'static str] = &["mysql", "mariadb"];
    const KEYS: &'static [&'static str] = &entry::keys::<0, 8>([]);

    fn build(&self, entry: &Entry, url: &Url) -> Result<Box<dyn Collector>, String> {
        let user = entry.user(url).unwrap_or_else(|| "plimsoll".into());
        let password = entry.password()?;
        let password = password.as_ref().map(ExposeSecret::expose_secret);
        let opts = options(&url.address, Some(&user), password, tls(entry, url)?);
        let settings = Settings { name: url.shown(), opts, top: TOP };
        Ok(Box::new(Mysql::new(settings).within(entry.time())))
    }
}

/// TLS with the certificates of `tls:`, or with those of the system where `?ssl-mode=required` asks for it: the
/// protocol has no way to take it only where the server has it.
fn tls(entry: &Entry, url: &Url) -> Result<Option<SslOpts>, String> {
    let Tls { ca, cert, key } = &entry.tls;
    let asked = url.get("ssl-mode").is_some_and(|mode| !mode.eq_ignore_ascii_case("disabled"));
    if entry.tls == Tls::default() && !asked {
        return Ok(None);
    }
    let roots = match ca {
        Some(ca) => vec![ca.clone().into()],
        None => system()?.iter().map(|certificate| (&**certificate).into()).collect(),
    };
    let mut made = SslOpts::default().with_root_certs(roots).with_disable_built_in_roots(true);
    if let (Some(cert), Some(key)) = (cert, key) {
        made = made.with_client_identity(Some(ClientIdentity::new(cert.clone().into(), key.clone().into())));
    }
    Ok(Some(made))
}

/// The authorities that the system trusts: the library has a list of its own instead, without those of a company. Loaded
/// once; one that cannot be read does not spoil the others.
fn system() -> Result<&'static [CertificateDer<'static>], String> {
    static FOUND: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let mut found = rustls_native_certs::load_native_certs().certs;
        found.retain(|certificate| RootCertStore::empty().add(certificate.clone()).is_ok());
        found
    });
    if found.is_empty() {
        return Err("the system trusts no authority: install ca-certificates, or set tls.ca".into());
    }
    Ok(found)
}
