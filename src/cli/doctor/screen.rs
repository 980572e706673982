//! The screen of `plimsoll doctor`: a section for each part, a line for each check, its commands below it.

use super::check::{Check, Verdict};
use crate::base::terminal::{Paint, Style, WIDTH, left, wrap};
use crate::status::report::words::clean;

/// Columns before a check's verdict, of a verdict, and of a name.
const INDENT: usize = 2;
const VERDICT: usize = 10;
const NAME: usize = 20;

/// The whole screen, and what it comes to in its last line.
pub(super) fn screen(checks: &[Check], paint: Paint) -> String {
    let mut out = String::new();
    let mut part = "";
    for check in checks {
        if check.part != part {
            part = check.part;
            out.push_str(&paint.text(Style::Heading, &part.to_uppercase()));
            out.push('\n');
        }
        one(check, paint, &mut out);
    }
    out.push_str(&sum(checks, paint));
    out
}

fn one(check: &Check, paint: Paint, out: &mut String) {
    let (word, style) = match check.verdict {
        Verdict::Ok => ("ok", Style::Good),
        Verdict::NotHere => ("not here", Style::Plain),
        Verdict::Warn => ("warn", Style::Warn),
        Verdict::Fail => ("fail", Style::Bad),
    };
    let start = INDENT + VERDICT + NAME;
    let name = clean(&check.name);
    let verdict = paint.text(style, &left(word, VERDICT));
    let head = format!("{}{verdict}{}", " ".repeat(INDENT), left(&name, NAME));
    // A long name has the line to itself.
    let long = name.chars().count() >= NAME;
    let mut lines = wrap(&clean(&check.words), WIDTH - start).into_iter();
    let first = if long { None } else { lines.next() };
    out.push_str(format!("{head}{}", first.unwrap_or_default()).trim_end());
    out.push('\n');
    for line in lines {
        out.push_str(&format!("{}{line}\n", " ".repeat(start)));
    }
    for command in &check.mend {
        // Unbroken, so that it can be copied.
        out.push_str(&format!("{}{}\n", " ".repeat(start + 2), paint.text(Style::Heading, &clean(command))));
    }
}

fn sum(checks: &[Check], paint: Paint) -> String {
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let (fail, warn) = (count(Verdict::Fail), count(Verdict::Warn));
    let (words, style) = match (fail, warn) {
        (0, 0) => ("all is well".to_owned(), Style::Good),
        (0, _) => (format!("nothing fails, {warn} to look at"), Style::Warn),
        (_, 0) => (format!("{fail} to mend"), Style::Bad),
        _ => (format!("{fail} to mend, {warn} to look at"), Style::Bad),
    };
    format!("{}\n", paint.text(style, &words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_has_its_line_and_a_command_stays_whole() {
        let grant =
            "psql -d postgres -c 'CREATE ROLE plimsoll LOGIN; GRANT pg_monitor TO plimsoll' -h /run/postgresql -p 5432";
        let checks = [
            Check::ok("agent", "plimsoll", "0.1.0, up 3 d"),
            Check::fail("sources", "postgres 127.0.0.1:5432", "found, not read: it wants a role of our own for that")
                .mended_by(vec![grant.into()]),
            Check::warn("sources", "files", "a name with \u{1b}[31mcolours"),
            Check::not_here("sources", "redis, mysql", "nothing of this kind was found or configured"),
        ];
        let got = screen(&checks, Paint::NONE);
        let want = format!(
            "AGENT\n  ok        plimsoll            0.1.0, up 3 d\nSOURCES\n  fail      postgres 127.0.0.1:5432\n{}found, not \
             read: it wants a role of our own for that\n{}{grant}\n  warn      files               a name with \
             ?[31mcolours\n  not here  redis, mysql        nothing of this kind was found or configured\n1 to mend, 1 to \
             look at\n",
            " ".repeat(32),
            " ".repeat(34)
        );
        assert_eq!(got, want);
        assert!(screen(&checks[..1], Paint::NONE).ends_with("all is well\n"));
    }
}
