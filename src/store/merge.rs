//! Joins series of blocks and of the head that follow each other in time, so that blocks that ended early become one.
//!
//! A block ends early only when memory was short. The next one of the same two hours takes it in, so that after the two
//! hours one block is left of them, and no more than 84 lie in a week. One series is in memory at a time, beside the
//! indexes of at most [`AT_ONCE`] blocks. The new block is whole on disk before the old ones go; what a crash leaves of
//! them is found at the start, for it lies within the new one.

use std::cmp::Ordering;
use std::io;
use std::iter::Peekable;
use std::sync::Arc;

use super::Labels;
use super::block::{self, Block};
use super::blocks::Blocks;
use super::chunk::{self, Chunk};
use super::index_file::Rows;
use crate::spool::disk::File;

/// Blocks that are taken into a new one at once.
pub(super) const AT_ONCE: usize = 4;

/// A series with its chunks in the order of time.
pub(super) type Row = (Labels, Vec<Chunk>);

/// The series of a block in the order of their labels. A damaged block is set aside.
pub(super) struct OfBlock<'a> {
    blocks: &'a Blocks,
    block: &'a Block,
    file: Arc<dyn File>,
    rows: Rows,
}

impl<'a> OfBlock<'a> {
    pub(super) fn new(blocks: &'a Blocks, block: &'a Block) -> io::Result<Self> {
        let file = blocks.disk.open(&block.path)?;
        let index = block.index(&*blocks.disk).inspect_err(|error| blocks.damaged(block, error))?;
        Ok(Self { blocks, block, file, rows: Rows::new(Arc::new(index)) })
    }
}

impl Iterator for OfBlock<'_> {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        let (labels, part) = self.rows.next()?;
        let chunks = block::chunks(&*self.file, &part).inspect_err(|error| self.blocks.damaged(self.block, error));
        Some(chunks.map(|chunks| (labels, chunks)))
    }
}

/// The series of two that are in the order of their labels; all of `older` is older than all of `newer`.
pub(super) struct Joined<A: Iterator, B: Iterator> {
    older: Peekable<A>,
    newer: Peekable<B>,
}

impl<A: Iterator, B: Iterator> Joined<A, B> {
    pub(super) fn new(older: A, newer: B) -> Self {
        Self { older: older.peekable(), newer: newer.peekable() }
    }
}

impl<A: Iterator<Item = io::Result<Row>>, B: Iterator<Item = io::Result<Row>>> Iterator for Joined<A, B> {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = match (self.older.peek(), self.newer.peek()) {
            (None, _) | (_, Some(Err(_))) => Ordering::Greater,
            (_, None) | (Some(Err(_)), _) => Ordering::Less,
            (Some(Ok((older, _))), Some(Ok((newer, _)))) => older.cmp(newer),
        };
        match first {
            Ordering::Less => self.older.next(),
            Ordering::Greater => self.newer.next(),
            Ordering::Equal => {
                let (Ok((labels, mut chunks)), Ok((_, newer))) = (self.older.next()?, self.newer.next()?) else {
                    return None;
                };
                chunks.extend(newer);
                Some(Ok((labels, chunk::join(chunks))))
            }
        }
    }
}
