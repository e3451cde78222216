//! The configurations that clients may ask for: a topic's, this broker's, all brokers', and the
//! levels of this process's loggers. Knows no versions and no responses.
//!
//! A proof leads to a configuration:
//!
//! ```
//! use broker::authorizer::{Authorized, Topic, op};
//! use broker::dynamic_config::reader::ConfigReader;
//!
//! fn read(configs: &ConfigReader, topic: &Authorized<'_, op::DescribeConfigs, Topic>) {
//!     drop(configs.topic(topic));
//! }
//! ```
//!
//! and one that lets the topic be seen does not:
//!
//! ```compile_fail,E0308
//! use broker::authorizer::{Authorized, Topic, op};
//! use broker::dynamic_config::reader::ConfigReader;
//!
//! fn read(configs: &ConfigReader, topic: &Authorized<'_, op::Describe, Topic>) {
//!     drop(configs.topic(topic));
//! }
//! ```

use std::sync::Arc;

use metadata::store::MetadataStore;
use metadata::znodes::config::ConfigEntity;
use protocol::ids::BrokerId;

use super::describe::{self, Entry};
use super::entity::{self, EntityConfigError};
use crate::authorizer::{Authorized, Cluster, Topic, op};
use crate::config::LiveConfig;
use crate::identity::Identity;
use crate::logging::Loggers;
use crate::metadata_cache::MetadataCache;
use crate::topics::name::{self, InvalidName};

/// Reads configurations.
pub struct ConfigReader {
    config: Arc<LiveConfig>,
    identity: Arc<Identity>,
    metadata: Arc<MetadataCache>,
    store: Arc<dyn MetadataStore>,
}

/// Why a topic has no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    #[error("there is no such topic")]
    UnknownTopic,
    #[error(transparent)]
    Store(#[from] EntityConfigError),
}

/// Whoever may be told what brokers are set to.
type OfCluster<'a> = Authorized<'a, op::DescribeConfigs, Cluster>;

impl ConfigReader {
    pub fn new(
        config: Arc<LiveConfig>,
        identity: Arc<Identity>,
        metadata: Arc<MetadataCache>,
        store: Arc<dyn MetadataStore>,
    ) -> ConfigReader {
        ConfigReader { config, identity, metadata, store }
    }

    /// The broker whose own configuration is told here.
    pub fn broker_id(&self) -> BrokerId {
        self.identity.broker_id
    }

    pub async fn topic(
        &self,
        authorized: &Authorized<'_, op::DescribeConfigs, Topic>,
    ) -> Result<Vec<Entry>, ReadError> {
        let topic = authorized.name();
        name::check(topic)?;
        if self.metadata.load().topic(topic).is_none() {
            return Err(ReadError::UnknownTopic);
        }
        let own = entity::read(&*self.store, &ConfigEntity::topic(topic)).await?;
        Ok(describe::topic(&self.config.load(), &own))
    }

    /// This broker's.
    pub fn broker(&self, _: &OfCluster<'_>) -> Vec<Entry> {
        describe::broker(&self.config.load())
    }

    /// What is set for all brokers together.
    pub fn broker_default(&self, _: &OfCluster<'_>) -> Vec<Entry> {
        describe::broker_default(&self.config.load())
    }

    pub fn loggers(&self, _: &OfCluster<'_>) -> Vec<Entry> {
        describe::loggers(&Loggers::of_process().levels())
    }
}
