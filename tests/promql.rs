//! Prometheus' own PromQL test data, with the semantics of its own runner, against the store and the evaluator.
//!
//! Left out, and counted as refused, is what needs native histograms or Prometheus' experimental features: what the
//! statement uses decides that, not whether it passes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so and ends")]
#![allow(clippy::print_stdout, reason = "a test that shows its counts")]

#[path = "promql/compare.rs"]
mod compare;
#[path = "promql/core.rs"]
mod core;
#[path = "promql/pinned.rs"]
mod pinned;
#[path = "promql/script.rs"]
mod script;
#[path = "promql/second.rs"]
mod second;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plimsoll::query::notation::Series;
use plimsoll::query::{self, Answer, Element, Limits, Query, QueryError, Value};
use plimsoll::store::{Labels, Sample, Store};

use compare::{annotations, matrix, same, vector};
use core::{Class, Data};
use script::{Eval, What, When};
use second::Opinion;

/// As Prometheus' runner sets them.
const LIMITS: Limits = Limits {
    samples: 10_000,
    steps: 11_000,
    time: Duration::from_secs(60),
    lookback: Duration::from_secs(300),
    delayed_name_removal: true,
};

/// Fewer evaluations than these would mean that the runner does not find them.
const LEAST: usize = 1_130;
/// The same of those that were tried again at other times, with `@` on their selectors.
const LEAST_AGAIN: usize = 850;

#[derive(Debug, Default)]
struct Count {
    passed: usize,
    /// Of the passed ones, those that were tried again at other times.
    again: usize,
    /// Passed although outside of what is promised.
    beyond: usize,
    failed: usize,
    refused: usize,
}

impl Count {
    fn show(&self, name: &str) {
        let Self { passed, again, failed, refused, beyond } = self;
        println!("{name:28} {passed:6} {again:6} {failed:6} {refused:7} {beyond:6}");
    }
}

#[test]
fn prometheus_own_test_data_passes() {
    let Some(folder) = testdata() else { return };
    let mut faults = Vec::new();
    let mut all = Count::default();
    println!("{:28} {:>6} {:>6} {:>6} {:>7} {:>6}", "file", "passed", "again", "failed", "refused", "beyond");
    for path in &scripts(&folder) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let count = run(name, &fs::read_to_string(path).unwrap(), &mut faults);
        count.show(name);
        all.passed += count.passed;
        all.again += count.again;
        all.beyond += count.beyond;
        all.failed += count.failed;
        all.refused += count.refused;
    }
    all.show("all");
    assert!(faults.is_empty(), "{} evaluations are wrong:\n{}", faults.len(), faults.join("\n"));
    assert!(all.passed >= LEAST, "only {} evaluations were found below {}", all.passed, folder.display());
    assert!(all.again >= LEAST_AGAIN, "only {} evaluations were tried again at other times", all.again);
}

#[test]
fn what_another_grammar_reads_means_the_same() {
    let Some(folder) = testdata() else { return };
    let (mut counts, mut faults) = (BTreeMap::<String, usize>::new(), Vec::new());
    for path in scripts(&folder) {
        let statements = script::read(&fs::read_to_string(path).unwrap());
        let evals = statements.iter().filter_map(|statement| match &statement.what {
            What::Eval(eval) => Some(eval),
            _ => None,
        });
        for eval in evals {
            match second::opinion(&eval.query) {
                Ok(opinion) => *counts.entry(format!("{opinion:?}")).or_default() += 1,
                Err(fault) => faults.push(fault),
            }
        }
    }
    println!("{counts:?}");
    assert!(faults.is_empty(), "{} queries are read otherwise:\n{}", faults.len(), faults.join("\n"));
    assert!(counts[&format!("{:?}", Opinion::Alike)] > 1_000, "{counts:?}");
}

/// The folder that `tests/stack/build prometheus` made.
fn testdata() -> Option<PathBuf> {
    if std::env::var_os("PLIMSOLL_NO_STACK").is_some() {
        eprintln!("LEFT OUT (PLIMSOLL_NO_STACK): Prometheus' own PromQL test data");
        return None;
    }
    let cache = || {
        let cache = std::env::var_os("PLIMSOLL_CACHE").map(PathBuf::from);
        cache.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/stack")).join("bin")
    };
    let folder = std::env::var_os("PLIMSOLL_STACK").map_or_else(cache, PathBuf::from).join("promql-testdata");
    assert!(folder.exists(), "{} is missing: run tests/stack/build prometheus", folder.display());
    Some(folder)
}

fn scripts(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "test"));
    files.sort();
    files
}

