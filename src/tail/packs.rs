//! Which gzip files there are, which of them are done, and whose content the others have.

use std::collections::{HashMap, VecDeque};
use std::io;

use crate::base::clock::SECOND;

use super::Now;
use super::discover::label;
use super::follow::Stream;
use super::gzip::{Unpack, Wanted};
use super::identity::{Mark, Node, Print};
use super::open::{Opened, open};
use super::position::{Place, State};
use super::table::{Fresh, Past, Table};

/// A file that is not complete and did not change for this long is broken.
const BROKEN_AFTER: u64 = 60 * SECOND;

/// All gzip files that the walks find.
#[derive(Default)]
pub(crate) struct Packs {
    known: HashMap<Node, Pack>,
    queue: VecDeque<(usize, std::path::PathBuf)>,
    pub(crate) active: Option<Job>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pack {
    size: u64,
    modified: (i64, i64),
    since: u64,
    state: PackState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PackState {
    Queued,
    /// Its original is still being read.
    Later,
    /// Not complete, or broken.
    Torn,
    Done,
}

/// The file that is being unpacked.
pub(crate) struct Job {
    pub(crate) unpack: Unpack,
    /// Set when it is known to be complete.
    pub(crate) stream: Option<Stream>,
    /// The way to the offset was gone.
    pub(crate) there: bool,
}

/// What a complete content turned out to be.
enum Whose {
    /// Goes on at the offset of what is known by this key.
    Known(u64, u64),
    /// A copy of a file that is followed itself.
    Copy,
    Later,
    New,
}

impl Packs {
    /// Keeps what a walk still finds.
    pub(crate) fn retain(&mut self, found: impl Fn(&Node) -> bool) {
        self.known.retain(|node, _| found(node));
    }

    pub(crate) fn holds(&self, node: &Node) -> bool {
        self.known.contains_key(node)
    }

    /// True for a file that needs no other look while it stays as it is.
    pub(crate) fn is_settled(&self, node: &Node, modified: (i64, i64)) -> bool {
        self.known.get(node).is_some_and(|pack| pack.modified == modified && pack.state == PackState::Done)
    }

    /// True when none is waited for.
    pub(crate) fn is_idle(&self) -> bool {
        self.known.values().all(|pack| pack.state == PackState::Done)
    }
}

impl Table {
    /// A walk found a gzip file.
    pub(crate) fn pack(&mut self, fresh: &Fresh, opened: &Opened, now: Now) {
        let node = opened.node;
        let same = |pack: &&mut Pack| (pack.size, pack.modified) == (opened.size, opened.modified);
        match self.packs.known.get_mut(&node).filter(same) {
            Some(pack) if pack.state == PackState::Later => pack.state = PackState::Queued,
            Some(pack) if pack.state == PackState::Torn && now.mono.saturating_sub(pack.since) >= BROKEN_AFTER => {
                pack.state = PackState::Queued;
            }
            Some(_) => return,
            None => {
                let state = if self.is_done(opened, now) { PackState::Done } else { PackState::Queued };
                let pack = Pack { size: opened.size, modified: opened.modified, since: now.mono, state };
                self.packs.known.insert(node, pack);
                if state == PackState::Done {
                    return;
                }
                if self.begins_at_end(fresh.group, &fresh.path) {
                    return self.pack_done(fresh.group, node, opened.head.hash, (Print::default(), 0), now);
                }
            }
        }
        self.packs.queue.push_back((fresh.group, fresh.path.clone()));
    }

    /// True when the positions say that this very file was read to its end.
    fn is_done(&mut self, opened: &Opened, now: Now) -> bool {
        let done = |past: &&mut Past| {
            let place = &past.place;
            place.state.packed
                && (place.node, place.born) == (opened.node, opened.head.hash)
                && place.seen == place.print.mark.offset
        };
        let Some(past) = self.pasts.values_mut().find(done) else { return false };
        (past.may_return, past.since) = (false, now.mono);
        true
    }

    /// Takes the next file from the queue.
    pub(crate) fn next_pack(&mut self, max_ratio: u64) {
        let Some((group, path)) = self.packs.queue.pop_front() else { return };
        match open(&path) {
            Ok(opened) if opened.packed => {
                let unpack = Unpack::new(group, path, opened, max_ratio);
                self.packs.active = Some(Job { unpack, stream: None, there: false });
            }
            // Renamed or replaced meanwhile: the next walk finds it.
            _ => self.packs.known.retain(|_, pack| pack.state != PackState::Queued),
        }
    }

    /// The marks of all that is known and begins with `head`.
    pub(crate) fn wanted(&self, head: &[u8]) -> Vec<Wanted> {
        let streams = self.streams.values().map(|stream| (stream.id, &stream.print));
        let pasts = self.pasts.values().map(|past| (past.place.id, &past.place.print));
        let mut out = Vec::new();
        for (id, print) in streams.chain(pasts).filter(|(_, print)| print.head.len > 0 && print.head.begins(head)) {
            out.push(Wanted { id, mark: print.mark, older: false });
            let older = print.older.iter().filter(|mark| mark.offset > 0);
            out.extend(older.map(|&mark| Wanted { id, mark, older: true }));
        }
        out
    }

    /// The active file is complete and unpacks to `total` bytes: the stream that reads the rest, if there is one.
    pub(crate) fn settle_pack(&mut self, job: &mut Job, total: u64, now: Now) -> io::Result<bool> {
        let unpack = &mut job.unpack;
        let (fresh, encoding) = unpack.print();
        let (place, offset) = match self.whose(&unpack.met, total) {
            Whose::Later => {
                self.pack_later(unpack, now, None);
                return Ok(false);
            }
            Whose::Copy => {
                let mark = unpack.end();
                self.pack_done(unpack.group, unpack.node, unpack.packed, (Print { mark, ..fresh }, total), now);
                return Ok(false);
            }
            Whose::Known(id, offset) => match self.take_known(id, now) {
                Some(place) => (place, offset),
                None => return Ok(false),
            },
            Whose::New => {
                let group = self.groups[unpack.group].glob.hash;
                let (id, state, print) = (self.draw(), State::default(), fresh);
                (Place { id, node: unpack.node, group, born: 0, print, seen: total, when: 0, state }, 0)
            }
        };
        let state = State { packed: true, gone: false, rotated: true, ..place.state };
        let print = if offset == place.print.mark.offset {
            place.print
        } else {
            Print { mark: if offset == total { unpack.end() } else { Mark::default() }, ..place.print }
        };
        job.stream = Some(Stream {
            id: place.id,
            group: unpack.group,
            path: unpack.path.clone(),
            label: label(&unpack.path),
            born: unpack.packed,
            node: unpack.node,
            file: None,
            size: total,
            modified: unpack.modified,
            noted: place.print.mark,
            print,
            encoding,
            state,
            searched: 0,
            hole: false,
            linked: true,
            deleted: false,
            grown: 0,
            queued: false,
            drained: false,
            failed: None,
            created: None,
            after: None,
            touched: true,
            last: 0,
            parser: None,
        });
        unpack.rewind()?;
        Ok(true)
    }

    fn whose(&self, met: &[Wanted], total: u64) -> Whose {
        let mut best: Option<(u64, u64)> = None;
        for wanted in met {
            let (print, stream) = match (self.pasts.get(&wanted.id), self.streams.get(&wanted.id)) {
                (Some(past), _) => (&past.place.print, None),
                (None, Some(stream)) => (&stream.print, Some(stream)),
                // Settled under another key since the check began.
                (None, None) => return Whose::Later,
            };
            let offset = if wanted.older { total } else { wanted.mark.offset };
            if wanted.older && total >= print.mark.offset {
                continue;
            }
            if let Some(stream) = stream {
                if stream.linked && !stream.deleted {
                    if total <= stream.size {
                        return Whose::Copy;
                    }
                    continue;
                }
                if stream.print.mark != wanted.mark && !wanted.older || stream.has_news() && stream.file.is_some() {
                    return Whose::Later;
                }
            }
            best = best.max(Some((offset, wanted.id)));
        }
        best.map_or(Whose::New, |(offset, id)| Whose::Known(id, offset))
    }

    /// Takes the place of a past or of a stream that is read to its end.
    fn take_known(&mut self, id: u64, now: Now) -> Option<Place> {
        if let Some(past) = self.pasts.remove(&id) {
            return Some(past.place);
        }
        let stream = self.release(id)?;
        Some(stream.place(self.groups[stream.group].glob.hash, now.unix))
    }

    /// The file brings nothing more.
    pub(crate) fn pack_done(&mut self, group: usize, node: Node, packed: u64, (print, total): (Print, u64), now: Now) {
        let state = State { packed: true, ..State::default() };
        let place = Place {
            id: self.draw(),
            node,
            group: self.groups[group].glob.hash,
            born: packed,
            print,
            seen: total,
            when: now.unix / SECOND,
            state,
        };
        self.pack_past(place, now);
    }

    /// The unpacked content was read to its end.
    pub(crate) fn pack_read(&mut self, stream: &Stream, now: Now) {
        let place = stream.place(self.groups[stream.group].glob.hash, now.unix);
        self.pack_past(place, now);
    }

    fn pack_past(&mut self, place: Place, now: Now) {
        if let Some(pack) = self.packs.known.get_mut(&place.node) {
            pack.state = PackState::Done;
        }
        self.notes.push(place.encode());
        self.pasts.insert(place.id, Past { place, since: now.mono, may_return: false });
    }

    /// The file is not complete, or not yet settled; `why` it will never be if it stays as it is.
    pub(crate) fn pack_later(&mut self, unpack: &Unpack, now: Now, why: Option<&io::Error>) {
        let Some(pack) = self.packs.known.get_mut(&unpack.node) else { return };
        pack.state = PackState::Later;
        if why.is_some() {
            pack.state = PackState::Torn;
        }
        if let Some(error) = why.filter(|_| now.mono.saturating_sub(pack.since) >= BROKEN_AFTER) {
            pack.state = PackState::Done;
            let hint = format!("cannot unpack {}: {error}", label(&unpack.path));
            self.board.lost("tail", "broken_gzip_files", 1, hint);
        }
    }

    /// The file unpacks to more than is believable.
    pub(crate) fn pack_bomb(&mut self, unpack: &Unpack) {
        if let Some(pack) = self.packs.known.get_mut(&unpack.node) {
            pack.state = PackState::Done;
        }
        let hint = format!("{} unpacks to far more than a log does", label(&unpack.path));
        self.board.lost("tail", "gzip_bombs", 1, hint);
    }
}
