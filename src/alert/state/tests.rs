//! One rule's alerts step by step, after the alert-generator specification and beside a plain model.

use proptest::prelude::*;

use super::*;

const MINUTE: i64 = 60_000;
const STEP: i64 = 30_000;

fn found(names: &[&str]) -> Vec<Found> {
    let one = |name: &&str| Found {
        labels: Labels::new([("alertname", "A"), ("instance", name)]),
        annotations: vec![("summary".into(), format!("{name} is down"))],
        value: 1.0,
    };
    names.iter().map(one).collect()
}

fn terms(hold: i64, keep: i64) -> Terms {
    Terms { hold, keep, limit: 0 }
}

/// Runs rounds from 0 on, one for each letter: `x` the series is there, `_` it is not; answers with the states.
fn run(alerts: &mut Alerts, rounds: &str, terms: Terms) -> String {
    let step = |(index, there): (usize, char)| {
        let series = if there == 'x' { found(&["a"]) } else { Vec::new() };
        alerts.step(index as i64 * STEP, series, terms).unwrap();
        alerts.iter().next().map_or('-', |alert| match alert.state {
            State::Pending => 'p',
            State::Firing => 'f',
            State::Inactive => 'i',
        })
    };
    rounds.chars().enumerate().map(step).collect()
}

#[test]
fn an_alert_waits_for_its_time_fires_and_ends() {
    for (hold, keep, rounds, states) in [
        (MINUTE, 0, "_xxxx_", "-ppffi"),
        (MINUTE, 0, "xx_xxx", "pp-ppf"),
        (0, 0, "x_x", "fif"),
        // Shorter than the interval: at the next round, not between.
        (1, 0, "xxx_", "pffi"),
        (0, MINUTE, "x__x___", "ffffffi"),
    ] {
        let mut alerts = Alerts::default();
        assert_eq!(run(&mut alerts, rounds, terms(hold, keep)), states, "for {hold} keep {keep}: {rounds}");
    }
}

#[test]
fn one_that_ended_and_comes_again_is_a_new_one() {
    let mut alerts = Alerts::default();
    run(&mut alerts, "x_x", terms(0, 0));
    let alert = alerts.iter().next().unwrap();
    assert_eq!((alert.active_at, alert.fired_at, alert.resolved_at), (2 * STEP, Some(2 * STEP), None));
}

#[test]
fn annotations_follow_and_the_start_stays() {
    let mut alerts = Alerts::default();
    run(&mut alerts, "xx", terms(0, 0));
    let mut next = found(&["a"]);
    next[0].annotations[0].1 = "still down".into();
    next[0].value = 7.0;
    alerts.step(2 * STEP, next, terms(0, 0)).unwrap();
    let alert = alerts.iter().next().unwrap();
    assert_eq!((alert.annotations[0].1.as_str(), alert.value, alert.active_at), ("still down", 7.0, 0));
}

#[test]
fn equal_labels_are_an_error_of_the_whole_rule_and_change_nothing() {
    let mut alerts = Alerts::default();
    run(&mut alerts, "xx", terms(0, 0));
    let before = alerts.clone();
    let failed = alerts.step(2 * STEP, found(&["b", "b"]), terms(0, 0)).unwrap_err();
    assert!(failed.why.contains("same labelset") && failed.changes == Changes::default(), "{failed:?}");
    assert_eq!(alerts, before);
}

#[test]
fn more_than_the_limit_clears_the_rule_and_ends_what_fired() {
    let mut alerts = Alerts::default();
    let limited = Terms { limit: 2, ..terms(0, 0) };
    alerts.step(0, found(&["a", "b"]), limited).unwrap();
    let failed = alerts.step(STEP, found(&["b", "c", "d"]), limited).unwrap_err();
    assert_eq!(failed.why, "exceeded limit of 2 with 3 alerts");
    assert_eq!(alerts.iter().count(), 0);
    // What the same round began was told to nobody; what it ended, and what it took away, was.
    assert_eq!(ends(&failed.changes, STEP), ["a", "b"]);
    assert!(failed.changes.fired.is_empty() && failed.changes.kept);
    let failed = alerts.step(2 * STEP, found(&["b", "c", "d"]), limited).unwrap_err();
    assert_eq!(failed.changes, Changes::default(), "nothing is to be written again in each round");
}

/// Those that ended at `ts`, by their instance.
fn ends(changes: &Changes, ts: i64) -> Vec<String> {
    let ended = |alert: &Alert| alert.state == State::Inactive && alert.resolved_at == Some(ts);
    assert!(changes.resolved.iter().all(ended), "{changes:?}");
    changes.resolved.iter().map(|alert| alert.labels.get("instance").to_owned()).collect()
}

