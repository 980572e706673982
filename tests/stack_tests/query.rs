//! The query API as Prometheus' own tool asks it, and as an enemy does; and `plimsoll query` against an agent.

use std::io::ErrorKind;
use std::process::Command;
use std::time::{Duration, Instant};

use plimsoll::base::stop::Stop;
use plimsoll::store::{Labels, Sample, Store, Taken};
use serde_json::Value;

use super::differential::{END, Pair, START, serve};
use super::harness::{Site, binary, escaped, http};

/// What promtool prints of a server, its lines sorted: the order of a vector is nobody's promise.
fn promtool(words: &[&str], port: u16, rest: &[&str]) -> (bool, String) {
    let tool = binary("promtool").unwrap();
    let url = format!("http://127.0.0.1:{port}");
    let output = Command::new(tool).arg("query").args(words).arg(url).args(rest).output().unwrap();
    let mut lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines.push(String::from_utf8(output.stderr).unwrap());
    (output.status.success(), lines.join("\n"))
}

#[test]
fn promtool_prints_the_same_of_the_box_and_of_a_real_prometheus() {
    let Some(pair) = Pair::start() else { return };
    let (start, end) = (format!("--start={}", START + 600), format!("--end={END}"));
    let at = format!("--time={}", START + 3000);
    let matching = "--match=http_server_requests_total{http_request_method=\"GET\"}";
    let window = [start.as_str(), end.as_str(), "--step=1m"];
    let asked: [(&[&str], &[&str], bool); 8] = [
        (&["instant", &at], &["rate(http_server_requests_total[5m])"], true),
        (&["instant", &at, "--format=json"], &["sum by (job) (queue_depth)"], true),
        (&["instant", &at], &["1 + 1"], true),
        (&["instant", &at], &["sum("], false),
        (&[&["range"], &window[..]].concat(), &["queue_depth"], true),
        (&["series", &start, &end, matching], &[], true),
        (&["series", "--match={}"], &[], false),
        (&["labels", &start, &end], &["queue"], true),
    ];
    for (words, rest, fine) in asked {
        let theirs = promtool(words, pair.prometheus.port, rest);
        let ours = promtool(words, pair.ours, rest);
        assert_eq!(theirs.0, fine, "{words:?} {rest:?}: {}", theirs.1);
        assert_eq!(theirs, ours, "{words:?} {rest:?}");
        assert!(theirs.1.len() > 5, "{words:?} {rest:?} prints nothing");
    }
}

/// What Grafana's Prometheus data source asks, and how: forms by POST, times with fractions, limits, its own headers, and
/// parameters of the data source's settings in the address of a POST.
const GRAFANA: [(&str, Option<&str>); 15] = [
    // "Save & test".
    ("query", Some("query=1%2B1&time=1700003000")),
    // A panel, a table, a variable by `query_result`, an annotation.
    (
        "query_range",
        Some("end=1700003585&query=rate%28http_server_requests_total%5B1m0s%5D%29&start=1700000600.5&step=15"),
    ),
    (
        "query_range?timeout=60s",
        Some("query=sum+by+%28job%29+%28queue_depth%29&start=1700000600&end=1700003000.123&step=2.5"),
    ),
    ("query", Some("query=topk%281%2C+queue_depth%29&time=1700003000.25")),
    ("query_range", Some("query=queue_depth+%3E+2&start=1700000640&end=1700003040&step=60")),
    // The editor: names of metrics and labels, their values, and what a selector finds.
    ("label/__name__/values?start=1700000600&end=1700003000&limit=40000", None),
    ("label/__name__/values?start=1700000600&end=1700003000&match%5B%5D=%7B__name__%3D~%22.%2Aqueue.%2A%22%7D", None),
    ("label/job/values?match%5B%5D=queue_depth&start=1700000600&end=1700003000", None),
    ("labels", Some("start=1700000600&end=1700003000&match%5B%5D=queue_depth&limit=40000")),
    ("labels?start=1700000600&end=1700003000", None),
    ("series", Some("start=1700000600&end=1700003000&match%5B%5D=http_server_requests_total&limit=40000")),
    ("query_exemplars", Some("query=http_server_requests_total&start=1700000600&end=1700003000")),
    ("format_query?query=sum(rate(queue_depth%5B5m%5D))by(job)", None),
    // What is wrong is shown with the server's words.
    ("query_range", Some("query=rate%28queue_depth%29&start=1700000600&end=1700003000&step=15")),
    ("query_range", Some("query=queue_depth&start=1700000600&end=1700003000&step=0")),
];

