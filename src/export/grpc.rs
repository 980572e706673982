//! OTLP over gRPC (<https://opentelemetry.io/docs/specs/otlp/#otlpgrpc>).
//!
//! The call is written by hand above tonic's channel: a frame goes as it lies, where tonic's codec would compress it
//! a second time, and the trailers of a hostile server are read without its assumptions.

use std::error::Error;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut, BytesMut};
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Method, Response, Version};
use http_body_util::{BodyExt, Full};
use tonic::body::Body;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tower::Service;

use super::answer::{Answer, Reached, Request, Transport, shown};
use super::body::{MOST_KEPT, MOST_READ, partial_success, retry_info};
use super::config::{Compression, Otlp};
use super::http::{encoding, understand};
use super::{codec, headers};
use crate::base::base64;
use crate::base::http::{CONNECT, USER_AGENT, words};
use crate::base::{certs, tls, units};
use crate::signal::frame::{Codec, Signal};

#[cfg(test)]
mod tests;

/// One destination; signals share its connection.
pub(super) struct Grpc {
    endpoint: Endpoint,
    /// Made in the first call, because it needs the runtime.
    channel: OnceLock<Channel>,
    headers: HeaderMap,
    compression: Compression,
    timeout: Duration,
}

impl Grpc {
    /// Reads secrets and certificates. The error names the key.
    pub(super) fn new(otlp: &Otlp) -> Result<Self, String> {
        let fail = |error: tonic::transport::Error| format!("endpoint: {}", words(&error));
        let mut endpoint = Endpoint::from_shared(otlp.endpoint.clone())
            .and_then(|endpoint| endpoint.user_agent(USER_AGENT))
            .map_err(fail)?
            .connect_timeout(CONNECT.min(otlp.timeout.0))
            .http2_keep_alive_interval(ALIVE)
            .keep_alive_timeout(ALIVE);
        if otlp.endpoint.starts_with("https://") {
            endpoint = endpoint.tls_config(tls_config(&otlp.tls)?).map_err(fail)?;
        }
        Ok(Self {
            endpoint,
            channel: OnceLock::new(),
            headers: headers::build(otlp)?,
            compression: otlp.compression,
            timeout: otlp.timeout.0,
        })
    }

    async fn call(&self, request: &Request) -> Answer {
        let mut channel = self.channel.get_or_init(|| self.endpoint.connect_lazy()).clone();
        let call = match self.request(request) {
            Ok(call) => call,
            Err(error) => return Answer::Refused { why: format!("no request can be made of it: {error}") },
        };
        let answered = async {
            std::future::poll_fn(|context| channel.poll_ready(context)).await?;
            channel.call(call).await
        };
        match answered.await {
            Ok(response) => receive(response).await,
            Err(error) if has_expired(&error) => self.late(),
            Err(error) => {
                Answer::Retry { why: words(&error as &(dyn Error + 'static)), after: None, reached: Reached::Perhaps }
            }
        }
    }

    fn late(&self) -> Answer {
        let why = format!("no answer within {}", units::Dur(self.timeout));
        Answer::Retry { why, after: None, reached: Reached::Perhaps }
    }

    fn request(&self, request: &Request) -> Result<http::Request<Body>, http::Error> {
        let mut message = BytesMut::with_capacity(PREFIX + request.body.len());
        message.put_u8(u8::from(request.codec != Codec::Identity));
        message.put_u32(u32::try_from(request.body.len()).unwrap_or(u32::MAX));
        message.extend_from_slice(&request.body);
        let mut call = http::Request::builder().method(Method::POST).version(Version::HTTP_2).uri(path(request.signal));
        if let Some(headers) = call.headers_mut() {
            headers.extend(self.headers.clone());
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(TE, HeaderValue::from_static("trailers"));
            if let Some(name) = encoding(request.codec) {
                headers.insert("grpc-encoding", HeaderValue::from_static(name));
            }
        }
        call.header("grpc-timeout", format!("{}m", self.timeout.as_millis()))
            .body(Body::new(Full::new(message.freeze())))
    }
}

#[async_trait]
impl Transport for Grpc {
    fn codec(&self, signal: Signal) -> Codec {
        codec(self.compression, signal)
    }

    async fn send(&self, request: &Request) -> Answer {
        tokio::time::timeout(self.timeout, self.call(request)).await.unwrap_or_else(|_| self.late())
    }
}

/// tonic keeps to `grpc-timeout` itself, in a race with ours.
fn has_expired(error: &(dyn Error + 'static)) -> bool {
    error.is::<tonic::TimeoutExpired>() || error.source().is_some_and(has_expired)
}

fn path(signal: Signal) -> &'static str {
    match signal {
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    }
}

fn tls_config(tls: &certs::Tls) -> Result<ClientTlsConfig, String> {
    // For its errors alone, which name the key and the file.
    tls::client(tls)?;
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|error| format!("tls: cannot read {}: {error}", path.display()))
    };
    let mut config = ClientTlsConfig::new();
    config = match &tls.ca {
        Some(path) => config.ca_certificate(Certificate::from_pem(read(path)?)),
        None => config.trust_anchors(tls::system()?.roots.iter().cloned()),
    };
    if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
        config = config.identity(Identity::from_pem(read(cert)?, read(key)?));
    }
    Ok(config)
}

