//! Servers that fail in every way: nothing is lost, nothing is told twice.

use std::time::Duration;

use serde_json::{Value, json};

use super::peer::{Deed, Peer};
use super::{Running, alert, now, resolved, until};

fn secret(dir: &tempfile::TempDir, name: &str, text: &str) -> Value {
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    json!({ "file": path })
}

/// Every notifier that speaks HTTP, told of `peer`.
fn notifier(kind: &str, peer: &Peer, dir: &tempfile::TempDir) -> Value {
    match kind {
        "alertmanager" => json!({ "alertmanager": { "endpoints": [peer.url("")] } }),
        "slack" => json!({ "slack": { "webhook": secret(dir, "slack", &peer.url("/services/geheim")) } }),
        "pagerduty" => {
            json!({ "pagerduty": { "routing_key": secret(dir, "key", "geheim"), "url": peer.url("/v2/enqueue") } })
        }
        _ => json!({ "webhook": { "url": peer.url("/alerts"), "token": secret(dir, "token", "geheim") } }),
    }
}

const KINDS: [&str; 4] = ["alertmanager", "slack", "pagerduty", "webhook"];

fn faults() -> Vec<Deed> {
    vec![
        Deed::Answer(429, "retry-after: 1\r\n", "slow down"),
        Deed::Answer(500, "", "no"),
        Deed::Answer(503, "retry-after: soon\r\n", ""),
        Deed::Answer(302, "location: http://127.0.0.1:1/\r\n", ""),
        Deed::Answer(403, "", "invalid_token"),
        Deed::Answer(200, "", "<!DOCTYPE html><title>Log in</title>"),
        Deed::Silence,
        Deed::Close,
        Deed::Bytes(b"HTTP/1.1 2"),
        Deed::Bytes(b"\x15\x03\x01\x00\x02\x02\x46"),
        Deed::Bytes(b""),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_every_fault_each_notifier_delivers_once() {
    for kind in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let peer = Peer::new(&faults());
        let running = Running::new(&[("x", notifier(kind, &peer, &dir))]);
        let down = alert("Down");
        running.offer(std::slice::from_ref(&down));
        until(kind, || (!peer.taken().is_empty()).then_some(())).await;
        let entry = running.entry("x");
        let well = || (entry.failing_since.get() == 0 && entry.waiting.get() == 0).then_some(());
        until("a good word on the board, where nothing waits", well).await;
        assert_eq!((entry.retries.get() as usize, entry.alerts.get()), (faults().len(), 1), "{kind}");
        let requests = peer.requests();
        assert!(requests[1].0 - requests[0].0 >= Duration::from_secs(1), "{kind}: Retry-After was not heard");

        running.offer(&[resolved(&down)]);
        until("the end", || (peer.taken().len() == 2).then_some(())).await;
        let waiting = running.end().await;
        assert!(waiting.notifiers["x"].alerts.is_empty(), "{kind}: {waiting:?}");
        assert_eq!(peer.taken().len(), 2, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_breaks_off_after_its_good_status_is_good() {
    let dir = tempfile::tempdir().unwrap();
    let half = Deed::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
    let peer = Peer::new(&[half]);
    let running = Running::new(&[("x", notifier("webhook", &peer, &dir))]);
    running.offer(&[alert("Down")]);
    until("a taken alert", || (running.entry("x").alerts.get() == 1).then_some(())).await;
    assert_eq!((peer.requests().len(), running.entry("x").retries.get()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_for_good_is_counted_and_not_tried_for_ever() {
    for kind in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let peer = Peer::new(&[Deed::Answer(400, "", "bad \u{1b}[31m alert")]);
        let running = Running::new(&[("x", notifier(kind, &peer, &dir))]);
        running.offer(&[alert("Down")]);
        until(kind, || (!running.board.losses().is_empty()).then_some(())).await;
        let ((part, reason), loss) = running.board.losses().remove(0);
        assert_eq!((part.as_str(), reason, loss.count), ("notify x", "refused", 1));
        assert!(loss.hint.contains("Down: 400: bad [31m alert"), "{}", loss.hint);
        let well = || (running.entry("x").failing_since.get() == 0).then_some(());
        until("a notifier that is well, as it answers", well).await;
        running.offer(&[alert("Full")]);
        until("the next one", || (peer.taken().len() == 1).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_alert_that_the_other_side_fails_over_each_time_keeps_no_other_from_arriving() {
    for kind in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let peer = Peer::new(&[]);
        peer.fail_over(Some("poison"));
        let running = Running::new(&[("x", notifier(kind, &peer, &dir))]);
        let all: Vec<_> = ["one", "poison", "two"].map(on).into_iter().chain([alert("Full")]).collect();
        running.offer(&all);
        let entry = running.entry("x");
        until(kind, || (entry.alerts.get() == 3).then_some(())).await;
        let note = until("a word about it", || running.board.notes().pop()).await;
        assert!(note.0 == "notify x" && note.1.contains("fails over Down each time"), "{note:?}");
        // It is tried again and again meanwhile; what is new need not wait for it.
        running.offer(&[alert("Late")]);
        until(kind, || (entry.alerts.get() == 4).then_some(())).await;
        assert_eq!((entry.waiting.get(), running.board.losses()), (1, Vec::new()), "{kind}");
        peer.fail_over(None);
        until("the one that it failed over", || (entry.waiting.get() == 0).then_some(())).await;
        let _end = running.end().await;
        let messages: Vec<String> = peer.taken().iter().map(Value::to_string).collect();
        for one in ["on one", "on two", "on poison", "Full is", "Late is"] {
            let told = messages.iter().filter(|message| message.contains(one)).count();
            assert_eq!(told, 1, "{kind}: {one} in {messages:?}");
        }
        assert_eq!(entry.alerts.get(), 5, "{kind}");
    }
}

/// An alert of one name at one place.
fn on(place: &str) -> plimsoll::notify::Alert {
    let mut alert = alert("Down");
    alert.labels = alert.labels.with("instance", place);
    alert.annotations[0].1 = format!("Down on {place}");
    alert
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_of_pagerduty_costs_no_page_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = r#"{"status":"invalid event","message":"Event object is invalid","errors":["Length of 'routing_key' is incorrect (should be 32 characters)"]}"#;
    let peer = Peer::new(&vec![Deed::Answer(400, "", wrong); 3]);
    let running = Running::new(&[("x", notifier("pagerduty", &peer, &dir))]);
    let entry = running.entry("x");
    running.offer(&[alert("Down")]);
    let answer = until("an answer", || Some(entry.answer.get()).filter(|answer| !answer.is_empty())).await;
    assert!(answer.contains("should be 32 characters") && answer.ends_with("see routing_key"), "{answer}");
    until("the page", || (entry.alerts.get() == 1).then_some(())).await;
    assert_eq!((peer.requests().len(), entry.retries.get(), entry.refused.get()), (4, 3, 0));
    assert_eq!(running.board.losses(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_delivered_waits_over_a_restart_and_is_not_repeated_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let port = super::harness::free_port();
    let hook = json!({ "webhook": { "url": format!("http://127.0.0.1:{port}/geheim"), "token": secret(&dir, "t", "geheim") } });
    let running = Running::new(&[("x", hook.clone())]);
    let down = alert("Down");
    running.offer(std::slice::from_ref(&down));
    let entry = running.entry("x");
    until("a refused connection", || (entry.answer.get() == "connection refused").then_some(())).await;
    assert!(entry.failing_since.get() > 0 && entry.waiting.get() == 1);
    let file = serde_json::to_string(&running.end().await).unwrap();
    assert!(file.contains("Down") && !file.contains("geheim"), "{file}");

    let peer = Peer::at(port, &[], "200 OK");
    let running = Running::new(&[("x", hook.clone())]);
    running.line.restore(serde_json::from_str(&file).unwrap());
    let mut changed = running.line.changed();
    until("the alert that waited", || (peer.taken().len() == 1).then_some(())).await;
    until("a call to write the file", || changed.has_changed().unwrap().then(|| changed.mark_unchanged())).await;
    let file = serde_json::to_string(&running.end().await).unwrap();

    let running = Running::new(&[("x", hook)]);
    running.line.restore(serde_json::from_str(&file).unwrap());
    running.offer(&[down.clone(), alert("Other")]);
    until("another alert", || (peer.taken().len() == 2).then_some(())).await;
    assert_eq!(peer.taken()[1]["alerts"].as_array().unwrap().len(), 1, "the first one was told before the restart");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaves_before_it_is_safe_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let peer = Peer::new(&[]);
    let running = Running::new(&[("x", notifier("webhook", &peer, &dir))]);
    running.offer(&[alert("First")]);
    running.line.offer(&[alert("Unsaved")]);
    until("the first", || (peer.taken().len() == 1).then_some(())).await;
    let _file = running.line.snapshot();
    until("the first is off the queue", || (running.entry("x").waiting.get() == 1).then_some(())).await;
    assert_eq!(peer.taken().len(), 1);
    running.line.release();
    until("the second", || (peer.taken().len() == 2).then_some(())).await;
    assert_eq!(peer.taken()[0]["groupLabels"]["alertname"], "First");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_never_answers_does_not_hold_the_others_or_the_stop() {
    let dir = tempfile::tempdir().unwrap();
    let (slow, quick) = (Peer::new(&vec![Deed::Silence; 100]), Peer::new(&[]));
    let other = tempfile::tempdir().unwrap();
    let running =
        Running::new(&[("slow", notifier("webhook", &slow, &dir)), ("quick", notifier("slack", &quick, &other))]);
    for number in 0..3 {
        running.offer(&[alert(&format!("A{number}"))]);
        until("the quick one", || (quick.taken().len() == number + 1).then_some(())).await;
    }
    assert_eq!(running.entry("slow").waiting.get(), 3);
    let waiting = running.end().await;
    assert_eq!(waiting.notifiers["slow"].alerts.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_still_sends_what_waits_for_its_group() {
    let dir = tempfile::tempdir().unwrap();
    let peer = Peer::new(&[]);
    let running = Running::new(&[("x", notifier("webhook", &peer, &dir))]);
    running.offer(&[alert("Down")]);
    let waiting = running.end().await;
    assert_eq!((peer.taken().len(), waiting.notifiers["x"].alerts.len()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn severities_decide_who_is_told_and_the_heartbeat_goes_to_its_own_address_only() {
    let dir = tempfile::tempdir().unwrap();
    let peers: Vec<_> = KINDS.iter().map(|_| Peer::new(&[])).collect();
    let beat = Peer::new(&[Deed::Answer(500, "", "")]);
    let named: Vec<_> = KINDS.iter().zip(&peers).map(|(kind, peer)| (*kind, notifier(kind, peer, &dir))).collect();
    let heartbeat = serde_json::from_value(json!({ "url": beat.url("/ping/geheim"), "interval": "50ms" })).unwrap();
    let running = Running::with(&named, Some(heartbeat), None);
    let with = |name: &str, severity: &str| {
        let mut alert = alert(name);
        alert.labels = alert.labels.with("severity", severity);
        alert
    };
    let all = [with("Watchdog", "none"), with("Info", "info"), with("Ticket", "ticket"), with("Page", "page")];
    running.offer(&all);
    until("the pages", || peers.iter().all(|peer| names(&peer.taken()).contains("Page")).then_some(())).await;
    until("the tickets", || names(&peers[1].taken()).contains("Ticket").then_some(())).await;
    until("a note of a heartbeat that fails, or one that came", || (!beat.taken().is_empty()).then_some(())).await;
    let _end = running.end().await;
    let told: Vec<Vec<bool>> = peers
        .iter()
        .map(|peer| ["Page", "Ticket", "Info", "Watchdog"].map(|name| names(&peer.taken()).contains(name)).to_vec())
        .collect();
    let (all, people, pages) =
        (vec![true, true, true, false], vec![true, true, false, false], vec![true, false, false, false]);
    assert_eq!(told, [all, people.clone(), pages, people]);
}

fn names(bodies: &[Value]) -> String {
    bodies.iter().map(Value::to_string).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_rounds_of_the_rules_there_is_no_heartbeat() {
    let beat = Peer::new(&[]);
    let other = Peer::new(&[]);
    let dir = tempfile::tempdir().unwrap();
    let heartbeat = serde_json::from_value(json!({ "url": beat.url("/"), "interval": "20ms" })).unwrap();
    let running = Running::with(&[("x", notifier("webhook", &other, &dir))], Some(heartbeat), None);
    // Long enough for many beats, were there any: until something else has gone its whole way, twice.
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(beat.requests().is_empty());
    running.line.offer_at(&[], now());
    until("a beat", || (!beat.requests().is_empty()).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_tls_are_told_in_plain_words_and_without_the_address() {
    let dir = tempfile::tempdir().unwrap();
    let key = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, key.cert.pem()).unwrap();
    let peer = Peer::new(&vec![Deed::Bytes(b"HTTP/1.0 400 Bad Request\r\n\r\n"); 1000]);
    let url = format!("https://localhost:{}/services/geheim", peer.port);
    let slack = json!({ "slack": { "webhook": secret(&dir, "slack", &url), "tls": { "ca": ca } } });
    let running = Running::new(&[("x", slack)]);
    running.offer(&[alert("Down")]);
    let answer = until("an answer", || Some(running.entry("x").answer.get()).filter(|answer| !answer.is_empty())).await;
    assert!(!answer.contains("geheim"), "{answer}");
    assert_eq!(running.entry("x").waiting.get(), 1);
}
