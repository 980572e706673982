//! Who a file is: device and inode, a hash of its head, and a hash of what stands just before the read offset.
//!
//! No one of them is enough. Inodes are reused, heads are shared between files, names move. The third one, the
//! [`Mark`], also tells a file that was truncated and filled again past the offset from one that only grew, and
//! a copy that was read already from a file that only begins alike.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use xxhash_rust::xxh3::xxh3_64;

/// Bytes of the head that are hashed, as far as the file reaches.
pub(crate) const HEAD: usize = 1024;
/// Bytes before the offset that are hashed.
pub(crate) const WINDOW: usize = 256;

/// Device and inode, always from an open handle or one `stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Node {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
}

impl Node {
    pub(crate) fn of(meta: &Metadata) -> Self {
        Self { dev: meta.dev(), ino: meta.ino() }
    }
}

/// The hash of the first `len` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Head {
    pub(crate) len: u16,
    pub(crate) hash: u64,
}

impl Head {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let bytes = &bytes[..bytes.len().min(HEAD)];
        Self { len: bytes.len() as u16, hash: xxh3_64(bytes) }
    }

    /// True when a content that begins with `bytes` (up to [`HEAD`] of it) begins with this head.
    pub(crate) fn begins(self, bytes: &[u8]) -> bool {
        bytes.get(..usize::from(self.len)).is_some_and(|start| xxh3_64(start) == self.hash)
    }
}

/// An offset with the hash of the up to [`WINDOW`] bytes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mark {
    pub(crate) offset: u64,
    pub(crate) hash: u64,
}

impl Mark {
    /// `window` are the bytes just before `offset`, at least [`WINDOW`] of them or all there are.
    pub(crate) fn new(offset: u64, window: &[u8]) -> Self {
        let reach = (offset.min(WINDOW as u64) as usize).min(window.len());
        Self { offset, hash: xxh3_64(&window[window.len() - reach..]) }
    }

    /// Bytes before the offset that the hash covers.
    pub(crate) fn reach(self) -> usize {
        self.offset.min(WINDOW as u64) as usize
    }

    /// True when `window` (exactly [`Mark::reach`] bytes) is what stood there.
    pub(crate) fn holds(self, window: &[u8]) -> bool {
        self.offset == 0 || (window.len() == self.reach() && xxh3_64(window) == self.hash)
    }
}

/// Marks that are kept behind the newest one: the copy of a file may end short of what was read of the original.
pub(crate) const OLDER: usize = 3;

/// The content of a file as far as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Print {
    pub(crate) head: Head,
    pub(crate) mark: Mark,
    /// Earlier marks, newest first; offset 0 where there is none.
    pub(crate) older: [Mark; OLDER],
}

impl Print {
    /// Moves the mark and remembers the one before.
    pub(crate) fn advance(&mut self, mark: Mark) {
        if self.mark.offset > 0 && self.mark.offset != mark.offset {
            self.older.rotate_right(1);
            self.older[0] = self.mark;
        }
        self.mark = mark;
    }

    /// Where reading goes on in `content` if it is the content of this print, or the beginning of it.
    pub(crate) fn resume(&self, content: &impl Content) -> io::Result<Option<u64>> {
        let size = content.size();
        let mut head = [0; HEAD];
        let known = content.read(0, &mut head)?;
        if known < usize::from(self.head.len) {
            return Ok(None);
        }
        if !self.head.begins(&head[..known]) {
            return Ok(None);
        }
        if self.mark.offset <= size {
            return Ok(content.has(self.mark)?.then_some(self.mark.offset));
        }
        for mark in self.older {
            if mark.offset > 0 && mark.offset <= size && content.has(mark)? {
                // A part of what was read already: all of it is known.
                return Ok(Some(size));
            }
        }
        Ok(None)
    }
}

/// Bytes that can be read anywhere.
pub(crate) trait Content {
    /// Bytes there are.
    fn size(&self) -> u64;
    /// Fills `out` from `offset` on as far as there is something; the number of bytes.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<usize>;

    /// True when the window of `mark` stands before its offset.
    fn has(&self, mark: Mark) -> io::Result<bool> {
        let mut window = [0; WINDOW];
        let window = &mut window[..mark.reach()];
        let got = self.read(mark.offset - window.len() as u64, window)?;
        Ok(mark.holds(&window[..got]))
    }
}

/// An open file and its size at one moment.
pub(crate) struct Sized<'a>(pub(crate) &'a File, pub(crate) u64);

impl Content for Sized<'_> {
    fn size(&self) -> u64 {
        self.1
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        read_at(self.0, out, offset)
    }
}

/// `pread` until `out` is full or the file ends.
pub(crate) fn read_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < out.len() {
        match file.read_at(&mut out[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bytes(Vec<u8>);

    impl Content for Bytes {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
            let rest = &self.0[(offset as usize).min(self.0.len())..];
            let count = rest.len().min(out.len());
            out[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        }
    }

    fn print(content: &[u8], offset: usize) -> Print {
        let mut print = Print { head: Head::of(content), ..Print::default() };
        print.advance(Mark::new(offset as u64, &content[..offset]));
        print
    }

    fn text(lines: std::ops::Range<u32>) -> Vec<u8> {
        lines.flat_map(|n| format!("line {n:06} of the log\n").into_bytes()).collect()
    }

    #[test]
    fn a_file_that_grew_or_stayed_goes_on_at_the_offset() {
        let content = text(0..1000);
        assert_eq!(print(&content[..9000], 9000).resume(&Bytes(content.clone())).unwrap(), Some(9000));
        assert_eq!(print(&content, content.len()).resume(&Bytes(content.clone())).unwrap(), Some(content.len() as u64));
    }

    #[test]
    fn other_content_of_the_same_size_or_longer_is_another_file_even_with_the_same_head() {
        let content = text(0..1000);
        let mut other = content[..2000].to_vec();
        other.extend(text(5000..6000));
        assert_eq!(print(&content, 9000).resume(&Bytes(other)).unwrap(), None);
    }

    #[test]
    fn a_copy_that_ends_before_the_offset_is_known_to_its_end_by_an_earlier_mark() {
        let content = text(0..1000);
        let mut print = print(&content, 9000);
        print.advance(Mark::new(20_000, &content[..20_000]));
        assert_eq!(print.resume(&Bytes(content[..15_000].to_vec())).unwrap(), Some(15_000));
        assert_eq!(print.resume(&Bytes(content[..5_000].to_vec())).unwrap(), None);
    }

    #[test]
    fn a_tiny_file_is_known_by_all_it_has() {
        assert_eq!(print(b"a\n", 2).resume(&Bytes(b"a\nb\n".to_vec())).unwrap(), Some(2));
        assert_eq!(print(b"a\n", 2).resume(&Bytes(b"b\nb\n".to_vec())).unwrap(), None);
    }
}
