//! Sets a key in a YAML text and leaves everything else in it as it stands: comments, order, line breaks.
//!
//! It works on the text by the places of the parser's events. What it makes is read again by the caller, who knows what
//! it must come to: a text too strange to be edited so is then refused, and never spoiled.

use std::fmt::Write;

use serde_saphyr::granit_parser::{Event, Marker, Parser, ScanError, Span, StrInput, StructureStyle, options};

/// What a key is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// YAML on one line, such as `"http://loki:3100/otlp"` or `[logs]`.
    Inline(String),
    /// Keys with values of their own.
    Map(Vec<(String, Value)>),
}

/// `text` with the key at `path` set to `value`; keys above it are made where they are missing.
///
/// # Errors
/// The text is no YAML, or something on the way is no map.
pub fn set(text: &str, path: &[&str], value: &Value) -> Result<String, String> {
    let root = Reader::new(text).read().map_err(|error| error.to_string())?;
    let Some(root) = root else { return Ok(at_the_end(text, path, value)) };
    descend(text, &root, path, value)
}

struct Node {
    /// Bytes of the text; a block's end is that of its last text.
    start: usize,
    end: usize,
    kind: Kind,
}

enum Kind {
    /// A text, a list, an alias.
    Other,
    /// Nothing stands behind the key.
    Nothing,
    Map {
        flow: bool,
        entries: Vec<Entry>,
    },
}

struct Entry {
    key: String,
    key_start: usize,
    key_end: usize,
    value: Node,
}

fn descend(text: &str, node: &Node, path: &[&str], value: &Value) -> Result<String, String> {
    let Some((name, rest)) = path.split_first() else { return Err("no key is named".into()) };
    let Kind::Map { flow, entries } = &node.kind else { return Err(format!("what holds `{name}` is no map")) };
    match entries.iter().find(|entry| entry.key == *name) {
        Some(entry) if matches!(entry.value.kind, Kind::Nothing) && !flow => {
            let mut inner = String::new();
            match nest(rest, value) {
                Value::Inline(inline) => {
                    let colon = text[entry.key_end..].find(':').ok_or_else(|| format!("no colon follows `{name}`"))?;
                    let at = entry.key_end + colon + 1;
                    return Ok(splice(text, at, at, &format!(" {inline}")));
                }
                Value::Map(map) => map.iter().for_each(|(key, value)| {
                    block(&mut inner, indent(text, entry.key_start) + STEP, key, value);
                }),
            }
            Ok(insert_line(text, entry.key_end, &inner))
        }
        Some(entry) if rest.is_empty() => Ok(splice(text, entry.value.start, entry.value.end, &inline(value))),
        Some(entry) => descend(text, &entry.value, rest, value),
        None if *flow => Ok(into_flow(text, node, entries.is_empty(), name, &nest(rest, value))),
        None => {
            let Some(first) = entries.first() else { return Err(format!("what holds `{name}` has no keys")) };
            let depth = indent(text, first.key_start);
            if depth == 0 {
                return Ok(at_the_end(text, path, value));
            }
            let mut lines = String::new();
            block(&mut lines, depth, name, &nest(rest, value));
            let end = entries.last().map_or(node.end, Entry::end);
            Ok(insert_line(text, end, &lines))
        }
    }
}

/// `value` below the keys that are missing above it.
fn nest(path: &[&str], value: &Value) -> Value {
    path.iter().rev().fold(value.clone(), |value, name| Value::Map(vec![((*name).to_owned(), value)]))
}

fn at_the_end(text: &str, path: &[&str], value: &Value) -> String {
    let mut out = text.to_owned();
    if !out.is_empty() {
        out.push_str(if out.ends_with('\n') { "\n" } else { "\n\n" });
    }
    if let Some((name, rest)) = path.split_first() {
        block(&mut out, 0, name, &nest(rest, value));
    }
    out
}

fn into_flow(text: &str, node: &Node, empty: bool, name: &str, value: &Value) -> String {
    let entry = format!("{name}: {}", inline(value));
    if empty {
        return splice(text, node.start, node.end, &format!("{{ {entry} }}"));
    }
    splice(text, node.start + 1, node.start + 1, &format!(" {entry},"))
}

