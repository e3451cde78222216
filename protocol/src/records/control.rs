//! Control records: the markers that end a transaction. Knows nothing of transactions themselves.
//! See KIP-98, Kafka's `ControlRecordType` and `EndTransactionMarker`.

use super::builder::{BatchBuilder, BatchOptions, BuildError};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs};

/// What a control record says: the second i16 of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlType {
    Abort,
    Commit,
    /// A type that a ZooKeeper-mode broker does not know; readers pass over it.
    Other(i16),
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTxnMarker {
    pub committed: bool,
    /// Epoch of the transaction coordinator that decided it; an older one's marker is refused.
    pub coordinator_epoch: i32,
}

/// Why a control record cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    #[error("control record key of {0} bytes, 4 needed")]
    Key(usize),
    #[error("end-transaction marker value of {0} bytes, 6 needed")]
    Value(usize),
    #[error("version {0} is negative")]
    Version(i16),
}

impl ControlType {
    /// Reads a control record's key: i16 version, i16 type. Newer versions may add fields.
    pub fn parse(key: &[u8]) -> Result<ControlType, ControlError> {
        let &[v0, v1, t0, t1, ..] = key else { return Err(ControlError::Key(key.len())) };
        let version = i16::from_be_bytes([v0, v1]);
        if version < 0 {
            return Err(ControlError::Version(version));
        }
        Ok(match i16::from_be_bytes([t0, t1]) {
            0 => ControlType::Abort,
            1 => ControlType::Commit,
            other => ControlType::Other(other),
        })
    }
}

impl EndTxnMarker {
    /// Reads a marker; `None` for a control record of another type.
    pub fn parse(key: &[u8], value: &[u8]) -> Result<Option<EndTxnMarker>, ControlError> {
        let committed = match ControlType::parse(key)? {
            ControlType::Abort => false,
            ControlType::Commit => true,
            ControlType::Other(_) => return Ok(None),
        };
        let &[v0, v1, e0, e1, e2, e3, ..] = value else {
            return Err(ControlError::Value(value.len()));
        };
        let version = i16::from_be_bytes([v0, v1]);
        if version < 0 {
            return Err(ControlError::Version(version));
        }
        let coordinator_epoch = i32::from_be_bytes([e0, e1, e2, e3]);
        Ok(Some(EndTxnMarker { committed, coordinator_epoch }))
    }

    /// The control record's key and value.
    pub fn encode(&self) -> ([u8; 4], [u8; 6]) {
        let mut value = [0; 6];
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        ([0, 0, 0, u8::from(self.committed)], value)
    }

    /// The batch that a broker appends for this marker.
    pub fn batch(
        &self,
        base_offset: Offset,
        timestamp: TimestampMs,
        leader_epoch: LeaderEpoch,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
    ) -> Result<Vec<u8>, BuildError> {
        let mut builder = BatchBuilder::new(BatchOptions {
            base_offset,
            leader_epoch,
            producer_id,
            producer_epoch,
            transactional: true,
            control: true,
            ..BatchOptions::default()
        });
        let (key, value) = self.encode();
        builder.append(timestamp, Some(&key), Some(&value), &[])?;
        builder.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::verify;
    use super::super::codec::Limits;
    use super::super::view::OpenBatch;
    use super::*;

    #[test]
    fn a_commit_marker_is_the_bytes_seen_in_a_real_log() {
        let marker = EndTxnMarker { committed: true, coordinator_epoch: 0 };
        let batch = marker.batch(8, 1_793_000_000_000, 0, 1, 0).unwrap();
        let header = verify(&batch).unwrap();
        assert_eq!(header.attributes, 0x30);
        assert_eq!(header.base_sequence, -1);
        let seen = [0x20, 0, 0, 0, 8, 0, 0, 0, 1, 0x0c, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(batch[61..], seen);
        let open = OpenBatch::open_v2(&batch, &Limits::default()).unwrap();
        let record = open.records().unwrap().next().unwrap().unwrap();
        let read = EndTxnMarker::parse(record.key.unwrap(), record.value.unwrap()).unwrap();
        assert_eq!(read, Some(marker));
    }

    #[test]
    fn short_and_strange_control_records_are_named() {
        assert_eq!(ControlType::parse(&[0, 0, 0]), Err(ControlError::Key(3)));
        assert_eq!(ControlType::parse(&[0, 0, 0, 2]), Ok(ControlType::Other(2)));
        assert_eq!(EndTxnMarker::parse(&[0, 0, 0, 1], &[0; 5]), Err(ControlError::Value(5)));
        assert_eq!(ControlType::parse(&[0xff, 0, 0, 2]), Err(ControlError::Version(-256)));
    }
}
