//! Opens a file so that what was opened is what is read: regular, and not one that a link was bent to.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::UNIX_EPOCH;

use rustix::fs::OFlags;

use super::discover::may_follow;
use super::identity::{HEAD, Head, Node, read_at};
use super::lines::Encoding;

/// An open file and what its handle says.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) node: Node,
    pub(crate) size: u64,
    pub(crate) modified: (i64, i64),
    /// When it was made, Unix seconds, where the file system knows.
    pub(crate) created: Option<i64>,
    pub(crate) head: Head,
    pub(crate) encoding: Encoding,
    /// It begins as a gzip file does.
    pub(crate) packed: bool,
}

/// Opens `path` for reading. Nothing waits here: a FIFO without a writer opens at once, and is refused. What was
/// opened is judged by its handle, because the path may lead elsewhere a moment later.
pub(crate) fn open(path: &Path) -> io::Result<Opened> {
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let link = fs::symlink_metadata(path)?;
    if link.is_symlink() {
        if !may_follow(&link, &meta) {
            return Err(io::Error::other("it is a link that someone else made to this file"));
        }
    } else if Node::of(&link) != Node::of(&meta) {
        return Err(io::Error::other("its path changed while it was opened"));
    }
    let mut head = [0; HEAD];
    let got = read_at(&file, &mut head, 0)?;
    let head = &head[..got];
    Ok(Opened {
        node: Node::of(&meta),
        size: meta.size(),
        modified: (meta.mtime(), meta.mtime_nsec()),
        created: created(&meta),
        head: Head::of(head),
        encoding: Encoding::of(head).map_or(Encoding::Utf8, |(encoding, _)| encoding),
        packed: head.starts_with(&[0x1f, 0x8b, 8]),
        file,
    })
}

fn created(meta: &fs::Metadata) -> Option<i64> {
    let since = meta.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}
