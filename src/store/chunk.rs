//! Samples of one series, packed as Facebook's Gorilla does: the change of the step between times, and values XORed
//! with the one before, so that a steady series takes about a byte and a half per sample.
//!
//! "Gorilla: A Fast, Scalable, In-Memory Time Series Database", section 4.1. Times are milliseconds. Everything read
//! is taken as hostile: it may come from a damaged file.

use super::Sample;

/// Samples in a full chunk, as in Prometheus.
pub(super) const FULL: usize = 120;

/// A sealed run of samples.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) min: i64,
    pub(super) max: i64,
    pub(super) count: u16,
    pub(super) bytes: Box<[u8]>,
}

impl Chunk {
    /// Packs samples in the order of time. `None` without any, or with more than 65,535.
    pub(super) fn pack(samples: &[Sample]) -> Option<Self> {
        let bytes = pack(samples.iter().copied())?;
        Self::of(samples, bytes)
    }

    fn of(samples: &[Sample], bytes: Box<[u8]>) -> Option<Self> {
        let (min, max) = (samples.first()?.t, samples.last()?.t);
        Some(Self { min, max, count: u16::try_from(samples.len()).ok()?, bytes })
    }

    /// Appends the samples with `from <= t <= to`; false when the bytes end too early.
    pub(super) fn unpack(&self, from: i64, to: i64, out: &mut Vec<Sample>) -> bool {
        unpack(&self.bytes, self.min, self.count, (from, to), out)
    }
}

/// A sealed run of samples that begins with its newest one: who asks for the last minutes need not unpack what lies
/// before them. Blocks hold none of these.
#[derive(Debug)]
pub(super) struct Backward(Chunk);

impl Backward {
    /// Packs samples in the order of time. `None` without any, or with more than 65,535.
    pub(super) fn pack(samples: &[Sample]) -> Option<Self> {
        let bytes = pack(samples.iter().rev().copied())?;
        Chunk::of(samples, bytes).map(Self)
    }

    /// Its times, its number of samples and its packed bytes.
    pub(super) fn chunk(&self) -> &Chunk {
        &self.0
    }

    /// Appends the samples with `from <= t <= to` in the order of time; false when the bytes end too early.
    pub(super) fn unpack(&self, from: i64, to: i64, out: &mut Vec<Sample>) -> bool {
        let begin = out.len();
        let whole = walk(&self.0.bytes, self.0.max, self.0.count, |sample| {
            if sample.t >= from && sample.t <= to {
                out.push(sample);
            }
            sample.t > from
        });
        out[begin..].reverse();
        whole
    }
}

/// The same samples with as many in each chunk as it may have: of several short chunks in the order of time fewer long
/// ones. What cannot be unpacked stays as it is.
pub(super) fn join(mut chunks: Vec<Chunk>) -> Vec<Chunk> {
    let whole = chunks.iter().take_while(|chunk| usize::from(chunk.count) >= FULL).count();
    let mut samples = Vec::new();
    if whole + 1 >= chunks.len() || !chunks[whole..].iter().all(|c| c.unpack(i64::MIN, i64::MAX, &mut samples)) {
        return chunks;
    }
    chunks.truncate(whole);
    chunks.extend(samples.chunks(FULL).filter_map(Chunk::pack));
    chunks
}

/// Appends samples of packed `bytes` whose first is at `first`, as far as they are within the bounds; false when the
/// bytes end too early.
pub(super) fn unpack(bytes: &[u8], first: i64, count: u16, (from, to): (i64, i64), out: &mut Vec<Sample>) -> bool {
    walk(bytes, first, count, |sample| {
        if sample.t >= from && sample.t <= to {
            out.push(sample);
        }
        sample.t < to
    })
}

fn pack(mut samples: impl ExactSizeIterator<Item = Sample>) -> Option<Box<[u8]>> {
    let mut bits = Writer { out: Vec::with_capacity(samples.len() * 3 + 8), held: 0, count: 0 };
    let mut before = samples.next()?;
    bits.put64(before.v.to_bits());
    let (mut step, mut window) = (0_i64, None);
    for sample in samples {
        let new = sample.t.wrapping_sub(before.t);
        put_step(&mut bits, new.wrapping_sub(step));
        put_value(&mut bits, before.v.to_bits() ^ sample.v.to_bits(), &mut window);
        (step, before) = (new, sample);
    }
    Some(bits.end())
}

