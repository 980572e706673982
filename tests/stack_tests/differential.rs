//! One data set, sent to a real Prometheus by OTLP and through the pipeline into the store: both are asked the same over
//! HTTP.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use plimsoll::alert::view::Views;
use plimsoll::base::stop::Stop;
use plimsoll::pipeline::Pipeline;
use plimsoll::signal::frame::Signal;
use plimsoll::signal::metrics::{Metric, Point, Samples};
use plimsoll::signal::resource::Resource;
use plimsoll::spool::disk::RealDisk;
use plimsoll::spool::{Limits, Spool};
use plimsoll::status::Board;
use plimsoll::status::report::{Identity, Reporter};
use plimsoll::store::{Latest, Store};
use plimsoll::web;
use serde_json::Value;

use self::asked::{BAD_QUERIES, BAD_REQUESTS, SELECTORS, queries};
use self::data::Sources;
use super::harness::{escaped, http};
use super::prometheus::Prometheus;
use crate::numbers::Numbers;

#[path = "differential/asked.rs"]
mod asked;
#[path = "differential/data.rs"]
mod data;
#[path = "differential/nested.rs"]
mod nested;

/// Unix seconds of the first round: fixed, so that each run compares the same.
pub(super) const START: i64 = 1_700_000_000;
/// Rounds are 15 s apart: 75 minutes.
const ROUNDS: i64 = 300;
const STEP: i64 = 15;
pub(super) const END: i64 = START + (ROUNDS - 1) * STEP;

/// Seed and number of the nested queries.
const NESTED: (u64, u64) = (7, 300);

/// Both sides, with the same data.
pub(super) struct Pair {
    pub(super) prometheus: Prometheus,
    /// The port of our side.
    pub(super) ours: u16,
    stop: Stop,
    server: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.stop.set();
        if let Some(server) = self.server.take() {
            server.join().unwrap();
        }
    }
}

impl Pair {
    pub(super) fn start() -> Option<Self> {
        let prometheus = Prometheus::start()?;
        let store = Store::memory();
        fill(&prometheus, &store);
        let stop = Stop::new();
        let (address, server) = serve(store, stop.clone());
        Some(Self { prometheus, ours: address.port(), stop, server: Some(server) })
    }

    /// Status and body of both; with `form` as a POST.
    fn ask(&self, path: &str, form: Option<&str>) -> [(u16, Value); 2] {
        [self.prometheus.port, self.ours].map(|port| {
            let kind = [("Content-Type", "application/x-www-form-urlencoded"), ("Accept-Encoding", "identity")];
            let asked = match form {
                Some(form) => http(port, "POST", path, &kind, form.as_bytes()),
                None => http(port, "GET", path, &kind[1..], b""),
            };
            let (status, body) = asked.unwrap_or_else(|error| panic!("{path}: {error}"));
            (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
        })
    }
}

/// Our own HTTP face over `store`, on a thread of its own.
pub(super) fn serve(store: Store, stop: Stop) -> (SocketAddr, std::thread::JoinHandle<()>) {
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let identity = Identity { version: "1".into(), host: "box".into(), pid: 1, started: 1 };
            let reporter = Arc::new(Reporter::new(identity, Board::new()));
            let lock = web::Lock::default();
            let listener = web::bind("127.0.0.1:0".parse().unwrap(), &lock).await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            let faces =
                web::Faces { reporter, latest: Latest::new(), store, views: Views::default(), names: Vec::new(), lock };
            web::serve(listener, faces, stop).await.unwrap();
        });
    });
    (told.recv().unwrap(), thread)
}

fn fill(prometheus: &Prometheus, store: &Store) {
    let shop = [("service.version", "1.2"), ("deployment.environment.name", "test")];
    let shop = Arc::new(Resource::new("shop", "shop-1", &shop));
    let host = Arc::new(Resource::new("host", "shop-1", &[("host.name", "shop-1")]));
    let mut sources = Sources::new();
    let mut feed = Feed::new(prometheus, store);
    for round in 0..ROUNDS {
        let time = START + round * STEP;
        let mut samples = sources.shop(round);
        sources.histograms(&mut samples, round);
        feed.send(&shop, &samples, time);
        // Each minute. Silent for ten: nothing says that its series ended, they are only too old after five.
        let host_samples = (round % 4 == 0).then(|| sources.host(round));
        if let Some(samples) = host_samples.filter(|_| !(160..200).contains(&round)) {
            feed.send(&host, &samples, time);
        }
    }
}

/// A series of a round: metric and attributes.
type Key = (Metric, Vec<(Box<str>, Box<str>)>);

