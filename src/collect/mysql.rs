//! MySQL 8.0 and later, MariaDB 10.6 and later: global status, InnoDB, replication, statement digests, lock waits.
//!
//! Names after the collector-contrib receiver `mysql` where it has them, its `digest` and `schema` as attributes; the
//! others are our own, in seconds and bytes.
//!
//! Rights, MySQL: `CREATE USER plimsoll@localhost IDENTIFIED BY '…' WITH MAX_USER_CONNECTIONS 3; GRANT PROCESS,
//! REPLICATION CLIENT ON *.* TO plimsoll@localhost; GRANT SELECT ON performance_schema.* TO plimsoll@localhost;`
//! MariaDB: `GRANT PROCESS, BINLOG MONITOR, SLAVE MONITOR ON *.* …`. From another host or a container `plimsoll@'%'`, and
//! on the box both where an anonymous user of localhost is, who goes before `'%'`.
//!
//! Cost for the server, measured by performance_schema on idle servers (`the_cost_of_reading_mysql_is_known`): six
//! statements in a round, seven in MySQL, answered from memory; nearly all rows are status and variables. MySQL 8.0
//! 881 rows and 9.7 1,047, MariaDB 10.11 1,220 and 11.8 1,260; 6 to 16 ms on a busy machine. A new connection asks
//! six more, and the digests are asked for once a minute.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Opts, Row, Value};
use tokio::task::JoinSet;

use super::dial::failed;
use super::event::Event;
use super::sql::{Dialect, strip};
use super::{CollectError, Collector};
use crate::base::http::shown;
use crate::signal::metrics::{Desc, Samples};

pub mod config;
mod digests;
mod frames;
mod locks;
mod relay;
mod replication;
mod status;

use digests::Digests;
use relay::Relay;

/// Every metric, in the order of the parts.
pub const METRICS: &[&[Desc]] = &[status::METRICS, replication::METRICS, locks::METRICS, digests::METRICS];

const MINUTE: Duration = Duration::from_secs(60);
/// Rows of one answer.
const MAX_ROWS: usize = 20_000;
/// Bytes of one packet: a longer row is no row of ours.
pub const MAX_PACKET: usize = 4 << 20;
/// Bytes of one answer in memory. The largest that is asked for, 2,000 digests with their texts, has 10 MB at most.
const MAX_ANSWER: usize = 16 << 20;
/// What a field takes beside its name and value.
const FIELD: usize = 96;
/// How long a round may take, where nothing else is said.
const ROUND: Duration = Duration::from_secs(5);

/// A login that is refused, of every try until somebody changes that: no right to the database, a wrong password, another
/// host, none at all (MariaDB), a password that has expired, and a user who is locked, or blocked after too many tries, in
/// MySQL and in MariaDB.
const REFUSED: [u16; 10] = [1044, 1045, 1130, 1698, 1820, 1862, 3118, 3955, 4150, 4151];
/// A right is missing: to a database, a login's, to a table, to a column, a global one. Words differ with `lc_messages`.
const DENIED: [&str; 5] = ["(1044)", "(1045)", "(1142)", "(1143)", "(1227)"];

/// What an entry asks for, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `host:port` or the socket, for people.
    pub name: String,
    /// How to connect.
    pub opts: Opts,
    /// Statements that are told apart.
    pub top: usize,
}

/// One server.
pub struct Mysql {
    settings: Settings,
    time: Duration,
    session: Option<(Link, Server)>,
    minute: Option<Instant>,
    digests: Digests,
    lacking: Vec<String>,
    events: Vec<Event>,
    told: HashMap<String, Instant>,
}

/// An open connection. Dropped, it is closed at once: the relay goes, and with it what is not read yet.
struct Link {
    conn: Conn,
    relay: Relay,
}

/// What a connection found out about its server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Server {
    mariadb: bool,
    /// Major, minor, patch.
    version: (u32, u32, u32),
    shown: String,
}

/// A row by column.
type Fields = HashMap<String, String>;

