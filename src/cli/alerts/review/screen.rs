//! The screen of `plimsoll alerts review`.

use super::change::{Diff, OWN};
use super::{Presence, Reviewed};
use crate::base::terminal::{Paint, Style, WIDTH, cut, left, right, wrap};
use crate::base::units::Dur;
use crate::status::report::words::{age, clean};

/// Columns before a section's content, of a rule's name, of its severity and of a count.
const INDENT: usize = 14;
const NAMES: usize = 34;
const SEVERITY: usize = 8;
const COUNT: usize = 10;

pub(super) fn screen(reviewed: &[Reviewed<'_>], diff: &Diff, over: Dur, paint: Paint) -> String {
    let fired: Vec<&Reviewed<'_>> = reviewed.iter().filter(|one| one.fired > 0).collect();
    let times: usize = fired.iter().map(|one| one.fired).sum();
    let over = age(u64::try_from(over.0.as_nanos()).unwrap_or(u64::MAX));
    let mut out = match fired.len() {
        0 => heading("REVIEW", &format!("nothing fired in the last {over}"), paint),
        count => {
            let rules = if count == 1 { "rule" } else { "rules" };
            heading("REVIEW", &format!("{count} {rules} fired {times} times in the last {over}"), paint)
        }
    };
    if !fired.is_empty() {
        let head = ["fired", "< 5 min", "silenced", "again"].map(|head| right(head, COUNT)).concat();
        out.push_str(&format!("  {}{}{head}\n", left("rule", NAMES), left("severity", SEVERITY)));
        fired.iter().for_each(|one| out.push_str(&row(one, paint)));
    }
    let quiet = |one: &&Reviewed<'_>| one.fired == 0 && one.never_could().is_none();
    let names: Vec<&str> = reviewed.iter().filter(quiet).map(|one| one.rule.name.as_str()).collect();
    if !names.is_empty() {
        out.push_str(&list("NEVER FIRED", &names.join(", "), paint));
    }
    out.push_str(&never_could(reviewed, paint));
    out.push_str(&proposal(diff, paint));
    out
}

fn heading(name: &str, rest: &str, paint: Paint) -> String {
    format!("{}{rest}\n", paint.text(Style::Heading, &left(name, INDENT)))
}

fn list(name: &str, text: &str, paint: Paint) -> String {
    let lines = wrap(&clean(text), WIDTH - INDENT);
    lines.iter().enumerate().map(|(index, line)| heading(if index == 0 { name } else { "" }, line, paint)).collect()
}

fn row(one: &Reviewed<'_>, paint: Paint) -> String {
    let name = left(&cut(&clean(&one.rule.name), NAMES - 1), NAMES);
    let name = if one.change.is_some() { paint.text(Style::Warn, &name) } else { name };
    let counts =
        [one.fired, one.short, one.silenced, one.repeated].map(|count| right(&count.to_string(), COUNT)).concat();
    let still = if one.firing > 0 { format!("  {} still", one.firing) } else { String::new() };
    format!("  {name}{}{counts}{still}\n", left(&cut(&clean(one.severity), SEVERITY - 1), SEVERITY))
}

/// What is not here is counted by what is missing; what fails stands by itself.
fn never_could(reviewed: &[Reviewed<'_>], paint: Paint) -> String {
    let mut absent: Vec<(String, usize)> = Vec::new();
    let mut failing = String::new();
    for one in reviewed {
        let Some(why) = one.never_could() else { continue };
        if matches!(one.rule.presence, Presence::NotHere(_)) {
            match absent.iter_mut().find(|(known, _)| *known == why) {
                Some((_, count)) => *count += 1,
                None => absent.push((why, 1)),
            }
        } else {
            failing.push_str(&list("", &format!("{}: {why} (plimsoll doctor)", one.rule.name), paint));
        }
    }
    if absent.is_empty() && failing.is_empty() {
        return String::new();
    }
    let counts: Vec<String> = absent.iter().map(|(why, count)| format!("{count} with {why}")).collect();
    let counts = if counts.is_empty() { "some whose source fails".to_owned() } else { counts.join(", ") };
    list("NEVER COULD", &counts, paint) + &failing
}

/// How a proposal is taken. A file that held its hunks alone would take all other rules of the shipped one away.
fn how(diff: &Diff) -> String {
    let then = "put what you agree with into the file, then: plimsoll check && plimsoll reload";
    if diff.shipped.is_empty() {
        return format!("nothing is changed; {then}");
    }
    let files = diff.shipped.join(" ");
    format!("nothing is changed; a file in {OWN} replaces the whole shipped one, so first: cp {files} {OWN}/; {then}")
}

fn proposal(diff: &Diff, paint: Paint) -> String {
    let mut out = String::new();
    if !diff.text.is_empty() {
        out.push_str(&list("PROPOSED", &how(diff), paint));
        for line in diff.text.lines() {
            let style = match line.as_bytes().first() {
                Some(b'+') => Style::Good,
                Some(b'-') => Style::Bad,
                _ => Style::Plain,
            };
            out.push_str(&format!("{}\n", paint.text(style, &clean(line))));
        }
    }
    for left_out in &diff.left_out {
        out.push_str(&list("LEFT OUT", left_out, paint));
    }
    out
}
