//! Headers and login of a destination, read and checked once.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::base64;
use super::config::{self, Otlp};
use crate::base::secret::{ExposeSecret, Secret};

/// The headers that each request takes, marked so that nothing prints them. The error names the key.
pub(super) fn build(otlp: &Otlp) -> Result<HeaderMap, String> {
    let mut out = HeaderMap::new();
    for (name, value) in &otlp.headers {
        let key = format!("headers.{name}");
        let header: HeaderName = name.parse().map_err(|_| format!("{key}: no header's name"))?;
        let value = match value {
            config::HeaderValue::Plain(text) => sensitive(&key, text)?,
            config::HeaderValue::Secret(secret) => sensitive(&key, &read(&key, secret)?)?,
        };
        out.insert(header, value);
    }
    if let Some(token) = &otlp.token {
        out.insert(AUTHORIZATION, sensitive("token", &format!("Bearer {}", read("token", token)?))?);
    }
    if let (Some(user), Some(password)) = (&otlp.username, &otlp.password) {
        let login = format!("{user}:{}", read("password", password)?);
        out.insert(AUTHORIZATION, sensitive("password", &format!("Basic {}", base64::encode(login.as_bytes())))?);
    }
    Ok(out)
}

fn read(key: &str, secret: &Secret) -> Result<String, String> {
    secret.read().map(|secret| secret.expose_secret().to_owned()).map_err(|error| format!("{key}: {error}"))
}

fn sensitive(key: &str, text: &str) -> Result<HeaderValue, String> {
    // Never with the value: it may be a secret.
    let mut value =
        HeaderValue::from_str(text).map_err(|_| format!("{key}: the value has characters that no header takes"))?;
    value.set_sensitive(true);
    Ok(value)
}
