//! Changing the dynamic configuration of a topic, of this broker or of all brokers: what the values
//! would be, whether they may be, and the write (Kafka's `ZkAdminManager` and
//! `ConfigAdminManager`). Knows no request.
//!
//! A proof leads to a configuration:
//!
//! ```
//! use broker::authorizer::{Authorized, Cluster, op};
//! use broker::dynamic_config::alter::{Change, ConfigAlterer};
//!
//! fn alter(configs: &ConfigAlterer, by: &Authorized<'_, op::AlterConfigs, Cluster>, to: Change) {
//!     drop(configs.brokers(by, true, to, false));
//! }
//! ```
//!
//! and one of another operation does not:
//!
//! ```compile_fail,E0308
//! use broker::authorizer::{Authorized, Cluster, op};
//! use broker::dynamic_config::alter::{Change, ConfigAlterer};
//!
//! fn alter(configs: &ConfigAlterer, by: &Authorized<'_, op::Alter, Cluster>, to: Change) {
//!     drop(configs.brokers(by, true, to, false));
//! }
//! ```

use std::sync::Arc;

use metadata::store::MetadataStore;
use metadata::znodes::config::{ConfigEntity, ConfigValues};
use storage::config::{ConfigError, ValueType, topic_key};

use super::changes::ConfigChanges;
use super::check;
use super::entity::{self, EntityConfigError};
use crate::authorizer::{Authorized, Cluster, Topic, op};
use crate::config::key::Kind;
use crate::config::{BrokerConfig, LiveConfig};
use crate::identity::Identity;
use crate::metadata_cache::MetadataCache;
use crate::replication::topic_configs::TopicConfigs;
use crate::tasks::Tasks;
use crate::topics::create::{self, CreateTopicError};
use crate::topics::name::{self, InvalidName};

/// What happens to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    Set(String),
    Delete,
    /// Adds items to a list.
    Append(String),
    /// Takes items out of a list.
    Subtract(String),
    /// None of them, by its number.
    Unknown(i8),
}

/// What happens to an entity's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// These and no others (AlterConfigs).
    Replace(ConfigValues),
    /// One after the other (IncrementalAlterConfigs).
    Each(Vec<(String, Operation)>),
}

/// Why nothing was changed. The texts are Kafka's.
#[derive(Debug, thiserror::Error)]
pub enum AlterError {
    #[error("{0}")]
    InvalidRequest(String),
    #[error("{0}")]
    InvalidConfig(String),
    /// Kafka fails where it looks for the key or the operation, and so the answer tells nothing.
    #[error("{0}")]
    Unexpected(String),
    #[error("The topic '{0}' does not exist.")]
    UnknownTopic(String),
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    #[error(transparent)]
    Store(#[from] EntityConfigError),
}

/// Changes stored configurations.
pub struct ConfigAlterer {
    config: Arc<LiveConfig>,
    tasks: Arc<Tasks>,
    identity: Arc<Identity>,
    store: Arc<dyn MetadataStore>,
    metadata: Arc<MetadataCache>,
    topic_configs: Arc<TopicConfigs>,
    changes: Arc<ConfigChanges>,
}

impl ConfigAlterer {
    pub fn new(
        config: Arc<LiveConfig>,
        tasks: Arc<Tasks>,
        identity: Arc<Identity>,
        store: Arc<dyn MetadataStore>,
        metadata: Arc<MetadataCache>,
        topic_configs: Arc<TopicConfigs>,
        changes: Arc<ConfigChanges>,
    ) -> ConfigAlterer {
        ConfigAlterer { config, tasks, identity, store, metadata, topic_configs, changes }
    }

    /// Changes a topic's values; in force here when this returns. With `validate_only` nothing
    /// changes.
    pub async fn topic(
        &self,
        authorized: &Authorized<'_, op::AlterConfigs, Topic>,
        change: Change,
        validate_only: bool,
    ) -> Result<(), AlterError> {
        let topic = authorized.name();
        if topic.is_empty() {
            let text = "Default topic resources are not allowed.";
            return Err(AlterError::InvalidRequest(text.to_owned()));
        }
        let entity = ConfigEntity::topic(topic);
        let stored = match &change {
            Change::Replace(_) => ConfigValues::new(),
            Change::Each(_) => entity::read(&*self.store, &entity).await?,
        };
        let values = changed(stored, change, |key| {
            let key = topic_key(key)?;
            Some((key.value_type == ValueType::List, key.default))
        })?;
        if self.metadata.load().topic(topic).is_none() {
            return Err(AlterError::UnknownTopic(topic.to_owned()));
        }
        name::check(topic)?;
        create::check_values(&self.topic_configs.defaults(), &values)
            .map_err(|error| refused(topic, error))?;
        if validate_only { Ok(()) } else { self.write(entity, values).await }
    }

    /// As `topic`, for this broker or (`whole_cluster`) for all brokers.
    pub async fn brokers(
        &self,
        _: &Authorized<'_, op::AlterConfigs, Cluster>,
        whole_cluster: bool,
        change: Change,
        validate_only: bool,
    ) -> Result<(), AlterError> {
        let entity = match whole_cluster {
            true => ConfigEntity::BrokerDefault,
            false => ConfigEntity::Broker(self.identity.broker_id),
        };
        if let Change::Each(operations) = &change
            && let Some((_, Operation::Unknown(number))) =
                operations.iter().find(|(_, operation)| matches!(operation, Operation::Unknown(_)))
        {
            return Err(AlterError::InvalidRequest(format!("Unknown operations type {number}")));
        }
        let stored = entity::read(&*self.store, &entity).await?;
        let values = changed(check::legal(&stored, whole_cluster), change, |key| {
            let key = BrokerConfig::definition(key)?;
            Some((key.kind == Kind::List, key.default.unwrap_or_default()))
        })?;
        check::broker(&self.config.load(), &stored, &values, whole_cluster)
            .map_err(AlterError::InvalidRequest)?;
        if validate_only { Ok(()) } else { self.write(entity, values).await }
    }

