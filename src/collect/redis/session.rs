//! One connection to a server that speaks Redis' protocol: commands with a bounded answer.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ProtocolVersion, RedisConnectionInfo, RedisError, Value};
use tokio::task::JoinHandle;

use crate::base::http::shown;
use crate::base::secret::{ExposeSecret, SecretString};
use crate::collect::CollectError;
use crate::collect::dial::{Address, Budget, dial, failed};

/// Where a server is and how to come in.
#[derive(Debug, Clone)]
pub struct Target {
    /// `host:port` or the socket, for people.
    pub name: String,
    /// Where it listens.
    pub address: Address,
    /// Number of the database.
    pub database: i64,
    /// The user of its access list.
    pub username: Option<String>,
    /// The password.
    pub password: Option<SecretString>,
    /// The client's side of TLS.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

/// An open connection. Dropped, it is closed.
pub struct Session {
    connection: MultiplexedConnection,
    driver: JoinHandle<()>,
    budget: Budget,
    name: String,
}

/// Bytes of all answers of a round, beside those that may be large: INFO has 20 KB, a list of 10,000 clients 4 MB.
const MAX_ANSWERS: u64 = 32 << 20;

impl Target {
    /// Connects and logs in. Sends no name and version of a library: an access list that allows only reads would
    /// refuse them.
    ///
    /// # Errors
    /// [`CollectError::Connect`], or [`CollectError::Denied`] when the server does not let us in.
    pub async fn connect(&self) -> Result<Session, CollectError> {
        let budget = Budget::new(MAX_ANSWERS);
        let stream =
            dial(&self.address, self.tls.as_ref(), &budget).await.map_err(|error| failed(&self.name, &error))?;
        // The library would take every error for a wrong password: so the login is our own.
        let info = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP2).set_skip_set_lib_name();
        // The round's time holds, and not half a second for each answer: a server that is slow is read all the same.
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        let (connection, driver) = MultiplexedConnection::new_with_config(&info, stream, config)
            .await
            .map_err(|error| CollectError::Connect(format!("{}: {}", self.name, shown(&error.to_string()))))?;
        let mut session = Session { connection, driver: tokio::spawn(driver), budget, name: self.name.clone() };
        self.log_in(&mut session).await?;
        Ok(session)
    }

    async fn log_in(&self, session: &mut Session) -> Result<(), CollectError> {
        let told = |error| match error {
            CollectError::Query(why) if is_refusal(&why) => {
                CollectError::Denied(format!("{} refuses the login: {why}", self.name))
            }
            CollectError::Query(why) => CollectError::Connect(format!("{}: {why}", self.name)),
            other => other,
        };
        if let Some(password) = &self.password {
            let word = password.expose_secret();
            let login = match &self.username {
                Some(username) => session.ask(&["AUTH", username, word]).await,
                None => session.ask(&["AUTH", word]).await,
            };
            login.map_err(told)?;
        }
        if self.database != 0 {
            session.ask(&["SELECT", &self.database.to_string()]).await.map_err(told)?;
        }
        Ok(())
    }
}

/// Whether an answer to a login says that we are not wanted, and not that the server is full or in trouble.
fn is_refusal(why: &str) -> bool {
    matches!(why.split(": ").nth(1), Some("WRONGPASS" | "NOAUTH" | "NOPERM" | "DENIED"))
        || why.contains("without any password")
}

impl Session {
    /// Gives the next answers their full room.
    pub fn renew(&self) {
        self.budget.renew(MAX_ANSWERS);
    }

    /// Whether the server sent more than is taken: then nothing more comes.
    pub fn is_spent(&self) -> bool {
        self.budget.is_spent()
    }

    /// Whether the server still listens: one with a `timeout` hangs up on those who were silent between two rounds.
    pub async fn is_there(&mut self) -> bool {
        self.renew();
        !matches!(self.ask(&["PING"]).await, Err(CollectError::Connect(_) | CollectError::Parse(_)))
    }

