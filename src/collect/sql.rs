//! SQL text without what people put into it: literals become `?`, comments go, so that no password, address or card
//! number leaves the box in a statement. Works on any text, cut in the middle or not: what is not understood is
//! hidden, not shown.

/// Whose rules of quoting hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `"name"`, `E'text\n'`, `$tag$text$tag$`.
    Postgres,
    /// `` `name` ``, `"text"`, backslashes in every text, `# comment`, `-- comment` with a space. MariaDB's too.
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
            // A quoted name may have any letter in it.
            Shown::Itself => out.extend(taken.chars().map(|c| if c.is_control() { ' ' } else { c })),
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
    let first = text.chars().next().unwrap_or(' ');
    let own = match dialect {
        Dialect::Postgres => of_postgres(text, first),
        Dialect::Mysql => of_mysql(text, first),
    };
    own.unwrap_or_else(|| match first {
        c if c.is_ascii_digit() => (word(text, |c| c.is_ascii_alphanumeric() || c == '.' || c == '_'), Shown::Literal),
        c if is_name(c) => (word(text, |c| is_name(c) || c == '$'), Shown::Itself),
        c if is_space(c) => (word(text, is_space), Shown::Space),
        c => (c.len_utf8(), Shown::Itself),
    })
}

/// What PostgreSQL reads in its own way. A backtick quotes nothing there: it is an operator's.
fn of_postgres(text: &str, first: char) -> Option<(usize, Shown)> {
    Some(match first {
        'e' | 'E' if text[1..].starts_with('\'') => literal(text, 1, true),
        '\'' => standard(text, false),
        '"' => name(text),
        '$' => dollar(text),
        '-' if text.starts_with("--") => (text.find(['\n', '\r']).unwrap_or(text.len()), Shown::Space),
        '/' if text.starts_with("/*") => (nested(text), Shown::Space),
        _ => return None,
    })
}

/// What MySQL and MariaDB read in their own way.
fn of_mysql(text: &str, first: char) -> Option<(usize, Shown)> {
    let line = || (text.find('\n').unwrap_or(text.len()), Shown::Space);
    Some(match first {
        '\'' | '"' => standard(text, true),
        '`' => name(text),
        '#' => line(),
        // `5--3` is a subtraction. Whether what is not ASCII is a space depends on the character set of the session.
        '-' if text.starts_with("--") => match text[2..].chars().next() {
            None => line(),
            Some(c) if c.is_ascii_whitespace() || c.is_ascii_control() => line(),
            Some(c) if c.is_ascii() => return None,
            Some(_) => (text.len(), Shown::NothingMore),
        },
        '/' if text.starts_with("/*") => remark(text),
        // From 9.0 on it may begin a text as in PostgreSQL, before that a name.
        '$' => match word(&text[1..], is_name) + 1 {
            tag if text[tag..].starts_with('$') => (text.len(), Shown::NothingMore),
            tag => (tag, Shown::Itself),
        },
        // With `sql_mode=MSSQL` MariaDB has names in brackets.
        '[' => (text.len(), Shown::NothingMore),
        _ => return None,
    })
}

/// Part of a name; both servers take all that is not ASCII for a letter.
fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}

fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c.is_ascii_control()
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
    if text[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return (word(&text[1..], |c| c.is_ascii_digit()) + 1, Shown::Itself);
    }
    let tag = word(&text[1..], is_name) + 1;
    if !text[tag..].starts_with('$') {
        return (tag, Shown::Itself);
    }
    let (tag, body) = text.split_at(tag + 1);
    (body.find(tag).map_or(text.len(), |end| tag.len() + end + tag.len()), Shown::Literal)
}

