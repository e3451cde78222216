//! UpdateMetadata (key 6): the controller tells brokers what to answer to Metadata requests.
//!
//! v1 endpoints · v2 rack · v3 listener names · v4 offline replicas · v5 broker epoch, partitions
//! by topic · v6 flexible · v7 topic ids · v8 KRaft controller, full or incremental (KIP-866).

use crate::ids::Uuid;
use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 6, versions = 0..=8, flexible = 6..)]
pub struct UpdateMetadataRequest {
    pub controller_id: i32,
    /// Whether a KRaft controller sends this, in a migration.
    #[wire(versions = 8..)]
    pub is_kraft_controller: bool,
    /// 0 unknown, 1 incremental, 2 full.
    #[wire(versions = 8.., tag = 0)]
    pub r#type: i8,
    /// Epoch of the controller, for fencing.
    pub controller_epoch: i32,
    /// `czxid` of the broker's registration, for fencing; -1 unknown.
    #[wire(versions = 5.., default = -1, ignorable)]
    pub broker_epoch: i64,
    /// The partitions, until v4.
    #[wire(versions = 0..=4)]
    pub ungrouped_partition_states: Vec<UpdateMetadataPartitionState>,
    /// The partitions, from v5.
    #[wire(versions = 5..)]
    pub topic_states: Vec<UpdateMetadataTopicState>,
    pub live_brokers: Vec<UpdateMetadataBroker>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct UpdateMetadataPartitionState {
    #[wire(versions = 0..=4, ignorable)]
    pub topic_name: String,
    pub partition_index: i32,
    /// Epoch of the controller, for fencing.
    pub controller_epoch: i32,
    /// -1 none, -2 while the topic is deleted.
    pub leader: i32,
    pub leader_epoch: i32,
    pub isr: Vec<i32>,
    /// Version of the partition's `state` znode.
    pub zk_version: i32,
    pub replicas: Vec<i32>,
    #[wire(versions = 4.., ignorable)]
    pub offline_replicas: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct UpdateMetadataTopicState {
    pub topic_name: String,
    #[wire(versions = 7.., ignorable)]
    pub topic_id: Uuid,
    pub partition_states: Vec<UpdateMetadataPartitionState>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct UpdateMetadataBroker {
    pub id: i32,
    #[wire(versions = 0, ignorable)]
    pub v0_host: String,
    #[wire(versions = 0, ignorable)]
    pub v0_port: i32,
    /// Where the broker listens, from v1.
    #[wire(versions = 1.., ignorable)]
    pub endpoints: Vec<UpdateMetadataEndpoint>,
    #[wire(versions = 2.., nullable = 2.., ignorable)]
    pub rack: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct UpdateMetadataEndpoint {
    pub port: i32,
    pub host: String,
    #[wire(versions = 3.., ignorable)]
    pub listener: String,
    /// 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 6, versions = 0..=8, flexible = 6..)]
pub struct UpdateMetadataResponse {
    pub error_code: i16,
}
