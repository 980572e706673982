//! `label_replace` and `label_join`.

use regex::Regex;

use crate::query::QueryError;
use crate::store::Labels;

/// Bytes of a compiled pattern.
const REGEX_BYTES: usize = 1 << 20;
/// Bytes of a label's value that a query makes.
const MAX_VALUE: usize = 64 << 10;

/// What `label_replace` was asked for.
pub(in crate::query) struct Replace<'a> {
    pub(in crate::query) to: &'a str,
    pub(in crate::query) text: &'a str,
    pub(in crate::query) from: &'a str,
    regex: Regex,
}

impl<'a> Replace<'a> {
    /// Checks names and pattern.
    pub(in crate::query) fn new(to: &'a str, text: &'a str, from: &'a str, regex: &str) -> Result<Self, QueryError> {
        let built = regex::RegexBuilder::new(&format!("^(?s:{regex})$")).size_limit(REGEX_BYTES).build();
        let regex = built
            .map_err(|_| QueryError::Execution(format!("invalid regular expression in label_replace(): {regex}")))?;
        if to.is_empty() {
            return Err(QueryError::Execution(format!("invalid destination label name in label_replace(): {to}")));
        }
        Ok(Self { to, text, from, regex })
    }

    /// The new labels, or `None` where the pattern does not match.
    pub(in crate::query) fn apply(&self, labels: &Labels) -> Result<Option<Labels>, QueryError> {
        let value = labels.get(self.from);
        let Some(found) = self.regex.captures(value) else { return Ok(None) };
        let mut out = String::new();
        expand(self.text, &found, &mut out);
        bounded(&out)?;
        Ok(Some(labels.with(self.to, &out)))
    }
}

/// The values of `from`, joined, as the label `to`.
pub(in crate::query) fn join(labels: &Labels, to: &str, separator: &str, from: &[&str]) -> Result<Labels, QueryError> {
    let values: Vec<&str> = from.iter().map(|name| labels.get(name)).collect();
    let value = values.join(separator);
    bounded(&value)?;
    Ok(labels.with(to, &value))
}

/// The names of `label_join`.
pub(in crate::query) fn check_join(to: &str, from: &[&str]) -> Result<(), QueryError> {
    if from.iter().any(|name| name.is_empty()) {
        return Err(QueryError::Execution("invalid source label name in label_join(): ".into()));
    }
    if to.is_empty() {
        return Err(QueryError::Execution("invalid destination label name in label_join(): ".into()));
    }
    Ok(())
}

fn bounded(value: &str) -> Result<(), QueryError> {
    if value.len() > MAX_VALUE {
        return Err(QueryError::Limit(format!("a label of more than {} KiB", MAX_VALUE >> 10)));
    }
    Ok(())
}

/// Go's `Regexp.Expand`: `$1`, `$name` (as long as it can be), `${name}`, `$$`. An unknown name is empty.
fn expand(template: &str, found: &regex::Captures<'_>, out: &mut String) {
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        if let Some(behind) = behind.strip_prefix('$') {
            out.push('$');
            rest = behind;
            continue;
        }
        match reference(behind) {
            Some((name, length)) => {
                let group = match name.parse::<usize>() {
                    Ok(number) => found.get(number),
                    Err(_) => found.name(name),
                };
                out.push_str(group.map_or("", |group| group.as_str()));
                rest = &behind[length..];
            }
            // A dollar that begins no name stands for itself.
            None => {
                out.push('$');
                rest = behind;
            }
        }
    }
    out.push_str(rest);
}

/// The name behind a dollar, and the bytes that it takes there.
fn reference(text: &str) -> Option<(&str, usize)> {
    let word = |text: &str| text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    if let Some(inner) = text.strip_prefix('{') {
        let length = word(inner);
        return (length > 0 && inner[length..].starts_with('}')).then(|| (&inner[..length], length + 2));
    }
    let length = word(text);
    (length > 0).then(|| (&text[..length], length))
}
