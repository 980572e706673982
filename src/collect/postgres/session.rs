//! One connection: how it is made, what bounds it, and questions by the simple protocol.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_stream::StreamExt;

use super::table::Table;
use crate::base::http::shown;
use crate::base::secret::{ExposeSecret, SecretString};
use crate::collect::CollectError;
use crate::collect::dial::{Address, Budget, Counted, dial, failed};

/// Where a server is and how to come in.
#[derive(Clone)]
pub struct Target {
    /// `host:port` or the socket, for people.
    pub name: String,
    /// Without its password.
    pub config: tokio_postgres::Config,
    /// The password.
    pub password: Option<SecretString>,
    /// The client's side of TLS; `None` where the connection never leaves the box.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

/// An open connection. Dropped, it is closed.
pub struct Session {
    client: Client,
    driver: JoinHandle<()>,
    /// Bytes that the server may still send for the question that is being answered.
    budget: Budget,
    name: String,
}

/// Bytes of one answer. The largest that is asked for, 5,000 statements without their texts, has 1 MB.
const MAX_ANSWER: u64 = 16 << 20;
/// Rows of one answer.
const MAX_ROWS: usize = 50_000;

impl Target {
    /// Has the server bound each question: who waits for `timeout` gets its error from the server, and keeps the
    /// connection. No pooler takes these options, and none must: they would be those of its other clients too.
    pub fn bounded(mut self, timeout: Duration) -> Self {
        // Below our own time, so that the server gives up first.
        let statement = (timeout.as_millis() * 4 / 5).max(200);
        self.config.options(format!(
            "-c statement_timeout={statement} -c lock_timeout=200 -c idle_in_transaction_session_timeout={} \
             -c default_transaction_read_only=on -c search_path=pg_catalog -c jit=off",
            statement * 2
        ));
        self
    }

    /// Connects to `database`, or to the one of the config.
    ///
    /// # Errors
    /// [`CollectError::Connect`], or [`CollectError::Denied`] when the server does not let us in.
    pub async fn connect(&self, database: Option<&str>) -> Result<Session, CollectError> {
        let mut config = self.config.clone();
        if let Some(database) = database {
            config.dbname(database);
        }
        if let Some(password) = &self.password {
            config.password(password.expose_secret());
        }
        let budget = Budget::new(MAX_ANSWER);
        let port = config.get_ports().first().copied().unwrap_or(5432);
        let address = match config.get_hosts().first() {
            Some(Host::Unix(folder)) => Address::Unix(folder.join(format!(".s.PGSQL.{port}"))),
            Some(Host::Tcp(host)) => Address::Tcp(host.clone(), port),
            None => return Err(CollectError::Connect(format!("{}: the address names no host", self.name))),
        };
        if matches!(address, Address::Unix(_)) {
            config.ssl_mode(SslMode::Disable);
        }
        // The protocol asks for TLS itself, on the open connection.
        let stream = dial(&address, None, &budget).await.map_err(|error| failed(&self.name, &error))?;
        self.open(&config, stream, budget).await
    }

    async fn open(
        &self,
        config: &tokio_postgres::Config,
        stream: Counted,
        budget: Budget,
    ) -> Result<Session, CollectError> {
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            _ => String::new(),
        };
        let told = |error| self.told(&error);
        let (client, driver) = match &self.tls {
            Some(tls) if config.get_ssl_mode() != SslMode::Disable => {
                let mut make = MakeRustlsConnect::new(tls.as_ref().clone());
                let connect = MakeTlsConnect::<Counted>::make_tls_connect(&mut make, &host)
                    .map_err(|error| CollectError::Connect(format!("{}: {error}", self.name)))?;
                let (client, connection) = config.connect_raw(stream, connect).await.map_err(told)?;
                // Its end shows in the next question.
                (client, tokio::spawn(async move { drop(connection.await) }))
            }
            _ => {
                let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(told)?;
                (client, tokio::spawn(async move { drop(connection.await) }))
            }
        };
        Ok(Session { client, driver, budget, name: self.name.clone() })
    }

    /// The error of a connection in words, with its mend.
    fn told(&self, error: &tokio_postgres::Error) -> CollectError {
        let Some(told) = error.as_db_error() else {
            let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
            if source.contains("password missing") {
                return CollectError::Denied(format!("{} asks for a password, and none is given", self.name));
            }
            return CollectError::Connect(format!("{}: {}", self.name, shown(&format!("{error}{source}"))));
        };
        let (code, message) = (told.code().code(), shown(told.message()));
        if code.starts_with("28") || code == "3D000" || code == "42501" {
            return CollectError::Denied(format!("{} refuses the login: {message}", self.name));
        }
        let pooler = if message.contains("unsupported startup parameter") {
            "; a pooler is read by `pgbouncer`, and here goes the address of the server behind it"
        } else {
            ""
        };
        CollectError::Connect(format!("{}: {message} ({code}){pooler}", self.name))
    }
}

impl Session {
    /// Asks and takes all rows of the last statement.
    ///
    /// # Errors
    /// [`CollectError::Query`] when the server refuses, [`CollectError::Connect`] when the connection is gone, and
    /// [`CollectError::Parse`] when the answer is too large.
    pub async fn ask(&self, sql: &str) -> Result<Table, CollectError> {
        self.budget.renew(MAX_ANSWER);
        let stream = self.client.simple_query_raw(sql).await.map_err(|error| self.told(&error))?;
        let mut stream = std::pin::pin!(stream);
        let mut table = Table::default();
        while let Some(message) = stream.next().await {
            match message.map_err(|error| self.told(&error))? {
                SimpleQueryMessage::RowDescription(columns) => {
                    table = Table::new(columns.iter().map(|column| column.name().to_owned()).collect());
                }
                SimpleQueryMessage::Row(row) => {
                    if table.len() >= MAX_ROWS {
                        return Err(CollectError::Parse(format!(
                            "{}: an answer of more than {MAX_ROWS} rows",
                            self.name
                        )));
                    }
                    // A database without an encoding (SQL_ASCII) sends whatever was put into it: no UTF-8 is no value.
                    table.push((0..row.len()).map(|at| row.try_get(at).ok().flatten()));
                }
                _ => {}
            }
        }
        Ok(table)
    }

    fn told(&self, error: &tokio_postgres::Error) -> CollectError {
        match error.as_db_error() {
            // The server goes down or ends this session: the connection is of no more use.
            Some(told) if told.code().code().starts_with("57P") => {
                CollectError::Connect(format!("{}: {} ({})", self.name, shown(told.message()), told.code().code()))
            }
            Some(told) => CollectError::Query(format!("{} ({})", shown(told.message()), told.code().code())),
            None if self.budget.is_spent() => {
                CollectError::Parse(format!("{}: an answer larger than {} MiB", self.name, MAX_ANSWER >> 20))
            }
            None => {
                CollectError::Connect(format!("{}: the connection was lost: {}", self.name, shown(&error.to_string())))
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
