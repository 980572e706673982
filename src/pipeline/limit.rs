//! Bounds on what a line may bring, so that a destination takes it and a hostile line costs little.
//!
//! Loki refuses a line with more than 128 entries or 64 KB of structured metadata, resource attributes among
//! them (its `limits_config`): the bounds lie below that. Only the program says who a line comes from: an
//! attribute that would hide one of the resource's is renamed.

use crate::signal::record::{Record, Text, Value};
use crate::signal::resource::Resource;

/// Attributes of one record.
pub const MAX_ATTRIBUTES: usize = 100;
/// Of these, so many of the last ones stay.
const LAST_KEPT: usize = 10;
/// Bytes of an attribute's name.
pub const MAX_NAME: usize = 256;
/// Bytes of all names and values of one record.
pub const MAX_BYTES: usize = 48 * 1024;

/// What a record lost to the bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cut {
    /// Attributes left out.
    pub dropped: u64,
    /// Values cut.
    pub shortened: u64,
}

/// Brings `record` within the bounds. Within them it allocates nothing.
pub fn apply(record: &mut Record, line: &str, resource: &Resource) -> Cut {
    if is_within(record, resource) { Cut::default() } else { cut_down(record, line, resource) }
}

/// True when there is surely nothing to do, which a look at the lengths tells for nearly all records.
fn is_within(record: &Record, resource: &Resource) -> bool {
    let bit = |len: usize| 1_u64 << len.min(63);
    let own = resource.attributes().iter().fold(0, |bits, (name, _)| bits | bit(name.len()));
    let (mut bytes, mut longest, mut names) = (0, 0, 0);
    for (name, value) in &record.attributes {
        let len = name.len();
        bytes += len + if let Value::Text(text) = value { text.len() } else { 8 };
        longest = longest.max(len);
        names |= if matches!(name, Text::Fixed(_)) { 0 } else { bit(len) };
    }
    record.attributes.len() <= MAX_ATTRIBUTES && bytes <= MAX_BYTES && longest <= MAX_NAME && names & own == 0
}

fn cut_down(record: &mut Record, line: &str, resource: &Resource) -> Cut {
    let mut cut = Cut::default();
    if record.attributes.len() > MAX_ATTRIBUTES {
        cut.dropped = (record.attributes.len() - MAX_ATTRIBUTES) as u64;
        // What the reader added stands last: the file's path and its marks.
        let end = record.attributes.len() - LAST_KEPT;
        record.attributes.drain(MAX_ATTRIBUTES - LAST_KEPT..end);
    }
    let mut room = MAX_BYTES;
    for index in 0..record.attributes.len() {
        let (name, value) = record.attributes[index];
        record.attributes[index].0 = name_of(record, line, resource, name);
        let name_len = record.attributes[index].0.len();
        if let Value::Text(text) = value {
            let share = room.saturating_sub(name_len);
            if text.len() > share {
                cut.shortened += 1;
                record.attributes[index].1 = Value::Text(shorten(record, line, text, share));
            }
            room = share.saturating_sub(text.len());
        } else {
            room = room.saturating_sub(name_len + 8);
        }
    }
    cut
}

/// The name, cut, and moved out of the way of the resource's own names.
fn name_of(record: &mut Record, line: &str, resource: &Resource, name: Text) -> Text {
    if matches!(name, Text::Fixed(_)) {
        return name;
    }
    let name = if name.len() > MAX_NAME { shorten(record, line, name, MAX_NAME) } else { name };
    let text = name.get(line, &record.scratch);
    if !resource.attributes().iter().any(|(own, _)| same_label(own, text)) {
        return name;
    }
    let renamed = format!("line.{text}");
    record.keep(&renamed)
}

/// True when both become one label in a store that writes `_` for what is no letter or digit.
fn same_label(own: &str, name: &str) -> bool {
    let plain = |byte: u8| if byte.is_ascii_alphanumeric() { byte } else { b'_' };
    own.len() == name.len() && own.bytes().zip(name.bytes()).all(|(a, b)| plain(a) == plain(b))
}

fn shorten(record: &Record, line: &str, text: Text, bytes: usize) -> Text {
    let end = record.text(line, text).floor_char_boundary(bytes) as u32;
    match text {
        Text::Line(start, _) => Text::Line(start, start + end),
        Text::Scratch(start, _) => Text::Scratch(start, start + end),
        Text::Fixed(fixed) => Text::Fixed(&fixed[..end as usize]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource() -> Resource {
        Resource::new("shop", "box-1", &[("host.name", "box-1")])
    }

    #[test]
    fn an_ordinary_record_passes_untouched() {
        let line = "a=1";
        let mut record = Record::default();
        record.put(Text::of(line, &line[..1]), Value::Int(1));
        let before = record.attributes.clone();
        assert_eq!(apply(&mut record, line, &resource()), Cut::default());
        assert_eq!(record.attributes, before);
    }

    #[test]
    fn a_line_cannot_say_who_it_comes_from() {
        let line = "service.name host_name service";
        let mut record = Record::default();
        for part in line.split(' ') {
            record.put(Text::of(line, part), Value::Int(1));
        }
        apply(&mut record, line, &resource());
        let names: Vec<_> = record.attributes.iter().map(|(name, _)| record.text(line, *name)).collect();
        assert_eq!(names, ["line.service.name", "line.host_name", "service"]);
    }

    #[test]
    fn too_many_attributes_and_too_long_values_are_cut_and_counted() {
        let line = "ä".repeat(40_000);
        let mut record = Record::default();
        for _ in 0..MAX_ATTRIBUTES + 5 {
            record.put(Text::Fixed("k"), Value::Text(Text::of(&line, &line)));
        }
        let cut = apply(&mut record, &line, &resource());
        assert_eq!(cut, Cut { dropped: 5, shortened: MAX_ATTRIBUTES as u64 });
        let bytes: usize = record
            .attributes
            .iter()
            .filter_map(
                |(_, value)| if let Value::Text(text) = value { Some(record.text(&line, *text).len()) } else { None },
            )
            .sum();
        assert!(bytes <= MAX_BYTES && bytes > MAX_BYTES - 100, "{bytes}");
    }
}
