//! SQL text without what people put into it: literals become `?`, comments go, so that no password, address or card
//! number leaves the box in a statement. Works on any text, cut in the middle or not: what is not understood is
//! hidden, not shown.

/// Whose rules of quoting hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `"name"`, `E'text\n'`, `$tag$text$tag$`.
    Postgres,
    /// `` `name` ``, `"text"`, backslashes in every text, `# comment`.
    Mysql,
}

/// What follows these words is a secret or holds one, in whatever form: the statement is cut there.
const SECRETIVE: [&str; 7] =
    ["password", "identified", "encrypted", "conninfo", "connection", "options", "auth_string"];

/// `text` in one line without literals and comments, at most `limit` bytes of it. Numbers become `?` too, but not
/// those inside names and parameters (`t1`, `$1`).
pub fn strip(text: &str, dialect: Dialect, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit));
    let mut rest = text;
    while !rest.is_empty() && out.len() < limit {
        let (length, shown) = token(rest, dialect);
        let (taken, behind) = rest.split_at(length);
        rest = behind;
        match shown {
            Shown::Itself => out.push_str(taken),
            Shown::Literal => out.push('?'),
            Shown::Space if out.is_empty() || out.ends_with(' ') => {}
            Shown::Space => out.push(' '),
            Shown::NothingMore => {
                out.push('?');
                break;
            }
        }
        if SECRETIVE.iter().any(|word| taken.eq_ignore_ascii_case(word)) {
            out.push_str(" ?");
            break;
        }
    }
    out.truncate(out.floor_char_boundary(limit));
    out.truncate(out.trim_end().len());
    out
}

enum Shown {
    Itself,
    Literal,
    Space,
    /// Nobody can tell where it ends.
    NothingMore,
}

/// The length of the first token, never 0, and what is shown of it.
fn token(text: &str, dialect: Dialect) -> (usize, Shown) {
    let mysql = dialect == Dialect::Mysql;
    let first = text.chars().next().unwrap_or(' ');
    match first {
        'e' | 'E' if !mysql && text[1..].starts_with('\'') => literal(text, 1, true),
        '\'' => standard(text, mysql),
        '"' if mysql => standard(text, mysql),
        '"' | '`' => name(text),
        '$' if !mysql => dollar(text),
        _ if text.starts_with("--") || (mysql && first == '#') => (text.find('\n').unwrap_or(text.len()), Shown::Space),
        _ if text.starts_with("/*") => (comment(text), Shown::Space),
        c if c.is_ascii_digit() => (word(text, |c| c.is_ascii_alphanumeric() || c == '.' || c == '_'), Shown::Literal),
        c if c.is_alphanumeric() || c == '_' => {
            (word(text, |c| c.is_alphanumeric() || c == '_' || c == '$'), Shown::Itself)
        }
        c if c.is_whitespace() || c.is_control() => (word(text, |c| c.is_whitespace() || c.is_control()), Shown::Space),
        c => (c.len_utf8(), Shown::Itself),
    }
}

fn word(text: &str, part: impl Fn(char) -> bool) -> usize {
    text.find(|c| !part(c)).unwrap_or(text.len())
}

/// A text that starts with its quote at `start`; a doubled quote does not end it, nor one behind a backslash.
fn literal(text: &str, start: usize, backslashes: bool) -> (usize, Shown) {
    let bytes = text.as_bytes();
    let quote = bytes.get(start).copied();
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if backslashes => at += 2,
            byte if Some(byte) == quote && bytes.get(at + 1).copied() == quote => at += 2,
            byte if Some(byte) == quote => return (at + 1, Shown::Literal),
            _ => at += 1,
        }
    }
    (text.len(), Shown::Literal)
}

/// A plain text. Whether a backslash before a quote hides the quote depends on a setting of the session
/// (`standard_conforming_strings`, `NO_BACKSLASH_ESCAPES`): where that matters, nothing more is shown.
fn standard(text: &str, backslashes: bool) -> (usize, Shown) {
    let (length, shown) = literal(text, 0, backslashes);
    let doubtful = text[..length].contains(&format!("\\{}", &text[..1]));
    if doubtful { (text.len(), Shown::NothingMore) } else { (length, shown) }
}

