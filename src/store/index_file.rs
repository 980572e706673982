//! The index of a block as it lies in its file: searched as it is, so that it takes no more memory than its bytes.

use std::sync::Arc;

use super::Labels;
use super::block::Part;
use super::labels::Label;
use super::matcher::Matcher;

/// Opened and checked: every place in it lies within it.
#[derive(Debug)]
pub(super) struct Index {
    raw: Vec<u8>,
    /// Where each word lies.
    words: Vec<(u32, u32)>,
    /// Where the series begin.
    series: usize,
    count: u32,
}

/// A series of the index.
struct Row<'a> {
    /// Numbers of names and values.
    labels: &'a [u8],
    part: Part,
}

impl Index {
    /// `None` when it is damaged; `data_end`: where the data that it tells of ends.
    pub(super) fn parse(raw: Vec<u8>, data_end: u64) -> Option<Self> {
        let mut rest = raw.as_slice();
        let count = u32::from_le_bytes(get(&mut rest)?);
        // Grown as they are found: a declared count is no reason to allocate.
        let mut words = Vec::new();
        for _ in 0..count {
            let len = u32::from_le_bytes(get(&mut rest)?);
            let at = raw.len() - rest.len();
            let (word, after) = rest.split_at_checked(len as usize)?;
            std::str::from_utf8(word).ok()?;
            words.push((u32::try_from(at).ok()?, len));
            rest = after;
        }
        let count = u32::from_le_bytes(get(&mut rest)?);
        let series = raw.len() - rest.len();
        for _ in 0..count {
            let row = row(&mut rest)?;
            let known =
                |number: &[u8]| (u32::from_le_bytes(number.try_into().unwrap_or([0xff; 4])) as usize) < words.len();
            let inside = row.part.at.checked_add(u64::from(row.part.len))? <= data_end;
            if !inside || !row.labels.chunks_exact(4).all(known) {
                return None;
            }
        }
        rest.is_empty().then_some(Self { words, series, count, raw })
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.raw.len() + self.words.len() * 8
    }

    /// Hands over labels and place of each series that all `matchers` want and that has samples within the bounds.
    pub(super) fn find(&self, matchers: &[Matcher], from: i64, to: i64, mut found: impl FnMut(Labels, Part)) {
        let Some(mut wishes) = matchers.iter().map(|matcher| Wish::new(self, matcher)).collect::<Option<Vec<_>>>()
        else {
            return;
        };
        let mut made: Vec<Option<Arc<str>>> = vec![None; self.words.len()];
        let mut rest = &self.raw[self.series..];
        for _ in 0..self.count {
            let Some(row) = row(&mut rest) else { return };
            if row.part.last < from || row.part.first > to || !wishes.iter_mut().all(|wish| wish.wants(self, &row)) {
                continue;
            }
            found(self.labels(&row, &mut made), row.part);
        }
    }

    /// `made`: the words that were needed before.
    fn labels(&self, row: &Row<'_>, made: &mut [Option<Arc<str>>]) -> Labels {
        let mut word = |number: u32| {
            let slot = &mut made[number as usize];
            Arc::clone(slot.get_or_insert_with(|| self.word(number).into()))
        };
        Labels::shared(row.pairs().map(|(name, value)| Label { name: word(name), value: word(value) }))
    }

    fn word(&self, number: u32) -> &str {
        let (at, len) = self.words.get(number as usize).copied().unwrap_or_default();
        std::str::from_utf8(&self.raw[at as usize..][..len as usize]).unwrap_or_default()
    }
}

/// All series of an index in the order in which they were written, which is that of their labels.
pub(super) struct Rows {
    index: Arc<Index>,
    made: Vec<Option<Arc<str>>>,
    at: usize,
    left: u32,
}

impl Rows {
    pub(super) fn new(index: Arc<Index>) -> Self {
        Self { made: vec![None; index.words.len()], at: index.series, left: index.count, index }
    }
}

impl Iterator for Rows {
    type Item = (Labels, Part);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let mut rest = &self.index.raw[self.at..];
        let row = row(&mut rest)?;
        self.at = self.index.raw.len() - rest.len();
        Some((self.index.labels(&row, &mut self.made), row.part))
    }
}

/// A matcher with what it said of each value already.
struct Wish<'a> {
    matcher: &'a Matcher,
    name: Option<u32>,
    without: bool,
    said: Vec<Option<bool>>,
}

impl<'a> Wish<'a> {
    /// `None` when no series can have what it wants.
    fn new(index: &Index, matcher: &'a Matcher) -> Option<Self> {
        let name = (0..index.words.len() as u32).find(|number| index.word(*number) == matcher.name);
        let without = matcher.matches("");
        let said = vec![None; if name.is_some() { index.words.len() } else { 0 }];
        (name.is_some() || without).then_some(Self { matcher, name, without, said })
    }

    fn wants(&mut self, index: &Index, row: &Row<'_>) -> bool {
        let value = row.pairs().find(|(name, _)| Some(*name) == self.name).map(|(_, value)| value);
        let Some(value) = value else { return self.without };
        let slot = &mut self.said[value as usize];
        *slot.get_or_insert_with(|| self.matcher.matches(index.word(value)))
    }
}

impl Row<'_> {
    fn pairs(&self) -> impl Iterator<Item = (u32, u32)> {
        let number = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).unwrap_or_default();
        self.labels.chunks_exact(8).map(move |pair| (number(&pair[..4]), number(&pair[4..])))
    }
}

fn row<'a>(rest: &mut &'a [u8]) -> Option<Row<'a>> {
    let count = u16::from_le_bytes(get(rest)?);
    let (labels, after) = rest.split_at_checked(usize::from(count) * 8)?;
    *rest = after;
    let part = Part {
        at: u64::from_le_bytes(get(rest)?),
        len: u32::from_le_bytes(get(rest)?),
        crc: u32::from_le_bytes(get(rest)?),
        first: i64::from_le_bytes(get(rest)?),
        last: i64::from_le_bytes(get(rest)?),
    };
    Some(Row { labels, part })
}

fn get<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*bytes)
}
