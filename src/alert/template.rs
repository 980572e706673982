//! The texts of labels and annotations: Go's text/template with Prometheus' functions.
//!
//! Of our own, because rules must read the same here as there down to `%.4g` and to the errors, and because what a rule
//! prints is other people's data: each run is bounded.

use std::cell::RefCell;
use std::fmt;

use crate::query::Element;
use crate::store::Labels;

mod builtins;
mod exec;
mod functions;
mod lex;
mod node;
mod number;
mod parse;
mod printf;
#[cfg(test)]
mod tests;
mod value;

/// A text that was read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    text: String,
    /// `None`: the text has no actions, or is not to be looked at.
    parsed: Option<parse::Parsed>,
}

/// What a template may speak of.
#[derive(Debug)]
pub struct Data<'a> {
    /// `$labels`.
    pub labels: &'a Labels,
    /// `$value`.
    pub value: f64,
    /// `$externalLabels`.
    pub external_labels: &'a Labels,
    /// `$externalURL`.
    pub external_url: &'a str,
    /// `now`, Unix milliseconds.
    pub now: i64,
}

/// Answers `query` inside a template.
pub type Ask<'a> = RefCell<&'a mut dyn FnMut(&str) -> Result<Vec<Element>, String>>;

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The byte of the text.
    pub at: usize,
    /// In Go's words.
    pub what: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.what)
    }
}

impl std::error::Error for ParseError {}

/// Prometheus writes this in front of every text, so it counts in the columns of its errors.
const PREFIX: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
                      {{$externalURL := .ExternalURL}}{{$value := .Value}}";

impl Template {
    /// Reads a text.
    ///
    /// # Errors
    /// What is wrong in it, and where.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if !text.contains("{{") {
            return Ok(Self::literal(text));
        }
        let parsed = parse::parse(&format!("{PREFIX}{text}"));
        let parsed = parsed.map_err(|(at, what)| ParseError { at: at.saturating_sub(PREFIX.len()), what })?;
        Ok(Self { text: text.to_owned(), parsed: Some(parsed) })
    }

    /// A text that stands for itself, whatever is in it.
    pub fn literal(text: &str) -> Self {
        Self { text: text.to_owned(), parsed: None }
    }

    /// The text as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text with everything filled in.
    ///
    /// # Errors
    /// Why it cannot be; the rule goes on with `<error expanding template: …>`.
    pub fn expand(&self, data: &Data<'_>, ask: &Ask<'_>) -> Result<String, String> {
        self.expand_as("", data, ask)
    }

    /// The same for the alert `name`, which Prometheus' errors name.
    ///
    /// # Errors
    /// As [`Self::expand`].
    pub fn expand_as(&self, name: &str, data: &Data<'_>, ask: &Ask<'_>) -> Result<String, String> {
        let Some(parsed) = &self.parsed else { return Ok(self.text.clone()) };
        let name = format!("__alert_{name}");
        let text = format!("{PREFIX}{}", self.text);
        exec::expand((parsed, &text, &name), data, ask)
            .map_err(|error| format!("error executing template {name}: {error}"))
    }

    /// The text with everything filled in, or what Prometheus writes instead.
    pub fn fill(&self, name: &str, data: &Data<'_>, ask: &Ask<'_>) -> String {
        self.expand_as(name, data, ask).unwrap_or_else(|error| format!("<error expanding template: {error}>"))
    }
}
