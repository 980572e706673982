//! Where each key of the config stands: one pass over the YAML events.
//!
//! The structs stay plain (no `Spanned`), because the checks name a key and this finds its place.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Parser, Span, options};

use super::hide;
use crate::base::fault::{Fault, join, step};

/// A place in the text; line and column count from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
    /// Characters that the caret underlines; at least 1.
    pub(super) length: usize,
}

impl Place {
    /// Whether both start at one character.
    pub(super) fn starts_with(self, other: Self) -> bool {
        self.line == other.line && self.column == other.column
    }

    /// The characters of `text` that stand here.
    pub(super) fn text(self, text: &str) -> String {
        let line = text.lines().nth(self.line - 1).unwrap_or_default();
        line.chars().skip(self.column - 1).take(self.length).collect()
    }
}

/// One key with its value, or one item of a list.
#[derive(Debug)]
pub(super) struct Node {
    /// Such as `logs.files[0].path`.
    pub(super) key: String,
    /// Where the key stands; items of a list have none.
    pub(super) key_at: Option<Place>,
    /// Where the value starts.
    pub(super) value_at: Place,
    /// Whether the value is a single text, and no list or map.
    pub(super) scalar: bool,
    /// The last line of a single text.
    last_line: usize,
}

impl Node {
    /// What an error about this setting points at: a text itself, but the name of a list or map.
    fn place(&self) -> Place {
        if self.scalar { self.value_at } else { self.key_at.unwrap_or(self.value_at) }
    }
}

/// The keys of a text in their order.
#[derive(Debug, Default)]
pub(super) struct Outline {
    nodes: Vec<Node>,
    index: HashMap<String, usize>,
}

/// Beyond these, errors point at the nearest key that is known: no config of a person comes near.
const MAX_NODES: usize = 20_000;
const MAX_KEY: usize = 256;
const MAX_DEPTH: usize = 32;

impl Outline {
    /// Reads as far as the text is YAML.
    pub(super) fn new(text: &str) -> Self {
        let mut walk = Walk { outline: Self::default(), open: Vec::new() };
        let limits = options! { flow_nesting_limit: MAX_DEPTH, block_nesting_limit: MAX_DEPTH };
        for item in Parser::new_from_str_with_options(text, limits) {
            let Ok((event, span)) = item else { break };
            match event {
                Event::Scalar(value, ..) => walk.node(&span, Some(&value), None),
                Event::Alias(_) => walk.node(&span, None, None),
                Event::MappingStart(..) => walk.node(&span, None, Some(Open::map)),
                Event::SequenceStart(..) => walk.node(&span, None, Some(Open::list)),
                Event::MappingEnd | Event::SequenceEnd => {
                    walk.open.pop();
                    walk.value_done();
                }
                _ => {}
            }
            if walk.outline.nodes.len() >= MAX_NODES {
                break;
            }
        }
        walk.outline
    }

    /// The place of a key, or of the nearest key above it that the text has.
    pub(super) fn place(&self, key: &str) -> Place {
        let mut key = key;
        loop {
            if let Some(node) = self.index.get(key).and_then(|&at| self.nodes.get(at)) {
                return node.place();
            }
            match key.rfind(['.', '[']) {
                Some(at) => key = &key[..at],
                None => return Place { line: 1, column: 1, length: 1 },
            }
        }
    }

    /// The place that a fault means: inside the setting's text where it says so and the text lies plainly in the file.
    pub(super) fn place_of(&self, fault: &Fault, text: &str) -> Place {
        let whole = self.place(&fault.key);
        let node = self.index.get(fault.key.as_str()).and_then(|&at| self.nodes.get(at));
        match (fault.inside, node) {
            (Some(inside), Some(node)) if node.scalar => inner(text, node, inside).unwrap_or(whole),
            _ => whole,
        }
    }

    /// Each key with the line of its value.
    pub(super) fn lines(self) -> Vec<(String, usize)> {
        self.nodes.into_iter().map(|node| (node.key, node.value_at.line)).collect()
    }

    /// The node whose key or value starts here.
    pub(super) fn at(&self, line: usize, column: usize) -> Option<&Node> {
        let here = |place: Place| place.line == line && place.column == column;
        // The last one: a map's first key starts where the map does.
        self.nodes.iter().rev().find(|node| here(node.value_at) || node.key_at.is_some_and(here))
    }

    /// The columns before the first secret of a line, when it has one.
    pub(super) fn before_secret(&self, line: usize) -> Option<usize> {
        let secrets = self.nodes.iter().filter(|node| node.scalar && hide::is_secret_setting(&node.key));
        let here = secrets.filter(|node| (node.value_at.line..=node.last_line).contains(&line));
        here.map(|node| if node.value_at.line == line { node.value_at.column - 1 } else { 0 }).min()
    }