/// Hands over one sample after the other, the first one at `first`, until `more` wants no more; false when the bytes
/// end too early.
#[inline]
fn walk(bytes: &[u8], first: i64, count: u16, mut more: impl FnMut(Sample) -> bool) -> bool {
    let mut bits = Reader { rest: bytes, held: 0, count: 0 };
    let Some(mut value) = bits.get(64) else { return false };
    let (mut t, mut step, mut window) = (first, 0_i64, (0, 0));
    for index in 0..count {
        if index > 0 {
            let xor = if let Some(xor) = bits.steady(window) {
                xor
            } else {
                let Some(change) = get_step(&mut bits) else { return false };
                step = step.wrapping_add(change);
                let Some(xor) = get_value(&mut bits, &mut window) else { return false };
                xor
            };
            t = t.wrapping_add(step);
            value ^= xor;
        }
        if !more(Sample { t, v: f64::from_bits(value) }) {
            break;
        }
    }
    true
}

/// Prefix, its bits, and the bits of the change: jitter of a few milliseconds is the usual case after no change.
const STEPS: [(u64, u32, u32); 3] = [(0b10, 2, 8), (0b110, 3, 15), (0b1110, 4, 21)];

fn put_step(bits: &mut Writer, change: i64) {
    if change == 0 {
        return bits.put(0, 1);
    }
    for (prefix, len, width) in STEPS {
        let half = 1_i64 << (width - 1);
        if (-half..half).contains(&change) {
            bits.put(prefix, len);
            return bits.put((change + half) as u64, width);
        }
    }
    bits.put(0b1111, 4);
    bits.put64(change as u64);
}

#[inline]
fn get_step(bits: &mut Reader<'_>) -> Option<i64> {
    // Most steps are the same as the one before.
    if bits.next_is_zero()? {
        return Some(0);
    }
    for (_, _, width) in STEPS {
        if bits.next_is_zero()? {
            return Some(bits.get(width)? as i64 - (1_i64 << (width - 1)));
        }
    }
    Some(bits.get(64)? as i64)
}

/// `window`: zeros in front, and meaning bits, of the value written last in full.
fn put_value(bits: &mut Writer, xor: u64, window: &mut Option<(u32, u32)>) {
    if xor == 0 {
        return bits.put(0, 1);
    }
    let (front, behind) = (xor.leading_zeros().min(31), xor.trailing_zeros());
    let fits = window.filter(|(zeros, len)| front >= *zeros && behind >= 64 - zeros - len);
    if let Some((zeros, len)) = fits {
        bits.put(0b10, 2);
        return bits.put_wide(xor >> (64 - zeros - len), len);
    }
    let len = 64 - front - behind;
    bits.put(0b11, 2);
    bits.put(front.into(), 5);
    bits.put(u64::from(len) - 1, 6);
    bits.put_wide(xor >> behind, len);
    *window = Some((front, len));
}

#[inline]
fn get_value(bits: &mut Reader<'_>, window: &mut (u32, u32)) -> Option<u64> {
    if bits.next_is_zero()? {
        return Some(0);
    }
    if !bits.next_is_zero()? {
        let both = bits.get(11)? as u32;
        *window = (both >> 6, (both & 63) + 1);
    }
    let behind = 64_u32.checked_sub(window.0 + window.1).filter(|_| window.1 > 0)?;
    Some(bits.get(window.1)? << behind)
}

struct Writer {
    out: Vec<u8>,
    held: u64,
    count: u32,
}

impl Writer {
    /// At most 32 bits.
    fn put(&mut self, value: u64, bits: u32) {
        self.held = (self.held << bits) | (value & ((1 << bits) - 1));
        self.count += bits;
        while self.count >= 8 {
            self.count -= 8;
            self.out.push((self.held >> self.count) as u8);
        }
    }

    fn put_wide(&mut self, value: u64, bits: u32) {
        if bits > 32 {
            self.put(value >> 32, bits - 32);
        }
        self.put(value, bits.min(32));
    }

    fn put64(&mut self, value: u64) {
        self.put_wide(value, 64);
    }

    fn end(mut self) -> Box<[u8]> {
        let rest = (8 - self.count % 8) % 8;
        self.put(0, rest);
        self.out.into_boxed_slice()
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    /// The next bits, the first one on top; below `count` of them may stand those that come after.
    held: u64,
    count: u32,
}

impl Reader<'_> {
    /// Holds at least 56 bits afterwards, or all that are left.
    #[inline]
    fn fill(&mut self) {
        if let Some(next) = self.rest.first_chunk::<8>() {
            // Eight bytes are looked at, and as many taken as fit; the others are looked at once more.
            self.held |= u64::from_be_bytes(*next) >> self.count;
            self.rest = &self.rest[((63 - self.count) / 8) as usize..];
            self.count |= 56;
            return;
        }
        while self.count < 56 {
            let Some((byte, rest)) = self.rest.split_first() else { return };
            self.held |= u64::from(*byte) << (56 - self.count);
            self.count += 8;
            self.rest = rest;
        }
    }

