//! Who took the memory: each backend's private memory on the server's own host, joined to what it does, so that a
//! kill by the kernel can be laid to a query.
//!
//! A task of its own looks every five seconds, every second while memory is short or a backend grows fast, and at once
//! when much memory was taken within half a second: a round is too slow for that. It asks by the round's connection
//! about the few largest only. Once the kernel kills, what was known goes into one record, `plimsoll.oom_kill`.
//!
//! What began, grew and was killed within half a second is not named: the record then says that its query is not known.
//! It also says how old what it knows of a session is.
//!
//! Rights: none for the memory; for the kernel's messages CAP_SYSLOG or the group systemd-journal. Cost for the server:
//! one short statement in each look.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, spawn_blocking};

use super::session::Session as Connection;
use super::table::{Row, Table};
use crate::collect::CollectError;
use crate::collect::event::Event;
use crate::collect::sql::{Dialect, strip};
use crate::signal::metrics::{Desc, Samples};

mod backends;
mod kernel;
mod oom;
mod pressure;
mod ring;

use backends::Server;
use kernel::Kernel;
use pressure::{Alarm, Pressure};
use ring::{Ring, Session};

pub(super) const METRICS: &[Desc] = &[LARGEST, SUM];
const LARGEST: Desc = Desc::gauge(
    "postgresql.backend.memory.max",
    "By",
    "Private memory, swapped out or not, of the process of the server that has most; on its own host only.",
);
const SUM: Desc = Desc::gauge(
    "postgresql.backend.memory",
    "By",
    "Private memory of all processes of the server, swapped out or not.",
);

/// Between two looks at what memory there is.
const TICK: Duration = Duration::from_millis(500);
/// Between two looks at the processes.
const CALM: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_secs(1);
/// Until another try to see the kernel's messages.
const BLIND: Duration = Duration::from_secs(60);
/// The server's time for saying what the largest do; it may be short of memory itself.
const ANSWER: Duration = Duration::from_secs(1);
/// After this a look says nothing about now.
const STALE: Duration = Duration::from_secs(30);
/// Bytes of a statement's text.
const MAX_TEXT: usize = 1024;
/// Kills that wait to be told.
const MAX_EVENTS: usize = 20;

/// The watch over one server. Dropped, it ends.
#[derive(Default)]
pub(super) struct Blame {
    shared: Arc<Mutex<State>>,
    task: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    connection: Weak<Connection>,
    server: Option<Server>,
    ring: Ring,
    looked: Option<Instant>,
    events: Vec<Event>,
    is_blind: bool,
}

impl Blame {
    /// Takes a new connection: looks for the server on this host and begins to watch it when it is here.
    ///
    /// # Errors
    /// The server does not answer.
    pub(super) async fn attach(&mut self, connection: &Arc<Connection>) -> Result<(), CollectError> {
        let own = connection.ask(OWN).await?;
        let own = own.first().and_then(|row| Some((row.text("pid")?.parse::<u32>().ok()?, row.float("began")?)));
        let find = move || own.and_then(|(pid, began)| Server::find(Path::new(PROC), pid, began));
        let server = spawn_blocking(find).await.unwrap_or_default();
        let here = server.is_some();
        let mut state = lock(&self.shared);
        if state.server != server {
            state.ring = Ring::default();
        }
        state.connection = Arc::downgrade(connection);
        state.server = server;
        drop(state);
        let runs = self.task.as_ref().is_some_and(|task| !task.is_finished());
        if here && !runs {
            self.task = Some(tokio::spawn(watch(Arc::clone(&self.shared))));
        }
        Ok(())
    }

    pub(super) fn put(&self, out: &mut Samples) {
        let state = lock(&self.shared);
        if state.server.is_some() && state.looked.is_some_and(|looked| looked.elapsed() < STALE) {
            out.put(&LARGEST, state.ring.largest);
            out.put(&SUM, state.ring.sum);
        }
    }

    pub(super) fn drain(&self) -> Vec<Event> {
        std::mem::take(&mut lock(&self.shared).events)
    }

    /// Whether the server is here and its kills are not in sight.
    pub(super) fn is_blind(&self) -> bool {
        let state = lock(&self.shared);
        state.server.is_some() && state.is_blind
    }
}

