//! Offsets that the oldest clients keep in the metadata store, as
//! `/consumers/GROUP/offsets/TOPIC/PARTITION` (version 0 of OffsetCommit and OffsetFetch). Knows no
//! group coordinator.

use std::fmt::Display;
use std::sync::Arc;

use metadata::retry;
use metadata::store::{MetadataStore, Op, StoreError};
use metadata::znodes::consumer_offset;
use protocol::ids::{Offset, TopicPartition};

use crate::authorizer::{Authorized, AuthorizedPartitions, Group, op};
use crate::config::LiveConfig;
use crate::metadata_cache::MetadataCache;

/// The store as those clients use it.
pub struct StoredOffsets {
    config: Arc<LiveConfig>,
    store: Arc<dyn MetadataStore>,
    metadata: Arc<MetadataCache>,
}

/// An offset was not stored or not read; the reason is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed;

impl StoredOffsets {
    pub fn new(
        config: Arc<LiveConfig>,
        store: Arc<dyn MetadataStore>,
        metadata: Arc<MetadataCache>,
    ) -> StoredOffsets {
        StoredOffsets { config, store, metadata }
    }

    /// Whether an offset's metadata is short enough, though it is not kept.
    pub fn accepts(&self, metadata: &str) -> bool {
        let max_units = self.config.load().long("offset.metadata.max.bytes");
        metadata.encode_utf16().count() <= usize::try_from(max_units).unwrap_or(0)
    }

    /// Stores one after the other; gives each with its result.
    pub async fn commit(
        &self,
        group: &Authorized<'_, op::Read, Group>,
        offsets: AuthorizedPartitions<op::Read, Offset>,
    ) -> Vec<(TopicPartition, Result<(), Failed>)> {
        let mut results = Vec::new();
        for (partition, offset) in offsets.into_inner() {
            let stored = self.store_one(group.name(), &partition, offset).await;
            let stored = stored.map_err(|error| {
                let group = group.name();
                tracing::warn!(group, %partition, %error, "an offset was not stored");
                Failed
            });
            results.push((partition, stored));
        }
        results
    }

    async fn store_one(
        &self,
        group_id: &str,
        partition: &TopicPartition,
        offset: Offset,
    ) -> Result<(), StoreError> {
        let store = &*self.store;
        let path = consumer_offset::path(group_id, partition)
            .ok_or_else(|| StoreError::Other("the group's name cannot be a node's".to_owned()))?;
        let data = Some(consumer_offset::encode(offset));
        // Twice the same write does no harm, so a lost connection is simply tried again.
        let set = Op::Set { path: path.clone(), data: data.clone(), version: -1 };
        match retry::read(store, set.clone()).await {
            Ok(_) => Ok(()),
            Err(StoreError::NoNode(_)) => {
                if !retry::create_recursive(store, &path, data).await? {
                    retry::read(store, set).await?;
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Reads one after the other; `None`: there is no offset, or no such partition.
    pub async fn fetch(
        &self,
        group: &Authorized<'_, op::Describe, Group>,
        partitions: AuthorizedPartitions<op::Describe, ()>,
    ) -> Vec<(TopicPartition, Result<Option<Offset>, Failed>)> {
        let mut results = Vec::new();
        for partition in partitions.into_partitions() {
            let (topic, index) = (&partition.topic, partition.partition);
            let known = self.metadata.load().partition(topic, index).is_some();
            let found = match known {
                true => self.read_one(group.name(), &partition).await,
                false => Ok(None),
            };
            results.push((partition, found));
        }
        results
    }

    async fn read_one(
        &self,
        group_id: &str,
        partition: &TopicPartition,
    ) -> Result<Option<Offset>, Failed> {
        let fail = |error: &dyn Display| {
            tracing::warn!(group = group_id, %partition, %error, "an offset could not be read");
            Failed
        };
        let Some(path) = consumer_offset::path(group_id, partition) else {
            return Err(fail(&"the group's name cannot be a node's"));
        };
        match retry::get(&*self.store, &path, false).await {
            Ok(Some((data, _))) => {
                consumer_offset::decode(&path, data.as_deref()).map_err(|error| fail(&error))
            }
            Ok(None) => Ok(None),
            Err(error) => Err(fail(&error)),
        }
    }
}
