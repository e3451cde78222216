//! Jute, ZooKeeper's serialisation: big-endian numbers, length-prefixed buffers, strings and
//! vectors, and the length-prefixed frame around a packet. Knows nothing of what a packet means.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes that are not what they should be. The connection they came from is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JuteError {
    #[error("the packet ends too early")]
    Short,
    #[error("impossible length {0}")]
    Length(i32),
    #[error("a string is not UTF-8")]
    Utf8,
    #[error("unexpected value {0}")]
    Value(i32),
}

/// Reads one packet's fields in order; every length is checked against what is left.
#[derive(Debug, Clone)]
pub struct Reader {
    bytes: Bytes,
}

impl Reader {
    pub fn new(bytes: Bytes) -> Self {
        Reader { bytes }
    }

    pub fn bool(&mut self) -> Result<bool, JuteError> {
        self.need(1)?;
        Ok(self.bytes.get_u8() != 0)
    }

    pub fn i32(&mut self) -> Result<i32, JuteError> {
        self.need(4)?;
        Ok(self.bytes.get_i32())
    }

    pub fn i64(&mut self) -> Result<i64, JuteError> {
        self.need(8)?;
        Ok(self.bytes.get_i64())
    }

    /// A buffer, copied out so that it does not keep its packet alive; `None` is jute's null
    /// (length -1).
    pub fn buffer(&mut self) -> Result<Option<Bytes>, JuteError> {
        Ok(self.slice()?.map(|slice| Bytes::copy_from_slice(&slice)))
    }

    /// A string; null reads as empty.
    pub fn string(&mut self) -> Result<String, JuteError> {
        let slice = self.slice()?.unwrap_or_default();
        std::str::from_utf8(&slice).map(str::to_owned).map_err(|_| JuteError::Utf8)
    }

    /// The length of a vector whose elements take at least `element_bytes_min` each; null reads as
    /// 0.
    pub fn vector(&mut self, element_bytes_min: usize) -> Result<usize, JuteError> {
        let count = self.i32()?;
        if count == -1 {
            return Ok(0);
        }
        let elements = usize::try_from(count).map_err(|_| JuteError::Length(count))?;
        if elements > self.bytes.len() / element_bytes_min.max(1) {
            return Err(JuteError::Length(count));
        }
        Ok(elements)
    }

    fn slice(&mut self) -> Result<Option<Bytes>, JuteError> {
        let length = self.i32()?;
        if length == -1 {
            return Ok(None);
        }
        let bytes = usize::try_from(length).map_err(|_| JuteError::Length(length))?;
        self.need(bytes)?;
        Ok(Some(self.bytes.split_to(bytes)))
    }

    fn need(&self, bytes: usize) -> Result<(), JuteError> {
        if self.bytes.len() < bytes { Err(JuteError::Short) } else { Ok(()) }
    }
}

/// Writes one packet with the frame's length in front.
#[derive(Debug)]
pub struct Writer {
    bytes: BytesMut,
}

impl Default for Writer {
    fn default() -> Self {
        let mut bytes = BytesMut::with_capacity(128);
        bytes.put_i32(0);
        Writer { bytes }
    }
}

impl Writer {
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.bytes.put_u8(u8::from(value));
        self
    }

    pub fn i32(&mut self, value: i32) -> &mut Self {
        self.bytes.put_i32(value);
        self
    }

    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.bytes.put_i64(value);
        self
    }

    pub fn buffer(&mut self, value: Option<&[u8]>) -> &mut Self {
        match value {
            None => self.i32(-1),
            Some(value) => {
                // A length past i32 makes the packet one that `frame`'s caller refuses by its size.
                self.i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
                self.bytes.put_slice(value);
                self
            }
        }
    }

    pub fn string(&mut self, value: &str) -> &mut Self {
        self.buffer(Some(value.as_bytes()))
    }

    pub fn vector(&mut self, elements: usize) -> &mut Self {
        self.i32(i32::try_from(elements).unwrap_or(i32::MAX))
    }

    /// Bytes of the packet so far, without the frame's own length.
    pub fn packet_bytes(&self) -> usize {
        self.bytes.len() - 4
    }

    /// The finished frame.
    pub fn frame(mut self) -> Bytes {
        let length = i32::try_from(self.packet_bytes()).unwrap_or(i32::MAX);
        self.bytes[..4].copy_from_slice(&length.to_be_bytes());
        self.bytes.freeze()
    }
}

/// Takes the first whole packet off `input`; `None` until it is there.
pub fn take_packet(
    input: &mut BytesMut,
    packet_bytes_max: usize,
) -> Result<Option<Bytes>, JuteError> {
    let Some(length) = input.first_chunk::<4>().map(|bytes| i32::from_be_bytes(*bytes)) else {
        return Ok(None);
    };
    let bytes = usize::try_from(length).map_err(|_| JuteError::Length(length))?;
    if bytes > packet_bytes_max {
        return Err(JuteError::Length(length));
    }
    if input.len() < 4 + bytes {
        return Ok(None);
    }
    input.advance(4);
    Ok(Some(input.split_to(bytes).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let mut writer = Writer::default();
        writer.bool(true).i32(-7).i64(1 << 40).string("é").buffer(None).buffer(Some(b"")).vector(0);
        let mut input = BytesMut::from(&writer.frame()[..]);
        let mut reader = Reader::new(take_packet(&mut input, 100).unwrap().unwrap());
        assert!(input.is_empty());
        assert!(reader.bool().unwrap());
        assert_eq!((reader.i32(), reader.i64()), (Ok(-7), Ok(1 << 40)));
        assert_eq!(reader.string().unwrap(), "é");
        assert_eq!(reader.buffer(), Ok(None));
        assert_eq!(reader.buffer(), Ok(Some(Bytes::new())));
        assert_eq!(reader.vector(8), Ok(0));
        assert_eq!(reader.i32(), Err(JuteError::Short));
    }

    #[test]
    fn refuses_lengths_that_lie() {
        let read = |bytes: &'static [u8]| Reader::new(Bytes::from_static(bytes));
        assert_eq!(read(&[0, 0, 0, 9, 1]).buffer(), Err(JuteError::Short));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xfe]).buffer(), Err(JuteError::Length(-2)));
        assert_eq!(read(&[0x7f, 0xff, 0xff, 0xff]).vector(4), Err(JuteError::Length(i32::MAX)));
        assert_eq!(read(&[0, 0, 0, 2, 0, 0, 0, 0]).vector(4), Err(JuteError::Length(2)));
        assert_eq!(read(&[0x80, 0, 0, 0]).vector(0), Err(JuteError::Length(i32::MIN)));
        assert_eq!(read(&[0, 0, 0, 1, 0xff]).string(), Err(JuteError::Utf8));
    }

    #[test]
    fn waits_for_whole_packets_and_refuses_long_ones() {
        let mut input = BytesMut::from(&[0, 0, 0, 2, 1][..]);
        assert_eq!(take_packet(&mut input, 2), Ok(None));
        assert_eq!(take_packet(&mut input, 1), Err(JuteError::Length(2)));
        input.put_u8(2);
        assert_eq!(take_packet(&mut input, 2), Ok(Some(Bytes::from_static(&[1, 2]))));
        input.extend_from_slice(&[0xff, 0xff, 0xff, 0xff]);
        assert_eq!(take_packet(&mut input, 2), Err(JuteError::Length(-1)));
    }
}
