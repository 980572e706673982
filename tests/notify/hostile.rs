//! Names and labels from logs and peers: they never break a message.

use plimsoll::notify::Alert;
use serde_json::{Value, json};

use super::mail::Mail;
use super::peer::Peer;
use super::{Running, alert, until};

/// One alert for each kind of malice.
fn hostile() -> Vec<Alert> {
    let texts = [
        "<script>alert(1)</script> & <!channel> <https://evil|x>".to_owned(),
        "a\r\nBcc: everybody@example.com\r\n\r\n.\r\nQUIT\r\n".to_owned(),
        "\u{1b}[2J\u{1b}]0;title\u{7}\u{202e}dlrow".to_owned(),
        "\"}],\\\u{0}\u{1}\u{7f}\u{2028}\u{fffe}".to_owned(),
        "x".repeat(1 << 20),
        "😀".repeat(50_000),
        "%s%n{{ $labels }} ${jndi:ldap://x}".to_owned(),
    ];
    let one = |(number, text): (usize, &String)| {
        let mut alert = alert("Hostile");
        alert.labels = alert.labels.with("instance", text).with("number", &number.to_string());
        if text.len() >= 1 << 20 {
            return alert;
        }
        alert.labels = alert.labels.with("job", text);
        alert.annotations = ["summary", "description", "runbook_url", text.get(..20).unwrap_or("x")]
            .map(|name| (name.to_owned(), text.clone()))
            .to_vec();
        alert.generator_url = format!("http://a/{}", text.get(..30).unwrap_or_default());
        alert
    };
    texts.iter().enumerate().map(one).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_labels_and_annotations_break_no_payload() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).unwrap();
        json!({ "file": dir.path().join(name) })
    };
    let [am, slack, pager, hook] = [Peer::new(&[]), Peer::new(&[]), Peer::new(&[]), Peer::new(&[])];
    let mail = Mail::new(&[]);
    let running = Running::new(&[
        ("am", json!({ "alertmanager": { "endpoints": [am.url("")] } })),
        ("slack", json!({ "slack": { "webhook": file("s", &slack.url("/s")) } })),
        ("pager", json!({ "pagerduty": { "routing_key": file("k", "key"), "url": pager.url("/") } })),
        ("hook", json!({ "webhook": { "url": hook.url("/") } })),
        ("mail", mail.notifier()),
    ]);
    // One after the other: a megabyte each fills no queue.
    let all = hostile();
    for (number, alert) in all.iter().enumerate() {
        running.offer(std::slice::from_ref(alert));
        let arrived = || pager.taken().len() > number && mail.mails().len() > number;
        until("hostile alerts", || {
            (arrived() && [&am, &slack, &hook].iter().all(|peer| peer.taken().len() > number)).then_some(())
        })
        .await;
    }
    assert_eq!(running.board.losses(), [], "nothing was refused or dropped");
    for (alert, (am, hook)) in all.iter().zip(am.taken().iter().zip(&hook.taken())) {
        // Machines get every byte.
        assert_eq!(am[0]["labels"]["instance"].as_str().unwrap(), alert.labels.get("instance"));
        assert_eq!(hook["alerts"][0]["annotations"]["summary"].as_str().unwrap(), alert.annotations[0].1);
        assert_eq!((&hook["version"], &hook["status"]), (&json!("4"), &json!("firing")));
    }
    for message in slack.taken() {
        let text = message.to_string();
        assert!(text.len() < 16_000, "{} bytes", text.len());
        for bad in ["<script", "<!channel", "<https://evil", "\\u001b", "\\u0000", "\u{202e}"] {
            assert!(!text.contains(bad), "{bad} in {text}");
        }
    }
    for event in pager.taken() {
        assert!(event.to_string().len() < 512_000);
        let summary = event["payload"]["summary"].as_str().unwrap();
        assert!(summary.chars().count() <= 1024 && !summary.chars().any(char::is_control), "{summary}");
        assert_eq!((&event["event_action"], &event["payload"]["severity"]), (&json!("trigger"), &json!("critical")));
    }
    for mail in mail.mails() {
        let (head, _) = mail.split_once("\r\n\r\n").unwrap();
        let names: Vec<_> = head.lines().filter(|line| !line.starts_with([' ', '\t'])).collect();
        assert!(names.iter().all(|line| !line.to_lowercase().starts_with("bcc")), "{head}");
        assert_eq!(names.iter().filter(|line| line.starts_with("To:")).count(), 1, "{head}");
        assert!(mail.lines().all(|line| line.len() <= 998), "a line that no mail server takes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pagerduty_resolves_under_the_key_that_it_triggered() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, "geheim").unwrap();
    let pager = Peer::at(0, &[], "202 Accepted");
    let config = json!({ "pagerduty": { "routing_key": { "file": path }, "url": pager.url("/v2/enqueue") } });
    let running = Running::new(&[("x", config)]);
    let down = alert("Down");
    running.offer(std::slice::from_ref(&down));
    until("a trigger", || (pager.taken().len() == 1).then_some(())).await;
    running.offer(&[super::resolved(&down)]);
    let events: Vec<Value> = until("a resolve", || Some(pager.taken()).filter(|taken| taken.len() == 2)).await;
    assert_eq!(events[0]["dedup_key"], events[1]["dedup_key"]);
    assert_eq!(events[1]["event_action"], "resolve");
    assert_eq!(events[0]["payload"]["source"], "shop-db-1");
    assert_eq!(events[0]["routing_key"], "geheim");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_has_all_alerts_of_a_name_and_says_what_they_share() {
    let hook = Peer::new(&[]);
    let running =
        Running::new(&[("x", json!({ "webhook": { "url": hook.url("/"), "headers": { "X-Team": "shop" } } }))]);
    let one = |host: &str| {
        let mut alert = alert("Down");
        alert.labels = alert.labels.with("instance", host);
        alert
    };
    running.offer(&[one("a"), one("b"), alert("Other")]);
    let bodies: Vec<Value> = until("two messages", || Some(hook.taken()).filter(|taken| taken.len() == 2)).await;
    assert_eq!(bodies[0]["alerts"].as_array().unwrap().len(), 2);
    assert_eq!(bodies[0]["commonLabels"], json!({ "alertname": "Down", "severity": "page" }));
    assert_eq!(bodies[0]["commonAnnotations"], json!({ "summary": "Down is wrong" }));
    assert_eq!(bodies[0]["groupKey"], "{}:{alertname=\"Down\", severity=\"page\"}");
    assert_eq!((&bodies[0]["receiver"], &bodies[0]["externalURL"]), (&json!("x"), &json!("http://shop-db-1:1876")));
    assert_eq!(bodies[0]["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");
    assert!(hook.requests()[0].1.contains("x-team: shop"));
}