async fn receive(response: Response<Body>) -> Answer {
    let (head, mut body) = response.into_parts();
    let grpc = head.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let (mut message, mut read, mut trailers) = (Vec::new(), 0, HeaderMap::new());
    while let Some(Ok(frame)) = body.frame().await {
        match frame.into_data() {
            Ok(data) => {
                read += data.len();
                let room = MOST_KEPT - message.len();
                message.extend_from_slice(&data[..data.len().min(room)]);
                if read >= MOST_READ {
                    break;
                }
            }
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    // An answer without a message has its status among the headers.
    let status = [&trailers, &head.headers].into_iter().find(|headers| headers.contains_key("grpc-status"));
    match status {
        Some(status) => judge(status, &message),
        // A proxy's answer: what HTTP says goes.
        None if !head.status.is_success() => understand(head.status, &head.headers, &message),
        None if !grpc => Answer::Hold { why: "the server speaks no gRPC; is it an otlp_http endpoint?".into() },
        None => Answer::Retry { why: "the answer broke off".into(), after: None, reached: Reached::Perhaps },
    }
}

/// What a status (<https://grpc.github.io/grpc/core/md_doc_statuscodes.html>) means.
fn judge(status: &HeaderMap, message: &[u8]) -> Answer {
    let header = |name| status.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
    let code: u32 =
        std::str::from_utf8(header("grpc-status")).ok().and_then(|code| code.parse().ok()).unwrap_or(UNKNOWN);
    if code == 0 {
        let (refused, text) = partial_success(message.get(PREFIX..).unwrap_or_default());
        let message = if text.is_empty() { "OK".into() } else { format!("OK: {}", shown(&text)) };
        return Answer::Taken { refused, message };
    }
    let text = percent_decoded(header("grpc-message"));
    let why = match NAMES.get(code as usize) {
        Some(name) if text.is_empty() => (*name).to_owned(),
        Some(name) => format!("{name}: {text}"),
        None => format!("status {code}: {text}"),
    };
    let after = base64::decode(header("grpc-status-details-bin")).and_then(|details| retry_info(&details));
    let lower = text.to_ascii_lowercase();
    let large = lower.contains("larger than max") || lower.contains("message length too large");
    match code {
        8 | 11 if large => Answer::TooLarge { why },
        8 if after.is_some() => Answer::Limited { why, after },
        1 | 4 | 10 | 11 | 14 | 15 => Answer::Retry { why, after, reached: Reached::Perhaps },
        7 | 16 => Answer::Hold { why: format!("{why}; see token, username and headers") },
        12 => Answer::Hold { why: format!("{why}; does the server take this signal, and this compression?") },
        2 | 13 => Answer::Broken { why },
        3 | 5 | 6 | 8 | 9 => Answer::Refused { why },
        _ => Answer::Broken { why },
    }
}

fn percent_decoded(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, left)) = rest.split_first() {
        rest = left;
        let coded = left.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match coded.and_then(|two| u8::from_str_radix(two, 16).ok()).filter(|_| *byte == b'%') {
            Some(byte) => {
                out.push(byte);
                rest = &left[2..];
            }
            None => out.push(*byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
const UNKNOWN: u32 = 2;
/// Compressed or not, and the length.
const PREFIX: usize = 5;
/// Finds out that the other side is gone before the timeout of a request does.
const ALIVE: Duration = Duration::from_secs(20);
