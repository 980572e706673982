//! serde's and the YAML parser's errors in the config's own words.

use serde_saphyr::Error;
use serde_saphyr::budget::BudgetBreach;

use super::hide::{PLACES, is_secret};
use super::outline::{Node, Outline, Place};
use super::problem::Problem;
use super::suggest::suggest;

/// The error as a problem of `text`.
pub(super) fn translate(error: &Error, text: &str, outline: &Outline) -> Problem {
    let error = error.without_snippet();
    let told = error.location().map_or(START, |at| Place {
        line: number(at.line()),
        column: number(at.column()),
        length: number(at.span().len()),
    });
    let node = outline.at(told.line, told.column);
    if let (Error::Unexpected { .. }, None) = (error, node)
        && let Some(last) = outline.before(told.line, told.column).filter(|node| node.scalar)
    {
        // A name stands alone where its value should follow; the parser tells what comes next instead.
        let name = short(&last.value_at.text(text));
        let message = format!("`{name}` stands alone here");
        return Problem::new(text, outline, last.value_at, &message, &format!("it needs a value: `{name}: …`"));
    }
    let Some(node) = node else {
        let (message, help) = words(error, false);
        return Problem::new(text, outline, told, &message, &help);
    };
    let on_key = node.key_at.is_some_and(|at| at.starts_with(told));
    // serde tells a value of the wrong type at its key.
    let place = match error {
        Error::SerdeInvalidType { .. } | Error::SerdeInvalidValue { .. } | Error::Message { .. } => node.value_at,
        _ if on_key => node.key_at.unwrap_or(told),
        _ => node.value_at,
    };
    let (message, help) = hidden(error, node, on_key).unwrap_or_else(|| words(error, on_key));
    Problem::new(text, outline, place, &message, &help)
}

/// The words where the usual ones would print a secret.
fn hidden(error: &Error, node: &Node, on_key: bool) -> Option<(String, String)> {
    let name = last(&node.key);
    let about_value = match error {
        Error::SerdeInvalidType { .. } | Error::SerdeInvalidValue { .. } | Error::Message { .. } => true,
        Error::SerdeUnknownVariant { variant, .. } => !on_key && variant != "~",
        _ => false,
    };
    if !about_value || !node.scalar || PLACES.contains(&name) {
        return None;
    }
    if let Error::SerdeInvalidType { expected, .. } = error
        && node.key.contains(".headers.")
    {
        return Some(("this value does not fit here".into(), expected.clone()));
    }
    let wanted = matches!(error, Error::SerdeUnknownVariant { expected, .. } if *expected == PLACES);
    (wanted || is_secret(name)).then(|| {
        (
            format!("the secret of `{name}` does not stand in the config itself"),
            "write it to a file and name the place: {file: /path}, {credential: NAME} or {env: NAME}".into(),
        )
    })
}