#[test]
fn a_reload_that_raises_the_time_makes_it_wait_again() {
    let mut alerts = Alerts::default();
    run(&mut alerts, "xxx", terms(0, 0));
    let changes = alerts.step(3 * STEP, found(&["a"]), terms(5 * MINUTE, 0)).unwrap();
    let alert = alerts.iter().next().unwrap();
    assert_eq!((alert.state, alert.fired_at, alert.sent_at), (State::Pending, None, None));
    assert_eq!(ends(&changes, 3 * STEP), ["a"], "who was told of it is told that it ended");
    assert_eq!(changes.resolved[0].fired_at, Some(0), "under the name that he knows");
    assert!(!alerts.knows_end(&alerts.iter().next().unwrap().labels), "it waits");
}

#[test]
fn a_reload_that_raises_the_time_ends_what_only_went_on_without_its_series() {
    let mut alerts = Alerts::default();
    run(&mut alerts, "xx_", terms(0, 10 * MINUTE));
    assert_eq!(alerts.active().count(), 1);
    let changes = alerts.step(3 * STEP, Vec::new(), terms(5 * MINUTE, 10 * MINUTE)).unwrap();
    assert_eq!((alerts.iter().count(), ends(&changes, 3 * STEP)), (0, vec!["a".to_owned()]));
}

#[test]
fn a_clock_that_is_set_back_ends_nothing_and_holds_no_message_back() {
    let (mut alerts, terms) = (Alerts::default(), terms(MINUTE, 0));
    for round in 100..=102 {
        alerts.step(round * STEP, found(&["a"]), terms).unwrap();
        alerts.send(round * STEP, STEP, "");
    }
    alerts.step(102 * STEP, found(&["a", "waits"]), terms).unwrap();
    // From here on the clock is 92 rounds behind; it comes by the times from before the step once more.
    for round in 10..=103 {
        let changes = alerts.step(round * STEP, found(&["a", "waits"]), terms).unwrap();
        assert!(changes.resolved.is_empty(), "round {round}: {changes:?}");
        let fired: Vec<_> = changes.fired.iter().map(|alert| alert.labels.get("instance")).collect();
        let expected: &[&str] = if round == 12 { &["waits"] } else { &[] };
        assert_eq!(fired, expected, "round {round}: one that waits waits from the step on");
        assert!(round > 10 || alerts.must_send(round * STEP), "what was sent in the time to come is sent again");
        alerts.send(round * STEP, STEP, "");
    }
    let mut alerts = Alerts::default();
    for (round, there) in [(100, true), (101, true), (102, true), (10, false)] {
        let series = if there { found(&["a"]) } else { Vec::new() };
        alerts.step(round * STEP, series, terms).unwrap();
        let sent = alerts.send(round * STEP, STEP, "");
        assert!(there || sent.len() == 1 && sent[0].resolved, "the end is told at once: {sent:?}");
    }
}

#[test]
fn it_is_sent_when_it_fires_when_it_ended_and_after_the_delay() {
    let mut alerts = Alerts::default();
    let mut sent = Vec::new();
    for index in 0..50 {
        let ts = index * STEP;
        let series = if (2..8).contains(&index) { found(&["a"]) } else { Vec::new() };
        alerts.step(ts, series, terms(STEP, 0)).unwrap();
        assert_eq!(alerts.must_send(ts), !alerts.clone().send(ts, STEP, "").is_empty());
        sent.extend(alerts.send(ts, STEP, "http://box/graph").into_iter().map(|alert| (index, alert)));
    }
    let firing: Vec<_> = sent.iter().filter(|(_, alert)| !alert.resolved).collect();
    // 1 min at slots of 30 s: strictly more than the delay, so every third round.
    assert_eq!(firing.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [3, 6]);
    assert!(
        firing
            .iter()
            .all(|(index, alert)| { (alert.starts_at, alert.ends_at) == (3 * STEP, index * STEP + 4 * RESEND_DELAY) })
    );
    let ended: Vec<_> = sent.iter().filter(|(_, alert)| alert.resolved).collect();
    assert_eq!(ended.first().map(|(index, _)| *index), Some(8), "at once");
    assert_eq!(ended.last().map(|(index, _)| *index), Some(38), "for 15 min");
    assert!(ended.iter().all(|(_, alert)| (alert.starts_at, alert.ends_at) == (3 * STEP, 8 * STEP)));
}

