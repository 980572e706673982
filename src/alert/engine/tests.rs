//! The loop over groups with a time that the test sets: waiting, missed slots, restart, reload.

use super::*;
use crate::alert::group;
use crate::alert::rules::{Kind, Rule};
use crate::query::Limits;

const STEP: i64 = 15_000;

/// A box whose agent can be started anew: store, state folder and what was told outlive it.
struct Site {
    folder: tempfile::TempDir,
    store: Store,
    board: Board,
    views: Views,
    told: Arc<Mutex<Vec<notify::Alert>>>,
    /// What was released after each offer, with the state file's alerts at that moment.
    released: Arc<Mutex<Vec<usize>>>,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (store, board, views) = (Store::memory(), Board::new(), Views::default());
        Self { folder, store, board, views, told: Arc::default(), released: Arc::default() }
    }

    fn start(&self, groups: Vec<Group>, before: Option<&Engine>, now: i64) -> Engine {
        let (told, released) = (Arc::clone(&self.told), Arc::clone(&self.released));
        let (store, files) = (self.store.clone(), Files::new(self.folder.path()));
        let outlet = Outlet {
            offer: Arc::new(move |alerts| told.lock().unwrap().extend_from_slice(alerts)),
            release: Arc::new(move || {
                let saved = Files::load(&files).0.unwrap();
                let sent = saved.rules.iter().flat_map(|rule| &rule.alerts).filter(|alert| alert.sent_at.is_some());
                released.lock().unwrap().push(sent.count());
            }),
            ..Outlet::nobody()
        };
        let limits = Limits {
            samples: 1_000_000,
            steps: 11_000,
            time: Duration::from_secs(60),
            lookback: Duration::from_secs(300),
            delayed_name_removal: false,
        };
        let setting = Setting {
            external_labels: Labels::default(),
            external_url: "http://box".into(),
            host: "box".into(),
            limits,
            failing: true,
        };
        let parts = Parts {
            store: self.store.clone(),
            record: Arc::new(move |rows| store.append_all(rows).map(group::refused)),
            views: self.views.clone(),
            board: self.board.clone(),
            files: Files::new(self.folder.path()),
            outlet,
            catalogue: Arc::default(),
            setting,
            interval: Duration::from_secs(15),
        };
        Engine::new(groups, Vec::new(), parts, before, now).0
    }

    fn load(&self, t: i64, v: f64) {
        self.store.append(&Labels::new([("__name__", "load"), ("instance", "a")]), Sample { t, v });
    }

    /// Rounds from `from` to `to` with a load of `v` in each.
    fn rounds(&self, engine: &Engine, from: i64, to: i64, v: f64) {
        for index in from..=to {
            self.load(index * STEP, v);
            engine.round(0, index * STEP, 0);
        }
    }

    /// What was told since the last time, in short.
    fn told(&self) -> Vec<(i64, bool)> {
        self.told.lock().unwrap().drain(..).map(|alert| (alert.starts_at / STEP, alert.resolved)).collect()
    }

    fn state(&self) -> &'static str {
        self.views.get().groups[0].rules[0].state()
    }
}

