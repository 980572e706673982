//! PostgreSQL 14 and later: `pg_stat_*` views and their like, by SQL.
//!
//! One connection is kept; another database is looked at through a short one, one in a minute. Every question is
//! bounded on the server's side (`statement_timeout`, `lock_timeout`, read only) and in what may come back. The names
//! are those of the collector-contrib receiver `postgresql` (v0.156) where it has them, with its resource attributes
//! as attributes of the points; the others are our own, in seconds and bytes.
//!
//! Rights: `CREATE ROLE plimsoll LOGIN CONNECTION LIMIT 3; GRANT pg_monitor TO plimsoll;`.
//!
//! Cost for the server, measured by pg_stat_statements on an idle PostgreSQL 15 and 18 (`the_cost_of_the_reading_is_known`):
//! a round has 17 and 18 questions, 1.2 and 1.6 ms, 24 and 104 rows; the first one, with all that is asked once a
//! minute or in five, 27 and 28 questions, 3 and 12 ms. Of a round: settings 1 question, 0.5 ms; activity 4, 0.25 ms;
//! databases 1, 0.1 to 0.2 ms; checkpoints and WAL 3 (from 16 on 4, 80 rows), 0.05 and 0.15 ms; replication 4 to 5,
//! 0.07 ms; vacuum 2, 0.1 ms. Tables and statements ask once a minute. `blame` asks one in five seconds. Each connection
//! begins with a SET beside these.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use self::blame::Blame;
use self::relations::Relations;
use self::session::{Session, Target};
use self::statements::Statements;
use self::table::Table;
use super::event::Event;
use super::{CollectError, Collector};
use crate::base::http::shown;
use crate::signal::metrics::{Desc, Samples};

mod activity;
mod blame;
mod citus;
pub mod config;
mod database;
mod events;
mod relations;
mod replication;
pub mod session;
mod settings;
mod statements;
pub mod table;
mod vacuum;
mod writer;

/// Every metric of every group.
pub const METRICS: &[&[Desc]] = &[
    settings::METRICS,
    activity::METRICS,
    database::METRICS,
    writer::METRICS,
    replication::METRICS,
    vacuum::METRICS,
    relations::METRICS,
    statements::METRICS,
    blame::METRICS,
    citus::METRICS,
];

/// The oldest version that is read.
const FLOOR: u32 = 140_000;
const MINUTE: Duration = Duration::from_secs(60);
/// For what costs the server more: sizes, folders.
const SLOW: Duration = Duration::from_secs(300);
/// Databases whose tables are looked at, in turn: a turn takes as many minutes.
const MAX_DATABASES: usize = 50;

/// What an entry asks for, checked.
#[derive(Clone)]
pub struct Settings {
    /// Where, and how to come in.
    pub target: Target,
    /// Databases by name; `None`: all that can be connected to.
    pub databases: Option<Vec<String>>,
    /// Statements, tables and indexes that are told apart.
    pub top: usize,
}

/// One server.
pub struct Postgres {
    settings: Settings,
    session: Option<(Arc<Session>, Server)>,
    state: State,
    blame: Blame,
}

/// What a connection found out about its server.
#[derive(Debug, Clone, Default)]
struct Server {
    /// `server_version_num`, such as 170002.
    version: u32,
    /// As people write it.
    shown: String,
    standby: bool,
    /// Where pg_stat_statements lies, quoted; `None`: not in this database.
    statements_schema: Option<String>,
    databases: Vec<String>,
    citus: bool,
}

/// What is kept from round to round, also over a lost connection.
#[derive(Default)]
struct State {
    minute: Option<Instant>,
    slow: Option<Instant>,
    sizes: Table,
    /// The WAL's folder, or the right that it takes to look into it.
    wal: Option<Result<Table, String>>,
    statements: Statements,
    relations: BTreeMap<String, Relations>,
    turn: VecDeque<String>,
    /// What could not be read, with its mend.
    lacking: Vec<String>,
    events: events::Events,
    citus: citus::Citus,
}

/// One round: the open connection, what is due, and what is kept.
struct Round<'a> {
    settings: &'a Settings,
    session: &'a Session,
    server: &'a Server,
    state: &'a mut State,
    minute: bool,
    slow: bool,
    blocked: Table,
}

impl Postgres {
    /// Connects in its first round.
    pub fn new(settings: Settings) -> Self {
        Self { settings, session: None, state: State::default(), blame: Blame::default() }
    }

    async fn groups(&mut self, session: &Session, server: &Server, out: &mut Samples) -> Result<(), CollectError> {
        let now = Instant::now();
        let due = |last: &mut Option<Instant>, every| {
            let due = last.is_none_or(|last| now.duration_since(last) >= every);
            if due {
                *last = Some(now);
            }
            due
        };
        let minute = due(&mut self.state.minute, MINUTE);
        let slow = due(&mut self.state.slow, SLOW);
        if minute {
            self.state.lacking.clear();
        }
        let state = &mut self.state;
        let blocked = Table::default();
        let mut round = Round { settings: &self.settings, session, server, state, minute, slow, blocked };
        let mut failed = None;
        // One view that fails (a right, a lock, an extension) takes nothing from the others.
        for group in GROUPS {
            match group.read(&mut round, out).await {
                Ok(()) => {}
                Err(CollectError::Query(why)) => {
                    failed.get_or_insert(CollectError::Partly(format!("{}: {why}", group.name())));
                }
                Err(error) => return Err(error),
            }
        }
        let texts = round.texts().await?;
        let blocked = std::mem::take(&mut round.blocked);
        self.state.events.take(&blocked, &texts);
        failed.map_or(Ok(()), Err)
    }
}