#[test]
fn rows_name_the_state_and_since_when() {
    let mut alerts = Alerts::default();
    alerts.step(90_500, found(&["a"]), terms(MINUTE, 0)).unwrap();
    let rows: Vec<_> = alerts.rows(&[]).into_iter().map(|(labels, value)| (labels.to_string(), value)).collect();
    assert_eq!(
        rows,
        [
            ("ALERTS{alertname=\"A\", alertstate=\"pending\", instance=\"a\"}".to_owned(), 1.0),
            ("ALERTS_FOR_STATE{alertname=\"A\", instance=\"a\"}".to_owned(), 90.0),
        ]
    );
}

/// `rules/alerting.go`, `sample` and `forStateSample`: they begin with the rule's labels as written.
#[test]
fn rows_have_a_label_that_came_out_empty_as_it_is_written() {
    let mut alerts = Alerts::default();
    alerts.step(0, found(&["a"]), terms(0, 0)).unwrap();
    let written = [("instance", "{{ $labels.instance }}"), ("team", "{{ $labels.team }}")];
    let rows: Vec<_> = alerts.rows(&written).into_iter().map(|(labels, _)| labels).collect();
    for labels in &rows {
        assert_eq!((labels.get("instance"), labels.get("team")), ("a", "{{ $labels.team }}"), "{labels}");
    }
    assert_eq!(alerts.send(0, STEP, "")[0].labels.get("team"), "", "people see nothing of it");
}

#[test]
fn a_restored_alert_is_held_until_its_data_can_be_back() {
    let mut alerts = Alerts::default();
    run(&mut alerts, "xx", terms(0, 0));
    alerts.send(STEP, STEP, "");
    let mut again = Alerts::restored(alerts.iter().cloned());
    again.resume(10 * STEP, 14 * STEP, 0);
    for index in 10..14 {
        let changes = again.step(index * STEP, Vec::new(), terms(0, 0)).unwrap();
        assert_eq!((changes.fired.len(), changes.resolved.len()), (0, 0));
    }
    assert!(again.send(13 * STEP, STEP, "").iter().all(|alert| !alert.resolved && alert.starts_at == 0));
    assert_eq!(again.step(14 * STEP, Vec::new(), terms(0, 0)).unwrap().resolved.len(), 1);
}

#[test]
fn a_held_alert_that_waits_does_not_begin_to_fire_before_it_is_seen() {
    let mut alerts = Alerts::default();
    run(&mut alerts, "x", terms(MINUTE, 0));
    alerts.resume(STEP, 10 * STEP, 0);
    for index in 1..8 {
        assert!(alerts.step(index * STEP, Vec::new(), terms(MINUTE, 0)).unwrap().fired.is_empty());
    }
    assert_eq!(alerts.step(8 * STEP, found(&["a"]), terms(MINUTE, 0)).unwrap().fired.len(), 1, "it waited long enough");
}

#[test]
fn time_away_does_not_count_for_those_that_wait() {
    let mut alerts = Alerts::default();
    run(&mut alerts, "x", terms(MINUTE, 0));
    alerts.resume(100 * STEP, 100 * STEP, 99 * STEP);
    assert!(alerts.step(100 * STEP, found(&["a"]), terms(MINUTE, 0)).unwrap().fired.is_empty());
    assert_eq!(alerts.step(101 * STEP, found(&["a"]), terms(MINUTE, 0)).unwrap().fired.len(), 1);
}

/// What the table says, from the whole past at once: the state after the last of `rounds`.
fn model(rounds: &[bool], hold: usize, keep: usize) -> Option<State> {
    let (mut since, mut fired, mut missing) = (None, false, None);
    let mut state = None;
    for (now, there) in rounds.iter().enumerate() {
        if *there {
            missing = None;
            let start = *since.get_or_insert(now);
            fired |= now - start >= hold;
            state = Some(if fired { State::Firing } else { State::Pending });
        } else if fired && keep > 0 && now - *missing.get_or_insert(now) < keep {
            state = Some(State::Firing);
        } else {
            let ended = if fired { Some((State::Inactive, now)) } else { None };
            state = ended.map(|(state, _)| state).or(state.filter(|state| *state == State::Inactive));
            (since, fired, missing) = (None, false, None);
        }
    }
    state
}

proptest! {
    #[test]
    fn the_machine_agrees_with_a_plain_model(
        rounds in prop::collection::vec(any::<bool>(), 1..28), hold in 0_usize..5, keep in 0_usize..4,
    ) {
        let mut alerts = Alerts::default();
        for (index, there) in rounds.iter().enumerate() {
            let series = if *there { found(&["a"]) } else { Vec::new() };
            alerts.step(index as i64 * STEP, series, terms(hold as i64 * STEP, keep as i64 * STEP)).unwrap();
            let state = alerts.iter().next().map(|alert| alert.state);
            prop_assert_eq!(state, model(&rounds[..=index], hold, keep), "round {} of {:?}", index, rounds);
        }
    }
}
