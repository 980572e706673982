//! The only file that knows all parts: builds and connects them, starts, reloads, stops.
//!
//! What lasts as long as the process (spools, pipeline, board, control socket, page) is made once. What the config
//! names (log files, collectors, destinations) is a [`plan::Plan`], checked as a whole before anything of the
//! running one is touched, so that a bad new config changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal as UnixSignal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::alert::view::Views;
use crate::base::clock;
use crate::base::stop::Stop;
use crate::base::units::Dur;
use crate::config::{self, Config};
use crate::control::{self, Command};
use crate::notify::Ledger;
use crate::pipeline::Pipeline;
use crate::signal::frame::Signal;
use crate::signal::resource::Resource;
use crate::spool::disk::RealDisk;
use crate::spool::{Limits, Spool};
use crate::status::Board;
use crate::status::report::{Identity, Reporter};
use crate::store::latest::Latest;
use crate::store::{self, Store};
use crate::web;

mod alerts;
mod budget;
mod find;
mod finder;
mod greet;
mod mounts;
mod plan;
mod running;
mod service;
mod state;
mod telemetry;

pub use alerts::catalogue;

use plan::Plan;
use running::Running;

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--state`.
    pub state: Option<PathBuf>,
}

/// What lasts as long as the process.
struct Base {
    options: Options,
    host: String,
    state: PathBuf,
    board: Board,
    logs: Spool,
    metrics: Spool,
    pipeline: Pipeline,
    store: Store,
    views: Views,
    /// What fired before; `None` when it cannot be opened.
    ledger: Option<Arc<Ledger>>,
    reporter: Arc<Reporter>,
    /// Ends the faces, after everything else.
    stop: Stop,
}

/// How long the parts have to end before the process does.
const STOP_TIME: Duration = Duration::from_secs(10);
/// How often it is asked whether the clock was set back, and how many times in a row it must have been.
const CLOCK_LOOKS: (Duration, u32) = (Duration::from_secs(10), 3);

/// Why the agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// SIGTERM or SIGINT.
    Told,
    /// The clock was set back: a new process takes time stamps from it again.
    Clock,
}

/// Runs the agent until SIGTERM or SIGINT, or until the clock was set back.
///
/// # Errors
/// The config is bad, the state folder cannot be used, an address is taken: named, with the mend.
pub async fn run(options: Options) -> anyhow::Result<Ended> {
    let config = config::load(options.config.as_deref())?;
    let mut signals = Signals::new().context("cannot wait for signals")?;
    let base = Base::new(options, &config)?;
    let _telemetry = telemetry::start(&config.own, &base.host)?;
    let (commands, mut orders) = mpsc::channel(4);
    let faces = Faces::start(&base, &config, commands).await?;
    let plan = Plan::new(&config, &base)?;
    greet::print(&base, &config, &plan)?;
    let mut current = config;
    let mut running = Running::start(plan, &base, None, STOP_TIME).await?;
    let budget = tokio::spawn(budget::watch(base.board.clone(), current.memory, base.stop.clone()));
    let watchdog = service::ready(base.board.clone(), base.stop.clone());
    let mut clock = std::pin::pin!(set_back(base.pipeline.clone()));
    let why = loop {
        tokio::select! {
            _ = signals.terminate.recv() => break Ended::Told,
            _ = signals.interrupt.recv() => break Ended::Told,
            ahead = &mut clock => match base.could_start() {
                Ok(()) => {
                    tracing::warn!("the clock was set back by {}: plimsoll starts again", Dur(ahead));
                    break Ended::Clock;
                }
                Err(why) => {
                    let text = format!("plimsoll does not start again, though the clock was set back: {why}");
                    base.board.note("config", Some(text));
                    clock.set(set_back(base.pipeline.clone()));
                }
            },
            _ = signals.hangup.recv() => {
                if let Err(refused) = base.reload(&mut current, &mut running).await {
                    tracing::error!("{refused}");
                }
            }
            Some(Command::Reload(answer)) = orders.recv() => {
                let outcome = base.reload(&mut current, &mut running).await;
                // The one who asked may have gone; the reload holds all the same.
                let _gone = answer.send(outcome).is_err();
            }
        }
    };
    match why {
        Ended::Told => service::stopping(),
        Ended::Clock => service::reloading(),
    }
    running.stop(STOP_TIME).await;
    let pipeline = base.pipeline.clone();
    tokio::task::spawn_blocking(move || pipeline.close()).await.context("closing the spool")?;
    base.stop.set();
    faces.end().await;
    watchdog.abort();
    budget.abort();
    // Who ends it meanwhile means it.
    let told = tokio::time::timeout(Duration::ZERO, signals.end()).await.is_ok();
    Ok(if told { Ended::Told } else { why })
}

/// Waits until the clock was set back and stands there; by how much.
async fn set_back(pipeline: Pipeline) -> Duration {
    let (every, looks) = CLOCK_LOOKS;
    let mut seen = 0;
    loop {
        tokio::time::sleep(every).await;
        match pipeline.ahead() {
            Some(ahead) if seen + 1 == looks => return ahead,
            Some(_) => seen += 1,
            None => seen = 0,
        }
    }
}

impl Base {
    fn new(options: Options, config: &Config) -> anyhow::Result<Self> {
        let host = state::host_name();
        let state = state::folder(options.state.as_deref().or(config.state.as_deref()))?;
        let board = Board::new();
        let logs = open_spool(&state, Signal::Logs, config, &board)?;
        let metrics = open_spool(&state, Signal::Metrics, config, &board)?;
        let store = open_store(&state, config, &board, &metrics)?;
        let own = Resource::new("plimsoll", &host, &[]);
        let pipeline =
            Pipeline::over(logs.clone(), metrics.clone(), Latest::new(), Some(store.clone()), own, board.clone())?;
        let identity = Identity {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: host.clone(),
            pid: std::process::id(),
            started: clock::unix_nanos(),
        };
        let (views, ledger) = (Views::default(), alerts::ledger(&state, &board));
        if let Some(ledger) = &ledger {
            views.read_from(Arc::clone(ledger));
        }
        let reporter = Arc::new(Reporter::new(identity, board.clone()));
        Ok(Self {
            options,
            host,
            state,
            board,
            logs,
            metrics,
            pipeline,
            store,
            views,
            ledger,
            reporter,
            stop: Stop::new(),
        })
    }

    /// Whether another process would start with the config as it lies on disk now.
    fn could_start(&self) -> anyhow::Result<()> {
        let config = config::load(self.options.config.as_deref())?;
        let plan = Plan::new(&config, self)?;
        plan.alerts.as_ref().map_or(Ok(()), alerts::Prepared::refuse)
    }

    /// Checks the config as it lies on disk now and runs it. On any error the old one goes on.
    async fn reload(&self, current: &mut Config, running: &mut Running) -> Result<String, String> {
        service::reloading();
        let outcome = self.reload_checked(current, running).await;
        service::reloaded();
        let goes_on = if running.is_stopped() { "and nothing is read or sent" } else { "the old one goes on" };
        let standing = outcome.as_ref().err().map(|why| format!("the new config was refused, {goes_on}: {why}"));
        self.board.note("config", standing.clone());
        outcome.map_err(|why| standing.unwrap_or(why))
    }

    async fn reload_checked(&self, current: &mut Config, running: &mut Running) -> Result<String, String> {
        let config = config::load(self.options.config.as_deref()).map_err(|errors| errors.to_string())?;
        let mut plan = Plan::new(&config, self).map_err(|error| format!("{error:#}"))?;
        plan.alerts.as_ref().map_or(Ok(()), alerts::Prepared::refuse).map_err(|error| format!("{error:#}"))?;
        if config == *current && !running.is_stopped() {
            running.look_again();
            let other = plan.alerts.take().filter(|alerts| !alerts.same_rules(running.alerts()));
            let Some(other) = other else { return Ok("nothing changed".into()) };
            running.swap_alerts(other, self, STOP_TIME).await.map_err(|error| format!("{error:#}"))?;
            return Ok("changed: rule files".into());
        }
        let changed = plan::changes(current, &config);
        Running::prepare(&plan, self).map_err(|error| format!("{error:#}"))?;
        running.stop(STOP_TIME).await;
        match Running::start(plan, self, Some(running), STOP_TIME).await {
            Ok(new) => *running = new,
            Err(error) => {
                let back = Plan::new(current, self);
                match async { Running::start(back?, self, Some(running), STOP_TIME).await }.await {
                    Ok(old) => *running = old,
                    Err(second) => return Err(format!("{error:#}; the old one cannot be started: {second:#}")),
                }
                return Err(format!("{error:#}"));
            }
        }
        *current = config;
        tracing::info!("reloaded: {changed}");
        Ok(changed)
    }
}

/// The store of metrics, with what it held before the process ended.
fn open_store(state: &Path, config: &Config, board: &Board, metrics: &Spool) -> anyhow::Result<Store> {
    let Some(kept) = config.store.on() else {
        return Ok(Store::bounded(store::Limits::within(config.memory), board.clone()));
    };
    let limits = store::Limits::of(&kept.metrics, config.memory);
    let store = Store::open(&state.join("store"), limits, board.clone())?;
    store.restore(metrics);
    Ok(store)
}

fn open_spool(state: &Path, signal: Signal, config: &Config, board: &Board) -> anyhow::Result<Spool> {
    let (retain_bytes, retain_time) = match (signal, config.store.on()) {
        (Signal::Logs, Some(store)) => (store.logs.size.0, store.logs.retention.0),
        // What the head of the store is rebuilt from: it holds at most two hours and a bit.
        _ => (64 << 20, Duration::from_secs(3 * 3600)),
    };
    let limits = Limits { undelivered: config.spool.size.0, fsync: config.spool.fsync.0, retain_bytes, retain_time };
    let dir = state.join("spool").join(signal.name());
    Ok(Spool::open(Arc::new(RealDisk), dir, signal, limits, board)?)
}

/// The control socket and the page.
struct Faces {
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Faces {
    async fn start(base: &Base, config: &Config, commands: mpsc::Sender<Command>) -> anyhow::Result<Self> {
        let socket = control::Socket::bind(&state::socket(&base.state))?;
        let shown = control::Shown {
            reporter: Arc::clone(&base.reporter),
            store: base.store.clone(),
            views: base.views.clone(),
        };
        let control = control::serve(socket, shown, commands, base.stop.clone());
        let mut tasks = vec![tokio::spawn(async move {
            if let Err(error) = control.await {
                tracing::error!("the control socket ended: {error}");
            }
        })];
        if let Some(&address) = config.listen.on().and_then(|listen| listen.http.on()) {
            let listen = config.listen.on().cloned().unwrap_or_default();
            let lock = web::Lock::new(&listen).map_err(anyhow::Error::msg)?;
            let Some(listener) = Self::listen(base, address, &lock).await else { return Ok(Self { tasks }) };
            let mut names = listen.names;
            names.push(base.host.clone());
            if !address.ip().is_unspecified() {
                names.push(if address.is_ipv6() { format!("[{}]", address.ip()) } else { address.ip().to_string() });
            }
            let shown = web::Faces {
                reporter: Arc::clone(&base.reporter),
                latest: base.pipeline.latest().clone(),
                store: base.store.clone(),
                views: base.views.clone(),
                names,
                lock,
            };
            let page = web::serve(listener, shown, base.stop.clone());
            tasks.push(tokio::spawn(async move {
                if let Err(error) = page.await {
                    tracing::error!("the page on {address} ended: {error}");
                }
            }));
        }
        Ok(Self { tasks })
    }

    /// The page is a convenience: that its port is taken must not keep the box from being watched.
    async fn listen(base: &Base, address: std::net::SocketAddr, lock: &web::Lock) -> Option<tokio::net::TcpListener> {
        match web::bind(address, lock).await {
            Ok(listener) => Some(listener),
            Err(error) => {
                base.board.note("page", Some(format!("no page and no /metrics: {error}")));
                tracing::error!("no page and no /metrics: {error}");
                None
            }
        }
    }

    async fn end(self) {
        for task in self.tasks {
            if tokio::time::timeout(Duration::from_secs(2), task).await.is_err() {
                tracing::warn!("a face did not end in time");
            }
        }
    }
}

/// SIGTERM, SIGINT, SIGHUP.
struct Signals {
    terminate: UnixSignal,
    interrupt: UnixSignal,
    hangup: UnixSignal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for one that ends the agent.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
