//! `/config/TYPE/ENTITY`: the dynamic configuration of topics, brokers, clients, users and
//! addresses. Knows nothing of which keys there are or what their values mean.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use protocol::ids::BrokerId;
use serde::{Deserialize, Serialize};

use super::sanitizer::{desanitize, sanitize};
use super::{ZnodeError, decode_json, encode_json};

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

#[derive(Deserialize)]
struct Read {
    #[serde(default)]
    config: Option<ConfigValues>,
}

/// Version 1. Written even if there is nothing in it: an empty map is not a missing node.
pub fn encode(values: &ConfigValues) -> Bytes {
    encode_json(&Written { version: 1, config: values })
}

/// Null data means no values, as in the containers above an entity.
pub fn decode(entity: &ConfigEntity, data: Option<&[u8]>) -> Result<ConfigValues, ZnodeError> {
    match data {
        None => Ok(ConfigValues::new()),
        Some(_) => decode_json::<Read>(&entity.path(), data).map(|r| r.config.unwrap_or_default()),
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

    #[test]
    fn strange_bytes_are_errors() {
        let foo = ConfigEntity::topic("foo");
        for text in ["", "[", r#"{"config":{"a":1}}"#, r#"{"config":["a"]}"#] {
            assert!(decode(&foo, Some(text.as_bytes())).is_err(), "{text}");
        }
    }
}
