//! Metrics in a real Prometheus: under the names that the box itself shows, and what becomes of refused ones.

use std::collections::BTreeSet;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use super::SOON;
use super::harness::{self, Site, host_name, wait_for};
use super::prometheus::{Labels, Prometheus};

/// Names and labels of the text format, without values. Two series of one name and the same labels fail.
fn shown(text: &str) -> BTreeSet<Labels> {
    let mut found = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let series = &line[..line.rfind(' ').unwrap()];
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let mut made = Labels::from([("__name__".to_owned(), name.to_owned())]);
        let mut rest = labels.strip_suffix('}').unwrap();
        while !rest.is_empty() {
            let (label, value) = rest.split_once("=\"").unwrap();
            let mut end = 0;
            while value.as_bytes()[end] != b'"' {
                end += if value.as_bytes()[end] == b'\\' { 2 } else { 1 };
            }
            let plain = value[..end].replace("\\\"", "\"").replace("\\n", "\n").replace("\\\\", "\\");
            made.insert(label.to_owned(), plain);
            rest = value[end + 1..].trim_start_matches(',');
        }
        assert!(found.insert(made), "twice: {line}");
    }
    found
}

/// Neither what comes and goes with processes, nor what the other side adds.
fn steady(series: &BTreeSet<Labels>) -> BTreeSet<Labels> {
    series.iter().filter(|labels| !labels.contains_key("process_group")).cloned().collect()
}

#[test]
fn every_series_of_the_box_stands_in_prometheus_under_the_same_name_and_labels() {
    let Some(prometheus) = Prometheus::start() else { return };
    let site = Site::new();
    // A long interval: the first round alone is compared.
    site.config(&format!("host: {{ interval: 1h }}\ndestinations:\n{}", prometheus.destination()));
    let _agent = site.start();
    let box_ = wait_for("the first round on the box", SOON, || {
        let series = shown(&site.metrics()?);
        let has = |job: &str| series.iter().any(|labels| labels.get("job").is_some_and(|known| known == job));
        if has("host") && has("plimsoll") { Ok(series) } else { Err(format!("{series:?}")) }
    });
    let host = |series: &BTreeSet<Labels>| -> BTreeSet<Labels> {
        series.iter().filter(|labels| labels["job"] == "host").cloned().collect()
    };
    prometheus.wait("count({job=\"host\"})", SOON, |count| count as usize >= host(&box_).len());
    let stack: BTreeSet<Labels> = prometheus.series("{job=~\"host|plimsoll\"}").unwrap().into_iter().collect();

    let (ours, theirs) = (host(&box_), host(&stack));
    assert!(ours.len() > 50, "only {} series of the host", ours.len());
    let missing: Vec<_> = ours.difference(&theirs).collect();
    let more: Vec<_> = theirs.difference(&ours).collect();
    assert!(missing.is_empty() && more.is_empty(), "not in Prometheus: {missing:#?}; only there: {more:#?}");
    for labels in &theirs {
        assert_eq!(labels["instance"], host_name(), "{labels:?}");
    }
    for name in ["target_info", "system_cpu_time_seconds_total", "plimsoll_collect_duration_seconds"] {
        assert!(theirs.iter().any(|labels| labels["__name__"] == name), "{name} is not there");
    }
    let own = |series: &BTreeSet<Labels>| -> BTreeSet<String> {
        let own = series.iter().filter(|labels| labels["job"] == "plimsoll");
        own.map(|labels| labels["__name__"].clone()).collect()
    };
    assert_eq!(own(&steady(&box_)), own(&steady(&stack)));
    assert!(own(&stack).contains("plimsoll_memory_usage_bytes"), "{:?}", own(&stack));
}

