//! Rounds of groups over a small store: order, recorded series, stale markers, limits, slots.

use super::*;
use crate::alert::template::Template;
use crate::query::Query;

const STEP: i64 = 15_000;

fn template(text: &str) -> Template {
    Template::parse(text).unwrap()
}

fn record(name: &str, expr: &str) -> Rule {
    Rule { kind: Kind::Record, name: name.into(), expr: Query::parse(expr).unwrap(), labels: Vec::new(), line: 1 }
}

fn alert(name: &str, expr: &str, hold: i64) -> Rule {
    let kind = Kind::Alert {
        hold: Duration::from_millis(hold.unsigned_abs()),
        keep: Duration::ZERO,
        annotations: vec![("summary".into(), template("it hurts"))],
    };
    let labels = vec![("severity".into(), template("page"))];
    Rule { kind, labels, ..record(name, expr) }
}

fn run(rules: Vec<Rule>) -> Run {
    let group = Group {
        file: "shop.yaml".into(),
        name: "shop".into(),
        interval: None,
        limit: 0,
        query_offset: Duration::ZERO,
        rules,
    };
    Run::new(group, Duration::from_secs(15))
}

fn setting() -> Setting {
    let limits = Limits {
        samples: 1_000_000,
        steps: 11_000,
        time: Duration::from_secs(60),
        lookback: Duration::from_secs(300),
        delayed_name_removal: false,
    };
    let (external_labels, external_url) = (Labels::default(), "http://box:1876".into());
    Setting { external_labels, external_url, host: "box".into(), limits, failing: true }
}

fn put(store: &Store, name: &str, instance: &str, t: i64, v: f64) {
    let labels = Labels::new([(crate::store::labels::NAME, name), ("instance", instance)]);
    assert_eq!(store.append(&labels, Sample { t, v }), Taken::Yes);
}

fn round(run: &mut Run, store: &Store, ts: i64) -> Round {
    run.evaluate(ts, store, &setting(), &mut |rows| store.append_all(rows).map(refused))
}

/// The value of a selector at a time, of each series.
fn ask(store: &Store, expr: &str, at: i64) -> Vec<(String, f64)> {
    let answer = crate::query::instant(store, &Query::parse(expr).unwrap(), at, setting().limits).unwrap();
    let crate::query::Value::Vector(all) = answer.value else { panic!("no vector") };
    all.into_iter().map(|element| (element.labels.to_string(), element.sample.v)).collect()
}

#[test]
fn later_rules_see_what_earlier_ones_yield_in_the_same_round() {
    let store = Store::memory();
    put(&store, "load", "a", STEP, 4.0);
    let mut run = run(vec![
        record("load:double", "load * 2"),
        alert("Loaded", "load:double > 7", 0),
        record("pages", "count(ALERTS{alertstate=\"firing\"})"),
    ]);
    let round = round(&mut run, &store, STEP);
    assert_eq!((round.evaluations, round.failures, round.fired.len()), (3, 0, 1));
    assert_eq!(ask(&store, "pages", STEP), [("pages".to_owned(), 1.0)]);
    let sent = &round.send[0];
    assert_eq!(sent.labels.to_string(), "{alertname=\"Loaded\", instance=\"a\", severity=\"page\"}");
    assert_eq!((sent.starts_at, sent.ends_at, sent.value), (STEP, STEP + 240_000, 8.0));
    assert_eq!(sent.generator_url, "http://box:1876/graph?g0.expr=load%3Adouble+%3E+7&g0.tab=1");
}

#[test]
fn a_series_that_is_gone_ends_with_a_marker_at_once() {
    let store = Store::memory();
    put(&store, "load", "a", STEP, 4.0);
    let mut run = run(vec![record("load:double", "load * 2"), alert("Loaded", "load > 3", STEP)]);
    round(&mut run, &store, STEP);
    put(&store, "load", "a", 2 * STEP, 4.0);
    round(&mut run, &store, 2 * STEP);
    let states = |at| ask(&store, "ALERTS", at).into_iter().map(|(labels, _)| labels).collect::<Vec<_>>();
    assert_eq!(states(STEP).len(), 1);
    assert!(
        states(2 * STEP).len() == 1 && states(2 * STEP)[0].contains("firing"),
        "pending ended: {:?}",
        states(2 * STEP)
    );
    put(&store, "load", "a", 3 * STEP, STALE);
    let ended = round(&mut run, &store, 3 * STEP);
    assert_eq!(ended.resolved.len(), 1);
    for gone in ["load:double", "ALERTS", "ALERTS_FOR_STATE"] {
        assert_eq!(ask(&store, gone, 3 * STEP), [], "{gone}");
    }
}

