//! What would make a rule less noisy, and its place in the rule file, as a unified diff.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use similar::TextDiff;

use super::seconds;

/// Where the files of this box go: one of the same name replaces the shipped one.
pub(super) const OWN: &str = "/etc/plimsoll/alerts";
/// Lengths that people write.
const NICE: &[u64] = &[60, 120, 300, 600, 900, 1800, 3600];

/// A proposed change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// `for`
    Hold(Duration),
    /// `keep_firing_for`
    Keep(Duration),
    /// The label `severity`.
    Severity(&'static str),
}

impl Change {
    /// A `for` that outlasts four of five of what was over soon (milliseconds); none where no nice one does. A rule without
    /// one tells of an event, which lasts as long as its range and no longer: with a `for` it would never fire again, nor
    /// would one whose `for` is as long as its shortest range.
    pub(super) fn longer(hold: Duration, short: &[i64], range: Option<Duration>) -> Option<Self> {
        let longer = nice(hold + seconds(most(short)), hold).filter(|_| !hold.is_zero())?;
        range.is_none_or(|range| longer < range).then_some(Self::Hold(longer))
    }

    /// A `keep_firing_for` that outlasts four of five of the gaps (milliseconds).
    pub(super) fn joined(keep: Duration, gaps: &[i64]) -> Option<Self> {
        nice(seconds(most(gaps)), keep).map(Self::Keep)
    }

    fn key(&self) -> &'static str {
        match self {
            Self::Hold(_) => "for",
            Self::Keep(_) => "keep_firing_for",
            Self::Severity(_) => "severity",
        }
    }

    fn value(&self) -> String {
        match self {
            Self::Hold(length) | Self::Keep(length) => match length.as_secs() {
                seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
                seconds => format!("{}m", seconds / 60),
            },
            Self::Severity(severity) => (*severity).to_owned(),
        }
    }

    pub(super) fn fact(&self) -> Value {
        json!({ self.key(): self.value() })
    }
}

/// The length that four of five do not exceed.
fn most(lengths: &[i64]) -> i64 {
    let mut sorted = lengths.to_vec();
    sorted.sort_unstable();
    sorted.get((sorted.len() * 4).div_ceil(5).saturating_sub(1)).copied().unwrap_or(0)
}

/// The first length that people write above `least`, and above what there is.
fn nice(least: Duration, now: Duration) -> Option<Duration> {
    NICE.iter().map(|seconds| Duration::from_secs(*seconds)).find(|nice| *nice > least && *nice > now)
}

/// A change of one rule of a file; rules of one name are told apart by their severity.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Edit<'a> {
    pub(super) file: &'a str,
    pub(super) rule: &'a str,
    pub(super) severity: &'a str,
    pub(super) change: &'a Change,
}

/// The proposal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Diff {
    /// Unified, of all files.
    pub(super) text: String,
    /// The shipped files in it: what replaces one is a whole file.
    pub(super) shipped: Vec<String>,
    /// What could not be put into it.
    pub(super) left_out: Vec<String>,
}

