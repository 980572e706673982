//! A stage as it is played: a real Prometheus and Loki, agents that ship to both and to a recorder, and marks.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;

use super::fixture::{Entry, Fixture};
use super::harness::{self, Process, Site, wait_for};
use super::loki::{self, Loki};
use super::network::{Net, relay};
use super::points::{self, Point, text};
use super::prometheus::Prometheus;

/// Programs of the scenarios, as the agent groups processes. What else runs on the machine is nobody's business.
const PROGRAMS: &[&str] =
    &["nginx", "haproxy", "postgres", "pgbouncer", "redis-server", "shop-app", "shop-worker", "plimsoll"];

/// The stack, the recorder, and the boxes of one stage.
pub(crate) struct Live {
    stage: u8,
    pub(crate) prometheus: Prometheus,
    pub(crate) loki: Loki,
    recorder: u16,
    taken: Arc<Mutex<Fixture>>,
}

impl Live {
    pub(crate) fn start(stage: u8) -> Self {
        assert_eq!(rustix::process::getuid().as_raw(), 0, "the stages are recorded as root: they make boxes");
        let taken = Arc::new(Mutex::new(Fixture::default()));
        let recorder = record(Arc::clone(&taken));
        let missing = "the stages are recorded beside a real Prometheus and Loki: run tests/run --record-stages";
        let (prometheus, loki) = (Prometheus::start().expect(missing), Loki::start().expect(missing));
        Self { stage, prometheus, loki, recorder, taken }
    }

    /// Starts an agent as the box `host`, in the network namespace `net` where the box has one. It watches what `yaml`
    /// names, has the shipped rules, and sends to all three. Files of `site` are the box's own.
    pub(crate) fn agent(&self, host: &str, net: Option<&Net>, site: &Site, yaml: &str) -> Process {
        let mut stack = [self.prometheus.port, self.loki.port, self.recorder];
        let mut address = IpAddr::from(Ipv4Addr::LOCALHOST);
        if let Some(net) = net {
            // What listens on loopback is not there for a namespace.
            address = net.outside();
            stack = stack.map(|port| relay((address, 0).into(), ([127, 0, 0, 1], port).into()));
        }
        let [prometheus, loki, recorder] = stack;
        let to = |name: &str, port: u16, path: &str, more: &str| {
            format!("  {name}: {{ otlp_http: {{ endpoint: \"http://{address}:{port}{path}\", {more} }} }}\n")
        };
        site.config(&format!(
            "{yaml}alerts: {{ interval: 5s }}\ndestinations:\n{}{}{}",
            to("prometheus", prometheus, "/api/v1/otlp", "signals: [metrics]"),
            to("loki", loki, "/otlp", "signals: [logs]"),
            to("recorder", recorder, "", "signals: [logs, metrics], compression: none"),
        ));
        let alerts = concat!(env!("CARGO_MANIFEST_DIR"), "/alerts");
        let name = ["unshare", "--uts", "sh", "-c", "hostname \"$0\" && exec \"$@\"", host].map(str::to_owned);
        let wrap: Vec<String> = net.map(Net::enter).unwrap_or_default().into_iter().chain(name).collect();
        site.start_inside(&wrap, &[("PLIMSOLL_SHIPPED_ALERTS", alerts)])
    }

    /// Sets a mark in the recording: `healthy`, `fault`, or one of the scenario's own.
    pub(crate) fn mark(&self, name: &str) {
        self.taken.lock().unwrap().0.push((harness::now(), Entry::Mark(name.to_owned())));
        say(&format!("stage {}: {name}", self.stage));
    }

    /// The stretch of health that the history is made of, between two marks.
    pub(crate) fn healthy(&self, length: Duration) {
        self.mark("healthy");
        thread::sleep(length);
        self.mark("fault");
    }

    /// Lets time pass that is a part of the scenario: what comes is watched over a while.
    pub(crate) fn pass(&self, length: Duration) {
        thread::sleep(length);
    }

    /// Waits until the alert `name` fires in the real Prometheus.
    pub(crate) fn fires(&self, name: &str, limit: Duration) {
        let selector = format!("ALERTS{{alertname=\"{name}\", alertstate=\"firing\"}}");
        wait_for(&format!("the alert {name}"), limit, || {
            let found = self.prometheus.query(&selector)?;
            if found.is_empty() { Err(format!("{:?}", self.prometheus.query("ALERTS"))) } else { Ok(()) }
        });
        say(&format!("stage {}: {name} fires", self.stage));
    }

    /// The pages that fire now.
    pub(crate) fn pages(&self) -> BTreeSet<String> {
        let found = self.prometheus.query("ALERTS{alertstate=\"firing\", severity=\"page\"}").unwrap();
        found.into_iter().map(|(labels, _)| labels["alertname"].clone()).collect()
    }

    /// The first log record that `selector` finds.
    pub(crate) fn record(&self, selector: &str, limit: Duration) -> loki::Entry {
        wait_for(&format!("a record of {selector}"), limit, || {
            self.loki.entries(selector)?.into_iter().next().ok_or_else(|| "none".to_owned())
        })
    }

    /// Writes the fixture.
    pub(crate) fn finish(self, agents: Vec<Process>) {
        drop(agents);
        let taken = std::mem::take(&mut *self.taken.lock().unwrap());
        let size = taken.write(self.stage);
        say(&format!("stage {}: recorded, {size} bytes", self.stage));
    }
}

/// Past the capture of the test harness: a recording takes minutes.
fn say(text: &str) {
    io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap();
}

/// Takes what agents send and says at which port.
fn record(taken: Arc<Mutex<Fixture>>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let taken = Arc::clone(&taken);
            // Ends with its connection.
            thread::spawn(move || while serve(&stream, &taken).is_ok_and(|goes_on| goes_on) {});
        }
    });
    port
}

/// One request; false when the connection is over.
fn serve(stream: &TcpStream, taken: &Mutex<Fixture>) -> io::Result<bool> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(false);
        }
    }
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.expect("a length")];
    reader.read_exact(&mut body)?;
    let entry = if head.starts_with("post /v1/metrics ") {
        Entry::Metrics(own(&ExportMetricsServiceRequest::decode(body.as_slice()).expect("metrics")))
    } else {
        Entry::Logs(ExportLogsServiceRequest::decode(body.as_slice()).expect("logs"))
    };
    taken.lock().unwrap().0.push((harness::now(), entry));
    (&mut &*stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
    Ok(true)
}

/// Only what belongs to the scenario: other programs and mounts of the machine are left out.
fn own(request: &ExportMetricsServiceRequest) -> ExportMetricsServiceRequest {
    let all = points::each(request);
    let kept = all.iter().filter(|(_, _, point)| is_own(point));
    points::request(kept.map(|(_, series, point)| (series, point.clone())))
}

/// Whether a point is of the scenario.
pub(crate) fn is_own(point: &Point) -> bool {
    point.attributes().iter().all(|attribute| match attribute.key.as_str() {
        "process.group" => PROGRAMS.contains(&text(attribute)),
        "system.filesystem.mountpoint" => text(attribute) == "/",
        _ => true,
    })
}
