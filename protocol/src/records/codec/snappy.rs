//! Snappy as Kafka's clients write it: xerial's framing around raw blocks, or one raw block. Knows
//! nothing of the other codecs.
//!
//! Frame: `82 "SNAPPY" 00`, i32 version, i32 oldest compatible version, then blocks of i32 size and
//! raw snappy (snappy-java's `SnappyOutputStream`). librdkafka writes the same; some older clients
//! write a raw block, which snappy-java reads as well.

use super::{Codec, CodecError};

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const HEADER_BYTES: usize = 16;
/// Uncompressed bytes of one block; snappy-java's default.
const BLOCK_BYTES: usize = 32 << 10;
/// One compressed byte never stands for more than this: a copy of 64 bytes takes three.
const RATIO_MAX: usize = 64;

fn corrupt(reason: impl ToString) -> CodecError {
    CodecError::Corrupt { codec: Codec::Snappy, reason: reason.to_string() }
}

/// Block after block, one decompressed at a time.
pub struct Reader<'a> {
    rest: &'a [u8],
    framed: bool,
    /// No block may declare more than this.
    cap: usize,
    block: Vec<u8>,
    given: usize,
}

impl<'a> Reader<'a> {
    pub fn new(input: &'a [u8], cap: usize) -> Reader<'a> {
        let framed = input.len() >= HEADER_BYTES && input.starts_with(&MAGIC);
        let rest = if framed { &input[HEADER_BYTES..] } else { input };
        Reader { rest, framed, cap, block: Vec::new(), given: 0 }
    }

    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, CodecError> {
        while self.given == self.block.len() {
            let Some(packed) = self.next_block()? else { return Ok(0) };
            let size = snap::raw::decompress_len(packed).map_err(corrupt)?;
            if size > packed.len().saturating_mul(RATIO_MAX) {
                return Err(corrupt("a block declares more bytes than it can hold"));
            }
            if size > self.cap {
                return Err(CodecError::TooLarge { codec: Codec::Snappy, limit: self.cap });
            }
            self.block.resize(size, 0);
            snap::raw::Decoder::new().decompress(packed, &mut self.block).map_err(corrupt)?;
            self.given = 0;
        }
        let n = out.len().min(self.block.len() - self.given);
        out[..n].copy_from_slice(&self.block[self.given..self.given + n]);
        self.given += n;
        Ok(n)
    }

    fn next_block(&mut self) -> Result<Option<&'a [u8]>, CodecError> {
        if !self.framed {
            let all = std::mem::take(&mut self.rest);
            return Ok((!all.is_empty()).then_some(all));
        }
        // Streams may be joined: a header between two blocks is passed over.
        while self.rest.len() >= HEADER_BYTES && self.rest.starts_with(&MAGIC) {
            self.rest = &self.rest[HEADER_BYTES..];
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (size, rest) = self.rest.split_first_chunk().ok_or_else(|| corrupt("cut off"))?;
        let size = u32::from_be_bytes(*size) as usize;
        if size > rest.len() {
            return Err(corrupt("a block is cut off"));
        }
        let (block, rest) = rest.split_at(size);
        self.rest = rest;
        Ok(Some(block))
    }
}

/// Appends the xerial stream of `input` to `out`.
pub fn compress(input: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&1i32.to_be_bytes());
    out.extend_from_slice(&1i32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    let mut packed = vec![0; snap::raw::max_compress_len(BLOCK_BYTES.min(input.len()))];
    for block in input.chunks(BLOCK_BYTES) {
        let size = encoder
            .compress(block, &mut packed)
            .map_err(|e| CodecError::Compress { codec: Codec::Snappy, reason: e.to_string() })?;
        out.extend_from_slice(&(size as i32).to_be_bytes());
        out.extend_from_slice(&packed[..size]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, decompress};
    use super::*;

    #[test]
    fn raw_blocks_and_joined_streams_are_read() {
        let input = b"one record, one record, one record".repeat(9);
        let raw = snap::raw::Encoder::new().compress_vec(&input).unwrap();
        let back = decompress(Codec::Snappy, 2, &raw, &Limits::default()).unwrap();
        assert_eq!(back, input);

        let mut joined = Vec::new();
        compress(&input, &mut joined).unwrap();
        compress(b"tail", &mut joined).unwrap();
        let back = decompress(Codec::Snappy, 2, &joined, &Limits::default()).unwrap();
        assert_eq!(back, [&input[..], b"tail"].concat());
    }

    #[test]
    fn a_lying_block_reserves_nothing() {
        // Declares 4 GiB − 1 in a block of seven bytes.
        let raw = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
        let refused = decompress(Codec::Snappy, 2, &raw, &Limits::default()).unwrap_err();
        assert!(matches!(refused, CodecError::Corrupt { .. }), "{refused}");
    }
}
