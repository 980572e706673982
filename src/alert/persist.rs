//! What must outlive the process: the alerts and the messages that wait, in one file that is replaced as a whole.
//!
//! The file is written before a notification leaves, so that a crash may repeat one and loses none. When it lies on
//! disk, it lies there whole: it is written beside, synced, renamed, and its folder is synced. How long the agent was
//! away is told by a second, tiny file that is touched in each round and not synced: without it, a quiet hour between
//! two changes would look like an hour away.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::group::{FAILING, Run};
use super::rules::Rule;
use super::state::{Alert, Alerts, State};
use crate::store::Labels;

/// All that is kept. Times are Unix milliseconds.
///
/// What a later version adds is passed over; where it changes what is here, it counts `format` up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// [`FORMAT`]; 0: of a version that did not write it.
    #[serde(default)]
    pub format: u32,
    /// When it was written.
    pub at: i64,
    /// Rules that have alerts.
    pub rules: Vec<SavedRule>,
    /// The notifiers' waiting messages, as the line gave them.
    pub waiting: serde_json::Value,
}

/// The alerts of one rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedRule {
    /// Its file, which goes before the bare name: two folders may have one of that name. Empty: of a version that did
    /// not write it.
    #[serde(default)]
    pub path: String,
    /// The name of its file, without the folder: a file of the box may replace a shipped one.
    pub file: String,
    /// Its group.
    pub group: String,
    /// Its name; empty: the alerts for rules of the group that fail.
    pub rule: String,
    /// The labels that it adds, as written.
    pub labels: Vec<(String, String)>,
    /// Which one it is of rules that are the same in all this.
    pub nth: usize,
    /// Its alerts.
    pub alerts: Vec<SavedAlert>,
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in `state::Alert`")]
pub struct SavedAlert {
    pub labels: BTreeMap<String, String>,
    pub annotations: Vec<(String, String)>,
    pub state: String,
    /// As text, because JSON has no word for what is no number.
    pub value: String,
    pub active_at: i64,
    pub fired_at: Option<i64>,
    pub kept_since: Option<i64>,
    pub resolved_at: Option<i64>,
    pub sent_at: Option<i64>,
    pub held_until: Option<i64>,
}

/// The form of what is kept.
pub const FORMAT: u32 = 1;

/// Only the number, which stays where it is in all forms.
#[derive(Deserialize)]
struct Form {
    #[serde(default)]
    format: u32,
}

/// Most bytes of the file that are read.
const MOST: u64 = 64 << 20;

/// The two files.
#[derive(Debug, Clone)]
pub struct Files {
    state: PathBuf,
    alive: PathBuf,
}

impl Files {
    /// In the state folder.
    pub fn new(folder: &Path) -> Self {
        Self { state: folder.join("alerts.json"), alive: folder.join("alerts.alive") }
    }

    /// What an earlier life kept, and when it was last alive; with what is wrong with the file, if anything.
    pub fn load(&self) -> (Option<Saved>, Option<String>) {
        let text = match fs::metadata(&self.state).and_then(|meta| {
            if meta.len() > MOST { Err(io::Error::other("it is too large")) } else { fs::read(&self.state) }
        }) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return (None, None),
            Err(error) => return (None, Some(self.set_aside(&error.to_string()))),
        };
        if serde_json::from_slice::<Form>(&text).is_ok_and(|form| form.format > FORMAT) {
            return (None, Some(self.set_aside("a later version of plimsoll wrote it")));
        }
        match serde_json::from_slice::<Saved>(&text) {
            Ok(mut saved) => {
                let alive = fs::read_to_string(&self.alive).ok().and_then(|text| text.trim().parse().ok());
                saved.at = saved.at.max(alive.unwrap_or(0));
                (Some(saved), None)
            }
            Err(error) => (None, Some(self.set_aside(&error.to_string()))),
        }
    }

    fn set_aside(&self, why: &str) -> String {
        let aside = self.state.with_extension("json.damaged");
        let kept = match fs::rename(&self.state, &aside) {
            Ok(()) => format!("it lies in {}", aside.display()),
            Err(error) => format!("it cannot be set aside: {error}"),
        };
        let state = self.state.display();
        format!("{state} cannot be read ({why}), so alerts begin anew; {kept}: remove it when you have looked at it")
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// Names the file that could not be written.
    pub fn save(&self, saved: &Saved) -> Result<(), String> {
        let write = || {
            let new = self.state.with_extension("json.new");
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec(saved)?)?;
            file.sync_all()?;
            fs::rename(&new, &self.state)?;
            self.state.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        write().map_err(|error| format!("cannot write {}: {error}", self.state.display()))
    }

    /// Says that the agent is alive at `now`.
    pub fn touch(&self, now: i64) {
        // Twenty digits in one write: whole or not there. That it fails is told by the other file.
        drop(fs::write(&self.alive, format!("{now:020}")));
    }
}

