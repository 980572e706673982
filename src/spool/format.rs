//! The bytes on disk: head of a segment, sync marks, frame headers. Pure; everything read is taken as hostile.
//!
//! All numbers are little endian. A checksum is CRC-32; those of frame headers are seeded with the segment's
//! random salt, so that a log line that looks like a frame is none, wherever it comes to lie.

use crate::signal::frame::{Codec, Position, Signal};

/// Where the first frame of a segment lies: the head, then two sync marks, each in a sector of its own.
pub(super) const FRAMES: u64 = 1536;
/// Where the two sync marks lie; they are written in turn.
pub(super) const MARKS: [u64; 2] = [512, 1024];
/// Bytes of the head of a segment, and of a sync mark.
pub(super) const HEAD: usize = 64;
/// Bytes of a frame header before services and positions.
pub(super) const FIXED: usize = 112;
/// No frame header is longer.
pub(super) const MAX_HEADER: usize = 32 << 20;
/// No payload is longer.
pub(super) const MAX_PAYLOAD: usize = 64 << 20;
/// The first bytes of each frame.
pub(super) const FRAME_MAGIC: [u8; 4] = *b"\xf5PLF";

const SEGMENT_MAGIC: [u8; 8] = *b"PLMSPOOL";
const MARK_MAGIC: [u8; 4] = *b"PLSY";
const SEGMENT_VERSION: u16 = 1;
const FRAME_VERSION: u8 = 1;
const OPENING: u8 = 1;

/// The head of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHead {
    pub(super) signal: Signal,
    /// Number of its first frame.
    pub(super) first: u64,
    /// Seeds the checksums of its frame headers.
    pub(super) salt: u32,
}

/// Why the head of a segment gives nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeadError {
    Damaged,
    /// Written by a later version of the program.
    Future(u16),
}

impl SegmentHead {
    pub(super) fn encode(&self) -> [u8; HEAD] {
        let mut out = [0; HEAD];
        out[..8].copy_from_slice(&SEGMENT_MAGIC);
        out[8..10].copy_from_slice(&SEGMENT_VERSION.to_le_bytes());
        out[10] = signal_byte(self.signal);
        out[12..16].copy_from_slice(&self.salt.to_le_bytes());
        out[16..24].copy_from_slice(&self.first.to_le_bytes());
        seal(&mut out);
        out
    }

    /// Magic, version and the checksum of the first 64 bytes hold in every version to come.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeadError> {
        let bytes = sealed(bytes).filter(|bytes| bytes[..8] == SEGMENT_MAGIC).ok_or(HeadError::Damaged)?;
        let version = u16::from_le_bytes(take(bytes, 8));
        if version != SEGMENT_VERSION {
            return Err(HeadError::Future(version));
        }
        let signal = signal_of(bytes[10]).ok_or(HeadError::Damaged)?;
        Ok(Self { signal, first: u64::from_le_bytes(take(bytes, 16)), salt: u32::from_le_bytes(take(bytes, 12)) })
    }
}

/// Says what was synced when it was written; repeats the head, in case that is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) head: SegmentHead,
    /// Counts marks of one segment; the newer one counts.
    pub(super) turn: u64,
    /// Every frame up to this number was synced.
    pub(super) synced: u64,
    /// Numbers below this may have been used after that.
    pub(super) reserved: u64,
    /// The spool was closed after that, and not opened again.
    pub(super) closed: bool,
}

impl Mark {
    pub(super) fn encode(&self) -> [u8; HEAD] {
        let mut out = [0; HEAD];
        out[..4].copy_from_slice(&MARK_MAGIC);
        out[4..8].copy_from_slice(&self.head.salt.to_le_bytes());
        out[8..16].copy_from_slice(&self.turn.to_le_bytes());
        out[16..24].copy_from_slice(&self.synced.to_le_bytes());
        out[24..32].copy_from_slice(&self.head.first.to_le_bytes());
        out[32] = u8::from(self.closed);
        out[33] = signal_byte(self.head.signal);
        out[40..48].copy_from_slice(&self.reserved.to_le_bytes());
        seal(&mut out);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = sealed(bytes).filter(|bytes| bytes[..4] == MARK_MAGIC)?;
        let long = |at| u64::from_le_bytes(take(bytes, at));
        let head =
            SegmentHead { signal: signal_of(bytes[33])?, first: long(24), salt: u32::from_le_bytes(take(bytes, 4)) };
        Some(Self { head, turn: long(8), synced: long(16), reserved: long(40), closed: bytes[32] != 0 })
    }
}