fn group(expr: &str, hold: Duration) -> Group {
    let kind = Kind::Alert { hold, keep: Duration::ZERO, annotations: Vec::new() };
    let rule = Rule { kind, name: "Loaded".into(), expr: Query::parse(expr).unwrap(), labels: Vec::new(), line: 1 };
    Group {
        file: "/etc/plimsoll/alerts/shop.yaml".into(),
        name: "shop".into(),
        interval: None,
        limit: 0,
        query_offset: Duration::ZERO,
        rules: vec![rule],
    }
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

#[test]
fn an_agent_that_is_killed_while_an_alert_waits_fires_it_at_the_time_it_would_have() {
    let site = Site::new();
    let groups = || vec![group("load > 3", minutes(2))];
    site.rounds(&site.start(groups(), None, 0), 1, 4, 9.0);
    // Nothing was closed: this is a kill. Away for 30 s.
    let again = site.start(groups(), None, 6 * STEP);
    site.rounds(&again, 7, 8, 9.0);
    assert_eq!((site.told(), site.state()), (Vec::new(), "pending"));
    site.rounds(&again, 9, 9, 9.0);
    assert_eq!((site.told(), site.state()), (vec![(9, false)], "firing"), "active since 1, for 8 rounds");
}

#[test]
fn what_was_sent_is_not_new_after_a_restart() {
    let site = Site::new();
    let groups = || vec![group("load > 3", Duration::ZERO)];
    site.rounds(&site.start(groups(), None, 0), 1, 2, 9.0);
    assert_eq!(site.told(), [(1, false)]);
    let again = site.start(groups(), None, 3 * STEP);
    site.rounds(&again, 4, 5, 9.0);
    assert_eq!(site.told(), [], "the resend delay has not passed");
    site.rounds(&again, 6, 6, 9.0);
    assert_eq!(site.told(), [(1, false)], "the same start");
    site.rounds(&again, 7, 7, 0.0);
    assert_eq!(site.told(), [(1, true)]);
}

#[test]
fn a_long_time_away_is_no_time_that_an_alert_waited() {
    let site = Site::new();
    let groups = || vec![group("load > 3", minutes(2))];
    site.rounds(&site.start(groups(), None, 0), 1, 5, 9.0);
    let again = site.start(groups(), None, 5 * STEP + 3_600_000);
    let first = 5 + 3_600_000 / STEP;
    site.rounds(&again, first + 1, first + 3, 9.0);
    assert_eq!(site.told(), [], "it waited 4 rounds before and 3 after");
    site.rounds(&again, first + 4, first + 4, 9.0);
    assert_eq!(site.told().len(), 1);
}

#[test]
fn a_firing_alert_outlives_the_gap_that_the_time_away_left_in_its_range() {
    let site = Site::new();
    let groups = || vec![group("min_over_time(load[5m]) > 3 and count_over_time(load[5m]) > 3", Duration::ZERO)];
    site.rounds(&site.start(groups(), None, 0), 1, 4, 9.0);
    assert_eq!(site.told(), [(4, false)]);
    let first = 4 + 3_600_000 / STEP;
    let again = site.start(groups(), None, first * STEP);
    site.rounds(&again, first + 1, first + 3, 9.0);
    assert!(site.told().iter().all(|told| *told == (4, false)), "held, and resent as it was");
    site.rounds(&again, first + 4, first + 24, 9.0);
    assert!(site.told().iter().all(|told| *told == (4, false)), "its data is back");
    site.rounds(&again, first + 25, first + 25, 0.0);
    assert_eq!(site.told().last(), Some(&(4, true)));
}

#[test]
fn the_state_lies_on_disk_before_a_message_leaves() {
    let site = Site::new();
    let engine = site.start(vec![group("load > 3", Duration::ZERO)], None, 0);
    site.rounds(&engine, 1, 1, 9.0);
    assert_eq!(*site.released.lock().unwrap(), [1], "the file knew that it was sent");
}

#[test]
fn a_reload_keeps_the_state_and_ends_the_series_of_rules_that_are_gone() {
    let site = Site::new();
    let old = site.start(vec![group("load > 3", minutes(2))], None, 0);
    site.rounds(&old, 1, 5, 9.0);
    let new = site.start(vec![group("load > 4", minutes(2))], Some(&old), 5 * STEP + 1);
    site.rounds(&new, 6, 9, 9.0);
    assert_eq!(site.told(), [(9, false)]);
    site.start(Vec::new(), Some(&new), 9 * STEP + 1);
    let ask = Query::parse("ALERTS").unwrap();
    let parts = &new.shared.parts;
    let answer = crate::query::instant(&site.store, &ask, 9 * STEP + 1, parts.setting.limits).unwrap();
    assert_eq!(answer.value, crate::query::Value::Vector(Vec::new()));
}

#[test]
fn what_fired_under_a_rule_that_is_gone_is_told_to_have_ended_once() {
    let site = Site::new();
    let groups = || vec![group("load > 3", Duration::ZERO)];
    let old = site.start(groups(), None, 0);
    site.rounds(&old, 1, 1, 9.0);
    assert_eq!(site.told(), [(1, false)]);
    // By a reload; it is killed before anybody could be told, and so is the life after it.
    site.start(Vec::new(), Some(&old), 2 * STEP).save(2 * STEP);
    site.start(Vec::new(), None, 3 * STEP).save(3 * STEP);
    assert_eq!(site.told(), []);
    let new = site.start(Vec::new(), None, 4 * STEP);
    new.end_left(5 * STEP);
    let ended = site.told.lock().unwrap()[0].clone();
    assert_eq!((site.told(), ended.ends_at, ended.labels.get("alertname")), (vec![(1, true)], 5 * STEP, "Loaded"));
    new.end_left(6 * STEP);
    site.start(Vec::new(), None, 7 * STEP).end_left(7 * STEP);
    assert_eq!(site.told(), []);
}

#[tokio::test]
async fn the_end_of_what_is_gone_is_told_before_the_first_round() {
    let site = Site::new();
    let old = site.start(vec![group("load > 3", Duration::ZERO), group("load > 100", Duration::ZERO)], None, 0);
    site.rounds(&old, 1, 1, 9.0);
    assert_eq!(site.told(), [(1, false)]);
    let new = site.start(Vec::new(), Some(&old), 2 * STEP);
    let stop = Stop::new();
    stop.set();
    new.run(Vec::new(), stop).await;
    assert_eq!(site.told(), [(1, true)]);
}

#[test]
fn two_files_of_one_name_keep_their_states_apart() {
    let in_folder = |folder: &str, expr: &str| {
        let file = format!("/etc/{folder}/shop.yaml").into();
        Group { file, ..group(expr, Duration::ZERO) }
    };
    let both = || vec![in_folder("a", "load > 100"), in_folder("b", "load > 3")];
    let site = Site::new();
    let fires = |engine: &Engine, round: i64| {
        site.load(round * STEP, 9.0);
        (0..engine.shared.runs.len()).for_each(|index| engine.round(index, round * STEP, 0));
        let views = site.views.get();
        views.groups.iter().map(|group| group.rules[0].state() == "firing").collect::<Vec<_>>()
    };
    let first = site.start(both(), None, 0);
    assert_eq!((fires(&first, 1), site.told()), (vec![false, true], vec![(1, false)]));
    let reloaded = site.start(both(), Some(&first), STEP + 1);
    assert_eq!((fires(&reloaded, 2), site.told()), (vec![false, true], Vec::new()));
    let again = site.start(both(), None, 2 * STEP + 1);
    assert_eq!((fires(&again, 3), site.told()), (vec![false, true], Vec::new()));
    // The one that fired is gone: the other one does not take it over.
    let one = site.start(vec![in_folder("a", "load > 100")], Some(&again), 3 * STEP + 1);
    one.end_left(3 * STEP + 2);
    assert_eq!(site.told(), [(1, true)]);
    // A file that moves keeps what it knows.
    let moved = site.start(vec![in_folder("a", "load > 3")], Some(&one), 3 * STEP + 3);
    assert_eq!((fires(&moved, 4), site.told()), (vec![true], vec![(4, false)]));
    let moved = site.start(vec![in_folder("c", "load > 3")], Some(&moved), 4 * STEP + 1);
    assert_eq!((fires(&moved, 5), site.told()), (vec![true], Vec::new()));
    let moved = site.start(vec![in_folder("d", "load > 3")], None, 5 * STEP + 1);
    assert_eq!((fires(&moved, 6), site.told()), (vec![true], Vec::new()));
}

#[test]
fn the_state_is_never_on_disk_without_the_message_that_it_says_was_sent() {
    let site = Site::new();
    let mut parts = site.start(Vec::new(), None, 0).shared.parts.clone();
    let (own, seen) = (Arc::new(std::sync::OnceLock::<Engine>::new()), Arc::new(Mutex::new(Vec::new())));
    // The end of another group's round, which may come at any moment: how many rules and messages it keeps.
    let save = {
        let (own, seen, files) = (Arc::clone(&own), Arc::clone(&seen), Files::new(site.folder.path()));
        move || {
            own.get().unwrap().save(STEP);
            let saved = files.load().0.unwrap();
            seen.lock().unwrap().push((saved.rules.len(), saved.waiting));
        }
    };
    let told = Arc::clone(&site.told);
    parts.outlet.snapshot = Arc::new(move || told.lock().unwrap().len().into());
    let (offer, save_then) = (Arc::clone(&parts.outlet.offer), save.clone());
    parts.outlet.offer = Arc::new(move |alerts| {
        offer(alerts);
        save_then();
    });
    parts.outlet.ledger = Arc::new(move |_| save());
    let engine = Engine::new(vec![group("load > 3", Duration::ZERO)], Vec::new(), parts, None, 0).0;
    own.set(engine.clone()).ok().unwrap();
    site.rounds(&engine, 1, 1, 9.0);
    assert_eq!(*seen.lock().unwrap(), [(0, 1.into()), (1, 1.into())]);
}

#[tokio::test]
async fn a_group_that_waits_for_long_says_that_it_does() {
    let site = Site::new();
    let mut parts = site.start(Vec::new(), None, 0).shared.parts.clone();
    let (stop, beats) = (Stop::new(), Arc::new(std::sync::atomic::AtomicUsize::new(0)));
    let (ends, counts) = (stop.clone(), Arc::clone(&beats));
    parts.outlet.offer = Arc::new(move |alerts| {
        assert!(alerts.is_empty());
        if counts.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 2 {
            ends.set();
        }
    });
    let engine = Engine::new(Vec::new(), Vec::new(), parts, None, 0).0;
    let wait = engine.idle(Duration::from_secs(3600), Duration::from_millis(1), &stop);
    let stopped = tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
    assert_eq!((stopped, beats.load(std::sync::atomic::Ordering::Relaxed)), (true, 3));
    let short = engine.idle(Duration::from_millis(1), Duration::from_secs(3600), &Stop::new()).await;
    assert_eq!((short, beats.load(std::sync::atomic::Ordering::Relaxed)), (false, 3), "one that is over soon need not");
}

#[test]
fn the_board_counts_rounds_and_says_how_the_rules_stand() {
    let site = Site::new();
    let engine = site.start(vec![group("load > 3", minutes(1))], None, 0);
    let rules = site.board.rules();
    assert_eq!((rules.waiting.get(), rules.quiet.get()), (1, 0), "nobody asked it yet");
    site.rounds(&engine, 1, 2, 0.0);
    assert_eq!((rules.waiting.get(), rules.quiet.get()), (0, 1));
    assert_eq!((rules.evaluations.get(), rules.failures.get()), (2, 0));
    site.load(5 * STEP, 9.0);
    engine.round(0, 5 * STEP, 2);
    assert_eq!((rules.pending.get(), rules.quiet.get(), rules.missed.get()), (1, 0, 2));
    assert_eq!(site.views.get().groups[0].missed, 2);
    show_off(&site.board, &site.views);
    assert_eq!((rules.off.get(), rules.pending.get()), (1, 0));
}

#[tokio::test]
async fn groups_wait_for_the_first_round_of_each_source_and_end_with_the_state_on_disk() {
    let site = Site::new();
    let engine = site.start(vec![group("vector(1)", Duration::ZERO)], None, 0);
    let (source, stop) = (site.board.source("host"), Stop::new());
    let waits = vec![("host".to_owned(), Duration::from_secs(3600)), ("dead".to_owned(), Duration::ZERO)];
    let running = tokio::spawn(engine.run(waits, stop.clone()));
    tokio::task::yield_now().await;
    assert!(!running.is_finished());
    source.last_success.set(1);
    stop.set();
    tokio::time::timeout(Duration::from_secs(30), running).await.unwrap().unwrap();
    assert!(site.folder.path().join("alerts.json").exists());
}
