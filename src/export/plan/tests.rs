//! Each row of the table of answers, without a network.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
};
use proptest::prelude::*;
use prost::Message;

use super::*;

pub(crate) fn logs(records: u64) -> Vec<u8> {
    let record = |time_unix_nano| LogRecord { time_unix_nano, ..Default::default() };
    let scope = ScopeLogs { log_records: (0..records).map(record).collect(), ..Default::default() };
    let resource = ResourceLogs { scope_logs: vec![scope], ..Default::default() };
    ExportLogsServiceRequest { resource_logs: vec![resource] }.encode_to_vec()
}

pub(crate) fn metrics(points: u64) -> Vec<u8> {
    let metric = |time_unix_nano| Metric {
        data: Some(Data::Gauge(Gauge { data_points: vec![NumberDataPoint { time_unix_nano, ..Default::default() }] })),
        ..Default::default()
    };
    let scope = ScopeMetrics { metrics: (0..points).map(metric).collect(), ..Default::default() };
    let resource = ResourceMetrics { scope_metrics: vec![scope], ..Default::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource] }.encode_to_vec()
}

fn plan(signal: Signal, records: u64) -> Plan {
    let raw = if signal == Signal::Metrics { metrics(records) } else { logs(records) };
    Plan::new(signal, Codec::Identity, raw.into(), records, false)
}

/// Time stamps of the records in a request, which name them.
pub(crate) fn members(signal: Signal, codec: Codec, payload: &[u8]) -> Vec<u64> {
    let raw = pack::unpack(codec, payload).unwrap();
    if signal == Signal::Logs {
        let request = ExportLogsServiceRequest::decode(&raw[..]).unwrap();
        let scopes = request.resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
        return scopes.flat_map(|scope| scope.log_records).map(|record| record.time_unix_nano).collect();
    }
    let request = ExportMetricsServiceRequest::decode(&raw[..]).unwrap();
    let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
    let data = scopes.flat_map(|scope| scope.metrics).map(|metric| metric.data.unwrap());
    data.flat_map(|data| if let Data::Gauge(gauge) = data { gauge.data_points } else { vec![] })
        .map(|point| point.time_unix_nano)
        .collect()
}

fn next(plan: &mut Plan) -> Vec<u64> {
    let signal = plan.signal;
    let part = plan.part().unwrap();
    members(signal, part.codec, &part.payload)
}

fn taken() -> Answer {
    Answer::Taken { refused: 0, message: "200".into() }
}

/// Sends until the end; `server` answers each request. Returns the tally and the number of requests.
fn run(plan: &mut Plan, mut server: impl FnMut(&[u64]) -> Answer) -> (Tally, usize) {
    let (mut sum, mut requests) = (Tally::default(), 0);
    let mut now = Instant::now();
    while plan.part().is_some() {
        let answer = server(&next(plan));
        requests += 1;
        assert!(requests < 10_000, "it never ends");
        if plan.answered(&answer, now) != Step::Go {
            now += Duration::from_secs(30);
        }
        let tally = plan.take_tally();
        sum.taken += tally.taken;
        sum.lost.extend(tally.lost);
    }
    (sum, requests)
}

fn lost(tally: &Tally) -> u64 {
    tally.lost.iter().map(|lost| lost.records).sum()
}

#[test]
fn a_taken_frame_is_done_and_what_a_partial_success_names_is_counted() {
    let mut plan = plan(Signal::Logs, 10);
    let partial = Answer::Taken { refused: 3, message: "three too old".into() };
    assert_eq!(plan.answered(&partial, Instant::now()), Step::Go);
    assert!(plan.part().is_none());
    let tally = plan.take_tally();
    assert_eq!((tally.taken, lost(&tally)), (7, 3));
    assert!(tally.lost[0].hint.contains("three too old"));
}

