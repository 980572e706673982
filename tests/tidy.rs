//! The habits of the house: a head on each file, bounded files and functions, lists equal to the code.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so and ends")]

use std::fs;
use std::path::{Path, PathBuf};

const MAX_FILE: usize = 500;
const MAX_FUNCTION: usize = 60;
/// Written by a generator and compared by a test of its own.
const GENERATED: &[&str] = &["src/control/generated.rs"];

#[test]
fn each_file_says_first_what_it_is() {
    let headless: Vec<_> =
        files().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(path, _)| path).collect();
    assert!(headless.is_empty(), "no `//!` head: {headless:?}");
}

#[test]
fn no_file_is_longer_than_an_afternoon() {
    let long: Vec<_> = files()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(path, lines)| *lines > MAX_FILE && !is_tests(path))
        .collect();
    assert!(long.is_empty(), "longer than {MAX_FILE} lines: {long:?}");
}

#[test]
fn no_function_is_longer_than_a_screen() {
    let mut long = Vec::new();
    for (path, text) in files() {
        if is_tests(&path) {
            continue;
        }
        for (name, lines) in functions(&text) {
            if lines > MAX_FUNCTION {
                long.push(format!("{}: {name} has {lines} lines", path.display()));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn no_file_is_called_mod() {
    let found: Vec<_> = files().into_iter().map(|(path, _)| path).filter(|path| path.ends_with("mod.rs")).collect();
    assert!(found.is_empty(), "foo.rs stands beside foo/: {found:?}");
}

#[test]
fn no_unwrap_stands_outside_tests() {
    let mut found = Vec::new();
    for (path, text) in files() {
        if is_tests(&path) || !path.starts_with("src") {
            continue;
        }
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            if line.contains(".unwrap()") && !line.trim_start().starts_with("//") {
                found.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_readme_lists_every_command_and_folder() {
    let readme = read("README.md");
    let commands =
        ["run", "check", "test", "status", "query", "alerts", "doctor", "setup", "dashboards", "reload", "metrics"];
    let missing: Vec<_> = commands.iter().filter(|name| !readme.contains(&format!("`plimsoll {name}"))).collect();
    assert!(missing.is_empty(), "README.md does not name: {missing:?}");
    let cli = read("src/cli.rs");
    let variants =
        cli.lines().filter(|line| line.starts_with("    ") && line.ends_with("),") && line.contains("(")).count();
    assert!(variants >= commands.len(), "src/cli.rs has {variants} commands, this test knows {}", commands.len());
    for folder in
        fs::read_dir(root().join("src")).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
    {
        let name = format!("`{}`", folder.file_name().unwrap().to_str().unwrap());
        assert!(readme.contains(&name), "README.md does not name the folder {name}");
    }
}

#[test]
fn the_tests_that_are_named_in_the_tables_exist() {
    let all: String = files().into_iter().map(|(_, text)| text).collect();
    let table = read("tests/README.md");
    let names = table.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() > 3);
    let names: Vec<_> =
        names.filter(|name| name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')).collect();
    assert!(names.len() > 80, "only {} names", names.len());
    let missing: Vec<_> = names.into_iter().filter(|name| !all.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

#[test]
fn each_dependency_has_its_reason() {
    let manifest = read("Cargo.toml");
    let part = manifest.split("[dependencies]").nth(1).unwrap().split("[lints").next().unwrap();
    let bare: Vec<_> = part.lines().filter(|line| line.contains(" = ") && !line.contains(" # ")).collect();
    assert!(bare.is_empty(), "no reason beside: {bare:?}");
}

#[test]
fn the_check_of_functions_counts_their_lines() {
    let text = "fn a() {\n    1;\n}\n\nimpl X {\n    fn b(\n        x: u8,\n    ) {\n        {}\n    }\n}\n";
    assert_eq!(functions(text), [("a".to_owned(), 3), ("b".to_owned(), 5)]);
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Path and text of every Rust file of the project.
fn files() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches"] {
        walk(&root().join(folder), &mut found);
    }
    assert!(found.len() > 50, "only {} files were found", found.len());
    found
        .into_iter()
        .filter(|path| !GENERATED.iter().any(|generated| path.ends_with(generated)))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path.strip_prefix(root()).unwrap().to_owned(), text)
        })
        .collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

fn is_tests(path: &Path) -> bool {
    path.starts_with("tests")
        || path.file_stem().is_some_and(|stem| stem == "tests")
        || path.components().any(|part| part.as_os_str() == "tests")
}

/// Name and length of each function, told by rustfmt's indentation.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = line.len() - code.len();
        let Some(at) = code.find("fn ") else { continue };
        let head = &code[..at];
        if !head.split_whitespace().all(|word| matches!(word, "pub" | "const" | "async" | "pub(crate)" | "pub(super)"))
        {
            continue;
        }
        let name: String =
            code[at + 3..].chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
        let close = format!("{}}}", " ".repeat(indent));
        let rest = &lines[start..];
        if code.ends_with('}') || code.ends_with(';') {
            continue;
        }
        if let Some(end) = rest.iter().position(|line| *line == close) {
            found.push((name, end + 1));
        }
    }
    found
}
