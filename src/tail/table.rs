//! All files that are followed or were, and the decisions which file a path leads to now.
//!
//! A [`Stream`] is a content that can be read; a [`Past`] one that cannot at the moment: known from before a
//! start, truncated away, or deleted. A file that is found is compared with both before it counts as new.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::base::clock::SECOND;
use crate::signal::frame::Position;
use crate::status::Board;

use super::adopt::Heads;
use super::discover::{Heed, Walk, label, path_hash};
use super::follow::Stream;
use super::group::Group;
use super::identity::{Mark, Node, Print};
use super::kin::Kin;
use super::open::Opened;
use super::packs::Packs;
use super::position::{self, Known, Place, State};
use super::{GlobError, Now, Settings, Start};

/// How long a truncated content waits for a copy that holds what was not read of it.
const COPY_WAIT: u64 = 15 * SECOND;
/// How long what is known of a deleted file is kept, for a compressed copy of it.
const PAST_KEPT: u64 = 600 * SECOND;
/// How long what is known of a file that is out of sight is kept, in seconds.
const UNSEEN_KEPT: u64 = 7 * 24 * 3600;
/// Contents that are remembered at most.
const MAX_PASTS: usize = 200_000;

/// A content that is known and cannot be read now.
#[derive(Debug)]
pub(crate) struct Past {
    pub(crate) place: Place,
    /// Since when, on the monotonic clock.
    pub(crate) since: u64,
    /// Out of sight and not known to be gone: from before the start, or in a folder that was away.
    pub(crate) may_return: bool,
}

impl Past {
    fn unread(&self) -> u64 {
        self.place.seen.saturating_sub(self.place.print.mark.offset)
    }
}

/// A file that may be a copy in the making.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Suspect {
    pub(crate) since: u64,
    pub(crate) size: u64,
}

/// All of it.
pub(crate) struct Table {
    pub(crate) groups: Vec<Group>,
    own: Vec<PathBuf>,
    pub(crate) streams: HashMap<u64, Stream>,
    nodes: HashMap<Node, u64>,
    pub(crate) pasts: HashMap<u64, Past>,
    kin: Kin,
    pub(crate) suspects: HashMap<Node, Suspect>,
    refused: HashMap<PathBuf, String>,
    pub(crate) packs: Packs,
    /// Streams that have something to read.
    pub(crate) queue: VecDeque<u64>,
    /// Positions beside those of the streams that were read.
    pub(crate) notes: Vec<Position>,
    pub(crate) board: Board,
    drawn: u64,
    /// Streams whose positions go into the next frame.
    pub(crate) moved: Vec<u64>,
    /// A walk is wanted at once.
    pub(crate) urgent: bool,
    /// Names that the latest walk looked at.
    pub(crate) listed: u64,
    /// Folders in which files can appear, for a watch.
    pub(crate) folders: Vec<PathBuf>,
}

/// A file that a walk found and no stream reads.
pub(crate) struct Fresh {
    pub(crate) group: usize,
    pub(crate) path: PathBuf,
    pub(crate) node: Node,
    pub(crate) modified: (i64, i64),
    /// Its name does not match: only a known content is of interest.
    pub(crate) stray: bool,
}

impl Table {
    pub(crate) fn new(settings: &Settings, positions: &[Position], board: &Board, now: Now) -> Result<Self, GlobError> {
        let mut groups = Vec::new();
        for (index, group) in settings.groups.iter().enumerate() {
            groups.push(Group::new(index, group, board)?);
        }
        let mut pasts = HashMap::new();
        let ours = positions.iter().filter(|position| !position::is_of(position, &settings.others));
        for known in ours.filter_map(position::decode) {
            match known {
                Known::Glob(hash) => {
                    for group in groups.iter_mut().filter(|group| group.glob.hash == hash) {
                        group.started = true;
                    }
                }
                Known::Place(place) => {
                    pasts.insert(place.id, Past { place, since: now.mono, may_return: true });
                }
            }
        }
        Ok(Self {
            groups,
            own: settings.own.clone(),
            streams: HashMap::new(),
            nodes: HashMap::new(),
            pasts,
            kin: Kin::default(),
            suspects: HashMap::new(),
            packs: Packs::default(),
            refused: HashMap::new(),
            queue: VecDeque::new(),
            notes: Vec::new(),
            board: board.clone(),
            drawn: now.unix,
            moved: Vec::new(),
            urgent: true,
            listed: 0,
            folders: Vec::new(),
        })
    }

