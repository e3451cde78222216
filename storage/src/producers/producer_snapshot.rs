//! `<offset>.snapshot`: the producers of a partition as of an offset. Knows bytes and names, not
//! when a snapshot is due.

use std::collections::VecDeque;

use protocol::ids::{Offset, TimestampMs};

use crate::disk::{Durable, read_small, remove_if_there, replace_file};
use crate::error::DiskError;
use crate::producers::producer_state::{BatchMetadata, ProducerEntry, ProducerState};
use crate::segment::partition_dir::{PartitionDir, segment_file_name};

pub(crate) const SUFFIX: &str = ".snapshot";
const VERSION: i16 = 1;
const HEADER_BYTES: usize = 10;
const ENTRY_BYTES: usize = 46;
/// 2.2 million producers; more than expire in a day anywhere.
const SNAPSHOT_BYTES_MAX: u64 = 100 * 1024 * 1024;

/// `i16` version, `u32` CRC-32C of what follows, `i32` count, entries in order of producer id.
pub(crate) fn encode(state: &ProducerState) -> Vec<u8> {
    let producers = state.producers();
    let mut bytes = Vec::with_capacity(HEADER_BYTES + producers.len() * ENTRY_BYTES);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(producers.len() as i32).to_be_bytes());
    for (id, entry) in producers {
        let last = entry.batches.back();
        bytes.extend_from_slice(&id.to_be_bytes());
        bytes.extend_from_slice(&entry.producer_epoch.to_be_bytes());
        bytes.extend_from_slice(&entry.last_sequence().to_be_bytes());
        bytes.extend_from_slice(&entry.last_offset().to_be_bytes());
        bytes.extend_from_slice(&last.map_or(0, |b| b.offset_delta).to_be_bytes());
        bytes.extend_from_slice(&entry.last_timestamp.to_be_bytes());
        bytes.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
        bytes.extend_from_slice(&entry.current_txn_first_offset.unwrap_or(-1).to_be_bytes());
    }
    let crc = crc32c::crc32c(&bytes[6..]);
    bytes[2..6].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// The reason if the bytes are no snapshot.
pub(crate) fn decode(bytes: &[u8], offset: Offset) -> Result<ProducerState, &'static str> {
    if bytes.len() < HEADER_BYTES {
        return Err("too short");
    }
    if bytes[..2] != VERSION.to_be_bytes() {
        return Err("unknown version");
    }
    if crc32c::crc32c(&bytes[6..]).to_be_bytes() != bytes[2..6] {
        return Err("the CRC does not hold");
    }
    let count = i32::from_be_bytes(bytes[6..10].try_into().expect("4 bytes"));
    if usize::try_from(count).ok().and_then(|n| n.checked_mul(ENTRY_BYTES))
        != Some(bytes.len() - HEADER_BYTES)
    {
        return Err("the count does not fit the length");
    }
    let mut state = ProducerState::starting_at(offset);
    for entry in bytes[HEADER_BYTES..].chunks_exact(ENTRY_BYTES) {
        let i32_at = |at: usize| i32::from_be_bytes(entry[at..at + 4].try_into().expect("4"));
        let i64_at = |at: usize| i64::from_be_bytes(entry[at..at + 8].try_into().expect("8"));
        let mut batches = VecDeque::new();
        if i64_at(14) >= 0 {
            batches.push_back(BatchMetadata {
                last_sequence: i32_at(10),
                last_offset: i64_at(14),
                offset_delta: i32_at(22),
                timestamp: i64_at(26),
            });
        }
        let first = i64_at(38);
        let producer = ProducerEntry {
            producer_epoch: i16::from_be_bytes(entry[8..10].try_into().expect("2 bytes")),
            coordinator_epoch: i32_at(34),
            last_timestamp: i64_at(26),
            current_txn_first_offset: (first >= 0).then_some(first),
            batches,
        };
        state.insert(i64_at(0), producer);
    }
    Ok(state)
}

/// Writes the state under the name of its end offset.
pub(crate) fn write(
    dir: &PartitionDir,
    state: &ProducerState,
    durable: Durable,
) -> Result<(), DiskError> {
    let path = dir.file_path(&segment_file_name(state.end_offset, SUFFIX));
    replace_file(&*dir.disk, &path, &encode(state), durable)
}

/// The state at the newest readable snapshot in `above..=up_to`, of `offsets` (ascending).
/// Unreadable ones are removed, from the list too.
pub(crate) fn load_newest(
    dir: &PartitionDir,
    offsets: &mut Vec<Offset>,
    above: Offset,
    up_to: Offset,
    now_ms: TimestampMs,
    expiration_ms: i64,
) -> Result<Option<ProducerState>, DiskError> {
    while let Some(offset) = offsets.iter().rev().find(|o| **o <= up_to).copied() {
        if offset <= above {
            return Ok(None);
        }
        let path = dir.file_path(&segment_file_name(offset, SUFFIX));
        let reason = match read_small(&*dir.disk, &path, SNAPSHOT_BYTES_MAX) {
            Ok(None) => "is missing",
            Ok(Some(bytes)) => match decode(&bytes, offset) {
                Ok(mut state) => {
                    state.remove_expired(now_ms, expiration_ms);
                    return Ok(Some(state));
                }
                Err(reason) => reason,
            },
            Err(e) if e.source.kind() == std::io::ErrorKind::InvalidData => "is too long",
            Err(e) => return Err(e),
        };
        tracing::warn!(path = %path.display(), reason, "removing a producer snapshot");
        remove_if_there(&*dir.disk, &path)?;
        offsets.retain(|o| *o != offset);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> ProducerState {
        let mut state = ProducerState::starting_at(9);
        let entry = |batches: &[BatchMetadata], coordinator_epoch| ProducerEntry {
            producer_epoch: 0,
            coordinator_epoch,
            last_timestamp: 77,
            current_txn_first_offset: (coordinator_epoch < 0).then_some(4),
            batches: batches.iter().copied().collect(),
        };
        let batch =
            BatchMetadata { last_sequence: 4, last_offset: 4, offset_delta: 4, timestamp: 77 };
        state.insert(0, entry(&[batch], -1));
        state.insert(1, entry(&[], 3));
        state
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = encode(&sample());
        assert_eq!(bytes.len(), 10 + 2 * 46);
        let state = decode(&bytes, 9).unwrap();
        assert_eq!(state.producers(), sample().producers());
        assert_eq!(state.first_unstable_offset(9), Some(4));
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        let bytes = encode(&sample());
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(decode(&bad, 9).is_err(), "byte {at}");
        }
        assert!(decode(&bytes[..bytes.len() - 1], 9).is_err());
    }
}
