//! `/migration`: left by a KRaft controller that moves the cluster away from ZooKeeper. Never
//! written here; a cluster that has it is not ours to control.

use protocol::ids::BrokerId;
use serde::Deserialize;

use super::{ZnodeError, decode_json};

pub const PATH: &str = "/migration";

#[derive(Deserialize)]
struct Json {
    #[serde(default)]
    kraft_controller_id: Option<BrokerId>,
}

/// The KRaft controller that has taken over; `None` if the node names none (−1, or no number at
/// all). What is no JSON object is an error, and names none either: Kafka's
/// `zookeeper-security-migration` leaves an empty node behind.
pub fn decode(data: Option<&[u8]>) -> Result<Option<BrokerId>, ZnodeError> {
    let json: Json = decode_json(PATH, data)?;
    Ok(json.kraft_controller_id.filter(|id| *id >= 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_took_over() {
        let taken = br#"{"version":0,"kraft_controller_id":3000,"kraft_controller_epoch":1,
            "kraft_metadata_offset":-1,"kraft_metadata_epoch":-1}"#;
        assert_eq!(decode(Some(taken)), Ok(Some(3000)));
        assert_eq!(decode(Some(br#"{"kraft_controller_id":-1}"#)), Ok(None));
        assert_eq!(decode(Some(br#"{"version":9,"kraft_controller_id":3000}"#)), Ok(Some(3000)));
        for text in ["{}", r#"{"kraft_controller_id":null}"#, r#"{"version":0}"#] {
            assert_eq!(decode(Some(text.as_bytes())), Ok(None), "{text}");
        }
        for bytes in [None, Some(&b""[..]), Some(b"null"), Some(b"no"), Some(b"[]"), Some(b"7")] {
            assert!(decode(bytes).is_err(), "{bytes:?}");
        }
        assert!(decode(Some(br#"{"kraft_controller_id":"3000"}"#)).is_err());
    }
}