/// The way into both: OTLP to Prometheus, the agent's pipeline to the store.
struct Feed<'a> {
    prometheus: &'a Prometheus,
    pipeline: Pipeline,
    /// What each service had in its newest round.
    before: BTreeMap<String, Vec<Key>>,
    _spools: tempfile::TempDir,
}

impl<'a> Feed<'a> {
    fn new(prometheus: &'a Prometheus, store: &Store) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let day = Duration::from_secs(86_400);
        let limits =
            Limits { undelivered: 64 << 20, fsync: Duration::from_secs(1), retain_bytes: 16 << 20, retain_time: day };
        let spool = |signal: Signal| {
            Spool::open(Arc::new(RealDisk), dir.path().join(signal.name()), signal, limits, &Board::new()).unwrap()
        };
        let (logs, metrics) = (spool(Signal::Logs), spool(Signal::Metrics));
        let own = Resource::new("plimsoll", "box", &[]);
        let pipeline = Pipeline::over(logs, metrics, Latest::new(), Some(store.clone()), own, Board::new()).unwrap();
        Self { prometheus, pipeline, before: BTreeMap::new(), _spools: dir }
    }

    /// One round. What the round before had and this one has not is ended: by the pipeline itself, and for Prometheus by
    /// OTLP's points without a recorded value.
    fn send(&mut self, resource: &Arc<Resource>, samples: &Samples, time: i64) {
        let (start, nanos) = (START as u64 * 1_000_000_000, time as u64 * 1_000_000_000 + 123_000_000);
        post(self.prometheus, &samples.encode(resource, start, nanos));
        let key = |sample: &plimsoll::signal::metrics::Sample| {
            (samples.metrics()[sample.metric].clone(), sample.attributes.clone())
        };
        let now: Vec<Key> = samples.samples().iter().map(key).collect();
        let before = self.before.insert(resource.service().to_owned(), now.clone()).unwrap_or_default();
        let mut ended = Samples::default();
        for (metric, attributes) in before.iter().filter(|key| !now.contains(key)) {
            let attributes: Vec<(&str, &str)> = attributes.iter().map(|(name, value)| (&**name, &**value)).collect();
            ended.put_metric(metric, &attributes, Point::Number(0.0.into()));
        }
        if !ended.is_empty() {
            post(self.prometheus, &without_values(&ended.encode(resource, start, nanos)));
        }
        self.pipeline.push_samples(resource.service(), resource, samples, start, nanos).unwrap();
    }
}

/// The request with all its points marked as having no recorded value: Prometheus makes stale markers of them.
fn without_values(request: &[u8]) -> Vec<u8> {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use prost::Message as _;
    let mut request = ExportMetricsServiceRequest::decode(request).unwrap();
    for metric in &mut request.resource_metrics[0].scope_metrics[0].metrics {
        let points = match &mut metric.data {
            Some(Data::Gauge(gauge)) => &mut gauge.data_points,
            Some(Data::Sum(sum)) => &mut sum.data_points,
            other => panic!("{other:?}"),
        };
        for point in points {
            point.flags = 1;
            point.value = None;
        }
    }
    request.encode_to_vec()
}

fn post(prometheus: &Prometheus, request: &[u8]) {
    let kind = [("Content-Type", "application/x-protobuf")];
    let (status, body) = http(prometheus.port, "POST", "/api/v1/otlp/v1/metrics", &kind, request).unwrap();
    assert!((200..300).contains(&status), "{status}: {}", String::from_utf8_lossy(&body));
}

/// A series of an answer: its labels as text, and its samples.
type Series = BTreeMap<String, Vec<(f64, f64)>>;