    /// Sends one command.
    ///
    /// # Errors
    /// [`CollectError::Query`] when the server refuses it (`NOPERM` when the access list does), else
    /// [`CollectError::Connect`].
    pub async fn ask(&mut self, command: &[&str]) -> Result<Value, CollectError> {
        let mut packed = Cmd::new();
        for part in command {
            packed.arg(*part);
        }
        let name = command.first().copied().unwrap_or_default();
        packed.query_async::<Value>(&mut self.connection).await.map_err(|error| self.failed(name, &error))
    }

    /// Sends all `commands` at once, so that their number costs no round trips, and gives their answers in order.
    ///
    /// # Errors
    /// As [`Self::ask`], for the first command that failed.
    pub async fn ask_all(&mut self, commands: &[Vec<String>]) -> Result<Vec<Value>, CollectError> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut packed = redis::Pipeline::with_capacity(commands.len());
        packed.ignore_errors();
        for command in commands {
            let mut one = Cmd::new();
            for part in command {
                one.arg(part);
            }
            packed.add_command(one);
        }
        let answers = packed.query_async::<Vec<Value>>(&mut self.connection).await;
        let answers = answers.map_err(|error| self.failed("a pipeline", &error))?;
        for (command, answer) in commands.iter().zip(&answers) {
            if let Value::ServerError(error) = answer {
                let name = command.first().map_or("", String::as_str);
                let why = shown(error.details().unwrap_or_default());
                return Err(CollectError::Query(format!("{name}: {}: {why}", error.code())));
            }
        }
        if answers.len() < commands.len() {
            return Err(CollectError::Parse(format!("{}: fewer answers than commands", self.name)));
        }
        Ok(answers)
    }

    fn failed(&self, name: &str, error: &RedisError) -> CollectError {
        let text = shown(&error.to_string());
        if self.budget.is_spent() {
            let most = MAX_ANSWERS >> 20;
            return CollectError::Parse(format!("{}: more than {most} MiB of answers ({text})", self.name));
        }
        if error.is_io_error() || error.is_connection_dropped() || error.is_unrecoverable_error() {
            return CollectError::Connect(format!("{}: the connection was lost: {text}", self.name));
        }
        match error.code() {
            Some("NOAUTH") => CollectError::Denied(format!("{} asks for a login: {text}", self.name)),
            Some("DENIED") => CollectError::Denied(format!("{} refuses us: {text}", self.name)),
            // It says so instead of the answer, and hangs up.
            _ if text.contains("max number of clients") => CollectError::Connect(format!("{}: {text}", self.name)),
            code => CollectError::Query(format!("{name}: {}: {text}", code.unwrap_or("ERR"))),
        }
    }
}

/// The error of a command that the server's access list refuses, when nothing can be read without it.
pub fn refused(error: CollectError) -> CollectError {
    match error {
        CollectError::Query(why) if why.contains("NOPERM") => CollectError::Denied(why),
        other => other,
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Whether the access list refused a command.
pub fn is_forbidden(error: &CollectError) -> bool {
    matches!(error, CollectError::Query(why) if why.contains("NOPERM"))
}

/// Whether the key is another node's of a cluster, or nobody's. A cluster that as a whole serves nobody is none of it.
pub fn is_elsewhere(error: &CollectError) -> bool {
    let CollectError::Query(why) = error else { return false };
    match why.split(": ").nth(1) {
        Some("MOVED" | "ASK") => true,
        Some("CLUSTERDOWN") => why.contains("lot not served"),
        _ => false,
    }
}

/// A value's text: a string, a status or a number.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.clone()),
        Value::Int(int) => Some(int.to_string()),
        Value::Double(double) => Some(double.to_string()),
        Value::Okay => Some("OK".to_owned()),
        _ => None,
    }
}

/// A value's whole number.
pub fn int(value: &Value) -> Option<i64> {
    match value {
        Value::Int(int) => Some(*int),
        other => text(other)?.trim().parse().ok(),
    }
}

/// A value's elements; none of what is no list.
pub fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) | Value::Set(items) => items,
        _ => &[],
    }
}

/// The element behind the name `key` in a flat list of names and values.
pub fn field<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    let mut pairs = items(value).chunks_exact(2);
    pairs.find(|pair| text(&pair[0]).is_some_and(|name| name == key)).map(|pair| &pair[1])
}
