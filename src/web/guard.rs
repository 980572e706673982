//! What every request must be before it is answered, and the headers of every answer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

use super::text;

/// The names under which a request may ask.
#[derive(Debug)]
pub(super) struct Guard {
    hosts: Vec<String>,
}

/// What a URL of ours never has.
const MAX_URL: usize = 8 * 1024;
/// What a browser's headers never have, without cookies of our own.
const MAX_HEADERS: usize = 16 * 1024;

/// A page that loads nothing but its own style, runs nothing and stands in no frame; answers that no other site
/// may read or guess the kind of.
const HEADERS: [(HeaderName, HeaderValue); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
];

impl Guard {
    /// Takes requests for the loopback names and `names`, with `port`.
    pub(super) fn new(port: u16, names: &[String]) -> Self {
        let loopback = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
        let mut hosts = Vec::new();
        for name in loopback.iter().chain(names) {
            let name = name.to_ascii_lowercase();
            hosts.push(format!("{name}:{port}"));
            // The port that browsers leave out.
            if port == 80 {
                hosts.push(name);
            }
        }
        Self { hosts }
    }

    fn knows(&self, host: &str) -> bool {
        self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
    }

    /// Exactly one `Host`, one of ours; and the host of an absolute URL, which stands before it (RFC 9112, 3.2.2).
    fn host_is_ours(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let named = uri.authority().is_none_or(|authority| self.knows(authority.as_str()));
        named && host.to_str().is_ok_and(|host| self.knows(host))
    }

    fn refuse(&self, request: &Request) -> Option<Response> {
        if !self.host_is_ours(request.uri(), request.headers()) {
            let known = format!("this is a plimsoll agent, and only {} may be asked here\n", self.hosts.join(", "));
            return Some(text(StatusCode::MISDIRECTED_REQUEST, known));
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Some(response);
        }
        let url = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
        if url > MAX_URL {
            return Some(text(StatusCode::URI_TOO_LONG, "the URL is longer than 8 KiB\n"));
        }
        let headers = request.headers();
        if headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() > MAX_HEADERS {
            return Some(text(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the headers are larger than 16 KiB\n"));
        }
        let length = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
        if length || headers.contains_key(header::TRANSFER_ENCODING) {
            return Some(text(StatusCode::PAYLOAD_TOO_LARGE, "no request here has a body\n"));
        }
        None
    }
}

/// Answers what may not pass, and marks every answer.
pub(super) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let mut response = match guard.refuse(&request) {
        Some(mut refusal) => {
            // What follows on this connection is not worth another look.
            refusal.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            refusal
        }
        None => next.run(request).await,
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, value);
    }
    response
}
