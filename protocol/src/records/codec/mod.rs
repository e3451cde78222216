//! The five codecs: whole buffers in, a stream out, with caps. Knows nothing of what the bytes
//! mean.
//!
//! Formats are those of Kafka's `org.apache.kafka.common.compress`: gzip, snappy in xerial's
//! framing (raw snappy is read too), lz4 frames, zstd.

mod budget;
mod lz4;
mod snappy;

use std::io::{Read, Write};
use std::ops::Deref;

use flate2::bufread::MultiGzDecoder;

use budget::Share;
pub use budget::{Budget, REQUESTS};

/// How a batch's records are compressed; the numbers are the attribute bits 0 to 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Codec {
    #[default]
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

impl Codec {
    pub const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    /// The codec of attribute bits 0 to 2; 5, 6 and 7 are nobody's.
    pub fn from_id(id: i16) -> Result<Codec, CodecError> {
        Codec::ALL.into_iter().find(|codec| codec.id() == id).ok_or(CodecError::Unknown(id))
    }

    pub fn id(self) -> i16 {
        self as i16
    }

    /// Kafka's name: `none`, `gzip`, `snappy`, `lz4`, `zstd`.
    pub fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }

    pub fn from_name(name: &str) -> Option<Codec> {
        Codec::ALL.into_iter().find(|codec| codec.name() == name)
    }
}

/// Why bytes could not be compressed or decompressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("codec {0} is unknown")]
    Unknown(i16),
    #[error("{} is not defined for message format {magic}", .codec.name())]
    Magic { codec: Codec, magic: i8 },
    #[error("{} stream is corrupt: {reason}", .codec.name())]
    Corrupt { codec: Codec, reason: String },
    #[error("{} stream grows beyond {limit} bytes", .codec.name())]
    TooLarge { codec: Codec, limit: usize },
    #[error("requests together hold too much for another {} stream", .codec.name())]
    Busy { codec: Codec },
    #[error("{} could not compress: {reason}", .codec.name())]
    Compress { codec: Codec, reason: String },
}

/// How far a compressed stream may grow. A stream is refused at
/// `min(bytes_max, max(bytes_free, ratio_max × its compressed size))` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Never more than this many bytes. Default 512 MiB.
    pub bytes_max: usize,
    /// Never more than this many times the compressed size. Default 1,100; gzip cannot exceed
    /// 1,032.
    pub ratio_max: usize,
    /// Streams up to this size may have any ratio. Default 16 MiB.
    pub bytes_free: usize,
    /// What is held whole counts here, twice: what is written of it may be as large. So does what a
    /// codec looks back on. Default none: the caller bounds how many it holds at a time.
    pub budget: Option<&'static Budget>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes_max: 512 << 20, ratio_max: 1_100, bytes_free: 16 << 20, budget: None }
    }
}

impl Limits {
    /// For whatever clients can ask for as often as they like.
    pub fn of_requests() -> Limits {
        Limits { budget: Some(&REQUESTS), ..Limits::default() }
    }

    /// The cap for a stream of `compressed` bytes.
    pub fn cap(&self, compressed: usize) -> usize {
        compressed.saturating_mul(self.ratio_max).max(self.bytes_free).min(self.bytes_max)
    }
}

/// A compressed stream being read. Holds at most one block beside its input.
pub struct Decompressor<'a> {
    codec: Codec,
    inner: Inner<'a>,
    given: usize,
    cap: usize,
    share: Share,
}

/// What zstd looks back on at most, whatever a frame declares.
const WINDOW_BYTES_MAX: usize = 1 << 27;

