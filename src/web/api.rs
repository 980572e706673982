//! Prometheus' HTTP API over the store and the rules of this box, so that Grafana and `promtool` can ask it.
//!
//! Answers, errors and their words are Prometheus' own. Unlike it each request is bounded in bytes, queries run two
//! at a time with few waiting, and an answer is sent piece by piece while the sum of all answers has a bound too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::alert::view::Views;
use crate::query::{Limits, QueryError};
use crate::store::{Store, StoreError};

pub mod json;
pub mod params;
mod queries;
mod rules;
mod selector;
mod series;

use params::Params;

/// Queries that run at once: a box has other work.
const RUNNING: usize = 2;
/// Those that wait for their turn; a dashboard opens with a dozen panels.
const WAITING: usize = 32;
/// Bytes of a form; longer expressions are nobody's.
pub(super) const MAX_BODY: usize = 512 * 1024;
/// How long a body may take to come.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Memory of all answers that are being sent, in KiB.
const ANSWERS_KIB: usize = 32 * 1024;
/// Series or names in one answer.
const MAX_NAMES: usize = 50_000;

/// Bounds of one query from outside.
pub(super) const LIMITS: Limits = Limits {
    samples: 1_000_000,
    steps: 11_001,
    time: Duration::from_secs(60),
    lookback: Duration::from_secs(300),
    delayed_name_removal: false,
};

/// Where a form may be posted to.
pub(super) fn takes_forms(path: &str) -> bool {
    path.strip_prefix("/api/v1/").is_some_and(|route| FORMS.contains(&route))
}

const FORMS: [&str; 6] = ["query", "query_range", "query_exemplars", "format_query", "labels", "series"];

/// What the routes share.
#[derive(Clone)]
pub(super) struct Api {
    store: Store,
    views: Views,
    running: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    answers: Arc<Semaphore>,
}

/// The routes below `/api/v1`.
pub(super) fn routes(store: Store, views: Views) -> Router {
    let api = Api {
        store,
        views,
        running: Arc::new(Semaphore::new(RUNNING)),
        waiting: Arc::default(),
        answers: Arc::new(Semaphore::new(ANSWERS_KIB)),
    };
    Router::new()
        .route("/api/v1/query", get(queries::query).post(queries::query))
        .route("/api/v1/query_range", get(queries::query_range).post(queries::query_range))
        .route("/api/v1/query_exemplars", get(queries::exemplars).post(queries::exemplars))
        .route("/api/v1/format_query", get(queries::format).post(queries::format))
        .route("/api/v1/series", get(series::series).post(series::series))
        .route("/api/v1/labels", get(series::labels).post(series::labels))
        .route("/api/v1/label/{name}/values", get(series::values))
        .route("/api/v1/metadata", get(series::metadata))
        .route("/api/v1/rules", get(rules::rules))
        .route("/api/v1/alerts", get(rules::alerts))
        .route("/api/v1/status/buildinfo", get(buildinfo))
        .with_state(api)
}

/// Grafana asks the version to know what it may use.
async fn buildinfo() -> Response {
    let version = serde_json::json!({
        "application": "Plimsoll",
        "version": PROMETHEUS,
        "plimsollVersion": env!("CARGO_PKG_VERSION"),
        "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": "",
    });
    success(&version.to_string())
}

/// The Prometheus whose API and language this is.
const PROMETHEUS: &str = "3.16.0";

/// Why a request is not answered, in Prometheus' form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    kind: &'static str,
    text: String,
}

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, text: impl Into<String>) -> Self {
        Self { status, kind, text: text.into() }
    }

    /// The request is wrong.
    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_data", text)
    }

    /// One of its parameters is.
    pub(super) fn parameter(name: &str, why: &str) -> Self {
        Self::bad(format!("invalid parameter {name:?}: {why}"))
    }

    fn execution(text: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "execution", text)
    }

    fn busy() -> Self {
        let text = "busy with earlier queries: try again in a moment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", text)
    }

    fn late(place: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", format!("query timed out in {place}"))
    }

    fn response(&self) -> Response {
        let mut out = format!("{{\"status\":\"error\",\"errorType\":\"{}\",\"error\":", self.kind);
        json::text(&mut out, &self.text);
        out.push('}');
        let mut response = super::respond(self.status, JSON, out.into());
        if self.kind == "unavailable" {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        match &error {
            QueryError::Parse { .. } => Self::parameter("query", &error.to_string()),
            QueryError::Execution(text) | QueryError::Limit(text) => Self::execution(text),
            QueryError::Timeout(_) => Self::late("expression evaluation"),
            QueryError::Store(text) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", text),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::TooMany(_) => Self::execution(error.to_string()),
            _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string()),
        }
    }
}

