//! What consumers tell each other through the group's leader: subscription and assignment.
//!
//! Both begin with their version as an `i16`; a version above the last known is read as the last
//! known. Subscription v1 owned partitions (KIP-429), v2 their generation (KIP-792), v3 rack
//! (KIP-881); the assignment never changed.

use bytes::Bytes;

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(versions = 0..=3)]
pub struct ConsumerProtocolSubscription {
    pub topics: Vec<String>,
    /// The assignor's own.
    #[wire(nullable = 0.., default = null)]
    pub user_data: Option<Bytes>,
    /// What the member had before the rebalance (KIP-429).
    #[wire(versions = 1.., ignorable)]
    pub owned_partitions: Vec<TopicPartition>,
    /// Generation of `owned_partitions`; -1 unknown.
    #[wire(versions = 2.., default = -1, ignorable)]
    pub generation_id: i32,
    #[wire(versions = 3.., nullable = 3.., default = null, ignorable)]
    pub rack_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct TopicPartition {
    pub topic: String,
    pub partitions: Vec<i32>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(versions = 0..=3)]
pub struct ConsumerProtocolAssignment {
    pub assigned_partitions: Vec<TopicPartition>,
    /// The assignor's own.
    #[wire(nullable = 0.., default = null)]
    pub user_data: Option<Bytes>,
}
