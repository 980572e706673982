//! HTTP to watched servers: bounded answers, no redirects, a login where one is configured.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::Value;

use super::CollectError;
use super::address::Url;
use super::entry::Entry;
use crate::base::header::sensitive;
use crate::base::http::{veiled, words};
use crate::base::secret::{ExposeSecret, Secret, SecretString};
use crate::base::{base64, tls};

/// How to come in.
#[derive(Debug, Clone, Default)]
pub enum Login {
    /// Nobody asks.
    #[default]
    None,
    /// User and password.
    Basic(String, SecretString),
    /// A token.
    Bearer(SecretString),
}

/// One server.
#[derive(Debug, Clone)]
pub struct Http {
    client: reqwest::Client,
    base: String,
    /// For people; never with a password, nor with what may be one.
    name: String,
}

/// An answer's head and body.
#[derive(Debug)]
pub struct Answer {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, within the bound.
    pub body: Vec<u8>,
}

/// Values of a JSON answer. 8 MiB of a server's own have half as many.
const MAX_VALUES: usize = 500_000;
const CONNECT: Duration = Duration::from_secs(3);
const USER_AGENT: &str = concat!("plimsoll/", env!("CARGO_PKG_VERSION"));

impl Http {
    /// Connects when it is asked first. `base` is `http://host:port` with an optional path.
    ///
    /// # Errors
    /// The login holds what no header can.
    pub fn new(base: &str, login: &Login, tls: Arc<rustls::ClientConfig>) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization(login)? {
            headers.insert(AUTHORIZATION, value);
        }
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(USER_AGENT)
            .default_headers(headers)
            .connect_timeout(CONNECT)
            .pool_max_idle_per_host(1)
            .build()
            .map_err(|error| format!("cannot set up HTTP: {}", words(&error)))?;
        // What stands behind `?` may be a secret, and so may a part of the path.
        let name = base.split_once("://").map_or(base, |(_, rest)| rest);
        let name = veiled(name.split('?').next().unwrap_or_default().trim_end_matches('/'), base);
        Ok(Self { client, base: base.to_owned(), name })
    }

    /// Of an entry, with its login: the bearer `token`, else user and password.
    ///
    /// # Errors
    /// A secret or certificate cannot be read.
    pub fn of(entry: &Entry, url: &Url, token: Option<&Secret>) -> Result<Self, String> {
        let login = match (token, entry.user(url), entry.password()?) {
            (Some(token), ..) => Login::Bearer(token.read().map_err(|error| format!("token: {error}"))?),
            (None, Some(user), password) => Login::Basic(user, password.unwrap_or_default()),
            (None, None, _) => Login::None,
        };
        let tls = if url.scheme == "https" { entry.tls()? } else { tls::nobody()? };
        Self::new(&without_user(&entry.url), &login, tls)
    }

    /// The body of a GET below the base, at most `limit` bytes of it.
    ///
    /// # Errors
    /// [`CollectError::Connect`] without an answer, [`CollectError::Denied`] for 401 and 403, [`CollectError::Query`]
    /// for other statuses, [`CollectError::Parse`] when it is larger.
    pub async fn get(&self, path: &str, accept: &'static str, limit: usize) -> Result<Answer, CollectError> {
        self.get_with(path, HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]), limit).await
    }

    /// The same, with these headers.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn get_with(&self, path: &str, headers: HeaderMap, limit: usize) -> Result<Answer, CollectError> {
        // Asked at the address itself, a slash at its end is part of it.
        let base = if path.is_empty() { &self.base } else { self.base.trim_end_matches('/') };
        let request = self.client.get(format!("{base}{path}")).headers(headers);
        let mut response = request.send().await.map_err(|error| self.lost(error))?;
        let status = response.status();
        if matches!(status.as_u16(), 401 | 403) {
            return Err(CollectError::Denied(format!("{} refuses the login: {status} for {path}", self.name)));
        }
        if !status.is_success() {
            return Err(CollectError::Query(format!("{} answers {status} for {path}", self.name)));
        }
        let mut body = Vec::new();
        let headers = response.headers().clone();
        loop {
            match response.chunk().await {
                Ok(None) => return Ok(Answer { headers, body }),
                Ok(Some(chunk)) if body.len() + chunk.len() > limit => {
                    let what = format!("{}: {path} is larger than {} MiB", self.name, limit >> 20);
                    return Err(CollectError::Parse(what));
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Err(error) => return Err(self.lost(error)),
            }
        }
    }

    /// The same as JSON.
    ///
    /// # Errors
    /// As [`Self::get`], and [`CollectError::Parse`] for what is no JSON.
    pub async fn json(&self, path: &str, limit: usize) -> Result<Value, CollectError> {
        let answer = self.get(path, "application/json", limit).await?;
        // `0,` is two bytes, and a value in memory dozens.
        if memchr::memchr_iter(b',', &answer.body).count() > MAX_VALUES {
            return Err(CollectError::Parse(format!("{}: {path} has more than {MAX_VALUES} values", self.name)));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|error| CollectError::Parse(format!("{}: {path} is no JSON: {error}", self.name)))
    }

    /// Without the address, which may hold a secret behind `?`.
    fn lost(&self, error: reqwest::Error) -> CollectError {
        CollectError::Connect(format!("{}: {}", self.name, words(&error.without_url())))
    }

    /// For people.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The address without `user@`: that is the login's.
fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let start = rest[..end].rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}://{}", &rest[start..])
}

fn authorization(login: &Login) -> Result<Option<HeaderValue>, String> {
    let text = match login {
        Login::None => return Ok(None),
        Login::Bearer(token) => format!("Bearer {}", token.expose_secret()),
        Login::Basic(user, password) => {
            format!("Basic {}", base64::encode(format!("{user}:{}", password.expose_secret()).as_bytes()))
        }
    };
    sensitive("the login", &text).map(Some)
}