enum Inner<'a> {
    None(&'a [u8]),
    Gzip(Box<MultiGzDecoder<&'a [u8]>>),
    Snappy(snappy::Reader<'a>),
    Lz4(lz4::Reader<'a>),
    Zstd(Box<zstd::stream::read::Decoder<'static, &'a [u8]>>),
}

impl<'a> Decompressor<'a> {
    /// Starts on `input`. `magic` is the format of the message or batch around it: format 0 has a
    /// wrong lz4 header checksum that must be ignored, and formats 0 and 1 have no zstd.
    pub fn new(
        codec: Codec,
        magic: i8,
        input: &'a [u8],
        limits: &Limits,
    ) -> Result<Decompressor<'a>, CodecError> {
        let cap = if codec == Codec::None { input.len() } else { limits.cap(input.len()) };
        let inner = match codec {
            Codec::None => Inner::None(input),
            Codec::Gzip => Inner::Gzip(Box::new(MultiGzDecoder::new(input))),
            Codec::Snappy => Inner::Snappy(snappy::Reader::new(input, cap)),
            Codec::Lz4 => Inner::Lz4(lz4::Reader::new(input, magic == 0)?),
            Codec::Zstd if magic < 2 => return Err(CodecError::Magic { codec, magic }),
            Codec::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(input)
                    .map_err(|e| CodecError::Corrupt { codec, reason: e.to_string() })?;
                Inner::Zstd(Box::new(decoder))
            }
        };
        let share = Share::of(limits.budget);
        Ok(Decompressor { codec, inner, given: 0, cap, share })
    }

    /// Fills the front of `out`; 0 means the stream ended (`out` must not be empty).
    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, CodecError> {
        let corrupt =
            |e: std::io::Error| CodecError::Corrupt { codec: self.codec, reason: e.to_string() };
        let n = match &mut self.inner {
            Inner::None(rest) => rest.read(out).map_err(corrupt)?,
            Inner::Gzip(decoder) => decoder.read(out).map_err(corrupt)?,
            Inner::Snappy(reader) => reader.read(out)?,
            Inner::Lz4(reader) => reader.read(out)?,
            Inner::Zstd(decoder) => decoder.read(out).map_err(corrupt)?,
        };
        self.given += n;
        if self.given > self.cap {
            return Err(CodecError::TooLarge { codec: self.codec, limit: self.cap });
        }
        // These two may hold what they have given: a window, a block of any size.
        let looks_back = matches!(self.codec, Codec::Zstd | Codec::Snappy);
        if looks_back && !self.share.grow_to(self.given.min(WINDOW_BYTES_MAX)) {
            return Err(CodecError::Busy { codec: self.codec });
        }
        Ok(n)
    }
}

/// The step in which a decompressed buffer grows, so that no declared size is believed.
const GROWTH_BYTES_MIN: usize = 16 << 10;

/// A stream's bytes, which count in the budget as long as they are held.
#[derive(Debug)]
pub struct Held {
    bytes: Vec<u8>,
    _share: Share,
}

impl Deref for Held {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Decompresses the whole of `input`; nobody counts what became of it.
pub fn decompress(
    codec: Codec,
    magic: i8,
    input: &[u8],
    limits: &Limits,
) -> Result<Vec<u8>, CodecError> {
    Ok(hold(codec, magic, input, limits)?.bytes)
}

/// Decompresses the whole of `input`; the buffer grows with the bytes that really come.
pub fn hold(codec: Codec, magic: i8, input: &[u8], limits: &Limits) -> Result<Held, CodecError> {
    // One share: whoever is alone is known by having all that is taken.
    let mut share = Share::of(limits.budget);
    let uncounted = Limits { budget: None, ..*limits };
    let mut stream = Decompressor::new(codec, magic, input, &uncounted)?;
    let mut out = Vec::new();
    let mut filled = 0;
    loop {
        if filled == out.len() {
            let step = filled.clamp(GROWTH_BYTES_MIN.max(input.len().min(1 << 20)), 16 << 20);
            if !share.grow_to(2 * (filled + step)) {
                return Err(CodecError::Busy { codec });
            }
            out.resize(filled + step, 0);
        }
        let n = stream.read(&mut out[filled..])?;
        if n == 0 {
            out.truncate(filled);
            return Ok(Held { bytes: out, _share: share });
        }
        filled += n;
    }
}

/// Compresses `input` onto the end of `out`. `level` is the codec's own (`compression.gzip.level`,
/// `compression.zstd.level`), `None` its default (gzip 6, zstd 3); snappy has none, and lz4 here
/// has one speed, so its level is accepted and makes no difference. `magic` as for
/// [`Decompressor::new`].
pub fn compress(
    codec: Codec,
    level: Option<i32>,
    magic: i8,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let failed = |e: std::io::Error| CodecError::Compress { codec, reason: e.to_string() };
    match codec {
        Codec::None => out.extend_from_slice(input),
        Codec::Gzip => {
            let level = match level {
                Some(level @ 1..=9) => flate2::Compression::new(level as u32),
                _ => flate2::Compression::default(),
            };
            let mut encoder = flate2::write::GzEncoder::new(&mut *out, level);
            encoder.write_all(input).map_err(failed)?;
            encoder.finish().map_err(failed)?;
        }
        Codec::Snappy => snappy::compress(input, out)?,
        Codec::Lz4 => lz4::compress(input, magic == 0, out)?,
        Codec::Zstd if magic < 2 => return Err(CodecError::Magic { codec, magic }),
        Codec::Zstd => {
            let level = level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL);
            zstd::stream::copy_encode(input, out, level).map_err(failed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(codec: Codec, magic: i8, input: &[u8]) {
        let mut packed = vec![7, 7];
        compress(codec, None, magic, input, &mut packed).unwrap();
        let back = decompress(codec, magic, &packed[2..], &Limits::default()).unwrap();
        assert!(back == input, "{codec:?} magic {magic}, {} bytes", input.len());
    }

    #[test]
    fn every_codec_gives_back_what_it_took() {
        let pattern: Vec<u8> = (0..300_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
        for size in [0, 1, 32_767, 32_768, 32_769, 65_536, 65_537, 300_000] {
            for codec in Codec::ALL {
                round_trip(codec, 2, &pattern[..size]);
                if codec != Codec::Zstd {
                    round_trip(codec, 0, &pattern[..size]);
                }
            }
        }
    }

    #[test]
    fn a_bomb_stops_at_the_cap() {
        let limits =
            Limits { bytes_max: 1 << 20, ratio_max: 4, bytes_free: 64 << 10, budget: None };
        let zeros = vec![0u8; 8 << 20];
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let mut packed = Vec::new();
            compress(codec, None, 2, &zeros, &mut packed).unwrap();
            let refused = decompress(codec, 2, &packed, &limits).unwrap_err();
            let limit = limits.cap(packed.len());
            assert_eq!(refused, CodecError::TooLarge { codec, limit }, "{codec:?}");
        }
    }

    #[test]
    fn what_is_held_counts_until_it_is_dropped() {
        static BUDGET: Budget = Budget::new(6 << 20);
        let limits = Limits { ratio_max: 100_000, budget: Some(&BUDGET), ..Limits::default() };
        let zeros = vec![0u8; 2 << 20];
        for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let mut packed = Vec::new();
            compress(codec, None, 2, &zeros, &mut packed).unwrap();
            let held = hold(codec, 2, &packed, &limits).unwrap();
            assert!(*held == zeros && BUDGET.taken() >= 2 * zeros.len(), "{codec:?}");
            let other = hold(codec, 2, &packed, &limits).map(drop);
            assert_eq!(other, Err(CodecError::Busy { codec }));
            drop(held);
            assert_eq!(BUDGET.taken(), 0);
        }
    }

    #[test]
    fn a_stream_counts_what_its_codec_looks_back_on() {
        static BUDGET: Budget = Budget::new(1 << 20);
        let limits = Limits { budget: Some(&BUDGET), ..Limits::default() };
        let zeros = vec![0u8; 2 << 20];
        let read = |codec| {
            let mut packed = Vec::new();
            compress(codec, None, 2, &zeros, &mut packed).unwrap();
            let mut stream = Decompressor::new(codec, 2, &packed, &limits).unwrap();
            let mut window = [0; 16 << 10];
            while stream.read(&mut window)? > 0 {}
            Ok::<_, CodecError>(BUDGET.taken())
        };
        assert_eq!(read(Codec::Zstd), Ok(2 << 20), "alone");
        let mut other = Share::of(Some(&BUDGET));
        assert!(other.grow_to(1 << 10));
        assert_eq!(read(Codec::Zstd), Err(CodecError::Busy { codec: Codec::Zstd }));
        assert_eq!(read(Codec::Gzip), Ok(1 << 10));
        drop(other);
        assert_eq!(BUDGET.taken(), 0);
    }

    #[test]
    fn zstd_has_no_old_format() {
        let refused = compress(Codec::Zstd, None, 1, b"x", &mut Vec::new()).unwrap_err();
        assert_eq!(refused, CodecError::Magic { codec: Codec::Zstd, magic: 1 });
    }

    proptest! {
        #[test]
        fn garbage_never_panics(id in 0i16..5, magic in 0i8..3, bytes: Vec<u8>) {
            let codec = Codec::from_id(id).unwrap();
            let _ = decompress(codec, magic, &bytes, &Limits::default());
        }

        #[test]
        fn damaged_streams_never_panic(
            id in 1i16..5,
            input in proptest::collection::vec(0u8..4, 0..5000),
            at: prop::sample::Index,
            byte: u8,
        ) {
            let codec = Codec::from_id(id).unwrap();
            let mut packed = Vec::new();
            compress(codec, None, 2, &input, &mut packed).unwrap();
            let at = at.index(packed.len());
            packed[at] = byte;
            let _ = decompress(codec, 2, &packed, &Limits::default());
            let _ = decompress(codec, 2, &packed[..at], &Limits::default());
        }
    }
}
