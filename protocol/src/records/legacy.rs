//! Message formats 0 and 1: reading and writing single messages and compressed wrappers. Knows
//! nothing of magic-2 batches. See Kafka's `LegacyRecord` and `AbstractLegacyRecordBatch`.
//!
//! `offset i64, size i32, crc u32, magic i8, attributes i8, [1: timestamp i64], key, value`; key
//! and value are i32 length and bytes, −1 null. A wrapper's value is a compressed run of messages;
//! its offset is the last one's, and in format 1 the inner offsets count from 0.

use super::batch::LOG_OVERHEAD;
use super::codec::{self, Codec, CodecError, Held, Limits};
use super::record::{Headers, Record};
use crate::ids::{Offset, TimestampMs};

/// Smallest `size`: crc, magic, attributes, two null lengths.
pub const SIZE_MIN: i32 = 14;
pub(super) const ATTRIBUTES_AT: usize = 17;
const TIMESTAMP_AT: usize = 18;
const CRC_AT: usize = 12;
const CRC_FROM: usize = 16;
const CODEC_MASK: u8 = 0x07;
const LOG_APPEND_TIME: u8 = 0x08;

/// Why bytes are not a message of format 0 or 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LegacyError {
    #[error("message is cut off")]
    Short,
    #[error("message size {0} is impossible")]
    Size(i32),
    #[error("magic {0} is neither 0 nor 1")]
    Magic(i8),
    #[error("CRC is {stored:#010x}, the bytes give {computed:#010x}")]
    Crc { stored: u32, computed: u32 },
    #[error("compressed message without value")]
    NullWrapper,
    #[error("compressed message with no message in it")]
    EmptyWrapper,
    #[error("compressed message inside a compressed message")]
    Nested,
    #[error("wrapper offset {wrapper} is below its last inner offset {inner} and not 0")]
    WrapperOffset { wrapper: Offset, inner: Offset },
    #[error("message cannot be larger than 2 GiB")]
    TooLarge,
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// One message as stored; for a wrapper, key is null and value is the compressed run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    bytes: &'a [u8],
    pub offset: Offset,
    pub magic: i8,
    /// −1 in format 0.
    pub timestamp: TimestampMs,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    /// Reads the message that starts at `bytes[0]`; what follows it is left alone.
    pub fn parse(bytes: &'a [u8]) -> Result<Message<'a>, LegacyError> {
        let mut rest = bytes;
        let offset = i64::from_be_bytes(*take(&mut rest)?);
        let declared = i32::from_be_bytes(*take(&mut rest)?);
        if declared < SIZE_MIN {
            return Err(LegacyError::Size(declared));
        }
        let size = LOG_OVERHEAD + declared as usize;
        let bytes = bytes.get(..size).ok_or(LegacyError::Short)?;
        let mut rest = &bytes[CRC_FROM..];
        let [magic, _attributes] = *take(&mut rest)?;
        let magic = magic as i8;
        let timestamp = match magic {
            0 => -1,
            1 => i64::from_be_bytes(*take(&mut rest)?),
            _ => return Err(LegacyError::Magic(magic)),
        };
        let key = nullable(&mut rest)?;
        let value = nullable(&mut rest)?;
        Ok(Message { bytes, offset, magic, timestamp, key, value })
    }

    /// Bytes of the whole message, offset and size included.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    pub fn attributes(&self) -> u8 {
        self.bytes[ATTRIBUTES_AT]
    }

    pub fn codec(&self) -> Result<Codec, CodecError> {
        Codec::from_id(i16::from(self.bytes[ATTRIBUTES_AT] & CODEC_MASK))
    }

    pub fn is_compressed(&self) -> bool {
        self.bytes[ATTRIBUTES_AT] & CODEC_MASK != 0
    }

    /// Never in format 0, which has no timestamps.
    pub fn is_log_append_time(&self) -> bool {
        self.magic > 0 && self.bytes[ATTRIBUTES_AT] & LOG_APPEND_TIME != 0
    }

    /// The CRC-32 as it is stored.
    pub fn crc(&self) -> u32 {
        let stored = self.bytes[CRC_AT..].first_chunk();
        u32::from_be_bytes(*stored.expect("parsing saw more bytes than this"))
    }

    /// Checks the CRC-32 of everything behind it.
    pub fn verify(&self) -> Result<(), LegacyError> {
        verify_crc(self.bytes)
    }

    /// The same, without what only stored messages have.
    pub fn record(&self) -> Record<'a> {
        Record {
            offset: self.offset,
            timestamp: self.timestamp,
            sequence: -1,
            key: self.key,
            value: self.value,
            headers: Headers::default(),
        }
    }
}

