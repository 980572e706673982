//! The loop: each group at its slots, then what its round brought is kept on disk, told and shown.
//!
//! A group runs in a task of its own and evaluates where blocking is allowed; a few may at a time, so a slow one holds
//! up none but itself. The state file is written after what is to be sent was offered and before it leaves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::group::{Round, Run, Setting};
use super::persist::{self, Files, Place, Saved, SavedRule};
use super::presence::{Catalogue, Scene, recorded};
use super::rules::Group;
use super::view::{GroupView, Presence, View, Views};
use crate::base::clock;
use crate::base::stop::Stop;
use crate::notify;
use crate::query::Query;
use crate::status::Board;
use crate::store::{Labels, Sample, Store};

mod count;

/// Takes rows that rules yield.
pub type Record = Arc<dyn Fn(&[(Labels, Sample)]) -> Option<String> + Send + Sync>;

/// Takes alerts that are to be sent.
pub type Offer = Arc<dyn Fn(&[notify::Alert]) + Send + Sync>;

/// Those who are told, as the loop sees them.
#[derive(Clone)]
pub struct Outlet {
    /// Takes what a round has to send; nothing leaves yet.
    pub offer: Offer,
    /// What waits, for the state file.
    pub snapshot: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// Lets leave what the latest snapshot had.
    pub release: Arc<dyn Fn() + Send + Sync>,
    /// Takes what began and ended, for the ledger.
    pub ledger: Arc<dyn Fn(&Round) + Send + Sync>,
}

impl Outlet {
    /// Nobody is told.
    pub fn nobody() -> Self {
        Self {
            offer: Arc::new(|_| {}),
            snapshot: Arc::new(|| serde_json::Value::Null),
            release: Arc::new(|| {}),
            ledger: Arc::new(|_| {}),
        }
    }
}

/// What the engine works with.
#[derive(Clone)]
pub struct Parts {
    /// What is asked.
    pub store: Store,
    /// Where results go.
    pub record: Record,
    /// Where the faces look.
    pub views: Views,
    /// Sources, counters, notes.
    pub board: Board,
    /// What outlives the process.
    pub files: Files,
    /// Who is told.
    pub outlet: Outlet,
    /// Which source brings what.
    pub catalogue: Arc<Catalogue>,
    /// What all groups have in common.
    pub setting: Setting,
    /// Time between two rounds of a group that names none.
    pub interval: Duration,
}

/// All groups. Clones share them.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    parts: Parts,
    runs: Vec<Mutex<Run>>,
    recorded: BTreeMap<String, Query>,
    told: Mutex<Told>,
    /// Held while the state file is written, so that an older state never replaces a newer one.
    saving: Mutex<()>,
    permits: Semaphore,
}

/// What the latest rounds said, so that one group's end needs no other's lock.
struct Told {
    saved: Vec<Vec<SavedRule>>,
    /// Of rules that are gone, until the end of their alerts is told.
    left: Vec<SavedRule>,
    views: Vec<GroupView>,
    fleet: Vec<GroupView>,
}

/// Groups that are evaluated at a time.
const AT_A_TIME: usize = 2;
/// An agent that was away longer than this (milliseconds) did not see what went on: waiting alerts go on where they
/// stood.
const AWAY: i64 = 60_000;
/// The longest time (milliseconds) that a restored alert is held though its series is missing.
const HELD: i64 = 600_000;
/// While a group waits for its slot, the heartbeat hears of it so often: it must not end between two rounds that are far
/// apart.
const BEAT: Duration = Duration::from_secs(60);

impl Engine {
    /// Over `groups`, with `fleet` to be shown only. State comes from `before`, the engine before a reload, else from
    /// the state file. Answers with what notifiers left in the file, too.
    pub fn new(
        groups: Vec<Group>,
        fleet: Vec<Group>,
        parts: Parts,
        before: Option<&Self>,
        now: i64,
    ) -> (Self, serde_json::Value) {
        let recorded = recorded(groups.iter().flat_map(|group| &group.rules));
        let mut runs: Vec<Run> = groups.into_iter().map(|group| Run::new(group, parts.interval)).collect();
        let (left, waiting) = match before {
            Some(before) => (before.hand_over(&mut runs, now), serde_json::Value::Null),
            None => restore(&mut runs, &parts, now),
        };
        let fleet = fleet.into_iter().map(|group| Run::new(group, parts.interval).view(|_| Presence::Fleet)).collect();
        let told = Told {
            saved: runs.iter().map(persist::saved).collect(),
            left,
            views: runs.iter().map(|run| run.view(|_| Presence::Here)).collect(),
            fleet,
        };
        let shared = Shared {
            parts,
            runs: runs.into_iter().map(Mutex::new).collect(),
            recorded,
            told: Mutex::new(told),
            saving: Mutex::new(()),
            permits: Semaphore::new(AT_A_TIME),
        };
        let engine = Self { shared: Arc::new(shared) };
        engine.show();
        (engine, waiting)
    }

