//! Imports point one way: a file names only its own folder and folders further left in the order.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so and ends")]

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. Folders of one level do not know each other.
const ORDER: &[&[&str]] = &[
    &["base"],
    &["signal"],
    &["status"],
    &["spool"],
    &["store"],
    &["query", "pipeline", "export", "notify"],
    &["collect", "tail", "receive", "alert"],
    &["control", "web"],
    &["config"],
    &["agent"],
    &["cli"],
];

/// Things that one folder alone may name, so that what depends on them stays in one place.
const OWNERS: &[(&str, &[&str])] = &[
    ("SystemTime::now", &["base"]),
    ("opentelemetry_proto", &["signal", "receive", "export"]),
    ("reqwest::", &["base", "export", "notify", "collect"]),
    ("journalctl", &["tail", "agent", "cli"]),
];

#[test]
fn imports_point_one_way() {
    let mut wrong = Vec::new();
    for file in sources(Path::new("src")) {
        let from = folder(&file);
        let Some(from_level) = level(&from) else {
            assert!(["lib", "main"].contains(&from.as_str()), "{} has no place in the order", file.display());
            continue;
        };
        let text = blank(&fs::read_to_string(&file).unwrap());
        for (number, line) in text.lines().enumerate() {
            for to in named(line) {
                let allowed = to == from || level(&to).is_some_and(|to_level| to_level < from_level);
                if !allowed {
                    wrong.push(format!("{}:{}: {from} -> {to}", file.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports against the order:\n{}", wrong.join("\n"));
}

#[test]
fn what_has_one_owner_is_named_there_alone() {
    let mut wrong = Vec::new();
    for file in sources(Path::new("src")) {
        let from = folder(&file);
        let text = blank(&before_tests(&fs::read_to_string(&file).unwrap()));
        for (what, owners) in OWNERS {
            if text.contains(what) && !owners.contains(&from.as_str()) && !is_tests(&file) {
                wrong.push(format!("{} names {what}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_check_sees_paths_and_not_comments_or_strings() {
    let text = "use crate::cli::run; // crate::web\nlet x = \"crate::agent\"; use crate::{base::clock, spool};\n";
    let found: Vec<_> = blank(text).lines().flat_map(named).collect();
    assert_eq!(found, ["cli", "base", "spool"]);
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join(folder)).unwrap() {
        let path = entry.unwrap().path();
        let relative = path.strip_prefix(root).unwrap().to_owned();
        if path.is_dir() {
            found.extend(sources(&relative));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(relative);
        }
    }
    found.sort();
    found
}

/// `src/tail/follow.rs` and `src/tail.rs` are both of `tail`.
fn folder(file: &Path) -> String {
    let first = file.components().nth(1).unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn is_tests(file: &Path) -> bool {
    file.file_stem().is_some_and(|stem| stem == "tests") || file.components().any(|part| part.as_os_str() == "tests")
}

fn level(name: &str) -> Option<usize> {
    ORDER.iter().position(|level| level.contains(&name))
}

/// The first names after `crate::` in a line, also in braces.
fn named(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        // `$crate::` and `some_crate::` are others.
        if line[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_') {
            continue;
        }
        let rest = &line[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => found.extend(top_level(list)),
            None => found.extend(identifier(rest)),
        }
    }
    found.retain(|name| ORDER.iter().any(|level| level.contains(&name.as_str())));
    found
}

/// The names of `a::x, b::{c, d}, e}` that stand outside inner braces.
fn top_level(list: &str) -> Vec<String> {
    let (mut depth, mut found, mut start) = (0, Vec::new(), true);
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            letter if start && depth == 0 && letter.is_alphabetic() => {
                found.extend(identifier(&list[at..]));
                start = false;
            }
            _ => {}
        }
    }
    found
}

fn identifier(text: &str) -> Option<String> {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

fn before_tests(text: &str) -> String {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()
}

/// The text with comments and the insides of plain strings blanked, line by line.
fn blank(text: &str) -> String {
    text.lines().map(blank_line).collect::<Vec<_>>().join("\n")
}

fn blank_line(line: &str) -> String {
    let (mut out, mut inside, mut escaped) = (String::new(), false, false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '/' if !inside && letters.peek() == Some(&'/') => break,
            '"' if !escaped => {
                inside = !inside;
                out.push(letter);
            }
            _ if inside => {
                escaped = letter == '\\' && !escaped;
                continue;
            }
            _ => out.push(letter),
        }
        escaped = false;
    }
    out
}