/// Checks the CRC-32 of one message's bytes.
pub(super) fn verify_crc(message: &[u8]) -> Result<(), LegacyError> {
    let mut stored = message.get(CRC_AT..).unwrap_or_default();
    let stored = u32::from_be_bytes(*take(&mut stored)?);
    let computed = crc32fast::hash(&message[CRC_FROM..]);
    match stored == computed {
        true => Ok(()),
        false => Err(LegacyError::Crc { stored, computed }),
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], LegacyError> {
    let (taken, left) = rest.split_first_chunk().ok_or(LegacyError::Short)?;
    *rest = left;
    Ok(taken)
}

fn nullable<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, LegacyError> {
    let Ok(size) = usize::try_from(i32::from_be_bytes(*take(rest)?)) else { return Ok(None) };
    let (taken, left) = rest.split_at_checked(size).ok_or(LegacyError::Short)?;
    *rest = left;
    Ok(Some(taken))
}

/// A message opened: itself if it is not compressed, else the run inside it.
#[derive(Debug)]
pub struct OpenMessage<'a> {
    outer: Message<'a>,
    inner: Option<Held>,
    /// Added to the inner offsets.
    base_offset: Offset,
}

impl<'a> OpenMessage<'a> {
    pub fn open(outer: Message<'a>, limits: &Limits) -> Result<OpenMessage<'a>, LegacyError> {
        let codec = outer.codec()?;
        if codec == Codec::None {
            return Ok(OpenMessage { outer, inner: None, base_offset: 0 });
        }
        let packed = outer.value.ok_or(LegacyError::NullWrapper)?;
        let inner = codec::hold(codec, outer.magic, packed, limits)?;
        let mut last = None;
        for message in (Run { rest: &inner }) {
            last = Some(message?.offset);
        }
        let last = last.ok_or(LegacyError::EmptyWrapper)?;
        // Offset 0 comes from producers (some versions of librdkafka), never from a log.
        let base_offset = match outer.magic {
            1 if outer.offset == 0 => 0,
            1 if outer.offset < last => {
                return Err(LegacyError::WrapperOffset { wrapper: outer.offset, inner: last });
            }
            1 => outer.offset.wrapping_sub(last),
            _ => 0,
        };
        Ok(OpenMessage { outer, inner: Some(inner), base_offset })
    }

    pub fn outer(&self) -> &Message<'a> {
        &self.outer
    }

    /// The messages in order, with absolute offsets and, under append time, the wrapper's
    /// timestamp.
    pub fn messages(&self) -> impl Iterator<Item = Result<Message<'_>, LegacyError>> {
        let single = self.inner.is_none().then_some(Ok(self.outer));
        let run = Run { rest: self.inner.as_deref().unwrap_or_default() };
        single.into_iter().chain(run.map(|message| {
            let mut message = message?;
            if message.is_compressed() {
                return Err(LegacyError::Nested);
            }
            message.offset = message.offset.wrapping_add(self.base_offset);
            if message.magic == 1 && self.outer.is_log_append_time() {
                message.timestamp = self.outer.timestamp;
            }
            Ok(message)
        }))
    }
}

/// Messages one after another; a cut-off last one ends the run, as in Kafka.
struct Run<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Run<'a> {
    type Item = Result<Message<'a>, LegacyError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (_, size_and_more) = self.rest.split_at_checked(8)?;
        let declared = i32::from_be_bytes(*size_and_more.first_chunk()?);
        let whole = usize::try_from(declared).unwrap_or(0).saturating_add(LOG_OVERHEAD);
        if declared >= SIZE_MIN && whole > self.rest.len() {
            return None;
        }
        let message = Message::parse(self.rest);
        self.rest = match &message {
            Ok(message) => &self.rest[message.size()..],
            Err(_) => &[],
        };
        Some(message)
    }
}

/// The timestamp of a written message: what it was created with, or when it was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegacyTime {
    Create,
    Append(TimestampMs),
}

/// Writes a set of format 0 or 1: single messages, or one wrapper when a codec is set.
#[derive(Debug)]
pub struct LegacyBuilder {
    magic: i8,
    codec: Codec,
    time: LegacyTime,
    base_offset: Offset,
    last_offset: Offset,
    timestamp_max: TimestampMs,
    run: Vec<u8>,
}

impl LegacyBuilder {
    /// `magic` is 0 or 1; `base_offset` is the first message's offset.
    pub fn new(magic: i8, codec: Codec, time: LegacyTime, base_offset: Offset) -> LegacyBuilder {
        assert!(magic == 0 || magic == 1, "formats 0 and 1 only");
        LegacyBuilder {
            magic,
            codec,
            time,
            base_offset,
            last_offset: base_offset,
            timestamp_max: -1,
            run: Vec::new(),
        }
    }

    /// Offsets must grow. Format 0 drops the timestamp.
    pub fn append(
        &mut self,
        offset: Offset,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), LegacyError> {
        let timestamp = match self.time {
            LegacyTime::Create => timestamp,
            LegacyTime::Append(at) => at,
        };
        let relative = self.magic == 1 && self.codec != Codec::None;
        let stored = if relative { offset - self.base_offset } else { offset };
        let attributes = self.attributes(Codec::None);
        write(&mut self.run, self.magic, stored, attributes, timestamp, key, value)?;
        self.last_offset = offset;
        self.timestamp_max = self.timestamp_max.max(timestamp);
        Ok(())
    }