    /// Gives the state of each group to its successor and ends the series of what is gone; answers with the alerts of
    /// rules that have no successor.
    fn hand_over(&self, new: &mut [Run], now: i64) -> Vec<SavedRule> {
        let interval = self.shared.parts.interval;
        let take = |run: &Mutex<Run>| {
            let mut run = lock(run);
            let empty = Run::new(run.group().clone(), interval);
            std::mem::replace(&mut *run, empty)
        };
        let mut old: Vec<Run> = self.shared.runs.iter().map(take).collect();
        let places = |runs: &[Run]| runs.iter().map(Place::of).collect::<Vec<_>>();
        let successors = persist::successors(&places(&old), &places(new));
        for (old, successor) in old.iter_mut().zip(successors) {
            if let Some(new) = successor.and_then(|at| new.get_mut(at)) {
                old.hand_over(new);
            }
        }
        self.end(old.iter().flat_map(|run| run.ends(now)).collect());
        // What an earlier reload left and nobody was told of yet.
        let untold = std::mem::take(&mut lock(&self.shared.told).left);
        untold.into_iter().chain(old.iter().flat_map(persist::saved)).collect()
    }

    /// Ends all series that the rules yielded, once the rules have stopped; what alerts are is kept.
    pub fn end_series(&self, now: i64) {
        self.end(self.shared.runs.iter().flat_map(|run| lock(run).ends(now)).collect());
    }

    fn end(&self, ended: Vec<(Labels, Sample)>) {
        if !ended.is_empty() {
            (self.shared.parts.record)(&ended);
        }
    }

    /// Tells, once, of the end of what fired under rules that are gone. Until it is told the state file has it.
    fn end_left(&self, now: i64) {
        let left = lock(&self.shared.told).left.clone();
        if left.is_empty() {
            return;
        }
        let resolved = persist::ended(&left, now);
        let send = resolved.iter().map(|(_, alert)| alert.message(now, "")).collect();
        let round = Round { send, resolved, ..Round::default() };
        (self.shared.parts.outlet.offer)(&round.send);
        (self.shared.parts.outlet.ledger)(&round);
        lock(&self.shared.told).left.clear();
        self.save(now);
    }

    /// Runs every group at its slots until `stop`; first waits for the first round of the sources that `waits` names,
    /// for each at most its time.
    pub async fn run(self, waits: Vec<(String, Duration)>, stop: Stop) {
        self.blocking(|engine| engine.end_left(now_millis())).await;
        self.first_rounds(waits, &stop).await;
        let turns: Vec<_> =
            (0..self.shared.runs.len()).map(|index| tokio::spawn(turn(self.clone(), index, stop.clone()))).collect();
        for turn in turns {
            if let Err(error) = turn.await {
                tracing::error!(%error, "a group of rules ended by a fault of its own");
                self.shared.parts.board.note(
                    "alerts",
                    Some("a group of rules stopped by a fault of its own: restart plimsoll and report its log".into()),
                );
            }
        }
        self.blocking(|engine| engine.save(now_millis())).await;
    }

