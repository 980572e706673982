//! `label_replace` and `label_join`.

use regex::Regex;

use crate::base::re2;
use crate::query::QueryError;
use crate::store::Labels;

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
        let regex = re2::whole(regex)
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
                // `$01` is a name in Go, not the first group.
                let numbered = name == "0" || !name.starts_with('0');
                let group = match name.parse::<usize>() {
                    Ok(number) if numbered => found.get(number),
                    _ => found.name(name),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(text: &str, value: &str, regex: &str) -> Option<String> {
        let labels = Labels::new([("from", value)]);
        let changed = Replace::new("to", text, "from", regex).unwrap().apply(&labels).unwrap();
        changed.map(|labels| labels.get("to").to_owned())
    }

    #[test]
    fn references_are_expanded_as_go_expands_them() {
        let regex = "(?P<first>[a-z]+)-(.*)";
        let texts = [
            ("$1", "db"),
            ("$1x", ""),
            ("${1}x", "dbx"),
            ("${first}:$2", "db:7"),
            ("$01", ""),
            ("$9", ""),
            ("$0", "db-7"),
            ("$$1", "$1"),
            ("a$", "a$"),
            ("${1", "${1"),
            ("${}", "${}"),
            ("$-", "$-"),
        ];
        for (text, wanted) in texts {
            assert_eq!(replaced(text, "db-7", regex).as_deref(), Some(wanted), "{text}");
        }
    }

    #[test]
    fn a_pattern_must_match_the_whole_value_with_its_line_ends() {
        assert_eq!(replaced("$1", "db-7", "(db)"), None);
        assert_eq!(replaced("$1", "a\nb", "a(.)b").as_deref(), Some("\n"));
    }

    #[test]
    fn an_empty_result_takes_the_label_away() {
        let labels = Labels::new([("from", "x"), ("to", "old")]);
        let changed = Replace::new("to", "", "from", ".*").unwrap().apply(&labels).unwrap();
        assert_eq!(changed, Some(Labels::new([("from", "x")])));
    }

    #[test]
    fn what_is_no_pattern_or_no_name_is_refused_in_prometheus_words() {
        let fault = |to: &str, regex: &str| Replace::new(to, "", "from", regex).err().unwrap().to_string();
        assert_eq!(fault("to", "(.*"), "invalid regular expression in label_replace(): (.*");
        assert_eq!(fault("", ".*"), "invalid destination label name in label_replace(): ");
        let joined = |to: &str, from: &[&str]| check_join(to, from).unwrap_err().to_string();
        assert_eq!(joined("to", &["a", ""]), "invalid source label name in label_join(): ");
        assert_eq!(joined("", &["a"]), "invalid destination label name in label_join(): ");
    }

    #[test]
    fn a_value_that_grows_without_end_is_refused() {
        let labels = Labels::new([("from", "x".repeat(1000))]);
        let text = "$0".repeat(100);
        let replace = Replace::new("to", &text, "from", "(?s).*").ok().unwrap();
        assert!(matches!(replace.apply(&labels), Err(QueryError::Limit(_))));
    }
}
