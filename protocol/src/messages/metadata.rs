//! Metadata (key 3): brokers, topics, partitions and who leads them.
//!
//! v1 racks, controller, internal topics, null for all topics · v2 cluster id · v3 throttle time ·
//! v4 auto creation is asked for · v5 offline replicas · v7 leader epoch · v8 authorised
//! operations (KIP-430) · v9 flexible · v10 topic ids · v11 no cluster operations (KIP-700) · v12
//! topics by id alone.

use crate::ids::Uuid;
use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 3, versions = 0..=12, flexible = 9..)]
pub struct MetadataRequest {
    /// Null for all topics; in v0 empty means all.
    #[wire(nullable = 1..)]
    pub topics: Option<Vec<MetadataRequestTopic>>,
    /// Create what is missing, if the broker is configured so.
    #[wire(versions = 4.., default = true)]
    pub allow_auto_topic_creation: bool,
    /// Whether to tell what the caller may do to the cluster.
    #[wire(versions = 8..=10)]
    pub include_cluster_authorized_operations: bool,
    /// Whether to tell what the caller may do to each topic.
    #[wire(versions = 8..)]
    pub include_topic_authorized_operations: bool,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct MetadataRequestTopic {
    /// Zero to go by name.
    #[wire(versions = 10.., ignorable)]
    pub topic_id: Uuid,
    /// Null to go by id.
    #[wire(nullable = 10..)]
    pub name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 3, versions = 0..=12, flexible = 9..)]
pub struct MetadataResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    #[wire(versions = 3.., ignorable)]
    pub throttle_time_ms: i32,
    pub brokers: Vec<MetadataResponseBroker>,
    #[wire(versions = 2.., nullable = 2.., default = null, ignorable)]
    pub cluster_id: Option<String>,
    /// -1 if there is none.
    #[wire(versions = 1.., default = -1, ignorable)]
    pub controller_id: i32,
    pub topics: Vec<MetadataResponseTopic>,
    /// Bits of `AclOperation` codes; `i32::MIN` if not asked for.
    #[wire(versions = 8..=10, default = -0x8000_0000)]
    pub cluster_authorized_operations: i32,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct MetadataResponseBroker {
    pub node_id: i32,
    pub host: String,
    pub port: i32,
    #[wire(versions = 1.., nullable = 1.., default = null, ignorable)]
    pub rack: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct MetadataResponseTopic {
    pub error_code: i16,
    /// Null if an unknown id was asked for.
    #[wire(nullable = 12..)]
    pub name: Option<String>,
    #[wire(versions = 10.., ignorable)]
    pub topic_id: Uuid,
    /// Whether the broker keeps its own data in it, such as committed offsets.
    #[wire(versions = 1.., ignorable)]
    pub is_internal: bool,
    pub partitions: Vec<MetadataResponsePartition>,
    /// Bits of `AclOperation` codes; `i32::MIN` if not asked for.
    #[wire(versions = 8.., default = -0x8000_0000)]
    pub topic_authorized_operations: i32,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct MetadataResponsePartition {
    pub error_code: i16,
    pub partition_index: i32,
    /// -1 if there is none.
    pub leader_id: i32,
    #[wire(versions = 7.., default = -1, ignorable)]
    pub leader_epoch: i32,
    pub replica_nodes: Vec<i32>,
    pub isr_nodes: Vec<i32>,
    /// Replicas on dead brokers or failed disks.
    #[wire(versions = 5.., ignorable)]
    pub offline_replicas: Vec<i32>,
}
