//! `plimsoll alerts` and the rules of the query API against an agent that evaluates real rules.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use super::harness::{Site, get, wait_for};

const RULES: &str = "
groups:
  - name: always
    interval: 1s
    rules:
      - alert: Full
        expr: label_replace(vector(0.97), \"device\", \"sda\", \"\", \"\") > 0.9
        labels: { severity: page }
        annotations: { summary: '{{ $labels.device }} is {{ $value | humanizePercentage }} full' }
      - alert: Late
        expr: vector(5) > 1
        for: 1h
        labels: { severity: ticket }
      - alert: Quiet
        expr: vector(1) > 2
      - record: seven
        expr: vector(7)
";

#[test]
fn rules_are_shown_with_their_state_on_the_command_line_and_over_http() {
    let site = Site::new();
    fs::write(site.path("rules.yaml"), RULES).unwrap();
    site.config(&format!("host: off\nalerts: {{ rules: [\"{}\"] }}\n", site.path("rules.yaml").display()));
    let _agent = site.start();
    let shown = || {
        let output = site.run(&["alerts", "--json"]);
        let json: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        let rules = json["rules"].as_array().ok_or("no rules")?;
        let ours = rules.iter().filter(|rule| rule["group"] == "always");
        let states: Vec<String> = ours.map(|rule| format!("{}:{}", rule["name"], rule["state"])).collect();
        Ok::<_, String>((states.join(" ").replace('"', ""), output.status.code(), json))
    };
    let expected = "Full:firing Late:pending Quiet:quiet seven:quiet";
    let (code, json) = wait_for(expected, Duration::from_secs(40), || match shown()? {
        (states, code, json) if states == expected => Ok((code, json)),
        (states, ..) => Err(states),
    });
    assert_eq!(code, Some(1), "something fires");
    let rule = |name: &str| json["rules"].as_array().unwrap().iter().find(|rule| rule["name"] == name).unwrap();
    assert_eq!(rule("Full")["alerts"][0]["annotations"]["summary"], "sda is 97% full");
    let left = rule("Late")["alerts"][0]["fires_in_seconds"].as_f64().unwrap();
    assert!((3500.0..=3600.0).contains(&left), "{left}");

    let screen = String::from_utf8(site.run(&["alerts"]).stdout).unwrap();
    for words in ["1 page firing", "FIRING", "device=sda", "sda is 97% full", "PENDING", "for 1 h", "always 1"] {
        assert!(screen.contains(words), "no {words:?}: {screen}");
    }

    let answer: Value =
        serde_json::from_str(&get(site.port, "/api/v1/rules?rule_group[]=always", &[]).unwrap()).unwrap();
    let rules = &answer["data"]["groups"][0]["rules"];
    let field = |index: usize, name: &str| rules[index][name].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (field(0, "state"), field(0, "health"), field(0, "type")),
        ("firing".into(), "ok".into(), "alerting".into())
    );
    assert_eq!((field(1, "state"), rules[1]["duration"].as_f64()), ("pending".into(), Some(3600.0)));
    assert_eq!((field(2, "state"), field(3, "type")), ("inactive".into(), "recording".into()));
    let alert = &rules[0]["alerts"][0];
    assert_eq!((alert["value"].as_str(), alert["labels"]["alertname"].as_str()), (Some("9.7e-01"), Some("Full")));
    let answer: Value = serde_json::from_str(&get(site.port, "/api/v1/alerts", &[]).unwrap()).unwrap();
    let states: Vec<&Value> =
        answer["data"]["alerts"].as_array().unwrap().iter().map(|alert| &alert["state"]).collect();
    assert!(states.contains(&&"firing".into()) && states.contains(&&"pending".into()), "{answer}");

    let page = get(site.port, "/", &[]).unwrap();
    assert!(page.contains("Full</td><td>page</td><td>fires") && page.contains("sda is 97% full"), "{page}");
    let history = wait_for("the activation in the history", Duration::from_secs(20), || {
        let output = site.run(&["alerts", "--history", "1h"]);
        let text = String::from_utf8(output.stdout).unwrap();
        if text.contains("Full") { Ok(text) } else { Err(text) }
    });
    assert!(history.contains("fires") && history.contains("nobody was told"), "{history}");
    let review = site.run(&["alerts", "review", "--over", "1h", "--json"]);
    let review: Value = serde_json::from_slice(&review.stdout).unwrap();
    let full = review["rules"].as_array().unwrap().iter().find(|rule| rule["name"] == "Full").unwrap();
    assert_eq!((&full["fired"], &full["firing"], &full["change"]), (&1.into(), &1.into(), &Value::Null), "{review:#}");
}
