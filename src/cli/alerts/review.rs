//! `plimsoll alerts review`: which alerts were noise, by the ledger, and what would make them fewer; it changes nothing.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::rules;
use crate::alert::view::{Activation, AlertView, Presence, RuleView};
use crate::base::clock;
use crate::base::terminal::{Paint, print};
use crate::base::units::Dur;
use crate::cli::reach::Reach;
use crate::control::Alerts;
use crate::query::{self, Query};

mod change;
mod screen;

use change::{Change, Edit};

/// Say which alerts were noise, and what would make them fewer
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// Over this long; the ledger keeps 90 days
    #[arg(long, value_name = "DURATION", default_value = "30d")]
    over: Dur,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

const HELP: &str = "\
Of each rule: how often it fired; how often that was over within five minutes, silenced while it fired, or back within an \
hour of its end; whether it never fired; and whether it never could, because its source is not here or fails.

A change is proposed from three times on, where at least half were noise: a longer `for`, a `keep_firing_for` that joins \
what comes back, a ticket instead of a page that people silence. Never for what must be told as it is: a server that is \
down, a full disk, a backup, a certificate. Nothing is changed: the diff is for /etc/plimsoll/alerts.

Exit code: 0 with an answer, 1 when no agent answers, 2 for misuse.

With --json, one object: since, rules and diff. A rule has name, group, file, severity, fired, firing, short, silenced, \
repeated, never_could (why, or null) and change (for, keep_firing_for or severity with its new value, or null).";

/// Over within this time (milliseconds): it went by itself.
const SHORT: i64 = 300_000;
/// Back within this time (milliseconds): the same trouble again.
const AGAIN: i64 = 3_600_000;
/// Fewer times than these say nothing.
const ENOUGH: usize = 3;
/// In names of metrics of disks, backups and certificates.
const GRAVE: &[&str] = &["filesystem", "archive", "backup", "cert"];

/// Runs the command.
///
/// # Errors
/// No agent answers, or standard output cannot be written to.
pub async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let now = i64::try_from(clock::unix_nanos() / 1_000_000).unwrap_or(i64::MAX);
    let since = now.saturating_sub(i64::try_from(args.over.0.as_millis()).unwrap_or(i64::MAX)).max(1);
    let alerts = args.reach.connect().await?.alerts(since).await?;
    let reviewed = review(&alerts);
    let diff = change::diff(&edits(&reviewed), |path| std::fs::read_to_string(path).map_err(|error| error.to_string()));
    if args.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&facts(since, &reviewed, &diff))?))?;
    } else {
        print(&screen::screen(&reviewed, &diff, args.over, Paint::for_stdout()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What became of one rule.
#[derive(Debug, Clone, PartialEq)]
struct Reviewed<'a> {
    rule: &'a RuleView,
    group: &'a str,
    file: &'a str,
    severity: &'a str,
    fired: usize,
    /// Of these, still.
    firing: usize,
    /// Over within five minutes.
    short: usize,
    /// Silenced while they fired.
    silenced: usize,
    /// Back within an hour.
    repeated: usize,
    change: Option<Change>,
}

impl Reviewed<'_> {
    /// Why it never could fire, as it stands now.
    fn never_could(&self) -> Option<String> {
        match &self.rule.presence {
            _ if self.fired > 0 => None,
            Presence::NotHere(kind) => Some(format!("no {kind} on this box")),
            Presence::CannotFire { why, .. } => Some(why.clone()),
            Presence::Here if !self.rule.error.is_empty() => Some(self.rule.error.clone()),
            Presence::Here | Presence::Fleet => None,
        }
    }
}

/// All rules that page or make tickets here, those that fired most first. The heartbeat counts nowhere.
fn review(alerts: &Alerts) -> Vec<Reviewed<'_>> {
    let mut out: Vec<Reviewed<'_>> = rules(alerts)
        .filter_map(|(group, rule)| {
            let group = &alerts.view.groups[group];
            let severity = rule.labels.iter().find(|(name, _)| name == "severity").map_or("", |(_, value)| value);
            let counts = severity != "none" && !matches!(rule.presence, Presence::Fleet);
            let alert = rule.alert.as_ref().filter(|_| counts)?;
            let fired: Vec<&Activation> = alerts.history.iter().filter(|one| is_of(one, rule)).collect();
            Some(one(rule, alert, &fired, (&group.name, &group.file, severity)))
        })
        .collect();
    out.sort_by_key(|reviewed| std::cmp::Reverse(reviewed.fired));
    out
}