#[test]
fn a_rule_that_fails_is_told_by_an_alert_of_its_own_and_its_alerts_stay() {
    let store = Store::memory();
    put(&store, "load", "a", STEP, 4.0);
    // The first half drops the label that keeps them apart as soon as there are two.
    let mut run = run(vec![alert("Loaded", "label_replace(load > 3, \"instance\", \"x\", \"\", \"\")", 0)]);
    assert_eq!(round(&mut run, &store, STEP).fired.len(), 1);
    let hold = millis(FAILING_HOLD);
    let mut told = Vec::new();
    for ts in (2 * STEP..=3 * STEP + hold).step_by(15_000) {
        put(&store, "load", "a", ts, 4.0);
        put(&store, "load", "b", ts, 4.0);
        let round = round(&mut run, &store, ts);
        assert_eq!((round.failures, round.resolved.len()), (1, 0), "at {ts}");
        told.extend(round.send.into_iter().map(|alert| (ts, alert.labels.get("alertname").to_owned())));
    }
    assert_eq!(told.first(), Some(&(2 * STEP + hold, FAILING.to_owned())), "nothing else is sent");
    let view = run.view(|_| Presence::Here);
    assert!(!view.rules[0].error.is_empty());
    assert_eq!((view.rules[0].state(), view.rules[1].name.as_str()), ("firing", FAILING));
}

#[test]
fn recorded_series_that_come_out_equal_or_too_many_are_an_error() {
    let store = Store::memory();
    put(&store, "load", "a", STEP, 4.0);
    put(&store, "load", "b", STEP, 5.0);
    let mut equal = record("load:all", "load");
    equal.labels = vec![("instance".into(), template("box"))];
    let mut run = run(vec![equal, record("load:copy", "load")]);
    run.group.limit = 1;
    assert_eq!(round(&mut run, &store, STEP).failures, 2);
    let view = run.view(|_| Presence::Here);
    assert!(view.rules[0].error.contains("same labelset"), "{}", view.rules[0].error);
    assert_eq!(view.rules[1].error, "exceeded limit of 1 with 2 series");
}

#[test]
fn two_rules_that_record_one_series_contradict_each_other() {
    let store = Store::memory();
    put(&store, "load", "a", STEP, 4.0);
    let half = record("load:some", "load / 2");
    let mut run = run(vec![record("load:some", "load"), half, record("load:copy", "load")]);
    assert_eq!(round(&mut run, &store, STEP).failures, 1);
    let errors: Vec<_> = run.errors().collect();
    let wanted = "duplicate sample for timestamp: load:some{instance=\"a\"} comes from another rule too";
    assert_eq!(errors, [("load:some", wanted)]);
    assert_eq!(ask(&store, "load:some", STEP)[0].1, 4.0, "the first one holds");
    // What is the same is no contradiction.
    put(&store, "load", "a", 2 * STEP, 0.0);
    assert_eq!((round(&mut run, &store, 2 * STEP).failures, run.errors().count()), (0, 0));
}

#[test]
fn the_offset_moves_the_query_and_its_results() {
    let store = Store::memory();
    put(&store, "load", "a", STEP, 4.0);
    put(&store, "load", "a", 2 * STEP, 9.0);
    let mut run = run(vec![record("load:copy", "load"), alert("Loaded", "load > 3", 0)]);
    run.group.query_offset = Duration::from_secs(15);
    let round = round(&mut run, &store, 2 * STEP);
    assert_eq!(ask(&store, "load:copy", STEP)[0].1, 4.0);
    assert_eq!((round.send[0].value, round.send[0].starts_at), (4.0, 2 * STEP), "states are of the slot");
}

