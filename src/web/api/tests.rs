//! Prometheus' API through its socket: whom it refuses and in which words; what it answers stands in `stack_tests`.

use super::super::Limits as Connections;
use super::super::tests::{Server, body, start, status};
use super::*;
use crate::alert::view::{AlertView, GroupView, RuleView, View};
use crate::base::clock;
use crate::store::{Labels, Sample, Taken};

async fn server() -> Server {
    let server = start(Connections::default()).await;
    let now = i64::try_from(clock::unix_nanos() / 1_000_000).unwrap();
    for (name, instance, t) in [("up", "a", now - 3000), ("up", "b", now - 3000), ("old", "a", 1000)] {
        let labels = Labels::new([("__name__", name), ("instance", instance), ("job", "<b>\n")]);
        assert_eq!(server.store.append(&labels, Sample { t, v: 1.0 }), Taken::Yes);
    }
    server
}

async fn get(server: &Server, path: &str) -> (u16, serde_json::Value) {
    read(&server.get(&format!("/api/v1/{path}")).await)
}

async fn post(server: &Server, path: &str, headers: &str, form: &str) -> String {
    let length = form.len();
    let request = format!(
        "POST /api/v1/{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{form}",
        server.address
    );
    server.send(&request).await
}

fn read(answer: &str) -> (u16, serde_json::Value) {
    let body = body(answer);
    // An answer of unknown length comes in chunks.
    let text = if answer.contains("transfer-encoding: chunked") { unchunked(body) } else { body.to_owned() };
    (status(answer), serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {answer}")))
}

fn unchunked(body: &str) -> String {
    let (mut out, mut rest) = (String::new(), body);
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        out.push_str(&behind[..size]);
        rest = behind.get(size + 2..).unwrap_or("");
    }
    out
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

#[tokio::test]
async fn series_names_and_values_are_listed_within_their_time_and_limit() {
    let server = server().await;
    let (code, answer) = get(&server, "series?match[]=up").await;
    assert_eq!((code, answer["status"].as_str(), answer["data"].as_array().unwrap().len()), (200, Some("success"), 2));
    assert_eq!(answer["data"][0]["job"], "<b>\n");
    let (_, answer) = get(&server, "series?match[]=up&match[]=old&limit=1").await;
    assert_eq!(answer["warnings"][0], TRUNCATED);
    assert_eq!(answer["data"].as_array().unwrap().len(), 1);
    let (_, answer) = get(&server, "label/__name__/values").await;
    assert_eq!(answer["data"], serde_json::json!(["old", "up"]));
    let (_, answer) = get(&server, "label/__name__/values?start=1000000000").await;
    assert_eq!(answer["data"], serde_json::json!(["up"]));
    let (_, answer) = get(&server, "label/instance/values?match[]=old").await;
    assert_eq!(answer["data"], serde_json::json!(["a"]));
    let (_, answer) = get(&server, "label/U__instance/values").await;
    assert_eq!(answer["data"], serde_json::json!(["a", "b"]));
    let (_, answer) = read(&post(&server, "labels", FORM, "match[]=up").await);
    assert_eq!(answer["data"], serde_json::json!(["__name__", "instance", "job"]));
    let (_, answer) = get(&server, "labels?match[]=none").await;
    assert_eq!(answer["data"], serde_json::json!([]));
    let (_, answer) = get(&server, "status/buildinfo").await;
    assert!(answer["data"]["version"].as_str().unwrap().starts_with("3."), "Grafana decides by it: {answer}");
}

#[tokio::test]
async fn wrong_requests_are_refused_in_prometheus_words() {
    let server = server().await;
    for (path, words) in [
        ("series", "no match[] parameter provided"),
        ("series?match[]=%7Bx=%22%22%7D", "must contain at least one non-empty matcher"),
        (
            "series?match[]=up&start=x",
            "invalid parameter \"start\": invalid time value for 'start': cannot parse \"x\"",
        ),
        ("series?match[]=%zz", "error parsing form values: invalid URL escape \"%zz\""),
        ("labels?limit=-1", "invalid parameter \"limit\": limit must be non-negative"),
        ("labels?limit=x", "strconv.Atoi: parsing \"x\": invalid syntax"),
        ("query?query=up&time=yesterday", "invalid parameter \"time\": invalid time value for 'time'"),
        ("query?query=up&timeout=0", "timeout must be positive"),
        ("query?query=up&timeout=x", "invalid parameter \"timeout\""),
        ("query?query=up&lookback_delta=x", "error parsing lookback delta duration"),
        ("query_range?query=up&end=1&step=1", "invalid parameter \"start\": cannot parse \"\""),
        ("query_range?query=up&start=2&end=1&step=1", "end timestamp must not be before start time"),
        ("query_range?query=up&start=0&end=1&step=0", "zero or negative query resolution step"),
        ("query_range?query=up&start=0&end=20000&step=1", "exceeded maximum resolution of 11,000 points"),
        ("query_range?query=up&start=-9e12&end=9e12&step=0.000000001", "exceeded maximum resolution"),
        ("metadata?limit=x", "limit must be a number"),
        ("rules?type=x", "invalid parameter \"type\": not supported value \"x\""),
        ("rules?exclude_alerts=maybe", "error converting exclude_alerts"),
        ("rules?match[]=%7B%7D", "must contain at least one non-empty matcher"),
        ("rules?group_limit=0", "group_limit needs to be greater than 0"),
        ("rules?group_next_token=x", "group_limit needs to be present"),
        ("rules?group_limit=1&group_next_token=x", "were rule groups changed?"),
    ] {
        let (code, answer) = get(&server, path).await;
        assert_eq!((code, answer["errorType"].as_str()), (400, Some("bad_data")), "{path}: {answer}");
        assert_eq!(answer["status"], "error");
        assert!(answer["error"].as_str().unwrap().contains(words), "{path}: {answer}");
    }
}

#[tokio::test]
async fn forms_are_taken_only_as_forms_and_only_where_queries_are() {
    let server = server().await;
    for (path, headers, code) in [
        ("labels", FORM, 200),
        ("labels", "Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n", 200),
        ("labels", "", 415),
        ("labels", "Content-Type: text/plain\r\n", 415),
        ("labels", "Content-Type: multipart/form-data; boundary=x\r\n", 415),
        ("label/job/values", FORM, 405),
        ("status/buildinfo", FORM, 405),
    ] {
        let answer = post(&server, path, headers, "match[]=up").await;
        assert_eq!(status(&answer), code, "{path} {headers}: {answer}");
    }
}

#[tokio::test]
async fn pages_of_other_sites_may_not_ask() {
    let server = server().await;
    let ours = server.address;
    for (headers, code) in [
        ("Origin: http://evil.example\r\n".to_owned(), 403),
        ("Origin: null\r\n".to_owned(), 403),
        (format!("Origin: http://{ours}\r\nOrigin: http://evil.example\r\n"), 403),
        (format!("Origin: http://{ours}.evil.example\r\n"), 403),
        ("Sec-Fetch-Site: cross-site\r\n".to_owned(), 403),
        ("Sec-Fetch-Site: same-site\r\n".to_owned(), 403),
        (format!("Origin: http://{ours}\r\nSec-Fetch-Site: same-origin\r\n"), 200),
        ("Sec-Fetch-Site: none\r\n".to_owned(), 200),
        (String::new(), 200),
    ] {
        let answer = post(&server, "labels", &format!("{FORM}{headers}"), "").await;
        assert_eq!(status(&answer), code, "{headers}: {answer}");
        assert!(!answer.to_lowercase().contains("access-control"), "{answer}");
        let request = format!("GET /api/v1/labels HTTP/1.1\r\nHost: {ours}\r\nConnection: close\r\n{headers}\r\n");
        assert_eq!(status(&server.send(&request).await), code, "GET {headers}");
    }
    let foreign = post(&server, "labels", FORM, "").await.replace(&ours.to_string(), "");
    assert_eq!(status(&foreign), 200);
    let request = "POST /api/v1/query HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(status(&server.send(request).await), 421);
}

#[tokio::test]
async fn a_form_without_end_is_neither_read_nor_waited_for() {
    let server = server().await;
    let large = format!("query={}", "(".repeat(MAX_BODY));
    assert_eq!(status(&post(&server, "query", FORM, &large).await), 413);
    let mut chunked = format!(
        "POST /api/v1/query HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{FORM}Transfer-Encoding: chunked\r\n\r\n",
        server.address
    );
    for _ in 0..MAX_BODY / 0x8000 + 1 {
        chunked.push_str(&format!("8000\r\n{}\r\n", "a".repeat(0x8000)));
    }
    chunked.push_str("0\r\n\r\n");
    assert_eq!(status(&server.send(&chunked).await), 413);
}

#[tokio::test]
async fn queries_wait_for_their_turn_and_too_many_are_sent_away() {
    let api = Api {
        store: Store::memory(),
        views: Views::default(),
        running: Arc::new(Semaphore::new(RUNNING)),
        waiting: Arc::default(),
        answers: Arc::new(Semaphore::new(ANSWERS_KIB)),
    };
    let held = Arc::clone(&api.running).acquire_many_owned(RUNNING as u32).await.unwrap();
    let late = api.run(Duration::from_millis(20), |_, _| Ok(())).await.unwrap_err();
    assert_eq!((late.status.as_u16(), late.kind), (503, "timeout"));
    assert_eq!(late.text, "query timed out in query queue");
    let waiting: Vec<_> = (0..WAITING)
        .map(|number| {
            let api = api.clone();
            tokio::spawn(async move { api.run(Duration::from_secs(60), move |_, _| Ok(number)).await })
        })
        .collect();
    while api.waiting.load(Ordering::Relaxed) < WAITING {
        tokio::task::yield_now().await;
    }
    let busy = api.run(Duration::from_secs(60), |_, _| Ok(())).await.unwrap_err();
    assert_eq!((busy.status.as_u16(), busy.kind), (503, "unavailable"));
    drop(held);
    for (number, task) in waiting.into_iter().enumerate() {
        assert_eq!(task.await.unwrap(), Ok(number));
    }
    assert_eq!(api.waiting.load(Ordering::Relaxed), 0);
    let panicked = api.run(Duration::from_secs(60), |_, _| -> Result<(), Refusal> { panic!("a fault") }).await;
    assert_eq!(panicked.unwrap_err().status.as_u16(), 500);
    assert_eq!(api.running.available_permits(), RUNNING, "a fault keeps no place");
}

#[tokio::test]
async fn rules_are_filtered_and_come_in_pages() {
    let server = server().await;
    let rule = |name: &str, team: &str, alert: bool| RuleView {
        name: name.into(),
        labels: vec![("team".into(), team.into())],
        alert: alert.then(AlertView::default),
        ..RuleView::default()
    };
    let group =
        |name: &str, rules| GroupView { file: "f.yaml".into(), name: name.into(), rules, ..GroupView::default() };
    let groups = vec![
        group("one", vec![rule("A", "x", true), rule("r:b", "y", false)]),
        group("two", vec![rule("C", "y", true)]),
        group("three", vec![rule("r:d", "x", false)]),
    ];
    server.views.set(View { groups, ..View::default() });
    let names = |answer: &serde_json::Value| -> Vec<String> {
        let groups = answer["data"]["groups"].as_array().unwrap().iter();
        let rules = groups.flat_map(|group| group["rules"].as_array().unwrap().iter());
        rules.map(|rule| rule["name"].as_str().unwrap().to_owned()).collect()
    };
    for (query, expected) in [
        ("", &["A", "r:b", "C", "r:d"][..]),
        ("?type=alert", &["A", "C"]),
        ("?type=record", &["r:b", "r:d"]),
        ("?rule_name[]=A&rule_name[]=C", &["A", "C"]),
        ("?rule_group[]=two", &["C"]),
        ("?file[]=other", &[]),
        ("?match[]=%7Bteam=%22x%22%7D", &["A", "r:d"]),
    ] {
        let (code, answer) = get(&server, &format!("rules{query}")).await;
        assert_eq!((code, names(&answer)), (200, expected.iter().map(|name| (*name).to_owned()).collect()), "{query}");
    }
    let (mut all, mut token) = (Vec::new(), String::new());
    for page in 0..3 {
        let (_, answer) = get(&server, &format!("rules?group_limit=1{token}")).await;
        assert_eq!(answer["data"]["groups"].as_array().unwrap().len(), 1);
        all.extend(names(&answer));
        match answer["data"]["groupNextToken"].as_str() {
            Some(next) => token = format!("&group_next_token={next}"),
            None => assert_eq!(page, 2),
        }
    }
    assert_eq!(all, ["A", "r:b", "C", "r:d"]);
    let (_, answer) = get(&server, "alerts").await;
    assert_eq!(answer["data"], serde_json::json!({ "alerts": [] }));
}

#[test]
fn ten_remarks_are_shown_and_the_others_counted() {
    let many: Vec<String> = (0..12).map(|number| format!("w{number}")).collect();
    let shown = remarks(&many, &many[..1]);
    assert!(shown.ends_with(r#""w9","2 more warning annotations omitted"],"infos":["w0"]}"#), "{shown}");
    assert_eq!(remarks(&[], &[]), "}");
}
