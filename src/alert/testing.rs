//! Unit tests of rules in promtool's file format, with promtool's verdicts.
//!
//! The traps are promtool's too: what comes after the round of an `eval_time` does not exist, only firing alerts are
//! looked at, values are compared exactly, and NaN equals nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::group::{self, Run, Setting};
use super::rules::{self, Group, duration};
use super::state::{State, millis};
use crate::base::fault::{Fault, join};
use crate::base::go;
use crate::base::yaml::{self, Errors};
use crate::query::{self, Limits, Query, Value};
use crate::store::{Labels, Sample, Store};

mod compare;
mod raw;
mod series;
#[cfg(test)]
mod tests;

/// What came of a file of tests.
#[derive(Debug, Default)]
pub struct Report {
    /// Tests that ran.
    pub tests: usize,
    /// What is odd about the file.
    pub warnings: Vec<String>,
    /// What failed; empty: all is well.
    pub failures: Vec<Failure>,
}

/// One thing that is not as the test wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The test's name, or `unnamed#0`.
    pub test: String,
    /// In promtool's words, over several lines.
    pub message: String,
}

/// As promtool's engine has them.
const LIMITS: Limits = Limits {
    samples: 10_000,
    steps: 11_000,
    time: Duration::from_secs(100),
    lookback: Duration::from_secs(300),
    delayed_name_removal: false,
};

/// A test that needs more rounds has an interval that was not meant.
const MAX_ROUNDS: i64 = 200_000;
const MINUTE: Duration = Duration::from_secs(60);

/// Runs the tests of the file at `path`.
///
/// # Errors
/// The file, or one of its rule files, cannot be read.
pub fn run(path: &Path) -> Result<Report, Vec<Errors>> {
    let missing = || Errors::whole(path, "there is no such file", "name a file of rule tests");
    let text = yaml::read(path).and_then(|text| text.ok_or_else(missing)).map_err(|errors| vec![errors])?;
    let file: raw::File = yaml::parse(path, &text, faults).map_err(|errors| vec![errors])?;
    let mut report = Report::default();
    let groups = groups(path, &file, &mut report.warnings)?;
    let interval = time(file.evaluation_interval.as_deref()).filter(|time| !time.is_zero()).unwrap_or(MINUTE);
    for (number, test) in file.tests.iter().flatten().enumerate() {
        let name = test.name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| format!("unnamed#{number}"));
        let mut bench = Bench { test, interval, fuzzy: file.fuzzy_compare, failures: Vec::new() };
        if let Err(message) = bench.run(&groups) {
            bench.failures.push(message);
        }
        report.tests += 1;
        report.failures.extend(bench.failures.into_iter().map(|message| Failure { test: name.clone(), message }));
    }
    Ok(report)
}

