//! ControlledShutdown (key 7): a broker asks the controller to move its leaderships away.
//!
//! v0 has a request header without client id · v2 broker epoch (KIP-380) · v3 flexible.

use crate::wire::Wire;

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 7, versions = 0..=3, flexible = 3..)]
pub struct ControlledShutdownRequest {
    pub broker_id: i32,
    /// `czxid` of the broker's registration, for fencing; -1 unknown.
    #[wire(versions = 2.., default = -1, ignorable)]
    pub broker_epoch: i64,
}

#[derive(Debug, Clone, PartialEq, Wire)]
#[message(key = 7, versions = 0..=3, flexible = 3..)]
pub struct ControlledShutdownResponse {
    pub error_code: i16,
    /// What the broker still leads.
    pub remaining_partitions: Vec<RemainingPartition>,
}

#[derive(Debug, Clone, PartialEq, Wire)]
pub struct RemainingPartition {
    pub topic_name: String,
    pub partition_index: i32,
}
