//! The records of groups of the new protocol as Kafka 3.9's `GroupCoordinatorRecordHelpers` writes
//! them. Knows nothing of when they are written.

use bytes::Bytes;
use protocol::ids::Uuid;
use protocol::messages::consumer_group_records::{self as stored, *};
use protocol::wire::{Message, Reader, WireError};

use super::super::Name;
use super::super::records::RecordError;
use super::super::request::Protocol;
use super::Partitions;
use super::member::{ClassicMember, Current, MemberState, Subscription};
use super::topics::TopicInfo;
use crate::shard::KeyValue;

/// The first and the last key version of such records.
pub const KEY_VERSIONS: std::ops::RangeInclusive<i16> = 3..=8;

const VALUE_VERSION: i16 = 0;

/// What one record says of its group; `None`: it is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsumerRecord {
    Epoch(Option<i32>),
    Topics(Option<Vec<(String, TopicInfo)>>),
    Member(Name, Option<Subscription>),
    TargetEpoch(Option<i32>),
    Target(Name, Option<Partitions>),
    Current(Name, Option<Current>),
}

pub fn encode(group: &Name, record: &ConsumerRecord) -> Result<KeyValue, WireError> {
    let group_id = group.to_string();
    let (key, value) = match record {
        ConsumerRecord::Epoch(epoch) => (
            ConsumerGroupMetadataKey { group_id }.encode_versioned(3)?,
            epoch.map(|epoch| value(&ConsumerGroupMetadataValue { epoch })),
        ),
        ConsumerRecord::Topics(topics) => (
            ConsumerGroupPartitionMetadataKey { group_id }.encode_versioned(4)?,
            topics.as_deref().map(encode_topics),
        ),
        ConsumerRecord::Member(member, subscription) => {
            let key = ConsumerGroupMemberMetadataKey { group_id, member_id: member.to_string() };
            (key.encode_versioned(5)?, subscription.as_ref().map(encode_subscription))
        }
        ConsumerRecord::TargetEpoch(epoch) => (
            ConsumerGroupTargetAssignmentMetadataKey { group_id }.encode_versioned(6)?,
            epoch.map(|assignment_epoch| {
                value(&ConsumerGroupTargetAssignmentMetadataValue { assignment_epoch })
            }),
        ),
        ConsumerRecord::Target(member, partitions) => {
            let member_id = member.to_string();
            let key = ConsumerGroupTargetAssignmentMemberKey { group_id, member_id };
            let target = partitions.as_ref().map(|partitions| {
                let topic_partitions = to_stored(partitions);
                value(&ConsumerGroupTargetAssignmentMemberValue { topic_partitions })
            });
            (key.encode_versioned(7)?, target)
        }
        ConsumerRecord::Current(member, current) => {
            let member_id = member.to_string();
            let key = ConsumerGroupCurrentMemberAssignmentKey { group_id, member_id };
            (key.encode_versioned(8)?, current.as_ref().map(encode_current))
        }
    };
    Ok(KeyValue { key, value: value.transpose()? })
}

/// Reads one record whose key has this version, one of `KEY_VERSIONS`.
pub fn decode(
    version: i16,
    key: &mut Reader,
    stored: Option<&Bytes>,
) -> Result<(Name, ConsumerRecord), RecordError> {
    Ok(match version {
        3 => {
            let key: ConsumerGroupMetadataKey = read_key(key, version)?;
            let value: Option<ConsumerGroupMetadataValue> = read(stored, &key.group_id)?;
            let epoch = value.map(|value| value.epoch);
            (key.group_id.into(), ConsumerRecord::Epoch(epoch))
        }
        4 => {
            let key: ConsumerGroupPartitionMetadataKey = read_key(key, version)?;
            let value: Option<ConsumerGroupPartitionMetadataValue> = read(stored, &key.group_id)?;
            (key.group_id.into(), ConsumerRecord::Topics(value.map(decode_topics)))
        }
        5 => {
            let key: ConsumerGroupMemberMetadataKey = read_key(key, version)?;
            let value: Option<ConsumerGroupMemberMetadataValue> = read(stored, &key.group_id)?;
            let subscription = value.map(decode_subscription);
            (key.group_id.into(), ConsumerRecord::Member(key.member_id.into(), subscription))
        }
        6 => {
            let key: ConsumerGroupTargetAssignmentMetadataKey = read_key(key, version)?;
            let value: Option<ConsumerGroupTargetAssignmentMetadataValue> =
                read(stored, &key.group_id)?;
            let epoch = value.map(|value| value.assignment_epoch);
            (key.group_id.into(), ConsumerRecord::TargetEpoch(epoch))
        }
        7 => {
            let key: ConsumerGroupTargetAssignmentMemberKey = read_key(key, version)?;
            let value: Option<ConsumerGroupTargetAssignmentMemberValue> =
                read(stored, &key.group_id)?;
            let target = value.map(|value| from_stored(value.topic_partitions));
            (key.group_id.into(), ConsumerRecord::Target(key.member_id.into(), target))
        }
        _ => {
            let key: ConsumerGroupCurrentMemberAssignmentKey = read_key(key, version)?;
            let value: Option<ConsumerGroupCurrentMemberAssignmentValue> =
                read(stored, &key.group_id)?;
            let current = value.map(decode_current);
            (key.group_id.into(), ConsumerRecord::Current(key.member_id.into(), current))
        }
    })
}

