//! CreateTopics (key 19): create topics, with counts or with an assignment.
//!
//! v1 validate only, error messages · v2 throttle time · v4 counts of -1 mean the broker's default
//! (KIP-464) · v5 flexible, resulting configuration (KIP-525) · v6 may answer
//! THROTTLING_QUOTA_EXCEEDED (KIP-599) · v7 topic id (KIP-516).

use crate::ids::Uuid;
use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 19, versions = 0..=7, flexible = 5..)]
pub struct CreateTopicsRequest {
    pub topics: Vec<CreatableTopic>,
    /// How long to wait until the topics exist; 0 or less does not wait.
    #[wire(default = 60000)]
    pub timeout_ms: i32,
    /// Check everything, change nothing.
    #[wire(versions = 1..)]
    pub validate_only: bool,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct CreatableTopic {
    pub name: String,
    /// -1 with an assignment, or for the broker's default.
    pub num_partitions: i32,
    /// -1 with an assignment, or for the broker's default.
    pub replication_factor: i16,
    /// Replicas of each partition; empty to let the broker choose.
    pub assignments: Vec<CreatableReplicaAssignment>,
    pub configs: Vec<CreatableTopicConfig>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct CreatableReplicaAssignment {
    pub partition_index: i32,
    pub broker_ids: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct CreatableTopicConfig {
    pub name: String,
    #[wire(nullable = 0..)]
    pub value: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 19, versions = 0..=7, flexible = 5..)]
pub struct CreateTopicsResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    #[wire(versions = 2.., ignorable)]
    pub throttle_time_ms: i32,
    pub topics: Vec<CreatableTopicResult>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct CreatableTopicResult {
    pub name: String,
    #[wire(versions = 7.., ignorable)]
    pub topic_id: Uuid,
    pub error_code: i16,
    #[wire(versions = 1.., nullable = 1.., ignorable)]
    pub error_message: Option<String>,
    /// Why `configs` is null.
    #[wire(versions = 5.., tag = 0, ignorable)]
    pub topic_config_error_code: i16,
    #[wire(versions = 5.., default = -1, ignorable)]
    pub num_partitions: i32,
    #[wire(versions = 5.., default = -1, ignorable)]
    pub replication_factor: i16,
    /// Null if the caller may not see them.
    #[wire(versions = 5.., nullable = 5.., ignorable)]
    pub configs: Option<Vec<CreatableTopicConfigs>>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct CreatableTopicConfigs {
    pub name: String,
    #[wire(nullable = 0..)]
    pub value: Option<String>,
    pub read_only: bool,
    /// 1 topic, 2 dynamic broker, 3 dynamic default, 4 static broker, 5 default, 6 broker logger.
    #[wire(default = -1, ignorable)]
    pub config_source: i8,
    pub is_sensitive: bool,
}
