//! `/log_dir_event_notification/log_dir_event_N`: a broker tells the controller that one of its
//! log directories failed. Knows nothing of directories.

use bytes::Bytes;
use protocol::ids::BrokerId;
use serde::{Deserialize, Serialize};

use super::{ZnodeError, decode_json, encode_json};

pub const PATH: &str = "/log_dir_event_notification";

/// Of the sequential nodes' names.
pub const PREFIX: &str = "log_dir_event_";

/// What to create, sequentially.
pub fn path_to_create() -> String {
    path(PREFIX)
}

pub fn path(name: &str) -> String {
    format!("{PATH}/{name}")
}

#[derive(Serialize, Deserialize)]
struct Json {
    #[serde(skip_deserializing)]
    version: i64,
    broker: BrokerId,
    #[serde(skip_deserializing)]
    event: i64,
}

/// Version 1, event 1 (failure): there is no other.
pub fn encode(broker: BrokerId) -> Bytes {
    encode_json(&Json { version: 1, broker, event: 1 })
}

/// The broker whose directory failed.
pub fn decode(name: &str, data: Option<&[u8]>) -> Result<BrokerId, ZnodeError> {
    decode_json::<Json>(&path(name), data).map(|json| json.broker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_kafka_writes_it() {
        let live = br#"{"version":1,"broker":1,"event":1}"#;
        assert_eq!(encode(1), &live[..]);
        assert_eq!(decode("log_dir_event_0000000000", Some(live)), Ok(1));
        assert!(decode("log_dir_event_0000000000", Some(b"{}")).is_err());
    }
}
