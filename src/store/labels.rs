//! The label set of a series, its name among them, as Prometheus has it.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::{self, Write};
use std::hash::{Hash, Hasher};
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

/// Labels sorted by name, each once, none with an empty value. Clones share them, and so do those of which only labels
/// in front were taken away: that is where a metric's name usually stands.
#[derive(Clone)]
pub struct Labels {
    shared: Arc<[Label]>,
    /// So many of the shared ones are not among these.
    from: usize,
}

impl Default for Labels {
    fn default() -> Self {
        Self::all(Arc::from([]))
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Labels {}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Labels").field(&self.as_slice()).finish()
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
        Self::all(all.into())
    }

    fn all(shared: Arc<[Label]>) -> Self {
        Self { shared, from: 0 }
    }

    /// Of labels that are sorted and whole already.
    pub(super) fn shared(labels: impl Iterator<Item = Label>) -> Self {
        Self::all(labels.collect())
    }

    /// The value, empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.find(name).map_or("", |at| &self.as_slice()[at].value)
    }

    /// The metric's name, empty where there is none.
    pub fn name(&self) -> &str {
        self.get(NAME)
    }

    /// Names and values in the order of the names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.as_slice().iter().map(|label| (&*label.name, &*label.value))
    }

    /// The labels themselves.
    pub fn as_slice(&self) -> &[Label] {
        &self.shared[self.from..]
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// The same with `name` set to `value`; taken away where `value` is empty.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let labels = self.as_slice();
        let (before, rest) = labels.split_at(labels.partition_point(|label| &*label.name < name));
        let after = match rest.split_first() {
            Some((same, after)) if &*same.name == name => after,
            _ => rest,
        };
        let new = (!value.is_empty()).then(|| Label { name: name.into(), value: value.into() });
        let mut all = Vec::with_capacity(labels.len() + 1);
        all.extend_from_slice(before);
        all.extend(new);
        all.extend_from_slice(after);
        Self::all(all.into())
    }

    /// Only those of which `keep` says so.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&str) -> bool) -> Self {
        let labels = self.as_slice();
        let front = labels.iter().take_while(|label| !keep(&label.name)).count();
        if labels[front..].iter().all(|label| keep(&label.name)) {
            return Self { shared: Arc::clone(&self.shared), from: self.from + front };
        }
        Self::all(labels.iter().filter(|label| keep(&label.name)).cloned().collect())
    }

    /// All but the metric's name.
    #[must_use]
    pub fn without_name(&self) -> Self {
        self.filter(|name| name != NAME)
    }

    fn find(&self, name: &str) -> Option<usize> {
        // Few labels: looking through them is as fast as halving.
        self.as_slice().iter().position(|label| &*label.name == name)
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
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

    use super::*;

    #[test]
    fn labels_are_sorted_once_and_never_empty() {
        let labels = Labels::new([("b", "1"), ("a", "2"), ("b", "3"), ("c", "")]);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")], "of a name given twice the last");
        assert_eq!(labels.with("a", "").iter().collect::<Vec<_>>(), [("b", "3")]);
        assert_eq!(labels.with("__name__", "m").to_string(), "m{a=\"2\", b=\"3\"}");
        assert_eq!(Labels::default().to_string(), "{}");
    }

    #[test]
    fn without_its_name_a_label_set_is_like_one_that_never_had_one() {
        let hash = |labels: &Labels| BuildHasherDefault::<DefaultHasher>::default().hash_one(labels);
        for others in [vec![], vec![("a", "1")], vec![("A", "1"), ("b", "2")]] {
            let never = Labels::new(others.clone());
            let named = Labels::new(others.iter().copied().chain([(NAME, "m")]));
            let (without, again) = (named.without_name(), never.with(NAME, "m"));
            assert_eq!((&without, without.cmp(&never), hash(&without)), (&never, Ordering::Equal, hash(&never)));
            assert_eq!((format!("{without:?}"), without.name()), (format!("{never:?}"), ""));
            assert_eq!((&again, &without.with(NAME, "m"), again.name()), (&named, &named, "m"));
            assert_eq!(without.filter(|name| name != "b"), never.filter(|name| name != "b"));
        }
    }
}
