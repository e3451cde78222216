//! `/config/changes/config_change_N`: says whose configuration changed, not how: who reads it reads
//! the entity anew. Knows nothing of who listens.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::config::{ConfigEntity, EntityName};
use super::{ZnodeError, decode_json, encode_json};

pub const CHANGES_PATH: &str = "/config/changes";

/// Of the sequential nodes' names.
pub const PREFIX: &str = "config_change_";

/// How long a notification is kept, by its creation time: 15 minutes, as in Kafka.
pub const EXPIRY_MS: i64 = 15 * 60 * 1000;

/// What to create, sequentially.
pub fn path_to_create() -> String {
    format!("{CHANGES_PATH}/{PREFIX}")
}

pub fn path(name: &str) -> String {
    format!("{CHANGES_PATH}/{name}")
}

#[derive(Serialize)]
struct Written {
    version: i64,
    entity_path: String,
}

#[derive(Deserialize)]
struct Read {
    version: i64,
    #[serde(default)]
    entity_path: Option<String>,
    #[serde(default)]
    entity_type: Option<String>,
    #[serde(default)]
    entity_name: Option<String>,
}

/// Version 2.
pub fn encode(entity: &ConfigEntity) -> Bytes {
    encode_json(&Written { version: 2, entity_path: entity.to_string() })
}

/// Reads versions 1 (topics and clients, by type and name) and 2.
pub fn decode(name: &str, data: Option<&[u8]>) -> Result<ConfigEntity, ZnodeError> {
    let path = path(name);
    let json: Read = decode_json(&path, data)?;
    let wrong = || ZnodeError::malformed(&path, "names no entity");
    match json.version {
        1 => match (json.entity_type.as_deref(), json.entity_name) {
            (Some("topics"), Some(topic)) => Ok(ConfigEntity::Topic(topic)),
            (Some("clients"), Some(client)) => Ok(ConfigEntity::Client(EntityName::Named(client))),
            _ => Err(wrong()),
        },
        2 => json.entity_path.and_then(|p| ConfigEntity::parse(&p)).ok_or_else(wrong),
        version => Err(ZnodeError::UnknownVersion { path, version }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_kafka_writes_it() {
        let live = br#"{"version":2,"entity_path":"topics/foo"}"#;
        assert_eq!(encode(&ConfigEntity::topic("foo")), &live[..]);
        assert_eq!(decode("config_change_0", Some(live)), Ok(ConfigEntity::topic("foo")));
        let v1 = br#"{"version":1,"entity_type":"topics","entity_name":"foo"}"#;
        assert_eq!(decode("config_change_0", Some(v1)), Ok(ConfigEntity::topic("foo")));
    }

    #[test]
    fn strange_bytes_are_errors() {
        for text in [
            "",
            r#"{"version":3,"entity_path":"topics/foo"}"#,
            r#"{"version":2,"entity_path":"zoo/foo"}"#,
            r#"{"version":2}"#,
            r#"{"version":1,"entity_type":"users","entity_name":"u"}"#,
        ] {
            assert!(decode("config_change_0", Some(text.as_bytes())).is_err(), "{text}");
        }
    }
}