/// The changes as a diff of the files that `read` gives.
pub(super) fn diff(edits: &[Edit<'_>], read: impl Fn(&str) -> Result<String, String>) -> Diff {
    let mut out = Diff::default();
    let mut files: Vec<&str> = edits.iter().map(|edit| edit.file).collect();
    files.sort_unstable();
    files.dedup();
    for file in files {
        let old = match read(file) {
            Ok(old) => old,
            Err(error) => {
                out.left_out.push(format!("{file}: {error}"));
                continue;
            }
        };
        let mut new: Vec<String> = old.lines().map(str::to_owned).collect();
        for edit in edits.iter().filter(|edit| edit.file == file) {
            if !apply(&mut new, edit) {
                let (rule, key) = (edit.rule, edit.change.key());
                out.left_out
                    .push(format!("{file}: {rule}: its `{key}` was not found; set it to {}", edit.change.value()));
            }
        }
        let new = new.join("\n") + "\n";
        let name = Path::new(file).file_name().unwrap_or_default().to_string_lossy();
        let own = if file.starts_with(OWN) { file.to_owned() } else { format!("{OWN}/{name}") };
        let text = TextDiff::from_lines(old.as_str(), new.as_str()).unified_diff().header(file, &own).to_string();
        if !text.is_empty() && own != file {
            out.shipped.push(file.to_owned());
        }
        out.text.push_str(&text);
    }
    out
}

/// Makes one change in the lines of a file; false where its place is not found.
fn apply(lines: &mut Vec<String>, edit: &Edit<'_>) -> bool {
    let Some((first, end)) = blocks(lines, edit.rule).into_iter().find(|(first, end)| {
        let block = &lines[*first..*end];
        edit.severity.is_empty() || block.iter().any(|line| value_at(line, "severity") == Some(edit.severity))
    }) else {
        return false;
    };
    let (key, value) = (edit.change.key(), edit.change.value());
    for line in &mut lines[first..end] {
        if let Some(old) = value_at(line, key) {
            let at = line.find(&format!("{key}:")).unwrap_or(0) + key.len() + 1;
            let changed = line[at..].replacen(old, &value, 1);
            line.replace_range(at.., &changed);
            return true;
        }
    }
    let indent = lines[first].find("alert:").unwrap_or(0);
    if matches!(edit.change, Change::Severity(_)) {
        return false;
    }
    lines.insert(first + 1, format!("{}{key}: {value}", " ".repeat(indent)));
    true
}

/// The lines of the alerting rules with this name: from `alert:` to the next item of their list, or its end.
fn blocks(lines: &[String], rule: &str) -> Vec<(usize, usize)> {
    let starts = lines.iter().enumerate().filter(|(_, line)| {
        let line = line.trim_start().trim_start_matches("- ");
        line.starts_with("alert:") && value_at(line, "alert") == Some(rule)
    });
    starts
        .map(|(first, line)| {
            let indent = line.len() - line.trim_start().len();
            let ends = |line: &&String| {
                let own = line.len() - line.trim_start().len();
                !line.trim().is_empty() && own <= indent
            };
            let length = lines[first + 1..].iter().take_while(|line| !ends(line)).count();
            (first, first + 1 + length)
        })
        .collect()
}

/// The plain value of `key` in a line of YAML, also inside of `{ … }`; without quotes.
fn value_at<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let start = line.match_indices(key).find(|(at, _)| {
        let before = line[..*at].chars().next_back();
        let open = before.is_none_or(|c| matches!(c, ' ' | '{' | ',' | '-'));
        open && line[at + key.len()..].starts_with(':')
    });
    let rest = line[start?.0 + key.len() + 1..].trim_start();
    let value = match rest.chars().next()? {
        quote @ ('\'' | '"') => rest[1..].split(quote).next()?,
        _ => rest.split([',', '}', '#']).next()?.trim_end(),
    };
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
groups:
  - name: shop
    rules:
      - alert: Slow
        expr: x > 1
        for: 5m # long enough
        labels: { severity: page, stage: '3' }
      - alert: Slow
        expr: x > 0.5
        labels:
          severity: \"ticket\"

      - alert: Other
        expr: y
";

    #[test]
    fn each_change_is_a_diff_in_its_place() {
        let file = "/usr/share/plimsoll/alerts/shop.yaml";
        let hold = Change::Hold(Duration::from_secs(900));
        let keep = Change::Keep(Duration::from_secs(3600));
        let ticket = Change::Severity("ticket");
        let edit = |rule, severity, change| Edit { file, rule, severity, change };
        let edits = [edit("Slow", "page", &hold), edit("Slow", "ticket", &keep), edit("Other", "", &ticket)];
        let got = diff(&edits, |_| Ok(FILE.to_owned()));
        let want = "\
--- /usr/share/plimsoll/alerts/shop.yaml
+++ /etc/plimsoll/alerts/shop.yaml
@@ -3,9 +3,10 @@
     rules:
       - alert: Slow
         expr: x > 1
-        for: 5m # long enough
+        for: 15m # long enough
         labels: { severity: page, stage: '3' }
       - alert: Slow
+        keep_firing_for: 1h
         expr: x > 0.5
         labels:
           severity: \"ticket\"
";
        assert_eq!(got.text, want);
        assert_eq!(got.shipped, [file]);
        assert_eq!(got.left_out, [format!("{file}: Other: its `severity` was not found; set it to ticket")]);
        let flow = diff(&[edit("Slow", "page", &ticket)], |_| Ok(FILE.to_owned())).text;
        assert!(flow.contains("+        labels: { severity: ticket, stage: '3' }\n"), "{flow}");
        let unread = diff(&edits, |_| Err("permission denied".into()));
        assert_eq!(unread.left_out, [format!("{file}: permission denied")]);
    }

    #[test]
    fn proposed_lengths_outlast_what_was_over_soon() {
        let minutes = Duration::from_secs(300);
        let ten = Some(Change::Hold(Duration::from_secs(600)));
        assert_eq!(Change::longer(minutes, &[60_000, 90_000, 200_000], None), ten);
        assert_eq!(Change::longer(Duration::from_secs(3600), &[60_000; 3], None), None, "no alert should wait longer");
        assert_eq!(Change::joined(Duration::ZERO, &[600_000; 3]), Some(Change::Keep(Duration::from_secs(900))));
    }

    #[test]
    fn no_length_is_proposed_with_which_a_rule_would_never_fire_again() {
        let range = |minutes: u64| Some(Duration::from_secs(60 * minutes));
        let minutes = Duration::from_secs(300);
        assert_eq!(
            Change::longer(Duration::ZERO, &[285_000; 5], range(5)),
            None,
            "an event lasts as long as its range"
        );
        assert_eq!(Change::longer(Duration::ZERO, &[285_000; 5], None), None);
        assert_eq!(Change::longer(minutes, &[60_000; 3], range(10)), None);
        assert_eq!(Change::longer(minutes, &[60_000; 3], range(15)), Some(Change::Hold(Duration::from_secs(600))));
    }
}
