//! The alerts of a config: rules, engine, those who are told, and the ledger, made ready, started, swapped, stopped.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tokio::task::JoinHandle;

use super::Base;
use crate::alert::config::Config;
use crate::alert::engine::{self, Engine, Outlet, Parts};
use crate::alert::group::{self, Setting};
use crate::alert::persist::Files;
use crate::alert::presence::Catalogue;
use crate::alert::rules::{self, Group};
use crate::base::clock;
use crate::base::stop::Stop;
use crate::collect::{host, mysql, nats, own, pgbouncer, postgres, rabbitmq, redis, scrape};
use crate::config;
use crate::notify::ledger::MOST_BYTES;
use crate::notify::{About, Alert, Ledger, Line, Pace, Waiting};
use crate::query::Limits;
use crate::signal::metrics::Desc;
use crate::status::Board;
use crate::store::{Labels, Taken};

/// Rules and settings that were read and checked, nothing started.
pub(super) struct Prepared {
    config: Config,
    about: About,
    groups: Vec<Group>,
    fleet: Vec<Group>,
    faults: Vec<String>,
    warnings: Vec<String>,
    /// The same for the same rules.
    print: u64,
}

/// What runs.
pub(super) struct Alerts {
    engine: Engine,
    line: Line,
    rules: Stop,
    senders: Stop,
    tasks: Vec<JoinHandle<()>>,
    sending: JoinHandle<()>,
    print: u64,
}

/// Where the shipped rules lie, for a box that has them elsewhere and for tests.
const SHIPPED_ENV: &str = "PLIMSOLL_SHIPPED_ALERTS";
/// Samples that one rule may hold at once: 16 bytes each.
const SAMPLES: usize = 2_000_000;
/// How long one rule may take.
const RULE_TIME: Duration = Duration::from_secs(10);
/// Deliveries within this time are kept with one write.
const GATHER: Duration = Duration::from_millis(200);

impl Prepared {
    /// Reads the rules; `None`: `alerts: off`.
    ///
    /// # Errors
    /// A secret or a certificate of a notifier cannot be read.
    pub(super) fn new(config: &config::Config, base: &Base) -> anyhow::Result<Option<Self>> {
        let Some(alerts) = config.alerts.on() else { return Ok(None) };
        let about = About { host: base.host.clone(), external_url: external_url(config, &base.host) };
        let scratch = Board::new();
        Line::new(&alerts.notify, alerts.heartbeat.as_ref(), &about, &scratch, None, Pace::default())
            .map_err(|error| anyhow!(error))?;
        let shipped = std::env::var_os(SHIPPED_ENV).unwrap_or_else(|| rules::SHIPPED.into());
        let loaded = rules::load(Path::new(&shipped), &alerts.rules);
        let print = xxhash_rust::xxh3::xxh3_64(format!("{:?}", (&loaded.groups, &loaded.fleet)).as_bytes());
        Ok(Some(Self {
            config: alerts.clone(),
            about,
            groups: loaded.groups,
            fleet: loaded.fleet,
            faults: loaded.errors.iter().map(ToString::to_string).collect(),
            warnings: loaded.warnings.iter().map(ToString::to_string).collect(),
            print,
        }))
    }

    /// Why a reload is refused: what is wrong in rule files.
    pub(super) fn refuse(&self) -> anyhow::Result<()> {
        if self.faults.is_empty() { Ok(()) } else { Err(anyhow!(self.faults.join("\n"))) }
    }

    /// Whether `running` has these rules.
    pub(super) fn same_rules(&self, running: Option<&Alerts>) -> bool {
        running.is_some_and(|running| running.print == self.print)
    }

    /// How many rules there are, for people.
    pub(super) fn summary(&self) -> String {
        let count: usize = self.groups.iter().map(|group| group.rules.len()).sum();
        let told: Vec<&str> = self.config.notify.keys().map(String::as_str).collect();
        let told = if told.is_empty() { "nobody is told".to_owned() } else { format!("told: {}", told.join(", ")) };
        format!("{count} rules in {} groups; {told}", self.groups.len())
    }
}