/// The groups of all rule files, those of the named order by it.
fn groups(path: &Path, file: &raw::File, warnings: &mut Vec<String>) -> Result<Vec<Group>, Vec<Errors>> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let (mut groups, mut errors) = (Vec::new(), Vec::new());
    for pattern in file.rule_files.iter().flatten() {
        let pattern = folder.join(pattern);
        let found: Vec<PathBuf> =
            rules::expand(&pattern).unwrap_or_default().into_iter().filter(|p| p.exists()).collect();
        if found.is_empty() {
            warnings.push(format!("no file matches {}", pattern.display()));
        }
        for path in found {
            match rules::read(&path) {
                Ok((more, _)) => groups.extend(more),
                Err(error) => errors.push(error),
            }
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let order: Vec<&String> = file.group_eval_order.iter().flatten().collect();
    // A group that is not named counts as the first one, as in promtool.
    groups.sort_by_key(|group| order.iter().position(|name| **name == group.name).unwrap_or(0));
    Ok(groups)
}

fn faults(file: &raw::File) -> Vec<Fault> {
    let mut out = Vec::new();
    let mut duration = |key: String, text: &Option<String>| {
        if let Some(text) = text.as_deref().filter(|text| !text.is_empty() && duration::parse(text).is_none()) {
            out.push(Fault::new(key, format!("{text:?} is no duration"), duration::LIKE));
        }
    };
    duration("evaluation_interval".into(), &file.evaluation_interval);
    for (number, test) in file.tests.iter().flatten().enumerate() {
        let key = format!("tests[{number}]");
        duration(join(&key, "interval"), &test.interval);
        for (number, case) in test.alert_rule_test.iter().flatten().enumerate() {
            duration(join(&key, &format!("alert_rule_test[{number}].eval_time")), &case.eval_time);
        }
        for (number, case) in test.promql_expr_test.iter().flatten().enumerate() {
            duration(join(&key, &format!("promql_expr_test[{number}].eval_time")), &case.eval_time);
        }
    }
    for (number, test) in file.tests.iter().flatten().enumerate() {
        if start(test).is_none() {
            let key = format!("tests[{number}].start_timestamp");
            out.push(Fault::new(key, "this is no time", "Unix seconds, or such as 2026-11-24T21:45:00Z"));
        }
    }
    let order: Vec<&String> = file.group_eval_order.iter().flatten().collect();
    for (number, name) in order.iter().enumerate() {
        if order[..number].contains(name) {
            out.push(Fault::new(
                format!("group_eval_order[{number}]"),
                format!("the group {name:?} is named twice"),
                "",
            ));
        }
    }
    out
}

fn time(text: Option<&str>) -> Option<Duration> {
    duration::parse(text.unwrap_or_default())
}

/// Unix milliseconds of the test's start.
fn start(test: &raw::Test) -> Option<i64> {
    let Some(text) = test.start_timestamp.as_deref().filter(|text| !text.is_empty()) else { return Some(0) };
    match text.parse::<f64>() {
        Ok(seconds) if seconds.abs() < 1e11 => Some((seconds * 1000.0).round() as i64),
        Ok(_) => None,
        Err(_) => text.parse::<jiff::Timestamp>().ok().map(|time| time.as_millisecond()),
    }
}

/// One test as it runs.
struct Bench<'a> {
    test: &'a raw::Test,
    interval: Duration,
    fuzzy: bool,
    failures: Vec<String>,
}

