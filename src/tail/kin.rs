//! Which file was rotated away to make room for which: the one is read before the other, and a record that the
//! writer divided between the two is joined.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::follow::Stream;

/// A file is the successor of one that was written at most so many seconds before it was made.
const SIBLING_AFTER: i64 = 5;
/// Files that wait for each other in a row.
const MAX_ROW: usize = 64;

/// Streams by the stem of their path.
#[derive(Default)]
pub(crate) struct Kin(HashMap<u64, Vec<u64>>);

impl Kin {
    /// A stream is found at `path`.
    pub(crate) fn add(&mut self, path: &Path, id: u64) {
        self.0.entry(xxh3_64(stem(path))).or_default().push(id);
    }

    /// Tells the `fresh` streams of which nothing was read yet whom they follow.
    pub(crate) fn link(&mut self, streams: &mut HashMap<u64, Stream>, fresh: &[u64]) {
        for id in fresh {
            let Some(new) = streams.get(id).filter(|stream| stream.taken() == 0) else { continue };
            let Some(kin) = self.0.get_mut(&xxh3_64(stem(&new.path))) else { continue };
            kin.retain(|id| streams.contains_key(id));
            let after = before(streams, kin, new);
            if let Some(stream) = streams.get_mut(id) {
                stream.after = after;
            }
        }
    }

    /// Drops the names of which no stream is left.
    pub(crate) fn tidy(&mut self, streams: &HashMap<u64, Stream>) {
        if self.0.len() > 2 * streams.len() + 64 {
            self.0.retain(|_, kin| kin.iter().any(|id| streams.contains_key(id)));
        }
    }
}

/// The file among `kin` that was rotated away before the `new` one was made and may not be read to its end: the
/// youngest that had the new one's path, or was last written when the new one was made.
fn before(streams: &HashMap<u64, Stream>, kin: &[u64], new: &Stream) -> Option<u64> {
    let made =
        |seconds: i64| new.created.is_some_and(|created| (created - SIBLING_AFTER..=created + 1).contains(&seconds));
    let rotated = |stream: &&Stream| {
        let had = stream.born == new.born && (stream.state.rotated || !stream.linked);
        // A file without a number at its end is one that is written to, not a rotated one.
        let numbered = stem(&stream.path).len() < stream.path.as_os_str().len();
        let near = numbered && (stream.modified, stream.id) < (new.modified, new.id) && made(stream.modified.0);
        stream.id != new.id && stream.is_reachable() && (had || near) && !waits_for(streams, stream, new.id)
    };
    let kin = kin.iter().filter_map(|id| streams.get(id)).filter(rotated);
    kin.max_by_key(|stream| (stream.modified, stream.id)).map(|stream| stream.id)
}

/// True when `stream` is read after the stream `id`, or the row is too long to tell.
fn waits_for(streams: &HashMap<u64, Stream>, stream: &Stream, id: u64) -> bool {
    let mut next = stream.after;
    for _ in 0..MAX_ROW {
        match next {
            Some(before) if before == id => return true,
            Some(before) => next = streams.get(&before).and_then(|stream| stream.after),
            None => return false,
        }
    }
    true
}

/// The path without the number or date that a rotation appends.
fn stem(path: &Path) -> &[u8] {
    let bytes = path.as_os_str().as_bytes();
    let suffix = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
    let end = bytes.iter().rposition(|byte| !suffix(byte)).map_or(0, |at| at + 1);
    &bytes[..end]
}