/// The alerts of a group as they are kept.
pub fn saved(run: &Run) -> Vec<SavedRule> {
    let mut out: Vec<SavedRule> = Vec::new();
    for (index, (rule, alerts)) in run.alerts().enumerate() {
        if alerts.iter().next().is_none() {
            continue;
        }
        let (labels, nth) = (texts(rule), nth(run, index));
        let Place { path, file, group } = Place::of(run);
        out.push(SavedRule {
            path,
            file,
            group,
            rule: rule.map(|rule| rule.name.clone()).unwrap_or_default(),
            labels,
            nth,
            alerts: alerts.iter().map(saved_alert).collect(),
        });
    }
    out
}

/// Gives the alerts that were kept back to the rules of `runs`; answers which rules of which runs got some, and those
/// that no rule took.
pub fn restore(runs: &mut [Run], saved: &[SavedRule]) -> (Vec<(usize, usize)>, Vec<SavedRule>) {
    let places: BTreeSet<Place> = saved.iter().map(Place::of_saved).collect();
    let places: Vec<Place> = places.into_iter().collect();
    let new: Vec<Place> = runs.iter().map(Place::of).collect();
    let successors = successors(&places, &new);
    let (mut restored, mut left) = (Vec::new(), Vec::new());
    for kept in saved {
        let place = places.iter().position(|place| *place == Place::of_saved(kept));
        let found = place.and_then(|place| successors[place]).and_then(|at| Some((at, rule_of(&runs[at], kept)?)));
        match found {
            Some((at, index)) => {
                runs[at].set_alerts(index, Alerts::restored(kept.alerts.iter().filter_map(restored_alert)));
                restored.push((at, index));
            }
            None => left.push(kept.clone()),
        }
    }
    (restored, left)
}

/// The rule of `run` that `kept` is of.
fn rule_of(run: &Run, kept: &SavedRule) -> Option<usize> {
    let matches = |(index, (rule, _)): &(usize, (Option<&Rule>, &Alerts))| {
        rule.map_or("", |rule| rule.name.as_str()) == kept.rule
            && texts(*rule) == kept.labels
            && nth(run, *index) == kept.nth
    };
    run.alerts().enumerate().find(matches).map(|(index, _)| index)
}

/// What fired under rules that nobody has any more, each alert with its rule's name, as it ended at `now`.
pub fn ended(left: &[SavedRule], now: i64) -> Vec<(String, Alert)> {
    let named = |kept: &SavedRule| if kept.rule.is_empty() { FAILING.to_owned() } else { kept.rule.clone() };
    let alerts = left.iter().flat_map(|kept| kept.alerts.iter().map(move |alert| (named(kept), alert)));
    let firing = alerts.filter_map(|(rule, alert)| Some((rule, restored_alert(alert)?)));
    firing.filter(|(_, alert)| alert.state == State::Firing).map(|(rule, alert)| (rule, alert.ended(now))).collect()
}

/// Where a group stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    path: String,
    file: String,
    group: String,
}

impl Place {
    /// Of a group that runs.
    pub fn of(run: &Run) -> Self {
        let (path, group) = (&run.group().file, run.group().name.clone());
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { path: path.display().to_string(), file, group }
    }

    fn of_saved(saved: &SavedRule) -> Self {
        Self { path: saved.path.clone(), file: saved.file.clone(), group: saved.group.clone() }
    }
}

/// Which of `new` goes on with what each of `old` knows: the one in the same file, else one in a file of the same name,
/// for a file of the box may have replaced a shipped one. None goes on with two.
pub fn successors(old: &[Place], new: &[Place]) -> Vec<Option<usize>> {
    let mut out = vec![None; old.len()];
    let same_file = |a: &Place, b: &Place| a == b;
    let same_name = |a: &Place, b: &Place| (&a.file, &a.group) == (&b.file, &b.group);
    for same in [same_file as fn(&Place, &Place) -> bool, same_name] {
        for (index, old) in old.iter().enumerate().filter(|(index, _)| out[*index].is_none()).collect::<Vec<_>>() {
            out[index] = (0..new.len()).find(|at| !out.contains(&Some(*at)) && same(old, &new[*at]));
        }
    }
    out
}

