//! LeaderAndIsr (key 4): the controller tells a broker which partitions it leads or follows.
//!
//! v1 is_new · v2 broker epoch, partitions by topic · v3 adding and removing replicas (KIP-455) ·
//! v4 flexible · v5 topic ids, full or incremental (KIP-516) · v6 recovery state (KIP-704) · v7
//! KRaft controller (KIP-866).

use crate::ids::Uuid;
use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 4, versions = 0..=7, flexible = 4..)]
pub struct LeaderAndIsrRequest {
    pub controller_id: i32,
    /// Whether a KRaft controller sends this, in a migration.
    #[wire(versions = 7..)]
    pub is_kraft_controller: bool,
    /// Epoch of the controller, for fencing.
    pub controller_epoch: i32,
    /// `czxid` of the broker's registration, for fencing; -1 unknown.
    #[wire(versions = 2.., default = -1, ignorable)]
    pub broker_epoch: i64,
    /// 0 unknown, 1 incremental, 2 full: a full one lists all that the broker has.
    #[wire(versions = 5..)]
    pub r#type: i8,
    /// The partitions, until v1.
    #[wire(versions = 0..=1)]
    pub ungrouped_partition_states: Vec<LeaderAndIsrPartitionState>,
    /// The partitions, from v2.
    #[wire(versions = 2..)]
    pub topic_states: Vec<LeaderAndIsrTopicState>,
    /// Where the leaders listen for other brokers.
    pub live_leaders: Vec<LeaderAndIsrLiveLeader>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct LeaderAndIsrPartitionState {
    #[wire(versions = 0..=1, ignorable)]
    pub topic_name: String,
    pub partition_index: i32,
    /// Epoch of the controller, for fencing.
    pub controller_epoch: i32,
    /// -1 none, -2 while the topic is deleted.
    pub leader: i32,
    pub leader_epoch: i32,
    pub isr: Vec<i32>,
    /// Version of the partition's `state` znode.
    pub partition_epoch: i32,
    pub replicas: Vec<i32>,
    #[wire(versions = 3.., ignorable)]
    pub adding_replicas: Vec<i32>,
    #[wire(versions = 3.., ignorable)]
    pub removing_replicas: Vec<i32>,
    /// Whether the replica has never been here.
    #[wire(versions = 1.., ignorable)]
    pub is_new: bool,
    /// 0 recovered, 1 recovering after an unclean election.
    #[wire(versions = 6..)]
    pub leader_recovery_state: i8,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct LeaderAndIsrTopicState {
    pub topic_name: String,
    #[wire(versions = 5.., ignorable)]
    pub topic_id: Uuid,
    pub partition_states: Vec<LeaderAndIsrPartitionState>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct LeaderAndIsrLiveLeader {
    pub broker_id: i32,
    pub host_name: String,
    pub port: i32,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 4, versions = 0..=7, flexible = 4..)]
pub struct LeaderAndIsrResponse {
    pub error_code: i16,
    /// The outcome per partition, until v4.
    #[wire(versions = 0..=4)]
    pub partition_errors: Vec<LeaderAndIsrPartitionError>,
    /// The outcome per partition, from v5.
    #[wire(versions = 5..)]
    pub topics: Vec<LeaderAndIsrTopicError>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct LeaderAndIsrPartitionError {
    #[wire(versions = 0..=4, ignorable)]
    pub topic_name: String,
    pub partition_index: i32,
    pub error_code: i16,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct LeaderAndIsrTopicError {
    pub topic_id: Uuid,
    /// The outcome per partition, until v4.
    pub partition_errors: Vec<LeaderAndIsrPartitionError>,
}