#[test]
fn faults_wait_as_the_destination_or_the_backoff_says_and_change_nothing() {
    let mut plan = plan(Signal::Logs, 2);
    let now = Instant::now();
    let after = Some(Duration::from_secs(9));
    let retry = |after| Answer::Retry { why: "503".into(), after, reached: Reached::No };
    assert_eq!(plan.answered(&retry(None), now), Step::Backoff);
    assert_eq!(plan.answered(&retry(after), now), Step::After(Duration::from_secs(9)));
    assert_eq!(plan.answered(&Answer::Hold { why: "401".into() }, now), Step::After(Duration::from_secs(60)));
    assert_eq!(next(&mut plan), [0, 1]);
    assert_eq!(plan.take_tally(), Tally::default());
}

#[test]
fn a_request_that_is_too_large_is_halved_in_order_down_to_the_record_that_is_too_large() {
    let mut sent: Vec<u64> = Vec::new();
    let (tally, _) = run(&mut plan(Signal::Logs, 9), |members| {
        if members.len() > 2 || members.contains(&4) {
            return Answer::TooLarge { why: "413".into() };
        }
        sent.extend(members);
        taken()
    });
    assert_eq!(sent, [0, 1, 2, 3, 5, 6, 7, 8]);
    assert_eq!((tally.taken, lost(&tally), tally.lost[0].reason), (8, 1, "too_large"));
}

#[test]
fn five_429_in_a_row_halve_and_never_below_a_64th() {
    let limited = Answer::Limited { why: "429".into(), after: None };
    let mut first = plan(Signal::Logs, 8);
    for _ in 0..4 {
        assert_eq!(first.answered(&limited, Instant::now()), Step::Backoff);
        assert_eq!(next(&mut first).len(), 8);
    }
    assert_eq!(first.answered(&limited, Instant::now()), Step::Backoff);
    assert_eq!(next(&mut first), [0, 1, 2, 3]);
    let mut second = plan(Signal::Logs, 1000);
    for _ in 0..200 {
        assert_eq!(second.answered(&limited, Instant::now()), Step::Backoff);
    }
    assert_eq!(next(&mut second).len(), 15);
    // Another answer between them ends the row.
    let mut third = plan(Signal::Logs, 8);
    let other = Answer::Retry { why: "503".into(), after: None, reached: Reached::No };
    for number in 0..20 {
        third.answered(if number % 4 == 3 { &other } else { &limited }, Instant::now());
    }
    assert_eq!(next(&mut third).len(), 8);
}

#[test]
fn lokis_400_is_partly_stored_and_what_it_names_is_counted() {
    let why = "400: entry too far behind,\nuser 'x', total ignored: 2 out of 6 for stream: {}";
    let (tally, requests) = run(&mut plan(Signal::Logs, 10), |_| Answer::Refused { why: why.into() });
    assert_eq!((tally.taken, lost(&tally), requests), (8, 2, 1));
    assert_eq!(tally.lost[0].reason, "out_of_order");
    // Without a number, and with a larger one than there are records, all of it counts as refused.
    for why in ["400: no", "total ignored: 999 out of 999"] {
        let (tally, _) = run(&mut plan(Signal::Logs, 10), |_| Answer::Refused { why: why.into() });
        assert_eq!((tally.taken, lost(&tally)), (0, 10));
    }
}

#[test]
fn prometheus_400_is_bisected_to_the_bad_point() {
    let (tally, requests) = run(&mut plan(Signal::Metrics, 1000), |members| {
        if members.contains(&617) { Answer::Refused { why: "400: out of order sample".into() } } else { taken() }
    });
    assert_eq!((tally.taken, lost(&tally)), (999, 1));
    assert!(requests <= 22, "{requests}");
    assert_eq!(tally.lost[0].reason, "out_of_order");
    assert!(tally.lost[0].hint.contains("storage.tsdb.out_of_order_time_window"));
}

