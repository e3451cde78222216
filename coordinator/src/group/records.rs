//! The records of `__consumer_offsets` as Kafka 3.9 in ZooKeeper mode writes and reads them. Knows
//! nothing of when they are written.

use bytes::Bytes;
use protocol::ids::{TimestampMs, TopicPartition};
use protocol::messages::consumer_offsets::{
    GroupMetadataKey, GroupMetadataValue, MemberMetadata, OffsetCommitKey, OffsetCommitValue,
};
use protocol::messages::consumer_protocol::ConsumerProtocolSubscription;
use protocol::wire::{Message, Reader, WireError};

use super::Name;
use super::consumer::records::{self as consumer_records, ConsumerRecord};
use super::request::OffsetCommit;
use crate::shard::KeyValue;

/// What one record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupRecord {
    /// An offset was committed; `None`: it is gone.
    Offset { group: Name, partition: TopicPartition, commit: Option<OffsetCommit> },
    /// The group is like this now; `None`: it is gone.
    Group { group: Name, snapshot: Option<GroupSnapshot> },
    /// A part of a group of the new protocol.
    Consumer { group: Name, record: ConsumerRecord },
}

/// A group as it is stored, once per generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSnapshot {
    /// Empty: none.
    pub protocol_type: String,
    pub generation: i32,
    pub protocol: Option<String>,
    pub leader: Option<String>,
    /// -1: unknown.
    pub state_since_ms: TimestampMs,
    pub members: Vec<MemberSnapshot>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSnapshot {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// The member's metadata under the group's protocol.
    pub subscription: Bytes,
    pub assignment: Bytes,
}

/// Why a record of the topic cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("the record has no key")]
    NoKey,
    #[error("the key is cut off: {0}")]
    Key(WireError),
    #[error("the value of {key} cannot be read: {error}")]
    Value { key: String, error: WireError },
}

const OFFSET_KEY_VERSION: i16 = 1;
const GROUP_KEY_VERSION: i16 = 2;
/// The newest value version without flexible fields, which 3.9 writes.
const VALUE_VERSION: i16 = 3;
/// The one version that carries an expiry of its own.
const EXPIRING_VALUE_VERSION: i16 = 1;

pub fn encode(record: &GroupRecord) -> Result<KeyValue, WireError> {
    match record {
        GroupRecord::Offset { group, partition, commit } => {
            let key = OffsetCommitKey {
                group: group.to_string(),
                topic: partition.topic.clone(),
                partition: partition.partition,
            };
            let key = key.encode_versioned(OFFSET_KEY_VERSION)?;
            let value = commit.as_ref().map(encode_offset).transpose()?;
            Ok(KeyValue { key, value })
        }
        GroupRecord::Group { group, snapshot } => {
            let key = GroupMetadataKey { group: group.to_string() };
            let key = key.encode_versioned(GROUP_KEY_VERSION)?;
            let value = snapshot.as_ref().map(encode_group).transpose()?;
            Ok(KeyValue { key, value })
        }
        GroupRecord::Consumer { group, record } => consumer_records::encode(group, record),
    }
}

/// Reads one record; `None` for a kind that is not known here (key versions 9 and up).
pub fn decode(
    key: Option<&Bytes>,
    value: Option<&Bytes>,
) -> Result<Option<GroupRecord>, RecordError> {
    let key = key.ok_or(RecordError::NoKey)?;
    let mut reader = Reader::for_frame(key.clone());
    let version = reader.i16().map_err(RecordError::Key)?;
    match version {
        0 | OFFSET_KEY_VERSION => {
            let key = OffsetCommitKey::decode(&mut reader, version).map_err(RecordError::Key)?;
            let partition = TopicPartition::new(key.topic, key.partition);
            let in_value = |error| RecordError::Value {
                key: format!("offset of group {} for {partition}", key.group),
                error,
            };
            let commit = value.map(decode_offset).transpose().map_err(in_value)?;
            Ok(Some(GroupRecord::Offset { group: key.group.into(), partition, commit }))
        }
        GROUP_KEY_VERSION => {
            let key = GroupMetadataKey::decode(&mut reader, version).map_err(RecordError::Key)?;
            let in_value =
                |error| RecordError::Value { key: format!("group {}", key.group), error };
            let snapshot = value.map(decode_group).transpose().map_err(in_value)?;
            Ok(Some(GroupRecord::Group { group: key.group.into(), snapshot }))
        }
        version if consumer_records::KEY_VERSIONS.contains(&version) => {
            let (group, record) = consumer_records::decode(version, &mut reader, value)?;
            Ok(Some(GroupRecord::Consumer { group, record }))
        }
        _ => Ok(None),
    }
}

/// The topics in a consumer's subscription; `None` if it is not one. Every version starts like the
/// first, which is all that is read.
pub fn subscribed_topics(metadata: &Bytes) -> Option<Vec<String>> {
    let mut reader = Reader::for_frame(metadata.clone());
    let version = reader.i16().ok()?;
    if version < 0 {
        return None;
    }
    ConsumerProtocolSubscription::decode(&mut reader, 0).ok().map(|read| read.topics)
}

fn encode_offset(commit: &OffsetCommit) -> Result<Bytes, WireError> {
    let version = if commit.expire_ms.is_some() { EXPIRING_VALUE_VERSION } else { VALUE_VERSION };
    let value = OffsetCommitValue {
        offset: commit.offset,
        leader_epoch: commit.leader_epoch,
        metadata: commit.metadata.clone(),
        commit_timestamp: commit.commit_ms,
        expire_timestamp: commit.expire_ms.unwrap_or(-1),
    };
    value.encode_versioned(version)
}

fn decode_offset(value: &Bytes) -> Result<OffsetCommit, WireError> {
    let (_, value) = OffsetCommitValue::decode_versioned(value.clone())?;
    Ok(OffsetCommit {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata,
        commit_ms: value.commit_timestamp,
        expire_ms: (value.expire_timestamp != -1).then_some(value.expire_timestamp),
    })
}

fn encode_group(group: &GroupSnapshot) -> Result<Bytes, WireError> {
    let member = |member: &MemberSnapshot| MemberMetadata {
        member_id: member.member_id.clone(),
        group_instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout: member.rebalance_timeout_ms,
        session_timeout: member.session_timeout_ms,
        subscription: member.subscription.clone(),
        assignment: member.assignment.clone(),
    };
    let value = GroupMetadataValue {
        protocol_type: group.protocol_type.clone(),
        generation: group.generation,
        protocol: group.protocol.clone(),
        leader: group.leader.clone(),
        current_state_timestamp: group.state_since_ms,
        members: group.members.iter().map(member).collect(),
    };
    value.encode_versioned(VALUE_VERSION)
}

fn decode_group(value: &Bytes) -> Result<GroupSnapshot, WireError> {
    let (version, value) = GroupMetadataValue::decode_versioned(value.clone())?;
    let member = |member: MemberMetadata| MemberSnapshot {
        member_id: member.member_id,
        instance_id: member.group_instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        // Version 0 had one timeout for both.
        rebalance_timeout_ms: if version == 0 {
            member.session_timeout
        } else {
            member.rebalance_timeout
        },
        session_timeout_ms: member.session_timeout,
        subscription: member.subscription,
        assignment: member.assignment,
    };
    Ok(GroupSnapshot {
        protocol_type: value.protocol_type,
        generation: value.generation,
        protocol: value.protocol,
        leader: value.leader,
        state_since_ms: value.current_state_timestamp,
        members: value.members.into_iter().map(member).collect(),
    })
}
