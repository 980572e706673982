//! The control service: gRPC over a Unix socket in the state folder, for the commands that talk to an agent.
//!
//! The service shows the state and passes orders on as a [`Command`]; only the agent acts on one. Who may talk is
//! decided by the socket's file permissions (0660), which the kernel checks, and looked at again for each peer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status};

use crate::base::clock;
use crate::base::stop::Stop;
use crate::status::report::Reporter;

pub mod client;
mod convert;
#[rustfmt::skip]
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::too_many_lines, clippy::wildcard_imports, reason = "generated")]
pub mod generated;
pub mod place;
pub mod socket;

pub use client::{Client, ClientError};
pub use socket::{Socket, SocketError};

use generated::control_server::{Control, ControlServer};
use generated::reload_response::Outcome;
use generated::{ReloadRequest, ReloadResponse, StatusRequest, StatusResponse};

/// An order to the agent.
#[derive(Debug)]
pub enum Command {
    /// Read the configuration again; the answer is what changed, or why it was refused.
    Reload(oneshot::Sender<Result<String, String>>),
}

/// A request is empty: room for its frame, not for a body.
const MAX_REQUEST: usize = 64 * 1024;
/// The report's strings and lists are bounded by the board; this is far above what fits on one.
const MAX_RESPONSE: usize = 4 << 20;
/// A person and a few scripts ask at once.
const MAX_CONNECTIONS: usize = 32;
/// A command that hangs must not keep its place for ever.
const CONNECTION_AGE: Duration = Duration::from_secs(300);
/// A reload waits for connections to close.
const RELOAD_TIME: Duration = Duration::from_secs(30);
/// How often rates are marked; [`Reporter::tick`] keeps its own distance.
const TICK: Duration = Duration::from_secs(10);

/// Serves on `socket` until `stop` is set, then removes it.
///
/// # Errors
/// The transport's, when the socket can no longer be accepted on.
pub async fn serve(
    socket: Socket,
    reporter: Arc<Reporter>,
    commands: mpsc::Sender<Command>,
    stop: Stop,
) -> Result<(), tonic::transport::Error> {
    let service = ControlServer::new(Service { reporter: Arc::clone(&reporter), commands })
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
    reporter: Arc<Reporter>,
    commands: mpsc::Sender<Command>,
}

#[tonic::async_trait]
impl Control for Service {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(self.reporter.report(clock::unix_nanos()).into()))
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
