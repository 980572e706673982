//! OTLP over gRPC against tonic's server with the messages of `opentelemetry-proto`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Code, Status};

use super::*;
use crate::base::certs::Tls;
use crate::base::units::Dur;
use crate::export::config::HeaderValue as Value;
use crate::export::http::tests::Pki;
use crate::export::plan::tests::logs;
use crate::signal::pack::Packer;

/// Answers each call with the same, and remembers the records and the tenant of each.
#[derive(Clone)]
struct Fake {
    answer: Result<ExportLogsServiceResponse, Status>,
    calls: Arc<Mutex<Vec<(usize, String)>>>,
}

#[tonic::async_trait]
impl LogsService for Fake {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, Status> {
        let tenant = request.metadata().get("x-scope-orgid").map(|value| value.to_str().unwrap().to_owned());
        let records = request.get_ref().resource_logs[0].scope_logs[0].log_records.len();
        self.calls.lock().unwrap().push((records, tenant.unwrap_or_default()));
        self.answer.clone().map(tonic::Response::new)
    }
}

impl Fake {
    fn new(answer: Result<ExportLogsServiceResponse, Status>) -> Self {
        Self { answer, calls: Arc::default() }
    }

    /// Serves until the test ends; its port.
    async fn serve(&self, tls: Option<ServerTlsConfig>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let service = LogsServiceServer::new(self.clone())
            .accept_compressed(CompressionEncoding::Zstd)
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(1 << 20);
        let mut server = Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).unwrap();
        }
        tokio::spawn(server.add_service(service).serve_with_incoming(TcpListenerStream::new(listener)));
        port
    }
}

fn otlp(endpoint: String) -> Otlp {
    Otlp { endpoint, timeout: Dur(Duration::from_secs(10)), ..Otlp::default() }
}

async fn send(otlp: &Otlp, codec: Codec, records: u64) -> Answer {
    let body = Packer::new().unwrap().pack(codec, &logs(records)).unwrap();
    Grpc::new(otlp).unwrap().send(&Request { signal: Signal::Logs, codec, body: body.into() }).await
}

async fn answer_to(status: Status) -> Answer {
    let port = Fake::new(Err(status)).serve(None).await;
    send(&otlp(format!("http://127.0.0.1:{port}")), Codec::Zstd, 1).await
}

#[tokio::test]
async fn a_frame_goes_as_it_lies_in_every_codec_with_its_headers() {
    let fake = Fake::new(Ok(ExportLogsServiceResponse::default()));
    let port = fake.serve(None).await;
    let headers = BTreeMap::from([("X-Scope-OrgID".to_owned(), Value::Plain("shop".into()))]);
    let config = Otlp { headers, ..otlp(format!("http://127.0.0.1:{port}")) };
    for codec in [Codec::Identity, Codec::Gzip, Codec::Zstd] {
        assert_eq!(send(&config, codec, 3).await, Answer::Taken { refused: 0, message: "OK".into() }, "{codec:?}");
    }
    assert_eq!(*fake.calls.lock().unwrap(), vec![(3, "shop".to_owned()); 3]);
}

#[tokio::test]
async fn a_partial_success_is_read() {
    let partial = ExportLogsPartialSuccess { rejected_log_records: 2, error_message: "too old".into() };
    let fake = Fake::new(Ok(ExportLogsServiceResponse { partial_success: Some(partial) }));
    let port = fake.serve(None).await;
    let answer = send(&otlp(format!("http://127.0.0.1:{port}")), Codec::Zstd, 3).await;
    assert_eq!(answer, Answer::Taken { refused: 2, message: "OK: too old".into() });
}

#[tokio::test]
async fn each_status_means_what_the_table_says() {
    for code in
        [Code::Cancelled, Code::DeadlineExceeded, Code::Aborted, Code::OutOfRange, Code::Unavailable, Code::DataLoss]
    {
        let answer = answer_to(Status::new(code, "later, 50%")).await;
        assert!(matches!(&answer, Answer::Retry { why, .. } if why.ends_with(": later, 50%")), "{code:?}: {answer:?}");
    }
    for code in [Code::Unauthenticated, Code::PermissionDenied, Code::Unimplemented] {
        let answer = answer_to(Status::new(code, "no")).await;
        assert!(matches!(answer, Answer::Hold { .. }), "{code:?}: {answer:?}");
    }
    for code in [Code::InvalidArgument, Code::NotFound, Code::AlreadyExists, Code::FailedPrecondition] {
        let answer = answer_to(Status::new(code, "no")).await;
        assert!(matches!(answer, Answer::Refused { .. }), "{code:?}: {answer:?}");
    }
    for code in [Code::Unknown, Code::Internal] {
        let answer = answer_to(Status::new(code, "boom")).await;
        assert!(matches!(answer, Answer::Broken { .. }), "{code:?}: {answer:?}");
    }
}

