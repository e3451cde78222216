//! `/latest_producer_id_block`: the last block of producer ids that was given out. Knows nothing of
//! who uses the ids.

use bytes::Bytes;
use protocol::ids::{BrokerId, ProducerId};
use serde::{Deserialize, Serialize};

use super::{ZnodeError, decode_json, encode_json};

pub const PATH: &str = "/latest_producer_id_block";

/// Ids in a block.
pub const BLOCK_SIZE: i64 = 1000;

/// A block of ids, both ends in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// The broker that it was given to.
    pub broker: BrokerId,
    pub first: ProducerId,
    pub last: ProducerId,
}

#[derive(Serialize, Deserialize)]
struct Json {
    #[serde(skip_deserializing)]
    version: i64,
    broker: BrokerId,
    // Numbers in quotes.
    block_start: String,
    block_end: String,
}

impl ProducerIdBlock {
    /// The block after `current` (`None`: nobody had one); `None` if the ids are used up.
    pub fn next(current: Option<&ProducerIdBlock>, broker: BrokerId) -> Option<Self> {
        let first = match current {
            None => 0,
            Some(block) if block.last > ProducerId::MAX - BLOCK_SIZE => return None,
            Some(block) => block.last + 1,
        };
        Some(Self { broker, first, last: first + (BLOCK_SIZE - 1) })
    }

    /// Version 1.
    pub fn encode(&self) -> Bytes {
        encode_json(&Json {
            version: 1,
            broker: self.broker,
            block_start: self.first.to_string(),
            block_end: self.last.to_string(),
        })
    }

    /// `None` for null data: the node is made empty.
    pub fn decode(data: Option<&[u8]>) -> Result<Option<Self>, ZnodeError> {
        if data.is_none() {
            return Ok(None);
        }
        let json: Json = decode_json(PATH, data)?;
        match (json.block_start.parse(), json.block_end.parse()) {
            (Ok(first), Ok(last)) if 0 <= first && first <= last => {
                Ok(Some(Self { broker: json.broker, first, last }))
            }
            _ => Err(ZnodeError::malformed(PATH, "a block without its bounds")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: &[u8] = br#"{"version":1,"broker":1,"block_start":"0","block_end":"999"}"#;

    #[test]
    fn as_kafka_writes_it() {
        let block = ProducerIdBlock::next(None, 1).unwrap();
        assert_eq!(block.encode(), LIVE);
        assert_eq!(ProducerIdBlock::decode(Some(LIVE)), Ok(Some(block)));
        assert_eq!(ProducerIdBlock::decode(None), Ok(None));
    }

    #[test]
    fn blocks_follow_each_other_until_none_is_left() {
        let block = |first, last| ProducerIdBlock { broker: 7, first, last };
        assert_eq!(ProducerIdBlock::next(Some(&block(0, 999)), 7), Some(block(1000, 1999)));
        let max = ProducerId::MAX;
        let full = block(0, max - 1000);
        assert_eq!(ProducerIdBlock::next(Some(&full), 7), Some(block(max - 999, max)));
        assert_eq!(ProducerIdBlock::next(Some(&block(0, max - 999)), 7), None);
    }

    #[test]
    fn strange_bytes_are_errors() {
        for text in [
            "",
            r#"{"version":1,"broker":1,"block_start":0,"block_end":999}"#,
            r#"{"version":1,"broker":1,"block_start":"x","block_end":"999"}"#,
            r#"{"version":1,"broker":1,"block_start":"9","block_end":"0"}"#,
            r#"{"version":1,"broker":1,"block_start":"-9","block_end":"0"}"#,
        ] {
            assert!(ProducerIdBlock::decode(Some(text.as_bytes())).is_err(), "{text}");
        }
    }
}
