//! What needs native histograms or experimental features, told by what a statement uses.

use std::collections::BTreeSet;

use plimsoll::store::Labels;

use super::script::Eval;

/// Where an evaluation belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// It must pass.
    Core,
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
        // step(), range(), min_of() and max_of() are experimental as functions, and plain in durations.
        let beside = beside_durations(query);
        let uses = |list: &[&str]| words(&beside).any(|word| list.contains(&word.to_lowercase().as_str()));
        // start() and end() are experimental as functions, and plain behind an `@`.
        let bare = query.replace("@ start()", "").replace("@ end()", "").replace("@start()", "").replace("@end()", "");
        let times = bare.contains("start()") || bare.contains("end()");
        let nameless =
            query.contains("__name__") || query.starts_with('{') || query.contains("({") || query.contains(" {");
        let native = eval.native
            || words(query).any(|word| self.native.contains(word))
            || (nameless && !self.native.is_empty())
            || query.contains("</")
            || query.contains(">/");
        // Names with dots and letters beyond ASCII without quotes stand behind a flag.
        let unquoted = unquoted(query);
        if native || unquoted || times || uses(NATIVE) || uses(EXPERIMENTAL) { Class::Beyond } else { Class::Core }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).filter(|word| !word.is_empty())
}

/// The query without what stands in brackets, and without what is calculated behind `offset`.
fn beside_durations(query: &str) -> String {
    let lower = query.to_lowercase();
    let mut out = String::new();
    let mut rest = lower.as_str();
    loop {
        let (bracket, offset) = (rest.find('['), rest.find("offset"));
        let Some(at) = bracket.into_iter().chain(offset).min() else { return out + rest };
        out.push_str(&rest[..at]);
        out.push(' ');
        if Some(at) == bracket {
            rest = rest[at..].find(']').map_or("", |end| &rest[at + end + 1..]);
            continue;
        }
        let behind = rest[at + "offset".len()..].trim_start_matches([' ', '-', '+']);
        let calculated = ["(", "step(", "range(", "min_of(", "max_of("].iter().any(|start| behind.starts_with(start));
        rest = if calculated { &behind[closing(behind)..] } else { behind };
    }
}

/// Where the first parenthesis of `text` is closed.
fn closing(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => return at + 1,
            ')' => depth -= 1,
            _ => {}
        }
    }
    text.len()
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