#[tokio::test]
async fn resource_exhausted_is_tried_again_only_when_it_says_when_and_halved_when_it_is_about_the_size() {
    assert!(matches!(answer_to(Status::resource_exhausted("quota")).await, Answer::Refused { .. }));
    // google.rpc.Status { details: [Any(RetryInfo { retry_delay: 7 s })] }
    let url = b"type.googleapis.com/google.rpc.RetryInfo";
    let mut any = vec![0x0a, url.len() as u8];
    any.extend(url);
    any.extend([0x12, 4, 0x0a, 2, 0x08, 7]);
    let mut details = vec![0x08, 8, 0x1a, any.len() as u8];
    details.extend(any);
    let status = Status::with_details(Code::ResourceExhausted, "slow down", details.into());
    let expected = Answer::Limited { why: "RESOURCE_EXHAUSTED: slow down".into(), after: Some(Duration::from_secs(7)) };
    assert_eq!(answer_to(status).await, expected);
    let answer = answer_to(Status::resource_exhausted("grpc: received message larger than max (9 vs. 4)")).await;
    assert!(matches!(answer, Answer::TooLarge { .. }), "{answer:?}");
    // tonic's own limit is 1 MiB here.
    let port = Fake::new(Ok(ExportLogsServiceResponse::default())).serve(None).await;
    let answer = send(&otlp(format!("http://127.0.0.1:{port}")), Codec::Identity, 200_000).await;
    assert!(matches!(answer, Answer::TooLarge { .. }), "{answer:?}");
}

#[test]
fn hostile_trailers_are_read_without_a_panic() {
    let trailers = |pairs: &[(&'static str, &'static str)]| {
        let pairs = pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        pairs.collect::<HeaderMap>()
    };
    let status = trailers(&[("grpc-status", "8"), ("grpc-status-details-bin", "no base64!"), ("grpc-message", "%zz%")]);
    assert_eq!(judge(&status, b""), Answer::Refused { why: "RESOURCE_EXHAUSTED: %zz%".into() });
    for code in ["", "-1", "99", "4294967296", "x"] {
        let answer = judge(&trailers(&[("grpc-status", code)]), b"\xff");
        assert!(matches!(answer, Answer::Broken { .. }), "{code}: {answer:?}");
    }
    assert!(matches!(judge(&trailers(&[("grpc-status", "0")]), b"\x00\x01"), Answer::Taken { refused: 0, .. }));
}

#[tokio::test]
async fn what_is_no_grpc_and_what_is_not_there_is_told_in_plain_words() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let answer = send(&otlp(format!("http://{closed}")), Codec::Zstd, 1).await;
    assert!(matches!(&answer, Answer::Retry { why, .. } if why == "connection refused"), "{answer:?}");
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config =
        Otlp { timeout: Dur(Duration::from_millis(200)), ..otlp(format!("http://{}", silent.local_addr().unwrap())) };
    let answer = send(&config, Codec::Zstd, 1).await;
    assert!(matches!(&answer, Answer::Retry { why, .. } if why.starts_with("no answer within")), "{answer:?}");
}

#[tokio::test]
async fn a_server_over_tls_is_trusted_and_shown_a_certificate_as_the_config_says() {
    let pki = Pki::new();
    let read = |name| std::fs::read(pki.path(name)).unwrap();
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(read("localhost.pem"), read("localhost.key")))
        .client_ca_root(Certificate::from_pem(read("ca.pem")));
    let port = Fake::new(Ok(ExportLogsServiceResponse::default())).serve(Some(tls)).await;
    let with = |tls: Tls| Otlp { tls, ..otlp(format!("https://localhost:{port}")) };
    let answer = send(&with(pki.trust_and_show()), Codec::Zstd, 1).await;
    assert_eq!(answer, Answer::Taken { refused: 0, message: "OK".into() });
    let answer = send(&with(Pki::named("a stranger").trust()), Codec::Zstd, 1).await;
    assert_eq!(answer.words(), "TLS: unknown issuer; set tls.ca");
    let answer = send(&with(pki.trust()), Codec::Zstd, 1).await;
    assert!(matches!(&answer, Answer::Retry { .. }), "{answer:?}");
    assert_eq!(answer.words(), "TLS: the server wants a certificate; set tls.cert and tls.key");
}
