//! What a selector demands of a label.

use regex::Regex;

use crate::base::re2;

/// How value and pattern are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Match,
    /// `!~`
    NotMatch,
}

/// One demand. A label that is not there counts as empty.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// The label.
    pub name: String,
    /// The comparison.
    pub op: Op,
    /// Value or pattern.
    pub value: String,
    regex: Option<Regex>,
}

impl Matcher {
    /// A demand; the pattern of `=~` and `!~` is Go's and must match the whole value, as in Prometheus.
    ///
    /// # Errors
    /// The pattern is none, or too large.
    pub fn new(name: impl Into<String>, op: Op, value: impl Into<String>) -> Result<Self, String> {
        let value = value.into();
        let regex = match op {
            Op::Equal | Op::NotEqual => None,
            Op::Match | Op::NotMatch => Some(re2::whole(&value)?),
        };
        Ok(Self { name: name.into(), op, value, regex })
    }

    /// Whether a label's value (empty: not there) is wanted.
    pub fn matches(&self, value: &str) -> bool {
        let found = self.regex.as_ref().map_or_else(|| value == self.value, |regex| regex.is_match(value));
        found == matches!(self.op, Op::Equal | Op::Match)
    }
}
