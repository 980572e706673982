//! The data set of both sides: a shop's and its host's metrics, with what makes queries differ.

use plimsoll::signal::metrics::{Desc, Histogram, Kind, Metric, Point, Samples};

use super::STEP;
use crate::numbers::Numbers;

const REQUESTS: Desc = Desc::counter("http.server.requests", "{request}", "Requests.");
const DEPTH: Desc = Desc::gauge("queue.depth", "{message}", "Messages that wait.");
const MEMORY: Desc = Desc::updown("system.memory.usage", "By", "Bytes by state.");
const USED: Desc = Desc::gauge("system.cpu.utilization", "1", "Share of a core.");
const ODD: Desc = Desc::gauge("odd-name/of.all things", "ms", "A name of other characters.");
const ERRORS: Desc = Desc::counter("jobs.failed", "1", "Jobs that failed.");

/// What the data set's sources have counted so far.
pub(super) struct Sources {
    numbers: Numbers,
    requests: [f64; 6],
    depth: [f64; 3],
    memory: [i64; 3],
    failed: u64,
    duration: [Histogram; 2],
}

impl Sources {
    pub(super) fn new() -> Self {
        let bounds = vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
        let empty = Histogram { counts: vec![0; bounds.len() + 1], bounds, sum: 0.0 };
        Self {
            numbers: Numbers(42),
            requests: [0.0; 6],
            depth: [0.0; 3],
            memory: [4 << 30, 1 << 30, 100 << 20],
            failed: 0,
            duration: [empty.clone(), empty],
        }
    }

    /// Counters fast and slow, with resets, gaps and an end; the kinds of numbers that there are.
    pub(super) fn shop(&mut self, round: i64) -> Samples {
        let mut out = Samples::default();
        let rates = [0.02, 1.0, 17.0, 900.0, 1e6, 3.5];
        for (index, rate) in rates.into_iter().enumerate() {
            self.requests[index] += (rate * STEP as f64 * 2.0 * self.numbers.share()).floor();
            // One restarts each ten minutes, one once.
            if index == 1 && round % 40 == 39 || index == 3 && round == 111 {
                self.requests[index] = self.numbers.below(5) as f64;
            }
            let lost = index == 5 && self.numbers.below(6) == 0;
            let silent = index == 2 && (100..130).contains(&round) || index == 0 && (50..54).contains(&round);
            if lost || silent {
                continue;
            }
            let (method, code) = (["GET", "POST"][index % 2], ["200", "404", "500"][index / 2]);
            let labels = [("http.request.method", method), ("http.response.status_code", code)];
            out.put_with(&REQUESTS, &labels, self.requests[index]);
        }
        for (index, queue) in ["mail", "image", "über \"x\"\\"].into_iter().enumerate() {
            self.depth[index] += (self.numbers.share() - 0.5) * 10.0;
            // The second one ends.
            if index != 1 || round < 200 {
                out.put_with(&DEPTH, &[("queue", queue)], self.depth[index]);
            }
        }
        let odd = match round % 20 {
            5 => f64::NAN,
            6 => f64::INFINITY,
            7 => f64::NEG_INFINITY,
            8 => 1e-320,
            _ => self.numbers.share() * 1e-7,
        };
        out.put_with(&ODD, &[("user-id", "a"), ("user.id", "b"), ("_hidden", "c"), ("0digit", "d")], odd);
        out
    }

    pub(super) fn histograms(&mut self, out: &mut Samples, round: i64) {
        let metric = Metric {
            name: "http.server.request.duration".into(),
            kind: Kind::Histogram,
            unit: "s".into(),
            help: "How long requests took.".into(),
        };
        for (index, route) in ["/", "/pay"].into_iter().enumerate() {
            let histogram = &mut self.duration[index];
            if index == 1 && round == 150 {
                histogram.counts.fill(0);
                histogram.sum = 0.0;
            }
            for _ in 0..self.numbers.below(40) {
                let seconds = 0.002 / (1.0 - self.numbers.share()) * (index + 1) as f64;
                let bucket = histogram.bounds.partition_point(|bound| *bound < seconds);
                histogram.counts[bucket] += 1;
                histogram.sum += seconds;
            }
            out.put_metric(&metric, &[("http.route", route)], Point::Histogram(histogram.clone()));
        }
    }

    pub(super) fn host(&mut self, round: i64) -> Samples {
        let mut out = Samples::default();
        for (index, state) in ["used", "cached", "free"].into_iter().enumerate() {
            self.memory[index] += self.numbers.below(64 << 20) as i64 - (32 << 20);
            out.put_with(&MEMORY, &[("state", state)], self.memory[index]);
        }
        for cpu in 0..4 {
            // A value that stays the same for long: chunks, and functions of change, have cases of their own for it.
            let value = if cpu == 3 { 0.25 } else { self.numbers.share() };
            out.put_with(&USED, &[("cpu", &cpu.to_string())], value);
        }
        self.failed += u64::from(round % 37 == 0);
        out.put(&ERRORS, self.failed);
        out
    }
}