#[test]
fn what_grafanas_data_source_asks_is_answered_as_a_real_prometheus_answers_it() {
    let Some(pair) = Pair::start() else { return };
    let headers = [
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Accept-Encoding", "identity"),
        ("User-Agent", "Grafana/13.0.0"),
        ("X-Dashboard-Uid", "plimsoll-stage-1"),
        ("X-Panel-Id", "4"),
        ("X-Datasource-Uid", "prometheus"),
        ("X-Grafana-Org-Id", "1"),
    ];
    let ask = |port: u16, (path, form): (&str, Option<&str>)| {
        let (method, body) = form.map_or(("GET", ""), |form| ("POST", form));
        let (status, body) = http(port, method, &format!("/api/v1/{path}"), &headers, body.as_bytes()).unwrap();
        let mut answer: Value = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{path}: {error}"));
        // The order of names and of a vector is nobody's promise.
        for place in ["/data", "/data/result"] {
            if let Some(Value::Array(rows)) = answer.pointer_mut(place) {
                rows.sort_by_key(Value::to_string);
            }
        }
        (status, answer)
    };
    for asked in GRAFANA {
        let theirs = ask(pair.prometheus.port, asked);
        assert_eq!(theirs, ask(pair.ours, asked), "{asked:?}");
    }
    // What tells of the server itself differs, but has the same shape.
    for path in ["status/buildinfo", "rules", "alerts", "metadata?limit=10"] {
        let [theirs, ours] = [pair.prometheus.port, pair.ours].map(|port| ask(port, (path, None)));
        assert_eq!((theirs.0, &theirs.1["status"]), (ours.0, &ours.1["status"]), "{path}");
        let names = |answer: &Value| {
            answer["data"].as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<String>>()
        };
        if !path.starts_with("metadata") {
            assert!(names(&theirs.1).is_subset(&names(&ours.1)), "{path}: {} ours {}", theirs.1, ours.1);
        }
    }
}

/// Many series with an hour of samples, as a box has that is watched too closely.
fn crowded() -> Store {
    let store = Store::memory();
    for series in 0..20_000 {
        let id = series.to_string();
        let labels = Labels::new([("__name__", "crowd"), ("id", &id), ("text", &"a".repeat(200))]);
        for t in 0..5 {
            let sample = Sample { t: 1_700_000_000_000 + t * 15_000, v: t as f64 };
            assert_eq!(store.append(&labels, sample), Taken::Yes);
        }
    }
    store
}

