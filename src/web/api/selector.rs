//! `match[]`: one selector as the matchers of the store.

use promql_parser::label::MatchOp;
use promql_parser::parser::{self, Expr};

use crate::query::Query;
use crate::store::Matcher;
use crate::store::labels::NAME;
use crate::store::matcher::Op;

/// The matchers of a series selector.
///
/// # Errors
/// The text is no selector, or one that matches everything; in Prometheus' words where it has some.
pub(super) fn selector(text: &str) -> Result<Vec<Matcher>, String> {
    // Bounded and told with its place there.
    Query::parse(text).map_err(|error| error.to_string())?;
    let expr = parser::parse(text).map_err(|error| format!("1:1: parse error: {error}"))?;
    let Expr::VectorSelector(found) = expr else {
        return Err("1:1: parse error: a series selector is wanted here, such as up{job=\"node\"}".into());
    };
    if found.offset.is_some() || found.at.is_some() || !found.matchers.or_matchers.is_empty() {
        return Err("1:1: parse error: a series selector has neither offset nor @ nor `or`".into());
    }
    let mut matchers = Vec::new();
    if let Some(name) = found.name {
        matchers.push(Matcher::new(NAME, Op::Equal, name)?);
    }
    for matcher in found.matchers.matchers {
        let op = match matcher.op {
            MatchOp::Equal => Op::Equal,
            MatchOp::NotEqual => Op::NotEqual,
            MatchOp::Re(_) => Op::Match,
            MatchOp::NotRe(_) => Op::NotMatch,
        };
        matchers.push(Matcher::new(matcher.name, op, matcher.value)?);
    }
    if matchers.iter().all(|matcher| matcher.matches("")) {
        return Err("match[] must contain at least one non-empty matcher".into());
    }
    Ok(matchers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_is_its_matchers_and_anything_else_is_refused() {
        let matchers = selector("up{job=~\"a|b\", x!=\"\"}").unwrap();
        let told: Vec<_> = matchers.iter().map(|one| (one.name.as_str(), one.op, one.value.as_str())).collect();
        assert_eq!(told, [(NAME, Op::Equal, "up"), ("job", Op::Match, "a|b"), ("x", Op::NotEqual, "")]);
        for text in ["", "up +", "sum(up)", "up[5m]", "up offset 1h", "up @ 0", "{x=\"\"}", "{x=~\".*\"}", "{}", "1"] {
            assert!(selector(text).is_err(), "{text}");
        }
    }
}
