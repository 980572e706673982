//! The HTTP face through its socket: what it shows, whom it refuses, and how long it waits.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::alert::view::{ActiveView, AlertView, GroupView, Presence, RuleView, View};
use crate::base::clock::SECOND;
use crate::signal::frame::Signal;
use crate::signal::metrics::{Desc, Samples};
use crate::signal::resource::Resource;
use crate::status::Board;
use crate::status::report::Identity;

pub(super) struct Server {
    board: Board,
    latest: Latest,
    pub(super) store: Store,
    pub(super) views: Views,
    pub(super) address: SocketAddr,
    stop: Stop,
    task: tokio::task::JoinHandle<io::Result<()>>,
}

pub(super) async fn start(limits: Limits) -> Server {
    let board = Board::new();
    let started = clock::unix_nanos() - 3600 * SECOND;
    let identity = Identity { version: "1.2.3".into(), host: "box".into(), pid: 7, started };
    let latest = Latest::new();
    let reporter = Arc::new(Reporter::new(identity, board.clone()));
    let (names, store, views) = (vec!["Box.example".into()], Store::memory(), Views::default());
    let faces = Faces {
        reporter,
        latest: latest.clone(),
        store: store.clone(),
        views: views.clone(),
        names,
        lock: Lock::default(),
    };
    let listener = bind("127.0.0.1:0".parse().unwrap(), &Lock::default()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = Stop::new();
    let task = tokio::spawn(serve_with(listener, faces, limits, stop.clone()));
    Server { board, latest, store, views, address, stop, task }
}

impl Server {
    /// Sends `request` and reads until the server closes; at most ten seconds.
    pub(super) async fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        // A reset after the answer is as good as an end.
        let _end = read.expect("the server neither answered nor closed");
        String::from_utf8(answer).unwrap()
    }

    pub(super) async fn get(&self, path: &str) -> String {
        self.ask(path, &format!("Host: {}\r\n", self.address)).await
    }

    async fn ask(&self, path: &str, headers: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n")).await
    }

    fn healthy(&self) {
        let host = self.board.source("host");
        host.interval.set(15);
        host.last_success.set(clock::unix_nanos());
    }
}

pub(super) fn status(answer: &str) -> u16 {
    answer.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0)
}

pub(super) fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

const USED: Desc = Desc::updown("system.memory.usage", "By", "Bytes by state.");

#[tokio::test]
async fn metrics_come_in_the_text_format_with_its_content_type() {
    let server = start(Limits::default()).await;
    let mut samples = Samples::default();
    samples.put_with(&USED, &[("state", "a\"b\\c\nd")], 5u64);
    server.latest.put("host", &Arc::new(Resource::new("host", "box", &[])), &samples, clock::unix_nanos());
    let answer = server.get("/metrics").await;
    assert_eq!(status(&answer), 200);
    assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{answer}");
    let line = "system_memory_usage_bytes{instance=\"box\",job=\"host\",state=\"a\\\"b\\\\c\\nd\"} 5\n";
    assert!(body(&answer).ends_with(line), "{answer}");
}

#[tokio::test]
async fn health_and_readiness_say_why_not() {
    let server = start(Limits::default()).await;
    server.healthy();
    let answer = server.get("/-/healthy").await;
    assert_eq!((status(&answer), body(&answer)), (200, "healthy\n"));
    assert_eq!(status(&server.get("/-/ready").await), 200);
    let loki = server.board.destination("loki", Signal::Logs);
    loki.backlog_frames.set(1);
    loki.oldest.set(clock::unix_nanos() - 400 * SECOND);
    loki.answer.set("503\r\nX-Evil: \u{1b}[31m");
    let answer = server.get("/-/healthy").await;
    assert_eq!(status(&answer), 503);
    assert_eq!(body(&answer), "not delivering\nloki (logs) took nothing for 6 min: 503??X-Evil: ?[31m\n");
}

