//! DeleteTopics (key 20): delete topics by name or id.
//!
//! v1 throttle time · v3 may answer TOPIC_DELETION_DISABLED · v4 flexible · v5 error messages,
//! THROTTLING_QUOTA_EXCEEDED (KIP-599) · v6 topic ids (KIP-516).

use crate::ids::Uuid;
use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 20, versions = 0..=6, flexible = 4..)]
pub struct DeleteTopicsRequest {
    /// What to delete, from v6.
    #[wire(versions = 6..)]
    pub topics: Vec<DeleteTopicState>,
    /// What to delete, until v5.
    #[wire(versions = 0..=5, ignorable)]
    pub topic_names: Vec<String>,
    /// How long to wait for the deletion, in milliseconds.
    pub timeout_ms: i32,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DeleteTopicState {
    /// Null to go by id.
    #[wire(nullable = 0.., default = null)]
    pub name: Option<String>,
    pub topic_id: Uuid,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 20, versions = 0..=6, flexible = 4..)]
pub struct DeleteTopicsResponse {
    /// Milliseconds to wait before the next request; 0 within the quotas.
    #[wire(versions = 1.., ignorable)]
    pub throttle_time_ms: i32,
    pub responses: Vec<DeletableTopicResult>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct DeletableTopicResult {
    /// Null if an unknown id was asked for.
    #[wire(nullable = 6..)]
    pub name: Option<String>,
    #[wire(versions = 6.., ignorable)]
    pub topic_id: Uuid,
    pub error_code: i16,
    #[wire(versions = 5.., nullable = 5.., default = null, ignorable)]
    pub error_message: Option<String>,
}
