//! Secrets: named in the config, read from a file, a systemd credential or the environment, never printed.

use std::path::{Path, PathBuf};

pub use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// Where a secret lies: `{file: …}`, `{credential: …}` (systemd's `LoadCredential=`) or `{env: …}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Secret {
    /// A file that holds nothing else; a last line end is cut.
    File(PathBuf),
    /// A name below `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// A variable of the environment.
    Env(String),
}

/// A secret is a token or a password, not a document.
const MAX_BYTES: u64 = 64 * 1024;

impl Secret {
    /// Reads the secret now. The error names the place, never the content.
    pub fn read(&self) -> Result<SecretString, String> {
        match self {
            Self::File(path) => read_file(path),
            Self::Credential(name) => {
                if !is_name(name) {
                    return Err(format!("{name:?} is no credential name: it names a file without folders"));
                }
                let folder = std::env::var_os(FOLDER).ok_or_else(|| {
                    format!("credential {name:?} cannot be read: $CREDENTIALS_DIRECTORY is not set; systemd sets it for a unit with LoadCredential={name}:…")
                })?;
                read_file(&Path::new(&folder).join(name))
            }
            Self::Env(name) => std::env::var(name)
                .map(SecretString::from)
                .map_err(|_| format!("the environment variable {name} is not set or not UTF-8")),
        }
    }
}

/// The token that the file at `path` holds and nothing else.
///
/// # Errors
/// It cannot be read, or holds more than one word; names the file, never the content.
pub fn token(path: &Path) -> Result<SecretString, String> {
    let token = Secret::File(path.to_owned()).read()?;
    if token.expose_secret().contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Err(format!("{} holds no token: one line without spaces is wanted", path.display()));
    }
    Ok(token)
}

/// Whether a credential may be called so.
pub fn is_name(name: &str) -> bool {
    !(name.is_empty() || name.contains('/') || name.starts_with('.'))
}

/// Whether systemd gave this process any credentials.
pub fn has_credentials() -> bool {
    std::env::var_os(FOLDER).is_some()
}

/// Where systemd says that they lie.
const FOLDER: &str = "CREDENTIALS_DIRECTORY";

fn read_file(path: &Path) -> Result<SecretString, String> {
    let fail = |error: std::io::Error| format!("cannot read the secret in {}: {error}", path.display());
    let meta = std::fs::metadata(path).map_err(fail)?;
    if !meta.is_file() {
        return Err(format!("the secret in {} is no regular file", path.display()));
    }
    if meta.len() > MAX_BYTES {
        return Err(format!("the secret in {} is larger than 64 KiB", path.display()));
    }
    let mut text = std::fs::read_to_string(path).map_err(fail)?;
    while text.ends_with(['\n', '\r']) {
        text.pop();
    }
    if text.is_empty() {
        return Err(format!("the secret in {} is empty", path.display()));
    }
    Ok(SecretString::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_file_is_read_without_its_line_end_and_never_printed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "s3cret\n").unwrap();
        let secret = Secret::File(path).read().unwrap();
        assert_eq!(secret.expose_secret(), "s3cret");
        assert!(!format!("{secret:?}").contains("s3cret"));
    }

    #[test]
    fn what_cannot_be_read_names_the_place() {
        let missing = Secret::File("/nonexistent/token".into()).read().unwrap_err();
        assert!(missing.contains("/nonexistent/token"), "{missing}");
        assert!(Secret::Credential("../shadow".into()).read().unwrap_err().contains("no credential name"));
        assert!(Secret::Env("PLIMSOLL_NOT_SET".into()).read().unwrap_err().contains("PLIMSOLL_NOT_SET"));
        assert!(Secret::File("/dev/zero".into()).read().unwrap_err().contains("no regular file"));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        for (text, good) in [("abc\n", true), ("a b\n", false), ("a\nb\n", false), ("\n", false)] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(token(&path).is_ok(), good, "{text:?}");
        }
    }
}
