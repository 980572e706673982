//! Which content a newly found file has: one that is known, a copy that is still being made, or a new one.

use std::collections::HashMap;
use std::fs::File;
use std::io;

use crate::base::clock::SECOND;

use super::Now;
use super::discover::path_hash;
use super::follow::Stream;
use super::identity::{Content, Head, Mark, Print, Sized, WINDOW, read_at};
use super::open::{Opened, open};
use super::position::{Place, State};
use super::table::{Fresh, Suspect, Table};

/// How long a file that equals the beginning of another one may be its copy before the truncation.
const SUSPECT_SMALL: u64 = 3 * SECOND;
const SUSPECT_LARGE: u64 = 10 * SECOND;
/// A content this short is made in no time.
const SMALL: u64 = 64 << 10;

/// Streams by the length and the hash of their head.
pub(crate) type Heads = HashMap<u16, HashMap<u64, Vec<u64>>>;

/// Whose content it is.
#[derive(Debug, PartialEq, Eq)]
enum Owner {
    /// A past one, to go on at the offset.
    Past(u64, u64),
    /// One whose file was deleted or replaced and is read to its end.
    Replaced(u64, u64),
    /// Not certain yet.
    Wait,
    New,
}

impl Table {
    /// Follows `fresh` where its content goes on. The key and the head of the new stream.
    pub(crate) fn adopt(&mut self, fresh: Fresh, heads: &Heads, now: Now) -> Option<(u64, Head)> {
        let opened = match open(&fresh.path) {
            Ok(opened) => opened,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    self.refuse(fresh.path, &error.to_string());
                }
                return None;
            }
        };
        self.allow(&fresh.path);
        if opened.packed {
            if !fresh.stray {
                self.pack(&fresh, &opened, now);
            }
            return None;
        }
        let owner = self.owner(&fresh, &opened, heads, now).unwrap_or(Owner::Wait);
        let (head, node, size) = (opened.head, opened.node, opened.size);
        let place = match owner {
            Owner::Wait => {
                let suspect = self.suspects.entry(node).or_insert(Suspect { since: now.mono, size });
                if suspect.size != size {
                    *suspect = Suspect { since: now.mono, size };
                }
                return None;
            }
            Owner::Past(id, offset) => self.place_of_past(id, offset, &fresh, &opened).ok()?,
            Owner::Replaced(id, offset) => self.place_of_replaced(id, offset, &fresh, &opened, now).ok()?,
            Owner::New if fresh.stray => return None,
            Owner::New => self.place_of_new(&fresh, &opened).ok()?,
        };
        self.suspects.remove(&node);
        Some((self.follow(place, &fresh, opened, now), head))
    }

    fn owner(&mut self, fresh: &Fresh, opened: &Opened, heads: &Heads, now: Now) -> io::Result<Owner> {
        let content = Sized(&opened.file, opened.size);
        if let Some((id, offset)) = self.past_of(opened, &content)? {
            return Ok(Owner::Past(id, offset));
        }
        if opened.size == 0 || fresh.stray {
            return Ok(Owner::New);
        }
        let suspect = self.suspects.get(&opened.node).copied();
        let limit = if opened.size < SMALL { SUSPECT_SMALL } else { SUSPECT_LARGE };
        let patient = suspect.is_none_or(|s| s.size != opened.size || now.mono.saturating_sub(s.since) < limit);
        for stream in self.streams.values().filter(|stream| stream.deleted && !stream.linked) {
            if let Some(offset) = stream.print.resume(&content)?.filter(|_| stream.print.head.len > 0) {
                let settled = stream.drained || stream.failed.is_some() || !stream.has_news();
                return Ok(if settled { Owner::Replaced(stream.id, offset) } else { Owner::Wait });
            }
        }
        let mut changed = None;
        for stream in
            alike(heads, &content)?.iter().take(64).filter_map(|id| self.streams.get(id)).filter(|stream| stream.linked)
        {
            if begins_with(stream, &content)? {
                if patient {
                    return Ok(Owner::Wait);
                }
            } else if !stands(stream)? {
                changed = Some(stream.id);
            }
        }
        if let Some(id) = changed {
            // Truncated and filled again since it was looked at: this may be the copy. The next walk tells.
            self.renew(id, now);
            return Ok(Owner::Wait);
        }
        Ok(Owner::New)
    }

    /// The past whose content this is, and where it goes on. A past of the same inode with other content was
    /// truncated away.
    fn past_of(&mut self, opened: &Opened, content: &Sized<'_>) -> io::Result<Option<(u64, u64)>> {
        let mut head = [0; super::identity::HEAD];
        let got = content.read(0, &mut head)?;
        let mut hashes: HashMap<u16, u64> = HashMap::new();
        let mut best: Option<(bool, u64, u64)> = None;
        let mut lost = Vec::new();
        for (&id, past) in &self.pasts {
            let print = &past.place.print;
            let same = past.place.node == opened.node && !past.place.state.gone;
            let len = usize::from(print.head.len);
            let begins = len > 0
                && len <= got
                && *hashes.entry(print.head.len).or_insert_with(|| Head::of(&head[..len]).hash) == print.head.hash;
            let offset = if begins { print.resume(content)? } else { None };
            match offset {
                Some(offset) => best = best.max(Some((same, offset, id))),
                None if same && len > 0 => lost.push(id),
                None => {}
            }
        }
        for id in lost {
            if let Some(past) = self.pasts.get_mut(&id) {
                past.place.state.gone = true;
                self.notes.push(past.place.encode());
            }
        }
        Ok(best.map(|(_, offset, id)| (id, offset)))
    }

    fn place_of_past(&mut self, id: u64, offset: u64, fresh: &Fresh, opened: &Opened) -> io::Result<Place> {
        let print = self.pasts.get(&id).map(|past| past.place.print).unwrap_or_default();
        let print = at(&print, offset, opened)?;
        let past = self.pasts.remove(&id).ok_or_else(|| io::Error::other("unknown"))?;
        let mut place = Place { print, ..past.place };
        place.state.gone = false;
        place.state.rotated = path_hash(fresh.path.as_os_str()) != place.born;
        Ok(place)
    }

    fn place_of_replaced(
        &mut self,
        id: u64,
        offset: u64,
        fresh: &Fresh,
        opened: &Opened,
        now: Now,
    ) -> io::Result<Place> {
        let print = self.streams.get(&id).map(|stream| stream.print).unwrap_or_default();
        let print = at(&print, offset, opened)?;
        let old = self.release(id).ok_or_else(|| io::Error::other("unknown"))?;
        let glob = self.groups[old.group].glob.hash;
        let mut place = Place { print, ..old.place(glob, now.unix) };
        place.state.rotated = path_hash(fresh.path.as_os_str()) != place.born;
        Ok(place)
    }

    fn place_of_new(&mut self, fresh: &Fresh, opened: &Opened) -> io::Result<Place> {
        let offset = if self.begins_at_end(fresh.group, &fresh.path) {
            let line = self.groups[fresh.group].rules.max_line as u64;
            last_line(opened, line)?
        } else {
            0
        };
        let print = at(&Print { head: opened.head, ..Print::default() }, offset, opened)?;
        Ok(Place {
            id: self.draw(),
            node: opened.node,
            group: self.groups[fresh.group].glob.hash,
            born: path_hash(fresh.path.as_os_str()),
            print,
            seen: opened.size,
            when: 0,
            state: State::default(),
        })
    }
}

