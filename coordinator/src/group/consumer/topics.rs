//! The cluster's topics as groups see them. Knows nothing of where they come from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use protocol::ids::Uuid;

/// What assignments depend on, as recorded with the group: a change of it is a new group epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    pub id: Uuid,
    pub partitions: i32,
    /// By partition; empty if no rack is known.
    pub racks: BTreeMap<i32, BTreeSet<String>>,
}

/// One consistent view of the topics. It never changes; a later one has a higher version.
pub trait TopicView: Send + Sync + 'static {
    fn version(&self) -> u64;
    /// False while a broker that has just started may not have been told of all topics: what it
    /// does not see then need not be gone.
    fn is_complete(&self) -> bool;
    /// `None` if there is no such topic, or it has no id.
    fn topic(&self, name: &str) -> Option<TopicInfo>;
    fn name(&self, id: Uuid) -> Option<Arc<str>>;
    /// As `topic`, of which it is the cheap part.
    fn id(&self, name: &str) -> Option<Uuid>;
    /// The names for which `wanted` holds.
    fn matching(&self, wanted: &dyn Fn(&str) -> bool) -> BTreeSet<String>;
}

/// A view that travels with a request.
#[derive(Clone)]
pub struct Topics(pub Arc<dyn TopicView>);

/// Nothing is known yet.
impl Default for Topics {
    fn default() -> Self {
        Topics(Arc::new(TopicMap::default()))
    }
}

impl fmt::Debug for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topics(version {})", self.0.version())
    }
}

impl PartialEq for Topics {
    fn eq(&self, other: &Topics) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Topics {}

/// Topics in a map, for tests and the simulation.
#[derive(Debug, Clone, Default)]
pub struct TopicMap {
    pub version: u64,
    pub topics: BTreeMap<String, TopicInfo>,
}

impl TopicView for TopicMap {
    fn version(&self) -> u64 {
        self.version
    }

    fn is_complete(&self) -> bool {
        self.version > 0
    }

    fn topic(&self, name: &str) -> Option<TopicInfo> {
        self.topics.get(name).cloned()
    }

    fn name(&self, id: Uuid) -> Option<Arc<str>> {
        let (name, _) = self.topics.iter().find(|(_, topic)| topic.id == id)?;
        Some(name.as_str().into())
    }

    fn id(&self, name: &str) -> Option<Uuid> {
        Some(self.topics.get(name)?.id)
    }

    fn matching(&self, wanted: &dyn Fn(&str) -> bool) -> BTreeSet<String> {
        self.topics.keys().filter(|name| wanted(name)).cloned().collect()
    }
}
