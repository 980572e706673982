//! How far each file has been read, as it stands in the frames: one key per generation of a file's content.
//!
//! The key is a number that is drawn once, not the inode or the path, which both come to name other content. A
//! truncated file is a new generation with a key of its own; the old one stays for a copy that may hold the rest.

use xxhash_rust::xxh3::xxh3_64;

use crate::signal::frame::Position;

use super::identity::{Head, Mark, Node, OLDER, Print};

const FILE: &[u8; 4] = b"file";
const GLOB: &[u8; 4] = b"glob";
const VERSION: u8 = 1;
const LEN: usize = 2 + 8 * 6 + 10 + 16 * (1 + OLDER);

/// What a frame says of one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The key.
    pub(crate) id: u64,
    pub(crate) node: Node,
    /// Hash of the glob it was found by.
    pub(crate) group: u64,
    /// Hash of the path under which it was read first.
    pub(crate) born: u64,
    /// Content up to the offset; `print.mark.offset` is where reading goes on.
    pub(crate) print: Print,
    /// Bytes the file was seen to have.
    pub(crate) seen: u64,
    /// When it was last seen, Unix seconds.
    pub(crate) when: u64,
    pub(crate) state: State,
}

/// How the content stands at the offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct State {
    /// Offsets are those of the unpacked content.
    pub(crate) packed: bool,
    /// The offset lies within a line that was too long: what is left of it is not wanted.
    pub(crate) skip: bool,
    /// The offset lies within a line of which a part went out already.
    pub(crate) fragment: bool,
    /// The content is gone from its file (truncated or replaced); `seen` less the offset was not read.
    pub(crate) gone: bool,
    /// It was renamed away from the path of its birth.
    pub(crate) rotated: bool,
}

impl State {
    fn bits(self) -> u8 {
        [self.packed, self.skip, self.fragment, self.gone, self.rotated]
            .iter()
            .enumerate()
            .fold(0, |bits, (at, &set)| bits | u8::from(set) << at)
    }

    fn from_bits(bits: u8) -> Self {
        let bit = |at: u8| bits & (1 << at) != 0;
        Self { packed: bit(0), skip: bit(1), fragment: bit(2), gone: bit(3), rotated: bit(4) }
    }
}

/// What a position turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Place(Place),
    /// The files that this glob (by hash) matched at its first start are known.
    Glob(u64),
}

impl Place {
    /// As it stands in a frame.
    pub(crate) fn encode(&self) -> Position {
        let mut value = Vec::with_capacity(LEN);
        value.extend([VERSION, self.state.bits()]);
        for number in [self.node.dev, self.node.ino, self.group, self.born, self.seen, self.when] {
            value.extend(number.to_le_bytes());
        }
        value.extend(self.print.head.len.to_le_bytes());
        value.extend(self.print.head.hash.to_le_bytes());
        for mark in std::iter::once(&self.print.mark).chain(&self.print.older) {
            value.extend(mark.offset.to_le_bytes());
            value.extend(mark.hash.to_le_bytes());
        }
        Position { key: key(FILE, self.id), value: value.into() }
    }
}

/// Says that the generation is gone for good.
pub(crate) fn forget(id: u64) -> Position {
    Position { key: key(FILE, id), value: Box::default() }
}

/// Says that the glob has had its first start.
pub(crate) fn started(glob: u64) -> Position {
    Position { key: key(GLOB, glob), value: Box::from([VERSION]) }
}

/// True for the position of a file, or of a glob, that another reader follows by one of the globs `others`.
pub(super) fn is_of(position: &Position, others: &[String]) -> bool {
    let group = match decode(position) {
        Some(Known::Place(place)) => place.group,
        Some(Known::Glob(hash)) => hash,
        None => return false,
    };
    others.iter().any(|glob| xxh3_64(glob.as_bytes()) == group)
}

/// How many files' positions a later version wrote: these files are read as if nobody had seen them.
pub(super) fn of_later_versions(positions: &[Position]) -> usize {
    let later = |position: &&Position| {
        position.key.starts_with(FILE) && position.value.first().is_some_and(|version| *version > VERSION)
    };
    positions.iter().filter(later).count()
}

/// Reads a position; `None` for one of another source, a forgotten or a broken one.
pub(crate) fn decode(position: &Position) -> Option<Known> {
    let (kind, id) = position.key.split_first_chunk::<4>()?;
    let id = u64::from_le_bytes(id.try_into().ok()?);
    let mut rest = position.value.as_ref();
    if kind == GLOB {
        return (!rest.is_empty()).then_some(Known::Glob(id));
    }
    if kind != FILE || rest.len() != LEN || rest[0] != VERSION {
        return None;
    }
    let state = State::from_bits(rest[1]);
    rest = &rest[2..];
    let mut numbers = [0; 6];
    for number in &mut numbers {
        *number = take(&mut rest)?;
    }
    let [dev, ino, group, born, seen, when] = numbers;
    let (len, after) = rest.split_first_chunk::<2>()?;
    rest = after;
    let head = Head { len: u16::from_le_bytes(*len), hash: take(&mut rest)? };
    let mut marks = [Mark::default(); 1 + OLDER];
    for mark in &mut marks {
        *mark = Mark { offset: take(&mut rest)?, hash: take(&mut rest)? };
    }
    let [mark, older @ ..] = marks;
    let print = Print { head, mark, older };
    Some(Known::Place(Place { id, node: Node { dev, ino }, group, born, print, seen, when, state }))
}

fn key(kind: &[u8; 4], id: u64) -> Box<[u8]> {
    [kind.as_slice(), &id.to_le_bytes()].concat().into()
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let (number, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    Some(u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        let mark = |offset| Mark { offset, hash: offset * 31 };
        Place {
            id: 7,
            node: Node { dev: 1, ino: u64::MAX },
            group: 3,
            born: 4,
            print: Print { head: Head { len: 1024, hash: 9 }, mark: mark(5000), older: [mark(3), mark(2), mark(0)] },
            seen: 6000,
            when: 1_800_000_000,
            state: State { skip: true, rotated: true, ..State::default() },
        }
    }

    #[test]
    fn a_place_reads_back_as_it_was_written() {
        assert_eq!(decode(&place().encode()), Some(Known::Place(place())));
        assert_eq!(decode(&started(8)), Some(Known::Glob(8)));
    }

    #[test]
    fn forgotten_foreign_and_broken_positions_are_no_places() {
        assert_eq!(decode(&forget(7)), None);
        assert_eq!(decode(&Position { key: Box::from(*b"journal:abc"), value: Box::from([1]) }), None);
        let whole = place().encode();
        let with = |value: &[u8]| decode(&Position { key: whole.key.clone(), value: value.into() });
        assert!((0..whole.value.len()).all(|len| with(&whole.value[..len]).is_none()));
        assert_eq!(with(&[0; LEN]), None);
        let later = Position { key: whole.key.clone(), value: Box::from([VERSION + 1; LEN]) };
        assert_eq!((decode(&later), of_later_versions(&[whole, forget(7), later.clone()])), (None, 1));
    }
}
