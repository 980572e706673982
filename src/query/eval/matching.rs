//! Which elements of two vectors belong together: worked out once for each series, not for each step.

use std::collections::HashMap;

use super::block::{Block, of_name};
use crate::query::notes::quoted;
use crate::query::print::label;
use crate::query::syntax::{Group, Matching, Op};
use crate::store::Labels;

/// The match group of each row, numbered over both sides.
pub(super) struct Groups {
    pub(super) left: Vec<usize>,
    pub(super) right: Vec<usize>,
    pub(super) count: usize,
}

impl Groups {
    pub(super) fn of(left: &Block, right: &Block, matching: &Matching) -> Self {
        let mut known: HashMap<Box<[u8]>, usize> = HashMap::with_capacity(left.rows().max(right.rows()));
        let mut key = Vec::new();
        let mut number = |block: &Block| {
            let heads = block.heads.iter();
            heads
                .map(|head| {
                    signature(&head.labels, matching, &mut key);
                    if let Some(number) = known.get(key.as_slice()) {
                        return *number;
                    }
                    let number = known.len();
                    known.insert(key.as_slice().into(), number);
                    number
                })
                .collect()
        };
        let (left, right) = (number(left), number(right));
        Self { left, right, count: known.len() }
    }
}

/// The labels that count, in one text; 0xff does not occur in UTF-8.
fn signature(labels: &Labels, matching: &Matching, out: &mut Vec<u8>) {
    out.clear();
    for (name, value) in labels.iter().filter(|(name, _)| counts(matching, name)) {
        out.extend_from_slice(name.as_bytes());
        out.push(0xff);
        out.extend_from_slice(value.as_bytes());
        out.push(0xff);
    }
}

fn counts(matching: &Matching, name: &str) -> bool {
    let named = matching.labels.iter().any(|label| label == name);
    if matching.on { named } else { !named && !of_name(name) }
}

/// The labels of a match group.
pub(super) fn group(labels: &Labels, matching: &Matching) -> Labels {
    labels.filter(|name| counts(matching, name))
}

/// The labels of what comes out of two elements; `many` is from the side that may have several.
pub(super) fn joined(many: &Labels, one: &Labels, op: Op, matching: &Matching, unname: bool) -> Labels {
    let nameless = unname || !op.compares();
    let mut out = many.filter(|name| {
        if nameless && of_name(name) {
            return false;
        }
        let named = matching.labels.iter().any(|label| label == name);
        matching.group != Group::One || named == matching.on
    });
    for label in &matching.include {
        out = out.with(label, one.get(label));
    }
    out
}

/// All labels in braces, as Prometheus' errors show them.
pub(super) fn braced(labels: &Labels) -> String {
    let shown = labels.iter().map(|(name, value)| format!("{}={}", label(name), quoted(value)));
    format!("{{{}}}", shown.collect::<Vec<_>>().join(", "))
}
