//! How far the journal is read, as it stands in the spool.

use crate::signal::frame::Position;

/// The key of the position.
pub(super) const KEY: &[u8] = b"journald";
/// journald's cursors have about 150 bytes.
const MAX_CURSOR: usize = 512;

/// The latest entry that was looked at, whether or not it was taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Place {
    /// Its cursor; empty: none yet, reading goes on at `realtime`.
    pub cursor: String,
    /// Its time of arrival, Unix microseconds.
    pub realtime: u64,
    /// The time stamp of the latest record, Unix nanoseconds.
    pub nanos: u64,
}

impl Place {
    /// For the frame.
    pub(super) fn position(&self) -> Position {
        let value = format!("1 {} {} {}", self.realtime, self.nanos, self.cursor);
        Position { key: KEY.into(), value: value.into_bytes().into() }
    }

    /// From the newest frame; none when there is none or it is not understood.
    pub(super) fn find(positions: &[Position]) -> Option<Self> {
        let value = &positions.iter().rev().find(|position| &*position.key == KEY)?.value;
        let mut parts = str::from_utf8(value).ok()?.split(' ');
        if parts.next() != Some("1") {
            return None;
        }
        let realtime = parts.next()?.parse().ok()?;
        let nanos = parts.next()?.parse().ok()?;
        let cursor = parts.next().filter(|cursor| cursor.is_empty() || sane(cursor))?.to_owned();
        Some(Self { cursor, realtime, nanos })
    }

    /// How many entries lie between this one and `other`, a cursor behind it: none when only journald's own
    /// numbering could tell and it does not, because it began anew in between.
    pub(super) fn missing(&self, other: &str) -> Option<u64> {
        let (from, to) = (number(&self.cursor)?, number(other)?);
        (from.0 == to.0 && to.1 > from.1).then(|| to.1 - from.1 - 1)
    }

    /// True when `other` is not behind this one as far as journald's numbering tells, or else its time: `other`
    /// arrived at `realtime`, before `floor`.
    pub(super) fn is_past(&self, other: &str, realtime: u64, floor: u64) -> bool {
        match (number(&self.cursor), number(other)) {
            (Some(here), Some(there)) if here.0 == there.0 => there.1 <= here.1,
            _ => realtime < floor,
        }
    }
}

/// Whether it may be given to `journalctl`.
pub(super) fn sane(cursor: &str) -> bool {
    (1..=MAX_CURSOR).contains(&cursor.len()) && cursor.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The numbering and the number of a cursor (`s=` and `i=`, hexadecimal).
fn number(cursor: &str) -> Option<(&str, u64)> {
    let part = |name| cursor.split(';').find_map(|part| part.strip_prefix(name));
    Some((part("s=")?, u64::from_str_radix(part("i=")?, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_from_its_frame_and_the_latest_one_holds() {
        let old = Place { cursor: String::new(), realtime: 1, nanos: 0 };
        let new = Place { cursor: "s=a;i=1f;b=c".into(), realtime: 2, nanos: 3 };
        assert_eq!(Place::find(&[old.position()]), Some(old.clone()));
        assert_eq!(Place::find(&[old.position(), new.position()]), Some(new));
    }

    #[test]
    fn a_spoiled_place_is_none() {
        for value in ["", "2 1 1 s=a", "1 x 1 s=a", "1 1 1", "1 1 1 s=\u{e4}", "1 1 1 s=\n"] {
            let position = Position { key: KEY.into(), value: value.as_bytes().into() };
            assert_eq!(Place::find(&[position]), None, "{value:?}");
        }
    }

    #[test]
    fn the_numbers_of_two_cursors_tell_how_many_entries_lie_between() {
        let place = Place { cursor: "s=a;i=9;b=c".into(), realtime: 5, nanos: 0 };
        assert_eq!(place.missing("s=a;i=a;b=d"), Some(0));
        assert_eq!(place.missing("s=a;i=10;b=d"), Some(6));
        assert_eq!(place.missing("s=b;i=10;b=d"), None);
        assert!(place.is_past("s=a;i=8", 9, 5) && !place.is_past("s=a;i=a", 1, 5));
        assert!(place.is_past("s=b;i=a", 4, 5) && !place.is_past("s=b;i=a", 5, 5));
    }
}