#[test]
fn a_frame_of_bad_points_costs_64_requests_and_every_point_is_counted() {
    let bad = || Answer::Refused { why: "400".into() };
    let (tally, requests) = run(&mut plan(Signal::Metrics, 1000), |_| bad());
    assert_eq!((tally.taken, lost(&tally)), (0, 1000));
    assert!((60..=64).contains(&requests), "{requests}");
    // With a bad point in each 250 most of the others arrive.
    let some = |members: &[u64]| if members.iter().any(|point| point % 250 == 0) { bad() } else { taken() };
    let (tally, requests) = run(&mut plan(Signal::Metrics, 1000), some);
    assert_eq!(tally.taken + lost(&tally), 1000);
    assert!(requests <= 64 && tally.taken > 900, "{requests} requests, {} taken", tally.taken);
}

#[test]
fn a_repeat_that_the_server_has_already_is_no_loss() {
    let order = || Answer::Refused { why: "400: out of order sample".into() };
    let lost_answer = Answer::Retry { why: "connection reset".into(), after: None, reached: Reached::Perhaps };
    let mut repeat = plan(Signal::Metrics, 4);
    repeat.answered(&lost_answer, Instant::now());
    let (tally, _) = run(&mut repeat, |_| order());
    assert_eq!((tally.taken, lost(&tally)), (4, 0));
    // The same answer to a first try, or another one to a repeat, is loss.
    let (tally, _) = run(&mut plan(Signal::Metrics, 4), |_| order());
    assert_eq!(lost(&tally), 4);
    let mut repeat = plan(Signal::Metrics, 4);
    repeat.answered(&lost_answer, Instant::now());
    let (tally, _) = run(&mut repeat, |_| Answer::Refused { why: "400: no".into() });
    assert_eq!(lost(&tally), 4);
}

/// The first frame after a start may be a repeat; so may one whose connection broke before the server read it.
#[test]
fn what_is_late_and_was_never_stored_does_not_pass_as_taken() {
    let raw = metrics(1000);
    let mut first = Plan::new(Signal::Metrics, Codec::Identity, raw.into(), 1000, true);
    let (tally, _) = run(&mut first, |_| Answer::Refused { why: "400: out of bounds".into() });
    assert_eq!((tally.taken, lost(&tally)), (0, 1000), "an agent that was down for hours lost these points");
    let raw = metrics(1000);
    let mut first = Plan::new(Signal::Metrics, Codec::Identity, raw.into(), 1000, true);
    let (tally, requests) = run(&mut first, |_| Answer::Refused { why: "400: out of order sample".into() });
    assert!(requests <= 64);
    assert!(lost(&tally) > 900, "{} of 1000 points that nobody stored were counted", lost(&tally));
    assert_eq!(tally.taken + lost(&tally), 1000);
}

#[test]
fn a_500_is_tried_for_ten_minutes_then_bisected_then_counted() {
    let start = Instant::now();
    let broken = Answer::Broken { why: "500: boom".into() };
    let mut first = plan(Signal::Logs, 4);
    for minute in 0..10 {
        assert_eq!(first.answered(&broken, start + Duration::from_secs(60 * minute)), Step::Backoff);
    }
    assert_eq!(first.answered(&broken, start + Duration::from_secs(600)), Step::Go);
    assert_eq!(next(&mut first), [0, 1]);
    let (tally, _) =
        run(&mut plan(Signal::Logs, 8), |members| if members.contains(&5) { broken.clone() } else { taken() });
    assert_eq!((tally.taken, lost(&tally), tally.lost[0].reason), (7, 1, "server_error"));
}

#[test]
fn a_payload_that_cannot_be_opened_is_counted_and_does_not_block() {
    let mut torn = Plan::new(Signal::Metrics, Codec::Gzip, Bytes::from_static(b"torn"), 5, false);
    assert_eq!(torn.answered(&Answer::Refused { why: "400".into() }, Instant::now()), Step::Go);
    assert!(torn.part().is_none());
    assert_eq!(lost(&torn.take_tally()), 5);
}

