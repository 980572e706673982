//! `headers:` what is added to each request, in plain sight or secret.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::check;
use super::fault::{Fault, join, step};
use super::secret::{ExposeSecret, Secret};

/// What is wrong with the headers below `key`; `login`: an `Authorization` comes from elsewhere already.
pub fn faults(key: &str, headers: &BTreeMap<String, HeaderValue>, login: bool) -> Vec<Fault> {
    let mut out = Vec::new();
    for (name, value) in headers {
        let key = join(key, &step(name));
        let lower = name.to_lowercase();
        if name.parse::<http::HeaderName>().is_err() {
            out.push(Fault::new(&key, "no header's name", "letters, digits and `-`"));
        } else if lower.starts_with("content-")
            || matches!(lower.as_str(), "host" | "te" | "connection" | "transfer-encoding")
        {
            out.push(Fault::new(&key, "this header belongs to the request itself", "take the key away"));
        } else if lower == "authorization" && login {
            out.push(Fault::new(&key, "a second Authorization beside `token` or `password`", "take one of them away"));
        }
        match value {
            HeaderValue::Plain(text) if http::HeaderValue::from_str(text).is_err() => {
                out.push(Fault::new(&key, "a header's value has no control characters", "one line of text"));
            }
            HeaderValue::Plain(_) => {}
            HeaderValue::Secret(secret) => out.extend(check::secret(&key, secret)),
        }
    }
    out
}

/// The headers that each request takes, marked so that nothing prints them.
///
/// # Errors
/// A secret cannot be read, or no header takes the value; names the key, never the value.
pub fn build(headers: &BTreeMap<String, HeaderValue>) -> Result<http::HeaderMap, String> {
    let mut out = http::HeaderMap::new();
    for (name, value) in headers {
        let key = format!("headers.{name}");
        let header: http::HeaderName = name.parse().map_err(|_| format!("{key}: no header's name"))?;
        let value = match value {
            HeaderValue::Plain(text) => sensitive(&key, text)?,
            HeaderValue::Secret(secret) => sensitive(&key, &read(&key, secret)?)?,
        };
        out.insert(header, value);
    }
    Ok(out)
}

/// The secret of the setting `key`.
///
/// # Errors
/// It cannot be read; names the key and the place.
pub fn read(key: &str, secret: &Secret) -> Result<String, String> {
    secret.read().map(|secret| secret.expose_secret().to_owned()).map_err(|error| format!("{key}: {error}"))
}

/// A header's value that nothing prints.
///
/// # Errors
/// It has characters that no header takes; names the key, never the value.
pub fn sensitive(key: &str, text: &str) -> Result<http::HeaderValue, String> {
    // Never with the value: it may be a secret.
    let mut value = http::HeaderValue::from_str(text)
        .map_err(|_| format!("{key}: the value has characters that no header takes"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Value of a header: in plain sight, or a secret.
#[derive(Clone, PartialEq, Eq)]
pub enum HeaderValue {
    /// As written in the config.
    Plain(String),
    /// `{ file: … }`, `{ credential: … }` or `{ env: … }`.
    Secret(Secret),
}

impl fmt::Debug for HeaderValue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Tokens stand in plain headers too.
            Self::Plain(_) => out.write_str("(hidden)"),
            Self::Secret(place) => place.fmt(out),
        }
    }
}

impl<'de> Deserialize<'de> for HeaderValue {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct StringOrSecret;
        impl<'de> Visitor<'de> for StringOrSecret {
            type Value = HeaderValue;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(
                    "a string (in quotes when it looks like a number), or {file: …}, {credential: …}, {env: …}",
                )
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<HeaderValue, E> {
                Ok(HeaderValue::Plain(text.into()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HeaderValue, A::Error> {
                Secret::deserialize(MapAccessDeserializer::new(map)).map(HeaderValue::Secret)
            }
        }
        from.deserialize_any(StringOrSecret)
    }
}