fn run(file: &str, text: &str, faults: &mut Vec<String>) -> Count {
    let mut count = Count::default();
    let mut store = Store::memory();
    let mut data = Data::default();
    for statement in script::read(text) {
        match &statement.what {
            What::Clear => (store, data) = (Store::memory(), Data::default()),
            What::Load { step, series, native } => load(&store, &mut data, *step, series, *native),
            What::Eval(eval) => match (check(&store, eval), data.class(eval)) {
                (Ok(again), Class::Core) => {
                    count.passed += 1;
                    count.again += usize::from(again);
                }
                (Ok(_), Class::Beyond) => count.beyond += 1,
                (Err(_), Class::Beyond) => count.refused += 1,
                (Err(fault), Class::Core) => {
                    count.failed += 1;
                    faults.push(format!("{file}:{}: {}: {fault}", statement.line, eval.query));
                }
            },
        }
    }
    count
}

fn load(store: &Store, data: &mut Data, step: i64, series: &[Result<Series, String>], native: bool) {
    // Of a series that one statement names twice the last holds.
    let mut last: BTreeMap<&Labels, &Series> = BTreeMap::new();
    for one in series {
        match one {
            Ok(series) => {
                data.plain(&series.labels, native);
                last.insert(&series.labels, series);
            }
            Err(text) => data.native(text),
        }
    }
    for series in last.into_values() {
        for (index, point) in series.points.iter().enumerate() {
            if let Some(value) = point {
                store.append(&series.labels, Sample { t: step * index as i64, v: *value });
            }
        }
    }
}

/// Tries an evaluation, and again in the ways in which it must not differ. True: at other times too.
fn check(store: &Store, eval: &Eval) -> Result<bool, String> {
    match eval.when {
        When::Instant(at) => {
            instant(store, eval, &eval.query, at)?;
            let Some(pinned) = pinned::pinned(&eval.query, at) else { return Ok(false) };
            let times = if at == 0 { vec![-1000, 0, 1000] } else { vec![-10 * at, 0, at / 5, at, 10 * at] };
            for time in times {
                instant(store, eval, &pinned, time).map_err(|fault| format!("as {pinned} at {time}: {fault}"))?;
            }
            Ok(true)
        }
        When::Range(from, to, step) => {
            let answer =
                Query::parse(&eval.query).and_then(|query| query::range(store, &query, (from, to, step), LIMITS));
            let Some(answer) = failed(eval, answer)? else { return Ok(false) };
            annotations(eval, &answer)?;
            matrix(eval, &answer.value, (from, to, step)).map(|()| false)
        }
        When::Never => Err("no time".into()),
    }
}

/// The answer, or `None` when it failed and was to fail.
fn failed(eval: &Eval, answer: Result<Answer, QueryError>) -> Result<Option<Answer>, String> {
    match (answer, &eval.fail) {
        (Ok(answer), None) => Ok(Some(answer)),
        (Ok(_), Some(_)) => Err("it was to fail".into()),
        (Err(error), None) => Err(error.to_string()),
        (Err(error), Some(wanted)) if wanted.fits(&error.to_string()) => Ok(None),
        // A fault of the text itself has its place before it, which differs.
        (Err(QueryError::Parse { what, .. }), Some(wanted)) if wanted.fits(&what) => Ok(None),
        (Err(error), Some(wanted)) => Err(format!("it fails with {error:?}, not with {wanted:?}")),
    }
}

fn instant(store: &Store, eval: &Eval, text: &str, at: i64) -> Result<(), String> {
    let parsed = Query::parse(text);
    let answer = parsed.clone().and_then(|query| query::instant(store, &query, at, LIMITS));
    let Some(answer) = failed(eval, answer)? else { return Ok(()) };
    annotations(eval, &answer)?;
    if let Some((from, to, step)) = eval.vector {
        return matrix(eval, &answer.value, (from, to, step));
    }
    vector(eval, &answer.value)?;
    let unsteady = ["start(", "end(", "range(", "step("].iter().any(|word| text.contains(word));
    if eval.text.is_some() || unsteady {
        return Ok(());
    }
    let minute = 60_000;
    let ranged = query::range(store, &parsed.unwrap(), (at - minute, at + minute, minute), LIMITS);
    let ranged = ranged.map_err(|error| format!("as a range: {error}"))?;
    if eval.ordered {
        return Ok(());
    }
    let Value::Matrix(rows) = ranged.value else { return Err("a range that is no matrix".into()) };
    let middle = rows.iter().filter_map(|row| {
        let sample = row.samples.iter().find(|sample| sample.t == at)?;
        Some(Element { labels: row.labels.clone(), sample: *sample })
    });
    let middle: Vec<Element> = middle.collect();
    let value = match (&answer.value, middle.first()) {
        (Value::Scalar(_), Some(first)) => Value::Scalar(first.sample),
        _ => Value::Vector(middle),
    };
    vector(eval, &value).map_err(|fault| format!("as a range: {fault}"))
}

#[test]
fn numbers_are_compared_as_prometheus_compares_them() {
    assert!(same(1.0, 1.000_000_5) && !same(1.0, 1.000_01));
    assert!(same(f64::NAN, f64::NAN) && !same(f64::NAN, plimsoll::store::sample::STALE));
    assert!(!same(0.0, 1e-300));
}