    /// Looks which files there are and settles who they are.
    pub(crate) fn scan(&mut self, now: Now) {
        self.urgent = false;
        let (fresh, faults) = self.walk();
        self.miss(now);
        // Truncations first: what was truncated away may stand in one of the new files.
        self.poll(now, true);
        self.settle(fresh, now);
        self.expire(now);
        self.report(faults);
        for group in &mut self.groups {
            group.late.retain(|folder| group.closed.contains(folder));
            if !std::mem::replace(&mut group.started, true) {
                group.late.clone_from(&group.closed);
                self.notes.push(position::started(group.glob.hash));
            }
        }
    }

    fn walk(&mut self) -> (Vec<Fresh>, Vec<Option<String>>) {
        let known = self.streams.values().map(|stream| stream.node.ino);
        let inodes: HashSet<u64> =
            known.chain(self.pasts.values().filter(|p| !p.place.state.gone).map(|p| p.place.node.ino)).collect();
        for stream in self.streams.values_mut() {
            stream.linked = false;
        }
        let (mut fresh, mut seen) = (Vec::new(), HashSet::new());
        let (mut strays, mut faults) = (Vec::new(), Vec::new());
        self.folders.clear();
        self.listed = 0;
        for index in 0..self.groups.len() {
            let mut walk = Walk::default();
            self.groups[index].glob.walk(&Heed { own: &self.own, inodes: &inodes }, &mut walk);
            self.groups[index].source.detail.set(count(walk.found.len()));
            faults.push(fault(&walk));
            self.listed += walk.listed;
            self.groups[index].closed = walk.faults.into_iter().map(|(folder, _)| folder).collect();
            for path in walk.found {
                self.find(index, path, false, &mut seen, &mut fresh);
            }
            strays.extend(walk.strays.into_iter().map(|path| (index, path)));
            self.folders.extend(walk.folders);
        }
        for (index, path) in strays {
            self.find(index, path, true, &mut seen, &mut fresh);
        }
        self.suspects.retain(|node, _| seen.contains(node));
        self.packs.retain(|node| seen.contains(node));
        self.refused.retain(|path, _| path.symlink_metadata().is_ok());
        (fresh, faults)
    }

    /// Shows what cannot be read, for as long as it cannot.
    fn report(&self, faults: Vec<Option<String>>) {
        for (group, fault) in self.groups.iter().zip(faults) {
            let refused = || self.refused.iter().filter(|(path, _)| group.glob.takes(path)).min();
            let text = fault.or_else(|| refused().map(|(path, why)| format!("cannot read {}: {why}", label(path))));
            group.source.fault.set(text.unwrap_or_default());
        }
    }

