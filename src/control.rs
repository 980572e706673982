//! The control service: gRPC over a Unix socket in the state folder, for the commands that talk to an agent.
//!
//! The service shows the state and passes orders on as a [`Command`]; only the agent acts on one. Who may talk is
//! decided by the socket's file permissions (0660), which the kernel checks, and looked at again for each peer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tonic::{Request, Response, Status};

use crate::alert::view::{Activation, Views};
use crate::base::clock;
use crate::base::stop::Stop;
use crate::query::{Answer, Limits, Query, QueryError};
use crate::status::report::Reporter;
use crate::store::Store;

mod alerts;
mod answer;
pub mod client;
mod convert;
#[rustfmt::skip]
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::too_many_lines, clippy::wildcard_imports, reason = "generated")]
pub mod generated;
pub mod place;
pub mod socket;

pub use alerts::Alerts;
pub use client::{Client, ClientError};
pub use socket::{Socket, SocketError};

use generated::control_server::{Control, ControlServer};
use generated::reload_response::Outcome;
use generated::{
    AlertsRequest, AlertsResponse, QueryRangeRequest, QueryRequest, QueryResponse, ReloadRequest, ReloadResponse,
    StatusRequest, StatusResponse,
};

/// An order to the agent.
#[derive(Debug)]
pub enum Command {
    /// Read the configuration again; the answer is what changed, or why it was refused.
    Reload(oneshot::Sender<Result<String, String>>),
}

/// What the service shows.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The state of the agent.
    pub reporter: Arc<Reporter>,
    /// Recent series.
    pub store: Store,
    /// Rules and alerts as they stand.
    pub views: Views,
}

/// A request is empty or an expression.
const MAX_REQUEST: usize = 64 * 1024;
/// The report's strings and lists are bounded by the board, a query's answer by its samples: this is far above both.
const MAX_RESPONSE: usize = 16 << 20;
/// A person and a few scripts ask at once.
const MAX_CONNECTIONS: usize = 32;
/// A command that hangs must not keep its place for ever.
const CONNECTION_AGE: Duration = Duration::from_secs(300);
/// A reload waits for connections to close.
const RELOAD_TIME: Duration = Duration::from_secs(30);
/// Bounds of a query: a person reads the answer.
const QUERY: Limits = Limits {
    samples: 500_000,
    steps: 11_000,
    time: Duration::from_secs(20),
    lookback: Duration::from_secs(300),
    delayed_name_removal: false,
};
/// Queries at once, over all connections.
const QUERIES: usize = 2;
/// Activations in one answer; the oldest are left out.
const MAX_HISTORY: usize = 5000;
/// How often rates are marked; [`Reporter::tick`] keeps its own distance.
const TICK: Duration = Duration::from_secs(10);

