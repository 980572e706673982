//! Looks whether known files changed: grew, shrank, or lost their last name.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;

use crate::base::clock::SECOND;

use super::Now;
use super::discover::label;
use super::identity::{Content, Node, Sized};
use super::open::open;
use super::table::Table;

/// Quiet files that are looked at in each second.
const QUIET_PER_SECOND: usize = 2000;
/// A file that grew within this time is looked at each time.
const LIVELY: u64 = 60 * SECOND;
/// A deleted file is let go when nothing was written to it for this long.
const DELETED_QUIET: u64 = 30 * SECOND;
/// A file without a known name is let go when nothing was written to it for this long.
const UNLINKED_QUIET: u64 = 600 * SECOND;

impl Table {
    /// Looks at the lively files, and at the others in turn; at all of them if `all`.
    pub(crate) fn poll(&mut self, now: Now, all: bool) {
        let quiet = self.streams.len() / QUIET_PER_SECOND + 1;
        let round = (now.mono / SECOND) as usize;
        let due: Vec<u64> = self
            .streams
            .values()
            .filter(|stream| {
                let turn = (stream.id as usize).wrapping_add(round).is_multiple_of(quiet);
                all || turn || now.mono.saturating_sub(stream.grown) < LIVELY
            })
            .map(|stream| stream.id)
            .collect();
        for id in due {
            if let Err(error) = self.look(id, now) {
                self.fail(id, &error, now);
            }
        }
    }

