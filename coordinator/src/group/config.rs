//! What the broker's configuration says about groups. Knows nothing of files or keys.

use super::consumer::ConsumerGroupConfig;

/// Settings of the group coordinator; the defaults are Kafka's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`
    pub max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`
    pub max_size: i32,
    /// `offset.metadata.max.bytes`; compared, as Kafka does, with UTF-16 code units.
    pub offset_metadata_max_units: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`
    pub retention_check_interval_ms: i64,
    /// `offsets.commit.required.acks` is -1: wait for the ISR; anything else: for the leader.
    pub commit_needs_isr: bool,
    /// Groups one partition may hold; more are refused, so that a client inventing names cannot
    /// fill memory. Kafka has no such bound.
    pub groups_max: usize,
    /// Members of one group that were given an id and have not come back with it. Kafka has no such
    /// bound.
    pub pending_members_max: usize,
    /// Of groups of the new protocol.
    pub consumer: ConsumerGroupConfig,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            max_size: i32::MAX,
            offset_metadata_max_units: 4_096,
            offsets_retention_ms: 7 * 24 * 3_600 * 1_000,
            retention_check_interval_ms: 600_000,
            commit_needs_isr: true,
            groups_max: 100_000,
            pending_members_max: 10_000,
            consumer: ConsumerGroupConfig::default(),
        }
    }
}

/// A new member is dropped if its first JoinGroup is not completed in this time: it cannot send
/// heartbeats yet, and its connection is not read while it waits.
pub const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 5 * 60 * 1_000;
