//! Headers and login of a destination, read and checked once.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::config::Otlp;
use crate::base::base64;
use crate::base::header::{self, read, sensitive};

/// The headers that each request takes, marked so that nothing prints them. The error names the key.
pub(super) fn build(otlp: &Otlp) -> Result<HeaderMap, String> {
    let mut out = header::build(&otlp.headers)?;
    if let Some(token) = &otlp.token {
        out.insert(AUTHORIZATION, sensitive("token", &format!("Bearer {}", read("token", token)?))?);
    }
    if let (Some(user), Some(password)) = (&otlp.username, &otlp.password) {
        let login = format!("{user}:{}", read("password", password)?);
        out.insert(AUTHORIZATION, sensitive("password", &format!("Basic {}", base64::encode(login.as_bytes())))?);
    }
    Ok(out)
}