/// How many rules before the one at `index` are the same in name and labels.
fn nth(run: &Run, index: usize) -> usize {
    let rules = &run.group().rules;
    let Some(rule) = rules.get(index) else { return 0 };
    rules[..index].iter().filter(|other| super::group::same_rule(other, rule)).count()
}

fn texts(rule: Option<&Rule>) -> Vec<(String, String)> {
    let labels = rule.iter().flat_map(|rule| &rule.labels);
    labels.map(|(name, text)| (name.clone(), text.text().to_owned())).collect()
}

fn saved_alert(alert: &Alert) -> SavedAlert {
    SavedAlert {
        labels: alert.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        annotations: alert.annotations.clone(),
        state: alert.state.name().to_owned(),
        value: alert.value.to_string(),
        active_at: alert.active_at,
        fired_at: alert.fired_at,
        kept_since: alert.kept_since,
        resolved_at: alert.resolved_at,
        sent_at: alert.sent_at,
        held_until: alert.held_until,
    }
}

fn restored_alert(saved: &SavedAlert) -> Option<Alert> {
    let state = [State::Pending, State::Firing, State::Inactive].into_iter().find(|state| state.name() == saved.state);
    Some(Alert {
        labels: Labels::new(saved.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()))),
        annotations: saved.annotations.clone(),
        state: state?,
        value: saved.value.parse().unwrap_or(f64::NAN),
        active_at: saved.active_at,
        fired_at: saved.fired_at,
        kept_since: saved.kept_since,
        resolved_at: saved.resolved_at,
        sent_at: saved.sent_at,
        held_until: saved.held_until,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_the_newer_sign_of_life_holds() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path());
        assert_eq!(files.load(), (None, None), "a first start is no fault");
        let alert = SavedAlert {
            labels: BTreeMap::from([("alertname".into(), "<b>\n\u{1b}[31m".into())]),
            annotations: vec![("summary".into(), "\u{0}".into())],
            state: "firing".into(),
            value: f64::NAN.to_string(),
            active_at: 1,
            fired_at: Some(2),
            kept_since: None,
            resolved_at: None,
            sent_at: Some(3),
            held_until: None,
        };
        let back = restored_alert(&alert).unwrap();
        assert!(back.value.is_nan());
        assert_eq!(saved_alert(&back), alert);
        let rule = SavedRule {
            path: "/etc/shop.yaml".into(),
            file: "shop.yaml".into(),
            group: "g".into(),
            rule: "A".into(),
            labels: Vec::new(),
            nth: 0,
            alerts: vec![alert],
        };
        let saved = Saved { format: FORMAT, at: 10, rules: vec![rule], waiting: serde_json::Value::Null };
        files.save(&saved).unwrap();
        assert_eq!(files.load(), (Some(saved.clone()), None));
        files.touch(25);
        assert_eq!(files.load().0.unwrap().at, 25);
        files.touch(5);
        assert_eq!(files.load().0.unwrap().at, 10);
    }

    #[test]
    fn of_a_later_version_additions_are_passed_over_and_another_form_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let (files, path) = (Files::new(folder.path()), folder.path().join("alerts.json"));
        fs::write(&path, r#"{"format":1,"at":1,"rules":[],"waiting":null,"new":{"a":1}}"#).unwrap();
        assert_eq!(files.load(), (Some(Saved { format: 1, at: 1, ..Saved::default() }), None));
        fs::write(&path, r#"{"at":1,"rules":[],"waiting":null}"#).unwrap();
        assert!(files.load().0.is_some(), "of a version before there were numbers");
        fs::write(&path, r#"{"format":2,"at":"2027-01-01"}"#).unwrap();
        let (saved, why) = files.load();
        assert!(saved.is_none() && why.unwrap().contains("a later version of plimsoll wrote it"));
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path());
        fs::write(folder.path().join("alerts.json"), "{\"at\":1,").unwrap();
        let (saved, why) = files.load();
        assert!(saved.is_none() && why.unwrap().contains("alerts.json.damaged"));
        assert!(folder.path().join("alerts.json.damaged").exists());
        assert_eq!(files.load(), (None, None), "once");
    }
}
