//! A block: the series of up to two hours in one file that never changes again.
//!
//! ```text
//! file   = "PLMBLK1\n", data of each series one after the other, index (zstd), footer (64 bytes)
//! data   = chunks: samples u16, bytes u32, first i64, last i64, packed samples
//! index  = words: count u32, each length u32 and UTF-8; series: count u32, each: labels u16, (name u32, value u32)…,
//!          place u64, length u32, CRC-32 u32, first i64, last i64
//! footer = index place u64, length u32, CRC-32 u32, from i64, to i64 (exclusive), samples u64, series u32, chunks u32,
//!          4 zeros, "PLMB", 4 zeros, CRC-32 u32 of what stands before it
//! ```
//!
//! All numbers are little endian. Everything read is taken as hostile.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::chunk::{self, Chunk};
use super::index_file::Index;
use super::labels::Label;
use super::{Labels, Sample};
use crate::signal::frame::Codec;
use crate::signal::pack;
use crate::spool::disk::{Disk, File};

const MAGIC: &[u8; 8] = b"PLMBLK1\n";
const FOOTER: usize = 64;
/// Bytes of a chunk before its packed samples.
const CHUNK_HEAD: usize = 22;
/// No series has more bytes in a block, no index is longer: what claims to be is damaged.
const MAX_PART: u32 = 64 << 20;

/// What is known of a block without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) path: PathBuf,
    /// Samples with `from <= t < to` went into it.
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) samples: u64,
    pub(super) series: u32,
    pub(super) chunks: u32,
    pub(super) size: u64,
    index_at: u64,
    index_len: u32,
    index_crc: u32,
}

/// Where the data of a series lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) at: u64,
    pub(super) len: u32,
    pub(super) crc: u32,
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Block {
    /// Opens a block, checks its frame and its index. Its data is checked when it is read.
    ///
    /// # Errors
    /// `InvalidData`: damaged; `Unsupported`: of a later version; else the disk's.
    pub(super) fn open(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        let file = disk.open(path)?;
        let size = file.size()?;
        let start = size.checked_sub(FOOTER as u64).ok_or_else(|| damaged("it is too short"))?;
        let mut footer = [0; FOOTER];
        read(&*file, &mut footer, start)?;
        let long = |at: usize| u64::from_le_bytes(take(&footer, at));
        let word = |at: usize| u32::from_le_bytes(take(&footer, at));
        let mut magic = [0; 8];
        read(&*file, &mut magic, 0)?;
        if is_later(&magic) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "a later version of plimsoll wrote it"));
        }
        if magic != *MAGIC || footer[52..56] != *b"PLMB" || crc32fast::hash(&footer[..60]) != word(60) {
            return Err(damaged("its frame does not hold"));
        }
        let block = Self {
            path: path.to_owned(),
            from: long(16) as i64,
            to: long(24) as i64,
            samples: long(32),
            series: word(40),
            chunks: word(44),
            size,
            index_at: long(0),
            index_len: word(8),
            index_crc: word(12),
        };
        block.read_index(&*file).map(|_| block)
    }

    /// The whole index.
    ///
    /// # Errors
    /// As `open`.
    pub(super) fn index(&self, disk: &dyn Disk) -> io::Result<Index> {
        self.read_index(&*disk.open(&self.path)?)
    }

    fn read_index(&self, file: &dyn File) -> io::Result<Index> {
        let end = self.index_at.checked_add(u64::from(self.index_len)).and_then(|end| end.checked_add(FOOTER as u64));
        if self.index_len > MAX_PART || end != Some(self.size) || self.index_at < MAGIC.len() as u64 {
            return Err(damaged("its frame does not hold"));
        }
        let mut packed = vec![0; self.index_len as usize];
        read(file, &mut packed, self.index_at)?;
        if crc32fast::hash(&packed) != self.index_crc {
            return Err(damaged("its index does not hold"));
        }
        let raw = pack::unpack(Codec::Zstd, &packed)?;
        Index::parse(raw, self.index_at).ok_or_else(|| damaged("its index does not hold"))
    }

    /// Appends the samples of a series within the bounds.
    ///
    /// # Errors
    /// As `open`.
    pub(super) fn read(
        &self,
        disk: &dyn Disk,
        part: &Part,
        from: i64,
        to: i64,
        out: &mut Vec<Sample>,
    ) -> io::Result<()> {
        let data = data(&*disk.open(&self.path)?, part)?;
        for packed in Chunks(&data) {
            let Packed { first, last, count, bytes } = packed?;
            if last >= from && first <= to && !chunk::unpack(bytes, first, count, (from, to), out) {
                return Err(damaged("a chunk is torn"));
            }
        }
        Ok(())
    }
}

