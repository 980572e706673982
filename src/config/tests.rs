//! Bad configs, each with the place and words of its error.

use std::path::Path;

use super::{Config, load, parse};
use crate::base::yaml::Errors;

mod hostile;
mod semantic;

/// All errors of a config as they are printed.
fn told(text: &str) -> String {
    errors(text).to_string()
}

fn errors(text: &str) -> Errors {
    match parse(Path::new("f"), text) {
        Err(errors) => errors,
        Ok(_) => panic!("taken as fine: {text}"),
    }
}

/// Each config has an error at this line and column, whose message and help together hold each of these words.
fn each_is_told(table: &[(&str, usize, usize, &[&str])]) {
    let mut wrong = String::new();
    for (text, line, column, words) in table {
        let errors = errors(text);
        let here = errors.problems.iter().find(|problem| problem.at == Some((*line, *column)));
        let said = here.map(|problem| format!("{}; {}", problem.message, problem.help)).unwrap_or_default();
        if here.is_none() || !words.iter().all(|word| said.contains(word)) {
            wrong += &format!("no {words:?} at {line}:{column} of\n{text}{errors}\n\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn an_unknown_key_shows_its_line_what_is_allowed_and_what_was_meant() {
    let text = "service: shop\n\n# where to\ndestnations:\n  loki: {}\n";
    let expected = "f:4:1: unknown key `destnations`
   4 | destnations:
     | ^^^^^^^^^^^ did you mean `destinations`? allowed here: alerts, collect, destinations, discover, environment, \
                    host, listen, logs, memory, self, service, spool, state, store";
    assert_eq!(told(text), expected);
}

#[test]
fn unknown_keys_are_told_on_every_level() {
    each_is_told(&[
        ("hots: off\n", 1, 1, &["unknown key `hots`", "did you mean `host`"]),
        ("outputs: {}\n", 1, 1, &["unknown key `outputs`", "allowed here: alerts"]),
        ("host: { intervall: 15s }\n", 1, 9, &["`intervall`", "did you mean `interval`"]),
        ("logs:\n  file: []\n", 2, 3, &["`file`", "did you mean `files`"]),
        ("logs:\n  files:\n    - path: /x\n      fromat: json\n", 4, 7, &["`fromat`", "did you mean `format`"]),
        ("logs: { files: [ { path: /x, multiline: { begin: a } } ] }\n", 1, 43, &["`begin`", "max_bytes"]),
        ("logs: { journald: { unit: a } }\n", 1, 21, &["`unit`", "did you mean `units`"]),
        ("logs: { files: [ { path: /x, metrics: [ { nmae: a } ] } ] }\n", 1, 43, &["did you mean `name`"]),
        ("collect: { postgre: [] }\n", 1, 12, &["did you mean `postgres`"]),
        ("collect: { postgres: [ { urll: a } ] }\n", 1, 26, &["did you mean `url`"]),
        ("collect: { redis: [ { queues: { bullmp: auto } } ] }\n", 1, 33, &["did you mean `bullmq`"]),
        ("destinations:\n  a:\n    otlp_htp: {}\n", 3, 5, &["unknown key `otlp_htp`", "did you mean `otlp_http`"]),
        ("destinations: { a: { otlp_http: { endpont: x } } }\n", 1, 35, &["did you mean `endpoint`"]),
        ("destinations: { a: { otlp_grpc: { tls: { cacert: /x } } } }\n", 1, 42, &["allowed here: ca, cert, key"]),
        ("destinations: { a: { otlp_http: { token: { flie: /x } } } }\n", 1, 44, &["did you mean `file`"]),
        ("alerts: { notfy: {} }\n", 1, 11, &["did you mean `notify`"]),
        ("alerts: { notify: { a: { slak: {} } } }\n", 1, 26, &["did you mean `slack`"]),
        ("store: { metrics: { retain: 1d } }\n", 1, 21, &["allowed here: retention, size"]),
        ("spool: { sync: 1s }\n", 1, 10, &["did you mean `fsync`"]),
        ("listen: { grpc: off }\n", 1, 11, &["allowed here: http, names, otlp_grpc, otlp_http, tls, token"]),
        ("self: { otlp_http: {} }\n", 1, 9, &["allowed here: otlp_grpc"]),
    ]);
}

#[test]
fn values_of_the_wrong_kind_say_what_is_wanted() {
    each_is_told(&[
        ("host: { interval: 15 }\n", 1, 19, &["\"15\" is no duration", "15s"]),
        ("host:\n  interval: fast\n", 2, 13, &["\"fast\" is no duration"]),
        ("host: { interval: 99999999999999999999s }\n", 1, 19, &["is no duration"]),
        ("host: { interval: [15s] }\n", 1, 19, &["a text is wanted here"]),
        ("host: 5\n", 1, 7, &["`5` does not fit", "`off`"]),
        ("host: on\n", 1, 7, &["`off`"]),
        ("host:\n", 1, 5, &["a value is missing", "leave the key out"]),
        ("host: 15s\n", 1, 7, &["\"15s\" does not fit", "settings are wanted"]),
        ("logs:\n  files: /x\n", 2, 10, &["a list is wanted here"]),
        ("logs:\n  files:\n    - /x\n", 3, 7, &["settings are wanted here"]),
        ("logs: { files: [ { path: /x, format: jsn } ] }\n", 1, 38, &["unknown value `jsn`", "did you mean `json`"]),
        ("logs: { files: [ { path: /x, start: top } ] }\n", 1, 37, &["allowed here: beginning, end"]),
        ("logs: { files: [ { path: /x, redact: [email, crd] } ] }\n", 1, 46, &["did you mean `card`", "bearer"]),
        ("logs: { files: [ { path: /x, redact: [regex] } ] }\n", 1, 39, &["`regex` stands alone", "`regex: …`"]),
        ("logs: { files: [ { path: /x, max_line: -1 } ] }\n", 1, 40, &["\"-1\" is no size", "64KiB"]),
        ("logs: { files: [ { path: /x, multiline: { start: a, max_lines: x } } ] }\n", 1, 64, &["a whole number"]),
        ("logs: { files: [ { path: /x, metrics: [ { buckets: [a] } ] } ] }\n", 1, 53, &["a number is wanted"]),
        ("memory: big\n", 1, 9, &["\"big\" is no size", "512MiB"]),
        ("memory: 99999999999999999999\n", 1, 9, &["is no size"]),
        ("discover: maybe\n", 1, 11, &["true or false"]),
        ("service: [a]\n", 1, 10, &["a text is wanted here"]),
        ("destinations: { a: otlp_http }\n", 1, 20, &["`otlp_http` stands alone", "`otlp_http: …`"]),
        ("destinations:\n  a:\n", 2, 4, &["a value is missing", "otlp_grpc, otlp_http"]),
        ("destinations: { a: { otlp_http: {}, otlp_grpc: {} } }\n", 1, 37, &["a second key"]),
        ("destinations: { a: { otlp_http: { signals: [log] } } }\n", 1, 45, &["did you mean `logs`"]),
        ("destinations: { a: { otlp_http: { when_full: wait } } }\n", 1, 46, &["allowed here: block, drop_oldest"]),
        ("collect: { postgres: { url: a } }\n", 1, 22, &["map does not fit here", "a list is wanted here"]),
        ("collect: { redis: [ { queues: { bullmq: x } } ] }\n", 1, 41, &["`auto` or a list of names"]),
        ("collect: { redis: [ { queues: { prefixes: bull } } ] }\n", 1, 43, &["a list is wanted here"]),
        ("collect: { nats: [ { series: -1 } ] }\n", 1, 30, &["a whole number from 0"]),
        ("alerts: { notify: { a: { slack: {} } } }\n", 1, 33, &["`webhook` is missing"]),
        ("listen: { http: localhost:1876 }\n", 1, 17, &["no address to listen on", "127.0.0.1:1876"]),
        ("listen: { http: 1876 }\n", 1, 17, &["`1876` does not fit here"]),
        ("self: { otlp_grpc: {} }\n", 1, 20, &["`endpoint` is missing"]),
        ("[a]\n", 1, 1, &["settings are wanted here"]),
        ("x\n", 1, 1, &["settings are wanted here"]),
    ]);
}

#[test]
fn what_is_no_yaml_is_told_where_it_starts_to_be_none() {
    each_is_told(&[
        ("host: {}\nlogs: {}\nhost: {}\n", 3, 1, &["`host` stands here a second time"]),
        ("logs: { files: [ { path: /x, path: /y } ] }\n", 1, 30, &["`path` stands here a second time"]),
        ("host:\n\tinterval: 1s\n", 2, 2, &["tab", "indent with spaces"]),
        ("service: a\n service: b\n", 2, 9, &["mapping values", "indent it as the lines above"]),
        ("service: \"a\n", 1, 10, &["unclosed quote"]),
        ("host: {interval: 1s\n", 1, 7, &["unclosed bracket"]),
        ("host: !!python/object {}\n", 1, 23, &["unsupported tag"]),
        ("host: { interval: !!int 5s }\n", 1, 25, &["take the `!!…` away"]),
        ("host: {}\n---\nlogs: {}\n", 2, 1, &["a second document"]),
        ("host: &a { interval: *b }\n", 1, 22, &["names no anchor"]),
        ("host: { <<: 5 }\n", 1, 13, &["merge"]),
        ("service: a\u{0}b\n", 1, 11, &["unexpected character"]),
    ]);
}

#[test]
fn an_alias_shares_settings_and_its_errors_point_at_what_it_names() {
    let text = "logs:\n  files:\n    - path: /a\n      redact: &r [email]\n    - path: /b\n      redact: *r\n";
    let config = parse(Path::new("f"), text).unwrap();
    assert_eq!(config.logs.on().unwrap().files[1].redact.len(), 1);
    each_is_told(&[("host: &h { interval: 1ms }\nlogs: { journald: off }\n", 1, 22, &["1ms is too short"])]);
}

#[test]
fn a_long_line_is_cut_with_the_caret_in_view() {
    let text = format!("logs: {{ files: [ {{ path: /x, exclude: [\"{}\"], fromat: json }} ] }}\n", "y".repeat(5000));
    let shown = told(&text);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("f:1:5045: unknown key `fromat`"), "{}", lines[0]);
    assert!(lines[1].chars().count() < 220, "{}", lines[1]);
    let caret = lines[2].chars().position(|letter| letter == '^').unwrap();
    let under: String = lines[1].chars().skip(caret).take(6).collect();
    assert_eq!(under, "fromat");
}

#[test]
fn columns_count_characters_and_what_would_move_the_cursor_is_made_visible() {
    let shown = told("service: \"äöü\u{202e}\"\nhost: { interväl: \"\u{7f}\" } # \u{85}\n");
    assert!(shown.starts_with("f:2:9: unknown key `interväl`\n   2 | host: { interväl: \"␡\" } # �\n"), "{shown}");
    let shown = told("\"a\\e[31m\\u202Eb\": 1\n");
    assert!(shown.contains("unknown key `a␛[31m�b`"), "{shown}");
}

#[test]
fn secrets_in_plain_sight_are_refused_and_not_printed() {
    for text in [
        "collect:\n  postgres:\n    - password: hunter2\n",
        "collect:\n  postgres:\n    - password: [hunter2]\n",
        "collect:\n  postgres:\n    - {password: hunter2, url: x}\n",
        "collect:\n  postgres:\n    - password: |\n        hunter2\n",
        "destinations:\n  a:\n    otlp_http:\n      token: hunter2\n      tokn: x\n",
        "destinations:\n  a:\n    otlp_http:\n      headers:\n        x-key: !!int hunter2\n",
        "destinations:\n  a:\n    otlp_http:\n      headers: { x-key: hunter2, y: [a] }\n",
        "destinations:\n  a:\n    otlp_http: { endpoint: \"http://me:hunter2@loki/\" }\n",
        "destinations: { a: { otlp_http: { token: hunter2: x } } }\n",
        "alerts: { notify: { a: { pagerduty: { routing_key: hunter2 } } } }\n",
        "alerts: { notify: { a: { slack: { webhook: \"https://hooks.slack.com/hunter2\" } } } }\n",
        "collect:\n  postgres:\n    - password: \"hunter2\n",
        "destinations: { a: { otlp_http: { headers: {\nx-key: hunter2, y: [b] } } } }\n",
        "destinations: { a: { otlp_http: { headers: {\nx-key: 'a\nhunter2', y: [b] } } } }\n",
        "destinations: { a: { otlp_http: { headers:\n{x-key:\nhunter2\n, y: [b] } } } }\n",
        "collect:\n  postgres:\n    - url: postgres://me:hunter2@db\n      password: {\n",
    ] {
        let shown = told(text);
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    let shown = told("collect:\n  postgres:\n    - password: hunter2\n");
    assert!(shown.contains("   3 |     - password: (hidden)\n     |                 ^ write it to a file"), "{shown}");
    let numbers = told("destinations: { a: { otlp_http: { headers: { x: 4711 } } } }\n");
    assert!(!numbers.contains("4711"), "{numbers}");
}

#[test]
fn every_part_can_be_off() {
    let text = "host: off\nlogs: off\ncollect: off\nalerts: off\nstore: false\nlisten: off\n";
    let config = parse(Path::new("f"), text).unwrap();
    assert!(config.host.on().is_none() && config.logs.on().is_none() && config.collect.on().is_none());
    assert!(config.alerts.on().is_none() && config.store.on().is_none() && config.listen.on().is_none());
    parse(Path::new("f"), "logs: { journald: off }\ncollect: { redis: off, nats: [] }\nlisten: { http: off }\n")
        .unwrap();
}

#[test]
fn nothing_at_all_is_the_default_config() {
    for text in ["", "# only a comment\n", "{}\n", "---\n", "\u{feff}{}\n"] {
        assert_eq!(parse(Path::new("f"), text).unwrap(), Config::default(), "{text:?}");
    }
}

#[test]
fn a_file_that_cannot_be_a_config_is_told_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("missing.yaml");
    let missing = load(Some(&path)).unwrap_err();
    assert_eq!(missing.problems[0].at, None);
    assert!(missing.to_string().starts_with(&format!("{}: no such file", path.display())), "{missing}");
    let folder = load(Some(dir.path())).unwrap_err().to_string();
    assert!(folder.contains("no regular file"), "{folder}");
    let device = load(Some(Path::new("/dev/zero"))).unwrap_err().to_string();
    assert!(device.contains("no regular file"), "{device}");
}