fn words(error: &Error, on_key: bool) -> (String, String) {
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            (format!("unknown key `{}`", short(field)), allowed(field, expected))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } if variant == "~" => {
            ("a value is missing".into(), allowed("", expected))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            let kind = if on_key { "key" } else { "value" };
            (format!("unknown {kind} `{}`", short(variant)), allowed(variant, expected))
        }
        Error::SerdeMissingField { field, .. } => (format!("`{field}` is missing"), "it has no default".into()),
        Error::DuplicateMappingKey { key, .. } => (
            format!("the key `{}` stands here a second time", short(key.as_deref().unwrap_or("?"))),
            "put both into one".into(),
        ),
        Error::Unexpected { expected, .. } => shape(expected),
        Error::ExpectedMappingEndAfterEnumVariantValue { .. } => {
            ("a second key where exactly one may stand".into(), "take one of them away".into())
        }
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => mismatch(unexpected, expected),
        Error::InvalidScalar { ty, .. } => {
            let wanted = match *ty {
                ty if ty.contains("bool") => "true or false",
                ty if ty.contains("float") => "a number",
                _ => "a whole number from 0",
            };
            (format!("{wanted} is wanted here"), String::new())
        }
        Error::InvalidBooleanStrict { .. } => ("neither true nor false".into(), "`true` or `false`".into()),
        Error::NullIntoString { .. } => ("a value is missing".into(), "a text is wanted here".into()),
        Error::MultipleDocuments { .. } | Error::Budget { breach: BudgetBreach::Documents { .. }, .. } => {
            ("a second document (`---`)".into(), "one file is one config".into())
        }
        Error::Budget { .. } | Error::AliasReplayLimitExceeded { .. } | Error::AliasExpansionLimitExceeded { .. } => (
            "nested deeper, repeated more often or larger than a config may be".into(),
            "at most 32 levels, 20000 values and 100 aliases".into(),
        ),
        Error::ExternallyTaggedEnumExpectedScalarOrMapping { .. } => {
            ("a list does not fit here".into(), "a name, or `{name: …}`".into())
        }
        Error::TaggedScalarCannotDeserializeIntoString { .. } => {
            ("this tag does not fit here".into(), "take the `!!…` away".into())
        }
        Error::UnknownAnchor { .. } => ("this alias names no anchor above it".into(), String::new()),
        Error::Message { msg, .. } => message(msg),
        other => syntax(&without_place(&other.to_string())),
    }
}

/// What the YAML parser says, with the mend for what happens most.
fn syntax(text: &str) -> (String, String) {
    let help = if text.contains("tab") {
        "indent with spaces"
    } else if text.contains("mapping values are not allowed") {
        "indent it as the lines above; put a text that has `: ` in quotes"
    } else {
        ""
    };
    (text.into(), help.into())
}

fn shape(expected: &str) -> (String, String) {
    match expected {
        "sequence start" => ("a list is wanted here".into(), "`- …` on lines of their own, or `[…, …]`".into()),
        "mapping start" => ("settings are wanted here".into(), "`key: value` on lines of their own, or `{…}`".into()),
        "string scalar" => ("a text is wanted here, no list and no settings".into(), String::new()),
        other => (format!("{other} is wanted here"), String::new()),
    }
}

fn mismatch(unexpected: &str, expected: &str) -> (String, String) {
    let help = match expected.split_once(' ') {
        Some(("struct" | "enum", _)) => "settings are wanted here: `key: value` on lines of their own, or `{…}`",
        _ if expected == "a sequence" => "a list is wanted here: `- …` on lines of their own, or `[…, …]`",
        _ if expected.starts_with("socket address") => ADDRESS,
        _ => expected,
    };
    if unexpected == "unit value" {
        return ("a value is missing".into(), format!("{help}; or leave the key out"));
    }
    (format!("{} does not fit here", short(unexpected)), help.into())
}

/// What our own types say, and some of serde's that have no words for people.
fn message(text: &str) -> (String, String) {
    if text == "invalid socket address syntax" {
        return ("no address to listen on".into(), ADDRESS.into());
    }
    match text.split_once(": ") {
        Some((what, mend)) => (what.into(), mend.into()),
        None => (text.into(), String::new()),
    }
}

fn allowed(word: &str, names: &[&str]) -> String {
    let mut names = names.to_vec();
    names.sort_unstable();
    let list = format!("allowed here: {}", names.join(", "));
    match suggest(word, &names) {
        Some(name) => format!("did you mean `{name}`? {list}"),
        None => list,
    }
}

fn without_place(text: &str) -> String {
    text.rfind(" at line ").map_or(text, |at| &text[..at]).into()
}

fn last(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

fn short(text: &str) -> String {
    let mut out: String = text.chars().take(80).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}

fn number(value: impl TryInto<usize>) -> usize {
    value.try_into().unwrap_or(1).max(1)
}

const START: Place = Place { line: 1, column: 1, length: 1 };
const ADDRESS: &str = "an IP address and a port, such as 127.0.0.1:1876, or `off`";
