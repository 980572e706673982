//! The client of the control service, for the commands that talk to a running agent.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use super::generated::control_client::ControlClient;
use super::generated::reload_response::Outcome;
use super::generated::{AlertsRequest, QueryRangeRequest, QueryRequest, QueryResponse, ReloadRequest, StatusRequest};
use super::{Alerts, MAX_REQUEST, MAX_RESPONSE, RELOAD_TIME};
use crate::query::{Answer, QueryError};
use crate::status::report::Report;

/// Why an agent could not be asked, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no agent answers on {0}: is it running? systemctl status plimsoll; or name its state folder with --state")]
    Nobody(PathBuf),
    /// The socket may not be opened.
    #[error("the agent's socket {0} may not be opened: run this as root or as a member of the socket's group")]
    Forbidden(PathBuf),
    /// It hung up or does not speak our protocol.
    #[error("the agent on {socket} gave no answer: {problem}")]
    NoAnswer {
        /// The socket's path.
        socket: PathBuf,
        /// What happened.
        problem: String,
    },
}

/// A connection to a running agent.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    control: ControlClient<Channel>,
}

impl Client {
    /// Connects to the agent that listens on `socket`.
    pub async fn connect(socket: &Path) -> Result<Self, ClientError> {
        // Tried first without gRPC, whose errors do not tell a missing file from a forbidden one.
        drop(tokio::net::UnixStream::connect(socket).await.map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => ClientError::Forbidden(socket.to_owned()),
            _ => ClientError::Nobody(socket.to_owned()),
        })?);
        let fail = |problem: String| ClientError::NoAnswer { socket: socket.to_owned(), problem };
        let path = socket.to_str().ok_or_else(|| fail("its path is not UTF-8".into()))?;
        let endpoint = Endpoint::from_shared(format!("unix:{path}")).map_err(|error| fail(error.to_string()))?;
        let channel = endpoint
            .connect_timeout(Duration::from_secs(5))
            .timeout(RELOAD_TIME + Duration::from_secs(5))
            .connect()
            .await
            .map_err(|error| fail(error.to_string()))?;
        let control =
            ControlClient::new(channel).max_decoding_message_size(MAX_RESPONSE).max_encoding_message_size(MAX_REQUEST);
        Ok(Self { socket: socket.to_owned(), control })
    }

    /// The whole state of the agent.
    pub async fn status(&mut self) -> Result<Report, ClientError> {
        let answer = self.control.status(StatusRequest {}).await.map_err(|status| no_answer(&self.socket, &status))?;
        Ok(answer.into_inner().into())
    }

    /// Has the configuration read again: what changed, or (the inner error) why it was refused.
    pub async fn reload(&mut self) -> Result<Result<String, String>, ClientError> {
        let answer = self.control.reload(ReloadRequest {}).await.map_err(|status| no_answer(&self.socket, &status))?;
        match answer.into_inner().outcome {
            Some(Outcome::Changed(text)) => Ok(Ok(text)),
            Some(Outcome::Refused(text)) => Ok(Err(text)),
            None => Err(ClientError::NoAnswer { socket: self.socket.clone(), problem: "an empty answer".into() }),
        }
    }

    /// Rules and alerts, and what fired since `history_since` (Unix milliseconds; 0: nothing of that).
    pub async fn alerts(&mut self, history_since: i64) -> Result<Alerts, ClientError> {
        let answer = self.control.alerts(AlertsRequest { history_since }).await;
        Ok(answer.map_err(|status| no_answer(&self.socket, &status))?.into_inner().into())
    }

    /// The answer of an expression at `at` (Unix milliseconds), or (the inner error) why there is none.
    pub async fn query(&mut self, query: &str, at: i64) -> Result<Result<Answer, QueryError>, ClientError> {
        let request = QueryRequest { query: query.to_owned(), at };
        let answer = self.control.query(request).await.map_err(|status| no_answer(&self.socket, &status))?;
        self.answer(answer.into_inner())
    }

    /// Its answers from `from` to `to` every `step` milliseconds, or (the inner error) why there are none.
    pub async fn query_range(
        &mut self,
        query: &str,
        (from, to, step): (i64, i64, i64),
    ) -> Result<Result<Answer, QueryError>, ClientError> {
        let request = QueryRangeRequest { query: query.to_owned(), from, to, step };
        let answer = self.control.query_range(request).await.map_err(|status| no_answer(&self.socket, &status))?;
        self.answer(answer.into_inner())
    }

    fn answer(&self, answer: QueryResponse) -> Result<Result<Answer, QueryError>, ClientError> {
        let problem = || ClientError::NoAnswer { socket: self.socket.clone(), problem: "an empty answer".into() };
        super::answer::read(answer).ok_or_else(problem)
    }
}

fn no_answer(socket: &Path, status: &tonic::Status) -> ClientError {
    ClientError::NoAnswer { socket: socket.to_owned(), problem: status.message().to_owned() }
}
