//! One question to a server, for commands: an answer of bounded size, with the server's own time.

use std::time::Duration;

use crate::base::certs::Tls;

use super::{client, shown, words};

/// How long a server may take.
const TIME: Duration = Duration::from_secs(10);
/// Bytes of an answer that are taken; the rest of a longer one is an error.
const MOST: usize = 4 << 20;

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Its clock, Unix seconds, where it tells.
    pub date: Option<i64>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body where the status says success.
    ///
    /// # Errors
    /// The status with the beginning of the body, fit to be shown.
    pub fn success(&self) -> Result<&[u8], String> {
        if (200..300).contains(&self.status) {
            return Ok(&self.body);
        }
        let start = &self.body[..self.body.len().min(200)];
        Err(format!("answers {} {}", self.status, shown(&String::from_utf8_lossy(start))).trim_end().to_owned())
    }
}

/// Gets `path` with its query of the server at `base`; `token` is a bearer token.
///
/// # Errors
/// It cannot be reached, or answers with more than 4 MiB: in plain words.
pub async fn get(base: &str, path: &str, query: &[(&str, &str)], token: Option<&str>) -> Result<Reply, String> {
    let mut url = address(base, path)?;
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    reply(client(base, &Tls::default(), TIME)?.build().map_err(|error| words(&error))?.get(url), token).await
}

/// Posts the JSON `body` to `path` of the server at `base`; `token` is a bearer token.
///
/// # Errors
/// As [`get`].
pub async fn post(base: &str, path: &str, body: String, token: Option<&str>) -> Result<Reply, String> {
    let url = address(base, path)?;
    let client = client(base, &Tls::default(), TIME)?.build().map_err(|error| words(&error))?;
    reply(client.post(url).header("Content-Type", "application/json").body(body), token).await
}

fn address(base: &str, path: &str) -> Result<reqwest::Url, String> {
    reqwest::Url::parse(&format!("{base}{path}")).map_err(|error| format!("{base}: {error}"))
}

async fn reply(mut request: reqwest::RequestBuilder, token: Option<&str>) -> Result<Reply, String> {
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let mut response = request.send().await.map_err(|error| words(&error))?;
    let date = response.headers().get("date").and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()).map(|date| date.timestamp().as_second());
    let mut reply = Reply { status: response.status().as_u16(), date, body: Vec::new() };
    while let Some(piece) = response.chunk().await.map_err(|error| words(&error))? {
        if reply.body.len() + piece.len() > MOST {
            return Err(format!("answers with more than {} MiB", MOST >> 20));
        }
        reply.body.extend_from_slice(&piece);
    }
    Ok(reply)
}