    /// What writes the state file, where blocking is allowed.
    async fn blocking(&self, act: impl FnOnce(&Self) + Send + 'static) {
        let engine = self.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || act(&engine)).await {
            tracing::error!(%error, "the state of alerts could not be kept");
        }
    }

    /// Waits for `time`, shorter when stopped; true when stopped. Says each `beat` that the wait goes on.
    async fn idle(&self, time: Duration, beat: Duration, stop: &Stop) -> bool {
        let began = tokio::time::Instant::now();
        loop {
            let rest = time.saturating_sub(began.elapsed());
            if stop.sleep(rest.min(beat)).await {
                return true;
            }
            if rest <= beat {
                return false;
            }
            (self.shared.parts.outlet.offer)(&[]);
        }
    }

    async fn first_rounds(&self, waits: Vec<(String, Duration)>, stop: &Stop) {
        let began = tokio::time::Instant::now();
        for (name, time) in waits {
            let source = self.shared.parts.board.source(&name);
            let waited = || source.last_success.get() == 0 && source.failures.get() == 0 && began.elapsed() < time;
            while waited() {
                if stop.sleep(Duration::from_millis(50)).await {
                    return;
                }
            }
        }
    }

    /// One round of the group at `index`, whose slot is `ts`; `missed` slots before it were left out. It blocks.
    pub fn round(&self, index: usize, ts: i64, missed: u64) {
        let Some(run) = self.shared.runs.get(index) else { return };
        let parts = &self.shared.parts;
        let mut run = lock(run);
        run.missed += missed;
        let began = std::time::Instant::now();
        let round = run.evaluate(ts, &parts.store, &parts.setting, &mut |rows| (parts.record)(rows));
        let took = began.elapsed();
        let scene = self.scene(ts);
        let (view, saved) = (run.view(|rule| scene.presence(rule)), persist::saved(&run));
        drop(run);
        // Another group's save may come at any moment: it must not keep that a message was sent without the message.
        (parts.outlet.offer)(&round.send);
        {
            let mut told = lock(&self.shared.told);
            told.views[index] = view;
            told.saved[index] = saved;
        }
        count::round(&parts.board, &round, missed, took);
        self.show();
        (parts.outlet.ledger)(&round);
        if round.kept || !round.send.is_empty() {
            self.save(ts);
        } else {
            parts.files.touch(ts);
        }
    }

    /// Writes the state file, then lets messages leave. Also to be called when a message was delivered.
    pub fn save(&self, now: i64) {
        let parts = &self.shared.parts;
        let saving = lock(&self.shared.saving);
        let rules = {
            let told = lock(&self.shared.told);
            told.saved.iter().flatten().chain(&told.left).cloned().collect()
        };
        // What waits is asked after what was sent, so that nothing falls between the two.
        let saved = Saved { format: persist::FORMAT, at: now, rules, waiting: (parts.outlet.snapshot)() };
        let written = parts.files.save(&saved);
        if let Err(error) = &written {
            tracing::error!(error, "alerts may be sent twice after a restart");
        }
        parts.board.note("alerts state", written.err());
        // Also when it could not be written: a page that may be repeated is better than none.
        (parts.outlet.release)();
        drop(saving);
    }

    /// When the group at `index` ran last or would have run last at `now`, and its interval.
    pub fn slot(&self, index: usize, now: i64) -> Option<(i64, i64)> {
        let run = lock(self.shared.runs.get(index)?);
        Some((run.slot(now), run.interval()))
    }

    /// What fires now.
    pub fn firing(&self) -> Vec<notify::Alert> {
        let mut out = Vec::new();
        for run in &self.shared.runs {
            let run = lock(run);
            let active = run.alerts().flat_map(|(_, alerts)| alerts.active());
            out.extend(active.filter(|alert| alert.fired_at.is_some()).map(|alert| alert.message(0, "")));
        }
        out
    }

    fn scene(&self, now: i64) -> Scene<'_> {
        let Parts { catalogue, board, store, .. } = &self.shared.parts;
        Scene { catalogue, board, store, recorded: &self.shared.recorded, now }
    }

    fn show(&self) {
        let told = lock(&self.shared.told);
        let groups: Vec<GroupView> = told.views.iter().chain(&told.fleet).cloned().collect();
        drop(told);
        let view = View { off: false, groups };
        count::view(&self.shared.parts.board, &view);
        self.shared.parts.views.set(view);
    }
}

/// Shows that the rules of this box are switched off.
pub fn show_off(board: &Board, views: &Views) {
    let view = View { off: true, groups: Vec::new() };
    count::view(board, &view);
    views.set(view);
}

/// The alerts that an earlier life kept, back in `runs`; those of rules that are gone, and what notifiers left.
fn restore(runs: &mut [Run], parts: &Parts, now: i64) -> (Vec<SavedRule>, serde_json::Value) {
    let (saved, fault) = parts.files.load();
    // A name of its own: the first good write must not take it away.
    parts.board.note("alerts kept", fault);
    let Some(saved) = saved else { return (Vec::new(), serde_json::Value::Null) };
    let away = now.saturating_sub(saved.at).max(0);
    let shift = if away > AWAY { away } else { 0 };
    let (restored, left) = persist::restore(runs, &saved.rules);
    for (at, index) in restored {
        let reach = runs[at].group().rules.get(index).map_or(0, |rule| rule.expr.reach());
        runs[at].resume(index, now, now + reach.clamp(0, HELD), shift);
    }
    (left, saved.waiting)
}

/// One group at its slots. A late start leaves whole slots out and counts them; nothing is made up for.
async fn turn(engine: Engine, index: usize, stop: Stop) {
    let Some((mut last, interval)) = engine.slot(index, now_millis()) else { return };
    loop {
        let now = now_millis();
        let next = last + interval;
        if next > now {
            // A clock that was set back: from here on.
            if next - now > interval {
                last = engine.slot(index, now).map_or(last, |(slot, _)| slot);
                continue;
            }
            if engine.idle(Duration::from_millis((next - now).unsigned_abs()), BEAT, &stop).await {
                return;
            }
            continue;
        }
        let Some((slot, _)) = engine.slot(index, now) else { return };
        let missed = u64::try_from((slot - last) / interval - 1).unwrap_or(0);
        last = slot;
        let permit = tokio::select! {
            () = stop.wait() => return,
            permit = engine.shared.permits.acquire() => permit,
        };
        let engine = engine.clone();
        let done = tokio::task::spawn_blocking(move || engine.round(index, slot, missed)).await;
        drop(permit);
        if let Err(error) = done {
            tracing::error!(%error, "a round of rules ended by a fault of its own");
        }
    }
}

/// The wall clock, Unix milliseconds.
fn now_millis() -> i64 {
    i64::try_from(clock::unix_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// A poisoned lock still guards plain data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
