//! What the notifiers that speak HTTP have in common: one POST, and what its answer means.

use std::collections::BTreeMap;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use serde::Serialize;

use super::Outcome;
use crate::base::certs::Tls;
use crate::base::clock::unix_nanos;
use crate::base::header::{self, HeaderValue};
use crate::base::http::{client, retry_after, shown, veiled, words};
use crate::base::secret::{ExposeSecret, Secret, SecretString};

/// Someone at one address, which may be a secret.
pub(super) struct Peer {
    client: reqwest::Client,
    url: SecretString,
    timeout: Duration,
}

/// What came back: status, and the beginning of the body.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: String,
    after: Option<Duration>,
}

impl Peer {
    /// Reads certificates. The error names the key, and never the address.
    pub(super) fn new(url: SecretString, headers: HeaderMap, tls: &Tls, timeout: Duration) -> Result<Self, String> {
        let builder = client(url.expose_secret(), tls, timeout)?.default_headers(headers).pool_max_idle_per_host(1);
        let client = builder.build().map_err(|error| format!("cannot set up HTTP: {}", words(&error)))?;
        Ok(Self { client, url, timeout })
    }

    /// Posts `body` as JSON.
    pub(super) async fn post(&self, body: &impl Serialize) -> Result<Reply, Outcome> {
        // Text from anywhere becomes JSON by the one writer that knows how.
        let body = serde_json::to_vec(body).map_err(|error| Outcome::Refused(format!("no JSON: {error}")))?;
        self.send(self.client.post(self.url.expose_secret()).header(CONTENT_TYPE, "application/json").body(body)).await
    }

    /// Posts nothing.
    pub(super) async fn touch(&self) -> Result<Reply, Outcome> {
        self.send(self.client.post(self.url.expose_secret())).await
    }

    /// Gets it, at most `most` bytes.
    pub(super) async fn get(&self, most: usize) -> Result<String, String> {
        let words_of = |error: reqwest::Error| self.words(&error.without_url());
        let mut response = self.client.get(self.url.expose_secret()).send().await.map_err(words_of)?;
        if !response.status().is_success() {
            return Err(format!("answer {}", response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(words_of)? {
            body.extend_from_slice(&chunk);
            if body.len() > most {
                return Err("the answer is too large".into());
            }
        }
        String::from_utf8(body).map_err(|_| "the answer is no UTF-8".into())
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Reply, Outcome> {
        let failed = |error: reqwest::Error| Outcome::Later(self.words(&error.without_url()), None);
        let mut response = request.send().await.map_err(failed)?;
        let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let after = after.and_then(|value| retry_after(value, unix_nanos()));
        let status = response.status().as_u16();
        let mut body = Vec::new();
        // The status line has said it; a body that breaks off or never ends changes nothing.
        while body.len() < MOST_READ
            && let Ok(Some(chunk)) = response.chunk().await
        {
            body.extend_from_slice(&chunk);
        }
        body.truncate(MOST_READ);
        let body = veiled(&String::from_utf8_lossy(&body), self.url.expose_secret());
        Ok(Reply { status, body, after })
    }

    fn words(&self, error: &reqwest::Error) -> String {
        if error.is_timeout() && error.is_connect() {
            "no connection: the server does not answer".into()
        } else if error.is_timeout() {
            format!("no answer within {}", crate::base::units::Dur(self.timeout))
        } else {
            words(error)
        }
    }
}

impl Reply {
    /// What most servers mean by it.
    pub(super) fn outcome(self) -> Outcome {
        let text = shown(&self.body);
        let why = if text.is_empty() { self.status.to_string() } else { format!("{}: {text}", self.status) };
        match self.status {
            // A login page or a portal says 200 to everything.
            200..=299 if is_web_page(&self.body) => {
                Outcome::Later(format!("{} with a web page: this address takes no alerts", self.status), None)
            }
            200..=299 => Outcome::Taken,
            // These will never be taken as they are. All else speaks of the address, the login or the server: somebody
            // mends it, and meanwhile the alerts wait.
            400 | 413 | 422 => Outcome::Refused(why),
            300..=399 => Outcome::Later(format!("{} is not followed; set the address", self.status), None),
            401 | 403 => Outcome::Later(format!("{why}; see the secrets"), self.after),
            404 | 405 | 410 => Outcome::Later(format!("{why}; is the address right?"), self.after),
            // One that says when again speaks of itself.
            500..=599 if self.after.is_none() => Outcome::Failed(why),
            _ => Outcome::Later(why, self.after),
        }
    }
}

/// Headers and token of the config.
pub(super) fn headers(headers: &BTreeMap<String, HeaderValue>, token: Option<&Secret>) -> Result<HeaderMap, String> {
    let mut out = header::build(headers)?;
    if let Some(token) = token {
        let value = format!("Bearer {}", header::read("token", token)?);
        out.insert(AUTHORIZATION, header::sensitive("token", &value)?);
    }
    Ok(out)
}

fn is_web_page(body: &str) -> bool {
    let start = body.trim_start().as_bytes();
    ["<!doctype html", "<html"]
        .iter()
        .any(|tag| start.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes())))
}

/// Of an answer. Enough for every error text.
const MOST_READ: usize = 16 << 10;