#[tokio::test]
async fn a_host_that_is_not_ours_is_refused_on_every_method_and_path() {
    let server = start(Limits::default()).await;
    let port = server.address.port();
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "127.0.0.1",
        "localhost",
        "localhost.",
        "localhost@evil.example",
        "127.1",
        "0.0.0.0",
        "[::]",
        "",
    ] {
        for host in [host.to_owned(), format!("{host}:{port}")] {
            if ["127.0.0.1", "localhost"].iter().any(|ours| host == format!("{ours}:{port}")) {
                continue;
            }
            for (method, path) in [("GET", "/"), ("GET", "/metrics"), ("POST", "/"), ("OPTIONS", "/-/healthy")] {
                let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
                let answer = server.send(&request).await;
                assert!(matches!(status(&answer), 400 | 421), "{method} {path} of {host:?}: {answer}");
                assert!(!answer.contains("plimsoll on box"), "{host:?}");
            }
        }
    }
    let other_port = server.ask("/", &format!("Host: localhost:{}\r\n", port ^ 1)).await;
    assert_eq!(status(&other_port), 421);
}

#[tokio::test]
async fn our_own_names_are_taken_whatever_their_case() {
    let server = start(Limits::default()).await;
    let port = server.address.port();
    for host in ["localhost", "LOCALHOST", "127.0.0.1", "[::1]", "box.example"] {
        assert_eq!(status(&server.ask("/metrics", &format!("Host: {host}:{port}\r\n")).await), 200, "{host}");
    }
}

#[tokio::test]
async fn two_hosts_none_and_an_absolute_url_of_another_are_refused() {
    let server = start(Limits::default()).await;
    let ours = format!("Host: {}\r\n", server.address);
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    for request in [
        format!("GET / HTTP/1.1\r\n{ours}Host: evil.example\r\nConnection: close\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{ours}{ours}Connection: close\r\n\r\n"),
        "GET / HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(),
        "GET / HTTP/1.0\r\n\r\n".to_owned(),
        format!("GET http://evil.example/ HTTP/1.1\r\n{ours}Connection: close\r\n\r\n"),
        format!("GET http://{}@evil.example/ HTTP/1.1\r\n{ours}Connection: close\r\n\r\n", server.address),
        format!("GET http://{}/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", server.address),
        format!("GET / HTTP/1.1\r\nHost: evil.example\r\n{upgrade}"),
        format!("CONNECT evil.example:80 HTTP/1.1\r\n{ours}\r\n"),
    ] {
        let answer = server.send(&request).await;
        assert!(matches!(status(&answer), 400 | 421), "{request}: {answer}");
    }
    let same = format!("GET http://{}/metrics HTTP/1.1\r\n{ours}Connection: close\r\n\r\n", server.address);
    assert_eq!(status(&server.send(&same).await), 200);
}

#[tokio::test]
async fn other_methods_bodies_and_large_requests_are_refused() {
    let server = start(Limits::default()).await;
    let ours = format!("Host: {}\r\nConnection: close\r\n", server.address);
    let url = "x".repeat(9 * 1024);
    let headers: String = (0..30).map(|index| format!("X-{index}: {}\r\n", "y".repeat(600))).collect();
    for (request, expected) in [
        (format!("POST / HTTP/1.1\r\n{ours}Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{{}}"), 405),
        (format!("DELETE /metrics HTTP/1.1\r\n{ours}\r\n"), 405),
        (format!("OPTIONS / HTTP/1.1\r\n{ours}Origin: null\r\n\r\n"), 405),
        (format!("GET / HTTP/1.1\r\n{ours}Content-Length: 1000000000\r\n\r\n"), 413),
        (format!("GET / HTTP/1.1\r\n{ours}Transfer-Encoding: chunked\r\n\r\n"), 413),
        (format!("GET /{url} HTTP/1.1\r\n{ours}\r\n"), 414),
        (format!("GET / HTTP/1.1\r\n{ours}{headers}\r\n"), 431),
        (format!("HEAD /metrics HTTP/1.1\r\n{ours}\r\n"), 200),
    ] {
        let answer = server.send(&request).await;
        assert_eq!(status(&answer), expected, "{}: {answer}", &request[..40]);
        if request.starts_with("HEAD") {
            assert_eq!(body(&answer), "");
        }
    }
}