fn answer() -> impl Strategy<Value = Answer> {
    let after = || proptest::option::of((0..1000_u64).prop_map(Duration::from_secs));
    let whys: &'static [&'static str] = &["out of order sample", "total ignored: 1 out of 3", "2 errors like: x", ""];
    prop_oneof![
        3 => (0..5_u64).prop_map(|refused| Answer::Taken { refused, message: String::new() }),
        1 => (after(), any::<bool>()).prop_map(|(after, perhaps)| Answer::Retry {
            why: String::new(),
            after,
            reached: if perhaps { Reached::Perhaps } else { Reached::No },
        }),
        2 => after().prop_map(|after| Answer::Limited { why: String::new(), after }),
        1 => Just(Answer::Hold { why: String::new() }),
        2 => Just(Answer::TooLarge { why: String::new() }),
        2 => proptest::sample::select(whys).prop_map(|why| Answer::Refused { why: why.into() }),
        2 => Just(Answer::Broken { why: String::new() }),
    ]
}

proptest! {
    #[test]
    fn whatever_the_answers_each_record_is_taken_or_counted_once(
        records in 1..40_u64,
        signal in prop_oneof![Just(Signal::Logs), Just(Signal::Metrics)],
        answers in proptest::collection::vec(answer(), 0..300),
    ) {
        let mut answers = answers.into_iter();
        let (tally, _) = run(&mut plan(signal, records), |_| answers.next().unwrap_or_else(taken));
        prop_assert_eq!(tally.taken + lost(&tally), records);
    }
}

proptest! {
    /// The server is Prometheus: all or nothing, and what it has it takes again. The oracle is what it really stored.
    #[test]
    fn no_good_point_is_lost_uncounted_whatever_answers_are_lost(
        points in 1..300_u64,
        bad in proptest::collection::hash_set(0..300_u64, 0..40),
        fates in proptest::collection::vec((any::<bool>(), any::<bool>()), 0..40),
        repeat in any::<bool>(),
    ) {
        let mut stored = std::collections::HashSet::new();
        let mut fates = fates.into_iter();
        let mut plan = Plan::new(Signal::Metrics, Codec::Identity, metrics(points).into(), points, repeat);
        let (tally, _) = run(&mut plan, |members| {
            let (arrives, answered) = fates.next().unwrap_or((true, true));
            let good = !members.iter().any(|point| bad.contains(point));
            if arrives && good {
                stored.extend(members.iter().copied());
            }
            match (arrives && answered, good) {
                (false, _) => Answer::Retry { why: String::new(), after: None, reached: Reached::Perhaps },
                (true, true) => taken(),
                (true, false) => Answer::Refused { why: "400: out of order sample".into() },
            }
        });
        let missing = (0..points).filter(|point| !bad.contains(point) && !stored.contains(point)).count() as u64;
        prop_assert!(lost(&tally) >= missing, "{missing} good points are missing, {} counted", lost(&tally));
        prop_assert_eq!(tally.taken + lost(&tally), points);
        if bad.is_empty() {
            prop_assert_eq!(lost(&tally), 0);
        }
    }
}

#[test]
fn a_frame_of_one_time_that_is_out_of_bounds_costs_one_request() {
    let out = || Answer::Refused { why: "400: out of bounds".into() };
    let (tally, requests) = run(&mut plan(Signal::Metrics, 1000).of_one_time(true), |_| out());
    assert_eq!((tally.taken, requests), (0, 1));
    assert_eq!(tally.lost.iter().map(|lost| (lost.reason, lost.records)).collect::<Vec<_>>(), [("too_old", 1000)]);
    let order = || Answer::Refused { why: "400: out of order sample".into() };
    let (_, requests) = run(&mut plan(Signal::Metrics, 1000).of_one_time(true), |_| order());
    assert!(requests > 1, "the order is that of each series");
}
