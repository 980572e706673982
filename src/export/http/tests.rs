//! OTLP over HTTP against servers of the test's own: what goes over the wire, and what each answer means.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use prost::Message;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::*;
use crate::base::base64;
use crate::base::certs::Tls;
use crate::base::secret::Secret;
use crate::base::units::Dur;
use crate::export::config::HeaderValue;

/// Answers each connection with the same bytes and hands out what it read.
fn server(answer: impl Into<Vec<u8>>) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::channel();
    let answer = answer.into();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = read_request(&mut stream);
            stream.write_all(&answer).unwrap();
            let _closed = stream.shutdown(Shutdown::Write).is_ok();
            if sender.send(request).is_err() {
                return;
            }
        }
    });
    (format!("http://{address}/otlp"), receiver)
}

/// Head and body, lossy.
fn read_request(stream: &mut impl Read) -> String {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&all).into_owned();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length =
                head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if all.len() >= head.len() + 4 + length.unwrap_or(0) {
                return text;
            }
        }
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => all.extend_from_slice(&buffer[..read]),
            _ => return text,
        }
    }
}

fn plain(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len())
}

fn otlp(endpoint: &str) -> Otlp {
    Otlp { endpoint: endpoint.into(), timeout: Dur(Duration::from_secs(10)), ..Otlp::default() }
}

async fn send(otlp: &Otlp) -> Answer {
    let http = Http::new(otlp).unwrap();
    let request = Request { signal: Signal::Logs, codec: Codec::Zstd, body: Bytes::from_static(b"a frame") };
    http.send(&request).await
}

async fn answer_to(response: impl Into<Vec<u8>>) -> Answer {
    let (endpoint, _requests) = server(response);
    send(&otlp(&endpoint)).await
}

#[tokio::test]
async fn a_frame_is_posted_as_it_lies_with_its_codec_headers_and_login() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("password");
    std::fs::write(&secret, "geheim\n").unwrap();
    let (endpoint, requests) = server(plain("204 No Content", "", ""));
    let headers = BTreeMap::from([("X-Scope-OrgID".to_owned(), HeaderValue::Plain("shop".into()))]);
    let config = Otlp {
        headers,
        username: Some("me".into()),
        password: Some(Secret::File(secret)),
        ..otlp(&format!("{endpoint}/"))
    };
    assert_eq!(send(&config).await, Answer::Taken { refused: 0, message: "204".into() });
    let request = requests.recv().unwrap().to_lowercase();
    assert!(request.starts_with("post /otlp/v1/logs http/1.1\r\n"), "{request}");
    for line in [
        "content-type: application/x-protobuf",
        "content-encoding: zstd",
        "x-scope-orgid: shop",
        &format!("authorization: basic {}", base64::encode(b"me:geheim").to_lowercase()),
        &format!("user-agent: plimsoll/{}", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(request.contains(line), "{line} is not in {request}");
    }
    assert!(request.ends_with("\r\n\r\na frame"));
}

