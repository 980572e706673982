//! What every request must be before it is answered, and the headers of every answer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

use super::lock::Token;
use super::{api, text};

/// The names under which a request may ask, and what it must know.
#[derive(Debug)]
pub(super) struct Guard {
    hosts: Vec<String>,
    token: Option<Token>,
}

/// What a URL of ours never has.
const MAX_URL: usize = 8 * 1024;
/// An expression may stand in the URL of a query; a longer one is posted.
const MAX_QUERY_URL: usize = 16 * 1024;
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
    /// Takes requests for the loopback names and `names`, with `port`, and with `token` where there is one.
    pub(super) fn new(port: u16, names: &[String], token: Option<Token>) -> Self {
        let loopback = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
        let mut hosts = Vec::new();
        for name in loopback.iter().chain(names) {
            let name = name.to_ascii_lowercase();
            hosts.push(format!("{name}:{port}"));
            // The ports that browsers leave out.
            if port == 80 || port == 443 {
                hosts.push(name);
            }
        }
        Self { hosts, token }
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

    /// A page of another site, whose browser says so. Programs that are no browsers say nothing.
    fn comes_from_elsewhere(&self, headers: &HeaderMap) -> bool {
        let foreign = |origin: &HeaderValue| {
            let origin = origin.to_str().unwrap_or("null");
            let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            !host.is_some_and(|host| self.knows(host))
        };
        let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        headers.get_all(header::ORIGIN).iter().any(foreign) || matches!(site, Some(b"cross-site" | b"same-site"))
    }

    fn refuse(&self, request: &Request) -> Option<Response> {
        if !self.host_is_ours(request.uri(), request.headers()) {
            let known = format!("this is a plimsoll agent, and only {} may be asked here\n", self.hosts.join(", "));
            return Some(text(StatusCode::MISDIRECTED_REQUEST, known));
        }
        let headers = request.headers();
        if self.token.as_ref().is_some_and(|token| !token.opens(headers)) {
            let mut response = text(
                StatusCode::UNAUTHORIZED,
                "the token (listen.token) is wanted: as Bearer, or as the password of any user\n",
            );
            let scheme = HeaderValue::from_static("Basic realm=\"plimsoll\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
            return Some(response);
        }
        let path = request.uri().path();
        let queries = path.starts_with("/api/") || path.starts_with("/loki/");
        if queries && self.comes_from_elsewhere(headers) {
            return Some(text(StatusCode::FORBIDDEN, "pages of other sites may not ask here\n"));
        }
        refuse_method(request).or_else(|| refuse_size(request, queries))
    }
}

fn refuse_method(request: &Request) -> Option<Response> {
    let posts = api::takes_forms(request.uri().path());
    let known = match *request.method() {
        Method::GET | Method::HEAD => return None,
        // The form's type: what a script of another site cannot send unnoticed has another one.
        Method::POST if posts => {
            let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or("").trim();
            if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
                return None;
            }
            let wanted = "the parameters are wanted as application/x-www-form-urlencoded\n";
            return Some(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, wanted));
        }
        _ if posts => "GET, HEAD, POST",
        _ => "GET, HEAD",
    };
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("only {known} are answered here\n"));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(known));
    Some(response)
}

fn refuse_size(request: &Request, queries: bool) -> Option<Response> {
    let url = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let most = if queries { MAX_QUERY_URL } else { MAX_URL };
    if url > most {
        return Some(text(StatusCode::URI_TOO_LONG, format!("the URL is longer than {} KiB\n", most / 1024)));
    }
    let headers = request.headers();
    if headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() > MAX_HEADERS {
        return Some(text(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the headers are larger than 16 KiB\n"));
    }
    let length = headers.get(header::CONTENT_LENGTH).map(|length| length.to_str().unwrap_or("").parse::<u64>());
    if *request.method() == Method::POST {
        let long = length.is_some_and(|length| length.is_ok_and(|length| length > api::MAX_BODY as u64));
        let what = format!("the form is larger than {} KiB\n", api::MAX_BODY / 1024);
        return long.then(|| text(StatusCode::PAYLOAD_TOO_LARGE, what));
    }
    if length.is_some_and(|length| length != Ok(0)) || headers.contains_key(header::TRANSFER_ENCODING) {
        return Some(text(StatusCode::PAYLOAD_TOO_LARGE, "no request here has a body\n"));
    }
    None
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
