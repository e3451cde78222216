//! Batches that are written together, and what must hold of them right before. Knows no file.

use protocol::ids::Offset;

use crate::batch::LogBatch;

/// Batches, at least one, and their bytes in order.
pub(crate) struct Piece<'a> {
    pub batches: &'a [LogBatch],
    pub parts: &'a [&'a [u8]],
}

impl Piece<'_> {
    /// Whether it may be written behind `log_end`, at byte `position` of the segment of `base`. In
    /// every build: whoever made the piece has refused all that could fail here, and a log with
    /// anything else in it is damaged.
    pub fn assert_follows(&self, log_end: Offset, base: Offset, position: u64) {
        let mut next = log_end;
        for batch in self.batches {
            let (first, last) = (batch.base_offset, batch.last_offset);
            assert!(
                next <= first && first <= last && last < Offset::MAX,
                "a batch of offsets {first} to {last} is appended where {next} is the next one"
            );
            next = batch.next_offset();
        }
        let (first, last) = (self.batches[0].base_offset, next - 1);
        assert!(
            base <= first && last - base <= i64::from(i32::MAX),
            "offsets {first} to {last} do not fit into the segment of {base}"
        );
        let said: u64 = self.batches.iter().map(|batch| batch.size).sum();
        let given: usize = self.parts.iter().map(|part| part.len()).sum();
        assert_eq!(given as u64, said, "bytes to append, and those of the batches to append");
        assert!(position <= i32::MAX as u64, "a batch is appended at byte {position} of a segment");
    }
}

#[cfg(test)]
mod tests {
    use protocol::records::builder::{BatchBuilder, BatchOptions};

    use super::*;

    fn batch(base_offset: Offset, records: usize) -> Vec<u8> {
        let mut builder =
            BatchBuilder::new(BatchOptions { base_offset, ..BatchOptions::default() });
        (0..records).for_each(|_| builder.append(0, None, Some(b"v"), &[]).expect("it fits"));
        builder.finish().expect("a batch")
    }

    /// Offsets 10 to 14 in two batches.
    fn piece(end: Offset, base: Offset, position: u64) {
        let bytes = [batch(10, 3), batch(13, 2)];
        let batches = bytes.each_ref().map(|bytes| LogBatch::parse(bytes).expect("a batch"));
        let parts = bytes.each_ref().map(|bytes| &bytes[..]);
        Piece { batches: &batches, parts: &parts }.assert_follows(end, base, position);
    }

    #[test]
    fn whatever_is_behind_the_end_may_follow() {
        piece(10, 0, 0);
        piece(7, 10, i32::MAX as u64);
    }

    #[test]
    #[should_panic(expected = "a batch of offsets 10 to 12 is appended where 11 is the next one")]
    fn offsets_that_are_taken() {
        piece(11, 0, 0);
    }

    #[test]
    #[should_panic(expected = "a batch of offsets 10 to 12 is appended where 15 is the next one")]
    fn batches_out_of_order() {
        let bytes = [batch(13, 2), batch(10, 3)];
        let batches = bytes.each_ref().map(|bytes| LogBatch::parse(bytes).expect("a batch"));
        Piece { batches: &batches, parts: &[] }.assert_follows(10, 0, 0);
    }

    #[test]
    #[should_panic(expected = "offsets 10 to 14 do not fit into the segment of 11")]
    fn a_segment_that_begins_behind() {
        piece(10, 11, 0);
    }

    #[test]
    #[should_panic(expected = "do not fit into the segment of -2147483634")]
    fn a_segment_that_began_too_long_ago() {
        piece(10, 13 - i64::from(i32::MAX), 0);
    }

    #[test]
    #[should_panic(expected = "bytes to append, and those of the batches to append")]
    fn bytes_that_are_missing() {
        let bytes = batch(10, 3);
        let batches = [LogBatch::parse(&bytes).expect("a batch")];
        Piece { batches: &batches, parts: &[&bytes[1..]] }.assert_follows(10, 0, 0);
    }

    #[test]
    #[should_panic(expected = "a batch is appended at byte 2147483648 of a segment")]
    fn a_segment_without_room() {
        piece(10, 0, 1 << 31);
    }
}