    fn find(&mut self, group: usize, path: PathBuf, stray: bool, seen: &mut HashSet<Node>, fresh: &mut Vec<Fresh>) {
        let meta = match fs::metadata(&path) {
            Ok(meta) if meta.is_file() => meta,
            Ok(_) => return self.refuse(path, "it is no regular file"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return self.refuse(path, &error.to_string()),
        };
        let node = Node::of(&meta);
        if !seen.insert(node) {
            return;
        }
        let Some(stream) = self.nodes.get(&node).and_then(|id| self.streams.get_mut(id)) else {
            let modified = (meta.mtime(), meta.mtime_nsec());
            if !self.packs.is_settled(&node, modified) {
                fresh.push(Fresh { group, path, node, modified, stray });
            }
            return;
        };
        stream.linked = true;
        if stream.path != path && !fs::metadata(&stream.path).is_ok_and(|meta| Node::of(&meta) == node) {
            stream.path = path;
            stream.state.rotated = path_hash(stream.path.as_os_str()) != stream.born;
            stream.drained = false;
            stream.touched = true;
            let id = stream.id;
            self.moved.push(id);
            self.enqueue(id);
        } else if stream.state.rotated && stream.path == path && path_hash(path.as_os_str()) == stream.born {
            // It was out of sight for a while.
            stream.state.rotated = false;
        }
    }

    pub(crate) fn refuse(&mut self, path: PathBuf, why: &str) {
        if self.refused.len() < 1000 {
            self.refused.insert(path, why.to_owned());
        }
    }

    pub(crate) fn allow(&mut self, path: &Path) {
        self.refused.remove(path);
    }

    /// Streams to which no path leads any more.
    fn miss(&mut self, now: Now) {
        let missing: Vec<u64> = self.streams.values().filter(|stream| !stream.linked).map(|stream| stream.id).collect();
        for id in missing {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            if self.groups[stream.group].hides(&stream.path) {
                continue;
            }
            if stream.file.is_none() {
                self.retire(id, now);
            } else if !stream.state.rotated {
                stream.state.rotated = true;
                stream.drained = false;
                stream.touched = true;
                self.moved.push(id);
                self.enqueue(id);
            }
        }
    }

    fn settle(&mut self, mut fresh: Vec<Fresh>, now: Now) {
        let known: HashSet<Node> = self.pasts.values().map(|past| past.place.node).collect();
        fresh.sort_by_key(|fresh| (!known.contains(&fresh.node), fresh.modified));
        let mut heads = Heads::new();
        if !fresh.is_empty() {
            for stream in self.streams.values() {
                let head = stream.print.head;
                heads.entry(head.len).or_default().entry(head.hash).or_default().push(stream.id);
            }
        }
        let mut followed = Vec::new();
        for fresh in fresh {
            if let Some((id, head)) = self.adopt(fresh, &heads, now) {
                followed.push(id);
                heads.entry(head.len).or_default().entry(head.hash).or_default().push(id);
            }
        }
        followed.sort_by_key(|id| self.streams.get(id).map(|stream| stream.modified));
        self.kin.link(&mut self.streams, &followed);
        self.kin.tidy(&self.streams);
    }

    /// Forgets what nobody will ask for and counts what no copy has brought back.
    fn expire(&mut self, now: Now) {
        let surplus = self.pasts.len().saturating_sub(MAX_PASTS);
        let mut oldest: Vec<(u64, u64)> = Vec::new();
        if surplus > 0 {
            oldest = self.pasts.values().map(|past| (past.place.when, past.place.id)).collect();
            oldest.sort_unstable();
            oldest.truncate(surplus);
        }
        let mut gone: Vec<u64> = oldest.into_iter().map(|(_, id)| id).collect();
        let copies = !self.suspects.is_empty();
        for past in self.pasts.values_mut() {
            let age = now.mono.saturating_sub(past.since);
            if past.unread() > 0 && age >= COPY_WAIT && !copies && self.packs.is_idle() {
                let (reason, hint) = if past.place.state.gone {
                    (
                        "truncated_unread",
                        "a file was truncated before it was read: let logrotate use create, not copytruncate",
                    )
                } else {
                    (
                        "vanished_unread",
                        "a file was moved away or deleted before it was read: name the rotated files in the glob",
                    )
                };
                self.board.lost("tail", reason, past.unread(), hint);
                past.place.seen = past.place.print.mark.offset;
                self.notes.push(past.place.encode());
            }
            let unseen = (now.unix / SECOND).saturating_sub(past.place.when);
            let kept = past.place.state.packed && self.packs.holds(&past.place.node);
            if !kept && if past.may_return { unseen >= UNSEEN_KEPT } else { age >= PAST_KEPT } {
                gone.push(past.place.id);
            }
        }
        for id in gone {
            self.pasts.remove(&id);
            self.notes.push(position::forget(id));
        }
    }

    /// Puts a stream into the queue of those with something to read.
    pub(crate) fn enqueue(&mut self, id: u64) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if !std::mem::replace(&mut stream.queued, true) {
            self.queue.push_back(id);
        }
    }

