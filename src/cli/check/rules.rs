//! The rule part of `plimsoll check`: the files of the config, or any others.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::alert::rules::{self, Group, Kind, Loaded, SHIPPED, Warning};
use crate::base::yaml::{Errors, visible};
use crate::config::Config;
use crate::signal::metrics::{Desc, Kind as Metric};
use crate::store::translate;

/// What was found.
pub(super) struct Checked {
    /// For people, when there are no errors.
    pub(super) lines: Vec<String>,
    pub(super) errors: Vec<Errors>,
}

/// The rules that an agent with this config would evaluate.
pub(super) fn of_config(config: &Config, catalogue: &[&'static [Desc]]) -> Checked {
    let Some(alerts) = config.alerts.on() else {
        return Checked { lines: vec!["  rules         off\n".into()], errors: Vec::new() };
    };
    let Loaded { groups, fleet, warnings, errors } = rules::load(Path::new(SHIPPED), &alerts.rules);
    let mut told = vec![format!("  rules         {}", count(&groups))];
    if !fleet.is_empty() {
        told.push(format!("  for the stack {}", count(&fleet)));
    }
    told.extend(notes(&warnings, &groups, catalogue));
    Checked { lines: shown(&told), errors }
}

/// The rules in `files`.
pub(super) fn files(files: &[PathBuf], catalogue: &[&'static [Desc]]) -> Checked {
    let (mut told, mut errors) = (Vec::new(), Vec::new());
    for file in files {
        match rules::read(file) {
            Ok((groups, warnings)) => {
                told.push(format!("{}: fine: {}", file.display(), count(&groups)));
                told.extend(notes(&warnings, &groups, catalogue));
            }
            Err(error) => errors.push(error),
        }
    }
    Checked { lines: shown(&told), errors }
}

fn count(groups: &[Group]) -> String {
    let all = groups.iter().flat_map(|group| &group.rules);
    let records = all.clone().filter(|rule| matches!(rule.kind, Kind::Record)).count();
    let alerts = all.count() - records;
    let s = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    format!("{} and {} in {}", s(alerts, "alert"), s(records, "recording rule"), s(groups.len(), "group"))
}

fn notes(warnings: &[Warning], groups: &[Group], catalogue: &[&'static [Desc]]) -> Vec<String> {
    let mut out: Vec<String> = warnings.iter().map(|warning| format!("  warning: {warning}")).collect();
    let known = known(groups, catalogue);
    for group in groups {
        for rule in &group.rules {
            let strange = rule.expr.names().into_iter().filter(|name| !known.contains(*name));
            out.extend(strange.map(|name| {
                let (file, line) = (group.file.display(), rule.line);
                format!("  hint: {file}:{line}: plimsoll itself emits no {name}: something else must")
            }));
        }
    }
    out
}

/// The names that rules can ask for on a box where nothing else sends metrics.
fn known(groups: &[Group], catalogue: &[&'static [Desc]]) -> BTreeSet<String> {
    let mut out: BTreeSet<String> = ["up", "ALERTS", "ALERTS_FOR_STATE", "target_info"].map(Into::into).into();
    for desc in catalogue.iter().copied().flatten() {
        let Some(name) = translate::metric_name(desc.name, desc.kind, desc.unit) else { continue };
        if desc.kind == Metric::Histogram {
            out.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}")));
        }
        out.insert(name);
    }
    let rules = groups.iter().flat_map(|group| &group.rules);
    out.extend(rules.filter(|rule| matches!(rule.kind, Kind::Record)).map(|rule| rule.name.clone()));
    out
}

fn shown(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| line.chars().map(visible).chain(['\n']).collect()).collect()
}
