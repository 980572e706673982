//! What is wrong with one setting, told by its key; the config's loader knows where the key stands.

/// One fault of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The key, such as `files[0].path`, below the settings that were checked. Empty: the settings as a whole.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub mend: String,
    /// Line and column, from 1, inside the text that the setting is; `None`: all of it is meant.
    pub inside: Option<(usize, usize)>,
}

impl Fault {
    /// A fault of the setting `key`.
    pub fn new(key: impl Into<String>, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { key: key.into(), what: what.into(), mend: mend.into(), inside: None }
    }

    /// The same fault at a line and column, from 1, inside the setting's text.
    #[must_use]
    pub fn inside(mut self, line: usize, column: usize) -> Self {
        self.inside = Some((line, column));
        self
    }

    /// The same fault, seen from above `prefix`.
    pub fn below(mut self, prefix: &str) -> Self {
        self.key = join(prefix, &self.key);
        self
    }
}

/// `prefix` and `key` as one key.
pub fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() || key.is_empty() || key.starts_with('[') {
        format!("{prefix}{key}")
    } else {
        format!("{prefix}.{key}")
    }
}

/// A name that users choose, as one step of a key: quoted where it would read as several steps.
pub fn step(name: &str) -> String {
    if name.is_empty() || name.contains(['.', '[', '"']) { format!("{name:?}") } else { name.into() }
}
