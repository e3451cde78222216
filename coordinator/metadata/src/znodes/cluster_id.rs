//! `/cluster/id`: the cluster's identity, written once by the first broker. Knows nothing of
//! `meta.properties`, with which it must agree.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{ZnodeError, decode_json, encode_json};

pub const PATH: &str = "/cluster/id";

#[derive(Serialize, Deserialize)]
struct Json {
    // A number in quotes: Kafka has written it so from the first day.
    #[serde(default)]
    version: serde_json::Value,
    id: String,
}

/// `id` is 16 random bytes in URL-safe base64 without padding (22 characters).
pub fn encode(id: &str) -> Bytes {
    encode_json(&Json { version: "1".into(), id: id.to_owned() })
}

/// Any text counts as an id, as in Kafka: clusters made by hand have others than 22 characters.
pub fn decode(data: Option<&[u8]>) -> Result<String, ZnodeError> {
    decode_json::<Json>(PATH, data).map(|json| json.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: &[u8] = br#"{"version":"1","id":"fMjTBxjzQ42SvOOZHFmX8w"}"#;

    #[test]
    fn as_kafka_writes_it() {
        assert_eq!(encode("fMjTBxjzQ42SvOOZHFmX8w"), LIVE);
        assert_eq!(decode(Some(LIVE)).as_deref(), Ok("fMjTBxjzQ42SvOOZHFmX8w"));
        assert_eq!(decode(Some(br#"{"id":"x","more":[1]}"#)).as_deref(), Ok("x"));
    }

    #[test]
    fn strange_bytes_are_errors() {
        for bytes in [None, Some(&b""[..]), Some(b"{}"), Some(b"\xff"), Some(br#"{"id":7}"#)] {
            assert!(decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