#[test]
fn what_yields_to_a_reload_ends_where_its_results_stand() {
    let store = Store::memory();
    put(&store, "load", "a", STEP, 4.0);
    let mut run = run(vec![record("load:copy", "load")]);
    run.group.query_offset = Duration::from_secs(15);
    round(&mut run, &store, 2 * STEP);
    // A group that fails has a row of its own, of which the offset is none.
    run.failing.previous.insert(Labels::new([(crate::store::labels::NAME, "own")]));
    let ends: Vec<_> =
        run.ends(2 * STEP + 1).into_iter().map(|(labels, end)| (labels.name().to_owned(), end.t)).collect();
    assert_eq!(ends, [("load:copy".to_owned(), STEP + 1), ("own".to_owned(), 2 * STEP + 1)]);
}

#[test]
fn what_a_limit_takes_away_is_told_to_have_ended_once() {
    let store = Store::memory();
    put(&store, "load", "a", STEP, 4.0);
    let mut run = run(vec![alert("Loaded", "load > 3", 0)]);
    run.group.limit = 1;
    assert_eq!(round(&mut run, &store, STEP).send.len(), 1);
    put(&store, "load", "a", 2 * STEP, 4.0);
    put(&store, "load", "b", 2 * STEP, 4.0);
    let over = round(&mut run, &store, 2 * STEP);
    let told: Vec<_> = over.send.iter().map(|one| (one.labels.get("instance"), one.resolved, one.starts_at)).collect();
    assert_eq!((told, over.failures, over.kept), (vec![("a", true, STEP)], 1, true));
    assert_eq!((over.send[0].ends_at, over.resolved.len()), (2 * STEP, 1));
    let over = round(&mut run, &store, 2 * STEP + 1);
    assert!(over.send.is_empty() && over.resolved.is_empty(), "{over:?}");
}

#[test]
fn what_is_no_number_and_infinite_goes_through_as_in_prometheus() {
    let store = Store::memory();
    put(&store, "load", "a", STEP, f64::NAN);
    put(&store, "load", "b", STEP, f64::INFINITY);
    let mut run = run(vec![record("load:copy", "load"), alert("Any", "load", 0), alert("More", "load > 1", 0)]);
    let round = round(&mut run, &store, STEP);
    assert_eq!(ask(&store, "count(load:copy)", STEP)[0].1, 2.0);
    let names: Vec<_> = round.fired.iter().map(|(rule, alert)| (rule.as_str(), alert.labels.get("instance"))).collect();
    assert_eq!(names, [("Any", "a"), ("Any", "b"), ("More", "b")]);
}

#[test]
fn a_reload_keeps_the_state_of_rules_with_the_same_name_and_labels() {
    let store = Store::memory();
    put(&store, "load", "a", STEP, 4.0);
    let mut old = run(vec![alert("Loaded", "load > 3", 0), alert("Gone", "load > 2", 0)]);
    round(&mut old, &store, STEP);
    let mut new = run(vec![record("first", "load"), alert("Loaded", "load > 1", 0)]);
    old.hand_over(&mut new);
    let gone = old.ends(STEP + 1);
    assert!(gone.len() == 2 && gone.iter().all(|(labels, _)| labels.get("alertname") == "Gone"), "{gone:?}");
    let left: Vec<_> = old.alerts().filter(|(_, alerts)| alerts.iter().next().is_some()).collect();
    assert_eq!(left[0].0.map(|rule| rule.name.as_str()), Some("Gone"), "what has no successor stays");
    assert_eq!(left.len(), 1);
    put(&store, "load", "a", 2 * STEP, 4.0);
    let round = round(&mut new, &store, 2 * STEP);
    assert!(round.fired.is_empty() && round.send.is_empty(), "it fires already, and was sent");
}

#[test]
fn slots_are_a_grid_of_the_interval_that_file_and_name_move() {
    let run = run(Vec::new());
    let slot = run.slot(1_000_000);
    assert!(slot <= 1_000_000 && 1_000_000 - slot < STEP);
    assert_eq!((run.slot(slot), run.slot(slot - 1), run.slot(slot + STEP)), (slot, slot - STEP, slot + STEP));
}
