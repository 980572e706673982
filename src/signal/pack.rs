//! Compression of requests: zstd for logs, gzip for metrics, and the way back with a bound.

use std::io::{self, Read, Write};

use super::frame::Codec;

/// Level 1 is both faster and, on log lines, smaller than zstd's default of 3.
const ZSTD_LEVEL: i32 = 1;

/// No request is larger than this when it is opened again: far above a sealed frame, far below a bomb.
pub const MAX_RAW: u64 = 64 << 20;

/// Compresses with contexts that are made once. Keep one for each thread that seals.
pub struct Packer {
    zstd: zstd::bulk::Compressor<'static>,
}

impl Packer {
    /// Allocates the contexts (about 1 MB).
    pub fn new() -> io::Result<Self> {
        Ok(Self { zstd: zstd::bulk::Compressor::new(ZSTD_LEVEL)? })
    }

    /// The compressed form of `raw`.
    pub fn pack(&mut self, codec: Codec, raw: &[u8]) -> io::Result<Vec<u8>> {
        match codec {
            Codec::Identity => Ok(raw.to_vec()),
            Codec::Zstd => self.zstd.compress(raw),
            Codec::Gzip => {
                let mut out =
                    flate2::write::GzEncoder::new(Vec::with_capacity(raw.len() / 4), flate2::Compression::fast());
                out.write_all(raw)?;
                out.finish()
            }
        }
    }
}

/// Opens what [`Packer::pack`] made; an error when the result would pass [`MAX_RAW`].
pub fn unpack(codec: Codec, packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut raw = Vec::new();
    match codec {
        Codec::Identity => return Ok(packed.to_vec()),
        Codec::Zstd => zstd::stream::read::Decoder::with_buffer(packed)?.take(MAX_RAW + 1).read_to_end(&mut raw)?,
        Codec::Gzip => flate2::read::MultiGzDecoder::new(packed).take(MAX_RAW + 1).read_to_end(&mut raw)?,
    };
    if raw.len() as u64 > MAX_RAW {
        return Err(io::Error::other(format!("the request is larger than {MAX_RAW} bytes when it is opened")));
    }
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_opens_to_the_same_bytes() {
        let mut packer = Packer::new().unwrap();
        let raw = b"the same line over and over\n".repeat(1000);
        for codec in [Codec::Identity, Codec::Gzip, Codec::Zstd] {
            let packed = packer.pack(codec, &raw).unwrap();
            assert_eq!(unpack(codec, &packed).unwrap(), raw, "{codec:?}");
        }
    }

    #[test]
    fn a_bomb_is_refused_and_a_torn_payload_is_an_error() {
        let mut packer = Packer::new().unwrap();
        let zeros = vec![0; MAX_RAW as usize + 1];
        for codec in [Codec::Gzip, Codec::Zstd] {
            let packed = packer.pack(codec, &zeros).unwrap();
            assert!(unpack(codec, &packed).unwrap_err().to_string().contains("larger than"));
            assert!(unpack(codec, &packed[..packed.len() / 2]).is_err());
        }
    }
}