    async fn write(&self, entity: ConfigEntity, values: ConfigValues) -> Result<(), AlterError> {
        let (store, changes) = (self.store.clone(), self.changes.clone());
        let work = async move {
            entity::change(&*store, &entity, &values).await?;
            tracing::info!(%entity, "a configuration was changed");
            changes.take_over(vec![entity]).await;
            Ok(())
        };
        self.tasks.to_the_end(work).await
    }
}

/// Values that no topic can have.
fn refused(topic: &str, error: CreateTopicError) -> AlterError {
    match error {
        CreateTopicError::InvalidConfig(ConfigError::Value { .. } | ConfigError::NoTiers) => {
            AlterError::InvalidConfig(format!(
                "Invalid config value for resource ConfigResource(type=TOPIC, name='{topic}'): \
                 {error}"
            ))
        }
        other => AlterError::InvalidConfig(other.to_string()),
    }
}

/// The values after `change`. `list` says of a key whether it is a list, and its default.
fn changed(
    mut stored: ConfigValues,
    change: Change,
    list: impl Fn(&str) -> Option<(bool, &'static str)>,
) -> Result<ConfigValues, AlterError> {
    match change {
        Change::Replace(values) => Ok(values),
        Change::Each(operations) => {
            apply(&mut stored, operations, list)?;
            Ok(stored)
        }
    }
}

fn apply(
    values: &mut ConfigValues,
    operations: Vec<(String, Operation)>,
    list: impl Fn(&str) -> Option<(bool, &'static str)>,
) -> Result<(), AlterError> {
    for (key, operation) in operations {
        let (verb, items, keep_old) = match operation {
            Operation::Set(value) => {
                values.insert(key, value);
                continue;
            }
            Operation::Delete => {
                values.remove(&key);
                continue;
            }
            Operation::Append(items) => ("append", items, true),
            Operation::Subtract(items) => ("subtract", items, false),
            Operation::Unknown(number) => {
                let text = format!("there is no operation {number} on a key");
                return Err(AlterError::Unexpected(text));
            }
        };
        let default = match list(&key) {
            Some((true, default)) => default,
            Some((false, _)) => {
                let text = format!("Config value {verb} is not allowed for config key: {key}");
                return Err(AlterError::InvalidConfig(text));
            }
            None => {
                return Err(AlterError::Unexpected(format!("{key} is no key and so no list")));
            }
        };
        let old = values.get(&key).map_or(default, String::as_str);
        let (mut new, given) = (split(old), split(&items));
        if keep_old {
            if old.is_empty() {
                new.clear();
            }
            let old = new.clone();
            new.extend(given.into_iter().filter(|item| !old.contains(item)));
        } else {
            // As often as it is given: an item may be there twice.
            for item in given {
                if let Some(at) = new.iter().position(|other| *other == item) {
                    new.remove(at);
                }
            }
        }
        let new = new.join(",");
        values.insert(key, new);
    }
    Ok(())
}

/// Items as Java splits them: none that are empty behind the last that is not.
fn split(text: &str) -> Vec<&str> {
    let mut items: Vec<&str> = text.split(',').collect();
    while items.len() > 1 && items.last() == Some(&"") {
        items.pop();
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(key: &str) -> Option<(bool, &'static str)> {
        match key {
            "list" => Some((true, "a,b")),
            "number" => Some((false, "1")),
            _ => None,
        }
    }

    fn after(
        values: &[(&str, &str)],
        operations: Vec<(&str, Operation)>,
    ) -> Result<Vec<(String, String)>, String> {
        let owned = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
        let mut values: ConfigValues = values.iter().map(owned).collect();
        let operations = operations.into_iter().map(|(key, op)| (key.to_owned(), op)).collect();
        apply(&mut values, operations, lists).map_err(|error| error.to_string())?;
        Ok(values.into_iter().collect())
    }

    #[test]
    fn lists_grow_from_their_default_and_shrink() {
        let one = |text: &str| Ok(vec![("list".to_owned(), text.to_owned())]);
        let append = |items: &str| vec![("list", Operation::Append(items.to_owned()))];
        let subtract = |items: &str| vec![("list", Operation::Subtract(items.to_owned()))];
        assert_eq!(after(&[], append("b,c")), one("a,b,c"));
        assert_eq!(after(&[("list", "x")], append("y")), one("x,y"));
        assert_eq!(after(&[("list", "x,y,z")], subtract("y,a")), one("x,z"));
        assert_eq!(after(&[("list", "x,x,y")], subtract("x")), one("x,y"));
        assert_eq!(after(&[("list", "x")], append("x,x,y,y,")), one("x,y,y"));
        assert_eq!(after(&[("list", "")], append("y")), one("y"));
        assert_eq!(after(&[("list", "x")], vec![("list", Operation::Delete)]), Ok(vec![]));
        assert_eq!(
            after(&[], vec![("number", Operation::Append("2".into()))]),
            Err("Config value append is not allowed for config key: number".to_owned())
        );
        let unknown = after(&[], vec![("none", Operation::Subtract("2".into()))]);
        assert_eq!(unknown, Err("none is no key and so no list".to_owned()));
        let other = after(&[], vec![("list", Operation::Unknown(9))]);
        assert_eq!(other, Err("there is no operation 9 on a key".to_owned()));
    }
}
