//! YAML files that people write, read bounded and strict; every error has its file, line and column.
//!
//! The shapes are structs and externally tagged enums only: serde's `tag`, `untagged` and `flatten` buffer the value,
//! and the position of an error inside is lost.

use std::io::Read;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_saphyr::{Options, alias_limits, budget, options};

use self::outline::{Outline, Place};
use self::translate::translate;
use super::fault::Fault;

pub mod edit;
mod hide;
mod outline;
mod problem;
mod suggest;
mod translate;

pub use problem::{Errors, Problem, visible};

/// More are counted, not shown: nobody reads them, and a hostile file has thousands.
const MAX_SHOWN: usize = 100;

/// Written by hand; what is larger is something else.
const MAX_BYTES: u64 = 1 << 20;

/// Reads the file at `path` as text; `None` when it is not there.
///
/// # Errors
/// It cannot be read, is no regular file, too large, or no UTF-8.
pub fn read(path: &Path) -> Result<Option<String>, Errors> {
    match bytes(path) {
        Ok(bytes) => utf8(path, bytes).map(Some),
        Err(Unread::Missing) => Ok(None),
        Err(Unread::Fault(what, mend)) => Err(Errors::whole(path, &what, mend)),
    }
}

/// Reads `text` as a `T` and checks it with `faults`, which names what is wrong by its key; `file` is only its name in
/// errors. An empty text is the default.
///
/// # Errors
/// All that is wrong, each with its place.
pub fn parse<T: DeserializeOwned + Default>(
    file: &Path,
    text: &str,
    faults: impl FnOnce(&T) -> Vec<Fault>,
) -> Result<T, Errors> {
    let outline = Outline::new(text);
    let parsed = serde_saphyr::from_str_with_options::<Option<T>>(text, limits())
        .map(Option::unwrap_or_default)
        .map_err(|error| Errors { file: file.into(), problems: vec![translate(&error, text, &outline)], more: 0 })?;
    let mut faults: Vec<_> = faults(&parsed).into_iter().map(|fault| (outline.place_of(&fault, text), fault)).collect();
    if faults.is_empty() {
        return Ok(parsed);
    }
    faults.sort_by_key(|(place, _)| (place.line, place.column));
    let shown = faults.iter().take(MAX_SHOWN);
    Err(Errors {
        file: file.into(),
        problems: shown.map(|(place, fault)| Problem::new(text, &outline, *place, &fault.what, &fault.mend)).collect(),
        more: faults.len().saturating_sub(MAX_SHOWN),
    })
}

/// The key of each value and the line that it begins in, such as `groups[0].rules[1]`; as far as `text` is YAML.
pub fn lines(text: &str) -> Vec<(String, usize)> {
    Outline::new(text).lines()
}

/// Far above what a person writes, far below what hurts.
fn limits() -> Options {
    options! {
        budget: budget! {
            max_events: 100_000,
            max_nodes: 20_000,
            max_depth: 32,
            flow_nesting_limit: 32,
            max_documents: 1,
            max_aliases: 100,
            max_anchors: 100,
            max_merge_keys: 100,
            max_recorded_anchor_events: 20_000,
            max_recorded_anchor_bytes: 1 << 20,
            max_total_scalar_bytes: 1 << 20,
            max_inclusion_depth: 0,
        },
        alias_limits: alias_limits! {
            max_total_replayed_events: 20_000,
            max_replay_stack_depth: 8,
            max_alias_expansions_per_anchor: 100,
        },
        reject_unsupported_tags: true,
        reject_tagged_field_names: true,
        with_snippet: false,
    }
}

enum Unread {
    Missing,
    Fault(String, &'static str),
}

fn bytes(path: &Path) -> Result<Vec<u8>, Unread> {
    let fail = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Unread::Missing,
        std::io::ErrorKind::PermissionDenied => {
            Unread::Fault(format!("cannot be read: {error}"), "it should be 0640 root:plimsoll")
        }
        _ => Unread::Fault(format!("cannot be read: {error}"), ""),
    };
    // Asked before the file is opened: the opening of a FIFO would wait for its writer.
    let meta = std::fs::metadata(path).map_err(fail)?;
    if !meta.is_file() {
        return Err(Unread::Fault("this is no regular file".into(), ""));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(fail)?;
    // One byte more than allowed tells a larger file, also one that grows meanwhile.
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Unread::Fault("larger than 1 MiB".into(), "this is no config"));
    }
    Ok(bytes)
}

/// The text, or the place of the first byte that is none.
fn utf8(file: &Path, bytes: Vec<u8>) -> Result<String, Errors> {
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes());
        // What is good is the same in both, so the place is too.
        let before = &text[..good];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |start| start.chars().count()) + 1;
        let place = Place { line, column, length: 1 };
        let problem = Problem::new(&text, &Outline::new(&text), place, "this is not UTF-8", "save the file as UTF-8");
        Errors { file: file.into(), problems: vec![problem], more: 0 }
    })
}