#[test]
fn counters_and_histograms_of_log_lines_stand_in_prometheus() {
    let Some(prometheus) = Prometheus::start() else { return };
    let site = Site::new();
    let metrics = "metrics: [\
        { name: http.server.request.duration, histogram: ms, unit: ms, by: [http.request.method, http.response.status_code], buckets: [10, 100, 1000] }, \
        { name: shop.errors, count: reason, by: [reason] }, \
        { name: shop.revenue, sum: cents, by: [] }, \
        { name: shop.queue, gauge: waiting }]";
    let files = site.entry("shop.json", &format!("service: shop, {metrics}"));
    site.config(&format!(
        "host: {{ interval: 1s }}\nlogs:\n  files:\n{files}destinations:\n{}",
        prometheus.destination()
    ));
    let agent = site.start();
    for number in 0..300 {
        let status = if number % 3 == 0 { 500 } else { 200 };
        let error = if number % 10 == 0 { ",\"reason\":\"db\"" } else { "" };
        site.log("shop.json", &format!(
            "{{\"msg\":\"x\",\"method\":\"GET\",\"status\":{status},\"ms\":{},\"cents\":2.5,\"waiting\":{number}{error}}}\n",
            [5, 50, 500][number % 3]
        ));
    }
    let of = |expression: &str, value: f64| {
        prometheus.wait(expression, SOON, |seen| seen == value);
    };
    of(
        "http_server_request_duration_milliseconds_count{job=\"shop\",http_request_method=\"GET\",http_response_status_code=\"500\"}",
        100.0,
    );
    of(
        "http_server_request_duration_milliseconds_count{job=\"shop\",http_request_method=\"GET\",http_response_status_code=\"200\"}",
        200.0,
    );
    of("http_server_request_duration_milliseconds_bucket{http_response_status_code=\"200\",le=\"10\"}", 0.0);
    of("http_server_request_duration_milliseconds_bucket{http_response_status_code=\"200\",le=\"100\"}", 100.0);
    of("http_server_request_duration_milliseconds_bucket{http_response_status_code=\"200\",le=\"+Inf\"}", 200.0);
    of("http_server_request_duration_milliseconds_sum{http_response_status_code=\"200\"}", 55_000.0);
    of("shop_errors_total{reason=\"db\"}", 30.0);
    of("shop_revenue_total{job=\"shop\"}", 750.0);
    of("shop_queue{job=\"shop\"}", 299.0);
    // A reload that changes something else resets nothing.
    site.config(&format!(
        "host: {{ interval: 2s }}\nlogs:\n  files:\n{files}destinations:\n{}",
        prometheus.destination()
    ));
    assert_eq!(site.run(&["reload"]).status.code(), Some(0));
    site.log("shop.json", "{\"msg\":\"x\",\"cents\":250}\n");
    of("shop_revenue_total{job=\"shop\"}", 1000.0);
    let shown = shown(&site.metrics().unwrap());
    assert!(shown.iter().any(|labels| labels["__name__"] == "http_server_request_duration_milliseconds_bucket"));
    drop(agent);
}

/// A sample of a sum at `nanos`, as another program would send it.
fn sample(name: &str, unit: &str, attributes: &[(&str, &str)], nanos: u64) -> Vec<u8> {
    let pair = |(name, value): (&str, &str)| KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) }),
        ..KeyValue::default()
    };
    let point = NumberDataPoint {
        attributes: attributes.iter().copied().map(pair).collect(),
        start_time_unix_nano: nanos,
        time_unix_nano: nanos,
        value: Some(number_data_point::Value::AsInt(1)),
        ..NumberDataPoint::default()
    };
    let sum = Sum { data_points: vec![point], aggregation_temporality: 2, is_monotonic: true };
    let metric = Metric {
        name: name.to_owned(),
        unit: unit.to_owned(),
        data: Some(metric::Data::Sum(sum)),
        ..Metric::default()
    };
    let host = host_name();
    let resource = [("service.name", "host"), ("service.instance.id", host.as_str())].map(pair).to_vec();
    let metrics = ResourceMetrics {
        resource: Some(Resource { attributes: resource, ..Resource::default() }),
        scope_metrics: vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }],
        ..ResourceMetrics::default()
    };
    ExportMetricsServiceRequest { resource_metrics: vec![metrics] }.encode_to_vec()
}

#[test]
fn a_series_that_prometheus_has_newer_is_refused_and_counted_and_the_others_go_on() {
    let Some(prometheus) = Prometheus::start() else { return };
    // Twenty seconds ahead of the agent's first rounds.
    let ahead = harness::now() + 20_000_000_000;
    let body = sample("system.cpu.context_switches", "{switch}", &[], ahead);
    let sent = harness::http(
        prometheus.port,
        "POST",
        "/api/v1/otlp/v1/metrics",
        &[("Content-Type", "application/x-protobuf")],
        &body,
    );
    assert_eq!(sent.unwrap().0, 200);
    let site = Site::new();
    site.config(&format!("host: {{ interval: 1s }}\ndestinations:\n{}", prometheus.destination()));
    let _agent = site.start();
    let loss = wait_for("a counted refusal", SOON, || {
        let (_, report) = site.status()?;
        let mut losses = report["losses"].as_array().unwrap().iter();
        losses.find(|loss| loss["part"] == "export prometheus").cloned().ok_or_else(|| report.to_string())
    });
    assert_eq!(loss["reason"], "out_of_order");
    assert!(loss["hint"].as_str().unwrap().contains("out_of_order_time_window"), "{loss}");
    assert!(
        prometheus.value("system_memory_limit_bytes{job=\"host\"}").unwrap() > 0.0,
        "the same frame's other points"
    );
    // When the agent's clock has passed it, the series goes on.
    wait_for("the refused series to go on", SOON, || {
        let value = prometheus.newest("system_cpu_context_switches_total{job=\"host\"}")?;
        // The one that was sent by hand is 1.
        if value > 1.0 { Ok(()) } else { Err(format!("{value}")) }
    });
    let refused = |site: &Site| site.destination("prometheus")["refused"].as_u64().unwrap();
    let before = refused(&site);
    assert!((1..=40).contains(&before), "{before} points were refused, one a round was bad");
    let frames = || site.destination("prometheus")["frames"].as_u64().unwrap();
    let then = frames();
    wait_for("later rounds", Duration::from_secs(20), || if frames() > then + 2 { Ok(()) } else { Err(String::new()) });
    assert_eq!(refused(&site), before, "nothing is refused any more");
}
