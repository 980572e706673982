//! `tls:` which certificates a connection trusts and shows.

use std::path::PathBuf;

use serde::Deserialize;

/// Certificates of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file of the authorities that are trusted instead of the system's. Default: the system's.
    pub ca: Option<PathBuf>,
    /// PEM file of the own certificate, with `key`, where the server asks for one. Default: none.
    pub cert: Option<PathBuf>,
    /// PEM file of the own certificate's key. Default: none.
    pub key: Option<PathBuf>,
}
