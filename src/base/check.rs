//! Checks that settings of several parts share. Each answers with the fault, or with `None` when all is well.

use std::path::Path as FilePath;
use std::time::Duration;

use super::certs::Tls;
use super::fault::{Fault, join};
use super::secret::{self, Secret};
use super::units::{Dur, Size};

/// Whether an address may have a path behind host and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// `http://loki:3100/otlp`.
    Allowed,
    /// `http://127.0.0.1:4317`.
    Forbidden,
}

/// A name that becomes an attribute's value: neither empty nor long, no control characters.
pub fn name(key: &str, text: &str) -> Option<Fault> {
    let fault = |what: &str| Some(Fault::new(key, what, "a short name, such as `shop`; or leave the key out"));
    match text {
        _ if text.trim().is_empty() => fault("this name is empty"),
        _ if text.len() > 255 => fault("this name is longer than 255 bytes"),
        _ if text.chars().any(char::is_control) => fault("this name has control characters"),
        _ => None,
    }
}

/// A path of this box, from its root.
pub fn path(key: &str, path: &FilePath) -> Option<Fault> {
    let text = path.to_string_lossy();
    if text.is_empty() {
        Some(Fault::new(key, "this path is empty", "an absolute path, such as /srv/shop"))
    } else if text.contains('\0') {
        Some(Fault::new(key, "this path has a NUL character", "an absolute path, such as /srv/shop"))
    } else if !path.is_absolute() {
        let mend = if text.starts_with('~') {
            "write the home folder out; `~` is known to shells only"
        } else {
            "paths start with `/`"
        };
        Some(Fault::new(key, format!("{text:?} is no absolute path"), mend))
    } else {
        None
    }
}

/// A regular file that can be opened.
pub fn file(key: &str, path: &FilePath) -> Option<Fault> {
    if let Some(fault) = self::path(key, path) {
        return Some(fault);
    }
    let shown = path.display();
    match std::fs::metadata(path) {
        Err(error) => Some(Fault::new(key, format!("{shown}: {error}"), "name a file that is there")),
        Ok(meta) if !meta.is_file() => Some(Fault::new(key, format!("{shown} is no regular file"), "name a PEM file")),
        Ok(_) => std::fs::File::open(path).err().map(|error| {
            Fault::new(key, format!("{shown}: {error}"), "let the user plimsoll read it: chgrp plimsoll, chmod 0640")
        }),
    }
}

/// A duration between two bounds.
pub fn between(key: &str, value: Dur, least: Duration, most: Duration) -> Option<Fault> {
    let fits = (least..=most).contains(&value.0);
    (!fits).then(|| {
        Fault::new(
            key,
            format!("{value} is too {}", if value.0 < least { "short" } else { "long" }),
            format!("from {} to {}", Dur(least), Dur(most)),
        )
    })
}

/// A size between two bounds.
pub fn size(key: &str, value: Size, least: Size, most: Size) -> Option<Fault> {
    let fits = (least..=most).contains(&value);
    (!fits).then(|| {
        let word = if value < least { "small" } else { "large" };
        Fault::new(key, format!("{value} is too {word}"), format!("from {least} to {most}"))
    })
}

/// An `http://` or `https://` address without user, query and fragment. The fault never prints it: it may hold a
/// password.
pub fn address(key: &str, text: &str, path: Path) -> Option<Fault> {
    let fault = |what: &str, mend: &str| Some(Fault::new(key, what, mend));
    const LIKE: &str = "an address such as http://loki:3100/otlp or https://127.0.0.1:4317";
    if text.is_empty() {
        return fault("the address is missing", LIKE);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return fault("no address: it has no scheme", "it starts with http:// or https://");
    };
    if !matches!(scheme, "http" | "https") {
        return fault("no address that can be used: unknown scheme", "it starts with http:// or https://");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return fault("user and password do not stand in an address", "use `username` and `password: {file: …}`");
    }
    if rest.contains(['?', '#']) {
        return fault("an address without `?` and `#` is wanted here", LIKE);
    }
    let Ok(uri) = text.parse::<http::Uri>() else {
        return fault("no address", LIKE);
    };
    let port = authority.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
    if uri.host().is_none_or(str::is_empty) {
        return fault("no address: it names no host", LIKE);
    }
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        return fault("no address: its port is no number from 1 to 65535", LIKE);
    }
    if path == Path::Forbidden && !matches!(uri.path(), "" | "/") {
        return fault("gRPC takes host and port only, no path", "such as http://127.0.0.1:4317");
    }
    None
}