impl Alerts {
    /// Starts the rules. State comes from `before`, what ran before a reload and is stopped, else from the state
    /// folder. The first rounds wait for those of the sources in `waits`.
    ///
    /// # Errors
    /// A secret went away since the check.
    pub(super) fn start(
        prepared: Prepared,
        base: &Base,
        before: Option<&Self>,
        waits: Vec<(String, Duration)>,
    ) -> anyhow::Result<Self> {
        note(&base.board, "alerts rules", &prepared.faults);
        note(&base.board, "alerts warnings", &prepared.warnings);
        for fault in &prepared.faults {
            tracing::error!("a rule file was left out: {fault}");
        }
        if let Some(before) = before {
            before.line.forget();
        }
        let Prepared { config, about, groups, fleet, print, .. } = prepared;
        let (board, ledger) = (&base.board, base.ledger.clone());
        let line = Line::new(&config.notify, config.heartbeat.as_ref(), &about, board, ledger, Pace::default())
            .map_err(|error| anyhow!(error))?;
        let parts = parts(base, &config, &about, &line);
        let (engine, waiting) = Engine::new(groups, fleet, parts, before.map(|before| &before.engine), now());
        match before {
            Some(before) => line.restore(before.line.snapshot()),
            None => restore(base, &line, waiting),
        }
        end_forgotten(base, &engine);
        let (rules, senders) = (Stop::new(), Stop::new());
        let sending = {
            let (line, stop) = (line.clone(), senders.clone());
            tokio::spawn(async move { line.run(stop).await })
        };
        let tasks = vec![
            tokio::spawn(engine.clone().run(waits, rules.clone())),
            tokio::spawn(keep(engine.clone(), line.clone(), rules.clone())),
        ];
        Ok(Self { engine, line, rules, senders, tasks, sending, print })
    }

    /// Ends the rules, then gives those who are told a moment, and keeps what waits.
    pub(super) async fn stop(&mut self, time: Duration) {
        self.rules.set();
        super::running::end(std::mem::take(&mut self.tasks), time).await;
        self.senders.set();
        let sending = std::mem::replace(&mut self.sending, tokio::spawn(async {}));
        super::running::end(vec![sending], time + Duration::from_secs(1)).await;
        let engine = self.engine.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || engine.save(now())).await {
            tracing::error!(%error, "the state of alerts could not be kept");
        }
    }
}

/// What fired before. That it cannot be opened must not keep anyone from being told.
pub(super) fn ledger(state: &Path, board: &Board) -> Option<Arc<Ledger>> {
    let path = state.join("alerts.ledger");
    match Ledger::open(&path, MOST_BYTES, now()) {
        Ok(ledger) => Some(Arc::new(ledger)),
        Err(error) => {
            let text = format!("what fires is not kept for later: {}: {error}", path.display());
            board.note("alerts ledger", Some(text));
            None
        }
    }
}

/// Says that `alerts: off` stops the rules.
pub(super) fn off(base: &Base, before: Option<&Alerts>) {
    if let Some(before) = before {
        before.line.forget();
        before.engine.end_series(now());
    }
    note(&base.board, "alerts rules", &[]);
    note(&base.board, "alerts warnings", &[]);
    engine::show_off(&base.board, &base.views);
}

fn parts(base: &Base, config: &Config, about: &About, line: &Line) -> Parts {
    let pipeline = base.pipeline.clone();
    let limits = Limits {
        samples: SAMPLES,
        steps: 11_000,
        time: RULE_TIME,
        lookback: Duration::from_secs(300),
        delayed_name_removal: false,
    };
    Parts {
        store: base.store.clone(),
        // What is not taken is counted by the pipeline. Rows that are too old come of a clock that was set back.
        record: Arc::new(move |rows| {
            let twice = pipeline.push_recorded(rows).unwrap_or_default()?;
            Some(group::refused((twice, Taken::Duplicate)))
        }),
        views: base.views.clone(),
        board: base.board.clone(),
        files: Files::new(&base.state),
        outlet: outlet(base, line),
        catalogue: Arc::new(catalogue()),
        setting: Setting {
            external_labels: Labels::default(),
            external_url: about.external_url.clone(),
            host: about.host.clone(),
            limits,
            failing: true,
        },
        interval: config.interval.0,
    }
}