impl Drop for Blame {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

const PROC: &str = "/proc";
const CGROUPS: &str = "/sys/fs/cgroup";

const OWN: &str = "SELECT pid, extract(epoch FROM backend_start) AS began FROM pg_catalog.pg_stat_activity \
    WHERE pid = pg_backend_pid()";

/// Looks again and again.
async fn watch(shared: Arc<Mutex<State>>) {
    let mut eyes = Eyes::new();
    loop {
        let state = Arc::clone(&shared);
        let step = spawn_blocking(move || {
            let looked = eyes.turn(&state);
            (eyes, looked)
        });
        let Ok((same, looked)) = step.await else { return };
        eyes = same;
        if looked {
            sessions(&shared).await;
        }
        tokio::time::sleep(TICK).await;
    }
}

/// What is read from this host, and how often.
struct Eyes {
    kernel: Option<Kernel>,
    tried: Option<Instant>,
    pressure: Pressure,
    looked: Option<Instant>,
    pause: Duration,
}

impl Eyes {
    fn new() -> Self {
        let pressure = Pressure::new(Path::new(PROC), Path::new(CGROUPS));
        Self { kernel: None, tried: None, pressure, looked: None, pause: CALM }
    }

    /// Takes the kills, and looks at the processes when it is time; whether it did.
    fn turn(&mut self, shared: &Mutex<State>) -> bool {
        self.open();
        let now = Instant::now();
        let kills = self.kernel.as_mut().map(Kernel::kills).unwrap_or_default();
        let server = {
            let mut state = lock(shared);
            state.is_blind = self.kernel.is_none();
            // Before the next look at the processes, so that the last one before the kill is still there.
            for kill in kills {
                let event = state.ring.freeze(&kill, now);
                if state.events.len() < MAX_EVENTS {
                    state.events.push(event);
                }
            }
            state.server.clone()
        };
        let Some(server) = server else { return false };
        let alarm = self.pressure.look(server.postmaster());
        let pause = if alarm == Alarm::Calm { self.pause } else { SHORT };
        let due = self.looked.is_none_or(|looked| now.duration_since(looked) >= pause);
        if !due && alarm != Alarm::Growth {
            return false;
        }
        let backends = server.backends();
        let mut state = lock(shared);
        let fast = state.ring.take(now, &backends);
        state.looked = Some(now);
        drop(state);
        self.looked = Some(now);
        self.pause = if fast { SHORT } else { CALM };
        true
    }

    /// Begins to hear the kernel, again when `journalctl` has ended.
    fn open(&mut self) {
        if self.kernel.as_ref().is_some_and(Kernel::is_over) {
            self.kernel = None;
        }
        if self.kernel.is_none() && self.tried.is_none_or(|tried| tried.elapsed() >= BLIND) {
            self.tried = Some(Instant::now());
            self.kernel = Kernel::open();
        }
    }
}

/// Asks what the largest do. Without an answer it stays with what was said before.
async fn sessions(shared: &Mutex<State>) {
    let (connection, wanted) = {
        let state = lock(shared);
        (state.connection.upgrade(), state.ring.wanted())
    };
    let Some(connection) = connection.filter(|_| !wanted.is_empty()) else { return };
    let pids: Vec<String> = wanted.iter().map(u32::to_string).collect();
    let sql = format!(
        "SELECT pid, coalesce(datname, '') AS datname, coalesce(usename, '') AS usename, state, backend_type, \
         coalesce(application_name, '') AS application_name, query_id, left(query, {MAX_TEXT}) AS query \
         FROM pg_catalog.pg_stat_activity WHERE pid IN ({})",
        pids.join(", ")
    );
    if let Ok(Ok(table)) = tokio::time::timeout(ANSWER, connection.ask(&sql)).await {
        take(&mut lock(shared).ring, &table);
    }
}

fn take(ring: &mut Ring, table: &Table) {
    for row in table.rows() {
        if let Some(pid) = row.text("pid").and_then(|pid| pid.parse().ok()) {
            ring.session(pid, Instant::now(), session(row));
        }
    }
}

fn session(row: Row<'_>) -> Session {
    let text = |column| row.text(column).unwrap_or_default().to_owned();
    let query = strip(&text("query"), Dialect::Postgres, MAX_TEXT);
    let id = match row.text("query_id") {
        Some(id) => id.to_owned(),
        None if query.is_empty() => String::new(),
        None => format!("text-{:016x}", hash(&query)),
    };
    Session {
        database: text("datname"),
        user: text("usename"),
        application: text("application_name"),
        state: text("state"),
        kind: text("backend_type"),
        query: id,
        text: query,
    }
}

/// FNV-1a, the same in every version and on every host.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