fn value(message: &impl Message) -> Result<Bytes, WireError> {
    message.encode_versioned(VALUE_VERSION)
}

fn read_key<M: Message>(key: &mut Reader, version: i16) -> Result<M, RecordError> {
    M::decode(key, version).map_err(RecordError::Key)
}

fn read<M: Message>(stored: Option<&Bytes>, group: &str) -> Result<Option<M>, RecordError> {
    let decoded = stored.map(|stored| M::decode_versioned(stored.clone())).transpose();
    decoded
        .map(|decoded| decoded.map(|(_, value)| value))
        .map_err(|error| RecordError::Value { key: format!("group {group}"), error })
}

fn to_stored(partitions: &Partitions) -> Vec<TopicPartitions> {
    let topic = |(topic_id, partitions): (&Uuid, &std::collections::BTreeSet<i32>)| {
        TopicPartitions { topic_id: *topic_id, partitions: partitions.iter().copied().collect() }
    };
    partitions.iter().map(topic).collect()
}

fn from_stored(topics: Vec<TopicPartitions>) -> Partitions {
    let named = topics.into_iter().filter(|topic| !topic.partitions.is_empty());
    named.map(|topic| (topic.topic_id, topic.partitions.into_iter().collect())).collect()
}

fn encode_topics(topics: &[(String, TopicInfo)]) -> Result<Bytes, WireError> {
    let topics = topics
        .iter()
        .map(|(name, topic)| stored::TopicMetadata {
            topic_id: topic.id,
            topic_name: name.clone(),
            num_partitions: topic.partitions,
            partition_metadata: topic
                .racks
                .iter()
                .map(|(partition, racks)| stored::PartitionMetadata {
                    partition: *partition,
                    racks: racks.iter().cloned().collect(),
                })
                .collect(),
        })
        .collect();
    value(&ConsumerGroupPartitionMetadataValue { topics })
}

fn decode_topics(value: ConsumerGroupPartitionMetadataValue) -> Vec<(String, TopicInfo)> {
    let racks = |partitions: Vec<stored::PartitionMetadata>| {
        partitions.into_iter().map(|of| (of.partition, of.racks.into_iter().collect())).collect()
    };
    let topic = |topic: stored::TopicMetadata| {
        let info = TopicInfo {
            id: topic.topic_id,
            partitions: topic.num_partitions,
            racks: racks(topic.partition_metadata),
        };
        (topic.topic_name, info)
    };
    value.topics.into_iter().map(topic).collect()
}

fn encode_subscription(subscription: &Subscription) -> Result<Bytes, WireError> {
    let protocol = |protocol: &Protocol| ClassicProtocol {
        name: protocol.name.clone(),
        metadata: protocol.metadata.clone(),
    };
    value(&ConsumerGroupMemberMetadataValue {
        instance_id: subscription.instance_id.clone(),
        rack_id: subscription.rack_id.clone(),
        client_id: subscription.client_id.clone(),
        client_host: subscription.client_host.clone(),
        subscribed_topic_names: subscription.topics.iter().cloned().collect(),
        // As Kafka: empty, not null.
        subscribed_topic_regex: Some(subscription.regex.clone().unwrap_or_default()),
        rebalance_timeout_ms: subscription.rebalance_timeout_ms,
        server_assignor: subscription.assignor.clone(),
        classic_member_metadata: subscription.classic.as_ref().map(|classic| {
            ClassicMemberMetadata {
                session_timeout_ms: classic.session_timeout_ms,
                supported_protocols: classic.protocols.iter().map(protocol).collect(),
            }
        }),
    })
}

fn decode_subscription(value: ConsumerGroupMemberMetadataValue) -> Subscription {
    let protocol =
        |protocol: ClassicProtocol| Protocol { name: protocol.name, metadata: protocol.metadata };
    Subscription {
        instance_id: value.instance_id,
        rack_id: value.rack_id,
        client_id: value.client_id,
        client_host: value.client_host,
        topics: value.subscribed_topic_names.into_iter().collect(),
        regex: value.subscribed_topic_regex.filter(|regex| !regex.is_empty()),
        rebalance_timeout_ms: value.rebalance_timeout_ms,
        assignor: value.server_assignor,
        classic: value.classic_member_metadata.map(|classic| ClassicMember {
            session_timeout_ms: classic.session_timeout_ms,
            protocols: classic.supported_protocols.into_iter().map(protocol).collect(),
        }),
    }
}

fn encode_current(current: &Current) -> Result<Bytes, WireError> {
    value(&ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: current.epoch,
        previous_member_epoch: current.previous_epoch,
        state: current.state.number(),
        assigned_partitions: to_stored(&current.assigned),
        partitions_pending_revocation: to_stored(&current.revoking),
    })
}

fn decode_current(value: ConsumerGroupCurrentMemberAssignmentValue) -> Current {
    Current {
        epoch: value.member_epoch,
        previous_epoch: value.previous_member_epoch,
        state: MemberState::from_number(value.state),
        assigned: from_stored(value.assigned_partitions),
        revoking: from_stored(value.partitions_pending_revocation),
    }
}
