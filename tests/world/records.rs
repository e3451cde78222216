//! The records of a run: each holds one number that no other has. Read with the real codec.

use coordinator::shard::Producer;
use protocol::ids::{LeaderEpoch, Offset};
use protocol::records::batch::BatchHeader;
use protocol::records::codec::Limits;
use protocol::records::control::EndTxnMarker;
use protocol::records::record::Record;
use protocol::records::view::{Batches, OpenBatch};
use storage::Log;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    InTransaction,
    Commit,
    Abort,
}

/// One record as every replica must have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// A marker's is its coordinator's epoch; of a record that is none of ours a sum.
    pub value: u64,
    pub epoch: LeaderEpoch,
    pub producer: Producer,
    pub kind: Kind,
}

/// The records of a set with their offsets; a batch that is cut off at the end is left out.
pub fn cells(set: &[u8]) -> Vec<(Offset, Cell)> {
    let mut found = Vec::new();
    for raw in Batches::new(set) {
        let Ok(raw) = raw else { break };
        let open = raw.open(&Limits::default()).expect("a whole batch");
        let OpenBatch::V2 { header, .. } = &open else { panic!("an old batch") };
        for record in open.records().expect("readable records") {
            let record = record.expect("a whole record");
            found.push((record.offset, cell(header, &record)));
        }
    }
    found
}

fn cell(header: &BatchHeader, record: &Record<'_>) -> Cell {
    // Tombstones have none.
    let value = record.value.unwrap_or_default();
    let (kind, value) = if header.is_control() {
        let key = record.key.expect("a control record has a key");
        let marker = EndTxnMarker::parse(key, value).expect("readable").expect("a marker");
        let kind = if marker.committed { Kind::Commit } else { Kind::Abort };
        (kind, marker.coordinator_epoch as u64)
    } else if let Ok(number) = <[u8; 8]>::try_from(value)
        && record.key.is_none()
    {
        let kind = if header.is_transactional() { Kind::InTransaction } else { Kind::Plain };
        (kind, u64::from_be_bytes(number))
    } else {
        let all = record.key.unwrap_or_default().iter().chain(value);
        let sum = all.fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        (Kind::Plain, sum | 0xff << 56)
    };
    let producer = Producer { id: header.producer_id, epoch: header.producer_epoch };
    Cell { value, epoch: header.leader_epoch, producer, kind }
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
