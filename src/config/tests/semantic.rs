//! Configs of the right shape that cannot work: each fault is told, and all of them at once.

use std::path::Path;

use super::{each_is_told, errors, parse, told};

fn file(settings: &str) -> String {
    format!("logs:\n  files:\n    - path: /srv/shop/log/*.json\n{settings}")
}

fn otlp(settings: &str) -> String {
    format!("destinations:\n  loki:\n    otlp_http:\n      endpoint: http://loki:3100/otlp\n{settings}")
}

/// As `each_is_told`, each below a beginning that is right.
fn each_below(begin: fn(&str) -> String, table: &[(&str, usize, usize, &[&str])]) {
    for (settings, line, column, words) in table {
        each_is_told(&[(&begin(settings), *line, *column, words)]);
    }
}

#[test]
fn faults_of_log_files_are_told_at_their_key() {
    each_is_told(&[
        ("logs:\n  files:\n    - format: json\n", 3, 7, &["`path` is missing"]),
        ("logs:\n  files:\n    - path: \"\"\n", 3, 13, &["`path` is missing or empty"]),
        ("logs:\n  files:\n    - path: log/*.json\n", 3, 13, &["is no absolute path", "start with `/`"]),
        ("logs:\n  files:\n    - path: ~/log\n", 3, 13, &["`~` is known to shells only"]),
        ("logs:\n  files:\n    - path: /srv/{a\n", 3, 13, &["bad pattern", "{a,b}"]),
        ("logs:\n  files:\n    - path: /a\n    - path: /b\n    - path: /a\n", 5, 13, &["the files of entry 1 again"]),
        ("logs:\n  journald: { units: [\"a\", \"\"] }\n", 2, 28, &["this pattern is empty"]),
        ("logs:\n  journald: { units: [\"a[\"] }\n", 2, 23, &["bad pattern"]),
    ]);
    each_below(
        file,
        &[
            ("      service: \"\"\n", 4, 16, &["this name is empty"]),
            ("      multiline: { start: '(' }\n", 4, 27, &["bad regular expression: unclosed group"]),
            ("      multiline: { start: '(?<=a)b' }\n", 4, 27, &["look-around", "docs.rs/regex"]),
            ("      multiline: { max_lines: 5 }\n", 4, 7, &["the regular expression is missing"]),
            ("      multiline: { start: a, max_lines: 1 }\n", 4, 41, &["from 2 to 10000"]),
            ("      multiline: { start: a, timeout: 5h }\n", 4, 39, &["5h is too long", "from 10ms to 1m"]),
            ("      multiline: { start: a, max_bytes: 1 }\n", 4, 41, &["1 B is too small", "1 KiB"]),
            ("      multiline: { start: '\\w{1000}{1000}' }\n", 4, 27, &["too large"]),
            ("      exclude: [\"[\"]\n", 4, 17, &["bad pattern"]),
            ("      redact:\n        - { regex: '[' }\n", 5, 20, &["bad regular expression: unclosed character class"]),
            ("      max_line: 10MiB\n", 4, 17, &["10 MiB is too large", "1 MiB"]),
            ("      attributes: { service.name: x }\n", 4, 35, &["has a key of its own"]),
            ("      metrics: [ { histogram: ms } ]\n", 4, 18, &["the metric's name is missing"]),
            ("      metrics:\n        - name: a\n", 5, 11, &["what is measured is missing", "`histogram`, `sum`"]),
            ("      metrics: [ { name: 1x, sum: a } ]\n", 4, 26, &["is no metric's name"]),
            ("      metrics: [ { name: x, sum: a, gauge: b } ]\n", 4, 44, &["a second kind"]),
            ("      metrics: [ { name: x, sum: a, buckets: [1] } ]\n", 4, 37, &["only a histogram has buckets"]),
            ("      metrics: [ { name: x, histogram: a, buckets: [2, 1] } ]\n", 4, 43, &["do not rise"]),
            ("      metrics: [ { name: x, sum: a, by: [b, b] } ]\n", 4, 45, &["stands here twice"]),
        ],
    );
}

