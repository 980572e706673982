//! `match[]`: one selector as the matchers of the store.

use crate::query::{Query, QueryError};
use crate::store::Matcher;

/// The matchers of a series selector.
///
/// # Errors
/// The text is no selector, or one that matches everything; in Prometheus' words where it has some.
pub(super) fn selector(text: &str) -> Result<Vec<Matcher>, String> {
    const EVERYTHING: &str = "match[] must contain at least one non-empty matcher";
    let query = Query::parse(text).map_err(|error| match error {
        QueryError::Parse { what, .. } if what.ends_with("at least one non-empty matcher") => EVERYTHING.to_owned(),
        error => error.to_string(),
    })?;
    let Some(matchers) = query.selector() else {
        return Err("1:1: parse error: a series selector is wanted here, such as up{job=\"node\"}".into());
    };
    if matchers.iter().all(|matcher| matcher.matches("")) {
        return Err(EVERYTHING.into());
    }
    Ok(matchers.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::labels::NAME;
    use crate::store::matcher::Op;

    #[test]
    fn a_selector_is_its_matchers_and_anything_else_is_refused() {
        let matchers = selector("up{job=~\"a|b\", x!=\"\"}").unwrap();
        let told: Vec<_> = matchers.iter().map(|one| (one.name.as_str(), one.op, one.value.as_str())).collect();
        assert_eq!(told, [("job", Op::Match, "a|b"), ("x", Op::NotEqual, ""), (NAME, Op::Equal, "up")]);
        for text in ["", "up +", "sum(up)", "up[5m]", "up offset 1h", "up @ 0", "{x=\"\"}", "{x=~\".*\"}", "{}", "1"] {
            assert!(selector(text).is_err(), "{text}");
        }
    }
}
