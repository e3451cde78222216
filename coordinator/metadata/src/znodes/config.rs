//! `/config/TYPE/ENTITY`: the dynamic configuration of topics, brokers, clients, users and
//! addresses. Knows nothing of which keys there are or what their values mean.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use protocol::ids::BrokerId;
use serde::Serialize;
use serde_json::{Map, Value};

use super::sanitizer::{desanitize, sanitize};
use super::{ZnodeError, encode_json, json};

pub const ROOT_PATH: &str = "/config";

/// Parent of every topic's configuration.
pub const TOPICS_PATH: &str = "/config/topics";

/// What stands in a path for "all that have none of their own".
pub const DEFAULT_NAME: &str = "<default>";

/// A name within clients, users or addresses, or the default for all of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EntityName {
    Default,
    /// Plain text, not sanitised.
    Named(String),
}

impl EntityName {
    fn segment(&self) -> String {
        match self {
            EntityName::Default => DEFAULT_NAME.to_owned(),
            EntityName::Named(name) => sanitize(name),
        }
    }

    fn parse(segment: &str) -> Option<Self> {
        match segment {
            "" => None,
            DEFAULT_NAME => Some(EntityName::Default),
            name => desanitize(name).map(EntityName::Named),
        }
    }
}

/// Whose configuration a node holds. Shown and parsed as the `entity_path` of a change
/// notification.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConfigEntity {
    Topic(String),
    Broker(BrokerId),
    /// The cluster-wide default of all brokers.
    BrokerDefault,
    Client(EntityName),
    /// Quotas and SCRAM credentials.
    User(EntityName),
    UserClient {
        user: EntityName,
        client: EntityName,
    },
    Ip(EntityName),
}

impl ConfigEntity {
    pub fn topic(name: impl Into<String>) -> Self {
        ConfigEntity::Topic(name.into())
    }

    /// The node's path.
    pub fn path(&self) -> String {
        format!("{ROOT_PATH}/{self}")
    }

    /// Reads an entity path such as `topics/foo` or `users/alice/clients/<default>`.
    pub fn parse(entity_path: &str) -> Option<Self> {
        let segments: Vec<&str> = entity_path.split('/').collect();
        Some(match segments[..] {
            ["topics", topic] if !topic.is_empty() => ConfigEntity::Topic(topic.to_owned()),
            ["brokers", DEFAULT_NAME] => ConfigEntity::BrokerDefault,
            ["brokers", id] => ConfigEntity::Broker(id.parse().ok()?),
            ["clients", name] => ConfigEntity::Client(EntityName::parse(name)?),
            ["users", name] => ConfigEntity::User(EntityName::parse(name)?),
            ["users", user, "clients", client] => ConfigEntity::UserClient {
                user: EntityName::parse(user)?,
                client: EntityName::parse(client)?,
            },
            ["ips", name] => ConfigEntity::Ip(EntityName::parse(name)?),
            _ => return None,
        })
    }
}

impl fmt::Display for ConfigEntity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigEntity::Topic(topic) => write!(f, "topics/{topic}"),
            ConfigEntity::Broker(id) => write!(f, "brokers/{id}"),
            ConfigEntity::BrokerDefault => write!(f, "brokers/{DEFAULT_NAME}"),
            ConfigEntity::Client(name) => write!(f, "clients/{}", name.segment()),
            ConfigEntity::User(name) => write!(f, "users/{}", name.segment()),
            ConfigEntity::UserClient { user, client } => {
                write!(f, "users/{}/clients/{}", user.segment(), client.segment())
            }
            ConfigEntity::Ip(name) => write!(f, "ips/{}", name.segment()),
        }
    }
}

/// Key to value, both text.
pub type ConfigValues = BTreeMap<String, String>;

#[derive(Serialize)]
struct Written<'a> {
    version: i64,
    config: &'a ConfigValues,
}

/// Version 1. Written even if there is nothing in it: an empty map is not a missing node.
pub fn encode(values: &ConfigValues) -> Bytes {
    encode_json(&Written { version: 1, config: values })
}

/// What the node says, as Kafka reads it: a node that holds no configuration (nothing at all, no
/// JSON, no object, no map in it) holds no values. Only a value that is no text is an error.
pub fn decode(entity: &ConfigEntity, data: Option<&[u8]>) -> Result<ConfigValues, ZnodeError> {
    let text = |(key, value): (String, Value)| match value {
        Value::String(text) => Ok((key, text)),
        // It may be a secret.
        _ => Err(ZnodeError::malformed(&entity.path(), format!("the value of {key} is no text"))),
    };
    members(data).unwrap_or_default().into_iter().map(text).collect()
}

/// What can be made of the node, for readers that have to go on: numbers and booleans count as
/// their text, other values are left out. With what is wrong with the node, if anything is.
pub fn salvage(entity: &ConfigEntity, data: Option<&[u8]>) -> (ConfigValues, Option<ZnodeError>) {
    let (mut values, mut fault) = (ConfigValues::new(), None);
    let members = members(data).unwrap_or_else(|reason| {
        fault = Some(ZnodeError::malformed(&entity.path(), reason));
        Map::new()
    });
    for (key, value) in members {
        let text = match value {
            Value::String(text) => Some(text),
            value => {
                let reason = format!("the value of {key} is no text");
                fault = Some(ZnodeError::malformed(&entity.path(), reason));
                (value.is_number() || value.is_boolean()).then(|| value.to_string())
            }
        };
        values.extend(text.map(|text| (key, text)));
    }
    (values, fault)
}