/// A comment of PostgreSQL: there they nest.
fn nested(text: &str) -> usize {
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

/// A comment of MySQL: the first end counts. Of `/*!`, `/*M!` and `/*+` the server may read what stands in them, texts
/// with the end of a comment in them too, and where it skips them it may count nested ones: such a one is left out only
/// where nothing in it can be understood in two ways, else nothing more is shown.
fn remark(text: &str) -> (usize, Shown) {
    let end = text[2..].find("*/").map_or(text.len(), |end| end + 4);
    let inside = &text[2..end];
    let read = ["!", "M!", "+"].iter().find_map(|mark| inside.strip_prefix(mark));
    let plain = |c: char| c.is_ascii_alphanumeric() || " \t\n_=,.()@*".contains(c);
    match read.map(|read| read.strip_suffix("*/")) {
        None => (end, Shown::Space),
        Some(Some(read)) if read.chars().all(plain) => (end, Shown::Space),
        Some(_) => (text.len(), Shown::NothingMore),
    }
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
            (Mysql, "SELECT _utf8'secret', N'secret', x'5ec7e7', 0x5ec7e7, b'01'", "SELECT _utf8?, N?, x?, ?, b?"),
            (Mysql, "SELECT \"secret\"\"secret\", 'secret' 'secret", "SELECT ?, ? ?"),
            (Postgres, "SELECT U&'d!0061t secret' UESCAPE '!', B'01', X'1F'", "SELECT U&? UESCAPE ?, B?, X?"),
            (Postgres, "SELECT E'a'\n'b\\' secret'", "SELECT ? ?"),
        ];
        for (dialect, text, shown) in cases {
            assert_eq!(strip(text, dialect, 1000), shown, "{text}");
        }
        assert_eq!(strip("SELECT abcdef", Postgres, 9), "SELECT ab");
    }

    #[test]
    fn what_mysql_and_postgresql_read_differently_hides_in_each_what_is_a_text_there() {
        let cases = [
            // No comment without a space behind it.
            (
                Mysql,
                "UPDATE acc SET bal=bal--5, note='Dear Bob,\nthe PIN is SECRET' WHERE id=7",
                "UPDATE acc SET bal=bal--?, note=? WHERE id=?",
            ),
            (Mysql, "SELECT 1 --\n, 'SECRET' --", "SELECT ? , ?"),
            (Mysql, "SELECT 1 --\u{a0}'a\nSECRET'", "SELECT ? ?"),
            // Comments do not nest.
            (
                Mysql,
                "/* GET /api/* */ INSERT INTO s (accept, token) VALUES ('text/html,*/*;q=0.8', 'SECRET')",
                "INSERT INTO s (accept, token) VALUES (?, ?)",
            ),
            (Postgres, "/* a /* b */ 'SECRET' */ SELECT 1", "SELECT ?"),
            // What is read as code, or skipped, depending on the version.
            (Mysql, "/*!50003 UPDATE t SET a='*/* SECRET' */", "?"),
            (Mysql, "/*M!100100 UPDATE t SET a='*/* SECRET' */", "?"),
            (Mysql, "SELECT /*+ SET_VAR(a='*/ SECRET') */ 1", "SELECT ?"),
            (Mysql, "SELECT 1 /*!99999 a /* b */ ' */ , 'SECRET'", "SELECT ? ?"),
            (Mysql, "SELECT /*!40001 SQL_NO_CACHE */ * FROM `orders`", "SELECT * FROM `orders`"),
            (Mysql, "SELECT /*!40001 SQL_NO_CA", "SELECT ?"),
            // Names in brackets, with `sql_mode=MSSQL`.
            (Mysql, "SELECT [a'b], 'SECRET'", "SELECT ?"),
            // Texts in dollars, from 9.0 on.
            (Mysql, "SELECT $a, $$it's SECRET$$", "SELECT $a, ?"),
            // A backtick is an operator.
            (Postgres, "SELECT a ` 'SECRET' ` b", "SELECT a ` ? ` b"),
            // All that is not ASCII is a letter, in the tag of a text too; a digit does not begin one.
            (Postgres, "SELECT $😀$ my SECRET $😀$", "SELECT ?"),
            (Postgres, "SELECT 😀E'a\\', 'SECRET'", "SELECT 😀E?"),
            (Postgres, "SELECT $1$$ SECRET $$", "SELECT $1?"),
            (Postgres, "SELECT 1 -- c\rWHERE note='line one\nSECRET'", "SELECT ? WHERE note=?"),
        ];
        for (dialect, text, shown) in cases {
            assert_eq!(strip(text, dialect, 1000), shown, "{text}");
        }
        assert_eq!(strip("SELECT `a\n\u{1b}b`", Mysql, 100), "SELECT `a  b`");
    }

    /// Of the parts below those from here on are read in two ways, and end what is shown.
    const DOUBTFUL: usize = 8;

    /// One part of a statement of `dialect`, well-formed by the server's own rules; all of it that is said by people
    /// holds SECRET.
    fn part(dialect: Dialect, kind: usize, said: &str) -> String {
        let said = format!("SECRET{said}");
        let doubled = |quote: char| said.replace('\\', "").replace(quote, &format!("{quote}{quote}"));
        let line = said.replace(['\n', '\r'], "");
        let remark = said.replace("*/", "* /").replace("/*", "/ *");
        match (dialect, kind) {
            (_, 0) => format!("'{}'", doubled('\'')),
            (_, DOUBTFUL) => format!("'{}\\' {}'", doubled('\''), doubled('\'')),
            (Mysql, 1) => format!("\"{}\"", doubled('"')),
            (Mysql, 2) => format!("'{}'", said.replace('\'', "").replace('\\', "\\\\ \\n")),
            (Mysql, 3) => format!("-- {line}\n"),
            (Mysql, 4) => format!("#{line}\n"),
            (Mysql, 5) => format!("/* {}*/", said.replace("*/", "* /")),
            (Mysql, 6) => format!("`{}`", said[6..].replace('`', "``")),
            (Mysql, 9) => format!("/*!50003 '{}' */", doubled('\'')),
            (Mysql, _) => "a--5 - -b * c / d".into(),
            (Postgres, 1) => format!("E'{}'", said.replace('\\', "\\\\").replace('\'', "\\'")),
            (Postgres, 2) => format!("$${}$$", said.replace('$', "")),
            (Postgres, 3) => format!("$é€${}$é€$", said.replace('€', "")),
            (Postgres, 4) => format!("--{line}\r"),
            (Postgres, 5) => format!("/*{remark} /* {remark} */ ' */"),
            (Postgres, 6) => format!("\"{}\"", said[6..].replace('"', "\"\"")),
            (Postgres, 9) => format!("U&'{}\\'", doubled('\'')),
            (Postgres, _) => "a ` b -5 * $1 / d".into(),
        }
    }

    proptest! {
        #[test]
        fn no_literal_and_no_comment_is_ever_shown_and_what_is_behind_them_is(
            parts in proptest::collection::vec((0_usize..10, "[a-c0-2 '\"`$#;\\\\/*\n\r!+é€-]{0,9}"), 1..8),
            cut in 0_usize..400,
            mysql: bool,
        ) {
            let dialect = if mysql { Mysql } else { Postgres };
            let all = parts.iter().all(|(kind, _)| *kind < DOUBTFUL);
            let parts: Vec<_> = parts.iter().map(|(kind, said)| part(dialect, *kind, said)).collect();
            let text = format!("SELECT {} TAIL", parts.join(" "));
            let shown = strip(&text, dialect, 10_000);
            prop_assert!(!shown.contains("SECRET") && shown.ends_with(" TAIL") == all, "{text} -> {shown}");
            let shown = strip(&text[..text.floor_char_boundary(cut)], dialect, 10_000);
            prop_assert!(!shown.contains("SECRET"), "{text}, cut at {cut} -> {shown}");
        }

        #[test]
        fn any_text_is_taken(text in ".{0,200}", limit in 0_usize..100) {
            for dialect in [Postgres, Mysql] {
                prop_assert!(strip(&text, dialect, limit).len() <= limit);
            }
        }
    }
}