/// Rules of one name, as the fast and the slow one of a burn rate, differ in their labels.
fn is_of(activation: &Activation, rule: &RuleView) -> bool {
    let same = |(name, value): &(String, String)| value.contains("{{") || activation.labels.get(name) == value;
    activation.rule == rule.name && rule.labels.iter().all(same)
}

fn one<'a>(
    rule: &'a RuleView,
    alert: &AlertView,
    fired: &[&Activation],
    (group, file, severity): (&'a str, &'a str, &'a str),
) -> Reviewed<'a> {
    let lengths: Vec<i64> = fired.iter().filter_map(|one| Some(one.end? - one.start)).collect();
    let short: Vec<i64> = lengths.into_iter().filter(|length| *length < SHORT).collect();
    let silenced = fired.iter().filter(|one| !one.silenced.is_empty()).count();
    let gaps = gaps(fired);
    let noisy = |count: usize| count >= ENOUGH && count * 2 >= fired.len();
    let change = if is_grave(&rule.query) {
        None
    } else if noisy(silenced) && severity == "page" {
        Some(Change::Severity("ticket"))
    } else if noisy(short.len()) {
        Change::longer(alert.hold, &short, shortest_range(&rule.query))
    } else if noisy(gaps.len()) {
        Change::joined(alert.keep, &gaps)
    } else {
        None
    };
    Reviewed {
        rule,
        group,
        file,
        severity,
        fired: fired.len(),
        firing: fired.iter().filter(|one| one.end.is_none()).count(),
        short: short.len(),
        silenced,
        repeated: gaps.len(),
        change,
    }
}

/// Whether a rule is about what costs more than any number of pages when nobody hears of it; that it ended by itself, or
/// was silenced for a maintenance, is no sign of noise.
fn is_grave(text: &str) -> bool {
    let Ok(query) = Query::parse(text) else { return false };
    let grave = |name: &&str| *name == "up" || name.ends_with("_up") || GRAVE.iter().any(|word| name.contains(word));
    query.names().iter().any(grave)
}

/// The shortest range that a query looks at, such as `[5m]`; brackets in quotes are patterns.
fn shortest_range(text: &str) -> Option<Duration> {
    let mut bare = String::new();
    let mut open = None;
    for letter in text.chars() {
        match open {
            Some(quote) if quote == letter => open = None,
            Some(_) => {}
            None if matches!(letter, '"' | '\'' | '`') => open = Some(letter),
            None => bare.push(letter),
        }
    }
    let ranges = bare.split('[').skip(1).filter_map(|rest| rest.split([']', ':']).next());
    ranges.filter_map(|range| query::duration(range.trim())).min().map(seconds)
}

/// Milliseconds from an end to the next start of the same alert, where that is soon.
fn gaps(fired: &[&Activation]) -> Vec<i64> {
    let mut by_labels: BTreeMap<String, Vec<&Activation>> = BTreeMap::new();
    for one in fired {
        by_labels.entry(one.labels.to_string()).or_default().push(one);
    }
    let mut out = Vec::new();
    for alike in by_labels.values_mut() {
        alike.sort_by_key(|one| one.start);
        let pairs = alike.windows(2).filter_map(|pair| Some(pair[1].start - pair[0].end?));
        out.extend(pairs.filter(|gap| (0..AGAIN).contains(gap)));
    }
    out
}

fn edits<'a>(reviewed: &'a [Reviewed<'a>]) -> Vec<Edit<'a>> {
    let edit = |one: &'a Reviewed<'a>| {
        let change = one.change.as_ref()?;
        Some(Edit { file: one.file, rule: &one.rule.name, severity: one.severity, change })
    };
    reviewed.iter().filter_map(edit).collect()
}

fn facts(since: i64, reviewed: &[Reviewed<'_>], diff: &change::Diff) -> Value {
    let rules: Value = reviewed
        .iter()
        .map(|one| {
            json!({
                "name": one.rule.name, "group": one.group, "file": one.file, "severity": one.severity,
                "fired": one.fired, "firing": one.firing, "short": one.short, "silenced": one.silenced,
                "repeated": one.repeated, "never_could": one.never_could(),
                "change": one.change.as_ref().map(Change::fact),
            })
        })
        .collect();
    json!({ "since": since / 1000, "rules": rules, "diff": diff.text })
}

fn seconds(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests;