#[test]
fn faults_of_destinations_are_told_at_their_key() {
    each_is_told(&[
        ("destinations: { a: { otlp_http: {} } }\n", 1, 22, &["the address is missing", "http://loki:3100/otlp"]),
        ("destinations: { a: { otlp_http: { endpoint: loki:3100 } } }\n", 1, 45, &["it has no scheme"]),
        ("destinations: { a: { otlp_http: { endpoint: ftp://loki } } }\n", 1, 45, &["unknown scheme"]),
        ("destinations: { a: { otlp_http: { endpoint: \"http://\" } } }\n", 1, 45, &["no address"]),
        ("destinations: { a: { otlp_http: { endpoint: \"http://loki:99999\" } } }\n", 1, 45, &["port"]),
        ("destinations: { a: { otlp_http: { endpoint: \"http://u:p@loki\" } } }\n", 1, 45, &["`username`"]),
        (
            "destinations: { a: { otlp_http: { endpoint: \"http://loki/v1/logs\" } } }\n",
            1,
            45,
            &["`/v1/logs` is added"],
        ),
        ("destinations: { a: { otlp_grpc: { endpoint: \"http://a:4317/x\" } } }\n", 1, 45, &["no path"]),
        (
            "destinations: { \"../a\": { otlp_http: { endpoint: \"http://a\" } } }\n",
            1,
            17,
            &["no name for a destination"],
        ),
        ("self: { otlp_grpc: { endpoint: \"127.0.0.1:4317\" } }\n", 1, 32, &["it has no scheme"]),
    ]);
    each_below(
        otlp,
        &[
            ("      signals: []\n", 5, 7, &["nothing would be sent there"]),
            ("      signals: [logs, logs]\n", 5, 23, &["`logs` stands here twice"]),
            ("      timeout: 1ms\n", 5, 16, &["1ms is too short", "from 1s to 5m"]),
            ("      username: me\n", 5, 17, &["a user without a password"]),
            ("      headers: { \"a b\": x }\n", 5, 25, &["no header's name"]),
            ("      headers: { Content-Type: x }\n", 5, 32, &["belongs to the request itself"]),
            ("      headers: { a: \"x\\ny\" }\n", 5, 21, &["no control characters"]),
            (
                "      headers:\n        x-team: { file: /nonexistent/team }\n",
                6,
                25,
                &["/nonexistent/team", "No such file"],
            ),
            ("      token: { file: token }\n", 5, 22, &["is no absolute path"]),
            ("      token: { file: /nonexistent/token }\n", 5, 22, &["cannot read the secret", "No such file"]),
            ("      token: { env: PLIMSOLL_NOT_SET }\n", 5, 21, &["PLIMSOLL_NOT_SET is not set"]),
            ("      token: { credential: ../loki }\n", 5, 28, &["is no credential name", "LoadCredential="]),
            ("      tls: { ca: /nonexistent/ca.pem }\n", 5, 18, &["/nonexistent/ca.pem", "No such file"]),
            ("      tls: { cert: /etc/hostname }\n", 5, 20, &["a certificate without its key"]),
            ("      tls: { ca: /etc }\n", 5, 18, &["no regular file"]),
            ("      tls: { ca: /etc/hostname }\n", 5, 7, &["without TLS", "https://"]),
        ],
    );
}

#[test]
fn addresses_that_work_are_taken() {
    for endpoint in [
        "http://loki:3100/otlp",
        "https://[::1]:4317",
        "http://[::1]",
        "http://127.0.0.1:4317/",
        "https://otlp-gateway.grafana.net/otlp",
        "http://prometheus:9090/api/v1/otlp/",
    ] {
        let text = format!("destinations: {{ a: {{ otlp_http: {{ endpoint: '{endpoint}' }} }} }}\n");
        let config = parse(Path::new("f"), &text).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(config.destinations["a"].otlp().endpoint, endpoint);
    }
    let twice =
        "destinations: { a: { otlp_http: { endpoint: http://a } }, b: { otlp_http: { endpoint: http://a } } }\n";
    assert_eq!(parse(Path::new("f"), twice).unwrap().destinations.len(), 2, "one server may stand under two names");
}

#[test]
fn a_secret_that_may_not_be_read_says_so() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, "x").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(&path).is_ok() {
        // Root reads everything; what it cannot read is a folder.
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
    }
    let shown = told(&otlp(&format!("      token: {{ file: {} }}\n", path.display())));
    assert!(shown.contains("Permission denied") || shown.contains("no regular file"), "{shown}");
    assert!(shown.contains("the user plimsoll must be able to read it"), "{shown}");
}

#[test]
fn faults_of_the_other_parts_are_told_at_their_key() {
    each_is_told(&[
        ("state: var/lib\n", 1, 8, &["is no absolute path"]),
        ("service: ''\n", 1, 10, &["this name is empty"]),
        ("environment: \"a\\nb\"\n", 1, 14, &["control characters"]),
        ("memory: 1MiB\n", 1, 9, &["no budget to work in", "from 20MiB"]),
        ("host: { interval: 0s }\n", 1, 19, &["too short", "from 1s"]),
        ("spool: { size: 1KiB }\n", 1, 16, &["too small", "16 MiB"]),
        ("spool: { fsync: 1h }\n", 1, 17, &["1h is too long"]),
        ("store: { logs: { retention: 1s } }\n", 1, 29, &["1s is too short"]),
        ("store: { metrics: { size: 5 } }\n", 1, 27, &["too small"]),
        ("listen: { http: 0.0.0.0:1876 }\n", 1, 17, &["neither TLS nor a token", "127.0.0.1:1876"]),
        (
            "listen: { http: 0.0.0.0:1876, token: { env: T } }\n",
            1,
            17,
            &["there is no TLS here", "`tls: { cert, key }`"],
        ),
        ("listen: { http: 0.0.0.0:1876, tls: { cert: /c, key: /k } }\n", 1, 17, &["there is no token here"]),
        ("listen: { tls: { cert: c, key: /k } }\n", 1, 24, &["is no absolute path"]),
        ("listen: { names: [box, 'http://box'] }\n", 1, 24, &["is no name of a host"]),
        ("listen: { otlp_grpc: '[::]:4317' }\n", 1, 22, &["can be reached from outside"]),
        ("listen: { otlp_grpc: 127.0.0.1:1876 }\n", 1, 22, &["`otlp_grpc` and `http` both listen"]),
        ("alerts: { interval: 1ms }\n", 1, 21, &["too short"]),
    ]);
}

