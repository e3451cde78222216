//! `/feature`: the finalized features, none in a ZooKeeper cluster. Its data version is the epoch
//! that ApiVersions reports. Knows nothing of which features there are.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{ZnodeError, decode_json, encode_json};

pub const PATH: &str = "/feature";

/// The node's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// Whether the feature versioning system is on; a new controller turns it on.
    pub enabled: bool,
    /// Feature name to its finalized level.
    pub levels: BTreeMap<String, i16>,
    /// The layout: 1 has a lower level too, which was given up with 3.3.
    pub version: i32,
}

/// The layout that is written.
const VERSION: i32 = 2;

#[derive(Serialize)]
struct Written {
    features: BTreeMap<String, BTreeMap<&'static str, i16>>,
    version: i32,
    status: i32,
}

#[derive(Deserialize)]
struct Read {
    features: BTreeMap<String, BTreeMap<String, i32>>,
    version: i32,
    status: i32,
}

impl Features {
    /// As a new controller wants the node: on, with the levels that were in force before.
    pub fn enabled(levels: BTreeMap<String, i16>) -> Self {
        Self { enabled: true, levels, version: VERSION }
    }

    /// What a new controller makes of the node (`KafkaController.enableFeatureVersioning`); `None`:
    /// it is so already. Levels of a system that was off were not in force.
    pub fn renewed(&self) -> Option<Self> {
        let levels = if self.enabled { self.levels.clone() } else { BTreeMap::new() };
        Some(Self::enabled(levels)).filter(|wanted| wanted != self)
    }

    /// Version 2, as from `inter.broker.protocol.version` 3.3.
    pub fn encode(&self) -> Bytes {
        let level = |(name, level): (&String, &i16)| {
            (name.clone(), BTreeMap::from([("max_version_level", *level)]))
        };
        encode_json(&Written {
            features: self.levels.iter().map(level).collect(),
            version: VERSION,
            status: i32::from(self.enabled),
        })
    }

    /// Reads versions 1 and 2; any other, or a status beside 0 and 1, is an error.
    pub fn decode(data: Option<&[u8]>) -> Result<Self, ZnodeError> {
        let json: Read = decode_json(PATH, data)?;
        if !(1..=VERSION).contains(&json.version) {
            let version = i64::from(json.version);
            return Err(ZnodeError::UnknownVersion { path: PATH.to_owned(), version });
        }
        if !(0..=1).contains(&json.status) {
            return Err(ZnodeError::malformed(PATH, format!("status {}", json.status)));
        }
        let level = |(name, levels): (String, BTreeMap<String, i32>)| {
            let max = levels.get("max_version_level").copied();
            let min = match json.version {
                1 => levels.get("min_version_level").copied(),
                _ => Some(1),
            };
            let legal = min.zip(max).filter(|(min, max)| *min >= 1 && min <= max);
            match legal.and_then(|(_, max)| i16::try_from(max).ok()) {
                Some(max) => Ok((name, max)),
                None => Err(ZnodeError::malformed(PATH, format!("the levels of {name:?}"))),
            }
        };
        let levels = json.features.into_iter().map(level).collect::<Result<_, _>>()?;
        Ok(Self { enabled: json.status == 1, levels, version: json.version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: &[u8] = br#"{"features":{},"version":2,"status":1}"#;

    #[test]
    fn as_kafka_writes_it() {
        let enabled = Features::enabled(BTreeMap::new());
        assert_eq!(enabled.encode(), LIVE);
        assert_eq!(enabled.renewed(), None);
        assert_eq!(Features::decode(Some(LIVE)), Ok(enabled));
    }

    #[test]
    fn version_1_had_a_lower_level_too() {
        let v1 = br#"{"version":1,"status":0,
            "features":{"f":{"min_version_level":1,"max_version_level":3}}}"#;
        let levels = BTreeMap::from([("f".into(), 3)]);
        let expected = Features { enabled: false, levels, version: 1 };
        assert_eq!(Features::decode(Some(v1)), Ok(expected.clone()));
        assert_eq!(expected.renewed(), Some(Features::enabled(BTreeMap::new())));
        let on = Features { enabled: true, ..expected };
        assert_eq!(on.renewed(), Some(Features::enabled(on.levels.clone())), "in version 2");
    }

    /// With `inter.broker.protocol.version` 3.3 and later, also a node that is on already.
    #[test]
    fn version_1_is_written_anew() {
        let v1 = Features::decode(Some(br#"{"features":{},"version":1,"status":1}"#)).unwrap();
        assert_eq!(v1.renewed().unwrap().encode(), LIVE);
    }

    #[test]
    fn strange_bytes_are_errors() {
        for text in [
            "",
            "null",
            "[]",
            "not JSON",
            r#"{"features":{},"version":3,"status":1}"#,
            r#"{"features":{},"version":"2","status":1}"#,
            r#"{"features":{},"version":2,"status":"1"}"#,
            r#"{"features":[],"version":2,"status":1}"#,
            r#"{"features":{"f":{}},"version":2,"status":1}"#,
            r#"{"features":{"f":{"max_version_level":0}},"version":2,"status":1}"#,
            r#"{"features":{"f":{"max_version_level":1}},"version":1,"status":1}"#,
            r#"{"features":{},"version":0,"status":1}"#,
            r#"{"features":{},"version":2,"status":2}"#,
            r#"{"features":{},"version":2}"#,
            r#"{"version":2,"status":1}"#,
        ] {
            assert!(Features::decode(Some(text.as_bytes())).is_err(), "{text}");
        }
    }
}
