//! OTLP over gRPC to a receiver of the OpenTelemetry project's own code.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status};

use super::SOON;
use super::harness::{Site, free_port, wait_for};

/// What was received.
#[derive(Clone, Default)]
struct Receiver {
    bodies: Arc<Mutex<Vec<String>>>,
    metrics: Arc<Mutex<Vec<String>>>,
    /// The `grpc-encoding` of each request.
    codecs: Arc<Mutex<Vec<String>>>,
    /// The first requests are answered UNAVAILABLE.
    refusals: Arc<Mutex<u32>>,
}

impl Receiver {
    fn admit<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let codec = request.metadata().get("grpc-encoding").map_or("none", |codec| codec.to_str().unwrap());
        self.codecs.lock().unwrap().push(codec.to_owned());
        assert_eq!(request.metadata().get("x-team").unwrap(), "checkout");
        let mut refusals = self.refusals.lock().unwrap();
        if *refusals > 0 {
            *refusals -= 1;
            return Err(Status::unavailable("not yet"));
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl LogsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.admit(&request)?;
        let resources = request.into_inner().resource_logs.into_iter();
        let records = resources.flat_map(|logs| logs.scope_logs).flat_map(|scope| scope.log_records);
        let bodies = records.map(|record| match record.body.and_then(|body| body.value) {
            Some(Value::StringValue(text)) => text,
            other => panic!("no text: {other:?}"),
        });
        self.bodies.lock().unwrap().extend(bodies);
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.admit(&request)?;
        let resources = request.into_inner().resource_metrics.into_iter();
        let metrics = resources.flat_map(|metrics| metrics.scope_metrics).flat_map(|scope| scope.metrics);
        self.metrics.lock().unwrap().extend(metrics.map(|metric| metric.name));
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[test]
fn logs_and_metrics_reach_a_grpc_receiver_once_in_each_codec_also_after_it_was_unavailable() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (codec, seen) in [("auto", None), ("zstd", Some("zstd")), ("gzip", Some("gzip")), ("none", Some("none"))] {
        let (port, receiver) = (free_port(), Receiver::default());
        *receiver.refusals.lock().unwrap() = 2;
        let accept = [CompressionEncoding::Gzip, CompressionEncoding::Zstd];
        let mut logs = LogsServiceServer::new(receiver.clone());
        let mut metrics = MetricsServiceServer::new(receiver.clone());
        for codec in accept {
            logs = logs.accept_compressed(codec);
            metrics = metrics.accept_compressed(codec);
        }
        let server = tonic::transport::Server::builder().add_service(logs).add_service(metrics);
        let server = runtime.spawn(server.serve((Ipv4Addr::LOCALHOST, port).into()));
        let site = Site::new();
        let files = site.entry("shop.log", "service: shop, format: text");
        site.config(&format!(
            "logs:\n  files:\n{files}destinations:\n  collector: {{ otlp_grpc: {{ endpoint: \"http://127.0.0.1:{port}\", \
             compression: {codec}, signals: [logs, metrics], headers: {{ x-team: checkout }} }} }}\n"
        ));
        let lines: Vec<String> = (0..500).map(|number| format!("line {number}")).collect();
        site.log("shop.log", &(lines.join("\n") + "\n"));
        let mut agent = site.start();
        wait_for("all lines", SOON, || {
            let found = receiver.bodies.lock().unwrap().len();
            if found >= lines.len() {
                Ok(())
            } else {
                Err(format!("{found} of them; {}", site.destination("collector")))
            }
        });
        wait_for("a metric", SOON, || {
            let found = receiver.metrics.lock().unwrap();
            if found.iter().any(|name| name == "system.memory.limit") { Ok(()) } else { Err(format!("{found:?}")) }
        });
        agent.terminate(SOON);
        assert_eq!(*receiver.bodies.lock().unwrap(), lines, "each once, in order");
        let codecs = receiver.codecs.lock().unwrap();
        assert!(seen.is_none_or(|seen| codecs.iter().all(|codec| codec == seen)), "{codec}: {codecs:?}");
        server.abort();
    }
}

/// Names of the spans that the agent sent of itself.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<String>>>);

#[tonic::async_trait]
impl TraceService for Spans {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for spans in request.into_inner().resource_spans {
            let named = |kv: &KeyValue| kv.key == "service.name" && format!("{:?}", kv.value).contains("plimsoll");
            assert!(spans.resource.unwrap().attributes.iter().any(named), "whose spans are they?");
            let all = spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.0.lock().unwrap().extend(all.map(|span| span.name));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[test]
fn the_agents_own_spans_reach_a_receiver_when_self_names_one() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (port, spans) = (free_port(), Spans::default());
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(spans.clone()));
    runtime.spawn(server.serve((Ipv4Addr::LOCALHOST, port).into()));
    let site = Site::new();
    site.config(&format!("logs: off\nself: {{ otlp_grpc: {{ endpoint: \"http://127.0.0.1:{port}\" }} }}\n"));
    let _agent = site.start();
    wait_for("a span of a round", SOON, || {
        let found = spans.0.lock().unwrap();
        if found.iter().any(|name| name == "collect") { Ok(()) } else { Err(format!("{found:?}")) }
    });
}
