//! The shipped rules over what was recorded, as promtool evaluates them: the pages of the stage fire with the fault and
//! not before, and no other page does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::Stage;
use super::harness::{self, escaped};
use super::prometheus::Prometheus;
use super::replay::Replay;

/// Between two rounds of the rules, as the agent has it by default.
const INTERVAL: u64 = 15;

pub(crate) fn faults(stage: &Stage, replay: &Replay, prometheus: &Prometheus) -> Option<String> {
    let promtool = harness::binary("promtool").expect("promtool stands beside Prometheus");
    let alerts = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts");
    let names = (1..=7).map(|stage| format!("stage-{stage}")).chain(["agent".to_owned()]);
    let files: Vec<String> = names.map(|name| alerts.join(format!("{name}.yaml")).display().to_string()).collect();
    let (begin, end) = (replay.begin / 1_000_000_000, replay.end / 1_000_000_000);
    let mut test = format!(
        "rule_files: {files:?}\nevaluation_interval: {INTERVAL}s\ntests:\n  - interval: {INTERVAL}s\n    input_series:\n"
    );
    let mut count = 0;
    for (series, values) in series(&files, prometheus, begin, end) {
        writeln!(test, "      - series: '{}'\n        values: '{values}'", series.replace('\'', "''")).unwrap();
        count += 1;
    }
    assert!(count > 0, "the rules of stage {} ask for nothing that was recorded", stage.number);
    let last = (end - begin) / INTERVAL * INTERVAL;
    // The round before the fault: what is in it was there all the time.
    let before = (replay.fault / 1_000_000_000 - begin) / INTERVAL * INTERVAL;
    test.push_str("    promql_expr_test:\n");
    expect(&mut test, before, before, &BTreeSet::new());
    expect(&mut test, last, last - before, &stage.pages.iter().copied().collect());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("test.yaml");
    fs::write(&file, test).unwrap();
    let output = Command::new(promtool).args(["test", "rules"]).arg(&file).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (!output.status.success()).then(|| format!("the rules ({before} s, then the fault): {said}"))
}

/// That exactly these pages fired within `span` seconds before `at`.
fn expect(test: &mut String, at: u64, span: u64, pages: &BTreeSet<&str>) {
    let expr =
        format!("group by (alertname) (max_over_time(ALERTS{{alertstate=\"firing\", severity=\"page\"}}[{span}s]))");
    let samples: Vec<String> =
        pages.iter().map(|page| format!("{{ labels: '{{alertname=\"{page}\"}}', value: 1 }}")).collect();
    writeln!(test, "      - {{ expr: '{expr}', eval_time: {at}s, exp_samples: [ {} ] }}", samples.join(", ")).unwrap();
}

/// What the rules ask for and Prometheus has, in promtool's notation: a value for each round.
fn series(files: &[String], prometheus: &Prometheus, begin: u64, end: u64) -> BTreeMap<String, String> {
    let word = regex::Regex::new(r"[a-z][a-z0-9_]+").unwrap();
    let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let asked: BTreeSet<&str> = word.find_iter(&text).map(|word| word.as_str()).collect();
    let path = "/api/v1/label/__name__/values";
    let names: Value = serde_json::from_str(&harness::get(prometheus.port, path, &[]).unwrap()).unwrap();
    let mut all = BTreeMap::new();
    for name in names["data"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()) {
        if !asked.contains(name) {
            continue;
        }
        let query = escaped(&format!("{name}[{}s]", end - begin + 1));
        let path = format!("/api/v1/query?query={query}&time={end}");
        let answer: Value = serde_json::from_str(&harness::get(prometheus.port, &path, &[]).unwrap()).unwrap();
        for series in answer["data"]["result"].as_array().unwrap() {
            all.insert(notation(&series["metric"]), values(&series["values"], begin, end));
        }
    }
    all
}

fn notation(labels: &Value) -> String {
    let pairs = labels.as_object().unwrap().iter().filter(|(name, _)| *name != "__name__");
    let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}={value}")).collect();
    format!("{}{{{}}}", labels["__name__"].as_str().unwrap(), pairs.join(","))
}

/// The newest sample of each round, `_` where there is none.
fn values(samples: &Value, begin: u64, end: u64) -> String {
    let mut rounds = vec![None; ((end - begin) / INTERVAL + 1) as usize];
    for sample in samples.as_array().unwrap() {
        let at = sample[0].as_f64().unwrap() - begin as f64;
        rounds[(at / INTERVAL as f64).ceil() as usize] = sample[1].as_str();
    }
    let words = rounds.into_iter().map(|value| value.map_or_else(|| "_".to_owned(), |value| value.replace("e+", "e")));
    words.collect::<Vec<_>>().join(" ")
}
