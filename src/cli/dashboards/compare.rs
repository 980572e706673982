//! What is new in a board beside the one that Grafana has.
//!
//! Grafana adds fields of its own and raises the version of the schema: only what we set is compared.

use serde_json::Value;

/// Fields that Grafana sets itself.
const ITS_OWN: &[&str] = &["id", "version", "schemaVersion"];

/// In words, such as `panels changed: Memory left; new: Fullest disk`; empty when nothing is.
pub(super) fn changes(ours: &Value, theirs: &Value) -> String {
    let [mut changed, mut new] = [Vec::new(), Vec::new()];
    for panel in panels(ours) {
        match panels(theirs).find(|known| known["title"] == panel["title"]) {
            Some(known) if holds(panel, known) => {}
            Some(_) => changed.push(title(panel)),
            None => new.push(title(panel)),
        }
    }
    let gone: Vec<String> =
        panels(theirs).filter(|known| !panels(ours).any(|panel| panel["title"] == known["title"])).map(title).collect();
    let mut parts = Vec::new();
    for (word, titles) in [("panels changed", changed), ("new", new), ("gone", gone)] {
        if !titles.is_empty() {
            parts.push(format!("{word}: {}", titles.join(", ")));
        }
    }
    if !holds(&without_panels(ours), theirs) {
        parts.push("title, variables, links or annotations".into());
    }
    parts.join("; ")
}

fn panels(board: &Value) -> impl Iterator<Item = &Value> {
    board["panels"].as_array().into_iter().flatten()
}

fn title(panel: &Value) -> String {
    panel["title"].as_str().unwrap_or("without a title").to_owned()
}

fn without_panels(board: &Value) -> Value {
    let mut board = board.clone();
    if let Some(fields) = board.as_object_mut() {
        fields.remove("panels");
    }
    board
}

/// Whether `theirs` has all that `ours` says.
fn holds(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => ours
            .iter()
            .filter(|(name, _)| !ITS_OWN.contains(&name.as_str()))
            .all(|(name, ours)| ours.is_null() || theirs.get(name).is_some_and(|theirs| holds(ours, theirs))),
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| holds(ours, theirs))
        }
        (Value::Number(ours), Value::Number(theirs)) => ours.as_f64() == theirs.as_f64(),
        (ours, theirs) => ours == theirs,
    }
}