    /// Appends the set to `out`; nothing if no message was appended.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<(), LegacyError> {
        if self.run.is_empty() || self.codec == Codec::None {
            out.extend_from_slice(&self.run);
            return Ok(());
        }
        let mut packed = Vec::new();
        codec::compress(self.codec, None, self.magic, &self.run, &mut packed)?;
        let attributes = self.attributes(self.codec);
        let timestamp = match self.time {
            LegacyTime::Create => self.timestamp_max,
            LegacyTime::Append(at) => at,
        };
        write(out, self.magic, self.last_offset, attributes, timestamp, None, Some(&packed))
    }

    fn attributes(&self, codec: Codec) -> u8 {
        let append_time = self.magic > 0 && matches!(self.time, LegacyTime::Append(_));
        codec.id() as u8 | if append_time { LOG_APPEND_TIME } else { 0 }
    }
}

fn write(
    out: &mut Vec<u8>,
    magic: i8,
    offset: Offset,
    attributes: u8,
    timestamp: TimestampMs,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Result<(), LegacyError> {
    let payload = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
    let size = SIZE_MIN as usize + if magic == 1 { 8 } else { 0 } + payload;
    let size = i32::try_from(size).map_err(|_| LegacyError::TooLarge)?;
    let start = out.len();
    out.extend_from_slice(&offset.to_be_bytes());
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[magic as u8, attributes]);
    debug_assert_eq!(out.len() - start, TIMESTAMP_AT);
    if magic == 1 {
        out.extend_from_slice(&timestamp.to_be_bytes());
    }
    for field in [key, value] {
        let length = field.map_or(-1, |bytes| bytes.len() as i32);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(field.unwrap_or_default());
    }
    let crc = crc32fast::hash(&out[start + CRC_FROM..]);
    out[start + CRC_AT..start + CRC_FROM].copy_from_slice(&crc.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(magic: i8, codec: Codec, time: LegacyTime) -> Vec<u8> {
        let mut builder = LegacyBuilder::new(magic, codec, time, 40);
        builder.append(40, 100, Some(b"k"), Some(b"v")).unwrap();
        builder.append(41, 300, None, Some(b"")).unwrap();
        builder.append(43, 200, Some(b""), None).unwrap();
        let mut out = Vec::new();
        builder.finish(&mut out).unwrap();
        out
    }

    fn read(set: &[u8]) -> Vec<(Offset, TimestampMs, Option<Vec<u8>>, Option<Vec<u8>>)> {
        let mut all = Vec::new();
        for outer in (Run { rest: set }) {
            let outer = outer.unwrap();
            outer.verify().unwrap();
            let open = OpenMessage::open(outer, &Limits::default()).unwrap();
            for message in open.messages() {
                let message = message.unwrap();
                message.verify().unwrap();
                let own = |field: Option<&[u8]>| field.map(<[u8]>::to_vec);
                all.push((message.offset, message.timestamp, own(message.key), own(message.value)));
            }
        }
        all
    }

    #[test]
    fn sets_read_back_in_both_formats_and_every_codec() {
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4] {
            for magic in [0, 1] {
                for time in [LegacyTime::Create, LegacyTime::Append(999)] {
                    let back = read(&set(magic, codec, time));
                    let stamp = |at| match (magic, time) {
                        (0, _) => -1,
                        (_, LegacyTime::Create) => at,
                        (_, LegacyTime::Append(at)) => at,
                    };
                    let some = |text: &str| Some(text.as_bytes().to_vec());
                    assert_eq!(
                        back,
                        [
                            (40, stamp(100), some("k"), some("v")),
                            (41, stamp(300), None, some("")),
                            (43, stamp(200), some(""), None),
                        ],
                        "magic {magic} {codec:?} {time:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_wrapper_at_offset_0_counts_from_0() {
        let mut wrapper = set(1, Codec::Gzip, LegacyTime::Create);
        wrapper[..8].copy_from_slice(&0i64.to_be_bytes());
        assert_eq!(read(&wrapper).iter().map(|m| m.0).collect::<Vec<_>>(), [0, 1, 3]);
        wrapper[..8].copy_from_slice(&2i64.to_be_bytes());
        let outer = Message::parse(&wrapper).unwrap();
        let refused = OpenMessage::open(outer, &Limits::default()).unwrap_err();
        assert_eq!(refused, LegacyError::WrapperOffset { wrapper: 2, inner: 3 });
    }

    #[test]
    fn a_changed_byte_shows_in_the_crc() {
        let mut single = set(1, Codec::None, LegacyTime::Create);
        single[20] ^= 1;
        let refused = Message::parse(&single).unwrap().verify().unwrap_err();
        assert!(matches!(refused, LegacyError::Crc { .. }));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(
            bytes: Vec<u8>,
            size in 0i32..64,
            magic in 0u8..3,
            codec in 0u8..8,
        ) {
            let mut set = vec![0; 8];
            set.extend_from_slice(&size.to_be_bytes());
            set.extend_from_slice(&[0, 0, 0, 0, magic, codec]);
            set.extend_from_slice(&bytes);
            for message in (Run { rest: &set }).flatten() {
                if let Ok(open) = OpenMessage::open(message, &Limits::default()) {
                    open.messages().count();
                }
            }
        }
    }
}
