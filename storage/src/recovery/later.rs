//! Whether whole batches lie behind a place where a segment's file cannot be read on: then it was
//! damaged, else a write was interrupted there. What a batch holds is its producer's: bytes inside
//! it that look like batches count for nothing.

use std::io::Result;

use protocol::ids::Offset;
use protocol::records::batch::{BatchHeader, CRC_FROM, HEADER_BYTES, MAGIC_AT};
use protocol::records::record::RecordIter;

use crate::disk::DiskFile;
use crate::segment::batch::{LogBatch, PEEK_BYTES, Scan};

/// Bytes that are read at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Records of a batch beyond this size are not looked at.
const RECORDS_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What follows the whole batches of a segment's file.
pub(crate) struct Tail<'a> {
    pub file: &'a dyn DiskFile,
    /// Where they end.
    pub from: u64,
    /// Where the file ends.
    pub end: u64,
    /// The offset after theirs.
    pub next: Offset,
}

impl Tail<'_> {
    /// The first whole batch (magic 2, its CRC holds) that was written behind the one at `from`,
    /// and where it begins.
    ///
    /// An interrupted append leaves the beginning of what it wrote, so a header that fits here
    /// tells how far the bytes are that batch's. Only if its length is damaged, which no CRC
    /// covers, does another one begin earlier: where the CRC holds of what is before, and the
    /// records fill it.
    pub fn later_batch(&self) -> Result<Option<(u64, LogBatch)>> {
        let Some(cut) = self.cut_batch()? else {
            return self.find(self.from + 1, self.end, |at, batch| self.is_whole(at, batch));
        };
        let behind = self.end.min(self.from.saturating_add(cut.size));
        let mut before = Prefix { tail: self, crc: 0, to: self.from + CRC_FROM as u64 };
        let first = self.from + HEADER_BYTES as u64;
        let inside = self.find(first, behind, |at, batch| {
            Ok(before.crc_to(at)? == cut.crc && self.fills(at)? && self.is_whole(at, batch)?)
        })?;
        match inside {
            Some(found) => Ok(Some(found)),
            None => self.find(behind, self.end, |at, batch| self.is_whole(at, batch)),
        }
    }

    /// The batch whose header is at `from`, if it could have been appended here.
    fn cut_batch(&self) -> Result<Option<LogBatch>> {
        let mut bytes = [0; PEEK_BYTES];
        let have = PEEK_BYTES.min((self.end - self.from) as usize);
        let read = self.file.read_at(&mut bytes[..have], self.from)?;
        let batch = LogBatch::parse(&bytes[..read]).ok();
        Ok(batch.filter(|batch| {
            let rises = batch.base_offset >= self.next && batch.last_offset >= batch.base_offset;
            batch.magic == 2 && rises
        }))
    }

    /// The first place in `from..to` with the header of a batch of a higher offset, whose end is in
    /// the file, that `is_it` holds for.
    fn find(
        &self,
        mut from: u64,
        to: u64,
        mut is_it: impl FnMut(u64, &LogBatch) -> Result<bool>,
    ) -> Result<Option<(u64, LogBatch)>> {
        let mut buffer = vec![0; PIECE_BYTES];
        while from < to && from + PEEK_BYTES as u64 <= self.end {
            let want = buffer.len().min((self.end - from) as usize);
            let read = self.file.read_at(&mut buffer[..want], from)?;
            if read < PEEK_BYTES {
                return Ok(None);
            }
            for i in 0..=read - PEEK_BYTES {
                let at = from + i as u64;
                if at >= to {
                    return Ok(None);
                }
                let bytes = &buffer[i..i + PEEK_BYTES];
                // Most places fail here: the magic is 2 and offsets are far below 2^48.
                if bytes[MAGIC_AT] != 2 || bytes[..2] != [0, 0] {
                    continue;
                }
                let Ok(batch) = LogBatch::parse(bytes) else { continue };
                let fits = batch.base_offset >= self.next && batch.size <= self.end - at;
                if fits && is_it(at, &batch)? {
                    return Ok(Some((at, batch)));
                }
            }
            from += (read - PEEK_BYTES + 1) as u64;
        }
        Ok(None)
    }

    fn is_whole(&self, at: u64, batch: &LogBatch) -> Result<bool> {
        Scan::new(self.file, at, self.end).verify(batch, at)
    }

    /// Whether the bytes up to `to` are a batch whose records fill it. A producer can make the CRC
    /// hold of a part of its batch, but not the count of records. Compressed ones are believed.
    fn fills(&self, to: u64) -> Result<bool> {
        let size = to - self.from;
        if size > RECORDS_BYTES_MAX {
            return Ok(true);
        }
        let mut bytes = vec![0; size as usize];
        let read = self.file.read_at(&mut bytes, self.from)?;
        let Ok(header) = BatchHeader::parse(&bytes[..read]) else { return Ok(false) };
        if header.is_compressed() {
            return Ok(true);
        }
        let body = &bytes[HEADER_BYTES..read];
        let Ok(mut records) = RecordIter::new(&header, body) else { return Ok(false) };
        Ok(records.all(|record| record.is_ok()) && (header.record_count > 0 || body.is_empty()))
    }
}

