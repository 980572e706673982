//! Finds frames in a segment: by their headers, seeking over payloads; behind damage by the next header that holds.

use std::io;
use std::sync::Arc;

use super::disk::{File, read_full};
use super::format::{FIXED, FRAME_MAGIC, FrameHead};
use crate::signal::frame::Position;

/// Reads one segment up to a fixed end. Holds one small buffer, so memory does not grow with the file.
#[derive(Debug)]
pub(super) struct Scan {
    file: Arc<dyn File>,
    salt: u32,
    end: u64,
    buffer: Vec<u8>,
    /// Where `buffer` lies in the file.
    start: u64,
}

/// A header and its neighbour's are mostly this near; more would be read in vain.
const NEAR: usize = 4 << 10;
const FAR: usize = 256 << 10;

impl Scan {
    pub(super) fn new(file: Arc<dyn File>, salt: u32, end: u64) -> Self {
        Self { file, salt, end, buffer: Vec::new(), start: 0 }
    }

    /// The first frame at or behind `offset` whose header holds and which fits into the segment.
    pub(super) fn find(&mut self, offset: u64) -> Option<(u64, FrameHead)> {
        if let Some(head) = self.head(offset, NEAR) {
            return Some((offset, head));
        }
        let mut from = offset;
        while from + FIXED as u64 <= self.end {
            let window = (FAR as u64).min(self.end - from) as usize;
            let found = self.bytes(from, window, FAR).map(|bytes| memchr::memmem::find(bytes, &FRAME_MAGIC));
            match found {
                Some(Some(skip)) => {
                    let at = from + skip as u64;
                    if let Some(head) = self.head(at, FAR) {
                        return Some((at, head));
                    }
                    from = at + 1;
                }
                // A magic may lie over the edge of two windows. What cannot be read holds no frame.
                _ => from += (window as u64).saturating_sub(3).max(1),
            }
        }
        None
    }

    fn head(&mut self, offset: u64, window: usize) -> Option<FrameHead> {
        let salt = self.salt;
        let head = FrameHead::decode(self.bytes(offset, FIXED, window)?, salt)?;
        (offset.checked_add(head.len())? <= self.end).then_some(head)
    }

    /// Services and positions; `None` when they are damaged or of a later version.
    pub(super) fn body(&mut self, offset: u64, head: &FrameHead) -> Option<(Vec<String>, Vec<Position>)> {
        if !head.readable {
            return None;
        }
        // The whole frame fits into the file, so its header is no longer than what is there.
        head.body(self.bytes(offset + FIXED as u64, head.header_len as usize - FIXED, NEAR)?)
    }

    /// Whether the payload's checksum holds; what cannot be read does not.
    pub(super) fn payload_holds(&mut self, offset: u64, head: &FrameHead) -> bool {
        let mut hasher = crc32fast::Hasher::new();
        let mut at = offset + u64::from(head.header_len);
        let end = offset + head.len();
        while at < end {
            let window = (end - at).min(FAR as u64) as usize;
            let Some(bytes) = self.bytes(at, window, FAR) else { return false };
            hasher.update(bytes);
            at += window as u64;
        }
        hasher.finalize() == head.payload_crc
    }

    /// The payload; `Ok(None)` when it is damaged (a sector that cannot be read is damage too).
    pub(super) fn payload(&self, offset: u64, head: &FrameHead) -> io::Result<Option<Vec<u8>>> {
        let mut payload = vec![0; head.payload_len as usize];
        match read_full(&*self.file, &mut payload, offset + u64::from(head.header_len)) {
            Ok(read) => Ok((read == payload.len() && crc32fast::hash(&payload) == head.payload_crc).then_some(payload)),
            Err(error) if is_damage(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `len` bytes at `offset`, from the buffer or read together with what follows, up to `window` bytes.
    fn bytes(&mut self, offset: u64, len: usize, window: usize) -> Option<&[u8]> {
        if offset + len as u64 > self.end {
            return None;
        }
        let held = offset >= self.start && offset + len as u64 <= self.start + self.buffer.len() as u64;
        if !held {
            let wanted = (window.max(len) as u64).min(self.end - offset) as usize;
            self.buffer.resize(wanted, 0);
            self.start = offset;
            let read = read_full(&*self.file, &mut self.buffer, offset).unwrap_or(0);
            self.buffer.truncate(read);
        }
        let at = (offset - self.start) as usize;
        self.buffer.get(at..at + len)
    }
}

/// A sector gone bad stays bad; waiting for it would stop delivery for good.
pub(super) fn is_damage(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}
