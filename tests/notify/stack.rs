//! A real Alertmanager: what Prometheus' receiver makes of our alerts.

use std::sync::Arc;

use plimsoll::notify::Ledger;
use plimsoll::notify::ledger::MOST_BYTES;
use serde_json::json;

use super::alertmanager::Alertmanager;
use super::harness::free_port;
use super::{Alert, Running, alert, now, resolved, until};

fn time(value: &serde_json::Value) -> i64 {
    value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_alertmanager_sees_an_alert_fire_go_on_and_end() {
    let Some(server) = Alertmanager::start() else { return };
    let running = Running::new(&[("am", json!({ "alertmanager": { "endpoints": [server.endpoint()] } }))]);
    let down = alert("Down");
    running.offer(std::slice::from_ref(&down));
    let seen = server.wait_for_one();
    assert_eq!(seen["labels"], json!({ "alertname": "Down", "severity": "page", "instance": "shop-db-1" }));
    assert_eq!(seen["annotations"]["summary"], "Down is wrong");
    assert_eq!((time(&seen["startsAt"]), time(&seen["endsAt"])), (down.starts_at, down.ends_at));
    assert_eq!(seen["generatorURL"], down.generator_url);

    let later = Alert { ends_at: down.ends_at + 60_000, ..down.clone() };
    running.offer(std::slice::from_ref(&later));
    until("a later end", || (time(&server.wait_for_one()["endsAt"]) == later.ends_at).then_some(())).await;

    running.offer(&[resolved(&later)]);
    until("its end", || server.alerts().is_empty().then_some(())).await;
    assert_eq!(running.board.losses(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_member_gets_every_alert_and_one_that_is_down_gets_it_later() {
    let Some(up) = Alertmanager::start() else { return };
    let port = free_port();
    let down_url = format!("http://127.0.0.1:{port}");
    let config = json!({ "alertmanager": { "endpoints": [up.endpoint(), down_url] } });
    let running = Running::new(&[("am", config)]);
    // It waited so long that Alertmanager would take it for ended; and yet it fires.
    let old = Alert { starts_at: now() - 600_000, ends_at: now() - 1000, ..alert("Old") };
    running.offer(std::slice::from_ref(&old));
    let seen = up.wait_for_one();
    assert_eq!(time(&seen["startsAt"]), old.starts_at);
    assert!(time(&seen["endsAt"]) > now());
    let entry = running.entry(&format!("am {down_url}"));
    until("a fault of the other", || (entry.answer.get() == "connection refused").then_some(())).await;
    let Some(late) = Alertmanager::start_at(port) else { return };
    assert_eq!(late.wait_for_one()["labels"]["alertname"], "Old");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silence_in_alertmanager_stands_in_the_ledger() {
    let Some(server) = Alertmanager::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Ledger::open(&dir.path().join("alerts.jsonl"), MOST_BYTES, now()).unwrap());
    let config = json!({ "alertmanager": { "endpoints": [server.endpoint()] } });
    let running = Running::with(&[("am", config)], None, Some(Arc::clone(&ledger)));
    let noisy = alert("Noisy");
    ledger.begin(&noisy, "Noisy");
    running.offer(std::slice::from_ref(&noisy));
    server.wait_for_one();
    let silence = server.silence("Noisy");
    let one = until("a silence in the ledger", || {
        let one = ledger.read(0, i64::MAX, |_| true).unwrap().pop()?;
        (!one.silenced().is_empty()).then_some(one)
    })
    .await;
    assert_eq!(one.silenced(), [silence]);
    assert!(one.delivered.contains_key("am"), "{one:?}");
    ledger.end(&resolved(&noisy));
    assert!(!ledger.fires());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inhibition_in_alertmanager_stands_in_the_ledger_with_the_name_of_what_inhibits() {
    let rule = "{ source_matchers: [alertname=HostDown], target_matchers: [alertname=Slow], equal: [instance] }";
    let Some(server) = Alertmanager::start_with(free_port(), &format!("inhibit_rules: [ {rule} ]\n")) else { return };
    let dir = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Ledger::open(&dir.path().join("alerts.jsonl"), MOST_BYTES, now()).unwrap());
    let config = json!({ "alertmanager": { "endpoints": [server.endpoint()] } });
    let running = Running::with(&[("am", config)], None, Some(Arc::clone(&ledger)));
    for alert in [alert("Slow"), alert("HostDown")] {
        ledger.begin(&alert, alert.labels.get("alertname"));
        running.offer(&[alert]);
    }
    let held = until("an inhibition in the ledger", || {
        let all = ledger.read(0, i64::MAX, |one| !one.silenced().is_empty()).unwrap();
        (!all.is_empty()).then_some(all)
    })
    .await;
    let held: Vec<_> = held.iter().map(|one| (one.rule.as_str(), one.silenced())).collect();
    assert_eq!(held, [("Slow", ["inhibited by HostDown".to_owned()].as_slice())]);
}
