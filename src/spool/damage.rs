//! Sets damaged ranges aside and says on the board what was lost with them.

use std::path::PathBuf;
use std::sync::Arc;

use super::disk::{Disk, File, read_full, write_full};
use crate::base::units::Size;
use crate::signal::frame::Signal;
use crate::status::Board;

/// Copies of damaged ranges, for people who want to look; bounded, oldest first out.
#[derive(Debug)]
pub(super) struct Damage {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    board: Board,
    signal: Signal,
    /// The part's name on the board.
    pub(super) part: String,
}

/// All copies together.
const MAX_BYTES: u64 = 64 << 20;
const CHUNK: u64 = 256 << 10;

impl Damage {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: PathBuf, board: Board, signal: Signal) -> Self {
        Self { disk, dir, board, signal, part: format!("spool {signal}") }
    }

    /// Counts bytes `from` up to `to` of the segment that begins with frame `first`, once: a range that was set aside
    /// before is known already.
    pub(super) fn found(&self, file: &dyn File, first: u64, from: u64, to: u64, reason: &'static str) {
        let name = format!("{first:020}-{from:012}.bad");
        let known = self.disk.list(&self.dir).unwrap_or_default();
        if known.contains(&name) || from >= to {
            return;
        }
        let kept = self.copy(file, &name, from, to, known);
        let place = self.dir.join(&name);
        let hint = match kept {
            Ok(()) => {
                format!("{} at byte {from} of segment {first}; a copy is in {}", Size(to - from), place.display())
            }
            Err(error) => {
                format!("{} at byte {from} of segment {first}; no copy could be kept: {error}", Size(to - from))
            }
        };
        self.board.spool(self.signal).quarantined.add(to - from);
        self.board.lost(&self.part, reason, to - from, hint.clone());
        self.note("damage", format!("part of the spool was unreadable ({reason}): {hint}"));
    }

    /// Counts what was lost without bytes to show.
    pub(super) fn lost(&self, reason: &'static str, count: u64, hint: String) {
        if count > 0 {
            self.board.lost(&self.part, reason, count, hint);
        }
    }

    /// A note that stands until the agent ends.
    pub(super) fn note(&self, topic: &str, text: String) {
        self.board.note(&format!("{} {topic}", self.part), Some(text));
    }

    fn copy(&self, file: &dyn File, name: &str, from: u64, to: u64, known: Vec<String>) -> std::io::Result<()> {
        let len = (to - from).min(MAX_BYTES);
        self.make_room(known, len);
        let copy = self.disk.create(&self.dir.join(name))?;
        let mut buffer = Vec::new();
        let mut done = 0;
        while done < len {
            buffer.resize(CHUNK.min(len - done) as usize, 0);
            // What cannot be read stays zero in the copy.
            let read = read_full(file, &mut buffer, from + done).unwrap_or(0);
            buffer[read..].fill(0);
            write_full(&*copy, [&buffer, &[]], done)?;
            done += buffer.len() as u64;
        }
        Ok(())
    }

    fn make_room(&self, mut known: Vec<String>, len: u64) {
        known.sort_unstable();
        let size = |name: &String| self.disk.open(&self.dir.join(name)).and_then(|file| file.size()).unwrap_or(0);
        let mut total: u64 = known.iter().map(size).sum();
        for name in &known {
            if total + len <= MAX_BYTES {
                break;
            }
            let bytes = size(name);
            if self.disk.remove(&self.dir.join(name)).is_ok() {
                total -= bytes;
            }
        }
    }
}
