//! One member of a group of the new protocol. Knows nothing of the others.

use std::collections::BTreeSet;

use protocol::ids::Uuid;

use super::super::Name;
use super::super::request::Protocol;
use super::Partitions;

/// What a member wants: key 5.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subscription {
    /// `group.instance.id`: the member is static.
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    /// As Kafka shows it: "/ip".
    pub client_host: String,
    pub topics: BTreeSet<String>,
    /// Every topic that matches as a whole.
    pub regex: Option<String>,
    /// How long it may take to give partitions up.
    pub rebalance_timeout_ms: i32,
    /// `None`: as the group likes.
    pub assignor: Option<String>,
    /// The member speaks the classic protocol.
    pub classic: Option<ClassicMember>,
}

/// What is kept of a member that speaks the classic protocol in a group of the new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicMember {
    pub session_timeout_ms: i32,
    pub protocols: Vec<Protocol>,
}

/// Where a member stands on the way to its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemberState {
    #[default]
    Stable,
    /// It has to give up partitions first.
    UnrevokedPartitions,
    /// Partitions of its target are still held by others.
    UnreleasedPartitions,
    /// Of a newer Kafka: the member must begin again.
    Unknown,
}

impl MemberState {
    pub fn number(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::UnrevokedPartitions => 1,
            Self::UnreleasedPartitions => 2,
            Self::Unknown => 127,
        }
    }

    pub fn from_number(number: i8) -> MemberState {
        match number {
            0 => Self::Stable,
            1 => Self::UnrevokedPartitions,
            2 => Self::UnreleasedPartitions,
            _ => Self::Unknown,
        }
    }
}

/// What a member has: key 8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// 0: it has just joined. -2: a static member that will be back.
    pub epoch: i32,
    /// What the member may still say if the answer with its epoch was lost.
    pub previous_epoch: i32,
    pub state: MemberState,
    pub assigned: Partitions,
    /// To be given up; nobody else gets them before.
    pub revoking: Partitions,
}

impl Default for Current {
    fn default() -> Self {
        Current {
            epoch: 0,
            previous_epoch: -1,
            state: MemberState::Stable,
            assigned: Partitions::new(),
            revoking: Partitions::new(),
        }
    }
}

impl Current {
    /// What nobody else may have: what the member has and what it has still to give up.
    pub fn held(&self) -> impl Iterator<Item = (Uuid, i32)> + '_ {
        pairs(&self.assigned).chain(pairs(&self.revoking))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerMember {
    pub id: Name,
    pub subscription: Subscription,
    pub current: Current,
}

impl ConsumerMember {
    /// Whether the member has all of the target of that epoch, and nothing else.
    pub fn has_reached(&self, target_epoch: i32) -> bool {
        self.current.state == MemberState::Stable && self.current.epoch == target_epoch
    }

    pub fn is_classic(&self) -> bool {
        self.subscription.classic.is_some()
    }
}

/// Whether all of `some` is in `all`.
pub fn is_subset(some: &Partitions, all: &Partitions) -> bool {
    some.iter().all(|(topic, partitions)| {
        all.get(topic).is_some_and(|others| partitions.is_subset(others))
    })
}

/// Whether the two have a partition in common.
pub fn intersects(one: &Partitions, other: &Partitions) -> bool {
    one.iter().any(|(topic, partitions)| {
        other.get(topic).is_some_and(|others| !partitions.is_disjoint(others))
    })
}

/// Partition by partition.
pub fn pairs(all: &Partitions) -> impl Iterator<Item = (Uuid, i32)> + '_ {
    all.iter()
        .flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition)))
}

/// Adds `more` to `all`.
pub fn collect(all: &mut Partitions, more: impl Iterator<Item = (Uuid, i32)>) {
    for (topic, partition) in more {
        all.entry(topic).or_default().insert(partition);
    }
}
