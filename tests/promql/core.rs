//! What needs native histograms or experimental features, or is owed, told by what a statement uses.

use std::collections::BTreeSet;

use plimsoll::store::Labels;

use super::script::Eval;

/// Where an evaluation belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// It must pass.
    Core,
    /// Prometheus answers it by default; Plimsoll refuses it for now.
    Owed,
    /// It needs native histograms or experimental features.
    Beyond,
}

/// What the section has loaded.
#[derive(Debug, Default)]
pub(crate) struct Data {
    /// Names of metrics with native histograms.
    native: BTreeSet<String>,
}

/// Functions behind `promql-experimental-functions`, and modifiers behind other flags.
const EXPERIMENTAL: &[&str] = &[
    "double_exponential_smoothing",
    "histogram_quantiles",
    "info",
    "integral",
    "limitk",
    "limit_ratio",
    "mad_over_time",
    "max_of",
    "min_of",
    "range",
    "sort_by_label",
    "sort_by_label_desc",
    "start_timestamp",
    "step",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
    "fill",
    "fill_left",
    "fill_right",
    "__type__",
    "__unit__",
];

/// Modifiers that are stable since Prometheus 3.16 and not answered here yet.
const OWED: &[&str] = &["anchored", "smoothed"];

/// Functions of native histograms.
const NATIVE: &[&str] =
    &["histogram_avg", "histogram_count", "histogram_stddev", "histogram_stdvar", "histogram_sum", "histogram_trim"];

impl Data {
    /// A series that is read; `native`: its classic buckets are kept as a native histogram too.
    pub(crate) fn plain(&mut self, labels: &Labels, native: bool) {
        if native && let Some(base) = labels.name().strip_suffix("_bucket") {
            self.native.insert(base.to_owned());
        }
    }

    /// A series that is not: its name.
    pub(crate) fn native(&mut self, text: &str) {
        let name = text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).next().unwrap_or_default();
        self.native.insert(name.to_owned());
    }

    /// Where an evaluation belongs.
    pub(crate) fn class(&self, eval: &Eval) -> Class {
        let query = &eval.query;
        let words: Vec<&str> = query
            .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
            .filter(|word| !word.is_empty())
            .collect();
        let uses = |list: &[&str]| words.iter().any(|word| list.contains(&word.to_lowercase().as_str()));
        // start() and end() are experimental as functions, and plain behind an `@`.
        let bare = query.replace("@ start()", "").replace("@ end()", "").replace("@start()", "").replace("@end()", "");
        let times = bare.contains("start()") || bare.contains("end()");
        let nameless =
            query.contains("__name__") || query.starts_with('{') || query.contains("({") || query.contains(" {");
        let native = eval.native
            || words.iter().any(|word| self.native.contains(*word))
            || (nameless && !self.native.is_empty())
            || query.contains("</")
            || query.contains(">/");
        // Names with dots and letters beyond ASCII without quotes stand behind a flag.
        let unquoted = unquoted(query);
        if native || unquoted || times || uses(NATIVE) {
            Class::Beyond
        } else if calculated_duration(query) {
            Class::Owed
        } else if uses(EXPERIMENTAL) {
            Class::Beyond
        } else if uses(OWED) {
            Class::Owed
        } else {
            Class::Core
        }
    }
}

/// A duration that is calculated: `[5m + 1m]`, `offset (1m * 2)`, `offset -step()`; stable since Prometheus 3.16.
fn calculated_duration(query: &str) -> bool {
    let plain = |text: &str| {
        let text = text.trim().trim_start_matches(['-', '+']);
        text.chars().all(|c| c.is_alphanumeric() || c == '.' || c == '_')
    };
    let ranges = query.split('[').skip(1).filter_map(|rest| rest.split(']').next());
    let ranges = ranges.flat_map(|range| range.split(':')).any(|part| !plain(part));
    let offset = query.split("offset").skip(1).any(|rest| {
        let rest = rest.trim_start().trim_start_matches(['-', '+']).trim_start();
        ["(", "step(", "range(", "min_of(", "max_of("].iter().any(|start| rest.to_lowercase().starts_with(start))
    });
    ranges || offset
}

/// A name with a dot or a letter beyond ASCII outside of quotes.
fn unquoted(query: &str) -> bool {
    let mut quote = None;
    let mut before = ' ';
    let mut word = String::new();
    for c in query.chars() {
        match quote {
            Some(open) if c == open && before != '\\' => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None if c.is_alphanumeric() || matches!(c, '_' | ':' | '.') => word.push(c),
            None => word.clear(),
        }
        let dotted = word.contains('.') && word.starts_with(|c: char| c.is_alphabetic() || c == '_');
        if dotted || !word.is_ascii() {
            return true;
        }
        before = c;
    }
    false
}
