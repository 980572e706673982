//! PromQL: a round of 100 rules over 2,000 series, and a range query of a day at 60 s.
//!
//! `cargo bench --profile release-dev --bench query`. It reports; nothing is asserted. The best of several rounds is
//! taken, because the machines that run it are shared. The bar for the rules is 20 ms, the aim 5 ms.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on says so and ends"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use plimsoll::query::{self, Limits, Query};
use plimsoll::store::matcher::Op;
use plimsoll::store::{Labels, Matcher, Sample, Store};

const FAMILIES: usize = 20;
const SERIES: usize = 100;
const INTERVAL: i64 = 15_000;
const HOUR: i64 = 3_600_000;
const LIMITS: Limits = Limits {
    samples: 5_000_000,
    steps: 11_000,
    time: Duration::from_secs(60),
    lookback: Duration::from_secs(300),
    delayed_name_removal: false,
};
const UPPER: [&str; 10] = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"];

fn main() {
    let store = filled(FAMILIES, HOUR);
    let mut total = Duration::ZERO;
    println!("{:<60} {:>10} {:>12}", "rule", "ms for 20", "µs each");
    for (shape, rules) in shapes() {
        let took = best(|| {
            for rule in &rules {
                black_box(query::instant(&store, rule, HOUR, LIMITS).unwrap());
            }
        });
        total += took;
        let each = took.as_secs_f64() * 1e6 / 20.0;
        println!("{shape:<60} {:>10.2} {each:>12.0}", took.as_secs_f64() * 1e3);
    }
    println!("{:<60} {:>10.2}", "all 100 rules over 2,000 series", total.as_secs_f64() * 1e3);
    let read = best(|| {
        let mut samples = Vec::new();
        for family in 0..FAMILIES {
            let name = Matcher::new("__name__", Op::Equal, format!("metric_{family}_total")).unwrap();
            for range in [5, 2, 5, 10, 30] {
                let from = HOUR - range * 60_000 + 1;
                for series in store.select(std::slice::from_ref(&name), from, HOUR).unwrap() {
                    samples.clear();
                    series.read(from, HOUR, &mut samples).unwrap();
                    black_box(samples.len());
                }
            }
        }
    });
    println!("{:<60} {:>10.2}", "of which the store reads for", read.as_secs_f64() * 1e3);
    drop(store);

    let day = filled(2, 24 * HOUR);
    println!("\n{:<60} {:>10}", "a day at 60 s, 100 series", "ms");
    for text in [
        "metric_0_total",
        "rate(metric_0_total[5m])",
        "sum by (dc) (rate(metric_0_total[5m]))",
        "metric_0_total / on (dc, host, le) metric_1_total",
        "topk(5, rate(metric_0_total[5m]))",
        "max_over_time(rate(metric_0_total[5m])[30m:1m])",
    ] {
        let asked = Query::parse(text).unwrap();
        let took = best(|| {
            black_box(query::range(&day, &asked, (0, 24 * HOUR, 60_000), LIMITS).unwrap());
        });
        println!("{text:<60} {:>10.1}", took.as_secs_f64() * 1e3);
    }
}

/// The five kinds of rules, 20 of each.
fn shapes() -> Vec<(String, Vec<Query>)> {
    [
        "rate(METRIC[5m]) > 1000000",
        "sum by (dc) (rate(METRIC[2m])) > 1000000",
        "histogram_quantile(0.9, sum by (le) (rate(METRIC[5m])))",
        "avg_over_time(METRIC[10m])",
        "predict_linear(METRIC[30m], 3600)",
    ]
    .into_iter()
    .map(|shape| {
        let rules = (0..FAMILIES)
            .map(|family| Query::parse(&shape.replace("METRIC", &format!("metric_{family}_total"))).unwrap());
        (shape.to_owned(), rules.collect())
    })
    .collect()
}

/// Counters with an own slope each, at 15 s.
fn filled(families: usize, until: i64) -> Store {
    let store = Store::memory();
    for family in 0..families {
        for series in 0..SERIES {
            let labels = Labels::new([
                ("__name__", format!("metric_{family}_total")),
                ("dc", format!("dc-{}", series % 4)),
                ("host", format!("shop-web-{}", series / UPPER.len())),
                ("instance", format!("10.0.0.{}:9100", series / UPPER.len())),
                ("job", "shop".to_owned()),
                ("le", UPPER[series % UPPER.len()].to_owned()),
            ]);
            let mut value = 0.0;
            for t in (0..=until).step_by(usize::try_from(INTERVAL).unwrap()) {
                value += f64::from(u32::try_from(series % UPPER.len() + 1).unwrap()) * 1.5;
                store.append(&labels, Sample { t, v: value });
            }
        }
    }
    store
}

/// The fastest of several runs.
fn best(mut run: impl FnMut()) -> Duration {
    let timed = |run: &mut dyn FnMut()| {
        let began = Instant::now();
        run();
        began.elapsed()
    };
    (0..7).map(|_| timed(&mut run)).min().unwrap_or_default()
}