impl Bench<'_> {
    /// All of it; an error ends the test at once.
    fn run(&mut self, groups: &[Group]) -> Result<(), String> {
        let (test, interval) = (self.test, millis(self.interval));
        let every = time(test.interval.as_deref()).filter(|time| !time.is_zero()).unwrap_or(self.interval);
        let begin = start(test).unwrap_or(0);
        let mut input = input(test, begin, millis(every))?;
        for case in test.alert_rule_test.iter().flatten() {
            if case.alertname.as_deref().unwrap_or_default().is_empty() {
                return Err("    an item under alert_rule_test misses required attribute alertname".into());
            }
        }
        let setting = Setting {
            external_labels: Labels::new(test.external_labels.clone().unwrap_or_default()),
            host: String::new(),
            external_url: test.external_url.clone().unwrap_or_default(),
            limits: LIMITS,
            failing: false,
        };
        let mut runs: Vec<Run> = groups.iter().map(|group| Run::new(group.clone(), every)).collect();
        let store = Store::memory();
        let last = self.last();
        if last / interval > MAX_ROUNDS {
            return Err(format!(
                "    more than {MAX_ROUNDS} rounds up to the last eval_time: take a longer evaluation_interval"
            ));
        }
        let mut at = 0;
        while at <= last {
            let ts = begin + at;
            feed(&store, &mut input, ts);
            for run in &mut runs {
                run.evaluate(ts, &store, &setting, &mut |rows| store.append_all(rows).map(group::refused));
            }
            let errors = failed(&runs, ts);
            if !errors.is_empty() {
                self.failures.extend(errors);
                return Ok(());
            }
            self.alerts(&runs, at, interval);
            at += interval;
        }
        for case in test.promql_expr_test.iter().flatten() {
            if let Err(message) = self.expression(case, &store, begin) {
                self.failures.push(message);
            }
        }
        Ok(())
    }

    /// Milliseconds from the start to the latest `eval_time`.
    fn last(&self) -> i64 {
        let alerts = self.test.alert_rule_test.iter().flatten().map(|case| &case.eval_time);
        let exprs = self.test.promql_expr_test.iter().flatten().map(|case| &case.eval_time);
        let times = alerts.chain(exprs).map(|text| time(text.as_deref()).unwrap_or_default());
        times.max().map_or(0, millis)
    }

    /// Compares the alerts of the round at `at` with all cases before the next round.
    fn alerts(&mut self, runs: &[Run], at: i64, interval: i64) {
        let mut cases: Vec<(Duration, &raw::AlertCase)> = Vec::new();
        for case in self.test.alert_rule_test.iter().flatten() {
            let when = time(case.eval_time.as_deref()).unwrap_or_default();
            if (at..at + interval).contains(&millis(when)) {
                cases.push((when, case));
            }
        }
        cases.sort_by_key(|(when, _)| *when);
        for (when, case) in cases {
            let name = case.alertname.as_deref().unwrap_or_default();
            let mut got = Vec::new();
            for (rule, alerts) in runs.iter().flat_map(Run::alerts) {
                if rule.is_some_and(|rule| rule.name == name) {
                    got.extend(alerts.iter().filter(|alert| alert.state == State::Firing).map(compare::of_alert));
                }
            }
            let wanted = case.exp_alerts.iter().flatten().map(|alert| compare::of_case(name, alert)).collect();
            if let Some(message) = compare::alerts(wanted, got) {
                let test = match self.test.name.as_deref() {
                    Some(test) if !test.is_empty() => format!("    name: {test},\n"),
                    _ => String::new(),
                };
                let when = duration::text(when);
                self.failures.push(format!("{test}    alertname: {name}, time: {when}, \n{message}"));
            }
        }
    }

    fn expression(&self, case: &raw::ExprCase, store: &Store, begin: i64) -> Result<(), String> {
        let when = time(case.eval_time.as_deref()).unwrap_or_default();
        let place = format!("    expr: {:?}, time: {}", case.expr, duration::text(when));
        let fail = |what: &str| format!("{place}, err: {what}");
        let query = Query::parse(&case.expr).map_err(|error| fail(&error.to_string()))?;
        let answer = query::instant(store, &query, begin + millis(when), LIMITS);
        let got = match answer.map_err(|error| fail(&error.to_string()))?.value {
            Value::Vector(all) => all.into_iter().map(|element| (element.labels, element.sample.v)).collect(),
            Value::Scalar(sample) => vec![(Labels::default(), sample.v)],
            Value::Text(_) | Value::Matrix(_) => return Err(fail("rule result is not a vector or scalar")),
        };
        let mut wanted = Vec::new();
        for sample in case.exp_samples.iter().flatten() {
            if sample.histogram.as_deref().is_some_and(|text| !text.is_empty()) {
                return Err(fail("native histograms are not in this version"));
            }
            let labels = series::labels(&sample.labels);
            wanted.push((labels.map_err(|what| fail(&format!("labels {:?}: {what}", sample.labels)))?, sample.value));
        }
        compare::samples(wanted, got, self.fuzzy).map_or(Ok(()), |message| Err(format!("{place},\n{message}")))
    }
}

/// What is still to be taken, newest last so that it can be popped.
type Input = BTreeMap<Labels, Vec<Sample>>;

fn input(test: &raw::Test, begin: i64, every: i64) -> Result<Input, String> {
    let mut out = Input::new();
    for row in test.input_series.iter().flatten() {
        let fail = |what: String| format!("    series {:?}: {what}", row.series);
        let labels = series::labels(&row.series).map_err(fail)?;
        let values = series::values(&row.values).map_err(fail)?;
        let at = (0_i64..).map(|number| begin + number * every);
        let points = at.zip(values).filter_map(|(t, value)| value.map(|v| Sample { t, v }));
        let mut samples: Vec<Sample> = points.collect();
        samples.reverse();
        out.insert(labels, samples);
    }
    Ok(out)
}

/// Stores what is not after `ts`.
fn feed(store: &Store, input: &mut Input, ts: i64) {
    for (labels, samples) in input {
        while let Some(sample) = samples.pop_if(|sample| sample.t <= ts) {
            store.append(labels, sample);
        }
    }
}

fn failed(runs: &[Run], ts: i64) -> Vec<String> {
    let rules = runs.iter().flat_map(Run::errors);
    rules
        .map(|(name, error)| {
            let when = go::duration(ts.saturating_mul(1_000_000));
            format!("    rule: {name}, time: {when}, err: {error}")
        })
        .collect()
}