#[test]
fn entries_of_servers_are_checked_each_with_its_own_words() {
    each_is_told(&[
        (
            "collect: { redis: [{ url: redis://a, queues: { prefixes: [] } }] }\n",
            1,
            48,
            &["0 prefixes", "from 1 to 8", "leave the key out"],
        ),
        (
            "collect: { redis: [{ url: redis://a, queues: { prefixes: [bull, \"\"] } }] }\n",
            1,
            65,
            &["this name is empty"],
        ),
        ("collect: { redis: [{ url: redis://a, queues: { prefixes: [\"bull:\"] } }] }\n", 1, 59, &["BullMQ's own"]),
        ("collect: { redis: [{ url: redis://a, queues: { prefixes: [a, b, a] } }] }\n", 1, 65, &["a second time"]),
        ("collect: { redis: [{}] }\n", 1, 20, &["the address is missing", "redis://127.0.0.1:6379"]),
        ("collect: { scrape: [{ url: 127.0.0.1:9100 }] }\n", 1, 28, &["no scheme", "http:// or https://"]),
        ("collect: { mysql: [{ url: 'mysql://a:b@c' }] }\n", 1, 27, &["password does not stand", "password: {file"]),
        ("collect: { nats: [{ url: 'http://a:1', interval: 1ms }] }\n", 1, 50, &["too short"]),
        ("collect: { nats: [{ url: 'http://a:1', timeout: 20s }] }\n", 1, 49, &["too long", "to 15s"]),
        ("collect: { nats: [{ url: 'http://a:1', series: 0 }] }\n", 1, 48, &["from 1 to 100000"]),
        ("collect: { postgres: [{ url: 'postgres://a', top: 501 }] }\n", 1, 51, &["from 0 to 500"]),
        ("collect: { scrape: [{ url: 'http://a', token: { env: NOT_SET_HERE } }] }\n", 1, 54, &["NOT_SET_HERE"]),
    ]);
    let text = "collect: { scrape: [{ url: 'http://a/m?x=y', interval: 2s, tls: {} }], nats: off }\n";
    let config = crate::config::parse("a.yaml".as_ref(), text).unwrap();
    let entries = config.collect.on().unwrap().entries();
    assert_eq!((entries.len(), entries[0].entry().time().as_secs(), entries[0].service()), (1, 2, "scrape"));
}

#[test]
fn one_metric_of_one_service_is_measured_in_one_way() {
    let entry = |path: &str, service: &str, unit: &str| {
        format!(
            "    - path: {path}\n      service: {service}\n      metrics:\n        - {{ name: d, sum: ms, unit: {unit} }}\n"
        )
    };
    let config = |second: &str| format!("logs:\n  files:\n{}{second}", entry("/a", "shop", "ms"));
    assert!(
        crate::config::parse("a.yaml".as_ref(), &config(&entry("/b", "shop", "ms"))).is_ok(),
        "the same twice is one"
    );
    assert!(crate::config::parse("a.yaml".as_ref(), &config(&entry("/b", "web", "s"))).is_ok(), "another service");
    each_is_told(&[(&config(&entry("/b", "shop", "s")), 10, 19, &["\"d\" is measured in another way"])]);
}

#[test]
fn all_faults_are_told_at_once_in_the_order_of_their_lines() {
    let text = "service: ''\nmemory: 1\nlogs:\n  files:\n    - path: a\n      max_line: 1\nspool: { size: 1 }\nhost: { interval: 1ms }\n";
    let places: Vec<_> = errors(text).problems.iter().map(|problem| problem.at.unwrap()).collect();
    assert_eq!(places, [(1, 10), (2, 9), (5, 13), (6, 17), (7, 16), (8, 19)]);
}

#[test]
fn a_thousand_faults_are_counted_and_a_hundred_shown() {
    let text = format!("logs:\n  files:\n{}", (0..1000).map(|n| format!("    - path: a{n}\n")).collect::<String>());
    let errors = errors(&text);
    assert_eq!((errors.problems.len(), errors.more), (100, 900));
    assert!(errors.to_string().ends_with("f: and 900 more"));
}

#[test]
fn a_credential_is_asked_for_by_the_service_alone() {
    let text = "destinations: { a: { otlp_http: { endpoint: http://a, token: { credential: stack } } } }\n";
    assert!(std::env::var_os("CREDENTIALS_DIRECTORY").is_none());
    assert_eq!(parse(Path::new("f"), text).unwrap().destinations.len(), 1);
}
