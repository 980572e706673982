//! HTTP request lines, their targets and client addresses, as access logs and application logs write them.

use std::net::IpAddr;

/// `GET /path?query HTTP/1.1`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) method: &'a str,
    pub(super) target: Target<'a>,
    /// `1.1`, `2`; none for HTTP/0.9.
    pub(super) version: Option<&'a str>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// A path and what follows its `?`.
    Path { path: &'a str, query: Option<&'a str> },
    /// A URL with a scheme.
    Full(&'a str),
    /// `*`, a host and port, or nothing that is known.
    Other,
}

/// Splits a request line; none for anything else, such as the bytes of a TLS greeting.
pub(super) fn line(text: &str) -> Option<Line<'_>> {
    let (method, rest) = text.split_once(' ')?;
    let method_like = (3..=20).contains(&method.len())
        && method.bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_'));
    if !method_like {
        return None;
    }
    let (target, version) = match memchr::memrchr(b' ', rest.as_bytes()) {
        Some(at) => (rest.get(..at)?, Some(rest.get(at + 1..)?.strip_prefix("HTTP/")?)),
        None => (rest, None),
    };
    let version = version.map(|version| if version == "2.0" || version == "3.0" { &version[..1] } else { version });
    let target = self::target(target);
    // A path may hold spaces in a broken request, but then nothing is certain.
    (target != Target::Other || is_method(method)).then_some(Line { method, target, version })
}

/// A request's target by its form.
#[inline]
pub(super) fn target(text: &str) -> Target<'_> {
    if text.starts_with('/') {
        return match memchr::memchr(b'?', text.as_bytes()) {
            Some(at) => Target::Path { path: &text[..at], query: Some(&text[at + 1..]) },
            None => Target::Path { path: text, query: None },
        };
    }
    match text.split_once("://") {
        Some((scheme, _)) if !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_lowercase()) => {
            Target::Full(text)
        }
        _ => Target::Other,
    }
}

/// The methods of RFC 9110, PATCH, QUERY and those of WebDAV.
#[inline]
pub(super) fn is_method(text: &str) -> bool {
    matches!(
        text,
        "GET"
            | "POST"
            | "HEAD"
            | "PUT"
            | "DELETE"
            | "OPTIONS"
            | "PATCH"
            | "CONNECT"
            | "TRACE"
            | "QUERY"
            | "PROPFIND"
            | "PROPPATCH"
            | "MKCOL"
            | "COPY"
            | "MOVE"
            | "LOCK"
            | "UNLOCK"
            | "REPORT"
    )
}

/// An IP address, with the port that may stand behind it (`10.0.0.1:80`, `[::1]:80`).
pub(super) fn address(text: &str) -> Option<(&str, Option<u16>)> {
    if is_address(text) {
        return Some((text, None));
    }
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    is_address(host).then_some(())?;
    Some((host, Some(port.parse().ok()?)))
}

/// True for an IPv4 or IPv6 address.
pub(super) fn is_address(text: &str) -> bool {
    text.len() <= 45 && text.parse::<IpAddr>().is_ok()
}
