//! StopReplica (key 5): the controller tells a broker to stop, and maybe delete, replicas.
//!
//! v1 broker epoch, partitions by topic · v2 flexible · v3 leader epoch and deletion per partition
//! (KIP-570) · v4 KRaft controller (KIP-866).

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 5, versions = 0..=4, flexible = 2..)]
pub struct StopReplicaRequest {
    pub controller_id: i32,
    /// Whether a KRaft controller sends this, in a migration.
    #[wire(versions = 4..)]
    pub is_kraft_controller: bool,
    /// Epoch of the controller, for fencing.
    pub controller_epoch: i32,
    /// `czxid` of the broker's registration, for fencing; -1 unknown.
    #[wire(versions = 1.., default = -1, ignorable)]
    pub broker_epoch: i64,
    /// Delete all of them, until v2.
    #[wire(versions = 0..=2)]
    pub delete_partitions: bool,
    /// The partitions in v0.
    #[wire(versions = 0)]
    pub ungrouped_partitions: Vec<StopReplicaPartitionV0>,
    /// The partitions in v1 and v2.
    #[wire(versions = 1..=2)]
    pub topics: Vec<StopReplicaTopicV1>,
    /// The partitions, from v3.
    #[wire(versions = 3..)]
    pub topic_states: Vec<StopReplicaTopicState>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct StopReplicaPartitionV0 {
    pub topic_name: String,
    pub partition_index: i32,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct StopReplicaTopicV1 {
    pub name: String,
    pub partition_indexes: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct StopReplicaTopicState {
    pub topic_name: String,
    pub partition_states: Vec<StopReplicaPartitionState>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct StopReplicaPartitionState {
    pub partition_index: i32,
    /// -1 unknown, -2 while the topic is deleted: not fenced.
    #[wire(default = -1)]
    pub leader_epoch: i32,
    pub delete_partition: bool,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 5, versions = 0..=4, flexible = 2..)]
pub struct StopReplicaResponse {
    pub error_code: i16,
    pub partition_errors: Vec<StopReplicaPartitionError>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct StopReplicaPartitionError {
    pub topic_name: String,
    pub partition_index: i32,
    pub error_code: i16,
}