impl Mysql {
    /// Connects in its first round.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            time: ROUND,
            session: None,
            minute: None,
            digests: Digests::default(),
            lacking: Vec::new(),
            events: Vec::new(),
            told: HashMap::new(),
        }
    }

    /// A round is given up after `time`: the server ends each of its questions before that (MySQL: each `SELECT`). Else it
    /// goes on with one that nobody waits for, and the next rounds ask it again until the user has no connection left.
    #[must_use]
    pub fn within(self, time: Duration) -> Self {
        Self { time, ..self }
    }

    async fn connect(&self) -> Result<(Link, Server), CollectError> {
        let name = &self.settings.name;
        let relay = Relay::open(&self.settings.opts).await.map_err(|error| failed(name, &error))?;
        let opened = self.identified(&relay).await.map_err(|error| self.bounded(&relay, error))?;
        Ok((Link { conn: opened.0, relay }, opened.1))
    }

    async fn identified(&self, relay: &Relay) -> Result<(Conn, Server), CollectError> {
        // The library panics at some answers, as at a key of the server that is none: in a task of its own, which ends
        // with the round, that is an answer that cannot be taken.
        let mut opening = JoinSet::new();
        opening.spawn(Conn::new(relay.opts.clone()));
        let mut conn = match opening.join_next().await {
            Some(Ok(opened)) => opened.map_err(|error| self.told(&error))?,
            _ => return Err(CollectError::Parse(format!("{}: its greeting makes no sense", self.settings.name))),
        };
        let version: Option<Row> =
            conn.query_first("SELECT VERSION() AS version").await.map_err(|error| self.told(&error))?;
        let version = version.and_then(|row| fields(&row).remove("version")).unwrap_or_default();
        let server = identify(&version)?;
        let bound = (self.time * 4 / 5).max(Duration::from_millis(200));
        let bound = if server.mariadb {
            format!("SET SESSION max_statement_time = {}", bound.as_secs_f64())
        } else {
            format!("SET SESSION max_execution_time = {}", bound.as_millis())
        };
        conn.query_drop(bound).await.map_err(|error| self.told(&error))?;
        Ok((conn, server))
    }

    /// An end of the connection that the relay made is an answer that cannot be taken.
    fn bounded(&self, relay: &Relay, error: CollectError) -> CollectError {
        match (error, relay.why()) {
            (CollectError::Connect(_), Some(why)) => CollectError::Parse(format!("{}: {why}", self.settings.name)),
            (error, _) => error,
        }
    }

    /// An error of a connection in words.
    fn told(&self, error: &mysql_async::Error) -> CollectError {
        match error {
            mysql_async::Error::Server(told) if REFUSED.contains(&told.code) => {
                CollectError::Denied(format!("{} refuses the login: {}", self.settings.name, shown(&told.message)))
            }
            // A user who is not there gets one that MySQL picks at random, so that nobody can tell.
            mysql_async::Error::Driver(DriverError::UnknownAuthPlugin { name }) => CollectError::Denied(format!(
                "{} refuses the login: it asks for the plugin {}, as it may of a user who is not there",
                self.settings.name,
                shown(name)
            )),
            mysql_async::Error::Server(told) => {
                CollectError::Connect(format!("{}: {} ({})", self.settings.name, shown(&told.message), told.code))
            }
            mysql_async::Error::Io(mysql_async::IoError::Io(error)) => failed(&self.settings.name, error),
            error => CollectError::Connect(format!("{}: {}", self.settings.name, shown(&error.to_string()))),
        }
    }

    async fn groups(&mut self, conn: &mut Conn, server: &Server, out: &mut Samples) -> Result<(), CollectError> {
        self.lacking.clear();
        let mut status = pairs(ask(conn, "SHOW GLOBAL STATUS").await?);
        if !server.mariadb {
            let more = ask_or_note(conn, status::INNODB, "PROCESS ON *.*", &mut self.lacking).await?;
            status.extend(pairs(more.unwrap_or_default()));
        }
        let variables = pairs(ask(conn, "SHOW GLOBAL VARIABLES").await?);
        status::put(&status, &variables, out);
        let mut failed = None;
        let mut keep = |read: Result<(), CollectError>| match read {
            Err(CollectError::Query(why)) => {
                failed.get_or_insert(CollectError::Partly(why));
                Ok(())
            }
            other => other,
        };
        keep(replication::read(conn, server, out, &mut self.lacking).await)?;
        let performance = variables.get("performance_schema").is_some_and(|on| on == "ON");
        let blocked = match locks::read(conn, server, performance, out, &mut self.lacking).await {
            Ok(blocked) => blocked,
            Err(error) => {
                keep(Err(error))?;
                Vec::new()
            }
        };
        self.tell(&blocked);
        if !performance {
            self.digests = Digests::default();
            let what = if server.mariadb { "statements" } else { "statements and locks" };
            self.lacking.push(format!("no {what}: performance_schema = ON in my.cnf, and a restart"));
        } else if self.settings.top > 0 {
            let due = self.minute.is_none_or(|last| last.elapsed() >= MINUTE);
            if due {
                self.minute = Some(Instant::now());
                let look = self.digests.look(conn, self.settings.top).await;
                keep(look.map(|events| self.events.extend(events)))?;
            }
            self.digests.put(out);
            if number(&status, "performance_schema_digest_lost").is_some_and(|lost| lost > 0.0) {
                let mend = "a larger performance_schema_digests_size in my.cnf, and a restart";
                self.lacking.push(format!("the table of statements is full, and new ones are left out: {mend}"));
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Long waits for locks, each pair once a minute.
    fn tell(&mut self, blocked: &[Fields]) {
        self.told.retain(|_, told| told.elapsed() < MINUTE);
        for row in blocked.iter().take(20) {
            let text = |name: &str| row.get(name).cloned().unwrap_or_default();
            let wait: f64 = text("wait").parse().unwrap_or(0.0);
            let key = format!("{} {}", text("pid"), text("blocker"));
            if wait < 5.0 || self.told.contains_key(&key) {
                continue;
            }
            self.told.insert(key, Instant::now());
            let (query, other) = (text("query"), text("blocker_query"));
            let query = strip(&query, Dialect::Mysql, 4096);
            let other = strip(&other, Dialect::Mysql, 4096);
            self.events.push(Event {
                name: "mysql.blocked_session",
                nanos: 0,
                severity: 13,
                body: format!("connection {} has waited {wait:.0} s for {}: {query}", text("pid"), text("blocker")),
                attributes: vec![
                    ("mysql.lock.wait", wait.into()),
                    ("mysql.connection.id", text("pid").into()),
                    ("mysql.blocking.connection.id", text("blocker").into()),
                    ("db.query.text", query.into()),
                    ("mysql.blocking.query.text", other.into()),
                ],
            });
        }
    }
}

#[async_trait]
impl Collector for Mysql {
    async fn collect(&mut self, out: &mut Samples) -> Result<(), CollectError> {
        // Taken out: a round that is given up leaves no connection that still has an answer to come.
        let (mut link, server) = match self.session.take() {
            Some(open) => open,
            None => self.connect().await?,
        };
        link.relay.renew();
        let read = self.groups(&mut link.conn, &server, out).await.map_err(|error| self.bounded(&link.relay, error));
        if !matches!(read, Err(CollectError::Connect(_) | CollectError::Parse(_))) {
            self.session = Some((link, server));
        }
        read
    }

    fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn detail(&self) -> String {
        let mut out = self.session.as_ref().map(|(_, server)| server.shown.clone()).unwrap_or_default();
        let of_digests = self.digests.lacking.iter().filter(|more| !self.lacking.contains(more));
        for lacking in self.lacking.iter().chain(of_digests) {
            out.push_str("; ");
            out.push_str(lacking);
        }
        out
    }
}

/// `8.0.36`, `11.8.9-MariaDB-4`.
fn identify(version: &str) -> Result<Server, CollectError> {
    let mariadb = version.to_ascii_lowercase().contains("mariadb");
    let mut parts = version.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if version.0 == 0 {
        return Err(CollectError::Parse("the server does not say its version".into()));
    }
    let name = if mariadb { "MariaDB" } else { "MySQL" };
    let shown = format!("{name} {}.{}.{}", version.0, version.1, version.2);
    let floor = if mariadb { (10, 6, 0) } else { (8, 0, 0) };
    if version < floor {
        return Err(CollectError::Query(format!(
            "{shown} is too old: {}.{} is the oldest that is read",
            floor.0, floor.1
        )));
    }
    Ok(Server { mariadb, version, shown })
}

/// All rows of a statement, as text.
async fn ask(conn: &mut Conn, sql: &str) -> Result<Vec<Fields>, CollectError> {
    let mut result = conn.query_iter(sql).await.map_err(|error| refused(&error))?;
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = result.next().await.map_err(|error| refused(&error))? {
        if rows.len() >= MAX_ROWS {
            return Err(CollectError::Parse(format!("an answer of more than {MAX_ROWS} rows")));
        }
        let fields = fields(&row);
        bytes += fields.iter().map(|(name, value)| name.len() + value.len() + FIELD).sum::<usize>();
        if bytes > MAX_ANSWER {
            return Err(CollectError::Parse(format!("an answer larger than {} MiB", MAX_ANSWER >> 20)));
        }
        rows.push(fields);
    }
    Ok(rows)
}

/// The same; `None`, and told with its mend, where a right is missing.
async fn ask_or_note(
    conn: &mut Conn,
    sql: &str,
    grant: &str,
    lacking: &mut Vec<String>,
) -> Result<Option<Vec<Fields>>, CollectError> {
    match ask(conn, sql).await {
        Err(CollectError::Query(why)) if DENIED.iter().any(|code| why.ends_with(code)) => {
            let mend = format!("a right is missing: GRANT {grant} TO the user of plimsoll");
            if !lacking.contains(&mend) {
                lacking.push(mend);
            }
            Ok(None)
        }
        answer => answer.map(Some),
    }
}

fn refused(error: &mysql_async::Error) -> CollectError {
    match error {
        mysql_async::Error::Server(told) => CollectError::Query(format!("{} ({})", shown(&told.message), told.code)),
        error => CollectError::Connect(format!("the connection was lost: {}", shown(&error.to_string()))),
    }
}

fn fields(row: &Row) -> Fields {
    let names = row.columns_ref().iter().map(|column| column.name_str().to_ascii_lowercase());
    let values = (0..row.len()).map(|at| match row.as_ref(at) {
        None | Some(Value::NULL) => None,
        Some(Value::Bytes(bytes)) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Some(other) => Some(other.as_sql(true).trim_matches('\'').to_owned()),
    });
    names.zip(values).filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Rows of a name and a value.
fn pairs(rows: Vec<Fields>) -> HashMap<String, String> {
    let pair = |mut row: Fields| Some((row.remove("variable_name")?.to_ascii_lowercase(), row.remove("value")?));
    rows.into_iter().filter_map(pair).collect()
}

fn number(row: &HashMap<String, String>, name: &str) -> Option<f64> {
    row.get(name)?.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// How to connect: bounded packets, no cache of statements, one connection.
pub fn options(
    address: &super::dial::Address,
    username: Option<&str>,
    password: Option<&str>,
    tls: Option<mysql_async::SslOpts>,
) -> Opts {
    let mut builder = mysql_async::OptsBuilder::default()
        .user(username)
        .pass(password)
        .ssl_opts(tls)
        .prefer_socket(false)
        .stmt_cache_size(0)
        .max_allowed_packet(Some(MAX_PACKET))
        // Its default. Without one the library asks the server, and panics at an answer that is no number.
        .wait_timeout(Some(28_800))
        .tcp_nodelay(true);
    builder = match address {
        super::dial::Address::Tcp(host, port) => builder.ip_or_hostname(host.clone()).tcp_port(*port),
        super::dial::Address::Unix(path) => builder.socket(Some(path.to_string_lossy().into_owned())),
    };
    // Its own statements must never hold up the server, nor show up as a lock. InnoDB tells its times in the system's
    // zone, whatever that of the server is.
    builder = builder.setup(vec![
        "SET SESSION lock_wait_timeout = 1, time_zone = 'SYSTEM'",
        "SET SESSION TRANSACTION READ ONLY",
        "SET SESSION sql_mode = ''",
    ]);
    builder.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart_and_an_old_one_is_told_so() {
        let shown = |version: &str| identify(version).map(|server| server.shown).map_err(|error| error.to_string());
        assert_eq!(shown("8.0.36-0ubuntu1").unwrap(), "MySQL 8.0.36");
        assert_eq!(shown("11.8.9-MariaDB-4").unwrap(), "MariaDB 11.8.9");
        assert!(shown("5.7.44-log").unwrap_err().contains("8.0 is the oldest"));
        assert!(shown("10.5.29-MariaDB").unwrap_err().contains("10.6 is the oldest"));
        assert!(matches!(identify(""), Err(CollectError::Parse(_))));
    }
}