/// `print` with its mark at `offset` of the open file.
fn at(print: &Print, offset: u64, opened: &Opened) -> io::Result<Print> {
    let mut print = *print;
    if offset != print.mark.offset {
        let mut window = [0; WINDOW];
        let reach = offset.min(WINDOW as u64);
        let got = read_at(&opened.file, &mut window[..reach as usize], offset - reach)?;
        print.advance(Mark::new(offset, &window[..got]));
    }
    Ok(print)
}

/// True when `content` is the beginning of the stream's file as it is now, or all of it.
fn begins_with(stream: &Stream, content: &Sized<'_>) -> io::Result<bool> {
    let Some(file) = &handle(stream)? else { return Ok(false) };
    let size = file.metadata()?.len();
    if content.size() > size {
        return Ok(false);
    }
    let reach = content.size().min(4096) as usize;
    let (mut one, mut other) = ([0; 4096], [0; 4096]);
    let got = content.read(content.size() - reach as u64, &mut one[..reach])?;
    read_at(file, &mut other[..reach], content.size() - reach as u64)?;
    Ok(got == reach && one[..reach] == other[..reach])
}

/// The streams whose head stands at the beginning of `content`.
fn alike(heads: &Heads, content: &Sized<'_>) -> io::Result<Vec<u64>> {
    let mut head = [0; super::identity::HEAD];
    let got = content.read(0, &mut head)?;
    let lens = heads.iter().filter(|(len, _)| (1..=got).contains(&usize::from(**len)));
    let found = lens.filter_map(|(len, ids)| ids.get(&Head::of(&head[..usize::from(*len)]).hash));
    Ok(found.flatten().copied().collect())
}

/// The stream's file, opened for the moment if it was closed for want of handles.
fn handle(stream: &Stream) -> io::Result<Option<File>> {
    match &stream.file {
        Some(file) => file.try_clone().map(Some),
        None => Ok(open(&stream.path).ok().filter(|opened| opened.node == stream.node).map(|opened| opened.file)),
    }
}

/// True when what was read of the stream's file still stands there.
fn stands(stream: &Stream) -> io::Result<bool> {
    let Some(file) = &handle(stream)? else { return Ok(true) };
    let size = file.metadata()?.len();
    Ok(stream.taken() <= size && Sized(file, size).has(stream.print.mark)?)
}

/// The offset behind the last line feed, so that a line that is being written is read whole.
fn last_line(opened: &Opened, max: u64) -> io::Result<u64> {
    let from = opened.size.saturating_sub(max);
    let mut bytes = vec![0; (opened.size - from) as usize];
    let got = read_at(&opened.file, &mut bytes, from)?;
    let width = opened.encoding.width();
    let ends = (width..=got).rev().find(|&end| {
        (from as usize + end).is_multiple_of(width) && opened.encoding.feed(&bytes[end - width..end], 0).is_some()
    });
    Ok(ends.map_or(if from == 0 { 0 } else { opened.size }, |end| from + end as u64))
}
