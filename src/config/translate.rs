//! serde's and the YAML parser's errors in the config's own words.

use serde_saphyr::Error;

use super::hide::is_secret;
use super::outline::{Node, Outline, Place};
use super::problem::Problem;
use super::suggest::suggest;

/// The error as a problem of `text`.
pub(super) fn translate(error: &Error, text: &str, outline: &Outline) -> Problem {
    let error = error.without_snippet();
    let location = error.location();
    let mut place = location.map_or(Place { line: 1, column: 1, length: 1 }, |at| Place {
        line: number(at.line()),
        column: number(at.column()),
        length: number(at.span().len()),
    });
    let node = outline.at(place.line, place.column);
    // serde tells a value of the wrong type at its key.
    let about_value =
        matches!(error, Error::SerdeInvalidType { .. } | Error::SerdeInvalidValue { .. } | Error::Message { .. });
    if let Some(node) = node
        && about_value
    {
        place = node.value_at;
    }
    if place.length != 1 && node.is_some_and(|node| !node.scalar && node.value_at.line == place.line) {
        place.length = place.length.min(text.lines().nth(place.line - 1).map_or(1, |line| line.chars().count()));
    }
    let (message, help) = match node {
        Some(node) if hides(error, node) => (
            format!("the secret of `{}` does not stand in the config itself", last(&node.key)),
            "write it to a file and name the place: {file: /path}, {credential: NAME} or {env: NAME}".into(),
        ),
        _ => words(error),
    };
    Problem::new(text, place, &message, &help)
}

/// Whether the message would print a secret: a text where `{file: …}` was wanted, or any value under such a key.
fn hides(error: &Error, node: &Node) -> bool {
    let wants_secret = match error {
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            expected == &["file", "credential", "env"] && variant != "~"
        }
        Error::SerdeInvalidType { .. } | Error::SerdeInvalidValue { .. } | Error::Message { .. } => {
            is_secret(last(&node.key))
        }
        _ => false,
    };
    wants_secret && node.scalar && !matches!(last(&node.key), "file" | "credential" | "env")
}

fn words(error: &Error) -> (String, String) {
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            (format!("unknown key `{}`", short(field)), allowed(field, expected, "allowed here"))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } if variant == "~" => {
            ("a value is missing".into(), allowed("", expected, "allowed here"))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            (format!("unknown value `{}`", short(variant)), allowed(variant, expected, "allowed here"))
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
            let wanted = if ty.contains("float") { "a number" } else { "a whole number from 0" };
            (format!("{wanted} is wanted here"), String::new())
        }
        Error::InvalidBooleanStrict { .. } => ("neither true nor false".into(), "`true` or `false`".into()),
        Error::NullIntoString { .. } => ("a value is missing".into(), "a text is wanted here".into()),
        Error::MultipleDocuments { .. } => ("a second document (`---`)".into(), "one file is one config".into()),
        Error::Budget { .. } | Error::AliasReplayLimitExceeded { .. } | Error::AliasExpansionLimitExceeded { .. } => (
            "nested deeper, repeated more often or larger than a config may be".into(),
            "at most 32 levels, 20000 values and 100 aliases".into(),
        ),
        Error::UnknownAnchor { .. } => ("this alias names no anchor above it".into(), String::new()),
        Error::Message { msg, .. } => message(msg),
        other => (without_place(&other.to_string()), String::new()),
    }
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

fn allowed(word: &str, names: &[&str], lead: &str) -> String {
    let mut names = names.to_vec();
    names.sort_unstable();
    let list = format!("{lead}: {}", names.join(", "));
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

const ADDRESS: &str = "an IP address and a port, such as 127.0.0.1:1876, or `off`";
