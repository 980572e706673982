//! The HTTP face: `/metrics`, health, a page, and Prometheus' query API. It reads and changes nothing.
//!
//! Whatever runs on the box can connect, and a page of any site can have the browser connect: so each request must
//! name this host exactly (DNS rebinding), only GET and HEAD are answered (and POST where an API has it), and sizes,
//! times and numbers are bounded. Others than this box are served with TLS and a token only.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use http::{StatusCode, header};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use crate::alert::view::Views;
use crate::base::clock;
use crate::base::stop::Stop;
use crate::status::report::words::clean;
use crate::status::report::{Health, Report, Reporter};
use crate::store::{Latest, Store};

pub mod api;
pub mod config;
mod guard;
mod listen;
mod lock;
mod page;

use guard::Guard;
pub use listen::Limits;
pub use lock::Lock;

/// Why the HTTP face cannot start.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address} (listen.http): {source}")]
    Bind {
        /// The address of the config.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// Others than this box could ask.
    #[error(
        "cannot listen on {0} (listen.http): only loopback is served without TLS and a token; write 127.0.0.1:{port}, \
         or set listen.tls and listen.token",
        port = .0.port()
    )]
    NotLoopback(SocketAddr),
}

/// What is shown.
#[derive(Debug, Clone)]
pub struct Faces {
    /// The state of the agent.
    pub reporter: Arc<Reporter>,
    /// The newest numbers.
    pub latest: Latest,
    /// Recent series, for the query API.
    pub store: Store,
    /// Rules and alerts as they stand.
    pub views: Views,
    /// Host names that requests may name, besides `localhost`, `127.0.0.1` and `[::1]`.
    pub names: Vec<String>,
    /// What stands before everything.
    pub lock: Lock,
}

/// Listens on `address`, which must be a loopback one unless `lock` has TLS and a token.
pub async fn bind(address: SocketAddr, lock: &Lock) -> Result<TcpListener, WebError> {
    if !address.ip().is_loopback() && !lock.is_closed() {
        return Err(WebError::NotLoopback(address));
    }
    TcpListener::bind(address).await.map_err(|source| WebError::Bind { address, source })
}

/// Serves on `listener` until `stop` is set.
///
/// # Errors
/// The listener has no address.
pub async fn serve(listener: TcpListener, faces: Faces, stop: Stop) -> io::Result<()> {
    serve_with(listener, faces, Limits::default(), stop).await
}

/// Serves within `limits`.
///
/// # Errors
/// The listener has no address.
pub async fn serve_with(listener: TcpListener, faces: Faces, limits: Limits, stop: Stop) -> io::Result<()> {
    let guard = Arc::new(Guard::new(listener.local_addr()?.port(), &faces.names, faces.lock.token.clone()));
    let tls = faces.lock.tls.clone().map(TlsAcceptor::from);
    let api = api::routes(faces.store.clone(), faces.views.clone());
    let shared =
        Shared { faces, answers: Arc::new(Semaphore::new(LARGE_ANSWERS)), drawing: Arc::new(Semaphore::new(1)) };
    let router = Router::new()
        .route("/", get(show_page))
        .route("/graph", get(show_graph))
        .route("/style.css", get(show_style))
        .route("/metrics", get(show_metrics))
        .route("/-/healthy", get(show_healthy))
        .route("/-/ready", get(show_ready))
        .fallback(show_nothing)
        .with_state(shared)
        .merge(api)
        .layer(axum::middleware::from_fn_with_state(guard, guard::check));
    let listener = listen::Limited::new(listener, tls, limits);
    let ending = stop.clone();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move { ending.wait().await });
    tokio::select! {
        ended = server.into_future() => ended,
        // A client that does not end must not keep the agent.
        () = async { stop.wait().await; tokio::time::sleep(LAST_ANSWERS).await } => Ok(()),
    }
}

/// Answers of `/metrics` and pages that may be in memory at once: each can have half a megabyte, and a client that
/// does not read holds its own.
const LARGE_ANSWERS: usize = 8;
/// How long an answer may take after the stop.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

#[derive(Clone)]
struct Shared {
    faces: Faces,
    answers: Arc<Semaphore>,
    /// Pages whose drawings are being made: one at a time.
    drawing: Arc<Semaphore>,
}

/// A text that holds one of the places for large answers until its last byte is sent.
struct Held {
    text: String,
    _place: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl Shared {
    fn report(&self) -> Report {
        self.faces.reporter.report(clock::unix_nanos())
    }

    /// The drawings of the page; none while another page has its own made.
    async fn charts(&self) -> Vec<page::Chart> {
        let Ok(place) = Arc::clone(&self.drawing).try_acquire_owned() else { return Vec::new() };
        let store = self.faces.store.clone();
        let now = i64::try_from(clock::unix_nanos() / 1_000_000).unwrap_or(i64::MAX);
        let made = tokio::task::spawn_blocking(move || {
            let charts = page::charts(&store, now);
            drop(place);
            charts
        });
        made.await.unwrap_or_default()
    }

    fn large(&self, kind: &'static str, make: impl FnOnce() -> String) -> Response {
        match Arc::clone(&self.answers).try_acquire_owned() {
            Ok(place) => respond(StatusCode::OK, kind, Bytes::from_owner(Held { text: make(), _place: place })),
            Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "busy with earlier requests: try again in a moment\n"),
        }
    }
}

async fn show_page(State(shared): State<Shared>) -> Response {
    let charts = shared.charts().await;
    let view = shared.faces.views.get();
    shared.large("text/html; charset=utf-8", || page::page(&shared.report(), &view, &charts))
}

/// Where the links of alerts lead: the page, which shows them.
async fn show_graph() -> axum::response::Redirect {
    axum::response::Redirect::to("./")
}

async fn show_style() -> Response {
    respond(StatusCode::OK, "text/css; charset=utf-8", Bytes::from_static(page::STYLE.as_bytes()))
}

async fn show_metrics(State(shared): State<Shared>) -> Response {
    shared.large("text/plain; version=0.0.4; charset=utf-8", || shared.faces.latest.render(clock::unix_nanos()))
}

async fn show_healthy(State(shared): State<Shared>) -> Response {
    let report = shared.report();
    let status = if report.healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    text(status, health_text(&report))
}

async fn show_ready(State(shared): State<Shared>) -> Response {
    let report = shared.report();
    if report.health == Health::Starting {
        return text(StatusCode::SERVICE_UNAVAILABLE, health_text(&report));
    }
    text(StatusCode::OK, "ready\n")
}

async fn show_nothing() -> Response {
    let known = "nothing here; there is / (the page), /metrics, /-/healthy, /-/ready and /api/v1\n";
    text(StatusCode::NOT_FOUND, known)
}

/// The health and its reasons, one a line.
fn health_text(report: &Report) -> String {
    let mut out = format!("{}\n", report.health.name());
    for reason in &report.reasons {
        out.push_str(&clean(reason));
        out.push('\n');
    }
    out
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response {
    respond(status, "text/plain; charset=utf-8", body.into())
}

fn respond(status: StatusCode, kind: &'static str, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests;
