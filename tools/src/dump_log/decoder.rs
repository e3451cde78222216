//! Keys and values as text: plain, numbers, or the records of Kafka's own two topics. Knows nothing
//! of files.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use protocol::messages::consumer_offsets::{
    GroupMetadataKey, GroupMetadataValue, MemberMetadata, OffsetCommitKey, OffsetCommitValue,
};
use protocol::messages::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};
use protocol::messages::transaction_state::{TransactionLogKey, TransactionLogValue};
use protocol::wire::{Message, WireError};
use serde_json::json;

use super::Flags;

pub enum Decoder {
    /// Records are not shown, or without key and value.
    Silent,
    Plain {
        key: Plain,
        value: Plain,
    },
    Offsets,
    Transactions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    Text,
    Integer,
    Long,
}

impl Plain {
    fn of(class: Option<&str>) -> Result<Plain, String> {
        match class.map(|class| class.rsplit('.').next().unwrap_or_default()) {
            None | Some("StringDecoder" | "DefaultDecoder") => Ok(Plain::Text),
            Some("IntegerDecoder") => Ok(Plain::Integer),
            Some("LongDecoder") => Ok(Plain::Long),
            Some(other) => Err(format!("class {other} is not known here")),
        }
    }

    fn text(self, bytes: &[u8]) -> String {
        let wrong = || format!("{} bytes, not a number", bytes.len());
        match self {
            Plain::Text => String::from_utf8_lossy(bytes).into_owned(),
            Plain::Integer => bytes
                .try_into()
                .map_or_else(|_| wrong(), |bytes| i32::from_be_bytes(bytes).to_string()),
            Plain::Long => bytes
                .try_into()
                .map_or_else(|_| wrong(), |bytes| i64::from_be_bytes(bytes).to_string()),
        }
    }
}

impl Decoder {
    pub fn of(flags: &Flags) -> Result<Decoder, String> {
        if flags.offsets_decoder {
            return Ok(Decoder::Offsets);
        }
        if flags.transaction_log_decoder {
            return Ok(Decoder::Transactions);
        }
        let (key, value) = (&flags.key_decoder_class, &flags.value_decoder_class);
        if !flags.print_data_log && key.is_none() && value.is_none() {
            return Ok(Decoder::Silent);
        }
        Ok(Decoder::Plain { key: Plain::of(key.as_deref())?, value: Plain::of(value.as_deref())? })
    }

    /// Whether keys and values are shown, and so every record.
    pub fn prints(&self) -> bool {
        !matches!(self, Decoder::Silent)
    }

    /// Appends ` key: … payload: …`, each only if it is there.
    pub fn write(&self, line: &mut String, offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        let (key, payload) = match self {
            Decoder::Silent => (None, None),
            Decoder::Plain { key: k, value: v } => {
                (key.map(|key| k.text(key)), value.map(|value| v.text(value)))
            }
            Decoder::Offsets | Decoder::Transactions => {
                let Some(key) = key else {
                    let start = if line.is_empty() { "|" } else { "" };
                    let _ =
                        write!(line, "{start} key: Error at offset {offset}, message without key");
                    return;
                };
                let read = match self {
                    Decoder::Offsets => group_record(key, value),
                    _ => transaction_record(key, value),
                };
                match read {
                    Ok((key, payload)) => (Some(key), Some(payload)),
                    Err(Unread::Type(kind)) => {
                        let text =
                            format!("Unknown record type {kind} at offset {offset}, skipping.");
                        (Some(text), None)
                    }
                    Err(Unread::Wire(error)) => {
                        (Some(format!("Error at offset {offset}, skipping. {error}")), None)
                    }
                }
            }
        };
        if let Some(key) = key {
            // Without metadata the key begins the line.
            let start = if line.is_empty() { "|" } else { "" };
            let _ = write!(line, "{start} key: {key}");
        }
        if let Some(payload) = payload {
            let _ = write!(line, " payload: {payload}");
        }
    }
}

enum Unread {
    Type(i16),
    Wire(WireError),
}

impl From<WireError> for Unread {
    fn from(error: WireError) -> Self {
        Unread::Wire(error)
    }
}

fn version_of(key: &[u8]) -> Result<i16, Unread> {
    match key.first_chunk() {
        Some(bytes) => Ok(i16::from_be_bytes(*bytes)),
        None => Err(Unread::Wire(WireError::Short { need: 2, have: key.len() })),
    }
}

/// Fields in the order of the schema, as Kafka's JSON has them.
fn object(fields: &[(&str, serde_json::Value)]) -> String {
    let one = |(name, value): &(&str, serde_json::Value)| format!("\"{name}\":{value}");
    format!("{{{}}}", fields.iter().map(one).collect::<Vec<_>>().join(","))
}

fn group_record(key: &[u8], value: Option<&[u8]>) -> Result<(String, String), Unread> {
    let kind = version_of(key)?;
    let bytes = Bytes::copy_from_slice(key);
    let value = value.map(Bytes::copy_from_slice);
    let delete = || "<DELETE>".to_owned();
    let (key, value) = match kind {
        0 | 1 => {
            let (_, key) = OffsetCommitKey::decode_versioned(bytes)?;
            let fields = [
                ("group", json!(key.group)),
                ("topic", json!(key.topic)),
                ("partition", json!(key.partition)),
            ];
            let value = value.map(OffsetCommitValue::decode_versioned).transpose()?;
            (object(&fields), value.map_or_else(delete, |(version, v)| offset_value(version, &v)))
        }
        2 => {
            let (_, key) = GroupMetadataKey::decode_versioned(bytes)?;
            let value = value.map(GroupMetadataValue::decode_versioned).transpose()?;
            let key = object(&[("group", json!(key.group))]);
            (key, value.map_or_else(delete, |(version, v)| group_value(version, &v)))
        }
        other => return Err(Unread::Type(other)),
    };
    Ok((format!("{{\"type\":\"{kind}\",\"data\":{key}}}"), value))
}