#[test]
fn hostile_queries_end_with_an_error_and_the_next_one_is_answered() {
    if binary("prometheus").is_none() {
        return;
    }
    let stop = Stop::new();
    let (address, server) = serve(crowded(), stop.clone());
    let port = address.port();
    let post = |route: &str, form: &str| {
        let kind = [("Content-Type", "application/x-www-form-urlencoded")];
        let (status, body) = http(port, "POST", &format!("/api/v1/{route}"), &kind, form.as_bytes())
            .unwrap_or_else(|error| panic!("{route} {}…: {error}", &form[..form.len().min(60)]));
        (status, serde_json::from_slice::<Value>(&body).unwrap_or_default(), body.len())
    };
    let all = "{__name__=~\".%2B\"}".replace("%2B", "+");
    let mut nested = "crowd".to_owned();
    for _ in 0..6 {
        nested = format!("sum_over_time({nested}[1h:1s])");
    }
    let bombs = [
        "(".repeat(100_000),
        format!("{}1{}", "(".repeat(50_000), ")".repeat(50_000)),
        format!("{}1", "-".repeat(100_000)),
        format!("{}1{}", "abs(".repeat(50_000), ")".repeat(50_000)),
        format!("{}1", "1 + ".repeat(50_000)),
        format!("{}1", "1 ^ ".repeat(50_000)),
        format!("crowd{}", "[1h:1s]".repeat(1000)),
        "crowd{id=~\"((((.{1000}){1000}){1000}){1000})\"}".to_owned(),
        format!("crowd{{id=~\"{}\"}}", "(a|b)*".repeat(20_000)),
        "{".repeat(100_000),
        "\"".repeat(99_999),
        "#".repeat(100_000),
        nested,
        "sum_over_time(vector(1)[10y:1ms])".to_owned(),
        format!("quantile_over_time(0.5, {all}[1000y:1s])"),
        "é\u{0}\u{202e}".repeat(10_000),
    ];
    for bomb in &bombs {
        let begun = Instant::now();
        let shown: String = bomb.chars().take(60).collect();
        let (status, answer, _) = post("query", &format!("time=1700000060&query={}", escaped(bomb)));
        assert!(matches!(status, 400 | 413 | 422 | 503), "{shown}…: {status} {}", answer.to_string().len());
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(!error.is_empty() || status == 413, "{shown}…: {answer}");
        assert!(error.len() < 4096, "{shown}…: an error of {} bytes", error.len());
        // Twice what a query may take; what hangs is told apart from what is slow.
        assert!(begun.elapsed() < Duration::from_secs(120), "{shown}…");
    }
    let range = format!("start=1699990000&end=1700001000&step=1&query={}", escaped(&all));
    let (status, answer, _) = post("query_range", &range);
    assert_eq!((status, answer["errorType"].as_str()), (422, Some("execution")), "{answer}");
    let large = format!("query={}", "a".repeat(10 << 20));
    let kind = [("Content-Type", "application/x-www-form-urlencoded")];
    // The server says no before it has read all: the rest may not even be taken, and its no be lost with it.
    match http(port, "POST", "/api/v1/query", &kind, large.as_bytes()) {
        Ok((status, _)) => assert_eq!(status, 413),
        Err(error) => assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}"),
    }
    // All series are an answer, within its bounds, and not the end.
    let (status, answer, bytes) = post("query", &format!("time=1700000060&query={}", escaped(&all)));
    assert_eq!((status, answer["data"]["result"].as_array().map(Vec::len)), (200, Some(20_000)), "{bytes}");
    let (status, answer, _) = post("query", "time=1700000060&query=count(crowd)");
    assert_eq!((status, answer["data"]["result"][0]["value"][1].as_str()), (200, Some("20000")));
    stop.set();
    server.join().unwrap();
}

#[test]
fn an_agent_answers_on_its_socket_and_tells_where_a_query_is_wrong() {
    let site = Site::new();
    site.config("host: { interval: 1s }\n");
    let _agent = site.start();
    let run = |words: &[&str]| {
        let output = site.run(words);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    assert_eq!(run(&["query", "1 + 1"]), (Some(0), "2\n".into(), String::new()));
    let (code, out, error) = run(&["query", "sum(up))"]);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{error}");
    assert!(error.contains("1:9:") && error.contains("sum(up))\n") && error.ends_with("^\n"), "{error}");
    let (code, out, _) = run(&["query", "vector(1.5)", "--json", "--at", "1700000000"]);
    let expected = "{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[1700000000,\"1.5\"]}]}\n";
    assert_eq!((code, out.as_str()), (Some(0), expected));
    let (code, out, error) = run(&["query", "no_such_metric"]);
    assert_eq!((code, out.as_str()), (Some(0), ""));
    assert!(error.contains("nothing found"), "{error}");
    let (code, out, error) = run(&["alerts", "--json"]);
    assert!(code.is_some_and(|code| code < 2) && serde_json::from_str::<Value>(&out).is_ok(), "{out}{error}");
    let (status, body) = http(site.port, "GET", "/api/v1/query?query=1%2B1&time=5", &[], b"").unwrap();
    let expected = r#"{"status":"success","data":{"resultType":"scalar","result":[5,"2"]}}"#;
    assert_eq!((status, String::from_utf8(body).unwrap().as_str()), (200, expected));
}
