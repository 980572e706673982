//! The same patterns and values as Go was asked about.

use serde_json::Value;

use super::*;

#[test]
fn patterns_match_what_they_match_in_go_and_are_refused_where_go_refuses_them() {
    let asked: Value = serde_json::from_str(include_str!("../../../tests/fixtures/go/regexp.json")).unwrap();
    let values: Vec<&str> = asked["values"].as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect();
    let mut wrong = Vec::new();
    for row in asked["patterns"].as_array().unwrap() {
        let pattern = row[0].as_str().unwrap();
        match (whole(pattern), row[1].as_array()) {
            (Ok(regex), Some(numbers)) => {
                let expected: Vec<&str> = numbers.iter().map(|n| values[n.as_u64().unwrap() as usize]).collect();
                let found: Vec<&str> = values.iter().copied().filter(|value| regex.is_match(value)).collect();
                if found != expected {
                    wrong.push(format!("{pattern}: {found:?}, in Go {expected:?}"));
                }
            }
            (Ok(_), None) => wrong.push(format!("{pattern} is taken, in Go {}", row[1])),
            // The crate is built without the tables of categories and scripts: refused, never answered wrong.
            (Err(why), Some(_)) if !pattern.starts_with("\\p") => wrong.push(format!("{pattern} is refused: {why}")),
            (Err(_), _) => {}
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn classes_of_characters_are_ascii_and_case_is_not() {
    let matches = |pattern: &str, value: &str| whole(pattern).unwrap().is_match(value);
    for (pattern, ascii, other) in [("\\d", "7", "٣"), ("\\w", "e", "é"), ("\\s", " ", "\u{a0}"), ("[\\w]", "_", "ß")]
    {
        assert!(matches(pattern, ascii) && !matches(pattern, other), "{pattern}");
        let not = pattern.to_uppercase();
        assert!(!matches(&not, ascii) && matches(&not, other), "{not}");
    }
    assert!(anywhere("\\bdb\\b").unwrap().is_match("édbé"), "to Go é is no letter of a word");
    assert!(matches("(?i)É", "é") && matches("É", "É") && !matches("É", "é"));
    assert!(matches("(?i:DB)-.*", "db-1") && !matches("DB-.*", "db-1"));
}

#[test]
fn what_is_refused_is_told_in_go_s_words() {
    let told = [
        ("a**", "invalid nested repetition operator: `**`"),
        ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a)(b", "unexpected ): `a)(b`"),
        ("(a", "missing closing ): `(a`"),
        ("[a", "missing closing ]: `[a`"),
        ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
        ("\\é", "invalid escape sequence: `\\é`"),
        ("a\\", "trailing backslash at end of expression"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
    ];
    for (pattern, why) in told {
        assert_eq!(whole(pattern).unwrap_err(), why, "{pattern}");
    }
    assert!(whole("(((((a{100}){100}){100}){100}){100})").is_err(), "too large");
}

proptest::proptest! {
    #[test]
    fn any_pattern_is_taken_or_refused_without_a_panic(
        pattern in "[\\[\\]\\\\(){}?*+|^$.:<>=!0-9a-zA-Zé&~,-]{0,24}", value in ".{0,8}"
    ) {
        let _any = whole(&pattern).map(|regex| regex.is_match(&value));
        let _other = anywhere(&pattern).map(|regex| regex.is_match(&value));
    }
}
