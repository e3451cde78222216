//! The records of `__transaction_state` as Kafka 3.9 in ZooKeeper mode writes and reads them. Knows
//! nothing of when they are written.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use protocol::ids::TopicPartition;
use protocol::messages::transaction_state::{
    PartitionsSchema, TransactionLogKey, TransactionLogValue,
};
use protocol::wire::{Message, Reader, WireError, Writer};

use super::metadata::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Transition};
use super::{Name, State};
use crate::shard::KeyValue;

/// What one record says: the id is like this now; `None`: it is forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionRecord {
    pub id: Name,
    pub state: Option<Transition>,
}

/// Why a record of the topic cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("the record has no key")]
    NoKey,
    #[error("the key cannot be read: {0}")]
    Key(WireError),
    #[error("the value of {id} cannot be read: {error}")]
    Value { id: String, error: WireError },
    #[error("{id} is in state {state}, which there is not")]
    State { id: String, state: i8 },
}

const KEY_VERSION: i16 = 0;
/// Version 1 needs a feature that a cluster with ZooKeeper cannot have; it can be read.
const VALUE_VERSION: i16 = 0;

pub fn encode(record: &TransactionRecord) -> Result<KeyValue, WireError> {
    let key = TransactionLogKey { transactional_id: record.id.to_string() };
    let key = versioned(&key, KEY_VERSION)?;
    let value = record.state.as_ref().map(encode_value).transpose()?;
    Ok(KeyValue { key, value })
}

fn encode_value(state: &Transition) -> Result<Bytes, WireError> {
    let partitions = (state.state != State::Empty).then(|| {
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for partition in &state.partitions {
            topics.entry(&partition.topic).or_default().push(partition.partition);
        }
        topics
            .into_iter()
            .map(|(topic, partition_ids)| PartitionsSchema {
                topic: topic.to_owned(),
                partition_ids,
            })
            .collect()
    });
    let value = TransactionLogValue {
        producer_id: state.producer_id,
        producer_epoch: state.producer_epoch,
        transaction_timeout_ms: state.timeout_ms,
        transaction_status: state.state.id(),
        transaction_partitions: partitions,
        transaction_last_update_timestamp_ms: state.last_update_ms,
        transaction_start_timestamp_ms: state.start_ms,
    };
    versioned(&value, VALUE_VERSION)
}

/// Reads one record; `None` for a kind of key that is not known, which is passed over.
pub fn decode(
    key: Option<&Bytes>,
    value: Option<&Bytes>,
) -> Result<Option<TransactionRecord>, RecordError> {
    let key = key.ok_or(RecordError::NoKey)?;
    let mut reader = Reader::for_frame(key.clone());
    let version = reader.i16().map_err(RecordError::Key)?;
    if version != KEY_VERSION {
        return Ok(None);
    }
    let key = TransactionLogKey::decode(&mut reader, version).map_err(RecordError::Key)?;
    let id = key.transactional_id;
    let state = value.map(|value| decode_value(&id, value)).transpose()?;
    Ok(Some(TransactionRecord { id: id.into(), state }))
}

fn decode_value(id: &str, value: &Bytes) -> Result<Transition, RecordError> {
    let read = || {
        let mut reader = Reader::for_frame(value.clone());
        let version = reader.i16()?;
        TransactionLogValue::decode(&mut reader, version)
    };
    let value = read().map_err(|error| RecordError::Value { id: id.to_owned(), error })?;
    let state = State::from_id(value.transaction_status)
        .ok_or_else(|| RecordError::State { id: id.to_owned(), state: value.transaction_status })?;
    let topics = value.transaction_partitions.unwrap_or_default();
    let partitions: BTreeSet<TopicPartition> = topics
        .into_iter()
        .flat_map(|PartitionsSchema { topic, partition_ids }| {
            partition_ids.into_iter().map(move |index| TopicPartition::new(topic.clone(), index))
        })
        .collect();
    Ok(Transition {
        producer_id: value.producer_id,
        producer_epoch: value.producer_epoch,
        last_producer_id: NO_PRODUCER_ID,
        last_producer_epoch: NO_PRODUCER_EPOCH,
        timeout_ms: value.transaction_timeout_ms,
        state,
        partitions: if state == State::Empty { BTreeSet::new() } else { partitions },
        last_update_ms: value.transaction_last_update_timestamp_ms,
        start_ms: value.transaction_start_timestamp_ms,
    })
}

fn versioned(message: &impl Message, version: i16) -> Result<Bytes, WireError> {
    let mut writer = Writer::new();
    writer.i16(version);
    message.encode(&mut writer, version)?;
    Ok(writer.finish()?.into_bytes().expect("records hold no file slices"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn records_are_the_bytes_seen_in_a_real_log() {
        let empty = Transition {
            producer_id: 1,
            producer_epoch: 0,
            last_producer_id: NO_PRODUCER_ID,
            last_producer_epoch: NO_PRODUCER_EPOCH,
            timeout_ms: 60_000,
            state: State::Empty,
            partitions: BTreeSet::new(),
            last_update_ms: 0x01a1_ff4c_13f6,
            start_ms: -1,
        };
        let record = TransactionRecord { id: "tx".into(), state: Some(empty.clone()) };
        let stored = encode(&record).unwrap();
        assert_eq!(hex(&stored.key), "000000027478");
        let value = stored.value.as_ref().unwrap();
        let expected = "0000000000000000000100000000ea6000ffffffff000001a1ff4c13f6ffffffffffffffff";
        assert_eq!(hex(value), expected);
        assert_eq!(decode(Some(&stored.key), Some(value)), Ok(Some(record)));

        let ongoing = Transition {
            state: State::Ongoing,
            partitions: [TopicPartition::new("foo", 0)].into(),
            start_ms: 0x01a1_ff4c_13f6,
            ..empty
        };
        let record = TransactionRecord { id: "tx".into(), state: Some(ongoing) };
        let stored = encode(&record).unwrap();
        let value = stored.value.as_ref().unwrap();
        let expected = "0000000000000000000100000000ea6001000000010003666f6f0000000100000000\
                        000001a1ff4c13f6000001a1ff4c13f6";
        assert_eq!(hex(value), expected);
        assert_eq!(decode(Some(&stored.key), Some(value)), Ok(Some(record)));
    }

    #[test]
    fn what_is_strange_is_named() {
        let key = Bytes::from_static(&[0, 0, 0, 1, b't']);
        let gone = TransactionRecord { id: "t".into(), state: None };
        assert_eq!(decode(Some(&key), None), Ok(Some(gone)));
        assert_eq!(decode(None, None), Err(RecordError::NoKey));
        assert_eq!(decode(Some(&Bytes::from_static(&[0, 9])), None), Ok(None));
        let cut = Bytes::from_static(&[0, 0, 0]);
        assert!(matches!(decode(Some(&key), Some(&cut)), Err(RecordError::Value { .. })));
    }
}
