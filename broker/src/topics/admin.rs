//! Topics made, grown and deleted by request, and the wait until the controller has done its part.
//! Knows no versions and no responses.
//!
//! A proof leads to a topic:
//!
//! ```
//! use broker::authorizer::{Authorized, Topic, op};
//! use broker::topics::admin::TopicAdmin;
//!
//! fn delete(topics: &TopicAdmin, topic: &Authorized<'_, op::Delete, Topic>) {
//!     drop(topics.delete(topic));
//! }
//! ```
//!
//! and one of another operation does not:
//!
//! ```compile_fail,E0308
//! use broker::authorizer::{Authorized, Topic, op};
//! use broker::topics::admin::TopicAdmin;
//!
//! fn delete(topics: &TopicAdmin, topic: &Authorized<'_, op::Create, Topic>) {
//!     drop(topics.delete(topic));
//! }
//! ```

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use metadata::store::MetadataStore;
use protocol::ids::Uuid;

use super::create::{self, CreateTopicError, NewTopic, PlannedTopic};
use super::delete::{self, DeleteTopicError};
use super::grow::{self, GrowError, Growth};
use crate::authorizer::{Authorized, Topic, op};
use crate::config::LiveConfig;
use crate::dynamic_config::describe::{self, Entry};
use crate::metadata_cache::{MetadataCache, Snapshot};

/// Changes topics in the store.
pub struct TopicAdmin {
    config: Arc<LiveConfig>,
    metadata: Arc<MetadataCache>,
    store: Arc<dyn MetadataStore>,
}

/// A topic that is to have leaders for this many partitions.
#[derive(Debug)]
pub struct ToBeLed {
    topic: String,
    partitions: usize,
}

/// A topic that is to be gone.
#[derive(Debug)]
pub struct ToBeGone(String);

impl TopicAdmin {
    pub fn new(
        config: Arc<LiveConfig>,
        metadata: Arc<MetadataCache>,
        store: Arc<dyn MetadataStore>,
    ) -> TopicAdmin {
        TopicAdmin { config, metadata, store }
    }

    /// What the topic would be. Changes nothing.
    pub async fn plan(
        &self,
        topic: &Authorized<'_, op::Create, Topic>,
        wanted: NewTopic,
    ) -> Result<PlannedTopic, CreateTopicError> {
        let (config, cluster) = (self.config.load_full(), self.metadata.snapshot());
        create::plan(&*self.store, &cluster, &config, topic, wanted).await
    }

    /// The whole configuration that a planned topic would have.
    pub fn describe(
        &self,
        topic: &Authorized<'_, op::DescribeConfigs, Topic>,
        plan: &PlannedTopic,
    ) -> Vec<Entry> {
        assert_eq!(topic.name(), plan.name, "the proof is of another topic");
        describe::topic(&self.config.load(), &plan.configs)
    }

    /// Gives the new topic's id.
    pub async fn create(
        &self,
        topic: &Authorized<'_, op::Create, Topic>,
        plan: &PlannedTopic,
    ) -> Result<(Uuid, ToBeLed), CreateTopicError> {
        let id = create::write(&*self.store, topic, plan).await?;
        let (topic, partitions) = (plan.name.clone(), plan.replicas.len());
        tracing::info!(topic, partitions, "made a topic");
        Ok((id, ToBeLed { topic, partitions }))
    }

    /// Adds partitions. `None`, and nothing changes, with `validate_only`.
    pub async fn grow(
        &self,
        topic: &Authorized<'_, op::Alter, Topic>,
        growth: &Growth,
        validate_only: bool,
    ) -> Result<Option<ToBeLed>, GrowError> {
        let candidates = create::candidates(&self.metadata.snapshot());
        let znode = grow::plan(&*self.store, &candidates, topic.name(), growth).await?;
        if validate_only {
            return Ok(None);
        }
        grow::write(&*self.store, topic, &znode).await?;
        let (topic, partitions) = (topic.name().to_owned(), znode.partitions.len());
        tracing::info!(topic, partitions, "a topic grows");
        Ok(Some(ToBeLed { topic, partitions }))
    }

    /// Whether the configuration lets topics be deleted at all.
    pub fn may_delete(&self) -> bool {
        self.config.load().bool("delete.topic.enable")
    }

    /// Marks the topic; the controller deletes it.
    pub async fn delete(
        &self,
        topic: &Authorized<'_, op::Delete, Topic>,
    ) -> Result<ToBeGone, DeleteTopicError> {
        delete::mark(&*self.store, topic).await?;
        tracing::info!(topic = topic.name(), "marked a topic for deletion");
        Ok(ToBeGone(topic.name().to_owned()))
    }

    /// Waits until this broker's metadata shows all leaders. Gives the topics that lack some at the
    /// end of the time; all if there is none.
    pub async fn await_leaders(&self, topics: Vec<ToBeLed>, timeout_ms: i32) -> HashSet<String> {
        let led =
            |cluster: &Snapshot, one: &ToBeLed| cluster.has_leaders(&one.topic, one.partitions);
        // Looked for one after the other: there may be thousands, and as many updates.
        let mut left = topics.iter().peekable();
        let all = |cluster: &Snapshot| {
            while left.next_if(|one| led(cluster, one)).is_some() {}
            left.peek().is_none()
        };
        if self.is_shown(all, timeout_ms).await {
            return HashSet::new();
        }
        let cluster = self.metadata.snapshot();
        let lacks = |one: &ToBeLed| timeout_ms <= 0 || !led(&cluster, one);
        topics.into_iter().filter(lacks).map(|one| one.topic).collect()
    }

    /// Waits until this broker's metadata has forgotten the topics. Gives those that are still
    /// there at the end of the time; all if there is none.
    pub async fn await_absence(&self, topics: Vec<ToBeGone>, timeout_ms: i32) -> HashSet<String> {
        let there = |cluster: &Snapshot, one: &ToBeGone| cluster.topic(&one.0).is_some();
        let none = |cluster: &Snapshot| !topics.iter().any(|one| there(cluster, one));
        if self.is_shown(none, timeout_ms).await {
            return HashSet::new();
        }
        let cluster = self.metadata.snapshot();
        let stays = |one: &ToBeGone| timeout_ms <= 0 || there(&cluster, one);
        topics.into_iter().filter(stays).map(|one| one.0).collect()
    }

    /// Whether it was before the time was over. Without time nothing is.
    async fn is_shown(&self, what: impl FnMut(&Snapshot) -> bool, timeout_ms: i32) -> bool {
        let Ok(timeout_ms @ 1..) = u64::try_from(timeout_ms) else { return false };
        let shown = self.metadata.wait_until(what);
        tokio::time::timeout(Duration::from_millis(timeout_ms), shown).await.is_ok()
    }
}