/// Serves on `socket` until `stop` is set, then removes it.
///
/// # Errors
/// The transport's, when the socket can no longer be accepted on.
pub async fn serve(
    socket: Socket,
    shown: Shown,
    commands: mpsc::Sender<Command>,
    stop: Stop,
) -> Result<(), tonic::transport::Error> {
    let reporter = Arc::clone(&shown.reporter);
    let service = ControlServer::new(Service { shown, commands, queries: Arc::new(Semaphore::new(QUERIES)) })
        .max_decoding_message_size(MAX_REQUEST)
        .max_encoding_message_size(MAX_RESPONSE);
    let server = tonic::transport::Server::builder()
        .concurrency_limit_per_connection(8)
        .max_concurrent_streams(16)
        .http2_max_header_list_size(16 * 1024)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .max_connection_age(CONNECTION_AGE)
        .max_connection_age_grace(RELOAD_TIME)
        .timeout(RELOAD_TIME + Duration::from_secs(5))
        .add_service(service)
        .serve_with_incoming_shutdown(socket.incoming(MAX_CONNECTIONS), async { stop.wait().await });
    let ticks = async {
        loop {
            reporter.tick(clock::unix_nanos());
            if stop.sleep(TICK).await {
                // The server ends by the same stop, and closes its connections first.
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        ended = server => ended,
        () = ticks => Ok(()),
    }
}

struct Service {
    shown: Shown,
    commands: mpsc::Sender<Command>,
    queries: Arc<Semaphore>,
}

impl Service {
    /// Runs a query where blocking is allowed, when it is its turn.
    async fn ask(
        &self,
        run: impl FnOnce(&Store) -> Result<Answer, QueryError> + Send + 'static,
    ) -> Result<Response<QueryResponse>, Status> {
        let turn = tokio::time::timeout(QUERY.time, Arc::clone(&self.queries).acquire_owned()).await;
        let Ok(Ok(place)) = turn else {
            return Err(Status::resource_exhausted("the agent is busy with earlier queries: try again in a moment"));
        };
        let store = self.shown.store.clone();
        let done = tokio::task::spawn_blocking(move || {
            let answer = run(&store);
            drop(place);
            answer
        });
        let answer =
            done.await.map_err(|_| Status::internal("the query failed by a fault of the agent: see its log"))?;
        Ok(Response::new(answer.into()))
    }
}

#[tonic::async_trait]
impl Control for Service {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(self.shown.reporter.report(clock::unix_nanos()).into()))
    }

    async fn query(&self, request: Request<QueryRequest>) -> Result<Response<QueryResponse>, Status> {
        let QueryRequest { query, at } = request.into_inner();
        self.ask(move |store| crate::query::instant(store, &Query::parse(&query)?, at, QUERY)).await
    }

    async fn query_range(&self, request: Request<QueryRangeRequest>) -> Result<Response<QueryResponse>, Status> {
        let QueryRangeRequest { query, from, to, step } = request.into_inner();
        if step <= 0 || to < from {
            return Err(Status::invalid_argument("a range ends after its start, and its step is positive"));
        }
        self.ask(move |store| crate::query::range(store, &Query::parse(&query)?, (from, to, step), QUERY)).await
    }

    async fn alerts(&self, request: Request<AlertsRequest>) -> Result<Response<AlertsResponse>, Status> {
        let since = request.into_inner().history_since;
        let views = self.shown.views.clone();
        let read = tokio::task::spawn_blocking(move || if since == 0 { Ok(Vec::new()) } else { views.history(since) });
        let mut history: Vec<Activation> = match read.await {
            Ok(history) => history.map_err(Status::data_loss)?,
            Err(_) => return Err(Status::internal("reading the history failed by a fault of the agent: see its log")),
        };
        history.truncate(MAX_HISTORY);
        let now = i64::try_from(clock::unix_nanos() / 1_000_000).unwrap_or(i64::MAX);
        let view = (*self.shown.views.get()).clone();
        Ok(Response::new(Alerts { now, view, history }.into()))
    }

    async fn reload(&self, _: Request<ReloadRequest>) -> Result<Response<ReloadResponse>, Status> {
        let (answer, answered) = oneshot::channel();
        // Full means that reloads are queued already: another one would find nothing new.
        self.commands.try_send(Command::Reload(answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Status::resource_exhausted("the agent is busy with earlier orders"),
            mpsc::error::TrySendError::Closed(_) => Status::unavailable("the agent is stopping"),
        })?;
        let outcome = match tokio::time::timeout(RELOAD_TIME, answered).await {
            Ok(Ok(Ok(changed))) => Outcome::Changed(changed),
            Ok(Ok(Err(refused))) => Outcome::Refused(refused),
            Ok(Err(_)) => return Err(Status::unavailable("the agent is stopping")),
            Err(_) => return Err(Status::deadline_exceeded("the agent did not finish the reload within 30 s")),
        };
        Ok(Response::new(ReloadResponse { outcome: Some(outcome) }))
    }
}

#[cfg(test)]
mod tests;
