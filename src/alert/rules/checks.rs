//! What a rule file must hold beyond its shape, each fault with its place; and the file as groups.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::Duration;

use super::raw::{self, Texts};
use super::{Group, Kind, Rule, Warning, duration};
use crate::alert::template::Template;
use crate::base::fault::{Fault, join, step};
use crate::base::yaml::{self, Errors};
use crate::query::{Query, QueryError};
use crate::store::labels::NAME;

/// Reads the text of a rule file; `file` is only its name.
///
/// # Errors
/// All that is wrong, each with its place.
pub fn parse(file: &Path, text: &str) -> Result<(Vec<Group>, Vec<Warning>), Errors> {
    let (text, second) = first_document(text);
    let mut groups = Vec::new();
    let mut warnings = Vec::new();
    let mut tell = |line: usize, what: String| warnings.push(Warning { file: file.to_owned(), line, what });
    if let Some(line) = second {
        tell(line, "a second document (`---`): only the first one is read".into());
    }
    let raw: raw::File = yaml::parse(file, text, |raw: &raw::File| {
        let mut check = Check { file, faults: Vec::new() };
        groups = check.file(raw);
        check.faults
    })?;
    let lines = lines(text);
    for (at, group) in groups.iter_mut().enumerate() {
        for (number, rule) in group.rules.iter_mut().enumerate() {
            rule.line = lines.get(&(at, number)).copied().unwrap_or(1);
        }
    }
    for (group, raw) in groups.iter().zip(raw.groups.iter().flatten()) {
        if raw.source_tenants.is_some() {
            tell(0, format!("group {:?}: `source_tenants` means nothing here", group.name));
        }
        if raw.align_evaluation_time_on_interval.is_some() {
            tell(0, format!("group {:?}: `align_evaluation_time_on_interval` means nothing here", group.name));
        }
        let mut seen = HashSet::new();
        for rule in &group.rules {
            let labels: Vec<_> = rule.labels.iter().map(|(name, text)| (name, text.text())).collect();
            if !seen.insert((matches!(rule.kind, Kind::Record), &rule.name, rule.expr.text(), labels)) {
                tell(rule.line, format!("the rule {:?} stands in its group a second time", rule.name));
            }
        }
    }
    Ok((groups, warnings))
}

/// The text up to a second document, and the line that it begins in.
fn first_document(text: &str) -> (&str, Option<usize>) {
    let (mut at, mut seen) = (0, false);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let mark = line.starts_with("---") && line[3..].starts_with([' ', '\n', '\r']);
        if mark && seen {
            return (&text[..at], Some(number + 1));
        }
        seen |= mark || !(line.trim().is_empty() || line.starts_with(['#', '%']));
        at += line.len();
    }
    (text, None)
}

/// The line of each rule, by the numbers of group and rule.
fn lines(text: &str) -> BTreeMap<(usize, usize), usize> {
    let places = yaml::lines(text);
    let mut out = BTreeMap::new();
    for (key, line) in places {
        let Some(rest) = key.strip_prefix("groups[") else { continue };
        let Some((group, rest)) = rest.split_once("].rules[") else { continue };
        let Some(rule) = rest.strip_suffix(']') else { continue };
        if let (Ok(group), Ok(rule)) = (group.parse(), rule.parse()) {
            out.insert((group, rule), line);
        }
    }
    out
}

struct Check<'a> {
    file: &'a Path,
    faults: Vec<Fault>,
}

