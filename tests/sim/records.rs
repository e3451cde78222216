//! The records of a run: each holds one number that no other has. Built and read with the real
//! codec.

use bytes::Bytes;
use protocol::ids::{LeaderEpoch, Offset};
use protocol::records::builder::{BatchBuilder, BatchOptions};
use protocol::records::codec::Limits;
use protocol::records::view::Batches;
use storage::Log;

/// One record as every replica must have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    pub value: u64,
    pub epoch: LeaderEpoch,
}

/// An idempotent producer's mark on a batch.
#[derive(Debug, Clone, Copy)]
pub struct Sequence {
    pub producer_id: i64,
    pub first: i32,
}

pub fn batch(values: &[u64], sequence: Option<Sequence>, now_ms: i64) -> Bytes {
    let mut options = BatchOptions::default();
    if let Some(Sequence { producer_id, first }) = sequence {
        options.producer_id = producer_id;
        options.producer_epoch = 0;
        options.base_sequence = first;
    }
    let mut builder = BatchBuilder::new(options);
    for value in values {
        let mut bytes = vec![0; 24];
        bytes[..8].copy_from_slice(&value.to_be_bytes());
        builder.append(now_ms, None, Some(&bytes), &[]).expect("a small record");
    }
    Bytes::from(builder.finish().expect("a small batch"))
}

/// The records of a set with their offsets; a batch that is cut off at the end is left out.
pub fn cells(set: &[u8]) -> Vec<(Offset, Cell)> {
    let mut found = Vec::new();
    for raw in Batches::new(set) {
        let Ok(raw) = raw else { break };
        let epoch = i32::from_be_bytes(raw.bytes[12..16].try_into().expect("four bytes"));
        let open = raw.open(&Limits::default()).expect("a whole batch");
        for record in open.records().expect("readable records") {
            let record = record.expect("a whole record");
            let value = record.value.expect("every record has a number");
            let value = u64::from_be_bytes(value[..8].try_into().expect("eight bytes"));
            found.push((record.offset, Cell { value, epoch }));
        }
    }
    found
}

/// What a log holds from `from` to its end.
pub fn read(log: &Log, from: Offset) -> Vec<Cell> {
    let mut found: Vec<Cell> = Vec::new();
    let mut next = from;
    while next < log.log_end_offset() {
        let read = log.read(next, 1 << 20, Offset::MAX, true).expect("a healthy disk");
        let slices = read.slices.iter().map(|slice| slice.read().expect("a healthy disk"));
        let set: Vec<u8> = slices.flatten().collect();
        for (offset, cell) in cells(&set) {
            if offset >= next {
                assert_eq!(offset, next, "{} has a gap", log.partition());
                found.push(cell);
                next += 1;
            }
        }
    }
    found
}