fn outlet(base: &Base, line: &Line) -> Outlet {
    let (offer, snapshot, release) = (line.clone(), line.clone(), line.clone());
    let (ledger, board) = (base.ledger.clone(), base.board.clone());
    Outlet {
        offer: Arc::new(move |alerts| offer.offer(alerts)),
        snapshot: Arc::new(move || serde_json::to_value(snapshot.snapshot()).unwrap_or_default()),
        release: Arc::new(move || release.release()),
        ledger: Arc::new(move |round| {
            let Some(ledger) = &ledger else { return };
            round.fired.iter().for_each(|(rule, alert)| ledger.begin(&alert.message(0, ""), rule));
            round.resolved.iter().for_each(|(_, alert)| ledger.end(&alert.message(0, "")));
            if let Some(fault) = ledger.take_fault() {
                board.note("alerts ledger", Some(fault));
            }
        }),
    }
}

/// Which kind of source brings which metric.
pub fn catalogue() -> Catalogue {
    let one: [(&'static str, &'static [Desc]); 4] = [
        ("host", host::METRICS),
        ("plimsoll", own::METRICS),
        ("pgbouncer", pgbouncer::METRICS),
        ("scrape", scrape::METRICS),
    ];
    let many: [(&'static str, &'static [&'static [Desc]]); 5] = [
        ("postgres", postgres::METRICS),
        ("redis", redis::METRICS),
        ("mysql", mysql::METRICS),
        ("rabbitmq", rabbitmq::METRICS),
        ("nats", nats::METRICS),
    ];
    let many = many.into_iter().flat_map(|(kind, lists)| lists.iter().map(move |list| (kind, *list)));
    Catalogue::new(one.into_iter().chain(many))
}

/// What notifiers left in the state file.
fn restore(base: &Base, line: &Line, waiting: serde_json::Value) {
    if waiting.is_null() {
        return;
    }
    match serde_json::from_value::<Waiting>(waiting) {
        Ok(waiting) => line.restore(waiting),
        Err(error) => {
            base.board.lost("notify", "unreadable", 1, format!("messages that waited in alerts.json: {error}"));
        }
    }
}

/// Ends in the ledger what fires no more, because its rule is gone or its state was lost.
fn end_forgotten(base: &Base, engine: &Engine) {
    let Some(ledger) = &base.ledger else { return };
    let firing = engine.firing();
    for one in ledger.open_ones() {
        let labels = Labels::new(one.labels);
        if firing.iter().any(|alert| alert.starts_at == one.start && same(&alert.labels, &labels)) {
            continue;
        }
        ledger.end(&Alert {
            labels,
            annotations: Vec::new(),
            starts_at: one.start,
            ends_at: now(),
            resolved: true,
            value: one.value,
            generator_url: String::new(),
        });
    }
}

/// The ledger cuts long values.
fn same(whole: &Labels, kept: &Labels) -> bool {
    whole.get("alertname") == kept.get("alertname") && whole.get("instance") == kept.get("instance")
}

/// Writes the state again when something was delivered, so that a restart does not send it twice.
async fn keep(engine: Engine, line: Line, stop: Stop) {
    let mut changed = line.changed();
    loop {
        tokio::select! {
            () = stop.wait() => return,
            gone = changed.changed() => if gone.is_err() { return },
        }
        if stop.sleep(GATHER).await {
            return;
        }
        changed.mark_unchanged();
        let engine = engine.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || engine.save(now())).await {
            tracing::error!(%error, "the state of alerts could not be kept");
        }
    }
}

fn note(board: &Board, topic: &str, texts: &[String]) {
    board.note(topic, (!texts.is_empty()).then(|| texts.join("; ")));
}

/// The page, as others reach it.
fn external_url(config: &config::Config, host: &str) -> String {
    let listen = config.listen.on();
    let address = listen.and_then(|listen| listen.http.on());
    let Some((listen, address)) = listen.zip(address) else { return format!("http://{host}") };
    let scheme = if listen.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{host}:{}", address.port())
}

fn now() -> i64 {
    i64::try_from(clock::unix_nanos() / 1_000_000).unwrap_or(i64::MAX)
}