/// A quoted name, shown; one without an end is none.
fn name(text: &str) -> (usize, Shown) {
    let quote = &text[..1];
    match text[1..].find(quote) {
        Some(end) => (end + 2, Shown::Itself),
        None => (text.len(), Shown::NothingMore),
    }
}

/// `$1` is a parameter, `$tag$ … $tag$` a text.
fn dollar(text: &str) -> (usize, Shown) {
    let tag = word(&text[1..], |c| c.is_alphanumeric() || c == '_') + 1;
    if !text[tag..].starts_with('$') {
        return (tag, Shown::Itself);
    }
    let (tag, body) = text.split_at(tag + 1);
    (body.find(tag).map_or(text.len(), |end| tag.len() + end + tag.len()), Shown::Literal)
}

/// Comments nest in Postgres; in MySQL the first end counts, and hiding more is no harm.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(found) = text[at..].find(['/', '*']) {
        let here = at + found;
        if text[here..].starts_with("/*") {
            depth += 1;
            at = here + 2;
        } else if text[here..].starts_with("*/") {
            depth = depth.saturating_sub(1);
            at = here + 2;
            if depth == 0 {
                return at;
            }
        } else {
            at = here + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Dialect::{Mysql, Postgres};
    use super::*;

    #[test]
    fn literals_go_and_names_stay() {
        let cases = [
            (
                Postgres,
                "SELECT * FROM t1 WHERE a = 'x''y' AND b = 17.5e3 AND c = $2",
                "SELECT * FROM t1 WHERE a = ? AND b = ? AND c = $2",
            ),
            (
                Postgres,
                "select E'it\\'s secret', \"Name 1\" -- secret\n, $$secret$$, $a$ $b$ secret $a$",
                "select ?, \"Name 1\" , ?, ?",
            ),
            (Postgres, "select 'a\\', 'secret'", "select ?"),
            (Postgres, "select /* secret /* nested */ secret */ 1", "select ?"),
            (Postgres, "ALTER ROLE x PASSWORD 'secret'", "ALTER ROLE x PASSWORD ?"),
            (Postgres, "CREATE SUBSCRIPTION s CONNECTION $1", "CREATE SUBSCRIPTION s CONNECTION ?"),
            (Postgres, "select 'not ended secret", "select ?"),
            (
                Mysql,
                "SELECT \"it's secret\", `a name` FROM t # secret\n WHERE a='\"secret'",
                "SELECT ?, `a name` FROM t WHERE a=?",
            ),
            (Mysql, "SELECT 'a\\', 'secret'", "SELECT ?"),
            (Mysql, "SELECT \"a\\\", \"secret\"", "SELECT ?"),
            (Mysql, "CREATE USER a IDENTIFIED BY 'secret'", "CREATE USER a IDENTIFIED ?"),
        ];
        for (dialect, text, shown) in cases {
            assert_eq!(strip(text, dialect, 1000), shown, "{text}");
        }
        assert_eq!(strip("SELECT abcdef", Postgres, 9), "SELECT ab");
    }

    proptest! {
        #[test]
        fn no_literal_is_ever_shown(parts in proptest::collection::vec("[a-z0-9 \"$\\\\/*\n-]{0,6}", 1..8), mysql: bool) {
            // However the text around it is made, a literal that starts outside of everything is hidden.
            let dialect = if mysql { Mysql } else { Postgres };
            let mut text = String::from("SELECT ");
            for part in &parts {
                let quoted = part.replace('\\', "");
                text.push_str(&format!("'SECRET{quoted}', "));
            }
            let shown = strip(&text, dialect, 10_000);
            prop_assert!(!shown.contains("SECRET"), "{text} -> {shown}");
        }

        #[test]
        fn any_text_is_taken(text in ".{0,200}", limit in 0_usize..100) {
            for dialect in [Postgres, Mysql] {
                prop_assert!(strip(&text, dialect, limit).len() <= limit);
            }
        }
    }
}
