//! How partitions are divided among members: the two assignors that Kafka brings along. Knows
//! nothing of epochs and of who has what at the moment.

mod range;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};

use protocol::ids::Uuid;

use super::super::Name;
use super::Partitions;

/// An assignor by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assignor {
    /// Everyone gets as many partitions as everyone else, and keeps what it can.
    Uniform,
    /// Neighbouring partitions of each topic.
    Range,
}

impl Assignor {
    /// As members and administrators call it.
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    pub fn from_name(name: &str) -> Option<Assignor> {
        [Assignor::Uniform, Assignor::Range].into_iter().find(|known| known.name() == name)
    }

    /// By the name of Kafka's class, or by its short one.
    pub fn from_class(class: &str) -> Option<Assignor> {
        match class.strip_prefix("org.apache.kafka.coordinator.group.assignor.") {
            Some("UniformAssignor") => Some(Assignor::Uniform),
            Some("RangeAssignor") => Some(Assignor::Range),
            Some(_) => None,
            None => Assignor::from_name(class),
        }
    }

    /// A target for every member.
    pub(super) fn assign(self, spec: &Spec<'_>) -> BTreeMap<Name, Partitions> {
        if spec.members.is_empty() {
            return BTreeMap::new();
        }
        match self {
            Assignor::Uniform => uniform::assign(spec),
            Assignor::Range => range::assign(spec),
        }
    }
}

/// What there is to divide, and among whom.
pub(super) struct Spec<'a> {
    pub members: BTreeMap<&'a Name, MemberSpec<'a>>,
    /// Number of partitions of every topic that somebody wants.
    pub topics: BTreeMap<Uuid, i32>,
}

pub(super) struct MemberSpec<'a> {
    pub instance_id: Option<&'a str>,
    /// Only such as `Spec::topics` has.
    pub topics: BTreeSet<Uuid>,
    /// The target so far.
    pub target: &'a Partitions,
}

impl Spec<'_> {
    /// Whether everybody wants the same.
    fn is_homogeneous(&self) -> bool {
        let mut all = self.members.values().map(|member| &member.topics);
        all.next().is_none_or(|first| all.all(|topics| topics == first))
    }
}