/// The CRC of a batch's bytes as far as they were looked at.
struct Prefix<'a> {
    tail: &'a Tail<'a>,
    crc: u32,
    to: u64,
}

impl Prefix<'_> {
    /// `to` never falls.
    fn crc_to(&mut self, to: u64) -> Result<u32> {
        let mut buffer = vec![0; PIECE_BYTES.min((to - self.to) as usize)];
        while self.to < to {
            let want = buffer.len().min((to - self.to) as usize);
            let read = self.tail.file.read_at(&mut buffer[..want], self.to)?;
            if read == 0 {
                break;
            }
            self.crc = crc32c::crc32c_append(self.crc, &buffer[..read]);
            self.to += read as u64;
        }
        Ok(self.crc)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use protocol::records::batch::assign;
    use protocol::records::builder::{BatchBuilder, BatchOptions};

    use super::*;
    use crate::disk::{Disk, MemoryDisk, OpenHow};

    fn batch(offset: Offset, values: &[&[u8]]) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        for value in values {
            builder.append(1_700_000_000_000, None, Some(value), &[]).unwrap();
        }
        let mut batch = builder.finish().unwrap();
        assign(&mut batch, offset, 3);
        batch
    }

    /// The offset of the later batch behind the bytes, where 10 comes next.
    fn later(bytes: &[u8]) -> Option<Offset> {
        let disk = MemoryDisk::default();
        let file = disk.open(Path::new("/f"), OpenHow::CreateNew).unwrap();
        file.write_at(&[b"before", bytes], 0).unwrap();
        let tail = Tail { file: &*file, from: 6, end: 6 + bytes.len() as u64, next: 10 };
        tail.later_batch().unwrap().map(|(_, batch)| batch.base_offset)
    }

    /// A batch of offset 10 whose second record is a chain of batches, and where they end in it.
    fn malicious() -> (Vec<u8>, Vec<usize>) {
        let chain: Vec<Vec<u8>> = (11..200).map(|offset| batch(offset, &[b"inner"])).collect();
        let outer = batch(10, &[b"first", &chain.concat(), b"last"]);
        let inner = outer.windows(chain[0].len()).position(|w| w == chain[0]).unwrap();
        let mut ends = vec![inner];
        chain.iter().for_each(|b| ends.push(ends[ends.len() - 1] + b.len()));
        (outer, ends)
    }

    #[test]
    fn what_a_record_holds_is_no_later_batch_wherever_the_write_was_interrupted() {
        let (outer, ends) = malicious();
        let near = ends.iter().flat_map(|end| [end - 1, *end, end + 1]);
        for len in near.chain([70, outer.len() - 1]) {
            assert_eq!(later(&outer[..len]), None, "cut at {len}");
            let mut allocated = outer[..len].to_vec();
            allocated.resize(outer.len() + 4096, 0);
            assert_eq!(later(&allocated), None, "zeros from {len} on");
        }
    }

    #[test]
    fn a_checksum_that_a_producer_makes_hold_of_a_part_does_not_help() {
        let (mut outer, ends) = malicious();
        let crc = crc32c::crc32c(&outer[CRC_FROM..ends[0]]);
        outer[17..21].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(later(&outer[..ends[3]]), None);
    }

    #[test]
    fn damage_is_told_by_what_was_written_behind_it() {
        let first = batch(10, &[b"one", &[b'v'; 300], b"three"]);
        let whole = [first.clone(), batch(13, &[b"a"]), batch(14, &[b"b"])].concat();
        let damaged = |at: usize, to: u8| {
            let mut bytes = whole.clone();
            bytes[at] = to;
            later(&bytes)
        };
        for (at, to) in [(8, 0x7f), (8, 0xff), (10, 0x40), (11, 0), (11, 0xff), (11, 62)] {
            assert_eq!(damaged(at, to), Some(13), "a length with {to:#x} at {at}");
        }
        assert_eq!(damaged(0, 0x80), Some(13), "an offset that cannot be");
        assert_eq!(damaged(MAGIC_AT, 9), Some(13), "a magic that cannot be");
        assert_eq!(damaged(100, 1), Some(13), "a value");
        let mut zeroed = whole.clone();
        zeroed[..200].fill(0);
        assert_eq!(later(&zeroed), Some(13), "a lost header");
        let mut junk = whole.clone();
        junk[first.len()..first.len() + 10].fill(0xee);
        junk[100] = 1;
        assert_eq!(later(&junk), Some(14), "two damaged batches");
    }
}
