//! `collect.mysql:` one MySQL or MariaDB server.

use mysql_async::{ClientIdentity, SslOpts};

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
        let opts = options(&url.address, Some(&user), password, tls(entry, url));
        Ok(Box::new(Mysql::new(Settings { name: url.shown(), opts, top: TOP })))
    }
}

/// TLS with the certificates of `tls:`, or with those of the system where `?ssl-mode=required` asks for it: the
/// protocol has no way to take it only where the server has it.
fn tls(entry: &Entry, url: &Url) -> Option<SslOpts> {
    let Tls { ca, cert, key } = &entry.tls;
    let asked = url.get("ssl-mode").is_some_and(|mode| !mode.eq_ignore_ascii_case("disabled"));
    if entry.tls == Tls::default() && !asked {
        return None;
    }
    let mut made = SslOpts::default();
    if let Some(ca) = ca {
        made = made.with_root_certs(vec![ca.clone().into()]).with_disable_built_in_roots(true);
    }
    if let (Some(cert), Some(key)) = (cert, key) {
        made = made.with_client_identity(Some(ClientIdentity::new(cert.clone().into(), key.clone().into())));
    }
    Some(made)
}