#[tokio::test]
async fn each_status_means_what_the_table_says() {
    type Meaning = fn(&Answer) -> bool;
    let retry: Meaning = |answer| matches!(answer, Answer::Retry { .. });
    let hold: Meaning = |answer| matches!(answer, Answer::Hold { .. });
    let refused: Meaning = |answer| matches!(answer, Answer::Refused { .. });
    let broken: Meaning = |answer| matches!(answer, Answer::Broken { .. });
    let cases: [(&str, Meaning); 22] = [
        ("200 OK", |answer| matches!(answer, Answer::Taken { refused: 0, .. })),
        ("202 Accepted", |answer| matches!(answer, Answer::Taken { refused: 0, .. })),
        ("301 Moved Permanently", hold),
        ("400 Bad Request", refused),
        ("401 Unauthorized", hold),
        ("403 Forbidden", hold),
        ("404 Not Found", hold),
        ("405 Method Not Allowed", hold),
        ("408 Request Timeout", refused),
        ("413 Content Too Large", |answer| matches!(answer, Answer::TooLarge { .. })),
        ("415 Unsupported Media Type", hold),
        ("422 Unprocessable Content", refused),
        ("429 Too Many Requests", |answer| matches!(answer, Answer::Limited { .. })),
        ("500 Internal Server Error", broken),
        ("501 Not Implemented", broken),
        ("502 Bad Gateway", retry),
        ("503 Service Unavailable", retry),
        ("504 Gateway Timeout", retry),
        ("507 Insufficient Storage", retry),
        ("509 Bandwidth Limit Exceeded", retry),
        ("520 Web Server Returned an Unknown Error", retry),
        ("530 Origin DNS Error", retry),
    ];
    for (status, meaning) in cases {
        let answer = answer_to(plain(status, "", "why it is so")).await;
        assert!(meaning(&answer), "{status}: {answer:?}");
        assert!(answer.words().starts_with(&status[..3]), "{status}: {answer:?}");
        if !matches!(answer, Answer::Taken { .. }) && !status.starts_with('3') {
            assert!(answer.words().contains("why it is so"), "{status}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn retry_after_is_heard_but_not_for_ten_years() {
    for (value, expected) in
        [("7", Some(7)), ("315360000", Some(600)), ("Wed, 01 Jan 3000 00:00:00 GMT", Some(600)), ("soon", None)]
    {
        for status in ["429 Too Many Requests", "503 Service Unavailable"] {
            let answer = answer_to(plain(status, &format!("retry-after: {value}\r\n"), "")).await;
            let (Answer::Limited { after, .. } | Answer::Retry { after, .. }) = answer else { panic!("{answer:?}") };
            assert_eq!(after.map(|after| after.as_secs()), expected, "{value}");
        }
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_says_where_it_points() {
    let (elsewhere, requests) = server(plain("200 OK", "", ""));
    let answer = answer_to(plain("302 Found", &format!("location: {elsewhere}\r\n"), "")).await;
    assert!(matches!(&answer, Answer::Hold { why } if why.contains(&elsewhere)), "{answer:?}");
    assert!(requests.try_recv().is_err(), "somebody followed the redirect");
}

#[tokio::test]
async fn a_partial_success_is_read_from_a_good_answer() {
    let partial = ExportLogsPartialSuccess { rejected_log_records: 2, error_message: "two\u{7} bad".into() };
    let body = ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let mut response = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    response.extend(body);
    assert_eq!(answer_to(response).await, Answer::Taken { refused: 2, message: "200: two bad".into() });
}

#[tokio::test]
async fn an_endless_and_a_garbage_body_change_neither_the_meaning_nor_the_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            read_request(&mut stream);
            let status = if number == 0 { "200 OK" } else { "400 Bad Request" };
            let _gone = stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).is_err();
            // Until the other side has enough.
            while stream.write_all(&[b'x'; 65536]).is_ok() {}
        }
    });
    let config = otlp(&format!("http://{address}"));
    assert_eq!(send(&config).await, Answer::Taken { refused: 0, message: "200".into() });
    let answer = send(&config).await;
    assert!(
        matches!(&answer, Answer::Refused { why } if why.len() <= crate::export::body::MOST_KEPT + 100),
        "{}",
        answer.words().len()
    );
    assert!(shown(answer.words()).chars().count() <= 301);
    let answer = answer_to(plain("400 Bad Request", "", "a\u{1b}[31m\r\nb\0c \u{202e}")).await;
    assert!(!shown(answer.words()).chars().any(char::is_control), "{answer:?}");
    let torn = answer_to("not HTTP at all\r\n\r\n").await;
    assert!(matches!(torn, Answer::Retry { reached: Reached::Perhaps, .. }), "{torn:?}");
}

