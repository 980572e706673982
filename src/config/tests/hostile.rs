//! Configs that want to hurt: each ends in a clear error, soon, without a panic and without growth.

use std::fmt::Write as _;
use std::path::Path;

use proptest::prelude::*;

use super::{errors, load, parse, told};

#[test]
fn billion_laughs_end_at_the_limit() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, before) in ('b'..='j').zip('a'..) {
        let list = vec![format!("*{before}"); 9].join(", ");
        writeln!(text, "{name}: &{name} [{list}]").unwrap();
    }
    assert!(errors(&text).problems[0].at.is_some());
    let inside = format!(
        "logs:\n  files:\n    - path: /x\n      exclude: [\"y\"]\n      attributes:\n{}",
        text.replace("\n", "\n        ").replacen('a', "        a", 1)
    );
    assert!(errors(&inside).problems[0].at.is_some());
    let mut list = "logs: { journald: { units: &a [x, x, x, x, x, x, x, x, x, x], exclude: [".to_owned();
    list.push_str(&"*a, ".repeat(5000));
    list.push_str("] } }\n");
    assert!(errors(&list).problems[0].at.is_some());
}

#[test]
fn aliases_by_the_thousand_are_refused() {
    let mut text = "logs:\n  files:\n    - &f { path: /x }\n".to_owned();
    text.push_str(&"    - *f\n".repeat(5000));
    assert!(told(&text).contains("at most 32 levels, 20000 values and 100 aliases"), "{}", told(&text));
}

#[test]
fn loops_of_merge_keys_and_aliases_are_refused() {
    for text in [
        "host: &a\n  <<: *a\n",
        "host: &a { <<: [*a, *a] }\n",
        "logs: &a { journald: *a }\n",
        "logs: { files: &a [ { path: /x }, *a ] }\n",
        "destinations: &a\n  x: *a\n",
    ] {
        assert!(errors(text).problems[0].at.is_some(), "{text}");
    }
}

#[test]
fn ten_thousand_levels_are_refused() {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")] {
        let text = format!("logs: {}{}", open.repeat(10_000), close.repeat(10_000));
        assert!(errors(&text).problems[0].at.is_some());
        let text = format!("{}x{}", open.repeat(10_000), close.repeat(10_000));
        assert!(errors(&text).problems[0].at.is_some());
    }
    let mut steps = "service: x\nlogs:\n".to_owned();
    for level in 1..1000 {
        writeln!(steps, "{}a:", " ".repeat(level)).unwrap();
    }
    assert!(errors(&steps).problems[0].at.is_some());
}

#[test]
fn a_hundred_megabytes_are_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("big.yaml");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(100 << 20).unwrap();
    let error = load(Some(&path)).unwrap_err();
    assert!(error.to_string().contains("larger than 1 MiB"), "{error}");
}

#[test]
fn a_megabyte_of_anything_ends() {
    let line = |text: &str| text.repeat((1 << 20) / text.len());
    for text in [
        line("\n"),
        line("a"),
        line("- "),
        line("a: b\n"),
        line("- a\n"),
        line("[],"),
        line("\0"),
        line("? "),
        line("&a "),
        line("!"),
        line("#\n"),
    ] {
        let _either = parse(Path::new("f"), &text);
    }
    let unique: String = (0..60_000).fold(String::new(), |mut text, n| {
        writeln!(text, "k{n}: {n}").unwrap();
        text
    });
    assert!(errors(&unique).problems[0].at.is_some());
}

#[test]
fn what_is_not_utf8_is_told_where_it_starts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.yaml");
    std::fs::write(&path, b"service: shop\nenvironment: \"\xc3\xa4\xff\xfe\"\n").unwrap();
    let error = load(Some(&path)).unwrap_err();
    assert_eq!(error.problems[0].at, Some((2, 16)));
    assert!(error.to_string().contains("not UTF-8"), "{error}");
    std::fs::write(&path, b"\xff\xfes\x00e\x00").unwrap();
    assert_eq!(load(Some(&path)).unwrap_err().problems[0].at, Some((1, 1)));
    std::fs::write(&path, b"service: a\0b\n").unwrap();
    assert!(load(Some(&path)).is_err());
}

const EXAMPLE: &str = include_str!("../../../packaging/plimsoll.example.yaml");

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_text_is_taken_or_refused(text in "\\PC{0,200}") {
        if let Err(errors) = parse(Path::new("f"), &text) {
            prop_assert!(!errors.to_string().is_empty());
        }
    }

    #[test]
    fn any_pieces_of_yaml_are_taken_or_refused(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just("logs:"), Just("files:"), Just("path: /x"), Just("password:"), Just("headers:"), Just("host:"),
                Just("destinations:"), Just("otlp_http:"), Just("endpoint:"), Just("off"), Just("http://a:b@c"),
                Just("\n"), Just("\n  "), Just("\n    "), Just("- "), Just("{"), Just("}"), Just("["), Just("]"),
                Just(", "), Just(": "), Just("? "), Just("&a "), Just("*a"), Just("<<: "), Just("!!str "), Just("|"),
                Just("'"), Just("\""), Just("\t"), Just("ä"), Just("#"), Just("---\n"), Just("\r"), Just("\u{85}"),
                Just("\u{2028}"), Just("\u{feff}"), Just("%TAG ! x\n")
            ],
            0..40,
        )
    ) {
        if let Err(errors) = parse(Path::new("f"), &pieces.concat()) {
            prop_assert!(!errors.to_string().is_empty());
        }
    }

    #[test]
    fn the_example_with_flipped_bytes_is_taken_or_refused(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        commented in any::<bool>(),
    ) {
        let mut bytes = if commented { EXAMPLE.to_owned() } else { EXAMPLE.replace("\n#", "\n") }.into_bytes();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Err(errors) = parse(Path::new("f"), &String::from_utf8_lossy(&bytes)) {
            prop_assert!(!errors.to_string().is_empty());
        }
    }
}
