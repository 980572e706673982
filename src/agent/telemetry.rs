//! The agent's own spans, log lines and process metrics, sent through `opentelemetry-otlp` when `self:` asks for it.
//!
//! What goes to a collector here is about the agent, never about the box. The exporters' own libraries are kept out
//! of it, because their lines would be exported again.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Context;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::Own;
use crate::status::report::Usage;

/// Ends the exporters when it is dropped.
pub(super) struct Telemetry {
    traces: SdkTracerProvider,
    logs: SdkLoggerProvider,
    metrics: SdkMeterProvider,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        // `shutdown` blocks on a runtime thread that it may need itself: a plain thread cannot deadlock.
        let (traces, logs, metrics) = (self.traces.clone(), self.logs.clone(), self.metrics.clone());
        let ended = std::thread::spawn(move || (traces.shutdown(), logs.shutdown(), metrics.shutdown())).join();
        drop(ended);
    }
}

/// Prints the agent's own lines, and exports them when `own` names an endpoint. Lines go to standard error; `RUST_LOG`
/// sets the level (info).
pub(super) fn start(own: &Own, host: &str) -> anyhow::Result<Option<Telemetry>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,h2=warn,hyper=warn"));
    // Under systemd the journal has the time already.
    let plain = std::env::var_os("JOURNAL_STREAM").is_some();
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let printer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(colours);
    let printer = if plain { printer.without_time().boxed() } else { printer.boxed() };
    let registry = tracing_subscriber::registry().with(printer.with_filter(filter));
    let Some(otlp) = &own.otlp_grpc else {
        registry.try_init().context("the log printer")?;
        return Ok(None);
    };
    let telemetry =
        build(&otlp.endpoint, host).with_context(|| format!("self.otlp_grpc.endpoint {}", otlp.endpoint))?;
    let spans = tracing_opentelemetry::layer().with_tracer(telemetry.traces.tracer("plimsoll"));
    let lines = OpenTelemetryTracingBridge::new(&telemetry.logs);
    let foreign = "info,h2=off,hyper=off,hyper_util=off,tonic=off,tower=off,reqwest=off,rustls=off,opentelemetry=off,opentelemetry_sdk=off,opentelemetry_otlp=off";
    registry
        .with(spans.with_filter(EnvFilter::new(foreign)))
        .with(lines.with_filter(EnvFilter::new(foreign)))
        .try_init()
        .context("the log printer")?;
    Ok(Some(telemetry))
}

fn build(endpoint: &str, host: &str) -> anyhow::Result<Telemetry> {
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", "plimsoll"),
            KeyValue::new("service.instance.id", host.to_owned()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ])
        .build();
    let time = Duration::from_secs(10);
    let spans =
        opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(time).build()?;
    let lines =
        opentelemetry_otlp::LogExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(time).build()?;
    let points = opentelemetry_otlp::MetricExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(time)
        .build()?;
    let traces = SdkTracerProvider::builder().with_resource(resource.clone()).with_batch_exporter(spans).build();
    let logs = SdkLoggerProvider::builder().with_resource(resource.clone()).with_batch_exporter(lines).build();
    let metrics = SdkMeterProvider::builder().with_resource(resource).with_periodic_exporter(points).build();
    observe(&metrics);
    Ok(Telemetry { traces, logs, metrics })
}

/// The agent as a process, by OpenTelemetry's names for one.
fn observe(provider: &SdkMeterProvider) {
    use opentelemetry::metrics::MeterProvider;
    let meter = provider.meter("plimsoll");
    // The instruments live in the provider; their handles are not needed.
    let _memory = meter
        .u64_observable_gauge("process.memory.usage")
        .with_unit("By")
        .with_callback(|out| out.observe(Usage::of_self().rss_bytes, &[]))
        .build();
    let _time = meter
        .f64_observable_counter("process.cpu.time")
        .with_unit("s")
        .with_callback(|out| out.observe(Usage::of_self().cpu_seconds, &[]))
        .build();
}
