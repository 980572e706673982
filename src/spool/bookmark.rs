//! A cursor's file: how far one destination has been served, in two generations that are written in turn.
//!
//! Each generation is a block of 4 KiB of its own and is overwritten in place, then synced: a torn write spoils one
//! of them only, and a full disk cannot keep a cursor from moving (which would keep the disk full).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::disk::{Disk, File, read_full, write_full};
use super::format::signal_byte;
use crate::signal::frame::Signal;

/// One destination's open cursor file.
#[derive(Debug)]
pub(super) struct Bookmark {
    file: Arc<dyn File>,
    path: PathBuf,
    name: String,
    signal: Signal,
    turn: u64,
    /// What the file says.
    pub(super) at: u64,
}

/// What a cursor file holds.
#[derive(Debug)]
pub(super) enum Found {
    Good(Bookmark),
    /// The newest generation is spoiled, the one before holds.
    Older(Bookmark),
    Spoiled,
    /// A later version wrote it.
    Later,
}

/// Longest name of a destination, bytes.
pub(super) const MAX_NAME: usize = 1024;
const BLOCK: usize = 4096;
const MAGIC: [u8; 4] = *b"PLCU";
const VERSION: u16 = 1;
const NAME: usize = 28;

/// The cursor file's name for a destination.
pub(super) fn file_name(destination: &str) -> String {
    format!("{:016x}.cur", xxh3_64(destination.as_bytes()))
}

impl Bookmark {
    /// Makes the file, durable with its content.
    pub(super) fn create(disk: &dyn Disk, dir: &Path, signal: Signal, name: &str, at: u64) -> io::Result<Self> {
        let path = dir.join(file_name(name));
        let new = path.with_extension("tmp");
        match disk.remove(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create(&new)?;
        let mut mark = Self { file, path: path.clone(), name: name.to_owned(), signal, turn: 0, at };
        // Both blocks at once: later writes need no room on the disk.
        write_full(&*mark.file, [&mark.encode(1, at), &mark.encode(2, at)], 0)?;
        mark.turn = 2;
        mark.file.sync()?;
        disk.rename(&new, &path)?;
        disk.sync_dir(dir)?;
        Ok(mark)
    }

    /// Reads a file; an error only when it cannot be opened.
    pub(super) fn open(disk: &dyn Disk, path: &Path, signal: Signal) -> io::Result<Found> {
        let file = disk.open(path)?;
        let mut bytes = vec![0; 2 * BLOCK];
        let read = read_full(&*file, &mut bytes, 0).unwrap_or(0);
        bytes[read..].fill(0);
        let blocks = [decode(&bytes[..BLOCK], signal), decode(&bytes[BLOCK..], signal)];
        let whole = blocks.iter().all(Option::is_some);
        let Some((turn, at, name)) = blocks.into_iter().flatten().max() else {
            let later = [&bytes[..BLOCK], &bytes[BLOCK..]].into_iter().any(is_later);
            return Ok(if later { Found::Later } else { Found::Spoiled });
        };
        if path.file_name().and_then(|name| name.to_str()) != Some(&file_name(&name)) {
            return Ok(Found::Spoiled);
        }
        let mark = Self { file, path: path.to_owned(), name, signal, turn, at };
        Ok(if whole { Found::Good(mark) } else { Found::Older(mark) })
    }

    /// Moves forward and syncs; going back is no move.
    pub(super) fn write(&mut self, at: u64) -> io::Result<()> {
        if at <= self.at {
            return Ok(());
        }
        // The block with the older generation is overwritten. After a failure it may be spoiled, so it stays the one.
        let block = self.encode(self.turn + 1, at);
        write_full(&*self.file, [&block, &[]], (self.turn % 2) * BLOCK as u64)?;
        self.file.sync()?;
        self.turn += 1;
        self.at = at;
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn encode(&self, turn: u64, at: u64) -> [u8; BLOCK] {
        let mut out = [0; BLOCK];
        out[..4].copy_from_slice(&MAGIC);
        out[8..10].copy_from_slice(&VERSION.to_le_bytes());
        out[10..18].copy_from_slice(&turn.to_le_bytes());
        out[18..26].copy_from_slice(&at.to_le_bytes());
        out[26] = signal_byte(self.signal);
        let name = &self.name.as_bytes()[..self.name.len().min(MAX_NAME)];
        out[NAME..NAME + 2].copy_from_slice(&(name.len() as u16).to_le_bytes());
        out[NAME + 2..NAME + 2 + name.len()].copy_from_slice(name);
        let crc = crc32fast::hash(&out[8..]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        out
    }
}

/// A whole block of a version that is not known yet. Magic, checksum and version stay where they are in all.
fn is_later(block: &[u8]) -> bool {
    let crc = block[4..8].iter().rev().fold(0, |crc, byte| crc << 8 | u32::from(*byte));
    let version = u16::from_le_bytes([block[8], block[9]]);
    block[..4] == MAGIC && version > VERSION && crc32fast::hash(&block[8..]) == crc
}

/// Turn, place, name.
fn decode(block: &[u8], signal: Signal) -> Option<(u64, u64, String)> {
    let (magic, rest) = block.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    if *magic != MAGIC || crc32fast::hash(rest) != u32::from_le_bytes(*crc) {
        return None;
    }
    let (version, rest) = rest.split_first_chunk::<2>()?;
    let (turn, rest) = rest.split_first_chunk::<8>()?;
    let (at, rest) = rest.split_first_chunk::<8>()?;
    let (kind, rest) = rest.split_first_chunk::<2>()?;
    let (len, rest) = rest.split_first_chunk::<2>()?;
    if u16::from_le_bytes(*version) != VERSION || kind[0] != signal_byte(signal) {
        return None;
    }
    let name = rest.get(..usize::from(u16::from_le_bytes(*len)))?;
    Some((u64::from_le_bytes(*turn), u64::from_le_bytes(*at), String::from_utf8(name.to_vec()).ok()?))
}