/// The answer's series; `None` for an error.
fn series(answer: &Value) -> Option<(String, Series)> {
    let data = &answer["data"];
    let kind = data["resultType"].as_str()?.to_owned();
    let sample = |pair: &Value| (pair[0].as_f64().unwrap(), number(pair[1].as_str().unwrap()));
    let result = &data["result"];
    if kind == "scalar" {
        return Some((kind, BTreeMap::from([(String::new(), vec![sample(result)])])));
    }
    if kind == "string" {
        return Some((kind, BTreeMap::from([(result.to_string(), Vec::new())])));
    }
    let mut found = Series::new();
    for one in result.as_array()? {
        let samples = match one.get("values") {
            Some(values) => values.as_array()?.iter().map(sample).collect(),
            None => vec![sample(&one["value"])],
        };
        assert!(found.insert(one["metric"].to_string(), samples).is_none(), "a series twice: {answer}");
    }
    Some((kind, found))
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

/// What differs, or nothing.
fn difference(query: &str, theirs: &Series, ours: &Series) -> Option<String> {
    let (theirs_only, ours_only): (Vec<_>, Vec<_>) = (
        theirs.keys().filter(|key| !ours.contains_key(*key)).take(3).collect(),
        ours.keys().filter(|key| !theirs.contains_key(*key)).take(3).collect(),
    );
    if !theirs_only.is_empty() || !ours_only.is_empty() {
        return Some(format!("only Prometheus has {theirs_only:?}, only we have {ours_only:?}"));
    }
    for (labels, theirs) in theirs {
        let ours = &ours[labels];
        if theirs.len() != ours.len() {
            return Some(format!("{labels}: {} samples, ours {}", theirs.len(), ours.len()));
        }
        for (theirs, ours) in theirs.iter().zip(ours) {
            if theirs.0 != ours.0 || !(close(theirs.1, ours.1) || explained(query, theirs.1)) {
                return Some(format!("{labels}: {theirs:?}, ours {ours:?}"));
            }
        }
    }
    None
}

/// Whether two numbers are the same but for what rounding takes.
fn close(a: f64, b: f64) -> bool {
    a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
}

/// What may differ, and why: the date of an infinite time stamp. Go's conversion of such a number to an integer is the
/// processor's own, and so is the month that Prometheus calculates from it. The finite ones of this metric are of 1970's first
/// day, and may not differ.
fn explained(query: &str, theirs: f64) -> bool {
    let dates = ["minute(", "hour(", "day_of_", "days_in_month(", "month(", "year("];
    dates.iter().any(|function| query.starts_with(function))
        && query.contains("odd")
        && ![0.0, 1.0, 4.0, 31.0, 1970.0].contains(&theirs)
}

/// Instants and ranges at which each query is asked; more than a query needs to differ once.
fn times(numbers: &mut Numbers) -> Vec<String> {
    let instant = |time: i64, millis: u64| format!("query?time={time}.{millis:03}");
    let mut out = vec![instant(START + numbers.below(4400) as i64, numbers.below(1000)), instant(END + 200, 0)];
    let step = numbers.pick(&["15", "60", "7", "300", "31.5", "2m"]);
    let start = START - 100 + numbers.below(2000) as i64;
    out.push(format!("query_range?start={start}&end={}&step={step}", start + 900 + numbers.below(2400) as i64));
    out
}

/// The queries, the same in each run; or others, by `FUZZ` and `COUNT`.
fn asked() -> Vec<String> {
    let variable = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = variable("FUZZ");
    let mut out = if seed.is_none() { queries() } else { Vec::new() };
    let mut numbers = Numbers(seed.unwrap_or(NESTED.0));
    for _ in 0..variable("COUNT").unwrap_or(NESTED.1) {
        let depth = 1 + numbers.below(4);
        out.push(nested::query(&mut numbers, depth));
    }
    out
}

#[test]
fn queries_have_the_answers_of_a_real_prometheus() {
    let Some(pair) = Pair::start() else { return };
    let mut numbers = Numbers(1);
    let (mut compared, mut samples, mut texts, mut wrong) = (0, 0, 0, String::new());
    let (mut errors, mut remarks, mut inexact) = (0, 0, 0);
    let all = asked();
    for query in &all {
        for when in times(&mut numbers) {
            let [(their_status, theirs), (our_status, ours)] =
                pair.ask(&format!("/api/v1/{when}&query={}", escaped(query)), None);
            compared += 1;
            let place = format!("{query}\n    {when}");
            if their_status != our_status || theirs["errorType"] != ours["errorType"] {
                writeln!(wrong, "{place}\n    {their_status} {} ours {our_status} {}", theirs["error"], ours["error"])
                    .unwrap();
                continue;
            }
            let (Some((their_kind, theirs_found)), Some((our_kind, ours_found))) = (series(&theirs), series(&ours))
            else {
                errors += 1;
                texts += usize::from(theirs["error"] == ours["error"]);
                continue;
            };
            samples += theirs_found.values().map(Vec::len).sum::<usize>();
            let unlike = theirs_found
                .iter()
                .flat_map(|(labels, theirs)| theirs.iter().zip(ours_found.get(labels).into_iter().flatten()))
                .filter(|(a, b)| a.1 != b.1 && !(a.1.is_nan() && b.1.is_nan()))
                .count();
            if unlike > 0 && std::env::var_os("SHOW").is_some() {
                println!("last bits of {unlike}: {query} {when}");
            }
            inexact += unlike;
            let difference = (their_kind != our_kind)
                .then(|| format!("{their_kind}, ours {our_kind}"))
                .or_else(|| difference(query, &theirs_found, &ours_found))
                .or_else(|| in_order(query, &theirs, &ours));
            if let Some(difference) = difference {
                writeln!(wrong, "{place}\n    {difference}").unwrap();
            }
            for kind in ["warnings", "infos"] {
                if remark(&theirs[kind]) != remark(&ours[kind]) {
                    writeln!(wrong, "{place}\n    {kind} {} ours {}", theirs[kind], ours[kind]).unwrap();
                }
                remarks += theirs[kind].as_array().map_or(0, Vec::len);
            }
        }
    }
    println!(
        "{} queries, {compared} answers compared: {samples} samples ({inexact} differ in their last bits), {remarks} remarks, {errors} errors of which {texts} in the same words",
        all.len()
    );
    let shown: String = wrong.lines().take(60).map(|line| format!("{line}\n")).collect();
    assert!(wrong.is_empty(), "{} differ:\n{shown}", wrong.matches("\n    ").count() / 2);
    assert!(compared > 1_900 && samples > 100_000, "{compared} answers, {samples} samples");
}

/// What is remarked, in any order.
fn remark(all: &Value) -> Vec<String> {
    let mut all: Vec<String> = all.as_array().into_iter().flatten().map(Value::to_string).collect();
    all.sort();
    all
}

/// Where the order is part of the answer.
fn in_order(query: &str, theirs: &Value, ours: &Value) -> Option<String> {
    let sorts = query.starts_with("sort") || query.starts_with("topk(") || query.starts_with("bottomk(");
    if !sorts || theirs["data"]["resultType"] != "vector" {
        return None;
    }
    let order = |answer: &Value| -> Vec<f64> {
        let elements = answer["data"]["result"].as_array().into_iter().flatten();
        elements.map(|one| number(one["value"][1].as_str().unwrap())).collect()
    };
    let (a, b) = (order(theirs), order(ours));
    let same = a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| close(*a, *b));
    (!same).then(|| format!("in the order {a:?}, ours {b:?}"))
}

