//! Compressed rotations: `app.log.1.gz` brings what was not read of `app.log.1`, exactly once.
//!
//! A file is unpacked twice. First to its end: is it complete (the trailer of each member holds), and whose
//! content is it, by the hashes of the unpacked bytes? Then from where that content was read to. Nothing is
//! kept but one piece, so that what a small file unpacks to costs time only, and of that there is a bound.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::PathBuf;

use flate2::bufread::MultiGzDecoder;

use super::follow::PIECE;
use super::identity::{HEAD, Head, Mark, Node, Print, WINDOW};
use super::lines::Encoding;
use super::open::Opened;

/// Unpacked bytes that are always allowed.
const FREE: u64 = 64 << 20;

/// A mark that may stand in the content, and the key of whom it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) id: u64,
    pub(crate) mark: Mark,
    /// It is not the newest mark of its owner.
    pub(crate) older: bool,
}

/// A gzip file that is being unpacked.
pub(crate) struct Unpack {
    pub(crate) group: usize,
    pub(crate) path: PathBuf,
    pub(crate) node: Node,
    /// Packed bytes.
    pub(crate) size: u64,
    pub(crate) modified: (i64, i64),
    /// Hash of the packed head, which tells the file itself.
    pub(crate) packed: u64,
    decoder: MultiGzDecoder<BufReader<File>>,
    /// Unpacked bytes so far.
    out: u64,
    /// All is unpacked.
    ended: bool,
    /// Another piece is wanted before the next cut into lines.
    hungry: bool,
    /// The last bytes that came out.
    carry: Vec<u8>,
    pub(crate) head: Vec<u8>,
    wanted: Option<Vec<Wanted>>,
    /// Those of `wanted` that were there.
    pub(crate) met: Vec<Wanted>,
    max_ratio: u64,
}

/// What a piece of checking brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    More,
    /// Complete, with so many unpacked bytes.
    All(u64),
    /// It unpacks to too much.
    Bomb,
}

impl Unpack {
    pub(crate) fn new(group: usize, path: PathBuf, opened: Opened, max_ratio: u64) -> Self {
        Self {
            group,
            path,
            node: opened.node,
            size: opened.size,
            modified: opened.modified,
            packed: opened.head.hash,
            decoder: MultiGzDecoder::new(BufReader::with_capacity(32 << 10, opened.file)),
            out: 0,
            ended: false,
            hungry: true,
            carry: Vec::new(),
            head: Vec::new(),
            wanted: None,
            met: Vec::new(),
            max_ratio,
        }
    }

    /// Unpacks the next piece. `list` names the marks of all contents that begin with the given head.
    pub(crate) fn check(&mut self, list: impl FnOnce(&[u8]) -> Vec<Wanted>) -> io::Result<Checked> {
        let got = self.pull()?;
        if self.out > FREE && self.out / self.max_ratio.max(1) > self.size {
            return Ok(Checked::Bomb);
        }
        let from = self.out - self.carry.len() as u64;
        if self.wanted.is_none() {
            // The first piece holds the whole head.
            self.head = self.carry[..self.carry.len().min(HEAD)].to_vec();
            self.wanted = Some(list(&self.head));
        }
        for wanted in self.wanted.iter().flatten() {
            let (end, before) = (wanted.mark.offset, self.out - got as u64);
            if end <= self.out && (end > before || end == 0 && before == 0) {
                let at = (end - from) as usize;
                if wanted.mark.holds(&self.carry[at - wanted.mark.reach()..at]) {
                    self.met.push(*wanted);
                }
            }
        }
        if got == 0 {
            return Ok(Checked::All(self.out));
        }
        self.shorten(self.carry.len());
        Ok(Checked::More)
    }

    /// The hash of the unpacked head and the encoding that it tells.
    pub(crate) fn print(&self) -> (Print, Encoding) {
        let encoding = Encoding::of(&self.head).map_or(Encoding::Utf8, |(encoding, _)| encoding);
        (Print { head: Head::of(&self.head), ..Print::default() }, encoding)
    }

    /// The mark at the end of the content, once all is checked.
    pub(crate) fn end(&self) -> Mark {
        Mark::new(self.out, &self.carry)
    }

    /// Begins again.
    pub(crate) fn rewind(&mut self) -> io::Result<()> {
        let mut file = self.decoder.get_ref().get_ref().try_clone()?;
        file.rewind()?;
        self.decoder = MultiGzDecoder::new(BufReader::with_capacity(32 << 10, file));
        self.out = 0;
        self.carry.clear();
        Ok(())
    }

    /// Skips a piece on the way to `offset`; true when it is there: the carry then begins with its window.
    pub(crate) fn skip(&mut self, offset: u64) -> io::Result<bool> {
        if self.out < offset && self.pull()? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let from = self.out - self.carry.len() as u64;
        if self.out < offset {
            self.shorten(self.carry.len());
            return Ok(false);
        }
        self.shorten((offset - from) as usize);
        Ok(true)
    }

    /// Appends the bytes that were not taken and another piece to `buf`, which is emptied; true at the end.
    pub(crate) fn read(&mut self, buf: &mut Vec<u8>) -> io::Result<bool> {
        if self.hungry && self.pull()? == 0 {
            self.ended = true;
        }
        buf.clear();
        buf.extend_from_slice(&self.carry);
        Ok(self.ended)
    }

    /// The bytes up to `at` of what was read were taken; `all` that is whole.
    pub(crate) fn took(&mut self, at: usize, all: bool) {
        self.hungry = all;
        self.shorten(at);
    }

    /// Keeps the window before `at`, and what follows.
    fn shorten(&mut self, at: usize) {
        self.carry.drain(..at.saturating_sub(WINDOW));
    }

    /// One piece more into the carry; 0 at the end.
    fn pull(&mut self) -> io::Result<usize> {
        let start = self.carry.len();
        self.carry.resize(start + PIECE, 0);
        let mut done = 0;
        while done < PIECE {
            match self.decoder.read(&mut self.carry[start + done..]) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.carry.truncate(start);
                    return Err(error);
                }
            }
        }
        self.carry.truncate(start + done);
        self.out += done as u64;
        Ok(done)
    }
}