const JSON: &str = "application/json";

/// The parameters of a request, from its body and its URL.
async fn params(request: Request) -> Result<Params, Refusal> {
    let mut params = Params::default();
    let query = request.uri().query().unwrap_or("").to_owned();
    if request.method() == http::Method::POST {
        let read = axum::body::to_bytes(request.into_body(), MAX_BODY);
        let body = match tokio::time::timeout(BODY_TIME, read).await {
            Ok(Ok(body)) => body,
            Ok(Err(_)) => {
                let text = format!("the form is larger than {} KiB, or broken off", MAX_BODY / 1024);
                return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "bad_data", text));
            }
            Err(_) => return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "bad_data", "the form took too long")),
        };
        params.add(&String::from_utf8_lossy(&body));
    }
    params.add(&query);
    Ok(params)
}

fn answer(result: Result<Response, Refusal>) -> Response {
    result.unwrap_or_else(|refusal| refusal.response())
}

/// `data` is JSON.
fn success(data: &str) -> Response {
    success_with(data, &[])
}

fn success_with(data: &str, warnings: &[String]) -> Response {
    let mut out = format!("{{\"status\":\"success\",\"data\":{data}");
    out.push_str(&remarks(warnings, &[]));
    super::respond(StatusCode::OK, JSON, out.into())
}

/// The end of an answer: what is remarked about it.
fn remarks(warnings: &[String], infos: &[String]) -> String {
    let mut out = String::new();
    for (name, kind, all) in [("warnings", "warning", warnings), ("infos", "info", infos)] {
        if all.is_empty() {
            continue;
        }
        out.push_str(&format!(",\"{name}\":"));
        let more = all.len().saturating_sub(MAX_REMARKS);
        let more = (more > 0).then(|| format!("{more} more {kind} annotations omitted"));
        json::texts(&mut out, all.iter().take(MAX_REMARKS).chain(&more).map(String::as_str));
    }
    out.push('}');
    out
}

/// As Prometheus.
const MAX_REMARKS: usize = 10;
/// What Prometheus says when `limit` cut something off.
const TRUNCATED: &str = "results truncated due to limit";

impl Api {
    /// Runs `work` where blocking is allowed, when it is its turn, and gives it the time that is left of `time`.
    async fn run<T: Send + 'static>(
        &self,
        time: Duration,
        work: impl FnOnce(&Store, Duration) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let end = Instant::now() + time;
        let place = self.turn(time).await?;
        let store = self.store.clone();
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&store, end.saturating_duration_since(Instant::now()));
            // Also when the client has gone: the place is held as long as the work takes.
            drop(place);
            result
        });
        done.await.unwrap_or_else(|_| {
            let text = "the query failed by a fault of plimsoll's own: see its log, and report it";
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", text))
        })
    }

    async fn turn(&self, time: Duration) -> Result<OwnedSemaphorePermit, Refusal> {
        if let Ok(place) = Arc::clone(&self.running).try_acquire_owned() {
            return Ok(place);
        }
        let waits = Waits::new(&self.waiting).ok_or_else(Refusal::busy)?;
        let place = tokio::time::timeout(time, Arc::clone(&self.running).acquire_owned()).await;
        drop(waits);
        match place {
            Ok(Ok(place)) => Ok(place),
            // Never closed.
            Ok(Err(_)) => Err(Refusal::busy()),
            Err(_) => Err(Refusal::late("query queue")),
        }
    }

    /// Sends `pieces` between `head` and `tail` while `bytes` of memory are held for them.
    async fn stream(&self, bytes: usize, pieces: json::Pieces, tail: String) -> Result<Response, Refusal> {
        let kib = bytes.div_ceil(1024).clamp(1, ANSWERS_KIB);
        let places = Arc::clone(&self.answers).acquire_many_owned(u32::try_from(kib).unwrap_or(u32::MAX));
        let Ok(Ok(place)) = tokio::time::timeout(BODY_TIME, places).await else { return Err(Refusal::busy()) };
        let head = Bytes::from_static(b"{\"status\":\"success\",\"data\":");
        let all = std::iter::once(head).chain(pieces).chain(std::iter::once(Bytes::from(tail)));
        let all = all.map(move |piece| {
            let _held = &place;
            Ok::<_, std::convert::Infallible>(piece)
        });
        let mut response = Response::new(Body::from_stream(tokio_stream::iter(all)));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        Ok(response)
    }
}

/// A place in the queue, given back when its holder goes away.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn new(waiting: &'a AtomicUsize) -> Option<Self> {
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        let waits = Self(waiting);
        (before < WAITING).then_some(waits)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
