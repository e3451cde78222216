//! `/controller`: the ephemeral that says who the controller is. Knows nothing of elections.

use bytes::Bytes;
use protocol::ids::{BrokerId, TimestampMs};
use serde::{Deserialize, Serialize};

use super::{ZnodeError, decode_json, encode_json};

pub const PATH: &str = "/controller";

/// Who holds the controller's node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControllerRegistration {
    pub broker_id: BrokerId,
    /// Above 0 once a KRaft controller has taken over; −1 in a plain ZooKeeper cluster; `None` if
    /// it is no number, which says nothing about who holds the node.
    pub kraft_controller_epoch: Option<i32>,
}

#[derive(Serialize, Deserialize)]
struct Json {
    #[serde(skip_deserializing)]
    version: i64,
    brokerid: BrokerId,
    #[serde(default)]
    timestamp: serde_json::Value,
    #[serde(default = "no_epoch", rename = "kraftControllerEpoch")]
    kraft_controller_epoch: serde_json::Value,
}

/// Version 2.
pub fn encode(broker_id: BrokerId, now_ms: TimestampMs) -> Bytes {
    encode_json(&Json {
        version: 2,
        brokerid: broker_id,
        timestamp: now_ms.to_string().into(),
        kraft_controller_epoch: no_epoch(),
    })
}

fn no_epoch() -> serde_json::Value {
    (-1).into()
}

/// Reads versions 1 and 2, and later ones alike.
pub fn decode(data: Option<&[u8]>) -> Result<ControllerRegistration, ZnodeError> {
    decode_json::<Json>(PATH, data).map(|json| ControllerRegistration {
        broker_id: json.brokerid,
        kraft_controller_epoch: json
            .kraft_controller_epoch
            .as_i64()
            .and_then(|epoch| epoch.try_into().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: &[u8] =
        br#"{"version":2,"brokerid":1,"timestamp":"1795284486644","kraftControllerEpoch":-1}"#;

    #[test]
    fn as_kafka_writes_it() {
        assert_eq!(encode(1, 1795284486644), LIVE);
        let expected = ControllerRegistration { broker_id: 1, kraft_controller_epoch: Some(-1) };
        assert_eq!(decode(Some(LIVE)), Ok(expected));
        assert_eq!(decode(Some(br#"{"version":1,"brokerid":1,"timestamp":"7"}"#)), Ok(expected));
        assert_eq!(decode(Some(br#"{"version":"9","brokerid":1,"timestamp":[]}"#)), Ok(expected));
        let odd = br#"{"brokerid":1,"kraftControllerEpoch":"5"}"#;
        let expected = ControllerRegistration { broker_id: 1, kraft_controller_epoch: None };
        assert_eq!(decode(Some(odd)), Ok(expected));
    }

    #[test]
    fn strange_bytes_are_errors() {
        for bytes in [None, Some(&b"1"[..]), Some(b"{}"), Some(br#"{"brokerid":"1"}"#)] {
            assert!(decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