#[test]
fn series_names_and_values_are_those_of_a_real_prometheus() {
    let Some(pair) = Pair::start() else { return };
    let mut paths = vec!["labels".to_owned(), "query_exemplars?query=up".to_owned()];
    for selector in SELECTORS {
        paths.push(format!("series?match[]={}", escaped(selector)));
        paths.push(format!("series?match[]={}&start={}&end={}", escaped(selector), START + 3500, START + 4000));
        paths.push(format!("labels?match[]={}", escaped(selector)));
        paths.push(format!("label/__name__/values?match[]={}", escaped(selector)));
    }
    paths.push("series?match[]=queue_depth&match[]=jobs_failed_total".to_owned());
    for label in ["__name__", "queue", "le", "job", "nothing", "U__http_5f_route", "http_route"] {
        paths.push(format!("label/{label}/values"));
    }
    for path in &paths {
        let [(their_status, theirs), (our_status, ours)] = pair.ask(&format!("/api/v1/{path}"), None);
        assert_eq!(their_status, our_status, "{path}");
        let all = |answer: &Value| -> std::collections::BTreeSet<String> {
            answer["data"]
                .as_array()
                .unwrap_or_else(|| panic!("{path}: {answer}"))
                .iter()
                .map(Value::to_string)
                .collect()
        };
        assert_eq!(all(&theirs), all(&ours), "{path}");
    }
    println!("{} lists compared", paths.len());
}

#[test]
fn bad_requests_are_refused_as_a_real_prometheus_refuses_them() {
    let Some(pair) = Pair::start() else { return };
    let range = "start=1700000000&end=1700000060&step=15";
    let mut paths: Vec<String> = BAD_REQUESTS.iter().map(|path| (*path).to_owned()).collect();
    for query in BAD_QUERIES {
        paths.push(format!("query?time=1700001000&query={}", escaped(query)));
        paths.push(format!("query_range?{range}&query={}", escaped(query)));
    }
    let (mut wrong, mut same, mut refused) = (String::new(), 0, 0);
    for path in &paths {
        let [(their_status, theirs), (our_status, ours)] = pair.ask(&format!("/api/v1/{path}"), None);
        let shape =
            |status: u16, answer: &Value| (status, answer["status"].to_string(), answer["errorType"].to_string());
        if shape(their_status, &theirs) != shape(our_status, &ours) {
            writeln!(wrong, "{path}\n    {their_status} {theirs}\n    {our_status} {ours}").unwrap();
        } else if their_status != 200 {
            refused += 1;
            if theirs["error"] == ours["error"] {
                same += 1;
            } else if std::env::var_os("SHOW").is_some() {
                println!("{path}\n    {}\n    {}", theirs["error"], ours["error"]);
            }
        }
    }
    println!("{} requests, {refused} refused by both, {same} of these in the same words", paths.len());
    assert!(wrong.is_empty(), "{wrong}");
}