/// The groups in the order in which they are read.
#[derive(Debug, Clone, Copy)]
enum Group {
    Settings,
    Activity,
    Database,
    Writer,
    Replication,
    Vacuum,
    Relations,
    Statements,
    Citus,
}

const GROUPS: [Group; 9] = [
    Group::Settings,
    Group::Activity,
    Group::Database,
    Group::Writer,
    Group::Replication,
    Group::Vacuum,
    Group::Relations,
    Group::Statements,
    Group::Citus,
];

impl Group {
    fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Activity => "activity",
            Self::Database => "databases",
            Self::Writer => "checkpoints and WAL",
            Self::Replication => "replication",
            Self::Vacuum => "vacuum",
            Self::Relations => "tables",
            Self::Statements => "statements",
            Self::Citus => "Citus",
        }
    }

    async fn read(self, round: &mut Round<'_>, out: &mut Samples) -> Result<(), CollectError> {
        match self {
            Self::Settings => settings::read(round, out).await,
            Self::Activity => activity::read(round, out).await,
            Self::Database => database::read(round, out).await,
            Self::Writer => writer::read(round, out).await,
            Self::Replication => replication::read(round, out).await,
            Self::Vacuum => vacuum::read(round, out).await,
            Self::Relations => relations::read(round, out).await,
            Self::Statements => statements::read(round, out).await,
            Self::Citus => citus::read(round, out).await,
        }
    }
}

#[async_trait]
impl Collector for Postgres {
    async fn collect(&mut self, out: &mut Samples) -> Result<(), CollectError> {
        // Taken out: a round that is given up leaves no connection that still has an answer to come.
        let (session, mut server) = match self.session.take() {
            Some(open) => open,
            None => {
                let session = Arc::new(connect(&self.settings.target, None).await?);
                let server = identify(&session).await?;
                self.blame.attach(&session).await?;
                (session, server)
            }
        };
        let read = match server.refresh(&session).await {
            Ok(()) => {
                self.blame.put(out);
                self.groups(&session, &server, out).await
            }
            refused => refused,
        };
        if !matches!(read, Err(CollectError::Connect(_) | CollectError::Parse(_))) {
            self.session = Some((session, server));
        }
        read
    }

    fn events(&mut self) -> Vec<Event> {
        let mut events = self.blame.drain();
        events.extend(self.state.events.drain());
        events
    }

    fn detail(&self) -> String {
        let Some((_, server)) = &self.session else { return String::new() };
        let mut out = format!("{}, {} databases", server.shown, server.databases.len());
        if server.standby {
            out.push_str(", standby");
        }
        for lacking in &self.state.lacking {
            out.push_str("; ");
            out.push_str(lacking);
        }
        if self.blame.is_blind() {
            out.push_str("; kills for want of memory are not seen: give CAP_SYSLOG, or the group systemd-journal");
        }
        out
    }
}

/// A connection whose sorts and hashes are small. By a command: an option would be taken for the server's own setting.
async fn connect(target: &Target, database: Option<&str>) -> Result<Session, CollectError> {
    let session = target.connect(database).await?;
    session.ask("SET work_mem = '4MB'").await?;
    Ok(session)
}

const IDENTITY: &str = "SELECT current_setting('server_version_num') AS version, \
    current_setting('server_version') AS shown";

const STANDING: &str = "SELECT datname, pg_is_in_recovery() AS standby, \
    (SELECT quote_ident(n.nspname) FROM pg_catalog.pg_extension e \
     JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements') AS statements, \
    EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'citus') AS citus FROM pg_catalog.pg_database \
    WHERE datallowconn AND NOT datistemplate AND has_database_privilege(oid, 'CONNECT') ORDER BY oid LIMIT 500";

async fn identify(session: &Session) -> Result<Server, CollectError> {
    let table = session.ask(IDENTITY).await?;
    let row = table.first().ok_or_else(|| CollectError::Parse("the server does not say its version".into()))?;
    let version = row.float("version").unwrap_or(0.0) as u32;
    let told = row.text("shown").unwrap_or_default();
    let shown = shown(told.split_whitespace().next().unwrap_or_default());
    if version < FLOOR {
        return Err(CollectError::Query(format!("PostgreSQL {shown} is too old: 14 is the oldest that is read")));
    }
    Ok(Server { version, shown, ..Server::default() })
}

