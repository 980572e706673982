//! The queue by itself: what is repeated, what is not, and that no crash loses a message.

use proptest::prelude::*;

use super::*;
use crate::store::Labels;

const REPEAT: i64 = 4 * HOUR;

fn alert(name: &str, starts_at: i64, resolved: bool) -> Arc<Alert> {
    Arc::new(Alert {
        labels: Labels::new([("alertname", name), ("severity", "page")]),
        annotations: Vec::new(),
        starts_at,
        ends_at: starts_at + 60_000,
        resolved,
        value: 1.0,
        generator_url: String::new(),
    })
}

fn people() -> Queue {
    Queue::new(Mode::Once { repeat: REPEAT })
}

fn sent(queue: &mut Queue, now: i64) -> Vec<(String, bool)> {
    let mut out = Vec::new();
    queue.snapshot();
    queue.release();
    while let Next::Send(batch) = queue.next(now, 0) {
        out.extend(batch.iter().map(|(_, alert)| (alert.labels.get("alertname").to_owned(), alert.resolved)));
        queue.delivered(&batch, now);
    }
    out
}

fn one(name: &str, resolved: bool) -> Vec<(String, bool)> {
    vec![(name.to_owned(), resolved)]
}

#[test]
fn people_are_told_once_again_after_hours_and_once_of_the_end() {
    let mut queue = people();
    for minute in 0..5 {
        queue.offer(&alert("Down", 1, false), minute * 60_000);
        let expected = if minute == 0 { one("Down", false) } else { Vec::new() };
        assert_eq!(sent(&mut queue, minute * 60_000), expected, "minute {minute}");
    }
    queue.offer(&alert("Down", 1, false), REPEAT);
    assert_eq!(sent(&mut queue, REPEAT), one("Down", false));
    for minute in 0..15 {
        queue.offer(&alert("Down", 1, true), REPEAT + minute * 60_000);
        let expected = if minute == 0 { one("Down", true) } else { Vec::new() };
        assert_eq!(sent(&mut queue, REPEAT + minute * 60_000), expected);
    }
    queue.offer(&alert("Down", 2, false), REPEAT + HOUR);
    assert_eq!(sent(&mut queue, REPEAT + HOUR), one("Down", false), "a new start is a new alert");
}

#[test]
fn an_end_is_told_only_to_who_was_told_of_the_beginning() {
    let mut queue = people();
    queue.offer(&alert("Down", 1, true), 0);
    assert_eq!(sent(&mut queue, 0), []);
    // One that ended before its beginning could be delivered is told in both its parts, in order.
    queue.offer(&alert("Short", 1, false), 0);
    queue.offer(&alert("Short", 1, true), 60_000);
    assert_eq!(sent(&mut queue, 60_000), [one("Short", false), one("Short", true)].concat());
}

#[test]
fn alerts_of_one_name_and_severity_go_together_after_a_short_wait() {
    let mut queue = people();
    for host in ["a", "b"] {
        let mut alert = Alert::clone(&alert("Down", 1, false));
        alert.labels = alert.labels.with("instance", host);
        queue.offer(&Arc::new(alert), 1000);
    }
    queue.offer(&alert("Full", 1, false), 2000);
    assert_eq!(queue.next(1000, 5000), Next::Idle, "nothing leaves before it is safe");
    queue.snapshot();
    assert_eq!(queue.next(9000, 5000), Next::Idle);
    queue.release();
    assert_eq!(queue.next(1000, 5000), Next::At(6000));
    let Next::Send(batch) = queue.next(6000, 5000) else { panic!("not due") };
    assert_eq!(batch.len(), 2);
    queue.delivered(&batch, 6000);
    assert_eq!(queue.next(6000, 5000), Next::At(7000), "another name is another message");
}

#[test]
fn what_came_after_the_snapshot_is_not_released_with_it() {
    let mut queue = people();
    queue.offer(&alert("Down", 1, false), 0);
    queue.snapshot();
    queue.offer(&alert("Full", 1, false), 0);
    queue.release();
    let Next::Send(batch) = queue.next(9000, 0) else { panic!("nothing") };
    queue.delivered(&batch, 9000);
    assert_eq!(queue.next(9000, 0), Next::Idle);
    assert_eq!(queue.backlog().0, 1);
}

#[test]
fn alertmanager_gets_each_repeat_and_only_the_newest_of_what_waits() {
    let mut queue = Queue::new(Mode::Every);
    queue.offer(&alert("Down", 1, false), 0);
    queue.offer(&alert("Down", 1, false), 60_000);
    assert_eq!(queue.backlog().0, 1);
    assert_eq!(sent(&mut queue, 60_000), one("Down", false));
    queue.offer(&alert("Down", 1, false), 120_000);
    assert_eq!(sent(&mut queue, 120_000), one("Down", false));
    // A newer word that comes while the older one is on its way is not lost with it.
    queue.offer(&alert("Down", 1, false), 180_000);
    queue.snapshot();
    queue.release();
    let Next::Send(batch) = queue.next(180_000, 0) else { panic!("nothing") };
    queue.offer(&alert("Down", 1, true), 180_001);
    queue.delivered(&batch, 180_002);
    assert_eq!(sent(&mut queue, 180_003), one("Down", true));
}

