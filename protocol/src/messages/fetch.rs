//! Fetch (key 1): read record batches, for consumers and followers.
//!
//! v1 throttle time · v2 message format 1 · v3 byte limit of the whole answer, partitions in
//! request order · v4 isolation level, record format 2 · v5 log start offset · v7 sessions
//! (KIP-227) · v9 leader epoch fencing (KIP-320) · v10 zstd · v11 rack, preferred replica
//! (KIP-392) · v12 flexible, last fetched epoch (KIP-595) · v13 topic ids (KIP-516) · v14
//! OFFSET_MOVED_TO_TIERED_STORAGE · v15 replica state (KIP-903) · v16 node endpoints (KIP-951) ·
//! v17 directory id (KIP-853).

use crate::ids::Uuid;
use crate::wire::{Records, Wire};

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 1, versions = 0..=17, flexible = 12..)]
pub struct FetchRequest {
    /// Checked by KRaft alone.
    #[wire(versions = 12.., nullable = 12.., tag = 0, default = null, ignorable)]
    pub cluster_id: Option<String>,
    /// Broker id of a follower; -1 a consumer, -2 a debugging consumer.
    #[wire(versions = 0..=14, default = -1)]
    pub replica_id: i32,
    #[wire(versions = 15.., tag = 1)]
    pub replica_state: ReplicaState,
    /// Longest wait for `min_bytes`, in milliseconds.
    pub max_wait_ms: i32,
    /// Answer as soon as so many bytes are there.
    pub min_bytes: i32,
    /// Limit of the whole answer; the first batch may exceed it.
    #[wire(versions = 3.., default = 0x7fff_ffff, ignorable)]
    pub max_bytes: i32,
    /// 0 read uncommitted, 1 read committed.
    #[wire(versions = 4.., ignorable)]
    pub isolation_level: i8,
    /// 0 for no session or a new one.
    #[wire(versions = 7.., ignorable)]
    pub session_id: i32,
    /// 0 begins a session, -1 ends it or goes without one.
    #[wire(versions = 7.., default = -1, ignorable)]
    pub session_epoch: i32,
    pub topics: Vec<FetchTopic>,
    /// What to take out of the session.
    #[wire(versions = 7..)]
    pub forgotten_topics_data: Vec<ForgottenTopic>,
    /// The consumer's `client.rack`; empty without one.
    #[wire(versions = 11.., ignorable)]
    pub rack_id: String,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct ReplicaState {
    /// Broker id of a follower; -1 a consumer.
    #[wire(default = -1)]
    pub replica_id: i32,
    /// The follower's broker epoch; -1 unknown.
    #[wire(default = -1)]
    pub replica_epoch: i64,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct FetchTopic {
    #[wire(versions = 0..=12, ignorable)]
    pub topic: String,
    #[wire(versions = 13.., ignorable)]
    pub topic_id: Uuid,
    pub partitions: Vec<FetchPartition>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct FetchPartition {
    pub partition: i32,
    /// Leader epoch that the sender knows, for fencing; -1 unknown.
    #[wire(versions = 9.., default = -1, ignorable)]
    pub current_leader_epoch: i32,
    pub fetch_offset: i64,
    /// Epoch of the last record that the sender has; -1 unknown.
    #[wire(versions = 12.., default = -1)]
    pub last_fetched_epoch: i32,
    /// The follower's own; -1 from a consumer.
    #[wire(versions = 5.., default = -1, ignorable)]
    pub log_start_offset: i64,
    /// Limit of this partition's part; the first batch may exceed it.
    pub partition_max_bytes: i32,
    #[wire(versions = 17.., tag = 0, ignorable)]
    pub replica_directory_id: Uuid,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct ForgottenTopic {
    #[wire(versions = 7..=12, ignorable)]
    pub topic: String,
    #[wire(versions = 13.., ignorable)]
    pub topic_id: Uuid,
    pub partitions: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 1, versions = 0..=17, flexible = 12..)]
pub struct FetchResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    #[wire(versions = 1.., ignorable)]
    pub throttle_time_ms: i32,
    /// Error of the session, or of the request as a whole.
    #[wire(versions = 7.., ignorable)]
    pub error_code: i16,
    /// 0 if there is no session.
    #[wire(versions = 7..)]
    pub session_id: i32,
    pub responses: Vec<FetchableTopicResponse>,
    /// Where the leaders named in `current_leader` listen.
    #[wire(versions = 16.., tag = 0)]
    pub node_endpoints: Vec<NodeEndpoint>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct FetchableTopicResponse {
    #[wire(versions = 0..=12, ignorable)]
    pub topic: String,
    #[wire(versions = 13.., ignorable)]
    pub topic_id: Uuid,
    pub partitions: Vec<PartitionData>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct PartitionData {
    pub partition_index: i32,
    /// Error of this partition.
    pub error_code: i16,
    /// First offset that not all of the ISR have.
    pub high_watermark: i64,
    /// First offset of an open transaction, or the high watermark.
    #[wire(versions = 4.., default = -1, ignorable)]
    pub last_stable_offset: i64,
    /// First offset of the log; -1 unknown.
    #[wire(versions = 5.., default = -1, ignorable)]
    pub log_start_offset: i64,
    /// Where the follower's log leaves the leader's: truncate there.
    #[wire(versions = 12.., tag = 0)]
    pub diverging_epoch: EpochEndOffset,
    /// Set on NOT_LEADER_OR_FOLLOWER and FENCED_LEADER_EPOCH.
    #[wire(versions = 12.., tag = 1)]
    pub current_leader: LeaderIdAndEpoch,
    /// KRaft alone.
    #[wire(versions = 12.., tag = 2)]
    pub snapshot_id: SnapshotId,
    /// Transactions to skip under read committed; else null.
    #[wire(versions = 4.., nullable = 4.., ignorable)]
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// Broker to fetch from instead; -1 this one.
    #[wire(versions = 11.., default = -1)]
    pub preferred_read_replica: i32,
    #[wire(nullable = 0..)]
    pub records: Option<Records>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct EpochEndOffset {
    #[wire(default = -1)]
    pub epoch: i32,
    #[wire(default = -1)]
    pub end_offset: i64,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct LeaderIdAndEpoch {
    #[wire(default = -1)]
    pub leader_id: i32,
    #[wire(default = -1)]
    pub leader_epoch: i32,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct SnapshotId {
    #[wire(default = -1)]
    pub end_offset: i64,
    #[wire(default = -1)]
    pub epoch: i32,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct AbortedTransaction {
    pub producer_id: i64,
    /// First offset of the transaction in this partition.
    pub first_offset: i64,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct NodeEndpoint {
    pub node_id: i32,
    pub host: String,
    pub port: i32,
    #[wire(nullable = 0.., default = null)]
    pub rack: Option<String>,
}