#[tokio::test]
async fn faults_of_the_connection_are_told_in_plain_words() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let answer = send(&otlp(&format!("http://{closed}"))).await;
    assert_eq!(answer, Answer::Retry { why: "connection refused".into(), after: None, reached: Reached::No });
    // Longer than a label may be: no name server is asked, as none may be there.
    let answer = send(&otlp(&format!("http://{}.invalid:4318", "x".repeat(64)))).await;
    assert!(matches!(&answer, Answer::Retry { why, reached: Reached::No, .. } if why == "no such host"), "{answer:?}");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let config =
        Otlp { timeout: Dur(Duration::from_millis(200)), ..otlp(&format!("http://{}", silent.local_addr().unwrap())) };
    let answer = send(&config).await;
    assert!(
        matches!(&answer, Answer::Retry { why, reached: Reached::Perhaps, .. } if why.starts_with("no answer within")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_told_at_the_start_with_its_key_and_never_with_a_secret() {
    let missing = PathBuf::from("/nonexistent/secret");
    let cases = [
        (Otlp { token: Some(Secret::File(missing.clone())), ..otlp("http://x") }, "token: "),
        (Otlp { tls: Tls { ca: Some(missing.clone()), ..Tls::default() }, ..otlp("https://x") }, "tls.ca"),
    ];
    for (config, key) in cases {
        let error = Http::new(&config).err().unwrap();
        assert!(error.contains(key) && error.contains("/nonexistent/secret"), "{error}");
    }
    let bad = BTreeMap::from([("a".to_owned(), HeaderValue::Plain("geheim\n".into()))]);
    let error = Http::new(&Otlp { headers: bad, ..otlp("http://x") }).err().unwrap();
    assert!(error.contains("headers.a") && !error.contains("geheim"), "{error}");
}

/// An authority, a server's and a client's certificate, as files.
pub(crate) struct Pki {
    pub(crate) dir: tempfile::TempDir,
}

impl Pki {
    pub(crate) fn new() -> Self {
        Self::named("an authority")
    }

    pub(crate) fn named(authority: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, authority);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(dir.path().join("ca.pem"), authority.pem()).unwrap();
        for name in ["localhost", "client"] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            std::fs::write(dir.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
            std::fs::write(dir.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn trust(&self) -> Tls {
        Tls { ca: Some(self.path("ca.pem")), ..Tls::default() }
    }

    pub(crate) fn trust_and_show(&self) -> Tls {
        Tls { cert: Some(self.path("client.pem")), key: Some(self.path("client.key")), ..self.trust() }
    }

    /// A server that answers 200 over TLS, to those with a certificate of the authority if `ask`.
    fn server(&self, ask: bool) -> String {
        use rustls::pki_types::pem::PemObject;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer};
        let certificates = |name: &str| {
            CertificateDer::pem_file_iter(self.path(name)).unwrap().collect::<Result<Vec<_>, _>>().unwrap()
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(certificates("ca.pem"));
        let asking =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let builder =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = if ask {
            builder.with_client_cert_verifier(asking.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::from_pem_file(self.path("localhost.key")).unwrap();
        let config = Arc::new(builder.with_single_cert(certificates("localhost.pem"), key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream: TcpStream = stream.unwrap();
                let mut tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut secure = rustls::Stream::new(&mut tls, &mut stream);
                if read_request(&mut secure).contains("POST") {
                    let _gone = secure.write_all(plain("200 OK", "", "").as_bytes()).is_err();
                }
                tls.send_close_notify();
                let _gone = tls.write_tls(&mut stream).is_err();
            }
        });
        format!("https://localhost:{port}")
    }
}

#[tokio::test]
async fn a_server_is_trusted_by_the_authority_that_the_config_names_only() {
    let pki = Pki::new();
    let endpoint = pki.server(false);
    let answer = send(&Otlp { tls: pki.trust(), ..otlp(&endpoint) }).await;
    assert_eq!(answer, Answer::Taken { refused: 0, message: "200".into() });
    let stranger = Pki::named("a stranger");
    let answer = send(&Otlp { tls: stranger.trust(), ..otlp(&endpoint) }).await;
    assert_eq!(answer.words(), "TLS: unknown issuer; set tls.ca");
    let answer = send(&Otlp { tls: Pki::new().trust(), ..otlp(&endpoint) }).await;
    assert!(answer.words().contains("another key; set tls.ca"), "{answer:?}");
    let answer = send(&Otlp { tls: pki.trust(), ..otlp(&endpoint.replace("localhost", "127.0.0.1")) }).await;
    assert!(answer.words().contains("for another name"), "{answer:?}");
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in other.incoming() {
            let mut stream = stream.unwrap();
            let _gone = stream.write_all(plain("400 Bad Request", "", "").as_bytes()).is_err();
            // A close with something unread would be a reset.
            let _read = stream.read(&mut [0; 4096]).is_ok();
        }
    });
    let answer = send(&Otlp { tls: pki.trust(), ..otlp(&format!("https://localhost:{port}")) }).await;
    assert_eq!(answer.words(), "TLS: the server speaks no TLS; make the endpoint http://");
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_gets_it_and_without_one_the_answer_says_so() {
    let pki = Pki::new();
    let endpoint = pki.server(true);
    let answer = send(&Otlp { tls: pki.trust_and_show(), ..otlp(&endpoint) }).await;
    assert_eq!(answer, Answer::Taken { refused: 0, message: "200".into() });
    let answer = send(&Otlp { tls: pki.trust(), ..otlp(&endpoint) }).await;
    assert_eq!(answer.words(), "TLS: the server wants a certificate; set tls.cert and tls.key");
}

fn meaning(status: u16, body: &str) -> Answer {
    understand(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
}

#[test]
fn a_codec_that_the_destination_does_not_take_holds_and_names_the_key() {
    // Prometheus, Loki, an OpenTelemetry collector; dropping all frames would be the price of one wrong key.
    for (status, body) in [
        (400, "unsupported compression: zstd. Only \"gzip\" or no compression supported"),
        (400, "Content-Encoding \"zstd\" not supported"),
        (400, "unsupported Content-Encoding: zstd"),
        (415, ""),
    ] {
        let answer = meaning(status, body);
        assert!(matches!(answer, Answer::Hold { .. }), "{status} {body}: {answer:?}");
        assert!(answer.words().contains("compression"), "{}", answer.words());
    }
    assert!(matches!(meaning(400, "out of order sample"), Answer::Refused { .. }));
    assert!(matches!(meaning(400, "proto: illegal wireType 7"), Answer::Refused { .. }));
}

#[test]
fn a_web_page_with_status_200_took_nothing() {
    for page in ["<!DOCTYPE html><html>log in</html>", "\n <html lang=en>", "<!doctype HTML>"] {
        let answer = meaning(200, page);
        assert!(matches!(answer, Answer::Hold { .. }), "{answer:?}");
    }
    for body in ["", "OK", "{}", "<", "\u{0}"] {
        assert!(matches!(meaning(200, body), Answer::Taken { refused: 0, .. }), "{body:?}");
    }
    assert!(matches!(meaning(204, ""), Answer::Taken { refused: 0, .. }));
}

#[test]
fn a_destination_without_tls_needs_no_certificates_of_the_system() {
    let otlp = |endpoint: &str| Otlp {
        endpoint: endpoint.into(),
        tls: Tls { ca: Some("/nonexistent/ca.pem".into()), ..Tls::default() },
        ..Otlp::default()
    };
    assert!(Http::new(&otlp("http://loki:3100/otlp")).is_ok(), "certificates are read though nothing asks for them");
    let error = Http::new(&otlp("https://loki:3100/otlp")).err().unwrap();
    assert!(error.contains("/nonexistent/ca.pem"), "{error}");
}

#[test]
fn other_peoples_texts_cannot_move_a_terminal_or_turn_the_line_around() {
    let answer = meaning(400, "bad\u{1b}[2J\u{7}\r\nFAKE LINE \u{202e}txet\u{2066}");
    let shown = shown(answer.words());
    assert!(!shown.chars().any(|letter| letter.is_control()), "{shown:?}");
    assert!(!shown.contains(['\u{202e}', '\u{2066}']), "{shown:?}");
}