    /// Looks at one file.
    pub(crate) fn look(&mut self, id: u64, now: Now) -> io::Result<()> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        let meta = match &stream.file {
            Some(file) => file.metadata()?,
            None => match fs::metadata(&stream.path) {
                Ok(meta) if Node::of(&meta) == stream.node => meta,
                Ok(_) => {
                    self.urgent = true;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.urgent = true;
                    return Ok(());
                }
                Err(error) => return Err(error),
            },
        };
        if stream.file.is_some() {
            stream.deleted = meta.nlink() == 0;
        }
        if meta.size() < stream.size {
            return self.shrink(id, &meta, now);
        }
        let modified = (meta.mtime(), meta.mtime_nsec());
        if meta.size() != stream.size || modified != stream.modified {
            if meta.size() == stream.size {
                // Written in place: what was a hole may be text now, and what was read may be other text.
                stream.searched = 0;
            }
            if stream.file.is_some() {
                // Else it may be another file on the same inode: the read tells.
                stream.size = meta.size();
            }
            stream.modified = modified;
            stream.hole = false;
            stream.grown = now.mono;
            stream.drained = false;
            self.enqueue(id);
        }
        Ok(())
    }

    /// The file is shorter than it was.
    fn shrink(&mut self, id: u64, meta: &Metadata, now: Now) -> io::Result<()> {
        let held = self.is_held(id);
        if self.reopen(id, now).is_none() {
            return Ok(());
        }
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        let Some(file) = &stream.file else { return Ok(()) };
        let content = Sized(file, meta.size());
        let kept = stream.taken() > 0 && stream.taken() <= meta.size() && content.has(stream.print.mark)?;
        if !kept {
            self.change(id, held, now);
            return Ok(());
        }
        // Only the end was cut off: what was read stands, some of what was not is gone.
        let lost = stream.size - meta.size();
        stream.size = meta.size();
        stream.searched = 0;
        let hint = format!("{} was cut at its end before it was read", label(&stream.path));
        self.board.lost("tail", "truncated_unread", lost, hint);
        self.enqueue(id);
        Ok(())
    }

    /// True while the stream's file is open, so that its inode cannot have become another file's.
    pub(crate) fn is_held(&self, id: u64) -> bool {
        self.streams.get(&id).is_some_and(|stream| stream.file.is_some())
    }

    /// The content is not the one that was read. In a file that was `held` open all the time it was truncated; else
    /// this may be another file on the same inode, and the next walk finds out whose content it has.
    pub(crate) fn change(&mut self, id: u64, held: bool, now: Now) {
        if held {
            return self.renew(id, now);
        }
        self.retire(id, now);
        if let Some(past) = self.pasts.get_mut(&id) {
            past.place.state.gone = true;
            past.may_return = false;
            self.notes.push(past.place.encode());
        }
        self.urgent = true;
    }

    /// Opens the stream's file again after it was closed for want of handles or failed.
    pub(crate) fn reopen(&mut self, id: u64, now: Now) -> Option<&File> {
        let stream = self.streams.get_mut(&id)?;
        if stream.file.is_none() {
            match open(&stream.path) {
                Ok(opened) if opened.node == stream.node => stream.file = Some(opened.file),
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    self.fail(id, &error, now);
                    return None;
                }
                _ => {
                    self.urgent = true;
                    return None;
                }
            }
        }
        self.streams.get(&id)?.file.as_ref()
    }

    /// A file could not be read: it is tried again with each look, however long it takes.
    pub(crate) fn fail(&mut self, id: u64, error: &io::Error, now: Now) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if !stream.deleted {
            stream.file = None;
        }
        let source = &self.groups[stream.group].source;
        // Once: what is told then is whether it is another file by now.
        self.urgent |= stream.failed.is_none();
        stream.failed.get_or_insert(now.mono);
        source.failures.add(1);
        let path = stream.path.clone();
        source.fault.set(format!("cannot read {}: {error}", label(&path)));
        self.refuse(path, &error.to_string());
    }

    /// A file that could not be read was read.
    pub(crate) fn heal(&mut self, id: u64) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.failed.take().is_some() {
            let path = stream.path.clone();
            self.allow(&path);
        }
    }

    /// Lets go (if all that was read is `accepted`) of files without a name that were read to their end, and of handles beyond `max_open`; drops the
    /// oldest deleted files beyond `max_pinned` bytes. The bytes that deleted files hold on disk.
    pub(crate) fn trim(&mut self, max_open: usize, max_pinned: u64, accepted: bool, now: Now) -> u64 {
        let mut pinned = Vec::new();
        let mut done = Vec::new();
        for stream in self.streams.values().filter(|stream| !stream.linked) {
            let quiet = now.mono.saturating_sub(stream.grown);
            let over = (stream.drained || stream.failed.is_some()) && stream.unread() == 0;
            let settled = over && stream.noted == stream.print.mark && !stream.touched;
            if accepted && settled && quiet >= if stream.deleted { DELETED_QUIET } else { UNLINKED_QUIET } {
                done.push(stream.id);
            } else if stream.deleted {
                pinned.push((stream.grown, stream.id, stream.size));
            }
        }
        for id in done {
            self.retire(id, now);
        }
        pinned.sort_unstable();
        let mut bytes: u64 = pinned.iter().map(|(_, _, size)| size).sum();
        for (_, id, size) in pinned {
            if bytes <= max_pinned {
                break;
            }
            bytes -= size;
            self.drop_pinned(id);
        }
        self.close_quiet(max_open);
        bytes
    }

    fn drop_pinned(&mut self, id: u64) {
        let Some(stream) = self.release(id) else { return };
        let hint =
            format!("{} was deleted before it was read; more disk or a faster destination helps", label(&stream.path));
        self.board.lost("tail", "deleted_unread", stream.unread(), hint);
        self.notes.push(super::position::forget(id));
    }

    fn close_quiet(&mut self, max_open: usize) {
        let open = self.streams.values().filter(|stream| stream.file.is_some()).count();
        if open <= max_open {
            return;
        }
        // A file that is reached by its name only; one with something to read last.
        let closable =
            self.streams.values().filter(|s| s.file.is_some() && s.linked && !s.deleted && s.after.is_none());
        let mut order: Vec<_> = closable.map(|stream| (stream.has_news(), stream.grown, stream.id)).collect();
        order.sort_unstable();
        for (_, _, id) in order.into_iter().take(open - max_open) {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.file = None;
            }
        }
    }
}