impl Server {
    /// What may change while a connection stays open: a standby becomes a primary, databases and extensions come and go.
    async fn refresh(&mut self, session: &Session) -> Result<(), CollectError> {
        let table = session.ask(STANDING).await?;
        self.standby = table.first().and_then(|row| row.float("standby")).is_some_and(|standby| standby > 0.0);
        self.statements_schema = table.first().and_then(|row| row.text("statements")).map(str::to_owned);
        self.citus = table.first().and_then(|row| row.text("citus")) == Some("t");
        self.databases = table.rows().filter_map(|row| row.text("datname")).map(str::to_owned).collect();
        Ok(())
    }
}

impl Round<'_> {
    async fn ask(&self, sql: &str) -> Result<Table, CollectError> {
        self.session.ask(sql).await
    }

    /// Asks what needs the right of `role`: where it is missing, the words that give it.
    async fn ask_as(&mut self, sql: &str, role: &str) -> Result<Result<Table, String>, CollectError> {
        match self.session.ask(sql).await {
            Err(CollectError::Query(why)) if why.ends_with("(42501)") => {
                let user = self.settings.target.config.get_user().unwrap_or("plimsoll");
                Ok(Err(format!("a right is missing: GRANT {role} TO {user}")))
            }
            answer => answer.map(Ok),
        }
    }

    /// Asks another database through a connection of its own, which is closed after.
    async fn ask_in(&self, database: &str, questions: &[&str]) -> Result<Vec<Table>, CollectError> {
        let session = connect(&self.settings.target, Some(database)).await?;
        let mut out = Vec::with_capacity(questions.len());
        for question in questions {
            out.push(session.ask(question).await?);
        }
        Ok(out)
    }

    /// The database whose turn it is; those that are gone are forgotten.
    fn next_database(&mut self) -> Option<String> {
        let wanted: Vec<&String> = match &self.settings.databases {
            Some(named) => named.iter().collect(),
            None => self.server.databases.iter().collect(),
        };
        self.state.relations.retain(|known, _| wanted.contains(&known));
        let beyond = wanted.len().saturating_sub(MAX_DATABASES);
        if self.state.turn.is_empty() {
            self.state.turn = wanted.into_iter().take(MAX_DATABASES).cloned().collect();
        }
        if beyond > 0 {
            self.lacking(format!("tables of {beyond} databases are not read: name those that matter in `databases`"));
        }
        self.state.turn.pop_front()
    }

    /// The texts of chosen statements that were not told today.
    async fn texts(&mut self) -> Result<HashMap<String, String>, CollectError> {
        let Some(schema) = self.server.statements_schema.clone() else {
            if self.settings.top > 0 {
                let preload = "where shared_preload_libraries names it already";
                self.lacking(format!("no pg_stat_statements: CREATE EXTENSION pg_stat_statements, {preload}"));
            }
            return Ok(HashMap::new());
        };
        let ids = self.state.events.untold(self.state.statements.ids(), self.minute);
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let list: Vec<String> = ids.iter().filter(|id| id.parse::<i64>().is_ok()).cloned().collect();
        let sql = format!(
            "SELECT queryid::text AS id, left(min(query), 8192) AS query FROM {schema}.pg_stat_statements(true) \
             WHERE queryid IN ({}) GROUP BY 1",
            list.join(", ")
        );
        let table = match self.ask(&sql).await {
            Ok(table) => table,
            Err(CollectError::Query(_)) => return Ok(HashMap::new()),
            Err(error) => return Err(error),
        };
        let pair = |row: table::Row<'_>| Some((row.text("id")?.to_owned(), row.text("query")?.to_owned()));
        Ok(table.rows().filter_map(pair).collect())
    }

    fn lacking(&mut self, what: String) {
        if self.state.lacking.len() < 5 && !self.state.lacking.contains(&what) {
            self.state.lacking.push(what);
        }
    }

    fn blocked(&mut self, table: Table) {
        self.blocked = table;
    }

    fn version(&self) -> u32 {
        self.server.version
    }

    fn standby(&self) -> bool {
        self.server.standby
    }

    fn minute(&self) -> bool {
        self.minute
    }

    fn slow(&self) -> bool {
        self.slow
    }

    fn top(&self) -> usize {
        self.settings.top
    }

    fn statements_schema(&self) -> Option<&str> {
        self.server.statements_schema.as_deref().filter(|_| self.settings.top > 0)
    }

    fn statements(&mut self) -> &mut Statements {
        &mut self.state.statements
    }

    fn relations(&mut self) -> &mut BTreeMap<String, Relations> {
        &mut self.state.relations
    }

    fn keep_sizes(&mut self, sizes: Table) {
        self.state.sizes = sizes;
    }

    fn sizes(&self) -> &Table {
        &self.state.sizes
    }

    fn keep_wal(&mut self, wal: Result<Table, String>) {
        self.state.wal = Some(wal);
    }

    /// What was kept; a missing right is told again, as notes are cleared more often than this is asked.
    fn wal(&mut self) -> Option<&Table> {
        if let Some(Err(lacking)) = &self.state.wal {
            let lacking = lacking.clone();
            self.lacking(lacking);
        }
        self.state.wal.as_ref()?.as_ref().ok()
    }
}
