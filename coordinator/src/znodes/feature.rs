//! `/feature`: the finalized features, none in a ZooKeeper cluster. Its data version is the epoch
//! that ApiVersions reports. Knows nothing of which features there are.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{ZnodeError, decode_json, encode_json};

pub const PATH: &str = "/feature";

/// The node's content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Features {
    /// Whether the feature versioning system is on; a new controller turns it on.
    pub enabled: bool,
    /// Feature name to its finalized level.
    pub levels: BTreeMap<String, i16>,
}

#[derive(Serialize, Deserialize)]
struct Level {
    max_version_level: i16,
}

#[derive(Serialize, Deserialize)]
struct Json {
    features: BTreeMap<String, Level>,
    version: i64,
    status: i64,
}

impl Features {
    /// Version 2, as from `inter.broker.protocol.version` 3.3.
    pub fn encode(&self) -> Bytes {
        let level =
            |(name, level): (&String, &i16)| (name.clone(), Level { max_version_level: *level });
        encode_json(&Json {
            features: self.levels.iter().map(level).collect(),
            version: 2,
            status: i64::from(self.enabled),
        })
    }

    /// Reads versions 1 and 2; any other, or a status beside 0 and 1, is an error.
    pub fn decode(data: Option<&[u8]>) -> Result<Self, ZnodeError> {
        let json: Json = decode_json(PATH, data)?;
        if !(1..=2).contains(&json.version) {
            return Err(ZnodeError::UnknownVersion {
                path: PATH.to_owned(),
                version: json.version,
            });
        }
        if !(0..=1).contains(&json.status) {
            return Err(ZnodeError::malformed(PATH, format!("status {}", json.status)));
        }
        let levels = json.features.into_iter().map(|(name, l)| (name, l.max_version_level));
        Ok(Self { enabled: json.status == 1, levels: levels.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: &[u8] = br#"{"features":{},"version":2,"status":1}"#;

    #[test]
    fn as_kafka_writes_it() {
        let enabled = Features { enabled: true, levels: BTreeMap::new() };
        assert_eq!(enabled.encode(), LIVE);
        assert_eq!(Features::decode(Some(LIVE)), Ok(enabled));
    }

    #[test]
    fn version_1_had_a_lower_level_too() {
        let v1 = br#"{"version":1,"status":0,
            "features":{"f":{"min_version_level":1,"max_version_level":3}}}"#;
        let expected = Features { enabled: false, levels: BTreeMap::from([("f".into(), 3)]) };
        assert_eq!(Features::decode(Some(v1)), Ok(expected));
    }

    #[test]
    fn strange_bytes_are_errors() {
        for text in [
            "",
            r#"{"features":{},"version":3,"status":1}"#,
            r#"{"features":{},"version":0,"status":1}"#,
            r#"{"features":{},"version":2,"status":2}"#,
            r#"{"features":{},"version":2}"#,
            r#"{"version":2,"status":1}"#,
        ] {
            assert!(Features::decode(Some(text.as_bytes())).is_err(), "{text}");
        }
    }
}