/// The fixed part of a frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) codec: Codec,
    /// The first frame of a segment: all live positions.
    pub(super) opening: bool,
    /// False: a later version wrote it; only the lengths are known.
    pub(super) readable: bool,
    pub(super) header_len: u32,
    pub(super) payload_len: u32,
    pub(super) number: u64,
    /// The frame before it: tells whether one is missing.
    pub(super) previous: u64,
    /// When it was appended, Unix nanoseconds.
    pub(super) written: u64,
    pub(super) times: (u64, u64),
    pub(super) raw_len: u64,
    pub(super) charge: u64,
    /// In an opening: frames from this number up to its own were copied behind it, their first copies are void; 0: none.
    pub(super) void_from: u64,
    pub(super) records: u32,
    services: u32,
    positions: u32,
    body_crc: u32,
    pub(super) payload_crc: u32,
}

/// What the caller decides of a frame header; the rest follows from the frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) number: u64,
    pub(super) previous: u64,
    pub(super) written: u64,
    pub(super) void_from: u64,
    pub(super) opening: bool,
}

/// What a frame carries, borrowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Content<'a> {
    pub(super) codec: Codec,
    pub(super) payload: &'a [u8],
    pub(super) raw_len: u64,
    pub(super) records: u32,
    pub(super) times: (u64, u64),
    pub(super) charge: u64,
    pub(super) services: &'a [String],
}

/// Writes a frame header into `out` (cleared first) and answers its fixed part; `None` when it is over the bounds.
pub(super) fn encode_header<'a>(
    out: &mut Vec<u8>,
    salt: u32,
    place: Place,
    content: &Content<'_>,
    positions: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Option<FrameHead> {
    out.clear();
    out.resize(FIXED, 0);
    for service in content.services {
        put(out, service.as_bytes());
    }
    let mut count = 0;
    for (key, value) in positions {
        put(out, key);
        put(out, value);
        count += 1;
    }
    if out.len() > MAX_HEADER || content.payload.len() > MAX_PAYLOAD {
        return None;
    }
    let head = FrameHead {
        codec: content.codec,
        opening: place.opening,
        readable: true,
        header_len: out.len() as u32,
        payload_len: content.payload.len() as u32,
        number: place.number,
        previous: place.previous,
        written: place.written,
        times: content.times,
        raw_len: content.raw_len,
        charge: content.charge,
        void_from: place.void_from,
        records: content.records,
        services: content.services.len() as u32,
        positions: count,
        body_crc: crc32fast::hash(&out[FIXED..]),
        payload_crc: crc32fast::hash(content.payload),
    };
    let fixed = head.encode(salt);
    out[..FIXED].copy_from_slice(&fixed);
    Some(head)
}

impl FrameHead {
    /// Bytes of the whole frame.
    pub(super) fn len(&self) -> u64 {
        u64::from(self.header_len) + u64::from(self.payload_len)
    }

