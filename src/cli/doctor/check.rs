//! One check: what was looked at, how it is, and what mends it.

use serde::Serialize;

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Ok,
    /// Nothing of this kind was found on the box or configured.
    NotHere,
    /// Worth a look.
    Warn,
    /// It does not work.
    Fail,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// Its section: `agent`, `sources` and so on.
    pub(super) part: &'static str,
    /// What was looked at.
    pub(super) name: String,
    pub(super) verdict: Verdict,
    /// What was found, for people.
    pub(super) words: String,
    /// Commands, each for itself.
    pub(super) mend: Vec<String>,
}

impl Check {
    fn new(part: &'static str, verdict: Verdict, name: impl Into<String>, words: impl Into<String>) -> Self {
        Self { part, name: name.into(), verdict, words: words.into(), mend: Vec::new() }
    }

    pub(super) fn ok(part: &'static str, name: impl Into<String>, words: impl Into<String>) -> Self {
        Self::new(part, Verdict::Ok, name, words)
    }

    pub(super) fn warn(part: &'static str, name: impl Into<String>, words: impl Into<String>) -> Self {
        Self::new(part, Verdict::Warn, name, words)
    }

    pub(super) fn fail(part: &'static str, name: impl Into<String>, words: impl Into<String>) -> Self {
        Self::new(part, Verdict::Fail, name, words)
    }

    pub(super) fn not_here(part: &'static str, name: impl Into<String>, words: impl Into<String>) -> Self {
        Self::new(part, Verdict::NotHere, name, words)
    }

    pub(super) fn mended_by(mut self, commands: Vec<String>) -> Self {
        self.mend = commands;
        self
    }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Facts<'a> {
    ok: bool,
    checks: &'a [Check],
}

pub(super) fn facts(checks: &[Check]) -> Facts<'_> {
    Facts { ok: fine(checks), checks }
}

/// Whether nothing failed.
pub(super) fn fine(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.verdict != Verdict::Fail)
}