/// All chunks of a series of the block that `file` is.
///
/// # Errors
/// As `Block::open`.
pub(super) fn chunks(file: &dyn File, part: &Part) -> io::Result<Vec<Chunk>> {
    let data = data(file, part)?;
    let owned = |packed: Packed<'_>| Chunk {
        min: packed.first,
        max: packed.last,
        count: packed.count,
        bytes: packed.bytes.into(),
    };
    Chunks(&data).map(|packed| packed.map(owned)).collect()
}

fn data(file: &dyn File, part: &Part) -> io::Result<Vec<u8>> {
    if part.len > MAX_PART {
        return Err(damaged("its index does not hold"));
    }
    let mut data = vec![0; part.len as usize];
    read(file, &mut data, part.at)?;
    if crc32fast::hash(&data) == part.crc { Ok(data) } else { Err(damaged("its data does not hold")) }
}

/// The chunks in the data of a series; ends after the first that is torn.
struct Chunks<'a>(&'a [u8]);

struct Packed<'a> {
    first: i64,
    last: i64,
    count: u16,
    bytes: &'a [u8],
}

impl<'a> Iterator for Chunks<'a> {
    type Item = io::Result<Packed<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.0);
        if rest.is_empty() {
            return None;
        }
        let Some((head, after)) = rest.split_at_checked(CHUNK_HEAD) else {
            return Some(Err(damaged("a chunk is torn")));
        };
        let len = u32::from_le_bytes(take(head, 2)) as usize;
        let Some((bytes, after)) = after.split_at_checked(len) else { return Some(Err(damaged("a chunk is torn"))) };
        self.0 = after;
        Some(Ok(Packed {
            first: i64::from_le_bytes(take(head, 6)),
            last: i64::from_le_bytes(take(head, 14)),
            count: u16::from_le_bytes(take(head, 0)),
            bytes,
        }))
    }
}

/// The version is the digit in the magic.
fn is_later(magic: &[u8; 8]) -> bool {
    let digit = magic[6];
    magic[..6] == MAGIC[..6] && magic[7] == MAGIC[7] && digit.is_ascii_digit() && digit > MAGIC[6]
}

/// Writes a block to a file that nobody reads yet.
pub(super) struct Writer {
    file: Arc<dyn File>,
    buffer: Vec<u8>,
    /// Where the buffer goes.
    at: u64,
    words: HashMap<Arc<str>, u32>,
    text: Vec<u8>,
    table: Vec<u8>,
    samples: u64,
    series: u32,
    chunks: u32,
}

/// Bytes written with one call; a block is made where memory is counted.
const BUFFER: usize = 64 << 10;

impl Writer {
    pub(super) fn new(file: Arc<dyn File>) -> Self {
        Self {
            file,
            buffer: MAGIC.to_vec(),
            at: 0,
            words: HashMap::new(),
            text: Vec::new(),
            table: Vec::new(),
            samples: 0,
            series: 0,
            chunks: 0,
        }
    }