    fn encode(&self, salt: u32) -> [u8; FIXED] {
        let mut out = [0; FIXED];
        out[..4].copy_from_slice(&FRAME_MAGIC);
        out[4] = FRAME_VERSION;
        out[5] = codec_byte(self.codec);
        out[6] = if self.opening { OPENING } else { 0 };
        let longs = [
            self.number,
            self.previous,
            self.written,
            self.times.0,
            self.times.1,
            self.raw_len,
            self.charge,
            self.void_from,
        ];
        for (slot, value) in out[16..80].chunks_exact_mut(8).zip(longs) {
            slot.copy_from_slice(&value.to_le_bytes());
        }
        out[8..12].copy_from_slice(&self.header_len.to_le_bytes());
        out[12..16].copy_from_slice(&self.payload_len.to_le_bytes());
        let words = [self.records, self.services, self.positions, self.body_crc, self.payload_crc];
        for (slot, value) in out[80..100].chunks_exact_mut(4).zip(words) {
            slot.copy_from_slice(&value.to_le_bytes());
        }
        let crc = salted(salt, &out[..FIXED - 4]);
        out[FIXED - 4..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None`: no frame begins here.
    pub(super) fn decode(bytes: &[u8], salt: u32) -> Option<Self> {
        let bytes = bytes.get(..FIXED)?;
        let word = |at| u32::from_le_bytes(take(bytes, at));
        let long = |at| u64::from_le_bytes(take(bytes, at));
        if bytes[..4] != FRAME_MAGIC || salted(salt, &bytes[..FIXED - 4]) != word(FIXED - 4) {
            return None;
        }
        let (header_len, payload_len) = (word(8), word(12));
        if (header_len as usize) < FIXED || header_len as usize > MAX_HEADER || payload_len as usize > MAX_PAYLOAD {
            return None;
        }
        let codec = codec_of(bytes[5]);
        Some(Self {
            codec: codec.unwrap_or(Codec::Identity),
            opening: bytes[6] & OPENING != 0,
            readable: bytes[4] == FRAME_VERSION && codec.is_some(),
            header_len,
            payload_len,
            number: long(16),
            previous: long(24),
            written: long(32),
            times: (long(40), long(48)),
            raw_len: long(56),
            charge: long(64),
            void_from: long(72),
            records: word(80),
            services: word(84),
            positions: word(88),
            body_crc: word(92),
            payload_crc: word(96),
        })
    }

    /// Reads services and positions from the header's bytes behind the fixed part; `None` when they are damaged.
    pub(super) fn body(&self, bytes: &[u8]) -> Option<(Vec<String>, Vec<Position>)> {
        if crc32fast::hash(bytes) != self.body_crc {
            return None;
        }
        let mut rest = bytes;
        // Grown as they are found: a declared count is no reason to allocate.
        let mut services = Vec::new();
        for _ in 0..self.services {
            services.push(String::from_utf8(get(&mut rest)?.to_vec()).ok()?);
        }
        let mut positions = Vec::new();
        for _ in 0..self.positions {
            positions.push(Position { key: get(&mut rest)?.into(), value: get(&mut rest)?.into() });
        }
        Some((services, positions))
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn get<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, after) = rest.split_first_chunk::<4>()?;
    let (bytes, after) = after.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    *rest = after;
    Some(bytes)
}

fn salted(salt: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(bytes);
    hasher.finalize()
}

fn seal(out: &mut [u8; HEAD]) {
    let crc = crc32fast::hash(&out[..HEAD - 4]);
    out[HEAD - 4..].copy_from_slice(&crc.to_le_bytes());
}

fn sealed(bytes: &[u8]) -> Option<&[u8]> {
    let bytes = bytes.get(..HEAD)?;
    (crc32fast::hash(&bytes[..HEAD - 4]) == u32::from_le_bytes(take(bytes, HEAD - 4))).then_some(bytes)
}

/// `N` bytes at `at`; zeros past the end, where no caller asks.
fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|slice| slice.try_into().ok()).unwrap_or([0; N])
}

pub(super) fn signal_byte(signal: Signal) -> u8 {
    match signal {
        Signal::Logs => 1,
        Signal::Metrics => 2,
        Signal::Traces => 3,
    }
}

fn signal_of(byte: u8) -> Option<Signal> {
    [Signal::Logs, Signal::Metrics, Signal::Traces].into_iter().find(|signal| signal_byte(*signal) == byte)
}

fn codec_byte(codec: Codec) -> u8 {
    match codec {
        Codec::Identity => 0,
        Codec::Gzip => 1,
        Codec::Zstd => 2,
    }
}

fn codec_of(byte: u8) -> Option<Codec> {
    [Codec::Identity, Codec::Gzip, Codec::Zstd].into_iter().find(|codec| codec_byte(*codec) == byte)
}