    /// A content that cannot be read any more becomes a past.
    pub(crate) fn retire(&mut self, id: u64, now: Now) {
        let Some(stream) = self.streams.remove(&id) else { return };
        if self.nodes.get(&stream.node) == Some(&id) {
            self.nodes.remove(&stream.node);
        }
        let place = stream.place(self.groups[stream.group].glob.hash, now.unix);
        self.notes.push(place.encode());
        self.pasts.insert(id, Past { place, since: now.mono, may_return: !stream.deleted });
    }

    /// The content of the stream's file is another one than was read: it is read from its beginning.
    pub(crate) fn renew(&mut self, id: u64, now: Now) {
        let fresh = self.draw();
        let Some(mut stream) = self.streams.remove(&id) else { return };
        let mut place = stream.place(self.groups[stream.group].glob.hash, now.unix);
        place.state.gone = true;
        self.notes.push(place.encode());
        if place.seen > 0 {
            self.pasts.insert(id, Past { place, since: now.mono, may_return: false });
        }
        stream.id = fresh;
        stream.print = Print::default();
        stream.noted = Mark::default();
        stream.state = State { rotated: stream.state.rotated, ..State::default() };
        stream.searched = 0;
        stream.hole = false;
        stream.size = 0;
        stream.modified = (0, 0);
        stream.after = None;
        stream.grown = now.mono;
        stream.queued = false;
        stream.failed = None;
        stream.touched = true;
        self.nodes.insert(stream.node, fresh);
        self.kin.add(&stream.path, fresh);
        self.streams.insert(fresh, stream);
        self.moved.push(fresh);
        self.enqueue(fresh);
        self.urgent = true;
    }

    /// Begins to follow an open file at the offset of `place`.
    pub(crate) fn follow(&mut self, place: Place, fresh: &Fresh, opened: Opened, now: Now) -> u64 {
        let id = place.id;
        self.kin.add(&fresh.path, id);
        let stream = Stream {
            id,
            group: fresh.group,
            label: label(&fresh.path),
            path: fresh.path.clone(),
            born: place.born,
            node: opened.node,
            encoding: opened.encoding,
            size: opened.size,
            modified: opened.modified,
            file: Some(opened.file),
            noted: place.print.mark,
            print: place.print,
            state: place.state,
            searched: 0,
            hole: false,
            linked: true,
            deleted: false,
            grown: now.mono,
            queued: false,
            drained: false,
            failed: None,
            created: opened.created,
            after: None,
            touched: true,
            last: 0,
            parser: None,
        };
        self.nodes.insert(opened.node, id);
        self.streams.insert(id, stream);
        self.moved.push(id);
        self.enqueue(id);
        id
    }

    /// Takes a stream out without a trace: its content goes on under another file.
    pub(crate) fn release(&mut self, id: u64) -> Option<Stream> {
        let stream = self.streams.remove(&id)?;
        if self.nodes.get(&stream.node) == Some(&id) {
            self.nodes.remove(&stream.node);
        }
        Some(stream)
    }

    /// Where reading begins in a file that nobody knows.
    pub(crate) fn begins_at_end(&self, group: usize, path: &Path) -> bool {
        let group = &self.groups[group];
        group.start == Start::End && (!group.started || group.late.iter().any(|folder| path.starts_with(folder)))
    }

    /// A key that no generation has.
    pub(crate) fn draw(&mut self) -> u64 {
        loop {
            self.drawn = self.drawn.wrapping_add(1);
            let id = xxh3_64(&[self.drawn.to_le_bytes(), u64::from(std::process::id()).to_le_bytes()].concat());
            if !self.streams.contains_key(&id) && !self.pasts.contains_key(&id) {
                return id;
            }
        }
    }
}

fn fault(walk: &Walk) -> Option<String> {
    if walk.too_many {
        return Some(format!("more than {} files match: name fewer", super::MAX_FILES));
    }
    walk.faults.first().map(|(path, error)| format!("cannot list {}: {error}", label(path)))
}

fn count(files: usize) -> String {
    if files == 1 { "1 file".to_owned() } else { format!("{files} files") }
}