fn offset_value(version: i16, value: &OffsetCommitValue) -> String {
    let mut fields = vec![("offset", json!(value.offset))];
    if version >= 3 {
        fields.push(("leaderEpoch", json!(value.leader_epoch)));
    }
    fields.push(("metadata", json!(value.metadata)));
    fields.push(("commitTimestamp", json!(value.commit_timestamp)));
    if version == 1 {
        fields.push(("expireTimestamp", json!(value.expire_timestamp)));
    }
    format!("{{\"version\":\"{version}\",\"data\":{}}}", object(&fields))
}

fn group_value(version: i16, value: &GroupMetadataValue) -> String {
    let mut data = object(&[
        ("protocolType", json!(value.protocol_type)),
        ("generation", json!(value.generation)),
        ("protocol", json!(value.protocol)),
        ("leader", json!(value.leader)),
    ]);
    data.pop();
    if version >= 2 {
        let _ = write!(data, ",\"currentStateTimestamp\":{}", value.current_state_timestamp);
    }
    let members: Vec<String> = value.members.iter().map(|m| member(version, m)).collect();
    format!("{{\"version\":\"{version}\",\"data\":{data},\"members\":[{}]}}}}", members.join(","))
}

fn member(version: i16, member: &MemberMetadata) -> String {
    let mut fields = vec![("memberId", json!(member.member_id))];
    if version >= 3 {
        fields.push(("groupInstanceId", json!(member.group_instance_id)));
    }
    fields.push(("clientId", json!(member.client_id)));
    fields.push(("clientHost", json!(member.client_host)));
    if version >= 1 {
        fields.push(("rebalanceTimeout", json!(member.rebalance_timeout)));
    }
    fields.push(("sessionTimeout", json!(member.session_timeout)));
    let mut text = object(&fields);
    text.pop();
    let (subscription, assignment) =
        (subscription(&member.subscription), assignment(&member.assignment));
    text + &format!(",\"subscription\":{subscription},\"assignment\":{assignment}}}")
}

/// Kafka's JSON shows bytes in base64.
fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn user_data(bytes: &Option<Bytes>) -> serde_json::Value {
    json!(bytes.as_ref().map(|bytes| base64(bytes)))
}

fn partitions(all: &[TopicPartition]) -> String {
    let one = |t: &TopicPartition| {
        object(&[("topic", json!(t.topic)), ("partitions", json!(t.partitions))])
    };
    format!("[{}]", all.iter().map(one).collect::<Vec<_>>().join(","))
}

fn subscription(bytes: &Bytes) -> String {
    let Ok((version, s)) = ConsumerProtocolSubscription::decode_versioned(bytes.clone()) else {
        return json!(base64(bytes)).to_string();
    };
    let mut text = object(&[("topics", json!(s.topics)), ("userData", user_data(&s.user_data))]);
    text.pop();
    if version >= 1 {
        let _ = write!(text, ",\"ownedPartitions\":{}", partitions(&s.owned_partitions));
    }
    if version >= 2 {
        let _ = write!(text, ",\"generationId\":{}", s.generation_id);
    }
    if version >= 3 {
        let _ = write!(text, ",\"rackId\":{}", json!(s.rack_id));
    }
    text + "}"
}

fn assignment(bytes: &Bytes) -> String {
    match ConsumerProtocolAssignment::decode_versioned(bytes.clone()) {
        Ok((_, a)) => format!(
            "{{\"assignedPartitions\":{},\"userData\":{}}}",
            partitions(&a.assigned_partitions),
            user_data(&a.user_data)
        ),
        Err(_) => json!(base64(bytes)).to_string(),
    }
}

/// `TransactionState` by the number in the record.
const TRANSACTION_STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
];

fn transaction_record(key: &[u8], value: Option<&[u8]>) -> Result<(String, String), Unread> {
    let kind = version_of(key)?;
    if kind != 0 {
        return Err(Unread::Type(kind));
    }
    let (_, key) = TransactionLogKey::decode_versioned(Bytes::copy_from_slice(key))?;
    let key = format!("transaction_metadata::transactionalId={}", key.transactional_id);
    let Some(value) = value else { return Ok((key, "<DELETE>".to_owned())) };
    let (_, v) = TransactionLogValue::decode_versioned(Bytes::copy_from_slice(value))?;
    let state = usize::try_from(v.transaction_status).ok();
    let state = state.and_then(|i| TRANSACTION_STATES.get(i)).unwrap_or(&"Unknown");
    let topics = v.transaction_partitions.unwrap_or_default();
    let partitions: Vec<String> = topics
        .iter()
        .flat_map(|t| t.partition_ids.iter().map(move |p| format!("{}-{p}", t.topic)))
        .collect();
    let payload = format!(
        "producerId:{},producerEpoch:{},state={state},partitions=[{}],txnLastUpdateTimestamp={},\
         txnTimeoutMs={}",
        v.producer_id,
        v.producer_epoch,
        partitions.join(","),
        v.transaction_last_update_timestamp_ms,
        v.transaction_timeout_ms
    );
    Ok((key, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_base64() {
        let shown = [&b""[..], b"f", b"fo", b"foo", b"foob"].map(base64);
        assert_eq!(shown, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]);
    }

    #[test]
    fn numbers_and_text() {
        assert_eq!(Plain::Long.text(&7i64.to_be_bytes()), "7");
        assert_eq!(Plain::Integer.text(&[0; 3]), "3 bytes, not a number");
        assert_eq!(Plain::of(Some("kafka.serializer.LongDecoder")), Ok(Plain::Long));
    }
}