#[test]
fn one_alert_that_is_refused_does_not_take_the_others_with_it() {
    let mut queue = Queue::new(Mode::Every);
    for number in 0..300 {
        queue.offer(&alert(&format!("A{number}"), 1, false), 0);
    }
    queue.snapshot();
    queue.release();
    let (mut taken, mut given_up) = (0, 0);
    while let Next::Send(batch) = queue.next(0, 0) {
        assert!(batch.len() <= MOST_IN_A_MESSAGE);
        if batch.iter().any(|(_, alert)| alert.labels.get("alertname") == "A77") {
            given_up += usize::from(queue.refused(&batch, 0));
        } else {
            taken += batch.len();
            queue.delivered(&batch, 0);
        }
    }
    assert_eq!((taken, given_up), (299, 1));
}

#[test]
fn an_end_is_told_after_a_night_away_and_after_a_night_without_a_word_of_the_rule() {
    for away in [true, false] {
        let mut queue = people();
        queue.offer(&alert("Down", 1, false), 0);
        assert_eq!(sent(&mut queue, 0), one("Down", false));
        let morning = 10 * HOUR;
        if away {
            let text = serde_json::to_string(&queue.snapshot()).unwrap();
            queue = people();
            queue.restore(serde_json::from_str(&text).unwrap(), morning);
        }
        // Others come first.
        queue.offer(&alert("Other", 1, false), morning);
        assert_eq!(sent(&mut queue, morning), one("Other", false));
        queue.offer(&alert("Down", 1, true), morning + 1);
        assert_eq!(sent(&mut queue, morning + 1), one("Down", true), "away: {away}");
    }
}

/// Tries all that may leave, while the other side fails over `bad`, until nothing but that is left; what arrived.
fn around(queue: &mut Queue, bad: &str) -> Vec<(String, bool)> {
    let name = |alert: &Alert| alert.labels.get("instance").to_owned();
    let mut arrived = Vec::new();
    for _ in 0..200 {
        queue.snapshot();
        queue.release();
        let Next::Send(batch) = queue.next(0, 0) else { panic!("what it fails over is kept") };
        if batch.iter().any(|(_, alert)| name(alert) == bad) {
            queue.failed(&batch);
        } else {
            arrived.extend(batch.iter().map(|(_, alert)| (name(alert), alert.resolved)));
            queue.delivered(&batch, 0);
        }
    }
    arrived
}

/// All that leaves, in its order.
fn all(queue: &mut Queue) -> Vec<(String, bool)> {
    let mut out = Vec::new();
    while let Next::Send(batch) = queue.next(0, 0) {
        out.extend(batch.iter().map(|(_, alert)| (alert.labels.get("instance").to_owned(), alert.resolved)));
        queue.delivered(&batch, 0);
    }
    out
}

fn of(instance: &str, resolved: bool) -> Arc<Alert> {
    let mut alert = Alert::clone(&alert("Down", 1, resolved));
    alert.labels = alert.labels.with("instance", instance);
    Arc::new(alert)
}

#[test]
fn one_alert_that_the_other_side_fails_over_goes_behind_the_others_and_is_kept() {
    for mode in [Mode::Every, Mode::Once { repeat: REPEAT }] {
        let mut queue = Queue::new(mode);
        for number in 0..300 {
            queue.offer(&of(&format!("i{number}"), false), 0);
        }
        let mut arrived = around(&mut queue, "i77");
        arrived.sort();
        arrived.dedup();
        assert_eq!((arrived.len(), queue.backlog().0), (299, 1), "{mode:?}");
        assert_eq!(queue.aside(), (BTreeSet::from(["Down"]), false));
        // What comes later overtakes it; its own end does not.
        queue.offer(&of("i77", true), 0);
        queue.offer(&of("late", false), 0);
        assert_eq!(around(&mut queue, "i77"), [("late".to_owned(), false)], "{mode:?}");
        let end = all(&mut queue);
        let both = vec![("i77".to_owned(), false), ("i77".to_owned(), true)];
        let newest = both[1..].to_vec();
        assert_eq!(end, if mode == Mode::Every { newest } else { both }, "{mode:?}");
    }
}

#[test]
fn a_failure_or_four_are_no_reason_to_take_a_message_apart() {
    let mut queue = people();
    queue.offer(&of("a", false), 0);
    queue.offer(&of("b", false), 0);
    queue.snapshot();
    queue.release();
    for _ in 1..MOST_FAILURES {
        let Next::Send(batch) = queue.next(0, 0) else { panic!("nothing") };
        assert_eq!(batch.len(), 2);
        queue.failed(&batch);
    }
    assert_eq!(sent(&mut queue, 0).len(), 2);
}

