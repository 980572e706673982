//! What the config may say, and what is told of it when it is wrong.

use std::path::Path;

use super::*;
use crate::base::yaml;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    notify: BTreeMap<String, Notify>,
    heartbeat: Option<Heartbeat>,
}

fn check(text: &str) -> Result<File, String> {
    let faults = |file: &File| {
        let heartbeat = file.heartbeat.iter().flat_map(Heartbeat::faults).map(|fault| fault.below("heartbeat"));
        faults(&file.notify).into_iter().map(|fault| fault.below("notify")).chain(heartbeat).collect()
    };
    yaml::parse(Path::new("plimsoll.yaml"), text, faults).map_err(|errors| errors.to_string())
}

#[test]
fn each_notifier_takes_the_severities_that_are_meant_for_it() {
    let file = check(
        "notify:\n  am: { alertmanager: { endpoints: ['http://am:9093'] } }\n  hook: { webhook: { url: 'http://127.0.0.1:1/' } }\n\
         \x20 some: { webhook: { url: 'http://127.0.0.1:1/' }, severity: [page] }\n",
    )
    .unwrap();
    assert!(file.notify["am"].severities().is_empty(), "Alertmanager routes by itself");
    assert_eq!(file.notify["hook"].severities(), ["page", "ticket"]);
    assert_eq!(file.notify["some"].severities(), ["page"]);
    let pager = Pagerduty { routing_key: Secret::Env("X".into()), url: Pagerduty::url(), tls: Tls::default() };
    let pager = Notify { pagerduty: Some(pager), ..Notify::default() };
    assert_eq!(pager.severities(), ["page"]);
}

#[test]
fn faults_name_the_key_and_its_place() {
    for (text, key, words) in [
        ("notify: { a: {} }", "notify.a", "nothing says how"),
        (
            "notify: { a: { webhook: { url: 'http://127.0.0.1/' }, alertmanager: { endpoints: ['http://a'] } } }",
            "webhook",
            "a second way",
        ),
        ("notify: { a: { alertmanager: {} } }", "endpoints", "no address is named"),
        ("notify: { a: { alertmanager: { endpoints: ['a:9093'] } } }", "endpoints", "no scheme"),
        ("notify: { a: { alertmanager: { endpoints: ['http://a', 'http://a'] } } }", "endpoints[1]", "twice"),
        ("notify: { a: { webhook: { url: 'http://u:geheim@a/' } } }", "url", "user and password"),
        ("notify: { a: { slack: { webhook: { env: PLIMSOLL_NOT_SET } } } }", "webhook.env", "not set"),
        ("notify: { a: { pagerduty: { routing_key: { file: /nonexistent } } } }", "routing_key.file", "cannot read"),
        ("notify: { a: { email: { smarthost: mail, from: a@b.c, to: [d@e.f] } } }", "smarthost", "no mail server"),
        ("notify: { a: { email: { smarthost: 'mail:25', from: nobody, to: [d@e.f] } } }", "from", "no mail address"),
        ("notify: { a: { email: { smarthost: 'mail:25', from: a@b.c, to: [] } } }", "to", "nobody"),
        (
            "notify: { a: { email: { smarthost: 'mail:25', from: a@b.c, to: [d@e.f], security: none } } }",
            "security",
            "without TLS",
        ),
        ("notify: { a: { webhook: { url: 'http://127.0.0.1/' }, severity: [] } }", "severity", "nothing would be sent"),
        ("notify: { 'a b': { webhook: { url: 'http://127.0.0.1/' } } }", "a b", "no name"),
        ("heartbeat: { url: 'http://a/', interval: 1s }", "interval", "too short"),
        ("notify: { a: { sms: {} } }", "sms", "email"),
    ] {
        let error = check(text).unwrap_err();
        assert!(error.contains("plimsoll.yaml:1:"), "{error}");
        assert!(error.contains(words), "{text} should tell {words} of {key}: {error}");
        assert!(!error.contains("geheim"), "{error}");
    }
}

#[test]
fn a_secret_over_the_network_needs_tls() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, "http://hooks.example.com/geheim").unwrap();
    let secret = format!("{{ file: {} }}", path.display());
    for text in [
        format!("notify: {{ a: {{ slack: {{ webhook: {secret} }} }} }}"),
        format!("notify: {{ a: {{ webhook: {{ url: 'http://a/', token: {secret} }} }} }}"),
        format!("notify: {{ a: {{ webhook: {{ url: 'http://a/', headers: {{ x-key: {secret} }} }} }} }}"),
        format!("notify: {{ a: {{ alertmanager: {{ endpoints: ['http://a/'], headers: {{ x-key: {secret} }} }} }} }}"),
        format!("notify: {{ a: {{ pagerduty: {{ url: 'http://a/', routing_key: {secret} }} }} }}"),
        format!("heartbeat: {{ url: {secret} }}"),
    ] {
        let error = check(&text).unwrap_err();
        assert!(error.contains("without TLS") && !error.contains("geheim"), "{error}");
        if !text.contains("slack") && !text.contains("heartbeat") {
            check(&text.replace("http://a/", "https://a/")).unwrap();
            check(&text.replace("http://a/", "http://127.0.0.1:9/")).unwrap();
        }
    }
    check("notify: { a: { webhook: { url: 'http://a/', headers: { x-team: shop } } } }").unwrap();
}
