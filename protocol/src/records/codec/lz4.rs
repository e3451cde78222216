//! LZ4 frames as Kafka's clients write them: independent blocks, no content checksum. Knows nothing
//! of the other codecs.
//!
//! Read and written here, not by the codec crate's own frame type, for two of Kafka's habits:
//! message format 0 carries a header checksum that wrongly covers the frame's magic number too, and
//! a frame with dependent blocks is refused (Kafka's `Lz4BlockInputStream`; KIP-57 tells the
//! history).

use twox_hash::XxHash32;

use super::{Codec, CodecError};

const MAGIC: u32 = 0x184d_2204;
const VERSION: u8 = 1;
const FLAG_INDEPENDENT: u8 = 0x20;
const FLAG_BLOCK_CHECKSUM: u8 = 0x10;
const FLAG_CONTENT_SIZE: u8 = 0x08;
const FLAG_RESERVED: u8 = 0x03;
/// A block whose size has this bit is stored as it is.
const STORED: u32 = 0x8000_0000;
/// Block size code 4: 64 KiB, Kafka's default.
const BLOCK_CODE: u8 = 4;
const BLOCK_BYTES: usize = 64 << 10;

fn corrupt(reason: impl ToString) -> CodecError {
    CodecError::Corrupt { codec: Codec::Lz4, reason: reason.to_string() }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], CodecError> {
    let (taken, left) = rest.split_first_chunk().ok_or_else(|| corrupt("cut off"))?;
    *rest = left;
    Ok(taken)
}

fn header_checksum(covered: &[u8]) -> u8 {
    (XxHash32::oneshot(0, covered) >> 8) as u8
}

/// Block after block of one frame.
pub struct Reader<'a> {
    rest: &'a [u8],
    block_checksums: bool,
    block_bytes_max: usize,
    block: Vec<u8>,
    given: usize,
    ended: bool,
}

impl<'a> Reader<'a> {
    pub fn new(input: &'a [u8], ignore_header_checksum: bool) -> Result<Reader<'a>, CodecError> {
        let mut rest = input;
        if u32::from_le_bytes(*take::<4>(&mut rest)?) != MAGIC {
            return Err(corrupt("not a frame"));
        }
        let [flags, block_code] = *take::<2>(&mut rest)?;
        if flags >> 6 != VERSION || flags & FLAG_RESERVED != 0 || block_code & 0x8f != 0 {
            return Err(corrupt("frame version or reserved bits"));
        }
        if flags & FLAG_INDEPENDENT == 0 {
            return Err(corrupt("dependent blocks"));
        }
        let code = block_code >> 4;
        if code < 4 {
            return Err(corrupt("block size code"));
        }
        if flags & FLAG_CONTENT_SIZE != 0 {
            take::<8>(&mut rest)?;
        }
        let covered = &input[4..input.len() - rest.len()];
        let [stored] = *take::<1>(&mut rest)?;
        if !ignore_header_checksum && stored != header_checksum(covered) {
            return Err(corrupt("header checksum"));
        }
        Ok(Reader {
            rest,
            block_checksums: flags & FLAG_BLOCK_CHECKSUM != 0,
            block_bytes_max: 1 << (2 * code + 8),
            block: Vec::new(),
            given: 0,
            ended: false,
        })
    }

    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, CodecError> {
        while self.given == self.block.len() && !self.ended {
            self.next_block()?;
        }
        let n = out.len().min(self.block.len() - self.given);
        out[..n].copy_from_slice(&self.block[self.given..self.given + n]);
        self.given += n;
        Ok(n)
    }

    fn next_block(&mut self) -> Result<(), CodecError> {
        self.given = 0;
        let word = u32::from_le_bytes(*take::<4>(&mut self.rest)?);
        let size = (word & !STORED) as usize;
        if size == 0 {
            // What may follow, a content checksum, Kafka does not look at either.
            self.block.clear();
            self.ended = true;
            return Ok(());
        }
        if size > self.block_bytes_max {
            return Err(corrupt("a block is larger than the frame allows"));
        }
        if size > self.rest.len() {
            return Err(corrupt("a block is cut off"));
        }
        let (packed, rest) = self.rest.split_at(size);
        self.rest = rest;
        if self.block_checksums
            && u32::from_le_bytes(*take::<4>(&mut self.rest)?) != XxHash32::oneshot(0, packed)
        {
            return Err(corrupt("block checksum"));
        }
        if word & STORED != 0 {
            self.block.clear();
            self.block.extend_from_slice(packed);
        } else {
            // At most 4 MiB, and one byte never stands for more than 255.
            self.block.resize(self.block_bytes_max.min(size.saturating_mul(256)), 0);
            let n = lz4_flex::block::decompress_into(packed, &mut self.block).map_err(corrupt)?;
            self.block.truncate(n);
        }
        Ok(())
    }
}

/// Appends the frame of `input` to `out`; with `broken_header_checksum`, as format 0 wants it.
pub fn compress(
    input: &[u8],
    broken_header_checksum: bool,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let start = out.len();
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&[VERSION << 6 | FLAG_INDEPENDENT, BLOCK_CODE << 4]);
    let covered_from = if broken_header_checksum { start } else { start + 4 };
    out.push(header_checksum(&out[covered_from..]));
    let bound = lz4_flex::block::get_maximum_output_size(BLOCK_BYTES.min(input.len()));
    let mut packed = vec![0; bound];
    for block in input.chunks(BLOCK_BYTES) {
        let size = lz4_flex::block::compress_into(block, &mut packed)
            .map_err(|e| CodecError::Compress { codec: Codec::Lz4, reason: e.to_string() })?;
        if size >= block.len() {
            out.extend_from_slice(&(block.len() as u32 | STORED).to_le_bytes());
            out.extend_from_slice(block);
        } else {
            out.extend_from_slice(&(size as u32).to_le_bytes());
            out.extend_from_slice(&packed[..size]);
        }
    }
    out.extend_from_slice(&0u32.to_le_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, decompress};
    use super::*;

    #[test]
    fn the_old_checksum_is_wrong_only_in_format_0() {
        let input = b"the same words, the same words, the same words";
        let (mut old, mut new) = (Vec::new(), Vec::new());
        compress(input, true, &mut old).unwrap();
        compress(input, false, &mut new).unwrap();
        assert_ne!(old[6], new[6]);
        assert_eq!(old[7..], new[7..]);
        // The byte that every Kafka client since 0.10 writes for 64 KiB independent blocks.
        assert_eq!(new[4..7], [0x60, 0x40, 0x82]);
        assert_eq!(decompress(Codec::Lz4, 0, &old, &Limits::default()).unwrap(), input);
        assert_eq!(decompress(Codec::Lz4, 0, &new, &Limits::default()).unwrap(), input);
        assert_eq!(decompress(Codec::Lz4, 1, &new, &Limits::default()).unwrap(), input);
        assert!(decompress(Codec::Lz4, 1, &old, &Limits::default()).is_err());
    }
}
