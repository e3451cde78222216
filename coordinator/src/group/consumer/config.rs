//! What the broker's configuration says about groups of the new protocol. Knows nothing of files or
//! keys.

use super::assignor::Assignor;

/// Whether groups with members change between the protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MigrationPolicy {
    #[default]
    Disabled,
    /// From the classic protocol to the new one.
    Upgrade,
    /// From the new protocol to the classic one.
    Downgrade,
    Bidirectional,
}

impl MigrationPolicy {
    /// As the configuration names them, in any case.
    pub const NAMES: [(&'static str, MigrationPolicy); 4] = [
        ("bidirectional", MigrationPolicy::Bidirectional),
        ("upgrade", MigrationPolicy::Upgrade),
        ("downgrade", MigrationPolicy::Downgrade),
        ("disabled", MigrationPolicy::Disabled),
    ];

    pub fn from_name(name: &str) -> Option<MigrationPolicy> {
        let mut known = Self::NAMES.into_iter();
        known.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, policy)| policy)
    }

    pub fn upgrades(self) -> bool {
        matches!(self, Self::Upgrade | Self::Bidirectional)
    }

    pub fn downgrades(self) -> bool {
        matches!(self, Self::Downgrade | Self::Bidirectional)
    }
}

/// Settings of groups of the new protocol; the defaults are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroupConfig {
    /// `group.consumer.session.timeout.ms`
    pub session_timeout_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`
    pub heartbeat_interval_ms: i32,
    /// `group.consumer.max.size`
    pub max_size: i32,
    /// `group.consumer.assignors`, the first of which is the default. Never empty.
    pub assignors: Vec<Assignor>,
    /// `group.consumer.migration.policy`
    pub migration: MigrationPolicy,
}

impl Default for ConsumerGroupConfig {
    fn default() -> Self {
        Self {
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 5_000,
            max_size: i32::MAX,
            assignors: vec![Assignor::Uniform, Assignor::Range],
            migration: MigrationPolicy::default(),
        }
    }
}

impl ConsumerGroupConfig {
    /// What a member without a wish of its own gets.
    pub fn default_assignor(&self) -> Assignor {
        self.assignors.first().copied().unwrap_or(Assignor::Uniform)
    }
}