#[test]
fn the_queue_is_bounded_in_alerts_and_bytes_and_counts_what_it_drops() {
    let mut queue = people();
    let mut lost = 0;
    for number in 0..MOST_WAITING + 50 {
        lost += queue.offer(&alert(&format!("A{number}"), 1, false), 0).iter().map(|(_, count)| count).sum::<u64>();
    }
    assert_eq!((queue.backlog().0, lost), (MOST_WAITING, 50));
    let mut queue = people();
    let huge = "x".repeat(1 << 20);
    for number in 0..10 {
        let mut alert = Alert::clone(&alert(&format!("A{number}"), 1, false));
        alert.labels = alert.labels.with("path", &huge);
        queue.offer(&Arc::new(alert), 0);
        assert!(queue.backlog().1 <= MOST_BYTES);
    }
    assert!(queue.backlog().0 >= 3);
    let mut alert = Alert::clone(&alert("A", 1, false));
    alert.labels = alert.labels.with("path", &huge.repeat(3));
    assert_eq!(queue.offer(&Arc::new(alert), 0), [("too_large", 1)]);
}

/// What can happen, one after another.
#[derive(Debug, Clone)]
enum Step {
    /// The rules have a round; the alerts of the set bits fire.
    Round(u8),
    /// One try, and whether it is taken.
    Try(bool),
    /// The state file is written after a delivery.
    Persist,
    /// kill -9 and a start.
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_u8..16).prop_map(Step::Round),
        4 => any::<bool>().prop_map(Step::Try),
        2 => Just(Step::Persist),
        1 => Just(Step::Crash),
    ];
    proptest::collection::vec(step, 1..120)
}

/// The rules and the world: since when each alert fires, those that ended, and the messages that arrived.
#[derive(Default)]
struct World {
    since: [Option<i64>; 4],
    ended: Vec<(usize, i64)>,
    begun: Vec<(usize, i64)>,
    arrived: Vec<(String, i64, bool)>,
    crashes: usize,
}

impl World {
    fn round(&mut self, bits: u8, now: i64) -> Vec<Arc<Alert>> {
        for number in 0..4 {
            match (bits & 1 << number != 0, self.since[number]) {
                (true, None) => {
                    self.since[number] = Some(now);
                    self.begun.push((number, now));
                }
                (false, Some(start)) => {
                    self.since[number] = None;
                    self.ended.push((number, start));
                }
                _ => {}
            }
        }
        let ended = self.ended.iter().map(|(number, start)| alert(&format!("A{number}"), *start, true));
        let firing = (0..4).filter_map(|number| Some(alert(&format!("A{number}"), self.since[number]?, false)));
        ended.chain(firing).collect()
    }

    fn attempt(&mut self, queue: &mut Queue, now: i64, works: bool) {
        let Next::Send(batch) = queue.next(now, 0) else { return };
        if works {
            let name = |alert: &Alert| alert.labels.get("alertname").to_owned();
            self.arrived.extend(batch.iter().map(|(_, alert)| (name(alert), alert.starts_at, alert.resolved)));
            queue.delivered(&batch, now);
        } else {
            queue.failed(&batch);
        }
    }
}

proptest! {
    #[test]
    fn whatever_fails_and_crashes_every_alert_is_told_and_repeated_only_by_a_crash(steps in steps()) {
        let mut world = World::default();
        let (mut queue, mut file) = (people(), Queued::default());
        let mut now = 0;
        let mut last = 0;
        for step in steps.into_iter().chain((0..200).map(|_| Step::Try(true))) {
            now += 1000;
            match step {
                Step::Round(bits) => {
                    last = bits;
                    for alert in world.round(bits, now) {
                        prop_assert!(queue.offer(&alert, now).is_empty());
                    }
                    file = queue.snapshot();
                    queue.release();
                }
                Step::Try(works) => world.attempt(&mut queue, now, works),
                Step::Persist => file = queue.snapshot(),
                Step::Crash => {
                    world.crashes += 1;
                    queue = people();
                    let text = serde_json::to_string(&file).unwrap();
                    queue.restore(serde_json::from_str(&text).unwrap(), now);
                    for alert in world.round(last, now) {
                        queue.offer(&alert, now);
                    }
                    file = queue.snapshot();
                    queue.release();
                }
            }
        }
        for (number, start) in &world.begun {
            let name = format!("A{number}");
            let told = |resolved| {
                world.arrived.iter().filter(|(own, own_start, own_resolved)| {
                    *own == name && own_start == start && *own_resolved == resolved
                }).count()
            };
            prop_assert!((1..=1 + world.crashes).contains(&told(false)), "{name} of {start}: {} times", told(false));
            let ends = world.ended.contains(&(*number, *start));
            let most = if ends { 1 + world.crashes } else { 0 };
            prop_assert!((usize::from(ends)..=most).contains(&told(true)), "{name} of {start} ended: {} times", told(true));
            let first = |resolved| world.arrived.iter().position(|one| *one == (name.clone(), *start, resolved));
            prop_assert!(!ends || first(false) < first(true), "the end before the beginning");
        }
    }
}