impl Check<'_> {
    fn fault(&mut self, key: impl Into<String>, what: impl Into<String>, mend: impl Into<String>) {
        self.faults.push(Fault::new(key, what, mend));
    }

    fn file(&mut self, raw: &raw::File) -> Vec<Group> {
        let mut names = HashSet::new();
        let mut out = Vec::new();
        for (at, raw) in raw.groups.iter().flatten().enumerate() {
            let key = format!("groups[{at}]");
            let name = raw.name.clone().unwrap_or_default();
            if name.is_empty() {
                self.fault(join(&key, "name"), "the group has no name", "`name: …`, once in its file");
            } else if !names.insert(name.clone()) {
                let what = format!("the group {name:?} stands in this file a second time");
                self.fault(join(&key, "name"), what, "give it another name, or put both into one");
            }
            out.push(self.group(&key, name, raw));
        }
        out
    }

    fn group(&mut self, key: &str, name: String, raw: &raw::Group) -> Group {
        let interval = self.duration(join(key, "interval"), raw.interval.as_deref());
        let query_offset = self.duration(join(key, "query_offset"), raw.query_offset.as_deref()).unwrap_or_default();
        let limit = usize::try_from(raw.limit.unwrap_or(0)).unwrap_or_else(|_| {
            self.fault(join(key, "limit"), "the limit is negative", "0 means none");
            0
        });
        let labels_key = join(key, "labels");
        let labels = texts(&raw.labels);
        self.label_names(&labels_key, &labels);
        let mut rules = Vec::new();
        for (at, raw) in raw.rules.iter().flatten().enumerate() {
            rules.extend(self.rule(&join(key, &format!("rules[{at}]")), raw, (&labels_key, &labels)));
        }
        let interval = interval.filter(|interval| !interval.is_zero());
        Group { file: self.file.to_owned(), name, interval, limit, query_offset, rules }
    }

    fn rule(&mut self, key: &str, raw: &raw::Rule, (above, group): (&str, &[(String, String)])) -> Option<Rule> {
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let (record, alert) = (filled(&raw.record), filled(&raw.alert));
        let hold = self.duration(join(key, "for"), raw.hold.as_deref()).unwrap_or_default();
        let keep = self.duration(join(key, "keep_firing_for"), raw.keep_firing_for.as_deref()).unwrap_or_default();
        let expr = self.expr(&join(key, "expr"), raw.expr.as_deref().unwrap_or_default());
        let own = texts(&raw.labels);
        self.label_names(&join(key, "labels"), &own);
        let alerts = record.is_none();
        let mut labels: BTreeMap<String, Template> = BTreeMap::new();
        for (name, text) in group.iter().filter(|(name, _)| own.iter().all(|(own, _)| own != name)) {
            labels.extend(self.template(above, name, text, alerts));
        }
        for (name, text) in &own {
            labels.extend(self.template(&join(key, "labels"), name, text, alerts));
        }
        let labels = labels.into_iter().collect();
        let (kind, name) = match (record, alert) {
            (Some(_), Some(_)) => {
                self.fault(join(key, "alert"), "one rule has both `record` and `alert`", "make two rules of it");
                return None;
            }
            (None, None) => {
                self.fault(key, "the rule has neither `record` nor `alert`", "exactly one of them");
                return None;
            }
            (Some(name), None) => {
                self.record(key, &name, raw, (hold, keep));
                (Kind::Record, name)
            }
            (None, Some(name)) => {
                let annotations_key = join(key, "annotations");
                let written = texts(&raw.annotations);
                let mut annotations = Vec::new();
                for (name, text) in &written {
                    if name.is_empty() {
                        self.fault(&annotations_key, "an annotation has no name", "");
                    }
                    annotations.extend(self.template(&annotations_key, name, text, true));
                }
                (Kind::Alert { hold, keep, annotations }, name)
            }
        };
        Some(Rule { kind, name, expr: expr?, labels, line: 0 })
    }

    /// What a recording rule may not have.
    fn record(&mut self, key: &str, name: &str, raw: &raw::Rule, (hold, keep): (Duration, Duration)) {
        const ALERTS: &str = "only alerts have it: take it away";
        if name.contains(['{', '}']) {
            let what = format!("{name:?} is no name of a series: it has braces");
            self.fault(join(key, "record"), what, "an expression stands in `expr`");
        }
        let given = [
            ("for", !hold.is_zero()),
            ("keep_firing_for", !keep.is_zero()),
            ("annotations", raw.annotations.as_ref().is_some_and(|texts| !texts.is_empty())),
        ];
        for (name, given) in given {
            if given {
                self.fault(join(key, name), format!("`{name}` in a recording rule"), ALERTS);
            }
        }
    }

    fn duration(&mut self, key: String, text: Option<&str>) -> Option<Duration> {
        let text = text.filter(|text| !text.is_empty())?;
        let parsed = duration::parse(text);
        if parsed.is_none() {
            self.fault(key, format!("{text:?} is no duration"), duration::LIKE);
        }
        parsed
    }

    fn expr(&mut self, key: &str, text: &str) -> Option<Query> {
        if text.trim().is_empty() {
            self.fault(key, "the rule has no expression", "`expr: …`");
            return None;
        }
        match Query::parse(text) {
            Ok(query) => Some(query),
            Err(QueryError::Parse { line, column, what }) => {
                self.faults.push(Fault::new(key, format!("no PromQL: {what}"), "").inside(line, column));
                None
            }
            Err(error) => {
                self.fault(key, error.to_string(), "");
                None
            }
        }
    }

    fn label_names(&mut self, key: &str, labels: &[(String, String)]) {
        for (name, _) in labels {
            if name.is_empty() {
                self.fault(key, "a label has no name", "");
            } else if name == NAME {
                self.fault(join(key, name), "`__name__` is no label to set", "the name stands in `record` or `alert`");
            }
        }
    }

    fn template(&mut self, key: &str, name: &str, text: &str, alerts: bool) -> Option<(String, Template)> {
        if !alerts {
            return Some((name.to_owned(), Template::literal(text)));
        }
        match Template::parse(text) {
            Ok(template) => Some((name.to_owned(), template)),
            Err(error) => {
                let (line, column) = place(text, error.at);
                let key = join(key, &step(name));
                self.faults.push(Fault::new(key, format!("no template: {}", error.what), "").inside(line, column));
                None
            }
        }
    }
}

/// Line and column of a byte, from 1, in characters.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}

fn texts(texts: &Texts) -> Vec<(String, String)> {
    let all = texts.iter().flatten();
    all.map(|(name, text)| (name.clone(), text.clone().unwrap_or_default())).collect()
}
