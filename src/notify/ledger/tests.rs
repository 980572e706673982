//! The ledger on a real disk.

use super::*;

fn alert(name: &str, starts_at: i64) -> Alert {
    Alert {
        labels: Labels::new([("alertname", name), ("severity", "page")]),
        annotations: Vec::new(),
        starts_at,
        ends_at: starts_at + 300_000,
        resolved: false,
        value: f64::NAN,
        generator_url: String::new(),
    }
}

const DAY: i64 = 24 * 3_600_000;

#[test]
fn an_activation_is_kept_with_all_that_happened_to_it_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("alerts.jsonl");
    let ledger = Ledger::open(&path, MOST_BYTES, 0).unwrap();
    let alert = alert("Down", 1000);
    ledger.begin(&alert, "Down");
    ledger.begin(&alert, "Down");
    ledger.delivered(&alert, "chat", 2000);
    ledger.delivered(&alert, "chat", 9000);
    ledger.seen(&alert.labels, &["s1".into()], 3000);
    ledger.seen(&alert.labels, &["s1".into()], 4000);
    ledger.seen(&alert.labels, &[], 5000);
    assert!(ledger.fires());
    drop(ledger);

    let ledger = Ledger::open(&path, MOST_BYTES, 10_000).unwrap();
    assert!(ledger.fires(), "it fires still");
    ledger.begin(&alert, "Down");
    ledger.end(&alert);
    ledger.end(&alert);
    assert!(!ledger.fires());
    let all = ledger.read(0, DAY, |_| true).unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].start, all[0].end), (1000, Some(301_000)));
    assert_eq!(all[0].delivered.iter().collect::<Vec<_>>(), [(&"chat".to_owned(), &2000)]);
    assert_eq!(all[0].silenced_for(DAY), 2000);
    assert!(all[0].value.is_nan());
    assert!(ledger.read(400_000, DAY, |_| true).unwrap().is_empty(), "it ended before");
    assert!(ledger.read(0, DAY, |one| one.rule == "Up").unwrap().is_empty());
}

#[test]
fn a_torn_last_line_and_garbage_cost_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("alerts.jsonl");
    let ledger = Ledger::open(&path, MOST_BYTES, 0).unwrap();
    for number in 0..3 {
        ledger.begin(&alert(&format!("A{number}"), 1000 + number), "A");
    }
    drop(ledger);
    let whole = fs::read(&path).unwrap();
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for end in last..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        let ledger = Ledger::open(&path, MOST_BYTES, 0).unwrap();
        // A line that lacks nothing but its end is whole.
        let expected = if end == whole.len() - 1 { 3 } else { 2 };
        assert_eq!(ledger.read(0, DAY, |_| true).unwrap().len(), expected, "cut at {end}");
        ledger.begin(&alert("New", 5000), "New");
        assert_eq!(ledger.read(0, DAY, |_| true).unwrap().len(), expected + 1, "the next line is whole");
    }
    fs::write(&path, [b"\xff\xfe\n{}\n[1]\n".as_slice(), &whole].concat()).unwrap();
    assert_eq!(Ledger::open(&path, MOST_BYTES, 0).unwrap().read(0, DAY, |_| true).unwrap().len(), 3);
}

#[test]
fn old_activations_go_at_the_start_and_the_size_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("alerts.jsonl");
    let ledger = Ledger::open(&path, MOST_BYTES, 0).unwrap();
    let old = alert("Old", 1000);
    ledger.begin(&old, "Old");
    ledger.end(&old);
    ledger.begin(&alert("Long", 1000), "Long");
    drop(ledger);
    let ledger = Ledger::open(&path, MOST_BYTES, 91 * DAY).unwrap();
    let names: Vec<_> = ledger.read(0, 92 * DAY, |_| true).unwrap().into_iter().map(|one| one.rule).collect();
    assert_eq!(names, ["Long"], "what fires still is never too old");

    let small = 20_000;
    let ledger = Ledger::open(&dir.path().join("small.jsonl"), small, 0).unwrap();
    for number in 0..500 {
        let alert = alert("Flap", number * 1_000_000);
        ledger.begin(&alert, "Flap");
        ledger.end(&alert);
        assert!(fs::metadata(dir.path().join("small.jsonl")).unwrap().len() < small + 1000);
    }
    assert_eq!(ledger.take_fault(), None);
    let all = ledger.read(0, i64::MAX, |_| true).unwrap();
    assert!(all.len() > 20, "{}", all.len());
    assert_eq!(all.last().unwrap().start, 499_000_000, "the newest stay");
}

#[test]
fn the_heartbeat_is_not_in_the_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&dir.path().join("alerts.jsonl"), MOST_BYTES, 0).unwrap();
    let mut watchdog = alert("Watchdog", 1000);
    watchdog.labels = watchdog.labels.with("severity", "none");
    ledger.begin(&watchdog, "Watchdog");
    assert!(ledger.read(0, DAY, |_| true).unwrap().is_empty());
}
