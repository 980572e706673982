//! OTLP over HTTP (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>): `POST <endpoint>/v1/<signal>`.

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};

use super::answer::{Answer, Reached, Request, Transport, shown};
use super::body::{Kept, partial_success, retry_after, text};
use super::config::{Compression, Otlp};
use super::{codec, headers, refusal};
use crate::base::clock::unix_nanos;
use crate::base::http::{client, veiled, words};
use crate::signal::frame::{Codec, Signal};

#[cfg(test)]
pub(super) mod tests;

/// One destination; signals share its connections.
pub(super) struct Http {
    client: reqwest::Client,
    endpoint: String,
    compression: Compression,
    timeout: Duration,
}

impl Http {
    /// Reads secrets and certificates. The error names the key.
    pub(super) fn new(otlp: &Otlp) -> Result<Self, String> {
        let builder = client(&otlp.endpoint, &otlp.tls, otlp.timeout.0)?
            .default_headers(headers::build(otlp)?)
            .pool_max_idle_per_host(3);
        let client = builder.build().map_err(|error| format!("cannot set up HTTP: {}", words(&error)))?;
        let endpoint = otlp.endpoint.trim_end_matches('/').to_owned();
        Ok(Self { client, endpoint, compression: otlp.compression, timeout: otlp.timeout.0 })
    }

    async fn post(&self, request: &Request) -> Result<Answer, reqwest::Error> {
        let url = format!("{}/v1/{}", self.endpoint, request.signal);
        let mut post = self.client.post(url).header(CONTENT_TYPE, "application/x-protobuf");
        if let Some(name) = encoding(request.codec) {
            post = post.header(CONTENT_ENCODING, name);
        }
        let mut response = post.body(request.body.clone()).send().await?;
        let (status, mut headers) = (response.status(), response.headers().clone());
        let mut kept = Kept::default();
        // The status line has said it; a body that breaks off or never ends changes nothing.
        while let Ok(Some(chunk)) = response.chunk().await {
            if !kept.take(&chunk) {
                break;
            }
        }
        if !status.is_success() {
            self.veil(&mut headers, &mut kept.body);
        }
        let mut answer = understand(status, &headers, &kept.body);
        if let Answer::Refused { why } = &mut answer {
            why.push_str(&kept.more());
        }
        Ok(answer)
    }

    /// The endpoint may hold a token, which the server may say again.
    fn veil(&self, headers: &mut HeaderMap, body: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(body);
        let hidden = veiled(&text, &self.endpoint);
        // Where there is nothing to hide it stays as it is: it may be a message in protobuf.
        if hidden != text {
            *body = hidden.into_bytes();
        }
        if let Some(to) = headers.get(LOCATION).and_then(|to| to.to_str().ok()) {
            // What stands behind `?` may be a secret too.
            let to = veiled(to.split('?').next().unwrap_or_default(), &self.endpoint);
            if let Ok(to) = HeaderValue::from_str(&to) {
                headers.insert(LOCATION, to);
            }
        }
    }

    fn failed(&self, error: &reqwest::Error) -> Answer {
        let why = if error.is_timeout() && error.is_connect() {
            "no connection: the server does not answer".into()
        } else if error.is_timeout() {
            format!("no answer within {}", crate::base::units::Dur(self.timeout))
        } else {
            words(error as &(dyn Error + 'static))
        };
        let reached = if error.is_connect() { Reached::No } else { Reached::Perhaps };
        Answer::Retry { why, after: None, reached }
    }
}

#[async_trait]
impl Transport for Http {
    fn codec(&self, signal: Signal) -> Codec {
        codec(self.compression, signal)
    }

    async fn send(&self, request: &Request) -> Answer {
        self.post(request).await.unwrap_or_else(|error| self.failed(&error))
    }
}

/// What a status, its headers and the body mean; also for HTTP answers on the way of a gRPC call.
pub(super) fn understand(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Answer {
    if status.is_success() {
        if is_web_page(body) {
            // A login page or a portal says 200 to everything, and keeps nothing.
            return Answer::Hold { why: format!("{} with a web page: the endpoint takes no OTLP", status.as_u16()) };
        }
        let (refused, message) = partial_success(body);
        let message = if message.is_empty() { line(status, "") } else { line(status, &shown(&message)) };
        return Answer::Taken { refused, message };
    }
    let why = line(status, &text(body));
    let after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let after = after.and_then(|value| retry_after(value, unix_nanos()));
    match status.as_u16() {
        429 => Answer::Limited { why, after },
        503 => Answer::Retry { why, after, reached: Reached::No },
        // Of the proxy, too: no room, its bandwidth used up, the server behind it not reached.
        502 | 504 | 507 | 509 | 520..=530 => Answer::Retry { why, after, reached: Reached::Perhaps },
        300..=399 => {
            let to = headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or("elsewhere");
            Answer::Hold {
                why: format!("{} is not followed: it points to {}; set the endpoint", status.as_u16(), shown(to)),
            }
        }
        401 | 403 => Answer::Hold { why: format!("{why}; see token, username and headers") },
        404 => Answer::Hold { why: format!("{why}; is the endpoint right, and its OTLP receiver enabled?") },
        // These too say that the address or the way there is wrong, not the frame.
        405 | 407 => Answer::Hold { why },
        413 => Answer::TooLarge { why },
        // Nothing is wrong with the frames, and each of them would go the same way.
        415 => Answer::Hold { why: format!("{why}; {OTHER_CODEC}") },
        400 if refusal::speaks_of_the_codec(&why) => Answer::Hold { why: format!("{why}; {OTHER_CODEC}") },
        400..=499 => Answer::Refused { why },
        _ => Answer::Broken { why },
    }
}

fn is_web_page(body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    let start = &start[..start.len().min(14)];
    ["<!doctype html", "<html"]
        .iter()
        .any(|tag| start.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes())))
}

fn line(status: StatusCode, text: &str) -> String {
    let mut out = status.as_u16().to_string();
    if let Some(reason) = status.canonical_reason().filter(|_| !status.is_success()) {
        out.push(' ');
        out.push_str(reason);
    }
    if !text.trim().is_empty() {
        out.push_str(": ");
        out.push_str(text.trim());
    }
    out
}

/// The codec's name in `Content-Encoding` and `grpc-encoding`.
pub(super) fn encoding(codec: Codec) -> Option<&'static str> {
    match codec {
        Codec::Identity => None,
        Codec::Gzip => Some("gzip"),
        Codec::Zstd => Some("zstd"),
    }
}

const OTHER_CODEC: &str = "set compression: gzip (or none) for this destination";
