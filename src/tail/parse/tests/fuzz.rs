//! No text may do harm: arbitrary ones, broken copies of recorded ones, and JSON against `serde_json`.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{clock, fixtures};
use crate::signal::record::{Record, Value};
use crate::tail::parse::{Choice, Format, Parser};

const FORMATS: [Format; 7] =
    [Format::Json, Format::Logfmt, Format::Nginx, Format::Postgres, Format::Haproxy, Format::Syslog, Format::Text];

/// Reads the line in all formats; every span must lie within its text, every name must be there once.
fn check(line: &str) {
    let mut record = Record::default();
    for format in FORMATS {
        for choice in [Choice::Fixed(format), Choice::Auto] {
            let parsed = Parser::with_clock(choice, clock()).parse(line, &mut record);
            assert!(parsed || record.text(line, record.body) == line);
            let mut names: Vec<&str> = record.attributes.iter().map(|(name, _)| record.text(line, *name)).collect();
            for (name, value) in &record.attributes {
                assert!(!record.text(line, *name).is_empty(), "a nameless attribute of {line:?}");
                if let Value::Text(text) = value {
                    assert_eq!(record.text(line, *text).len(), text.len(), "a span beyond its text in {line:?}");
                }
                if let Value::Double(double) = value {
                    assert!(double.is_finite());
                }
            }
            names.sort_unstable();
            let count = names.len();
            names.dedup();
            assert_eq!(count, names.len(), "{format:?} names an attribute twice in {line:?}");
            assert!(count <= 256);
        }
    }
}

fn recorded() -> Vec<String> {
    fixtures().iter().flat_map(|(_, _, text)| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Pieces that mean something to one of the parsers.
const PIECES: [&str; 29] = [
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "=",
    " ",
    "\\u",
    "\\x",
    "-",
    "<",
    ">",
    "é",
    "\u{2028}",
    "\0",
    "\u{1b}[31m",
    "9",
    ":  ",
    "\n",
    "@",
    "\u{feff}",
    "user=a,user=b,db=c,",
    ", client: 1.2.3.4",
    " rt=0.001",
    "\"user.name\":1,\"user\":2,",
    "\"status\":200,\"method\":\"GET\",",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_harms_a_parser(line in "\\PC{0,200}") {
        check(&line);
    }

    #[test]
    fn no_text_of_meaningful_pieces_harms_a_parser(pieces in proptest::collection::vec(0..PIECES.len(), 0..60)) {
        check(&pieces.iter().map(|piece| PIECES[*piece]).collect::<String>());
    }

    #[test]
    fn no_broken_copy_of_a_recorded_line_harms_a_parser(
        line in proptest::sample::select(recorded()),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 0..PIECES.len(), 0..4_usize), 1..6),
    ) {
        let mut chars: Vec<char> = line.chars().collect();
        for (at, piece, what) in changes {
            let at = at.index(chars.len().max(1)).min(chars.len());
            match what {
                0 => chars.truncate(at),
                1 if at < chars.len() => drop(chars.remove(at)),
                _ => drop(chars.splice(at..at, PIECES[piece].chars())),
            }
        }
        check(&chars.into_iter().collect::<String>());
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_filter_map("finite", serde_json::Number::from_f64).prop_map(serde_json::Value::Number),
        "\\PC{0,12}|[\"\\\\/\n\t\u{1}]{0,4}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            proptest::collection::btree_map("[b-d]{1,3}|\"\u{e9}\\\\", inner, 0..5)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

/// What the flat scanner must find: dotted names and leaves, arrays as their text.
fn flatten(prefix: &str, value: &serde_json::Value, out: &mut BTreeMap<String, String>) {
    match value {
        serde_json::Value::Object(members) => {
            for (key, value) in members {
                flatten(&if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") }, value, out);
            }
        }
        serde_json::Value::Null => {}
        serde_json::Value::String(text) => drop(out.insert(prefix.to_owned(), text.clone())),
        serde_json::Value::Number(number) => {
            let text = number.as_i64().map_or_else(|| format!("{:?}", number.as_f64().unwrap()), |int| int.to_string());
            out.insert(prefix.to_owned(), text);
        }
        other => drop(out.insert(prefix.to_owned(), other.to_string())),
    }
}

fn scanned(line: &str) -> Option<BTreeMap<String, String>> {
    let mut record = Record::default();
    let mut room = crate::tail::parse::json::Room::default();
    crate::tail::parse::json::scan(line, &mut record, &mut room)?;
    let shown = record.attributes.iter().map(|(name, value)| {
        let value = match value {
            Value::Text(text) => record.text(line, *text),
            Value::Int(int) => return (record.text(line, *name).to_owned(), int.to_string()),
            Value::Double(double) => return (record.text(line, *name).to_owned(), format!("{double:?}")),
            Value::Bool(flag) => return (record.text(line, *name).to_owned(), flag.to_string()),
        };
        (record.text(line, *name).to_owned(), value.to_owned())
    });
    Some(shown.collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn json_objects_have_the_values_that_serde_json_finds(value in json(), pretty in any::<bool>()) {
        prop_assume!(value.is_object());
        let line = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let mut expected = BTreeMap::new();
        flatten("", &value, &mut expected);
        let same = |mut map: BTreeMap<String, String>| {
            // Arrays keep the spaces and the escapes of the line.
            map.values_mut().for_each(|text| text.retain(|char| !char.is_whitespace() && char != '"' && char != '\\'));
            map
        };
        prop_assert_eq!(same(scanned(&line).unwrap()), same(expected));
    }

    #[test]
    fn json_is_accepted_where_serde_json_accepts_it(
        value in json(),
        at in any::<prop::sample::Index>(),
        piece in 0..PIECES.len(),
        what in 0..3,
    ) {
        prop_assume!(value.is_object());
        let mut chars: Vec<char> = value.to_string().chars().collect();
        let at = at.index(chars.len());
        match what {
            0 => chars.truncate(at),
            1 => drop(chars.remove(at)),
            _ => drop(chars.splice(at..at, PIECES[piece].chars())),
        }
        let line: String = chars.into_iter().collect();
        let oracle = serde_json::from_str::<serde_json::Value>(&line);
        // Two things are ours: lone surrogates become U+FFFD, numbers beyond a double stay text.
        let ours = oracle.as_ref().is_err_and(|error| {
            let text = error.to_string();
            text.contains("surrogate") || text.contains("out of range") || text.contains("hex escape")
        });
        prop_assume!(!ours);
        prop_assert_eq!(scanned(&line).is_some(), oracle.is_ok_and(|value| value.is_object()), "{}", line);
    }
}
