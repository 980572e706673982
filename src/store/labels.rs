//! The label set of a series, its name among them, as Prometheus has it.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::{self, Write};
use std::sync::Arc;

use crate::base::go::quoted;

/// The label that holds the metric's name.
pub const NAME: &str = "__name__";

/// One label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Label {
    /// Its name.
    pub name: Arc<str>,
    /// Its value, never empty.
    pub value: Arc<str>,
}

impl Ord for Label {
    /// By name, then by value. Words of the store are shared, so most are the same without a look at them.
    fn cmp(&self, other: &Self) -> Ordering {
        let words = |a: &Arc<str>, b: &Arc<str>| if Arc::ptr_eq(a, b) { Ordering::Equal } else { a.cmp(b) };
        words(&self.name, &other.name).then_with(|| words(&self.value, &other.value))
    }
}

impl PartialOrd for Label {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Labels sorted by name, each once, none with an empty value. Clones share them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[Label]>);

impl Default for Labels {
    fn default() -> Self {
        Self(Arc::from([]))
    }
}

impl Labels {
    /// Of any pairs: sorted, of a name given twice the last, without empty values.
    pub fn new<N: Into<Arc<str>>, V: Into<Arc<str>>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        Self::from_labels(pairs.into_iter().map(|(name, value)| Label { name: name.into(), value: value.into() }))
    }

    fn from_labels(labels: impl IntoIterator<Item = Label>) -> Self {
        let mut all: Vec<Label> = labels.into_iter().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        // The sort is stable: of equal names the last is the one that was given last.
        all.reverse();
        all.dedup_by(|a, b| a.name == b.name);
        all.reverse();
        all.retain(|label| !label.value.is_empty());
        Self(all.into())
    }

    /// Of labels that are sorted and whole already.
    pub(super) fn shared(labels: impl Iterator<Item = Label>) -> Self {
        Self(labels.collect())
    }

    /// The value, empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.find(name).map_or("", |at| &self.0[at].value)
    }

    /// The metric's name, empty where there is none.
    pub fn name(&self) -> &str {
        self.get(NAME)
    }

    /// Names and values in the order of the names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|label| (&*label.name, &*label.value))
    }

    /// The labels themselves.
    pub fn as_slice(&self) -> &[Label] {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same with `name` set to `value`; taken away where `value` is empty.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let (before, rest) = self.0.split_at(self.0.partition_point(|label| &*label.name < name));
        let after = match rest.split_first() {
            Some((same, after)) if &*same.name == name => after,
            _ => rest,
        };
        let new = (!value.is_empty()).then(|| Label { name: name.into(), value: value.into() });
        let mut all = Vec::with_capacity(self.0.len() + 1);
        all.extend_from_slice(before);
        all.extend(new);
        all.extend_from_slice(after);
        Self(all.into())
    }

    /// Only those of which `keep` says so.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&str) -> bool) -> Self {
        if self.0.iter().all(|label| keep(&label.name)) {
            return self.clone();
        }
        Self(self.0.iter().filter(|label| keep(&label.name)).cloned().collect())
    }

    /// All but the metric's name.
    #[must_use]
    pub fn without_name(&self) -> Self {
        self.filter(|name| name != NAME)
    }

    fn find(&self, name: &str) -> Option<usize> {
        // Few labels: looking through them is as fast as halving.
        self.0.iter().position(|label| &*label.name == name)
    }
}

impl fmt::Display for Labels {
    /// `name{a="b", c="d"}` as Prometheus writes it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())?;
        let mut others = self.iter().filter(|(name, _)| *name != NAME).peekable();
        if others.peek().is_none() {
            return if self.is_empty() { out.write_str("{}") } else { Ok(()) };
        }
        out.write_char('{')?;
        for (index, (name, value)) in others.enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            let bare = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && !name.starts_with(|c: char| c.is_ascii_digit());
            let name = if bare { Cow::Borrowed(name) } else { Cow::Owned(quoted(name)) };
            write!(out, "{comma}{name}={}", quoted(value))?;
        }
        out.write_char('}')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_once_and_never_empty() {
        let labels = Labels::new([("b", "1"), ("a", "2"), ("b", "3"), ("c", "")]);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")], "of a name given twice the last");
        assert_eq!(labels.with("a", "").iter().collect::<Vec<_>>(), [("b", "3")]);
        assert_eq!(labels.with("__name__", "m").to_string(), "m{a=\"2\", b=\"3\"}");
        assert_eq!(Labels::default().to_string(), "{}");
    }
}
