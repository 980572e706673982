//! What rules and boards may ask for: every metric that is emitted or scraped, with the labels that its series have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use plimsoll::alert::rules::{Kind, Rule, load};
use plimsoll::query::{Query, notation};
use plimsoll::store::translate;

/// The labels of one kind of series, without job and instance.
pub(crate) type Labels = BTreeSet<String>;

/// What there is, by the names of Prometheus.
pub(crate) struct Catalogue {
    series: BTreeMap<String, Vec<Labels>>,
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The rules of `alerts/`, the fleet's among them.
pub(crate) fn shipped_rules() -> Vec<(String, Rule)> {
    let loaded = load(&root().join("alerts"), &[]);
    assert!(loaded.errors.is_empty() && loaded.warnings.is_empty(), "{:?} {:?}", loaded.errors, loaded.warnings);
    let groups = loaded.groups.into_iter().chain(loaded.fleet);
    let file = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    let rules = groups.flat_map(|group| group.rules.into_iter().map(move |rule| (file(&group.file), rule)));
    rules.collect()
}

/// The metrics that the agent can emit, by the names of Prometheus.
pub(crate) fn emitted() -> BTreeSet<String> {
    let all = plimsoll::cli::catalogue().into_iter().flatten();
    all.filter_map(|desc| translate::metric_name(desc.name, desc.kind, desc.unit)).collect()
}

/// The table of labels: of each metric the kinds of series that it has.
pub(crate) fn table() -> BTreeMap<String, Vec<Labels>> {
    let text = fs::read_to_string(root().join("tests/fixtures/catalogue/labels.txt")).unwrap();
    let mut table: BTreeMap<String, Vec<Labels>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = line.strip_suffix('}').and_then(|line| line.split_once('{')).unwrap();
        let labels = labels.split(',').filter(|label| !label.is_empty()).map(str::to_owned).collect();
        table.entry(name.to_owned()).or_default().push(labels);
    }
    table
}

/// What is wrong when a series of `name` has these labels: nothing for metrics that the table leaves out.
pub(crate) fn differs(table: &BTreeMap<String, Vec<Labels>>, name: &str, labels: &Labels) -> Option<String> {
    let known = table.get(name)?;
    let told = || format!("{name} has {labels:?}, tests/fixtures/catalogue/labels.txt says {known:?}");
    (!known.contains(labels)).then(told)
}

impl Catalogue {
    /// Of the agent's own table, of what was recorded of others, and of what shipped rules record.
    pub(crate) fn read() -> Self {
        let mut series = table();
        let emitted = emitted();
        let stale: Vec<_> = series.keys().filter(|name| !emitted.contains(*name)).collect();
        assert!(stale.is_empty(), "tests/fixtures/catalogue/labels.txt names what is not emitted: {stale:?}");
        for entry in fs::read_dir(root().join("tests/fixtures/scrape")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "prom") && !path.ends_with("types.prom") {
                for (name, labels) in exposed(&fs::read_to_string(&path).unwrap()) {
                    series.entry(name).or_default().push(labels);
                }
            }
        }
        for (_, rule) in shipped_rules().iter().filter(|(_, rule)| matches!(rule.kind, Kind::Record)) {
            series.entry(rule.name.clone()).or_default().push(Labels::new());
        }
        let alerts = ["alertname", "alertstate", "severity", "stage"].map(str::to_owned);
        series.entry("ALERTS".into()).or_default().push(alerts.into());
        Self { series }
    }

    /// What `query` asks for that is not there. `made` are labels that the query makes by itself.
    pub(crate) fn faults(&self, query: &Query, made: &[&str]) -> Vec<String> {
        let mut faults = Vec::new();
        for (name, matchers) in query.demands() {
            let Some(name) = name else {
                faults.push("a selector without a name".to_owned());
                continue;
            };
            let Some(known) = self.series.get(name) else {
                faults.push(format!("{name} is neither emitted with its labels in the table nor recorded of others"));
                continue;
            };
            let asked: Labels =
                matchers.iter().map(|matcher| matcher.name.clone()).filter(|name| !shared(name)).collect();
            if !known.iter().any(|labels| asked.is_subset(labels)) {
                faults.push(format!("no series of {name} has all of {asked:?}: there are {known:?}"));
            }
        }
        let has = self.labels(query);
        let strange = query.groups().into_iter().filter(|label| !has.contains(*label) && !made.contains(label));
        faults.extend(strange.map(|label| format!("it groups by {label}, which none of its metrics has")));
        faults
    }

    /// All labels that the series of `query` can have.
    pub(crate) fn labels(&self, query: &Query) -> Labels {
        let known = query.names().into_iter().filter_map(|name| self.series.get(name)).flatten().flatten().cloned();
        known.chain(["job".to_owned(), "instance".to_owned()]).collect()
    }
}

/// Labels that every series has.
fn shared(label: &str) -> bool {
    matches!(label, "job" | "instance")
}

/// Names and labels of what a text exposes.
fn exposed(text: &str) -> BTreeSet<(String, Labels)> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let read = |line: &str| {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let labels = notation::labels(series).unwrap_or_else(|error| panic!("{line}: {error}"));
        let (names, others): (Vec<_>, Vec<_>) = labels.iter().partition(|(name, _)| *name == "__name__");
        (names[0].1.to_owned(), others.iter().map(|(name, _)| (*name).to_owned()).collect())
    };
    lines.map(read).collect()
}