    /// Adds a series with its chunks in the order of time; none: nothing.
    pub(super) fn add(&mut self, labels: &Labels, chunks: &[Chunk]) -> io::Result<()> {
        let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else { return Ok(()) };
        let start = self.buffer.len();
        let place = self.at + start as u64;
        for chunk in chunks {
            self.buffer.extend_from_slice(&chunk.count.to_le_bytes());
            self.buffer.extend_from_slice(&(chunk.bytes.len() as u32).to_le_bytes());
            self.buffer.extend_from_slice(&chunk.min.to_le_bytes());
            self.buffer.extend_from_slice(&chunk.max.to_le_bytes());
            self.buffer.extend_from_slice(&chunk.bytes);
            self.samples += u64::from(chunk.count);
        }
        let data = &self.buffer[start..];
        let (len, crc) = (data.len() as u32, crc32fast::hash(data));
        self.table.extend_from_slice(&(labels.as_slice().len() as u16).to_le_bytes());
        for Label { name, value } in labels.as_slice() {
            for word in [name, value] {
                let number = self.word(word);
                self.table.extend_from_slice(&number.to_le_bytes());
            }
        }
        self.table.extend_from_slice(&place.to_le_bytes());
        self.table.extend_from_slice(&len.to_le_bytes());
        self.table.extend_from_slice(&crc.to_le_bytes());
        self.table.extend_from_slice(&first.min.to_le_bytes());
        self.table.extend_from_slice(&last.max.to_le_bytes());
        self.series += 1;
        self.chunks += chunks.len() as u32;
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn word(&mut self, word: &Arc<str>) -> u32 {
        if let Some(number) = self.words.get(word) {
            return *number;
        }
        let number = self.words.len() as u32;
        self.text.extend_from_slice(&(word.len() as u32).to_le_bytes());
        self.text.extend_from_slice(word.as_bytes());
        self.words.insert(Arc::clone(word), number);
        number
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut rest = self.buffer.as_slice();
        while !rest.is_empty() {
            match self.file.write_at([rest, &[]], self.at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.at += written as u64;
                    rest = &rest[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.buffer.clear();
        Ok(())
    }

    /// Writes index and footer and makes all of it survive a power cut.
    pub(super) fn end(mut self, from: i64, to: i64) -> io::Result<()> {
        let mut raw = Vec::with_capacity(self.text.len() + self.table.len() + 8);
        raw.extend_from_slice(&(self.words.len() as u32).to_le_bytes());
        raw.extend_from_slice(&self.text);
        raw.extend_from_slice(&self.series.to_le_bytes());
        raw.extend_from_slice(&self.table);
        drop((std::mem::take(&mut self.words), std::mem::take(&mut self.text), std::mem::take(&mut self.table)));
        let packed = pack::Packer::new()?.pack(Codec::Zstd, &raw)?;
        let place = self.at + self.buffer.len() as u64;
        let mut footer = Vec::with_capacity(FOOTER);
        footer.extend_from_slice(&place.to_le_bytes());
        footer.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        footer.extend_from_slice(&crc32fast::hash(&packed).to_le_bytes());
        footer.extend_from_slice(&from.to_le_bytes());
        footer.extend_from_slice(&to.to_le_bytes());
        footer.extend_from_slice(&self.samples.to_le_bytes());
        footer.extend_from_slice(&self.series.to_le_bytes());
        footer.extend_from_slice(&self.chunks.to_le_bytes());
        footer.extend_from_slice(b"\0\0\0\0PLMB\0\0\0\0");
        footer.extend_from_slice(&crc32fast::hash(&footer).to_le_bytes());
        self.buffer.extend_from_slice(&packed);
        self.buffer.extend_from_slice(&footer);
        self.flush()?;
        self.file.sync()
    }
}

fn read(file: &dyn File, into: &mut [u8], offset: u64) -> io::Result<()> {
    let mut filled = 0;
    while filled < into.len() {
        match file.read_at(&mut into[filled..], offset + filled as u64) {
            Ok(0) => return Err(damaged("it ends too early")),
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// `N` bytes at `at`; zeros past the end, where no caller asks.
fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|slice| slice.try_into().ok()).unwrap_or([0; N])
}