/// The map of values; the reason if there is none.
fn members(data: Option<&[u8]>) -> Result<Map<String, Value>, String> {
    match json::parse(data)? {
        Value::Object(mut node) => match node.remove("config") {
            Some(Value::Object(values)) => Ok(values),
            _ => Err("no map of values".to_owned()),
        },
        _ => Err("no object".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_kafka_writes_it() {
        let live = br#"{"version":1,"config":{"retention.ms":"86400000"}}"#;
        let values = ConfigValues::from([("retention.ms".into(), "86400000".into())]);
        assert_eq!(encode(&values), &live[..]);
        let foo = ConfigEntity::topic("foo");
        assert_eq!(decode(&foo, Some(live)), Ok(values));
        assert_eq!(encode(&ConfigValues::new()), &br#"{"version":1,"config":{}}"#[..]);
        assert_eq!(decode(&foo, None), Ok(ConfigValues::new()));
        assert_eq!(decode(&foo, Some(b"{}")), Ok(ConfigValues::new()));
    }

    #[test]
    fn paths_there_and_back() {
        let named = |name: &str| EntityName::Named(name.to_owned());
        let table = [
            (ConfigEntity::topic("foo"), "topics/foo"),
            (ConfigEntity::Broker(1), "brokers/1"),
            (ConfigEntity::BrokerDefault, "brokers/<default>"),
            (ConfigEntity::Client(named("c 1")), "clients/c%201"),
            (ConfigEntity::Client(EntityName::Default), "clients/<default>"),
            (ConfigEntity::User(named("al*ce +x")), "users/al%2Ace%20%2Bx"),
            (
                ConfigEntity::UserClient { user: named("alice"), client: named("c1") },
                "users/alice/clients/c1",
            ),
            (
                ConfigEntity::UserClient { user: EntityName::Default, client: EntityName::Default },
                "users/<default>/clients/<default>",
            ),
            (ConfigEntity::Ip(named("10.0.0.1")), "ips/10.0.0.1"),
        ];
        for (entity, text) in table {
            assert_eq!(entity.to_string(), text);
            assert_eq!(entity.path(), format!("/config/{text}"));
            assert_eq!(ConfigEntity::parse(text), Some(entity));
        }
        for text in ["", "topics", "topics/", "brokers/x", "users/a/b/c", "clients/%zz", "zoo/1"] {
            assert_eq!(ConfigEntity::parse(text), None, "{text}");
        }
    }

    /// Read by Apache's own `ConfigEntityZNode.decode`: none of these has a value.
    #[test]
    fn what_is_no_configuration_has_no_values() {
        let foo = ConfigEntity::topic("foo");
        assert_eq!(decode(&foo, None), Ok(ConfigValues::new()));
        for text in [
            "",
            " ",
            "null",
            "not JSON",
            "{",
            "[]",
            "7",
            r#""text""#,
            "{}",
            r#"{"version":1}"#,
            r#"{"version":1,"config":null}"#,
            r#"{"version":1,"config":[]}"#,
            r#"{"version":1,"config":"a=1"}"#,
            r#"{"version":1,"config":7}"#,
        ] {
            assert_eq!(decode(&foo, Some(text.as_bytes())), Ok(ConfigValues::new()), "{text}");
            let (values, fault) = salvage(&foo, Some(text.as_bytes()));
            assert!(values.is_empty(), "{text}");
            let fault = fault.expect("said once").to_string();
            assert!(fault.contains("/config/topics/foo"), "{fault}");
        }
        let (_, fault) = salvage(&foo, Some(br#"{"version":1,"config":{}}"#));
        assert_eq!(fault, None);
    }

    #[test]
    fn other_versions_are_read_alike() {
        let foo = ConfigEntity::topic("foo");
        let values = ConfigValues::from([("a".into(), "1".into())]);
        for text in [
            r#"{"config":{"a":"1"}}"#,
            r#"{"version":9,"config":{"a":"1"},"more":[]}"#,
            r#"{"version":"x","config":{"a":"0","a":"1"}} trailing"#,
        ] {
            assert_eq!(decode(&foo, Some(text.as_bytes())).as_ref(), Ok(&values), "{text}");
        }
    }

    #[test]
    fn values_that_are_no_text() {
        let foo = ConfigEntity::topic("foo");
        let text = r#"{"config":{"a":1,"b":true,"c":"x","d":null,"e":[1],"f":{}}}"#;
        for wrong in [text, r#"{"config":{"a":1}}"#, r#"{"config":{"a":null}}"#] {
            assert!(decode(&foo, Some(wrong.as_bytes())).is_err(), "{wrong}");
        }
        let (values, fault) = salvage(&foo, Some(text.as_bytes()));
        let expected = [("a", "1"), ("b", "true"), ("c", "x")];
        assert_eq!(values, expected.map(|(key, value)| (key.into(), value.into())).into());
        assert!(fault.is_some());
    }
}