/// A secret that can be read now. What only systemd gives to the service is not asked for elsewhere.
pub fn secret(key: &str, secret: &Secret) -> Option<Fault> {
    if let Secret::File(path) = secret
        && let Some(fault) = self::path(&join(key, "file"), path)
    {
        return Some(fault);
    }
    if let Secret::Credential(name) = secret
        && secret::is_name(name)
        && !secret::has_credentials()
    {
        return None;
    }
    let error = secret.read().err()?;
    let mend = match secret {
        Secret::File(_) => "the user plimsoll must be able to read it: chgrp plimsoll, chmod 0640",
        Secret::Credential(_) => {
            "the service gets it by LoadCredential=NAME:/path in a drop-in: systemctl edit plimsoll"
        }
        Secret::Env(_) => "set it, or use {file: …}",
    };
    let step = match secret {
        Secret::File(_) => "file",
        Secret::Credential(_) => "credential",
        Secret::Env(_) => "env",
    };
    Some(Fault::new(join(key, step), error, mend))
}

/// Certificates that are there, a certificate only with its key.
pub fn tls(key: &str, tls: &Tls) -> Vec<Fault> {
    let mut out = Vec::new();
    for (name, path) in [("ca", &tls.ca), ("cert", &tls.cert), ("key", &tls.key)] {
        out.extend(path.as_deref().and_then(|path| file(&join(key, name), path)));
    }
    match (&tls.cert, &tls.key) {
        (Some(_), None) => out.push(Fault::new(join(key, "cert"), "a certificate without its key", "name `key` too")),
        (None, Some(_)) => out.push(Fault::new(join(key, "key"), "a key without its certificate", "name `cert` too")),
        _ => {}
    }
    out
}

/// A regular expression that can be used line by line. Linear in time, bounded in size.
pub fn regex(key: &str, pattern: &str) -> Option<Fault> {
    if pattern.is_empty() {
        return Some(Fault::new(key, "the regular expression is missing or empty", "such as '^\\d{4}-\\d{2}-\\d{2}'"));
    }
    match regex::RegexBuilder::new(pattern).size_limit(REGEX_BYTES).build() {
        Ok(_) => None,
        Err(regex::Error::CompiledTooBig(_)) => {
            Some(Fault::new(key, "this regular expression is too large", "fewer and smaller repetitions"))
        }
        Err(error) => {
            // The last line of a syntax error is its gist; the lines before draw the pattern.
            let text = error.to_string();
            let gist = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Some(Fault::new(
                key,
                format!("bad regular expression: {gist}"),
                "the syntax is that of docs.rs/regex; in 'single quotes' YAML leaves `\\` alone",
            ))
        }
    }
}

/// Most that a compiled regular expression may take.
pub const REGEX_BYTES: usize = 1 << 20;

/// A glob of paths or names.
pub fn glob(key: &str, pattern: &str) -> Option<Fault> {
    if pattern.is_empty() {
        return Some(Fault::new(key, "this pattern is empty", "such as \"*.gz\""));
    }
    globset::Glob::new(pattern).err().map(|error| {
        Fault::new(key, format!("bad pattern: {}", error.kind()), "`*`, `**`, `?`, `[a-z]` and `{a,b}` are known")
    })
}