fn inline(value: &Value) -> String {
    match value {
        Value::Inline(text) => text.clone(),
        Value::Map(entries) => {
            let entries: Vec<_> = entries.iter().map(|(key, value)| format!("{key}: {}", inline(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

fn block(out: &mut String, indent: usize, key: &str, value: &Value) {
    // Nothing that is written into a String fails.
    let _never = match value {
        Value::Inline(text) => writeln!(out, "{:indent$}{key}: {text}", "").is_err(),
        Value::Map(entries) => {
            let never = writeln!(out, "{:indent$}{key}:", "").is_err();
            entries.iter().for_each(|(key, value)| block(out, indent + STEP, key, value));
            never
        }
    };
}

fn splice(text: &str, start: usize, end: usize, new: &str) -> String {
    format!("{}{new}{}", &text[..start], &text[end..])
}

/// `lines` behind the line that holds `at`.
fn insert_line(text: &str, at: usize, lines: &str) -> String {
    // A block of text ends behind its last line end.
    if text[..at].ends_with('\n') {
        return splice(text, at, at, lines);
    }
    match text[at..].find('\n') {
        Some(end) => splice(text, at + end + 1, at + end + 1, lines),
        None => format!("{text}\n{lines}"),
    }
}

/// How far in the line the key at `start` stands.
fn indent(text: &str, start: usize) -> usize {
    start - text[..start].rfind('\n').map_or(0, |line| line + 1)
}

/// Reads the events of a text into nodes.
struct Reader<'a> {
    length: usize,
    events: Parser<'a, StrInput<'a>>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        let limits = options! { flow_nesting_limit: MAX_DEPTH, block_nesting_limit: MAX_DEPTH };
        Self { length: text.len(), events: Parser::new_from_str_with_options(text, limits) }
    }

    /// The node of the text; `None`: there is none.
    fn read(&mut self) -> Result<Option<Node>, ScanError> {
        let mut root = None;
        // To the end: what is wrong further on is told too.
        while let Some((event, span)) = self.next()? {
            let node = self.node(&event, span)?;
            root = root.or(node);
        }
        Ok(root.filter(|root| !matches!(root.kind, Kind::Nothing)))
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, ScanError> {
        self.events.next().transpose()
    }

    /// The node that begins with `event`; `None`: none does.
    fn node(&mut self, event: &Event<'a>, span: Span) -> Result<Option<Node>, ScanError> {
        let (start, end) = (self.byte(span.start), self.byte(span.end));
        Ok(match event {
            Event::Scalar(..) if start == end => Some(Node { start, end, kind: Kind::Nothing }),
            Event::Scalar(..) | Event::Alias(_) => Some(Node { start, end, kind: Kind::Other }),
            Event::SequenceStart(style, ..) => {
                let (last, closed) = self.list(end)?;
                let end = if *style == StructureStyle::Flow { closed } else { last };
                Some(Node { start, end, kind: Kind::Other })
            }
            Event::MappingStart(style, ..) => {
                let flow = *style == StructureStyle::Flow;
                let (entries, closed) = self.map()?;
                let last = entries.last().map_or(end, Entry::end);
                Some(Node { start, end: if flow { closed } else { last }, kind: Kind::Map { flow, entries } })
            }
            _ => None,
        })
    }

    /// Where the last item of a list ends, and where the list is closed.
    fn list(&mut self, start: usize) -> Result<(usize, usize), ScanError> {
        let mut last = start;
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::SequenceEnd) {
                return Ok((last, self.byte(span.end)));
            }
            if let Some(node) = self.node(&event, span)? {
                last = last.max(node.end);
            }
        }
        Ok((last, self.length))
    }

    /// The entries of a map, and where it is closed.
    fn map(&mut self) -> Result<(Vec<Entry>, usize), ScanError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut key: Option<(String, usize, usize)> = None;
        while let Some((event, span)) = self.next()? {
            if matches!(event, Event::MappingEnd) {
                return Ok((entries, self.byte(span.end)));
            }
            let Some(node) = self.node(&event, span)? else { continue };
            match key.take() {
                Some((key, key_start, key_end)) => entries.push(Entry { key, key_start, key_end, value: node }),
                None => {
                    let name =
                        if let Event::Scalar(name, ..) = &event { name.clone().into_owned() } else { "?".into() };
                    key = Some((name, node.start, node.end));
                }
            }
        }
        Ok((entries, self.length))
    }

    fn byte(&self, marker: Marker) -> usize {
        marker.byte_offset().unwrap_or(self.length).min(self.length)
    }
}

impl Entry {
    /// Where its last text ends.
    fn end(&self) -> usize {
        // The place of nothing is anywhere up to the next key.
        if matches!(self.value.kind, Kind::Nothing) { self.key_end } else { self.value.end }
    }
}

/// Levels that a config may have.
const MAX_DEPTH: usize = 32;
/// Spaces of one level.
const STEP: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Value {
        Value::Map(vec![(
            "otlp_http".into(),
            Value::Map(vec![("endpoint".into(), Value::Inline("\"http://l\"".into()))]),
        )])
    }

    fn set_loki(text: &str) -> String {
        set(text, &["destinations", "loki"], &endpoint()).unwrap()
    }

    #[test]
    fn a_missing_part_is_written_at_the_end_and_comments_stay() {
        let block = "destinations:\n  loki:\n    otlp_http:\n      endpoint: \"http://l\"\n";
        assert_eq!(set_loki(""), block);
        assert_eq!(set_loki("# only\n# comments\n"), format!("# only\n# comments\n\n{block}"));
        assert_eq!(set_loki("service: shop # ours"), format!("service: shop # ours\n\n{block}"));
        let text = "host: { interval: 30s }\nlogs:\n  files:\n    - path: /a # é\n# the end\n";
        assert_eq!(set_loki(text), format!("{text}\n{block}"));
    }

    #[test]
    fn a_part_that_is_there_gets_the_key_behind_its_last_one() {
        let inner = "  loki:\n    otlp_http:\n      endpoint: \"http://l\"\n";
        assert_eq!(set_loki("destinations:\nservice: é\n"), format!("destinations:\n{inner}service: é\n"));
        let text = "destinations: # where to\n  other: # keep\n    otlp_http: { endpoint: \"http://o\" } # him\n";
        assert_eq!(set_loki(&format!("{text}\nservice: a\n")), format!("{text}{inner}\nservice: a\n"));
        let deep = "destinations:\n    other:\n        otlp_http:\n            endpoint: http://o";
        let inner = "    loki:\n      otlp_http:\n        endpoint: \"http://l\"\n";
        assert_eq!(set_loki(deep), format!("{deep}\n{inner}"));
        let folded = "destinations:\n  other:\n    otlp_http:\n      endpoint: >-\n        http://o\nservice: a\n";
        let inner = "  loki:\n    otlp_http:\n      endpoint: \"http://l\"\n";
        assert_eq!(set_loki(folded), folded.replace("service", &format!("{inner}service")));
    }

    #[test]
    fn a_map_in_braces_stays_one() {
        assert_eq!(
            set_loki("destinations: {}\n"),
            "destinations: { loki: { otlp_http: { endpoint: \"http://l\" } } }\n"
        );
        assert_eq!(
            set_loki("destinations: { other: { otlp_http: { endpoint: http://o } } } # x\n"),
            "destinations: { loki: { otlp_http: { endpoint: \"http://l\" } }, other: { otlp_http: { endpoint: http://o } } } # x\n"
        );
        assert_eq!(
            set_loki("{ service: a }"),
            "{ destinations: { loki: { otlp_http: { endpoint: \"http://l\" } } }, service: a }"
        );
    }

    #[test]
    fn a_value_that_is_there_is_replaced_alone() {
        let set = |text: &str| {
            let path = ["destinations", "loki", "otlp_http", "endpoint"];
            super::set(text, &path, &Value::Inline("\"http://new\"".into())).unwrap()
        };
        for old in ["http://o", "'http://o'", "\"http://o\"", ">-\n        http://o\n        "] {
            let text = |value: &str| {
                format!(
                    "destinations:\n  loki:\n    otlp_http:\n      endpoint: {value} # here\n      signals: [logs]\n"
                )
            };
            let (changed, wanted) = (set(&text(old)), text("\"http://new\""));
            assert!(changed == wanted || old.starts_with('>'), "{changed}");
            assert!(changed.contains("\"http://new\"") && changed.contains("signals: [logs]"), "{changed}");
        }
        assert_eq!(
            set("destinations: { loki: { otlp_http: { endpoint: http://o, signals: [logs] } } }\n"),
            "destinations: { loki: { otlp_http: { endpoint: \"http://new\", signals: [logs] } } }\n"
        );
        assert_eq!(
            set("destinations:\n  loki:\n    otlp_http:\n      signals:\n        - logs # only\n      timeout: 5s\n"),
            "destinations:\n  loki:\n    otlp_http:\n      signals:\n        - logs # only\n      timeout: 5s\n      endpoint: \"http://new\"\n"
        );
    }

    #[test]
    fn a_key_with_nothing_behind_it_gets_the_value_behind_its_colon() {
        let path = ["loki", "endpoint"];
        let set = |text: &str| super::set(text, &path, &Value::Inline("\"http://l\"".into())).unwrap();
        assert_eq!(
            set("loki:\n  endpoint: # to come\n  a: b\n"),
            "loki:\n  endpoint: \"http://l\" # to come\n  a: b\n"
        );
        assert_eq!(set("loki:\n  endpoint:"), "loki:\n  endpoint: \"http://l\"");
    }

    #[test]
    fn what_cannot_be_edited_is_refused() {
        assert!(set("- a\n", &["destinations"], &endpoint()).unwrap_err().contains("no map"));
        assert!(set("destinations: [a]\n", &["destinations", "loki"], &endpoint()).unwrap_err().contains("no map"));
        assert!(set("a: [\n", &["destinations"], &endpoint()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_the_editor(text in "([a-d:{}\\[\\],#|>&*'\" é-]|\n){0,60}") {
            let _never_mind = set(&text, &["a", "b"], &endpoint()).is_err();
        }
    }
}