    /// The last node whose value starts before this place.
    pub(super) fn before(&self, line: usize, column: usize) -> Option<&Node> {
        self.nodes.iter().rev().find(|node| (node.value_at.line, node.value_at.column) < (line, column))
    }
}

/// Where the character at line and column of a text value stands; `None` where it was folded or escaped too much to tell.
fn inner(text: &str, node: &Node, (line, column): (usize, usize)) -> Option<Place> {
    let rows: Vec<&str> = text.lines().collect();
    let first = node.value_at.line - 1;
    let at = |line: usize, column: usize| Place { line, column, length: 1 };
    // A block begins in the line above, with its mark at the end.
    let above = first.checked_sub(1).and_then(|above| rows.get(above)).copied().unwrap_or_default();
    let above = above.trim_end().trim_end_matches(['+', '-']);
    if node.key_at.is_none_or(|key| key.line == node.value_at.line) || !above.ends_with(['|', '>']) {
        let quoted = rows.get(first)?.chars().nth(node.value_at.column - 1).is_some_and(|c| ['"', '\''].contains(&c));
        let plain = line == 1 && node.last_line == node.value_at.line;
        return plain.then(|| at(node.value_at.line, node.value_at.column + usize::from(quoted) + column - 1));
    }
    let indent = node.value_at.column - 1;
    if above.ends_with('|') {
        return Some(at(node.value_at.line + line - 1, indent + column));
    }
    // Each line of a folded text became a part of one line, with a space for its end.
    let mut left = column;
    for (number, row) in rows.iter().enumerate().skip(first) {
        let length = row.chars().count().checked_sub(indent).filter(|length| line == 1 && *length > 0)?;
        if left <= length + 1 {
            return Some(at(number + 1, indent + left));
        }
        left -= length + 1;
    }
    None
}

/// A list or map that is being read.
struct Open {
    /// Its own key.
    key: String,
    /// The number of the next item; `None` in a map.
    item: Option<usize>,
    /// In a map: the key that was read, while its value was not.
    pending: Option<(String, Place)>,
    /// A map or list that stands as a key has no name.
    waits_for_value: bool,
}

impl Open {
    fn map(key: String) -> Self {
        Self { key, item: None, pending: None, waits_for_value: false }
    }

    fn list(key: String) -> Self {
        Self { key, item: Some(0), pending: None, waits_for_value: false }
    }
}

struct Walk {
    outline: Outline,
    open: Vec<Open>,
}

impl Walk {
    fn node(&mut self, span: &Span, scalar: Option<&str>, opens: Option<fn(String) -> Open>) {
        let place = place(span, scalar.is_some());
        let Some(parent) = self.open.last_mut() else {
            self.open.extend(opens.map(|open| open(String::new())));
            return;
        };
        let in_map = parent.item.is_none();
        if in_map && !parent.waits_for_value {
            // This is a key.
            parent.waits_for_value = true;
            parent.pending = scalar.map(|name| (step(name), place));
            if let Some(open) = opens {
                parent.waits_for_value = false;
                self.open.push(open("?".into()));
            }
            return;
        }
        let (name, key_at) = match (parent.item, parent.pending.take()) {
            (Some(number), _) => (format!("[{number}]"), None),
            (None, Some((name, at))) => (name, Some(at)),
            (None, None) => ("?".into(), None),
        };
        let key = join(&parent.key, &name);
        let key = if key.len() > MAX_KEY { "?".into() } else { key };
        let node =
            Node { key: key.clone(), key_at, value_at: place, scalar: scalar.is_some(), last_line: span.end.line() };
        self.outline.index.insert(key.clone(), self.outline.nodes.len());
        self.outline.nodes.push(node);
        match opens {
            Some(open) => self.open.push(open(key)),
            None => self.value_done(),
        }
    }

    /// A value of the list or map around is complete (or, in a map, a key that was itself a list or map).
    fn value_done(&mut self) {
        if let Some(parent) = self.open.last_mut() {
            match &mut parent.item {
                Some(number) => *number += 1,
                None => parent.waits_for_value = !parent.waits_for_value,
            }
        }
    }
}

fn place(span: &Span, scalar: bool) -> Place {
    let (start, end) = (span.start, span.end);
    let length = if scalar && start.line() == end.line() { end.col().saturating_sub(start.col()) } else { 1 };
    Place { line: start.line(), column: start.col() + 1, length: length.max(1) }
}