#[tokio::test]
async fn tricks_with_the_path_find_nothing_and_every_answer_is_marked() {
    let server = start(Limits::default()).await;
    server.healthy();
    for path in ["/../etc/passwd", "/%2e%2e%2fetc", "/..%5c", "//evil.example/", "/metrics/", "/-/%68ealthy/x", "/api"]
    {
        let answer = server.get(path).await;
        assert_eq!(status(&answer), 404, "{path}: {answer}");
        assert!(body(&answer).contains("/metrics"), "{path}: {answer}");
    }
    for path in ["/", "/metrics", "/style.css", "/-/healthy", "/nothing"] {
        let answer = server.ask(path, &format!("Host: {}\r\nOrigin: http://evil.example\r\n", server.address)).await;
        for header in [
            "content-security-policy: default-src 'none';",
            "x-content-type-options: nosniff",
            "no-store",
            "same-origin",
        ] {
            assert!(answer.contains(header), "{path} lacks {header}: {answer}");
        }
        assert!(!answer.to_lowercase().contains("access-control"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn the_page_escapes_whatever_comes_from_outside() {
    let server = start(Limits::default()).await;
    let evil = "<img src=x onerror=\"alert(1)\"></script>&'\u{202e}";
    let source = server.board.source(evil);
    source.detail.set(evil);
    source.fault.set(evil);
    source.hint.set(format!("{evil}\n{evil}\nGRANT it"));
    let to = server.board.destination(evil, Signal::Logs);
    to.answer.set(evil);
    to.failing_since.set(1);
    server.board.lost(evil, "x", 1, evil);
    server.board.note(evil, Some(evil.into()));
    let labels = crate::store::Labels::new([("severity", evil), (evil, evil)]);
    let summary = vec![("summary".to_owned(), evil.to_owned())];
    let active =
        vec![ActiveView { labels, annotations: summary, firing: true, active: 5, kept_since: None, value: 1.0 }];
    let presence = Presence::CannotFire { why: evil.into(), mend: evil.into() };
    let alert = Some(AlertView { active, ..AlertView::default() });
    let rule = RuleView { name: evil.into(), presence, alert, ..RuleView::default() };
    let group = GroupView { name: evil.into(), rules: vec![rule], ..GroupView::default() };
    server.views.set(View { off: false, groups: vec![group] });
    let answer = server.get("/").await;
    assert_eq!(status(&answer), 200);
    let page = body(&answer);
    assert!(page.contains("&lt;img src=x onerror=&quot;alert(1)&quot;&gt;&lt;/script&gt;&amp;&#39;?"), "{page}");
    assert!(page.contains("<code>GRANT it</code>"), "{page}");
    assert!(!page.contains("<img") && !page.contains("<script") && !page.contains("</script"), "{page}");
    assert!(!page.contains(" style=") && !page.contains("<style"), "the policy allows no inline style");
}

#[tokio::test]
async fn the_page_draws_the_last_hour_and_lists_what_fires() {
    let server = start(Limits::default()).await;
    let now = i64::try_from(clock::unix_nanos() / 1_000_000).unwrap();
    let labels = crate::store::Labels::new([("__name__", "system_filesystem_utilization_ratio"), ("mountpoint", "/")]);
    for minute in 0..50 {
        let sample = crate::store::Sample { t: now - (50 - minute) * 60_000, v: 0.41 };
        assert_eq!(server.store.append(&labels, sample), crate::store::Taken::Yes);
    }
    let quiet = RuleView { name: "DiskFull".into(), alert: Some(AlertView::default()), ..RuleView::default() };
    let group = |rule| vec![GroupView { rules: vec![rule], ..GroupView::default() }];
    server.views.set(View { off: false, groups: group(quiet.clone()) });
    let answer = server.get("/").await;
    assert!(answer.contains("<svg ") && answer.contains("fullest disk</span> <b>41 %</b>"), "{answer}");
    assert!(answer.contains("Nothing fires. Quiet rules: 0, not evaluated yet: 1."), "{answer}");
    server.views.set(View { off: false, groups: group(RuleView { evaluated: now, ..quiet.clone() }) });
    let answer = server.get("/").await;
    assert!(answer.contains("Nothing fires. Quiet rules: 1."), "{answer}");
    let labels = crate::store::Labels::new([("severity", "page")]);
    let active = ActiveView {
        labels,
        annotations: vec![("summary".into(), "/ is full".into())],
        firing: true,
        active: now - 754_000,
        kept_since: None,
        value: 1.0,
    };
    let alert = Some(AlertView { active: vec![active], ..AlertView::default() });
    server.views.set(View { off: false, groups: group(RuleView { alert, ..quiet }) });
    let answer = server.get("/").await;
    assert!(
        answer.contains("DiskFull</td><td>page</td><td>fires</td><td class=\"n\">12 min</td><td>/ is full"),
        "{answer}"
    );
    server.views.set(View { off: true, groups: Vec::new() });
    assert!(server.get("/").await.contains("Switched off on this box."));
}

fn quick() -> Limits {
    let short = Duration::from_millis(300);
    Limits { connections: 4, head: short, head_bytes: 4096, write: short, life: Duration::from_secs(60) }
}

#[tokio::test]
async fn slow_heads_idle_connections_and_empty_lines_do_not_keep_others_out() {
    let server = start(quick()).await;
    let mut slow = Vec::new();
    for index in 0..12 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let start: &[u8] = [b"GET / HTTP/1.1\r\nX: ".as_slice(), b"", b"\r\n\r\n"][index % 3];
        stream.write_all(start).await.unwrap();
        slow.push(tokio::spawn(async move {
            // A byte now and then until the server has enough of it.
            while stream.write_all(b"\r\n").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }));
    }
    assert_eq!(status(&server.get("/metrics").await), 200);
    for task in slow {
        tokio::time::timeout(Duration::from_secs(20), task).await.expect("a slow client is still connected").unwrap();
    }
}

#[tokio::test]
async fn a_head_without_end_is_cut_off_before_it_is_stored() {
    let server = start(quick()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut sent = 0;
    let deadline = Instant::now() + Duration::from_secs(20);
    stream.write_all(b"GET / HTTP/1.1\r\nX: ").await.unwrap();
    while stream.write_all(&[b'a'; 1024]).await.is_ok() {
        sent += 1024;
        assert!(Instant::now() < deadline, "{sent} bytes of a head were taken");
        tokio::task::yield_now().await;
    }
}

/// A large form whose sender waits to be told that it may come.
#[tokio::test]
async fn a_form_that_waits_for_its_continue_is_taken_as_a_form() {
    let server = start(quick()).await;
    let form = format!("query=vector(1)&pad={}", "a".repeat(100 * 1024));
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /api/v1/query HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
        server.address,
        form.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut told = [0; 25];
    stream.read_exact(&mut told).await.unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(form.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(status(&answer), 200, "{answer}");
}

#[tokio::test]
async fn the_link_of_an_alert_leads_to_the_page() {
    let server = start(Limits::default()).await;
    let answer = server.get("/graph?g0.expr=up&g0.tab=1").await;
    assert!(status(&answer) == 303 && answer.contains("location: ./\r\n"), "{answer}");
}

#[tokio::test]
async fn clients_that_do_not_read_lose_their_place() {
    let server = start(quick()).await;
    let mut samples = Samples::new(crate::signal::metrics::Limits { series: 3000, value_bytes: 1024 });
    for index in 0..3000 {
        samples.put_with(&USED, &[("state", &format!("{index:01000}"))], 5u64);
    }
    assert!(server.latest.put("host", &Arc::new(Resource::new("host", "box", &[])), &samples, clock::unix_nanos()));
    let mut deaf = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
        // Several answers, so that the buffers of the sockets cannot take them all.
        stream.write_all(request.repeat(8).as_bytes()).await.unwrap();
        deaf.push(stream);
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while status(&server.get("/-/ready").await) != 200 {
        assert!(Instant::now() < deadline, "deaf clients keep their places");
    }
}

#[tokio::test]
async fn an_address_in_use_or_open_to_others_is_told_with_its_key() {
    let server = start(Limits::default()).await;
    let error = bind(server.address, &Lock::default()).await.unwrap_err().to_string();
    assert!(error.contains(&server.address.to_string()) && error.contains("listen.http"), "{error}");
    for open in ["0.0.0.0:1876", "192.168.1.5:1876", "[::]:1876"] {
        let error = bind(open.parse().unwrap(), &Lock::default()).await.unwrap_err().to_string();
        assert!(error.contains("listen.http") && error.contains("127.0.0.1:1876"), "{error}");
    }
}

#[tokio::test]
async fn the_stop_ends_the_server_also_with_a_client_that_stays() {
    let server = start(Limits::default()).await;
    let mut stays = TcpStream::connect(server.address).await.unwrap();
    stays.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    server.stop.set();
    tokio::time::timeout(Duration::from_secs(20), server.task).await.expect("it did not end").unwrap().unwrap();
}

/// A client that trusts the certificate `cert` alone.
fn tls(cert: &rcgen::Certificate) -> tokio_rustls::TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth()).into()
}

#[tokio::test]
async fn others_than_the_box_are_served_with_tls_and_the_token_only() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["box.example".to_owned()]).unwrap();
    std::fs::write(dir.path().join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(dir.path().join("token"), "0123456789abcdef\n").unwrap();
    let config = config::Config {
        tls: Some(config::Tls { cert: dir.path().join("cert.pem"), key: dir.path().join("key.pem") }),
        token: Some(crate::base::secret::Secret::File(dir.path().join("token"))),
        ..config::Config::default()
    };
    let lock = Lock::new(&config).unwrap();
    let listener = bind("0.0.0.0:0".parse().unwrap(), &lock).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let reporter =
        Arc::new(Reporter::new(Identity { version: "1".into(), host: "box".into(), pid: 7, started: 1 }, Board::new()));
    let names = vec!["box.example".into()];
    let faces = Faces { reporter, latest: Latest::new(), store: Store::memory(), views: Views::default(), names, lock };
    let stop = Stop::new();
    let task = tokio::spawn(serve_with(listener, faces, Limits::default(), stop.clone()));
    // One that never greets, and one that greets in the clear: neither holds up the others.
    let _silent = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut clear = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: box.example:{port}\r\nConnection: close\r\n");
    clear.write_all(format!("{request}Authorization: Bearer 0123456789abcdef\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _reset = clear.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP"), "answered in the clear");
    for (more, code) in [
        ("", 401),
        ("Authorization: Bearer 0123456789abcdeX\r\n", 401),
        ("Authorization: Bearer 0123456789abcdef\r\n", 200),
        ("Authorization: Basic OjAxMjM0NTY3ODlhYmNkZWY=\r\n", 200),
    ] {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let name = rustls::pki_types::ServerName::try_from("box.example").unwrap();
        let mut stream = tls(&made.cert).connect(name, stream).await.unwrap();
        stream.write_all(format!("{request}{more}\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _end = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        assert_eq!(status(&answer), code, "{more}: {answer}");
        assert_eq!(answer.contains("www-authenticate: Basic"), code == 401, "{answer}");
    }
    stop.set();
    task.await.unwrap().unwrap();
}