    /// The usual case by one look: no change of the step, and a value that is the same or whose meaning bits lie where
    /// they lay before. `None` takes nothing.
    #[inline]
    fn steady(&mut self, (zeros, len): (u32, u32)) -> Option<u64> {
        if self.count < 3 + len {
            self.fill();
        }
        let (value, taken) = match self.held >> 61 {
            0b000 | 0b001 => (0, 2),
            0b010 if len > 0 => (((self.held << 3) >> (64 - len)) << 64_u32.checked_sub(zeros + len)?, 3 + len),
            _ => return None,
        };
        self.count = self.count.checked_sub(taken)?;
        self.held <<= taken;
        Some(value)
    }

    /// Takes a bit.
    #[inline]
    fn next_is_zero(&mut self) -> Option<bool> {
        if self.count == 0 {
            self.fill();
        }
        self.count = self.count.checked_sub(1)?;
        let zero = self.held.cast_signed() >= 0;
        self.held <<= 1;
        Some(zero)
    }

    /// 1 to 64 bits.
    #[inline]
    fn get(&mut self, bits: u32) -> Option<u64> {
        if self.count < bits {
            self.fill();
            if self.count < bits {
                return self.get_in_two(bits);
            }
        }
        let value = self.held >> (64 - bits);
        // Never more than 63 are held.
        self.held <<= bits;
        self.count -= bits;
        Some(value)
    }

    /// More bits than are held at once, or than there are.
    #[cold]
    fn get_in_two(&mut self, bits: u32) -> Option<u64> {
        let rest = bits.checked_sub(32).filter(|rest| *rest > 0)?;
        let high = self.get(rest)?;
        Some((high << 32) | self.get(32)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bits(samples: &[Sample]) -> Vec<(i64, u64)> {
        samples.iter().map(|sample| (sample.t, sample.v.to_bits())).collect()
    }

    proptest! {
        #[test]
        fn what_was_packed_unpacks_to_the_same_bits(
            first in -1_i64 << 60..1 << 60,
            rest in prop::collection::vec((prop_oneof![Just(15_000_i64), 1_i64..20, 14_000_i64..16_000, 1_i64..1 << 50],
                prop_oneof![any::<u64>(), (0_u64..1000).prop_map(|n| (n as f64).to_bits()), Just(super::super::sample::STALE.to_bits())]), 0..300),
        ) {
            let mut t = first;
            let mut samples = vec![Sample { t, v: 1.0 }];
            for (step, value) in rest {
                t += step;
                samples.push(Sample { t, v: f64::from_bits(value) });
            }
            let chunk = Chunk::pack(&samples).unwrap();
            let mut out = Vec::new();
            prop_assert!(chunk.unpack(i64::MIN, i64::MAX, &mut out));
            prop_assert_eq!(bits(&out), bits(&samples));
            let (from, to) = (samples[samples.len() / 3].t, samples[samples.len() / 2].t);
            out.clear();
            prop_assert!(chunk.unpack(from, to, &mut out));
            let inside: Vec<Sample> = samples.iter().copied().filter(|s| (from..=to).contains(&s.t)).collect();
            prop_assert_eq!(bits(&out), bits(&inside));
            let chunk = Backward::pack(&samples).unwrap();
            for (bounds, expected) in [((i64::MIN, i64::MAX), &samples), ((from, to), &inside)] {
                let mut out = vec![samples[0]];
                prop_assert!(chunk.unpack(bounds.0, bounds.1, &mut out));
                prop_assert_eq!(bits(&out[1..]), bits(expected));
            }
        }

        #[test]
        fn any_bytes_unpack_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), count: u16, first: i64) {
            let mut out = Vec::new();
            let whole = unpack(&bytes, first, count, (i64::MIN, i64::MAX), &mut out);
            prop_assert!(out.len() <= usize::from(count));
            prop_assert!(!whole || out.len() == usize::from(count));
        }
    }

    #[test]
    fn short_chunks_are_joined_and_a_torn_one_is_left_as_it_is() {
        let samples: Vec<Sample> = (0..300).map(|n| Sample { t: n * 15_000, v: n as f64 }).collect();
        let mut chunks: Vec<Chunk> = [&samples[..120], &samples[120..160], &samples[160..161], &samples[161..]]
            .into_iter()
            .filter_map(Chunk::pack)
            .collect();
        let joined = join(chunks.clone());
        assert_eq!(joined.iter().map(|chunk| chunk.count).collect::<Vec<_>>(), [120, 120, 60]);
        let mut out = Vec::new();
        assert!(joined.iter().all(|chunk| chunk.unpack(i64::MIN, i64::MAX, &mut out)));
        assert_eq!(bits(&out), bits(&samples));
        chunks[2].bytes = Box::default();
        assert_eq!(join(chunks).len(), 4);
    }

    #[test]
    fn a_steady_series_takes_little() {
        let samples: Vec<Sample> = (0..120).map(|n| Sample { t: n * 15_000, v: (n / 10) as f64 }).collect();
        assert!(Chunk::pack(&samples).unwrap().bytes.len() < 120);
    }
}
